#include "common/redis/sentinel.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/config/config.h"
#include "common/redis/connection.h"

/* Once half of them have answered, how long the others are waited for. */
#define OTHERS_MS 150

/* What one Sentinel says of the master. */
struct view {
    bool known;
    char host[256];
    uint16_t port;
    uint64_t epoch;
    bool going; /* held for down by enough Sentinels, and a replica is to take its place */
};

/* One Sentinel being asked. Freed when its connection ends. */
struct probe {
    struct sentinel *sentinel; /* NULL: nobody waits for it any more */
    struct redis *redis;
    struct view view; /* its first answer */
};

struct sentinel {
    struct redis *redis;
    bool listen, closing;
    struct probe *probes[CONFIG_REDIS_NODES_MAX]; /* NULL where none is under way */
    size_t asked, ended, answered;
    struct view best;
    uv_timer_t others; /* bounds the wait for the others */
    bool others_open;
    char last_why[WHY_BYTES]; /* of a Sentinel that could not be asked */
    uint64_t epoch;           /* highest that was believed so far */
    struct redis *ear;        /* the one that is listened to; NULL none */
};

/* ---- what a Sentinel answers ---- */

static const char *field_of(const redisReply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *key = reply->element[i], *value = reply->element[i + 1];

        if (key->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING &&
            strcmp(key->str, name) == 0)
            return value->str;
    }
    return "";
}

static uint64_t number_of(const redisReply *reply, const char *name)
{
    const char *text = field_of(reply, name);
    uint64_t value = 0;

    return text_parse_uint(text, strlen(text), &value) < 0 ? 0 : value;
}

/* A word of the comma-separated flags. */
static bool has_flag(const char *flags, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = flags; *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

static struct view read_view(const redisReply *reply)
{
    struct view view = { .known = false };
    uint64_t port = 0;
    const char *host = NULL, *flags = NULL;

    if (reply->type != REDIS_REPLY_ARRAY)
        return view;
    host = field_of(reply, "ip");
    flags = field_of(reply, "flags");
    port = number_of(reply, "port");
    if (!*host || strlen(host) >= sizeof(view.host) || port == 0 || port > UINT16_MAX)
        return view;
    (void)snprintf(view.host, sizeof(view.host), "%s", host);
    view.port = (uint16_t)port;
    view.epoch = number_of(reply, "config-epoch");
    view.going = has_flag(flags, "failover_in_progress") ||
                 (has_flag(flags, "o_down") && number_of(reply, "num-slaves") > 0);
    view.known = true;
    return view;
}

/* "MASTER": all of it. "GET-MASTER-ADDR-BY-NAME": the address, which is the new one already while
 * the Sentinel that leads a failover has promoted it, and still turns the other replicas over. */
static int ask_for_master(struct sentinel *sentinel, struct redis *of, const char *what,
                          redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const char *const argv[] = { "SENTINEL", what, sentinel->redis->endpoint->master };

    return redis_command(of, ARRAY_SIZE(argv), argv, NULL, sentinel->redis->try_timeout_ms,
                         on_reply, arg, err);
}

/* ---- finding ---- */

static size_t needed(const struct sentinel *sentinel)
{
    return (sentinel->redis->endpoint->nodes_count + 1) / 2;
}

void sentinel_stop_finding(struct sentinel *sentinel)
{
    for (size_t i = 0; i < ARRAY_SIZE(sentinel->probes); i++) {
        struct probe *probe = TAKE_PTR(sentinel->probes[i]);

        if (!probe)
            continue;
        probe->sentinel = NULL;
        redis_close(probe->redis);
    }
    if (sentinel->others_open)
        (void)uv_timer_stop(&sentinel->others); /* always 0 */
}

static void use_best(struct sentinel *sentinel)
{
    struct redis *redis = sentinel->redis;
    struct config_node node = { sentinel->best.host, sentinel->best.port };

    sentinel_stop_finding(sentinel);
    sentinel->epoch = sentinel->best.epoch;
    if (!redis_set_nodes(redis, &node, 1)) {
        redis_lose(redis, "no memory for its address");
        return;
    }
    redis_connect_found(redis);
    redis_kick(redis); /* the timer serves the new phase */
}

static void refuse_all(struct sentinel *sentinel)
{
    struct redis *redis = sentinel->redis;
    const struct view *best = &sentinel->best;
    size_t all = redis->endpoint->nodes_count;

    if (sentinel->answered < needed(sentinel))
        redis_lose(redis, "%zu of %zu Sentinels answer, at least %zu are needed%s%s",
                   sentinel->answered, all, needed(sentinel), sentinel->last_why[0] ? "; " : "",
                   sentinel->last_why);
    else if (!best->known)
        redis_lose(redis, "no Sentinel knows a master of that name");
    else if (best->going)
        redis_lose(redis, "%s:%u is down for the Sentinels, and they make another one the master",
                   best->host, best->port);
    else
        redis_lose(redis,
                   "the Sentinels that answer name %s:%u of epoch %llu, but there was %llu already",
                   best->host, best->port, (unsigned long long)best->epoch,
                   (unsigned long long)sentinel->epoch);
}

static bool is_good(const struct sentinel *sentinel)
{
    const struct view *best = &sentinel->best;

    return sentinel->answered >= needed(sentinel) && best->known && !best->going &&
           (best->epoch >= sentinel->epoch ||
            sentinel->answered == sentinel->redis->endpoint->nodes_count);
}

/* No more answers are waited for. */
static void decide(struct sentinel *sentinel)
{
    if (sentinel->redis->phase != PHASE_FIND)
        return;
    if (is_good(sentinel))
        use_best(sentinel);
    else
        refuse_all(sentinel);
}

static void on_others(uv_timer_t *timer)
{
    decide(timer->data);
}

static void look_whether_enough(struct sentinel *sentinel)
{
    if (sentinel->ended == sentinel->asked)
        decide(sentinel);
    else if (sentinel->answered >= needed(sentinel) &&
             !uv_is_active((uv_handle_t *)&sentinel->others))
        (void)uv_timer_start(&sentinel->others, on_others, OTHERS_MS, 0); /* fails only closing */
}

static bool is_same_address(const struct view *one, const struct view *other)
{
    return one->port == other->port && strcmp(one->host, other->host) == 0;
}

/* Of one epoch and two addresses the one that is settled is the newer; of one address whoever holds
 * it for down knows more. */
static bool is_better(const struct view *view, const struct view *than)
{
    if (!view->known || !than->known)
        return view->known;
    if (view->epoch != than->epoch)
        return view->epoch > than->epoch;
    return is_same_address(view, than) ? view->going : than->going;
}

static void note_view(struct sentinel *sentinel, const struct view *view)
{
    sentinel->answered++;
    if (is_better(view, &sentinel->best))
        sentinel->best = *view;
}

static void on_view(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct probe *probe = arg;

    (void)redis;
    if (outcome == REDIS_REPLY)
        probe->view = read_view(reply);
    else if (probe->sentinel)
        (void)snprintf(probe->sentinel->last_why, WHY_BYTES, "%s", why);
}

/* The host and port that the second question gives, when they are others. */
static void take_address(struct view *view, const redisReply *reply)
{
    struct view promoted = *view;
    uint64_t port = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len == 0 ||
        reply->element[0]->len >= sizeof(promoted.host) ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        text_parse_uint(reply->element[1]->str, reply->element[1]->len, &port) < 0 || port == 0 ||
        port > UINT16_MAX)
        return;
    (void)snprintf(promoted.host, sizeof(promoted.host), "%s", reply->element[0]->str);
    promoted.port = (uint16_t)port;
    promoted.going = false;
    if (view->known && !is_same_address(&promoted, view))
        *view = promoted;
}

static void on_address(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    struct probe *probe = arg;

    redis_close(redis);
    if (!probe->sentinel)
        return;
    if (outcome == REDIS_UNKNOWN) {
        (void)snprintf(probe->sentinel->last_why, WHY_BYTES, "%s", why);
        return;
    }
    if (outcome == REDIS_REPLY)
        take_address(&probe->view, reply);
    note_view(probe->sentinel, &probe->view); /* that it knows no such master is an answer, too */
}

static void end_probe(struct probe *probe, const char *why)
{
    struct sentinel *sentinel = probe->sentinel;

    if (sentinel) {
        for (size_t i = 0; i < ARRAY_SIZE(sentinel->probes); i++)
            if (sentinel->probes[i] == probe)
                sentinel->probes[i] = NULL;
        if (*why)
            (void)snprintf(sentinel->last_why, WHY_BYTES, "%s", why);
        sentinel->ended++;
        look_whether_enough(sentinel);
    }
    free(probe);
}

static void on_probe_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct probe *probe = arg;
    struct error err = { 0 };

    if (state == REDIS_CLOSED)
        end_probe(probe, why);
    else if (state == REDIS_READY && probe->sentinel &&
             (ask_for_master(probe->sentinel, redis, "MASTER", on_view, probe, &err) < 0 ||
              ask_for_master(probe->sentinel, redis, "GET-MASTER-ADDR-BY-NAME", on_address, probe,
                             &err) < 0))
        redis_close(redis);
}

static bool open_probe(struct sentinel *sentinel, size_t at)
{
    struct redis *redis = sentinel->redis;
    struct probe *probe = calloc(1, sizeof(*probe));
    struct link_options options = { .endpoint = redis->endpoint,
                                    .peer = PEER_SENTINEL,
                                    .nodes = &redis->endpoint->nodes[at],
                                    .nodes_count = 1,
                                    .once = true,
                                    .parent = redis,
                                    .on_state = on_probe_state,
                                    .arg = probe };
    struct error err = { 0 };

    if (!probe)
        return false;
    probe->sentinel = sentinel;
    if (redis_open_link(redis->loop, &options, &probe->redis, &err) < 0) {
        free(probe);
        return false;
    }
    sentinel->probes[at] = probe;
    return true;
}

/* ---- listening ---- */

/* The at-th word, from 0; `*out_len` is 0 when there are fewer. */
static const char *word_at(const char *text, size_t at, size_t *out_len)
{
    for (; at > 0; at--) {
        text += strcspn(text, " ");
        text += *text == ' ';
    }
    *out_len = strcspn(text, " ");
    return text;
}

/* "<name> <old ip> <old port> <new ip> <new port>" */
static void take_switch(struct sentinel *sentinel, const char *text)
{
    struct redis *redis = sentinel->redis;
    const char *master = redis->endpoint->master;
    size_t name_len = 0, host_len = 0, port_len = 0;
    const char *name = word_at(text, 0, &name_len);
    const char *host = word_at(text, 3, &host_len);
    const char *port_text = word_at(text, 4, &port_len);
    uint64_t port = 0;

    if (strlen(master) != name_len || memcmp(master, name, name_len) != 0 || host_len == 0 ||
        text_parse_uint(port_text, port_len, &port) < 0)
        return;
    if (redis->phase == PHASE_WAIT) {
        redis->retry_at_ms = clock_now_ms();
        redis_kick(redis);
    } else if (redis->nodes_count > 0 &&
               (redis->nodes[0].port != port || strlen(redis->nodes[0].host) != host_len ||
                memcmp(redis->nodes[0].host, host, host_len) != 0)) {
        redis_lose(redis, "the Sentinels have made %.*s:%llu the master", (int)host_len, host,
                   (unsigned long long)port);
    }
}

static void on_message(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct sentinel *sentinel = privdata;

    (void)context;
    if (sentinel->closing || !reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_STRING ||
        strcmp(reply->element[0]->str, "message") != 0)
        return;
    take_switch(sentinel, reply->element[2]->str);
}

/* What was missed before the subscription. */
static void on_heard(struct redis *ear, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct sentinel *sentinel = arg;
    struct redis *redis = sentinel->redis;
    struct view view = { .known = false };

    (void)ear;
    (void)why; /* another Sentinel is listened to then */
    if (outcome == REDIS_REPLY)
        view = read_view(reply);
    if (!sentinel->closing && view.known && redis->phase == PHASE_READY &&
        view.epoch > sentinel->epoch)
        redis_lose(redis, "the Sentinels have made %s:%u the master", view.host, view.port);
}

static void on_ear_state(struct redis *ear, enum redis_state state, const char *why, void *arg)
{
    static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$14\r\n+switch-master\r\n";
    struct sentinel *sentinel = arg;
    struct error err = { 0 };

    (void)why; /* the next Sentinel is tried by itself; the master's own loss is what counts */
    if (state == REDIS_CLOSED)
        sentinel->ear = NULL;
    if (state != REDIS_READY || sentinel->closing)
        return;
    /* Both go out in one write, so that nothing happens unseen between them. */
    if (ask_for_master(sentinel, ear, "MASTER", on_heard, sentinel, &err) < 0 ||
        redisAsyncFormattedCommand(ear->context, on_message, sentinel, subscribe,
                                   sizeof(subscribe) - 1) != REDIS_OK)
        redis_reconnect(ear, "it could not be listened to");
}

/* Each connection begins with another one, so that they share the load. */
static void open_ear(struct sentinel *sentinel)
{
    struct redis *redis = sentinel->redis;
    struct link_options options = { .endpoint = redis->endpoint,
                                    .peer = PEER_SENTINEL,
                                    .nodes = redis->endpoint->nodes,
                                    .nodes_count = redis->endpoint->nodes_count,
                                    .parent = redis,
                                    .on_state = on_ear_state,
                                    .arg = sentinel };
    struct error err = { 0 };

    if (redis_open_link(redis->loop, &options, &sentinel->ear, &err) < 0)
        return; /* tried again before the next connect; until then losses alone tell */
    sentinel->ear->node_at = (size_t)(clock_now_us() % options.nodes_count);
}

/* ---- life ---- */

void sentinel_find(struct sentinel *sentinel)
{
    struct redis *redis = sentinel->redis;

    if (!sentinel->others_open) {
        (void)uv_timer_init(redis->loop, &sentinel->others); /* always 0 */
        sentinel->others.data = sentinel;
        sentinel->others_open = true;
        redis->children++; /* a handle that must be closed before the end */
    }
    if (sentinel->listen && !sentinel->ear)
        open_ear(sentinel);
    sentinel->asked = sentinel->ended = sentinel->answered = 0;
    sentinel->best = (struct view){ .known = false };
    sentinel->last_why[0] = '\0';
    for (size_t i = 0; i < redis->endpoint->nodes_count; i++)
        sentinel->asked += open_probe(sentinel, i);
    if (sentinel->asked == 0)
        redis_lose(redis, "no memory to ask the Sentinels");
}

struct sentinel *sentinel_new(struct redis *redis, bool listen)
{
    struct sentinel *sentinel = calloc(1, sizeof(*sentinel));

    if (sentinel) {
        sentinel->redis = redis;
        sentinel->listen = listen;
    }
    return sentinel;
}

static void on_others_closed(uv_handle_t *handle)
{
    struct sentinel *sentinel = handle->data;

    redis_child_ended(sentinel->redis);
}

void sentinel_close(struct sentinel *sentinel)
{
    sentinel->closing = true;
    if (sentinel->ear)
        redis_close(sentinel->ear);
    if (sentinel->others_open)
        uv_close((uv_handle_t *)&sentinel->others, on_others_closed);
}

void sentinel_free(struct sentinel *sentinel)
{
    free(sentinel);
}
