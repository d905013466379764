#include "common/redis/redis.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/redis/cluster.h"
#include "common/redis/connection.h"
#include "common/redis/sentinel.h"

/* Reconnecting: the first try comes soon (a restarted server), later ones spare a struggling one.
 */
#define BACKOFF_FIRST_MS   50
#define BACKOFF_JITTER     0.3
/* A connection that was READY for less counts as one more failure: a server that drops every client
 * at once is not asked in a tight loop. */
#define READY_PROVEN_MS    1000
/* Where the endpoint says 0. */
#define DEFAULT_TIMEOUT_MS 5000
/* A router asks for the map, and then connects to a node. */
#define ROUTER_TRY_FACTOR  2
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
    case PHASE_FIND:
    case PHASE_RESOLVE:
    case PHASE_CONNECT:
    case PHASE_HANDSHAKE:
        return redis->try_deadline_ms;
    case PHASE_READY:
        return redis->cluster ? cluster_next_ms(redis->cluster) : redis->next_deadline_ms;
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

static void lose(struct redis *redis)
{
    if (redis->phase == PHASE_CLOSED || redis->phase == PHASE_LOST || redis->phase == PHASE_WAIT)
        return;
    redis->phase = PHASE_LOST;
    redis_kick(redis);
}

void redis_lose(struct redis *redis, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_why(redis, format, args);
    va_end(args);
    lose(redis);
}

void redis_lose_because(struct redis *redis, const char *why)
{
    if (!redis->why[0])
        (void)snprintf(redis->why, sizeof(redis->why), "%s", why); /* may be cut */
    lose(redis);
}

const char *redis_print_address(const struct config_node *node, char out[ADDRESS_BYTES])
{
    (void)snprintf(out, ADDRESS_BYTES, strchr(node->host, ':') ? "[%s]:%u" : "%s:%u", node->host,
                   node->port); /* a host has 253 bytes at most, from us or a server: else cut */
    return out;
}

/* ---- one try: from the address to the handshake ---- */

static void on_resolved(const struct resolve_result *result, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->resolve = NULL;
    if (why) {
        redis_lose(redis, "look up the name: %s", why);
        return;
    }
    redis->addresses = *result;
    context_connect_next(redis);
    if (redis->phase == PHASE_CONNECT)
        arm_timer(redis);
}

static void set_place(struct redis *redis)
{
    const char *what = redis->peer == PEER_SENTINEL ? "sentinel" : "redis";
    char address[ADDRESS_BYTES];

    if (redis->cluster)
        (void)snprintf(redis->place, sizeof(redis->place), "the cluster");
    else if (redis->nodes_count > 0)
        (void)snprintf(redis->place, sizeof(redis->place), "%s %s", what,
                       redis_print_address(&redis->nodes[redis->node_at], address));
    else if (redis->sentinel)
        (void)snprintf(redis->place, sizeof(redis->place), "the Sentinels' %s",
                       redis->endpoint->master);
    else
        (void)snprintf(redis->place, sizeof(redis->place), "redis %s", redis->endpoint->path);
}

void redis_connect_found(struct redis *redis)
{
    const char *host = NULL;
    struct error err = { .code = 0 };

    set_place(redis);
    redis->address_at = 0;
    redis->addresses.count = 0;
    if (redis->nodes_count == 0) {
        redis->addresses.count = 1;
        context_connect_next(redis);
        return;
    }
    host = redis->nodes[redis->node_at].host;
    if (resolve_literal(host, &redis->addresses)) {
        context_connect_next(redis);
        return;
    }
    redis->phase = PHASE_RESOLVE;
    if (resolve_start(redis->loop, host, on_resolved, redis, &redis->resolve, &err) < 0)
        redis_lose(redis, "%s", err.text);
}

static void start_try(struct redis *redis)
{
    redis->why[0] = '\0';
    redis->try_deadline_ms = clock_now_ms() + redis->try_timeout_ms;
    if (!redis->sentinel && !redis->cluster) {
        redis_connect_found(redis);
        return;
    }
    redis->phase = PHASE_FIND;
    if (redis->sentinel)
        (void)redis_set_nodes(redis, NULL, 0); /* no memory is taken */
    set_place(redis);
    if (redis->sentinel)
        sentinel_find(redis->sentinel);
    else
        cluster_find(redis->cluster);
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

void redis_drop_context(struct redis *redis)
{
    resolve_abandon(TAKE_PTR(redis->resolve));
    if (redis->sentinel)
        sentinel_stop_finding(redis->sentinel);
    if (redis->cluster)
        cluster_drop(redis->cluster);
    if (redis->context)
        redisAsyncFree(
            redis->context); /* answers the pending commands; on_context_gone clears it */
    requests_give_up(redis);
    redis->next_deadline_ms = NO_DEADLINE;
}

/* Where there are several nodes the next one is tried at once, until each has had its turn. */
static bool has_other_nodes(const struct redis *redis)
{
    return redis->nodes_count > 1 && !redis->sentinel && redis->failures % redis->nodes_count != 0;
}

static void wait_and_tell(struct redis *redis, bool was_ready)
{
    redis->failures = was_ready ? 0 : redis->failures + 1;
    if (redis->nodes_count > 0)
        redis->node_at = (redis->node_at + 1) % redis->nodes_count;
    if (!was_ready && has_other_nodes(redis)) {
        redis->phase = PHASE_START;
        return;
    }
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
    bool more_addresses = redis->address_at < redis->addresses.count;

    if (was_ready && clock_now_ms() - redis->ready_since_ms >= READY_PROVEN_MS)
        backoff_reset(&redis->backoff);
    redis->ready_since_ms = 0;
    redis_drop_context(redis);
    if (redis->closing)
        return;
    if (!was_ready && more_addresses && clock_now_ms() < redis->try_deadline_ms)
        context_connect_next(redis);
    else
        wait_and_tell(redis, was_ready);
}

bool redis_set_nodes(struct redis *redis, const struct config_node *nodes, size_t count)
{
    struct config_node *copies = count ? calloc(count, sizeof(*copies)) : NULL;
    size_t done = 0;

    while (copies && done < count) {
        copies[done] = (struct config_node){ strdup(nodes[done].host), nodes[done].port };
        if (!copies[done].host)
            break;
        done++;
    }
    if (done < count) {
        while (done > 0)
            free(copies[--done].host);
        free(copies);
        return false;
    }
    for (size_t i = 0; i < redis->nodes_count; i++)
        free(redis->nodes[i].host);
    free(redis->nodes);
    redis->nodes = copies;
    redis->nodes_count = count;
    redis->node_at = 0;
    return true;
}

static void redis_free(struct redis *redis)
{
    if (!redis)
        return;
    sentinel_free(redis->sentinel);
    cluster_free(redis->cluster);
    (void)redis_set_nodes(redis, NULL, 0); /* no memory is taken */
    free(redis->client_name);
    free(redis);
}

static void on_timer_closed(uv_handle_t *handle);

static void end_after_children(struct redis *redis)
{
    if (redis->children == 0)
        uv_close((uv_handle_t *)&redis->timer, on_timer_closed);
}

void redis_child_ended(struct redis *redis)
{
    redis->children--;
    if (redis->phase == PHASE_CLOSED)
        end_after_children(redis);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct redis *redis = handle->data;
    struct redis *parent = redis->parent;

    redis->on_state(redis, REDIS_CLOSED, redis->told, redis->arg);
    redis_free(redis);
    if (parent)
        redis_child_ended(parent);
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
    redis_drop_context(redis);
    if (redis->sentinel)
        sentinel_close(redis->sentinel);
    end_after_children(redis);
}

/* ---- the step ---- */

static void check_try(struct redis *redis, uint64_t now_ms)
{
    static const char *const during[] = {
        [PHASE_FIND] = "find the server",
        [PHASE_RESOLVE] = "look up the name",
        [PHASE_CONNECT] = "connect",
        [PHASE_HANDSHAKE] = "handshake",
    };

    if (now_ms < redis->try_deadline_ms)
        return;
    redis->address_at = redis->addresses.count; /* the time is up for the other addresses too */
    redis_lose(redis, "%s: no answer within %llu ms", during[redis->phase],
               (unsigned long long)redis->try_timeout_ms);
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
    case PHASE_FIND:
    case PHASE_RESOLVE:
    case PHASE_CONNECT:
    case PHASE_HANDSHAKE:
        check_try(redis, now_ms);
        break;
    case PHASE_READY:
        if (redis->cluster)
            cluster_step(redis->cluster, now_ms);
        else
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

static struct redis *new_redis(uv_loop_t *loop, const struct link_options *options)
{
    const struct config_redis *endpoint = options->endpoint;
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        return NULL;
    redis->loop = loop;
    redis->endpoint = endpoint;
    redis->peer = options->peer;
    redis->scripts = options->scripts;
    redis->blocking = options->blocking;
    redis->once = options->once;
    redis->on_state = options->on_state;
    redis->arg = options->arg;
    redis->next_deadline_ms = NO_DEADLINE;
    redis->try_timeout_ms = options->try_timeout_ms
                                ? options->try_timeout_ms
                                : timeout_or_default(endpoint->connect_timeout_ms);
    redis->backoff = (struct backoff){ .first_ms = BACKOFF_FIRST_MS,
                                       .max_ms = REDIS_RETRY_MAX_MS,
                                       .jitter = BACKOFF_JITTER };
    TAILQ_INIT(&redis->requests);
    if (options->client_name)
        redis->client_name = strdup(options->client_name);
    if ((options->client_name && !redis->client_name) ||
        !redis_set_nodes(redis, options->nodes, options->nodes_count)) {
        redis_free(redis);
        return NULL;
    }
    return redis;
}

static void start(struct redis *redis, struct redis *parent)
{
    set_place(redis);
    (void)uv_timer_init(redis->loop, &redis->timer); /* always 0 */
    redis->timer.data = redis;
    redis->parent = parent;
    if (parent)
        parent->children++;
    redis_kick(redis);
}

int redis_open_link(uv_loop_t *loop, const struct link_options *options, struct redis **out_redis,
                    struct error *err)
{
    struct redis *redis = new_redis(loop, options);

    if (!redis)
        return error_set(err, -ENOMEM, "allocate a connection");
    start(redis, options->parent);
    *out_redis = redis;
    return 0;
}

/* What knows where to connect to, where the endpoint does not say it itself. */
static bool add_finder(struct redis *redis, const struct redis_options *options)
{
    switch (options->endpoint->kind) {
    case CONFIG_REDIS_SENTINEL:
        redis->sentinel = sentinel_new(redis, !options->once && !options->blocking);
        return redis->sentinel;
    case CONFIG_REDIS_CLUSTER:
        redis->cluster = cluster_new(redis, options->slot_key);
        redis->try_timeout_ms *= ROUTER_TRY_FACTOR;
        return redis->cluster;
    case CONFIG_REDIS_SERVER:
        break;
    }
    return true;
}

int redis_open(uv_loop_t *loop, const struct redis_options *options, struct redis **out_redis,
               struct error *err)
{
    const struct config_redis *endpoint = options->endpoint;
    const struct config_node node = { endpoint->host, endpoint->port };
    const struct link_options link = { .endpoint = endpoint,
                                       .peer = PEER_MASTER,
                                       .nodes = &node,
                                       .nodes_count = endpoint->host ? 1 : 0,
                                       .client_name = options->client_name,
                                       .scripts = options->scripts,
                                       .blocking = options->blocking,
                                       .once = options->once,
                                       .on_state = options->on_state,
                                       .arg = options->arg };
    struct redis *redis = new_redis(loop, &link);

    assert(endpoint->path || endpoint->host || endpoint->nodes_count > 0);
    if (!redis || !add_finder(redis, options)) {
        redis_free(redis);
        return error_set(err, -ENOMEM, "allocate a connection");
    }
    start(redis, NULL);
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
    case PHASE_FIND:
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

/* at: which master; NULL: the one that the command is for. */
static int send_call(struct redis *redis, const struct call *call, const size_t *at,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    uint64_t timeout_ms = deadline_ms;

    if (redis->phase != PHASE_READY || redis->closing)
        return error_set(err, -ENOTCONN, "%s", redis->why[0] ? redis->why : "not connected");
    if (timeout_ms == 0 && !redis->blocking)
        timeout_ms = timeout_or_default(redis->endpoint->command_timeout_ms);
    if (redis->cluster)
        return cluster_send(redis->cluster, call, at, timeout_ms, on_reply, arg, err);
    return request_send(redis, call, timeout_ms, on_reply, arg, err);
}

int redis_command(struct redis *redis, int argc, const char *const *argv, const size_t *argv_len,
                  uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const struct call call = { .argc = (size_t)argc, .argv = argv, .argv_len = argv_len };

    assert(argc > 0);
    return send_call(redis, &call, NULL, deadline_ms, on_reply, arg, err);
}

size_t redis_masters_count(const struct redis *redis)
{
    return redis->cluster ? cluster_masters_count(redis->cluster) : 1;
}

int redis_command_at(struct redis *redis, size_t at, int argc, const char *const *argv,
                     const size_t *argv_len, uint64_t deadline_ms, redis_reply_cb *on_reply,
                     void *arg, struct error *err)
{
    const struct call call = { .argc = (size_t)argc, .argv = argv, .argv_len = argv_len };

    assert(argc > 0);
    if (at >= redis_masters_count(redis))
        return error_set(err, -ENOENT, "there is no master %zu", at);
    return send_call(redis, &call, &at, deadline_ms, on_reply, arg, err);
}

int redis_run_script_replicated(struct redis *redis, const struct redis_script *script,
                                int keys_count, int args_count, const char *const *args,
                                const size_t *args_len, const struct redis_wait *wait,
                                uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg,
                                struct error *err)
{
    const struct call call = { .script = script,
                               .keys_count = keys_count,
                               .argc = (size_t)args_count,
                               .argv = args,
                               .argv_len = args_len,
                               .wait = wait };

    assert(keys_count >= 0 && keys_count <= args_count);
    assert(!wait || (wait->replicas > 0 && wait->timeout_ms > 0));
    return send_call(redis, &call, NULL, deadline_ms, on_reply, arg, err);
}

int redis_run_script(struct redis *redis, const struct redis_script *script, int keys_count,
                     int args_count, const char *const *args, const size_t *args_len,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    return redis_run_script_replicated(redis, script, keys_count, args_count, args, args_len, NULL,
                                       deadline_ms, on_reply, arg, err);
}

const char *redis_server_place(const struct redis *redis)
{
    return redis->place;
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
