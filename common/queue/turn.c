/* turn.c - the one call of a worker: what it has finished goes out, what it shall run comes back.
 * Nothing is allocated per argument. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/queue/queue_internal.h"

/* ---- the arguments
 * -------------------------------------------------------------------------------------- */

#define TURN_OWN_ARGS    14
#define TURN_SETTLE_ARGS 7 /* of the longest kind */
#define KEEP_TEXT_BYTES  96
#define DELAY_MAX_MS     ((uint64_t)1 << 40) /* 34 years: scores stay whole numbers in a double */
#define AGE_LIMIT        1000                /* BullMQ's default of keep.limit (wire format 5.2) */

/* "" all, "0" none, else "count age limit". */
static const char *keep_text(const struct job_keep *keep, char text[KEEP_TEXT_BYTES])
{
    bool by_age = keep->age_s > 0;

    if (!keep->present || (keep->count < 0 && !by_age))
        return "";
    if (keep->count == 0)
        return "0";
    (void)snprintf(text, KEEP_TEXT_BYTES, "%lld %.17g %llu", (long long)keep->count,
                   by_age ? keep->age_s : -1.0,
                   (unsigned long long)(keep->limit ? keep->limit : AGE_LIMIT));
    return text;
}

static void add_value(struct queue *queue, struct bytes value)
{
    if (value.data)
        queue_args_add_bytes(queue, value);
    else
        queue_args_add_text(queue, "null"); /* what a stock worker stores for nothing */
}

static void add_delay(struct queue *queue, uint64_t delay_ms)
{
    queue_args_add_uint(queue, delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS);
}

/* What add_settle writes itself: an argument is borrowed until the call is sent. */
union settle_texts {
    char keep[KEEP_TEXT_BYTES];
    char death[QUEUE_DEATH_BYTES];
};

static uint64_t delay_of(const struct settle *settle, uint64_t now_ms)
{
    if (settle->due_at_ms == 0)
        return settle->delay_ms;
    return settle->due_at_ms > now_ms ? settle->due_at_ms - now_ms : 0;
}

static void add_settle(struct queue *queue, const struct settle *settle, uint64_t now_ms,
                       union settle_texts *texts)
{
    const struct job *job = settle->job;

    queue_args_add_bytes(queue, job->id);
    queue_args_add_text(queue, job->token);
    switch (settle->kind) {
    case SETTLE_COMPLETE:
        queue_args_add_text(queue, "c");
        queue_args_add_text(queue, keep_text(&settle->keep, texts->keep));
        add_value(queue, settle->value);
        break;
    case SETTLE_FAIL:
        queue_args_add_text(queue, job->options_error ? "x" : "f");
        queue_args_add_text(queue, keep_text(&settle->keep, texts->keep));
        add_value(queue, settle->value);
        queue_args_add_bytes(queue, settle->stacktrace);
        queue_args_add_uint(queue, settle->attempts_max);
        break;
    case SETTLE_RETRY:
    case SETTLE_RETRY_LATER:
        queue_args_add_text(queue, settle->kind == SETTLE_RETRY_LATER ? "l"
                                   : job->options.lifo                ? "R"
                                                                      : "r");
        add_value(queue, settle->value);
        queue_args_add_bytes(queue, settle->stacktrace);
        if (settle->kind == SETTLE_RETRY_LATER)
            add_delay(queue, settle->delay_ms);
        break;
    case SETTLE_DELAY:
        queue_args_add_text(queue, "d");
        add_delay(queue, delay_of(settle, now_ms));
        break;
    case SETTLE_WAIT:
        queue_args_add_text(queue, "w");
        add_delay(queue, settle->delay_ms);
        break;
    case SETTLE_WAIT_CHILDREN:
        queue_args_add_text(queue, "k");
        break;
    case SETTLE_GIVE_BACK:
        queue_args_add_text(queue, "g");
        break;
    case SETTLE_GIVE_BACK_COUNTED:
        queue_args_add_text(queue, "G");
        queue_args_add_text(queue, queue_write_death(settle->value, texts->death));
        break;
    }
}

static void add_turn(struct queue *queue, const struct fetcher *fetcher, size_t count,
                     const struct fetch_want *want, uint64_t now_ms)
{
    uint64_t points = fetcher->metrics_points;

    queue_args_add_standard(queue);
    queue_args_add_uint(queue, now_ms);
    queue_args_add_text(queue, fetcher->uuid);
    queue_args_add_uint(queue, fetcher->calls);
    queue_args_add_uint(queue, fetcher->lock_ms);
    queue_args_add_text(queue, fetcher->worker_name ? fetcher->worker_name : "");
    queue_args_add_uint(queue, want->max < QUEUE_TURN_MAX ? want->max : QUEUE_TURN_MAX);
    queue_args_add_uint(queue, want->live ? want->live : 1);
    queue_args_add_uint(queue, want->bytes_max);
    queue_args_add_uint(queue, fetcher->max_givebacks ? fetcher->max_givebacks : 1);
    queue_args_add_text(queue, want->alone ? "1" : "0");
    queue_args_add_uint(queue, fetcher->limiter.max);
    queue_args_add_uint(queue, fetcher->limiter.duration_ms);
    queue_args_add_uint(queue,
                        points < QUEUE_METRICS_POINTS_MAX ? points : QUEUE_METRICS_POINTS_MAX);
    queue_args_add_uint(queue, count);
}

/* ---- the reply
 * ------------------------------------------------------------------------------------------ */

/* Elements of the reply; turn.lua's head lists the same. */
enum {
    TURN_WAITING,
    TURN_ACTIVE,
    TURN_NEXT_DUE,
    TURN_LIMIT,
    TURN_FLAGS,
    TURN_GHOSTS,
    TURN_QUARANTINED,
    TURN_CODES,
    TURN_JOBS
};
enum { FLAG_PAUSED = 1, FLAG_MAXED = 2, FLAG_MORE_DUE = 4, FLAG_FENCED = 8, FLAG_ALONE = 16 };

struct turn_call {
    struct queue *queue;
    queue_turn_cb *on_done;
    void *arg;
    size_t count;
    char token[QUEUE_TOKEN_BYTES]; /* of the locks of what it fetches */
};

/* A job for which there is no memory is not passed on: its lock runs out and the stalled check puts
 * it back. */
static size_t read_jobs(struct turn_call *call, const redisReply *reply, struct job **out_jobs)
{
    size_t count = 0;

    for (size_t i = TURN_JOBS; i < reply->elements && count < QUEUE_TURN_MAX; i++) {
        struct job *job = queue_read_job(call->queue, reply->element[i], call->token);

        if (job)
            out_jobs[count++] = job;
    }
    return count;
}

static struct settle_result read_code(const redisReply *reply)
{
    long long code = reply->type == REDIS_REPLY_INTEGER ? reply->integer : SETTLE_CORRUPT;

    switch (code) {
    case SETTLE_NO_CHILDREN:
    case SETTLE_OK:
    case SETTLE_GONE:
    case SETTLE_NO_LOCK:
    case SETTLE_NOT_ACTIVE:
    case SETTLE_CHILDREN_PENDING:
    case SETTLE_LOCK_OF_OTHER:
    case SETTLE_CHILDREN_FAILED:
        return (struct settle_result){ (enum settle_code)code, "" };
    default:
        return (struct settle_result){ SETTLE_CORRUPT, reply->str ? reply->str : "" };
    }
}

/* 0 in place of the codes: all are settled. */
static bool read_codes(const redisReply *codes, size_t count, struct settle_result *out_results)
{
    bool all = codes->type == REDIS_REPLY_INTEGER;

    if (!all && (codes->type != REDIS_REPLY_ARRAY || codes->elements != count))
        return false;
    for (size_t i = 0; i < count; i++)
        out_results[i] =
            all ? (struct settle_result){ SETTLE_OK, "" } : read_code(codes->element[i]);
    return true;
}

static struct fetch_state read_state(const redisReply *reply)
{
    uint64_t flags = queue_reply_uint(reply->element[TURN_FLAGS], 0);

    return (struct fetch_state){
        .waiting = queue_reply_uint(reply->element[TURN_WAITING], 0),
        .active = queue_reply_uint(reply->element[TURN_ACTIVE], 0),
        .next_due_ms = queue_reply_uint(reply->element[TURN_NEXT_DUE], 0),
        .limit_ms = queue_reply_uint(reply->element[TURN_LIMIT], 0),
        .paused = flags & FLAG_PAUSED,
        .maxed = flags & FLAG_MAXED,
        .more_due = flags & FLAG_MORE_DUE,
        .fenced = flags & FLAG_FENCED,
        .alone = flags & FLAG_ALONE,
        .ghosts = queue_reply_uint(reply->element[TURN_GHOSTS], 0),
        .quarantined = queue_reply_uint(reply->element[TURN_QUARANTINED], 0),
    };
}

static void on_turn(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    _cleanup_(freep) struct turn_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, TURN_JOBS);
    struct settle_result results[QUEUE_TURN_MAX];
    struct job *jobs[QUEUE_TURN_MAX];
    struct fetch_state state = { 0 };
    size_t jobs_count;
    bool done = result.outcome == REDIS_REPLY || result.outcome == REDIS_UNREPLICATED;

    (void)redis;
    call->queue->turns_under_way--;
    if (done && !read_codes(reply->element[TURN_CODES], call->count, results)) {
        result = queue_call_result(REDIS_REPLY, NULL, "", TURN_JOBS);
        done = false;
    }
    if (!done) {
        call->on_done(call->queue, &result, NULL, 0, NULL, 0, &state, call->arg);
        return;
    }
    state = read_state(reply);
    jobs_count = read_jobs(call, reply, jobs);
    call->on_done(call->queue, &result, results, call->count, jobs, jobs_count, &state, call->arg);
}

static int send_turn(struct queue *queue, const struct fetcher *fetcher,
                     const struct settle *settles, size_t count, const struct fetch_want *want,
                     struct turn_call *call, struct error *err)
{
    union settle_texts texts[QUEUE_TURN_MAX];
    uint64_t now_ms = clock_wall_ms();
    int code = queue_args_begin(
        queue, QUEUE_ARGS_STANDARD + TURN_OWN_ARGS + QUEUE_TURN_MAX * TURN_SETTLE_ARGS, err);

    if (code < 0)
        return code;
    add_turn(queue, fetcher, count, want, now_ms);
    for (size_t i = 0; i < count; i++)
        add_settle(queue, &settles[i], now_ms, &texts[i]);
    return queue_args_run_kept(queue, &queue_script_turn, QUEUE_KEY_COUNT, on_turn, call, err);
}

int queue_turn(struct queue *queue, struct fetcher *fetcher, const struct settle *settles,
               size_t count, const struct fetch_want *want, queue_turn_cb *on_done, void *arg,
               struct error *err)
{
    struct turn_call *call;
    int code;

    if (count > QUEUE_TURN_MAX)
        return error_set(err, -EINVAL, "settle %zu jobs in one call: at most %d", count,
                         QUEUE_TURN_MAX);
    call = malloc(sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    fetcher->calls++;
    *call = (struct turn_call){ queue, on_done, arg, count, "" };
    (void)snprintf(call->token, sizeof(call->token), "%s:%" PRIu64, fetcher->uuid,
                   fetcher->calls); /* 36 + 1 + 20 characters fit */
    code = send_turn(queue, fetcher, settles, count, want, call, err);
    if (code < 0) {
        fetcher->calls--; /* never sent */
        free(call);
        return code;
    }
    queue->turns_under_way++;
    return 0;
}
