/* log.h - one line per event: a stable name (`noun.verb_past`) and fields, never a sentence, never
 * a payload. What an event means to an operator stands in one table (log_events.h).
 *
 * Each line carries: time, level, event, then the context set by log_set_context, then the event's
 * own fields. Field names are lower case with units (`delay_ms`); `queue`, `job`, `job_type`,
 * `worker`, `generation`, `correlation` have this one spelling.
 *
 * Four forms of the same: JSON (time in RFC 3339, UTC, ms); plain, `key=value`; the journal's own,
 * where fields are in capitals and can be searched for (`journalctl QUEUE=money JOB_ID=42`); and
 * auto, which is one of them, by where the descriptor leads to.
 *
 * Invariants: one event is one write of one whole line, or one datagram, so lines of several
 * processes never mix. Every text has been redacted (redact.h). Repeats beyond a limit are left out
 * and counted (log_limit.h), and so are lines that nothing takes: the sum comes out. Nothing here
 * blocks when the other end is a socket. */
#pragma once

#include <stdbool.h>

#include "common/base/attr.h"
#include "common/base/error.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format {
    LOG_FORMAT_AUTO, /* journal when the descriptor is systemd's, plain on a terminal, else json */
    LOG_FORMAT_JOURNAL,
    LOG_FORMAT_JSON,
    LOG_FORMAT_PLAIN
};

enum log_field_type {
    LOG_FIELD_INT,
    LOG_FIELD_UINT,
    LOG_FIELD_TEXT,
    LOG_FIELD_BOOL,
    LOG_FIELD_REAL
};

struct log_field {
    const char *name;
    enum log_field_type type;
    union {
        int64_t integer;
        uint64_t natural;
        const char *text; /* NULL is printed as null; invalid UTF-8 as U+FFFD */
        bool truth;
        double real;
    };
};

#define LOG_INT(field, value) \
    ((struct log_field){ .name = (field), .type = LOG_FIELD_INT, .integer = (int64_t)(value) })
#define LOG_UINT(field, value) \
    ((struct log_field){ .name = (field), .type = LOG_FIELD_UINT, .natural = (uint64_t)(value) })
#define LOG_STR(field, value) \
    ((struct log_field){ .name = (field), .type = LOG_FIELD_TEXT, .text = (value) })
#define LOG_BOOL(field, value) \
    ((struct log_field){ .name = (field), .type = LOG_FIELD_BOOL, .truth = (value) })
#define LOG_REAL(field, value) \
    ((struct log_field){ .name = (field), .type = LOG_FIELD_REAL, .real = (value) })

/* log_info("worker.started", LOG_INT("pid", pid), LOG_STR("queue", name)); at least one field is
 * needed. */
#define log_debug(event, ...) log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_at(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#define log_at(level, event, ...)        LOG_WITH(log_write, level, event, __VA_ARGS__)
/* A line that somebody has asked for by name: no limit takes it away. */
#define log_unlimited(level, event, ...) LOG_WITH(log_write_unlimited, level, event, __VA_ARGS__)
/* A line that has the words of somebody else's program, which says more than we do: ten times the
 * limit. */
#define log_words(level, event, ...)     LOG_WITH(log_write_words, level, event, __VA_ARGS__)
#define LOG_WORDS_FACTOR                 10

#define LOG_WITH(write_line, level, event, ...)                                                 \
    do {                                                                                        \
        if (log_is_on(level))                                                                   \
            write_line((level), (event), (struct log_field[]){ __VA_ARGS__ },                   \
                       sizeof((struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)); \
    } while (0)

#define LOG_FIELDS_MAX 24 /* most fields of one event */

/* Before the first line; may be called again. `fd` is borrowed (usually 2). What the journal does
 * not take goes there too, as a line. */
void log_open(int fd, enum log_format format, enum log_level least);
/* Another level, everything else as it is. */
void log_set_level(enum log_level least);
bool log_is_on(enum log_level level);
/* Name of the program in the journal, static text. */
void log_set_identifier(const char *identifier);
/* At most `burst` lines of one event and queue within interval_ms (> 0), debug lines excepted: who
 * wants every step gets every step. burst 0: no limit, as at the start. */
void log_set_limit(uint64_t burst, uint64_t interval_ms);
/* The operator's own patterns of what is to be hidden, NULL-terminated; NULL for none. Before the
 * context is set, which is redacted once. */
MUST_CHECK int log_set_patterns(char *const *patterns, struct error *err);

/* Fields put into every line from now on (role, queue, worker …), unless it has one of that name
 * itself; texts are copied; at most 8, long ones cut. */
void log_set_context(const struct log_field *fields, size_t count);

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);
void log_write_words(enum log_level level, const char *event, const struct log_field *fields,
                     size_t count);
void log_write_unlimited(enum log_level level, const char *event, const struct log_field *fields,
                         size_t count);

/* Says how many repeats were left out in the intervals that are over at now_ms (clock_now_ms).
 * Loops call it, because nothing more may be logged. */
void log_flush_suppressed(uint64_t now_ms);
/* When it should be called next; 0 when nothing was left out. */
uint64_t log_flush_next_ms(void);
/* The end of the program: tells all that is counted; lines may still be written afterwards. */
void log_close(void);
