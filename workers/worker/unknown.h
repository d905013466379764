/* unknown.h - says once a minute per job name that jobs were put back, and how many: a flood of
 * jobs without a handler must not become a flood of lines. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UNKNOWN_NAMES      16 /* others share the last row */
#define UNKNOWN_NAME_BYTES 64

struct unknown_row {
    char name[UNKNOWN_NAME_BYTES]; /* cut when longer */
    const char *why;               /* static text */
    uint64_t count;                /* since the last line */
    uint64_t said_ms;              /* when the last line was written */
};

struct unknown {
    struct unknown_row rows[UNKNOWN_NAMES];
    size_t count;
};

/* Counts one; logs at once when the name was not named for a minute. Returns true when it logged.
 */
_Bool unknown_note(struct unknown *unknown, const char *name, size_t name_len, const char *why,
                   uint64_t now_ms);
