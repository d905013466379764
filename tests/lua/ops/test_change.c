/* Changing named jobs (change.h) and the settings of a queue (settings.h), against a real Redis:
 * wire format 8.6 to 8.9, 3.7, 4.4. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/lua/ops/ops_rig.h"

TestSuite(change, .init = ops_setup, .fini = ops_teardown, .timeout = 60);

static const struct retry_spec failed = { .from = RETRY_FAILED };
static const struct retry_spec completed = { .from = RETRY_COMPLETED };

/* ---- promote ---- */

Test(change, promote_puts_a_delayed_job_where_its_priority_wants_it)
{
    ops_put("q", "delayed", 8192, "1", "delay 5");
    ops_put("q", "delayed", 8193, "2", "delay 5 priority 3");
    OPS_CALL(queue_promote_job(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_OK);
    OPS_CALL(queue_promote_job(ops_queue, "2", ops_on_done, NULL, &ops_error));
    says("1", "LRANGE bull:q:wait 0 -1");
    says("2 12884901889", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("0", "EXISTS bull:q:delayed");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("0", "HGET bull:q:1 delay");
    cr_expect_str_eq(ops_events("q"), "event waiting jobId 1 prev delayed; "
                                      "event waiting jobId 2 prev delayed");
    OPS_CALL(queue_promote_job(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NOT_THERE);
    OPS_CALL(queue_promote_job(ops_queue, "9", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
    says("0", "EXISTS bull:q:9");
}

Test(change, promote_on_a_paused_queue_writes_where_both_majors_look)
{
    redis_says("HSET bull:q:meta paused 1");
    ops_put("q", "delayed", 8192, "1", NULL);
    OPS_CALL(queue_promote_job(ops_queue, "1", ops_on_done, NULL, &ops_error));
    says("1", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:wait bull:q:marker");
}

Test(change, promote_of_many_answers_for_each_and_a_damaged_job_stays)
{
    const char *const ids[] = { "1", "2", "3", "4", "5" };

    ops_put("q", "delayed", 1, "1", NULL);
    redis_says("SET bull:q:2 text");           /* no hash */
    redis_says("ZADD bull:q:delayed 2 2 3 3"); /* and 3 has none at all */
    ops_put("q", "delayed", 4, "4", "priority x");
    ops_put("q", "failed", 5, "5", NULL);
    OPS_CALL(queue_promote_jobs_by_id(ops_queue, ids, 5, ops_on_codes, NULL, &ops_error));
    cr_assert(ops_done.count == 5);
    cr_expect(ops_done.codes[0] == CHANGE_OK);
    cr_expect(ops_done.codes[1] == CHANGE_DAMAGED);
    cr_expect(ops_done.codes[2] == CHANGE_NO_JOB);
    cr_expect(ops_done.codes[3] == CHANGE_DAMAGED);
    cr_expect(ops_done.codes[4] == CHANGE_NOT_THERE);
    says("2 4", "ZRANGE bull:q:delayed 0 -1"); /* the id without a job is gone */
    says("1", "LRANGE bull:q:wait 0 -1");
    says("text", "GET bull:q:2");
}

Test(change, five_hundred_ids_go_by_bounded_calls)
{
    static char texts[QUEUE_IDS_MAX][8];
    static const char *ids[QUEUE_IDS_MAX + 1];
    for (int i = 0; i < QUEUE_IDS_MAX; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%d", i + 1);
        ids[i] = texts[i];
        ops_put("q", "delayed", i + 1, texts[i], NULL);
    }
    cr_assert(queue_promote_jobs_by_id(ops_queue, ids, QUEUE_IDS_MAX, ops_on_codes, NULL,
                                       &ops_error) == 0);
    cr_expect(queue_rig_run() == QUEUE_IDS_MAX / QUEUE_IDS_A_CALL);
    cr_expect(ops_done.count == QUEUE_IDS_MAX);
    says("500", "LLEN bull:q:wait");
    says("500", "LINDEX bull:q:wait 0");
    ids[QUEUE_IDS_MAX] = "x";
    cr_expect(queue_promote_jobs_by_id(ops_queue, ids, QUEUE_IDS_MAX + 1, ops_on_codes, NULL,
                                       &ops_error) == -EINVAL);
    cr_expect(queue_promote_jobs_by_id(ops_queue, ids, 0, ops_on_codes, NULL, &ops_error) ==
              -EINVAL);
}

Test(change, a_call_that_is_lost_says_how_many_are_certain)
{
    static const char *ids[150];
    static char texts[150][8];
    for (int i = 0; i < 150; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%d", i + 1);
        ids[i] = texts[i];
        ops_put("q", "delayed", i + 1, texts[i], NULL);
    }
    cr_assert(queue_promote_jobs_by_id(ops_queue, ids, 150, ops_on_codes, NULL, &ops_error) == 0);
    queue_rig_lose(true);
    (void)queue_rig_run();
    cr_expect(ops_done.call.outcome == REDIS_UNKNOWN && ops_done.count == QUEUE_IDS_A_CALL);
    queue_rig_lose(false);
    OPS_CALL(queue_promote_jobs_by_id(ops_queue, ids, 150, ops_on_codes, NULL, &ops_error));
    cr_expect(ops_done.codes[0] == CHANGE_NOT_THERE && ops_done.codes[149] == CHANGE_OK);
}

Test(change, an_id_that_is_a_key_of_the_queue_is_refused)
{
    static const char *const bad[] = { "", "wait", "meta", "repeat" };
    const char *const good_and_bad[] = { "1", "events" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_expect(queue_promote_job(ops_queue, bad[i], ops_on_done, NULL, &ops_error) == -EINVAL);
        cr_expect(queue_remove_job(ops_queue, bad[i], true, ops_on_removed, NULL, &ops_error) ==
                  -EINVAL);
        cr_expect(queue_update_data(ops_queue, bad[i], "1", 1, ops_on_done, NULL, &ops_error) ==
                  -EINVAL);
        cr_expect(queue_change_delay(ops_queue, bad[i], 1, ops_on_done, NULL, &ops_error) ==
                  -EINVAL);
    }
    cr_expect(queue_remove_jobs(ops_queue, good_and_bad, 2, ops_on_codes, NULL, &ops_error) ==
              -EINVAL);
    cr_expect(queue_rig_run() == 0);
}

/* ---- retry ---- */

Test(change, retry_of_a_failed_job)
{
    ops_put("q", "failed", 5000, "1",
            "failedReason boom finishedOn 5000 processedOn 4000 atm 3 ats 4 stacktrace []");
    OPS_CALL(queue_retry_job(ops_queue, "1", &failed, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_OK);
    says("1", "LRANGE bull:q:wait 0 -1");
    says("(nil) (nil) (nil) 3 4 []",
         "HMGET bull:q:1 failedReason finishedOn processedOn atm ats stacktrace");
    says("0", "EXISTS bull:q:failed");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(ops_events("q"), "event waiting jobId 1 prev failed");
    OPS_CALL(queue_retry_job(ops_queue, "1", &failed, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NOT_THERE);
}

Test(change, retry_respects_priority_and_lifo_and_resets_what_is_asked)
{
    const struct retry_spec reset = { RETRY_COMPLETED, true, true };

    ops_put("q", "wait", 0, "0", NULL);
    ops_put("q", "completed", 1, "1", "priority 5 returnvalue 1 atm 2 ats 2 gbc 3 gbh []");
    ops_put("q", "completed", 2, "2", "opts {\"lifo\":true}");
    ops_put("q", "completed", 3, "3", NULL);
    OPS_CALL(queue_retry_job(ops_queue, "1", &reset, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_retry_job(ops_queue, "2", &completed, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_retry_job(ops_queue, "3", &completed, ops_on_done, NULL, &ops_error));
    says("1 21474836481", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("3 0 2", "LRANGE bull:q:wait 0 -1"); /* the tail runs next */
    says("(nil) (nil) (nil) (nil) (nil)", "HMGET bull:q:1 returnvalue atm ats gbc gbh");
}

Test(change, retry_makes_the_child_pending_for_its_parent_again)
{
    ops_put("p", "waiting-children", 1, "P", NULL);
    for (int i = 1; i <= 4; i++) {
        char id[4];

        (void)snprintf(id, sizeof(id), "%d", i);
        ops_put("q", i == 4 ? "completed" : "failed", i, id, NULL);
        ops_adopt("q", id, "p", "P", "\"fpof\":true");
        redis_says("SREM bull:p:P:dependencies bull:q:%d", i);
    }
    redis_says("ZADD bull:p:P:unsuccessful 1 bull:q:1");
    redis_says("HSET bull:p:P:failed bull:q:2 e");
    redis_says("HSET bull:p:P:processed bull:q:4 1");
    for (int i = 1; i <= 3; i++) {
        char id[4];

        (void)snprintf(id, sizeof(id), "%d", i);
        OPS_CALL(queue_retry_job(ops_queue, id, &failed, ops_on_done, NULL, &ops_error));
    }
    OPS_CALL(queue_retry_job(ops_queue, "4", &completed, ops_on_done, NULL, &ops_error));
    says("bull:q:1 bull:q:2 bull:q:4", "SORT bull:p:P:dependencies ALPHA"); /* 3 was in no record */
    says("0", "EXISTS bull:p:P:unsuccessful bull:p:P:failed bull:p:P:processed");
    says("P", "ZRANGE bull:p:waiting-children 0 -1");
}

Test(change, retry_of_a_child_with_a_damaged_parent_leaves_both)
{
    ops_put("q", "failed", 1, "1", "failedReason e");
    ops_store("p", "P", NULL);
    ops_adopt("q", "1", "p", "P", "");
    redis_says("SET bull:p:P:unsuccessful x");
    OPS_CALL(queue_retry_job(ops_queue, "1", &failed, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_DAMAGED);
    says("e", "HGET bull:q:1 failedReason");
    says("1", "ZRANGE bull:q:failed 0 -1");
    says("0", "EXISTS bull:q:wait");
}

/* ---- priority and delay ---- */

Test(change, priority_moves_a_waiting_job)
{
    ops_put("q", "wait", 0, "1", NULL);
    ops_put("q", "wait", 0, "2", NULL);
    ops_put("q", "delayed", 4096, "3", NULL);
    OPS_CALL(queue_change_priority(ops_queue, "1", 7, false, ops_on_done, NULL, &ops_error));
    says("1 30064771073", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("7", "HGET bull:q:1 priority");
    OPS_CALL(queue_change_priority(ops_queue, "2", 7, true, ops_on_done, NULL, &ops_error));
    says("2 30064771072 1 30064771073", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    OPS_CALL(queue_change_priority(ops_queue, "1", 0, false, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_change_priority(ops_queue, "2", 0, true, ops_on_done, NULL, &ops_error));
    says("1 2", "LRANGE bull:q:wait 0 -1");
    OPS_CALL(queue_change_priority(ops_queue, "3", 9, false, ops_on_done, NULL, &ops_error));
    says("3", "ZRANGE bull:q:delayed 0 -1");
    says("9", "HGET bull:q:3 priority");
    OPS_CALL(queue_change_priority(ops_queue, "x", 9, false, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
    says("0", "EXISTS bull:q:x bull:q:events"); /* and no event */
}

Test(change, priority_on_a_paused_queue_finds_the_job_in_either_list)
{
    redis_says("HSET bull:q:meta paused 1");
    ops_put("q", "wait", 0, "6", NULL); /* a peer of version 6 has put it there */
    ops_put("q", "paused", 0, "5", NULL);
    OPS_CALL(queue_change_priority(ops_queue, "6", 2, false, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_change_priority(ops_queue, "5", 2, false, ops_on_done, NULL, &ops_error));
    says("6 5", "ZRANGE bull:q:prioritized 0 -1");
    OPS_CALL(queue_change_priority(ops_queue, "6", 0, false, ops_on_done, NULL, &ops_error));
    says("6", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:marker bull:q:wait");
    cr_expect(queue_change_priority(ops_queue, "6", 2097152, false, ops_on_done, NULL,
                                    &ops_error) == -EINVAL);
}

Test(change, delay_gives_a_new_time_marker_and_event)
{
    uint64_t before = clock_wall_ms(), due;
    ops_put("q", "delayed", 8192, "1", "delay 5");
    ops_put("q", "wait", 0, "2", NULL);
    OPS_CALL(queue_change_delay(ops_queue, "1", 60000, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_OK);
    due = (uint64_t)(strtod(redis_says("ZSCORE bull:q:delayed 1"), NULL) / 4096);
    cr_expect(due >= before + 60000 && due < before + 70000);
    says("60000", "HGET bull:q:1 delay");
    cr_expect((uint64_t)strtod(redis_says("ZSCORE bull:q:marker 1"), NULL) == due);
    cr_expect(strstr(ops_events("q"), "event delayed jobId 1 delay 1"));
    OPS_CALL(queue_change_delay(ops_queue, "2", 1, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NOT_THERE);
    OPS_CALL(queue_change_delay(ops_queue, "3", 1, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
    cr_expect(queue_change_delay(ops_queue, "1", UINT64_MAX, ops_on_done, NULL, &ops_error) ==
              -EINVAL);
}

/* A key that holds something else refuses before anything is written. */
Test(change, damaged_keys_refuse_a_change_whole)
{
    static const char *const spoil[] = { "1", "delayed", "events", "meta", "marker" };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        redis_says("FLUSHALL");
        ops_put("q", "delayed", 8192, "1", "delay 5");
        redis_says("DEL bull:q:%s", spoil[i]);
        redis_says("SET bull:q:%s x", spoil[i]);
        OPS_CALL(queue_change_delay(ops_queue, "1", 10, ops_on_done, NULL, &ops_error));
        cr_expect(ops_done.call.outcome == REDIS_REFUSED, "delay, %s", spoil[i]);
        cr_expect(strstr(ops_done.why, "WRONGTYPE"), "%s: %s", spoil[i], ops_done.why);
        if (i != 0)
            says("5", "HGET bull:q:1 delay");
        if (i != 1)
            says("8192", "ZSCORE bull:q:delayed 1");
        OPS_CALL(queue_promote_job(ops_queue, "1", ops_on_done, NULL, &ops_error));
        cr_expect(i == 0 ? ops_done.value == CHANGE_DAMAGED
                         : ops_done.call.outcome == REDIS_REFUSED,
                  "promote, %s", spoil[i]);
        says("0", "EXISTS bull:q:wait");
    }
}

/* ---- data and logs ---- */

Test(change, data_is_replaced_when_it_is_json)
{
    ops_store("q", "1", NULL);
    OPS_CALL(queue_update_data(ops_queue, "1", "{\"b\":[]}", 8, ops_on_done, NULL, &ops_error));
    says("{\"b\":[]}", "HGET bull:q:1 data");
    OPS_CALL(queue_update_data(ops_queue, "2", "1", 1, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
    says("0", "EXISTS bull:q:2 bull:q:events");
    cr_expect(queue_update_data(ops_queue, "1", "{b", 2, ops_on_done, NULL, &ops_error) == -EINVAL);
    cr_expect(strstr(ops_error.text, "data of job 1"));
}

Test(change, a_log_is_cleared_whole_or_to_its_newest_rows)
{
    ops_store("q", "1", NULL);
    for (int i = 0; i < 2500; i++)
        redis_says("RPUSH bull:q:1:logs %d", i);
    cr_assert(queue_clear_logs(ops_queue, "1", 3, ops_on_done, NULL, &ops_error) == 0);
    cr_expect(queue_rig_run() == 3); /* a thousand rows a call */
    cr_expect(ops_done.value == 3);
    says("2497 2498 2499", "LRANGE bull:q:1:logs 0 -1");
    OPS_CALL(queue_clear_logs(ops_queue, "1", 9, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 3);
    OPS_CALL(queue_clear_logs(ops_queue, "1", 0, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
    says("0", "EXISTS bull:q:1:logs");
    OPS_CALL(queue_clear_logs(ops_queue, "2", 0, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == CHANGE_NO_JOB);
}

/* ---- deduplication ---- */

Test(change, deduplication_keys_are_removed_by_id_or_by_owner)
{
    ops_store("q", "1", "deid x");
    ops_store("q", "2", "deid x");
    redis_says("SET bull:q:de:x 1");
    OPS_CALL(queue_release_deduplication(ops_queue, "2", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
    says("1", "GET bull:q:de:x");
    OPS_CALL(queue_release_deduplication(ops_queue, "1", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 1);
    says("0", "EXISTS bull:q:de:x");
    redis_says("SET bull:q:de:x 7");
    OPS_CALL(queue_remove_deduplication_key(ops_queue, "x", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 1);
    OPS_CALL(queue_remove_deduplication_key(ops_queue, "x", ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
}

/* ---- settings ---- */

Test(change, global_limits_are_fields_of_meta)
{
    OPS_CALL(queue_set_global_concurrency(ops_queue, 4, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_set_global_rate_limit(ops_queue, 10, 2000, ops_on_done, NULL, &ops_error));
    says("4 10 2000", "HMGET bull:q:meta concurrency max duration");
    OPS_CALL(queue_remove_global_concurrency(ops_queue, ops_on_done, NULL, &ops_error));
    OPS_CALL(queue_remove_global_rate_limit(ops_queue, ops_on_done, NULL, &ops_error));
    says("0", "EXISTS bull:q:meta");
    cr_expect(queue_set_global_concurrency(ops_queue, 0, ops_on_done, NULL, &ops_error) == -EINVAL);
    cr_expect(strstr(ops_error.text, "global concurrency is 0"));
    cr_expect(queue_set_global_rate_limit(ops_queue, 1, 0, ops_on_done, NULL, &ops_error) ==
              -EINVAL);
    cr_expect(queue_set_global_rate_limit(ops_queue, UINT64_MAX, 1, ops_on_done, NULL,
                                          &ops_error) == -EINVAL);
    cr_expect(queue_limit_rate_now(ops_queue, 0, ops_on_done, NULL, &ops_error) == -EINVAL);
    cr_expect(queue_rig_run() == 0);
}

Test(change, the_window_of_the_rate_limit_begins_ends_and_tells_its_length)
{
    OPS_CALL(queue_get_rate_limit_ttl(ops_queue, 0, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == -2);
    OPS_CALL(queue_limit_rate_now(ops_queue, 60000, ops_on_done, NULL, &ops_error));
    says("9007199254740991", "GET bull:q:limiter");
    OPS_CALL(queue_get_rate_limit_ttl(ops_queue, 0, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value > 50000 && ops_done.value <= 60000);
    redis_says("SET bull:q:limiter 3 PX 60000");
    OPS_CALL(queue_get_rate_limit_ttl(ops_queue, 4, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
    OPS_CALL(queue_get_rate_limit_ttl(ops_queue, 3, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value > 50000);
    redis_says("HSET bull:q:meta max 4");
    OPS_CALL(queue_get_rate_limit_ttl(ops_queue, 0, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
    OPS_CALL(queue_remove_rate_limit(ops_queue, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 1);
    OPS_CALL(queue_remove_rate_limit(ops_queue, ops_on_done, NULL, &ops_error));
    cr_expect(ops_done.value == 0);
}
