#include "tests/support/redis_sets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WITHIN_MS    20000
#define SLOTS        16384
#define ID_BYTES     41
#define MOVE_TIME_MS "5000"

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
    (void)fprintf(stderr, "redis_sets: %s\n", what);
    abort();
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define wait_until(condition)                          \
    do {                                               \
        uint64_t deadline_ = now_ms() + WITHIN_MS;     \
        while (!(condition)) {                         \
            if (now_ms() > deadline_)                  \
                die("waited in vain for " #condition); \
            (void)usleep(5000);                        \
        }                                              \
    } while (0)

static bool info_says(const struct redis_server *server, const char *section, const char *text)
{
    redisReply *reply = redis_server_ask(server, "%s %s", "INFO", section);
    bool found = reply->str && strstr(reply->str, text);

    freeReplyObject(reply);
    return found;
}

/* ---- Sentinels ---- */

int redis_watched_master(const struct redis_watched *set, size_t sentinel)
{
    redisReply *reply =
        redis_server_ask(&set->sentinels[sentinel], "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
    int at = -1;

    for (int i = 0; i < 2 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2; i++)
        if (atoi(reply->element[1]->str) == set->servers[i].port)
            at = i;
    freeReplyObject(reply);
    return at;
}

static bool knows_all(const struct redis_watched *set, size_t sentinel)
{
    redisReply *reply = redis_server_ask(&set->sentinels[sentinel], "SENTINEL MASTER mymaster");
    size_t others = 0, replicas = 0;

    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const char *value = reply->element[i + 1]->str;

        if (strcmp(reply->element[i]->str, "num-other-sentinels") == 0)
            others = (size_t)atoi(value);
        if (strcmp(reply->element[i]->str, "num-slaves") == 0)
            replicas = (size_t)atoi(value);
    }
    freeReplyObject(reply);
    return others == set->sentinels_count - 1 && replicas == 1;
}

static void start_sentinel(struct redis_watched *set, size_t at, unsigned int down_after_ms)
{
    struct redis_server *sentinel = &set->sentinels[at];

    redis_server_start(sentinel, &(struct redis_server_options){ .tcp = true, .sentinel = true });
    redis_server_do(sentinel, "SENTINEL MONITOR mymaster 127.0.0.1 %d %d", set->servers[0].port,
                    (int)set->sentinels_count / 2 + 1);
    redis_server_do(sentinel, "SENTINEL SET mymaster down-after-milliseconds %u", down_after_ms);
    redis_server_do(sentinel, "SENTINEL SET mymaster failover-timeout 3000");
}

void redis_watched_start(struct redis_watched *set, size_t sentinels, unsigned int down_after_ms)
{
    *set = (struct redis_watched){ .sentinels_count = sentinels };
    for (size_t i = 0; i < 2; i++)
        redis_server_start(&set->servers[i], &(struct redis_server_options){ .tcp = true });
    redis_server_do(&set->servers[0], "CONFIG SET repl-diskless-sync-delay 0");
    redis_server_do(&set->servers[1], "REPLICAOF 127.0.0.1 %d", set->servers[0].port);
    wait_until(info_says(&set->servers[1], "replication", "master_link_status:up"));
    for (size_t i = 0; i < sentinels; i++)
        start_sentinel(set, i, down_after_ms);
    for (size_t i = 0; i < sentinels; i++)
        wait_until(knows_all(set, i));
}

void redis_watched_stop(struct redis_watched *set)
{
    for (size_t i = 0; i < set->sentinels_count; i++)
        redis_server_stop(&set->sentinels[i]);
    for (size_t i = 0; i < 2; i++)
        redis_server_stop(&set->servers[i]);
}

void redis_watched_fail_over(struct redis_watched *set)
{
    int before = redis_watched_master(set, 0);
    redisReply *reply = NULL;
    bool begun = false;

    while (!begun) {
        reply = redis_server_ask(&set->sentinels[0], "SENTINEL FAILOVER mymaster");
        begun = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        (void)usleep(20000);
    }
    wait_until(redis_watched_master(set, 0) == 1 - before);
    for (size_t i = 1; i < set->sentinels_count; i++)
        wait_until(redis_watched_master(set, i) == 1 - before);
}

/* ---- cluster ---- */

static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        die("no free port");
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void id_of(const struct redis_server *server, char out[ID_BYTES])
{
    redisReply *reply = redis_server_ask(server, "CLUSTER MYID");

    if (reply->type != REDIS_REPLY_STRING)
        die("CLUSTER MYID");
    (void)snprintf(out, ID_BYTES, "%s", reply->str);
    freeReplyObject(reply);
}

static bool is_complete(const struct redis_nodes *set, const struct redis_server *server)
{
    redisReply *reply = redis_server_ask(server, "CLUSTER INFO");
    char known[40];
    bool complete = false;

    (void)snprintf(known, sizeof(known), "cluster_known_nodes:%zu\r\n", set->count);
    complete = strstr(reply->str, "cluster_state:ok") && strstr(reply->str, known);
    freeReplyObject(reply);
    return complete;
}

static void start_node(struct redis_server *server)
{
    char bus_port[8];
    const char *const args[] = { "--cluster-enabled",
                                 "yes",
                                 "--cluster-node-timeout",
                                 "1000",
                                 "--cluster-port",
                                 bus_port,
                                 "--repl-diskless-sync-delay",
                                 "0",
                                 NULL };

    (void)snprintf(bus_port, sizeof(bus_port), "%d", free_port());
    redis_server_start(server, &(struct redis_server_options){ .tcp = true, .args = args });
}

static int bus_port_of(const struct redis_server *server)
{
    redisReply *reply = redis_server_ask(server, "CONFIG GET cluster-port");
    int port = atoi(reply->element[1]->str);

    freeReplyObject(reply);
    return port;
}

static bool replicate(const struct redis_server *server, const char *id)
{
    redisReply *reply = redis_server_ask(server, "CLUSTER REPLICATE %s", id);
    bool done = reply->type == REDIS_REPLY_STATUS;

    freeReplyObject(reply);
    return done;
}

void redis_nodes_start(struct redis_nodes *set, size_t masters, bool replicas)
{
    char id[ID_BYTES];

    *set = (struct redis_nodes){ .masters = masters, .count = replicas ? masters * 2 : masters };
    for (size_t i = 0; i < set->count; i++)
        start_node(&set->servers[i]);
    for (size_t i = 0; i < set->count; i++) {
        redis_server_do(&set->servers[i], "CLUSTER SET-CONFIG-EPOCH %d", (int)i + 1);
        if (i > 0)
            redis_server_do(&set->servers[i], "CLUSTER MEET 127.0.0.1 %d %d", set->servers[0].port,
                            bus_port_of(&set->servers[0]));
        if (i < masters)
            redis_server_do(&set->servers[i], "CLUSTER ADDSLOTSRANGE %d %d",
                            (int)(SLOTS * i / masters), (int)(SLOTS * (i + 1) / masters) - 1);
    }
    for (size_t i = 0; i < set->count; i++)
        wait_until(is_complete(set, &set->servers[i]));
    for (size_t i = masters; i < set->count; i++) {
        id_of(&set->servers[i - masters], id);
        wait_until(replicate(&set->servers[i], id));
        wait_until(info_says(&set->servers[i], "replication", "master_link_status:up"));
    }
}

void redis_nodes_stop(struct redis_nodes *set)
{
    for (size_t i = 0; i < set->count; i++)
        redis_server_stop(&set->servers[i]);
}

static const struct redis_server *living(const struct redis_nodes *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->servers[i].pid > 0)
            return &set->servers[i];
    die("no node lives");
}

size_t redis_nodes_owner(const struct redis_nodes *set, unsigned int slot)
{
    redisReply *reply = redis_server_ask(living(set), "CLUSTER SLOTS");
    size_t owner = CLUSTER_SERVERS_MAX;

    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];

        for (size_t k = 0; k < set->count && range->element[0]->integer <= slot &&
                           range->element[1]->integer >= slot;
             k++)
            if (set->servers[k].port == range->element[2]->element[1]->integer)
                owner = k;
    }
    freeReplyObject(reply);
    return owner;
}

void redis_nodes_begin_move(struct redis_nodes *set, unsigned int slot, size_t from, size_t to)
{
    char from_id[ID_BYTES], to_id[ID_BYTES];

    id_of(&set->servers[from], from_id);
    id_of(&set->servers[to], to_id);
    redis_server_do(&set->servers[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, from_id);
    redis_server_do(&set->servers[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, to_id);
}

void redis_nodes_move_keys(struct redis_nodes *set, unsigned int slot, size_t from, size_t to,
                           size_t max)
{
    size_t moved = 0;

    while (max == 0 || moved < max) {
        redisReply *keys =
            redis_server_ask(&set->servers[from], "CLUSTER GETKEYSINSLOT %u %d", slot, 1);
        bool none = keys->elements == 0;

        if (!none)
            redis_server_do(&set->servers[from], "MIGRATE 127.0.0.1 %d %b 0 " MOVE_TIME_MS,
                            set->servers[to].port, keys->element[0]->str, keys->element[0]->len);
        freeReplyObject(keys);
        if (none)
            return;
        moved++;
    }
}

void redis_nodes_end_move(struct redis_nodes *set, unsigned int slot, size_t to)
{
    char id[ID_BYTES];

    id_of(&set->servers[to], id);
    redis_server_do(&set->servers[to], "CLUSTER SETSLOT %u NODE %s", slot, id);
    for (size_t i = 0; i < set->masters; i++)
        if (i != to)
            redis_server_do(&set->servers[i], "CLUSTER SETSLOT %u NODE %s", slot, id);
}
