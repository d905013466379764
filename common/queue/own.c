/* own.c - keeping what is ours: locks, what became of lost calls, jobs of the vanished, and waiting
 * for work. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/queue_internal.h"

/* A process that has not beaten for so long is not counted among the living. It beats every 2 s. */
#define LIVING_MS 8000

/* ---- renew
 * ---------------------------------------------------------------------------------------------- */

struct renew_call {
    struct queue *queue;
    queue_renew_cb *on_done;
    void *arg;
    size_t count;
};

static enum lock_answer lock_answer(char letter)
{
    return letter == 'E' ? LOCK_EXTENDED : letter == 'R' ? LOCK_RELOCKED : LOCK_LOST;
}

/* Both scripts answer a text of one letter a job. One of another length is an answer to another
 * question. */
static void check_letters(struct call_result *result, struct bytes letters, size_t count)
{
    if (result->outcome == REDIS_REPLY && letters.len != count)
        *result = queue_call_result(REDIS_REPLY, NULL, "", 1);
}

/* Elements of renew.lua's reply. */
enum { RENEW_LIVE, RENEW_LETTERS, RENEW_FENCED, RENEW_WAITING, RENEW_OLDEST, RENEW_ELEMENTS };

static struct renew_state read_state(redisReply *const *at)
{
    const redisReply *waiting = at[RENEW_WAITING];

    return (struct renew_state){
        .live = queue_reply_uint(at[RENEW_LIVE], 1),
        .fenced = queue_reply_uint(at[RENEW_FENCED], 0) != 0,
        .waiting_known = waiting->type == REDIS_REPLY_INTEGER && waiting->integer >= 0,
        .waiting = queue_reply_uint(waiting, 0),
        .oldest_at_ms = queue_reply_uint(at[RENEW_OLDEST], 0),
    };
}

static void on_renewed(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    _cleanup_(freep) struct renew_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, RENEW_ELEMENTS);
    enum lock_answer answers[QUEUE_RENEW_MAX];
    struct bytes letters = { 0 };
    struct renew_state state;

    (void)redis;
    if (result.outcome == REDIS_REPLY)
        letters = queue_reply_bytes(reply->element[RENEW_LETTERS]);
    check_letters(&result, letters, call->count);
    if (result.outcome != REDIS_REPLY) {
        call->on_done(call->queue, &result, NULL, 0, NULL, call->arg);
        return;
    }
    for (size_t i = 0; i < call->count; i++)
        answers[i] = lock_answer(letters.data[i]);
    state = read_state(reply->element);
    call->on_done(call->queue, &result, answers, call->count, &state, call->arg);
}

int queue_renew(struct queue *queue, const struct fetcher *fetcher, const struct job *const *jobs,
                size_t count, queue_renew_cb *on_done, void *arg, struct error *err)
{
    struct renew_call *call;
    int code;

    if (count > QUEUE_RENEW_MAX)
        return error_set(err, -EINVAL, "renew %zu locks in one call: at most %d", count,
                         QUEUE_RENEW_MAX);
    code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 4 + count * 3 + QUEUE_IDENTITY_ARGS, err);
    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, fetcher->uuid);
    queue_args_add_uint(queue, fetcher->lock_ms);
    queue_args_add_uint(queue, LIVING_MS);
    queue_args_add_uint(queue, count);
    for (size_t i = 0; i < count; i++) {
        queue_args_add_bytes(queue, jobs[i]->id);
        queue_args_add_text(queue, jobs[i]->token);
        queue_args_add_uint(queue, jobs[i]->attempts_started);
    }
    queue_args_add_identity(queue, fetcher->identity);
    call = malloc(sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct renew_call){ queue, on_done, arg, count };
    code = queue_args_run(queue, &queue_script_renew, QUEUE_KEY_COUNT, on_renewed, call, err);
    if (code < 0)
        free(call);
    return code;
}

/* ---- outcome
 * -------------------------------------------------------------------------------------------- */

struct outcome_call {
    struct queue *queue;
    queue_outcome_cb *on_done;
    void *arg;
    size_t count;
    enum job_outcome outcomes[]; /* count of them */
};

static enum job_outcome outcome_of(char letter)
{
    switch (letter) {
    case 'D':
        return OUTCOME_DONE;
    case 'M':
        return OUTCOME_MINE;
    case 'F':
        return OUTCOME_FREE;
    default:
        return OUTCOME_NOT_MINE;
    }
}

static void on_outcomes(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg)
{
    _cleanup_(freep) struct outcome_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    struct bytes letters = queue_reply_bytes(reply);

    (void)redis;
    check_letters(&result, letters, call->count);
    if (result.outcome != REDIS_REPLY) {
        call->on_done(call->queue, &result, NULL, 0, call->arg);
        return;
    }
    for (size_t i = 0; i < call->count; i++)
        call->outcomes[i] = outcome_of(letters.data[i]);
    call->on_done(call->queue, &result, call->outcomes, call->count, call->arg);
}

static int add_outcome(struct queue *queue, const struct fetcher *fetcher,
                       const struct job *const *settled, const uint64_t *settle_calls, size_t count,
                       struct error *err)
{
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 3 + count * 3, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, fetcher->uuid);
    queue_args_add_uint(queue, fetcher->calls);
    queue_args_add_uint(queue, count);
    for (size_t i = 0; i < count; i++) {
        queue_args_add_bytes(queue, settled[i]->id);
        queue_args_add_text(queue, settled[i]->token);
        queue_args_add_uint(queue, settle_calls[i]);
    }
    return 0;
}

int queue_outcome(struct queue *queue, const struct fetcher *fetcher,
                  const struct job *const *settled, const uint64_t *settle_calls, size_t count,
                  queue_outcome_cb *on_done, void *arg, struct error *err)
{
    struct outcome_call *call;
    int code;

    if (queue->turns_under_way > 0) /* it would be refused, and its number is not known yet */
        return error_set(err, -EBUSY, "a call of this queue is still under way");
    code = add_outcome(queue, fetcher, settled, settle_calls, count, err);
    if (code < 0)
        return code;
    call = malloc(sizeof(*call) + count * sizeof(call->outcomes[0]));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->count = count;
    code = queue_args_run(queue, &queue_script_outcome, QUEUE_KEY_COUNT, on_outcomes, call, err);
    if (code < 0)
        free(call);
    return code;
}

/* ---- calls that answer with a number
 * -------------------------------------------------------------------- */

int queue_leave(struct queue *queue, const struct fetcher *fetcher, queue_done_cb *on_done,
                void *arg, struct error *err)
{
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 1, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, fetcher->uuid);
    return queue_args_run_for_number(queue, &queue_script_leave, on_done, arg, err);
}

/* ---- the stalled check: the same script again until it is complete
 * ------------------------------------ */

struct stalled_call {
    struct queue *queue;
    queue_done_cb *on_done;
    void *arg;
    uint64_t interval_ms, max_stalled;
    int64_t put_back;
    size_t calls;
};

static redis_reply_cb on_stalled;

static int send_stalled(struct stalled_call *call, struct bytes from, struct error *err)
{
    struct queue *queue = call->queue;
    int code = queue_walk_check_calls(call->calls++, err);

    if (code == 0)
        code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 4, err);
    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_uint(queue, call->interval_ms);
    queue_args_add_uint(queue, call->max_stalled);
    queue_args_add_bytes(queue, from);
    return queue_args_run(queue, &queue_script_stalled, QUEUE_KEY_COUNT, on_stalled, call, err);
}

static void end_stalled(struct stalled_call *call, const struct call_result *result)
{
    call->on_done(call->queue, result, call->put_back, call->arg);
    free(call);
}

static void on_stalled(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    struct stalled_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 2);
    struct bytes from;
    struct error err = { 0 };

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_stalled(call, &result);
        return;
    }
    if (reply->element[0]->type == REDIS_REPLY_INTEGER)
        call->put_back += reply->element[0]->integer;
    from = queue_reply_bytes(reply->element[1]);
    if (from.len == 0) {
        end_stalled(call, &result);
        return;
    }
    if (send_stalled(call, from, &err) < 0) {
        result = queue_walk_unsent(&err);
        end_stalled(call, &result);
    }
}

int queue_check_stalled(struct queue *queue, uint64_t interval_ms, uint64_t max_stalled,
                        queue_done_cb *on_done, void *arg, struct error *err)
{
    static const struct bytes begin = { "begin", 5 };
    struct stalled_call *call = malloc(sizeof(*call));
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct stalled_call){
        .queue = queue,
        .on_done = on_done,
        .arg = arg,
        .interval_ms = interval_ms ? interval_ms : 1,
        .max_stalled = max_stalled,
    };
    code = send_stalled(call, begin, err);
    if (code < 0)
        free(call);
    return code;
}

/* ---- waiting for work
 * ----------------------------------------------------------------------------------- */

#define BLOCK_MIN_MS   2    /* before Redis 7.0.8 shorter ones block for ever (wire format 4.2) */
#define BLOCK_GRACE_MS 5000 /* idle servers look at their timeouts ten times a second */

struct wait_call {
    struct queue *queue;
    queue_wait_cb *on_done;
    void *arg;
};

/* The due time in a marker's score, which may be fractional; 0 for work now. */
static uint64_t marker_due_ms(const redisReply *score)
{
    struct bytes text = queue_reply_bytes(score);
    double value = text.data ? strtod(text.data, NULL) : 0;

    return value >= 1 && value < 0x1p53 ? (uint64_t)value : 0;
}

static void on_marker(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    _cleanup_(freep) struct wait_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    uint64_t due_ms = UINT64_MAX;

    (void)redis;
    if (outcome == REDIS_REPLY && reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3)
        due_ms = marker_due_ms(reply->element[2]);
    call->on_done(call->queue, &result, due_ms, call->arg);
}

int queue_wait_marker(struct queue *queue, struct redis *blocking, uint64_t timeout_ms,
                      queue_wait_cb *on_done, void *arg, struct error *err)
{
    struct bytes key = queue->keys[QUEUE_KEY_MARKER];
    uint64_t block_ms = timeout_ms > BLOCK_MIN_MS ? timeout_ms : BLOCK_MIN_MS;
    struct wait_call *call = malloc(sizeof(*call));
    char seconds[QUEUE_NUMBER_BYTES + 4];
    const char *argv[] = { "BZPOPMIN", key.data, seconds };
    size_t lens[3] = { strlen(argv[0]), key.len, 0 };
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    (void)snprintf(seconds, sizeof(seconds), "%llu.%03u", (unsigned long long)(block_ms / 1000),
                   (unsigned)(block_ms % 1000));
    lens[2] = strlen(seconds);
    *call = (struct wait_call){ queue, on_done, arg };
    code = redis_command(blocking, 3, argv, lens, block_ms + BLOCK_GRACE_MS, on_marker, call, err);
    if (code < 0)
        free(call);
    return code;
}

int queue_return_marker(struct queue *queue, queue_done_cb *on_done, void *arg, struct error *err)
{
    struct bytes key = queue->keys[QUEUE_KEY_MARKER];
    const char *argv[] = { "ZADD", key.data, "0", "0" };
    const size_t lens[] = { strlen(argv[0]), key.len, 1, 1 };
    struct queue_done_call *call;
    int code;

    if (!queue->redis)
        return error_set(err, -ENOTCONN, "queue %s has no connection", queue->name);
    call = queue_done_call_new(queue, on_done, arg);
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    code = redis_command(queue->redis, 4, argv, lens, 0, queue_on_number, call, err);
    if (code < 0)
        free(call);
    return code;
}

/* ---- the queue's concurrency
 * --------------------------------------------------------------------------------------- */

int queue_apply_concurrency(struct queue *queue, uint64_t concurrency, queue_done_cb *on_done,
                            void *arg, struct error *err)
{
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 1, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, concurrency);
    return queue_args_run_for_number(queue, &queue_script_apply_concurrency, on_done, arg, err);
}
