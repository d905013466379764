/* log_form.h - the forms of a log line: what is common to them, and each of them. Not for others
 * than log*.c.
 *
 *   log_line.c     a line of JSON or of key=value, one write(2)
 *   log_journal.c  systemd's journal by its native protocol, one datagram
 *
 * Invariant: the texts of an entry have been redacted; no form looks further than the entry. */
#pragma once

#include "common/base/buf.h"
#include "common/base/log.h"

struct log_entry {
    enum log_level level;
    const char *event;
    const char *identifier; /* name of the program */
    const struct log_field *context;
    size_t context_count;
    const struct log_field *fields;
    size_t fields_count;
};

extern const char *const log_level_names[];

/* ---- log_line.c */

/* A write of at most PIPE_BUF (4096) bytes to a pipe is atomic (pipe(7)), so a line never is
 * longer: a field that does not fit is cut or left out, and the line then says "cut":true. */
#define LOG_LINE_BYTES 4096

/* Makes the line, newline included, in `line`, which is reset. */
void log_line_make(const struct log_entry *entry, bool plain, struct buf *line);
/* "event field=value …" with the queue, which stands in the context, in front: for people. */
void log_line_describe(const struct log_entry *entry, struct buf *text);
/* A value that is no text, as JSON has it. */
void log_line_append_number(struct buf *line, const struct log_field *field);

/* ---- log_journal.c */

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Does $JOURNAL_STREAM say that this descriptor leads to the journal (systemd.exec(5))? */
bool log_journal_owns(int fd);
/* The socket is opened at the first entry. The path must fit into an address
 * (107 bytes). */
void log_journal_open(const char *path);
void log_journal_close(void);
/* Never blocks. 0, or a negative errno when the journal did not take the entry. */
int log_journal_send(const struct log_entry *entry);
