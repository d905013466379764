/* Following the stream of events. XREAD BLOCK only wakes up: what there is, and what was trimmed
 * away before it was read, is then read by one script, so that no entry can go between the two
 * looks. Both go over one connection of their own, in turn. */
#include "common/queue/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/get_internal.h"

#define BLOCK_MS       5000
#define BLOCK_GRACE_MS 10000 /* longer without an answer: the connection is dead */
#define BATCH_MAX      1000
#define ENTRY_ID_BYTES 48

enum { READ_LAST, READ_ADDED, READ_LENGTH, READ_OLDEST, READ_ENTRIES };

struct queue_follow {
    struct queue *queue;
    struct redis *blocking;
    queue_events_cb *on_events;
    queue_events_end_cb *on_end;
    void *arg;
    size_t batch;
    char last[ENTRY_ID_BYTES]; /* the entry that was read last; "$" before the end is known */
    bool has_position;         /* `position` is known */
    uint64_t position;         /* entries ever added, up to `last` */
    uint64_t block_ms;         /* of the next wait */
    bool stopped;
};

static void on_woken(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg);
static void on_read(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg);

static void end_follow(struct queue_follow *follow, const struct call_result *result)
{
    follow->on_end(follow->queue, result, follow->arg);
    free(follow);
}

/* ---- asking ---- */

static int send_wait(struct queue_follow *follow, struct error *err)
{
    const struct bytes *key = &follow->queue->keys[QUEUE_KEY_EVENTS];
    char block[QUEUE_NUMBER_BYTES];
    const char *argv[] = {
        "XREAD", "COUNT", "1", "BLOCK", block, "STREAMS", key->data, follow->last
    };
    size_t lens[ARRAY_SIZE(argv)];

    (void)snprintf(block, sizeof(block), "%llu", (unsigned long long)follow->block_ms);
    for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
        lens[i] = i == 6 ? key->len : strlen(argv[i]);
    return redis_command(follow->blocking, ARRAY_SIZE(argv), argv, lens,
                         follow->block_ms + BLOCK_GRACE_MS, on_woken, follow, err);
}

static int send_read(struct queue_follow *follow, struct error *err)
{
    struct queue *queue = follow->queue;
    int r = get_args_begin(queue, 2, err);

    if (r < 0)
        return r;
    queue_args_add_text(queue, follow->last);
    queue_args_add_uint(queue, follow->batch);
    return redis_run_script(follow->blocking, &queue_script_events, QUEUE_KEY_COUNT,
                            (int)queue->args.count, queue->args.argv, queue->args.argv_len,
                            BLOCK_GRACE_MS, on_read, follow, err);
}

/* Goes on with the one or the other, or ends. */
static void go_on(struct queue_follow *follow, bool read)
{
    struct call_result result = { .outcome = REDIS_REPLY, .why = "" };
    struct error err = { 0 };

    if (!follow->stopped) {
        if ((read ? send_read(follow, &err) : send_wait(follow, &err)) == 0)
            return;
        result = queue_walk_unsent(&err);
    }
    end_follow(follow, &result);
}

/* ---- hearing ---- */

static void tell(struct queue_follow *follow, const struct queue_event *events, size_t count,
                 uint64_t lost)
{
    if (!follow->stopped && !follow->on_events(follow->queue, events, count, lost, follow->arg))
        follow->stopped = true;
}

static void on_woken(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct queue_follow *follow = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    bool is_quiet = result.outcome == REDIS_REPLY && reply->type == REDIS_REPLY_NIL;

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_follow(follow, &result);
        return;
    }
    if (is_quiet)
        tell(follow, NULL, 0, 0);
    go_on(follow, /* read= */ !is_quiet);
}

/* "<ms>-<n>" as numbers. */
static bool parse_id(const char *id, uint64_t out[2])
{
    const char *dash = strchr(id, '-');

    return dash && text_parse_uint(id, (size_t)(dash - id), &out[0]) == 0 &&
           text_parse_uint(dash + 1, strlen(dash + 1), &out[1]) == 0;
}

static bool is_before(const char *id, const char *than)
{
    uint64_t a[2], b[2];

    return parse_id(id, a) && parse_id(than, b) && (a[0] < b[0] || (a[0] == b[0] && a[1] < b[1]));
}

/* How many entries between the last one read and the oldest there have gone. `follow` still has the
 * position of the last read. */
static uint64_t count_lost(struct queue_follow *follow, const redisReply *reply)
{
    uint64_t added = queue_reply_uint(reply->element[READ_ADDED], UINT64_MAX);
    uint64_t length = queue_reply_uint(reply->element[READ_LENGTH], 0);
    const char *oldest = get_reply_text(reply->element[READ_OLDEST]);
    bool from_begin = strcmp(follow->last, "0-0") == 0 || strcmp(follow->last, "0") == 0;
    uint64_t gone = added == UINT64_MAX || added < length ? 0 : added - length;
    bool is_new = follow->has_position && added < follow->position; /* it was made anew */
    uint64_t lost = 0;

    if (added == UINT64_MAX)
        return !from_begin && *oldest && is_before(follow->last, oldest) && follow->has_position
                   ? QUEUE_EVENTS_LOST_UNKNOWN
                   : 0;
    if (follow->has_position && (gone > follow->position || is_new))
        lost = is_new ? gone : gone - follow->position;
    else if (!follow->has_position && !from_begin && *oldest && is_before(follow->last, oldest))
        lost = QUEUE_EVENTS_LOST_UNKNOWN;
    if (!follow->has_position || gone > follow->position || is_new)
        follow->position = gone;
    return lost;
}

static void read_event(const redisReply *entry, struct bytes *texts, struct queue_event *out)
{
    const redisReply *fields = entry->element[1];
    size_t pairs = fields->elements / 2;
    uint64_t id[2] = { 0 };

    (void)parse_id(entry->element[0]->str, id); /* 0: Redis' own ids can be read */
    *out = (struct queue_event){ .id = entry->element[0]->str,
                                 .at_ms = id[0],
                                 .fields_count = pairs,
                                 .names = texts,
                                 .values = texts + pairs };
    for (size_t i = 0; i < pairs; i++) {
        texts[i] = queue_reply_bytes(fields->element[2 * i]);
        texts[pairs + i] = queue_reply_bytes(fields->element[2 * i + 1]);
        if (texts[i].data && strcmp(texts[i].data, "event") == 0)
            out->event = texts[pairs + i];
        else if (texts[i].data && strcmp(texts[i].data, "jobId") == 0)
            out->job_id = texts[pairs + i];
    }
}

static bool is_entry(const redisReply *entry)
{
    return entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 &&
           entry->element[0]->type == REDIS_REPLY_STRING &&
           entry->element[1]->type == REDIS_REPLY_ARRAY;
}

/* Hands the entries on; false on no memory. */
static bool tell_entries(struct queue_follow *follow, const redisReply *reply, uint64_t lost)
{
    size_t count = reply->elements - READ_ENTRIES, texts_count = 1, at = 0, told = 0;
    _cleanup_(freep) struct queue_event *events = calloc(count + 1, sizeof(*events));
    _cleanup_(freep) struct bytes *texts = NULL;

    for (size_t i = 0; i < count; i++)
        texts_count += is_entry(reply->element[READ_ENTRIES + i])
                           ? reply->element[READ_ENTRIES + i]->element[1]->elements
                           : 0;
    texts = calloc(texts_count, sizeof(*texts));
    if (!events || !texts)
        return false;
    for (size_t i = 0; i < count; i++) {
        const redisReply *entry = reply->element[READ_ENTRIES + i];

        if (!is_entry(entry))
            continue;
        read_event(entry, texts + at, &events[told++]);
        at += entry->element[1]->elements;
        (void)snprintf(follow->last, sizeof(follow->last), "%s", entry->element[0]->str);
    }
    follow->position += count;
    tell(follow, events, told, lost);
    return true;
}

static void on_read(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct queue_follow *follow = arg;
    struct call_result result = queue_call_result(outcome, reply, why, READ_ENTRIES);
    uint64_t lost;
    size_t count;

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_follow(follow, &result);
        return;
    }
    if (strcmp(follow->last, "$") == 0) { /* now it is known where the end was */
        (void)snprintf(follow->last, sizeof(follow->last), "%s",
                       get_reply_text(reply->element[READ_LAST]));
        follow->position = queue_reply_uint(reply->element[READ_ADDED], 0);
        follow->has_position = true;
        tell(follow, NULL, 0, 0); /* what is added from now on will be heard */
        go_on(follow, /* read= */ false);
        return;
    }
    count = reply->elements - READ_ENTRIES;
    lost = count_lost(follow, reply);
    follow->has_position = true;
    if (count == 0 && lost == 0)
        tell(follow, NULL, 0, 0);
    else if (!tell_entries(follow, reply, lost)) {
        result = get_no_memory();
        end_follow(follow, &result);
        return;
    }
    go_on(follow, /* read= */ count == follow->batch);
}

/* ---- for the caller ---- */

static int check_from(const struct events_from *from, struct error *err)
{
    uint64_t id[2];

    if (from->batch == 0 || from->batch > BATCH_MAX)
        return error_set(err, -EINVAL, "%zu events at once: 1 to %d", from->batch, BATCH_MAX);
    if (strcmp(from->id, "$") != 0 && strcmp(from->id, "0") != 0 && !parse_id(from->id, id))
        return error_set(err, -EINVAL, "\"%s\" is no id of an event: $, 0, or <ms>-<n>", from->id);
    return 0;
}

int queue_follow_events(struct queue *queue, struct redis *blocking, const struct events_from *from,
                        queue_events_cb *on_events, queue_events_end_cb *on_end, void *arg,
                        struct queue_follow **out_follow, struct error *err)
{
    struct queue_follow *follow;
    int r = check_from(from, err);

    if (r < 0)
        return r;
    follow = calloc(1, sizeof(*follow));
    if (!follow)
        return error_set(err, -ENOMEM, "allocate a follower");
    *follow = (struct queue_follow){ .queue = queue,
                                     .blocking = blocking,
                                     .on_events = on_events,
                                     .on_end = on_end,
                                     .arg = arg,
                                     .batch = from->batch,
                                     .block_ms = BLOCK_MS };
    (void)snprintf(follow->last, sizeof(follow->last), "%s",
                   strcmp(from->id, "0") == 0 ? "0-0" : from->id);
    r = send_read(follow, err);
    if (r < 0) {
        free(follow);
        return r;
    }
    *out_follow = follow;
    return 0;
}

void queue_follow_stop(struct queue_follow *follow)
{
    follow->stopped = true;
}

void queue_follow_block(struct queue_follow *follow, uint64_t ms)
{
    follow->block_ms = ms == 0 ? 1 : ms < BLOCK_MS ? ms : BLOCK_MS; /* 0 would be for ever */
}
