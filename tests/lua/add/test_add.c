/* lua/add.lua and add.c against a real Redis: what is stored, where, with which marker and events.
 * The expected values are those of wire format 3.1 to 3.4, 3.6, 3.10, 15.1 and the dumps of its
 * appendix A. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lua/add/adding.h"

TestSuite(add, .init = adding_setup, .fini = adding_teardown, .timeout = 30);

Test(add, plain_job_is_stored_as_a_stock_client_does)
{
    struct job_spec spec = plain("std");

    spec.data = text("{\"a\":1,\"s\":\"\xc3\xa9\"}");
    add(&spec, 1);
    cr_expect(added.call.outcome == REDIS_REPLY && added.count == 1 && !added.duplicate[0]);
    cr_expect_str_eq(added.ids[0], "1");
    says("name std data {\"a\":1,\"s\":\"\xc3\xa9\"} opts "
         "{\"attempts\":0,\"timestamp\":1795300804162} "
         "timestamp 1795300804162 delay 0 priority 0",
         "HGETALL bull:q:1");
    says("1", "LRANGE bull:q:wait 0 -1");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("opts.maxLenEvents 10000", "HGETALL bull:q:meta");
    cr_expect_str_eq(events("q"), "|event added jobId 1 name std |event waiting jobId 1 ");
    /* Nothing else: no key that a stock run would not leave. */
    cr_expect(strtol(redis_says("DBSIZE"), NULL, 10) == 6, "%s", redis_says("KEYS *"));
}

Test(add, absent_data_is_an_empty_object_and_time_is_now)
{
    struct job_spec spec = plain("std");

    spec.timestamp_ms = 0;
    add(&spec, 1);
    says("{}", "HGET bull:q:1 data");
    says("{\"attempts\":0}", "HGET bull:q:1 opts");
    cr_expect(strtoull(redis_says("HGET bull:q:1 timestamp"), NULL, 10) > AT_MS - 100000000000ULL);
}

Test(add, bytes_of_data_are_kept)
{
    struct job_spec spec = plain("std");
    static const char odd[] =
        "{\"lone\":\"\\ud800\",\"nul\":\"\\u0000\",\"big\":123456789012345678901234567890}";

    spec.data = text(odd);
    add(&spec, 1);
    says(odd, "HGET bull:q:1 data");
}

Test(add, lifo_goes_to_the_tail)
{
    struct job_spec specs[3] = { plain("a"), plain("b"), plain("c") };

    specs[1].lifo = true;
    add(specs, 3);
    says("3 1 2", "LRANGE bull:q:wait 0 -1"); /* the tail is next to run */
}

Test(add, delayed_job_has_score_marker_and_event)
{
    struct job_spec spec = plain("del");

    spec.timestamp_ms = 1795300804223ULL;
    spec.delay_ms = 60000;
    add(&spec, 1);
    says("1 7353552339857408", "ZRANGE bull:q:delayed 0 -1 WITHSCORES");
    says("1 1795300864223", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("60000", "HGET bull:q:1 delay");
    cr_expect_str_eq(events("q"),
                     "|event added jobId 1 name del |event delayed jobId 1 delay 1795300864223 ");
    says("0", "EXISTS bull:q:wait");
}

Test(add, marker_score_keeps_the_counter_of_the_head)
{
    struct job_spec spec = plain("del");

    spec.delay_ms = 1000;
    cr_expect((AT_MS + 1000) * 4096 == 7353552097943552ULL);
    redis_says("ZADD bull:q:delayed 7353552097943553 other"); /* this very due time, counter 1 */
    add(&spec, 1);
    says("7353552097943554", "ZSCORE bull:q:delayed 1");
    cr_expect(strtod(redis_says("ZSCORE bull:q:marker 1"), NULL) == 7353552097943553.0 / 4096);
}

Test(add, delay_wins_over_priority)
{
    struct job_spec spec = plain("both");

    spec.delay_ms = 5;
    spec.priority = 7;
    spec.lifo = true;
    add(&spec, 1);
    says("1", "ZCARD bull:q:delayed");
    says("0", "EXISTS bull:q:prioritized bull:q:wait bull:q:pc");
    says("7", "HGET bull:q:1 priority");
}

Test(add, prioritized_jobs_share_one_counter)
{
    struct job_spec specs[3] = { plain("x"), plain("y"), plain("z") };

    specs[0].priority = 5;
    specs[1].priority = 5;
    specs[2].priority = 1;
    add(specs, 3);
    says("3 4294967299 1 21474836481 2 21474836482", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("3", "GET bull:q:pc");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
}

Test(add, priority_counter_wraps_at_two_to_the_32)
{
    struct job_spec specs[2] = { plain("x"), plain("y") };

    specs[0].priority = specs[1].priority = 2097151;
    redis_says("SET bull:q:pc 4294967294");
    add(specs, 2);
    says("2 9007194959773696 1 9007199254740991", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
}

Test(add, bulk_equals_singles)
{
    static const char *const keys[] = { "LRANGE bull:q:wait 0 -1",
                                        "HGETALL bull:q:meta",
                                        "ZRANGE bull:q:delayed 0 -1 WITHSCORES",
                                        "ZRANGE bull:q:prioritized 0 -1 WITHSCORES",
                                        "ZRANGE bull:q:marker 0 -1 WITHSCORES",
                                        "MGET bull:q:id bull:q:pc" };
    const char *single[ARRAY_SIZE(keys)], *hashes[12];
    struct job_spec specs[12];
    char *single_events;

    for (size_t i = 0; i < 12; i++) {
        specs[i] = plain("mixed");
        specs[i].lifo = i % 5 == 1;
        specs[i].priority = i % 4 == 2 ? i : 0;
        specs[i].delay_ms = i % 3 == 0 ? 100 : 0;
        if (i % 6 == 5)
            specs[i].id = text("own"); /* 5 is new, 11 its duplicate */
        specs[i].attempts = i;
    }
    for (size_t i = 0; i < 12; i++)
        add(&specs[i], 1);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        single[i] = redis_says(keys[i]);
    for (size_t i = 0; i < 12; i++)
        hashes[i] = redis_says("HGETALL bull:q:%d", (int)i + 1);
    single_events = strdup(events("q"));
    redis_says("FLUSHALL");
    add(specs, 12);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        cr_expect_str_eq(redis_says(keys[i]), single[i], "%s", keys[i]);
    for (size_t i = 0; i < 12; i++)
        cr_expect_str_eq(redis_says("HGETALL bull:q:%d", (int)i + 1), hashes[i], "job %zu", i + 1);
    cr_expect_str_eq(events("q"), single_events);
    free(single_events);
}

Test(add, numbers_of_a_batch_are_contiguous)
{
    struct job_spec specs[QUEUE_ADD_MAX];

    redis_says("SET bull:q:id 41");
    for (size_t i = 0; i < QUEUE_ADD_MAX; i++)
        specs[i] = plain("n");
    add(specs, QUEUE_ADD_MAX);
    for (int i = 0; i < QUEUE_ADD_MAX; i++)
        cr_expect(atoi(added.ids[i]) == 42 + i, "job %d got %s", i, added.ids[i]);
    says("541", "GET bull:q:id");
    says("42", "LINDEX bull:q:wait -1");
    says("500", "LLEN bull:q:wait");
}

Test(add, ids_are_text_beyond_what_a_double_prints_whole)
{
    struct job_spec spec = plain("n");

    redis_says("SET bull:q:id 123456789012345");
    add(&spec, 1);
    cr_expect_str_eq(added.ids[0], "123456789012346");
    says("1", "EXISTS bull:q:123456789012346");
}

Test(add, duplicate_changes_nothing_but_the_counter)
{
    struct job_spec first = plain("one"), again = plain("two");

    first.id = again.id = text("abc");
    again.data = text("[1]");
    again.priority = 3;
    add(&first, 1);
    cr_expect(!added.duplicate[0]);
    redis_says("DEL bull:q:marker");
    redis_says("DEL bull:q:events");
    add(&again, 1);
    cr_expect(added.duplicate[0]);
    cr_expect_str_eq(added.ids[0], "abc");
    says("one {} 0", "HMGET bull:q:abc name data priority");
    says("abc", "LRANGE bull:q:wait 0 -1");
    says("2", "GET bull:q:id");
    says("0", "EXISTS bull:q:marker bull:q:prioritized bull:q:pc");
    cr_expect_str_eq(events("q"), "|event duplicated jobId abc ");
}

Test(add, same_id_twice_in_one_batch)
{
    struct job_spec specs[2] = { plain("one"), plain("two") };

    specs[0].id = specs[1].id = text("abc");
    add(specs, 2);
    cr_expect(!added.duplicate[0] && added.duplicate[1]);
    says("one", "HGET bull:q:abc name");
    says("1", "LLEN bull:q:wait");
}

Test(add, more_jobs_of_one_millisecond_than_scores)
{
    static struct job_spec specs[QUEUE_ADD_MAX];

    for (size_t i = 0; i < QUEUE_ADD_MAX; i++) {
        specs[i] = plain("same");
        specs[i].delay_ms = 1000;
    }
    for (int i = 0; i < 8; i++)
        add(specs, QUEUE_ADD_MAX);
    add(specs, 95);
    says("7353552097947646", "ZSCORE bull:q:delayed 4095");
    says("4095", "ZCARD bull:q:delayed");
    add(specs, 3);
    says("7353552097947647", "ZSCORE bull:q:delayed 4096");
    says("7353552097947647", "ZSCORE bull:q:delayed 4097"); /* the last score is shared */
    says("7353552097947647", "ZSCORE bull:q:delayed 4098");
    specs[0].delay_ms = 1001;
    add(specs, 1); /* the next millisecond begins anew */
    says("7353552097947648", "ZSCORE bull:q:delayed 4099");
}

Test(add, delayed_neighbours_do_not_lend_their_counter)
{
    struct job_spec spec = plain("del");

    spec.delay_ms = 1000;
    redis_says("ZADD bull:q:delayed 7353552097943551 before 7353552097947648 after");
    add(&spec, 1);
    says("7353552097943552", "ZSCORE bull:q:delayed 1");
}

Test(add, paused_queue_gets_jobs_in_paused_without_marker)
{
    struct job_spec specs[4] = { plain("a"), plain("b"), plain("c"), plain("d") };

    specs[1].lifo = true;
    specs[2].priority = 1;
    specs[3].delay_ms = 10;
    redis_says("HSET bull:q:meta paused 1");
    add(specs, 3);
    says("1 2", "LRANGE bull:q:paused 0 -1");
    says("3", "ZRANGE bull:q:prioritized 0 -1");
    says("0", "EXISTS bull:q:wait bull:q:marker");
    add(specs + 3, 1); /* the delay marker is written also now */
    says("1 1795300804172", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
}

Test(add, maxed_queue_gets_jobs_in_wait_without_marker)
{
    struct job_spec spec = plain("a");

    redis_says("HSET bull:q:meta concurrency 2");
    redis_says("LPUSH bull:q:active x y");
    add(&spec, 1);
    says("1", "LRANGE bull:q:wait 0 -1");
    says("0", "EXISTS bull:q:marker");
    redis_says("LPOP bull:q:active");
    add(&spec, 1);
    says("1", "EXISTS bull:q:marker");
}

Test(add, events_are_trimmed_to_the_queues_own_length)
{
    static struct job_spec specs[QUEUE_ADD_MAX];

    redis_says("HSET bull:q:meta opts.maxLenEvents 100");
    for (size_t i = 0; i < QUEUE_ADD_MAX; i++)
        specs[i] = plain("e");
    add(specs, QUEUE_ADD_MAX);
    cr_expect(atoi(redis_says("XLEN bull:q:events")) <= 200, "%s",
              redis_says("XLEN bull:q:events"));
    cr_expect(atoi(redis_says("XLEN bull:q:events")) >= 100);
    says("opts.maxLenEvents 100", "HGETALL bull:q:meta");
}

/* Every key that the script uses, spoilt in turn: the call is refused and nothing was written. */
Test(add, spoilt_key_refuses_the_call_before_its_first_write)
{
    static const char *const spoil[] = {
        "SET bull:q:wait x",   "SET bull:q:delayed x", "SET bull:q:prioritized x",
        "SET bull:q:marker x", "SET bull:q:events x",  "SET bull:q:meta x",
        "LPUSH bull:q:id x",   "SET bull:q:id x",      "SET bull:q:id 9223372036854775807",
        "LPUSH bull:q:pc x",   "SET bull:q:pc x",
    };
    struct job_spec specs[3] = { plain("a"), plain("b"), plain("c") };

    specs[1].delay_ms = 5;
    specs[2].priority = 5;
    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        redis_says("FLUSHALL");
        redis_says(spoil[i]);
        add(specs, 3);
        cr_expect(added.call.outcome == REDIS_REFUSED, "%s", spoil[i]);
        cr_expect(added.count == 0 && strlen(added.why) > 0, "%s", spoil[i]);
        cr_expect_str_eq(redis_says("DBSIZE"), "1", "%s left %s", spoil[i], redis_says("KEYS *"));
    }
}

Test(add, paused_queue_looks_at_its_own_list)
{
    struct job_spec spec = plain("a");

    redis_says("HSET bull:q:meta paused 1 concurrency x");
    redis_says("SET bull:q:paused x");
    add(&spec, 1);
    cr_expect(added.call.outcome == REDIS_REFUSED);
    cr_expect(added.call.error_class == REDIS_CLASS_OTHER);
    redis_says("DEL bull:q:paused");
    redis_says("SET bull:q:wait x"); /* not touched while paused */
    add(&spec, 1);
    cr_expect(added.call.outcome == REDIS_REPLY);
}

Test(add, job_whose_key_holds_something_else_is_refused_alone)
{
    struct job_spec specs[3] = { plain("a"), plain("b"), plain("c") };

    redis_says("SET bull:q:2 x");
    add(specs, 3);
    cr_expect(added.count == 3 && !added.refused[0] && added.refused[1] && !added.refused[2]);
    cr_expect(strstr(added.ids[1], "bull:q:2") && strstr(added.ids[1], "WRONGTYPE"));
    says("3 1", "LRANGE bull:q:wait 0 -1");
    says("x", "GET bull:q:2");
}

Test(add, full_server_refuses_whole_and_clean)
{
    struct job_spec specs[3] = { plain("a"), plain("b"), plain("c") };

    specs[1].delay_ms = 5;
    specs[2].priority = 5;
    redis_says("CONFIG SET maxmemory 1");
    add(specs, 3);
    cr_expect(added.call.outcome == REDIS_REFUSED);
    cr_expect(added.call.error_class == REDIS_CLASS_MEMORY, "%s", added.why);
    says("0", "DBSIZE");
    redis_says("CONFIG SET maxmemory 0");
    add(specs, 3);
    cr_expect(added.call.outcome == REDIS_REPLY);
    says("1", "LLEN bull:q:wait");
}

Test(add, lost_reply_is_told_as_unknown)
{
    struct job_spec spec = plain("a");

    queue_rig_lose(true);
    add(&spec, 1);
    cr_expect(added.call.outcome == REDIS_UNKNOWN && added.count == 0);
    cr_expect_str_eq(added.why, "connection lost");
}

Test(add, bad_spec_sends_none)
{
    struct job_spec specs[2] = { plain("a"), plain("b") };
    struct error err = { 0 };

    specs[1].id = text("12");
    cr_expect(queue_add_jobs(adding_queue, specs, 2, adding_on_added, NULL, &err) == -EINVAL);
    cr_expect(strstr(err.text, "job 2: ") == err.text, "%s", err.text);
    cr_expect(queue_add_jobs(adding_queue, specs, 0, adding_on_added, NULL, &err) == -EINVAL);
    cr_expect(queue_add_jobs(adding_queue, specs, QUEUE_ADD_MAX + 1, adding_on_added, NULL, &err) ==
              -EINVAL);
    cr_expect(queue_rig_run() == 0 && added.calls == 0);
    queue_set_redis(adding_queue, NULL);
    cr_expect(queue_add_jobs(adding_queue, specs, 1, adding_on_added, NULL, &err) == -ENOTCONN);
    says("0", "DBSIZE");
}

Test(add, all_options_in_the_stored_form)
{
    struct job_spec spec = plain("opts");

    spec.id = text("o\"1");
    spec.attempts = 3;
    spec.backoff = (struct job_backoff){ JOB_BACKOFF_EXPONENTIAL, 100, 0.5 };
    spec.keep_completed = (struct job_keep){ .present = true, .count = 5, .age_s = 10 };
    spec.keep_failed = (struct job_keep){ .present = true, .count = 100 };
    spec.stack_trace_limit = 2;
    spec.keep_logs = 4;
    spec.size_limit = 1000;
    spec.timestamp_ms = 0;
    add(&spec, 1);
    says("{\"attempts\":3,\"jobId\":\"o\\\"1\",\"backoff\":{\"type\":\"exponential\",\"delay\":100,"
         "\"jitter\":0.5},\"removeOnComplete\":{\"age\":10,\"count\":5},\"removeOnFail\":100,"
         "\"stackTraceLimit\":2,\"kl\":4,\"sizeLimit\":1000}",
         "HGET bull:q:o\"1 opts");
}
