/* bulk.h - work on many jobs of a queue: drain, clean, obliterate, retry, promote (wire format 8.2
 * to 8.7, 8.13). Each is a script that does a bounded piece, called until nothing is left. Every
 * piece leaves the queue consistent, so a work may be cancelled, lost or begun anew at any point.
 */
#pragma once

#include "common/queue/change.h"
#include "common/queue/get.h"

/* After each piece. */
struct bulk_progress {
    uint64_t done;   /* jobs so far: removed, or moved */
    uint64_t passed; /* looked at and left where they are so far: locked, too young, damaged */
    bool more;       /* there is another piece to do */
    const struct bytes *ids; /* of this piece's `done` jobs; borrowed during the call */
    size_t ids_count;
};
/* Returns false to cancel: no further piece is sent. */
typedef bool queue_progress_cb(struct queue *queue, const struct bulk_progress *progress,
                               void *arg);

struct bulk_result {
    uint64_t done, passed; /* as of bulk_progress; true on every outcome */
    bool cancelled;
    enum bulk_refusal {
        BULK_DONE,
        BULK_NOT_PAUSED,  /* obliterate: somebody has resumed the queue meanwhile */
        BULK_ACTIVE_JOBS, /* obliterate without force: jobs are running */
    } refusal;
};
typedef void queue_bulk_cb(struct queue *queue, const struct call_result *call,
                           const struct bulk_result *result, void *arg);

#define QUEUE_PIECE_MAX \
    500 /* jobs that one piece removes or moves; it looks at no more ids either */

struct bulk_run {
    uint64_t limit;                 /* jobs in all; 0: no limit */
    size_t piece;                   /* 1 … QUEUE_PIECE_MAX; 0: QUEUE_PIECE_MAX */
    queue_progress_cb *on_progress; /* may be NULL */
    queue_bulk_cb *on_done;
    void *arg; /* of both */
};

/* Removes what waits, by list or priority, and with `delayed` what is delayed. What runs stays, and
 * so do the pending iterations of job schedulers. */
MUST_CHECK int queue_drain(struct queue *queue, bool delayed, const struct bulk_run *run,
                           struct error *err);

struct clean_spec {
    enum queue_state state; /* any but WAITING_CHILDREN */
    uint64_t grace_ms;      /* younger ones stay: since they finished, started or were added */
};
/* Removes old jobs of one state, the oldest first. Locked ones and the pending iterations of job
 * schedulers stay. Each piece tells the listeners of the queue how many it removed. */
MUST_CHECK int queue_clean(struct queue *queue, const struct clean_spec *spec,
                           const struct bulk_run *run, struct error *err);

/* Pauses the queue, then removes it whole: every job in whatever state, schedulers, settings,
 * events, also what stock clients leave behind. Jobs that run are removed with `force` only;
 * without it nothing is removed while there are any. limit must be 0. */
MUST_CHECK int queue_obliterate(struct queue *queue, bool force, const struct bulk_run *run,
                                struct error *err);

/* All that failed, or completed, until that time (wall; 0: now), the oldest first. */
MUST_CHECK int queue_retry_jobs(struct queue *queue, const struct retry_spec *spec,
                                uint64_t until_ms, const struct bulk_run *run, struct error *err);
/* All that are delayed now, the first due first. */
MUST_CHECK int queue_promote_jobs(struct queue *queue, const struct bulk_run *run,
                                  struct error *err);

/* Keeps about the newest `max` events. value: events removed. */
MUST_CHECK int queue_trim_events(struct queue *queue, uint64_t max, queue_done_cb *on_done,
                                 void *arg, struct error *err);
