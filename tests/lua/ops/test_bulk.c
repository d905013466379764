/* Bulk work (bulk.h): drain, clean, obliterate, retry and promote many, trimming events. Wire
 * format 8.2 to 8.7. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/lua/ops/ops_rig.h"

TestSuite(bulk, .init = ops_setup, .fini = ops_teardown, .timeout = 120);

static void expect(uint64_t done, uint64_t passed)
{
    cr_expect(ops_done.call.outcome == REDIS_REPLY, "%s", ops_done.why);
    cr_expect(ops_done.bulk.done == done && ops_done.bulk.passed == passed,
              "%llu done, %llu passed", (unsigned long long)ops_done.bulk.done,
              (unsigned long long)ops_done.bulk.passed);
}

static void put_many(const char *state, int count, const char *more)
{
    for (int i = 0; i < count; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "%s-%d", state, i);
        ops_put("q", state, i + 1, id, more);
    }
}

static void drain(bool delayed, size_t piece, uint64_t limit)
{
    struct bulk_run run = ops_run(piece, limit);

    OPS_CALL(queue_drain(ops_queue, delayed, &run, &ops_error));
}

/* ---- drain ---- */

Test(bulk, drain_takes_what_waits_and_leaves_the_rest)
{
    static const char *const states[] = { "wait",   "paused",    "prioritized", "delayed",
                                          "active", "completed", "failed" };

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        put_many(states[i], 3, NULL);
    drain(false, 2, 0);
    expect(9, 0);
    says("0", "EXISTS bull:q:wait bull:q:paused bull:q:prioritized bull:q:events");
    says("3", "ZCARD bull:q:delayed");
    drain(true, 0, 0);
    expect(3, 0);
    says("3", "LLEN bull:q:active");
    says("3", "ZCARD bull:q:completed");
    says("9", "EVAL return#redis.call('keys','bull:q:*-*') 0");
}

/* Stock version 5 trims the list by the number of removed jobs, and so loses the iteration. */
Test(bulk, drain_keeps_pending_iterations_wherever_they_stand)
{
    redis_says("ZADD bull:q:repeat 1000 s 2000 t");
    ops_put("q", "wait", 0, "1", NULL);
    ops_put("q", "wait", 0, "repeat:s:1000", "rjk s");
    ops_put("q", "wait", 0, "3", NULL);
    ops_put("q", "delayed", 5, "repeat:t:2000", "rjk t");
    ops_put("q", "delayed", 6, "repeat:t:1500", "rjk t");
    drain(true, 1, 0);
    expect(3, 2);
    says("repeat:s:1000", "LRANGE bull:q:wait 0 -1");
    says("repeat:t:2000", "ZRANGE bull:q:delayed 0 -1");
    says("2", "EXISTS bull:q:repeat:s:1000 bull:q:repeat:t:2000");
}

Test(bulk, drain_ends_deduplication_and_takes_parents_of_its_queue_along)
{
    ops_put("q", "waiting-children", 0, "G", NULL);
    ops_put("q", "waiting-children", 0, "P", "deid p");
    ops_put("o", "waiting-children", 0, "O", NULL);
    ops_put("q", "wait", 0, "1", "deid d");
    ops_put("q", "wait", 0, "2", NULL);
    ops_adopt("q", "P", "q", "G", "");
    ops_adopt("q", "1", "q", "P", "");
    ops_adopt("q", "2", "o", "O", "");
    redis_says("SET bull:q:de:d 1");
    redis_says("SET bull:q:de:p P");
    drain(false, 0, 0);
    expect(4, 0); /* 1, 2, P and G */
    cr_expect_str_eq(ops_keys(), "o:O o:wait");
    says("0", "EXISTS bull:o:events"); /* as stock clients, nobody is told */
}

Test(bulk, a_long_drain_tells_its_progress_and_can_be_limited_and_cancelled)
{
    put_many("wait", 1000, NULL);
    drain(false, 100, 250);
    expect(250, 0);
    cr_expect(ops_done.pieces == 3);
    says("750", "LLEN bull:q:wait");
    says("wait-250", "LINDEX bull:q:wait -1"); /* the oldest went */
    ops_done.cancel_at = 2;
    drain(false, 100, 0);
    expect(200, 0);
    cr_expect(ops_done.bulk.cancelled);
    ops_done.cancel_at = 0;
    drain(false, 500, 0);
    expect(550, 0);
    cr_expect(!ops_done.bulk.cancelled);
    says("0", "EXISTS bull:q:wait");
}

Test(bulk, lost_connection_keeps_what_was_done)
{
    struct bulk_run run = ops_run(100, 0);

    put_many("wait", 300, NULL);
    cr_assert(queue_drain(ops_queue, false, &run, &ops_error) == 0);
    queue_rig_lose(true);
    (void)queue_rig_run();
    queue_rig_lose(false);
    cr_expect(ops_done.call.outcome == REDIS_UNKNOWN && ops_done.bulk.done == 100);
    drain(false, 0, 0);
    expect(200, 0);
}

/* ---- clean ---- */

static void clean(enum queue_state state, uint64_t grace_ms, size_t piece, uint64_t limit)
{
    const struct clean_spec spec = { state, grace_ms };
    struct bulk_run run = ops_run(piece, limit);

    OPS_CALL(queue_clean(ops_queue, &spec, &run, &ops_error));
}

Test(bulk, clean_of_finished_jobs_goes_by_when_they_finished)
{
    char young[32];

    (void)snprintf(young, sizeof(young), "%llu", (unsigned long long)clock_wall_ms() - 1000);
    put_many("completed", 5, NULL);
    redis_says("ZADD bull:q:completed %s young", young);
    ops_store("q", "young", NULL);
    clean(QUEUE_STATE_COMPLETED, 60000, 2, 3);
    expect(3, 0);
    cr_expect_str_eq(ops_done.ids, "completed-0 completed-1 completed-2");
    cr_expect_str_eq(ops_events("q"), "event cleaned count 2; event cleaned count 1");
    clean(QUEUE_STATE_COMPLETED, 60000, 0, 0);
    expect(2, 0);
    says("young", "ZRANGE bull:q:completed 0 -1");
    clean(QUEUE_STATE_COMPLETED, 0, 0, 0);
    expect(1, 0);
    clean(QUEUE_STATE_FAILED, 0, 0, 0);
    expect(0, 0);
    cr_expect(strstr(ops_events("q"), "event cleaned count 0"));
}

/* Which of the times counts, by state (wire format 8.3). */
Test(bulk, clean_of_others_goes_by_when_they_started_or_were_added)
{
    static const struct {
        enum queue_state state;
        const char *key, *more;
        bool goes;
    } rows[] = {
        { QUEUE_STATE_WAITING, "wait", "timestamp 5", true },
        { QUEUE_STATE_WAITING, "wait", "timestamp Y", false },
        { QUEUE_STATE_WAITING, "wait", "timestamp 5 processedOn Y", false },
        { QUEUE_STATE_WAITING, "wait", "timestamp Y processedOn 5", true },
        { QUEUE_STATE_WAITING, "wait", "timestamp 5 processedOn 5 finishedOn Y", false },
        { QUEUE_STATE_PAUSED, "paused", "timestamp 5", true },
        { QUEUE_STATE_PAUSED, "paused", "timestamp Y", false },
        { QUEUE_STATE_ACTIVE, "active", "timestamp 5 processedOn 6", true },
        { QUEUE_STATE_ACTIVE, "active", "timestamp 5 processedOn Y", false },
        { QUEUE_STATE_DELAYED, "delayed", "timestamp 5 finishedOn Y", true },
        { QUEUE_STATE_DELAYED, "delayed", "timestamp 5 processedOn Y", false },
        { QUEUE_STATE_PRIORITIZED, "prioritized", "timestamp 5 processedOn Y", true },
        { QUEUE_STATE_PRIORITIZED, "prioritized", "timestamp Y", false },
        { QUEUE_STATE_FAILED, "failed", "timestamp Y processedOn Y", true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char more[128], now[24], *at;

        redis_says("FLUSHALL");
        (void)snprintf(now, sizeof(now), "%llu", (unsigned long long)clock_wall_ms());
        more[0] = '\0';
        for (const char *from = rows[i].more; *from; from++) {
            at = more + strlen(more);
            (void)snprintf(at, sizeof(more) - (size_t)(at - more), *from == 'Y' ? "%s" : "%.1s",
                           *from == 'Y' ? now : from);
        }
        ops_put("q", rows[i].key, 7, "1", more);
        clean(rows[i].state, 60000, 0, 0);
        expect(rows[i].goes, !rows[i].goes);
        cr_expect_str_eq(redis_says("EXISTS bull:q:1 bull:q:%s", rows[i].key),
                         rows[i].goes ? "0" : "2", "%s %s", rows[i].key, rows[i].more);
    }
}

Test(bulk, clean_of_active_jobs_leaves_locked_ones)
{
    put_many("active", 4, NULL);
    redis_says("SET bull:q:active-1:lock t");
    clean(QUEUE_STATE_ACTIVE, 0, 1, 0);
    expect(3, 1);
    says("active-1", "LRANGE bull:q:active 0 -1");
}

Test(bulk, clean_passes_over_young_jobs_wherever_they_stand)
{
    char young[64];

    (void)snprintf(young, sizeof(young), "timestamp %llu", (unsigned long long)clock_wall_ms());
    for (int i = 0; i < 60; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "%d", i);
        ops_put("q", "wait", 0, id, i % 3 == 0 ? young : NULL);
    }
    clean(QUEUE_STATE_WAITING, 60000, 7, 0);
    expect(40, 20);
    says("20", "LLEN bull:q:wait");
    says("0", "LINDEX bull:q:wait -1");
    says("57", "LINDEX bull:q:wait 0");
}

Test(bulk, clean_refuses_what_is_not_cleaned)
{
    const struct clean_spec spec = { QUEUE_STATE_WAITING_CHILDREN, 0 };
    struct bulk_run run = ops_run(501, 0);

    cr_expect(queue_clean(ops_queue, &spec, &run, &ops_error) == -EINVAL);
    cr_expect(strstr(ops_error.text, "waiting-children"), "%s", ops_error.text);
    cr_expect(queue_drain(ops_queue, false, &run, &ops_error) == -EINVAL); /* the piece */
    cr_expect(queue_rig_run() == 0);
}

Test(bulk, damaged_keys_refuse_a_piece_before_it_writes)
{
    put_many("wait", 3, NULL);
    redis_says("SET bull:q:failed x");
    drain(false, 0, 0);
    cr_expect(ops_done.call.outcome == REDIS_REFUSED);
    says("3", "LLEN bull:q:wait");
}

Test(bulk, damaged_jobs_are_removed_like_others)
{
    put_many("wait", 1, NULL);
    redis_says("LPUSH bull:q:wait ghost text");
    redis_says("SET bull:q:text x");
    drain(false, 0, 0);
    expect(3, 0);
    cr_expect_str_eq(ops_keys(), "");
}

/* ---- obliterate ---- */

static void obliterate(bool force, size_t piece)
{
    struct bulk_run run = ops_run(piece, 0);

    OPS_CALL(queue_obliterate(ops_queue, force, &run, &ops_error));
}

static void fill_whole_queue(void)
{
    static const char *const states[] = { "wait",   "paused",    "prioritized",     "delayed",
                                          "failed", "completed", "waiting-children" };

    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        put_many(states[i], 30, NULL);
    redis_says("SET bull:q:wait-1:lock t");
    redis_says("RPUSH bull:q:wait-1:logs a");
    redis_says("SADD bull:q:waiting-children-3:dependencies bull:o:1");
    redis_says("HSET bull:q:repeat:s name a ic 1");
    redis_says("ZADD bull:q:repeat 5 s");
    redis_says("SET bull:q:limiter 9 PX 100000");
    redis_says("SET bull:q:id 7");
    redis_says("SET bull:q:pc 7");
    redis_says("SET bull:q:de:gone 77");
    redis_says("HSET bull:q:dn:gone name x");
    redis_says("HSET bull:q:metrics:completed count 1");
    redis_says("RPUSH bull:q:metrics:failed:data 1");
    redis_says("SADD bull:q:stalled x");
    redis_says("HSET drover:{bull:q}:quarantine:5:1:fields name x");
    redis_says("HSET drover:{bull:q}:orphans 5 x");
    redis_says("SET drover:{bull:q}:live keep");
    redis_says("SET bull:q2:id 1"); /* another queue */
    redis_says("SET bull:q2:de:x 1");
}

Test(bulk, obliterate_leaves_nothing_behind)
{
    fill_whole_queue();
    obliterate(false, 25);
    expect(210, 0);
    cr_expect(ops_done.bulk.refusal == BULK_DONE);
    says("bull:q2:de:x bull:q2:id drover:{bull:q}:live", "EVAL %s 0",
         "local keys=redis.call('keys','*') table.sort(keys) return table.concat(keys,' ')");
}

Test(bulk, obliterate_with_running_jobs_needs_force)
{
    fill_whole_queue();
    put_many("active", 3, NULL);
    redis_says("SET bull:q:active-0:lock t");
    obliterate(false, 0);
    cr_expect(ops_done.bulk.refusal == BULK_ACTIVE_JOBS && ops_done.bulk.done == 0);
    says("30", "ZCARD bull:q:completed");
    says("1", "HEXISTS bull:q:meta paused");
    obliterate(true, 0);
    expect(213, 0);
    says("0", "EVAL return#redis.call('keys','bull:q:*') 0");
}

static int pieces;

static void resume_late(void)
{
    if (++pieces == 3)
        redis_says("HDEL bull:q:meta paused");
}

Test(bulk, obliterate_stops_when_somebody_resumes_the_queue)
{
    put_many("wait", 100, NULL);
    queue_rig_between(resume_late);
    obliterate(false, 10);
    queue_rig_between(NULL);
    cr_expect(ops_done.bulk.refusal == BULK_NOT_PAUSED);
    cr_expect(ops_done.bulk.done > 0 && ops_done.bulk.done < 100);
    obliterate(false, 10);
    cr_expect(ops_done.bulk.refusal == BULK_DONE);
    says("0", "EVAL return#redis.call('keys','bull:q:*') 0");
}

Test(bulk, obliterate_takes_keys_of_other_kinds_too)
{
    struct bulk_run run = ops_run(0, 5);

    redis_says("SET bull:q:completed x");
    redis_says("SET bull:q:waiting-children x");
    redis_says("SET bull:q:repeat x");
    obliterate(false, 0);
    says("0", "EVAL return#redis.call('keys','bull:q:*') 0");
    cr_expect(queue_obliterate(ops_queue, false, &run, &ops_error) == -EINVAL); /* a limit */
}

/* ---- retry and promote many ---- */

static void retry_many(enum retry_from from, uint64_t until_ms, size_t piece, uint64_t limit)
{
    const struct retry_spec spec = { .from = from };
    struct bulk_run run = ops_run(piece, limit);

    OPS_CALL(queue_retry_jobs(ops_queue, &spec, until_ms, &run, &ops_error));
}

Test(bulk, retry_many_takes_the_oldest_first_until_a_time)
{
    put_many("failed", 50, "failedReason e finishedOn 5");
    retry_many(RETRY_FAILED, 30, 7, 20);
    expect(20, 0);
    retry_many(RETRY_FAILED, 30, 0, 0);
    expect(10, 0);
    says("30", "LLEN bull:q:wait");
    says("failed-0", "LINDEX bull:q:wait -1");
    says("failed-29", "LINDEX bull:q:wait 0");
    says("(nil)", "HGET bull:q:failed-0 failedReason");
    retry_many(RETRY_FAILED, 0, 0, 0);
    expect(20, 0);
    put_many("completed", 3, "returnvalue 1 priority 2");
    retry_many(RETRY_COMPLETED, 0, 0, 0);
    expect(3, 0);
    says("completed-0 completed-1 completed-2", "ZRANGE bull:q:prioritized 0 -1");
}

Test(bulk, damaged_jobs_do_not_stop_a_retry_of_many)
{
    put_many("failed", 20, "failedReason e");
    for (int i = 0; i < 10; i += 2) {
        redis_says("DEL bull:q:failed-%d", i);
        redis_says("SET bull:q:failed-%d x", i);
    }
    redis_says("DEL bull:q:failed-11");
    retry_many(RETRY_FAILED, 0, 2, 0);
    expect(14, 5);
    says("5", "ZCARD bull:q:failed"); /* and the one without a job is gone */
    says("14", "LLEN bull:q:wait");
}

Test(bulk, promote_many_by_priority_first_due_first)
{
    struct bulk_run run = ops_run(3, 0);

    put_many("delayed", 8, "delay 9");
    ops_put("q", "delayed", 100, "high", "delay 9 priority 1");
    OPS_CALL(queue_promote_jobs(ops_queue, &run, &ops_error));
    expect(9, 0);
    says("delayed-0", "LINDEX bull:q:wait -1");
    says("8", "LLEN bull:q:wait");
    says("high", "ZRANGE bull:q:prioritized 0 -1");
    says("0", "HGET bull:q:delayed-7 delay");
    says("0", "EXISTS bull:q:delayed");
}

Test(bulk, events_are_trimmed_in_pieces)
{
    for (int i = 0; i < 25000; i += 500)
        redis_says("EVAL %s 0",
                   "for i=1,500 do redis.call('xadd','bull:q:events','*','event','x') end");
    OPS_CALL(queue_trim_events(ops_queue, 100, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value > 24500 && ops_done.value <= 24900, "%lld", (long long)ops_done.value);
    cr_expect(atoi(redis_says("XLEN bull:q:events")) <= 300);
}
