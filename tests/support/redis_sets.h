/* redis_sets.h - several private Redis servers that belong together, on free ports of 127.0.0.1: a
 * master with its replica and Sentinels, or a cluster. As redis_server.h: synchronous, for tests,
 * aborts with the reason. */
#pragma once

#include "tests/support/redis_server.h"

#define SENTINELS_MAX       3
#define CLUSTER_SERVERS_MAX 6

/* servers[0] is the master at first, and known to the Sentinels as "mymaster". */
struct redis_watched {
    struct redis_server servers[2];
    struct redis_server sentinels[SENTINELS_MAX];
    size_t sentinels_count;
};

/* down_after_ms: so long without an answer counts as down. Returns when all know each other. */
void redis_watched_start(struct redis_watched *set, size_t sentinels, unsigned int down_after_ms);
void redis_watched_stop(struct redis_watched *set);
/* Has them make the other one the master, and waits until it is. */
void redis_watched_fail_over(struct redis_watched *set);
/* Which of the two the Sentinel holds for the master; -1 neither. */
int redis_watched_master(const struct redis_watched *set, size_t sentinel);

struct redis_nodes {
    struct redis_server servers[CLUSTER_SERVERS_MAX]; /* masters first, then a replica of each */
    size_t masters, count;
};

/* Slots are shared evenly. Returns when all nodes say that the cluster is complete. */
void redis_nodes_start(struct redis_nodes *set, size_t masters, bool replicas);
void redis_nodes_stop(struct redis_nodes *set);
/* The server that serves the slot, as server 0 or, when that is dead, another one sees it. */
size_t redis_nodes_owner(const struct redis_nodes *set, unsigned int slot);
/* Steps of moving a slot from one master to another: it is declared to be moving; its keys move,
 * all or at most so many (0: all); all nodes are told that it has moved. */
void redis_nodes_begin_move(struct redis_nodes *set, unsigned int slot, size_t from, size_t to);
void redis_nodes_move_keys(struct redis_nodes *set, unsigned int slot, size_t from, size_t to,
                           size_t max);
void redis_nodes_end_move(struct redis_nodes *set, unsigned int slot, size_t to);
