/* adopt.c - jobs that lost calls fetched for this process and that never arrived.
 * lua/adopt.lua does a piece a call. It meets the newest jobs first; they are handed over in the
 * order of their fetching. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/queue_internal.h"

/* Elements of the reply; adopt.lua's head lists the same. */
enum { ADOPT_FENCED, ADOPT_GIVEN_BACK, ADOPT_COMPLETE, ADOPT_ANCHORS, ADOPT_JOBS };

struct known_job {
    char *id; /* owned */
    size_t id_len;
    char token[QUEUE_TOKEN_BYTES];
};

struct adopt_call {
    struct queue *queue;
    queue_adopt_cb *on_done;
    void *arg;
    struct fetcher *fetcher; /* borrowed: each call has a number of its own */
    uint64_t lock_ms;
    size_t calls, want; /* want: of all calls together */
    uint64_t given_back;
    bool fenced;
    struct job *jobs[QUEUE_ADOPT_MAX]; /* owned; adopted so far, newest first */
    size_t jobs_count;
    size_t known_count;
    struct known_job known[]; /* copied: the caller may free a job while the walk goes on */
};

static void free_adopt(struct adopt_call *call)
{
    if (!call)
        return;
    for (size_t i = 0; i < call->jobs_count; i++)
        job_free(call->jobs[i]);
    for (size_t i = 0; i < call->known_count; i++)
        free(call->known[i].id);
    free(call);
}

static void free_adoptp(struct adopt_call **call)
{
    free_adopt(*call);
}

static void on_adopted(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg);

/* What it adopted by earlier calls it knows as well: the walk may start again. */
static void add_known(struct queue *queue, const struct adopt_call *call)
{
    queue_args_add_uint(queue, call->known_count + call->jobs_count);
    for (size_t i = 0; i < call->known_count; i++) {
        queue_args_add(queue, call->known[i].id, call->known[i].id_len);
        queue_args_add_text(queue, call->known[i].token);
    }
    for (size_t i = 0; i < call->jobs_count; i++) {
        queue_args_add_bytes(queue, call->jobs[i]->id);
        queue_args_add_text(queue, call->jobs[i]->token);
    }
}

/* `call` belongs to on_adopted when it was sent, else still to the caller. */
static int send_adopt(struct adopt_call *call, redisReply *const *anchors, size_t count,
                      struct error *err)
{
    struct queue *queue = call->queue;
    size_t known = call->known_count + call->jobs_count;
    int code = queue_walk_check_calls(call->calls++, err);

    if (code == 0)
        code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 7 + 2 * known + count, err);
    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, call->fetcher->uuid);
    queue_args_add_uint(queue, call->lock_ms);
    queue_args_add_uint(queue, call->want - call->jobs_count);
    queue_args_add_uint(queue, QUEUE_WALK_PIECE);
    queue_args_add_uint(queue, ++call->fetcher->calls);
    add_known(queue, call);
    queue_args_add_elements(queue, anchors, count);
    return queue_args_run(queue, &queue_script_adopt, QUEUE_KEY_COUNT, on_adopted, call, err);
}

static void end_adopt(struct adopt_call *call, const struct call_result *result)
{
    size_t count = call->jobs_count;

    for (size_t i = 0; i < count / 2; i++) {
        struct job *other = call->jobs[i];

        call->jobs[i] = call->jobs[count - 1 - i];
        call->jobs[count - 1 - i] = other;
    }
    call->jobs_count = 0; /* the callee's from here on */
    call->on_done(call->queue, result, call->jobs, count, call->given_back, call->fenced,
                  call->arg);
    free_adopt(call);
}

static void take_jobs(struct adopt_call *call, const redisReply *reply)
{
    for (size_t i = ADOPT_JOBS; i < reply->elements && call->jobs_count < call->want; i++) {
        struct job *job = queue_read_job(call->queue, reply->element[i], NULL);

        if (job)
            call->jobs[call->jobs_count++] = job;
    }
}

static void on_adopted(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    struct adopt_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, ADOPT_JOBS);
    struct error err;

    (void)redis;
    if (result.outcome == REDIS_REPLY && reply->element[ADOPT_ANCHORS]->type != REDIS_REPLY_ARRAY)
        result = queue_call_result(REDIS_REPLY, NULL, "", ADOPT_JOBS);
    if (result.outcome == REDIS_REPLY) {
        const redisReply *anchors = reply->element[ADOPT_ANCHORS];

        call->fenced = queue_reply_uint(reply->element[ADOPT_FENCED], 0) != 0;
        call->given_back += queue_reply_uint(reply->element[ADOPT_GIVEN_BACK], 0);
        take_jobs(call, reply);
        if (!queue_reply_uint(reply->element[ADOPT_COMPLETE], 1)) {
            if (send_adopt(call, anchors->element, anchors->elements, &err) == 0)
                return;
            result = queue_walk_unsent(&err);
        }
    }
    end_adopt(call, &result);
}

/* NULL on no memory. */
static struct adopt_call *new_call(const struct job *const *known, size_t known_count)
{
    _cleanup_(free_adoptp) struct adopt_call *call =
        calloc(1, sizeof(*call) + known_count * sizeof(call->known[0]));

    for (size_t i = 0; call && i < known_count; i++) {
        struct known_job *copy = &call->known[i];

        copy->id = malloc(known[i]->id.len + 1);
        if (!copy->id)
            return NULL;
        call->known_count = i + 1;
        memcpy(copy->id, known[i]->id.data, known[i]->id.len);
        copy->id_len = known[i]->id.len;
        memcpy(copy->token, known[i]->token, sizeof(copy->token));
    }
    return TAKE_PTR(call);
}

int queue_adopt(struct queue *queue, struct fetcher *fetcher, const struct job *const *known,
                size_t known_count, size_t want, queue_adopt_cb *on_done, void *arg,
                struct error *err)
{
    _cleanup_(free_adoptp) struct adopt_call *call = NULL;
    int code;

    if (queue->turns_under_way > 0) /* what it fetches would look unknown */
        return error_set(err, -EBUSY, "a call of this queue is still under way");
    call = new_call(known, known_count);
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", known_count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->fetcher = fetcher;
    call->lock_ms = fetcher->lock_ms;
    call->want = want < QUEUE_ADOPT_MAX ? want : QUEUE_ADOPT_MAX;
    code = send_adopt(call, NULL, 0, err);
    if (code == 0)
        (void)TAKE_PTR(call); /* on_adopted frees it */
    return code;
}
