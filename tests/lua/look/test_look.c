/* Pause, resume, progress, logs, counts, the view and the history of a job, against a real Redis
 * (wire format 8.1, 8.9, 8.10, 11, 15.1). */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/change.h"
#include "common/queue/get.h"
#include "common/queue/settings.h"
#include "tests/lua/add/queue_rig.h"

static struct queue *queue;

static void setup(void)
{
    struct error err;

    queue_rig_start();
    cr_assert(queue_new("bull", "q", queue_rig_redis(), &queue, &err) == 0);
}

static void teardown(void)
{
    queue_free(queue);
    queue_rig_stop();
}

TestSuite(look, .init = setup, .fini = teardown, .timeout = 30);

#define says(expected, ...) cr_expect_str_eq(redis_says(__VA_ARGS__), expected)

static struct {
    int calls;
    enum redis_outcome outcome;
    int64_t value;
} done;

static void on_done(struct queue *from, const struct call_result *call, int64_t value, void *arg)
{
    (void)arg;
    cr_assert(from == queue);
    done.calls++;
    done.outcome = call->outcome;
    done.value = value;
}

static void pause_queue(void)
{
    struct error err = { 0 };

    cr_assert(queue_pause(queue, on_done, NULL, &err) == 0, "%s", err.text);
    (void)queue_rig_run();
}

static void resume_queue(void)
{
    struct error err = { 0 };

    cr_assert(queue_resume(queue, on_done, NULL, &err) == 0, "%s", err.text);
    (void)queue_rig_run();
}

/* ---- pause and resume ---- */

Test(look, pause_and_resume_move_the_list_and_the_marker)
{
    redis_says("LPUSH bull:q:wait 1 2 3");
    redis_says("ZADD bull:q:marker 0 0");
    pause_queue();
    cr_expect(done.calls == 1 && done.outcome == REDIS_REPLY && done.value == 0);
    says("3 2 1", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:wait bull:q:marker");
    says("1", "HGET bull:q:meta paused");
    resume_queue();
    says("3 2 1", "LRANGE bull:q:wait 0 -1");
    says("0", "EXISTS bull:q:paused");
    says("0", "HEXISTS bull:q:meta paused");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("2", "XLEN bull:q:events");
}

Test(look, pause_of_an_empty_queue_and_again)
{
    pause_queue();
    pause_queue();
    says("0", "EXISTS bull:q:wait bull:q:paused");
    says("1", "HEXISTS bull:q:meta paused");
    resume_queue();
    resume_queue();
    says("0", "EXISTS bull:q:wait bull:q:paused bull:q:marker");
    cr_expect(done.calls == 4 && done.outcome == REDIS_REPLY);
    says("4", "XLEN bull:q:events");
}

/* A peer of BullMQ 6 has put 5 and 6 into `wait` of the paused queue; 1 and 2 are older. */
Test(look, resume_with_both_lists_loses_none)
{
    redis_says("HSET bull:q:meta paused 1");
    redis_says("LPUSH bull:q:paused 1 2");
    redis_says("LPUSH bull:q:wait 5 6");
    resume_queue();
    says("6 5 2 1", "LRANGE bull:q:wait 0 -1"); /* the tail, the oldest, runs first */
    says("0", "EXISTS bull:q:paused");
}

Test(look, pause_of_a_paused_queue_collects_what_a_peer_put_in_wait)
{
    redis_says("HSET bull:q:meta paused 1");
    redis_says("LPUSH bull:q:paused 1 2");
    redis_says("LPUSH bull:q:wait 5 6");
    pause_queue();
    says("6 5 2 1", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:wait");
}

/* 1 and 2 were left in `paused` of a running queue. */
Test(look, pause_with_both_lists_loses_none)
{
    redis_says("LPUSH bull:q:paused 1 2");
    redis_says("LPUSH bull:q:wait 5 6");
    pause_queue();
    says("6 5 2 1", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:wait");
}

Test(look, resume_of_a_running_queue_collects_what_was_left_in_paused)
{
    redis_says("LPUSH bull:q:paused 1 2");
    redis_says("LPUSH bull:q:wait 5 6");
    resume_queue();
    says("6 5 2 1", "LRANGE bull:q:wait 0 -1");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
}

/* More than one call may move: the order stays, and so does the mark until the last one. */
static void both_lists_of(int each)
{
    for (int i = 0; i < each; i++)
        redis_says("LPUSH bull:q:paused %d", i);
    for (int i = 0; i < each; i++)
        redis_says("LPUSH bull:q:wait %d", each + i);
}

static void expect_order(const char *list, int count)
{
    for (int i = 0; i < count; i += 7)
        cr_expect(atoi(redis_says("LINDEX %s %d", list, -1 - i)) == i, "%s: %d from the tail", list,
                  i);
    cr_expect(atoi(redis_says("LLEN %s", list)) == count);
}

Test(look, long_merges_take_several_calls)
{
    struct error err = { 0 };

    both_lists_of(2500);
    cr_assert(queue_pause(queue, on_done, NULL, &err) == 0);
    cr_expect(queue_rig_run() == 3);
    cr_expect(done.calls == 1);
    expect_order("bull:q:paused", 5000);
    redis_says("FLUSHALL");
    both_lists_of(2500);
    redis_says("HSET bull:q:meta paused 1");
    cr_assert(queue_resume(queue, on_done, NULL, &err) == 0);
    cr_expect(queue_rig_run() == 3);
    expect_order("bull:q:wait", 5000);
    says("1", "XLEN bull:q:events"); /* told once */
}

Test(look, merge_that_loses_its_connection_is_told_and_loses_nothing)
{
    struct error err = { 0 };

    both_lists_of(1500);
    cr_assert(queue_pause(queue, on_done, NULL, &err) == 0);
    queue_rig_lose(true); /* the first call was executed, the second one is lost */
    (void)queue_rig_run();
    cr_expect(done.calls == 1 && done.outcome == REDIS_UNKNOWN);
    says("0", "HEXISTS bull:q:meta paused");
    cr_expect(atoi(redis_says("LLEN bull:q:wait")) + atoi(redis_says("LLEN bull:q:paused")) ==
              3000);
    queue_rig_lose(false);
    pause_queue();
    expect_order("bull:q:paused", 3000);
}

Test(look, resume_sets_the_marker_that_is_needed)
{
    redis_says("HSET bull:q:meta paused 1");
    redis_says("ZADD bull:q:delayed 8192 7");
    resume_queue();
    says("1 2", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    redis_says("DEL bull:q:marker");
    redis_says("HSET bull:q:meta paused 1");
    redis_says("ZADD bull:q:prioritized 1 8");
    resume_queue();
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
}

Test(look, spoilt_key_refuses_pause_and_resume)
{
    static const char *const spoil[] = { "wait", "paused", "meta", "events" };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        redis_says("FLUSHALL");
        redis_says("LPUSH bull:q:%s 1 2", i == 0 ? "paused" : "wait");
        redis_says("DEL bull:q:%s", spoil[i]);
        redis_says("SET bull:q:%s x", spoil[i]);
        pause_queue();
        cr_expect(done.outcome == REDIS_REFUSED, "pause, %s", spoil[i]);
        resume_queue();
        cr_expect(done.outcome == REDIS_REFUSED, "resume, %s", spoil[i]);
        says("x", "GET bull:q:%s", spoil[i]);
        says("2", "LLEN bull:q:%s", i == 0 ? "paused" : "wait");
    }
}

Test(look, refused_resume_leaves_the_queue_paused)
{
    static const char *const spoil[] = { "events", "marker", "prioritized", "delayed" };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        redis_says("FLUSHALL");
        redis_says("HSET bull:q:meta paused 1");
        redis_says("LPUSH bull:q:paused 1 2");
        redis_says("SET bull:q:%s x", spoil[i]);
        resume_queue();
        cr_expect(done.outcome == REDIS_REFUSED, "%s", spoil[i]);
        says("1", "HEXISTS bull:q:meta paused");
        says("2 1", "LRANGE bull:q:paused 0 -1");
        says("0", "EXISTS bull:q:wait");
    }
}

/* ---- progress and logs ---- */

Test(look, progress_is_stored_and_told)
{
    struct error err = { 0 };

    redis_says("HSET bull:q:1 name a");
    cr_assert(queue_update_progress(queue, "1", "{\"p\":50}", 8, on_done, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect(done.value == 0 && done.outcome == REDIS_REPLY);
    says("{\"p\":50}", "HGET bull:q:1 progress");
    cr_expect(
        strstr(redis_says("XRANGE bull:q:events - +"), "event progress jobId 1 data {\"p\":50}"));
    cr_assert(queue_update_progress(queue, "2", "1", 1, on_done, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect(done.value == -1);
    says("0", "EXISTS bull:q:2");
    says("1", "XLEN bull:q:events");
    cr_expect(queue_update_progress(queue, "1", "{p", 2, on_done, NULL, &err) == -EINVAL);
    cr_expect(queue_rig_run() == 0);
}

Test(look, log_rows_are_kept_up_to_the_limit)
{
    static const int64_t kept[] = { 1, 2, 3, 3, 3 };
    struct error err = { 0 };

    redis_says("HSET bull:q:1 name a");
    for (int i = 0; i < 5; i++) {
        char row[8];

        (void)snprintf(row, sizeof(row), "row%d", i);
        cr_assert(queue_add_log(queue, "1", row, 4, 3, on_done, NULL, &err) == 0);
        (void)queue_rig_run();
        cr_expect(done.value == kept[i], "row %d", i);
        cr_expect(atoi(redis_says("LLEN bull:q:1:logs")) == kept[i], "row %d", i);
    }
    says("row2 row3 row4", "LRANGE bull:q:1:logs 0 -1");
    cr_assert(queue_add_log(queue, "1", "all", 3, -1, on_done, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect(done.value == 4);
    cr_assert(queue_add_log(queue, "2", "gone", 4, -1, on_done, NULL, &err) == 0);
    (void)queue_rig_run();
    cr_expect(done.value == -1);
    says("0", "EXISTS bull:q:2:logs");
}

/* ---- counts ---- */

static struct queue_counts counts;

static void on_counts(struct queue *from, const struct call_result *call,
                      const struct queue_counts *got, void *arg)
{
    (void)from;
    (void)arg;
    cr_assert(call->outcome == REDIS_REPLY);
    counts = *got;
}

static void count_jobs(void)
{
    struct error err = { 0 };

    cr_assert(queue_count_jobs(queue, on_counts, NULL, &err) == 0);
    cr_assert(queue_rig_run() == 1);
}

Test(look, counts_are_of_every_state)
{
    redis_says("LPUSH bull:q:wait w1 w2");
    redis_says("LPUSH bull:q:paused p1 p2 p3");
    redis_says("LPUSH bull:q:active a");
    redis_says("ZADD bull:q:prioritized 1 a 2 b 3 c 4 d");
    redis_says("ZADD bull:q:delayed 1 a 2 b 3 c 4 d 5 e");
    redis_says("ZADD bull:q:waiting-children 1 a 2 b 3 c 4 d 5 e 6 f");
    redis_says("ZADD bull:q:completed 1 a 2 b 3 c 4 d 5 e 6 f 7 g");
    redis_says("ZADD bull:q:failed 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h");
    redis_says("HSET bull:q:w1 timestamp 1795300804162");
    redis_says("HSET bull:q:p1 timestamp 1795300804163");
    count_jobs();
    cr_expect(counts.waiting == 2 && counts.paused_list == 3 && counts.active == 1);
    cr_expect(counts.prioritized == 4 && counts.delayed == 5 && counts.waiting_children == 6);
    cr_expect(counts.completed == 7 && counts.failed == 8 && !counts.paused);
    cr_expect(counts.oldest_waiting_at_ms == 1795300804162ULL);
    redis_says("DEL bull:q:wait");
    redis_says("HSET bull:q:meta paused 1");
    count_jobs();
    cr_expect(counts.paused && counts.oldest_waiting_at_ms == 1795300804163ULL);
}

Test(look, counts_of_nothing)
{
    count_jobs();
    cr_expect(counts.waiting == 0 && counts.failed == 0 && counts.oldest_waiting_at_ms == 0);
    says("0", "DBSIZE");
}

/* ---- one job ---- */

static struct {
    bool found;
    char state[32], first_name[32], first_value[32];
    size_t fields;
    uint64_t logs;
    int64_t lock_ms;
} seen;

static void on_view(struct queue *from, const struct call_result *call, const struct job_view *view,
                    void *arg)
{
    (void)from;
    (void)arg;
    cr_assert(call->outcome == REDIS_REPLY);
    memset(&seen, 0, sizeof(seen));
    if (!view)
        return;
    seen.found = true;
    seen.fields = view->fields_count;
    seen.logs = view->logs_count;
    seen.lock_ms = view->lock_ttl_ms;
    (void)snprintf(seen.state, sizeof(seen.state), "%s", view->state);
    (void)snprintf(seen.first_name, sizeof(seen.first_name), "%s", view->names[0].data);
    (void)snprintf(seen.first_value, sizeof(seen.first_value), "%s", view->values[0].data);
}

static void view_job(const char *id)
{
    struct error err = { 0 };

    cr_assert(queue_view_job(queue, id, on_view, NULL, &err) == 0);
    cr_assert(queue_rig_run() == 1);
}

Test(look, view_finds_every_state)
{
    static const struct {
        const char *put, *state;
    } rows[] = {
        { "LPUSH bull:q:wait x 1 y", "waiting" },
        { "LPUSH bull:q:paused x 1 y", "waiting" },
        { "LPUSH bull:q:active x 1 y", "active" },
        { "ZADD bull:q:prioritized 5 1", "prioritized" },
        { "ZADD bull:q:delayed 5 1", "delayed" },
        { "ZADD bull:q:completed 5 1", "completed" },
        { "ZADD bull:q:failed 5 1", "failed" },
        { "ZADD bull:q:waiting-children 5 1", "waiting-children" },
        { "PING", "unknown" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        redis_says("FLUSHALL");
        redis_says("HSET bull:q:1 name a data {}");
        redis_says(rows[i].put);
        view_job("1");
        cr_expect_str_eq(seen.state, rows[i].state, "%s", rows[i].put);
        cr_expect(seen.found && seen.fields == 2 && seen.lock_ms == -1 && seen.logs == 0);
        cr_expect_str_eq(seen.first_name, "name");
        cr_expect_str_eq(seen.first_value, "a");
    }
}

Test(look, view_tells_lock_and_logs)
{
    redis_says("HSET bull:q:1 name a");
    redis_says("SET bull:q:1:lock token PX 30000");
    redis_says("RPUSH bull:q:1:logs a b");
    view_job("1");
    cr_expect(seen.lock_ms > 20000 && seen.lock_ms <= 30000 && seen.logs == 2);
    view_job("2");
    cr_expect(!seen.found);
    redis_says("LPUSH bull:q:wait 1");
    view_job("wait"); /* a key, but no job */
    cr_expect(!seen.found);
}

/* ---- history ---- */

static char story[4096];
static size_t story_events;

static void on_history(struct queue *from, const struct call_result *call,
                       const struct job_event *events, size_t count, void *arg)
{
    struct buf out = BUF_INIT(sizeof(story) - 1);

    (void)from;
    (void)arg;
    cr_assert(call->outcome == REDIS_REPLY);
    story_events = count;
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(&out, "%llu", (unsigned long long)events[i].at_ms);
        for (size_t f = 0; f < events[i].fields_count; f++)
            (void)buf_printf(&out, " %s=%s", events[i].names[f].data, events[i].values[f].data);
        (void)buf_append_char(&out, '|');
    }
    (void)snprintf(story, sizeof(story), "%s", buf_text(&out));
    buf_done(&out);
}

static void read_history(const char *id, uint64_t scan)
{
    struct error err = { 0 };

    cr_assert(queue_job_history(queue, id, scan, on_history, NULL, &err) == 0);
    (void)queue_rig_run();
}

Test(look, history_is_of_one_job_oldest_first)
{
    redis_says("XADD bull:q:events 100-0 event added jobId 1 name a");
    redis_says("XADD bull:q:events 100-1 event added jobId 2 name b");
    redis_says("XADD bull:q:events 100-2 event waiting jobId 1");
    redis_says("XADD bull:q:events 250-0 event active jobId 1 prev waiting");
    redis_says("XADD bull:q:events 300-0 event paused");
    redis_says("XADD bull:q:events 400-0 event completed jobId 1 returnvalue null prev active");
    read_history("1", 10000);
    cr_expect_str_eq(story,
                     "100 event=added name=a|100 event=waiting|250 event=active prev=waiting|"
                     "400 event=completed returnvalue=null prev=active|");
    read_history("3", 10000);
    cr_expect(story_events == 0);
}

Test(look, history_reads_in_chunks_up_to_its_bound)
{
    redis_says("XADD bull:q:events 1-0 event added jobId 1 name a");
    for (int i = 0; i < 1700; i++)
        redis_says("XADD bull:q:events 5-%d event added jobId x name b", i);
    redis_says("XADD bull:q:events 6-0 event active jobId 1");
    read_history("1", 10000);
    cr_expect(story_events == 2, "%s", story);
    read_history("1", 1000); /* the start is further away */
    cr_expect(story_events == 1, "%s", story);
    read_history("1", 1);
    cr_expect(story_events == 1, "%s", story);
}

Test(look, history_stops_at_the_latest_life_of_an_id)
{
    redis_says("XADD bull:q:events 1-0 event added jobId a name old");
    redis_says("XADD bull:q:events 2-0 event removed jobId a");
    redis_says("XADD bull:q:events 3-0 event added jobId a name new");
    read_history("a", 100);
    cr_expect_str_eq(story, "3 event=added name=new|");
}

Test(look, history_keeps_a_bounded_number_of_events)
{
    for (int i = 0; i < 1500; i++)
        redis_says("XADD bull:q:events 5-%d event progress jobId 1 data %d", i, i);
    read_history("1", 10000);
    cr_expect(story_events == 1000);
}
