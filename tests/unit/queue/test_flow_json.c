/* Trees of jobs out of JSON: every member lands in its place, and what is wrong is named by its
 * own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/flow_json.h"

static bool is(struct bytes bytes, const char *text)
{
    return bytes.data && bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

Test(flow_json, every_member_lands_in_its_place)
{
    static const char json[] =
        "{\"name\":\"ro\\u00e9t\",\"queueName\":\"q\",\"prefix\":\"p\",\"data\": {\"a\" : 1} ,"
        "\"opts\":{\"jobId\":\"root\",\"timestamp\":5,\"delay\":6,\"priority\":7,\"lifo\":true,"
        "\"sizeLimit\":8,\"parent\":{\"id\":\"dad\",\"queue\":\"bull:d\"},"
        "\"deduplication\":{\"id\":\"d\",\"ttl\":9,\"extend\":true,\"replace\":true,"
        "\"keepLastIfActive\":true,\"reschedule\":true},"
        "\"telemetry\":{\"metadata\":\"m\",\"omitContext\":true},"
        "\"attempts\":3,\"backoff\":{\"type\":\"fixed\",\"delay\":10},\"removeOnComplete\":true,"
        "\"removeOnFail\":{\"age\":11,\"count\":12},\"stackTraceLimit\":13,\"keepLogs\":14,"
        "\"ignoreDependencyOnFailure\":true,\"failParentOnFailure\":false}}";
    struct flow_tree *tree = NULL;
    struct error err = { 0 };
    const struct flow_node *node;
    const struct job_spec *spec;
    size_t count;

    cr_assert(flow_tree_parse(json, strlen(json), &tree, &err) == 0, "%s", err.text);
    node = flow_tree_nodes(tree, &count);
    spec = &node->spec;
    cr_assert(count == 1 && node->children_count == 0);
    cr_expect_str_eq(node->queue, "q");
    cr_expect_str_eq(node->prefix, "p");
    cr_expect(is(spec->name, "ro\xc3\xa9t") && is(spec->data, "{\"a\" : 1}"));
    cr_expect(is(spec->id, "root") && spec->timestamp_ms == 5 && spec->delay_ms == 6);
    cr_expect(spec->priority == 7 && spec->lifo && spec->size_limit == 8);
    cr_expect(is(spec->parent.id, "dad") && is(spec->parent.queue, "bull:d"));
    cr_expect(is(spec->dedup.id, "d") && spec->dedup.ttl_ms == 9 && spec->dedup.extend);
    cr_expect(spec->dedup.replace && spec->dedup.keep_last_if_active && spec->dedup.reschedule);
    cr_expect(is(spec->telemetry.metadata, "m") && spec->telemetry.omit_context);
    cr_expect(spec->attempts == 3 && spec->backoff.kind == JOB_BACKOFF_FIXED);
    cr_expect(spec->backoff.delay_ms == 10 && spec->keep_completed.count == 0);
    cr_expect(spec->keep_failed.age_s == 11 && spec->keep_failed.count == 12);
    cr_expect(spec->stack_trace_limit == 13 && spec->keep_logs == 14);
    cr_expect(spec->policy == JOB_POLICY_IGNORE_DEPENDENCY);
    flow_tree_free(tree);
}

Test(flow_json, children_are_level_by_level)
{
    static const char json[] =
        "{\"name\":\"r\",\"queueName\":\"q\",\"children\":["
        "{\"name\":\"a\",\"queueName\":\"q\",\"children\":[{\"name\":\"a1\",\"queueName\":\"q\"}]},"
        "{\"queueName\":\"q\",\"name\":\"b\",\"children\":[]}]}";
    struct flow_tree *tree = NULL;
    struct error err = { 0 };
    struct flow_node *nodes;
    size_t count;

    cr_assert(flow_tree_parse(json, strlen(json), &tree, &err) == 0, "%s", err.text);
    nodes = flow_tree_nodes(tree, &count);
    cr_assert(count == 4);
    cr_expect(nodes[0].children_count == 2 && nodes[0].children == &nodes[1]);
    cr_expect(is(nodes[1].spec.name, "a") && is(nodes[2].spec.name, "b"));
    cr_expect(nodes[1].children_count == 1 && nodes[1].children == &nodes[3]);
    cr_expect(is(nodes[3].spec.name, "a1") && !nodes[3].spec.data.data);
    cr_expect(nodes[2].children_count == 0 && nodes[3].spec.stack_trace_limit == -1);
    flow_tree_free(tree);
}

#define NODE(rest) "{\"name\":\"x\",\"queueName\":\"q\"" rest "}"
#define OPTS(rest) NODE(",\"opts\":" rest)

Test(flow_json, what_is_wrong_is_named_by_its_place)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        { "", "not valid JSON" },
        { "{\"name\":\"x\"", "not valid JSON" },
        { "[]", "must be an object, not []" },
        { "{\"queueName\":\"q\"}", "name is missing" },
        { "{\"name\":\"x\"}", "queueName is missing" },
        { NODE(",\"queuename\":\"q\""),
          "unknown member \"queuename\"; did you mean \"queueName\"?" },
        { NODE(",\"zzzzzzzz\":1"), "unknown member \"zzzzzzzz\"" },
        { "{\"name\":1,\"queueName\":\"q\"}", "name: must be a string, not 1" },
        { "{\"name\":\"\\ud800\",\"queueName\":\"q\"}", "name: is a string that is no text" },
        { NODE(",\"children\":{}"), "children: must be an array, not {}" },
        { NODE(",\"children\":[],\"children\":[1]"), "children[0]: must be an object, not 1" },
        { NODE(",\"children\":[" NODE("") "],\"children\":[" NODE("") "]"),
          "children is given twice" },
        { NODE(",\"children\":[" NODE("") "," NODE(",\"children\":[" NODE("") ",2]") "]"),
          "children[1]: children[1]: must be an object, not 2" },
        { OPTS("1"), "opts: must be an object, not 1" },
        { OPTS("{\"dellay\":1}"), "opts: unknown member \"dellay\"; did you mean \"delay\"?" },
        { OPTS("{\"delay\":-1}"), "opts: delay: must be a whole number, 0 or more, not -1" },
        { OPTS("{\"delay\":1.5}"), "opts: delay: must be a whole number" },
        { OPTS("{\"delay\":\"1\"}"), "opts: delay: must be a whole number" },
        { OPTS("{\"delay\":1e16}"), "opts: delay: must be a whole number" },
        { OPTS("{\"lifo\":1}"), "opts: lifo: must be true or false, not 1" },
        { OPTS("{\"jobId\":12}"), "opts: jobId: must be a string, not 12" },
        { OPTS("{\"parent\":{\"ID\":\"a\"}}"), "opts: parent: unknown member \"ID\"" },
        { OPTS("{\"parent\":\"a\"}"), "opts: parent: must be an object" },
        { OPTS("{\"deduplication\":{\"ttl\":\"a\"}}"), "opts: deduplication: ttl: must be" },
        { OPTS("{\"debounce\":{\"id\":\"a\"}}"), "opts: unknown member \"debounce\"" },
        { OPTS("{\"repeat\":{}}"), "opts: unknown member \"repeat\"" },
        { OPTS("{\"backoff\":\"x\"}"), "opts.backoff must be a number or an object" },
        { OPTS("{\"attempts\":[]}"), "opts.attempts must be a number" },
        { OPTS("{\"failParentOnFailure\":1}"), "opts: failParentOnFailure: must be true or false" },
        { OPTS("{\"failParentOnFailure\":true,\"removeDependencyOnFailure\":true}"),
          "opts: removeDependencyOnFailure: a job has only one of the ways" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct flow_tree *tree = NULL;
        struct error err = { 0 };

        cr_expect(flow_tree_parse(rows[i].json, strlen(rows[i].json), &tree, &err) == -EINVAL, "%s",
                  rows[i].json);
        cr_expect(strstr(err.text, rows[i].why) == err.text ||
                      (i < 2 && strstr(err.text, rows[i].why)),
                  "%s: %s", rows[i].json, err.text);
        cr_expect(!tree);
        flow_tree_free(tree);
    }
}

Test(flow_json, more_jobs_than_a_flow_has_are_refused)
{
    struct buf json = BUF_INIT((size_t)1024 * 1024);
    struct flow_tree *tree = NULL;
    struct error err = { 0 };
    size_t count;

    for (int more = 0; more <= 1; more++) {
        buf_reset(&json);
        (void)buf_append_text(&json, "{\"name\":\"r\",\"queueName\":\"q\",\"children\":[");
        for (int i = 1; i < FLOW_NODES_MAX + more; i++)
            (void)buf_printf(&json, "%s{\"name\":\"k\",\"queueName\":\"q\"}", i > 1 ? "," : "");
        (void)buf_append_text(&json, "]}");
        cr_expect(flow_tree_parse(buf_text(&json), json.len, &tree, &err) == (more ? -E2BIG : 0),
                  "%s", err.text);
        if (!more) {
            (void)flow_tree_nodes(tree, &count);
            cr_expect(count == FLOW_NODES_MAX);
            flow_tree_free(tree);
            tree = NULL;
        }
    }
    cr_expect_str_eq(err.text, "the flow has more than 1000 jobs");
    buf_done(&json);
}
