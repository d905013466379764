/* recover.c, adopt.c and registry.c: the C side of what is asked about whole processes, over a real
 * server; and what a turn costs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/lua/add/queue_rig.h"

#define UUID "11111111-2222-4333-8444-555555555555"

static struct queue *queue;
static const struct worker_identity identity = {
    .host = "h1",
    .machine = "m1",
    .boot = "b1",
    .pid_space = 4026531836,
    .pid = 77,
    .start_ticks = 123456789012,
    .master = "mm",
    .version = "0.1.0",
    .slot = 3,
    .slots = 50,
    .generation = 2,
    .started_at_ms = 1700000000000,
    .running = 5,
    .completed = 9007199254740993,
    .failed = 1,
};
static struct fetcher fetcher = { .uuid = UUID,
                                  .worker_name = "host-q-0",
                                  .lock_ms = 30000,
                                  .max_givebacks = 3,
                                  .identity = &identity };

static struct {
    size_t answered;
    enum redis_outcome outcome;
    enum redis_error_class error_class;
    char why[256];
    struct recover_result recovered;
    struct settle_result results[QUEUE_TURN_MAX];
    struct job *jobs[QUEUE_ADOPT_MAX];
    size_t jobs_count;
    struct fetch_state state;
    enum lock_answer answers[8];
    uint64_t given_back, live;
    bool fenced;
} got;

static void start(void)
{
    struct error err;

    queue_rig_start();
    cr_assert_eq(queue_new("bull", "q", queue_rig_redis(), &queue, &err), 0);
}

static void free_jobs(void)
{
    for (size_t i = 0; i < got.jobs_count; i++)
        job_free(got.jobs[i]);
    got.jobs_count = 0;
}

static void stop(void)
{
    free_jobs();
    queue_free(queue);
    queue_rig_stop();
}

static void note(const struct call_result *call)
{
    got.answered++;
    got.outcome = call->outcome;
    got.error_class = call->error_class;
    (void)snprintf(got.why, sizeof(got.why), "%s", call->why);
}

static void note_jobs(struct job **jobs, size_t count)
{
    free_jobs();
    got.jobs_count = count;
    if (count > 0)
        memcpy(got.jobs, jobs, count * sizeof(*jobs));
}

static void on_turn(struct queue *called, const struct call_result *call,
                    const struct settle_result *results, size_t results_count, struct job **jobs,
                    size_t jobs_count, const struct fetch_state *state, void *arg)
{
    (void)called;
    (void)arg;
    note(call);
    for (size_t i = 0; i < results_count; i++)
        got.results[i] = results[i];
    note_jobs(jobs, jobs_count);
    got.state = *state;
}

static void on_recovered(struct queue *called, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    (void)arg;
    cr_assert_eq(called, queue);
    note(call);
    got.recovered = *result;
}

static void on_adopted(struct queue *called, const struct call_result *call, struct job **jobs,
                       size_t jobs_count, uint64_t given_back, bool fenced, void *arg)
{
    (void)arg;
    cr_assert_eq(called, queue);
    note(call);
    note_jobs(jobs, jobs_count);
    got.given_back = given_back;
    got.fenced = fenced;
}

static void on_renew(struct queue *called, const struct call_result *call,
                     const enum lock_answer *answers, size_t count, const struct renew_state *state,
                     void *arg)
{
    (void)called;
    (void)arg;
    note(call);
    for (size_t i = 0; i < count; i++)
        got.answers[i] = answers[i];
    got.live = state ? state->live : 0;
    got.fenced = state && state->fenced;
}

static void on_done(struct queue *called, const struct call_result *call, int64_t value, void *arg)
{
    (void)called;
    (void)value;
    (void)arg;
    note(call);
}

/* n jobs in `active` under `owner`'s lock, the last one the newest. */
static void add_active(unsigned n, const char *owner)
{
    (void)redis_says("EVAL %s 0 %u %s",
                     "for i = 1, ARGV[1] do local id = 'a' .. redis.call('INCR', 'n') "
                     "redis.call('HSET', 'bull:q:' .. id, 'name', 'n', 'data', '{}', 'opts', '{}', "
                     "'timestamp', '5', 'priority', '0', 'ats', '1') "
                     "redis.call('SET', 'bull:q:' .. id .. ':lock', ARGV[2]) "
                     "redis.call('LPUSH', 'bull:q:active', id) end",
                     n, owner);
}

static void add_waiting(unsigned n)
{
    (void)redis_says("EVAL %s 0 %u",
                     "for i = 1, ARGV[1] do local id = 'w' .. redis.call('INCR', 'n') "
                     "redis.call('HSET', 'bull:q:' .. id, 'name', 'n', 'data', '{}', 'opts', '{}', "
                     "'timestamp', '5', 'delay', '0', 'priority', '0') "
                     "redis.call('LPUSH', 'bull:q:wait', id) end",
                     n);
}

static void recover(const char *cause, uint64_t max_givebacks)
{
    struct recover_spec spec = { UUID, cause, max_givebacks };
    struct error err;

    cr_assert_eq(queue_recover(queue, &spec, on_recovered, NULL, &err), 0, "%s", err.text);
    got.answered = 0;
    (void)queue_rig_run();
    cr_assert_eq(got.answered, 1, "once");
}

Test(lost, recover_in_many_calls, .init = start, .fini = stop)
{
    add_active(600, "V:1");
    add_active(200, UUID ":1");
    add_active(600, "V:1");
    recover(NULL, 3);
    cr_expect_eq(got.outcome, REDIS_REPLY);
    cr_expect_eq(got.recovered.given_back, 200);
    cr_expect_eq(got.recovered.failed, 0);
    cr_expect_str_eq(redis_says("LLEN bull:q:active"), "1200");
    cr_expect_str_eq(redis_says("LRANGE bull:q:wait -2 -1"), "a602 a601");
    cr_expect_str_eq(redis_says("HGET bull:q:a601 gbc"), "(nil)");
    cr_expect_gt(atoi(redis_says("TTL drover:{bull:q}:fence:" UUID)), 86000);
    recover("", 3);
    cr_expect_eq(got.recovered.given_back, 0);
}

Test(lost, recover_counts_and_fails, .init = start, .fini = stop)
{
    const char *history;

    add_active(2, UUID ":1");
    (void)redis_says("HSET bull:q:a1 gbc 1");
    recover("signal 9 (SIGKILL)", 2);
    cr_expect_eq(got.recovered.given_back, 1);
    cr_expect_eq(got.recovered.failed, 1);
    cr_expect_str_eq(redis_says("HGET bull:q:a1 failedReason"),
                     "its process died 2 times while running it: signal 9 (SIGKILL)");
    history = redis_says("HGET bull:q:a2 gbh");
    cr_expect_eq(strlen(history), strlen("[\"2026-01-02T03:04:05Z signal 9 (SIGKILL)\"]"));
    cr_expect_str_eq(history + strlen("[\"2026-01-02T03:04:05Z"), " signal 9 (SIGKILL)\"]");
    cr_expect_eq(history[21], 'Z');
}

/* Cut where a character ends: the history stays readable. */
Test(lost, long_causes_are_cut, .init = start, .fini = stop)
{
    char cause[1001] = "";
    const char *kept;

    for (size_t i = 0; i + 2 < sizeof(cause); i += 2)
        memcpy(cause + i, "\xc3\xa4", 3);
    add_active(1, UUID ":1");
    recover(cause, 3);
    kept =
        redis_says("EVAL %s 0", "return cjson.decode(redis.call('HGET', 'bull:q:a1', 'gbh'))[1]");
    cr_expect_eq(strlen(kept), 21 + 234);
    cr_expect_eq(memcmp(kept + 21 + 232, "\xc3\xa4", 2), 0);
}

static unsigned lose_at, piece;

static void lose_one(void)
{
    queue_rig_lose(++piece == lose_at);
}

static void disconnect(void)
{
    if (++piece == lose_at)
        queue_set_redis(queue, NULL);
}

Test(lost, recover_loses_its_connection, .init = start, .fini = stop)
{
    for (lose_at = 1; lose_at <= 4; lose_at++) {
        uint64_t before = 64 * (uint64_t)lose_at < 150 ? 64 * (uint64_t)lose_at : 150;

        (void)redis_says("FLUSHALL");
        add_active(150, UUID ":1");
        piece = 0;
        queue_rig_between(lose_at % 2 ? lose_one : disconnect);
        recover("x", 3);
        queue_rig_between(NULL);
        queue_rig_lose(false);
        queue_set_redis(queue, queue_rig_redis());
        cr_expect_eq(got.recovered.given_back, before, "%u: %llu", lose_at,
                     (unsigned long long)got.recovered.given_back);
        cr_expect_eq(got.outcome, lose_at < 3 ? REDIS_UNKNOWN : REDIS_REPLY, "%u", lose_at);
        cr_expect(got.outcome == REDIS_REPLY || got.why[0], "says why");
        recover("x", 3);
        cr_expect_eq(got.recovered.given_back, 150 - before);
        cr_expect_eq(got.outcome, REDIS_REPLY);
        cr_expect_str_eq(redis_says("LINDEX bull:q:wait -1"), "a1");
        cr_expect_str_eq(redis_says("HGET bull:q:a1 gbc"), "1");
    }
}

Test(lost, refusals, .init = start, .fini = stop)
{
    struct recover_spec nobody = { "", NULL, 3 }, spec = { UUID, NULL, 3 };
    struct fetch_want want = { .max = 1, .live = 1, .bytes_max = 1 };
    struct error err;

    cr_expect_eq(queue_recover(queue, &nobody, on_recovered, NULL, &err), -EINVAL);
    (void)redis_says("SET bull:q:active x");
    cr_assert_eq(queue_adopt(queue, &fetcher, NULL, 0, 1, on_adopted, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.outcome, REDIS_REFUSED);
    recover(NULL, 3);
    cr_expect_eq(got.outcome, REDIS_REFUSED);
    cr_expect_eq(got.error_class, REDIS_CLASS_OTHER);
    (void)redis_says("DEL bull:q:active drover:{bull:q}:fence:" UUID);
    cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), 0);
    cr_expect_eq(queue_adopt(queue, &fetcher, NULL, 0, 1, on_adopted, NULL, &err), -EBUSY);
    (void)queue_rig_run();
    queue_set_redis(queue, NULL);
    cr_expect_eq(queue_recover(queue, &spec, on_recovered, NULL, &err), -ENOTCONN);
    cr_expect_eq(queue_adopt(queue, &fetcher, NULL, 0, 1, on_adopted, NULL, &err), -ENOTCONN);
    cr_expect_eq(queue_fence(queue, UUID, on_done, NULL, &err), -ENOTCONN);
    cr_expect_eq(queue_list_workers(queue, NULL, NULL, &err), -ENOTCONN);
}

Test(lost, adopted_jobs_are_read_whole, .init = start, .fini = stop)
{
    const struct job *job;
    struct error err;

    add_active(2, UUID ":7");
    (void)redis_says("HSET bull:q:a1 atm 1 ats 4 stc 1 gbc 2 opts {\"attempts\":5} priority 7");
    cr_assert_eq(queue_adopt(queue, &fetcher, NULL, 0, 9, on_adopted, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(got.outcome, REDIS_REPLY);
    cr_assert_eq(got.jobs_count, 2);
    job = got.jobs[0];
    cr_expect_str_eq(job->id.data, "a1");
    cr_expect_str_eq(job->token, UUID ":7");
    cr_expect_eq(job->call, 7);
    cr_expect_eq(job->attempts_made, 1);
    cr_expect_eq(job->attempts_started, 4, "this fetch is counted already");
    cr_expect_eq(job->stalled, 1);
    cr_expect_eq(job->givebacks, 2);
    cr_expect_eq(job->options.attempts, 5);
    cr_expect_eq(job->priority, 7);
    cr_expect_str_eq(got.jobs[1]->id.data, "a2");
    cr_expect_eq(got.jobs[1]->givebacks, 0);
    cr_expect_gt(atoi(redis_says("PTTL bull:q:a1:lock")), 20000);
}

Test(lost, adopt_loses_its_connection, .init = start, .fini = stop)
{
    const struct job *known[64];
    struct job *first[64];
    struct error err;

    add_active(100, UUID ":7");
    piece = 0;
    lose_at = 1;
    queue_rig_between(lose_one);
    cr_assert_eq(queue_adopt(queue, &fetcher, NULL, 0, 256, on_adopted, NULL, &err), 0);
    (void)queue_rig_run();
    queue_rig_between(NULL);
    queue_rig_lose(false);
    cr_expect_eq(got.outcome, REDIS_UNKNOWN);
    cr_assert_eq(got.jobs_count, 64, "what was adopted is handed over");
    for (size_t i = 0; i < 64; i++)
        known[i] = first[i] = got.jobs[i];
    got.jobs_count = 0;
    cr_assert_eq(queue_adopt(queue, &fetcher, known, 64, 256, on_adopted, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.outcome, REDIS_REPLY);
    cr_expect_eq(got.jobs_count, 36);
    cr_expect_str_eq(got.jobs[0]->id.data, "a1");
    for (size_t i = 0; i < 64; i++)
        job_free(first[i]);
}

/* Big data: by pieces of about a megabyte, in order all the same. */
Test(lost, adopt_big_jobs, .init = start, .fini = stop)
{
    struct error err;

    add_active(6, UUID ":7");
    (void)redis_says("EVAL %s 0",
                     "for i = 1, 6 do redis.call('HSET', 'bull:q:a' .. i, 'data', '\"' "
                     ".. string.rep('x', 700000) .. '\"') end");
    cr_assert_eq(queue_adopt(queue, &fetcher, NULL, 0, 5, on_adopted, NULL, &err), 0);
    cr_expect_eq(queue_rig_run(), 3);
    cr_expect_eq(got.jobs_count, 5);
    cr_expect_eq(got.given_back, 1);
    cr_expect_str_eq(got.jobs[0]->id.data, "a2");
    cr_expect_str_eq(got.jobs[4]->id.data, "a6");
    cr_expect_eq(got.jobs[4]->data.len, 700002);
}

Test(lost, fenced_everywhere, .init = start, .fini = stop)
{
    struct fetch_want want = { .max = 1, .live = 1, .bytes_max = 1 };
    struct job *job;
    struct error err;

    add_waiting(2);
    cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(got.jobs_count, 1);
    cr_expect_not(got.state.fenced);
    job = got.jobs[0];
    got.jobs_count = 0;
    cr_assert_eq(queue_fence(queue, UUID, on_done, NULL, &err), 0);
    cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect(got.state.fenced);
    cr_expect_eq(got.jobs_count, 0);
    cr_expect_eq(got.state.waiting, 1);
    cr_assert_eq(
        queue_renew(queue, &fetcher, (const struct job *const *)&job, 1, on_renew, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect(got.fenced);
    cr_expect_eq(got.answers[0], LOCK_LOST);
    cr_assert_eq(queue_adopt(queue, &fetcher, NULL, 0, 5, on_adopted, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.outcome, REDIS_REPLY);
    cr_expect(got.fenced);
    cr_expect_eq(got.jobs_count, 0);
    cr_expect_str_eq(redis_says("KEYS drover:{bull:q}:work*"), "");
    job_free(job);
}

Test(lost, run_alone_and_give_back_counted, .init = start, .fini = stop)
{
    struct fetch_want want = { .max = 5, .live = 1, .bytes_max = 1000 };
    struct settle settle = { .kind = SETTLE_GIVE_BACK_COUNTED, .value = { "exit 70", 7 } };
    struct job *job;
    struct error err;

    add_waiting(1);
    (void)redis_says("HSET bull:q:w1 gbc 2");
    cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.jobs_count, 0);
    cr_expect(got.state.alone);
    cr_expect_eq(got.state.waiting, 0);
    want.alone = true;
    cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0, &want, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(got.jobs_count, 1);
    job = got.jobs[0];
    got.jobs_count = 0;
    cr_expect_eq(job->givebacks, 2);
    settle.job = job;
    cr_assert_eq(queue_turn(queue, &fetcher, &settle, 1, &want, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.results[0].code, SETTLE_OK);
    cr_expect_not(got.state.alone);
    cr_expect_str_eq(redis_says("ZRANGE bull:q:failed 0 -1"), "w1");
    cr_expect_str_eq(redis_says("HGET bull:q:w1 failedReason"),
                     "its process died 3 times while running it: exit 70");
    job_free(job);
}

/* ---- the registry
 * --------------------------------------------------------------------------------------- */

static struct {
    size_t count, answered;
    enum redis_outcome outcome;
    struct worker_entry entry; /* the one of UUID; its texts are copied to these */
    char texts[5][64];
} listed;

static void on_workers(struct queue *called, const struct call_result *call,
                       const struct worker_entry *entries, size_t count, void *arg)
{
    (void)called;
    (void)arg;
    listed.answered++;
    listed.outcome = call->outcome;
    listed.count = count;
    for (size_t i = 0; i < count; i++) {
        const struct worker_identity *found = &entries[i].identity;

        for (size_t j = 0; j < i && count < 1000; j++)
            cr_assert_str_neq(entries[i].uuid, entries[j].uuid);
        if (strcmp(entries[i].uuid, UUID) != 0)
            continue;
        listed.entry = entries[i];
        (void)snprintf(listed.texts[0], 64, "%s", found->host);
        (void)snprintf(listed.texts[1], 64, "%s", found->machine);
        (void)snprintf(listed.texts[2], 64, "%s", found->boot);
        (void)snprintf(listed.texts[3], 64, "%s", found->master);
        (void)snprintf(listed.texts[4], 64, "%s", found->version);
    }
}

static void list_workers(void)
{
    struct error err;

    listed.answered = 0;
    cr_assert_eq(queue_list_workers(queue, on_workers, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(listed.answered, 1);
}

static void renew(void)
{
    struct error err;

    cr_assert_eq(queue_renew(queue, &fetcher, NULL, 0, on_renew, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(got.outcome, REDIS_REPLY);
}

Test(registry, row_comes_back_whole, .init = start, .fini = stop)
{
    const struct worker_identity *found = &listed.entry.identity;
    struct error err;

    list_workers();
    cr_expect_eq(listed.count, 0);
    renew();
    renew();
    list_workers();
    cr_assert_eq(listed.outcome, REDIS_REPLY);
    cr_assert_eq(listed.count, 1);
    cr_expect_str_eq(listed.texts[0], "h1");
    cr_expect_str_eq(listed.texts[1], "m1");
    cr_expect_str_eq(listed.texts[2], "b1");
    cr_expect_str_eq(listed.texts[3], "mm");
    cr_expect_str_eq(listed.texts[4], "0.1.0");
    cr_expect_eq(found->pid_space, identity.pid_space);
    cr_expect_eq(found->pid, identity.pid);
    cr_expect_eq(found->start_ticks, identity.start_ticks);
    cr_expect_eq(found->slot, identity.slot);
    cr_expect_eq(found->slots, identity.slots);
    cr_expect_eq(found->generation, identity.generation);
    cr_expect_eq(found->started_at_ms, identity.started_at_ms);
    cr_expect_eq(found->running, identity.running);
    cr_expect_eq(found->completed, identity.completed);
    cr_expect_eq(found->failed, identity.failed);
    cr_expect_eq(listed.entry.beat, 2);
    cr_expect_lt(listed.entry.beat_age_ms, 60000);
    cr_expect_str_eq(redis_says("HGET drover:{bull:q}:worker:" UUID " queue"), "q");
    cr_assert_eq(queue_leave(queue, &fetcher, on_done, NULL, &err), 0);
    (void)queue_rig_run();
    list_workers();
    cr_expect_eq(listed.count, 0);
    cr_expect_str_eq(redis_says("KEYS drover:*"), "");
}

Test(registry, odd_rows, .init = start, .fini = stop)
{
    (void)redis_says("ZADD drover:{bull:q}:workers 5 " UUID);
    (void)redis_says("HSET drover:{bull:q}:worker:" UUID " pid many slot -1 host h beat_at_ms x");
    list_workers();
    cr_assert_eq(listed.count, 1);
    cr_expect_str_eq(listed.texts[0], "h");
    cr_expect_str_eq(listed.texts[1], "");
    cr_expect_eq(listed.entry.identity.pid, 0);
    cr_expect_eq(listed.entry.identity.slot, 0);
    cr_expect_eq(listed.entry.beat, 0);
    cr_expect_gt(listed.entry.beat_age_ms, 1000000);
}

Test(registry, without_identity_there_is_no_row, .init = start, .fini = stop)
{
    struct fetcher unknown = fetcher;
    struct error err;

    unknown.identity = NULL;
    cr_assert_eq(queue_renew(queue, &unknown, NULL, 0, on_renew, NULL, &err), 0);
    (void)queue_rig_run();
    cr_expect_eq(got.live, 1);
    list_workers();
    cr_expect_eq(listed.count, 0);
}

static void leave_one(void)
{
    char uuid[16];

    (void)snprintf(uuid, sizeof(uuid), "x%u", ++piece);
    (void)redis_says("ZREM drover:{bull:q}:workers %s", uuid);
}

Test(registry, pages, .init = start, .fini = stop)
{
    (void)redis_says("EVAL %s 0",
                     "for i = 1, 700 do local uuid = 'x' .. i "
                     "redis.call('ZADD', 'drover:{bull:q}:workers', i, uuid) "
                     "if i <= 500 then redis.call('HSET', 'drover:{bull:q}:worker:' .. "
                     "uuid, 'host', 'h', 'beat_at_ms', '5') end end");
    renew();
    piece = 0;
    queue_rig_between(leave_one);
    list_workers();
    queue_rig_between(NULL);
    cr_expect_eq(listed.outcome, REDIS_REPLY);
    cr_expect_gt(piece, 3, "by pages: %u", piece);
    cr_expect_geq(listed.count, 501 - piece);
    cr_expect_leq(listed.count, 501);
    cr_expect_eq(listed.entry.beat, 1, "ours is there");
    cr_expect_leq(atoi(redis_says("ZCARD drover:{bull:q}:workers")), 501,
                  "those whose row is gone are dropped");
    queue_rig_between(lose_one);
    piece = 0;
    lose_at = 2;
    list_workers();
    queue_rig_between(NULL);
    queue_rig_lose(false);
    cr_expect_eq(listed.outcome, REDIS_UNKNOWN);
    cr_expect_eq(listed.count, 0);
}

/* ---- two queues, one tag
 * -------------------------------------------------------------------------------- */

Test(private_keys, queues_that_share_a_tag_do_not_meet, .init = start, .fini = stop)
{
    static const char *const names[] = { "a", "b" };
    struct error err;

    queue_free(queue);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(queue_new("{t}", names[i], queue_rig_redis(), &queue, &err), 0);
        (void)snprintf(fetcher.uuid, sizeof(fetcher.uuid), "uuid-%zu", i);
        renew();
        cr_expect_eq(got.live, 1, "only its own workers: %llu", (unsigned long long)got.live);
        list_workers();
        cr_expect_eq(listed.count, 1);
        (void)redis_says("HSET {t}:%s:1 name n stc x", names[i]);
        (void)redis_says("LPUSH {t}:%s:wait 1", names[i]);
        cr_assert_eq(queue_turn(queue, &fetcher, NULL, 0,
                                &(struct fetch_want){ .max = 1, .live = 1, .bytes_max = 1 },
                                on_turn, NULL, &err),
                     0);
        (void)queue_rig_run();
        cr_expect_eq(got.state.quarantined, 1);
        if (i == 0)
            queue_free(queue);
    }
    cr_expect_str_eq(redis_says("HGET drover:{t}:{t}:a:quarantine:1:1:fields stc"), "x");
    cr_expect_str_eq(redis_says("HGET drover:{t}:{t}:b:quarantine:1:1:fields stc"), "x");
}

/* ---- what an ordinary turn costs
 * ------------------------------------------------------------------------ */

/* Redis' commands since the last CONFIG RESETSTAT, without those that asked for them. */
static unsigned commands(void)
{
    const char *at = redis_says("INFO commandstats");
    unsigned sum = 0;

    while ((at = strstr(at, "cmdstat_")) != NULL) {
        const char *calls = strstr(at, "calls=");

        at += strlen("cmdstat_");
        if (strncmp(at, "eval", 4) != 0 && strncmp(at, "config", 6) != 0 &&
            strncmp(at, "info", 4) != 0)
            sum += (unsigned)atoi(calls + strlen("calls="));
    }
    return sum;
}

/* Settles what it held and fetches up to `want`; returns the number of Redis' commands. */
static unsigned cost(size_t want)
{
    struct fetch_want what = { .max = want, .live = 1, .bytes_max = 1 << 20 };
    struct settle settles[QUEUE_TURN_MAX];
    size_t count = got.jobs_count;
    struct error err;

    for (size_t i = 0; i < count; i++)
        settles[i] =
            (struct settle){ .kind = SETTLE_COMPLETE, .job = got.jobs[i], .value = { "1", 1 } };
    (void)redis_says("CONFIG RESETSTAT");
    cr_assert_eq(queue_turn(queue, &fetcher, settles, count, &what, on_turn, NULL, &err), 0);
    (void)queue_rig_run();
    cr_assert_eq(got.outcome, REDIS_REPLY);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(got.results[i].code, SETTLE_OK);
    return commands();
}

/* Fences, jobs that run alone, limiters, moves and metrics cost an ordinary call nothing. */
Test(cost, of_ordinary_turns, .init = start, .fini = stop)
{
    unsigned settle_and_fetch;

    add_waiting(25);
    cr_expect_leq(cost(0), 14, "neither settles nor fetches");
    cr_expect_leq(cost(10), 59, "fetches 10");
    cr_assert_eq(got.jobs_count, 10);
    settle_and_fetch = cost(10);
    cr_expect_leq(settle_and_fetch, 91, "settles and fetches 10: %u", settle_and_fetch);
    cr_expect_gt(settle_and_fetch, 60, "counted at all");
    cr_expect_leq(cost(10), 71, "settles 10 and fetches the last 5");
    cr_expect_leq(cost(10), 35, "settles 5, nothing is left");
}
