/* cluster.h - a Redis Cluster behind one struct redis, the router.
 * Invariant: a request is at one node or held back here, never both; it is sent again only after a
 * refusal that says that it was not executed, and goes out after all earlier ones of its slot that
 * are held back.
 *
 * The map (which node serves which slot) is asked for once a connect (CLUSTER SLOTS of any node)
 * and corrected by what nodes answer: MOVED (for good), ASK (this request only, while the slot
 * moves). TRYAGAIN and CLUSTERDOWN are repeated until the request's time is over. When a node is
 * lost the router is, as a whole, and comes back with a new map.
 *
 * A slot that moves has some of its keys here, some there. A script names some keys and builds
 * others, so it could run on half a queue. Each script therefore gets one key more, which never
 * exists: then the old node says ASK, and the new one TRYAGAIN, until the slot has moved. A queue
 * rests for that long. */
#pragma once

#include "common/redis/connection.h"

#define CLUSTER_NODES_MAX 255

/* For a router; slot_key may be NULL. NULL on no memory. */
struct cluster *cluster_new(struct redis *redis, const char *slot_key);
/* Only after the end of all children of the router. NULL is accepted. */
void cluster_free(struct cluster *cluster);

/* Begins to ask for the map; ends in redis_become_ready or a loss, later. */
void cluster_find(struct cluster *cluster);
/* Ends all connections; what was sent is answered with REDIS_UNKNOWN. */
void cluster_drop(struct cluster *cluster);

/* As redis_command, redis_run_script and redis_command_at (`at` not NULL), with the time-out. */
MUST_CHECK int cluster_send(struct cluster *cluster, const struct call *call, const size_t *at,
                            uint64_t timeout_ms, redis_reply_cb *on_reply, void *arg,
                            struct error *err);
size_t cluster_masters_count(const struct cluster *cluster);

/* A node refused a request. True: it is held back and will go out again, `request` is not the
 * node's any more. */
bool cluster_take_refusal(struct request *request, const redisReply *reply);

/* What is held back goes out where it can; what has no time left is refused. */
void cluster_step(struct cluster *cluster, uint64_t now_ms);
/* When the next of these is due; NO_DEADLINE when none is. */
uint64_t cluster_next_ms(const struct cluster *cluster);
