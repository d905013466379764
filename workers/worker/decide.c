#include "workers/worker/decide.h"

#include <string.h>

#include "common/base/buf.h"

#define STACK_ENTRY_BYTES 65536
#define KEEP_LIMIT        1000 /* BullMQ's default of most removed by age in one finish */

uint64_t decide_attempts(const struct config_queue *queue, const struct config_type *type,
                         const struct job *job)
{
    uint64_t own = job->options.attempts;

    return own == 0 || queue->enforce ? type->attempts : own;
}

static struct job_keep keep_of_config(const struct config_keep *keep)
{
    return (struct job_keep){
        .present = keep->count >= 0 || keep->age_ms > 0,
        .count = keep->count,
        .age_s = (double)keep->age_ms / 1000,
        .limit = KEEP_LIMIT,
    };
}

struct job_keep decide_keep(const struct config_queue *queue, const struct config_type *type,
                            const struct job *job, bool completed)
{
    struct job_keep own = completed ? job->options.keep_completed : job->options.keep_failed;
    struct job_keep ours = keep_of_config(completed ? &type->keep_completed : &type->keep_failed);
    bool take_ours = ours.present && (queue->enforce || !own.present);
    struct job_keep keep = take_ours ? ours : own;

    if (!keep.present)
        return (struct job_keep){ .present = false, .count = -1, .limit = KEEP_LIMIT };
    return keep;
}

static struct job_backoff backoff_of_config(const struct config_backoff *backoff)
{
    static const enum job_backoff_kind kinds[] = {
        [CONFIG_BACKOFF_NONE] = JOB_BACKOFF_ABSENT,
        [CONFIG_BACKOFF_FIXED] = JOB_BACKOFF_FIXED,
        [CONFIG_BACKOFF_EXPONENTIAL] = JOB_BACKOFF_EXPONENTIAL,
    };

    return (struct job_backoff){ .kind = kinds[backoff->kind],
                                 .delay_ms = backoff->delay_ms,
                                 .jitter = backoff->jitter };
}

/* A custom strategy is code in the producer's own worker: to us it is absent where YAML has one. */
static struct job_backoff pick_backoff(const struct config_queue *queue,
                                       const struct config_type *type, const struct job *job)
{
    struct job_backoff own = job->options.backoff, ours = backoff_of_config(&type->backoff);
    bool own_usable = own.kind != JOB_BACKOFF_ABSENT && own.kind != JOB_BACKOFF_CUSTOM;
    bool take_ours = ours.kind != JOB_BACKOFF_ABSENT && (queue->enforce || !own_usable);

    return take_ours ? ours : own;
}

/* Kind and delay of a failed attempt. */
static void decide_retry(const struct config_queue *queue, const struct config_type *type,
                         const struct job *job, const struct handler_outcome *outcome,
                         double unit_random, struct settle *out)
{
    uint64_t attempt = job->attempts_made + 1;
    struct job_backoff backoff = pick_backoff(queue, type, job);

    out->kind = SETTLE_FAIL;
    if (outcome->kind == HANDLER_FAILED_FINAL || attempt >= out->attempts_max)
        return;
    if (outcome->retry_after_ms >= 0)
        out->delay_ms = (uint64_t)outcome->retry_after_ms;
    else if (backoff.kind == JOB_BACKOFF_CUSTOM)
        return; /* wire format 6: nobody here can compute it, so the job fails */
    else if (backoff.kind != JOB_BACKOFF_ABSENT)
        out->delay_ms = job_backoff_ms(&backoff, attempt, unit_random, type->backoff.max_ms);
    out->kind = out->delay_ms > 0 ? SETTLE_RETRY_LATER : SETTLE_RETRY;
}

void decide_settle(const struct config_queue *queue, const struct config_type *type,
                   const struct job *job, const struct handler_outcome *outcome, double unit_random,
                   struct settle *out)
{
    bool completed = outcome->kind == HANDLER_COMPLETED;

    *out = (struct settle){ .kind = SETTLE_COMPLETE, .job = job };
    out->attempts_max = decide_attempts(queue, type, job);
    out->value = completed ? outcome->value : outcome->reason;
    if (!completed)
        decide_retry(queue, type, job, outcome, unit_random, out);
    if (completed || out->kind == SETTLE_FAIL)
        out->keep = decide_keep(queue, type, job, completed);
}

char *decide_stacktrace(const struct job *job, const struct handler_outcome *outcome)
{
    struct buf entry = BUF_INIT(STACK_ENTRY_BYTES);
    const struct bytes *text = outcome->stack.data ? &outcome->stack : &outcome->reason;
    char *json = NULL;

    if (!outcome->stack.data)
        (void)buf_append_text(&entry, outcome->kind == HANDLER_FAILED_FINAL ? "UnrecoverableError: "
                                                                            : "Error: ");
    if (text->len > 0) /* a longer one is cut, not refused */
        (void)buf_append(&entry, text->data,
                         text->len < STACK_ENTRY_BYTES / 2 ? text->len : STACK_ENTRY_BYTES / 2);
    if (!entry.failed)
        json =
            job_stacktrace_add(&job->stacktrace, buf_text(&entry), job->options.stack_trace_limit);
    buf_done(&entry);
    return json;
}

struct handler_outcome decide_failure(enum handler_outcome_kind kind, const char *reason)
{
    return (struct handler_outcome){ .kind = kind,
                                     .reason = { reason, strlen(reason) },
                                     .retry_after_ms = -1 };
}
