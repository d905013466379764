/* A queue's names: key prefix, keys, private keys, the name under which its workers are seen. */
#include "common/queue/queue.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/queue_internal.h"

const struct redis_script *const queue_worker_scripts[] = {
    &queue_script_turn,
    &queue_script_renew,
    &queue_script_outcome,
    &queue_script_adopt,
    &queue_script_leave,
    &queue_script_stalled,
    NULL,
};

const struct redis_script *const queue_add_scripts[] = {
    &queue_script_add,
    &queue_script_relate,
    &queue_script_flow,
    NULL,
};

/* Wire format 1.2; the suffixes are listed here and nowhere else. */
static const char *const suffixes[] = {
    [QUEUE_KEY_WAIT] = "wait",
    [QUEUE_KEY_PAUSED] = "paused",
    [QUEUE_KEY_ACTIVE] = "active",
    [QUEUE_KEY_PRIORITIZED] = "prioritized",
    [QUEUE_KEY_DELAYED] = "delayed",
    [QUEUE_KEY_WAITING_CHILDREN] = "waiting-children",
    [QUEUE_KEY_COMPLETED] = "completed",
    [QUEUE_KEY_FAILED] = "failed",
    [QUEUE_KEY_MARKER] = "marker",
    [QUEUE_KEY_ID] = "id",
    [QUEUE_KEY_PC] = "pc",
    [QUEUE_KEY_META] = "meta",
    [QUEUE_KEY_EVENTS] = "events",
    [QUEUE_KEY_STALLED] = "stalled",
    [QUEUE_KEY_STALLED_CHECK] = "stalled-check",
    [QUEUE_KEY_LIMITER] = "limiter",
};
_Static_assert(ARRAY_SIZE(suffixes) == QUEUE_KEY_COUNT, "a suffix per key");

bool queue_is_key_name(const char *id, size_t len)
{
    /* Names of keys that drover itself does not use, but peers do. */
    static const char *const others[] = { "repeat", "priority", "delay" };

    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++) {
        if (strlen(suffixes[i]) == len && memcmp(suffixes[i], id, len) == 0)
            return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (strlen(others[i]) == len && memcmp(others[i], id, len) == 0)
            return true;
    }
    return false;
}

static struct bytes take_bytes(char *text)
{
    return (struct bytes){ .data = text, .len = text ? strlen(text) : 0 };
}

static void free_bytes(struct bytes *bytes)
{
    free((void *)(uintptr_t)bytes->data); /* ours: the const is for the readers */
    *bytes = (struct bytes){ 0 };
}

/* Redis hashes the text between the first '{' and the next '}' when there is any, else the whole
 * key. A private key with that text (or else "<prefix>:<queue>") in its own braces lies on the node
 * of the queue, where one script can reach both. Many queues may share a text in braces, so then
 * their names follow: each queue has keys of its own. */
static char *make_private_prefix(const char *prefix, const char *name)
{
    _cleanup_(freep) char *qualified = text_format("%s:%s", prefix, name);
    const char *open = qualified ? strchr(qualified, '{') : NULL;
    const char *close = open ? strchr(open, '}') : NULL;

    if (!qualified)
        return NULL;
    if (close && close > open + 1)
        return text_format("drover:{%.*s}:%s:", (int)(close - open - 1), open + 1, qualified);
    return text_format("drover:{%s}:", qualified);
}

int queue_check_names(const char *prefix, const char *name, struct error *err)
{
    if (!prefix || !*prefix)
        return error_set(err, -EINVAL, "the key prefix is empty");
    if (!name || !*name)
        return error_set(err, -EINVAL, "the queue name is empty");
    if (strchr(name, ':'))
        return error_set(err, -EINVAL, "queue name \"%s\" contains ':'", name);
    return 0;
}

static bool build_names(struct queue *queue, const char *prefix, const char *name)
{
    queue->name = strdup(name);
    queue->key_prefix = take_bytes(text_format("%s:%s:", prefix, name));
    queue->private_prefix = take_bytes(make_private_prefix(prefix, name));
    if (!queue->name || !queue->key_prefix.data || !queue->private_prefix.data)
        return false;
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++) {
        queue->keys[i] = take_bytes(text_format("%s%s", queue->key_prefix.data, suffixes[i]));
        if (!queue->keys[i].data)
            return false;
    }
    return true;
}

int queue_new(const char *prefix, const char *name, struct redis *redis, struct queue **out_queue,
              struct error *err)
{
    struct queue *queue;

    if (queue_check_names(prefix, name, err) < 0)
        return -EINVAL;
    queue = calloc(1, sizeof(*queue));
    if (!queue || !build_names(queue, prefix, name)) {
        queue_free(queue);
        return error_set(err, -ENOMEM, "allocate queue %s", name);
    }
    queue->redis = redis;
    *out_queue = queue;
    return 0;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    free(queue->name);
    free_bytes(&queue->key_prefix);
    free_bytes(&queue->private_prefix);
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        free_bytes(&queue->keys[i]);
    queue_args_done(&queue->args);
    options_cache_free(queue->options_cache);
    free(queue);
}

void queue_set_redis(struct queue *queue, struct redis *redis)
{
    queue->redis = redis;
}

void queue_set_wait(struct queue *queue, const struct redis_wait *wait)
{
    queue->wait = wait ? *wait : (struct redis_wait){ 0 };
}

const char *queue_name(const struct queue *queue)
{
    return queue->name;
}

const char *queue_key_prefix(const struct queue *queue)
{
    return queue->key_prefix.data;
}

char *queue_private_key(const struct queue *queue, const char *suffix)
{
    return text_format("%s%s", queue->private_prefix.data, suffix);
}

char *queue_worker_client_name(const struct queue *queue, const char *worker_name)
{
    _cleanup_(freep) char *encoded = text_base64(queue->name, strlen(queue->name));
    int prefix_len = (int)(queue->key_prefix.len - strlen(queue->name) - 2);

    if (!encoded)
        return NULL;
    if (!worker_name || !*worker_name)
        return text_format("%.*s:%s", prefix_len, queue->key_prefix.data, encoded);
    return text_format("%.*s:%s:w:%s", prefix_len, queue->key_prefix.data, encoded, worker_name);
}
