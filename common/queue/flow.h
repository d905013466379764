/* flow.h - adding a tree of jobs, in which a job waits for its children (wire format 10).
 * One script, all or nothing: no worker sees a part of the tree, and when one job of it can't be
 * added, none is (lua/flow.lua). */
#pragma once

#include "common/queue/add.h"

/* A job and the jobs that it waits for. A node with children can't have a deduplication, and only
 * the root can have a parent of its own, a job that is there already. */
struct flow_node {
    const char *prefix; /* NULL: that of the queue the call is made on */
    const char *queue;  /* NULL: that queue */
    struct job_spec
        spec; /* without an id: it gets a random UUID; policy: of this node as a child */
    const struct flow_node *children;
    size_t children_count;
};

#define FLOW_NODES_MAX  1000 /* of one tree, the root counted; larger ones are refused */
#define FLOW_DEPTH_MAX  100  /* of nodes above each other */
#define FLOW_QUEUES_MAX 100  /* different queues in one tree */

/* Checks the tree as queue_add_flow does. -EINVAL names the node: "children[2].children[0]: …". */
MUST_CHECK int queue_check_flow(struct queue *queue, const struct flow_node *root,
                                struct error *err);

/* results: of the nodes in depth-first order, a parent before its children. When one has a code
 * other than ADD_OK nothing was added; the other nodes' ids are NULL then, too. NULL on an outcome
 * other than REDIS_REPLY. */
typedef void queue_flow_cb(struct queue *queue, const struct call_result *call,
                           const struct add_result *results, size_t count, void *arg);

/* Adds the tree. On a cluster all its queues must lie in one hash slot, as for stock clients: Redis
 * refuses it otherwise (CROSSSLOT). Ids are made by this call, so a tree without ids of its own is
 * a new one each time; one with ids may be added again. */
MUST_CHECK int queue_add_flow(struct queue *queue, const struct flow_node *root,
                              queue_flow_cb *on_done, void *arg, struct error *err);
