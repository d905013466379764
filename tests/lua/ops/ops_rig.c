#include "tests/lua/ops/ops_rig.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

struct queue *ops_queue;
struct ops_done ops_done;
struct error ops_error;

void ops_setup(void)
{
    struct error err;

    queue_rig_start();
    cr_assert(queue_new("bull", "q", queue_rig_redis(), &ops_queue, &err) == 0);
}

void ops_teardown(void)
{
    queue_free(ops_queue);
    queue_rig_stop();
}

/* Splits "a b c" at blanks behind a command and sends it. */
static void send_words(const char *first, const char *key, const char *words)
{
    const char *argv[64] = { first, key };
    size_t count = 2;
    char *copy = strdup(words), *at = copy, *word;

    cr_assert(copy);
    while ((word = strsep(&at, " ")) != NULL && count < ARRAY_SIZE(argv)) {
        if (*word)
            argv[count++] = word;
    }
    if (count > 2)
        (void)redis_says_argv(argv, count);
    free(copy);
}

void ops_store(const char *queue, const char *id, const char *more)
{
    char key[128];

    (void)snprintf(key, sizeof(key), "bull:%s:%s", queue, id);
    redis_says("HSET %s name a data {} opts {} timestamp 1000 delay 0 priority 0", key);
    if (more)
        send_words("HSET", key, more);
}

void ops_put(const char *queue, const char *state, double score, const char *id, const char *more)
{
    bool list =
        strcmp(state, "wait") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "active") == 0;

    ops_store(queue, id, more);
    if (list)
        redis_says("LPUSH bull:%s:%s %s", queue, state, id);
    else
        redis_says("ZADD bull:%s:%s %.0f %s", queue, state, score, id);
}

void ops_adopt(const char *queue, const char *id, const char *parent_queue, const char *parent_id,
               const char *policy)
{
    char parent[256];

    (void)snprintf(parent, sizeof(parent), "{\"id\":\"%s\",\"queueKey\":\"bull:%s\"%s%s}",
                   parent_id, parent_queue, *policy ? "," : "", policy);
    redis_says("HSET bull:%s:%s parentKey bull:%s:%s parent %s", queue, id, parent_queue, parent_id,
               parent);
    redis_says("SADD bull:%s:%s:dependencies bull:%s:%s", parent_queue, parent_id, queue, id);
}

const char *ops_events(const char *queue)
{
    static const char script[] =
        "local out = {} "
        "for at, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do "
        "out[at] = table.concat(entry[2], ' ') end return table.concat(out, '; ')";
    char key[64];
    const char *const argv[] = { "EVAL", script, "1", key };

    (void)snprintf(key, sizeof(key), "bull:%s:events", queue);
    return redis_says_argv(argv, ARRAY_SIZE(argv));
}

const char *ops_keys(void)
{
    static const char script[] =
        "local out = {} "
        "for _, key in ipairs(redis.call('KEYS', 'bull:*')) do "
        "local last = string.match(key, '([^:]*)$') "
        "if last ~= 'meta' and last ~= 'events' and last ~= 'marker' and last ~= 'id' then "
        "out[#out + 1] = string.sub(key, 6) end end "
        "table.sort(out) return table.concat(out, ' ')";
    const char *const argv[] = { "EVAL", script, "0" };

    return redis_says_argv(argv, ARRAY_SIZE(argv));
}

static void note(const struct call_result *call)
{
    ops_done.calls++;
    ops_done.call = *call;
    (void)snprintf(ops_done.why, sizeof(ops_done.why), "%s", call->why);
}

void ops_on_done(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue);
    note(call);
    ops_done.value = value;
}

void ops_on_codes(struct queue *queue, const struct call_result *call,
                  const enum change_code *codes, size_t count, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue && count <= QUEUE_IDS_MAX);
    note(call);
    memcpy(ops_done.codes, codes, count * sizeof(*codes));
    ops_done.count = count;
}

void ops_on_removed(struct queue *queue, const struct call_result *call,
                    const struct remove_result *result, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue);
    note(call);
    ops_done.removed = *result;
}

static bool on_progress(struct queue *queue, const struct bulk_progress *progress, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue);
    ops_done.pieces++;
    for (size_t i = 0; i < progress->ids_count; i++) {
        size_t len = strlen(ops_done.ids);

        (void)snprintf(ops_done.ids + len, sizeof(ops_done.ids) - len, "%s%.*s", len ? " " : "",
                       (int)progress->ids[i].len, progress->ids[i].data);
    }
    return ops_done.cancel_at == 0 || ops_done.pieces < ops_done.cancel_at;
}

static void on_bulk(struct queue *queue, const struct call_result *call,
                    const struct bulk_result *result, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue);
    note(call);
    ops_done.bulk = *result;
}

struct bulk_run ops_run(size_t piece, uint64_t limit)
{
    ops_done.pieces = 0;
    ops_done.ids[0] = '\0';
    return (struct bulk_run){
        .limit = limit, .piece = piece, .on_progress = on_progress, .on_done = on_bulk
    };
}
