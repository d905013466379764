#include "common/redis/redis.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/text.h"
#include "common/config/config.h"
#include "common/redis/connection.h"

/* Reconnecting: the first try comes soon (a restarted server), later ones spare a struggling one.
 */
#define BACKOFF_FIRST_MS   50
#define BACKOFF_JITTER     0.3
/* A connection that was READY for less counts as one more failure: a server that drops every client
 * at once is not asked in a tight loop. */
#define READY_PROVEN_MS    1000
/* Where the endpoint says 0. */
#define DEFAULT_TIMEOUT_MS 5000
/* TCP: a peer that vanished is noticed within about this while nothing is asked. */
#define TCP_SILENCE_MS     20000
#define KEEPALIVE_IDLE_S   10
#define KEEPALIVE_PERIOD_S 5
#define KEEPALIVE_PROBES   2
/* After a deadline has passed: how soon the socket is looked at once more. */
#define LATE_TICK_MS       1

static void redis_step(struct redis *redis);

static uint64_t timeout_or_default(uint64_t timeout_ms)
{
    return timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
}

/* ---- what is to be done next, and when ---- */

static void on_timer(uv_timer_t *timer)
{
    redis_step(timer->data);
}

static void set_timer(struct redis *redis, uint64_t delay_ms)
{
    (void)uv_timer_start(&redis->timer, on_timer, delay_ms, 0); /* fails only while closing */
}

void redis_kick(struct redis *redis)
{
    if (redis->phase != PHASE_CLOSED)
        set_timer(redis, 0);
}

static uint64_t next_wake_ms(const struct redis *redis)
{
    switch (redis->phase) {
    case PHASE_RESOLVE:
    case PHASE_CONNECT:
    case PHASE_HANDSHAKE:
        return redis->try_deadline_ms;
    case PHASE_READY:
        return redis->next_deadline_ms;
    case PHASE_WAIT:
        return redis->retry_at_ms;
    case PHASE_START:
    case PHASE_LOST:
    case PHASE_CLOSED:
        break;
    }
    return 0;
}

static void arm_timer(struct redis *redis)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t wake_ms = next_wake_ms(redis);

    if (redis->phase == PHASE_CLOSED)
        return;
    if (redis->closing || redis->phase == PHASE_LOST)
        set_timer(redis, 0);
    else if (wake_ms == NO_DEADLINE)
        (void)uv_timer_stop(&redis->timer); /* always 0 */
    else
        set_timer(redis, wake_ms > now_ms ? wake_ms - now_ms : LATE_TICK_MS);
}

static PRINTF_LIKE(2, 0) void set_why(struct redis *redis, const char *format, va_list args)
{
    int len = 0;

    if (redis->why[0])
        return; /* the first reason is the cause; the others follow from it */
    len = snprintf(redis->why, sizeof(redis->why), "%s: ", redis->place);
    if (len >= 0 && (size_t)len < sizeof(redis->why))
        (void)vsnprintf(redis->why + len, sizeof(redis->why) - (size_t)len, format, args);
}

void redis_lose(struct redis *redis, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_why(redis, format, args);
    va_end(args);
    if (redis->phase == PHASE_CLOSED || redis->phase == PHASE_LOST || redis->phase == PHASE_WAIT)
        return;
    redis->phase = PHASE_LOST;
    redis_kick(redis);
}

/* ---- one connection: from the address to the handshake ---- */

/* A server that is full writes one error and closes: when our write finds that before our read
 * does, the error is still in the socket. */
static bool read_last_words(const redisAsyncContext *context, char *out, size_t out_bytes)
{
    ssize_t len = recv(context->c.fd, out, out_bytes - 1, MSG_DONTWAIT);

    if (len < 2 || out[0] != '-')
        return false;
    out[len] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

void redis_lose_context(struct redis *redis, const redisAsyncContext *context)
{
    char words[WHY_BYTES / 2];

    if (redis->phase == PHASE_HANDSHAKE && context->c.err &&
        read_last_words(context, words, sizeof(words)))
        redis_lose(redis, "%s", words + 1);
    else
        redis_lose(redis, "connection lost: %s", context->c.err ? context->c.errstr : "closed");
}

static void on_context_gone(redisAsyncContext *context)
{
    struct redis *redis = context->data;

    redis->context = NULL;
    redis->adapter = NULL;
    redis_lose_context(redis, context);
}

static void on_context_connected(const redisAsyncContext *context, int status)
{
    struct redis *redis = context->data;

    if (redis->phase != PHASE_CONNECT)
        return;
    if (status != REDIS_OK) {
        /* hiredis 0.14 has the reason only in the inner context here. */
        redis_lose(redis, "connect: %s", context->c.errstr);
        return;
    }
    redis->phase = PHASE_HANDSHAKE;
    handshake_start(redis);
}

/* A silent peer is noticed by the kernel too; the deadlines of commands are the first line. */
static void set_tcp_options(int fd)
{
    static const struct {
        int level, option, value;
    } options[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PERIOD_S },
        { IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_SILENCE_MS },
        { IPPROTO_TCP, TCP_NODELAY, 1 },
    };

    /* Without one of them the connection works all the same. */
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].option, &options[i].value,
                         sizeof(options[i].value));
}

static redisAsyncContext *start_context(struct redis *redis)
{
    if (redis->endpoint->path)
        return redisAsyncConnectUnix(redis->endpoint->path);
    return redisAsyncConnect(redis->addresses.addresses[redis->address_at], redis->endpoint->port);
}

/* Sockets of hiredis are born without close-on-exec. */
static int prepare_context(struct redis *redis, redisAsyncContext *context, struct error *err)
{
    if (context->err || context->c.err || context->c.fd < 0)
        return error_set(err, -ECONNREFUSED, "%s",
                         context->c.errstr[0] ? context->c.errstr : "no socket");
    if (fd_set_cloexec(context->c.fd, err) < 0)
        return err->code;
    if (!redis->endpoint->path)
        set_tcp_options(context->c.fd);
    context->data = redis;
    return redis_adapter_attach(context, redis->loop, on_context_gone, &redis->adapter, err);
}

static bool more_addresses(const struct redis *redis)
{
    return redis->address_at < redis->addresses.count;
}

/* Tries the next address of this try. */
static void connect_next(struct redis *redis)
{
    redisAsyncContext *context = start_context(redis);
    struct error err = { .code = 0 };

    redis->address_at++;
    redis->why[0] = '\0';
    redis->phase = PHASE_CONNECT;
    if (!context) {
        redis_lose(redis, "connect: out of memory");
        return;
    }
    if (prepare_context(redis, context, &err) < 0) {
        redisAsyncFree(context);
        redis_lose(redis, "connect: %s", err.text);
        return;
    }
    redis->context = context;
    (void)redisAsyncSetConnectCallback(context,
                                       on_context_connected); /* fails only when set twice */
}

static void on_resolved(const struct resolve_result *result, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->resolve = NULL;
    if (why) {
        redis_lose(redis, "look up the name: %s", why);
        return;
    }
    redis->addresses = *result;
    connect_next(redis);
    if (redis->phase == PHASE_CONNECT)
        arm_timer(redis);
}

static void start_try(struct redis *redis)
{
    const struct config_redis *endpoint = redis->endpoint;
    struct error err = { .code = 0 };

    redis->why[0] = '\0';
    redis->address_at = 0;
    redis->addresses.count = 0;
    redis->try_deadline_ms = clock_now_ms() + timeout_or_default(endpoint->connect_timeout_ms);
    if (endpoint->path) {
        redis->addresses.count = 1;
        connect_next(redis);
    } else if (resolve_literal(endpoint->host, &redis->addresses)) {
        connect_next(redis);
    } else {
        redis->phase = PHASE_RESOLVE;
        if (resolve_start(redis->loop, endpoint->host, on_resolved, redis, &redis->resolve, &err) <
            0)
            redis_lose(redis, "%s", err.text);
    }
}

void redis_become_ready(struct redis *redis)
{
    redis->phase = PHASE_READY;
    redis->ready_since_ms = clock_now_ms();
    redis->told[0] = '\0';
    redis_kick(redis); /* from now on the timer serves the deadlines of commands */
    redis->on_state(redis, REDIS_READY, "", redis->arg);
}

/* ---- the end of one connection, and of all ---- */

static void drop_context(struct redis *redis)
{
    resolve_abandon(TAKE_PTR(redis->resolve));
    if (redis->context)
        redisAsyncFree(
            redis->context); /* answers the pending commands; on_context_gone clears it */
    requests_give_up(redis);
    redis->next_deadline_ms = NO_DEADLINE;
}

static void wait_and_tell(struct redis *redis)
{
    redis->phase = PHASE_WAIT;
    redis->retry_at_ms = clock_now_ms() + backoff_next_ms(&redis->backoff);
    if (redis->once) {
        redis->closing = true;
        return;
    }
    if (strcmp(redis->told, redis->why) == 0)
        return;
    (void)snprintf(redis->told, sizeof(redis->told), "%s", redis->why);
    redis->on_state(redis, REDIS_WAITING, redis->told, redis->arg);
}

static void end_connection(struct redis *redis)
{
    bool was_ready = redis->ready_since_ms != 0;

    if (was_ready && clock_now_ms() - redis->ready_since_ms >= READY_PROVEN_MS)
        backoff_reset(&redis->backoff);
    redis->ready_since_ms = 0;
    drop_context(redis);
    if (redis->closing)
        return;
    if (!was_ready && more_addresses(redis) && clock_now_ms() < redis->try_deadline_ms)
        connect_next(redis);
    else
        wait_and_tell(redis);
}

static void redis_free(struct redis *redis)
{
    if (!redis)
        return;
    free(redis->client_name);
    free(redis->place);
    free(redis);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct redis *redis = handle->data;

    redis->on_state(redis, REDIS_CLOSED, redis->told, redis->arg);
    redis_free(redis);
}

static void finish_close(struct redis *redis)
{
    /* `once` closes by itself, with its reason; a close that was asked for has none. */
    bool failed = redis->once && redis->phase == PHASE_WAIT;

    (void)snprintf(redis->told, sizeof(redis->told), "%s", failed ? redis->why : "");
    if (!redis->why[0])
        (void)snprintf(redis->why, sizeof(redis->why), "%s: the connection was closed",
                       redis->place);
    redis->phase = PHASE_CLOSED; /* nothing is accepted and no timer started any more */
    drop_context(redis);
    uv_close((uv_handle_t *)&redis->timer, on_timer_closed);
}

/* ---- the step ---- */

static void check_try(struct redis *redis, uint64_t now_ms)
{
    static const char *const during[] = {
        [PHASE_RESOLVE] = "look up the name",
        [PHASE_CONNECT] = "connect",
        [PHASE_HANDSHAKE] = "handshake",
    };

    if (now_ms < redis->try_deadline_ms)
        return;
    redis->address_at = redis->addresses.count; /* the time is up for the other addresses too */
    redis_lose(redis, "%s: no answer within %llu ms", during[redis->phase],
               (unsigned long long)timeout_or_default(redis->endpoint->connect_timeout_ms));
}

/* Looks at the whole state and acts; safe at any time, twice, but only from the timer: callbacks of
 * hiredis are not under way then. */
static void redis_step(struct redis *redis)
{
    uint64_t now_ms = clock_now_ms();

    switch (redis->closing ? PHASE_CLOSED : redis->phase) {
    case PHASE_START:
        start_try(redis);
        break;
    case PHASE_RESOLVE:
    case PHASE_CONNECT:
    case PHASE_HANDSHAKE:
        check_try(redis, now_ms);
        break;
    case PHASE_READY:
        requests_check_deadlines(redis, now_ms);
        break;
    case PHASE_WAIT:
        if (now_ms >= redis->retry_at_ms)
            start_try(redis);
        break;
    case PHASE_LOST:
        end_connection(redis);
        break;
    case PHASE_CLOSED:
        finish_close(redis);
        return;
    }
    arm_timer(redis);
}

/* ---- the interface ---- */

static char *place_of(const struct config_redis *endpoint)
{
    if (endpoint->path)
        return text_format("redis %s", endpoint->path);
    return text_format(strchr(endpoint->host, ':') ? "redis [%s]:%u" : "redis %s:%u",
                       endpoint->host, endpoint->port);
}

int redis_open(uv_loop_t *loop, const struct redis_options *options, struct redis **out_redis,
               struct error *err)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    assert(options->endpoint->path || options->endpoint->host);
    if (!redis)
        return error_set(err, -ENOMEM, "allocate a connection");
    redis->loop = loop;
    redis->endpoint = options->endpoint;
    redis->scripts = options->scripts;
    redis->blocking = options->blocking;
    redis->once = options->once;
    redis->on_state = options->on_state;
    redis->arg = options->arg;
    redis->next_deadline_ms = NO_DEADLINE;
    redis->backoff = (struct backoff){ .first_ms = BACKOFF_FIRST_MS,
                                       .max_ms = REDIS_RETRY_MAX_MS,
                                       .jitter = BACKOFF_JITTER };
    TAILQ_INIT(&redis->requests);
    redis->place = place_of(options->endpoint);
    if (options->client_name)
        redis->client_name = strdup(options->client_name);
    if (!redis->place || (options->client_name && !redis->client_name)) {
        redis_free(redis);
        return error_set(err, -ENOMEM, "allocate a connection");
    }
    (void)uv_timer_init(loop, &redis->timer); /* always 0 */
    redis->timer.data = redis;
    redis_kick(redis);
    *out_redis = redis;
    return 0;
}

void redis_close(struct redis *redis)
{
    redis->closing = true;
    redis_kick(redis);
}

void redis_reconnect(struct redis *redis, const char *why)
{
    if (redis->phase == PHASE_READY && !redis->closing)
        redis_lose(redis, "%s", why);
}

enum redis_state redis_state(const struct redis *redis)
{
    if (redis->closing)
        return REDIS_CLOSED;
    switch (redis->phase) {
    case PHASE_START:
    case PHASE_RESOLVE:
    case PHASE_CONNECT:
    case PHASE_HANDSHAKE:
        return REDIS_CONNECTING;
    case PHASE_READY:
        return REDIS_READY;
    case PHASE_LOST:
    case PHASE_WAIT:
        return REDIS_WAITING;
    case PHASE_CLOSED:
        break;
    }
    return REDIS_CLOSED;
}

static int send_call(struct redis *redis, const struct call *call, uint64_t deadline_ms,
                     redis_reply_cb *on_reply, void *arg, struct error *err)
{
    uint64_t timeout_ms = deadline_ms;

    if (redis->phase != PHASE_READY || redis->closing)
        return error_set(err, -ENOTCONN, "%s", redis->why[0] ? redis->why : "not connected");
    if (timeout_ms == 0 && !redis->blocking)
        timeout_ms = timeout_or_default(redis->endpoint->command_timeout_ms);
    return request_send(redis, call, timeout_ms, on_reply, arg, err);
}

int redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argv_len,
                  uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const struct call call = { .argc = (size_t)argc, .argv = argv, .argv_len = argv_len };

    assert(argc > 0);
    return send_call(redis, &call, deadline_ms, on_reply, arg, err);
}

int redis_run_script(struct redis *redis, const struct redis_script *script, int keys_count,
                     int args_count, const char *const *args, const size_t *args_len,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const struct call call = { .script = script,
                               .keys_count = keys_count,
                               .argc = (size_t)args_count,
                               .argv = args,
                               .argv_len = args_len };

    assert(keys_count >= 0 && keys_count <= args_count);
    return send_call(redis, &call, deadline_ms, on_reply, arg, err);
}

const char *redis_server_version(const struct redis *redis)
{
    return redis->version[0] ? redis->version : NULL;
}

const char *redis_server_run_id(const struct redis *redis)
{
    return redis->run_id[0] ? redis->run_id : NULL;
}

int64_t redis_clock_skew_ms(const struct redis *redis)
{
    return redis->clock_skew_ms;
}
