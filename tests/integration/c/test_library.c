/* drover/queue.h against a real Redis: every call of the installed library, and how each ends. */
#include <criterion/criterion.h>
#include <drover/queue.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "tests/support/redis_server.h"

static struct redis_server server;
static uv_loop_t loop;
static struct drover_connection *connection;
static struct drover_queue *queue;
static enum drover_state state;
static bool told;
static char why[256];

static void on_state(struct drover_connection *from, enum drover_state now, const char *reason,
                     void *arg)
{
    (void)from;
    cr_assert(arg == &loop);
    state = now;
    told = true;
    (void)snprintf(why, sizeof(why), "%s", reason);
}

static void run_until(const bool *done)
{
    while (!*done && uv_run(&loop, UV_RUN_ONCE))
        ;
    cr_assert(*done, "the loop has nothing left to do");
}

static void connect_to(const char *url, bool once)
{
    struct drover_connection_options options = {
        .url = url, .client_name = "test", .once = once, .on_state = on_state, .arg = &loop
    };
    struct drover_error error;

    told = false;
    cr_assert(drover_connect(&loop, &options, &connection, &error) == 0, "%s", error.text);
    cr_assert(!told, "a callback ran inside the call");
    run_until(&told);
}

static void setup(void)
{
    struct drover_error error;

    (void)signal(SIGPIPE, SIG_IGN);
    redis_server_start(&server, NULL);
    cr_assert(uv_loop_init(&loop) == 0);
    connect_to(server.url, false);
    cr_assert(state == DROVER_READY, "%s", why);
    cr_assert(drover_queue_new(connection, NULL, "q", &queue, &error) == 0, "%s", error.text);
}

static void teardown(void)
{
    drover_queue_free(queue);
    if (state != DROVER_CLOSED)
        drover_disconnect(connection);
    cr_expect(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    cr_expect(state == DROVER_CLOSED);
    cr_expect(uv_loop_close(&loop) == 0, "something is left on the loop");
    redis_server_stop(&server);
}

TestSuite(library, .init = setup, .fini = teardown, .timeout = 60);

/* What the last callback said. */
static struct {
    bool done;
    enum drover_outcome outcome;
    char why[256];
    size_t count;
    struct drover_added added[8];
    char ids[8][64];
} last;

static void note(const struct drover_answer *answer)
{
    last.done = true;
    last.outcome = answer->outcome;
    (void)snprintf(last.why, sizeof(last.why), "%s", answer->why);
}

static void on_added(struct drover_queue *from, const struct drover_answer *answer,
                     const struct drover_added *results, size_t count, void *arg)
{
    (void)arg;
    cr_assert(from == queue);
    note(answer);
    last.count = count;
    for (size_t i = 0; i < count; i++) {
        last.added[i] = results[i];
        (void)snprintf(last.ids[i], sizeof(last.ids[i]), "%s",
                       results[i].id ? results[i].id : results[i].why);
    }
}

static void add(const struct drover_job *jobs, size_t count)
{
    struct drover_error error;

    last.done = false;
    cr_assert(drover_add(queue, jobs, count, on_added, NULL, &error) == 0, "%s", error.text);
    cr_assert(!last.done, "a callback ran inside the call");
    run_until(&last.done);
}

static const char *says(const char *key, const char *field)
{
    static char text[1024];
    redisReply *reply = redis_server_ask(&server, "HGET %s %s", key, field);

    (void)snprintf(text, sizeof(text), "%s", reply->str ? reply->str : "(nil)");
    freeReplyObject(reply);
    return text;
}

Test(library, jobs_with_everything)
{
    struct drover_job jobs[3] = { drover_job("a", "{\"n\":1}"), drover_job("b", NULL),
                                  drover_job("c", NULL) };

    jobs[0].id = drover_text("own");
    jobs[0].timestamp_ms = 1795300804162;
    jobs[0].delay_ms = 5000;
    jobs[0].priority = 7;
    jobs[0].attempts = 3;
    jobs[0].backoff = (struct drover_backoff){ DROVER_BACKOFF_EXPONENTIAL, 100, 0.5 };
    jobs[0].keep_completed = (struct drover_keep){ true, 5, 10 };
    jobs[0].keep_failed = (struct drover_keep){ true, 0, 0 };
    jobs[0].stack_trace_limit = 2;
    jobs[0].keep_logs = 4;
    jobs[0].size_limit = 100;
    jobs[0].telemetry = drover_text("t");
    jobs[0].omit_context = true;
    jobs[0].extra = drover_text("{\"mine\":1}");
    jobs[1].parent_id = drover_text("own");
    jobs[1].parent_queue = drover_text("bull:q");
    jobs[1].policy = DROVER_POLICY_FAIL_PARENT;
    jobs[1].lifo = true;
    jobs[2].deduplication =
        (struct drover_deduplication){ .id = drover_text("d"), .ttl_ms = 9000, .extend = true };
    add(jobs, 3);
    cr_expect(last.outcome == DROVER_DONE && last.count == 3);
    cr_expect_str_eq(last.ids[0], "own");
    cr_expect_str_eq(says("bull:q:own", "opts"),
                     "{\"attempts\":3,\"delay\":5000,\"priority\":7,\"jobId\":\"own\","
                     "\"timestamp\":1795300804162,\"backoff\":{\"type\":\"exponential\","
                     "\"delay\":100,\"jitter\":0.5},\"removeOnComplete\":{\"age\":10,\"count\":5},"
                     "\"removeOnFail\":true,\"stackTraceLimit\":2,\"kl\":4,\"sizeLimit\":100,"
                     "\"tm\":\"t\",\"omc\":true,\"mine\":1}");
    cr_expect_str_eq(says("bull:q:2", "parent"),
                     "{\"id\":\"own\",\"queueKey\":\"bull:q\",\"fpof\":true}");
    cr_expect_str_eq(says("bull:q:3", "opts"),
                     "{\"attempts\":0,\"de\":{\"id\":\"d\",\"ttl\":9000,\"extend\":true}}");
    add(jobs, 1);
    cr_expect(last.added[0].duplicate && !last.added[0].deduplicated);
    add(jobs + 2, 1);
    cr_expect(last.added[0].deduplicated && !last.added[0].kept_as_next);
    cr_expect_str_eq(last.ids[0], "3");
    jobs[1].parent_id = drover_text("none");
    add(jobs + 1, 1);
    cr_expect(last.added[0].code == DROVER_ADD_PARENT_MISSING);
    cr_expect_str_eq(last.ids[0], "there is no parent \"bull:q:none\"");
}

Test(library, bad_calls_are_refused_with_the_reason)
{
    struct drover_job job = drover_job("a", "{");
    struct drover_flow_node root = { .job = drover_job("a", NULL), .queue = "a:b" };
    struct drover_scheduler scheduler = { .job = drover_job(NULL, NULL) };
    struct drover_error error = { 0 };
    struct drover_queue *other;

    cr_expect(drover_job_check(&job, &error) == -EINVAL && error.code == -EINVAL);
    cr_expect_str_eq(error.text, "data is not valid JSON");
    cr_expect(drover_add(queue, &job, 1, on_added, NULL, &error) == -EINVAL);
    cr_expect_str_eq(error.text, "job 1: data is not valid JSON");
    cr_expect(drover_add(queue, &job, 1, on_added, NULL, NULL) == -EINVAL);
    cr_expect(drover_add(queue, &job, 0, on_added, NULL, &error) == -EINVAL);
    cr_expect(drover_add(queue, &job, DROVER_ADD_MAX + 1, on_added, NULL, &error) == -EINVAL);
    cr_expect(drover_add_flow(queue, &root, on_added, NULL, &error) == -EINVAL);
    cr_expect_str_eq(error.text, "queue name \"a:b\" contains ':'");
    cr_expect(drover_add_flow_json(queue, "{}", 2, on_added, NULL, &error) == -EINVAL);
    cr_expect_str_eq(error.text, "name is missing");
    cr_expect(drover_queue_new(connection, "", "q", &other, &error) == -EINVAL);
    cr_expect(drover_upsert_scheduler(queue, &scheduler, NULL, NULL, &error) == -EINVAL);
    cr_expect(drover_wait_job(queue, "", 0, NULL, NULL, &error) == -EINVAL);
    cr_expect(redis_server_number(&server, "DBSIZE") == 0);
}

Test(library, urls_that_are_none)
{
    static const char *const bad[] = { NULL, "", "http://x", "redis://u:secret@h" };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct drover_connection_options options = { .url = bad[i] };
        struct drover_connection *made = NULL;
        struct drover_error error = { 0 };

        cr_expect(drover_connect(&loop, &options, &made, &error) == -EINVAL, "%zu", i);
        cr_expect(*error.text && !strstr(error.text, "secret") && !made, "%s", error.text);
    }
}

Test(library, flows_of_structs_and_of_json)
{
    static const char json[] =
        "{\"name\":\"j\",\"queueName\":\"q\",\"children\":["
        "{\"name\":\"k\",\"queueName\":\"p\",\"opts\":{\"jobId\":\"kid\"}}]}";
    struct drover_flow_node kids[2] = { { .queue = "p", .job = drover_job("k1", NULL) },
                                        { .prefix = "other", .job = drover_job("k2", NULL) } };
    struct drover_flow_node root = { .job = drover_job("r", NULL),
                                     .children = kids,
                                     .children_count = 2 };
    struct drover_error error;

    root.job.id = drover_text("root");
    last.done = false;
    cr_assert(drover_add_flow(queue, &root, on_added, NULL, &error) == 0, "%s", error.text);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE && last.count == 3);
    cr_expect_str_eq(last.ids[0], "root");
    cr_expect(redis_server_number(&server, "SCARD bull:q:root:dependencies") == 2);
    cr_expect(redis_server_number(&server, "LLEN other:q:wait") == 1);
    last.done = false;
    cr_assert(drover_add_flow_json(queue, json, strlen(json), on_added, NULL, &error) == 0, "%s",
              error.text);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE && last.count == 2);
    cr_expect_str_eq(last.ids[1], "kid");
}

/* ---- looking ---- */

static struct drover_counts counts;
static char seen[512];

static void on_counts(struct drover_queue *from, const struct drover_answer *answer,
                      const struct drover_counts *all, void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    cr_assert(all);
    counts = *all;
}

static void on_view(struct drover_queue *from, const struct drover_answer *answer,
                    const struct drover_job_view *view, void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    seen[0] = '\0';
    for (size_t i = 0; view && i < view->fields_count; i++) {
        if (strncmp(view->names[i].data, "name", 4) == 0 ||
            strncmp(view->names[i].data, "data", 4) == 0)
            (void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s %s ",
                           (int)view->values[i].len, view->values[i].data, view->state);
    }
    last.count = view ? 1 : 0;
}

Test(library, counts_and_one_job)
{
    struct drover_job jobs[2] = { drover_job("a", "{\"n\":1}"), drover_job("b", NULL) };
    struct drover_error error;

    jobs[1].delay_ms = 60000;
    add(jobs, 2);
    last.done = false;
    cr_assert(drover_count_jobs(queue, on_counts, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect(counts.waiting == 1 && counts.delayed == 1 && !counts.paused);
    last.done = false;
    cr_assert(drover_get_job(queue, "1", on_view, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect_str_eq(seen, "a waiting {\"n\":1} waiting ");
    last.done = false;
    cr_assert(drover_get_job(queue, "none", on_view, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE && last.count == 0);
}

/* ---- schedulers ---- */

static void on_scheduled(struct drover_queue *from, const struct drover_answer *answer,
                         const struct drover_scheduled *result, void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    cr_assert(result);
    (void)snprintf(seen, sizeof(seen), "%s", result->job_id ? result->job_id : result->why);
}

static void on_listed(struct drover_queue *from, const struct drover_answer *answer,
                      const struct drover_scheduler_entry *entries, size_t count, uint64_t total,
                      void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    last.count = count;
    cr_expect(total == count);
    if (count > 0)
        (void)snprintf(seen, sizeof(seen), "%.*s %.*s %.*s %.*s", (int)entries->id.len,
                       entries->id.data, (int)entries->name.len, entries->name.data,
                       (int)entries->pattern.len, entries->pattern.data, (int)entries->opts.len,
                       entries->opts.data);
}

static void on_removed(struct drover_queue *from, const struct drover_answer *answer, bool removed,
                       void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    last.count = removed ? 1 : 0;
}

Test(library, schedulers)
{
    struct drover_scheduler scheduler = { .id = drover_text("nightly"),
                                          .pattern = drover_text("30 2 * * *"),
                                          .tz = drover_text("Europe/Berlin"),
                                          .job = drover_job("clean", "{}") };
    struct drover_error error;

    scheduler.job.attempts = 3;
    last.done = false;
    cr_assert(drover_upsert_scheduler(queue, &scheduler, on_scheduled, NULL, &error) == 0, "%s",
              error.text);
    run_until(&last.done);
    cr_expect(strncmp(seen, "repeat:nightly:", 15) == 0, "%s", seen);
    last.done = false;
    cr_assert(drover_list_schedulers(queue, 0, 10, on_listed, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect(last.count == 1);
    cr_expect_str_eq(seen, "nightly clean 30 2 * * * {\"attempts\":3}");
    scheduler.every_ms = 5;
    cr_expect(drover_upsert_scheduler(queue, &scheduler, on_scheduled, NULL, &error) == -EINVAL);
    for (size_t there = 1; there <= 1; there--) {
        last.done = false;
        cr_assert(
            drover_remove_scheduler(queue, drover_text("nightly"), on_removed, NULL, &error) == 0);
        run_until(&last.done);
        cr_expect(last.count == there);
    }
}

/* ---- events ---- */

static bool began, ended;
static struct drover_events *events;
static char names[1024];

static bool on_events(struct drover_queue *from, const struct drover_event *some, size_t count,
                      uint64_t lost, void *arg)
{
    (void)from;
    (void)arg;
    began = true;
    cr_expect(lost == 0);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%.*s ",
                       (int)some[i].event.len, some[i].event.data);
    return !strstr(names, "waiting");
}

static void on_events_end(struct drover_queue *from, const struct drover_answer *answer, void *arg)
{
    (void)from;
    (void)arg;
    ended = true;
    note(answer);
}

Test(library, events_are_followed_until_the_reader_stops)
{
    struct drover_job job = drover_job("a", NULL);
    struct drover_error error;

    cr_assert(drover_follow_events(queue, NULL, on_events, on_events_end, NULL, &events, &error) ==
              0);
    run_until(&began);
    add(&job, 1);
    run_until(&ended);
    cr_expect_str_eq(names, "added waiting ");
    cr_expect(last.outcome == DROVER_DONE, "%s", last.why);
}

Test(library, events_are_stopped_from_outside_at_any_time)
{
    struct drover_error error;

    for (int reading = 0; reading <= 1; reading++) {
        began = ended = false;
        cr_assert(
            drover_follow_events(queue, "0", on_events, on_events_end, NULL, &events, &error) == 0);
        if (reading) {
            struct drover_job job = drover_job("a", NULL);

            job.delay_ms = 60000;
            add(&job, 1);
            run_until(&began);
        }
        drover_stop_events(events);
        drover_stop_events(events); /* twice is once */
        cr_expect(!ended);
        run_until(&ended);
        cr_expect(last.outcome == DROVER_DONE, "%s", last.why);
    }
}

Test(library, events_end_with_the_server)
{
    struct drover_error error;

    cr_assert(drover_follow_events(queue, NULL, on_events, on_events_end, NULL, &events, &error) ==
              0);
    run_until(&began);
    redis_server_kill(&server);
    run_until(&ended);
    cr_expect(last.outcome == DROVER_UNKNOWN && *last.why, "%s", last.why);
}

static enum drover_finished finished;

static void on_finished(struct drover_queue *from, const struct drover_answer *answer,
                        enum drover_finished how, struct drover_text value, void *arg)
{
    (void)from;
    (void)arg;
    note(answer);
    finished = how;
    (void)snprintf(seen, sizeof(seen), "%.*s", (int)value.len, value.data ? value.data : "");
}

static void wait_job(const char *id, uint64_t timeout_ms)
{
    struct drover_error error;

    last.done = false;
    cr_assert(drover_wait_job(queue, id, timeout_ms, on_finished, NULL, &error) == 0, "%s",
              error.text);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE, "%s", last.why);
}

Test(library, waiting_for_the_end_of_a_job)
{
    struct drover_job job = drover_job("a", NULL);

    add(&job, 1);
    wait_job("1", 50);
    cr_expect(finished == DROVER_JOB_UNFINISHED);
    wait_job("none", 5000);
    cr_expect(finished == DROVER_JOB_GONE);
    redis_server_do(&server, "HSET bull:q:1 finishedOn 1 returnvalue [1] atm 1");
    redis_server_do(&server, "LREM bull:q:wait 0 1");
    redis_server_do(&server, "ZADD bull:q:completed 1 1");
    wait_job("1", 5000);
    cr_expect(finished == DROVER_JOB_COMPLETED);
    cr_expect_str_eq(seen, "[1]");
}

/* ---- the connection ---- */

Test(library, a_call_under_way_is_answered_when_the_connection_ends)
{
    struct drover_job job = drover_job("a", NULL);
    struct drover_error error;

    last.done = false;
    cr_assert(drover_add(queue, &job, 1, on_added, NULL, &error) == 0);
    drover_disconnect(connection);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_UNKNOWN || last.outcome == DROVER_DONE);
    cr_expect(last.outcome == DROVER_DONE || last.count == 0);
}

Test(library, queues_may_outlive_their_connection)
{
    struct drover_job job = drover_job("a", NULL);
    struct drover_error error;

    told = false;
    drover_disconnect(connection);
    drover_disconnect(connection);
    run_until(&told);
    cr_expect(state == DROVER_CLOSED);
    cr_expect(drover_add(queue, &job, 1, on_added, NULL, &error) == -ENOTCONN);
    cr_expect(drover_follow_events(queue, NULL, on_events, on_events_end, NULL, &events, &error) ==
              -ENOTCONN);
}

Test(library, a_lost_connection_refuses_calls_and_comes_back)
{
    struct drover_job job = drover_job("a", NULL);
    struct drover_error error;

    told = false;
    redis_server_kill(&server);
    run_until(&told);
    cr_expect(state == DROVER_LOST && *why);
    cr_expect(drover_add(queue, &job, 1, on_added, NULL, &error) == -ENOTCONN);
    cr_expect_str_eq(error.text, "there is no connection to Redis");
    redis_server_start_again(&server);
    while (state != DROVER_READY) {
        told = false;
        run_until(&told);
    }
    add(&job, 1);
    cr_expect(last.outcome == DROVER_DONE);
}

Test(library, too_few_replicas_are_told)
{
    struct drover_job job = drover_job("a", NULL);
    struct drover_scheduler scheduler = { .id = drover_text("often"), .every_ms = 60000 };
    struct drover_error error;

    drover_queue_wait_replicas(queue, 1, 50);
    add(&job, 1);
    cr_expect(last.outcome == DROVER_UNREPLICATED && *last.why && last.count == 1);
    cr_expect_str_eq(last.ids[0], "1");
    last.done = false;
    cr_assert(drover_upsert_scheduler(queue, &scheduler, on_scheduled, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_UNREPLICATED && *last.why, "its first job is an add, too");
    cr_expect(strncmp(seen, "repeat:often:", 13) == 0, "%s", seen);
    drover_queue_wait_replicas(queue, 0, 0);
    add(&job, 1);
    cr_expect(last.outcome == DROVER_DONE);
}

Test(library, version)
{
    cr_expect_str_eq(drover_version(), DROVER_VERSION);
    cr_expect(DROVER_QUEUE_API == 1);
}
