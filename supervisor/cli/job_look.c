/* drover job: what looks at one job and changes nothing: its state, log, children, flow. (What
 * `drover job ID` shows is in job.c.) */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/json_text.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

#define LOGS_SHOWN    100
#define LOGS_PAGE     500
#define CHILDREN_PAGE 200

static const struct cli_option plain_options[] = {
    VERB_QUEUE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand job_operand[] = { { .name = "ID" } };

static int tell_no_job(const struct verb *verb)
{
    output_error("there is no job %s in queue %s", verb->words[0], verb->queue_name);
    return EXIT_CODE_FAILED;
}

/* ---- state ---- */

static void on_view(struct queue *queue, const struct call_result *call,
                    const struct job_view *view, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (!verb_answered(verb, call, "look for the job"))
        return;
    if (!view) {
        verb->code = tell_no_job(verb);
        return;
    }
    if (!verb->values.json) {
        (void)buf_printf(&verb->out, "%s\n", view->state);
        return;
    }
    (void)buf_append_char(&verb->out, '{');
    output_member_text(&verb->out, true, "queue", verb->queue_name, strlen(verb->queue_name));
    output_member_text(&verb->out, false, "id", verb->words[0], strlen(verb->words[0]));
    output_member_text(&verb->out, false, "state", view->state, strlen(view->state));
    (void)buf_append_text(&verb->out, "}\n");
}

static int act_state(struct verb *verb)
{
    struct error err = { 0 };
    int code = verb_open_job(verb, verb->words[0]);

    return code
               ? code
               : verb_finish(verb, queue_view_job(verb->queue, verb->words[0], on_view, verb, &err),
                             &err, "look for the job");
}

const struct cli_command cli_job_state_verb = VERB_ROW(
    "job state", "says in which state a job is", "drover job state [OPTION...] ID",
    "One word: waiting, active, delayed, prioritized, waiting-children, completed, failed,\n"
    "or unknown when it is in none of them.",
    "for a script\ndrover job state 4711 -q mail\n", plain_options, job_operand, 1, 1, act_state);

/* ---- logs ---- */

static const struct cli_option logs_options[] = {
    VERB_QUEUE,
    { .name = "order",
      .kind = CLI_TEXT,
      .arg = "ORDER",
      .value = CLI_VALUE_WORDS,
      .words = "oldest newest",
      VERB_AT(order),
      .help = "oldest row first (unless given), or newest" },
    { .name = "start",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(start),
      .help = "passes over the first N rows in that order" },
    { .name = "limit",
      .letter = 'l',
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(limit),
      .help = "at most N rows, 0 for all; 100 unless given" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

struct log_reader {
    struct verb *verb;
    uint64_t shown, total;
    size_t page;
};

static void on_logs(struct queue *queue, const struct call_result *call, const struct bytes *rows,
                    size_t count, uint64_t total, void *arg)
{
    struct log_reader *reader = arg;
    struct buf *out = &reader->verb->out;

    (void)queue;
    if (!verb_answered(reader->verb, call, "read the log"))
        return;
    for (size_t i = 0; i < count; i++) {
        const char *text = rows[i].data ? rows[i].data : "";

        if (reader->verb->values.json) {
            (void)buf_append_text(out, reader->shown > 0 ? "," : "");
            (void)json_text_quote(out, text, rows[i].len);
        } else {
            output_lines(out, text, rows[i].len, 2);
            (void)buf_append_char(out, '\n');
        }
        reader->shown++;
    }
    reader->page = count;
    reader->total = total;
}

static int read_logs(struct log_reader *reader, uint64_t limit, bool ascending)
{
    struct verb *verb = reader->verb;
    uint64_t start = verb->values.start.value;
    int code = 0;

    do {
        uint64_t left = limit == 0 ? LOGS_PAGE : limit - reader->shown;
        size_t count = left < LOGS_PAGE ? (size_t)left : LOGS_PAGE;
        struct error err = { 0 };

        reader->page = 0;
        code = verb_finish(verb,
                           queue_get_logs(verb->queue, verb->words[0], start, count, ascending,
                                          on_logs, reader, &err),
                           &err, "read the log");
        start += count;
    } while (code == 0 && reader->page == LOGS_PAGE && (limit == 0 || reader->shown < limit));
    return code;
}

static int act_logs(struct verb *verb)
{
    const char *order = verb->values.order ? verb->values.order : "oldest";
    struct log_reader reader = { .verb = verb };
    int code;

    if (strcmp(order, "oldest") != 0 && strcmp(order, "newest") != 0)
        return verb_usage_error(verb, "--order is oldest or newest, not \"%s\"", order);
    code = verb_open_job(verb, verb->words[0]);
    if (code != 0)
        return code;
    if (verb->values.json)
        (void)buf_append_text(&verb->out, "{\"logs\":[");
    code = read_logs(&reader, verb->values.limit.given ? verb->values.limit.value : LOGS_SHOWN,
                     strcmp(order, "oldest") == 0);
    if (code != 0)
        buf_reset(&verb->out);
    else if (verb->values.json)
        (void)buf_printf(&verb->out, "],\"total\":%" PRIu64 "}\n", reader.total);
    else if (reader.total == 0)
        (void)buf_append_text(&verb->out, "no log\n");
    return code;
}

const struct cli_command cli_job_logs_verb =
    VERB_ROW("job logs", "shows the log of a job", "drover job logs [OPTION...] ID", "",
             "its last ten rows\ndrover job logs 4711 -q mail --order newest --limit 10\n",
             logs_options, job_operand, 1, 1, act_logs);

/* ---- children ---- */

static const struct cli_option children_options[] = {
    VERB_QUEUE,
    { .name = "of",
      .kind = CLI_TEXT,
      .arg = "KIND",
      .value = CLI_VALUE_WORDS,
      .words = "processed unprocessed ignored failed",
      VERB_AT(metrics),
      .help = "only one kind: processed, unprocessed, ignored or failed" },
    VERB_LIMIT,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

struct children {
    struct verb *verb;
    uint64_t counts[DEPENDENCY_COUNT];
    uint64_t next; /* cursor */
    uint64_t shown;
    enum dependency_kind kind;
};

static void on_child_counts(struct queue *queue, const struct call_result *call,
                            const uint64_t counts[DEPENDENCY_COUNT], void *arg)
{
    struct children *children = arg;

    (void)queue;
    if (verb_answered(children->verb, call, "count the children"))
        memcpy(children->counts, counts, sizeof(children->counts));
}

static void print_child(const struct children *children, const struct dependency *child)
{
    struct verb *verb = children->verb;
    struct buf *out = &verb->out;
    bool is_json = children->kind == DEPENDENCY_PROCESSED && child->value.data &&
                   json_text_is_valid(child->value.data, child->value.len);

    if (!verb->values.json) {
        (void)buf_printf(out, "%-12s ", dependency_kind_name(children->kind));
        output_text(out, child->key.data ? child->key.data : "", child->key.len);
        if (child->value.data) {
            (void)buf_append_text(out, "  ");
            output_text(out, child->value.data, child->value.len);
        }
        (void)buf_append_char(out, '\n');
        return;
    }
    (void)buf_append_text(out, children->shown > 0 ? ",\n{" : "\n{");
    output_member_text(out, true, "kind", dependency_kind_name(children->kind),
                       strlen(dependency_kind_name(children->kind)));
    output_member_text(out, false, "key", child->key.data ? child->key.data : "", child->key.len);
    if (is_json)
        (void)buf_printf(out, ",\"value\":%s", child->value.data);
    else if (child->value.data)
        output_member_text(out, false, "value", child->value.data, child->value.len);
    (void)buf_append_char(out, '}');
}

static void on_children(struct queue *queue, const struct call_result *call,
                        const struct dependency *items, size_t count, uint64_t next, void *arg)
{
    struct children *children = arg;
    const struct cli_number *limit = &children->verb->values.limit;

    (void)queue;
    if (!verb_answered(children->verb, call, "read the children"))
        return;
    for (size_t i = 0; i < count && (!limit->given || children->shown < limit->value); i++) {
        print_child(children, &items[i]);
        children->shown++;
    }
    children->next = next;
}

static int read_kind(struct children *children)
{
    struct verb *verb = children->verb;
    int code = 0;

    children->next = 0;
    do {
        struct error err = { 0 };

        code = verb_finish(verb,
                           queue_get_dependencies(verb->queue, verb->words[0], children->kind,
                                                  children->next, CHILDREN_PAGE, on_children,
                                                  children, &err),
                           &err, "read the children");
    } while (code == 0 && children->next != 0 &&
             (!verb->values.limit.given || children->shown < verb->values.limit.value));
    return code;
}

static bool parse_kind(const char *word, enum dependency_kind *out)
{
    for (size_t i = 0; i < DEPENDENCY_COUNT; i++) {
        if (strcmp(word, dependency_kind_name((enum dependency_kind)i)) == 0) {
            *out = (enum dependency_kind)i;
            return true;
        }
    }
    return false;
}

static void print_child_counts(const struct children *children)
{
    struct buf *out = &children->verb->out;

    for (size_t i = 0; i < DEPENDENCY_COUNT; i++) {
        const char *name = dependency_kind_name((enum dependency_kind)i);

        if (children->verb->values.json)
            output_member_number(out, i == 0, name, children->counts[i]);
        else
            (void)buf_printf(out, "%s%s %" PRIu64, i > 0 ? ", " : "", name, children->counts[i]);
    }
    (void)buf_append_text(out, children->verb->values.json ? "},\"children\":[" : "\n");
}

static int act_children(struct verb *verb)
{
    const char *of = verb->values.metrics;
    struct children children = { .verb = verb };
    enum dependency_kind only = DEPENDENCY_PROCESSED;
    struct error err = { 0 };
    int code;

    if (of && !parse_kind(of, &only))
        return verb_usage_error(
            verb, "--of is processed, unprocessed, ignored or failed, not \"%s\"", of);
    code = verb_open_job(verb, verb->words[0]);
    if (code == 0)
        code = verb_finish(
            verb,
            queue_count_dependencies(verb->queue, verb->words[0], on_child_counts, &children, &err),
            &err, "count the children");
    if (code != 0)
        return code;
    (void)buf_append_text(&verb->out, verb->values.json ? "{\"counts\":{" : "");
    print_child_counts(&children);
    for (size_t i = 0; i < DEPENDENCY_COUNT && code == 0; i++) {
        children.kind = (enum dependency_kind)i;
        if (children.counts[i] > 0 && (!of || only == children.kind))
            code = read_kind(&children);
    }
    if (code != 0)
        buf_reset(&verb->out);
    else
        (void)buf_append_text(&verb->out, verb->values.json ? "\n]}\n" : "");
    return code;
}

const struct cli_command cli_job_children_verb = VERB_ROW(
    "job children", "lists the children of a job, with their results",
    "drover job children [OPTION...] ID",
    "processed have completed, for unprocessed it waits, ignored have failed and do not matter,\n"
    "failed have failed and make it fail.",
    "for what does it wait?\ndrover job children build-7 -q builds --of unprocessed\n",
    children_options, job_operand, 1, 1, act_children);

/* ---- flow ---- */

static const struct cli_option flow_options[] = {
    VERB_QUEUE,
    { .name = "depth",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(depth),
      .help = "levels below the job, 1 to 100; 10 unless given" },
    { .name = "children",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(children),
      .help = "most children of each kind and job, 1 to 1000; 20 unless given" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static uint64_t children_of(const struct flow_view *node)
{
    uint64_t count = 0;

    for (size_t i = 0; i < DEPENDENCY_COUNT; i++)
        count += node->counts[i];
    return count;
}

/* NOLINTNEXTLINE(misc-no-recursion): a tree of at most 100 levels */
static void print_node(const struct flow_view *node, size_t depth, struct buf *out)
{
    (void)buf_printf(out, "%*s", (int)(2 * depth), "");
    output_text(out, node->queue, strlen(node->queue));
    (void)buf_append_text(out, " ");
    output_text(out, node->id, strlen(node->id));
    (void)buf_append_text(out, " ");
    output_text(out, node->name, strlen(node->name));
    (void)buf_printf(out, ", %s", node->state);
    if (node->has_kind)
        (void)buf_printf(out, " (%s)", dependency_kind_name(node->kind));
    (void)buf_append_char(out, '\n');
    for (size_t i = 0; i < node->children_count; i++)
        print_node(node->children[i], depth + 1, out);
    if (children_of(node) > node->children_count)
        (void)buf_printf(out, "%*s... and %" PRIu64 " more\n", (int)(2 * depth + 2), "",
                         children_of(node) - node->children_count);
}

/* NOLINTNEXTLINE(misc-no-recursion): a tree of at most 100 levels */
static void print_node_json(const struct flow_view *node, struct buf *out)
{
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "prefix", node->prefix, strlen(node->prefix));
    output_member_text(out, false, "queue", node->queue, strlen(node->queue));
    output_member_text(out, false, "id", node->id, strlen(node->id));
    output_member_text(out, false, "name", node->name, strlen(node->name));
    output_member_text(out, false, "state", node->state, strlen(node->state));
    if (node->has_kind)
        output_member_text(out, false, "kind", dependency_kind_name(node->kind),
                           strlen(dependency_kind_name(node->kind)));
    (void)buf_append_text(out, ",\"counts\":{");
    for (size_t i = 0; i < DEPENDENCY_COUNT; i++)
        output_member_number(out, i == 0, dependency_kind_name((enum dependency_kind)i),
                             node->counts[i]);
    (void)buf_append_text(out, "},\"children\":[");
    for (size_t i = 0; i < node->children_count; i++) {
        (void)buf_append_text(out, i > 0 ? "," : "");
        print_node_json(node->children[i], out);
    }
    (void)buf_append_text(out, "]}");
}

static void on_flow(struct queue *queue, const struct call_result *call,
                    const struct flow_view *root, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (!verb_answered(verb, call, "read the flow"))
        return;
    if (!root) {
        verb->code = tell_no_job(verb);
    } else if (verb->values.json) {
        print_node_json(root, &verb->out);
        (void)buf_append_char(&verb->out, '\n');
    } else {
        print_node(root, 0, &verb->out);
    }
}

static int act_flow(struct verb *verb)
{
    struct flow_view_limits limits = FLOW_VIEW_LIMITS_INIT;
    struct error err = { 0 };
    int code;

    limits.nodes = 100000;
    if (verb->values.depth.given)
        limits.depth = (size_t)verb->values.depth.value;
    if (verb->values.children.given)
        limits.children = (size_t)verb->values.children.value;
    code = verb_open_job(verb, verb->words[0]);
    return code ? code
                : verb_finish(
                      verb,
                      queue_get_flow(verb->queue, verb->words[0], &limits, on_flow, verb, &err),
                      &err, "read the flow");
}

const struct cli_command cli_job_flow_verb =
    VERB_ROW("job flow", "shows a job with its children and theirs as a tree",
             "drover job flow [OPTION...] ID", "Also those in other queues of the same Redis.",
             "why does it still wait?\ndrover job flow build-7 -q builds\n", flow_options,
             job_operand, 1, 1, act_flow);
