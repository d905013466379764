/* A flow as a tree: a call a node, breadth first, until depth or number end it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/queue/get_internal.h"

enum { NODE_NAME, NODE_STATE, NODE_COUNTS, NODE_CHILDREN };
#define NODE_ELEMENTS (NODE_CHILDREN + DEPENDENCY_COUNT)
#define DEPTH_MAX     100
#define CHILDREN_MAX  1000
#define NODES_MAX     100000

/* A node that was not asked for yet. */
struct pending {
    struct flow_view *node;
    size_t depth;
};

struct flow_call {
    struct queue *queue; /* of the root */
    queue_flow_view_cb *on_done;
    void *arg;
    struct flow_view_limits limits;
    struct flow_view *root;
    struct pending *pending; /* a queue; room for limits.nodes */
    size_t pending_from, pending_to;
    struct queue *asked; /* of the node under way, owned; NULL none */
};

static void on_node(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg);

/* A tree is at most DEPTH_MAX deep. */
static void free_node(struct flow_view *node) /* NOLINT(misc-no-recursion) */
{
    if (!node)
        return;
    for (size_t i = 0; i < node->children_count; i++)
        free_node(node->children[i]);
    free(node->children);
    free(node->prefix);
    free(node->queue);
    free(node->id);
    free(node->name);
    free(node->state);
    free(node);
}

static void free_flow(struct flow_call *call)
{
    free_node(call->root);
    free(call->pending);
    queue_free(call->asked);
    free(call);
}

static void end_flow(struct flow_call *call, const struct call_result *result)
{
    /* The root is the only node that may turn out not to be there. */
    bool found = call->root && strcmp(call->root->state, "gone") != 0;

    call->on_done(call->queue, result, result->outcome == REDIS_REPLY && found ? call->root : NULL,
                  call->arg);
    free_flow(call);
}

/* A node takes what `address` has; NULL on no memory. */
static struct flow_view *new_node(struct job_address *address)
{
    struct flow_view *node = calloc(1, sizeof(*node));

    if (node) {
        *node = (struct flow_view){ .prefix = address->prefix,
                                    .queue = address->queue,
                                    .id = address->id,
                                    .name = strdup(""),
                                    .state = strdup("gone") };
        *address = (struct job_address){ 0 };
    }
    if (node && node->name && node->state)
        return node;
    job_address_done(address);
    free_node(node);
    return NULL;
}

/* Asks for the next node; 1 when there is none left. */
static int ask_next(struct flow_call *call, struct error *err)
{
    const struct flow_view *node;
    int r;

    if (call->pending_from == call->pending_to)
        return 1;
    node = call->pending[call->pending_from].node;
    queue_free(TAKE_PTR(call->asked));
    r = queue_new(node->prefix, node->queue, call->queue->redis, &call->asked, err);
    if (r == 0)
        r = get_args_begin(call->asked, 2, err);
    if (r < 0)
        return r;
    queue_args_add_text(call->asked, node->id);
    queue_args_add_uint(call->asked, call->limits.children);
    return queue_args_run(call->asked, &queue_script_node, QUEUE_KEY_COUNT, on_node, call, err);
}

/* One child of `parent`; false on no memory. */
static bool add_child(struct flow_call *call, struct pending parent, enum dependency_kind kind,
                      struct bytes key)
{
    struct flow_view *child, **grown;
    struct job_address address;

    if (call->pending_to == call->limits.nodes || parent.depth == call->limits.depth ||
        !job_key_split(call->asked, key, &address))
        return true; /* counted only */
    child = new_node(&address);
    grown = child ? reallocarray(parent.node->children, parent.node->children_count + 1,
                                 sizeof(struct flow_view *))
                  : NULL;
    if (!grown) {
        free_node(child);
        return false;
    }
    child->has_kind = true;
    child->kind = kind;
    parent.node->children = grown;
    parent.node->children[parent.node->children_count++] = child;
    call->pending[call->pending_to++] = (struct pending){ child, parent.depth + 1 };
    return true;
}

static bool replace(char **text, const redisReply *with)
{
    char *copy = strdup(get_reply_text(with));

    if (!copy)
        return false;
    free(*text);
    *text = copy;
    return true;
}

static bool read_node(struct flow_call *call, struct pending at, const redisReply *reply)
{
    const redisReply *counts = reply->element[NODE_COUNTS];

    if (!replace(&at.node->name, reply->element[NODE_NAME]) ||
        !replace(&at.node->state, reply->element[NODE_STATE]))
        return false;
    for (size_t i = 0; i < DEPENDENCY_COUNT && i < counts->elements; i++)
        at.node->counts[i] = queue_reply_uint(counts->element[i], 0);
    for (size_t kind = 0; kind < DEPENDENCY_COUNT; kind++) {
        const redisReply *keys = reply->element[NODE_CHILDREN + kind];

        for (size_t i = 0; keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
            if (!add_child(call, at, (enum dependency_kind)kind,
                           queue_reply_bytes(keys->element[i])))
                return false;
        }
    }
    return true;
}

static void on_node(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct flow_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    struct error err = { 0 };
    int r;

    (void)redis;
    if (result.outcome == REDIS_REPLY && reply->type == REDIS_REPLY_ARRAY &&
        reply->elements == NODE_ELEMENTS &&
        !read_node(call, call->pending[call->pending_from], reply))
        result = get_no_memory();
    call->pending_from++;
    if (result.outcome != REDIS_REPLY) {
        end_flow(call, &result);
        return;
    }
    r = ask_next(call, &err);
    if (r < 0)
        result = queue_walk_unsent(&err);
    if (r != 0)
        end_flow(call, &result);
}

static int check_limits(const struct flow_view_limits *limits, struct error *err)
{
    if (limits->depth < 1 || limits->depth > DEPTH_MAX)
        return error_set(err, -EINVAL, "%zu levels of a flow: 1 to %d", limits->depth, DEPTH_MAX);
    if (limits->children < 1 || limits->children > CHILDREN_MAX)
        return error_set(err, -EINVAL, "%zu children of a node: 1 to %d", limits->children,
                         CHILDREN_MAX);
    if (limits->nodes < 1 || limits->nodes > NODES_MAX)
        return error_set(err, -EINVAL, "%zu nodes of a flow: 1 to %d", limits->nodes, NODES_MAX);
    return 0;
}

static struct flow_view *new_root(const struct queue *queue, const char *id)
{
    size_t prefix_len = queue->key_prefix.len - strlen(queue->name) - 2;
    struct job_address address = { strndup(queue->key_prefix.data, prefix_len), strdup(queue->name),
                                   strdup(id) };

    if (address.prefix && address.queue && address.id)
        return new_node(&address);
    job_address_done(&address);
    return NULL;
}

int queue_get_flow(struct queue *queue, const char *id, const struct flow_view_limits *limits,
                   queue_flow_view_cb *on_done, void *arg, struct error *err)
{
    struct flow_call *call;
    int r = get_check_id(id, err);

    if (r == 0)
        r = check_limits(limits, err);
    if (r < 0)
        return r;
    call = calloc(1, sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct flow_call){ .queue = queue, .on_done = on_done, .arg = arg, .limits = *limits };
    call->root = new_root(queue, id);
    call->pending = calloc(limits->nodes, sizeof(*call->pending));
    if (!call->root || !call->pending) {
        free_flow(call);
        return error_set(err, -ENOMEM, "allocate a call");
    }
    call->pending[call->pending_to++] = (struct pending){ call->root, 0 };
    r = ask_next(call, err);
    if (r < 0)
        free_flow(call);
    return r;
}
