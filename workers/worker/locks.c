/* locks.c - the beat: renews all locks of the process in one call, says that the process lives, and
 * knows which locks are proven.
 *
 * A lock is proven until lock_ms after the call that set or renewed it was *sent* (Redis starts to
 * count later). PROOF_MARGIN_MS before that end it counts as lost, by CLOCK_BOOTTIME, which goes on
 * while the machine sleeps (design 2). */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define PROOF_MARGIN_MS 2000
#define HARD_MARGIN_MS  500 /* before the lock's end a killed program must be gone */
#define BEAT_MS         2000
#define RETRY_MS        500

/* One renewal under way. A run may have been settled, and its place taken, before the answer. */
struct renewal {
    struct engine *engine;
    uint64_t sent_boot_ms;
    size_t count;
    struct {
        struct run *run;
        uint64_t seq;
    } asked[];
};

void locks_init(struct engine *engine)
{
    uint64_t third_ms = engine->config->lock_ms / 3;

    engine->locks.beat_ms = third_ms < BEAT_MS ? third_ms : BEAT_MS;
}

/* ---- what is known without asking */

static bool holds_lock(const struct run *run)
{
    return run->state == RUN_RUNNING || run->state == RUN_CONTINUING || run->state == RUN_PROVING ||
           run->state == RUN_DONE;
}

static uint64_t proof_ends_boot_ms(const struct engine *engine, const struct run *run)
{
    return run->proven_boot_ms + engine->config->lock_ms - PROOF_MARGIN_MS;
}

/* The lock cannot be relied on any more, or is known to be another's. */
static void lose_lock(struct engine *engine, struct run *run, uint64_t grace_ms)
{
    run->unproven = true;
    if (run->state == RUN_DONE)
        runs_set_state(&engine->runs, run, RUN_PROVING);
    else if (run->state == RUN_CONTINUING)
        iterations_lose(run);
    else if (run->state == RUN_RUNNING && engine->config->on_lock_lost == CONFIG_LOCK_LOST_STOP)
        engine_cancel(run, RUN_CAUSE_LOST, grace_ms);
}

/* Not proven in time, yet most likely still ours until its end: the hard rung comes before that, so
 * that nobody else can be running the job beside us. */
static uint64_t unproven_grace_ms(const struct engine *engine, const struct run *run,
                                  uint64_t boot_ms)
{
    uint64_t hard_at_ms = run->proven_boot_ms + engine->config->lock_ms - HARD_MARGIN_MS;
    uint64_t left_ms = hard_at_ms > boot_ms ? hard_at_ms - boot_ms : 0;

    return left_ms < run->type->kill_grace_ms ? left_ms : run->type->kill_grace_ms;
}

/* Marks what became unproven; plans the next look. */
static void check_proofs(struct engine *engine, uint64_t now_ms)
{
    uint64_t boot_ms = clock_boot_ms(), first_boot_ms = UINT64_MAX;
    size_t lost = 0;

    RUNS_EACH (&engine->runs, run) {
        uint64_t ends_ms = proof_ends_boot_ms(engine, run);

        if (!holds_lock(run) || run->unproven)
            continue;
        if (boot_ms >= ends_ms) {
            lose_lock(engine, run, unproven_grace_ms(engine, run, boot_ms));
            lost++;
        } else if (ends_ms < first_boot_ms) {
            first_boot_ms = ends_ms;
        }
    }
    engine->locks.check_ms = first_boot_ms < UINT64_MAX ? now_ms + (first_boot_ms - boot_ms) : 0;
    if (lost > 0)
        log_warn("locks.unproven", LOG_UINT("count", lost),
                 LOG_BOOL("stopped", engine->config->on_lock_lost == CONFIG_LOCK_LOST_STOP),
                 LOG_STR("why", "no renewal was acknowledged in time"));
}

/* ---- asking */

static void take_answer(struct engine *engine, struct run *run, enum lock_answer answer,
                        uint64_t sent_boot_ms, size_t *lost)
{
    if (answer != LOCK_LOST) {
        run->proven_boot_ms = sent_boot_ms;
        run->unproven = false;
        if (run->state == RUN_PROVING)
            runs_set_state(&engine->runs, run, RUN_DONE);
        return;
    }
    ++*lost;
    if (run->state == RUN_RUNNING)
        lose_lock(engine, run,
                  run->type->kill_grace_ms); /* `finish`: asked again when it has ended */
    else if (run->state == RUN_CONTINUING)
        iterations_lose(run);
    else
        engine_drop(run);
}

static void take_answers(struct renewal *renewal, const enum lock_answer *answers, size_t count)
{
    struct engine *engine = renewal->engine;
    size_t lost = 0;

    for (size_t i = 0; i < renewal->count && i < count; i++) {
        struct run *run = renewal->asked[i].run;

        if (run->seq == renewal->asked[i].seq && holds_lock(run) && run->cause != RUN_CAUSE_LOST)
            take_answer(engine, run, answers[i], renewal->sent_boot_ms, &lost);
    }
    if (lost > 0)
        log_warn("locks.lost", LOG_UINT("count", lost),
                 LOG_STR("why", "the jobs were taken by others or removed"));
}

/* All slots may be busy for long, and then no fetch tells of it. */
static void note_waiting(struct engine *engine, const struct renew_state *state)
{
    if (!state->waiting_known)
        return;
    engine->tally.waiting = state->waiting;
    engine->tally.oldest_at_ms = state->oldest_at_ms;
    engine->tally.waiting_seen_boot_ms = clock_boot_ms();
}

static void on_renewed(struct queue *queue, const struct call_result *call,
                       const enum lock_answer *answers, size_t count,
                       const struct renew_state *state, void *arg)
{
    struct renewal *renewal = arg;
    struct engine *engine = renewal->engine;

    (void)queue;
    engine->locks.in_flight--;
    engine_touch(engine);
    if (call->outcome == REDIS_REPLY) {
        engine->locks.refused = false;
        engine->turns.live = state->live > 0 ? state->live : 1;
        note_waiting(engine, state);
        if (state->fenced)
            engine_fence(engine);
        else
            take_answers(renewal, answers, count);
    } else {
        engine->locks.retry_ms = clock_now_ms() + RETRY_MS;
        if (call->outcome == REDIS_REFUSED && !engine->locks.refused &&
            engine->turns.refused == REDIS_CLASS_NONE)
            log_error("renewal.refused", LOG_STR("why", call->why));
        engine->locks.refused = call->outcome == REDIS_REFUSED;
    }
    free(renewal);
}

/* A third of the lock may not pass before the next beat. */
static bool needs_renewal(const struct engine *engine, const struct run *run, uint64_t boot_ms)
{
    uint64_t age_ms = boot_ms - run->proven_boot_ms;

    if (!holds_lock(run) || run->cause == RUN_CAUSE_LOST)
        return false;
    return run->unproven || (age_ms + engine->locks.beat_ms) * 3 > engine->config->lock_ms;
}

static void refresh_identity(struct engine *engine)
{
    struct worker_identity *identity = &engine->identity;

    identity->slots = engine->options.slots;
    identity->running = engine->runs.in_state[RUN_RUNNING];
    identity->completed = engine->tally.completed;
    identity->failed = engine->tally.failed;
}

static int send_renewal(struct renewal *renewal, const struct job *const *jobs)
{
    struct engine *engine = renewal->engine;
    struct error err;
    int r;

    refresh_identity(engine);
    renewal->sent_boot_ms = clock_boot_ms();
    r = queue_renew(engine->queue, &engine->fetcher, jobs, renewal->count, on_renewed, renewal,
                    &err);
    if (r < 0) {
        log_debug("renewal.unsent", LOG_STR("why", err.text));
        engine->locks.retry_ms = clock_now_ms() + RETRY_MS;
        free(renewal);
        return r;
    }
    engine->locks.in_flight++;
    return 0;
}

/* One call for the held runs from `from` on; returns where the next call begins, NULL when there is
 * none. */
static struct run *renew_from(struct engine *engine, struct run *from)
{
    const struct job *jobs[QUEUE_RENEW_MAX];
    size_t held = runs_held(&engine->runs);
    size_t room = held < QUEUE_RENEW_MAX ? held : QUEUE_RENEW_MAX;
    uint64_t boot_ms = clock_boot_ms();
    struct renewal *renewal = malloc(sizeof(*renewal) + room * sizeof(renewal->asked[0]));
    struct run *run = from;

    if (!renewal)
        return NULL; /* the next beat tries again */
    *renewal = (struct renewal){ .engine = engine };
    for (; run && renewal->count < room; run = run->held_next) {
        if (!needs_renewal(engine, run, boot_ms))
            continue;
        renewal->asked[renewal->count].run = run;
        renewal->asked[renewal->count].seq = run->seq;
        jobs[renewal->count++] = run->job;
    }
    return send_renewal(renewal, jobs) == 0 ? run : NULL;
}

/* No renewal would set them any more. */
static void drop_unproven(struct engine *engine)
{
    RUNS_EACH (&engine->runs, run) {
        if (run->state == RUN_PROVING)
            engine_drop(run);
    }
}

void locks_step(struct engine *engine, uint64_t now_ms)
{
    struct locks *locks = &engine->locks;
    bool beat = now_ms >= locks->next_beat_ms;
    bool prove = engine->runs.in_state[RUN_PROVING] > 0 && now_ms >= locks->retry_ms;
    struct run *from = engine->runs.held_first;

    if (engine->fenced) {
        drop_unproven(engine);
        return;
    }
    if (beat || (locks->check_ms > 0 && now_ms >= locks->check_ms))
        check_proofs(engine, now_ms);
    if (beat)
        locks->next_beat_ms = now_ms + locks->beat_ms;
    if ((!beat && !prove) || !engine->redis_ready || locks->in_flight > 0 ||
        engine->phase >= ENGINE_LEAVING)
        return;
    do {
        from = renew_from(engine, from);
    } while (from);
}

uint64_t locks_next_ms(const struct engine *engine)
{
    const struct locks *locks = &engine->locks;
    uint64_t at_ms = engine_earlier(locks->next_beat_ms, locks->check_ms);

    if (engine->fenced)
        return 0;
    if (engine->runs.in_state[RUN_PROVING] > 0 && engine->redis_ready && locks->in_flight == 0)
        at_ms = engine_earlier(at_ms, locks->retry_ms);
    return at_ms;
}
