/* Removing jobs, with and without the trees below them (wire format 8.5, 5.6, 3.7). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lua/ops/ops_rig.h"

TestSuite(removal, .init = ops_setup, .fini = ops_teardown, .timeout = 120);

static void remove_job(const char *id, bool with_children)
{
    OPS_CALL(queue_remove_job(ops_queue, id, with_children, ops_on_removed, NULL, &ops_error));
}

static void expect(enum change_code code, uint64_t removed)
{
    cr_expect(ops_done.call.outcome == REDIS_REPLY, "%s", ops_done.why);
    cr_expect(ops_done.removed.code == code, "%s", change_code_text(ops_done.removed.code));
    cr_expect(ops_done.removed.removed == removed, "%llu removed",
              (unsigned long long)ops_done.removed.removed);
}

Test(removal, a_job_goes_from_whatever_state_with_all_its_parts)
{
    static const char *const states[] = { "completed",   "waiting-children",
                                          "delayed",     "failed",
                                          "prioritized", "wait",
                                          "paused",      "active" };

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        char told[128];

        redis_says("FLUSHALL");
        ops_put("q", states[i], 7, "1", "deid d");
        redis_says("SET bull:q:de:d 1");
        redis_says("HSET bull:q:dn:d name x");
        redis_says("RPUSH bull:q:1:logs row");
        redis_says("SADD bull:q:1:dependencies bull:q:2");
        redis_says("HSET bull:q:1:processed bull:q:3 1");
        redis_says("HSET bull:q:1:failed bull:q:4 e");
        redis_says("ZADD bull:q:1:unsuccessful 1 bull:q:5");
        remove_job("1", false);
        expect(CHANGE_OK, 1);
        says("", "KEYS bull:q:[^e]*");
        (void)snprintf(told, sizeof(told), "event removed jobId 1 prev %s", states[i]);
        cr_expect_str_eq(ops_events("q"), told);
    }
    remove_job("1", true);
    expect(CHANGE_NO_JOB, 0);
}

Test(removal, a_deduplication_key_of_another_owner_stays)
{
    ops_put("q", "wait", 0, "1", "deid d");
    redis_says("SET bull:q:de:d 2");
    redis_says("HSET bull:q:dn:d name x");
    remove_job("1", true);
    expect(CHANGE_OK, 1);
    says("2", "EXISTS bull:q:de:d bull:q:dn:d");
}

Test(removal, a_locked_job_stays_and_so_does_a_tree_with_a_locked_pending_job)
{
    ops_put("q", "active", 0, "1", NULL);
    redis_says("SET bull:q:1:lock t");
    remove_job("1", false);
    expect(CHANGE_LOCKED, 0);

    ops_put("q", "waiting-children", 0, "P", NULL);
    ops_put("c", "waiting-children", 0, "A", NULL);
    ops_put("c", "active", 0, "B", NULL);
    ops_adopt("c", "A", "q", "P", "");
    ops_adopt("c", "B", "c", "A", "");
    redis_says("SET bull:c:B:lock t");
    remove_job("P", true);
    expect(CHANGE_LOCKED, 0);
    says("3", "EXISTS bull:q:P bull:c:A bull:c:B");
    says("0", "EXISTS bull:q:events bull:c:events");
    remove_job("P", false); /* without its children their locks say nothing */
    expect(CHANGE_OK, 1);
    says("2", "EXISTS bull:c:A bull:c:B");
}

/* A finished child's leftover lock forbids nothing: nobody works on what its parent waits for. */
Test(removal, a_lock_of_a_child_that_is_not_pending_forbids_nothing)
{
    ops_put("q", "waiting-children", 0, "P", NULL);
    ops_put("c", "completed", 0, "A", NULL);
    redis_says("HSET bull:q:P:processed bull:c:A 1");
    redis_says("SET bull:c:A:lock t");
    remove_job("P", true);
    expect(CHANGE_OK, 2);
    says("0", "EXISTS bull:q:P bull:c:A");
}

Test(removal, a_pending_iteration_of_a_scheduler_is_told)
{
    ops_put("q", "delayed", 0, "repeat:s:1000", "rjk s");
    ops_put("q", "completed", 0, "repeat:s:900", "rjk s");
    redis_says("ZADD bull:q:repeat 1000 s");
    remove_job("repeat:s:1000", true);
    expect(CHANGE_OF_SCHEDULER, 0);
    says("1", "EXISTS bull:q:repeat:s:1000");
    remove_job("repeat:s:900", true); /* an older one goes */
    expect(CHANGE_OK, 1);
    redis_says("DEL bull:q:repeat");
    remove_job("repeat:s:1000", true);
    expect(CHANGE_OK, 1);
}

Test(removal, the_last_child_lets_its_parent_go_on)
{
    ops_put("p", "waiting-children", 0, "P", "priority 4 delay 1000");
    ops_put("q", "wait", 0, "1", NULL);
    ops_put("q", "wait", 0, "2", NULL);
    ops_adopt("q", "1", "p", "P", "");
    ops_adopt("q", "2", "p", "P", "");
    remove_job("1", true);
    says("P", "ZRANGE bull:p:waiting-children 0 -1");
    remove_job("2", true);
    says("P", "LRANGE bull:p:wait 0 -1"); /* whatever its priority and delay */
    says("0 0", "ZRANGE bull:p:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(ops_events("p"), "event waiting jobId P prev waiting-children");
}

Test(removal, a_tree_goes_with_children_of_every_kind_over_queues)
{
    ops_put("q", "waiting-children", 0, "P", NULL);
    ops_put("a", "wait", 0, "1", NULL);
    ops_put("b", "completed", 0, "2", NULL);
    ops_put("c", "failed", 0, "3", NULL);
    ops_put("c", "failed", 0, "4", NULL);
    ops_put("a", "delayed", 0, "5", NULL);
    ops_adopt("a", "1", "q", "P", "");
    ops_adopt("a", "5", "b", "2", "");
    redis_says("HSET bull:q:P:processed bull:b:2 1");
    redis_says("HSET bull:q:P:failed bull:c:3 e");
    redis_says("ZADD bull:q:P:unsuccessful 1 bull:c:4");
    remove_job("P", true);
    expect(CHANGE_OK, 6);
    cr_expect_str_eq(ops_keys(), "");
    /* As stock clients: the last child of a job that is being removed pushes it once more. */
    cr_expect_str_eq(ops_events("q"), "event waiting jobId P prev waiting-children; "
                                      "event removed jobId P prev wait");
}

Test(removal, many_named_jobs_have_a_code_each)
{
    const char *const ids[] = { "1", "2", "3", "repeat:s:5", "5" };

    ops_put("q", "wait", 0, "1", NULL);
    ops_put("q", "active", 0, "2", NULL);
    redis_says("SET bull:q:2:lock t");
    ops_put("q", "delayed", 0, "repeat:s:5", NULL);
    redis_says("ZADD bull:q:repeat 5 s");
    redis_says("SET bull:q:5 text"); /* damaged: it can be removed all the same */
    redis_says("ZADD bull:q:failed 1 5");
    OPS_CALL(queue_remove_jobs(ops_queue, ids, 5, ops_on_codes, NULL, &ops_error));
    cr_assert(ops_done.count == 5);
    cr_expect(ops_done.codes[0] == CHANGE_OK);
    cr_expect(ops_done.codes[1] == CHANGE_LOCKED);
    cr_expect(ops_done.codes[2] == CHANGE_NO_JOB);
    cr_expect(ops_done.codes[3] == CHANGE_OF_SCHEDULER);
    cr_expect(ops_done.codes[4] == CHANGE_OK);
    cr_expect_str_eq(ops_keys(), "q:2 q:2:lock q:active q:delayed q:repeat q:repeat:s:5");
}

/* What is no job's key is left alone, whatever id it looks like. */
Test(removal, keys_of_other_things_stay)
{
    redis_says("RPUSH bull:q:1:logs row");
    redis_says("SET bull:q:x text");
    remove_job("1:logs", true);
    expect(CHANGE_NO_JOB, 0);
    remove_job("x", true);
    expect(CHANGE_NO_JOB, 0);
    says("2", "EXISTS bull:q:1:logs bull:q:x");
}

Test(removal, damage_in_the_tree_does_not_stop_it_and_damage_of_a_queue_does)
{
    ops_put("q", "waiting-children", 0, "P", NULL);
    redis_says("SET bull:q:P:dependencies x");
    redis_says("SET bull:q:P:unsuccessful x");
    remove_job("P", true);
    expect(CHANGE_OK, 1);
    cr_expect_str_eq(ops_keys(), "");

    ops_put("q", "waiting-children", 0, "P", NULL);
    ops_put("c", "wait", 0, "1", NULL);
    ops_adopt("c", "1", "q", "P", "");
    redis_says("SET bull:c:failed x");
    remove_job("P", true);
    expect(CHANGE_DAMAGED, 0);
    says("2", "EXISTS bull:q:P bull:c:1");
    redis_says("SET bull:q:completed x");
    remove_job("P", true);
    cr_expect(ops_done.call.outcome == REDIS_REFUSED);
    cr_expect(strstr(ops_done.why, "completed holds a string"), "%s", ops_done.why);
}

Test(removal, a_parent_that_is_damaged_is_left_alone)
{
    ops_put("q", "wait", 0, "1", NULL);
    ops_store("p", "P", NULL);
    ops_adopt("q", "1", "p", "P", "");
    redis_says("DEL bull:p:P:dependencies");
    redis_says("SET bull:p:P:dependencies x");
    remove_job("1", true);
    expect(CHANGE_OK, 1);
    says("x", "GET bull:p:P:dependencies");
}

/* ---- long lists ---- */

static void fill_wait(const char *queue, int count)
{
    static const char script[] =
        "for i = 1, ARGV[2] do redis.call('LPUSH', 'bull:' .. ARGV[1] .. ':wait', 'x' .. i) end";
    char text[16];
    const char *const argv[] = { "EVAL", script, "0", queue, text };

    (void)snprintf(text, sizeof(text), "%d", count);
    (void)redis_says_argv(argv, ARRAY_SIZE(argv));
}

/* Each job is looked for in the lists of its queue: fewer of them go by one call when these are
 * long. */
Test(removal, in_a_queue_with_long_lists_fewer_jobs_go_by_one_call)
{
    static char texts[100][8];
    static const char *ids[100];

    for (int i = 0; i < 100; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%d", i);
        ids[i] = texts[i];
        ops_put("q", "wait", 0, texts[i], NULL);
    }
    fill_wait("q", 90000);
    cr_assert(queue_remove_jobs(ops_queue, ids, 100, ops_on_codes, NULL, &ops_error) == 0);
    cr_expect(queue_rig_run() == 50);
    cr_assert(ops_done.count == 100);
    for (int i = 0; i < 100; i++)
        cr_expect(ops_done.codes[i] == CHANGE_OK, "%d", i);
    says("90000", "LLEN bull:q:wait");
    says("0", "EXISTS bull:q:0 bull:q:99");
}

/* ---- large trees ---- */

/* P with `count` children in queue c, of which each `each`-th has `below` children in queue d. */
static void grow(int count, int each, int below)
{
    ops_put("q", "waiting-children", 0, "P", NULL);
    for (int i = 0; i < count; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "%d", i);
        ops_put("c", "wait", 0, id, NULL);
        ops_adopt("c", id, "q", "P", "");
        for (int j = 0; each && i % each == 0 && j < below; j++) {
            char leaf[32];

            (void)snprintf(leaf, sizeof(leaf), "%d-%d", i, j);
            ops_put("d", "wait", 0, leaf, NULL);
            ops_adopt("d", leaf, "c", id, "");
        }
    }
}

Test(removal, a_tree_of_one_call_size_goes_at_once)
{
    grow(QUEUE_TREE_MAX - 1, 0, 0);
    cr_assert(queue_remove_job(ops_queue, "P", true, ops_on_removed, NULL, &ops_error) == 0);
    cr_expect(queue_rig_run() == 1);
    expect(CHANGE_OK, QUEUE_TREE_MAX);
    cr_expect_str_eq(ops_keys(), "");
}

Test(removal, a_small_tree_over_long_lists_goes_leaves_first)
{
    grow(40, 10, 5);
    fill_wait("c", 90000);
    fill_wait("d", 2000000);
    remove_job("P", true);
    expect(CHANGE_OK, 61);
    says("0", "EXISTS bull:q:P bull:c:0 bull:d:0-0 bull:q:P:dependencies");
    says("90000", "LLEN bull:c:wait");
    says("2000000", "LLEN bull:d:wait");
}

Test(removal, a_larger_tree_goes_leaves_first)
{
    grow(450, 100, 300); /* 1 + 450 + 5 * 300, and a child that is too large itself */
    remove_job("P", true);
    expect(CHANGE_OK, 1951);
    cr_expect_str_eq(ops_keys(), "");
    cr_expect(strstr(ops_events("q"), "event removed jobId P"));
}

static int pieces;

/* Between the calls: every child that is there has its parent, and the other way round. */
static void check_tree(void)
{
    static const char script[] =
        "local bad = 0 "
        "for _, key in ipairs(redis.call('KEYS', 'bull:[cd]:[0-9]*')) do "
        "if redis.call('TYPE', key).ok == 'hash' then "
        "local parent = redis.call('HGET', key, 'parentKey') "
        "if redis.call('EXISTS', parent) == 0 or redis.call('SISMEMBER', parent .. "
        "':dependencies', key) == 0 then "
        "bad = bad + 1 end end end "
        "for _, set in ipairs(redis.call('KEYS', '*:dependencies')) do "
        "for _, child in ipairs(redis.call('SMEMBERS', set)) do "
        "if redis.call('EXISTS', child) == 0 then bad = bad + 1 end end end "
        "return bad";
    const char *const argv[] = { "EVAL", script, "0" };

    pieces++;
    cr_assert_str_eq(redis_says_argv(argv, ARRAY_SIZE(argv)), "0", "after call %d", pieces);
}

Test(removal, every_call_leaves_a_consistent_tree)
{
    grow(300, 60, 250);
    queue_rig_between(check_tree);
    remove_job("P", true);
    queue_rig_between(NULL);
    cr_expect(pieces > 10);
    expect(CHANGE_OK, 1 + 300 + 5 * 250);
    cr_expect_str_eq(ops_keys(), "");
}

Test(removal, a_lock_anywhere_in_a_large_tree_keeps_it_whole)
{
    grow(300, 60, 250);
    redis_says("SET bull:d:240-249:lock t");
    remove_job("P", true);
    expect(CHANGE_LOCKED, 0);
    says("1250", "LLEN bull:d:wait");
    says("0", "EXISTS bull:d:events bull:q:events");
}

static void check_waits(void)
{
    says("0", "EXISTS bull:q:wait");
}

/* Children that have ended go first, so that the job goes together with the last ones it waits for.
 */
Test(removal, a_job_is_not_let_go_on_while_its_tree_is_removed)
{
    grow(50, 0, 0);
    for (int i = 0; i < 500; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "e%d", i);
        ops_put("c", "completed", i, id, NULL);
        redis_says("HSET bull:q:P:processed bull:c:%s 1", id);
    }
    queue_rig_between(check_waits);
    remove_job("P", true);
    queue_rig_between(NULL);
    expect(CHANGE_OK, 551);
    cr_expect_str_eq(ops_keys(), "");
}

static void lock_late(void)
{
    if (++pieces == 12)
        redis_says("SET bull:q:P:lock t");
}

Test(removal, a_lock_that_comes_meanwhile_ends_it_and_it_can_be_done_again)
{
    grow(900, 0, 0);
    queue_rig_between(lock_late);
    remove_job("P", true);
    queue_rig_between(NULL);
    cr_expect(ops_done.removed.code == CHANGE_LOCKED);
    cr_expect(ops_done.removed.removed > 0 && ops_done.removed.removed < 900);
    says("1", "EXISTS bull:q:P");
    redis_says("DEL bull:q:P:lock");
    remove_job("P", true);
    cr_expect(ops_done.removed.code == CHANGE_OK);
    cr_expect_str_eq(ops_keys(), "");
}

Test(removal, a_connection_lost_in_the_middle_is_told)
{
    grow(900, 0, 0);
    cr_assert(queue_remove_job(ops_queue, "P", true, ops_on_removed, NULL, &ops_error) == 0);
    queue_rig_lose(true);
    (void)queue_rig_run();
    queue_rig_lose(false);
    cr_expect(ops_done.call.outcome == REDIS_UNKNOWN);
    remove_job("P", true);
    cr_expect_str_eq(ops_keys(), "");
}

Test(removal, a_circle_of_children_has_an_end)
{
    ops_put("q", "wait", 0, "1", NULL);
    ops_put("q", "wait", 0, "2", NULL);
    ops_adopt("q", "1", "q", "2", "");
    ops_adopt("q", "2", "q", "1", "");
    remove_job("1", true);
    expect(CHANGE_OK, 2);
    cr_expect_str_eq(ops_keys(), "");
}

/* ---- unprocessed children ---- */

static void remove_unprocessed(const char *id)
{
    OPS_CALL(queue_remove_unprocessed_children(ops_queue, id, ops_on_removed, NULL, &ops_error));
}

Test(removal, unprocessed_children_go_and_locked_or_failed_ones_stay)
{
    ops_put("q", "active", 0, "P", NULL);
    ops_put("c", "wait", 0, "1", NULL);
    ops_put("c", "active", 0, "2", NULL);
    ops_put("c", "failed", 0, "3", NULL);
    ops_put("c", "completed", 0, "4", NULL);
    ops_put("d", "wait", 0, "5", NULL);
    for (int i = 1; i <= 3; i++) {
        char id[4];

        (void)snprintf(id, sizeof(id), "%d", i);
        ops_adopt("c", id, "q", "P", "");
    }
    redis_says("HSET bull:q:P:processed bull:c:4 1");
    ops_adopt("d", "5", "c", "1", "");
    redis_says("SET bull:c:2:lock t");
    remove_unprocessed("P");
    expect(CHANGE_OK, 2);
    cr_expect_str_eq(ops_keys(), "c:2 c:2:lock c:3 c:4 c:active c:completed c:failed q:P "
                                 "q:P:dependencies q:P:processed q:active");
    says("bull:c:2 bull:c:3", "SORT bull:q:P:dependencies ALPHA");
}

Test(removal, many_unprocessed_children_take_many_calls)
{
    grow(700, 100, 300);
    redis_says("SET bull:c:150:lock t");
    remove_unprocessed("P");
    expect(CHANGE_OK, 699 + 7 * 300);
    says("bull:c:150", "SMEMBERS bull:q:P:dependencies");
    says("P", "ZRANGE bull:q:waiting-children 0 -1");
}

Test(removal, a_job_leaves_its_parent)
{
    ops_put("p", "waiting-children", 0, "P", NULL);
    ops_put("q", "wait", 0, "1", NULL);
    ops_adopt("q", "1", "p", "P", "");
    OPS_CALL(queue_remove_child_dependency(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_OK);
    says("P", "LRANGE bull:p:wait 0 -1");
    says("(nil) (nil)", "HMGET bull:q:1 parentKey parent");
    says("1", "LRANGE bull:q:wait 0 -1");
    OPS_CALL(queue_remove_child_dependency(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NOT_THERE);
    OPS_CALL(queue_remove_child_dependency(ops_queue, "9", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
    ops_adopt("q", "1", "p", "P", "");
    redis_says("DEL bull:p:P");
    OPS_CALL(queue_remove_child_dependency(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_PARENT);
}
