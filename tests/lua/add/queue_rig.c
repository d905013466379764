#include "tests/lua/add/queue_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

struct pending {
    redisReply *reply; /* NULL: lost */
    redis_reply_cb *on_reply;
    void *arg;
    struct pending *next;
};

static struct {
    struct redis_server server;
    redisContext *context;
    struct pending *first, *last;
    bool lost;
    void (*between)(void);
} rig;

/* common/redis's type is opaque: any address will do. */
static char connection;

void queue_rig_start(void)
{
    redis_server_start(&rig.server, NULL);
    rig.context = redis_server_connect(&rig.server);
}

void queue_rig_attach(const char *socket_path)
{
    rig.context = redisConnectUnix(socket_path);
    assert(rig.context && !rig.context->err);
}

void queue_rig_stop(void)
{
    assert(!rig.first);
    redisFree(rig.context);
    redis_server_stop(&rig.server);
}

struct redis *queue_rig_redis(void)
{
    return (struct redis *)(void *)&connection;
}

void queue_rig_lose(bool lost)
{
    rig.lost = lost;
}

void queue_rig_between(void (*between)(void))
{
    rig.between = between;
}

static int send_now(int argc, const char **argv, const size_t *argv_len, redis_reply_cb *on_reply,
                    void *arg)
{
    struct pending *pending = calloc(1, sizeof(*pending));

    assert(pending);
    *pending = (struct pending){ .on_reply = on_reply, .arg = arg };
    if (!rig.lost) {
        pending->reply = redisCommandArgv(rig.context, argc, argv, argv_len);
        assert(pending->reply);
    }
    if (rig.last)
        rig.last->next = pending;
    else
        rig.first = pending;
    rig.last = pending;
    return 0;
}

int redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argv_len,
                  uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    (void)redis;
    (void)deadline_ms;
    (void)err;
    return send_now(argc, (const char **)(uintptr_t)argv, argv_len, on_reply, arg);
}

/* The rig's server has no replicas: nothing that is tested here waits for any. */
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

int redis_run_script(struct redis *redis, const struct redis_script *script, int keys_count,
                     int args_count, const char *const *args, const size_t *args_len,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    size_t count = (size_t)args_count; /* keys included */
    const char **argv = calloc(count + 3, sizeof(*argv));
    size_t *argv_len = calloc(count + 3, sizeof(*argv_len));
    char keys_text[16];

    (void)redis;
    (void)deadline_ms;
    (void)err;
    assert(argv && argv_len);
    (void)snprintf(keys_text, sizeof(keys_text), "%d", keys_count);
    argv[0] = "EVAL";
    argv[1] = script->text;
    argv[2] = keys_text;
    argv_len[0] = 4;
    argv_len[1] = script->text_len;
    argv_len[2] = strlen(keys_text);
    memcpy(argv + 3, args, count * sizeof(*argv));
    memcpy(argv_len + 3, args_len, count * sizeof(*argv_len));
    (void)send_now((int)count + 3, argv, argv_len, on_reply, arg); /* aborts on failure */
    free(argv);
    free(argv_len);
    return 0;
}

size_t queue_rig_run(void)
{
    size_t calls = 0;

    while (rig.first) {
        struct pending *pending = rig.first;
        redisReply *reply = pending->reply;
        bool refused = reply && reply->type == REDIS_REPLY_ERROR;
        enum redis_outcome outcome = !reply ? REDIS_UNKNOWN : refused ? REDIS_REFUSED : REDIS_REPLY;

        rig.first = pending->next;
        if (!rig.first)
            rig.last = NULL;
        if (rig.between)
            rig.between();
        pending->on_reply(queue_rig_redis(), outcome, reply,
                          !reply    ? "connection lost"
                          : refused ? reply->str
                                    : "",
                          pending->arg);
        if (reply)
            freeReplyObject(reply);
        free(pending);
        calls++;
    }
    return calls;
}

static void print_reply(const redisReply *reply, struct buf *out)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        (void)buf_printf(out, "%lld", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        (void)buf_append_text(out, "(nil)");
        break;
    case REDIS_REPLY_ERROR:
        (void)buf_printf(out, "(error) %s", reply->str);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0)
                (void)buf_append_char(out, ' ');
            print_reply(reply->element[i], out);
        }
        break;
    default:
        (void)buf_append(out, reply->str, reply->len);
        break;
    }
}

/* Takes the reply. */
static const char *keep_text(redisReply *reply)
{
    /* Until the test's process ends (tests compare many of them), and never a leak. */
    static struct kept {
        char *text;
        struct kept *before;
    } * kept;
    struct kept *one;
    struct buf out = BUF_INIT((size_t)16 * 1024 * 1024);
    char *text;

    assert(reply);
    print_reply(reply, &out);
    freeReplyObject(reply);
    text = buf_take(&out);
    assert(text);
    one = malloc(sizeof(*one));
    assert(one);
    *one = (struct kept){ text, kept };
    kept = one;
    return text;
}

const char *redis_says(const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(rig.context, format, args);
    va_end(args);
    return keep_text(reply);
}

const char *redis_says_argv(const char *const *argv, size_t count)
{
    return keep_text(
        redisCommandArgv(rig.context, (int)count, (const char **)(uintptr_t)argv, NULL));
}
