/* The getters of one job: as it is stored, whether it has finished, its log. */
#include <errno.h>
#include <string.h>

#include "common/queue/get_internal.h"

#define VIEW_HEAD 3 /* state, lock, logs; then the fields */
#define LOGS_MAX  1000

/* Sends a script whose only argument is the job. */
static int run_for_job(const struct get_call *call, const struct redis_script *script,
                       const char *id, redis_reply_cb *on_reply, struct error *err)
{
    int r = get_args_begin(call->queue, 1, err);

    if (r < 0)
        return r;
    queue_args_add_text(call->queue, id);
    return get_run_script(call, script, on_reply, err);
}

/* ---- as it is stored ---- */

/* Names and values as two arrays in one block; NULL on no memory. */
static struct bytes *split_pairs(redisReply *const *elements, size_t pairs)
{
    struct bytes *block = calloc(pairs ? pairs * 2 : 1, sizeof(*block));

    for (size_t i = 0; block && i < pairs; i++) {
        block[i] = queue_reply_bytes(elements[i * 2]);
        block[pairs + i] = queue_reply_bytes(elements[i * 2 + 1]);
    }
    return block;
}

static void answer_view(struct get_call *call, const redisReply *reply)
{
    struct call_result result = { .outcome = REDIS_REPLY, .why = "" };
    size_t pairs = (reply->elements - VIEW_HEAD) / 2;
    _cleanup_(freep) struct bytes *block = split_pairs(reply->element + VIEW_HEAD, pairs);
    const redisReply *state = reply->element[0], *lock = reply->element[1];
    struct job_view view = {
        .state = state->type == REDIS_REPLY_STRING ? state->str : "unknown",
        .lock_ttl_ms = lock->type == REDIS_REPLY_INTEGER && lock->integer >= 0 ? lock->integer : -1,
        .logs_count = queue_reply_uint(reply->element[2], 0),
        .fields_count = pairs,
        .names = block,
        .values = block ? block + pairs : NULL,
    };

    if (!block)
        result = get_no_memory();
    call->on_done.view(call->queue, &result, block ? &view : NULL, call->arg);
}

static void on_view(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);

    (void)redis;
    if (result.outcome == REDIS_REPLY && reply->type == REDIS_REPLY_ARRAY &&
        reply->elements >= VIEW_HEAD)
        answer_view(call, reply);
    else
        call->on_done.view(call->queue, &result, NULL, call->arg);
}

int queue_view_job(struct queue *queue, const char *id, queue_view_cb *on_done, void *arg,
                   struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.view = on_done, .arg = arg };

    return run_for_job(&call, &queue_script_view, id, on_view, err);
}

/* ---- finished ---- */

static void on_finished(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    enum job_finished finished = JOB_UNFINISHED;
    struct bytes value = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY && reply->element[0]->type == REDIS_REPLY_INTEGER) {
        finished = (enum job_finished)reply->element[0]->integer; /* finished.lua's are the same */
        value = reply->elements > 1 ? queue_reply_bytes(reply->element[1]) : value;
    }
    call->on_done.finished(call->queue, &result, finished, value, call->arg);
}

int queue_is_finished(struct queue *queue, const char *id, queue_finished_cb *on_done, void *arg,
                      struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.finished = on_done, .arg = arg };

    int r = get_check_id(id, err);

    return r < 0 ? r : run_for_job(&call, &queue_script_finished, id, on_finished, err);
}

/* ---- its log ---- */

static void on_logs(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    _cleanup_(freep) struct bytes *rows = NULL;
    size_t count = result.outcome == REDIS_REPLY ? reply->elements - 1 : 0;

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        rows = calloc(count + 1, sizeof(*rows));
        for (size_t i = 0; rows && i < count; i++)
            rows[i] = queue_reply_bytes(reply->element[i + 1]);
        if (!rows)
            result = get_no_memory();
    }
    call->on_done.logs(call->queue, &result, rows, rows ? count : 0,
                       rows ? queue_reply_uint(reply->element[0], 0) : 0, call->arg);
}

int queue_get_logs(struct queue *queue, const char *id, uint64_t start, size_t count,
                   bool ascending, queue_logs_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.logs = on_done, .arg = arg };
    int r = get_check_id(id, err);

    if (r == 0 && (count == 0 || count > LOGS_MAX))
        r = error_set(err, -EINVAL, "%zu rows of a log: 1 to %d", count, LOGS_MAX);
    if (r == 0)
        r = get_args_begin(queue, 4, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, id);
    queue_args_add_uint(queue, start);
    queue_args_add_uint(queue, count);
    queue_args_add_text(queue, ascending ? "asc" : "desc");
    return get_run_script(&call, &queue_script_logs, on_logs, err);
}
