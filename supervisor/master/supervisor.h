/* supervisor.h - the whole of droverd on one loop: pools, signals, orphans, reload, control socket,
 * systemd, the end.
 * Invariant: it ends only when no child of this process is left. Signals and requests only raise
 * what is wanted (SIGTERM and SIGINT: first drain, second stop, third kill; SIGHUP: reload);
 * supervisor_step, run before each wait of the loop, does it. */
#pragma once

#include "common/config/config.h"
#include "supervisor/master/slot.h"

struct supervisor;
struct store_passed;

struct supervisor_options {
    const char *file; /* the configuration's, read again by a reload; borrowed */
    const struct config_override *overrides; /* likewise; borrowed */
    size_t overrides_count;
    const char *worker_path;     /* absolute path of drover-worker; borrowed */
    uint64_t stop_grace_ms;      /* between stop and kill; 0: the usual 7 s */
    bool no_control;             /* no control socket */
    struct store_passed *passed; /* descriptors that systemd has passed; borrowed, used up by
                                    supervisor_open; NULL: none */
};

/* Starts everything: control socket, signal handlers, child subreaper, and, from the first turn of
 * the loop, the workers of `config` (taken, also on failure). The loop runs until the supervisor
 * has ended. */
MUST_CHECK int supervisor_open(uv_loop_t *loop, const struct supervisor_options *options,
                               struct config *config, struct supervisor **out_supervisor,
                               struct error *err);

/* As the signals do: each call raises the wish by one (drain, stop, kill). */
void supervisor_ask_to_end(struct supervisor *supervisor);
/* As SIGHUP does. */
void supervisor_ask_to_reload(struct supervisor *supervisor);

bool supervisor_has_ended(const struct supervisor *supervisor);

/* After the end: EXIT_CODE_OK after a drain in which all workers ended by themselves,
 * EXIT_CODE_FAILED when some had to be killed in it, EXIT_CODE_CONFIG (or FAILED) when all workers
 * were given up. */
int supervisor_exit_code(const struct supervisor *supervisor);

/* After the loop has run out. NULL is fine. */
void supervisor_free(struct supervisor *supervisor);
