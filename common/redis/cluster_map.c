#include "common/redis/cluster_map.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"

void cluster_map_init(struct cluster_map *map)
{
    map->count = 0;
    memset(map->owner, CLUSTER_MAP_NOBODY, sizeof(map->owner));
}

void cluster_map_done(struct cluster_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        free(map->nodes[i].host);
    map->count = 0;
}

int cluster_map_enter(struct cluster_map *map, const char *host, uint16_t port)
{
    char *copy = NULL;

    for (size_t i = 0; i < map->count; i++)
        if (map->nodes[i].port == port && strcmp(map->nodes[i].host, host) == 0)
            return (int)i;
    if (map->count == CLUSTER_MAP_NODES_MAX)
        return -1;
    copy = strdup(host);
    if (!copy)
        return -1;
    map->nodes[map->count] = (struct config_node){ copy, port };
    return (int)map->count++;
}

/* ---- CLUSTER SLOTS: [first, last, [host, port, id …], replica …] a range ---- */

static const char *host_of(const redisReply *reply, const struct config_node *from)
{
    /* NULL or "": the one that you are talking to; "?": a name that was not set. */
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || strcmp(reply->str, "?") == 0)
        return from->host;
    return reply->str;
}

static bool is_range(const redisReply *range)
{
    const redisReply *node = NULL;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER ||
        range->element[2]->type != REDIS_REPLY_ARRAY)
        return false;
    node = range->element[2];
    return node->elements >= 2 && node->element[1]->type == REDIS_REPLY_INTEGER &&
           node->element[1]->integer > 0 && node->element[1]->integer <= UINT16_MAX &&
           range->element[0]->integer >= 0 &&
           range->element[0]->integer <= range->element[1]->integer &&
           range->element[1]->integer < HASH_SLOT_COUNT;
}

int cluster_map_read(struct cluster_map *map, const redisReply *reply,
                     const struct config_node *from, struct error *err)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return error_set(err, -EPROTO, "CLUSTER SLOTS answered with something else than ranges");
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        const redisReply *node = NULL;
        int at = 0;

        if (!is_range(range))
            return error_set(err, -EPROTO, "CLUSTER SLOTS answered with a range that is none");
        node = range->element[2];
        at = cluster_map_enter(map, host_of(node->element[0], from),
                               (uint16_t)node->element[1]->integer);
        if (at < 0)
            return error_set(err, -ENOMEM, "more than %d masters, or no memory",
                             CLUSTER_MAP_NODES_MAX);
        memset(map->owner + range->element[0]->integer, at,
               (size_t)(range->element[1]->integer - range->element[0]->integer + 1));
    }
    return 0;
}

/* ---- MOVED and ASK ---- */

int cluster_map_read_redirect(struct cluster_map *map, const char *text,
                              const struct config_node *from, unsigned int *out_slot)
{
    const char *slot = strchr(text, ' ');
    const char *address = slot ? strchr(slot + 1, ' ') : NULL;
    const char *colon = address ? strrchr(address, ':') : NULL; /* IPv6 has no brackets */
    uint64_t slot_number = 0, port = 0;
    char host[256];

    if (!colon || text_parse_uint(slot + 1, (size_t)(address - slot) - 1, &slot_number) < 0 ||
        slot_number >= HASH_SLOT_COUNT ||
        text_parse_uint(colon + 1, strcspn(colon + 1, " "), &port) < 0 || port == 0 ||
        port > UINT16_MAX || (size_t)(colon - address) > sizeof(host))
        return -1;
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - address) - 1, address + 1);
    *out_slot = (unsigned int)slot_number;
    return cluster_map_enter(map, *host && strcmp(host, "?") != 0 ? host : from->host,
                             (uint16_t)port);
}
