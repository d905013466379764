#include "common/queue/scheduler.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/cron/cron.h"
#include "common/queue/json_walk.h"
#include "common/queue/options.h"
#include "common/queue/queue_internal.h"
#include "common/queue/repeat.h"

#define WALL_MAX_MS  8640000000000000 /* the last instant of a JavaScript Date */
#define ID_BYTES_MAX ((size_t)1024)
#define UPSERT_ARGS  (QUEUE_ARGS_STANDARD + 13)
#define EMPTY_OBJECT "{}"

/* What a scheduler sets in the opts of its jobs. */
static const char *const own_members[] = { "jobId",      "delay",        "timestamp", "repeat",
                                           "prevMillis", "repeatJobKey", "parent" };

static bool is_given(struct bytes bytes)
{
    return bytes.data && bytes.len > 0;
}

/* ---- checks ---- */

static int check_text(const char *member, struct bytes text, struct error *err)
{
    if (text.data && text_utf8_prefix(text.data, text.len) < text.len)
        return error_set(err, -EINVAL, "%s is not valid UTF-8", member);
    return 0;
}

static int check_opts(struct bytes opts, struct error *err)
{
    struct json_value whole, key, value;
    struct job_options ignored;
    struct json_walk walk;

    if (!opts.data)
        return 0;
    if (job_options_parse(opts.data, opts.len, &ignored, err) < 0)
        return -EINVAL;
    whole = json_whole_value(opts.data, opts.len);
    walk = json_walk_into(&whole);
    while (json_next_member(&walk, &key, &value)) {
        for (size_t i = 0; i < ARRAY_SIZE(own_members); i++) {
            if (json_string_is(&key, own_members[i]))
                return error_set(err, -EINVAL, "opts.%s is set by the scheduler itself",
                                 own_members[i]);
        }
    }
    return 0;
}

static int check_pattern(const struct scheduler_spec *spec, struct error *err)
{
    const struct zone *zone;
    struct cron cron;

    if (cron_parse(spec->pattern.data, spec->pattern.len, &cron, err) < 0)
        return error_wrap(err, "pattern");
    if (zone_find(spec->tz.data, spec->tz.data ? spec->tz.len : 0, &zone, err) < 0)
        return error_wrap(err, "tz");
    if (spec->offset_ms > 0)
        return error_set(err, -EINVAL, "offset goes with every, not with a pattern");
    if (spec->immediately && spec->start_at_ms > 0)
        return error_set(err, -EINVAL, "immediately and a start date exclude each other");
    return 0;
}

static int check_every(const struct scheduler_spec *spec, struct error *err)
{
    if (spec->every_ms > WALL_MAX_MS)
        return error_set(err, -EINVAL, "every is out of range: %" PRIu64 " ms", spec->every_ms);
    if (spec->offset_ms >= spec->every_ms)
        return error_set(err, -EINVAL,
                         "offset %" PRIu64 " ms must be less than every, %" PRIu64 " ms",
                         spec->offset_ms, spec->every_ms);
    if (is_given(spec->tz))
        return error_set(err, -EINVAL, "tz goes with a pattern, not with every");
    if (spec->immediately)
        return error_set(err, -EINVAL,
                         "immediately goes with a pattern: with every the first job "
                         "is made at once anyhow");
    return 0;
}

static int check_rule(const struct scheduler_spec *spec, struct error *err)
{
    if ((spec->every_ms > 0) == is_given(spec->pattern))
        return error_set(err, -EINVAL, "either every or a pattern must be given%s",
                         spec->every_ms > 0 ? ", not both" : "");
    return spec->every_ms > 0 ? check_every(spec, err) : check_pattern(spec, err);
}

int scheduler_spec_check(const struct scheduler_spec *spec, struct error *err)
{
    if (!is_given(spec->id))
        return error_set(err, -EINVAL, "the id of a scheduler is missing");
    if (spec->id.len > ID_BYTES_MAX)
        return error_set(err, -EINVAL, "the id of a scheduler has %zu bytes, over %zu",
                         spec->id.len, ID_BYTES_MAX);
    if (check_text("the id", spec->id, err) < 0 || check_text("the name", spec->name, err) < 0)
        return -EINVAL;
    if (spec->data.data && !json_text_is_valid(spec->data.data, spec->data.len))
        return error_set(err, -EINVAL, "data is not valid JSON");
    if (check_opts(spec->opts, err) < 0 || check_rule(spec, err) < 0)
        return -EINVAL;
    if (spec->start_at_ms > WALL_MAX_MS || spec->end_at_ms > WALL_MAX_MS)
        return error_set(err, -EINVAL, "start or end is out of range");
    if (spec->limit > INT32_MAX)
        return error_set(err, -EINVAL, "limit %" PRIu64 " is over %d", spec->limit, INT32_MAX);
    return 0;
}

int scheduler_print_opts(const struct job_spec *spec, struct buf *out, struct error *err)
{
    static const char none[] = "{\"attempts\":0";
    struct buf printed = BUF_INIT(out->max);
    const char *text;
    int code = 0;

    if (is_given(spec->id) || spec->delay_ms > 0 || spec->timestamp_ms > 0 ||
        is_given(spec->parent.id))
        return error_set(err, -EINVAL,
                         "a scheduler sets id, delay, timestamp and parent of its jobs "
                         "itself");
    if (job_options_print(spec, &printed) < 0)
        code = error_set(err, -ENOMEM, "print the options of a scheduler's jobs");
    text = buf_text(&printed);
    if (code >= 0 && !strncmp(text, none, strlen(none))) { /* a template lists what is given */
        text += strlen(none);
        text += *text == ',';
        (void)buf_append_char(out, '{');
    }
    if (code >= 0 && buf_append_text(out, text) < 0)
        code = error_set(err, -ENOMEM, "print the options of a scheduler's jobs");
    buf_done(&printed);
    return code < 0 ? code : 0;
}

/* ---- upsert ---- */

struct upsert_call {
    struct queue *queue;
    queue_upsert_cb *on_done;
    void *arg;
};

static bool read_upsert(const redisReply *reply, struct scheduler_upsert *out)
{
    struct bytes id = queue_reply_bytes(reply->element[1]);
    int64_t code = reply->element[0]->type == REDIS_REPLY_INTEGER ? reply->element[0]->integer : 1;

    *out = (struct scheduler_upsert){ .code = (enum scheduler_code)code, .why = "" };
    if (!id.data)
        return false;
    if (code == SCHEDULER_ID_TAKEN)
        out->why = "a job of its next time exists, and is active or has ended";
    else if (code == SCHEDULER_SLOTS_BUSY)
        out->why = "jobs of its next time and of the 32 that follow exist already";
    else if (code == SCHEDULER_OK && reply->elements == 3)
        out->job_id = id.data;
    else
        return false;
    out->delay_ms = code == SCHEDULER_OK ? queue_reply_uint(reply->element[2], 0) : 0;
    return true;
}

static void on_upserted(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg)
{
    _cleanup_(freep) struct upsert_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 2);
    bool done = result.outcome == REDIS_REPLY || result.outcome == REDIS_UNREPLICATED;
    struct scheduler_upsert upsert;

    (void)redis;
    if (done && !read_upsert(reply, &upsert)) {
        result = (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER,
                                       "the script's reply has an unknown shape" };
        done = false;
    }
    call->on_done(call->queue, &result, done ? &upsert : NULL, call->arg);
}

/* The first time of a pattern. */
static int first_time(const struct scheduler_spec *spec, uint64_t now_ms, uint64_t *out_ms,
                      struct error *err)
{
    if (spec->immediately) {
        *out_ms = now_ms;
        return 0;
    }
    return repeat_next_time(spec->pattern, spec->tz, now_ms, spec->start_at_ms, spec->end_at_ms,
                            out_ms, err);
}

static void add_uint_or_empty(struct queue *queue, bool given, uint64_t value)
{
    if (given)
        queue_args_add_uint(queue, value);
    else
        queue_args_add_text(queue, "");
}

static void add_bytes_or(struct queue *queue, struct bytes bytes, const char *fallback)
{
    if (bytes.data)
        queue_args_add_bytes(queue, bytes);
    else
        queue_args_add_text(queue, fallback);
}

static int send_upsert(struct queue *queue, const struct scheduler_spec *spec, uint64_t now_ms,
                       uint64_t first_ms, struct upsert_call *call, struct error *err)
{
    bool by_pattern = spec->every_ms == 0;
    int code = queue_args_begin(queue, UPSERT_ARGS, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, now_ms);
    queue_args_add_bytes(queue, spec->id);
    add_uint_or_empty(queue, !by_pattern, spec->every_ms);
    queue_args_add_bytes(queue, spec->pattern);
    add_uint_or_empty(queue, by_pattern, first_ms);
    queue_args_add_bytes(queue, spec->name.data ? spec->name : spec->id);
    add_bytes_or(queue, spec->data, EMPTY_OBJECT);
    add_bytes_or(queue, spec->opts, EMPTY_OBJECT);
    queue_args_add_bytes(queue, spec->tz);
    add_uint_or_empty(queue, spec->offset_ms > 0, spec->offset_ms);
    add_uint_or_empty(queue, spec->has_limit, spec->limit);
    add_uint_or_empty(queue, spec->start_at_ms > 0, spec->start_at_ms);
    add_uint_or_empty(queue, spec->end_at_ms > 0, spec->end_at_ms);
    return queue_args_run_kept(queue, &queue_script_upsert, QUEUE_KEY_COUNT, on_upserted, call,
                               err);
}

int queue_upsert_scheduler(struct queue *queue, const struct scheduler_spec *spec,
                           queue_upsert_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct upsert_call *call = NULL;
    uint64_t now_ms = clock_wall_ms(), first_ms = 0;
    int code = scheduler_spec_check(spec, err);

    if (code < 0)
        return code;
    if (spec->has_limit && spec->limit == 0)
        return error_set(err, -ERANGE, "a limit of 0 makes no job");
    if (spec->end_at_ms > 0 && spec->end_at_ms < now_ms)
        return error_set(err, -EINVAL, "the end date lies in the past");
    if (spec->every_ms == 0) {
        code = first_time(spec, now_ms, &first_ms, err);
        if (code < 0)
            return code;
    }
    call = calloc(1, sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct upsert_call){ queue, on_done, arg };
    code = send_upsert(queue, spec, now_ms, first_ms, call, err);
    if (code < 0)
        return code;
    (void)TAKE_PTR(call); /* on_upserted frees it */
    return 0;
}

/* ---- remove ---- */

int queue_remove_scheduler(struct queue *queue, struct bytes id, queue_done_cb *on_done, void *arg,
                           struct error *err)
{
    int code;

    if (!is_given(id))
        return error_set(err, -EINVAL, "the id of a scheduler is missing");
    code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 2, err);
    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_bytes(queue, id);
    return queue_args_run_for_number(queue, &queue_script_unschedule, on_done, arg, err);
}

/* ---- get and list ---- */

#define ROW_FIELDS 3 /* id, next time, hash */

struct list_call {
    struct queue *queue;
    queue_schedulers_cb *on_done;
    void *arg;
};

static const char *colon_after(const char *at, const char *end)
{
    const char *colon = at ? memchr(at, ':', (size_t)(end - at)) : NULL;

    return colon;
}

/* "name:id:end:tz:pattern", the key of a repeatable job of before BullMQ 5, tells all that there
 * is. */
static void read_legacy_key(struct scheduler_entry *entry)
{
    const char *at = entry->id.data, *end = at + entry->id.len;
    struct bytes parts[4];

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const char *colon = colon_after(at, end);

        if (!colon)
            return;
        parts[i] = (struct bytes){ at, (size_t)(colon - at) };
        at = colon + 1;
    }
    entry->name = parts[0];
    if (text_parse_uint(parts[2].data, parts[2].len, &entry->end_at_ms) < 0)
        entry->end_at_ms = 0;
    entry->tz = parts[3].len > 0 ? parts[3] : (struct bytes){ 0 };
    if (text_parse_uint(at, (size_t)(end - at), &entry->every_ms) < 0)
        entry->pattern = (struct bytes){ at, (size_t)(end - at) };
}

static void read_field(struct scheduler_entry *entry, const char *name, const redisReply *value)
{
    const struct {
        const char *name;
        struct bytes *text;
        uint64_t *number;
    } fields[] = {
        { "name", &entry->name, NULL },
        { "pattern", &entry->pattern, NULL },
        { "tz", &entry->tz, NULL },
        { "data", &entry->data, NULL },
        { "opts", &entry->opts, NULL },
        { "every", NULL, &entry->every_ms },
        { "offset", NULL, &entry->offset_ms },
        { "ic", NULL, &entry->iterations },
        { "limit", NULL, &entry->limit },
        { "startDate", NULL, &entry->start_at_ms },
        { "endDate", NULL, &entry->end_at_ms },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strcmp(fields[i].name, name) != 0)
            continue;
        if (fields[i].text)
            *fields[i].text = queue_reply_bytes(value);
        else
            *fields[i].number = queue_reply_uint(value, 0);
    }
    if (!strcmp(name, "limit"))
        entry->has_limit = true;
    if (!strcmp(name, "ic"))
        entry->legacy = false;
}

static bool read_entry(redisReply *const *row, struct scheduler_entry *out)
{
    const redisReply *fields = row[2];

    *out = (struct scheduler_entry){ .id = queue_reply_bytes(row[0]),
                                     .next_at_ms = queue_reply_uint(row[1], 0),
                                     .legacy = true };
    if (!out->id.data)
        return false;
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        if (queue_reply_bytes(fields->element[i]).data)
            read_field(out, fields->element[i]->str, fields->element[i + 1]);
    }
    if (!out->name.data && !out->pattern.data && out->every_ms == 0)
        read_legacy_key(out);
    return true;
}

static void on_listed(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    _cleanup_(freep) struct list_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    struct scheduler_entry entries[QUEUE_SCHEDULERS_MAX];
    size_t count = result.outcome == REDIS_REPLY ? (reply->elements - 1) / ROW_FIELDS : 0;
    bool readable = count <= QUEUE_SCHEDULERS_MAX;

    (void)redis;
    for (size_t i = 0; readable && i < count; i++)
        readable = read_entry(reply->element + 1 + i * ROW_FIELDS, &entries[i]);
    if (!readable)
        result = (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER,
                                       "the script's reply has an unknown shape" };
    if (result.outcome == REDIS_REPLY)
        call->on_done(call->queue, &result, entries, count, queue_reply_uint(reply->element[0], 0),
                      call->arg);
    else
        call->on_done(call->queue, &result, NULL, 0, 0, call->arg);
}

static int send_list(struct queue *queue, struct bytes id, uint64_t start, size_t count,
                     bool ascending, struct list_call *call, struct error *err)
{
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 4, err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_bytes(queue, id);
    queue_args_add_uint(queue, start);
    queue_args_add_uint(queue, count);
    queue_args_add_text(queue, ascending ? "1" : "0");
    return queue_args_run(queue, &queue_script_schedulers, QUEUE_KEY_COUNT, on_listed, call, err);
}

static int list(struct queue *queue, struct bytes id, uint64_t start, size_t count, bool ascending,
                queue_schedulers_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct list_call *call = calloc(1, sizeof(*call));
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct list_call){ queue, on_done, arg };
    code = send_list(queue, id, start, count, ascending, call, err);
    if (code < 0)
        return code;
    (void)TAKE_PTR(call); /* on_listed frees it */
    return 0;
}

int queue_get_scheduler(struct queue *queue, struct bytes id, queue_schedulers_cb *on_done,
                        void *arg, struct error *err)
{
    if (!is_given(id))
        return error_set(err, -EINVAL, "the id of a scheduler is missing");
    return list(queue, id, 0, 1, true, on_done, arg, err);
}

int queue_list_schedulers(struct queue *queue, uint64_t start, size_t count, bool ascending,
                          queue_schedulers_cb *on_done, void *arg, struct error *err)
{
    if (count == 0 || count > QUEUE_SCHEDULERS_MAX)
        return error_set(err, -EINVAL, "%zu schedulers in one call, must be 1 to %d", count,
                         QUEUE_SCHEDULERS_MAX);
    if (start > INT64_MAX - QUEUE_SCHEDULERS_MAX)
        return error_set(err, -EINVAL, "the first rank is out of range");
    return list(queue, (struct bytes){ 0 }, start, count, ascending, on_done, arg, err);
}
