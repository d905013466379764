/* program_log.h - what a long-lived program says that is not for its jobs: lines for the worker's
 * log, and what it wrote on stdout that the protocol does not know.
 * Invariant: however much it says, the log grows by a bounded number of lines a second and a
 * bounded length a line; what is left out is counted, and the count is logged. */
#pragma once

#include <sys/types.h>

#include "common/base/log.h"

#define PROGRAM_LOG_LINE_BYTES 1024 /* longer lines are cut */

struct program_log {
    pid_t pid;
    const char *job_type; /* NULL: the queue's own handler */
    uint64_t window_ms;   /* when the current second began */
    unsigned int said;    /* lines in it */
    uint64_t left_out;    /* lines since the last count was logged */
    uint64_t noted_ms;    /* when a dropped line was last named; 0 never */
    uint64_t dropped;     /* lines since then */
};

void program_log_init(struct program_log *log, pid_t pid, const char *job_type);

/* One line of it; any bytes. */
void program_log_line(struct program_log *log, enum log_level level, const char *line, size_t len);
/* A line on its stdout was dropped; `why` is static text. Named at once, then once a minute. */
void program_log_dropped(struct program_log *log, const char *why);
/* It ended: what was counted and not yet said. */
void program_log_end(struct program_log *log);
