/* Adding a tree: laid out as a list, level by level as stock clients send it, and given to
 * lua/flow.lua in one call. */
#include "common/queue/flow.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/uuid.h"
#include "common/queue/add_internal.h"

#define ARGS_A_NODE 12
#define NO_PARENT   SIZE_MAX
#define PATH_BYTES  256 /* of a node's place in messages; longer ones are cut in front */

/* One node; in depth-first order. */
struct flow_entry {
    const struct flow_node *node;
    size_t parent; /* index; NO_PARENT */
    size_t child;  /* which child of it */
    size_t depth;  /* 0 the root */
    size_t queue;  /* index */
    struct bytes id;
    char made_id[UUID_TEXT_BYTES];
};

/* One queue of the tree. */
struct flow_queue {
    struct bytes qualified; /* "<prefix>:<queue>"; owned */
    struct bytes id_key;    /* owned */
    struct bytes prefix;    /* the start of id_key, with its colon */
};

struct flow {
    struct queue *queue;
    struct flow_entry *entries;
    size_t count, cap;
    struct flow_queue queues[FLOW_QUEUES_MAX];
    size_t queues_count;
};

static void free_bytes(struct bytes *bytes)
{
    free((void *)(uintptr_t)bytes->data); /* ours: the const is for the readers */
}

static void flow_done(struct flow *flow)
{
    for (size_t i = 0; i < flow->queues_count; i++) {
        free_bytes(&flow->queues[i].qualified);
        free_bytes(&flow->queues[i].id_key);
    }
    free(flow->entries);
}

/* ---- laying out ---- */

/* "children[2].children[0]: " in front of what is wrong; nothing for the root. */
static int wrap_place(const struct flow *flow, size_t index, struct error *err)
{
    const struct flow_entry *entry;

    for (; index != NO_PARENT && flow->entries[index].parent != NO_PARENT; index = entry->parent) {
        entry = &flow->entries[index];
        (void)error_wrap(err, "children[%zu]", entry->child); /* the code stays */
    }
    return err ? err->code : -EINVAL;
}

static int add_entry(struct flow *flow, const struct flow_node *node, size_t parent, size_t child,
                     struct error *err)
{
    struct flow_entry *entry;

    if (flow->count == FLOW_NODES_MAX)
        return error_set(err, -E2BIG, "the flow has more than %d jobs", FLOW_NODES_MAX);
    if (flow->count == flow->cap) {
        size_t cap = flow->cap == 0 ? 16 : flow->cap * 2;
        struct flow_entry *bigger = reallocarray(flow->entries, cap, sizeof(*bigger));

        if (!bigger)
            return error_set(err, -ENOMEM, "allocate a flow of %zu jobs", cap);
        flow->entries = bigger;
        flow->cap = cap;
    }
    entry = &flow->entries[flow->count];
    *entry = (struct flow_entry){ .node = node, .parent = parent, .child = child };
    if (parent != NO_PARENT)
        entry->depth = flow->entries[parent].depth + 1;
    flow->count++;
    return 0;
}

/* Depth first. The way back up is in the entries themselves. */
static int lay_out(struct flow *flow, const struct flow_node *root, struct error *err)
{
    size_t at = 0;
    int r = add_entry(flow, root, NO_PARENT, 0, err);

    while (r == 0) {
        const struct flow_entry *entry = &flow->entries[at];
        size_t next = 0; /* which child of `at` comes now */

        while (next >= entry->node->children_count) { /* no more here: the next sibling */
            if (entry->parent == NO_PARENT)
                return 0;
            next = entry->child + 1;
            at = entry->parent;
            entry = &flow->entries[at];
        }
        if (entry->depth + 1 >= FLOW_DEPTH_MAX)
            return error_set(err, -E2BIG, "the flow is more than %d levels deep", FLOW_DEPTH_MAX);
        r = add_entry(flow, &entry->node->children[next], at, next, err);
        at = flow->count - 1;
    }
    return r;
}

/* ---- checks ---- */

static struct bytes bytes_of(char *text)
{
    return (struct bytes){ .data = text, .len = text ? strlen(text) : 0 };
}

static int find_queue(struct flow *flow, struct flow_entry *entry, struct error *err)
{
    const struct queue *queue = flow->queue;
    size_t name_len = strlen(queue->name);
    const char *name = entry->node->queue ? entry->node->queue : queue->name;
    _cleanup_(freep) char *qualified = NULL;
    struct flow_queue *found;

    if (entry->node->prefix)
        qualified = text_format("%s:%s", entry->node->prefix, name);
    else
        qualified = text_format("%.*s%s", (int)(queue->key_prefix.len - name_len - 1),
                                queue->key_prefix.data, name);
    if (!qualified)
        return error_set(err, -ENOMEM, "allocate the name of a queue");
    if (queue_check_names(entry->node->prefix ? entry->node->prefix : "-", name, err) < 0)
        return -EINVAL;
    for (entry->queue = 0; entry->queue < flow->queues_count; entry->queue++) {
        if (strcmp(flow->queues[entry->queue].qualified.data, qualified) == 0)
            return 0;
    }
    if (flow->queues_count == FLOW_QUEUES_MAX)
        return error_set(err, -E2BIG, "the flow is spread over more than %d queues",
                         FLOW_QUEUES_MAX);
    found = &flow->queues[flow->queues_count];
    *found = (struct flow_queue){ .id_key = bytes_of(text_format("%s:id", qualified)) };
    if (!found->id_key.data)
        return error_set(err, -ENOMEM, "allocate the keys of a queue");
    found->prefix = (struct bytes){ found->id_key.data, found->id_key.len - 2 };
    found->qualified = bytes_of(TAKE_PTR(qualified));
    flow->queues_count++;
    return 0;
}

/* The node's spec with the parent that the tree gives it. */
static struct job_spec spec_of(const struct flow *flow, const struct flow_entry *entry)
{
    struct job_spec spec = entry->node->spec;

    if (entry->parent != NO_PARENT) {
        const struct flow_entry *parent = &flow->entries[entry->parent];

        spec.parent.id = parent->id;
        spec.parent.queue = flow->queues[parent->queue].qualified;
    }
    return spec;
}

static bool same_bytes(struct bytes one, struct bytes other)
{
    return one.len == other.len && memcmp(one.data, other.data, one.len) == 0;
}

static int check_node(struct flow *flow, struct flow_entry *entry, struct error *err)
{
    const struct job_spec *given = &entry->node->spec;
    struct job_spec spec;

    if (entry->parent != NO_PARENT && given->parent.id.data)
        return error_set(err, -EINVAL, "only the root of a flow has a parent of its own");
    if (given->dedup.id.data)
        return error_set(err, -EINVAL, "deduplication does not go with jobs of a flow");
    if (entry->node->children_count > 0 && given->lifo)
        return error_set(err, -EINVAL,
                         "lifo does not go with children: the job starts when they "
                         "have ended, before those that wait");
    if (find_queue(flow, entry, err) < 0)
        return err ? err->code : -EINVAL;
    spec = spec_of(flow, entry);
    if (job_spec_check(&spec, err) < 0)
        return -EINVAL;
    if (given->id.data && given->id.len > 0)
        entry->id = given->id;
    else if (uuid_v4(entry->made_id, err) < 0)
        return err ? err->code : -EIO;
    if (spec.parent.id.data && spec.id.data && same_bytes(spec.id, spec.parent.id) &&
        same_bytes(spec.parent.queue, flow->queues[entry->queue].qualified))
        return error_set(err, -EINVAL, "it is its own parent");
    return 0;
}

static int flow_init(struct flow *flow, struct queue *queue, const struct flow_node *root,
                     struct error *err)
{
    struct error own = { 0 };
    int r;

    flow->queue = queue;
    if (!err)
        err = &own;
    r = lay_out(flow, root, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < flow->count; i++) {
        struct flow_entry *entry = &flow->entries[i];

        if (check_node(flow, entry, err) < 0)
            return wrap_place(flow, i, err);
        if (!entry->id.data) /* the entries have their last place now */
            entry->id = bytes_of(entry->made_id);
    }
    return 0;
}

int queue_check_flow(struct queue *queue, const struct flow_node *root, struct error *err)
{
    _cleanup_(flow_done) struct flow flow = { 0 };

    return flow_init(&flow, queue, root, err);
}

/* ---- the call ---- */

struct flow_call {
    struct queue *queue;
    queue_flow_cb *on_done;
    void *arg;
    size_t *order; /* order[i]: which result the i-th job of the call has */
    size_t count;
    struct add_result results[];
};

static void flow_call_free(struct flow_call *call)
{
    if (call)
        free(call->order);
    free(call);
}

static void flow_call_freep(struct flow_call **call)
{
    flow_call_free(*call);
}

static bool read_results(struct flow_call *call, const redisReply *reply)
{
    bool refused = false;

    for (size_t i = 0; i < call->count; i++) {
        struct add_result *result = &call->results[call->order[i]];

        if (!add_read_result(reply->element[i * 2], reply->element[i * 2 + 1], result))
            return false;
        refused |= result->code != ADD_OK;
    }
    for (size_t i = 0; refused && i < call->count; i++)
        call->results[i].id = NULL;
    return true;
}

static void on_added(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    _cleanup_(flow_call_freep) struct flow_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, call->count * 2);

    bool done = result.outcome == REDIS_REPLY || result.outcome == REDIS_UNREPLICATED;

    (void)redis;
    if (done && read_results(call, reply)) {
        call->on_done(call->queue, &result, call->results, call->count, call->arg);
        return;
    }
    if (done)
        result = (struct call_result){ .outcome = REDIS_REFUSED,
                                       .error_class = REDIS_CLASS_OTHER,
                                       .why = "the flow script answered in an unknown form" };
    call->on_done(call->queue, &result, NULL, 0, call->arg);
}

/* Level by level. */
static void order_entries(const struct flow *flow, size_t *order)
{
    size_t at = 0;

    for (size_t depth = 0; at < flow->count; depth++) {
        for (size_t i = 0; i < flow->count; i++) {
            if (flow->entries[i].depth == depth)
                order[at++] = i;
        }
    }
}

static void put_node(const struct flow *flow, const struct flow_entry *entry,
                     const struct job_spec *spec, struct bytes opts, struct bytes parent,
                     uint64_t now_ms)
{
    struct queue *queue = flow->queue;

    queue_args_add_uint(queue, entry->queue + 1);
    queue_args_add_text(queue, entry->node->children_count > 0 ? "c" : add_place_of(spec));
    queue_args_add_bytes(queue, entry->id);
    add_put_job(queue, spec, opts, now_ms);
    add_put_parent(queue, spec, parent);
}

static void put_flow(const struct flow *flow, const size_t *order, const struct add_texts *texts)
{
    struct queue *queue = flow->queue;
    uint64_t now_ms = clock_wall_ms();
    size_t at = 0;

    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        queue_args_add_key(queue, (enum queue_key)i);
    for (size_t i = 0; i < flow->queues_count; i++)
        queue_args_add_bytes(queue, flow->queues[i].id_key);
    queue_args_add_prefixes(queue);
    queue_args_add_uint(queue, now_ms);
    queue_args_add_uint(queue, flow->queues_count);
    queue_args_add_uint(queue, flow->count);
    for (size_t i = 0; i < flow->queues_count; i++)
        queue_args_add_bytes(queue, flow->queues[i].prefix);
    for (size_t i = 0; i < flow->count; i++) {
        const struct flow_entry *entry = &flow->entries[order[i]];
        struct job_spec spec = spec_of(flow, entry);
        struct bytes opts = add_texts_next(texts, &at, texts->ends[i].opts);
        struct bytes parent = add_texts_next(texts, &at, texts->ends[i].parent);

        put_node(flow, entry, &spec, opts, parent, now_ms);
    }
}

static int send_flow(const struct flow *flow, struct flow_call *call, struct error *err)
{
    _cleanup_(add_texts_done) struct add_texts texts = { 0 };
    int r = add_texts_init(&texts, flow->count, err);

    for (size_t i = 0; r == 0 && i < flow->count; i++) {
        struct job_spec spec = spec_of(flow, &flow->entries[call->order[i]]);

        r = add_texts_print(&texts, &spec, i, err);
    }
    if (r == 0)
        r = queue_args_begin(
            flow->queue,
            QUEUE_ARGS_STANDARD + 3 + 2 * flow->queues_count + flow->count * ARGS_A_NODE, err);
    if (r < 0)
        return r;
    put_flow(flow, call->order, &texts);
    return queue_args_run_kept(flow->queue, &queue_script_flow,
                               QUEUE_KEY_COUNT + flow->queues_count, on_added, call, err);
}

int queue_add_flow(struct queue *queue, const struct flow_node *root, queue_flow_cb *on_done,
                   void *arg, struct error *err)
{
    _cleanup_(flow_done) struct flow flow = { 0 };
    _cleanup_(flow_call_freep) struct flow_call *call = NULL;
    int r = flow_init(&flow, queue, root, err);

    if (r < 0)
        return r;
    call = calloc(1, sizeof(*call) + flow.count * sizeof(call->results[0]));
    if (call)
        call->order = calloc(flow.count, sizeof(*call->order));
    if (!call || !call->order)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", flow.count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->count = flow.count;
    order_entries(&flow, call->order);
    r = send_flow(&flow, call, err);
    if (r < 0)
        return r;
    (void)TAKE_PTR(call); /* on_added frees it */
    return 0;
}
