/* supervisor.h - the whole of droverd on one loop: pools, signals, orphans, systemd, the end.
 * Invariant: it ends only when no child of this process is left. Signals only raise what is wanted
 * (SIGTERM and SIGINT: first drain, second stop, third kill; SIGHUP: refused, said);
 * supervisor_step, run before each wait of the loop, does it. */
#pragma once

#include "common/config/config.h"
#include "supervisor/master/slot.h"

struct supervisor;

struct supervisor_options {
    const struct config *config; /* borrowed until supervisor_free */
    const char *worker_path;     /* absolute path of drover-worker; borrowed */
    int config_fd;               /* sealed memory with the configuration for children; borrowed */
    uint64_t stop_grace_ms;      /* between stop and kill; 0: the usual 6 s */
};

/* Starts everything: signal handlers, child subreaper, and, from the first turn of the loop, the
 * workers. The loop runs until the supervisor has ended. */
MUST_CHECK int supervisor_open(uv_loop_t *loop, const struct supervisor_options *options,
                               struct supervisor **out_supervisor, struct error *err);

/* As the signals do: each call raises the wish by one (drain, stop, kill). */
void supervisor_ask_to_end(struct supervisor *supervisor);

bool supervisor_has_ended(const struct supervisor *supervisor);

/* After the end: EXIT_CODE_OK after a drain in which all workers ended by themselves,
 * EXIT_CODE_FAILED when some had to be killed, EXIT_CODE_CONFIG (or FAILED) when all workers were
 * given up. */
int supervisor_exit_code(const struct supervisor *supervisor);

/* After the loop has run out. NULL is fine. */
void supervisor_free(struct supervisor *supervisor);
