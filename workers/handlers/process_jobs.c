#include "workers/handlers/process_jobs.h"

#include <assert.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/handlers/process_talk.h"
#include "workers/handlers/process_wire.h"

#define BEHIND_BYTES 65536 /* not yet written: who is so far behind gets no more jobs */

struct handler_run *jobs_find(const struct child *child, uint64_t id)
{
    struct handler_run *run = child->by_id[id & child->by_id_mask];

    return run && run->id == id ? run : NULL;
}

/* Out of this child; it is in no list then. */
static void take_out(struct child *child, struct handler_run *run)
{
    child->by_id[run->id & child->by_id_mask] = NULL;
    run_remove(run);
    run->child = NULL;
}

uint64_t jobs_silent_ms(const struct child *child, const struct handler_run *run)
{
    return run->silent ? child->handler->setup.config->heartbeat_ms : 0;
}

void jobs_finish(struct child *child, struct handler_run *run, struct process_verdict *verdict)
{
    take_out(child, run);
    run_finish(child->handler, run, &verdict->outcome);
    process_verdict_done(verdict);
    process_touch(child->handler); /* there is room now, or it may leave */
}

/* The table has a free place: it has twice as many as there may be runs. */
static void pick_id(struct child *child, struct handler_run *run)
{
    while (child->by_id[child->next_id & child->by_id_mask])
        child->next_id++;
    run->id = child->next_id++;
}

static void fail_unwritten(struct child *child, struct handler_run *run)
{
    static const char reason[] = "the job does not fit into a line of the protocol";
    struct handler_outcome outcome = { .kind = HANDLER_FAILED,
                                       .reason = { reason, sizeof(reason) - 1 },
                                       .retry_after_ms = -1 };

    child->out.failed = false;
    run_finish(child->handler, run, &outcome);
}

bool child_has_room(const struct child *child)
{
    return child_serves(child) && child->runs.count < child->handler->setup.config->parallel &&
           talk_behind(child) < BEHIND_BYTES;
}

void child_give(struct child *child, struct handler_run *run)
{
    uint64_t now_ms = clock_now_ms();

    assert(child_has_room(child));
    pick_id(child, run);
    run->line_at = child->written + talk_behind(child);
    wire_job_run(talk_out(child), run->id, run->input, now_ms);
    if (child->out.failed) {
        fail_unwritten(child, run);
        return;
    }
    run->child = child;
    run->heard_ms = now_ms;
    child->was_given = true;
    child->by_id[run->id & child->by_id_mask] = run;
    run_push_back(&child->runs, run);
    if (child->handler->setup.config->heartbeat_ms > 0 && child->due_ms == 0) {
        child->due_ms = now_ms + child->handler->setup.config->heartbeat_ms;
        child_arm(child);
    }
    if (run->events->on_pid)
        run->events->on_pid(run, (int)child->program.pid, run->arg);
}

void child_cancel(struct handler_run *run, enum handler_cancel how, enum handler_cancel_why why,
                  uint64_t grace_ms)
{
    static const char *const reasons[] = {
        [HANDLER_WHY_STOP] = "stop",
        [HANDLER_WHY_TIMEOUT] = "timeout",
        [HANDLER_WHY_LOST] = "lost",
    };
    struct child *child = run->child;
    bool again = run->cancelled;

    run->cancelled = true;
    if (how == HANDLER_CANCEL_HARD) {
        if (child_is_alive(child))
            child_kill_for_one(child, "a job in it was to be ended and did not end");
    } else if (!again && child->program.input.fd >= 0 && !child->shuts_down) {
        wire_job_cancel(talk_out(child), run->id, reasons[why], grace_ms);
        talk_built(child);
    }
}

/* ---- silence: a job must report every heartbeat_ms */

static void ask_silent(struct child *child, struct handler_run *run, uint64_t now_ms)
{
    uint64_t grace_ms = child->handler->setup.kill_grace_ms;

    log_warn("job.silent", LOG_INT("pid", child->program.pid),
             LOG_STR("job", run->input->job->id.data),
             LOG_STR("job_type", run->input->job->name.data),
             LOG_STR("correlation", run->input->correlation_id),
             LOG_UINT("silent_ms", now_ms - run->heard_ms), LOG_UINT("grace_ms", grace_ms));
    run->silent = true;
    run->kill_at_ms = now_ms + grace_ms;
    wire_job_cancel(talk_out(child), run->id, "silent", grace_ms);
    talk_built(child);
}

void jobs_look_for_silence(struct child *child)
{
    uint64_t heartbeat_ms = child->handler->setup.config->heartbeat_ms, now_ms = clock_now_ms();
    uint64_t next_ms = 0;

    for (struct handler_run *run = child->runs.first; run; run = run->next) {
        if (!run->silent && !run->cancelled && now_ms - run->heard_ms >= heartbeat_ms)
            ask_silent(child, run, now_ms);
        if (run->silent && run->kill_at_ms <= now_ms) {
            child_kill_for_one(child, "a job in it was silent and did not end");
            return;
        }
        if (run->silent)
            next_ms = child_earlier(next_ms, run->kill_at_ms);
        else if (!run->cancelled)
            next_ms = child_earlier(next_ms, run->heard_ms + heartbeat_ms);
    }
    child->due_ms = next_ms;
}

/* ---- the death of the program */

/* Runs of which not a byte was written go back to the front of the queue, in their order. */
static void return_untouched(struct child *child)
{
    struct handler_run *run = child->runs.last;

    while (run && run->line_at >= child->written) {
        struct handler_run *prev = run->prev;

        if (!run->cancelled) {
            take_out(child, run);
            run->silent = false;
            run_push_front(&child->handler->queue, run);
        }
        run = prev;
    }
}

void jobs_end_all(struct child *child)
{
    struct process_death death = {
        .end = &child->program.end,
        .cause = buf_text(&child->cause),
        .errors = &child->errors,
        .killed_for_one = child->killed_for_one,
    };

    return_untouched(child);
    for (const struct handler_run *run = child->runs.first; run; run = run->next)
        death.jobs_count += run->line_at < child->written;
    while (child->runs.first) {
        struct handler_run *run = child->runs.first;
        struct process_verdict verdict;

        process_judge_death(&death, run->cancelled, jobs_silent_ms(child, run), &verdict);
        jobs_finish(child, run, &verdict);
    }
}
