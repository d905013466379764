#include "common/redis/cluster.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/config/config.h"
#include "common/redis/cluster_keys.h"
#include "common/redis/cluster_map.h"

/* A request that is sent from node to node so often is refused instead. */
#define REDIRECTS_MAX    16
/* Between two tries of what a node put off: doubling. */
#define PUT_OFF_FIRST_MS 10
#define PUT_OFF_MAX_MS   200
/* Slots that one step remembers as held back; with more all later requests wait for the next. */
#define HELD_SLOTS_MAX   16
/* One that does not answer must not take the time of the others. */
#define SEED_TRY_MIN_MS  200
#define MAX_CANDIDATES   (CONFIG_REDIS_NODES_MAX + CLUSTER_MAP_NODES_MAX)

/* A connection to a node. Freed when it ends. */
struct cluster_node {
    struct cluster *cluster; /* NULL: nobody cares any more */
    struct redis *redis;
    size_t at; /* in the map */
};

struct cluster {
    struct redis *redis; /* the router */
    bool has_slot;       /* slot is that of slot_key */
    unsigned int slot;
    struct redis *seed;     /* asked for the map; NULL none */
    size_t seed_at;         /* of the candidates: where the next search begins */
    struct cluster_map map; /* kept over a loss: its nodes know of the others */
    struct cluster_node *nodes[CLUSTER_MAP_NODES_MAX]; /* of the map's; NULL: not connected */
    const struct cluster_node *served_by;              /* what READY was told of; compared only */
    uint64_t seq;
};

/* ---- the nodes' connections ---- */

static struct redis *link_of(const struct cluster *cluster, size_t at)
{
    return cluster->nodes[at] ? cluster->nodes[at]->redis : NULL;
}

static struct cluster_node *slot_node(const struct cluster *cluster)
{
    size_t at = cluster->map.owner[cluster->slot];

    return at == CLUSTER_MAP_NOBODY ? NULL : cluster->nodes[at];
}

/* What the router tells of its server is what it learned of the slot's. */
static void take_facts(struct cluster *cluster, const struct redis *from)
{
    struct redis *redis = cluster->redis;

    memcpy(redis->version, from->version, sizeof(redis->version));
    memcpy(redis->run_id, from->run_id, sizeof(redis->run_id));
    memcpy(redis->place, from->place, sizeof(redis->place));
    redis->clock_skew_ms = from->clock_skew_ms;
}

/* READY is told at first, and again when another node serves the slot. */
static void tell_ready(struct cluster *cluster, struct cluster_node *node)
{
    struct redis *redis = cluster->redis;

    assert(node);
    if (!cluster->has_slot || node != slot_node(cluster) || cluster->served_by == node)
        return;
    cluster->served_by = node;
    take_facts(cluster, node->redis);
    if (redis->phase == PHASE_FIND)
        redis_become_ready(redis);
    else if (redis->phase == PHASE_READY && !redis->closing)
        redis->on_state(redis, REDIS_READY, "", redis->arg);
}

static void end_node(struct cluster_node *node, const char *why)
{
    struct cluster *cluster = node->cluster;

    if (cluster) {
        cluster->nodes[node->at] = NULL;
        if (cluster->served_by == node)
            cluster->served_by = NULL;
        redis_lose_because(cluster->redis, *why ? why : "a node's connection was closed");
    }
    free(node);
}

static void on_node_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct cluster_node *node = arg;

    (void)redis;
    if (state == REDIS_CLOSED) {
        end_node(node, why);
    } else if (state == REDIS_READY && node->cluster) {
        tell_ready(node->cluster, node);
        redis_kick(node->cluster->redis); /* what waits for it goes out */
    }
}

static bool open_node(struct cluster *cluster, size_t at)
{
    struct redis *redis = cluster->redis;
    struct cluster_node *node = NULL;
    struct link_options options = { .endpoint = redis->endpoint,
                                    .peer = PEER_NODE,
                                    .nodes = &cluster->map.nodes[at],
                                    .nodes_count = 1,
                                    .client_name = redis->client_name,
                                    .scripts = redis->scripts,
                                    .blocking = redis->blocking,
                                    .once = true,
                                    .parent = redis,
                                    .on_state = on_node_state };
    struct error err = { 0 };

    if (cluster->nodes[at])
        return true;
    node = calloc(1, sizeof(*node));
    if (!node)
        return false;
    *node = (struct cluster_node){ .cluster = cluster, .at = at };
    options.arg = node;
    if (redis_open_link(redis->loop, &options, &node->redis, &err) < 0) {
        free(node);
        return false;
    }
    cluster->nodes[at] = node;
    return true;
}

static void drop_node(struct cluster *cluster, size_t at)
{
    struct cluster_node *node = TAKE_PTR(cluster->nodes[at]);

    if (!node)
        return;
    node->cluster = NULL;
    redis_lose_because(node->redis, cluster->redis->why);
    redis_drop_context(node->redis); /* a timer's turn: no callback of hiredis is under way */
    redis_close(node->redis);
}

void cluster_drop(struct cluster *cluster)
{
    if (cluster->seed)
        redis_close(TAKE_PTR(cluster->seed));
    for (size_t i = 0; i < CLUSTER_MAP_NODES_MAX; i++)
        drop_node(cluster, i);
    cluster->served_by = NULL;
}

/* ---- the map ---- */

static void use_map(struct cluster *cluster)
{
    struct redis *redis = cluster->redis;
    size_t at = cluster->map.owner[cluster->slot];

    if (!cluster->has_slot)
        redis_become_ready(redis);
    else if (at == CLUSTER_MAP_NOBODY)
        redis_lose(redis, "CLUSTERDOWN no node serves hash slot %u", cluster->slot);
    else if (!open_node(cluster, at))
        redis_lose(redis, "no memory for a node's connection");
}

static void on_slots(struct redis *seed, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct cluster *cluster = arg;
    struct config_node from = seed->nodes[seed->node_at];
    struct cluster_map map;
    struct error err = { 0 };

    if (seed != cluster->seed)
        return; /* dropped */
    if (outcome != REDIS_REPLY) {
        redis_lose_because(cluster->redis, why);
        return;
    }
    cluster_map_init(&map);
    if (cluster_map_read(&map, reply, &from, &err) < 0) {
        cluster_map_done(&map);
        redis_lose(cluster->redis, "%s", err.text);
        return;
    }
    redis_close(TAKE_PTR(cluster->seed));
    cluster_map_done(&cluster->map);
    cluster->map = map;
    use_map(cluster);
}

static void on_seed_state(struct redis *seed, enum redis_state state, const char *why, void *arg)
{
    static const char *const argv[] = { "CLUSTER", "SLOTS" };
    struct cluster *cluster = arg;
    struct error err = { 0 };

    if (seed != cluster->seed)
        return;
    if (state == REDIS_CLOSED) {
        cluster->seed = NULL;
        redis_lose_because(cluster->redis, why);
    } else if (state == REDIS_READY &&
               redis_command(seed, ARRAY_SIZE(argv), argv, NULL, 0, on_slots, cluster, &err) < 0) {
        redis_lose(cluster->redis, "%s", err.text);
    }
}

static bool is_among(const struct config_node *nodes, size_t count, const struct config_node *node)
{
    for (size_t i = 0; i < count; i++)
        if (nodes[i].port == node->port && strcmp(nodes[i].host, node->host) == 0)
            return true;
    return false;
}

/* Whom to ask: the nodes that were known last, then those of the URL. */
static size_t list_candidates(const struct cluster *cluster, struct config_node *out)
{
    const struct config_redis *endpoint = cluster->redis->endpoint;
    size_t count = 0;

    for (size_t i = 0; i < cluster->map.count; i++)
        out[count++] = cluster->map.nodes[i];
    for (size_t i = 0; i < endpoint->nodes_count; i++)
        if (!is_among(out, count, &endpoint->nodes[i]))
            out[count++] = endpoint->nodes[i];
    return count;
}

void cluster_find(struct cluster *cluster)
{
    struct redis *redis = cluster->redis;
    struct config_node candidates[MAX_CANDIDATES];
    struct link_options options = { .endpoint = redis->endpoint,
                                    .peer = PEER_SEED,
                                    .nodes = candidates,
                                    .nodes_count = list_candidates(cluster, candidates),
                                    .once = true,
                                    .parent = redis,
                                    .on_state = on_seed_state,
                                    .arg = cluster };
    struct error err = { 0 };

    assert(options.nodes_count > 0); /* a URL names one at least */
    options.try_timeout_ms = redis->try_timeout_ms / 2 / options.nodes_count;
    if (options.try_timeout_ms < SEED_TRY_MIN_MS)
        options.try_timeout_ms = SEED_TRY_MIN_MS;
    if (redis_open_link(redis->loop, &options, &cluster->seed, &err) < 0) {
        redis_lose(redis, "%s", err.text);
        return;
    }
    /* Another one each time: the one that was asked first may be the one that has an old map. */
    cluster->seed->node_at = cluster->seed_at++ % options.nodes_count;
}

/* ---- requests ---- */

/* In the order in which they were given. */
static void hold(struct cluster *cluster, struct request *request)
{
    struct redis *redis = cluster->redis;
    struct request *before = TAILQ_LAST(&redis->requests, requests);

    while (before && before->seq > request->seq)
        before = TAILQ_PREV(before, requests, link);
    if (before)
        TAILQ_INSERT_AFTER(&redis->requests, before, request, link);
    else
        TAILQ_INSERT_HEAD(&redis->requests, request, link);
    redis->requests_count++;
    request->redis = redis;
    redis_kick(redis);
}

static void put_off(struct request *request)
{
    unsigned int doublings = request->refusals < 6 ? request->refusals : 6;
    uint64_t wait_ms = (uint64_t)PUT_OFF_FIRST_MS << doublings;

    request->retry_at_ms = clock_now_ms() + (wait_ms < PUT_OFF_MAX_MS ? wait_ms : PUT_OFF_MAX_MS);
    if (request->asking)
        request->node = NULL; /* back to the slot's own */
    request->asking = false;
}

/* Follows MOVED or ASK; false when it cannot. */
static bool redirect(struct cluster *cluster, struct request *request, const char *text)
{
    const struct redis *at = request->redis;
    unsigned int slot = 0;
    int to = cluster_map_read_redirect(&cluster->map, text, &at->nodes[at->node_at], &slot);

    if (to < 0 || request->refusals > REDIRECTS_MAX || !open_node(cluster, (size_t)to))
        return false;
    request->asking = strncmp(text, "ASK ", 4) == 0;
    request->node = request->asking ? cluster->nodes[to] : NULL;
    if (!request->asking) {
        cluster->map.owner[slot] = (uint8_t)to;
        if (redis_state(cluster->nodes[to]->redis) == REDIS_READY)
            tell_ready(cluster, cluster->nodes[to]);
    }
    return true;
}

bool cluster_take_refusal(struct request *request, const redisReply *reply)
{
    struct cluster *cluster = request->asker->cluster;
    enum redis_error_class class = redis_error_class(reply);
    bool put =
        strncmp(reply->str, "TRYAGAIN", 8) == 0 || strncmp(reply->str, "CLUSTERDOWN", 11) == 0;

    if ((class != REDIS_CLASS_REDIRECT && !put) || cluster->redis->phase != PHASE_READY ||
        cluster->redis->closing)
        return false;
    request->refusals++;
    (void)snprintf(request->refusal, sizeof(request->refusal), "%s", reply->str); /* may be cut */
    if (put)
        put_off(request);
    else if (!redirect(cluster, request, reply->str))
        return false;
    wait_forget(request);
    request_detach(request);
    hold(cluster, request);
    return true;
}

/* Nothing of it was executed, and its time is over. */
static void refuse(struct request *request)
{
    char text[REFUSAL_BYTES + 32];
    redisReply reply = { .type = REDIS_REPLY_ERROR, .str = text };

    if (request->refusal[0])
        (void)snprintf(text, sizeof(text), "%s", request->refusal);
    else
        (void)snprintf(text, sizeof(text), "CLUSTERDOWN its node is not connected");
    reply.len = strlen(text);
    request_answer(request, REDIS_REFUSED, &reply, text);
}

/* True when it has left. */
static bool send_request(struct cluster *cluster, struct request *request, uint64_t now_ms)
{
    size_t at = request->node ? request->node->at : cluster->map.owner[request->slot];
    struct redis *link = NULL;

    if (now_ms < request->retry_at_ms)
        return false;
    if (at == CLUSTER_MAP_NOBODY) {
        request->refusals++;
        put_off(request);
        return false;
    }
    if (!open_node(cluster, at))
        return false; /* no memory; looked at again with the next event, or refused */
    link = link_of(cluster, at);
    if (redis_state(link) != REDIS_READY)
        return false;
    request_detach(request);
    if (request_transmit(link, request))
        return true;
    hold(cluster, request);
    return false;
}

/* Slots of which an earlier request is still held back. */
struct held_slots {
    unsigned int slots[HELD_SLOTS_MAX];
    size_t count;
};

static bool is_held(const struct held_slots *held, unsigned int slot)
{
    for (size_t i = 0; i < held->count; i++)
        if (held->slots[i] == slot)
            return true;
    return false;
}

void cluster_step(struct cluster *cluster, uint64_t now_ms)
{
    struct redis *redis = cluster->redis;
    struct held_slots held = { .count = 0 };
    struct request *request = TAILQ_FIRST(&redis->requests), *next = NULL;

    for (; request && redis->phase == PHASE_READY && !redis->closing; request = next) {
        next = TAILQ_NEXT(request, link);
        if (now_ms >= request->give_up_at_ms) {
            refuse(request);
            /* Its callback may have changed the list: a command that was sent, a close. */
            redis_kick(redis);
            return;
        }
        if (!is_held(&held, request->slot) && send_request(cluster, request, now_ms))
            continue;
        if (held.count == HELD_SLOTS_MAX)
            return;
        if (!is_held(&held, request->slot))
            held.slots[held.count++] = request->slot;
    }
}

uint64_t cluster_next_ms(const struct cluster *cluster)
{
    const struct request *request = NULL;
    uint64_t now_ms = clock_now_ms(), next_ms = NO_DEADLINE;

    TAILQ_FOREACH(request, &cluster->redis->requests, link)
    {
        if (request->retry_at_ms > now_ms && request->retry_at_ms < next_ms)
            next_ms = request->retry_at_ms;
        if (request->give_up_at_ms < next_ms)
            next_ms = request->give_up_at_ms;
    }
    return next_ms;
}

/* ---- sending ---- */

/* Index of the at-th node that serves any slot; CLUSTER_MAP_NOBODY when there are fewer. */
static size_t find_master(const struct cluster *cluster, size_t at)
{
    for (size_t i = 0; i < cluster->map.count; i++)
        if (memchr(cluster->map.owner, (int)i, sizeof(cluster->map.owner)) && at-- == 0)
            return i;
    return CLUSTER_MAP_NOBODY;
}

size_t cluster_masters_count(const struct cluster *cluster)
{
    size_t count = 0;

    while (find_master(cluster, count) != CLUSTER_MAP_NOBODY)
        count++;
    return count;
}

/* A command without keys has a node of its own, and counts for any slot of it. */
static int choose_node(struct cluster *cluster, const size_t *at, struct request *request,
                       struct error *err)
{
    size_t chosen = at ? find_master(cluster, *at) : CLUSTER_MAP_NOBODY;

    if (!at && cluster->has_slot) {
        request->slot = cluster->slot;
        return 0;
    }
    if (!at)
        chosen = find_master(cluster, 0);
    if (chosen == CLUSTER_MAP_NOBODY)
        return error_set(err, -ENOTCONN, "no node of the cluster serves any hash slot");
    if (!open_node(cluster, chosen))
        return error_set(err, -ENOMEM, "allocate a node's connection");
    request->node = cluster->nodes[chosen];
    request->slot = HASH_SLOT_COUNT + (unsigned int)chosen; /* its own order */
    return 0;
}

static int build(struct cluster *cluster, const struct call *call, const size_t *at,
                 uint64_t timeout_ms, redis_reply_cb *on_reply, void *arg,
                 struct request **out_request, struct error *err)
{
    _cleanup_(freep) char *guard = NULL;
    struct call guarded = *call;
    size_t key_len = 0;
    const char *key = at ? NULL : cluster_first_key(call, &key_len);
    struct request *request = NULL;
    int r = cluster_check_keys(call, err);

    if (r < 0)
        return r;
    if (call->script && key) {
        guard = cluster_guard_key(key, key_len);
        if (!guard)
            return error_set(err, -ENOMEM, "allocate a command");
        guarded.guard = guard;
    }
    request = request_build(&guarded, timeout_ms, on_reply, arg);
    if (!request)
        return error_set(err, -ENOMEM, "allocate a command");
    if (key)
        request->slot = hash_slot_of(key, key_len);
    else
        r = choose_node(cluster, at, request, err);
    if (r < 0)
        request_free(request);
    else
        *out_request = request;
    return r;
}

/* The connection that it will mostly take has no room, or too much is held back. */
static int check_room(const struct cluster *cluster, const struct request *request,
                      struct error *err)
{
    size_t at = request->node ? request->node->at : cluster->map.owner[request->slot];
    const struct redis *link = at == CLUSTER_MAP_NOBODY ? NULL : link_of(cluster, at);

    if (cluster->redis->requests_count >= REDIS_PENDING_MAX)
        return error_set(err, -ENOBUFS, "%s: %zu commands are held back", cluster->redis->place,
                         cluster->redis->requests_count);
    if (!link || !link->context)
        return 0;
    return request_check_room(link, request->text_len, err);
}

static bool has_held(const struct cluster *cluster, unsigned int slot)
{
    const struct request *request = NULL;

    TAILQ_FOREACH(request, &cluster->redis->requests, link)
    {
        if (request->slot == slot)
            return true;
    }
    return false;
}

int cluster_send(struct cluster *cluster, const struct call *call, const size_t *at,
                 uint64_t timeout_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    struct redis *redis = cluster->redis;
    struct request *request = NULL;
    uint64_t now_ms = clock_now_ms();
    int r = build(cluster, call, at, timeout_ms, on_reply, arg, &request, err);

    if (r < 0)
        return r;
    assert(request);
    r = check_room(cluster, request, err);
    if (r < 0) {
        request_free(request);
        return r;
    }
    request->asker = redis;
    request->seq = ++cluster->seq;
    request->give_up_at_ms = timeout_ms ? now_ms + timeout_ms : NO_DEADLINE;
    if (!has_held(cluster, request->slot)) {
        size_t to = request->node ? request->node->at : cluster->map.owner[request->slot];
        struct redis *link = to == CLUSTER_MAP_NOBODY ? NULL : link_of(cluster, to);

        if (link && redis_state(link) == REDIS_READY && request_transmit(link, request))
            return 0;
    }
    hold(cluster, request);
    return 0;
}

/* ---- life ---- */

struct cluster *cluster_new(struct redis *redis, const char *slot_key)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));

    if (!cluster)
        return NULL;
    cluster->redis = redis;
    cluster->has_slot = slot_key != NULL;
    if (slot_key)
        cluster->slot = hash_slot_of(slot_key, strlen(slot_key));
    cluster->seed_at = (size_t)clock_now_us(); /* not all processes begin with the same one */
    cluster_map_init(&cluster->map);
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (!cluster)
        return;
    cluster_map_done(&cluster->map);
    free(cluster);
}
