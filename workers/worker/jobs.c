/* jobs.c - one job in this process: from its fetch to its handler, from the handler's outcome to
 * what the next call settles, and the ladder that ends a handler (soft, after a grace hard). */
#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/units.h"
#include "workers/worker/correlation.h"
#include "workers/worker/decide.h"
#include "workers/worker/engine_state.h"
#include "workers/worker/job_log.h"

/* A job put back must not come round at full speed. */
#define UNKNOWN_LEAST_MS  1000
#define PUT_BACK_MS       1000 /* when the handler does not say */
#define PUT_BACK_LEAST_MS 100
#define MOVE_MS           1000 /* likewise, of a delay or a rest */
#define CHILDLESS_STARTS  10   /* starts without an attempt until it takes a breath */

void engine_drop(struct run *run)
{
    run->engine->tally.lost++;
    engine_touch(run->engine);
    runs_set_state(&run->engine->runs, run, RUN_FREE);
}

/* A finished job waits for a call, or for its lock's proof first. */
static void set_finished(struct run *run)
{
    enum run_state next = run->unproven ? RUN_PROVING : RUN_DONE;

    run->deadline_ms = 0;
    run->handler_run = NULL;
    engine_touch(run->engine);
    runs_set_state(&run->engine->runs, run, next);
}

void engine_put_back(struct run *run, enum settle_kind kind, uint64_t delay_ms,
                     const struct bytes *reason)
{
    run->settle = (struct settle){ .kind = kind, .job = run->job, .delay_ms = delay_ms };
    if (reason && run_set_value(run, reason) < 0)
        run->settle.value = (struct bytes){ "", 0 }; /* without memory the history has a gap */
    set_finished(run);
}

/* xorshift64*: jitter needs no better. */
static double unit_random(struct engine *engine)
{
    uint64_t x = engine->random_state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    engine->random_state = x;
    return (double)((x * 0x2545F4914F6CDD1DU) >> 11) / 9007199254740992.0;
}

static void add_stacktrace(struct run *run, const struct handler_outcome *outcome)
{
    free(run->stacktrace);
    run->stacktrace = decide_stacktrace(run->job, outcome);
    if (run->stacktrace) /* without memory the old one stays: the failure itself matters more */
        run->settle.stacktrace = (struct bytes){ run->stacktrace, strlen(run->stacktrace) };
}

/* Without memory for the result the attempt has failed: a result is never replaced by another. */
static void fail_without_memory(struct run *run)
{
    struct handler_outcome outcome = decide_failure(HANDLER_FAILED, "no memory for the result");

    decide_settle(run->engine->config, run->type, run->job, &outcome, 0, &run->settle);
}

void engine_finish(struct run *run, const struct handler_outcome *outcome)
{
    struct engine *engine = run->engine;
    struct bytes value;

    decide_settle(engine->config, run->type, run->job, outcome, unit_random(engine), &run->settle);
    value = run->settle.value;
    if (run_set_value(run, &value) < 0)
        fail_without_memory(run); /* its reason is static text: it needs no copy */
    if (outcome->kind != HANDLER_COMPLETED)
        add_stacktrace(run, outcome);
    set_finished(run);
}

static void finish_timed_out(struct run *run)
{
    char text[UNITS_TEXT_BYTES], reason[64];
    struct handler_outcome outcome;

    (void)snprintf(reason, sizeof(reason), "timed out after %s",
                   units_print_duration(run->type->timeout_ms, text));
    outcome = decide_failure(HANDLER_FAILED, reason);
    engine_finish(run, &outcome);
}

/* Each, when asked for; else the first of a minute stands for all. */
static void say_put_back(struct run *run, const char *why, const char *detail)
{
    if (!job_log_put_back(run, why, detail))
        (void)put_backs_note(&run->engine->put_backs, run->job, why, detail, clock_now_ms());
}

static void put_back_by_handler(struct run *run, const struct handler_outcome *outcome)
{
    char detail[128];
    int64_t asked_ms = outcome->retry_after_ms;
    uint64_t delay_ms = asked_ms < 0 ? PUT_BACK_MS : (uint64_t)asked_ms;

    (void)snprintf(detail, sizeof(detail), "%.*s",
                   outcome->reason.len < sizeof(detail) ? (int)outcome->reason.len
                                                        : (int)sizeof(detail) - 1,
                   outcome->reason.data ? outcome->reason.data : "");
    say_put_back(run, "its handler did not take it", detail);
    engine_put_back(run, SETTLE_DELAY, delay_ms > PUT_BACK_LEAST_MS ? delay_ms : PUT_BACK_LEAST_MS,
                    NULL);
}

/* The handler has chosen where its job goes; that is no failure, and no news. */
static void move_by_handler(struct run *run, const struct handler_outcome *outcome)
{
    int64_t after_ms = outcome->retry_after_ms;
    uint64_t delay_ms = after_ms < 0 ? MOVE_MS : (uint64_t)after_ms;

    run->settle = (struct settle){ .kind = SETTLE_WAIT, .job = run->job };
    if (outcome->kind == HANDLER_DELAYED) {
        run->settle.kind = SETTLE_DELAY;
        run->settle.delay_ms = delay_ms;
        run->settle.due_at_ms = outcome->retry_at_ms;
    } else if (outcome->kind == HANDLER_LIMITED) {
        run->settle.delay_ms = delay_ms > 0 ? delay_ms : MOVE_MS;
    } else if (outcome->kind == HANDLER_WAITING_CHILDREN) {
        run->settle.kind = SETTLE_WAIT_CHILDREN;
    }
    job_log_moved(run);
    set_finished(run);
}

void engine_repeat_without_children(struct run *run)
{
    const struct job *job = run->job;
    bool often = job->attempts_started > job->attempts_made + CHILDLESS_STARTS;

    engine_put_back(run, often ? SETTLE_DELAY : SETTLE_WAIT, often ? PUT_BACK_MS : 0, NULL);
}

/* Ended because we had asked, or so it says. */
static void finish_cancelled(struct run *run)
{
    struct handler_outcome unasked;

    if (run->cause == RUN_CAUSE_STOP) {
        engine_put_back(run, SETTLE_GIVE_BACK, 0, NULL);
        return;
    }
    unasked = decide_failure(HANDLER_FAILED, "the handler gave up without being asked");
    engine_finish(run, &unasked);
}

static void take_outcome(struct run *run, const struct handler_outcome *outcome)
{
    switch (outcome->kind) {
    case HANDLER_COMPLETED:
    case HANDLER_FAILED:
    case HANDLER_FAILED_FINAL:
        engine_finish(run, outcome);
        break;
    case HANDLER_CANCELLED:
        finish_cancelled(run);
        break;
    case HANDLER_PUT_BACK:
        put_back_by_handler(run, outcome);
        break;
    case HANDLER_DELAYED:
    case HANDLER_WAITING:
    case HANDLER_LIMITED:
    case HANDLER_WAITING_CHILDREN:
        move_by_handler(run, outcome);
        break;
    case HANDLER_DIED_IN_COMPANY:
        engine_put_back(run, SETTLE_GIVE_BACK_COUNTED, 0, &outcome->reason);
        break;
    case HANDLER_INNOCENT:
        engine_put_back(run, SETTLE_GIVE_BACK, 0, NULL);
        break;
    }
}

static void on_outcome(struct handler_run *handler_run, const struct handler_outcome *outcome,
                       void *arg)
{
    struct run *run = arg;
    /* What completed in its grace is complete: to fail it would repeat its effect. What was never
     * begun has used no attempt. */
    bool timed_out = run->cause == RUN_CAUSE_TIMEOUT && outcome->kind != HANDLER_COMPLETED &&
                     outcome->kind != HANDLER_PUT_BACK;

    assert(run->state == RUN_RUNNING && run->handler_run == handler_run);
    board_end_run(run);
    if (run->cause == RUN_CAUSE_LOST)
        engine_drop(run);
    else if (timed_out)
        finish_timed_out(run);
    else
        take_outcome(run, outcome);
}

static void on_sent(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    (void)queue; /* progress and log rows are not repeated: what was lost is lost */
    (void)call;
    (void)value;
    (void)arg;
}

static void on_progress(struct handler_run *handler_run, const char *json, size_t json_len,
                        void *arg)
{
    struct run *run = arg;
    struct error err;

    (void)handler_run;
    if (queue_update_progress(run->engine->queue, run->job->id.data, json, json_len, on_sent,
                              run->engine, &err) < 0)
        log_debug("progress.dropped", LOG_RUN(run), LOG_STR("why", err.text));
}

static void on_log(struct handler_run *handler_run, const char *row, size_t row_len, void *arg)
{
    struct run *run = arg;
    struct error err;

    (void)handler_run;
    job_log_said(run, row, row_len);
    if (queue_add_log(run->engine->queue, run->job->id.data, row, row_len,
                      run->job->options.keep_logs, on_sent, run->engine, &err) < 0)
        log_debug("log.dropped", LOG_RUN(run), LOG_STR("why", err.text));
}

static void on_pid(struct handler_run *handler_run, int pid, void *arg)
{
    const struct run *run = arg;

    (void)handler_run;
    scoreboard_job_set_pid(run->engine->options.board, run->board_row, pid);
}

static const struct handler_events events = {
    .on_outcome = on_outcome,
    .on_progress = on_progress,
    .on_log = on_log,
    .on_pid = on_pid,
};

static const struct engine_binding *find_binding(const struct engine *engine,
                                                 const struct config_type *type)
{
    const struct config_queue *queue = engine->config;

    if (type == &queue->fallback)
        return &engine->options.bindings[queue->types_count];
    return &engine->options.bindings[type - queue->types];
}

static void set_deadline(struct run *run, uint64_t deadline_ms)
{
    struct engine *engine = run->engine;

    run->deadline_ms = deadline_ms;
    engine->next_deadline_ms = engine_earlier(engine->next_deadline_ms, deadline_ms);
}

static void fail_unstarted(struct run *run, enum handler_outcome_kind kind, const char *reason)
{
    struct handler_outcome outcome = decide_failure(kind, reason);

    engine_finish(run, &outcome);
}

static void start_handler(struct run *run, const struct engine_binding *binding)
{
    struct engine *engine = run->engine;
    uint64_t timeout_ms = run->type->timeout_ms;
    struct error err = { 0 };

    run->kind = binding->kind;
    run->input = (struct handler_input){
        .job = run->job,
        .type = run->type,
        .queue = engine->config->name,
        .worker = engine->options.worker_name,
        .attempt = run->job->attempts_made + 1,
        .attempts_max = decide_attempts(engine->config, run->type, run->job),
        .deadline_ms = timeout_ms > 0 ? clock_now_ms() + timeout_ms : 0,
        .idempotency_key = run->key,
        .fencing_token = run->job->token,
        .correlation_id = run_correlation(run),
    };
    if (!run->input.idempotency_key) {
        fail_unstarted(run, HANDLER_FAILED, "no memory to start the handler");
        return;
    }
    if (run_is_alone(run))
        log_warn("job.suspected", LOG_RUN(run), LOG_STR("job_type", run->job->name.data),
                 LOG_UINT("givebacks", run->job->givebacks),
                 LOG_BOOL("alone", runs_held(&engine->runs) == 1),
                 LOG_STR("why", "its process died more than once while running it"));
    job_log_started(run);
    board_begin_run(run);
    if (binding->kind->start(binding->handler, &run->input, &events, run, &run->handler_run, &err) <
        0) {
        board_end_run(run);
        fail_unstarted(run, HANDLER_FAILED, err.text);
        return;
    }
    set_deadline(run, run->input.deadline_ms);
}

static void put_back_unknown(struct run *run, const char *why)
{
    struct engine *engine = run->engine;

    say_put_back(run, why, NULL);
    engine_put_back(run, SETTLE_DELAY,
                    engine->config->unknown_delay_ms > 0 ? engine->config->unknown_delay_ms
                                                         : UNKNOWN_LEAST_MS,
                    NULL);
}

/* Wire format 6: started, not attempted, whatever brought it back. */
static bool is_started_too_often(const struct run *run)
{
    uint64_t most = run->engine->config->max_started;

    return most > 0 && run->job->attempts_started > most;
}

static void fail_unknown(struct run *run)
{
    char reason[160];

    (void)snprintf(reason, sizeof(reason), "no handler is configured for jobs named \"%.100s\"",
                   run->job->name.data);
    fail_unstarted(run, HANDLER_FAILED_FINAL, reason);
}

/* A job that carries its failure with it (`defa`: stalled too often, a failed child). */
static void fail_deferred(struct run *run)
{
    struct handler_outcome outcome = { .kind = HANDLER_FAILED_FINAL,
                                       .reason = run->job->deferred_failure,
                                       .retry_after_ms = -1 };

    engine_finish(run, &outcome);
}

/* Order matters: an iteration of a scheduler is never run nor failed, or its chain would end. */
static void decide_start(struct run *run)
{
    struct engine *engine = run->engine;
    const struct job *job = run->job;
    const struct engine_binding *binding = find_binding(engine, run->type);

    if (engine->phase != ENGINE_SERVING)
        engine_put_back(run, SETTLE_GIVE_BACK, 0, NULL);
    else if (job->scheduler.data)
        put_back_unknown(run, "belongs to a job scheduler, which drover does not continue yet");
    else if (job->deferred_failure.len > 0) /* stock workers take an empty text for none */
        fail_deferred(run);
    else if (is_started_too_often(run)) /* BullMQ's words */
        fail_unstarted(run, HANDLER_FAILED_FINAL, "job started more than allowable limit");
    else if (job->options_error)
        fail_unstarted(run, HANDLER_FAILED_FINAL, job->options_error);
    else if (binding->kind)
        start_handler(run, binding);
    else if (engine->config->unknown == CONFIG_UNKNOWN_FAIL)
        fail_unknown(run);
    else
        put_back_unknown(run, "no handler is configured for this job name");
}

void engine_admit(struct engine *engine, struct job *job, uint64_t proven_boot_ms)
{
    struct run *run = runs_take(&engine->runs, job);

    if (!run) { /* its lock expires and it is given to others */
        log_error("job.unexpected", LOG_STR("job", job->id.data),
                  LOG_STR("why", "more than was asked for, or no memory"));
        job_free(job);
        return;
    }
    (void)run_make_key(run, engine->config->name); /* without memory it does not start */
    run->correlation = correlation_find(&job->data);
    run->type = config_find_type(engine->config, job->name.data, job->name.len);
    run->proven_boot_ms = proven_boot_ms;
    decide_start(run);
}

/* ---- ending handlers */

static enum handler_cancel_why why_of(const struct run *run)
{
    if (run->cause == RUN_CAUSE_LOST)
        return HANDLER_WHY_LOST;
    return run->cause == RUN_CAUSE_TIMEOUT ? HANDLER_WHY_TIMEOUT : HANDLER_WHY_STOP;
}

void engine_cancel(struct run *run, enum run_cause cause, uint64_t grace_ms)
{
    uint64_t hard_at_ms = clock_now_ms() + grace_ms;

    if (run->cause < cause)
        run->cause = cause;
    if (run->cancel == RUN_CANCEL_HARD)
        return;
    if (run->cancel == RUN_CANCEL_SOFT) {
        set_deadline(run, engine_earlier(run->deadline_ms, hard_at_ms));
        return;
    }
    log_debug("job.cancelled", LOG_RUN(run), LOG_UINT("grace_ms", grace_ms));
    run->cancel = RUN_CANCEL_SOFT;
    set_deadline(run, hard_at_ms);
    run->kind->cancel(run->handler_run, HANDLER_CANCEL_SOFT, why_of(run), grace_ms);
}

static void cancel_hard(struct run *run)
{
    log_warn("job.killed", LOG_RUN(run), LOG_STR("job_type", run->job->name.data));
    run->cancel = RUN_CANCEL_HARD;
    run->deadline_ms = 0;
    run->kind->cancel(run->handler_run, HANDLER_CANCEL_HARD, why_of(run), 0);
}

static void strike(struct run *run)
{
    if (run->cancel == RUN_CANCEL_SOFT)
        cancel_hard(run);
    else
        engine_cancel(run, RUN_CAUSE_TIMEOUT, run->type->kill_grace_ms);
}

/* next_deadline_ms may be earlier than any run's (its run has ended): then this only looks anew. */
void engine_step_deadlines(struct engine *engine, uint64_t now_ms)
{
    uint64_t next_ms = 0;

    if (engine->next_deadline_ms == 0 || now_ms < engine->next_deadline_ms)
        return;
    RUNS_EACH (&engine->runs, run) {
        if (run->state != RUN_RUNNING || run->deadline_ms == 0)
            continue;
        if (run->deadline_ms <= now_ms)
            strike(run);
        next_ms = engine_earlier(next_ms, run->deadline_ms);
    }
    engine->next_deadline_ms = next_ms;
}
