/* Any bytes as a flow: refused with a text, or a tree within its bounds whose children lie in it.
 */
#include "common/queue/flow_json.h"
#include "tests/fuzz/fuzz.h"

static void check_node(const struct flow_node *nodes, size_t count, const struct flow_node *node)
{
    struct error err = { 0 };

    assert(node->queue && node->spec.name.data);
    assert(node->children_count == 0 ||
           (node->children > node && node->children + node->children_count <= nodes + count));
    if (job_spec_check(&node->spec, &err) < 0)
        assert(err.code < 0 && err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct flow_tree *tree = NULL;
    struct error err = { 0 };
    struct flow_node *nodes;
    size_t count;

    if (flow_tree_parse((const char *)data, size, &tree, &err) < 0) {
        assert(err.code < 0 && err.text[0] && !tree);
        return 0;
    }
    nodes = flow_tree_nodes(tree, &count);
    assert(count >= 1 && count <= FLOW_NODES_MAX);
    for (size_t i = 0; i < count; i++)
        check_node(nodes, count, &nodes[i]);
    flow_tree_free(tree);
    return 0;
}
