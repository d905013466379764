/* The worker's part of schedulers: the next iteration after one that was fetched (wire format 9.4).
 * With an interval the script finds the time; with a pattern it is found here, and again when a job
 * of that time exists. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/queue/queue_internal.h"
#include "common/queue/repeat.h"

#define TIMES_MAX \
    33 /* times of a pattern tried, as many as slots of an interval (lua/lib/iteration.lua) */
#define ARGS      (QUEUE_ARGS_STANDARD + 4)
#define ID_PREFIX "repeat:"

/* Answers of lua/iterate.lua. */
enum { ITERATE_CONTINUED, ITERATE_ALREADY, ITERATE_TAKEN, ITERATE_REMOVED };

struct continue_call {
    struct queue *queue;
    const struct job *job; /* borrowed */
    queue_continue_cb *on_done;
    void *arg;
    struct repeat repeat;
    char *scheduler; /* owned */
    char *other_key; /* owned; where the scheduler may be instead; NULL: nowhere */
    uint64_t due_ms; /* with a pattern: the time tried last */
    size_t times;    /* tried */
};

static void call_free(struct continue_call *call)
{
    repeat_done(&call->repeat);
    free(call->scheduler);
    free(call->other_key);
    free(call);
}

static void call_freep(struct continue_call **call)
{
    if (*call)
        call_free(*call);
}

static void end_call(struct continue_call *call, const struct call_result *result,
                     enum scheduler_step step, const char *next_id)
{
    struct scheduler_continued continued = { step, next_id };

    call->on_done(call->queue, result, result->outcome == REDIS_REPLY ? &continued : NULL,
                  call->arg);
    call_free(call);
}

/* A step that could not be sent. */
static void end_unsent(struct continue_call *call, const struct error *err)
{
    struct call_result result = { REDIS_REFUSED, REDIS_CLASS_OTHER, err->text };

    if (err->code == -ENOTCONN || err->code == -ENOBUFS)
        result.outcome = REDIS_UNKNOWN;
    end_call(call, &result, SCHEDULER_ENDED, NULL);
}

/* Past the id's "repeat:", up to its last colon; absent when it has no such form. */
static struct bytes middle_of(struct bytes id)
{
    const size_t prefix = strlen(ID_PREFIX);
    const char *colon = memrchr(id.data, ':', id.len);

    if (id.len <= prefix || memcmp(id.data, ID_PREFIX, prefix) != 0 || colon < id.data + prefix)
        return (struct bytes){ 0 };
    return (struct bytes){ id.data + prefix, (size_t)(colon - id.data) - prefix };
}

/* Where jobs of before BullMQ 5 have their scheduler. */
static char *legacy_key(const struct job *job, const struct repeat *repeat)
{
    char end[24] = "", every[24] = "";

    if (repeat->end_at_ms > 0)
        (void)snprintf(end, sizeof(end), "%llu", (unsigned long long)repeat->end_at_ms);
    if (repeat->every_ms > 0)
        (void)snprintf(every, sizeof(every), "%llu", (unsigned long long)repeat->every_ms);
    return text_format("%.*s:%s:%s:%s:%s", (int)job->name.len, job->name.data, repeat->job_id, end,
                       repeat->tz, *repeat->pattern ? repeat->pattern : every);
}

static int find_scheduler(struct continue_call *call, struct error *err)
{
    const struct job *job = call->job;
    struct bytes id = job->scheduler.data ? job->scheduler : middle_of(job->id);

    if (!job->scheduler.data) {
        call->other_key = legacy_key(job, &call->repeat);
        if (!call->other_key)
            return error_set(err, -ENOMEM, "allocate a call");
    }
    call->scheduler = id.data ? strndup(id.data, id.len) : strdup("");
    return call->scheduler ? 0 : error_set(err, -ENOMEM, "allocate a call");
}

static redis_reply_cb on_iterated;

static int send_call(struct continue_call *call, struct error *err)
{
    struct queue *queue = call->queue;
    int code = queue_args_begin(queue, ARGS, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_bytes(queue, call->job->id);
    queue_args_add_text(queue, call->scheduler);
    if (call->due_ms > 0)
        queue_args_add_uint(queue, call->due_ms);
    else
        queue_args_add_text(queue, "");
    return queue_args_run(queue, &queue_script_iterate, QUEUE_KEY_COUNT, on_iterated, call, err);
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){ text, strlen(text) };
}

/* The next time to try. -ERANGE: there is none. */
static int find_time(struct continue_call *call, struct error *err)
{
    const struct repeat *repeat = &call->repeat;
    uint64_t from_ms = clock_wall_ms();

    if (repeat->every_ms > 0)
        return 0;
    if (from_ms < repeat->prev_ms)
        from_ms = repeat->prev_ms;
    if (from_ms < call->due_ms)
        from_ms = call->due_ms;
    return repeat_next_time(text_bytes(repeat->pattern), text_bytes(repeat->tz), from_ms,
                            repeat->start_at_ms, repeat->end_at_ms, &call->due_ms, err);
}

/* 0 sent; 1 the schedule has ended; negative: not sent. */
static int send_next(struct continue_call *call, struct error *err)
{
    int code;

    if (!repeat_goes_on(&call->repeat, clock_wall_ms()))
        return 1;
    code = find_time(call, err);
    if (code == -ERANGE)
        return 1;
    return code < 0 ? code : send_call(call, err);
}

/* After a reply: the same, or the end is told. */
static void go_on(struct continue_call *call, const struct call_result *result)
{
    struct error err = { 0 };
    int code = send_next(call, &err);

    if (code == 1)
        end_call(call, result, SCHEDULER_ENDED, NULL);
    else if (code < 0)
        end_unsent(call, &err);
}

static void try_other_key(struct continue_call *call)
{
    struct error err = { 0 };

    free(call->scheduler);
    call->scheduler = TAKE_PTR(call->other_key);
    if (send_call(call, &err) < 0)
        end_unsent(call, &err);
}

static void on_iterated(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg)
{
    struct continue_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 2);

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_call(call, &result, SCHEDULER_ENDED, NULL);
        return;
    }
    switch (reply->element[0]->integer) {
    case ITERATE_CONTINUED:
        end_call(call, &result, SCHEDULER_CONTINUED, reply->element[1]->str);
        break;
    case ITERATE_ALREADY:
        end_call(call, &result, SCHEDULER_ALREADY, NULL);
        break;
    case ITERATE_TAKEN:
        if (call->due_ms > 0 && ++call->times < TIMES_MAX)
            go_on(call, &result);
        else
            end_call(call, &result, SCHEDULER_TAKEN, NULL);
        break;
    default:
        if (call->other_key)
            try_other_key(call);
        else
            end_call(call, &result, SCHEDULER_REMOVED, NULL);
    }
}

/* The job's opts tell no rule; its scheduler does. */
static void on_found(struct queue *queue, const struct call_result *result,
                     const struct scheduler_entry *entries, size_t count, uint64_t total, void *arg)
{
    struct continue_call *call = arg;
    struct error err = { 0 };

    (void)queue;
    (void)total;
    repeat_done(&call->repeat);
    if (result->outcome != REDIS_REPLY)
        end_call(call, result, SCHEDULER_ENDED, NULL);
    else if (count == 0)
        end_call(call, result, SCHEDULER_REMOVED, NULL);
    else if (repeat_copy(&entries[0], &call->repeat, &err) < 0)
        end_unsent(call, &err);
    else
        go_on(call, result);
}

int queue_continue_scheduler(struct queue *queue, const struct job *job, queue_continue_cb *on_done,
                             void *arg, struct error *err)
{
    _cleanup_(call_freep) struct continue_call *call = calloc(1, sizeof(*call));
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    call->queue = queue;
    call->job = job;
    call->on_done = on_done;
    call->arg = arg;
    code = repeat_read(job->opts, &call->repeat, err);
    if (code >= 0)
        code = find_scheduler(call, err);
    if (code < 0)
        return code;
    if (call->repeat.every_ms == 0 && !*call->repeat.pattern)
        code = queue_get_scheduler(queue, text_bytes(call->scheduler), on_found, call, err);
    else
        code = send_next(call, err);
    if (code == 0)
        (void)TAKE_PTR(call); /* end_call frees it */
    return code;
}
