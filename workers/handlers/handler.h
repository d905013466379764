/* handler.h - one way to run a job (noop, exec, …), as the worker's engine sees it.
 * The engine starts a run, may cancel it, and gets exactly one outcome per run, later, on the loop
 * (never inside start or cancel). A handler owns nothing of the job: bytes are borrowed until the
 * outcome is given. Stable for later handlers: a new way to run a job is a new file here and a row
 * in handlers[] (handler.c). */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/config/config.h"
#include "common/queue/job.h"

struct handler;     /* one configured handler of this worker, opened once */
struct handler_run; /* one job being run by it */

enum handler_outcome_kind {
    HANDLER_COMPLETED, /* value: the result, valid JSON */
    HANDLER_FAILED,    /* this attempt failed; reason; retry_after_ms >= 0 overrides the backoff */
    HANDLER_FAILED_FINAL, /* never try again; reason */
    HANDLER_CANCELLED, /* ended because of handler_cancel; decides nothing: the engine knows why it
                          asked */
    HANDLER_PUT_BACK,  /* not run, or not to be counted (no program could be started, a limit of a
                          service): back after retry_after_ms (< 0: 1 s) without an attempt; reason
                        */
    /* It ran, and wants to go on later; no attempt is used. */
    HANDLER_DELAYED, /* at retry_at_ms, else after retry_after_ms (< 0: 1 s) */
    HANDLER_WAITING, /* next to run */
    HANDLER_LIMITED, /* next to run, once the queue has rested for retry_after_ms (< 1: 1 s) */
    HANDLER_WAITING_CHILDREN, /* when its children have ended; at once when none is pending */
    HANDLER_DIED_IN_COMPANY,  /* the program died with several jobs in it and nobody knows whose
                                 fault it was; reason: how. Given back, counted (poison rule). */
    HANDLER_INNOCENT, /* the program was ended because of another job in it: given back, not counted
                       */
};

struct handler_outcome {
    enum handler_outcome_kind kind;
    struct bytes value;  /* borrowed during the callback */
    struct bytes reason; /* text, UTF-8 made valid */
    struct bytes stack;  /* one stack trace entry; absent: the engine writes "<Kind>: <reason>" */
    int64_t retry_after_ms; /* -1: by backoff */
    uint64_t retry_at_ms;   /* of HANDLER_DELAYED: wall time; 0: by retry_after_ms */
};

/* What a run is given. All borrowed until its outcome. */
struct handler_input {
    const struct job *job;
    const struct config_type *type;
    const char *queue;
    const char *worker; /* worker name */
    uint64_t attempt;   /* from 1 */
    uint64_t attempts_max;
    uint64_t deadline_ms; /* clock_now_ms() when the time-out strikes; 0 none. The engine enforces
                             it by cancel. */
    const char *idempotency_key; /* stable over retries: "<queue>:<job id>" */
    const char *fencing_token;   /* the lock's token */
    const char *correlation_id;  /* the data's metadata.correlationId or correlationId, else the
                                    idempotency key */
};

/* Why a run is asked to end; what a handler may pass on to its program. */
enum handler_cancel_why {
    HANDLER_WHY_STOP,    /* the worker stops; the job goes back */
    HANDLER_WHY_TIMEOUT, /* its time is over */
    HANDLER_WHY_LOST,    /* its lock cannot be proven: another worker may run it */
};

enum handler_cancel {
    HANDLER_CANCEL_SOFT, /* please end (SIGTERM to the process group) */
    HANDLER_CANCEL_HARD, /* end now (SIGKILL to the process group) */
};

/* Called by the handler on the loop. */
struct handler_events {
    void (*on_outcome)(struct handler_run *run, const struct handler_outcome *outcome, void *arg);
    /* The following are for handlers that report while running. */
    void (*on_progress)(struct handler_run *run, const char *json, size_t json_len, void *arg);
    void (*on_log)(struct handler_run *run, const char *row, size_t row_len, void *arg);
    /* The program that runs the job is known: for the scoreboard. May be NULL. */
    void (*on_pid)(struct handler_run *run, int pid, void *arg);
};

/* What a handler is opened with; all borrowed until it is closed. */
struct handler_setup {
    uv_loop_t *loop;
    const struct config_handler *config;
    const char *queue, *worker, *type; /* type: the job name, NULL for the queue's own handler */
    size_t slots;                      /* jobs at once in this process, >= 1 */
    uint64_t start_timeout_ms;         /* a long-lived program must be ready within, > 0 */
    uint64_t restart_first_ms, restart_max_ms; /* back-off of programs that die before ready */
    uint64_t kill_grace_ms; /* between SIGTERM and SIGKILL when a program must end */
    /* It became able to run jobs (kinds with is_ready only); later, on the loop. */
    void (*on_ready)(void *arg);
    void *arg;
};

struct handler_kind {
    const char *name;
    enum config_handler_kind kind;
    MUST_CHECK int (*open)(const struct handler_setup *setup, struct handler **out_handler,
                           struct error *err);
    /* The three below may be NULL: ready from the start; no matter how many slots; nothing to tell.
     */
    /* True once it can run jobs; it may become false again while its programs are restarted. */
    bool (*is_ready)(const struct handler *handler);
    void (*resize)(struct handler *handler, size_t slots);
    /* No more jobs will be started; those that run may go on for timeout_ms (0: no bound). */
    void (*drain)(struct handler *handler, uint64_t timeout_ms);
    /* `events` and `arg` are borrowed until the outcome. The memory of the run is the handler's: it
     * is valid until on_outcome returns. */
    MUST_CHECK int (*start)(struct handler *handler, const struct handler_input *input,
                            const struct handler_events *events, void *arg,
                            struct handler_run **out_run, struct error *err);
    /* `grace_ms`: after so long the hard cancel follows the soft one; 0 with the hard one. */
    void (*cancel)(struct handler_run *run, enum handler_cancel how, enum handler_cancel_why why,
                   uint64_t grace_ms);
    /* No run may be under way; on_closed comes later, on the loop. */
    void (*close)(struct handler *handler, void (*on_closed)(void *arg), void *arg);
};

/* The row for a configured kind; NULL for CONFIG_HANDLER_NONE. */
const struct handler_kind *handler_find(enum config_handler_kind kind);
