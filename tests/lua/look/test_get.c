/* The getters of get.h against a real Redis (wire format 8.10 to 8.14, 10). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "tests/lua/look/get_case.h"

TestSuite(get, .init = setup, .fini = teardown, .timeout = 60);

/* ---- states, counts ---- */

Test(get, states_have_bullmqs_words)
{
    enum queue_state state = QUEUE_STATE_FAILED;
    struct error err = { 0 };

    for (size_t i = 0; i < QUEUE_STATE_COUNT; i++) {
        cr_assert(queue_state_parse(queue_state_name((enum queue_state)i), &state, &err) == 0);
        cr_expect(state == (enum queue_state)i);
    }
    cr_assert(queue_state_parse("wait", &state, &err) == 0);
    cr_expect(state == QUEUE_STATE_WAITING);
    cr_expect(queue_state_parse("stalled", &state, &err) == -EINVAL);
    cr_expect(strstr(err.text, "\"stalled\" is no state") && strstr(err.text, "waiting-children"));
}

static void on_priorities(struct queue *from, const struct call_result *call,
                          const uint64_t *counts, size_t count, void *arg)
{
    (void)from;
    (void)arg;
    for (size_t i = 0; is_reply(call) && i < count; i++)
        (void)buf_printf(&seen, "%" PRIu64 " ", counts[i]);
}

Test(get, priorities_are_counted_each)
{
    const uint64_t asked[] = { 0, 1, 2, 2097151 }, wrong[] = { 2097152 };

    redis_says("RPUSH bull:q:wait a b");
    redis_says("RPUSH bull:q:paused c");
    redis_says("ZADD bull:q:prioritized 4294967297 d 8589934591 e 8589934592 f 9007194959773697 g");
    tells("3 2 1 1 ", queue_count_priorities(queue, asked, 4, on_priorities, NULL, &err));
    refuses("2097152", queue_count_priorities(queue, wrong, 1, on_priorities, NULL, &err));
    refuses("0 priorities", queue_count_priorities(queue, asked, 0, on_priorities, NULL, &err));
}

/* ---- one job ---- */

static void on_text(struct queue *from, const struct call_result *call, struct bytes text,
                    void *arg)
{
    (void)from;
    (void)arg;
    if (is_reply(call))
        put(text);
}

Test(get, state_is_found_also_far_from_the_ends_of_a_list)
{
    tells("unknown", queue_get_state(queue, "1", on_text, NULL, &err));
    redis_says("RPUSH bull:q:wait 1");
    tells("waiting", queue_get_state(queue, "1", on_text, NULL, &err));
    redis_says(
        "EVAL %s 0",
        "for i = 1, 150 do local ids = {} for j = 1, 1000 do ids[j] = 'x' .. i .. '.' .. j end "
        "redis.call('LPUSH', 'bull:q:wait', unpack(ids)) end");
    tells("waiting", queue_get_state(queue, "1", on_text, NULL, &err));
    redis_says(
        "EVAL %s 0",
        "for i = 1, 150 do local ids = {} for j = 1, 1000 do ids[j] = 'y' .. i .. '.' .. j end "
        "redis.call('RPUSH', 'bull:q:wait', unpack(ids)) end");
    tells("unknown", queue_get_state(queue, "1", on_text, NULL, &err)); /* no hash: no job */
    redis_says("HSET bull:q:1 name a");
    tells("waiting", queue_get_state(queue, "1", on_text, NULL, &err));
    redis_says("ZADD bull:q:waiting-children 1 1");
    tells("waiting-children", queue_get_state(queue, "1", on_text, NULL, &err));
    redis_says("ZADD bull:q:failed 1 1");
    tells("failed", queue_get_state(queue, "1", on_text, NULL, &err));
    refuses("empty", queue_get_state(queue, "", on_text, NULL, &err));
    refuses("\"meta\" is no id", queue_get_state(queue, "meta", on_text, NULL, &err));
}

Test(get, finished_with_the_value)
{
    tells("-1 (absent)", queue_is_finished(queue, "1", on_finished, NULL, &err));
    redis_says("HSET bull:q:1 name a returnvalue {\"a\":1} failedReason boom");
    tells("0 (absent)", queue_is_finished(queue, "1", on_finished, NULL, &err));
    redis_says("ZADD bull:q:failed 1 1");
    tells("2 boom", queue_is_finished(queue, "1", on_finished, NULL, &err));
    redis_says("ZADD bull:q:completed 1 1");
    tells("1 {\"a\":1}", queue_is_finished(queue, "1", on_finished, NULL, &err));
    queue_rig_lose(true);
    tells("refused: connection lost", queue_is_finished(queue, "1", on_finished, NULL, &err));
}

static void on_logs(struct queue *from, const struct call_result *call, const struct bytes *rows,
                    size_t count, uint64_t total, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    (void)buf_printf(&seen, "%" PRIu64 ":", total);
    for (size_t i = 0; i < count; i++) {
        (void)buf_append_char(&seen, ' ');
        put(rows[i]);
    }
}

Test(get, logs_in_both_orders)
{
    redis_says("RPUSH bull:q:1:logs a b c d e");
    tells("5: a b", queue_get_logs(queue, "1", 0, 2, true, on_logs, NULL, &err));
    tells("5: d e", queue_get_logs(queue, "1", 3, 9, true, on_logs, NULL, &err));
    tells("5: e d", queue_get_logs(queue, "1", 0, 2, false, on_logs, NULL, &err));
    tells("5: b a", queue_get_logs(queue, "1", 3, 9, false, on_logs, NULL, &err));
    tells("5:", queue_get_logs(queue, "1", 5, 9, false, on_logs, NULL, &err));
    tells("0:", queue_get_logs(queue, "2", 0, 9, false, on_logs, NULL, &err));
    refuses("1 to 1000", queue_get_logs(queue, "1", 0, 1001, true, on_logs, NULL, &err));
    redis_says("SET bull:q:3:logs x");
    {
        struct error err = { 0 };

        buf_reset(&seen);
        cr_assert(queue_get_logs(queue, "3", 0, 1, true, on_logs, NULL, &err) == 0);
        (void)queue_rig_run();
        cr_expect(strstr(buf_text(&seen), "WRONGTYPE") != NULL, "%s", buf_text(&seen));
    }
}

/* ---- ranges ---- */

static void on_range(struct queue *from, const struct call_result *call,
                     const struct range_row *rows, size_t count, uint64_t total, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    (void)buf_printf(&seen, "%" PRIu64 ":", total);
    for (size_t i = 0; i < count; i++) {
        (void)buf_append_char(&seen, ' ');
        put(rows[i].id);
        if (rows[i].score != 0)
            (void)buf_printf(&seen, "@%.0f", rows[i].score);
        if (!rows[i].exists)
            (void)buf_append_text(&seen, "!");
        for (size_t f = 0; f < rows[i].fields_count; f++) {
            (void)buf_append_char(&seen, f > 0 ? ',' : '=');
            if (rows[i].names) {
                put(rows[i].names[f]);
                (void)buf_append_char(&seen, '-');
            }
            put(rows[i].values[f]);
        }
    }
}

#define range(...) queue_get_range(queue, &(struct range_spec){ __VA_ARGS__ }, on_range, NULL, &err)

Test(get, ranges_of_lists_in_both_orders)
{
    static const char *const none[] = { NULL };

    redis_says("LPUSH bull:q:wait 1 2 3 4 5"); /* 1 runs next */
    tells("5: 5 4 3 2 1", range(QUEUE_STATE_WAITING, 0, 10, false, none, 0));
    tells("5: 1 2 3 4 5", range(QUEUE_STATE_WAITING, 0, 10, true, none, 0));
    tells("5: 4 3", range(QUEUE_STATE_WAITING, 1, 2, false, none, 0));
    tells("5: 2 3", range(QUEUE_STATE_WAITING, 1, 2, true, none, 0));
    tells("5: 5", range(QUEUE_STATE_WAITING, 4, 2, true, none, 0));
    tells("5:", range(QUEUE_STATE_WAITING, 5, 2, true, none, 0));
    tells("5:", range(QUEUE_STATE_WAITING, 5, 2, false, none, 0));
    tells("0:", range(QUEUE_STATE_PAUSED, 0, 2, false, none, 0));
    tells("0:", range(QUEUE_STATE_ACTIVE, 0, 2, false, none, 0));
    refuses("1 to 1000", range(QUEUE_STATE_WAITING, 0, 0, false, none, 0));
    refuses("1 to 1000", range(QUEUE_STATE_WAITING, 0, 1001, false, none, 0));
    refuses("beyond", range(QUEUE_STATE_WAITING, 1ULL << 40, 1, false, none, 0));
}

Test(get, ranges_of_sets_with_scores_and_fields)
{
    static const char *const fields[] = { "name", "atm" };
    static const enum queue_state sets[] = { QUEUE_STATE_PRIORITIZED, QUEUE_STATE_DELAYED,
                                             QUEUE_STATE_WAITING_CHILDREN, QUEUE_STATE_COMPLETED,
                                             QUEUE_STATE_FAILED };

    redis_says("HSET bull:q:a name x atm 2");
    redis_says("HSET bull:q:b name y");
    redis_says("SET bull:q:d string");
    redis_says("HSET bull:q:e other z");
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        redis_says("ZADD bull:q:%s 1 a 2 b 3 c 4 d 7353552339857408 e", queue_state_name(sets[i]));
        tells("5: a@1=x,2 b@2=y,(absent) c@3!=(absent),(absent) d@4! "
              "e@7353552339857408=(absent),(absent)",
              range(sets[i], 0, 10, true, fields, 2));
        tells("5: e@7353552339857408=other-z d@4! c@3!", range(sets[i], 0, 3, false, NULL, 0));
    }
}

/* ---- children ---- */

static void on_child_counts(struct queue *from, const struct call_result *call,
                            const uint64_t counts[DEPENDENCY_COUNT], void *arg)
{
    (void)from;
    (void)arg;
    for (size_t i = 0; is_reply(call) && i < DEPENDENCY_COUNT; i++)
        (void)buf_printf(&seen, "%" PRIu64 " ", counts[i]);
}

static uint64_t next_cursor;

static void on_children(struct queue *from, const struct call_result *call,
                        const struct dependency *items, size_t count, uint64_t next, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    for (size_t i = 0; i < count; i++) {
        put(items[i].key);
        (void)buf_append_char(&seen, '=');
        put(items[i].value);
        (void)buf_append_char(&seen, ' ');
    }
    next_cursor = next;
}

static void make_children(void)
{
    redis_says("HSET bull:q:1 name p");
    redis_says("HSET bull:q:1:processed bull:c:1 {\"a\":1}");
    redis_says("SADD bull:q:1:dependencies bull:c:2");
    redis_says("HSET bull:q:1:failed bull:c:3 boom bull:c:4 bang");
    redis_says("ZADD bull:q:1:unsuccessful 1 bull:c:5 2 bull:c:6 3 bull:c:7");
}

Test(get, children_of_each_kind)
{
    make_children();
    tells("1 1 2 3 ", queue_count_dependencies(queue, "1", on_child_counts, NULL, &err));
    tells("0 0 0 0 ", queue_count_dependencies(queue, "2", on_child_counts, NULL, &err));
    tells("bull:c:1={\"a\":1} ",
          queue_get_dependencies(queue, "1", DEPENDENCY_PROCESSED, 0, 20, on_children, NULL, &err));
    tells("bull:c:2=(absent) ", queue_get_dependencies(queue, "1", DEPENDENCY_UNPROCESSED, 0, 20,
                                                       on_children, NULL, &err));
    tells("bull:c:3=boom bull:c:4=bang ",
          queue_get_dependencies(queue, "1", DEPENDENCY_IGNORED, 0, 20, on_children, NULL, &err));
    cr_expect(next_cursor == 0);
    tells("bull:c:5=(absent) bull:c:6=(absent) ",
          queue_get_dependencies(queue, "1", DEPENDENCY_FAILED, 0, 2, on_children, NULL, &err));
    cr_expect(next_cursor == 2);
    tells("bull:c:7=(absent) ",
          queue_get_dependencies(queue, "1", DEPENDENCY_FAILED, 2, 2, on_children, NULL, &err));
    cr_expect(next_cursor == 0);
}

static size_t children_seen;

static void on_many(struct queue *from, const struct call_result *call,
                    const struct dependency *items, size_t count, uint64_t next, void *arg)
{
    (void)from;
    (void)arg;
    cr_assert(call->outcome == REDIS_REPLY && items && count < 500);
    children_seen += count;
    next_cursor = next;
}

Test(get, many_children_come_in_pages)
{
    struct error err = { 0 };
    size_t pages = 0;

    redis_says(
        "EVAL %s 0",
        "for i = 1, 5000 do redis.call('SADD', 'bull:q:1:dependencies', 'bull:c:' .. i) end");
    next_cursor = 0;
    do {
        cr_assert(queue_get_dependencies(queue, "1", DEPENDENCY_UNPROCESSED, next_cursor, 100,
                                         on_many, NULL, &err) == 0);
        (void)queue_rig_run();
        pages++;
    } while (next_cursor != 0);
    cr_expect(children_seen >= 5000 && pages > 10, "%zu children, %zu pages", children_seen, pages);
}

Test(get, keys_are_split_as_prefix_queue_and_id)
{
    static const struct {
        const char *key, *prefix, *queue, *id;
    } rows[] = {
        { "bull:q:1", "bull", "q", "1" },
        { "bull:other:a:b:c", "bull", "other", "a:b:c" },
        { "bull:q:repeat:s:17", "bull", "q", "repeat:s:17" },
        { "{x}:q:1", "{x}", "q", "1" },
        { "bull:q", NULL, NULL, NULL },
        { "bull", NULL, NULL, NULL },
        { "bull:q:", NULL, NULL, NULL },
        { "bull::1", NULL, NULL, NULL },
        { "", NULL, NULL, NULL },
    };
    struct queue *deep;
    struct job_address address;
    struct error err;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct bytes key = { rows[i].key, strlen(rows[i].key) };
        bool is_key = job_key_split(queue, key, &address);

        cr_assert(is_key == (rows[i].prefix != NULL), "%s", rows[i].key);
        if (!is_key)
            continue;
        cr_expect_str_eq(address.prefix, rows[i].prefix);
        cr_expect_str_eq(address.queue, rows[i].queue);
        cr_expect_str_eq(address.id, rows[i].id);
        job_address_done(&address);
    }
    cr_assert(queue_new("my:{pre}:fix", "q", NULL, &deep, &err) == 0);
    cr_assert(job_key_split(deep, (struct bytes){ "my:{pre}:fix:other:5", 20 }, &address));
    cr_expect_str_eq(address.prefix, "my:{pre}:fix");
    cr_expect_str_eq(address.queue, "other");
    job_address_done(&address);
    queue_free(deep);
}

static void print_node(const struct flow_view *node) /* NOLINT(misc-no-recursion) */
{
    (void)buf_printf(&seen, "%s:%s:%s %s %s", node->prefix, node->queue, node->id, node->name,
                     node->state);
    if (node->has_kind)
        (void)buf_printf(&seen, " %s", dependency_kind_name(node->kind));
    if (node->children_count > 0)
        (void)buf_append_text(&seen, " (");
    for (size_t i = 0; i < node->children_count; i++) {
        (void)buf_append_text(&seen, i > 0 ? ", " : "");
        print_node(node->children[i]);
    }
    if (node->children_count > 0)
        (void)buf_append_text(&seen, ")");
}

static void on_flow(struct queue *from, const struct call_result *call,
                    const struct flow_view *root, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    if (root)
        print_node(root);
    else
        (void)buf_append_text(&seen, "none");
}

Test(get, flow_is_a_tree_over_queues)
{
    struct flow_view_limits limits = FLOW_VIEW_LIMITS_INIT;

    tells("none", queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
    redis_says("HSET bull:q:1 name root");
    redis_says("ZADD bull:q:waiting-children 1 1");
    redis_says("SADD bull:q:1:dependencies bull:c:2");
    redis_says("HSET bull:q:1:processed bull:d:3 1");
    redis_says("HSET bull:c:2 name two");
    redis_says("LPUSH bull:c:wait 2");
    redis_says("HSET bull:c:2:failed bull:c:4 boom");
    redis_says("HSET bull:c:4 name four");
    redis_says("ZADD bull:c:failed 1 4");
    tells("bull:q:1 root waiting-children (bull:d:3  gone processed, bull:c:2 two waiting "
          "unprocessed (bull:c:4 four failed ignored))",
          queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
    limits.depth = 1;
    tells("bull:q:1 root waiting-children (bull:d:3  gone processed, bull:c:2 two waiting "
          "unprocessed)",
          queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
    limits.nodes = 2;
    tells("bull:q:1 root waiting-children (bull:d:3  gone processed)",
          queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
    limits.depth = 0;
    refuses("0 levels", queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
}

Test(get, flow_that_refers_to_itself_ends)
{
    struct flow_view_limits limits = { .depth = 3, .children = 5, .nodes = 100 };

    redis_says("HSET bull:q:1 name loop");
    redis_says("SADD bull:q:1:dependencies bull:q:1");
    tells("bull:q:1 loop unknown (bull:q:1 loop unknown unprocessed (bull:q:1 loop unknown "
          "unprocessed (bull:q:1 loop unknown unprocessed)))",
          queue_get_flow(queue, "1", &limits, on_flow, NULL, &err));
}

/* ---- the queue ---- */

static void on_meta(struct queue *from, const struct call_result *call,
                    const struct queue_meta *meta, void *arg)
{
    (void)from;
    (void)arg;
    if (is_reply(call))
        (void)buf_printf(&seen, "%d %" PRIu64 " %" PRIu64 "/%" PRIu64 " %" PRIu64 " %s",
                         meta->paused, meta->concurrency, meta->limit_max, meta->limit_duration_ms,
                         meta->events_max, meta->version);
}

Test(get, meta_with_and_without_settings)
{
    tells("0 0 0/0 0 ", queue_get_meta(queue, on_meta, NULL, &err));
    redis_says("HSET bull:q:meta paused 1 concurrency 5 max 10 duration 1000 opts.maxLenEvents 99 "
               "version bullmq:5.81.5");
    tells("1 5 10/1000 99 bullmq:5.81.5", queue_get_meta(queue, on_meta, NULL, &err));
    redis_says("HSET bull:q:meta concurrency many paused 0");
    tells("1 0 10/1000 99 bullmq:5.81.5", queue_get_meta(queue, on_meta, NULL, &err));
}

Test(get, owner_of_a_deduplication_id)
{
    tells("(absent)", queue_get_deduplication_owner(queue, "a b", on_text, NULL, &err));
    redis_says("SET %s 17", "bull:q:de:a b");
    tells("17", queue_get_deduplication_owner(queue, "a b", on_text, NULL, &err));
    refuses("empty", queue_get_deduplication_owner(queue, "", on_text, NULL, &err));
}

static void on_metrics(struct queue *from, const struct call_result *call,
                       const struct queue_metrics *metrics, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    (void)buf_printf(&seen, "%" PRIu64 " %" PRIu64 " %" PRIu64 " of %" PRIu64 ":", metrics->count,
                     metrics->prev_at_ms, metrics->prev_count, metrics->points_total);
    for (size_t i = 0; i < metrics->points_count; i++)
        (void)buf_printf(&seen, " %" PRIu64, metrics->points[i]);
}

Test(get, metrics_by_minute)
{
    tells("0 0 0 of 0:",
          queue_get_metrics(queue, QUEUE_STATE_FAILED, 0, 10, on_metrics, NULL, &err));
    redis_says("HSET bull:q:metrics:failed count 8 prevTS 17 prevCount 7");
    redis_says("RPUSH bull:q:metrics:failed:data 0 0 7");
    tells("8 17 7 of 3: 0 0 7",
          queue_get_metrics(queue, QUEUE_STATE_FAILED, 0, 10, on_metrics, NULL, &err));
    tells("8 17 7 of 3: 7",
          queue_get_metrics(queue, QUEUE_STATE_FAILED, 2, 10, on_metrics, NULL, &err));
    tells("0 0 0 of 0:",
          queue_get_metrics(queue, QUEUE_STATE_COMPLETED, 0, 10, on_metrics, NULL, &err));
    refuses("not of active",
            queue_get_metrics(queue, QUEUE_STATE_ACTIVE, 0, 10, on_metrics, NULL, &err));
}

static void on_clients(struct queue *from, const struct call_result *call,
                       const struct client_entry *clients, size_t count, void *arg)
{
    (void)from;
    (void)arg;
    for (size_t i = 0; is_reply(call) && i < count; i++) {
        cr_expect(*clients[i].id && strstr(clients[i].line, clients[i].raw_name));
        (void)buf_printf(&seen, "[%s]", clients[i].name);
    }
}

Test(get, clients_by_the_names_of_their_connections)
{
    static const struct {
        const char *name, *workers, *listeners;
    } rows[] = {
        { "bull:cQ==", "[]", "" },    { "bull:cQ==:w:wk1", "[wk1]", "" },
        { "bull:cQ==:qe", "", "[]" }, { "bull:cQ==:qe2", "", "" },
        { "bull:cQ==x", "", "" },     { "other:cQ==", "", "" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        redis_says("CLIENT SETNAME %s", rows[i].name);
        tells(rows[i].workers, queue_list_clients(queue, CLIENT_WORKERS, on_clients, NULL, &err));
        tells(rows[i].listeners,
              queue_list_clients(queue, CLIENT_QUEUE_EVENTS, on_clients, NULL, &err));
    }
}
