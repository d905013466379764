/* program_log.h - what a program says that is not for its jobs: lines for the worker's log, and
 * what it wrote on stdout that the protocol does not know. Invariant: however much it says, the log
 * grows by a bounded number of lines (log_words) and a bounded length a line; what is left out is
 * counted, and the count is logged. */
#pragma once

#include <sys/types.h>

#include "common/base/log.h"
#include "workers/handlers/handler.h"

#define PROGRAM_LOG_LINE_BYTES 1024 /* longer lines are cut */

struct program_log {
    pid_t pid;
    const char *job_type; /* NULL: the queue's own handler */
    bool inside_key;      /* its last line was part of a private key that goes on */
    uint64_t noted_ms;    /* when a dropped line was last named; 0 never */
    uint64_t dropped;     /* lines since then */
};

void program_log_init(struct program_log *log, pid_t pid, const char *job_type);

/* One line of it; any bytes. `job`: the only one that the program has; NULL when it has none, or
 * several, of which nobody knows whose line it is. */
void program_log_line(struct program_log *log, enum log_level level,
                      const struct handler_input *job, const char *line, size_t len);
/* A line on its stdout was dropped; `why` is static text. Named at once, then once a minute. */
void program_log_dropped(struct program_log *log, const char *why);
/* It ended: what was counted and not yet said. */
void program_log_end(struct program_log *log);
