/* Operations of workers: fetching, settling, owning, and what time does to a lock. */
#include <string.h>

#include "common/queue/scheduler.h"
#include "tests/interop/driver/driver.h"

static struct {
    struct world_queue *queue;
    json_t *answer;
    size_t fetched;
} turning;

static void on_continued(struct queue *queue, const struct call_result *call,
                         const struct scheduler_continued *result, void *arg)
{
    (void)queue;
    (void)result;
    (void)arg;
    if (call->outcome != REDIS_REPLY)
        die("continue a scheduler: %s", call->why);
}

/* A worker makes the next iteration of what it has just fetched, before it runs it. */
static void continue_schedulers(struct world_queue *queue, size_t fetched)
{
    struct error err;

    for (size_t i = world.held_count - fetched; i < world.held_count; i++) {
        const struct job *job = world.held[i].job;

        if (job_is_iteration(job) &&
            queue_continue_scheduler(queue->queue, job, on_continued, NULL, &err) < 0)
            die("continue a scheduler: %s", err.text);
        connection_run();
    }
}

static void on_turned(struct queue *queue, const struct call_result *call,
                      const struct settle_result *results, size_t results_count, struct job **jobs,
                      size_t jobs_count, const struct fetch_state *state, void *arg)
{
    json_t *ids = json_array();

    (void)queue;
    (void)state;
    (void)arg;
    if (call->outcome != REDIS_REPLY)
        die("turn: %s", call->why);
    turning.answer = json_object();
    if (results_count > 0)
        (void)json_object_set_new(turning.answer, "code", json_integer(results[0].code));
    for (size_t i = 0; i < jobs_count; i++) {
        (void)json_array_append_new(ids, json_stringn(jobs[i]->id.data, jobs[i]->id.len));
        world_hold(turning.queue, jobs[i]);
    }
    turning.fetched = jobs_count;
    if (jobs_count > 0)
        (void)json_object_set(turning.answer, "ids", ids);
    json_decref(ids);
}

static json_t *turn(struct world_queue *queue, size_t worker, const struct settle *settle,
                    size_t want_jobs)
{
    struct fetch_want want = { .max = want_jobs, .live = 1, .bytes_max = 1 << 20 };
    struct fetcher *fetcher = &queue->fetchers[worker];
    struct error err;

    turning.queue = queue;
    turning.answer = NULL;
    turning.fetched = 0;
    if (queue_turn(queue->queue, fetcher, settle, settle ? 1 : 0, &want, on_turned, NULL, &err) < 0)
        die("turn: %s", err.text);
    connection_run();
    if (!turning.answer)
        die("the callback of a turn did not run");
    continue_schedulers(queue, turning.fetched);
    return turning.answer;
}

static size_t worker_of(const json_t *op)
{
    const char *name = op_text(op, "w");

    return name && name[0] >= 'A' && name[0] < 'A' + WORKERS_MAX ? (size_t)(name[0] - 'A') : 0;
}

static json_t *op_fetch(const json_t *op)
{
    return turn(world_queue(op), worker_of(op), NULL,
                op_uint(op, "count") ? (size_t)op_uint(op, "count") : 1);
}

/* ---- the end of a job */

/* By whom it was fetched: the token begins with the uuid "worker-X". */
static size_t owner_of(const struct job *job)
{
    return (size_t)(job->token[strlen("worker-")] - 'A');
}

/* A job that its children keep from completing is still the worker's. */
static bool is_over(const json_t *answer)
{
    json_int_t code = json_integer_value(json_object_get(answer, "code"));

    return code != SETTLE_CHILDREN_PENDING && code != SETTLE_CHILDREN_FAILED &&
           code != SETTLE_NO_CHILDREN;
}

/* A worker that has just used up the rate limit sleeps. */
static bool fetches(const json_t *op, const struct settle *settle)
{
    return json_is_true(json_object_get(op, "fetch")) &&
           !(settle->kind == SETTLE_WAIT && settle->delay_ms > 0);
}

static json_t *settle_with(const json_t *op, struct held *held, struct settle *settle,
                           const char *met_in)
{
    struct world_queue *queue = held->queue;
    struct job *job = held->job;
    size_t worker = owner_of(job);
    json_t *answer;

    settle->job = job;
    answer = turn(queue, worker, settle, fetches(op, settle) ? 1 : 0);
    if (met_in)
        world_meet(met_in, queue, job->id.data, job->id.len);
    if (is_over(answer)) {
        for (size_t i = 0; i < world.held_count; i++) { /* the array may have moved */
            if (world.held[i].job == job) {
                world_drop(&world.held[i]);
                break;
            }
        }
    }
    return answer;
}

static json_t *op_complete(const json_t *op)
{
    struct held *held = world_pick_held(op);
    _cleanup_(freep) char *value =
        json_dumps(json_object_get(op, "value"), JSON_COMPACT | JSON_ENCODE_ANY);
    struct settle settle = { .kind = SETTLE_COMPLETE };

    if (!held)
        return answer_none();
    settle.value = (struct bytes){ value, strlen(value) };
    settle.keep = held->job->options.keep_completed;
    return settle_with(op, held, &settle, "completed");
}

/* What a worker decides about a failed attempt (wire format 5.5). */
static void decide(struct settle *settle, const struct job *job, bool for_good)
{
    uint64_t delay_ms = job_backoff_ms(&job->options.backoff, job->attempts_made + 1, 0, 0);

    settle->attempts_max = job->options.attempts;
    if (for_good || job->deferred_failure.data || job->attempts_made + 1 >= job->options.attempts) {
        settle->kind = SETTLE_FAIL;
        settle->keep = job->options.keep_failed;
    } else if (delay_ms > 0) {
        settle->kind = SETTLE_RETRY_LATER;
        settle->delay_ms = delay_ms;
    } else {
        settle->kind = SETTLE_RETRY;
    }
}

static bool has_lock(const struct held *held)
{
    return connection_tell("EXISTS %s%.*s:lock", queue_key_prefix(held->queue->queue),
                           (int)held->job->id.len, held->job->id.data) == 1;
}

static json_t *op_fail(const json_t *op)
{
    struct held *held = world_pick_held(op);
    _cleanup_(freep) char *stacktrace = NULL, *entry = NULL;
    struct settle settle = { 0 };
    struct bytes reason = op_bytes(op, "reason");
    json_t *answer;

    if (!held)
        return answer_none();
    if (asprintf(&entry, "Error: %s\n    at a line", reason.data) < 0)
        die("no memory");
    stacktrace =
        job_stacktrace_add(&held->job->stacktrace, entry, held->job->options.stack_trace_limit);
    settle.stacktrace = (struct bytes){ stacktrace, strlen(stacktrace) };
    settle.value = reason;
    decide(&settle, held->job, json_is_true(json_object_get(op, "for_good")));
    if (settle.kind == SETTLE_RETRY &&
        !has_lock(held)) /* stock would promote due jobs all the same */
        return answer_none();
    answer = settle_with(op, held, &settle, settle.kind == SETTLE_FAIL ? "failed" : NULL);
    (void)json_object_set_new(answer, "kind",
                              json_string(settle.kind == SETTLE_FAIL          ? "failed"
                                          : settle.kind == SETTLE_RETRY_LATER ? "later"
                                                                              : "retried"));
    return answer;
}

static json_t *op_delay(const json_t *op)
{
    struct held *held = world_pick_held(op);
    struct settle settle = { .kind = SETTLE_DELAY, .delay_ms = op_uint(op, "ms") };

    return held ? settle_with(op, held, &settle, "delayed") : answer_none();
}

static json_t *op_give_back(const json_t *op)
{
    struct held *held = world_pick_held(op);
    struct settle settle = { .kind = SETTLE_GIVE_BACK };

    return held ? settle_with(op, held, &settle, NULL) : answer_none();
}

/* moveToWait; with `ms` the rate limit is used up first. */
static json_t *op_move_to_wait(const json_t *op)
{
    struct held *held = world_pick_held(op);
    struct settle settle = { .kind = SETTLE_WAIT, .delay_ms = op_uint(op, "ms") };

    return held ? settle_with(op, held, &settle, NULL) : answer_none();
}

static json_t *op_wait_children(const json_t *op)
{
    struct held *held = world_pick_held(op);
    struct settle settle = { .kind = SETTLE_WAIT_CHILDREN };

    return held ? settle_with(op, held, &settle, NULL) : answer_none();
}

/* ---- owning */

static void on_renewed(struct queue *queue, const struct call_result *call,
                       const enum lock_answer *answers, size_t count,
                       const struct renew_state *state, void *arg)
{
    json_t *lost = arg;

    (void)queue;
    (void)state;
    if (call->outcome != REDIS_REPLY)
        die("renew: %s", call->why);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(lost, json_boolean(answers[i] == LOCK_LOST));
}

static json_t *op_renew(const json_t *op)
{
    struct held *held = world_pick_held(op);
    const struct job *job;
    json_t *lost;
    struct error err;

    /* One that has ended is set again, which stock clients don't do. */
    if (!held || !has_lock(held))
        return answer_none();
    job = held->job;
    lost = json_array();
    if (queue_renew(held->queue->queue, &held->queue->fetchers[owner_of(job)], &job, 1, on_renewed,
                    lost, &err) < 0)
        die("renew: %s", err.text);
    connection_run();
    return json_pack("{s:o}", "lost", lost);
}

/* Its lock expires. */
static json_t *op_expire_lock(const json_t *op)
{
    const struct held *held = world_pick_held(op);

    if (!held)
        return answer_none();
    (void)connection_tell("DEL %s%.*s:lock", queue_key_prefix(held->queue->queue),
                          (int)held->job->id.len, held->job->id.data);
    return json_object();
}

static void on_recovered(struct queue *queue, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    json_t *answer = arg;

    (void)queue;
    if (call->outcome != REDIS_REPLY)
        die("recover: %s", call->why);
    (void)json_object_set_new(answer, "back", json_integer((json_int_t)result->given_back));
    (void)json_object_set_new(answer, "failed", json_integer((json_int_t)result->failed));
}

/* A worker was seen dead; another one of its name starts at once, which forgets the fence. */
static json_t *op_recover(const json_t *op)
{
    struct world_queue *queue = world_queue(op);
    const char *uuid = queue->fetchers[worker_of(op)].uuid;
    struct recover_spec spec = { .uuid = uuid, .cause = op_text(op, "cause"), .max_givebacks = 3 };
    _cleanup_(freep) char *fence = NULL, *suffix = NULL;
    json_t *answer = json_object();
    struct error err;

    if (queue_recover(queue->queue, &spec, on_recovered, answer, &err) < 0)
        die("recover: %s", err.text);
    connection_run();
    if (asprintf(&suffix, "fence:%s", uuid) < 0)
        die("no memory");
    fence = queue_private_key(queue->queue, suffix);
    (void)connection_tell("DEL %s", fence);
    return answer;
}

static json_t *op_stalled(const json_t *op)
{
    struct queue *queue = world_queue(op)->queue;
    struct error err;

    return finish_code(queue_check_stalled(queue, 30000, op_uint(op, "max"), on_code, NULL, &err),
                       &err);
}

/* One sleeping worker wakes. */
static json_t *op_wake(const json_t *op)
{
    (void)connection_tell("DEL %smarker", queue_key_prefix(world_queue(op)->queue));
    return json_object();
}

const struct op_row ops_work[] = {
    { "fetch", op_fetch },
    { "complete", op_complete },
    { "fail", op_fail },
    { "delay", op_delay },
    { "giveBack", op_give_back },
    { "renew", op_renew },
    { "moveToWait", op_move_to_wait },
    { "waitChildren", op_wait_children },
    { "expireLock", op_expire_lock },
    { "stalled", op_stalled },
    { "recover", op_recover },
    { "wake", op_wake },
    { NULL, NULL },
};
