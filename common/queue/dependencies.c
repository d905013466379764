/* What a job depends on: its children by kind, a page at a time, and the keys that name them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/get_internal.h"

static const char *const kind_names[] = {
    [DEPENDENCY_PROCESSED] = "processed",
    [DEPENDENCY_UNPROCESSED] = "unprocessed",
    [DEPENDENCY_IGNORED] = "ignored",
    [DEPENDENCY_FAILED] = "failed",
};
_Static_assert(ARRAY_SIZE(kind_names) == DEPENDENCY_COUNT, "a name per kind; lua/lib/children.lua");

const char *dependency_kind_name(enum dependency_kind kind)
{
    return kind_names[kind];
}

/* ---- counts ---- */

static void on_counts(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, DEPENDENCY_COUNT);
    uint64_t counts[DEPENDENCY_COUNT] = { 0 };

    (void)redis;
    for (size_t i = 0; result.outcome == REDIS_REPLY && i < DEPENDENCY_COUNT; i++)
        counts[i] = queue_reply_uint(reply->element[i], 0);
    call->on_done.dependency_counts(call->queue, &result, counts, call->arg);
}

int queue_count_dependencies(struct queue *queue, const char *id,
                             queue_dependency_counts_cb *on_done, void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue,
                                   .on_done.dependency_counts = on_done,
                                   .arg = arg };
    int r = get_check_id(id, err);

    if (r == 0)
        r = get_args_begin(queue, 1, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, id);
    return get_run_script(&call, &queue_script_dependency_counts, on_counts, err);
}

/* ---- a page ---- */

static void on_page(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    size_t count = result.outcome == REDIS_REPLY ? (reply->elements - 1) / 2 : 0;
    _cleanup_(freep) struct dependency *items = calloc(count + 1, sizeof(*items));

    (void)redis;
    if (!items && result.outcome == REDIS_REPLY)
        result = get_no_memory();
    if (!items || result.outcome != REDIS_REPLY) {
        call->on_done.dependencies(call->queue, &result, NULL, 0, 0, call->arg);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].key = queue_reply_bytes(reply->element[1 + 2 * i]);
        items[i].value = queue_reply_bytes(reply->element[2 + 2 * i]);
    }
    call->on_done.dependencies(call->queue, &result, items, count,
                               queue_reply_uint(reply->element[0], 0), call->arg);
}

int queue_get_dependencies(struct queue *queue, const char *id, enum dependency_kind kind,
                           uint64_t cursor, size_t count, queue_dependencies_cb *on_done, void *arg,
                           struct error *err)
{
    const struct get_call call = { .queue = queue, .on_done.dependencies = on_done, .arg = arg };
    int r = get_check_id(id, err);

    if (r == 0 && (count == 0 || count > QUEUE_DEPENDENCIES_MAX))
        r = error_set(err, -EINVAL, "%zu children: 1 to %d", count, QUEUE_DEPENDENCIES_MAX);
    if (r == 0)
        r = get_args_begin(queue, 4, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, id);
    queue_args_add_text(queue, dependency_kind_name(kind));
    queue_args_add_uint(queue, cursor);
    queue_args_add_uint(queue, count);
    return get_run_script(&call, &queue_script_dependencies, on_page, err);
}

/* ---- keys ---- */

void job_address_done(struct job_address *address)
{
    free(address->prefix);
    free(address->queue);
    free(address->id);
    *address = (struct job_address){ 0 };
}

/* Where the queue's name begins in a key: behind the prefix of `queue` when it is the same, else
 * behind the first colon. NULL: nowhere. */
static const char *find_name(const struct queue *queue, struct bytes key)
{
    size_t prefix_len = queue->key_prefix.len - strlen(queue->name) - 1; /* with its colon */
    const char *colon;

    if (key.len > prefix_len && memcmp(key.data, queue->key_prefix.data, prefix_len) == 0)
        return key.data + prefix_len;
    colon = memchr(key.data, ':', key.len);
    return colon ? colon + 1 : NULL;
}

bool job_key_split(const struct queue *queue, struct bytes key, struct job_address *out)
{
    const char *end = key.data + key.len;
    const char *name = key.data ? find_name(queue, key) : NULL;
    const char *colon = name ? memchr(name, ':', (size_t)(end - name)) : NULL;

    /* No queue's name has a colon, so the first one ends it; an id may have more. */
    if (!colon || colon == name || colon + 1 == end || name == key.data + 1 ||
        memchr(key.data, '\0', key.len))
        return false;
    *out = (struct job_address){ strndup(key.data, (size_t)(name - key.data - 1)),
                                 strndup(name, (size_t)(colon - name)),
                                 strndup(colon + 1, (size_t)(end - colon - 1)) };
    if (out->prefix && out->queue && out->id)
        return true;
    job_address_done(out);
    return false;
}
