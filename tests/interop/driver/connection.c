/* Stands in for common/redis: every call is made at once over a blocking connection, and its
 * callback runs later, in connection_run. */
#include <stdarg.h>
#include <string.h>

#include "tests/interop/driver/driver.h"

struct pending {
    redisReply *reply;
    redis_reply_cb *on_reply;
    void *arg;
    struct pending *next;
};

struct patch {
    const char *script;
    char *text;
    struct patch *next;
};

static struct {
    redisContext *context;
    struct pending *first, *last;
    struct patch *patches;
} redis_link;

uint64_t driver_now_ms;

/* The linker puts this in the place of common/base's (--wrap). */
uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_clock_wall_ms(void)
{
    return driver_now_ms;
}

void connection_open(const char *socket_path)
{
    redis_link.context = redisConnectUnix(socket_path);
    if (!redis_link.context || redis_link.context->err)
        die("connect to %s: %s", socket_path,
            redis_link.context ? redis_link.context->errstr : "no memory");
}

void connection_close(void)
{
    while (redis_link.patches) {
        struct patch *patch = redis_link.patches;

        redis_link.patches = patch->next;
        free(patch->text);
        free(patch);
    }
    redisFree(redis_link.context);
}

struct redis *connection_redis(void)
{
    return (struct redis *)(void *)&redis_link; /* opaque: any address will do */
}

static redisReply *send_now(int argc, const char **argv, const size_t *argv_len)
{
    redisReply *reply = redisCommandArgv(redis_link.context, argc, argv, argv_len);

    if (!reply)
        die("Redis: %s", redis_link.context->errstr);
    return reply;
}

static void note_reply(redisReply *reply, redis_reply_cb *on_reply, void *arg)
{
    struct pending *pending = malloc(sizeof(*pending));

    if (!pending)
        die("no memory");
    *pending = (struct pending){ .reply = reply, .on_reply = on_reply, .arg = arg };
    if (redis_link.last)
        redis_link.last->next = pending;
    else
        redis_link.first = pending;
    redis_link.last = pending;
}

int redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argv_len,
                  uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    (void)redis;
    (void)deadline_ms;
    (void)err;
    note_reply(send_now(argc, (const char **)(uintptr_t)argv, argv_len), on_reply, arg);
    return 0;
}

static const char *patched_text(const struct redis_script *script)
{
    for (const struct patch *patch = redis_link.patches; patch; patch = patch->next) {
        if (strcmp(patch->script, script->name) == 0)
            return patch->text;
    }
    return NULL;
}

int redis_run_script(struct redis *redis, const struct redis_script *script, int keys_count,
                     int args_count, const char *const *args, const size_t *args_len,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    size_t count = (size_t)args_count; /* keys included */
    _cleanup_(freep) const char **argv = calloc(count + 3, sizeof(*argv));
    _cleanup_(freep) size_t *argv_len = calloc(count + 3, sizeof(*argv_len));
    const char *patched = patched_text(script);
    char keys_text[16];
    redisReply *reply;

    (void)redis;
    (void)deadline_ms;
    (void)err;
    if (!argv || !argv_len)
        die("no memory");
    (void)snprintf(keys_text, sizeof(keys_text), "%d", keys_count);
    argv[0] = patched ? "EVAL" : "EVALSHA";
    argv[1] = patched ? patched : script->sha;
    argv[2] = keys_text;
    memcpy(argv + 3, args, count * sizeof(*argv));
    for (size_t i = 0; i < 3; i++)
        argv_len[i] = strlen(argv[i]);
    memcpy(argv_len + 3, args_len, count * sizeof(*argv_len));
    reply = send_now((int)count + 3, argv, argv_len);
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        freeReplyObject(reply);
        argv[0] = "EVAL";
        argv[1] = script->text;
        argv_len[0] = 4;
        argv_len[1] = script->text_len;
        reply = send_now((int)count + 3, argv, argv_len);
    }
    note_reply(reply, on_reply, arg);
    return 0;
}

int redis_run_script_replicated(struct redis *redis, const struct redis_script *script,
                                int keys_count, int args_count, const char *const *args,
                                const size_t *args_len, const struct redis_wait *wait,
                                uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg,
                                struct error *err)
{
    (void)wait;
    return redis_run_script(redis, script, keys_count, args_count, args, args_len, deadline_ms,
                            on_reply, arg, err);
}

void connection_run(void)
{
    while (redis_link.first) {
        struct pending *pending = redis_link.first;
        redisReply *reply = pending->reply;
        bool refused = reply->type == REDIS_REPLY_ERROR;

        redis_link.first = pending->next;
        if (!redis_link.first)
            redis_link.last = NULL;
        pending->on_reply(connection_redis(), refused ? REDIS_REFUSED : REDIS_REPLY, reply,
                          refused ? reply->str : "", pending->arg);
        freeReplyObject(reply);
        free(pending);
    }
}

long long connection_tell(const char *format, ...)
{
    const char *words[8];
    char *line = NULL, *rest = NULL;
    redisReply *reply;
    int count = 0;
    long long number;
    va_list args;

    va_start(args, format);
    if (vasprintf(&line, format, args) < 0)
        die("no memory");
    va_end(args);
    for (char *at = strtok_r(line, " ", &rest); at && count < 8; at = strtok_r(NULL, " ", &rest))
        words[count++] = at;
    reply = redisCommandArgv(redis_link.context, count, words, NULL);
    free(line);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        die("Redis: %s", reply ? reply->str : redis_link.context->errstr);
    number = reply->type == REDIS_REPLY_ARRAY ? (long long)reply->elements : reply->integer;
    freeReplyObject(reply);
    return number;
}

static struct patch *patch_of(const char *name)
{
    struct patch *patch;

    for (patch = redis_link.patches; patch; patch = patch->next) {
        if (strcmp(patch->script, name) == 0)
            return patch;
    }
    for (const struct redis_script *const *script = queue_scripts; *script; script++) {
        if (strcmp((*script)->name, name) != 0)
            continue;
        patch = malloc(sizeof(*patch));
        if (!patch)
            die("no memory");
        *patch = (struct patch){ (*script)->name, strdup((*script)->text), redis_link.patches };
        redis_link.patches = patch;
        return patch;
    }
    die("no script is called %s", name);
}

void connection_patch(const char *script, const char *from, const char *to)
{
    struct patch *patch = patch_of(script);
    char *at = strstr(patch->text, from);
    char *text = NULL;

    if (!at || strstr(at + 1, from))
        die("script %s has this not once: %s", script, from);
    if (asprintf(&text, "%.*s%s%s", (int)(at - patch->text), patch->text, to, at + strlen(from)) <
        0)
        die("no memory");
    free(patch->text);
    patch->text = text;
}
