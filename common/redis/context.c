/* One socket: made, watched, and how its end is told. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/fd.h"
#include "common/config/config.h"
#include "common/redis/connection.h"

/* TCP: a peer that vanished is noticed within about this while nothing is asked. */
#define TCP_SILENCE_MS     20000
#define KEEPALIVE_IDLE_S   10
#define KEEPALIVE_PERIOD_S 5
#define KEEPALIVE_PROBES   2

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
    if (redis->nodes_count == 0)
        return redisAsyncConnectUnix(redis->endpoint->path);
    return redisAsyncConnect(redis->addresses.addresses[redis->address_at],
                             redis->nodes[redis->node_at].port);
}

/* Sockets of hiredis are born without close-on-exec. */
static int prepare_context(struct redis *redis, redisAsyncContext *context, struct error *err)
{
    if (context->err || context->c.err || context->c.fd < 0)
        return error_set(err, -ECONNREFUSED, "%s",
                         context->c.errstr[0] ? context->c.errstr : "no socket");
    if (fd_set_cloexec(context->c.fd, err) < 0)
        return err->code;
    if (redis->nodes_count > 0)
        set_tcp_options(context->c.fd);
    context->data = redis;
    return redis_adapter_attach(context, redis->loop, on_context_gone, &redis->adapter, err);
}

void context_connect_next(struct redis *redis)
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
