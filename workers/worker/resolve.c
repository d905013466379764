/* resolve.c - a call whose reply was lost may have been executed or not. Repeating it is no answer:
 * the jobs may be another's by then. Before anything is fetched again, two questions:
 * queue_outcome about each job of the lost calls, then queue_adopt for what those calls have
 * fetched and that never arrived: it is run here as far as there are slots, the rest goes back to
 * wait. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define RETRY_MS 200

void resolve_note_lost(struct engine *engine, struct turn_call *call)
{
    log_warn("call.lost", LOG_UINT("call", call->n), LOG_UINT("settled", call->count),
             LOG_UINT("wanted", call->want));
    for (size_t i = 0; i < call->count; i++) {
        call->runs[i]->call = call->n;
        runs_set_state(&engine->runs, call->runs[i], RUN_UNRESOLVED);
    }
    call->count = 0;
    engine->resolve.lost_calls++;
    engine->resolve.stage = RESOLVE_OUTCOME;
    engine_touch(engine);
}

bool resolve_is_pending(const struct engine *engine)
{
    return engine->resolve.stage != RESOLVE_NOTHING;
}

static void forget_question(struct resolve *resolve)
{
    resolve->asking = false;
    free(resolve->asked);
    resolve->asked = NULL;
    resolve->asked_count = 0;
}

/* No answer: the same question again, at once when the connection was lost and is back. */
static bool is_answered(struct engine *engine, const struct call_result *call)
{
    if (call->outcome == REDIS_REPLY) {
        turns_accepted(engine);
        return true;
    }
    if (call->outcome == REDIS_REFUSED)
        turns_refused(engine, call);
    return false;
}

/* ---- what was settled */

static void take_outcome(struct engine *engine, struct run *run, enum job_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_DONE:
        /* Settled, or refused as no longer ours, which nobody can tell now. It counts by what was
         * asked. */
        engine_note_settled(run);
        runs_set_state(&engine->runs, run, RUN_FREE);
        break;
    case OUTCOME_MINE:
        runs_set_state(&engine->runs, run, RUN_DONE);
        break;
    case OUTCOME_FREE:
        run->unproven = true;
        runs_set_state(&engine->runs, run, RUN_PROVING);
        break;
    case OUTCOME_NOT_MINE:
        engine_drop(run);
        break;
    }
}

static void on_outcomes(struct queue *queue, const struct call_result *call,
                        const enum job_outcome *outcomes, size_t count, void *arg)
{
    struct engine *engine = arg;
    struct resolve *resolve = &engine->resolve;

    (void)queue;
    engine_touch(engine);
    if (is_answered(engine, call)) {
        for (size_t i = 0; i < resolve->asked_count && i < count; i++)
            take_outcome(engine, resolve->asked[i], outcomes[i]);
        log_info("calls.resolved", LOG_UINT("calls", resolve->lost_calls),
                 LOG_UINT("settled", resolve->asked_count));
        resolve->stage = RESOLVE_ADOPT;
    }
    forget_question(resolve);
}

/* ---- what was fetched */

/* What was handed over holds, answered whole or not. */
static void on_adopted(struct queue *queue, const struct call_result *call, struct job **jobs,
                       size_t jobs_count, uint64_t given_back, bool fenced, void *arg)
{
    struct engine *engine = arg;
    struct resolve *resolve = &engine->resolve;

    (void)queue;
    engine_touch(engine);
    forget_question(resolve);
    engine->tally.given_back += given_back;
    for (size_t i = 0; i < jobs_count; i++)
        engine_admit(engine, jobs[i], resolve->asked_boot_ms);
    if (jobs_count > 0 || given_back > 0)
        log_info("jobs.adopted", LOG_UINT("count", jobs_count), LOG_UINT("given_back", given_back));
    if (is_answered(engine, call)) {
        resolve->stage = RESOLVE_NOTHING;
        resolve->lost_calls = 0;
    } else if (call->outcome == REDIS_UNKNOWN) {
        resolve->stage = RESOLVE_OUTCOME; /* which also ends what may arrive late of this one */
    }
    if (fenced)
        engine_fence(engine);
}

/* ---- asking */

/* Collects the jobs that are unresolved, or all others; returns how many. */
static size_t collect(struct engine *engine, bool unresolved, struct run **runs,
                      const struct job **jobs, uint64_t *calls)
{
    size_t count = 0;

    RUNS_EACH (&engine->runs, run) {
        if ((run->state == RUN_UNRESOLVED) != unresolved)
            continue;
        if (unresolved) {
            runs[count] = run;
            calls[count] = run->call;
        }
        jobs[count++] = run->job;
    }
    return count;
}

static int ask_outcome(struct engine *engine, const struct job **jobs, struct error *err)
{
    struct resolve *resolve = &engine->resolve;
    size_t room = runs_held(&engine->runs) + 1;
    _cleanup_(freep) uint64_t *calls = calloc(room, sizeof(*calls));

    resolve->asked = calloc(room, sizeof(*resolve->asked));
    if (!calls || !resolve->asked)
        return error_set(err, -ENOMEM, "ask about lost calls");
    resolve->asked_count = collect(engine, /* unresolved= */ true, resolve->asked, jobs, calls);
    return queue_outcome(engine->queue, &engine->fetcher, jobs, calls, resolve->asked_count,
                         on_outcomes, engine, err);
}

static int ask_adopt(struct engine *engine, const struct job **jobs, struct error *err)
{
    size_t known = collect(engine, /* unresolved= */ false, NULL, jobs, NULL);
    size_t want = engine->phase == ENGINE_SERVING ? engine_free_slots(engine, 0) : 0;

    engine->resolve.asked_boot_ms = clock_boot_ms();
    return queue_adopt(engine->queue, &engine->fetcher, jobs, known,
                       want < QUEUE_ADOPT_MAX ? want : QUEUE_ADOPT_MAX, on_adopted, engine, err);
}

void resolve_step(struct engine *engine, uint64_t now_ms)
{
    struct resolve *resolve = &engine->resolve;
    _cleanup_(freep) const struct job **jobs = NULL;
    struct error err = { 0 };
    int r = -ENOMEM;

    if (!resolve_is_pending(engine) || resolve->asking || engine->turns.flying > 0 ||
        !engine->redis_ready || engine->turns.hold_until_ms > now_ms)
        return;
    jobs = calloc(runs_held(&engine->runs) + 1, sizeof(*jobs));
    if (jobs)
        r = resolve->stage == RESOLVE_OUTCOME ? ask_outcome(engine, jobs, &err)
                                              : ask_adopt(engine, jobs, &err);
    resolve->asking = r == 0;
    if (resolve->asking)
        return;
    log_debug("question.unsent", LOG_STR("why", err.text));
    forget_question(resolve);
    engine->turns.hold_until_ms = now_ms + RETRY_MS;
}

void resolve_done(struct engine *engine)
{
    free(engine->resolve.asked);
    engine->resolve.asked = NULL;
}
