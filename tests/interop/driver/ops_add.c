/* Operations that add jobs. */
#include <string.h>

#include "common/queue/flow.h"
#include "tests/interop/driver/driver.h"

static struct job_keep read_keep(const json_t *value)
{
    struct job_keep keep = { .present = true, .count = -1, .limit = 1000 };

    if (!value)
        return (struct job_keep){ 0 };
    if (json_is_true(value))
        keep.count = 0;
    else if (json_is_integer(value))
        keep.count = json_integer_value(value);
    else if (json_is_object(value)) {
        if (json_object_get(value, "count"))
            keep.count = json_integer_value(json_object_get(value, "count"));
        keep.age_s = json_number_value(json_object_get(value, "age"));
    }
    return keep;
}

static struct job_backoff read_backoff(const json_t *value)
{
    const char *type = op_text(value, "type");
    struct job_backoff backoff = { .delay_ms = op_uint(value, "delay") };

    if (type)
        backoff.kind = strcmp(type, "fixed") == 0 ? JOB_BACKOFF_FIXED : JOB_BACKOFF_EXPONENTIAL;
    return backoff;
}

static enum job_policy read_policy(const json_t *opts)
{
    if (json_is_true(json_object_get(opts, "failParentOnFailure")))
        return JOB_POLICY_FAIL_PARENT;
    if (json_is_true(json_object_get(opts, "continueParentOnFailure")))
        return JOB_POLICY_CONTINUE_PARENT;
    if (json_is_true(json_object_get(opts, "ignoreDependencyOnFailure")))
        return JOB_POLICY_IGNORE_DEPENDENCY;
    if (json_is_true(json_object_get(opts, "removeDependencyOnFailure")))
        return JOB_POLICY_REMOVE_DEPENDENCY;
    return JOB_POLICY_NONE;
}

static int64_t int_or_absent(const json_t *opts, const char *name)
{
    const json_t *value = json_object_get(opts, name);

    return value ? json_integer_value(value) : -1;
}

/* What the texts that a spec borrows lie in. */
struct spec_memory {
    char *data, *parent_queue;
};

static void spec_memory_done(struct spec_memory *memory)
{
    free(memory->data);
    free(memory->parent_queue);
}

static struct job_spec read_spec(const json_t *job, struct spec_memory *memory)
{
    const json_t *opts = json_object_get(job, "opts"), *dedup, *data = json_object_get(job, "data");
    struct job_spec spec = JOB_SPEC_INIT;

    *memory = (struct spec_memory){ 0 };
    spec.name = op_bytes(job, "name");
    if (data) {
        memory->data = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
        spec.data = (struct bytes){ memory->data, strlen(memory->data) };
    }
    spec.id = op_bytes(opts, "jobId");
    spec.delay_ms = op_uint(opts, "delay");
    spec.priority = op_uint(opts, "priority");
    spec.lifo = json_is_true(json_object_get(opts, "lifo"));
    spec.attempts = op_uint(opts, "attempts");
    spec.backoff = read_backoff(json_object_get(opts, "backoff"));
    spec.keep_completed = read_keep(json_object_get(opts, "removeOnComplete"));
    spec.keep_failed = read_keep(json_object_get(opts, "removeOnFail"));
    spec.stack_trace_limit = int_or_absent(opts, "stackTraceLimit");
    spec.keep_logs = int_or_absent(opts, "keepLogs");
    spec.policy = read_policy(opts);
    dedup = json_object_get(opts, "deduplication");
    spec.dedup.id = op_bytes(dedup, "id");
    spec.dedup.ttl_ms = op_uint(dedup, "ttl");
    spec.dedup.extend = json_is_true(json_object_get(dedup, "extend"));
    spec.dedup.replace = json_is_true(json_object_get(dedup, "replace"));
    spec.dedup.keep_last_if_active = json_is_true(json_object_get(dedup, "keepLastIfActive"));
    spec.dedup.reschedule = json_is_true(json_object_get(dedup, "reschedule"));
    return spec;
}

/* Its parent is one that was met. False: none was. */
static bool read_parent(const json_t *job, struct job_spec *spec, struct spec_memory *memory)
{
    const json_t *wanted = json_object_get(job, "parent");
    const struct met *parent = wanted ? world_pick(wanted) : NULL;

    if (!parent)
        return !wanted;
    if (asprintf(&memory->parent_queue, "%s:%s", world.prefix, parent->queue->name) < 0)
        die("no memory");
    spec->parent.queue = (struct bytes){ memory->parent_queue, strlen(memory->parent_queue) };
    spec->parent.id = (struct bytes){ parent->id, strlen(parent->id) };
    return true;
}

/* The list in which a job of this kind is met again, besides "all". */
static const char *list_for(const struct job_spec *spec)
{
    return spec->delay_ms > 0 ? "delayed" : spec->priority > 0 ? "prioritized" : "waiting";
}

#define ADDS_MAX 64

static struct {
    struct world_queue *queue;
    const struct job_spec *specs;
    json_t *ids;
} adding;

static json_t *result_of(const struct add_result *result)
{
    if (result->code != ADD_OK)
        return json_integer(result->code);
    return json_string(result->id);
}

static void on_added(struct queue *queue, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    (void)queue;
    (void)arg;
    if (call->outcome != REDIS_REPLY)
        die("add: %s", call->why);
    for (size_t i = 0; i < count; i++) {
        const char *id = results[i].id;

        (void)json_array_append_new(adding.ids, result_of(&results[i]));
        if (results[i].code != ADD_OK)
            continue;
        world_meet("all", adding.queue, id, strlen(id));
        world_meet(list_for(&adding.specs[i]), adding.queue, id, strlen(id));
    }
}

static json_t *add_all(const json_t *op, const json_t *const *jobs, size_t count)
{
    struct spec_memory memories[ADDS_MAX];
    struct job_spec specs[ADDS_MAX];
    struct error err = { 0 };
    bool complete = true;
    int code = 0;

    for (size_t i = 0; i < count; i++) {
        specs[i] = read_spec(jobs[i], &memories[i]);
        complete = read_parent(jobs[i], &specs[i], &memories[i]) && complete;
    }
    adding.queue = world_queue(op);
    adding.specs = specs;
    adding.ids = json_array();
    if (complete)
        code = queue_add_jobs(adding.queue->queue, specs, count, on_added, NULL, &err);
    if (code < 0)
        die("add: %s", err.text);
    connection_run();
    for (size_t i = 0; i < count; i++)
        spec_memory_done(&memories[i]);
    if (complete)
        return json_pack("{s:o}", "ids", adding.ids);
    json_decref(adding.ids);
    return answer_none();
}

static json_t *op_add(const json_t *op)
{
    return add_all(op, &op, 1);
}

static json_t *op_bulk(const json_t *op)
{
    const json_t *jobs[ADDS_MAX], *list = json_object_get(op, "jobs");
    size_t count = json_array_size(list);

    if (count > ADDS_MAX)
        die("too many jobs in one operation");
    for (size_t i = 0; i < count; i++)
        jobs[i] = json_array_get(list, i);
    return add_all(op, jobs, count);
}

/* ---- flows */

struct tree {
    struct flow_node nodes[ADDS_MAX];
    struct spec_memory memories[ADDS_MAX];
    size_t count;
    const struct flow_node *in_order[ADDS_MAX]; /* depth first */
    size_t ordered;
    json_t *ids;
};

/* Children lie side by side, so a level is taken before what hangs on it. */
static void read_node(struct tree *tree, size_t at, const json_t *job)
{
    const json_t *children = json_object_get(job, "children");
    struct flow_node *node = &tree->nodes[at];
    size_t first = tree->count;

    node->queue = op_text(job, "q");
    node->spec = read_spec(job, &tree->memories[at]);
    node->children = &tree->nodes[first];
    node->children_count = json_array_size(children);
    tree->count += node->children_count;
    if (tree->count > ADDS_MAX)
        die("too many jobs in one flow");
    for (size_t i = 0; i < node->children_count; i++)
        read_node(tree, first + i, json_array_get(children, i));
}

static void order_nodes(struct tree *tree, const struct flow_node *node)
{
    tree->in_order[tree->ordered++] = node;
    for (size_t i = 0; i < node->children_count; i++)
        order_nodes(tree, &node->children[i]);
}

static void on_tree(struct queue *queue, const struct call_result *call,
                    const struct add_result *results, size_t count, void *arg)
{
    struct tree *tree = arg;

    (void)queue;
    if (call->outcome != REDIS_REPLY)
        die("flow: %s", call->why);
    for (size_t i = 0; i < count; i++) {
        const struct flow_node *node = tree->in_order[i];
        json_t *name = json_pack("{s:s}", "q", node->queue);
        const char *id = results[i].id;

        (void)json_array_append_new(tree->ids, result_of(&results[i]));
        if (results[i].code == ADD_OK && id) {
            world_meet("all", world_queue(name), id, strlen(id));
            world_meet(node->children_count ? "parents" : list_for(&node->spec), world_queue(name),
                       id, strlen(id));
        }
        json_decref(name);
    }
}

static json_t *op_flow(const json_t *op)
{
    struct tree tree = { .count = 1, .ids = json_array() };
    struct error err;

    read_node(&tree, 0, json_object_get(op, "tree"));
    order_nodes(&tree, &tree.nodes[0]);
    if (queue_add_flow(world_queue(op)->queue, &tree.nodes[0], on_tree, &tree, &err) < 0)
        die("flow: %s", err.text);
    connection_run();
    for (size_t i = 0; i < tree.count; i++)
        spec_memory_done(&tree.memories[i]);
    return json_pack("{s:o}", "ids", tree.ids);
}

const struct op_row ops_add[] = {
    { "add", op_add },
    { "bulk", op_bulk },
    { "flow", op_flow },
    { NULL, NULL },
};
