/* turn.c and own.c: the C side of a worker's calls, over a real server. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/lua/add/queue_rig.h"

static struct queue *queue;
static struct fetcher fetcher = { .uuid = "11111111-2222-4333-8444-555555555555",
                                  .worker_name = "host-q-0",
                                  .lock_ms = 30000,
                                  .max_givebacks = 3 };

static struct {
    enum redis_outcome outcome;
    enum redis_error_class error_class;
    struct settle_result results[QUEUE_TURN_MAX];
    char whys[QUEUE_TURN_MAX][256];
    size_t results_count;
    struct job *jobs[QUEUE_TURN_MAX];
    size_t jobs_count;
    struct fetch_state state;
    enum lock_answer answers[8];
    enum job_outcome outcomes[8];
    uint64_t number;
    struct renew_state renewed;
    int64_t value;
    bool fenced;
    size_t answered;
} got;

static void start(void)
{
    struct error err;

    queue_rig_start();
    cr_assert_eq(queue_new("bull", "q", queue_rig_redis(), &queue, &err), 0);
}

static void stop(void)
{
    for (size_t i = 0; i < got.jobs_count; i++)
        job_free(got.jobs[i]);
    queue_free(queue);
    queue_rig_stop();
}

static void on_turn(struct queue *called, const struct call_result *call,
                    const struct settle_result *results, size_t results_count, struct job **jobs,
                    size_t jobs_count, const struct fetch_state *state, void *arg)
{
    cr_assert_eq(called, queue);
    cr_assert_null(arg);
    got.outcome = call->outcome;
    got.error_class = call->error_class;
    got.results_count = results_count;
    for (size_t i = 0; i < results_count; i++) {
        got.results[i] = results[i];
        (void)snprintf(got.whys[i], sizeof(got.whys[i]), "%s", results[i].why);
    }
    got.jobs_count = jobs_count;
    for (size_t i = 0; i < jobs_count; i++)
        got.jobs[i] = jobs[i];
    got.state = *state;
    got.answered++;
}

static void turn(const struct settle *settles, size_t count, size_t max)
{
    struct fetch_want want = { .max = max, .live = 1, .bytes_max = 1 << 20 };
    struct error err;

    cr_assert_eq(queue_turn(queue, &fetcher, settles, count, &want, on_turn, NULL, &err), 0, "%s",
                 err.text);
    cr_assert_eq(queue_rig_run(), 1);
}

static void add_job(const char *id, const char *more)
{
    char command[512];

    (void)snprintf(
        command, sizeof(command),
        "HSET bull:q:%s name n data {} opts {} timestamp 1700000000000 delay 0 priority 0 %s", id,
        more);
    (void)redis_says(command);
    (void)redis_says("LPUSH bull:q:wait %s", id);
}

Test(calls, fetched_job_is_read_whole, .init = start, .fini = stop)
{
    const struct job *job;

    add_job("a", "atm 2 ats 3 stc 1 defa why rjk s parentKey bull:p:P");
    (void)redis_says("HSET bull:q:a data %b opts %b stacktrace %b name %b priority 7", "[1,\"\0\"]",
                     (size_t)7, "{\"attempts\":5,\"lifo\":true}", (size_t)26, "[\"x\"]", (size_t)5,
                     "a name", (size_t)6);
    turn(NULL, 0, 5);
    cr_assert_eq(got.outcome, REDIS_REPLY);
    cr_assert_eq(got.jobs_count, 1);
    job = got.jobs[0];
    cr_expect_str_eq(job->id.data, "a");
    cr_expect_str_eq(job->name.data, "a name");
    cr_expect_eq(job->data.len, 7);
    cr_expect_eq(memcmp(job->data.data, "[1,\"\0\"]", 8), 0);
    cr_expect_str_eq(job->opts.data, "{\"attempts\":5,\"lifo\":true}");
    cr_expect_str_eq(job->stacktrace.data, "[\"x\"]");
    cr_expect_str_eq(job->deferred_failure.data, "why");
    cr_expect_str_eq(job->scheduler.data, "s");
    cr_expect_str_eq(job->parent_key.data, "bull:p:P");
    cr_expect_eq(job->timestamp_ms, 1700000000000);
    cr_expect_eq(job->priority, 7);
    cr_expect_eq(job->attempts_made, 2);
    cr_expect_eq(job->attempts_started, 4);
    cr_expect_eq(job->stalled, 1);
    cr_expect_eq(job->options.attempts, 5);
    cr_expect(job->options.lifo);
    cr_expect_null(job->options_error);
    cr_expect_eq(job->call, 1);
    cr_expect_str_eq(job->token, "11111111-2222-4333-8444-555555555555:1");
    cr_expect_str_eq(redis_says("GET bull:q:a:lock"), job->token);
    cr_expect_str_eq(redis_says("HGET bull:q:a pb"), "host-q-0");
    cr_expect_eq(got.state.active, 1);
}

Test(calls, absent_fields, .init = start, .fini = stop)
{
    const struct job *job;

    (void)redis_says("HSET bull:q:a timestamp 5");
    (void)redis_says("LPUSH bull:q:wait a");
    turn(NULL, 0, 5);
    cr_assert_eq(got.jobs_count, 1);
    job = got.jobs[0];
    cr_expect_str_eq(job->name.data, "");
    cr_expect_str_eq(job->data.data, "{}");
    cr_expect_str_eq(job->opts.data, "{}");
    cr_expect_null(job->deferred_failure.data);
    cr_expect_null(job->stacktrace.data);
    cr_expect_null(job->scheduler.data);
    cr_expect_null(job->parent_key.data);
    cr_expect_eq(job->attempts_started, 1);
    cr_expect_eq(job->options.stack_trace_limit, -1);
    cr_expect_null(job->options_error);
}

Test(calls, every_ending, .init = start, .fini = stop)
{
    static const enum settle_kind kinds[] = { SETTLE_COMPLETE,    SETTLE_FAIL,  SETTLE_RETRY,
                                              SETTLE_RETRY_LATER, SETTLE_DELAY, SETTLE_GIVE_BACK };
    struct settle settles[ARRAY_SIZE(kinds)];
    struct job *jobs[ARRAY_SIZE(kinds)];
    char id[2] = "a";

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++, id[0]++)
        add_job(id, "");
    turn(NULL, 0, 10);
    cr_assert_eq(got.jobs_count, ARRAY_SIZE(kinds));
    memcpy(jobs, got.jobs, sizeof(jobs));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        settles[i] = (struct settle){ .kind = kinds[i],
                                      .job = jobs[i],
                                      .value = { "\"v\"", 3 },
                                      .stacktrace = { "[]", 2 },
                                      .delay_ms = 3600000,
                                      .attempts_max = 1 };
    turn(settles, ARRAY_SIZE(kinds), 0);
    cr_assert_eq(got.results_count, ARRAY_SIZE(kinds));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        cr_expect_eq(got.results[i].code, SETTLE_OK, "%zu: %d", i, got.results[i].code);
    cr_expect_str_eq(redis_says("ZRANGE bull:q:completed 0 -1"), "a");
    cr_expect_str_eq(redis_says("HGET bull:q:a returnvalue"), "\"v\"");
    cr_expect_str_eq(redis_says("ZRANGE bull:q:failed 0 -1"), "b");
    cr_expect_str_eq(redis_says("HMGET bull:q:b failedReason stacktrace"), "\"v\" []");
    cr_expect_str_eq(redis_says("LRANGE bull:q:wait 0 -1"), "c f");
    cr_expect_str_eq(redis_says("ZRANGE bull:q:delayed 0 -1"), "d e");
    cr_expect_str_eq(redis_says("HMGET bull:q:d delay atm"), "3600000 1");
    cr_expect_str_eq(redis_says("HMGET bull:q:e delay atm"), "3600000 (nil)");
    cr_expect_eq(got.state.waiting, 2);
    cr_expect_gt(got.state.next_due_ms, 1700000000000);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        job_free(jobs[i]);
}

Test(calls, keep_and_absent_values, .init = start, .fini = stop)
{
    struct settle settles[3] = { 0 };
    struct job *jobs[3];

    add_job("a", "");
    add_job("b", "");
    add_job("c", "");
    turn(NULL, 0, 3);
    memcpy(jobs, got.jobs, sizeof(jobs));
    for (size_t i = 0; i < 3; i++)
        settles[i] = (struct settle){ .kind = SETTLE_COMPLETE, .job = jobs[i] };
    settles[1].keep = (struct job_keep){ .present = true, .count = 0 };
    settles[2].keep = (struct job_keep){ .present = true, .count = 1, .age_s = 0.5 };
    turn(settles, 3, 0);
    cr_expect_str_eq(redis_says("HGET bull:q:a returnvalue"), "(nil)", "trimmed by c's rule");
    cr_expect_str_eq(redis_says("EXISTS bull:q:b"), "0");
    cr_expect_str_eq(redis_says("HGET bull:q:c returnvalue"), "null");
    cr_expect_str_eq(redis_says("ZRANGE bull:q:completed 0 -1"), "c");
    for (size_t i = 0; i < 3; i++)
        job_free(jobs[i]);
}

Test(calls, codes_and_damage_are_told_a_job, .init = start, .fini = stop)
{
    struct settle settles[4] = { 0 };
    struct job *jobs[4];

    for (int i = 0; i < 4; i++)
        add_job((char[2]){ (char)('a' + i), 0 }, "");
    turn(NULL, 0, 4);
    memcpy(jobs, got.jobs, sizeof(jobs));
    for (size_t i = 0; i < 4; i++)
        settles[i] =
            (struct settle){ .kind = SETTLE_COMPLETE, .job = jobs[i], .value = { "1", 1 } };
    (void)redis_says("DEL bull:q:a:lock");
    (void)redis_says("SET bull:q:b:lock other");
    (void)redis_says("HSET bull:q:c atm many");
    turn(settles, 4, 0);
    cr_expect_eq(got.results[0].code, SETTLE_NO_LOCK);
    cr_expect_eq(got.results[1].code, SETTLE_LOCK_OF_OTHER);
    cr_expect_eq(got.results[2].code, SETTLE_CORRUPT);
    cr_expect_str_eq(got.whys[2], "damaged job data: atm is not a whole number: \"many\"");
    cr_expect_eq(got.results[3].code, SETTLE_OK);
    cr_expect_str_eq(got.whys[3], "");
    for (size_t i = 0; i < 4; i++)
        job_free(jobs[i]);
}

Test(calls, unreadable_options_fail_and_are_repaired, .init = start, .fini = stop)
{
    struct settle settle = { .kind = SETTLE_FAIL, .value = { "why", 3 }, .attempts_max = 1 };
    struct job *job;

    add_job("a", "");
    (void)redis_says("HSET bull:q:a opts {broken");
    turn(NULL, 0, 1);
    cr_assert_eq(got.jobs_count, 1);
    job = got.jobs[0];
    cr_assert_not_null(job->options_error);
    settle.job = job;
    turn(&settle, 1, 0);
    cr_expect_eq(got.results[0].code, SETTLE_OK);
    cr_expect_str_eq(redis_says("HMGET bull:q:a opts failedReason"), "{} why");
    cr_expect_str_eq(redis_says("ZRANGE bull:q:failed 0 -1"), "a");
    job_free(job);
}

Test(calls, same_options_are_parsed_once_and_right, .init = start, .fini = stop)
{
    static const char *const opts[] = { "{\"attempts\":2}", "{\"attempts\":3}",
                                        "{\"attempts\":2}", "[]",
                                        "{\"attempts\":2}", "[]" };

    for (size_t i = 0; i < ARRAY_SIZE(opts); i++) {
        char id[2] = { (char)('a' + (int)i), 0 };

        add_job(id, "");
        (void)redis_says("HSET bull:q:%s opts %s", id, opts[i]);
    }
    turn(NULL, 0, 10);
    cr_assert_eq(got.jobs_count, ARRAY_SIZE(opts));
    cr_expect_eq(got.jobs[0]->options.attempts, 2);
    cr_expect_eq(got.jobs[1]->options.attempts, 3);
    cr_expect_eq(got.jobs[2]->options.attempts, 2);
    cr_expect_not_null(got.jobs[3]->options_error);
    cr_expect_eq(got.jobs[4]->options.attempts, 2);
    cr_expect_not_null(got.jobs[5]->options_error);
}

Test(calls, bounds_and_refusals, .init = start, .fini = stop)
{
    struct fetch_want want = { .max = 1, .live = 1, .bytes_max = 1 };
    struct error err;

    cr_expect_eq(queue_turn(queue, &fetcher, NULL, QUEUE_TURN_MAX + 1, &want, on_turn, NULL, &err),
                 -EINVAL);
    cr_expect_eq(fetcher.calls, 0);
    queue_set_redis(queue, NULL);
    cr_expect_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), -ENOTCONN);
    cr_expect_eq(fetcher.calls, 0, "a call that was never sent uses up no number");
    queue_set_redis(queue, queue_rig_redis());
    fetcher.calls = 4;
    turn(NULL, 0, 1);
    fetcher.calls = 3;
    turn(NULL, 0, 1);
    cr_expect_eq(got.outcome, REDIS_REFUSED, "a late call");
    cr_expect_eq(got.error_class, REDIS_CLASS_OTHER);
    queue_rig_lose(true);
    turn(NULL, 0, 1);
    cr_expect_eq(got.outcome, REDIS_UNKNOWN);
    cr_expect_eq(got.results_count, 0);
    cr_expect_eq(got.jobs_count, 0);
    queue_rig_lose(false);
}

static void on_renew(struct queue *called, const struct call_result *call,
                     const enum lock_answer *answers, size_t count, const struct renew_state *state,
                     void *arg)
{
    (void)called;
    (void)arg;
    got.outcome = call->outcome;
    got.results_count = count;
    for (size_t i = 0; i < count; i++)
        got.answers[i] = answers[i];
    got.renewed = state ? *state : (struct renew_state){ 0 };
    got.number = got.renewed.live;
    got.fenced = got.renewed.fenced;
}

static void on_outcome(struct queue *called, const struct call_result *call,
                       const enum job_outcome *outcomes, size_t count, void *arg)
{
    (void)called;
    (void)arg;
    got.outcome = call->outcome;
    got.results_count = count;
    for (size_t i = 0; i < count; i++)
        got.outcomes[i] = outcomes[i];
}

static void on_done(struct queue *called, const struct call_result *call, int64_t value, void *arg)
{
    (void)called;
    (void)arg;
    got.outcome = call->outcome;
    got.value = value;
}

static void fetch_three(struct job *jobs[3])
{
    add_job("a", "");
    add_job("b", "");
    add_job("c", "");
    turn(NULL, 0, 3);
    cr_assert_eq(got.jobs_count, 3);
    memcpy(jobs, got.jobs, 3 * sizeof(*jobs));
}

Test(calls, renew, .init = start, .fini = stop)
{
    struct job *jobs[3];
    struct error err;

    fetch_three(jobs);
    (void)redis_says("DEL bull:q:b:lock");
    (void)redis_says("SET bull:q:c:lock other");
    cr_assert_eq(
        queue_renew(queue, &fetcher, (const struct job *const *)jobs, 3, on_renew, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect_eq(got.outcome, REDIS_REPLY);
    cr_expect_eq(got.answers[0], LOCK_EXTENDED);
    cr_expect_eq(got.answers[1], LOCK_RELOCKED);
    cr_expect_eq(got.answers[2], LOCK_LOST);
    cr_expect_eq(got.number, 1);
    cr_expect(got.renewed.waiting_known && got.renewed.waiting == 0 &&
              got.renewed.oldest_at_ms == 0);
    (void)redis_says("HSET bull:q:d timestamp 1700000000000");
    (void)redis_says("LPUSH bull:q:wait d");
    cr_assert_eq(queue_renew(queue, &fetcher, NULL, 0, on_renew, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect(got.renewed.waiting_known && got.renewed.waiting == 1);
    cr_expect_eq(got.renewed.oldest_at_ms, 1700000000000);
    (void)redis_says("DEL bull:q:wait");
    (void)redis_says("SET bull:q:wait x");
    cr_assert_eq(queue_renew(queue, &fetcher, NULL, 0, on_renew, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect(!got.renewed.waiting_known && got.outcome == REDIS_REPLY);
    cr_expect_eq(queue_renew(queue, &fetcher, NULL, QUEUE_RENEW_MAX + 1, on_renew, NULL, &err),
                 -EINVAL);
    queue_rig_lose(true);
    cr_assert_eq(queue_renew(queue, &fetcher, NULL, 0, on_renew, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect_eq(got.outcome, REDIS_UNKNOWN);
    queue_rig_lose(false);
}

Test(calls, outcome_of_a_lost_call, .init = start, .fini = stop)
{
    struct job *jobs[3];
    struct settle settles[2];
    struct fetch_want want = { .live = 1, .bytes_max = 1 };
    uint64_t calls[2];
    struct error err;

    fetch_three(jobs);
    for (size_t i = 0; i < 2; i++)
        settles[i] =
            (struct settle){ .kind = SETTLE_COMPLETE, .job = jobs[i], .value = { "1", 1 } };
    turn(settles, 1, 0);
    calls[0] = fetcher.calls;
    queue_rig_lose(true);
    cr_assert_eq(queue_turn(queue, &fetcher, settles + 1, 1, &want, on_turn, NULL, &err), 0);
    calls[1] = fetcher.calls;
    queue_rig_lose(false);
    cr_expect_eq(queue_outcome(queue, &fetcher, NULL, NULL, 0, on_outcome, NULL, &err), -EBUSY,
                 "the call is still under way");
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect_eq(got.outcome, REDIS_UNKNOWN);
    cr_assert_eq(queue_outcome(queue, &fetcher, (const struct job *const *)jobs, calls, 2,
                               on_outcome, NULL, &err),
                 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect_eq(got.outcomes[0], OUTCOME_DONE);
    cr_expect_eq(got.outcomes[1], OUTCOME_MINE);
    for (size_t i = 0; i < 3; i++)
        job_free(jobs[i]);
}

Test(calls, leave_stalled_and_markers, .init = start, .fini = stop)
{
    struct error err;

    cr_assert_eq(queue_renew(queue, &fetcher, NULL, 0, on_renew, NULL, &err), 0);
    cr_assert_eq(queue_leave(queue, &fetcher, on_done, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 2);
    cr_expect_eq(got.value, 0);
    cr_expect_str_eq(redis_says("KEYS drover:*"), "");
    cr_assert_eq(queue_check_stalled(queue, 30000, 1, on_done, NULL, &err), 0);
    cr_assert_eq(queue_check_stalled(queue, 30000, 1, on_done, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 2);
    cr_expect_eq(got.value, -1, "the gate");
    cr_assert_eq(queue_return_marker(queue, on_done, NULL, &err), 0);
    cr_assert_eq(queue_rig_run(), 1);
    cr_expect_str_eq(redis_says("ZRANGE bull:q:marker 0 -1 WITHSCORES"), "0 0");
}

/* 5000 jobs, every second one without a lock: a check of many pieces finds them all, and the next
 * one nothing. */
Test(calls, a_stalled_check_of_many_pieces, .init = start, .fini = stop)
{
    struct error err;
    size_t pieces;

    cr_assert_str_eq(redis_says("EVAL %s 0",
                                "for i = 1, 5000 do local key = 'bull:q:' .. i\n"
                                "redis.call('HSET', key, 'name', 'n', 'priority', '0')\n"
                                "redis.call('LPUSH', 'bull:q:active', i)\n"
                                "if i % 2 == 0 then redis.call('SET', key .. ':lock', 'V:1') end\n"
                                "end return 1"),
                     "1");
    cr_assert_eq(queue_check_stalled(queue, 30000, 1, on_done, NULL, &err), 0);
    pieces = queue_rig_run();
    cr_expect_gt(pieces, 1);
    cr_expect_eq(got.value, 0, "nobody was suspected");
    cr_expect_str_eq(redis_says("SCARD bull:q:stalled"), "5000");
    cr_expect_str_eq(redis_says("DEL bull:q:stalled-check"), "1");

    cr_assert_eq(queue_check_stalled(queue, 30000, 1, on_done, NULL, &err), 0);
    cr_expect_gt(queue_rig_run(), pieces);
    cr_expect_eq(got.value, 2500);
    cr_expect_str_eq(redis_says("LLEN bull:q:wait"), "2500");
    cr_expect_str_eq(redis_says("LLEN bull:q:active"), "2500");
    cr_expect_str_eq(redis_says("SCARD bull:q:stalled"), "2500");
    cr_expect_str_eq(redis_says("HGET bull:q:4999 stc"), "1");
    cr_expect_str_eq(redis_says("HGET bull:q:5000 stc"), "(nil)");
    cr_expect_str_eq(redis_says("DEL bull:q:stalled-check"), "1");

    cr_assert_eq(queue_check_stalled(queue, 30000, 1, on_done, NULL, &err), 0);
    queue_rig_run();
    cr_expect_eq(got.value, 0);
}

static void on_wait(struct queue *called, const struct call_result *call, uint64_t due_ms,
                    void *arg)
{
    (void)called;
    (void)arg;
    got.outcome = call->outcome;
    got.number = due_ms;
}

Test(calls, wait_for_a_marker, .init = start, .fini = stop)
{
    static const struct {
        const char *score;
        uint64_t due_ms;
    } rows[] = {
        { "0", 0 }, { "1795301394575.0002", 1795301394575 }, { "-5", 0 }, { NULL, UINT64_MAX }
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].score)
            (void)redis_says("ZADD bull:q:marker %s 1", rows[i].score);
        cr_assert_eq(queue_wait_marker(queue, queue_rig_redis(), 1, on_wait, NULL, &err), 0);
        cr_assert_eq(queue_rig_run(), 1);
        cr_expect_eq(got.outcome, REDIS_REPLY);
        cr_expect_eq(got.number, rows[i].due_ms, "%s: %llu", rows[i].score,
                     (unsigned long long)got.number);
    }
}
