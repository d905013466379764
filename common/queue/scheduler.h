/* scheduler.h - job schedulers: what makes jobs at a set interval or by a cron pattern (wire format
 * 9). A scheduler has one pending job, its next iteration, named "repeat:<scheduler>:<ms>". Whoever
 * fetches that one makes the next (queue_continue_scheduler), so a worker that does not do so ends
 * the chain.
 *
 * All calls are asynchronous as in queue.h. Times are wall clock in ms since 1970. */
#pragma once

#include "common/queue/add.h"

struct buf;

struct scheduler_spec {
    struct bytes id;      /* not empty; of an existing one: replaces it and its pending job */
    struct bytes name;    /* of the jobs; absent: the id */
    struct bytes data;    /* of the jobs, JSON; absent: {} */
    struct bytes opts;    /* of the jobs, a JSON object as jobs store it (wire format 2.3), without
                             what a scheduler sets itself: jobId, delay, timestamp, repeat, prevMillis,
                             repeatJobKey, parent; absent: {} */
    uint64_t every_ms;    /* either this, >= 1, … */
    struct bytes pattern; /* … or this, see common/cron/cron.h */
    struct bytes tz;      /* of the pattern, IANA name; absent: that of whoever computes the next
                             time, so give one */
    uint64_t
        offset_ms;  /* with every_ms, below it: its times are floor(t / every) * every + offset */
    bool has_limit; /* at most `limit` iterations */
    uint64_t limit;
    uint64_t start_at_ms; /* none before it; 0: not given */
    uint64_t end_at_ms;   /* none after it; 0: not given. With every_ms it is looked at when an
                             iteration starts, so one more may follow, as with stock clients */
    bool immediately; /* with a pattern: the first one now; not with start_at_ms. With every_ms the
                         first one is now anyhow: not allowed, so that nothing is ignored */
};

/* The checks that need no queue. -EINVAL names the member. */
MUST_CHECK int scheduler_spec_check(const struct scheduler_spec *spec, struct error *err);

/* Appends `spec`'s options as scheduler_spec.opts takes them: those of a job, without what a
 * scheduler sets itself. -EINVAL when one of those is given. */
MUST_CHECK int scheduler_print_opts(const struct job_spec *spec, struct buf *out,
                                    struct error *err);

enum scheduler_code {
    SCHEDULER_OK = 0,
    SCHEDULER_ID_TAKEN = -10,   /* its job of that time exists and is active or has ended */
    SCHEDULER_SLOTS_BUSY = -11, /* the same of that time and of the 32 that follow */
};

struct scheduler_upsert {
    enum scheduler_code code;
    const char *job_id; /* the pending job; borrowed; NULL unless OK */
    uint64_t delay_ms;  /* until it is due; 0: it waits already */
    const char *why;    /* reason when refused, else "" */
};
typedef void queue_upsert_cb(struct queue *queue, const struct call_result *call,
                             const struct scheduler_upsert *result, void *arg);
/* Makes or replaces a scheduler and its pending job by one script. -EINVAL: the spec is bad;
 * -ERANGE: it would never make a job (the limit is 0, or no time of the pattern lies before the
 * end), and nothing was stored, as with stock clients. Safe to repeat. Its first job is an add:
 * with queue_set_wait the outcome may be REDIS_UNREPLICATED, and the result is there as well. */
MUST_CHECK int queue_upsert_scheduler(struct queue *queue, const struct scheduler_spec *spec,
                                      queue_upsert_cb *on_done, void *arg, struct error *err);

/* value: 1 it is gone, with its pending job when that was delayed; 0 there was none. A job of it
 * that waits or runs is left, and runs. */
MUST_CHECK int queue_remove_scheduler(struct queue *queue, struct bytes id, queue_done_cb *on_done,
                                      void *arg, struct error *err);

/* One scheduler as stored. Texts are borrowed during the callback; absent: data NULL, numbers 0. */
struct scheduler_entry {
    struct bytes id, name, pattern, tz;
    struct bytes data, opts; /* of the jobs; JSON */
    uint64_t next_at_ms;     /* time of the pending job; in the past after the last one */
    uint64_t every_ms, offset_ms;
    uint64_t iterations; /* jobs made so far, the pending one included */
    bool has_limit;
    uint64_t limit, start_at_ms, end_at_ms;
    bool legacy; /* a repeatable job of BullMQ 5 and before (wire format 9.6) */
};
/* total: schedulers of the queue. */
typedef void queue_schedulers_cb(struct queue *queue, const struct call_result *call,
                                 const struct scheduler_entry *entries, size_t count,
                                 uint64_t total, void *arg);
/* One by its id: count 1, or 0 when there is none. */
MUST_CHECK int queue_get_scheduler(struct queue *queue, struct bytes id,
                                   queue_schedulers_cb *on_done, void *arg, struct error *err);
/* Those of rank start … start + count - 1 by their next time, the latest first or (`ascending`) the
 * next one first. */
#define QUEUE_SCHEDULERS_MAX 200 /* in one call */
MUST_CHECK int queue_list_schedulers(struct queue *queue, uint64_t start, size_t count,
                                     bool ascending, queue_schedulers_cb *on_done, void *arg,
                                     struct error *err);

/* ---- the worker's part
 * ---------------------------------------------------------------------------------------------- */

/* True when the job came out of a scheduler, so that its next iteration must be made first. */
static inline bool job_is_iteration(const struct job *job)
{
    return job->scheduler.data || job->options.repeats;
}

enum scheduler_step {
    SCHEDULER_CONTINUED, /* the next iteration was made: `next_id` */
    SCHEDULER_ALREADY,   /* this job is not the pending one (any more): it was done before, or the
                            scheduler was changed meanwhile */
    SCHEDULER_TAKEN,   /* the jobs of the next times all exist already: nothing was made, ask again
                          later */
    SCHEDULER_REMOVED, /* the scheduler is gone */
    SCHEDULER_ENDED,   /* its limit or its end is reached, or its pattern has no further time */
};
struct scheduler_continued {
    enum scheduler_step step;
    const char *next_id; /* of the job made; borrowed; NULL unless CONTINUED */
};
/* result NULL unless REDIS_REPLY. */
typedef void queue_continue_cb(struct queue *queue, const struct call_result *call,
                               const struct scheduler_continued *result, void *arg);
/* Makes the next iteration after `job` (job_is_iteration; borrowed until the callback) by one
 * bounded script; a few when ids are taken, or when the job's own opts don't tell the rule and it
 * is read from the scheduler. Safe to repeat, by anybody: a second call makes no second chain.
 * Returns 0; 1: it has ended (SCHEDULER_ENDED), nothing needs to be made and the callback is not
 * run. -EINVAL: the pattern or the time zone can't be read; the job must be kept until somebody
 * repairs the scheduler. */
MUST_CHECK int queue_continue_scheduler(struct queue *queue, const struct job *job,
                                        queue_continue_cb *on_done, void *arg, struct error *err);
