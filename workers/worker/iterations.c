/* iterations.c - the chain of a job scheduler (wire format 9.4): whoever fetches an iteration makes
 * the next one before it runs, and nobody else does. So a failure here neither starts the job nor
 * drops it: it is tried again while the lock is renewed, and after some refusals the job is put
 * back as it is, with the chain's next step still to be done by whoever fetches it then. */
#include <errno.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/queue/scheduler.h"
#include "workers/worker/engine_state.h"

#define AGAIN_MS     250
#define REFUSALS_MAX 4     /* in a row; each is waited for twice as long as the one before */
#define PUT_BACK_MS  10000 /* then it comes round again */

static const char *step_name(enum scheduler_step step)
{
    switch (step) {
    case SCHEDULER_CONTINUED:
        return "made";
    case SCHEDULER_ALREADY:
        return "made before, or the scheduler was changed";
    case SCHEDULER_REMOVED:
        return "the scheduler was removed";
    case SCHEDULER_ENDED:
        return "the schedule has ended";
    case SCHEDULER_TAKEN:
    default:
        return "jobs of the next times exist already";
    }
}

static const char *scheduler_of(const struct run *run)
{
    return run->job->scheduler.data ? run->job->scheduler.data : run->job->id.data;
}

/* The job may run. */
static void settle_step(struct run *run, enum scheduler_step step, const char *next_id)
{
    if (step == SCHEDULER_ENDED)
        log_info("schedule.ended", LOG_RUN(run), LOG_STR("scheduler", scheduler_of(run)));
    else
        log_debug("schedule.continued", LOG_RUN(run), LOG_STR("scheduler", scheduler_of(run)),
                  LOG_STR("step", step_name(step)), LOG_STR("next", next_id ? next_id : ""));
    run->continued = true;
    runs_set_state(&run->engine->runs, run, RUN_RUNNING);
    engine_start(run);
}

static void put_back(struct run *run, const char *why)
{
    log_error("schedule.failed", LOG_RUN(run), LOG_STR("scheduler", scheduler_of(run)),
              LOG_UINT("delay_ms", PUT_BACK_MS), LOG_STR("why", why));
    engine_put_back(run, SETTLE_DELAY, PUT_BACK_MS, NULL);
}

static void try_later(struct run *run)
{
    unsigned int doublings = run->refused > 0 ? run->refused - 1 : 0;

    run->again_ms = clock_now_ms() + ((uint64_t)AGAIN_MS << doublings);
    engine_touch(run->engine);
}

static void note_refusal(struct run *run, const char *why)
{
    if (++run->refused > REFUSALS_MAX)
        put_back(run, why);
    else
        try_later(run);
}

static void on_continued(struct queue *queue, const struct call_result *call,
                         const struct scheduler_continued *result, void *arg)
{
    struct run *run = arg;

    (void)queue;
    run->asking = false;
    engine_touch(run->engine);
    if (run->cause == RUN_CAUSE_LOST)
        engine_drop(run);
    else if (call->outcome == REDIS_REPLY && result->step != SCHEDULER_TAKEN)
        settle_step(run, result->step, result->next_id);
    else if (run->engine->phase != ENGINE_SERVING)
        engine_put_back(run, SETTLE_GIVE_BACK, 0, NULL);
    else if (call->outcome == REDIS_REPLY)
        note_refusal(run, step_name(result->step));
    else if (call->outcome == REDIS_REFUSED)
        note_refusal(run, call->why);
    else
        try_later(run); /* lost: asked again, which is harmless */
}

static void ask(struct run *run)
{
    struct engine *engine = run->engine;
    struct error err = { 0 };
    int code = queue_continue_scheduler(engine->queue, run->job, on_continued, run, &err);

    run->asking = code == 0;
    if (code == 1)
        settle_step(run, SCHEDULER_ENDED, NULL);
    else if (code == -EINVAL)
        put_back(run, err.text);
    else if (code == -ENOTCONN || code == -ENOBUFS)
        try_later(run);
    else if (code < 0)
        note_refusal(run, err.text);
}

void iterations_begin(struct run *run)
{
    runs_set_state(&run->engine->runs, run, RUN_CONTINUING);
    ask(run);
}

void iterations_lose(struct run *run)
{
    if (run->asking)
        run->cause = RUN_CAUSE_LOST; /* the call still borrows the job */
    else
        engine_drop(run);
}

void iterations_step(struct engine *engine, uint64_t now_ms)
{
    if (engine->runs.in_state[RUN_CONTINUING] == 0)
        return;
    RUNS_EACH (&engine->runs, run) {
        if (run->state != RUN_CONTINUING || run->asking)
            continue;
        if (engine->phase != ENGINE_SERVING)
            engine_put_back(run, SETTLE_GIVE_BACK, 0, NULL);
        else if (engine->redis_ready && now_ms >= run->again_ms)
            ask(run);
    }
}

uint64_t iterations_next_ms(const struct engine *engine)
{
    uint64_t next_ms = 0;

    if (engine->runs.in_state[RUN_CONTINUING] == 0 || !engine->redis_ready)
        return 0;
    RUNS_EACH (&engine->runs, run) {
        if (run->state == RUN_CONTINUING && !run->asking)
            next_ms = engine_earlier(next_ms, run->again_ms);
    }
    return next_ms;
}
