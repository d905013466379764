/* events.h - following a queue's events as they happen, and waiting for the end of a job.
 * The stream is trimmed by length: a reader that is slower than the queue loses entries. That is
 * told with the next ones, never passed over. Callbacks run on the loop, never inside the call. */
#pragma once

#include "common/queue/get.h"

struct queue_event {
    const char *id; /* of the entry: "<ms>-<n>" */
    uint64_t at_ms;
    struct bytes event, job_id; /* absent when it has none */
    size_t fields_count;
    const struct bytes *names, *values; /* all of them, as stored */
};

/* Entries that were trimmed away unread: how many, or LOST_UNKNOWN when the server does not count
 * (before Redis 7.0). */
#define QUEUE_EVENTS_LOST_UNKNOWN UINT64_MAX

/* Some events in order; count 0 when nothing came for a while (about five seconds), so that the
 * reader can look around. `lost` entries are missing before the first. Return false to stop: then
 * on_end follows. */
typedef bool queue_events_cb(struct queue *queue, const struct queue_event *events, size_t count,
                             uint64_t lost, void *arg);
/* The last callback. REDIS_REPLY: it was stopped; else the connection or Redis ended it: follow
 * again from the last id. */
typedef void queue_events_end_cb(struct queue *queue, const struct call_result *call, void *arg);

struct events_from {
    const char *id; /* after this entry; "$": what comes from now on; "0": from the oldest */
    size_t batch;   /* events of one callback, 1 … 1000 */
};

/* `blocking`: a connection of its own, opened as blocking; it can be used for something else after
 * on_end only. Borrowed, as is the queue. */
struct queue_follow;
MUST_CHECK int queue_follow_events(struct queue *queue, struct redis *blocking,
                                   const struct events_from *from, queue_events_cb *on_events,
                                   queue_events_end_cb *on_end, void *arg,
                                   struct queue_follow **out_follow, struct error *err);
/* No on_events any more; on_end comes when the read under way is answered (five seconds at most).
 */
void queue_follow_stop(struct queue_follow *follow);

/* Until the job is finished, or timeout_ms have passed (0: no end): JOB_UNFINISHED then. Told by
 * the events, so a job that is removed as it completes (removeOnComplete) is seen as well;
 * JOB_GONE: it was not there, or was removed unfinished. */
MUST_CHECK int queue_wait_job(struct queue *queue, struct redis *blocking, const char *id,
                              uint64_t timeout_ms, queue_finished_cb *on_done, void *arg,
                              struct error *err);
