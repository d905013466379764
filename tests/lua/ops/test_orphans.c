/* Jobs that are in no state: found, remembered, put back (orphans.h; wire format 15.1, 8.13). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/lua/ops/ops_rig.h"

TestSuite(orphans, .init = ops_setup, .fini = ops_teardown, .timeout = 120);

static struct orphans_result seen;
static char ids[1024];
static size_t steps;
static enum redis_outcome outcome;

static void on_piece(struct queue *queue, const struct call_result *call,
                     const struct orphans_result *result, void *arg)
{
    (void)arg;
    cr_assert(queue == ops_queue);
    outcome = call->outcome;
    (void)snprintf(ops_done.why, sizeof(ops_done.why), "%s", call->why);
    seen = *result;
    ids[0] = '\0';
    for (size_t i = 0; i < result->ids_count; i++) {
        size_t len = strlen(ids);

        (void)snprintf(ids + len, sizeof(ids) - len, "%s%s", len ? " " : "", result->ids[i].data);
    }
}

/* A whole look. */
static void look_with(enum orphan_action action, const char *token)
{
    const struct orphans_spec spec = { action, token };
    struct orphan_look *look = NULL;
    bool complete = false;

    cr_assert(orphan_look_new(ops_queue, &spec, &look, &ops_error) == 0);
    for (steps = 0; !complete; steps++) {
        cr_assert(steps < 10000);
        cr_assert(orphan_look_step(look, on_piece, NULL, &ops_error) == 0);
        cr_assert(queue_rig_run() == 1);
        cr_assert(outcome == REDIS_REPLY, "%s", ops_done.why);
        complete = seen.complete;
    }
    orphan_look_free(look);
}

static void look(enum orphan_action action)
{
    look_with(action, NULL);
}

static void expect(uint64_t found, uint64_t settled, uint64_t changed)
{
    cr_expect(seen.found == found && seen.settled == settled && seen.changed == changed,
              "%llu found, %llu settled, %llu changed", (unsigned long long)seen.found,
              (unsigned long long)seen.settled, (unsigned long long)seen.changed);
}

static void pass_minute(void)
{
    clock_shift_for_tests(ORPHAN_AGE_MS + 1);
}

/* What a resume of version 5 does on a queue where version 6 has added: the v6 jobs are nowhere. */
Test(orphans, jobs_that_a_rename_has_lost_are_put_back_by_the_second_look)
{
    ops_store("q", "6a", "timestamp 2000");
    ops_store("q", "6b", "timestamp 1000");
    ops_store("q", "6c", "priority 3");
    ops_put("q", "wait", 0, "5", NULL);
    look(ORPHANS_REPAIR);
    expect(3, 0, 0);
    says("5", "LRANGE bull:q:wait 0 -1"); /* nothing is touched by the first one */
    look(ORPHANS_REPAIR);
    expect(3, 0, 0); /* nor by one that comes too soon */
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(3, 3, 3);
    says("5 6a 6b", "LRANGE bull:q:wait 0 -1"); /* they have waited for long; the oldest is next */
    says("6c", "ZRANGE bull:q:prioritized 0 -1");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("0", "EXISTS drover:{bull:q}:orphans");
    cr_expect(strstr(ops_events("q"), "event waiting jobId 6a"));
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(0, 0, 0);
}

Test(orphans, each_goes_where_its_hash_wants_it)
{
    uint64_t now = clock_wall_ms();
    char delayed[64];

    (void)snprintf(delayed, sizeof(delayed), "timestamp %llu delay 600000",
                   (unsigned long long)now - 10);
    ops_store("q", "later", delayed);
    ops_store("q", "due", "timestamp 1000 delay 600");
    ops_store("q", "parent", NULL);
    redis_says("SADD bull:q:parent:dependencies bull:c:1");
    ops_store("q", "done", "finishedOn 5 returnvalue 1");
    redis_says("HSET bull:q:meta paused 1");
    look(ORPHANS_REPAIR);
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(4, 4, 3); /* one that has finished must not run again */
    says("due", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:wait");
    says("parent", "ZRANGE bull:q:waiting-children 0 -1");
    cr_expect(strtoull(redis_says("ZSCORE bull:q:delayed later"), NULL, 10) / 4096 ==
              now - 10 + 600000);
}

Test(orphans, report_changes_nothing_and_tells_the_same_each_time)
{
    ops_store("q", "1", NULL);
    look(ORPHANS_REPORT);
    pass_minute();
    look(ORPHANS_REPORT);
    expect(1, 1, 0);
    cr_expect_str_eq(ids, "1");
    look(ORPHANS_REPORT);
    expect(1, 1, 0);
    says("0", "EXISTS bull:q:wait bull:q:events");
}

/* A job that moved in between was not lost. */
Test(orphans, a_job_that_has_changed_between_two_looks_begins_anew)
{
    static const char *const changes[] = { "HSET bull:q:1 atm 1", "HSET bull:q:1 processedOn 5",
                                           "HSET bull:q:1 delay 7", "HSET bull:q:1 ats 2",
                                           "HSET bull:q:1 stc 1" };

    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        redis_says("FLUSHALL");
        ops_store("q", "1", NULL);
        look(ORPHANS_REPAIR);
        pass_minute();
        redis_says(changes[i]);
        look(ORPHANS_REPAIR);
        expect(1, 0, 0);
        pass_minute();
        look(ORPHANS_REPAIR);
        expect(1, 1, 1);
    }
}

Test(orphans, a_job_that_is_back_is_forgotten)
{
    ops_store("q", "1", NULL);
    look(ORPHANS_REPAIR);
    redis_says("LPUSH bull:q:wait 1");
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(0, 0, 0);
    redis_says("LPOP bull:q:wait"); /* and lost again: two more looks are needed */
    redis_says("DEL drover:{bull:q}:orphans");
    look(ORPHANS_REPAIR);
    expect(1, 0, 0);
}

Test(orphans, what_is_in_a_state_or_locked_or_no_job_is_no_orphan)
{
    static const char *const states[] = {
        "wait",        "paused",           "active",    "delayed",
        "prioritized", "waiting-children", "completed", "failed"
    };

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        ops_put("q", states[i], 1, states[i][0] == 'p' && i == 1 ? "x-paused" : states[i] + 1,
                NULL);
    ops_store("q", "locked", NULL);
    redis_says("SET bull:q:locked:lock t");
    ops_store("q", "repeat:s", NULL); /* a scheduler's hash has these fields but `timestamp` */
    redis_says("HDEL bull:q:repeat:s timestamp");
    ops_store("q", "dn:x", NULL);
    redis_says("HSET bull:q:ghost processedOn 1 ats 1");
    redis_says("SET bull:q:text x");
    redis_says("HSET bull:q:1:processed timestamp 1 opts x");
    ops_store("q2", "1", NULL);    /* of another queue */
    ops_store("q:sub", "7", NULL); /* of a queue of prefix bull:q */
    redis_says("SET bull:q:sub:id 7");
    ops_store("q:sub:x", "7", NULL); /* of a queue of prefix bull:q:sub */
    redis_says("HSET bull:q:sub:x:meta version x");
    look(ORPHANS_REPAIR);
    expect(0, 0, 0);
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(0, 0, 0);
    cr_expect(seen.looked == 9, "%llu", (unsigned long long)seen.looked);
}

Test(orphans, ids_with_colons_are_found)
{
    ops_store("q", "repeat:s:900", "rjk s");
    ops_store("q", "a:b:c", NULL);
    look(ORPHANS_REPORT);
    expect(2, 0, 0);
}

/* Removed at once, with what hangs on them: what stock's removeOrphanedJobs does. */
Test(orphans, remove_takes_them_with_their_parts)
{
    ops_put("p", "waiting-children", 1, "P", NULL);
    ops_store("q", "1", "deid d");
    redis_says("SET bull:q:de:d 1");
    redis_says("RPUSH bull:q:1:logs a");
    ops_adopt("q", "1", "p", "P", "");
    ops_put("q", "wait", 0, "2", NULL);
    look(ORPHANS_REMOVE);
    cr_expect(seen.found == 1 && seen.changed == 1);
    cr_expect_str_eq(ops_keys(), "p:P p:wait q:2 q:wait");
}

Test(orphans, a_big_queue_takes_many_small_pieces)
{
    static const char fill[] =
        "for i = 1, 20000 do "
        "redis.call('HSET', 'bull:q:' .. i, 'name', 'a', 'data', '{}', 'opts', '{}', 'timestamp', "
        "'1', 'delay', '0', 'priority', '0') "
        "if i % 1000 ~= 0 then redis.call('LPUSH', 'bull:q:wait', i) end end";
    static const char different[] =
        "local seen, count = {}, 0 "
        "for _, id in ipairs(redis.call('LRANGE', 'bull:q:wait', 0, -1)) do "
        "count = count + (seen[id] and 0 or 1) seen[id] = true end return count";
    const char *const argv[] = { "EVAL", fill, "0" }, *const count[] = { "EVAL", different, "0" };

    (void)redis_says_argv(argv, ARRAY_SIZE(argv));
    look(ORPHANS_REPAIR);
    cr_expect(seen.looked >= 20000);
    cr_expect(seen.found >= 18 && seen.found <= 20, "%llu", (unsigned long long)seen.found);
    cr_expect(steps > 60);
    pass_minute();
    look(ORPHANS_REPAIR);
    pass_minute();
    look(ORPHANS_REPAIR);
    pass_minute();
    look(ORPHANS_REPAIR);
    says("20000", "LLEN bull:q:wait");
    cr_expect_str_eq(redis_says_argv(count, ARRAY_SIZE(count)), "20000"); /* each once */
}

/* Jobs come, run and end while the look goes on: none of them is taken for lost. */
static int moves;

static void move_on(void)
{
    char id[16];

    (void)snprintf(id, sizeof(id), "n%d", ++moves);
    ops_put("q", "wait", 0, id, NULL);
    redis_says("RPOPLPUSH bull:q:wait bull:q:active");
    redis_says("RPOPLPUSH bull:q:wait bull:q:active");
    redis_says("EVAL local "
               "id=redis.call('rpop','bull:q:active')redis.call('zadd','bull:q:completed',1,id) 0");
}

Test(orphans, a_busy_queue_has_no_false_orphans)
{
    for (int i = 0; i < 3000; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "%d", i);
        ops_put("q", "wait", 0, id, NULL);
    }
    queue_rig_between(move_on);
    for (int i = 0; i < 3; i++) {
        look(ORPHANS_REPAIR);
        expect(0, 0, 0);
        pass_minute();
    }
    queue_rig_between(NULL);
}

Test(orphans, one_looks_at_a_time_and_once_a_minute)
{
    ops_store("q", "1", NULL);
    look_with(ORPHANS_REPORT, "a:1");
    cr_expect(!seen.skipped);
    expect(1, 0, 0);
    look_with(ORPHANS_REPORT, "b:1");
    cr_expect(seen.skipped && steps == 1);
    look_with(ORPHANS_REPORT, "a:2");
    cr_expect(seen.skipped);
    cr_expect(atoi(redis_says("PTTL drover:{bull:q}:orphans-check")) > 50000);
    redis_says("DEL drover:{bull:q}:orphans-check");
    look_with(ORPHANS_REPORT, "b:2");
    cr_expect(!seen.skipped);
    look(ORPHANS_REPORT); /* without a token: as a person at a terminal */
    cr_expect(!seen.skipped);
}

Test(orphans, another_who_took_over_ends_the_look)
{
    const struct orphans_spec spec = { ORPHANS_REPAIR, "a:1" };
    struct orphan_look *a_look = NULL;

    cr_assert(orphan_look_new(ops_queue, &spec, &a_look, &ops_error) == 0);
    cr_assert(orphan_look_step(a_look, on_piece, NULL, &ops_error) == 0);
    (void)queue_rig_run();
    cr_expect(!seen.complete);
    redis_says("SET drover:{bull:q}:orphans-check b:7 PX 60000");
    cr_assert(orphan_look_step(a_look, on_piece, NULL, &ops_error) == 0);
    (void)queue_rig_run();
    cr_expect(seen.complete && seen.skipped);
    orphan_look_free(a_look);
    says("b:7", "GET drover:{bull:q}:orphans-check");
}

Test(orphans, a_lost_piece_is_asked_for_again)
{
    const struct orphans_spec spec = { ORPHANS_REPAIR, NULL };
    struct orphan_look *a_look = NULL;

    ops_store("q", "1", NULL);
    look(ORPHANS_REPAIR);
    pass_minute();
    cr_assert(orphan_look_new(ops_queue, &spec, &a_look, &ops_error) == 0);
    for (int i = 0; i == 0 || !seen.complete; i++) {
        queue_rig_lose(i % 2 == 0);
        cr_assert(orphan_look_step(a_look, on_piece, NULL, &ops_error) == 0);
        (void)queue_rig_run();
        cr_expect(outcome == (i % 2 == 0 ? REDIS_UNKNOWN : REDIS_REPLY));
        if (i == 0)
            cr_expect(!seen.complete);
    }
    queue_rig_lose(false);
    orphan_look_free(a_look);
    expect(1, 1, 1);
    says("1", "LRANGE bull:q:wait 0 -1");
}

Test(orphans, damage_is_told_or_left_to_the_fetch)
{
    const struct orphans_spec spec = { ORPHANS_REPAIR, NULL };
    struct orphan_look *a_look = NULL;

    ops_store("q", "1", "priority x delay y");
    look(ORPHANS_REPAIR);
    pass_minute();
    look(ORPHANS_REPAIR);
    expect(1, 1, 1);
    says("1", "LRANGE bull:q:wait 0 -1");

    /* Of a state that cannot be read nobody knows which jobs are in it: none is touched. */
    ops_store("q", "2", NULL);
    redis_says("SET bull:q:delayed x");
    look(ORPHANS_REPAIR);
    expect(0, 0, 0);
    redis_says("DEL bull:q:delayed");
    redis_says("SET bull:q:paused x");
    cr_assert(orphan_look_new(ops_queue, &spec, &a_look, &ops_error) == 0);
    cr_assert(orphan_look_step(a_look, on_piece, NULL, &ops_error) == 0);
    (void)queue_rig_run();
    cr_expect(outcome == REDIS_REFUSED && strstr(ops_done.why, "WRONGTYPE"), "%s", ops_done.why);
    orphan_look_free(a_look);
}
