/* Job schedulers against a real Redis, step by step (wire format 9): slots, what gives way, ids
 * that are taken, the next iteration, reading and removing; and damage. What stock clients leave
 * after the same steps is compared in tests/interop/schedulers.test.mjs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/scheduler.h"
#include "tests/lua/add/queue_rig.h"

#define AT 1795301012476 /* at a whole multiple of 1000 it would be 12000 */

#define says(expected, ...) cr_expect_str_eq(redis_says(__VA_ARGS__), expected)

static struct queue *queue;
static uint64_t now_ms;

uint64_t __wrap_clock_wall_ms(void); // NOLINT: the linker's name
uint64_t __wrap_clock_wall_ms(void)  // NOLINT
{
    return now_ms;
}

static struct {
    struct call_result call;
    char why[256];
    int code; /* of an upsert, or the step of a continuation */
    char id[128];
    uint64_t delay_ms;
    int64_t value;
    size_t count;
    uint64_t total;
    char ids[256]; /* of a list, each followed by a blank */
    struct scheduler_entry entry;
} got;

static void setup(void)
{
    struct error err;

    queue_rig_start();
    cr_assert(queue_new("bull", "q", queue_rig_redis(), &queue, &err) == 0);
    now_ms = AT;
}

static void teardown(void)
{
    queue_free(queue);
    queue_rig_stop();
}

TestSuite(scheduler, .init = setup, .fini = teardown, .timeout = 30);

static void note_call(const struct call_result *call)
{
    got.call = *call;
    (void)snprintf(got.why, sizeof(got.why), "%s", call->why);
}

static struct bytes text(const char *from)
{
    return (struct bytes){ from, strlen(from) };
}

static void on_upserted(struct queue *from, const struct call_result *call,
                        const struct scheduler_upsert *result, void *arg)
{
    (void)from;
    (void)arg;
    note_call(call);
    if (!result)
        return;
    got.code = result->code;
    got.delay_ms = result->delay_ms;
    (void)snprintf(got.id, sizeof(got.id), "%s", result->job_id ? result->job_id : result->why);
}

static void upsert(const struct scheduler_spec *spec)
{
    struct error err = { 0 };

    cr_assert(queue_upsert_scheduler(queue, spec, on_upserted, NULL, &err) == 0, "%s", err.text);
    (void)queue_rig_run();
}

static struct scheduler_spec every(uint64_t ms)
{
    return (struct scheduler_spec){ .id = { "s", 1 }, .every_ms = ms };
}

static struct scheduler_spec by_pattern(const char *pattern)
{
    return (
        struct scheduler_spec){ .id = { "s", 1 }, .pattern = text(pattern), .tz = { "UTC", 3 } };
}

static void expect_pending(int64_t after_ms)
{
    char id[64];

    (void)snprintf(id, sizeof(id), "repeat:s:%" PRId64, (int64_t)AT + after_ms);
    cr_expect_str_eq(got.id, id);
    cr_expect(got.call.outcome == REDIS_REPLY && got.code == SCHEDULER_OK, "%s", got.why);
}

static void on_continued(struct queue *from, const struct call_result *call,
                         const struct scheduler_continued *result, void *arg)
{
    (void)from;
    (void)arg;
    note_call(call);
    got.code = result ? (int)result->step : -1;
    (void)snprintf(got.id, sizeof(got.id), "%s", result && result->next_id ? result->next_id : "");
}

/* As the worker that has fetched the job of that time. */
static int go_on(int64_t after_ms)
{
    struct error err = { 0 };
    struct job job = { .scheduler = text("s"), .name = text("s"), .data = text("{}") };
    char id[64];
    int code;

    (void)snprintf(id, sizeof(id), "repeat:s:%" PRId64, (int64_t)AT + after_ms);
    job.id = text(id);
    job.opts = text(redis_says("HGET bull:q:%s opts", id));
    code = queue_continue_scheduler(queue, &job, on_continued, NULL, &err);
    (void)snprintf(got.why, sizeof(got.why), "%.255s", err.text);
    (void)queue_rig_run();
    return code;
}

/* Takes the job of that time out of its place, into `active`. */
static void start(int64_t after_ms)
{
    const char *const sets[] = { "delayed", "prioritized" };
    char id[64];

    (void)snprintf(id, sizeof(id), "repeat:s:%" PRId64, (int64_t)AT + after_ms);
    for (size_t i = 0; i < 2; i++)
        (void)redis_says("ZREM bull:q:%s %s", sets[i], id);
    (void)redis_says("LREM bull:q:wait 0 %s", id);
    (void)redis_says("LPUSH bull:q:active %s", id);
    (void)redis_says("SET bull:q:%s:lock t", id);
}

/* ---- the first iteration */

Test(scheduler, an_interval_begins_now)
{
    struct scheduler_spec spec = every(5000);

    spec.data = text("{\"d\":1}");
    spec.opts = text("{\"priority\":4,\"backoff\":100}");
    spec.name = text("n");
    spec.has_limit = true;
    spec.limit = 3;
    upsert(&spec);
    expect_pending(0);
    cr_expect(got.delay_ms == 0);
    says("s 1795301012476", "ZRANGE bull:q:repeat 0 -1 WITHSCORES");
    says("n 3 5000 2476 {\"priority\":4,\"backoff\":100} {\"d\":1} 1",
         "HMGET bull:q:repeat:s name limit every offset opts data ic");
    says("n {\"d\":1} 1795301012476 0 4 s",
         "HMGET bull:q:repeat:s:1795301012476 name data timestamp delay priority rjk");
    says("repeat:s:1795301012476", "ZRANGE bull:q:prioritized 0 -1");
    says("0", "ZSCORE bull:q:marker 0");
    says("1", "GET bull:q:id");
}

Test(scheduler, slots_follow_offset_and_start)
{
    static const struct {
        const char *title;
        uint64_t every_ms, offset_ms;
        int64_t start_ms; /* from AT; 0 none */
        int64_t due_ms;   /* likewise */
    } rows[] = {
        { "offset behind now", 5000, 1000, 0, 3524 },
        { "offset before now", 5000, 3000, 0, 524 },
        { "start later", 5000, 0, 60000, 60000 },
        { "start over", 5000, 0, -60000, 0 },
        { "start goes before offset", 5000, 1000, 7000, 7000 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scheduler_spec spec = every(rows[i].every_ms);

        (void)redis_says("FLUSHALL");
        spec.offset_ms = rows[i].offset_ms;
        spec.start_at_ms = rows[i].start_ms ? (uint64_t)(AT + rows[i].start_ms) : 0;
        upsert(&spec);
        expect_pending(rows[i].due_ms);
        cr_expect(got.delay_ms == (uint64_t)(rows[i].due_ms > 0 ? rows[i].due_ms : 0), "%s",
                  rows[i].title);
    }
}

Test(scheduler, a_pattern_is_due_at_its_time)
{
    struct scheduler_spec spec = by_pattern("0 * * * *");

    upsert(&spec);
    expect_pending(1795302000000 - AT);
    says("0 * * * * UTC 0 1", "HMGET bull:q:repeat:s pattern tz offset ic");
    says("repeat:s:1795302000000", "ZRANGE bull:q:delayed 0 -1");
    spec.immediately = true;
    upsert(&spec);
    expect_pending(0);
    says("repeat:s:1795301012476", "LRANGE bull:q:wait 0 -1");
    says("", "ZRANGE bull:q:delayed 0 -1");
}

Test(scheduler, one_that_never_makes_a_job_stores_nothing)
{
    struct scheduler_spec specs[] = { every(5000), by_pattern("0 0 31 4,6 *"),
                                      by_pattern("0 * * * *") };

    specs[0].has_limit = true;
    specs[2].end_at_ms = AT + 1000;
    for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
        struct error err = { 0 };

        cr_expect_eq(queue_upsert_scheduler(queue, &specs[i], on_upserted, NULL, &err), -ERANGE,
                     "%zu", i);
        cr_expect(err.text[0] != '\0');
    }
    says("0", "DBSIZE");
}

Test(scheduler, bad_ones_are_refused_by_name)
{
    struct scheduler_spec both = every(5000), neither = every(0), offset = by_pattern("0 * * * *"),
                          large = every(5000), start = by_pattern("0 * * * *"), zone = start,
                          pattern = by_pattern("61 * * * *"), no_id = every(5), data = every(5),
                          opts = every(5), own = every(5), past = every(5), at_once = every(5),
                          every_tz = every(5);

    both.pattern = text("* * * * *");
    offset.offset_ms = 5;
    large.offset_ms = 5000;
    start.immediately = true;
    start.start_at_ms = AT;
    zone.tz = text("Mars/Base");
    no_id.id = text("");
    data.data = text("{");
    opts.opts = text("[]");
    own.opts = text("{\"jobId\":\"x\"}");
    past.end_at_ms = AT - 1;
    at_once.immediately = true;
    every_tz.tz = text("UTC");
    const struct {
        const struct scheduler_spec *spec;
        const char *why;
    } rows[] = {
        { &both, "either every or a pattern must be given, not both" },
        { &neither, "either every or a pattern must be given" },
        { &offset, "offset goes with every, not with a pattern" },
        { &large, "offset 5000 ms must be less than every, 5000 ms" },
        { &start, "immediately and a start date exclude each other" },
        { &zone, "tz: there is no time zone \"Mars/Base\"" },
        { &pattern, "pattern: minute \"61\" (column 1): values are 0 to 59" },
        { &no_id, "the id of a scheduler is missing" },
        { &data, "data is not valid JSON" },
        { &opts, "opts is not a JSON object" },
        { &own, "opts.jobId is set by the scheduler itself" },
        { &past, "the end date lies in the past" },
        { &at_once,
          "immediately goes with a pattern: with every the first job is made at once anyhow" },
        { &every_tz, "tz goes with a pattern, not with every" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = { 0 };

        cr_expect_eq(queue_upsert_scheduler(queue, rows[i].spec, on_upserted, NULL, &err), -EINVAL,
                     "%s", rows[i].why);
        cr_expect_str_eq(err.text, rows[i].why);
    }
    says("0", "DBSIZE");
}

Test(scheduler, options_of_a_job_as_a_template)
{
    struct job_spec spec = JOB_SPEC_INIT;
    struct buf out = BUF_INIT(4096);
    struct error err = { 0 };

    cr_expect_eq(scheduler_print_opts(&spec, &out, &err), 0);
    cr_expect_str_eq(buf_text(&out), "{}");
    buf_reset(&out);
    spec.priority = 3;
    cr_expect_eq(scheduler_print_opts(&spec, &out, &err), 0);
    cr_expect_str_eq(buf_text(&out), "{\"priority\":3}");
    buf_reset(&out);
    spec.attempts = 2;
    cr_expect_eq(scheduler_print_opts(&spec, &out, &err), 0);
    cr_expect_str_eq(buf_text(&out), "{\"attempts\":2,\"priority\":3}");
    spec.delay_ms = 1;
    cr_expect_eq(scheduler_print_opts(&spec, &out, &err), -EINVAL);
    buf_done(&out);
}

/* ---- replacing */

Test(scheduler, the_pending_job_gives_way_wherever_it_waits)
{
    static const char *const opts[] = { "{}", "{\"priority\":2}", "{\"lifo\":true}" };

    for (size_t i = 0; i < ARRAY_SIZE(opts); i++) {
        for (int paused = 0; paused < 2; paused++) {
            struct scheduler_spec spec = every(5000);

            (void)redis_says("FLUSHALL");
            if (paused)
                (void)redis_says("HSET bull:q:meta paused 1");
            spec.opts = text(opts[i]);
            upsert(&spec);
            (void)redis_says("RPUSH bull:q:repeat:s:1795301012476:logs x");
            now_ms = AT + 700;
            spec.opts = text("{}");
            spec.data = text("{\"new\":1}");
            upsert(&spec);
            now_ms = AT;
            expect_pending(0); /* its slot stays */
            cr_expect(got.delay_ms == 0);
            says("repeat:s:1795301012476", "LRANGE bull:q:%s 0 -1", paused ? "paused" : "wait");
            says("", "ZRANGE bull:q:prioritized 0 -1");
            says("{\"new\":1}", "HGET bull:q:repeat:s:1795301012476 data");
            says("0", "EXISTS bull:q:repeat:s:1795301012476:logs");
            says("2476 1", "HMGET bull:q:repeat:s offset ic");
        }
    }
}

Test(scheduler, what_6_puts_into_wait_of_a_paused_queue_gives_way_too)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    (void)redis_says("HSET bull:q:meta paused 1");
    upsert(&spec);
    says("", "LRANGE bull:q:wait 0 -1");
    says("repeat:s:1795301012476", "LRANGE bull:q:paused 0 -1");
}

Test(scheduler, another_interval_starts_anew)
{
    struct scheduler_spec spec = every(5000);

    spec.start_at_ms = AT + 10000;
    upsert(&spec);
    expect_pending(10000);
    spec = every(7000);
    upsert(&spec);
    expect_pending(0);
    says("", "ZRANGE bull:q:delayed 0 -1");
    says("0", "EXISTS bull:q:repeat:s:1795301022476");
}

Test(scheduler, its_deduplication_ends_with_the_pending_job)
{
    struct scheduler_spec spec = every(5000);

    spec.opts = text("{\"de\":{\"id\":\"d\"}}");
    upsert(&spec);
    says("d", "HGET bull:q:repeat:s:1795301012476 deid");
    (void)redis_says("SET bull:q:de:d repeat:s:1795301012476");
    (void)redis_says("HSET bull:q:dn:d name x");
    upsert(&spec);
    says("0", "EXISTS bull:q:de:d bull:q:dn:d");
    (void)redis_says("SET bull:q:de:d other");
    upsert(&spec);
    says("other", "GET bull:q:de:d");
}

Test(scheduler, an_active_one_stays_and_the_next_slot_is_taken)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    upsert(&spec);
    expect_pending(5000);
    says("repeat:s:1795301012476", "LRANGE bull:q:active 0 -1");
    says("repeat:s:1795301017476", "ZRANGE bull:q:delayed 0 -1");
    /* The active one is not the pending one any more: it makes no second chain. */
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_ALREADY);
}

/* ---- ids that are taken */

Test(scheduler, slots_that_are_taken_are_passed_over_up_to_32)
{
    struct scheduler_spec spec = every(1000);

    for (int i = 0; i < 32; i++)
        (void)redis_says("HSET bull:q:repeat:s:%" PRId64 " name old finishedOn 1",
                         (int64_t)AT + i * 1000);
    upsert(&spec);
    expect_pending(32000);
    (void)redis_says("DEL bull:q:repeat bull:q:repeat:s");
    upsert(&spec);
    cr_expect_eq(got.code, SCHEDULER_SLOTS_BUSY);
    says("0", "EXISTS bull:q:repeat bull:q:repeat:s");
}

Test(scheduler, a_pattern_whose_job_exists_is_refused_and_nothing_changes)
{
    struct scheduler_spec spec = by_pattern("0 * * * *");

    (void)redis_says("HSET bull:q:repeat:s:1795302000000 name old finishedOn 1");
    upsert(&spec);
    cr_expect_eq(got.code, SCHEDULER_ID_TAKEN);
    says("0", "EXISTS bull:q:repeat bull:q:repeat:s");
    says("old", "HGET bull:q:repeat:s:1795302000000 name");
}

/* ---- the next iteration */

Test(scheduler, each_iteration_makes_the_next_one_once)
{
    struct scheduler_spec spec = every(5000);

    spec.opts = text("{\"backoff\":100}");
    spec.data = text("{\"a\":\"/\"}");
    upsert(&spec);
    start(0);
    now_ms = AT + 100;
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_CONTINUED);
    cr_expect_str_eq(got.id, "repeat:s:1795301017476");
    says("s 1795301017476", "ZRANGE bull:q:repeat 0 -1 WITHSCORES");
    says("2", "HGET bull:q:repeat:s ic");
    says("s {\"a\":\"/\"} 1795301012576 4900 0 s",
         "HMGET bull:q:repeat:s:1795301017476 name data timestamp delay priority rjk");
    says("7353552967581696", "ZSCORE bull:q:delayed repeat:s:1795301017476");
    says("1795301017476", "ZSCORE bull:q:marker 1");
    says("repeat:s:1795301017476", "HGET bull:q:repeat:s:1795301012476 nrjid");
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_ALREADY);
    says("1", "ZCARD bull:q:delayed");
    says("2", "GET bull:q:id");
}

Test(scheduler, slots_that_nobody_was_there_for_are_left_out)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    now_ms = AT + 17001;
    cr_expect_eq(go_on(0), 0);
    cr_expect_str_eq(got.id, "repeat:s:1795301032476");
}

Test(scheduler, limit_and_end_are_known_without_asking)
{
    struct scheduler_spec spec = every(5000);

    spec.has_limit = true;
    spec.limit = 1;
    upsert(&spec);
    start(0);
    cr_expect_eq(go_on(0), 1);
    says("1", "ZCARD bull:q:repeat");
    (void)redis_says("FLUSHALL");
    spec = by_pattern("*/30 * * * * *");
    spec.end_at_ms = 1795301040000;
    upsert(&spec);
    now_ms = 1795301040001;
    cr_expect_eq(go_on(1795301040000 - AT), 1);
}

Test(scheduler, a_removed_scheduler_makes_no_more)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    (void)redis_says("DEL bull:q:repeat bull:q:repeat:s");
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_REMOVED);
    says("0", "EXISTS bull:q:repeat bull:q:delayed");
}

Test(scheduler, a_next_id_that_is_taken_does_not_end_the_chain)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    (void)redis_says("HSET bull:q:repeat:s:1795301017476 name old");
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_CONTINUED);
    cr_expect_str_eq(got.id, "repeat:s:1795301022476");
    (void)redis_says("FLUSHALL");
    spec = by_pattern("0 * * * *");
    upsert(&spec);
    start(1795302000000 - AT);
    (void)redis_says("HSET bull:q:repeat:s:1795305600000 name old");
    cr_expect_eq(go_on(1795302000000 - AT), 0);
    cr_expect_eq(got.code, SCHEDULER_CONTINUED);
    cr_expect_str_eq(got.id, "repeat:s:1795309200000");
}

Test(scheduler, when_all_near_ids_are_taken_it_says_so)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    for (int i = 1; i <= 33; i++)
        (void)redis_says("HSET bull:q:repeat:s:%" PRId64 " name old", (int64_t)AT + i * 5000);
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_TAKEN);
    says("s 1795301012476", "ZRANGE bull:q:repeat 0 -1 WITHSCORES");
}

Test(scheduler, opts_that_can_not_be_read_come_from_the_scheduler)
{
    struct scheduler_spec spec = by_pattern("0 * * * *");

    spec.opts = text("{\"priority\":9}");
    upsert(&spec);
    start(1795302000000 - AT);
    (void)redis_says("HSET bull:q:repeat:s:1795302000000 opts {damaged");
    cr_expect_eq(go_on(1795302000000 - AT), 0);
    cr_expect_eq(got.code, SCHEDULER_CONTINUED);
    says("9", "HGET bull:q:repeat:s:1795305600000 priority");
    cr_expect(
        strstr(redis_says("HGET bull:q:repeat:s:1795305600000 opts"), "\"pattern\":\"0 * * * *\""));
}

Test(scheduler, a_zone_that_is_unknown_here_is_told)
{
    struct scheduler_spec spec = by_pattern("0 * * * *");

    upsert(&spec);
    (void)redis_says("HSET bull:q:repeat:s:1795302000000 opts %s",
                     "{\"repeat\":{\"pattern\":\"0_*\",\"tz\":\"Mars/Base\"}}");
    cr_expect_eq(go_on(1795302000000 - AT), -EINVAL);
    cr_expect(strstr(got.why, "0_*"), "%s", got.why);
}

Test(scheduler, a_lost_reply_is_told_as_such)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    start(0);
    queue_rig_lose(true);
    cr_expect_eq(go_on(0), 0);
    cr_expect(got.call.outcome == REDIS_UNKNOWN && got.code == -1);
    upsert(&spec);
    cr_expect(got.call.outcome == REDIS_UNKNOWN);
    queue_rig_lose(false);
}

/* ---- damage */

Test(scheduler, keys_of_other_kinds_refuse_before_the_first_write)
{
    static const char *const keys[] = { "repeat",      "repeat:s", "delayed", "wait",
                                        "prioritized", "events",   "marker",  "meta" };
    struct scheduler_spec spec = every(5000);

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        (void)redis_says("FLUSHALL");
        (void)redis_says("SETBIT bull:q:%s 1 1", keys[i]);
        upsert(&spec);
        cr_expect(got.call.outcome == REDIS_REFUSED && strstr(got.why, "holds a string"), "%s: %s",
                  keys[i], got.why);
        says("1", "DBSIZE");
    }
    (void)redis_says("FLUSHALL");
    (void)redis_says("SET bull:q:id x");
    upsert(&spec);
    cr_expect(got.call.outcome == REDIS_REFUSED &&
              strstr(got.why, "bull:q:id is not a whole number"));
    says("1", "DBSIZE");
}

Test(scheduler, a_damaged_count_of_iterations_starts_anew)
{
    struct scheduler_spec spec = every(5000);

    upsert(&spec);
    (void)redis_says("HSET bull:q:repeat:s ic many");
    start(0);
    cr_expect_eq(go_on(0), 0);
    cr_expect_eq(got.code, SCHEDULER_CONTINUED);
    says("1", "HGET bull:q:repeat:s ic");
}

/* ---- removing and reading */

static void on_number(struct queue *from, const struct call_result *call, int64_t value, void *arg)
{
    (void)from;
    (void)arg;
    note_call(call);
    got.value = value;
}

static int64_t remove_scheduler(const char *id)
{
    struct error err = { 0 };

    cr_assert(queue_remove_scheduler(queue, text(id), on_number, NULL, &err) == 0);
    (void)queue_rig_run();
    return got.value;
}

Test(scheduler, removing_takes_a_delayed_job_along_and_leaves_others)
{
    struct scheduler_spec spec = every(5000);

    cr_expect_eq(remove_scheduler("s"), 0);
    spec.start_at_ms = AT + 5;
    upsert(&spec);
    cr_expect_eq(remove_scheduler("s"), 1);
    says("0", "EXISTS bull:q:repeat bull:q:repeat:s bull:q:delayed bull:q:repeat:s:1795301012481");
    cr_expect(strstr(redis_says("XREVRANGE bull:q:events + - COUNT 1"),
                     "event removed jobId repeat:s:1795301012481 prev delayed"));
    spec.start_at_ms = 0;
    upsert(&spec);
    cr_expect_eq(remove_scheduler("s"), 1);
    says("repeat:s:1795301012476", "LRANGE bull:q:wait 0 -1");
    says("0", "EXISTS bull:q:repeat bull:q:repeat:s");
}

static void on_listed(struct queue *from, const struct call_result *call,
                      const struct scheduler_entry *entries, size_t count, uint64_t total,
                      void *arg)
{
    size_t len = 0;

    (void)from;
    (void)arg;
    note_call(call);
    got.count = count;
    got.total = total;
    got.ids[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(got.ids + len, sizeof(got.ids) - len, "%.*s ",
                                (int)entries[i].id.len, entries[i].id.data);
    if (count == 1) {
        got.entry = entries[0];
        cr_expect(!entries[0].data.data || strlen(entries[0].data.data) == entries[0].data.len);
    }
}

Test(scheduler, lists_go_by_the_next_time_in_both_orders)
{
    struct error err = { 0 };

    for (int i = 0; i < 5; i++) {
        char id[2] = { (char)('a' + i), '\0' };
        struct scheduler_spec spec = every(5000);

        spec.id = text(id);
        spec.start_at_ms = (uint64_t)(AT + 1000 + i);
        upsert(&spec);
    }
    cr_assert(queue_list_schedulers(queue, 0, 3, true, on_listed, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect_str_eq(got.ids, "a b c ");
    cr_expect_eq(got.total, 5);
    cr_assert(queue_list_schedulers(queue, 1, 200, false, on_listed, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect_str_eq(got.ids, "d c b a ");
    cr_assert(queue_list_schedulers(queue, 9, 3, true, on_listed, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect_eq(got.count, 0);
    cr_expect_eq(queue_list_schedulers(queue, 0, 201, true, on_listed, NULL, &err), -EINVAL);
}

static void get(const char *id)
{
    struct error err = { 0 };

    cr_assert(queue_get_scheduler(queue, text(id), on_listed, NULL, &err) == 0);
    (void)queue_rig_run();
}

Test(scheduler, one_is_read_whole)
{
    struct scheduler_spec spec = by_pattern("0 * * * *");

    get("s");
    cr_expect_eq(got.count, 0);
    spec.has_limit = true;
    spec.limit = 7;
    spec.end_at_ms = AT + 86400000;
    upsert(&spec);
    get("s");
    cr_expect_eq(got.count, 1);
    cr_expect(got.entry.next_at_ms == 1795302000000 && got.entry.limit == 7 &&
              got.entry.has_limit && got.entry.end_at_ms == AT + 86400000 &&
              got.entry.iterations == 1 && got.entry.every_ms == 0 && !got.entry.legacy &&
              !got.entry.data.data);
    (void)redis_says("SET bull:q:repeat:s damaged");
    get("s");
    cr_expect_eq(got.count, 1);
    cr_expect(got.entry.legacy && !got.entry.name.data);
}

Test(scheduler, a_key_that_is_the_rule_is_read_as_such)
{
    (void)redis_says("ZADD bull:q:repeat 5 %s", "n:7:1795301012476:UTC:*/5_*");
    get("n:7:1795301012476:UTC:*/5_*");
    cr_expect_eq(got.count, 1);
    cr_expect(got.entry.legacy && got.entry.name.len == 1 && got.entry.end_at_ms == AT &&
              got.entry.tz.len == 3 && got.entry.pattern.len == 5);
    (void)redis_says("ZADD bull:q:repeat 5 n::::250");
    get("n::::250");
    cr_expect(got.entry.every_ms == 250 && !got.entry.pattern.data && !got.entry.tz.data);
}
