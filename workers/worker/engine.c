#include "workers/worker/engine.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define STOP_GRACE_MAX_MS 2000 /* of a handler that is stopped: systemd waits for all of us */
#define SEEN_DEAD_MS      1000 /* after the hard rung; then the job is left to its lock */
#define SETTLE_LAST_MS \
    1500 /* for the last calls: with LEAVE_MS all stay below the 6 s of the master */
#define LEAVE_MS 1000

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

/* ---- drain, stop, leave */

void engine_drain(struct engine *engine, uint64_t timeout_ms)
{
    uint64_t until_ms = timeout_ms > 0 ? clock_now_ms() + timeout_ms : 0;

    if (engine->phase > ENGINE_DRAINING)
        return;
    engine->drain_until_ms = engine_earlier(engine->drain_until_ms, until_ms);
    if (engine->phase == ENGINE_SERVING)
        set_phase(engine, ENGINE_DRAINING);
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
    for (size_t i = 0; i < engine->runs.count; i++) {
        struct run *run = &engine->runs.all[i];

        if (run->state == RUN_RUNNING)
            engine_cancel(run, RUN_CAUSE_STOP, stop_grace_ms(run));
    }
    engine->give_up_ms = clock_now_ms() + STOP_GRACE_MAX_MS + SEEN_DEAD_MS + SETTLE_LAST_MS;
}

/* What a handler that cannot be seen dead holds is left to its lock (design 2); with nothing but
 * such jobs left there is nothing to wait for. */
static bool stop_is_over(const struct engine *engine, uint64_t now_ms)
{
    size_t running = engine->runs.in_state[RUN_RUNNING];

    if (now_ms >= engine->give_up_ms)
        return true;
    return running > 0 && running == runs_held(&engine->runs) &&
           now_ms + SETTLE_LAST_MS >= engine->give_up_ms;
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
    engine->give_up_ms = now_ms + LEAVE_MS;
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

/* ---- the step */

size_t engine_free_slots(const struct engine *engine, size_t carried)
{
    const size_t *in_state = engine->runs.in_state;
    size_t taken = in_state[RUN_RUNNING] + in_state[RUN_PROVING] + in_state[RUN_UNRESOLVED] +
                   in_state[RUN_DONE] - carried + engine->turns.fetching;

    return taken < engine->options.slots ? engine->options.slots - taken : 0;
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
    if (engine->turns.hold_until_ms > now_ms)
        at_ms = engine_earlier(at_ms, engine->turns.hold_until_ms);
    if (engine->phase == ENGINE_SERVING && engine->redis_ready && !engine->stalled.checking)
        at_ms = engine_earlier(at_ms, engine->stalled.next_ms);
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
    resolve_step(engine, now_ms);
    turns_step(engine, now_ms);
    waiting_step(engine, now_ms);
    step_stalled(engine, now_ms);
    step_phase(engine, now_ms);
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

void engine_set_redis(struct engine *engine, bool ready)
{
    engine->redis_ready = ready;
    if (ready)
        engine->locks.next_beat_ms = 0; /* prove all locks first */
    engine_touch(engine);
}

void engine_set_blocking(struct engine *engine, struct redis *blocking)
{
    engine->waiting.blocking = blocking;
    engine_touch(engine);
}

void engine_read_status(const struct engine *engine, struct channel_status *out_status)
{
    *out_status = (struct channel_status){
        .running = engine->runs.in_state[RUN_RUNNING],
        .slots = engine->options.slots,
        .completed = engine->completed,
        .failed = engine->failed,
        .retried = engine->retried,
        .lost = engine->lost,
        .waiting = engine->turns.waiting,
        .redis_up = engine->redis_ready && engine->turns.refused == REDIS_CLASS_NONE &&
                    !resolve_is_pending(engine),
    };
}

size_t engine_running(const struct engine *engine)
{
    return engine->runs.in_state[RUN_RUNNING];
}

static void free_engine(struct engine *engine)
{
    resolve_done(engine);
    runs_done(&engine->runs);
    free(engine);
}

int engine_new(const struct engine_options *options, struct engine **out_engine, struct error *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    int r;

    assert(options->slots > 0);
    if (!engine)
        return error_set(err, -ENOMEM, "allocate engine");
    engine->options = *options;
    engine->queue = options->queue;
    engine->config = options->config;
    r = runs_init(&engine->runs, options->slots + (size_t)ENGINE_CALLS * QUEUE_TURN_MAX, engine,
                  err);
    if (r < 0) {
        free_engine(engine);
        return r;
    }
    (void)snprintf(engine->fetcher.uuid, sizeof(engine->fetcher.uuid), "%s", options->uuid);
    engine->fetcher.worker_name = options->worker_name;
    engine->fetcher.lock_ms = options->config->lock_ms;
    engine->fetcher.calls = 1;
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
