/* Steering: progress and logs of a job, pausing and resuming a queue. */
#include <errno.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/queue/queue_internal.h"

/* Ids that one call of pause or resume moves when both lists exist: about 1 ms of Redis. */
#define MOVES_A_CALL 1000

int queue_update_progress(struct queue *queue, const char *id, const char *json, size_t json_len,
                          queue_done_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct queue_done_call *call = NULL;
    int r;

    /* A stock QueueEvents consumer stops for good at a value that is not JSON. */
    if (!json_text_is_valid(json, json_len))
        return error_set(err, -EINVAL, "progress of job %s is not valid JSON", id);
    call = queue_done_call_new(queue, on_done, arg);
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 2, err);
    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, id);
    queue_args_add(queue, json, json_len);
    r = queue_args_run(queue, &queue_script_progress, QUEUE_KEY_COUNT, queue_on_number, call, err);
    if (r == 0)
        (void)TAKE_PTR(call); /* queue_on_number frees it */
    return r;
}

int queue_add_log(struct queue *queue, const char *id, const char *row, size_t row_len,
                  int64_t keep, queue_done_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct queue_done_call *call = queue_done_call_new(queue, on_done, arg);
    int r;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 3, err);
    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, id);
    queue_args_add(queue, row, row_len);
    if (keep < 0)
        queue_args_add_text(queue, "");
    else
        queue_args_add_int(queue, keep);
    r = queue_args_run(queue, &queue_script_log, QUEUE_KEY_COUNT, queue_on_number, call, err);
    if (r == 0)
        (void)TAKE_PTR(call); /* queue_on_number frees it */
    return r;
}

/* ---- pause and resume: the same script again until nothing is left to move ---- */

struct merge_call {
    struct queue *queue;
    const struct redis_script *script;
    queue_done_cb *on_done;
    void *arg;
};

static void on_merged(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg);

static int send_merge(struct merge_call *call, struct error *err)
{
    int r = queue_args_begin(call->queue, QUEUE_ARGS_STANDARD + 1, err);

    if (r < 0)
        return r;
    queue_args_add_standard(call->queue);
    queue_args_add_uint(call->queue, MOVES_A_CALL);
    return queue_args_run(call->queue, call->script, QUEUE_KEY_COUNT, on_merged, call, err);
}

static void end_merge(struct merge_call *call, const struct call_result *result)
{
    call->on_done(call->queue, result, 0, call->arg);
    free(call);
}

static void on_merged(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    struct merge_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    struct error err = { 0 };

    (void)redis;
    if (result.outcome != REDIS_REPLY || queue_reply_uint(reply, 0) == 0) {
        end_merge(call, &result);
        return;
    }
    if (send_merge(call, &err) < 0) {
        /* Not sent: the lists are consistent, and the next call goes on from here. */
        result = (struct call_result){ .outcome = REDIS_REFUSED,
                                       .error_class = REDIS_CLASS_LATER,
                                       .why = err.text };
        end_merge(call, &result);
    }
}

static int start_merge(struct queue *queue, const struct redis_script *script,
                       queue_done_cb *on_done, void *arg, struct error *err)
{
    struct merge_call *call = malloc(sizeof(*call));
    int r;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct merge_call){ queue, script, on_done, arg };
    r = send_merge(call, err);
    if (r < 0)
        free(call);
    return r;
}

int queue_pause(struct queue *queue, queue_done_cb *on_done, void *arg, struct error *err)
{
    return start_merge(queue, &queue_script_pause, on_done, arg, err);
}

int queue_resume(struct queue *queue, queue_done_cb *on_done, void *arg, struct error *err)
{
    return start_merge(queue, &queue_script_resume, on_done, arg, err);
}
