#include "common/queue/flow_json.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/queue/json_walk.h"

#define JSON_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define WHOLE_MAX      9007199254740991.0 /* 2^53 - 1 */

struct flow_place {
    struct json_value json;
    size_t parent, child; /* of the root 0 and 0 */
};

struct flow_tree {
    char *text; /* the JSON; data points into it */
    struct flow_node nodes[FLOW_NODES_MAX];
    struct flow_place places[FLOW_NODES_MAX];
    size_t count;
    char **owned; /* texts out of strings */
    size_t owned_count, owned_cap;
};

void flow_tree_free(struct flow_tree *tree)
{
    if (!tree)
        return;
    for (size_t i = 0; i < tree->owned_count; i++)
        free(tree->owned[i]);
    free(tree->owned);
    free(tree->text);
    free(tree);
}

void flow_tree_freep(struct flow_tree **tree)
{
    flow_tree_free(*tree);
}

struct flow_node *flow_tree_nodes(struct flow_tree *tree, size_t *out_count)
{
    *out_count = tree->count;
    return tree->nodes;
}

/* ---- values ---- */

static int refuse(const struct json_value *value, const char *wanted, struct error *err)
{
    int shown = value->len > 40 ? 40 : (int)value->len;

    return error_set(err, -EINVAL, "must be %s, not %.*s%s", wanted, shown, value->text,
                     value->len > 40 ? "…" : "");
}

static int keep_text(struct flow_tree *tree, char *text)
{
    if (tree->owned_count == tree->owned_cap) {
        size_t cap = tree->owned_cap == 0 ? 32 : tree->owned_cap * 2;
        char **bigger = reallocarray(tree->owned, cap, sizeof(*bigger));

        if (!bigger)
            return -ENOMEM;
        tree->owned = bigger;
        tree->owned_cap = cap;
    }
    tree->owned[tree->owned_count++] = text;
    return 0;
}

/* The meaning of a string, owned by the tree. */
static int read_text(struct flow_tree *tree, const struct json_value *value, struct bytes *out,
                     struct error *err)
{
    json_error_t found;
    json_t *string;
    char *text;
    size_t len;

    if (value->kind != JSON_KIND_STRING)
        return refuse(value, "a string", err);
    string = json_loadb(value->text, value->len, JSON_DECODE_ANY, &found);
    if (!string)
        return error_set(err, -EINVAL, "is a string that is no text: %s", found.text);
    len = json_string_length(string);
    text = strndup(json_string_value(string), len);
    json_decref(string);
    if (!text || keep_text(tree, text) < 0) {
        free(text);
        return error_set(err, -ENOMEM, "allocate a text");
    }
    *out = (struct bytes){ text, len };
    return 0;
}

static int read_name(struct flow_tree *tree, const struct json_value *value, const char **out,
                     struct error *err)
{
    struct bytes text;

    if (read_text(tree, value, &text, err) < 0)
        return -EINVAL;
    *out = text.data;
    return 0;
}

static int read_whole(const struct json_value *value, uint64_t *out, struct error *err)
{
    double number;

    if (value->kind != JSON_KIND_NUMBER || !json_read_number(value, &number) || !(number >= 0) ||
        number > WHOLE_MAX || trunc(number) != number)
        return refuse(value, "a whole number, 0 or more", err);
    *out = (uint64_t)number;
    return 0;
}

static int read_bool(const struct json_value *value, bool *out, struct error *err)
{
    if (value->kind != JSON_KIND_TRUE && value->kind != JSON_KIND_FALSE)
        return refuse(value, "true or false", err);
    *out = value->kind == JSON_KIND_TRUE;
    return 0;
}

/* ---- objects: a table of members each ---- */

enum member_kind {
    MEMBER_TEXT,   /* struct bytes */
    MEMBER_NAME,   /* const char * */
    MEMBER_WHOLE,  /* uint64_t */
    MEMBER_BOOL,   /* bool */
    MEMBER_POLICY, /* enum job_policy */
    MEMBER_STEERS, /* read by job_options_parse */
    MEMBER_OBJECT,
    MEMBER_RAW,   /* struct bytes, as written */
    MEMBER_LATER, /* the caller's own */
};

struct member {
    const char *name;
    enum member_kind kind;
    size_t offset; /* in the target */
    enum job_policy policy;
    const struct member *members; /* of MEMBER_OBJECT, with offsets in the same target */
    size_t members_count;
};

static const struct member parent_members[] = {
    { "id", MEMBER_TEXT, offsetof(struct job_spec, parent.id), 0, NULL, 0 },
    { "queue", MEMBER_TEXT, offsetof(struct job_spec, parent.queue), 0, NULL, 0 },
};
static const struct member dedup_members[] = {
    { "id", MEMBER_TEXT, offsetof(struct job_spec, dedup.id), 0, NULL, 0 },
    { "ttl", MEMBER_WHOLE, offsetof(struct job_spec, dedup.ttl_ms), 0, NULL, 0 },
    { "extend", MEMBER_BOOL, offsetof(struct job_spec, dedup.extend), 0, NULL, 0 },
    { "replace", MEMBER_BOOL, offsetof(struct job_spec, dedup.replace), 0, NULL, 0 },
    { "keepLastIfActive", MEMBER_BOOL, offsetof(struct job_spec, dedup.keep_last_if_active), 0,
      NULL, 0 },
    { "reschedule", MEMBER_BOOL, offsetof(struct job_spec, dedup.reschedule), 0, NULL, 0 },
};
static const struct member telemetry_members[] = {
    { "metadata", MEMBER_TEXT, offsetof(struct job_spec, telemetry.metadata), 0, NULL, 0 },
    { "omitContext", MEMBER_BOOL, offsetof(struct job_spec, telemetry.omit_context), 0, NULL, 0 },
};
#define POLICY(name, value)                                                    \
    {                                                                          \
        name, MEMBER_POLICY, offsetof(struct job_spec, policy), value, NULL, 0 \
    }
#define STEERS(name)                       \
    {                                      \
        name, MEMBER_STEERS, 0, 0, NULL, 0 \
    }
static const struct member opts_members[] = {
    { "jobId", MEMBER_TEXT, offsetof(struct job_spec, id), 0, NULL, 0 },
    { "timestamp", MEMBER_WHOLE, offsetof(struct job_spec, timestamp_ms), 0, NULL, 0 },
    { "delay", MEMBER_WHOLE, offsetof(struct job_spec, delay_ms), 0, NULL, 0 },
    { "priority", MEMBER_WHOLE, offsetof(struct job_spec, priority), 0, NULL, 0 },
    { "lifo", MEMBER_BOOL, offsetof(struct job_spec, lifo), 0, NULL, 0 },
    { "sizeLimit", MEMBER_WHOLE, offsetof(struct job_spec, size_limit), 0, NULL, 0 },
    { "parent", MEMBER_OBJECT, 0, 0, parent_members, ARRAY_SIZE(parent_members) },
    { "deduplication", MEMBER_OBJECT, 0, 0, dedup_members, ARRAY_SIZE(dedup_members) },
    { "telemetry", MEMBER_OBJECT, 0, 0, telemetry_members, ARRAY_SIZE(telemetry_members) },
    STEERS("attempts"),
    STEERS("backoff"),
    STEERS("removeOnComplete"),
    STEERS("removeOnFail"),
    STEERS("stackTraceLimit"),
    STEERS("keepLogs"),
    POLICY("failParentOnFailure", JOB_POLICY_FAIL_PARENT),
    POLICY("continueParentOnFailure", JOB_POLICY_CONTINUE_PARENT),
    POLICY("ignoreDependencyOnFailure", JOB_POLICY_IGNORE_DEPENDENCY),
    POLICY("removeDependencyOnFailure", JOB_POLICY_REMOVE_DEPENDENCY),
};
static const struct member node_members[] = {
    { "name", MEMBER_TEXT, offsetof(struct flow_node, spec.name), 0, NULL, 0 },
    { "queueName", MEMBER_NAME, offsetof(struct flow_node, queue), 0, NULL, 0 },
    { "prefix", MEMBER_NAME, offsetof(struct flow_node, prefix), 0, NULL, 0 },
    { "data", MEMBER_RAW, offsetof(struct flow_node, spec.data), 0, NULL, 0 },
    { "opts", MEMBER_LATER, 0, 0, NULL, 0 },
    { "children", MEMBER_LATER, 0, 0, NULL, 0 },
};

static const struct member *find_member(const struct member *members, size_t count,
                                        const struct json_value *key)
{
    for (size_t i = 0; i < count; i++) {
        if (json_string_is(key, members[i].name))
            return &members[i];
    }
    return NULL;
}

static int refuse_member(const struct member *members, size_t count, const struct json_value *key,
                         struct error *err)
{
    int shown = key->len > 42 ? 40 : (int)key->len - 2;
    const char *names[ARRAY_SIZE(opts_members)];
    _cleanup_(freep) char *word = text_format("%.*s", shown, key->text + 1);
    const char *near;

    for (size_t i = 0; i < count; i++)
        names[i] = members[i].name;
    near = word ? text_nearest(word, names, count) : NULL;
    if (near)
        return error_set(err, -EINVAL, "unknown member \"%.*s\"; did you mean \"%s\"?", shown,
                         key->text + 1, near);
    return error_set(err, -EINVAL, "unknown member \"%.*s\"", shown, key->text + 1);
}

static int read_policy(const struct member *member, const struct json_value *value,
                       enum job_policy *out, struct error *err)
{
    bool wanted = false;

    if (read_bool(value, &wanted, err) < 0)
        return -EINVAL;
    if (!wanted)
        return 0;
    if (*out != JOB_POLICY_NONE && *out != member->policy)
        return error_set(err, -EINVAL, "a job has only one of the ways to take its failure");
    *out = member->policy;
    return 0;
}

/* Gathers the members that job_options_parse reads, under the names that are stored. */
static int gather(const struct member *member, const struct json_value *value, struct buf *steers)
{
    const char *stored = strcmp(member->name, "keepLogs") == 0 ? "kl" : member->name;

    assert(steers); /* only opts have such members */
    (void)buf_printf(steers, "%s\"%s\":", steers->len > 1 ? "," : "", stored);
    return buf_append(steers, value->text, value->len);
}

static int read_object(struct flow_tree *tree, const struct json_value *object,
                       const struct member *members, size_t count, void *target, struct buf *steers,
                       struct error *err);

static int read_member(struct flow_tree *tree, const struct member *member,
                       const struct json_value *value, void *target, struct buf *steers,
                       struct error *err)
{
    void *place = (char *)target + member->offset;

    switch (member->kind) {
    case MEMBER_TEXT:
        return read_text(tree, value, place, err);
    case MEMBER_NAME:
        return read_name(tree, value, place, err);
    case MEMBER_WHOLE:
        return read_whole(value, place, err);
    case MEMBER_BOOL:
        return read_bool(value, place, err);
    case MEMBER_POLICY:
        return read_policy(member, value, place, err);
    case MEMBER_OBJECT:
        return read_object(tree, value, member->members, member->members_count, target, NULL, err);
    case MEMBER_RAW:
        *(struct bytes *)place = (struct bytes){ value->text, value->len };
        return 0;
    case MEMBER_STEERS:
        return gather(member, value, steers) < 0 ? error_set(err, -ENOMEM, "copy the options") : 0;
    case MEMBER_LATER:
    default:
        return 0;
    }
}

static int read_object(struct flow_tree *tree, const struct json_value *object,
                       const struct member *members, size_t count, void *target, struct buf *steers,
                       struct error *err)
{
    struct json_walk walk;
    struct json_value key, value;

    if (object->kind != JSON_KIND_OBJECT)
        return refuse(object, "an object", err);
    walk = json_walk_into(object);
    while (json_next_member(&walk, &key, &value)) {
        const struct member *member = find_member(members, count, &key);

        if (!member)
            return refuse_member(members, count, &key, err);
        if (read_member(tree, member, &value, target, steers, err) < 0)
            return error_wrap(err, "%s", member->name);
    }
    return 0;
}

/* ---- nodes ---- */

static int read_opts(struct flow_tree *tree, const struct json_value *value, struct job_spec *spec,
                     struct error *err)
{
    _cleanup_(buf_done) struct buf steers = BUF_INIT(JSON_BYTES_MAX);
    struct job_options options;

    (void)buf_append_char(&steers, '{'); /* a failure marks the buffer */
    if (read_object(tree, value, opts_members, ARRAY_SIZE(opts_members), spec, &steers, err) < 0)
        return error_wrap(err, "opts");
    if (buf_append_char(&steers, '}') < 0)
        return error_set(err, -ENOMEM, "copy the options");
    if (job_options_parse(buf_text(&steers), steers.len, &options, err) < 0)
        return err ? err->code : -EINVAL;
    spec->attempts = options.attempts;
    spec->backoff = options.backoff;
    spec->keep_completed = options.keep_completed;
    spec->keep_failed = options.keep_failed;
    spec->stack_trace_limit = options.stack_trace_limit;
    spec->keep_logs = options.keep_logs;
    return 0;
}

static int add_place(struct flow_tree *tree, const struct json_value *json, size_t parent,
                     size_t child, struct error *err)
{
    if (tree->count == FLOW_NODES_MAX)
        return error_set(err, -E2BIG, "the flow has more than %d jobs", FLOW_NODES_MAX);
    tree->places[tree->count] = (struct flow_place){ *json, parent, child };
    tree->count++;
    return 0;
}

static int read_children(struct flow_tree *tree, size_t index, const struct json_value *value,
                         struct error *err)
{
    struct flow_node *node = &tree->nodes[index];
    struct json_value element;
    struct json_walk walk;

    if (value->kind != JSON_KIND_ARRAY) {
        (void)refuse(value, "an array", err); /* the code is the wrapper's */
        return error_wrap(err, "children");
    }
    if (node->children_count > 0)
        return error_set(err, -EINVAL, "children is given twice");
    node->children = &tree->nodes[tree->count];
    walk = json_walk_into(value);
    while (json_next_element(&walk, &element)) {
        if (add_place(tree, &element, index, node->children_count, err) < 0)
            return -E2BIG;
        node->children_count++;
    }
    return 0;
}

static int read_node(struct flow_tree *tree, size_t index, struct error *err)
{
    const struct json_value *json = &tree->places[index].json;
    struct flow_node *node = &tree->nodes[index];
    struct json_value key, value;
    struct json_walk walk;
    int r;

    node->spec = JOB_SPEC_INIT;
    r = read_object(tree, json, node_members, ARRAY_SIZE(node_members), node, NULL, err);
    if (r < 0)
        return r;
    walk = json_walk_into(json);
    while (r == 0 && json_next_member(&walk, &key, &value)) {
        if (json_string_is(&key, "opts"))
            r = read_opts(tree, &value, &node->spec, err);
        else if (json_string_is(&key, "children"))
            r = read_children(tree, index, &value, err);
    }
    if (r < 0)
        return r;
    if (!node->spec.name.data)
        return error_set(err, -EINVAL, "name is missing");
    if (!node->queue)
        return error_set(err, -EINVAL, "queueName is missing");
    return 0;
}

/* "children[2].children[0]: " in front. */
static int wrap_place(const struct flow_tree *tree, size_t index, int code, struct error *err)
{
    for (; index > 0; index = tree->places[index].parent)
        (void)error_wrap(err, "children[%zu]", tree->places[index].child); /* the code stays */
    return code;
}

int flow_tree_parse(const char *json, size_t len, struct flow_tree **out_tree, struct error *err)
{
    _cleanup_(flow_tree_freep) struct flow_tree *tree = NULL;
    struct json_value whole;

    if (!json_text_is_valid(json, len))
        return error_set(err, -EINVAL, "the flow is not valid JSON");
    tree = calloc(1, sizeof(*tree));
    if (tree)
        tree->text = strndup(json, len);
    if (!tree || !tree->text)
        return error_set(err, -ENOMEM, "allocate a flow");
    whole = json_whole_value(tree->text, len);
    if (add_place(tree, &whole, 0, 0, err) < 0)
        return -E2BIG;
    for (size_t i = 0; i < tree->count; i++) {
        int r = read_node(tree, i, err);

        if (r < 0)
            return wrap_place(tree, i, r, err);
    }
    *out_tree = TAKE_PTR(tree);
    return 0;
}
