/* flow_json.h - a tree of jobs out of JSON as stock flow producers take it:
 *   {"name": …, "queueName": …, "prefix": …, "data": …, "opts": {…}, "children": [{…}, …]}
 * Strict: what is unknown, or of another type, is refused with its place, never passed over. */
#pragma once

#include "common/queue/flow.h"

struct flow_tree;

/* -EINVAL names the place: "children[1].opts.delay: …"; -E2BIG over FLOW_NODES_MAX. What
 * queue_check_flow checks is left to it. The text is copied. */
MUST_CHECK int flow_tree_parse(const char *json, size_t len, struct flow_tree **out_tree,
                               struct error *err);
void flow_tree_free(struct flow_tree *tree);
void flow_tree_freep(struct flow_tree **tree);

/* All nodes, the root first, then level by level; to be changed at will, but for their children. */
struct flow_node *flow_tree_nodes(struct flow_tree *tree, size_t *out_count);
