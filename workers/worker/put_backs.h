/* put_backs.h - says once a minute per job name and reason that jobs were put back without an
 * attempt, and how many: a flood of jobs without a handler must not become a flood of lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/queue/job.h"

#define PUT_BACKS_NAMES      16 /* others share the last row */
#define PUT_BACKS_NAME_BYTES 64

struct put_backs_row {
    char name[PUT_BACKS_NAME_BYTES]; /* cut when longer */
    const char *why;                 /* static text */
    uint64_t count;                  /* since the last line */
    uint64_t said_ms;                /* when the last line was written */
};

struct put_backs {
    struct put_backs_row rows[PUT_BACKS_NAMES];
    size_t count;
};

/* Counts one; logs at once, with this job, when the name was not named for a minute. Returns true
 * when it logged.
 * why: static text; detail: what the handler said of this one, NULL for nothing. */
bool put_backs_note(struct put_backs *put_backs, const struct job *job, const char *why,
                    const char *detail, uint64_t now_ms);
