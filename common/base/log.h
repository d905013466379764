/* log.h - one line per event: a stable name (`noun.verb_past`) and fields, never a sentence, never
 * a payload. Invariant: one event is one write(2) of one whole line, so lines of several processes
 * never mix.
 *
 * JSON lines carry: time (RFC 3339, UTC, ms), level, event, then the context set by
 * log_set_context, then the event's own fields. The plain form has the same in `key=value`. Field
 * names are lower case with units
 * (`delay_ms`); `queue`, `job`, `job_type`, `worker`, `generation`, `correlation` have this one
 * spelling. */
#pragma once

#include <stdbool.h>

#include "common/base/attr.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format {
    LOG_FORMAT_AUTO,
    LOG_FORMAT_JSON,
    LOG_FORMAT_PLAIN
}; /* auto: plain on a terminal */

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

#define log_at(level, event, ...)                                                              \
    do {                                                                                       \
        if (log_is_on(level))                                                                  \
            log_write((level), (event), (struct log_field[]){ __VA_ARGS__ },                   \
                      sizeof((struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)); \
    } while (0)

/* Before the first line; may be called again. `fd` is borrowed (usually 2). */
void log_open(int fd, enum log_format format, enum log_level least);
/* Another level, everything else as it is. */
void log_set_level(enum log_level least);
bool log_is_on(enum log_level level);

/* Fields put into every line from now on (role, queue, worker …); texts are copied; at most 8, long
 * ones cut. */
void log_set_context(const struct log_field *fields, size_t count);

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);

/* "debug", "info", "warn", "error" → level; -1 for anything else. The same for formats: auto, json,
 * plain. */
int log_level_by_name(const char *name);
int log_format_by_name(const char *name);
