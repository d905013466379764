/* Jobs and flows of the installed library. */
#include <errno.h>
#include <string.h>

#include "common/client/client.h"
#include "common/queue/flow.h"
#include "common/queue/flow_json.h"

/* The numbers of both faces are the same. */
_Static_assert((int)DROVER_POLICY_NONE == (int)JOB_POLICY_NONE &&
                   (int)DROVER_POLICY_FAIL_PARENT == (int)JOB_POLICY_FAIL_PARENT &&
                   (int)DROVER_POLICY_CONTINUE_PARENT == (int)JOB_POLICY_CONTINUE_PARENT &&
                   (int)DROVER_POLICY_IGNORE_DEPENDENCY == (int)JOB_POLICY_IGNORE_DEPENDENCY &&
                   (int)DROVER_POLICY_REMOVE_DEPENDENCY == (int)JOB_POLICY_REMOVE_DEPENDENCY,
               "policies");
_Static_assert((int)DROVER_BACKOFF_NONE == (int)JOB_BACKOFF_ABSENT &&
                   (int)DROVER_BACKOFF_FIXED == (int)JOB_BACKOFF_FIXED &&
                   (int)DROVER_BACKOFF_EXPONENTIAL == (int)JOB_BACKOFF_EXPONENTIAL,
               "kinds of back-off");
_Static_assert((int)DROVER_ADDED == (int)ADD_OK && (int)DROVER_ADD_UNSTORED == (int)ADD_UNSTORED &&
                   (int)DROVER_ADD_PARENT_MISSING == (int)ADD_PARENT_MISSING &&
                   (int)DROVER_ADD_PARENT_OF_OTHER == (int)ADD_PARENT_OF_OTHER,
               "codes of an add");
_Static_assert(DROVER_ADD_MAX == QUEUE_ADD_MAX && DROVER_FLOW_MAX == FLOW_NODES_MAX &&
                   DROVER_FLOW_DEPTH_MAX == FLOW_DEPTH_MAX,
               "bounds");

static struct job_keep keep_of(const struct drover_keep *keep)
{
    return (struct job_keep){ .present = keep->given, .count = keep->count, .age_s = keep->age_s };
}

struct job_spec client_spec(const struct drover_job *job)
{
    const struct drover_deduplication *dedup = &job->deduplication;

    return (struct job_spec){
        .name = client_bytes(job->name),
        .data = client_bytes(job->data),
        .id = client_bytes(job->id),
        .timestamp_ms = job->timestamp_ms,
        .delay_ms = job->delay_ms,
        .priority = job->priority,
        .lifo = job->lifo,
        .attempts = job->attempts,
        .backoff = { (enum job_backoff_kind)job->backoff.kind, job->backoff.delay_ms,
                     job->backoff.jitter },
        .keep_completed = keep_of(&job->keep_completed),
        .keep_failed = keep_of(&job->keep_failed),
        .stack_trace_limit = job->stack_trace_limit,
        .keep_logs = job->keep_logs,
        .size_limit = job->size_limit,
        .parent = { client_bytes(job->parent_id), client_bytes(job->parent_queue) },
        .policy = (enum job_policy)job->policy,
        .dedup = { .id = client_bytes(dedup->id),
                   .ttl_ms = dedup->ttl_ms,
                   .extend = dedup->extend,
                   .replace = dedup->replace,
                   .keep_last_if_active = dedup->keep_last_if_active,
                   .reschedule = dedup->reschedule },
        .telemetry = { client_bytes(job->telemetry), job->omit_context },
        .extra_opts = client_bytes(job->extra),
    };
}

int drover_job_check(const struct drover_job *job, struct drover_error *error)
{
    struct job_spec spec = client_spec(job);
    struct error err = { 0 };

    return job_spec_check(&spec, &err) < 0 ? client_error(&err, error) : 0;
}

/* ---- the calls ---- */

struct add_call {
    struct drover_queue *queue;
    drover_add_cb *on_done;
    void *arg;
    struct drover_added results[];
};

static void on_added(struct queue *engine, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    _cleanup_(freep) struct add_call *own = arg;
    struct drover_answer answer = client_answer(call);

    (void)engine;
    for (size_t i = 0; i < count; i++)
        own->results[i] = (struct drover_added){ .code = (enum drover_add_code)results[i].code,
                                                 .id = results[i].id,
                                                 .duplicate = results[i].duplicate,
                                                 .deduplicated = results[i].deduplicated,
                                                 .kept_as_next = results[i].kept_as_next,
                                                 .why = results[i].why };
    own->on_done(own->queue, &answer, results ? own->results : NULL, count, own->arg);
}

static int call_new(struct drover_queue *queue, size_t count, drover_add_cb *on_done, void *arg,
                    struct add_call **out_call, struct error *err)
{
    struct add_call *call = calloc(1, sizeof(*call) + count * sizeof(call->results[0]));

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    *out_call = call;
    return 0;
}

static int add_all(struct drover_queue *queue, struct queue *engine, const struct drover_job *jobs,
                   size_t count, drover_add_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct job_spec *specs = NULL;
    _cleanup_(freep) struct add_call *call = NULL;

    if (count == 0 || count > DROVER_ADD_MAX)
        return error_set(err, -EINVAL, "%zu jobs in one call, must be 1 to %d", count,
                         DROVER_ADD_MAX);
    specs = calloc(count, sizeof(*specs));
    if (!specs)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    for (size_t i = 0; i < count; i++)
        specs[i] = client_spec(&jobs[i]);
    if (call_new(queue, count, on_done, arg, &call, err) < 0 ||
        queue_add_jobs(engine, specs, count, on_added, call, err) < 0)
        return err->code;
    (void)TAKE_PTR(call); /* on_added frees it */
    return 0;
}

int drover_add(struct drover_queue *queue, const struct drover_job *jobs, size_t count,
               drover_add_cb *on_done, void *arg, struct drover_error *error)
{
    struct error err = { 0 };
    struct queue *engine = client_engine(queue, error);
    int r;

    if (!engine)
        return -ENOTCONN;
    r = add_all(queue, engine, jobs, count, on_done, arg, &err);
    return r < 0 ? client_error(&err, error) : 0;
}

/* ---- flows ---- */

/* The tree in the engine's form: all nodes behind each other, level by level. */
struct tree {
    struct flow_node *nodes;
    const struct drover_flow_node **from; /* of each */
    size_t count;
};

static void tree_done(struct tree *tree)
{
    free(tree->nodes);
    free(tree->from);
}

static int tree_build(struct tree *tree, const struct drover_flow_node *root, struct error *err)
{
    tree->nodes = calloc(FLOW_NODES_MAX, sizeof(*tree->nodes));
    tree->from = calloc(FLOW_NODES_MAX, sizeof(*tree->from));
    if (!tree->nodes || !tree->from)
        return error_set(err, -ENOMEM, "allocate a flow");
    tree->from[tree->count++] = root;
    for (size_t i = 0; i < tree->count; i++) {
        const struct drover_flow_node *from = tree->from[i];

        if (from->children_count > FLOW_NODES_MAX - tree->count)
            return error_set(err, -E2BIG, "the flow has more than %d jobs", FLOW_NODES_MAX);
        tree->nodes[i] = (struct flow_node){ .prefix = from->prefix,
                                             .queue = from->queue,
                                             .spec = client_spec(&from->job),
                                             .children = &tree->nodes[tree->count],
                                             .children_count = from->children_count };
        for (size_t child = 0; child < from->children_count; child++)
            tree->from[tree->count++] = &from->children[child];
    }
    return 0;
}

static int add_tree(struct drover_queue *queue, struct queue *engine, const struct flow_node *root,
                    size_t count, drover_add_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct add_call *call = NULL;

    if (call_new(queue, count, on_done, arg, &call, err) < 0 ||
        queue_add_flow(engine, root, on_added, call, err) < 0)
        return err->code;
    (void)TAKE_PTR(call); /* on_added frees it */
    return 0;
}

int drover_add_flow(struct drover_queue *queue, const struct drover_flow_node *root,
                    drover_add_cb *on_done, void *arg, struct drover_error *error)
{
    _cleanup_(tree_done) struct tree tree = { 0 };
    struct error err = { 0 };
    struct queue *engine = client_engine(queue, error);
    int r;

    if (!engine)
        return -ENOTCONN;
    r = tree_build(&tree, root, &err);
    if (r == 0)
        r = add_tree(queue, engine, tree.nodes, tree.count, on_done, arg, &err);
    return r < 0 ? client_error(&err, error) : 0;
}

int drover_add_flow_json(struct drover_queue *queue, const char *json, size_t len,
                         drover_add_cb *on_done, void *arg, struct drover_error *error)
{
    _cleanup_(flow_tree_freep) struct flow_tree *tree = NULL;
    struct error err = { 0 };
    struct queue *engine = client_engine(queue, error);
    size_t count = 0;
    int r;

    if (!engine)
        return -ENOTCONN;
    r = flow_tree_parse(json, len, &tree, &err);
    if (r == 0) {
        const struct flow_node *root = flow_tree_nodes(tree, &count);

        r = add_tree(queue, engine, root, count, on_done, arg, &err);
    }
    return r < 0 ? client_error(&err, error) : 0;
}
