#include "supervisor/cli/add_flow.h"

#include <string.h>
#include <unistd.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/queue/flow_json.h"
#include "supervisor/cli/add_parse.h"
#include "supervisor/cli/output.h"

#define FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define PATH_BYTES     4096 /* FLOW_DEPTH_MAX times "children[999]." fit */

struct flow_adder {
    struct cli_session session;
    struct queue *queue;
    struct flow_tree *tree;
    struct flow_node *nodes; /* the tree's */
    size_t count;
    struct redis_wait wait; /* the most that a queue of the tree wants */
    bool json, answered;
    int code;
    uint64_t added, duplicates;
    struct buf out;
};

/* ---- what came of it ---- */

/* Where the walk through the results is. They stand depth first, as the walk goes. */
struct walk {
    struct flow_adder *adder;
    const struct add_result *results;
    size_t next;
    char path[PATH_BYTES]; /* "children[1].children[0]"; "" the root */
};

static void tell_refused(struct walk *walk, const struct add_result *result)
{
    struct buf *out = &walk->adder->out;

    walk->adder->code = EXIT_CODE_FAILED;
    output_error("%s%s%s", walk->path, *walk->path ? ": " : "", result->why);
    if (!walk->adder->json)
        return;
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "node", walk->path, strlen(walk->path));
    output_member_text(out, false, "error", result->why, strlen(result->why));
    (void)buf_append_text(out, "}\n");
}

static void tell_job(struct walk *walk, const struct flow_node *node,
                     const struct add_result *result)
{
    struct buf *out = &walk->adder->out;

    if (result->code != ADD_OK) {
        tell_refused(walk, result);
        return;
    }
    if (!result->id) /* another one was refused */
        return;
    if (result->duplicate)
        walk->adder->duplicates++;
    else
        walk->adder->added++;
    if (!walk->adder->json)
        return;
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "node", walk->path, strlen(walk->path));
    output_member_text(out, false, "queue", node->queue, strlen(node->queue));
    output_member_text(out, false, "id", result->id, strlen(result->id));
    (void)buf_printf(out, ",\"duplicate\":%s}\n", result->duplicate ? "true" : "false");
}

/* As deep as FLOW_DEPTH_MAX at most. */
static void walk_node(struct walk *walk,
                      const struct flow_node *node) /* NOLINT(misc-no-recursion) */
{
    size_t len = strlen(walk->path);

    tell_job(walk, node, &walk->results[walk->next++]);
    for (size_t i = 0; i < node->children_count; i++) {
        (void)snprintf(walk->path + len, sizeof(walk->path) - len, "%schildren[%zu]",
                       len > 0 ? "." : "", i); /* fits */
        walk_node(walk, &node->children[i]);
        walk->path[len] = '\0';
    }
}

static void print_sum(struct flow_adder *adder, const char *root_id)
{
    struct buf *out = &adder->out;

    if (adder->added == 0) {
        (void)buf_append_text(out, "all jobs of the flow are there already, nothing was changed: ");
    } else {
        (void)buf_printf(out, "added a flow of %zu jobs", adder->count);
        if (adder->duplicates > 0)
            (void)buf_printf(out, ", of which %llu were there already",
                             (unsigned long long)adder->duplicates);
        (void)buf_append_text(out, ": ");
    }
    (void)buf_append_text(out, "job ");
    output_text(out, root_id, strlen(root_id));
    (void)buf_append_text(out, " in queue ");
    output_text(out, queue_name(adder->queue), strlen(queue_name(adder->queue)));
    if (adder->count > 1)
        (void)buf_append_text(out, " waits for the others");
    (void)buf_append_char(out, '\n');
}

static void on_added(struct queue *queue, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    struct flow_adder *adder = arg;
    struct walk walk = { .adder = adder, .results = results };

    (void)queue;
    (void)count;
    adder->answered = true;
    if (call->outcome != REDIS_REPLY)
        adder->code = cli_call_failed(&adder->session, call, "add the flow");
    if (call->outcome != REDIS_REPLY && call->outcome != REDIS_UNREPLICATED)
        return;
    walk_node(&walk, adder->nodes);
    if (!results[0].id)
        output_error("nothing of the flow was added");
    else if (!adder->json)
        print_sum(adder, results[0].id);
}

/* ---- the command ---- */

static int read_tree(const char *path, struct flow_tree **out_tree)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(FILE_BYTES_MAX);
    struct error err = { 0 };
    int r;

    if (strcmp(path, "-") == 0)
        r = fd_read_all(STDIN_FILENO, &text, &err);
    else
        r = fd_read_file(path, &text, &err);
    if (r == 0)
        r = flow_tree_parse(buf_text(&text), text.len, out_tree, &err);
    if (r == 0)
        return 0;
    output_error("--flow %s: %s", path, err.text);
    return EXIT_CODE_FAILED;
}

/* With a configuration: all queues in it and in one Redis; what it says of each type is filled in.
 */
static int look_up_queues(struct flow_adder *adder, const struct cli_target *target,
                          const struct config_redis **out_endpoint)
{
    const char *root_queue = adder->nodes[0].queue;

    for (size_t i = 0; i < adder->count; i++) {
        struct flow_node *node = &adder->nodes[i];
        const struct config_redis *endpoint;
        const struct config_queue *known;
        int code = cli_target_find(target, node->queue, &endpoint, &known);

        if (code == 0 && i == 0)
            *out_endpoint = endpoint;
        if (code == 0)
            code = cli_target_same(target, *out_endpoint, root_queue, node->queue);
        if (code != 0)
            return code;
        if (known)
            add_fill_from_config(config_find_type(known, node->spec.name.data, node->spec.name.len),
                                 &node->spec);
    }
    return 0;
}

static int run(struct flow_adder *adder, const struct cli_target *target, const char *path)
{
    const struct config_redis *endpoint = NULL;
    struct flow_node *root = adder->nodes;
    struct error err = { 0 };
    int code = look_up_queues(adder, target, &endpoint);

    if (code != 0 || !endpoint) /* there is a root, so the second is only for the compiler */
        return code;
    if (queue_new(endpoint->prefix, root->queue, NULL, &adder->queue, &err) < 0 ||
        queue_check_flow(adder->queue, root, &err) < 0) {
        output_error("--flow %s: %s", path, err.text);
        return EXIT_CODE_FAILED;
    }
    code = cli_session_open(&adder->session, target, endpoint);
    if (code != 0)
        return code;
    queue_set_redis(adder->queue, adder->session.redis);
    queue_set_wait(adder->queue, &adder->wait);
    if (queue_add_flow(adder->queue, root, on_added, adder, &err) < 0)
        return cli_call_refused(&adder->session, &err, "add the flow");
    cli_session_wait(&adder->session, &adder->answered);
    if (!output_flush(&adder->out) && adder->code == EXIT_CODE_OK)
        adder->code = EXIT_CODE_FAILED;
    return adder->code;
}

int add_flow(const struct cli_where *where, const char *path, bool json)
{
    _cleanup_(freep) struct flow_adder *adder = calloc(1, sizeof(*adder));
    struct cli_target target = { 0 };
    int code;

    if (!adder)
        return EXIT_CODE_FAILED;
    adder->json = json;
    buf_init(&adder->out, FILE_BYTES_MAX);
    code = read_tree(path, &adder->tree);
    if (code == 0) {
        adder->nodes = flow_tree_nodes(adder->tree, &adder->count);
        code = cli_target_init(&target, "add", where);
    }
    if (code == 0)
        code = run(adder, &target, path);
    cli_session_close(&adder->session);
    queue_free(adder->queue);
    flow_tree_free(adder->tree);
    cli_target_done(&target);
    buf_done(&adder->out);
    return code;
}
