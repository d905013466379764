/* lua/flow.lua and flow.c: a tree over several queues, all or nothing (wire format 3.5, 10, 15.7).
 */
#include "common/queue/flow.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/uuid.h"
#include "tests/lua/add/adding.h"

TestSuite(flow, .init = adding_setup, .fini = adding_teardown, .timeout = 60);

static struct flow_node node(const char *id, const char *queue, const struct flow_node *children,
                             size_t count)
{
    struct flow_node made = {
        .queue = queue, .spec = plain(id), .children = children, .children_count = count
    };

    made.spec.id = text(id);
    return made;
}

Test(flow, tree_over_queues_is_stored_as_stock_producers_do)
{
    struct flow_node grandkids[1] = { node("a1", "r", NULL, 0) };
    struct flow_node kids[2] = { node("a", "p", grandkids, 1), node("b", NULL, NULL, 0) };
    struct flow_node root = node("root", NULL, kids, 2);

    kids[1].spec.policy = JOB_POLICY_IGNORE_DEPENDENCY;
    root.spec.priority = 3;
    add_flow(&root);
    cr_expect(added.count == 4);
    cr_expect_str_eq(added.ids[0], "root");
    cr_expect_str_eq(added.ids[1], "a"); /* depth first */
    cr_expect_str_eq(added.ids[2], "a1");
    cr_expect_str_eq(added.ids[3], "b");
    says("root 1795300804162", "ZRANGE bull:q:waiting-children 0 -1 WITHSCORES");
    says("a 1795300804162", "ZRANGE bull:p:waiting-children 0 -1 WITHSCORES");
    says("a1", "LRANGE bull:r:wait 0 -1");
    says("b", "LRANGE bull:q:wait 0 -1");
    says("bull:p:a bull:q:b", "SORT bull:q:root:dependencies ALPHA");
    says("bull:r:a1", "SMEMBERS bull:p:a:dependencies");
    says("3", "HGET bull:q:root priority");
    says("bull:q:root {\"id\":\"root\",\"queueKey\":\"bull:q\",\"idof\":true}",
         "HMGET bull:q:b parentKey parent");
    says("bull:p:a {\"id\":\"a\",\"queueKey\":\"bull:p\"}", "HMGET bull:r:a1 parentKey parent");
    says("{\"attempts\":0,\"jobId\":\"a1\",\"timestamp\":1795300804162,\"parent\":{\"id\":\"a\","
         "\"queue\":\"bull:p\"}}",
         "HGET bull:r:a1 opts");
    cr_expect_str_eq(events("q"), "|event added jobId root name root "
                                  "|event waiting-children jobId root "
                                  "|event added jobId b name b |event waiting jobId b ");
    cr_expect_str_eq(events("p"), "|event added jobId a name a |event waiting-children jobId a ");
    cr_expect_str_eq(events("r"), "|event added jobId a1 name a1 |event waiting jobId a1 ");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("0 0", "ZRANGE bull:r:marker 0 -1 WITHSCORES");
    says("0", "EXISTS bull:p:marker");
    says("2 1 1", "MGET bull:q:id bull:p:id bull:r:id");
    says("opts.maxLenEvents 10000", "HGETALL bull:p:meta");
}

Test(flow, nodes_of_one_queue_come_level_by_level)
{
    struct flow_node a1[1] = { node("a11", NULL, NULL, 0) };
    struct flow_node a[2] = { node("a1", NULL, a1, 1), node("a2", NULL, NULL, 0) };
    struct flow_node b[1] = { node("b1", NULL, NULL, 0) };
    struct flow_node kids[2] = { node("a", NULL, a, 2), node("b", NULL, b, 1) };
    struct flow_node root = node("root", NULL, kids, 2);

    add_flow(&root);
    says("a11 b1 a2", "LRANGE bull:q:wait 0 -1");
    cr_expect_str_eq(added.ids[3], "a11");
    cr_expect_str_eq(added.ids[6], "b1");
}

Test(flow, nodes_without_ids_get_random_ones)
{
    struct flow_node kids[2] = { node("", NULL, NULL, 0), node("", NULL, NULL, 0) };
    struct flow_node root = node("", NULL, kids, 2);
    const char *opts;

    add_flow(&root);
    cr_expect(uuid_is_valid(added.ids[0]) && uuid_is_valid(added.ids[1]));
    cr_expect(strcmp(added.ids[1], added.ids[2]) != 0);
    opts = redis_says("HGET bull:q:%s opts", added.ids[1]);
    cr_expect(!strstr(opts, "jobId") && strstr(opts, added.ids[0]), "%s", opts);
    says("3", "GET bull:q:id");
}

Test(flow, root_may_be_a_child_of_a_job_that_is_there)
{
    struct flow_node kids[1] = { node("kid", NULL, NULL, 0) };
    struct flow_node root = node("root", NULL, kids, 1);

    root.spec.parent = (struct job_parent){ text("dad"), text("bull:p") };
    add_flow(&root);
    cr_expect(added.code[0] == ADD_PARENT_MISSING && added.code[1] == ADD_OK && added.refused[1]);
    says("0", "DBSIZE");
    redis_says("HSET bull:p:dad name dad");
    redis_says("ZADD bull:p:waiting-children 1 dad");
    add_flow(&root);
    says("bull:q:root", "SMEMBERS bull:p:dad:dependencies");
    says("dad", "ZRANGE bull:p:waiting-children 0 -1");
    says("root", "ZRANGE bull:q:waiting-children 0 -1");
}

static void complete(const char *id)
{
    redis_says("HSET bull:q:%s name old returnvalue 7", id);
    redis_says("ZADD bull:q:completed 1 %s", id);
}

Test(flow, completed_child_does_not_let_the_parent_go_before_its_siblings_are_there)
{
    struct flow_node kids[2] = { node("done", NULL, NULL, 0), node("new", NULL, NULL, 0) };
    struct flow_node root = node("root", "p", kids, 2);

    complete("done");
    add_flow(&root);
    cr_expect(!added.duplicate[0] && added.duplicate[1] && !added.duplicate[2]);
    says("root", "ZRANGE bull:p:waiting-children 0 -1");
    says("bull:q:new", "SMEMBERS bull:p:root:dependencies");
    says("bull:q:done 7", "HGETALL bull:p:root:processed");
    says("bull:p:root", "HGET bull:q:done parentKey");
    cr_expect(!strstr(events("p"), "event waiting "), "%s", events("p"));
}

Test(flow, parent_whose_children_are_all_completed_moves_on)
{
    struct flow_node kids[2] = { node("one", NULL, NULL, 0), node("two", NULL, NULL, 0) };
    struct flow_node root = node("root", "p", kids, 2);

    complete("one");
    complete("two");
    add_flow(&root);
    says("0", "EXISTS bull:p:waiting-children bull:p:root:dependencies");
    says("root", "LRANGE bull:p:wait 0 -1");
    says("0 0", "ZRANGE bull:p:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(events("p"), "|event added jobId root name root "
                                  "|event waiting-children jobId root "
                                  "|event waiting jobId root prev waiting-children ");
}

Test(flow, again_with_the_same_ids_changes_nothing)
{
    struct flow_node kids[1] = { node("kid", "p", NULL, 0) };
    struct flow_node root = node("root", NULL, kids, 1);

    add_flow(&root);
    add_flow(&root);
    cr_expect(added.duplicate[0] && added.duplicate[1]);
    says("kid", "LRANGE bull:p:wait 0 -1");
    says("root", "ZRANGE bull:q:waiting-children 0 -1");
    says("2 2", "MGET bull:q:id bull:p:id");
}

Test(flow, child_of_another_parent_refuses_the_whole_tree)
{
    struct flow_node kids[3] = { node("free", NULL, NULL, 0), node("taken", NULL, NULL, 0),
                                 node("orphan", NULL, NULL, 0) };
    struct flow_node root = node("root", "p", kids, 3);

    redis_says("HSET bull:q:taken name x parentKey bull:o:other");
    redis_says("HSET bull:q:orphan name x parentKey bull:o:gone"); /* anybody may adopt it */
    redis_says("HSET bull:o:other name other");
    add_flow(&root);
    cr_expect(added.code[0] == ADD_OK && added.refused[0] && added.code[1] == ADD_OK);
    cr_expect(added.code[2] == ADD_PARENT_OF_OTHER && added.code[3] == ADD_OK);
    cr_expect_str_eq(added.ids[2], "bull:q:taken is a child of \"bull:o:other\"");
    says("3", "DBSIZE");
    redis_says("DEL bull:o:other");
    add_flow(&root);
    cr_expect(added.code[2] == ADD_OK && added.duplicate[2] && added.duplicate[3]);
    says("bull:p:root", "HGET bull:q:taken parentKey");
}

Test(flow, one_id_for_two_parents_is_refused)
{
    struct flow_node left[1] = { node("same", NULL, NULL, 0) };
    struct flow_node right[1] = { node("same", NULL, NULL, 0) };
    struct flow_node kids[2] = { node("l", NULL, left, 1), node("r", NULL, right, 1) };
    struct flow_node root = node("root", NULL, kids, 2);

    add_flow(&root);
    cr_expect(added.code[4] == ADD_PARENT_OF_OTHER, "%s", added.ids[4]);
    cr_expect(added.code[2] == ADD_OK && added.refused[2]);
    says("0", "DBSIZE");
    left[0].spec.id = text("root"); /* above itself */
    right[0].spec.id = text("other");
    add_flow(&root);
    cr_expect(added.code[2] == ADD_PARENT_OF_OTHER);
    says("0", "DBSIZE");
    kids[1] = node("l", NULL, NULL, 0); /* twice below one parent is once */
    left[0].spec.id = text("leaf");
    add_flow(&root);
    cr_expect(added.duplicate[3]);
    says("bull:q:l", "SMEMBERS bull:q:root:dependencies");
}

Test(flow, spoilt_key_refuses_all)
{
    static const char *const spoil[] = {
        "SET bull:q:wait x",           "SET bull:p:waiting-children x", "SET bull:p:id x",
        "SET bull:p:events x",         "SET bull:q:completed x",        "LPUSH bull:q:kid x",
        "SET bull:p:root:processed x", "LPUSH bull:p:root x",           "SET bull:p:meta x",
    };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        struct flow_node kids[1] = { node("kid", NULL, NULL, 0) };
        struct flow_node root = node("root", "p", kids, 1);

        redis_says("FLUSHALL");
        redis_says(spoil[i]);
        add_flow(&root);
        cr_expect(added.call.outcome == REDIS_REFUSED || (added.refused[0] && added.refused[1]),
                  "%s", spoil[i]);
        cr_expect(added.call.outcome == REDIS_REFUSED || added.code[0] == ADD_UNSTORED ||
                      added.code[1] == ADD_UNSTORED,
                  "%s", spoil[i]);
        cr_expect_str_eq(redis_says("DBSIZE"), "1", "%s left %s", spoil[i], redis_says("KEYS *"));
    }
}

Test(flow, full_server_refuses_whole_and_clean)
{
    struct flow_node kids[1] = { node("kid", "p", NULL, 0) };
    struct flow_node root = node("root", NULL, kids, 1);

    redis_says("CONFIG SET maxmemory 1");
    add_flow(&root);
    cr_expect(added.call.outcome == REDIS_REFUSED);
    cr_expect(added.call.error_class == REDIS_CLASS_MEMORY, "%s", added.why);
    says("0", "DBSIZE");
}

Test(flow, lost_reply_is_told_as_unknown)
{
    struct flow_node root = node("root", NULL, NULL, 0);

    queue_rig_lose(true);
    add_flow(&root);
    cr_expect(added.call.outcome == REDIS_UNKNOWN && added.count == 0);
}

/* ---- what is refused before it is sent ---- */

static int check(const struct flow_node *root, char *why, size_t size)
{
    struct error err = { 0 };
    int r = queue_check_flow(adding_queue, root, &err);

    (void)snprintf(why, size, "%s", err.text);
    return r;
}

Test(flow, bad_node_is_named_by_its_place)
{
    struct flow_node deep[2] = { node("ok", NULL, NULL, 0), node("12", NULL, NULL, 0) };
    struct flow_node kids[2] = { node("x", NULL, NULL, 0), node("y", NULL, deep, 2) };
    struct flow_node root = node("root", NULL, kids, 2);
    char why[ERROR_TEXT_BYTES];

    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect(strstr(why, "children[1]: children[1]: id \"12\"") == why, "%s", why);
    deep[1] = node("ok2", "a:b", NULL, 0);
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect_str_eq(why, "children[1]: children[1]: queue name \"a:b\" contains ':'");
    deep[1] = node("ok2", NULL, NULL, 0);
    deep[1].prefix = "";
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    deep[1].prefix = NULL;
    deep[1].spec.parent = (struct job_parent){ text("a"), text("bull:q") };
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect(strstr(why, "only the root"), "%s", why);
    deep[1].spec.parent = (struct job_parent){ 0 };
    deep[1].spec.dedup.id = text("d");
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect(strstr(why, "deduplication does not go"), "%s", why);
    deep[1].spec.dedup.id = (struct bytes){ 0 };
    kids[1].spec.lifo = true;
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect(strstr(why, "children[1]: lifo"), "%s", why);
    kids[1].spec.lifo = false;
    deep[1].spec.id = text("y");
    cr_expect(check(&root, why, sizeof(why)) == -EINVAL);
    cr_expect(strstr(why, "its own parent"), "%s", why);
    deep[1].spec.id = text("z");
    cr_expect(check(&root, why, sizeof(why)) == 0, "%s", why);
    cr_expect(queue_rig_run() == 0);
}

Test(flow, sizes_are_bounded)
{
    static struct flow_node many[FLOW_NODES_MAX];
    static struct flow_node line[FLOW_DEPTH_MAX + 1];
    static char names[FLOW_QUEUES_MAX + 1][16];
    struct flow_node root = node("", NULL, many, FLOW_NODES_MAX - 1);
    char why[ERROR_TEXT_BYTES];

    for (size_t i = 0; i < FLOW_NODES_MAX; i++)
        many[i] = node("", NULL, NULL, 0);
    add_flow(&root); /* the largest tree */
    cr_expect(added.count == FLOW_NODES_MAX);
    says("999", "SCARD bull:q:%s:dependencies", added.ids[0]);
    says("999", "LLEN bull:q:wait");
    root.children_count++;
    cr_expect(check(&root, why, sizeof(why)) == -E2BIG);
    cr_expect_str_eq(why, "the flow has more than 1000 jobs");

    for (size_t i = 0; i <= FLOW_DEPTH_MAX; i++)
        line[i] =
            node("", NULL, i < FLOW_DEPTH_MAX ? &line[i + 1] : NULL, i < FLOW_DEPTH_MAX ? 1 : 0);
    cr_expect(check(&line[0], why, sizeof(why)) == -E2BIG);
    cr_expect_str_eq(why, "the flow is more than 100 levels deep");
    cr_expect(check(&line[1], why, sizeof(why)) == 0, "%s", why);

    for (size_t i = 0; i <= FLOW_QUEUES_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "q%zu", i);
        many[i].queue = names[i];
    }
    root.children_count = FLOW_QUEUES_MAX;
    cr_expect(check(&root, why, sizeof(why)) == -E2BIG);
    cr_expect(strstr(why, "more than 100 queues"), "%s", why);
    root.children_count = FLOW_QUEUES_MAX - 1;
    cr_expect(check(&root, why, sizeof(why)) == 0, "%s", why);
}

Test(flow, prefixes_may_differ)
{
    struct flow_node kids[1] = { node("kid", "p", NULL, 0) };
    struct flow_node root = node("root", NULL, kids, 1);

    kids[0].prefix = "other";
    add_flow(&root);
    says("other:p:kid", "SMEMBERS bull:q:root:dependencies");
    says("kid", "LRANGE other:p:wait 0 -1");
}
