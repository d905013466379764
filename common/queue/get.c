/* The getters of a queue as a whole: counts, settings, metrics, and what they all share. */
#include "common/queue/get.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/get_internal.h"

#define COUNTS_ELEMENTS 10
#define PRIORITY_MAX    2097151

/* ---- calls ---- */

int get_args_begin(struct queue *queue, size_t more, struct error *err)
{
    int r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + more, err);

    if (r == 0)
        queue_args_add_standard(queue);
    return r;
}

int get_run_script(const struct get_call *call, const struct redis_script *script,
                   redis_reply_cb *on_reply, struct error *err)
{
    _cleanup_(freep) struct get_call *copy = malloc(sizeof(*copy));
    int r;

    if (!copy)
        return error_set(err, -ENOMEM, "allocate a call");
    *copy = *call;
    r = queue_args_run(call->queue, script, QUEUE_KEY_COUNT, on_reply, copy, err);
    if (r == 0)
        (void)TAKE_PTR(copy); /* on_reply frees it */
    return r;
}

int get_run_command(const struct get_call *call, redis_reply_cb *on_reply, struct error *err)
{
    _cleanup_(freep) struct get_call *copy = malloc(sizeof(*copy));
    const struct queue *queue = call->queue;
    int r;

    if (!copy)
        return error_set(err, -ENOMEM, "allocate a call");
    if (!queue->redis)
        return error_set(err, -ENOTCONN, "queue %s has no connection", queue->name);
    *copy = *call;
    r = redis_command(queue->redis, (int)queue->args.count, queue->args.argv, queue->args.argv_len,
                      /* deadline_ms= */ 0, on_reply, copy, err);
    if (r == 0)
        (void)TAKE_PTR(copy); /* on_reply frees it */
    return r;
}

struct call_result get_no_memory(void)
{
    return (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER, "out of memory" };
}

int get_check_id(const char *id, struct error *err)
{
    if (!id || !*id)
        return error_set(err, -EINVAL, "the job's id is empty");
    if (queue_is_key_name(id, strlen(id)))
        return error_set(err, -EINVAL, "\"%s\" is no id of a job: it is a key of the queue", id);
    return 0;
}

const char *get_reply_text(const redisReply *reply)
{
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
               ? reply->str
               : "";
}

/* ---- states ---- */

static const char *const state_names[] = {
    [QUEUE_STATE_WAITING] = "waiting",     [QUEUE_STATE_PAUSED] = "paused",
    [QUEUE_STATE_ACTIVE] = "active",       [QUEUE_STATE_PRIORITIZED] = "prioritized",
    [QUEUE_STATE_DELAYED] = "delayed",     [QUEUE_STATE_WAITING_CHILDREN] = "waiting-children",
    [QUEUE_STATE_COMPLETED] = "completed", [QUEUE_STATE_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(state_names) == QUEUE_STATE_COUNT, "a name per state");

const char *queue_state_name(enum queue_state state)
{
    return state_names[state];
}

int queue_state_parse(const char *word, enum queue_state *out_state, struct error *err)
{
    if (strcmp(word, "wait") == 0) {
        *out_state = QUEUE_STATE_WAITING;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(state_names); i++) {
        if (strcmp(word, state_names[i]) == 0) {
            *out_state = (enum queue_state)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL,
                     "\"%s\" is no state; there are waiting, paused, active, prioritized, delayed, "
                     "waiting-children, completed and failed",
                     word);
}

/* ---- counts ---- */

static void read_counts(const redisReply *reply, struct queue_counts *out)
{
    redisReply *const *at = reply->element;

    *out = (struct queue_counts){
        .waiting = queue_reply_uint(at[0], 0),
        .paused_list = queue_reply_uint(at[1], 0),
        .active = queue_reply_uint(at[2], 0),
        .prioritized = queue_reply_uint(at[3], 0),
        .delayed = queue_reply_uint(at[4], 0),
        .waiting_children = queue_reply_uint(at[5], 0),
        .completed = queue_reply_uint(at[6], 0),
        .failed = queue_reply_uint(at[7], 0),
        .paused = queue_reply_uint(at[8], 0) != 0,
        .oldest_waiting_at_ms = queue_reply_uint(at[9], 0),
    };
}

uint64_t queue_counts_of(const struct queue_counts *counts, enum queue_state state)
{
    const uint64_t by_state[QUEUE_STATE_COUNT] = {
        [QUEUE_STATE_WAITING] = counts->waiting,
        [QUEUE_STATE_PAUSED] = counts->paused_list,
        [QUEUE_STATE_ACTIVE] = counts->active,
        [QUEUE_STATE_PRIORITIZED] = counts->prioritized,
        [QUEUE_STATE_DELAYED] = counts->delayed,
        [QUEUE_STATE_WAITING_CHILDREN] = counts->waiting_children,
        [QUEUE_STATE_COMPLETED] = counts->completed,
        [QUEUE_STATE_FAILED] = counts->failed,
    };

    return by_state[state];
}

static void on_counts(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, COUNTS_ELEMENTS);
    struct queue_counts counts = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY)
        read_counts(reply, &counts);
    call->on_done.counts(call->queue, &result, &counts, call->arg);
}

int queue_count_jobs(struct queue *queue, queue_counts_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.counts = on_done, .arg = arg };
    int r = get_args_begin(queue, 0, err);

    return r < 0 ? r : get_run_script(&call, &queue_script_counts, on_counts, err);
}

/* Whole numbers of an array; NULL on no memory. */
static uint64_t *read_numbers(redisReply *const *elements, size_t count)
{
    uint64_t *numbers = calloc(count ? count : 1, sizeof(*numbers));

    for (size_t i = 0; numbers && i < count; i++)
        numbers[i] = queue_reply_uint(elements[i], 0);
    return numbers;
}

static void on_priorities(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                          const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, call->number);
    _cleanup_(freep) uint64_t *counts = NULL;

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        counts = read_numbers(reply->element, call->number);
        if (!counts)
            result = get_no_memory();
    }
    call->on_done.priorities(call->queue, &result, counts, counts ? call->number : 0, call->arg);
}

int queue_count_priorities(struct queue *queue, const uint64_t *priorities, size_t count,
                           queue_priorities_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = {
        .queue = queue, .on_done.priorities = on_done, .arg = arg, .number = count
    };
    int r;

    if (count == 0 || count > QUEUE_PRIORITIES_MAX)
        return error_set(err, -EINVAL, "%zu priorities: give 1 to %d", count, QUEUE_PRIORITIES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (priorities[i] > PRIORITY_MAX)
            return error_set(err, -EINVAL, "priority %llu is greater than %d",
                             (unsigned long long)priorities[i], PRIORITY_MAX);
    }
    r = get_args_begin(queue, count, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        queue_args_add_uint(queue, priorities[i]);
    return get_run_script(&call, &queue_script_priorities, on_priorities, err);
}

/* ---- settings ---- */

static const char *const meta_fields[] = { "paused",   "concurrency",       "max",
                                           "duration", "opts.maxLenEvents", "version" };

static void on_meta(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, ARRAY_SIZE(meta_fields));
    struct queue_meta meta = { .version = "" };

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        redisReply *const *at = reply->element;

        meta = (struct queue_meta){
            .paused = at[0]->type == REDIS_REPLY_STRING,
            .concurrency = queue_reply_uint(at[1], 0),
            .limit_max = queue_reply_uint(at[2], 0),
            .limit_duration_ms = queue_reply_uint(at[3], 0),
            .events_max = queue_reply_uint(at[4], 0),
            .version = get_reply_text(at[5]),
        };
    }
    call->on_done.meta(call->queue, &result, result.outcome == REDIS_REPLY ? &meta : NULL,
                       call->arg);
}

int queue_get_meta(struct queue *queue, queue_meta_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.meta = on_done, .arg = arg };
    int r = queue_args_begin(queue, 2 + ARRAY_SIZE(meta_fields), err);

    if (r < 0)
        return r;
    queue_args_add_text(queue, "HMGET");
    queue_args_add_key(queue, QUEUE_KEY_META);
    for (size_t i = 0; i < ARRAY_SIZE(meta_fields); i++)
        queue_args_add_text(queue, meta_fields[i]);
    return get_run_command(&call, on_meta, err);
}

static void on_text(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    struct bytes text = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY)
        text = queue_reply_bytes(reply);
    call->on_done.text(call->queue, &result, text, call->arg);
}

int queue_get_deduplication_owner(struct queue *queue, const char *deduplication_id,
                                  queue_text_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.text = on_done, .arg = arg };
    _cleanup_(freep) char *key = text_format("%sde:%s", queue->key_prefix.data, deduplication_id);
    int r;

    if (!*deduplication_id)
        return error_set(err, -EINVAL, "the deduplication id is empty");
    r = key ? queue_args_begin(queue, 2, err) : error_set(err, -ENOMEM, "allocate a key");
    if (r < 0)
        return r;
    queue_args_add_text(queue, "GET");
    queue_args_add_text(queue, key);
    return get_run_command(&call, on_text, err);
}

int queue_get_state(struct queue *queue, const char *id, queue_text_cb *on_done, void *arg,
                    struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.text = on_done, .arg = arg };
    int r = get_check_id(id, err);

    if (r == 0)
        r = get_args_begin(queue, 1, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, id);
    return get_run_script(&call, &queue_script_state, on_text, err);
}

/* ---- metrics ---- */

static void on_metrics(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 3);
    _cleanup_(freep) uint64_t *points = NULL;
    struct queue_metrics metrics = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY &&
        (reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != 3 ||
         reply->element[2]->type != REDIS_REPLY_ARRAY))
        result = queue_call_result(outcome, reply, why, SIZE_MAX); /* an unknown shape */
    if (result.outcome == REDIS_REPLY) {
        redisReply *const *head = reply->element[0]->element;

        points = read_numbers(reply->element[2]->element, reply->element[2]->elements);
        metrics = (struct queue_metrics){ .count = queue_reply_uint(head[0], 0),
                                          .prev_at_ms = queue_reply_uint(head[1], 0),
                                          .prev_count = queue_reply_uint(head[2], 0),
                                          .points_total = queue_reply_uint(reply->element[1], 0),
                                          .points = points,
                                          .points_count = reply->element[2]->elements };
        if (!points)
            result = get_no_memory();
    }
    call->on_done.metrics(call->queue, &result, points ? &metrics : NULL, call->arg);
}

int queue_get_metrics(struct queue *queue, enum queue_state state, uint64_t start, size_t count,
                      queue_metrics_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.metrics = on_done, .arg = arg };
    int r;

    if (state != QUEUE_STATE_COMPLETED && state != QUEUE_STATE_FAILED)
        return error_set(err, -EINVAL, "there are metrics of completed and failed jobs, not of %s",
                         queue_state_name(state));
    if (count == 0 || count > QUEUE_POINTS_MAX)
        return error_set(err, -EINVAL, "%zu points: 1 to %d", count, QUEUE_POINTS_MAX);
    r = get_args_begin(queue, 3, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, queue_state_name(state));
    queue_args_add_uint(queue, start);
    queue_args_add_uint(queue, count);
    return get_run_script(&call, &queue_script_metrics, on_metrics, err);
}
