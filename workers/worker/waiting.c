/* waiting.c - what to do when the last fetch said that nothing is left: wait for the marker on the
 * blocking connection, and by timers of our own for the next delayed job and the end of a rate
 * limit (Redis' own time-outs are up to 100 ms late, wire format 4.2). */
#include <errno.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define WAIT_MS         5000  /* stock workers' drainDelay: what any of us missed is found then */
#define LIMIT_MAX_MS    30000 /* stock workers' maximumRateLimitDelay */
#define REST_MAX_MS     ((uint64_t)365 * 86400 * 1000)
#define RETRY_MS        500  /* after a wait that failed */
#define POLL_MS         1000 /* between fetches while the blocking connection is away */
#define EMPTY_MAX       3    /* fruitless fetches before it waits, and then no more than a poll */
#define TIMER_LATEST_MS 3600000 /* a due time further off is looked at again then */

void waiting_init(struct engine *engine)
{
    engine->waiting.drained = false; /* the first fetch tells */
}

static uint64_t limit_end_ms(const struct waiting *waiting)
{
    return waiting->limited_ms > waiting->rest_ms ? waiting->limited_ms : waiting->rest_ms;
}

bool waiting_may_fetch(const struct engine *engine, uint64_t now_ms)
{
    return engine->phase == ENGINE_SERVING && !engine->held && !replicas_are_missing(engine) &&
           now_ms >= limit_end_ms(&engine->waiting);
}

void waiting_rest(struct engine *engine, uint64_t rest_ms)
{
    struct waiting *waiting = &engine->waiting;

    waiting->rest_ms = clock_now_ms() + (rest_ms < REST_MAX_MS ? rest_ms : REST_MAX_MS);
    waiting->drained = false;
}

static bool is_due(const struct waiting *waiting)
{
    return waiting->next_due_ms > 0 && clock_wall_ms() >= waiting->next_due_ms;
}

bool waiting_wants_fetch(const struct engine *engine, uint64_t now_ms)
{
    const struct waiting *waiting = &engine->waiting;

    return !waiting->drained || is_due(waiting) ||
           (waiting->poll_ms > 0 && now_ms >= waiting->poll_ms);
}

void waiting_note_fetch(struct engine *engine)
{
    struct waiting *waiting = &engine->waiting;

    waiting->marker_held = false;
    waiting->poll_ms = 0;
    waiting->drained = true; /* until its reply says otherwise */
    if (is_due(waiting))
        waiting->next_due_ms = 0;
}

/* What is left of a small burst belongs to the processes that sleep: the fetch has put the marker
 * back, and Redis hands it to whoever has waited longest. So wait in that line, too, instead of
 * taking their shares one after the other. With a backlog for all there is nothing to share. */
static bool leave_to_others(const struct engine *engine, const struct fetch_state *state)
{
    uint64_t live = engine->turns.live;

    return live > 1 && !state->more_due && engine->waiting.blocking &&
           state->waiting < live * engine->options.slots;
}

/* With two fetches in flight the one with work decides: the last reply with jobs left behind keeps
 * fetching going, an empty one ends it. */
void waiting_note_state(struct engine *engine, const struct fetch_state *state, size_t fetched)
{
    struct waiting *waiting = &engine->waiting;
    uint64_t limit_ms = state->limit_ms < LIMIT_MAX_MS ? state->limit_ms : LIMIT_MAX_MS;
    bool more = (state->waiting > 0 || state->more_due) && !state->paused && !state->maxed;

    waiting->empty = fetched > 0 ? 0 : waiting->empty + 1;
    waiting->next_due_ms = state->next_due_ms;
    waiting->limited_ms = limit_ms > 0 ? clock_now_ms() + limit_ms : 0;
    if (limit_ms > 0 ||
        (more && waiting->empty < EMPTY_MAX && !(fetched > 0 && leave_to_others(engine, state))))
        waiting->drained = false;
    /* What waits is not for us (jobs that must run alone in another process): whoever looks puts
     * the marker back, so waiting on it would not sleep. */
    if (more && waiting->empty > EMPTY_MAX)
        waiting->retry_ms = clock_now_ms() + POLL_MS;
}

/* ---- the blocking connection */

static void on_marker_returned(struct queue *queue, const struct call_result *call, int64_t value,
                               void *arg)
{
    struct engine *engine = arg;

    (void)queue; /* when it failed, the others' time-out finds the work */
    (void)call;
    (void)value;
    engine->waiting.returning--;
    engine_touch(engine);
}

static void return_marker(struct engine *engine)
{
    struct error err;

    engine->waiting.marker_held = false;
    if (queue_return_marker(engine->queue, on_marker_returned, engine, &err) == 0)
        engine->waiting.returning++;
}

/* A marker with a due time is gone for all others: it must be honoured here. */
static void take_marker(struct waiting *waiting, uint64_t due_ms)
{
    if (due_ms != UINT64_MAX && due_ms > 0) {
        waiting->next_due_ms = engine_earlier(waiting->next_due_ms, due_ms);
        return;
    }
    waiting->marker_held = due_ms == 0;
    waiting->drained = false;
}

static void on_waited(struct queue *queue, const struct call_result *call, uint64_t due_ms,
                      void *arg)
{
    struct engine *engine = arg;
    struct waiting *waiting = &engine->waiting;

    (void)queue;
    waiting->waiting = false;
    engine_touch(engine);
    if (call->outcome == REDIS_REPLY) {
        take_marker(waiting, due_ms);
        return;
    }
    waiting->retry_ms = clock_now_ms() + RETRY_MS;
    waiting->poll_ms = clock_now_ms() + POLL_MS;
    /* The connection may have ended with a popped marker in it; one too many is harmless. */
    waiting->marker_held = waiting->marker_held || engine->phase != ENGINE_SERVING;
    if (call->outcome == REDIS_REFUSED)
        log_debug("wait.refused", LOG_STR("why", call->why));
}

static void start_waiting(struct engine *engine, uint64_t now_ms)
{
    struct waiting *waiting = &engine->waiting;
    struct error err;

    if (!waiting->blocking || now_ms < waiting->retry_ms) {
        if (waiting->poll_ms == 0)
            waiting->poll_ms = now_ms + POLL_MS;
        return;
    }
    if (queue_wait_marker(engine->queue, waiting->blocking, WAIT_MS, on_waited, engine, &err) < 0) {
        waiting->retry_ms = now_ms + RETRY_MS;
        waiting->poll_ms = now_ms + POLL_MS;
        return;
    }
    waiting->poll_ms = 0;
    waiting->waiting = true;
}

static void stop_waiting(struct engine *engine)
{
    struct waiting *waiting = &engine->waiting;

    if (waiting->marker_held && engine->redis_ready)
        return_marker(engine);
    if (waiting->stopped)
        return;
    waiting->stopped = true;
    engine->options.on_stop_waiting(engine->options.arg);
}

void waiting_step(struct engine *engine, uint64_t now_ms)
{
    struct waiting *waiting = &engine->waiting;
    bool full = engine_free_slots(engine, 0) == 0 || solo_holds_back(engine) ||
                replicas_are_missing(engine);

    if (engine->phase != ENGINE_SERVING) {
        stop_waiting(engine);
        return;
    }
    if (!engine->redis_ready || engine->held)
        return;
    if (full) { /* somebody else may have room */
        waiting->poll_ms = 0;
        if (waiting->marker_held || is_due(waiting))
            return_marker(engine);
        if (is_due(waiting))
            waiting->next_due_ms = 0;
    }
    if (waiting->drained && !full && !waiting->waiting && now_ms >= limit_end_ms(waiting) &&
        engine->turns.fetching == 0)
        start_waiting(engine, now_ms);
}

/* When the next due time, on the wall, comes on the program's clock. */
static uint64_t due_at_ms(const struct waiting *waiting, uint64_t now_ms)
{
    uint64_t wall_ms = clock_wall_ms(), away_ms;

    if (waiting->next_due_ms == 0)
        return 0;
    if (waiting->next_due_ms <= wall_ms)
        return now_ms;
    away_ms = waiting->next_due_ms - wall_ms;
    return now_ms + (away_ms < TIMER_LATEST_MS ? away_ms : TIMER_LATEST_MS);
}

uint64_t waiting_next_ms(const struct engine *engine, uint64_t now_ms)
{
    const struct waiting *waiting = &engine->waiting;
    uint64_t at_ms = 0;

    /* Each of these ends with an event of its own, and nothing can be fetched before. */
    if (engine->phase != ENGINE_SERVING || !engine->redis_ready || engine->held ||
        engine->turns.flying > 0 || engine->turns.hold_until_ms > now_ms ||
        replicas_are_missing(engine) || resolve_is_pending(engine))
        return 0;
    if (limit_end_ms(waiting) > now_ms)
        return limit_end_ms(waiting);
    at_ms = engine_earlier(due_at_ms(waiting, now_ms), waiting->poll_ms);
    if (waiting->drained && !waiting->waiting && waiting->blocking && waiting->retry_ms > now_ms)
        at_ms = engine_earlier(at_ms, waiting->retry_ms);
    return at_ms;
}
