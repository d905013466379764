/* turns.c - the settle-and-fetch calls: what the next one carries, and what a reply means. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/decide.h"
#include "workers/worker/engine_state.h"

#define HOLD_FIRST_MS 100
#define HOLD_MAX_MS   5000
#define RELOCKS_MAX   3

void turns_init(struct engine *engine)
{
    struct turns *turns = &engine->turns;

    for (size_t i = 0; i < ENGINE_CALLS; i++)
        turns->calls[i].engine = engine;
    batch_init(&turns->batch, engine->config->batch_max < QUEUE_TURN_MAX ? engine->config->batch_max
                                                                         : QUEUE_TURN_MAX);
    turns->backoff =
        (struct backoff){ .first_ms = HOLD_FIRST_MS, .max_ms = HOLD_MAX_MS, .jitter = 0.2 };
    turns->live = 1;
}

void turns_refused(struct engine *engine, const struct call_result *call)
{
    struct turns *turns = &engine->turns;
    uint64_t wait_ms = backoff_next_ms(&turns->backoff);

    turns->hold_until_ms = clock_now_ms() + wait_ms;
    if (turns->refused == call->error_class)
        return;
    turns->refused = call->error_class;
    log_error("redis.refused", LOG_STR("class", redis_error_class_name(call->error_class)),
              LOG_STR("why", call->why), LOG_UINT("held", runs_held(&engine->runs)));
}

void turns_accepted(struct engine *engine)
{
    struct turns *turns = &engine->turns;

    backoff_reset(&turns->backoff);
    turns->hold_until_ms = 0;
    if (turns->refused == REDIS_CLASS_NONE)
        return;
    turns->refused = REDIS_CLASS_NONE;
    log_info("redis.ready", LOG_STR("why", "calls are accepted again"));
}

/* ---- what a settle's answer means */

/* The lock is gone. When nobody took the job a renewal sets it again, then the settle is repeated.
 */
static void settle_again_after_relock(struct engine *engine, struct run *run)
{
    if (!engine->fenced && run->relocks++ < RELOCKS_MAX) {
        run->unproven = true;
        runs_set_state(&engine->runs, run, RUN_PROVING);
        return;
    }
    engine_drop(run);
}

/* Redis will not take the outcome as it is: the job fails instead (wire format 5.5). */
static void refail(struct run *run, enum handler_outcome_kind kind, const char *reason)
{
    struct handler_outcome outcome = decide_failure(kind, reason);

    if (run->refailed) {
        log_error("job.unsettled", LOG_RUN(run), LOG_STR("why", reason));
        engine_drop(run);
        return;
    }
    run->refailed = true;
    engine_finish(run, &outcome);
}

/* Results that nobody wanted, of one reply: one line each way, however many jobs. */
struct dropped {
    struct dropped_kind {
        size_t count;
        char job[64], correlation[64]; /* of the first of them, cut */
    } gone, lost;
};

static void note_dropped(struct dropped_kind *kind, const struct run *run)
{
    const char *correlation = run_correlation(run);

    if (kind->count++ > 0)
        return;
    (void)snprintf(kind->job, sizeof(kind->job), "%s", run->job->id.data);
    (void)snprintf(kind->correlation, sizeof(kind->correlation), "%s",
                   correlation ? correlation : "");
}

static void say_dropped(const struct dropped *dropped)
{
    const struct dropped_kind *gone = &dropped->gone, *lost = &dropped->lost;

    if (gone->count > 0)
        log_warn("jobs.gone", LOG_UINT("count", gone->count), LOG_STR("job", gone->job),
                 LOG_STR("correlation", gone->correlation),
                 LOG_STR("why", "not in Redis any more; their results are dropped"));
    if (lost->count > 0)
        log_warn("jobs.lost", LOG_UINT("count", lost->count), LOG_STR("job", lost->job),
                 LOG_STR("correlation", lost->correlation),
                 LOG_STR("why", "no longer ours; their results are dropped"));
}

static void take_result(struct engine *engine, struct run *run, const struct settle_result *result,
                        struct dropped *dropped)
{
    switch (result->code) {
    case SETTLE_OK:
        engine_note_settled(run);
        if (run->settle.kind == SETTLE_WAIT && run->settle.delay_ms > 0)
            waiting_rest(engine, run->settle.delay_ms);
        runs_set_state(&engine->runs, run, RUN_FREE);
        return;
    case SETTLE_CORRUPT:
        log_error("job.corrupt", LOG_RUN(run), LOG_STR("why", result->why));
        engine->tally.failed++;
        runs_set_state(&engine->runs, run, RUN_FREE);
        return;
    case SETTLE_NO_CHILDREN:
        engine_repeat_without_children(run);
        return;
    case SETTLE_NO_LOCK:
        settle_again_after_relock(engine, run);
        return;
    case SETTLE_CHILDREN_PENDING:
        refail(run, HANDLER_FAILED, "the job has children that are not finished");
        return;
    case SETTLE_CHILDREN_FAILED:
        refail(run, HANDLER_FAILED_FINAL, "the job has children that failed");
        return;
    case SETTLE_GONE:
        note_dropped(&dropped->gone, run);
        break;
    case SETTLE_NOT_ACTIVE:
    case SETTLE_LOCK_OF_OTHER:
        note_dropped(&dropped->lost, run);
        break;
    }
    engine_drop(run);
}

static void take_results(struct turn_call *call, const struct settle_result *results, size_t count)
{
    struct dropped dropped = { 0 };

    for (size_t i = 0; i < call->count && i < count; i++)
        take_result(call->engine, call->runs[i], &results[i], &dropped);
    call->count = 0;
    say_dropped(&dropped);
}

/* ---- replies */

static void take_back(struct turn_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        runs_set_state(&call->engine->runs, call->runs[i], RUN_DONE);
    call->count = 0;
}

static void land(struct turn_call *call)
{
    struct turns *turns = &call->engine->turns;

    call->flying = false;
    turns->flying--;
    turns->fetching -= call->want;
}

/* An error of the script itself may have come after its first writes: only asking tells. */
static void take_refusal(struct turn_call *call, const struct call_result *result)
{
    struct engine *engine = call->engine;

    turns_refused(engine, result);
    if (result->error_class != REDIS_CLASS_OTHER && result->error_class != REDIS_CLASS_NONE) {
        take_back(call);
        return;
    }
    batch_halve(&engine->turns.batch);
    resolve_note_lost(engine, call);
}

/* From the later of sending and the reply before: the time this call had Redis for itself. */
static void measure(struct turn_call *call, size_t fetched)
{
    struct turns *turns = &call->engine->turns;
    uint64_t now_us = clock_now_us();
    uint64_t from_us = call->sent_us > turns->last_reply_us ? call->sent_us : turns->last_reply_us;

    turns->last_reply_us = now_us;
    scoreboard_count_time(call->engine->options.board, SCOREBOARD_CALL_US, now_us - call->sent_us);
    if (call->engine->config->wait_replicas > 0)
        return; /* most of the time is the replicas', however few jobs a call carries */
    batch_note(&turns->batch, fetched > call->count ? fetched : call->count, now_us - from_us);
}

static void take_state(struct turn_call *call, const struct fetch_state *state, size_t fetched)
{
    struct engine *engine = call->engine;
    struct tally *tally = &engine->tally;

    if (!state->paused) { /* then jobs may lie where no fetch looks */
        tally->waiting = state->waiting;
        tally->oldest_at_ms = state->waiting > 0 ? tally->oldest_at_ms : 0;
        tally->waiting_seen_boot_ms = clock_boot_ms();
    }
    tally->active = state->active;
    tally->paused = state->paused;
    tally->maxed = state->maxed;
    tally->limited = state->limit_ms > 0;
    engine->turns.backlog =
        (state->waiting > 0 || state->more_due) && !state->paused && !state->maxed;
    if (state->ghosts > 0)
        log_warn("ghosts.dropped", LOG_UINT("count", state->ghosts));
    if (state->quarantined > 0)
        log_error("jobs.quarantined", LOG_UINT("count", state->quarantined));
    waiting_note_state(engine, state, fetched);
    solo_note_state(engine, call->alone, state, fetched);
}

static void on_turn_done(struct queue *queue, const struct call_result *result,
                         const struct settle_result *results, size_t results_count,
                         struct job **jobs, size_t jobs_count, const struct fetch_state *state,
                         void *arg)
{
    struct turn_call *call = arg;
    struct engine *engine = call->engine;

    bool done = result->outcome == REDIS_REPLY || result->outcome == REDIS_UNREPLICATED;

    (void)queue;
    land(call);
    engine_touch(engine);
    if (!done && call->want > 0)
        engine->waiting.drained = false; /* nobody said so */
    if (!done && call->alone)
        solo_note_failed(engine);
    if (result->outcome == REDIS_UNKNOWN) {
        resolve_note_lost(engine, call);
        return;
    }
    if (result->outcome == REDIS_REFUSED) {
        take_refusal(call, result);
        return;
    }
    turns_accepted(engine);
    engine->tally.calls++;
    measure(call, jobs_count);
    take_results(call, results, results_count);
    for (size_t i = 0; i < jobs_count; i++)
        engine_admit(engine, jobs[i], call->sent_boot_ms);
    if (call->want > 0 && state)
        take_state(call, state, jobs_count);
    replicas_note(engine, result);
    if (state && state->fenced)
        engine_fence(engine);
}

/* ---- sending */

/* Insertion sort: jobs finish nearly in the order in which they were fetched. */
static void sort_by_fetch(struct run **runs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct run *run = runs[i];
        size_t at = i;

        for (; at > 0 && runs[at - 1]->seq > run->seq; at--)
            runs[at] = runs[at - 1];
        runs[at] = run;
    }
}

static void fill_call(struct turn_call *call, size_t carry)
{
    struct engine *engine = call->engine;

    call->count = 0;
    while (call->count < carry) {
        struct run *run = engine->runs.done_first;

        runs_set_state(&engine->runs, run, RUN_SETTLING);
        call->runs[call->count++] = run;
    }
    sort_by_fetch(call->runs, call->count);
}

/* A connection that went away says so itself; all else must be seen. */
static void not_sent(struct engine *engine, const struct error *err)
{
    struct call_result result = { .outcome = REDIS_REFUSED,
                                  .error_class = REDIS_CLASS_OTHER,
                                  .why = err->text };

    if (err->code == -ENOTCONN)
        engine->turns.hold_until_ms = clock_now_ms() + HOLD_FIRST_MS;
    else
        turns_refused(engine, &result);
}

static bool send_call(struct turn_call *call, size_t carry, size_t want, bool alone)
{
    struct engine *engine = call->engine;
    struct settle settles[QUEUE_TURN_MAX];
    struct fetch_want fetch = {
        .max = want, .live = engine->turns.live, .bytes_max = ENGINE_FETCH_BYTES, .alone = alone
    };
    struct error err = { 0 };

    fill_call(call, carry);
    for (size_t i = 0; i < call->count; i++)
        settles[i] = call->runs[i]->settle;
    call->want = want;
    call->alone = alone;
    call->sent_us = clock_now_us();
    call->sent_boot_ms = clock_boot_ms();
    if (queue_turn(engine->queue, &engine->fetcher, settles, call->count, &fetch, on_turn_done,
                   call, &err) < 0) {
        take_back(call);
        not_sent(engine, &err);
        return false;
    }
    call->n = engine->fetcher.calls; /* it has got its number by being sent */
    call->flying = true;
    engine->turns.flying++;
    engine->turns.fetching += want;
    if (want > 0)
        waiting_note_fetch(engine);
    if (alone)
        solo_note_sent(engine);
    return true;
}

static struct turn_call *idle_call(struct turns *turns)
{
    for (size_t i = 0; i < ENGINE_CALLS; i++) {
        if (!turns->calls[i].flying)
            return &turns->calls[i];
    }
    return NULL;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where the slots exceed a batch two equal calls keep each other company better than a full and a
 * small one. */
static size_t fetch_cap(const struct engine *engine)
{
    size_t slots = engine->options.slots, size = engine->turns.batch.size;

    return slots > size ? smaller(size, (slots + 1) / 2) : size;
}

/* One more call, when there is a reason for it. A second one in flight only hides the round trip of
 * a backlog, so it must have half a batch to carry, or find all slots idle. */
static bool send_next(struct engine *engine, uint64_t now_ms)
{
    struct turns *turns = &engine->turns;
    size_t carry = smaller(engine->runs.in_state[RUN_DONE], turns->batch.size);
    size_t want = 0;
    bool idle = engine->runs.in_state[RUN_RUNNING] == 0;
    struct turn_call *call = idle_call(turns);

    if (!call)
        return false;
    if (replicas_wants_probe(engine, now_ms))
        return send_call(call, carry, 0, /* alone= */ false);
    if (waiting_may_fetch(engine, now_ms) && solo_wants_fetch(engine))
        return send_call(call, 0, 1, /* alone= */ true);
    if (waiting_may_fetch(engine, now_ms) && !solo_holds_back(engine))
        want = smaller(engine_free_slots(engine, carry), fetch_cap(engine));
    if (carry == 0 && (want == 0 || !(waiting_wants_fetch(engine, now_ms) ||
                                      (turns->flying > 0 && turns->backlog))))
        return false;
    if (turns->flying > 0) {
        size_t load = carry > want ? carry : want;

        if (!turns->backlog || (load * 2 < fetch_cap(engine) && !(idle && want > 0)))
            return false;
    }
    return send_call(call, carry, want, /* alone= */ false);
}

void turns_step(struct engine *engine, uint64_t now_ms)
{
    if (!engine->redis_ready || engine->turns.hold_until_ms > now_ms || resolve_is_pending(engine))
        return;
    while (send_next(engine, now_ms))
        ;
}
