/* get_internal.h - what the getters' files share: a call in flight with the callback that it ends
 * in, whatever its type. */
#pragma once

#include "common/queue/get.h"
#include "common/queue/queue_internal.h"

union get_cb {
    queue_counts_cb *counts;
    queue_priorities_cb *priorities;
    queue_view_cb *view;
    queue_text_cb *text;
    queue_finished_cb *finished;
    queue_logs_cb *logs;
    queue_range_cb *range;
    queue_dependency_counts_cb *dependency_counts;
    queue_dependencies_cb *dependencies;
    queue_meta_cb *meta;
    queue_metrics_cb *metrics;
    queue_clients_cb *clients;
};

struct get_call {
    struct queue *queue;
    union get_cb on_done;
    void *arg;
    uint64_t number; /* of the call's own */
};

/* Starts the arguments of a script: the standard ones, and room for `more`. */
MUST_CHECK int get_args_begin(struct queue *queue, size_t more, struct error *err);
/* Sends the script, or the command (all words in the arguments), with a struct get_call that
 * on_reply owns and frees. `call` is copied. */
MUST_CHECK int get_run_script(const struct get_call *call, const struct redis_script *script,
                              redis_reply_cb *on_reply, struct error *err);
MUST_CHECK int get_run_command(const struct get_call *call, redis_reply_cb *on_reply,
                               struct error *err);

/* The result of a call for which memory ran out while its reply was read. */
struct call_result get_no_memory(void);

/* -EINVAL when id is no id of a job (empty, or the name of another key). */
MUST_CHECK int get_check_id(const char *id, struct error *err);

/* "events", "waiting" … of a reply; "" for another kind. */
const char *get_reply_text(const redisReply *reply);

/* The next wait of a follower ends after so long at the latest (events.c). */
struct queue_follow;
void queue_follow_block(struct queue_follow *follow, uint64_t ms);
