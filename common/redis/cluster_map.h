/* cluster_map.h - which node of a cluster serves which hash slot, as plain values. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/hash_slot.h"
#include "common/config/config.h"

#define CLUSTER_MAP_NODES_MAX 255
#define CLUSTER_MAP_NOBODY    255 /* as an owner: no node serves the slot */

struct cluster_map {
    struct config_node nodes[CLUSTER_MAP_NODES_MAX]; /* hosts are owned */
    size_t count;
    uint8_t owner[HASH_SLOT_COUNT]; /* index of a node */
};

void cluster_map_init(struct cluster_map *map);
void cluster_map_done(struct cluster_map *map);

/* Index of the node with that address, entered when it is new; -1 when there is no room or memory.
 */
int cluster_map_enter(struct cluster_map *map, const char *host, uint16_t port);

/* Fills an initialised map from the reply of CLUSTER SLOTS. `from`: who answered; a host that a
 * node does not know of itself is that. */
MUST_CHECK int cluster_map_read(struct cluster_map *map, const redisReply *reply,
                                const struct config_node *from, struct error *err);

/* "MOVED 3999 10.0.0.1:6381", "ASK …", hosts as above. Returns the node's index, or -1. */
int cluster_map_read_redirect(struct cluster_map *map, const char *text,
                              const struct config_node *from, unsigned int *out_slot);
