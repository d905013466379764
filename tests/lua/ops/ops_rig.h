/* ops_rig.h - a queue "q" of prefix "bull" on a server of its own, jobs put into it by hand, and
 * the answers of the calls of change.h, bulk.h, settings.h and orphans.h. */
#pragma once

#include <criterion/criterion.h>

#include "common/queue/bulk.h"
#include "common/queue/change.h"
#include "common/queue/orphans.h"
#include "common/queue/settings.h"
#include "tests/lua/add/queue_rig.h"

extern struct queue *ops_queue;

void ops_setup(void);
void ops_teardown(void);

#define says(expected, ...) cr_expect_str_eq(redis_says(__VA_ARGS__), expected)

/* Stores a job's hash: its six fields, `more` ("priority 3 atm 1") set over them. `queue` as "q".
 */
void ops_store(const char *queue, const char *id, const char *more);
/* The same, and puts it into a state: "wait", "failed" …; the score of a set is `score`. */
void ops_put(const char *queue, const char *state, double score, const char *id, const char *more);
/* Makes `id` of the queue a child of parent_id of parent_queue, pending, with a policy ("" none,
 * "\"fpof\":true"). */
void ops_adopt(const char *queue, const char *id, const char *parent_queue, const char *parent_id,
               const char *policy);
/* The events of a queue, each as "event waiting jobId 1 prev failed", joined by "; ". */
const char *ops_events(const char *queue);
/* Keys below "bull:", sorted, without those of `meta`, `events`, `marker` and `id`; joined by
 * blanks. */
const char *ops_keys(void);

/* What the last call answered. */
extern struct ops_done {
    int calls;
    struct call_result call;
    char why[256];
    int64_t value; /* of a queue_done_cb */
    enum change_code codes[QUEUE_IDS_MAX];
    size_t count;
    struct remove_result removed;
    struct bulk_result bulk;
    char ids[4096]; /* of all pieces, joined by blanks */
    size_t pieces;
    size_t cancel_at; /* piece after which the work is cancelled; 0: never */
} ops_done;

queue_done_cb ops_on_done;
queue_codes_cb ops_on_codes;
queue_remove_cb ops_on_removed;
/* A run with these callbacks. */
struct bulk_run ops_run(size_t piece, uint64_t limit);

/* Of the last call that was not sent. */
extern struct error ops_error;

/* Runs a call, which must be sent, and its callbacks. */
#define OPS_CALL(call)                                  \
    do {                                                \
        int calls_before_ = ops_done.calls;             \
        int code_ = (call);                             \
                                                        \
        cr_assert(code_ == 0, "%s", ops_error.text);    \
        (void)queue_rig_run();                          \
        cr_assert(ops_done.calls == calls_before_ + 1); \
    } while (0)
