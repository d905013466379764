/* turn.c - the one call of a worker: what it has finished goes out, what it shall run comes back.
 * Nothing is allocated per argument; per fetched job one block holds the job and all its texts. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/queue/queue_internal.h"

/* ---- options by their text
 * Most jobs of a queue carry the same opts, byte for byte: parsing them again costs more than all
 * the rest that is done here for a job. Direct mapped; a newer text replaces an older one. */

#define OPTIONS_SLOTS    64
#define OPTIONS_TEXT_MAX 1024 /* longer ones are rare and are parsed each time */

struct options_slot {
    char *text; /* owned; NULL while empty */
    size_t len;
    struct job_options options;
};

struct options_cache {
    struct options_slot slots[OPTIONS_SLOTS];
};

void options_cache_free(struct options_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < OPTIONS_SLOTS; i++)
        free(cache->slots[i].text);
    free(cache);
}

/* FNV-1a. */
static uint32_t text_hash(const char *text, size_t len)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619U;
    return hash;
}

static struct options_slot *options_find_slot(struct queue *queue, struct bytes text)
{
    if (text.len > OPTIONS_TEXT_MAX)
        return NULL;
    if (!queue->options_cache)
        queue->options_cache = calloc(1, sizeof(*queue->options_cache));
    if (!queue->options_cache)
        return NULL; /* works without */
    return &queue->options_cache->slots[text_hash(text.data, text.len) % OPTIONS_SLOTS];
}

static void options_keep(struct options_slot *slot, struct bytes text,
                         const struct job_options *options)
{
    char *copy = malloc(text.len + 1);

    if (!copy)
        return; /* it is only a cache */
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    free(slot->text);
    slot->text = copy;
    slot->len = text.len;
    slot->options = *options;
}

/* Only texts that could be read are kept. */
static int options_read(struct queue *queue, struct bytes text, struct job_options *out,
                        struct error *err)
{
    struct options_slot *slot = options_find_slot(queue, text);
    int code;

    if (slot && slot->text && slot->len == text.len && !memcmp(slot->text, text.data, text.len)) {
        *out = slot->options;
        return 0;
    }
    code = job_options_parse(text.data, text.len, out, err);
    if (code >= 0 && slot)
        options_keep(slot, text, out);
    return code;
}

/* ---- the arguments
 * -------------------------------------------------------------------------------------- */

#define TURN_OWN_ARGS    9
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

static void add_settle(struct queue *queue, const struct settle *settle, char keep[KEEP_TEXT_BYTES])
{
    const struct job *job = settle->job;

    queue_args_add_bytes(queue, job->id);
    queue_args_add_text(queue, job->token);
    switch (settle->kind) {
    case SETTLE_COMPLETE:
        queue_args_add_text(queue, "c");
        queue_args_add_text(queue, keep_text(&settle->keep, keep));
        add_value(queue, settle->value);
        break;
    case SETTLE_FAIL:
        queue_args_add_text(queue, job->options_error ? "x" : "f");
        queue_args_add_text(queue, keep_text(&settle->keep, keep));
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
        add_delay(queue, settle->delay_ms);
        break;
    case SETTLE_GIVE_BACK:
        queue_args_add_text(queue, "g");
        break;
    }
}

static void add_turn(struct queue *queue, const struct fetcher *fetcher, size_t count,
                     const struct fetch_want *want)
{
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, fetcher->uuid);
    queue_args_add_uint(queue, fetcher->calls);
    queue_args_add_uint(queue, fetcher->lock_ms);
    queue_args_add_text(queue, fetcher->worker_name ? fetcher->worker_name : "");
    queue_args_add_uint(queue, want->max < QUEUE_TURN_MAX ? want->max : QUEUE_TURN_MAX);
    queue_args_add_uint(queue, want->live ? want->live : 1);
    queue_args_add_uint(queue, want->bytes_max);
    queue_args_add_uint(queue, count);
}

/* ---- the reply
 * ------------------------------------------------------------------------------------------ */

/* Elements of the reply, and of a job in it; turn.lua's head lists the same. */
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
enum { FLAG_PAUSED = 1, FLAG_MAXED = 2, FLAG_MORE_DUE = 4 };
enum {
    JOB_NAME,
    JOB_DATA,
    JOB_OPTS,
    JOB_TIMESTAMP,
    JOB_PRIORITY,
    JOB_ATM,
    JOB_ATS,
    JOB_STC,
    JOB_DEFA,
    JOB_STACKTRACE,
    JOB_RJK,
    JOB_PARENT_KEY,
    JOB_ID,
    JOB_FIELDS
};

struct turn_call {
    struct queue *queue;
    queue_turn_cb *on_done;
    void *arg;
    size_t count;
    uint64_t call;
    char uuid[40];
};

/* A whole number as parseInt reads it: up to what is no digit; 0 when there is none. */
static uint64_t field_uint(const redisReply *field)
{
    struct bytes text = queue_reply_bytes(field);
    uint64_t value = 0;

    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        if (value > (UINT64_MAX - 9) / 10)
            return value;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return value;
}

static struct bytes field_or(const redisReply *field, const char *fallback)
{
    struct bytes text = queue_reply_bytes(field);

    return text.data ? text : (struct bytes){ fallback, strlen(fallback) };
}

/* Copies into the job's own block. */
static struct bytes place_text(char **at, struct bytes text)
{
    char *start = *at;

    if (!text.data)
        return text;
    memcpy(start, text.data, text.len);
    start[text.len] = '\0';
    *at += text.len + 1;
    return (struct bytes){ start, text.len };
}

static void job_read_numbers(struct job *job, redisReply *const *fields)
{
    job->timestamp_ms = field_uint(fields[JOB_TIMESTAMP]);
    job->priority = field_uint(fields[JOB_PRIORITY]);
    job->attempts_made = field_uint(fields[JOB_ATM]);
    job->attempts_started = field_uint(fields[JOB_ATS]) + 1;
    job->stalled = field_uint(fields[JOB_STC]);
}

/* NULL on no memory. */
static struct job *job_new(struct turn_call *call, redisReply *const *fields)
{
    struct bytes texts[] = {
        queue_reply_bytes(fields[JOB_ID]),   field_or(fields[JOB_NAME], ""),
        field_or(fields[JOB_DATA], "{}"),    field_or(fields[JOB_OPTS], "{}"),
        queue_reply_bytes(fields[JOB_DEFA]), queue_reply_bytes(fields[JOB_STACKTRACE]),
        queue_reply_bytes(fields[JOB_RJK]),  queue_reply_bytes(fields[JOB_PARENT_KEY]),
    };
    size_t bytes = sizeof(struct job);
    struct job *job;
    char *at;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        bytes += texts[i].len + 1;
    job = malloc(bytes);
    if (!job)
        return NULL;
    *job = (struct job){ .call = call->call };
    at = (char *)(job + 1);
    job->id = place_text(&at, texts[0]);
    job->name = place_text(&at, texts[1]);
    job->data = place_text(&at, texts[2]);
    job->opts = place_text(&at, texts[3]);
    job->deferred_failure = place_text(&at, texts[4]);
    job->stacktrace = place_text(&at, texts[5]);
    job->scheduler = place_text(&at, texts[6]);
    job->parent_key = place_text(&at, texts[7]);
    job_read_numbers(job, fields);
    (void)snprintf(job->token, sizeof(job->token), "%s:%llu", call->uuid,
                   (unsigned long long)call->call); /* 36 + 1 + 20 characters fit */
    return job;
}

static int job_read_options(struct queue *queue, struct job *job)
{
    struct error err;

    if (options_read(queue, job->opts, &job->options, &err) >= 0)
        return 0;
    job->options = (struct job_options){ .stack_trace_limit = -1, .keep_logs = -1 };
    job->options_error = strdup(err.text);
    return job->options_error ? 0 : -ENOMEM;
}

static bool is_job(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == JOB_FIELDS &&
           queue_reply_bytes(reply->element[JOB_ID]).data;
}

/* A job for which there is no memory is not passed on: its lock runs out and the stalled check puts
 * it back. */
static size_t read_jobs(struct turn_call *call, const redisReply *reply, struct job **out_jobs)
{
    size_t count = 0;

    for (size_t i = TURN_JOBS; i < reply->elements && count < QUEUE_TURN_MAX; i++) {
        _cleanup_(job_freep) struct job *job = NULL;

        if (is_job(reply->element[i]))
            job = job_new(call, reply->element[i]->element);
        if (job && job_read_options(call->queue, job) == 0)
            out_jobs[count++] = TAKE_PTR(job);
    }
    return count;
}

static struct settle_result read_code(const redisReply *reply)
{
    long long code = reply->type == REDIS_REPLY_INTEGER ? reply->integer : SETTLE_CORRUPT;

    switch (code) {
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

    (void)redis;
    call->queue->turns_under_way--;
    if (result.outcome == REDIS_REPLY &&
        !read_codes(reply->element[TURN_CODES], call->count, results))
        result = queue_call_result(REDIS_REPLY, NULL, "", TURN_JOBS);
    if (result.outcome != REDIS_REPLY) {
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
    char keeps[QUEUE_TURN_MAX][KEEP_TEXT_BYTES];
    int code = queue_args_begin(
        queue, QUEUE_ARGS_STANDARD + TURN_OWN_ARGS + QUEUE_TURN_MAX * TURN_SETTLE_ARGS, err);

    if (code < 0)
        return code;
    add_turn(queue, fetcher, count, want);
    for (size_t i = 0; i < count; i++)
        add_settle(queue, &settles[i], keeps[i]);
    return queue_args_run(queue, &queue_script_turn, QUEUE_KEY_COUNT, on_turn, call, err);
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
    *call = (struct turn_call){ queue, on_done, arg, count, fetcher->calls, "" };
    memcpy(call->uuid, fetcher->uuid, sizeof(call->uuid));
    code = send_turn(queue, fetcher, settles, count, want, call, err);
    if (code < 0) {
        fetcher->calls--; /* never sent */
        free(call);
        return code;
    }
    queue->turns_under_way++;
    return 0;
}
