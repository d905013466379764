/* settings.c - what holds for a whole queue: pause, global concurrency, rate limits. */
#include "common/queue/settings.h"

#include <errno.h>

#include "common/queue/change_internal.h"

/* Ids that one call of pause or resume moves when both lists exist: about 1 ms of Redis. */
#define MOVES_A_CALL 1000

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
        result = change_unsent(&err);
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

/* ---- fields of `meta` ---- */

static int check_setting(const char *what, uint64_t value, struct error *err)
{
    if (value >= 1 && value <= QUEUE_SETTING_MAX)
        return 0;
    return error_set(err, -EINVAL, "%s is %llu, not 1 to %llu", what, (unsigned long long)value,
                     QUEUE_SETTING_MAX);
}

struct setting {
    const char *name; /* NULL: no such one */
    uint64_t value;
};

/* values: false: the fields are removed. */
static int send_settings(struct queue *queue, bool set, const struct setting settings[2],
                         queue_done_cb *on_done, void *arg, struct error *err)
{
    int r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 5, err);

    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, set ? "set" : "remove");
    for (size_t i = 0; i < 2 && settings[i].name; i++) {
        queue_args_add_text(queue, settings[i].name);
        if (set)
            queue_args_add_uint(queue, settings[i].value);
    }
    return queue_args_run_for_number(queue, &queue_script_settings, on_done, arg, err);
}

int queue_set_global_concurrency(struct queue *queue, uint64_t concurrency, queue_done_cb *on_done,
                                 void *arg, struct error *err)
{
    const struct setting settings[2] = { { "concurrency", concurrency } };
    int r = check_setting("global concurrency", concurrency, err);

    return r < 0 ? r : send_settings(queue, true, settings, on_done, arg, err);
}

int queue_remove_global_concurrency(struct queue *queue, queue_done_cb *on_done, void *arg,
                                    struct error *err)
{
    const struct setting settings[2] = { { "concurrency", 0 } };

    return send_settings(queue, false, settings, on_done, arg, err);
}

int queue_set_global_rate_limit(struct queue *queue, uint64_t max, uint64_t duration_ms,
                                queue_done_cb *on_done, void *arg, struct error *err)
{
    const struct setting settings[2] = { { "max", max }, { "duration", duration_ms } };
    int r = check_setting("jobs of the global rate limit", max, err);

    if (r == 0)
        r = check_setting("duration (ms) of the global rate limit", duration_ms, err);
    return r < 0 ? r : send_settings(queue, true, settings, on_done, arg, err);
}

int queue_remove_global_rate_limit(struct queue *queue, queue_done_cb *on_done, void *arg,
                                   struct error *err)
{
    const struct setting settings[2] = { { "max", 0 }, { "duration", 0 } };

    return send_settings(queue, false, settings, on_done, arg, err);
}

/* ---- the window of the rate limit ---- */

static int send_rate_limit(struct queue *queue, const char *what, uint64_t value,
                           queue_done_cb *on_done, void *arg, struct error *err)
{
    int r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 2, err);

    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, what);
    queue_args_add_uint(queue, value);
    return queue_args_run_for_number(queue, &queue_script_rate_limit, on_done, arg, err);
}

int queue_limit_rate_now(struct queue *queue, uint64_t duration_ms, queue_done_cb *on_done,
                         void *arg, struct error *err)
{
    int r = check_setting("duration (ms) of the rate limit", duration_ms, err);

    return r < 0 ? r : send_rate_limit(queue, "begin", duration_ms, on_done, arg, err);
}

int queue_remove_rate_limit(struct queue *queue, queue_done_cb *on_done, void *arg,
                            struct error *err)
{
    return send_rate_limit(queue, "end", 0, on_done, arg, err);
}

int queue_get_rate_limit_ttl(struct queue *queue, uint64_t max, queue_done_cb *on_done, void *arg,
                             struct error *err)
{
    return send_rate_limit(queue, "ttl", max, on_done, arg, err);
}
