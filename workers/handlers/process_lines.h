/* process_lines.h - cuts a stream of bytes into lines of a bounded length.
 * Invariant: at most the maximum is kept, whatever arrives; a line within one piece of bytes is
 * handed on in place. */
#pragma once

#include "common/base/buf.h"

/* One line without its newline. Not whole: it is longer than the maximum, these are its first bytes
 * and the rest up to its newline is dropped. */
typedef void lines_cb(const char *line, size_t len, bool whole, void *arg);

struct lines {
    struct buf kept; /* the beginning of a line whose end has not come; kept.max is the maximum */
    bool skipping;   /* within a line that is too long */
    lines_cb *on_line;
    void *arg;
};

void lines_init(struct lines *lines, size_t max_bytes, lines_cb *on_line, void *arg);
void lines_take(struct lines *lines, const char *bytes, size_t len);
/* The stream is over: what is kept is a line. */
void lines_end(struct lines *lines);
void lines_done(struct lines *lines);
