/* recover.c - jobs of a process that is dead: fencing it, and giving back what it held.
 * lua/recover.lua does a piece a call; what was done so far stays done whatever becomes of the next
 * call. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/queue/queue_internal.h"

/* ---- deaths
 * --------------------------------------------------------------------------------------------- */

const char *queue_write_death(struct bytes cause, char out[QUEUE_DEATH_BYTES])
{
    time_t now_s = (time_t)(clock_wall_ms() / 1000);
    size_t cause_len = cause.data ? cause.len : 0, len, room;
    struct tm now = { 0 };

    (void)gmtime_r(&now_s, &now); /* fails past the year 2^31 only */
    len = strftime(out, QUEUE_DEATH_BYTES, "%Y-%m-%dT%H:%M:%SZ ", &now); /* fits: 21 characters */
    room = QUEUE_DEATH_BYTES - 1 - len;
    cause_len = text_utf8_prefix(cause.data ? cause.data : "", cause_len < room ? cause_len : room);
    if (cause_len > 0)
        memcpy(out + len, cause.data, cause_len);
    out[len + cause_len] = '\0';
    return out;
}

/* ---- walks
 * ---------------------------------------------------------------------------------------------- */

struct call_result queue_walk_unsent(const struct error *err)
{
    return (struct call_result){ REDIS_UNKNOWN, REDIS_CLASS_NONE, err->text };
}

int queue_walk_check_calls(size_t calls, struct error *err)
{
    if (calls < QUEUE_WALK_CALLS_MAX)
        return 0;
    return error_set(err, -ELOOP, "the list of active jobs has no end after %zu looks", calls);
}

/* ---- recover
 * -------------------------------------------------------------------------------------------- */

/* Elements of the reply; recover.lua's head lists the same. */
enum { RECOVER_GIVEN_BACK, RECOVER_FAILED, RECOVER_COMPLETE, RECOVER_ANCHORS };

struct recover_call {
    struct queue *queue;
    queue_recover_cb *on_done;
    void *arg;
    struct recover_result result; /* of all calls so far */
    size_t calls;
    uint64_t max_givebacks;
    char death[QUEUE_DEATH_BYTES]; /* "" not counted */
    char uuid[];
};

static void on_recovered(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                         const char *why, void *arg);

/* `call` belongs to on_recovered when it was sent, else still to the caller. */
static int send_recover(struct recover_call *call, redisReply *const *anchors, size_t count,
                        struct error *err)
{
    struct queue *queue = call->queue;
    int code = queue_walk_check_calls(call->calls++, err);

    if (code == 0)
        code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 5 + count, err);
    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, call->uuid);
    queue_args_add_text(queue, call->death);
    queue_args_add_uint(queue, call->max_givebacks);
    queue_args_add_uint(queue, QUEUE_WALK_PIECE);
    queue_args_add_elements(queue, anchors, count);
    return queue_args_run(queue, &queue_script_recover, QUEUE_KEY_COUNT, on_recovered, call, err);
}

static void end_recover(struct recover_call *call, const struct call_result *result)
{
    call->on_done(call->queue, result, &call->result, call->arg);
    free(call);
}

static void on_recovered(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                         const char *why, void *arg)
{
    struct recover_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, RECOVER_ANCHORS);
    struct error err;

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        call->result.given_back += queue_reply_uint(reply->element[RECOVER_GIVEN_BACK], 0);
        call->result.failed += queue_reply_uint(reply->element[RECOVER_FAILED], 0);
        if (!queue_reply_uint(reply->element[RECOVER_COMPLETE], 1)) {
            if (send_recover(call, reply->element + RECOVER_ANCHORS,
                             reply->elements - RECOVER_ANCHORS, &err) == 0)
                return;
            result = queue_walk_unsent(&err);
        }
    }
    end_recover(call, &result);
}

int queue_recover(struct queue *queue, const struct recover_spec *spec, queue_recover_cb *on_done,
                  void *arg, struct error *err)
{
    size_t uuid_len = strlen(spec->uuid);
    bool counted = spec->cause && *spec->cause;
    _cleanup_(freep) struct recover_call *call = NULL;
    int code;

    if (uuid_len == 0) /* every lock of another form would look like its */
        return error_set(err, -EINVAL, "recover a process without a uuid");
    call = malloc(sizeof(*call) + uuid_len + 1);
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct recover_call){ .queue = queue,
                                   .on_done = on_done,
                                   .arg = arg,
                                   .max_givebacks = spec->max_givebacks ? spec->max_givebacks : 1 };
    memcpy(call->uuid, spec->uuid, uuid_len + 1);
    if (counted)
        (void)queue_write_death((struct bytes){ spec->cause, strlen(spec->cause) }, call->death);
    code = send_recover(call, NULL, 0, err);
    if (code == 0)
        (void)TAKE_PTR(call); /* on_recovered frees it */
    return code;
}

/* ---- fence
 * ---------------------------------------------------------------------------------------------- */

int queue_fence(struct queue *queue, const char *uuid, queue_done_cb *on_done, void *arg,
                struct error *err)
{
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 1, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, uuid);
    return queue_args_run_for_number(queue, &queue_script_fence, on_done, arg, err);
}
