/* call.c - building the argument vector of a script, and reading what comes back. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/queue_internal.h"

void queue_args_done(struct queue_args *args)
{
    free(args->argv);
    free(args->argv_len);
    free(args->numbers);
    *args = (struct queue_args){ 0 };
}

int queue_args_begin(struct queue *queue, size_t max, struct error *err)
{
    struct queue_args *args = &queue->args;

    args->count = 0;
    if (max <= args->cap)
        return 0;
    queue_args_done(args);
    args->argv = calloc(max, sizeof(*args->argv));
    args->argv_len = calloc(max, sizeof(*args->argv_len));
    args->numbers = calloc(max, sizeof(*args->numbers));
    if (!args->argv || !args->argv_len || !args->numbers) {
        queue_args_done(args);
        return error_set(err, -ENOMEM, "allocate %zu arguments", max);
    }
    args->cap = max;
    return 0;
}

void queue_args_add(struct queue *queue, const char *data, size_t len)
{
    struct queue_args *args = &queue->args;

    assert(args->count < args->cap);
    args->argv[args->count] = data;
    args->argv_len[args->count] = len;
    args->count++;
}

void queue_args_add_text(struct queue *queue, const char *text)
{
    queue_args_add(queue, text, strlen(text));
}

void queue_args_add_bytes(struct queue *queue, struct bytes bytes)
{
    queue_args_add(queue, bytes.data ? bytes.data : "", bytes.data ? bytes.len : 0);
}

void queue_args_add_key(struct queue *queue, enum queue_key key)
{
    queue_args_add_bytes(queue, queue->keys[key]);
}

void queue_args_add_standard(struct queue *queue)
{
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        queue_args_add_bytes(queue, queue->keys[i]);
    queue_args_add_prefixes(queue);
}

void queue_args_add_prefixes(struct queue *queue)
{
    queue_args_add_bytes(queue, queue->key_prefix);
    queue_args_add_bytes(queue, queue->private_prefix);
}

void queue_args_add_uint(struct queue *queue, uint64_t value)
{
    struct queue_args *args = &queue->args;
    char reversed[QUEUE_NUMBER_BYTES];
    size_t len = 0;
    char *text;

    assert(args->count < args->cap);
    text = args->numbers[args->count];
    do {
        reversed[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < len; i++)
        text[i] = reversed[len - 1 - i];
    text[len] = '\0';
    queue_args_add(queue, text, len);
}

void queue_args_add_int(struct queue *queue, int64_t value)
{
    struct queue_args *args = &queue->args;
    char *text;

    assert(args->count < args->cap);
    text = args->numbers[args->count];
    (void)snprintf(text, QUEUE_NUMBER_BYTES, "%" PRId64, value); /* always fits */
    queue_args_add_text(queue, text);
}

void queue_args_add_elements(struct queue *queue, redisReply *const *elements, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_args_add_bytes(queue, queue_reply_bytes(elements[i]));
}

int queue_args_run(struct queue *queue, const struct redis_script *script, size_t keys_count,
                   redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const struct queue_args *args = &queue->args;

    assert(keys_count <= args->count);
    if (!queue->redis)
        return error_set(err, -ENOTCONN, "queue %s has no connection", queue->name);
    return redis_run_script(queue->redis, script, (int)keys_count, (int)args->count, args->argv,
                            args->argv_len, 0, on_reply, arg, err);
}

int queue_args_run_kept(struct queue *queue, const struct redis_script *script, size_t keys_count,
                        redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const struct queue_args *args = &queue->args;

    if (!queue->redis || queue->wait.replicas == 0)
        return queue_args_run(queue, script, keys_count, on_reply, arg, err);
    assert(keys_count <= args->count);
    return redis_run_script_replicated(queue->redis, script, (int)keys_count, (int)args->count,
                                       args->argv, args->argv_len, &queue->wait, 0, on_reply, arg,
                                       err);
}

struct call_result queue_call_result(enum redis_outcome outcome, const redisReply *reply,
                                     const char *why, size_t min_elements)
{
    struct call_result result = { outcome, REDIS_CLASS_NONE, why ? why : "" };

    if (outcome == REDIS_REFUSED)
        result.error_class = redis_error_class(reply);
    if ((outcome != REDIS_REPLY && outcome != REDIS_UNREPLICATED) || min_elements == 0)
        return result;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= min_elements)
        return result;
    return (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER,
                                 "the script's reply has an unknown shape" };
}

struct bytes queue_reply_bytes(const redisReply *reply)
{
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
        return (struct bytes){ 0 };
    return (struct bytes){ reply->str, reply->len };
}

uint64_t queue_reply_uint(const redisReply *reply, uint64_t fallback)
{
    uint64_t value = 0;

    if (!reply)
        return fallback;
    if (reply->type == REDIS_REPLY_INTEGER)
        return reply->integer >= 0 ? (uint64_t)reply->integer : fallback;
    if (reply->type != REDIS_REPLY_STRING || text_parse_uint(reply->str, reply->len, &value) < 0)
        return fallback;
    return value;
}

struct queue_done_call {
    struct queue *queue;
    queue_done_cb *on_done;
    void *arg;
};

struct queue_done_call *queue_done_call_new(struct queue *queue, queue_done_cb *on_done, void *arg)
{
    struct queue_done_call *call = malloc(sizeof(*call));

    if (call)
        *call = (struct queue_done_call){ queue, on_done, arg };
    return call;
}

void queue_on_number(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    _cleanup_(freep) struct queue_done_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    int64_t value = 0;

    (void)redis;
    if (outcome == REDIS_REPLY && reply && reply->type == REDIS_REPLY_INTEGER)
        value = reply->integer;
    call->on_done(call->queue, &result, value, call->arg);
}

int queue_args_run_for_number(struct queue *queue, const struct redis_script *script,
                              queue_done_cb *on_done, void *arg, struct error *err)
{
    struct queue_done_call *call = queue_done_call_new(queue, on_done, arg);
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    code = queue_args_run(queue, script, QUEUE_KEY_COUNT, queue_on_number, call, err);
    if (code < 0)
        free(call);
    return code;
}
