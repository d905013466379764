/* Operations of people: on one job that was met, on many, and on what holds for the queue. */
#include <errno.h>
#include <string.h>

#include "common/queue/bulk.h"
#include "common/queue/change.h"
#include "common/queue/scheduler.h"
#include "common/queue/settings.h"
#include "tests/interop/driver/driver.h"

/* ---- one job */

typedef int change_fn(const struct met *job, const json_t *op, struct error *err);

static json_t *change(const json_t *op, change_fn *run)
{
    const struct met *job = world_pick(op);
    struct error err;

    if (!job)
        return answer_none();
    return about(job, finish_code(run(job, op, &err), &err));
}

static int promote(const struct met *job, const json_t *op, struct error *err)
{
    (void)op;
    return queue_promote_job(job->queue->queue, job->id, on_code, NULL, err);
}

static struct retry_spec read_retry(const json_t *op)
{
    const char *from = op_text(op, "from");

    return (struct retry_spec){
        .from = strcmp(from, "completed") == 0 ? RETRY_COMPLETED : RETRY_FAILED,
        .reset_attempts_made = json_is_true(json_object_get(op, "resetMade")),
        .reset_attempts_started = json_is_true(json_object_get(op, "resetStarted")),
    };
}

static int retry(const struct met *job, const json_t *op, struct error *err)
{
    struct retry_spec spec = read_retry(op);

    return queue_retry_job(job->queue->queue, job->id, &spec, on_code, NULL, err);
}

static int priority(const struct met *job, const json_t *op, struct error *err)
{
    return queue_change_priority(job->queue->queue, job->id, op_uint(op, "priority"),
                                 json_is_true(json_object_get(op, "lifo")), on_code, NULL, err);
}

static int change_delay(const struct met *job, const json_t *op, struct error *err)
{
    return queue_change_delay(job->queue->queue, job->id, op_uint(op, "ms"), on_code, NULL, err);
}

static int data(const struct met *job, const json_t *op, struct error *err)
{
    _cleanup_(freep) char *value =
        json_dumps(json_object_get(op, "value"), JSON_COMPACT | JSON_ENCODE_ANY);

    return queue_update_data(job->queue->queue, job->id, value, strlen(value), on_code, NULL, err);
}

static int detach(const struct met *job, const json_t *op, struct error *err)
{
    (void)op;
    return queue_remove_child_dependency(job->queue->queue, job->id, on_code, NULL, err);
}

static json_t *op_promote(const json_t *op)
{
    return change(op, promote);
}

static json_t *op_retry(const json_t *op)
{
    return change(op, retry);
}

static json_t *op_priority(const json_t *op)
{
    return change(op, priority);
}

static json_t *op_change_delay(const json_t *op)
{
    return change(op, change_delay);
}

static json_t *op_data(const json_t *op)
{
    return change(op, data);
}

/* Stock does not tell a job that never had a parent from one whose parent is gone. */
static json_t *op_detach(const json_t *op)
{
    json_t *answer = change(op, detach);

    if (json_integer_value(json_object_get(answer, "code")) == CHANGE_NO_PARENT)
        (void)json_object_set_new(answer, "code", json_integer(CHANGE_NOT_THERE));
    return answer;
}

static void on_removed(struct queue *queue, const struct call_result *call,
                       const struct remove_result *result, void *arg)
{
    enum change_code *code = arg;

    (void)queue;
    if (call->outcome != REDIS_REPLY)
        die("remove: %s", call->why);
    *code = result->code;
}

/* Stock says 1 for what was never there, too. */
static json_t *op_remove(const json_t *op)
{
    const struct met *job = world_pick(op);
    bool children = json_is_true(json_object_get(op, "children"));
    enum change_code code = CHANGE_OK;
    struct error err;

    if (!job)
        return answer_none();
    if (queue_remove_job(job->queue->queue, job->id, children, on_removed, &code, &err) < 0)
        die("remove: %s", err.text);
    connection_run();
    return about(job, json_pack("{s:i}", "code",
                                code == CHANGE_LOCKED         ? 0
                                : code == CHANGE_OF_SCHEDULER ? -8
                                                              : 1));
}

/* ---- many */

static void on_bulk(struct queue *queue, const struct call_result *call,
                    const struct bulk_result *result, void *arg)
{
    (void)queue;
    (void)result;
    (void)arg;
    if (call->outcome != REDIS_REPLY)
        die("bulk: %s", call->why);
}

static struct bulk_run bulk_run(const json_t *op)
{
    return (struct bulk_run){ .limit = op_uint(op, "limit"), .on_done = on_bulk };
}

/* Stock does not tell how many, or not those that went along. */
static json_t *finish_bulk(int sent, const struct error *err)
{
    if (sent < 0)
        die("bulk: %s", err->text);
    connection_run();
    return json_object();
}

/* In any queue. */
static bool has_keys(const char *pattern)
{
    for (size_t i = 0; i < world.queues_count; i++) {
        if (connection_tell("KEYS %s%s", queue_key_prefix(world.queues[i].queue), pattern) > 0)
            return true;
    }
    return false;
}

static json_t *op_drain(const json_t *op)
{
    struct bulk_run run = bulk_run(op);
    struct error err;

    /* Stock loses iterations here, and releases parents in another order. */
    if (has_keys("repeat") || has_keys("*:dependencies"))
        return answer_none();
    return finish_bulk(queue_drain(world_queue(op)->queue,
                                   json_is_true(json_object_get(op, "delayed")), &run, &err),
                       &err);
}

static json_t *op_clean(const json_t *op)
{
    struct clean_spec spec = { .grace_ms = op_uint(op, "grace") };
    struct bulk_run run = bulk_run(op);
    struct error err;

    if (has_keys("*:dependencies")) /* as in op_drain */
        return answer_none();
    if (queue_state_parse(op_text(op, "state"), &spec.state, &err) < 0)
        die("clean: %s", err.text);
    return finish_bulk(queue_clean(world_queue(op)->queue, &spec, &run, &err), &err);
}

static json_t *op_retry_jobs(const json_t *op)
{
    struct retry_spec spec = read_retry(op);
    struct bulk_run run = bulk_run(op);
    struct error err;

    return finish_bulk(queue_retry_jobs(world_queue(op)->queue, &spec, 0, &run, &err), &err);
}

static json_t *op_promote_jobs(const json_t *op)
{
    struct bulk_run run = bulk_run(op);
    struct error err;

    return finish_bulk(queue_promote_jobs(world_queue(op)->queue, &run, &err), &err);
}

static json_t *op_obliterate(const json_t *op)
{
    struct bulk_run run = bulk_run(op);
    struct error err;

    return finish_bulk(queue_obliterate(world_queue(op)->queue,
                                        json_is_true(json_object_get(op, "force")), &run, &err),
                       &err);
}

/* ---- the queue */

static json_t *op_concurrency(const json_t *op)
{
    struct queue *queue = world_queue(op)->queue;
    uint64_t count = op_uint(op, "count");
    struct error err;

    return finish_code(count ? queue_set_global_concurrency(queue, count, on_code, NULL, &err)
                             : queue_remove_global_concurrency(queue, on_code, NULL, &err),
                       &err);
}

static json_t *op_rate(const json_t *op)
{
    struct queue *queue = world_queue(op)->queue;
    uint64_t max = op_uint(op, "max");
    struct error err;

    return finish_code(
        max ? queue_set_global_rate_limit(queue, max, op_uint(op, "ms"), on_code, NULL, &err)
            : queue_remove_global_rate_limit(queue, on_code, NULL, &err),
        &err);
}

static json_t *op_limit_now(const json_t *op)
{
    struct error err;

    return finish_code(
        queue_limit_rate_now(world_queue(op)->queue, op_uint(op, "ms"), on_code, NULL, &err), &err);
}

/* ---- schedulers */

static void on_upserted(struct queue *queue, const struct call_result *call,
                        const struct scheduler_upsert *result, void *arg)
{
    json_t *answer = arg;

    (void)queue;
    if (call->outcome != REDIS_REPLY)
        die("scheduler: %s", call->why);
    if (result->code != SCHEDULER_OK) {
        (void)json_object_set_new(answer, "code", json_integer(result->code));
        return;
    }
    (void)json_object_set_new(answer, "job", json_string(result->job_id));
    world_meet("all", &world.queues[0], result->job_id, strlen(result->job_id));
}

static json_t *op_scheduler(const json_t *op)
{
    _cleanup_(freep) char *value =
        json_dumps(json_object_get(op, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    _cleanup_(freep) char *opts =
        json_dumps(json_object_get(op, "opts"), JSON_COMPACT | JSON_ENCODE_ANY);
    struct scheduler_spec spec = {
        .id = op_bytes(op, "id"),
        .name = op_bytes(op, "name"),
        .data = { value, value ? strlen(value) : 0 },
        .opts = { opts, opts ? strlen(opts) : 0 },
        .every_ms = op_uint(op, "every"),
        .pattern = op_bytes(op, "pattern"),
        .tz = op_bytes(op, "tz"),
        .has_limit = json_object_get(op, "limit") != NULL,
        .limit = op_uint(op, "limit"),
    };
    json_t *answer;
    struct error err;
    int code;

    /* Stock 6 doesn't find the pending job of a paused queue. */
    if (world.major == 6 &&
        connection_tell("HEXISTS %smeta paused", queue_key_prefix(world.queues[0].queue)) == 1)
        return answer_none();
    answer = json_object();
    code = queue_upsert_scheduler(world.queues[0].queue, &spec, on_upserted, answer, &err);
    if (code == -ERANGE)
        return answer;
    if (code < 0)
        die("scheduler: %s", err.text);
    connection_run();
    return answer;
}

static json_t *op_remove_scheduler(const json_t *op)
{
    struct error err;

    return finish_code(
        queue_remove_scheduler(world.queues[0].queue, op_bytes(op, "id"), on_code, NULL, &err),
        &err);
}

const struct op_row ops_change[] = {
    { "promote", op_promote },
    { "retry", op_retry },
    { "priority", op_priority },
    { "changeDelay", op_change_delay },
    { "data", op_data },
    { "detach", op_detach },
    { "remove", op_remove },
    { "drain", op_drain },
    { "clean", op_clean },
    { "obliterate", op_obliterate },
    { "retryJobs", op_retry_jobs },
    { "promoteJobs", op_promote_jobs },
    { "concurrency", op_concurrency },
    { "rate", op_rate },
    { "limitNow", op_limit_now },
    { "scheduler", op_scheduler },
    { "removeScheduler", op_remove_scheduler },
    { NULL, NULL },
};
