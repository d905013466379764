/* change.h - changing one job, or up to QUEUE_IDS_MAX named ones: where it is, what it holds, that
 * it is there at all (wire format 8.5 to 8.9). Each call is one transition by one script, but for
 * the removal of large trees. Callbacks run once, later, as in queue.h; what they are handed is
 * borrowed during the call. A job whose keys hold something else than a job refuses its own change
 * only, with the reason (REDIS_REFUSED), or as CHANGE_DAMAGED where each of many has a code. An id
 * that would be the key of something else ("wait", "meta") is -EINVAL, as is an empty one. */
#pragma once

#include "common/queue/queue.h"

/* Codes of wire format 5.7, as values of queue_done_cb and of queue_codes_cb. */
enum change_code {
    CHANGE_OK = 0,
    CHANGE_NO_JOB = -1,       /* no such job */
    CHANGE_NOT_THERE = -3,    /* it is not in the state in which this can be done */
    CHANGE_NO_PARENT = -5,    /* its parent is gone */
    CHANGE_OF_SCHEDULER = -8, /* the pending iteration of a job scheduler: remove that instead */
    CHANGE_LOCKED = -50,      /* somebody works on it, or on a child that it waits for (stock: 0) */
    CHANGE_DAMAGED = -100,    /* its keys in Redis hold something else; nothing was changed */
};
/* For people: "no such job", …; "ok" for CHANGE_OK. */
const char *change_code_text(enum change_code code);

#define QUEUE_IDS_MAX    500
#define QUEUE_IDS_A_CALL 100 /* about 1 ms of Redis */

/* codes[i] is of ids[i]; more than QUEUE_IDS_A_CALL go by several calls of a script. On an outcome
 * other than REDIS_REPLY only the first `count` were changed for certain, and the next ones
 * perhaps: call again, a job that was changed before answers CHANGE_NOT_THERE or CHANGE_NO_JOB. */
typedef void queue_codes_cb(struct queue *queue, const struct call_result *call,
                            const enum change_code *codes, size_t count, void *arg);

/* ---- moving ---- */

/* A delayed job waits from now on, by its priority. CHANGE_NOT_THERE: it is not delayed. */
MUST_CHECK int queue_promote_job(struct queue *queue, const char *id, queue_done_cb *on_done,
                                 void *arg, struct error *err);
MUST_CHECK int queue_promote_jobs_by_id(struct queue *queue, const char *const *ids, size_t count,
                                        queue_codes_cb *on_done, void *arg, struct error *err);

enum retry_from { RETRY_FAILED, RETRY_COMPLETED };
struct retry_spec {
    enum retry_from from;
    bool reset_attempts_made; /* else a job without attempts left gets exactly one more */
    bool reset_attempts_started;
};
/* A finished job waits again, by its priority and `lifo`; for its parent it is pending again, but a
 * parent that went on stays where it is. CHANGE_NOT_THERE: it is not in that state. */
MUST_CHECK int queue_retry_job(struct queue *queue, const char *id, const struct retry_spec *spec,
                               queue_done_cb *on_done, void *arg, struct error *err);
MUST_CHECK int queue_retry_jobs_by_id(struct queue *queue, const char *const *ids, size_t count,
                                      const struct retry_spec *spec, queue_codes_cb *on_done,
                                      void *arg, struct error *err);

/* Now and for every later move. A waiting job goes behind those of its new priority, or with `lifo`
 * before them. -EINVAL above 2097151. */
MUST_CHECK int queue_change_priority(struct queue *queue, const char *id, uint64_t priority,
                                     bool lifo, queue_done_cb *on_done, void *arg,
                                     struct error *err);
/* A delayed job is due in delay_ms from now. CHANGE_NOT_THERE: it is not delayed. */
MUST_CHECK int queue_change_delay(struct queue *queue, const char *id, uint64_t delay_ms,
                                  queue_done_cb *on_done, void *arg, struct error *err);

/* ---- what it holds ---- */

/* json must be valid JSON (-EINVAL). */
MUST_CHECK int queue_update_data(struct queue *queue, const char *id, const char *json,
                                 size_t json_len, queue_done_cb *on_done, void *arg,
                                 struct error *err);
/* json must be valid JSON (-EINVAL); listeners hear of it. */
MUST_CHECK int queue_update_progress(struct queue *queue, const char *id, const char *json,
                                     size_t json_len, queue_done_cb *on_done, void *arg,
                                     struct error *err);
/* value: rows now kept, or CHANGE_NO_JOB. keep < 0: all. */
MUST_CHECK int queue_add_log(struct queue *queue, const char *id, const char *row, size_t row_len,
                             int64_t keep, queue_done_cb *on_done, void *arg, struct error *err);
/* Keeps the newest `keep` rows. value: rows now kept, or CHANGE_NO_JOB. */
MUST_CHECK int queue_clear_logs(struct queue *queue, const char *id, uint64_t keep,
                                queue_done_cb *on_done, void *arg, struct error *err);

/* ---- removing ---- */

struct remove_result {
    enum change_code code; /* CHANGE_LOCKED, CHANGE_OF_SCHEDULER: it stayed */
    uint64_t removed;      /* jobs that are gone, children included */
};
typedef void queue_remove_cb(struct queue *queue, const struct call_result *call,
                             const struct remove_result *result, void *arg);
/* Removes a job with all that belongs to it; `with_children` also the tree below it, in whatever
 * queues, which must lie in one slot. CHANGE_NO_JOB: there was nothing. A tree of at most
 * QUEUE_TREE_MAX jobs goes by one call, or stays whole when one of them is locked; of fewer, where
 * long lists are looked through for them (200,000 elements a call). A larger one is first looked
 * through for locks, then removed leaves first: each call leaves a consistent smaller tree, and a
 * job that was locked meanwhile ends it (CHANGE_LOCKED; `removed` tells of those that are gone).
 * Safe to repeat. */
#define QUEUE_TREE_MAX 200
MUST_CHECK int queue_remove_job(struct queue *queue, const char *id, bool with_children,
                                queue_remove_cb *on_done, void *arg, struct error *err);
/* Each without its children. */
MUST_CHECK int queue_remove_jobs(struct queue *queue, const char *const *ids, size_t count,
                                 queue_codes_cb *on_done, void *arg, struct error *err);
/* Removes the children that a job still waits for, with theirs; those that are locked or have
 * failed stay. Loops over bounded calls. */
MUST_CHECK int queue_remove_unprocessed_children(struct queue *queue, const char *id,
                                                 queue_remove_cb *on_done, void *arg,
                                                 struct error *err);
/* The job no longer belongs to its parent, which goes on when it was the last one that it waited
 * for. CHANGE_NOT_THERE: no parent waits for it. */
MUST_CHECK int queue_remove_child_dependency(struct queue *queue, const char *id,
                                             queue_done_cb *on_done, void *arg, struct error *err);

/* ---- deduplication ---- */

/* The next job with this deduplication id is added, whoever owns the id now. value: 1 when it was
 * owned, else 0. */
MUST_CHECK int queue_remove_deduplication_key(struct queue *queue, const char *deduplication_id,
                                              queue_done_cb *on_done, void *arg, struct error *err);
/* The same, if this job owns its deduplication id. value: 1 when it did, else 0. */
MUST_CHECK int queue_release_deduplication(struct queue *queue, const char *id,
                                           queue_done_cb *on_done, void *arg, struct error *err);
