/* What is asked of a server before it counts as READY. All goes out in one write; replies come in
 * order, so the first refusal is the reason. */
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/redis/connection.h"
#include "common/redis/info.h"

#define VERSION_MAJOR 6 /* the oldest that the scripts are written for */
#define VERSION_MINOR 2

/* ---- what the replies must say ---- */

static void refuse(struct redis *redis, const char *what, const char *why)
{
    redis_lose(redis, "%s: %s", what, why);
}

/* `mode` as in INFO: standalone, cluster, sentinel. */
static void check_mode(struct redis *redis, const char *mode)
{
    bool is_sentinel = strcmp(mode, "sentinel") == 0, is_node = strcmp(mode, "cluster") == 0;
    bool wants_node = redis->peer == PEER_NODE || redis->peer == PEER_SEED;

    if (redis->peer == PEER_SENTINEL && !is_sentinel)
        refuse(redis, "this is no Sentinel", "give the Sentinels' addresses, mostly port 26379");
    else if (redis->peer != PEER_SENTINEL && is_sentinel)
        refuse(redis, "this is a Sentinel", "write redis+sentinel://HOST:PORT,…/MASTER");
    else if (wants_node && !is_node)
        refuse(redis, "this is not a node of a cluster", "write redis://HOST:PORT/DB");
    else if (redis->peer == PEER_MASTER && is_node)
        refuse(redis, "this is a node of a cluster", "write redis+cluster://HOST:PORT,…");
}

static void check_server(struct redis *redis, const redisReply *reply)
{
    char mode[32];

    if (!redis_info_field(reply->str, reply->len, "redis_version", redis->version,
                          sizeof(redis->version)) ||
        !redis_info_field(reply->str, reply->len, "run_id", redis->run_id, sizeof(redis->run_id)))
        refuse(redis, "INFO server", "has no redis_version and run_id: is this a Redis server?");
    else if (!redis_version_at_least(redis->version, VERSION_MAJOR, VERSION_MINOR))
        redis_lose(redis, "Redis %s is too old: at least %d.%d is needed", redis->version,
                   VERSION_MAJOR, VERSION_MINOR);
    else if (redis_info_field(reply->str, reply->len, "redis_mode", mode, sizeof(mode)))
        check_mode(redis, mode);
}

static void check_persistence(struct redis *redis, const redisReply *reply)
{
    char loading[8];

    if (redis_info_field(reply->str, reply->len, "loading", loading, sizeof(loading)) &&
        strcmp(loading, "0") != 0)
        refuse(redis, "LOADING", "the server is loading its data set into memory");
}

static void check_role(struct redis *redis, const redisReply *reply)
{
    char role[16], host[128], port[16];

    if (!redis_info_field(reply->str, reply->len, "role", role, sizeof(role))) {
        refuse(redis, "INFO replication", "has no role");
        return;
    }
    if (strcmp(role, "master") == 0)
        return;
    (void)redis_info_field(reply->str, reply->len, "master_host", host, sizeof(host));
    (void)redis_info_field(reply->str, reply->len, "master_port", port, sizeof(port));
    redis_lose(redis, "READONLY: this is a replica of %s:%s; the master is needed",
               host[0] ? host : "?", port[0] ? port : "?");
}

/* The middle between sending and receiving counts as the moment of the server's answer. */
static void check_time(struct redis *redis, const redisReply *reply)
{
    uint64_t ours_ms = (redis->handshake_sent_at_ms + clock_wall_ms()) / 2;
    int64_t theirs_ms = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply->element[0]->str ||
        !reply->element[1]->str) {
        refuse(redis, "TIME", "answered with something else than seconds and microseconds");
        return;
    }
    theirs_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                strtoll(reply->element[1]->str, NULL, 10) / 1000;
    redis->clock_skew_ms = theirs_ms - (int64_t)ours_ms;
}

/* ---- the steps ---- */

/* One command of the handshake. */
struct step {
    const char *name;     /* in texts */
    const char *words[2]; /* the command; NULL where shorter */
    int reply_type;       /* another one is a refusal */
    void (*check)(struct redis *redis, const redisReply *reply); /* NULL: any such reply is fine */
};

static const struct step auth = { "AUTH", { "AUTH" }, REDIS_REPLY_STATUS, NULL };
static const struct step select_db = { "SELECT", { "SELECT" }, REDIS_REPLY_STATUS, NULL };
static const struct step set_name = {
    "CLIENT SETNAME", { "CLIENT", "SETNAME" }, REDIS_REPLY_STATUS, NULL
};
static const struct step load_script = {
    "SCRIPT LOAD", { "SCRIPT", "LOAD" }, REDIS_REPLY_STRING, NULL
};
/* The first is all that is asked of one that has to tell of others only. */
static const struct step facts[] = {
    { "INFO server", { "INFO", "server" }, REDIS_REPLY_STRING, check_server },
    { "INFO persistence", { "INFO", "persistence" }, REDIS_REPLY_STRING, check_persistence },
    { "INFO replication", { "INFO", "replication" }, REDIS_REPLY_STRING, check_role },
    { "TIME", { "TIME" }, REDIS_REPLY_ARRAY, check_time },
};

static void on_step_reply(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                          const char *why, void *arg)
{
    const struct step *step = arg;

    if (redis->phase != PHASE_HANDSHAKE || outcome == REDIS_UNKNOWN)
        return;
    if (outcome == REDIS_REFUSED)
        refuse(redis, step->name, why);
    else if (reply->type != step->reply_type)
        refuse(redis, step->name, "answered with an unexpected type of reply");
    else if (step->check)
        step->check(redis, reply);
    if (redis->phase == PHASE_HANDSHAKE && --redis->handshake_left == 0)
        redis_become_ready(redis);
}

/* Sends the step's words and up to two arguments behind them. */
static void send_step(struct redis *redis, const struct step *step, const char *first,
                      size_t first_len, const char *second)
{
    const char *argv[4];
    size_t lens[4];
    size_t argc = 0;
    struct call call = { .argv = argv, .argv_len = lens };
    struct error err = { .code = 0 };

    for (size_t i = 0; i < ARRAY_SIZE(step->words) && step->words[i]; i++) {
        argv[argc] = step->words[i];
        lens[argc++] = strlen(step->words[i]);
    }
    if (first) {
        argv[argc] = first;
        lens[argc++] = first_len;
    }
    if (second) {
        argv[argc] = second;
        lens[argc++] = strlen(second);
    }
    redis->handshake_left++;
    call.argc = argc;
    if (request_send(redis, &call, 0, on_step_reply, (void *)(uintptr_t)step, &err) < 0)
        refuse(redis, step->name, err.text);
}

static void send_text(struct redis *redis, const struct step *step, const char *text)
{
    send_step(redis, step, text, text ? strlen(text) : 0, NULL);
}

static void send_identity(struct redis *redis)
{
    const struct config_redis *endpoint = redis->endpoint;
    bool sentinel = redis->peer == PEER_SENTINEL;
    const char *username = sentinel ? endpoint->sentinel_username : endpoint->username;
    const char *password = sentinel ? endpoint->sentinel_password : endpoint->password;
    char db[16];

    if (username)
        send_step(redis, &auth, username, strlen(username), password ? password : "");
    else if (password)
        send_text(redis, &auth, password);
    if (redis->peer == PEER_MASTER && endpoint->db != 0) {
        (void)snprintf(db, sizeof(db), "%u", endpoint->db);
        send_text(redis, &select_db, db);
    }
    if (redis->client_name)
        send_text(redis, &set_name, redis->client_name);
}

void handshake_start(struct redis *redis)
{
    bool works = redis->peer == PEER_MASTER || redis->peer == PEER_NODE;

    redis->handshake_left = 0;
    redis->handshake_sent_at_ms = clock_wall_ms();
    send_identity(redis);
    for (size_t i = 0; i < (works ? ARRAY_SIZE(facts) : 1); i++)
        send_text(redis, &facts[i], NULL);
    for (size_t i = 0; redis->scripts && redis->scripts[i]; i++)
        send_step(redis, &load_script, redis->scripts[i]->text, redis->scripts[i]->text_len, NULL);
}
