/* resolve.c - a call whose reply was lost may have been executed or not. Repeating it is no answer:
 * the jobs may be another's by then. queue_outcome is asked about each job of the lost calls before
 * anything is fetched; jobs that a lost call fetched and that never arrived go back to wait. */
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
    engine_touch(engine);
}

bool resolve_is_pending(const struct engine *engine)
{
    return engine->resolve.lost_calls > 0;
}

/* The call was executed: the job is settled, or was refused as no longer ours, which nobody can
 * tell now. It counts by what was asked. */
static void take_done(struct engine *engine, struct run *run)
{
    engine->completed += run->settle.kind == SETTLE_COMPLETE;
    engine->failed += run->settle.kind == SETTLE_FAIL;
    engine->retried += run->settle.kind == SETTLE_RETRY || run->settle.kind == SETTLE_RETRY_LATER;
    runs_set_state(&engine->runs, run, RUN_FREE);
}

static void take_outcome(struct engine *engine, struct run *run, enum job_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_DONE:
        take_done(engine, run);
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

static void forget_question(struct resolve *resolve)
{
    resolve->asking = false;
    free(resolve->asked);
    resolve->asked = NULL;
    resolve->asked_count = 0;
}

static void on_outcomes(struct queue *queue, const struct call_result *call,
                        const enum job_outcome *outcomes, size_t count, uint64_t strays_given_back,
                        void *arg)
{
    struct engine *engine = arg;
    struct resolve *resolve = &engine->resolve;

    (void)queue;
    engine_touch(engine);
    if (call->outcome != REDIS_REPLY) {
        if (call->outcome == REDIS_REFUSED)
            turns_refused(engine, call);
        forget_question(resolve);
        return;
    }
    turns_accepted(engine);
    for (size_t i = 0; i < resolve->asked_count && i < count; i++)
        take_outcome(engine, resolve->asked[i], outcomes[i]);
    log_info("calls.resolved", LOG_UINT("calls", resolve->lost_calls),
             LOG_UINT("settled", resolve->asked_count), LOG_UINT("given_back", strays_given_back));
    resolve->lost_calls = 0;
    forget_question(resolve);
}

/* Collects the jobs in `states` (a bit per state); returns how many. */
static size_t collect(struct engine *engine, unsigned int states, struct run **runs,
                      const struct job **jobs, uint64_t *calls)
{
    size_t count = 0;

    for (size_t i = 0; i < engine->runs.count; i++) {
        struct run *run = &engine->runs.all[i];

        if (run->state == RUN_FREE || !(states & (1U << run->state)))
            continue;
        if (runs) {
            runs[count] = run;
            calls[count] = run->call;
        }
        jobs[count++] = run->job;
    }
    return count;
}

static int ask(struct engine *engine, const struct job **jobs, uint64_t *calls,
               const struct job **known, struct error *err)
{
    struct resolve *resolve = &engine->resolve;
    unsigned int others = (1U << RUN_RUNNING) | (1U << RUN_PROVING) | (1U << RUN_DONE);
    size_t known_count = collect(engine, others, NULL, known, NULL);

    resolve->asked_count = collect(engine, 1U << RUN_UNRESOLVED, resolve->asked, jobs, calls);
    return queue_outcome(engine->queue, &engine->fetcher, jobs, calls, resolve->asked_count, known,
                         known_count, on_outcomes, engine, err);
}

void resolve_step(struct engine *engine, uint64_t now_ms)
{
    struct resolve *resolve = &engine->resolve;
    size_t room = engine->runs.count;
    _cleanup_(freep) const struct job **jobs = NULL;
    _cleanup_(freep) const struct job **known = NULL;
    _cleanup_(freep) uint64_t *calls = NULL;
    struct error err = { 0 };

    if (!resolve_is_pending(engine) || resolve->asking || engine->turns.flying > 0 ||
        !engine->redis_ready || engine->turns.hold_until_ms > now_ms)
        return;
    jobs = calloc(room, sizeof(*jobs));
    known = calloc(room, sizeof(*known));
    calls = calloc(room, sizeof(*calls));
    resolve->asked = calloc(room, sizeof(*resolve->asked));
    resolve->asking =
        jobs && known && calls && resolve->asked && ask(engine, jobs, calls, known, &err) == 0;
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
