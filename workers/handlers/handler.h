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
};

struct handler_outcome {
    enum handler_outcome_kind kind;
    struct bytes value;  /* borrowed during the callback */
    struct bytes reason; /* text, UTF-8 made valid */
    struct bytes stack;  /* one stack trace entry; absent: the engine writes "<Kind>: <reason>" */
    int64_t retry_after_ms; /* -1: by backoff */
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
};

struct handler_kind {
    const char *name;
    enum config_handler_kind kind;
    MUST_CHECK int (*open)(uv_loop_t *loop, const struct config_handler *config,
                           struct handler **out_handler, struct error *err);
    /* `events` and `arg` are borrowed until the outcome. The memory of the run is the handler's: it
     * is valid until on_outcome returns. */
    MUST_CHECK int (*start)(struct handler *handler, const struct handler_input *input,
                            const struct handler_events *events, void *arg,
                            struct handler_run **out_run, struct error *err);
    void (*cancel)(struct handler_run *run, enum handler_cancel how);
    /* No run may be under way; on_closed comes later, on the loop. */
    void (*close)(struct handler *handler, void (*on_closed)(void *arg), void *arg);
};

/* The row for a configured kind; NULL for CONFIG_HANDLER_NONE. */
const struct handler_kind *handler_find(enum config_handler_kind kind);
