/* Operations on a queue as a whole, and on jobs that nobody holds. */
#include <string.h>

#include "common/queue/bulk.h"
#include "common/queue/settings.h"
#include "tests/interop/driver/driver.h"

static json_t *op_pause(const json_t *op)
{
    struct error err;

    return finish_code(queue_pause(world_queue(op)->queue, on_code, NULL, &err), &err);
}

static json_t *op_resume(const json_t *op)
{
    struct error err;

    return finish_code(queue_resume(world_queue(op)->queue, on_code, NULL, &err), &err);
}

/* A key of the queue expires, if it is there. */
static json_t *op_expire(const json_t *op)
{
    (void)connection_tell("DEL %s%s", queue_key_prefix(world_queue(op)->queue), op_text(op, "key"));
    return json_object();
}

/* Half of the time to live of a key passes, if it has one. */
static json_t *op_age(const json_t *op)
{
    (void)connection_tell("PEXPIRE %s%s %llu XX", queue_key_prefix(world_queue(op)->queue),
                          op_text(op, "key"), (unsigned long long)op_uint(op, "ms"));
    return json_object();
}

static json_t *op_progress(const json_t *op)
{
    const struct met *job = world_pick(op);
    _cleanup_(freep) char *value =
        json_dumps(json_object_get(op, "value"), JSON_COMPACT | JSON_ENCODE_ANY);
    struct error err;

    if (!job)
        return answer_none();
    return about(job, finish_code(queue_update_progress(job->queue->queue, job->id, value,
                                                        strlen(value), on_code, NULL, &err),
                                  &err));
}

static json_t *op_log(const json_t *op)
{
    const struct met *job = world_pick(op);
    struct bytes row = op_bytes(op, "row");
    int64_t keep = op_uint(op, "keep") ? (int64_t)op_uint(op, "keep") : -1;
    struct error err;

    if (!job)
        return answer_none();
    return about(job, finish_code(queue_add_log(job->queue->queue, job->id, row.data, row.len, keep,
                                                on_code, NULL, &err),
                                  &err));
}

const struct op_row ops_queue[] = {
    { "pause", op_pause }, { "resume", op_resume },     { "expire", op_expire },
    { "age", op_age },     { "progress", op_progress }, { "log", op_log },
    { NULL, NULL },
};
