/* The events of one job: its history, as far as the stream still has it. Nothing here writes. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/get_internal.h"

/* The stream is read backwards in chunks, so that Redis never builds a big reply, until `scan`
 * entries were looked at, or the job's `added` was met (an id that was used again has an earlier
 * life before it), or the stream ends. */

#define HISTORY_CHUNK      500
#define HISTORY_EVENTS_MAX 1000 /* kept; a job has a handful, only progress may have many */

struct history_call {
    struct queue *queue;
    queue_history_cb *on_done;
    void *arg;
    char *id;
    uint64_t scan_left;
    struct job_event *events; /* newest first; names points to a block of its own */
    size_t count;
    bool complete; /* nothing older is wanted */
    char last[48]; /* where the next chunk starts; "+" the newest */
};

static void on_history_chunk(struct redis *redis, enum redis_outcome outcome,
                             const redisReply *reply, const char *why, void *arg);

static void free_history(struct history_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        free((void *)(uintptr_t)call->events[i].names); /* ours, see keep_event */
    free(call->events);
    free(call->id);
    free(call);
}

static void end_history(struct history_call *call, const struct call_result *result)
{
    size_t count = result->outcome == REDIS_REPLY ? call->count : 0;

    for (size_t i = 0; i < call->count / 2; i++) {
        struct job_event other = call->events[i];

        call->events[i] = call->events[call->count - 1 - i];
        call->events[call->count - 1 - i] = other;
    }
    call->on_done(call->queue, result, call->events, count, call->arg);
    free_history(call);
}

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && reply->len == strlen(text) &&
           memcmp(reply->str, text, reply->len) == 0;
}

/* The value of a field of one entry, or NULL. */
static const redisReply *entry_field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (is_text(fields->element[i], name))
            return fields->element[i + 1];
    }
    return NULL;
}

static struct bytes copy_text(char **at, const redisReply *from)
{
    struct bytes text = { .data = *at, .len = from->type == REDIS_REPLY_STRING ? from->len : 0 };

    if (text.len > 0)
        memcpy(*at, from->str, text.len);
    (*at)[text.len] = '\0';
    *at += text.len + 1;
    return text;
}

/* Copies an entry, but for its jobId: names, values and texts are one block that starts with the
 * names. */
static bool keep_event(struct history_call *call, uint64_t at_ms, const redisReply *fields)
{
    size_t pairs = fields->elements / 2, texts = 0, kept = 0;
    struct bytes *names;
    char *at;

    for (size_t i = 0; i < pairs * 2; i++)
        texts += fields->element[i]->len + 1;
    names = malloc(pairs * 2 * sizeof(*names) + texts + 1); /* never 0 bytes */
    if (!names)
        return false;
    at = (char *)(names + pairs * 2);
    for (size_t i = 0; i < pairs; i++) {
        if (is_text(fields->element[i * 2], "jobId"))
            continue;
        names[kept] = copy_text(&at, fields->element[i * 2]);
        names[pairs + kept] = copy_text(&at, fields->element[i * 2 + 1]);
        kept++;
    }
    call->events[call->count++] = (struct job_event){
        .at_ms = at_ms, .fields_count = kept, .names = names, .values = names + pairs
    };
    return true;
}

/* The greatest id below "ms-n": the next chunk starts there. (The exclusive form needs Redis 6.2.)
 */
static bool step_below(const char *id, char *out, size_t out_bytes)
{
    uint64_t ms = 0, n = 0;
    const char *dash = strchr(id, '-');

    if (!dash || text_parse_uint(id, (size_t)(dash - id), &ms) < 0 ||
        text_parse_uint(dash + 1, strlen(dash + 1), &n) < 0 || (ms == 0 && n == 0))
        return false;
    if (n > 0)
        n--;
    else {
        ms--;
        n = UINT64_MAX;
    }
    (void)snprintf(out, out_bytes, "%" PRIu64 "-%" PRIu64, ms, n); /* 41 bytes at most */
    return true;
}

static uint64_t entry_at_ms(const redisReply *id)
{
    const char *dash = id->type == REDIS_REPLY_STRING ? strchr(id->str, '-') : NULL;
    uint64_t ms = 0;

    if (!dash || text_parse_uint(id->str, (size_t)(dash - id->str), &ms) < 0)
        return 0;
    return ms;
}

/* Returns false when memory ran out. */
static bool read_entry(struct history_call *call, const redisReply *entry)
{
    const redisReply *fields, *job, *event;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[1]->type != REDIS_REPLY_ARRAY)
        return true;
    fields = entry->element[1];
    job = entry_field(fields, "jobId");
    event = entry_field(fields, "event");
    if (!job || !is_text(job, call->id))
        return true;
    if (!keep_event(call, entry_at_ms(entry->element[0]), fields))
        return false;
    if ((event && is_text(event, "added")) || call->count == HISTORY_EVENTS_MAX)
        call->complete = true;
    return true;
}

/* Looks at one chunk; false when memory ran out. */
static bool read_chunk(struct history_call *call, const redisReply *reply)
{
    const redisReply *last;

    for (size_t i = 0; i < reply->elements && !call->complete; i++) {
        if (!read_entry(call, reply->element[i]))
            return false;
    }
    if (reply->elements < HISTORY_CHUNK || call->scan_left <= HISTORY_CHUNK) {
        call->complete = true;
        return true;
    }
    call->scan_left -= HISTORY_CHUNK;
    last = reply->element[reply->elements - 1];
    if (last->type != REDIS_REPLY_ARRAY || last->elements == 0 ||
        last->element[0]->type != REDIS_REPLY_STRING ||
        !step_below(last->element[0]->str, call->last, sizeof(call->last)))
        call->complete = true;
    return true;
}

static int send_chunk(struct history_call *call, struct error *err)
{
    struct queue *queue = call->queue;
    uint64_t count = call->scan_left < HISTORY_CHUNK ? call->scan_left : HISTORY_CHUNK;
    int r = queue_args_begin(queue, 6, err);

    if (r < 0)
        return r;
    if (!queue->redis)
        return error_set(err, -ENOTCONN, "queue %s has no connection", queue->name);
    queue_args_add_text(queue, "XREVRANGE");
    queue_args_add_key(queue, QUEUE_KEY_EVENTS);
    queue_args_add_text(queue, call->last);
    queue_args_add_text(queue, "-");
    queue_args_add_text(queue, "COUNT");
    queue_args_add_uint(queue, count);
    return redis_command(queue->redis, (int)queue->args.count, queue->args.argv,
                         queue->args.argv_len, /* deadline_ms= */ 0, on_history_chunk, call, err);
}

static void on_history_chunk(struct redis *redis, enum redis_outcome outcome,
                             const redisReply *reply, const char *why, void *arg)
{
    struct history_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    struct error err = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY && reply->type == REDIS_REPLY_ARRAY &&
        !read_chunk(call, reply))
        result = (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER, "out of memory" };
    if (result.outcome != REDIS_REPLY || call->complete || reply->type != REDIS_REPLY_ARRAY) {
        end_history(call, &result);
        return;
    }
    if (send_chunk(call, &err) < 0) {
        result = (struct call_result){ REDIS_REFUSED, REDIS_CLASS_LATER, err.text };
        end_history(call, &result);
    }
}

int queue_job_history(struct queue *queue, const char *id, uint64_t scan, queue_history_cb *on_done,
                      void *arg, struct error *err)
{
    struct history_call *call;
    int r;

    if (scan == 0)
        return error_set(err, -EINVAL, "no events to look at");
    call = calloc(1, sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct history_call){
        .queue = queue, .on_done = on_done, .arg = arg, .scan_left = scan, .last = "+"
    };
    call->id = strdup(id);
    call->events = calloc(HISTORY_EVENTS_MAX, sizeof(*call->events));
    if (!call->id || !call->events) {
        free_history(call);
        return error_set(err, -ENOMEM, "allocate a call");
    }
    r = send_chunk(call, err);
    if (r < 0)
        free_history(call);
    return r;
}
