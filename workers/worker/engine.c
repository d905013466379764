#include "workers/worker/engine.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"
#include "workers/worker/job_log.h"
#include "workers/worker/stop_budget.h"

#define CONCURRENCY_RETRY_MS    1000
/* After Redis was away: longer than any process takes to come back and to set its locks again. */
#define STALLED_AFTER_RETURN_MS (2 * REDIS_RETRY_MAX_MS)

static const char *const phase_names[] = {
    [ENGINE_SERVING] = "serving", [ENGINE_DRAINING] = "draining", [ENGINE_STOPPING] = "stopping",
    [ENGINE_LEAVING] = "leaving", [ENGINE_ENDED] = "ended",
};

static void on_stepper(uv_idle_t *stepper);

void engine_touch(struct engine *engine)
{
    engine->dirty = true;
    (void)uv_idle_start(&engine->stepper, on_stepper); /* cannot fail; nothing when it is active */
}

/* Only forward. */
static void set_phase(struct engine *engine, enum engine_phase next)
{
    assert(next > engine->phase);
    log_info("worker.changed", LOG_STR("from", phase_names[engine->phase]),
             LOG_STR("to", phase_names[next]),
             LOG_UINT("running", engine->runs.in_state[RUN_RUNNING]),
             LOG_UINT("held", runs_held(&engine->runs)));
    engine->phase = next;
    engine_touch(engine);
}

/* ---- the handlers as a whole */

static size_t bindings_count(const struct engine *engine)
{
    return engine->config->types_count + 1;
}

static void tell_handlers_drain(struct engine *engine, uint64_t timeout_ms)
{
    for (size_t i = 0; i < bindings_count(engine); i++) {
        const struct engine_binding *binding = &engine->options.bindings[i];

        if (binding->kind && binding->kind->drain)
            binding->kind->drain(binding->handler, timeout_ms);
    }
}

static void tell_handlers_slots(struct engine *engine, size_t slots)
{
    for (size_t i = 0; i < bindings_count(engine); i++) {
        const struct engine_binding *binding = &engine->options.bindings[i];

        if (binding->kind && binding->kind->resize)
            binding->kind->resize(binding->handler, slots);
    }
}

/* Room for all slots and for what calls in flight bring in excess. */
static size_t most_runs(size_t slots)
{
    return slots + (size_t)ENGINE_CALLS * QUEUE_TURN_MAX;
}

void engine_resize(struct engine *engine, size_t slots)
{
    assert(slots > 0);
    if (slots == engine->options.slots)
        return;
    log_info("worker.resized", LOG_UINT("from", engine->options.slots), LOG_UINT("slots", slots),
             LOG_UINT("running", engine->runs.in_state[RUN_RUNNING]));
    engine->options.slots = slots;
    engine->allowed = slots;
    runs_allow(&engine->runs, most_runs(slots));
    tell_handlers_slots(engine, slots);
    engine_touch(engine);
}

void engine_allow(struct engine *engine, size_t allowed)
{
    assert(allowed <= engine->options.slots);
    if (allowed == engine->allowed)
        return;
    log_debug("worker.allowed", LOG_UINT("from", engine->allowed), LOG_UINT("allowed", allowed),
              LOG_UINT("running", engine->runs.in_state[RUN_RUNNING]));
    engine->allowed = allowed;
    engine_touch(engine);
}

/* ---- drain, stop, leave */

/* What is left of a drain; 0: no bound. */
static uint64_t drain_left_ms(const struct engine *engine, uint64_t now_ms)
{
    if (engine->drain_until_ms == 0)
        return 0;
    return engine->drain_until_ms > now_ms ? engine->drain_until_ms - now_ms : 1;
}

void engine_drain(struct engine *engine, uint64_t timeout_ms)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t until_ms = timeout_ms > 0 ? now_ms + timeout_ms : 0;

    if (engine->phase > ENGINE_DRAINING)
        return;
    engine->drain_until_ms = engine_earlier(engine->drain_until_ms, until_ms);
    if (engine->phase == ENGINE_SERVING)
        set_phase(engine, ENGINE_DRAINING);
    tell_handlers_drain(engine, drain_left_ms(engine, now_ms));
    engine_touch(engine);
}

static uint64_t stop_grace_ms(const struct run *run)
{
    uint64_t grace_ms = run->type->kill_grace_ms;

    return grace_ms < STOP_GRACE_MAX_MS ? grace_ms : STOP_GRACE_MAX_MS;
}

void engine_stop(struct engine *engine)
{
    if (engine->phase >= ENGINE_STOPPING)
        return;
    set_phase(engine, ENGINE_STOPPING);
    tell_handlers_drain(engine, STOP_GRACE_MAX_MS);
    RUNS_EACH (&engine->runs, run) {
        if (run->state == RUN_RUNNING)
            engine_cancel(run, RUN_CAUSE_STOP, stop_grace_ms(run));
    }
    engine->give_up_ms = clock_now_ms() + STOP_GRACE_MAX_MS + STOP_SEEN_DEAD_MS + STOP_SETTLE_MS;
}

/* What has finished may still be settled: whether it is ours, its lock decides. What runs may be
 * another's by now, whatever on_lock_lost says of locks that are only unproven. */
void engine_fence(struct engine *engine)
{
    if (engine->fenced)
        return;
    engine->fenced = true;
    log_warn("worker.fenced", LOG_UINT("running", engine->runs.in_state[RUN_RUNNING]),
             LOG_UINT("held", runs_held(&engine->runs)),
             LOG_STR("why", "declared dead by others, who give its jobs to the living"));
    RUNS_EACH (&engine->runs, run) {
        if (run->state == RUN_RUNNING)
            engine_cancel(run, RUN_CAUSE_LOST, stop_grace_ms(run));
    }
    engine_stop(engine);
    engine_touch(engine);
}

void engine_note_settled(const struct run *run)
{
    struct tally *tally = &run->engine->tally;
    enum settle_kind kind = run->settle.kind;

    tally->completed += kind == SETTLE_COMPLETE;
    tally->failed += kind == SETTLE_FAIL;
    tally->retried += kind == SETTLE_RETRY || kind == SETTLE_RETRY_LATER;
    tally->given_back += kind == SETTLE_DELAY || kind == SETTLE_WAIT ||
                         kind == SETTLE_WAIT_CHILDREN || kind == SETTLE_GIVE_BACK ||
                         kind == SETTLE_GIVE_BACK_COUNTED;
    job_log_settled(run);
}

/* What a handler that cannot be seen dead holds is left to its lock (design 2); with nothing but
 * such jobs left there is nothing to wait for. */
static bool stop_is_over(const struct engine *engine, uint64_t now_ms)
{
    size_t running = engine->runs.in_state[RUN_RUNNING];

    if (now_ms >= engine->give_up_ms)
        return true;
    return running > 0 && running == runs_held(&engine->runs) &&
           now_ms + STOP_SETTLE_MS >= engine->give_up_ms;
}

static void on_left(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    struct engine *engine = arg;

    (void)queue; /* the beat of a process that could not leave ends by itself */
    (void)call;
    (void)value;
    engine->leave_done = true;
    engine_touch(engine);
}

static void begin_leaving(struct engine *engine, uint64_t now_ms)
{
    set_phase(engine, ENGINE_LEAVING);
    engine->give_up_ms = now_ms + STOP_LEAVE_MS;
}

static bool holds_nothing(const struct engine *engine)
{
    return runs_held(&engine->runs) == 0 && engine->turns.flying == 0 &&
           !resolve_is_pending(engine);
}

static void step_leaving(struct engine *engine, uint64_t now_ms)
{
    struct error err;

    if (!engine->leave_sent && engine->redis_ready && engine->locks.in_flight == 0) {
        engine->leave_sent = true;
        if (queue_leave(engine->queue, &engine->fetcher, on_left, engine, &err) < 0)
            engine->leave_done = true;
    }
    if (!engine->redis_ready && !engine->leave_sent)
        engine->leave_done = true;
    if (now_ms < engine->give_up_ms &&
        (!engine->leave_done || engine->waiting.waiting || engine->waiting.returning > 0))
        return;
    set_phase(engine, ENGINE_ENDED);
    engine->options.on_ended(runs_held(&engine->runs), engine->options.arg);
}

static void step_phase(struct engine *engine, uint64_t now_ms)
{
    if (engine->phase == ENGINE_DRAINING && engine->drain_until_ms > 0 &&
        now_ms >= engine->drain_until_ms)
        engine_stop(engine);
    if ((engine->phase == ENGINE_DRAINING || engine->phase == ENGINE_STOPPING) &&
        holds_nothing(engine))
        begin_leaving(engine, now_ms);
    if (engine->phase == ENGINE_STOPPING && stop_is_over(engine, now_ms)) {
        log_error("jobs.left", LOG_UINT("count", runs_held(&engine->runs)),
                  LOG_UINT("running", engine->runs.in_state[RUN_RUNNING]),
                  LOG_STR("why", "could not be given back; others get them when their locks end"));
        begin_leaving(engine, now_ms);
    }
    if (engine->phase == ENGINE_LEAVING)
        step_leaving(engine, now_ms);
}

/* ---- stalled jobs of others */

static void on_stalled_checked(struct queue *queue, const struct call_result *call, int64_t value,
                               void *arg)
{
    struct engine *engine = arg;

    (void)queue;
    engine->stalled.checking = false;
    engine_touch(engine);
    if (call->outcome == REDIS_REPLY && value > 0)
        log_warn("jobs.stalled", LOG_INT("count", value),
                 LOG_STR("why", "their locks had ended; they are waiting again"));
}

static void step_stalled(struct engine *engine, uint64_t now_ms)
{
    const struct config_queue *config = engine->config;
    struct error err;

    if (engine->phase != ENGINE_SERVING || !engine->redis_ready || engine->stalled.checking ||
        now_ms < engine->stalled.next_ms)
        return;
    engine->stalled.next_ms = now_ms + config->stalled_interval_ms;
    engine->stalled.checking =
        queue_check_stalled(engine->queue, config->stalled_interval_ms, config->max_stalled,
                            on_stalled_checked, engine, &err) == 0;
}

/* ---- the concurrency of the queue */

static void on_concurrency_applied(struct queue *queue, const struct call_result *call,
                                   int64_t value, void *arg)
{
    struct engine *engine = arg;
    struct concurrency *concurrency = &engine->concurrency;

    (void)queue;
    concurrency->asking = false;
    concurrency->applied = call->outcome == REDIS_REPLY;
    if (!concurrency->applied)
        concurrency->retry_ms = clock_now_ms() + CONCURRENCY_RETRY_MS;
    engine_touch(engine);
    if (concurrency->applied && value > 0)
        log_info("queue.concurrency_applied",
                 LOG_UINT("concurrency", engine->config->cluster_concurrency),
                 LOG_STR("why", engine->config->cluster_concurrency > 0
                                    ? "Redis said something else than cluster_concurrency"
                                    : "cluster_concurrency is gone from the configuration"));
}

/* Before the first fetch of a connection, which then obeys it. */
static void step_concurrency(struct engine *engine, uint64_t now_ms)
{
    struct concurrency *concurrency = &engine->concurrency;
    struct error err;

    if (engine->phase != ENGINE_SERVING || !engine->redis_ready || concurrency->applied ||
        concurrency->asking || now_ms < concurrency->retry_ms)
        return;
    concurrency->asking =
        queue_apply_concurrency(engine->queue, engine->config->cluster_concurrency,
                                on_concurrency_applied, engine, &err) == 0;
    if (!concurrency->asking)
        concurrency->retry_ms = now_ms + CONCURRENCY_RETRY_MS;
}

/* ---- the step */

size_t engine_free_slots(const struct engine *engine, size_t carried)
{
    const size_t *in_state = engine->runs.in_state;
    size_t taken = in_state[RUN_RUNNING] + in_state[RUN_PROVING] + in_state[RUN_UNRESOLVED] +
                   in_state[RUN_DONE] - carried + engine->turns.fetching;

    return taken < engine->allowed ? engine->allowed - taken : 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct engine *engine = timer->data;

    engine->timer_at_ms = 0;
    engine_touch(engine);
}

static void arm_timer(struct engine *engine, uint64_t now_ms)
{
    uint64_t at_ms = engine->next_deadline_ms;

    at_ms = engine_earlier(at_ms, locks_next_ms(engine));
    at_ms = engine_earlier(at_ms, waiting_next_ms(engine, now_ms));
    if (engine->redis_ready && engine->turns.hold_until_ms <= now_ms)
        at_ms = engine_earlier(at_ms, replicas_next_ms(engine));
    if (engine->turns.hold_until_ms > now_ms)
        at_ms = engine_earlier(at_ms, engine->turns.hold_until_ms);
    if (engine->phase == ENGINE_SERVING && engine->redis_ready && !engine->stalled.checking)
        at_ms = engine_earlier(at_ms, engine->stalled.next_ms);
    if (engine->phase == ENGINE_SERVING && engine->redis_ready && !engine->concurrency.applied &&
        !engine->concurrency.asking)
        at_ms = engine_earlier(at_ms, engine->concurrency.retry_ms);
    if (engine->phase == ENGINE_DRAINING)
        at_ms = engine_earlier(at_ms, engine->drain_until_ms);
    if (engine->phase == ENGINE_STOPPING) /* the second time is when stop_is_over looks early */
        at_ms = engine_earlier(at_ms, now_ms + 100);
    if (engine->phase == ENGINE_LEAVING)
        at_ms = engine_earlier(at_ms, engine->give_up_ms);
    if (at_ms == engine->timer_at_ms)
        return;
    engine->timer_at_ms = at_ms;
    /* Neither can fail on an open handle with a callback. */
    if (at_ms == 0)
        (void)uv_timer_stop(&engine->timer);
    else
        (void)uv_timer_start(&engine->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void engine_step(struct engine *engine)
{
    uint64_t now_ms = clock_now_ms();

    engine->dirty = false;
    if (engine->phase == ENGINE_ENDED)
        return;
    engine_step_deadlines(engine, now_ms);
    locks_step(engine, now_ms);
    replicas_step(engine);
    resolve_step(engine, now_ms);
    step_concurrency(engine, now_ms);
    turns_step(engine, now_ms);
    waiting_step(engine, now_ms);
    step_stalled(engine, now_ms);
    step_phase(engine, now_ms);
    board_show(engine);
    if (engine->phase != ENGINE_ENDED)
        arm_timer(engine, now_ms);
}

/* An idle handle and not a prepare one: what the step sends is flushed by the connection's own
 * prepare handle, in the same turn. */
static void on_stepper(uv_idle_t *stepper)
{
    struct engine *engine = stepper->data;

    engine_step(engine);
    if (!engine->dirty)
        (void)uv_idle_stop(stepper); /* cannot fail */
}

/* ---- making, telling, ending */

/* The locks of all have run out while Redis was away, and not all come back in the same moment: who
 * is the first must not take the others' jobs before they have set their locks again. */
static void wait_for_siblings(struct engine *engine)
{
    uint64_t until_ms = clock_now_ms() + STALLED_AFTER_RETURN_MS;

    if (engine->redis_was_away && engine->stalled.next_ms < until_ms)
        engine->stalled.next_ms = until_ms;
    engine->redis_was_away = false;
}

void engine_set_redis(struct engine *engine, bool ready)
{
    engine->redis_was_away |= engine->redis_ready && !ready;
    engine->redis_ready = ready;
    if (ready) {
        engine->locks.next_beat_ms = 0;      /* prove all locks first */
        engine->concurrency.applied = false; /* it may be another server, or an emptied one */
        wait_for_siblings(engine);
    }
    engine_touch(engine);
}

void engine_set_blocking(struct engine *engine, struct redis *blocking)
{
    engine->waiting.blocking = blocking;
    engine_touch(engine);
}

void engine_hold(struct engine *engine, bool held)
{
    engine->held = held;
    engine_touch(engine);
}

size_t engine_running(const struct engine *engine)
{
    return engine->runs.in_state[RUN_RUNNING];
}

size_t engine_slots(const struct engine *engine)
{
    return engine->options.slots;
}

const char *engine_ending(const struct engine *engine)
{
    if (engine->phase == ENGINE_SERVING)
        return "";
    return engine->phase == ENGINE_DRAINING ? "draining" : "stopping";
}

bool engine_is_fenced(const struct engine *engine)
{
    return engine->fenced;
}

static void free_engine(struct engine *engine)
{
    resolve_done(engine);
    runs_done(&engine->runs);
    free(engine);
}

static void init_fetcher(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    struct fetcher *fetcher = &engine->fetcher;

    (void)snprintf(fetcher->uuid, sizeof(fetcher->uuid), "%s", options->uuid);
    fetcher->worker_name = options->worker_name;
    fetcher->lock_ms = options->config->lock_ms;
    fetcher->max_givebacks = options->config->max_givebacks;
    fetcher->limiter =
        (struct limiter){ options->config->limiter_max, options->config->limiter_ms };
    fetcher->metrics_points = options->config->metrics_points;
    if (!options->identity)
        return;
    engine->identity = *options->identity;
    fetcher->identity = &engine->identity;
}

int engine_new(const struct engine_options *options, struct engine **out_engine, struct error *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));

    assert(options->slots > 0);
    if (!engine)
        return error_set(err, -ENOMEM, "allocate engine");
    engine->options = *options;
    engine->allowed = options->slots;
    engine->queue = options->queue;
    engine->config = options->config;
    runs_init(&engine->runs, most_runs(options->slots), engine);
    init_fetcher(engine);
    engine->random_state = clock_now_us() ^ ((uint64_t)getpid() << 40) ^ 0x9E3779B97F4A7C15U;
    turns_init(engine);
    locks_init(engine);
    waiting_init(engine);
    /* These cannot fail. */
    (void)uv_idle_init(options->loop, &engine->stepper);
    (void)uv_timer_init(options->loop, &engine->timer);
    engine->stepper.data = engine->timer.data = engine;
    engine_touch(engine);
    *out_engine = engine;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct engine *engine = handle->data;

    if (--engine->open_handles == 0)
        free_engine(engine);
}

void engine_close(struct engine *engine)
{
    engine->open_handles = 2;
    uv_close((uv_handle_t *)&engine->stepper, on_handle_closed);
    uv_close((uv_handle_t *)&engine->timer, on_handle_closed);
}
