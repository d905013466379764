/* Commands in flight: encoding, deadlines, exactly one answer each. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/redis/cluster.h"
#include "common/redis/connection.h"
#include "common/redis/encode.h"

/* How long past a deadline bytes that had already arrived may still be read (our own process may
 * have been stopped, and then the replies wait in the socket). */
#define LATE_GRACE_MS 200

/* ---- answering ---- */

void request_free(struct request *request)
{
    if (!request)
        return;
    wait_forget(request);
    free(request);
}

void request_detach(struct request *request)
{
    struct redis *redis = request->redis;

    TAILQ_REMOVE(&redis->requests, request, link);
    redis->requests_count--;
    if (redis->late == request)
        redis->late = NULL;
    request->redis = NULL;
}

void request_answer(struct request *request, enum redis_outcome outcome, const redisReply *reply,
                    const char *why)
{
    request_detach(request);
    request->on_reply(request->asker, outcome, reply, why, request->arg);
    request_free(request);
}

void requests_give_up(struct redis *redis)
{
    struct request *request = NULL;

    while ((request = TAILQ_FIRST(&redis->requests)))
        request_answer(request, REDIS_UNKNOWN, NULL, redis->why);
}

static void on_context_reply(redisAsyncContext *context, void *data, void *privdata);

static bool send_text(struct request *request, const char *text, size_t len)
{
    return redisAsyncFormattedCommand(request->redis->context, on_context_reply, request, text,
                                      len) == REDIS_OK;
}

/* NOSCRIPT: nothing was executed, so the same call goes out once more with the text instead of the
 * sha. Calls that follow got NOSCRIPT too, or come later: their order stays. */
static bool resend_by_text(struct request *request)
{
    struct redis *redis = request->redis;
    const struct redis_script *script = request->script;
    size_t tail_len = request->text_len - request->tail_at;
    size_t len = redis_encode_array_bytes(request->args_count) + redis_encode_bulk_bytes(4) +
                 redis_encode_bulk_bytes(script->text_len) + tail_len;
    _cleanup_(freep) char *text = malloc(len);
    char *at = text;

    request->by_text = true;
    if (!text || redis->phase != PHASE_READY || redis->closing)
        return false;
    wait_forget(request);
    at = redis_encode_array(at, request->args_count);
    at = redis_encode_bulk(at, "EVAL", 4);
    at = redis_encode_bulk(at, script->text, script->text_len);
    memcpy(at, request->text + request->tail_at, tail_len);
    if (!send_text(request, text, len))
        return false;
    if (!wait_send(request))
        redis_lose(redis, "no memory to ask for replicas");
    return true;
}

/* A failover has made a replica of it: whoever knows the new master is asked. */
static void leave_replica(struct redis *redis, const redisReply *reply)
{
    if (redis_error_class(reply) == REDIS_CLASS_READONLY &&
        (redis->sentinel || redis->peer == PEER_NODE))
        redis_lose(redis, "%s", reply->str);
}

static void take_refusal(struct request *request, const redisReply *reply)
{
    struct redis *redis = request->redis;

    if (request->script && !request->by_text && redis_error_class(reply) == REDIS_CLASS_NOSCRIPT &&
        resend_by_text(request))
        return;
    if (redis->peer == PEER_NODE && cluster_take_refusal(request, reply))
        return;
    request_answer(request, REDIS_REFUSED, reply, reply->str);
    leave_replica(redis, reply);
}

static void on_context_reply(redisAsyncContext *context, void *data, void *privdata)
{
    struct request *request = privdata;
    const redisReply *reply = data;

    if (!reply) {
        /* Freed or lost; whoever freed has noted its reason before. */
        redis_lose_context(request->redis, context);
        request_answer(request, REDIS_UNKNOWN, NULL, request->redis->why);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR)
        take_refusal(request, reply);
    else if (request->wait_call)
        wait_take_reply(request, reply);
    else
        request_answer(request, REDIS_REPLY, reply, "");
}

/* ---- sending ---- */

size_t call_arg_len(const struct call *call, size_t at)
{
    return call->argv_len ? call->argv_len[at] : strlen(call->argv[at]);
}

/* With room for `prefix_bytes` and the arguments behind them. */
static struct request *request_new(const struct call *call, size_t prefix_bytes)
{
    struct request *request = NULL;
    size_t len = prefix_bytes;

    for (size_t i = 0; i < call->argc; i++)
        len += redis_encode_bulk_bytes(call_arg_len(call, i));
    if (call->guard)
        len += redis_encode_bulk_bytes(strlen(call->guard));
    request = malloc(sizeof(*request) + len);
    if (!request)
        return NULL;
    *request = (struct request){ .text_len = len };
    return request;
}

static void encode_args(const struct call *call, char *at)
{
    for (size_t i = 0; i < call->argc; i++) {
        if (call->guard && i == (size_t)call->keys_count)
            at = redis_encode_bulk(at, call->guard, strlen(call->guard));
        at = redis_encode_bulk(at, call->argv[i], call_arg_len(call, i));
    }
    if (call->guard && call->argc == (size_t)call->keys_count)
        (void)redis_encode_bulk(at, call->guard, strlen(call->guard)); /* nothing follows */
}

static struct request *encode_command(const struct call *call)
{
    struct request *request = request_new(call, redis_encode_array_bytes(call->argc));
    size_t word_len = call_arg_len(call, 0);

    if (!request)
        return NULL;
    (void)snprintf(request->name, sizeof(request->name), "%.*s",
                   (int)(word_len < sizeof(request->name) ? word_len : sizeof(request->name)),
                   call->argv[0]);
    encode_args(call, redis_encode_array(request->text, call->argc));
    return request;
}

static struct request *encode_script(const struct call *call)
{
    const struct redis_script *script = call->script;
    size_t sha_len = strlen(script->sha);
    int guards = call->guard ? 1 : 0;
    size_t args_count = call->argc + 3 + (size_t)guards; /* EVALSHA sha numkeys … */
    char keys[16];
    size_t keys_len = (size_t)snprintf(keys, sizeof(keys), "%d", call->keys_count + guards);
    size_t tail_at = redis_encode_array_bytes(args_count) + redis_encode_bulk_bytes(7) +
                     redis_encode_bulk_bytes(sha_len);
    struct request *request = request_new(call, tail_at + redis_encode_bulk_bytes(keys_len));
    char *at = NULL;

    if (!request)
        return NULL;
    request->script = script;
    request->args_count = args_count;
    request->tail_at = tail_at;
    (void)snprintf(request->name, sizeof(request->name), "script %.15s", script->name);
    at = redis_encode_array(request->text, args_count);
    at = redis_encode_bulk(at, "EVALSHA", 7);
    at = redis_encode_bulk(at, script->sha, sha_len);
    at = redis_encode_bulk(at, keys, keys_len);
    encode_args(call, at);
    return request;
}

int request_check_room(const struct redis *redis, size_t more, struct error *err)
{
    size_t unsent = sdslen(redis->context->c.obuf);

    if (unsent > 0 && unsent + more > REDIS_UNSENT_MAX_BYTES)
        return error_set(err, -ENOBUFS, "%s: %zu bytes are unsent: it reads too slowly",
                         redis->place, unsent);
    if (redis->requests_count >= REDIS_PENDING_MAX)
        return error_set(err, -ENOBUFS, "%s: %zu commands are unanswered", redis->place,
                         redis->requests_count);
    return 0;
}

/* From now: its answer may come so late, and what replicas may take on top. */
static void set_deadline(struct request *request)
{
    struct redis *redis = request->redis;
    uint64_t wait_ms = request->wait.replicas ? request->wait.timeout_ms : 0;

    request->deadline_at_ms =
        request->timeout_ms ? clock_now_ms() + request->timeout_ms + wait_ms : NO_DEADLINE;
    if (request->deadline_at_ms >= redis->next_deadline_ms)
        return;
    redis->next_deadline_ms = request->deadline_at_ms;
    if (redis->phase == PHASE_READY && !redis->closing)
        redis_kick(redis);
}

struct request *request_build(const struct call *call, uint64_t timeout_ms,
                              redis_reply_cb *on_reply, void *arg)
{
    struct request *request = call->script ? encode_script(call) : encode_command(call);

    if (!request)
        return NULL;
    request->timeout_ms = timeout_ms;
    request->on_reply = on_reply;
    request->arg = arg;
    if (call->wait)
        request->wait = *call->wait;
    return request;
}

static bool send_asking(struct request *request)
{
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";

    return redisAsyncFormattedCommand(request->redis->context, NULL, NULL, asking,
                                      sizeof(asking) - 1) == REDIS_OK;
}

bool request_transmit(struct redis *redis, struct request *request)
{
    struct redis *before = request->redis;

    request->redis = redis;
    request->by_text = false;
    /* hiredis takes all or none: it refuses only when the connection is ending. */
    if ((request->asking && !send_asking(request)) ||
        !send_text(request, request->text, request->text_len)) {
        request->redis = before;
        return false;
    }
    TAILQ_INSERT_TAIL(&redis->requests, request, link);
    redis->requests_count++;
    set_deadline(request);
    if (!wait_send(request))
        redis_lose(redis, "no memory to ask for replicas");
    return true;
}

int request_send(struct redis *redis, const struct call *call, uint64_t timeout_ms,
                 redis_reply_cb *on_reply, void *arg, struct error *err)
{
    struct request *request = request_build(call, timeout_ms, on_reply, arg);
    int r = 0;

    if (!request)
        return error_set(err, -ENOMEM, "allocate a command");
    request->asker = redis;
    r = request_check_room(redis, request->text_len, err);
    if (r == 0 && !request_transmit(redis, request))
        r = error_set(err, -ENOTCONN, "%s: the connection is ending", redis->place);
    if (r < 0)
        request_free(request);
    return r;
}

/* ---- deadlines ---- */

/* Earliest deadline; the request that has passed its own, or NULL. */
static struct request *find_late(struct redis *redis, uint64_t now_ms)
{
    struct request *request = NULL, *late = NULL;

    redis->next_deadline_ms = NO_DEADLINE;
    TAILQ_FOREACH(request, &redis->requests, link)
    {
        if (request->deadline_at_ms <= now_ms && !late)
            late = request;
        if (request->deadline_at_ms < redis->next_deadline_ms)
            redis->next_deadline_ms = request->deadline_at_ms;
    }
    return late;
}

void requests_check_deadlines(struct redis *redis, uint64_t now_ms)
{
    struct request *late = NULL;
    uint64_t reads = redis_adapter_reads(redis->adapter);

    if (now_ms < redis->next_deadline_ms)
        return;
    late = find_late(redis, now_ms);
    if (!late)
        return;
    /* libuv runs timers before it polls: look at the socket once more before giving up. */
    if (late != redis->late) {
        redis->late = late;
        redis->late_since_ms = now_ms;
        redis->reads_seen = reads;
        return;
    }
    if (reads != redis->reads_seen && now_ms < redis->late_since_ms + LATE_GRACE_MS) {
        redis->reads_seen = reads;
        return;
    }
    redis_lose(redis, "no reply to %s within %llu ms", late->name,
               (unsigned long long)late->timeout_ms);
}
