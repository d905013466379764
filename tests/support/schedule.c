/* schedule SOCKET PREFIX QUEUE - for tests that compare job schedulers of common/queue with stock
 * clients (tests/interop): each line of standard input is one operation as JSON, answered by a line
 * of JSON. `now` of an operation is the time that the queue takes it to be. Calls go over a
 * blocking connection.
 *
 *   {"op":"upsert","now":ms,"id","every","pattern","tz","offset","limit","startDate","endDate","immediately","name","data","opts"}
 *   {"op":"remove","id"}   {"op":"get","id"}   {"op":"list","start","count","asc"}
 *   {"op":"continue","now":ms,"job":id}        as the worker that has fetched this job */
#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/cron/zone.h"
#include "common/queue/scheduler.h"

static redisContext *context;
static uint64_t now_ms;
static json_t *answer; /* of the operation under way */

/* In the place of common/base/clock's (--wrap) and common/redis's. */
uint64_t __wrap_clock_wall_ms(void); // NOLINT: the linker's name
uint64_t __wrap_clock_wall_ms(void)  // NOLINT
{
    return now_ms;
}

struct pending {
    redisReply *reply;
    redis_reply_cb *on_reply;
    void *arg;
} pending;

int redis_run_script(struct redis *redis, const struct redis_script *script, int keys_count,
                     int args_count, const char *const *args, const size_t *args_len,
                     uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg, struct error *err)
{
    const char *argv[64];
    size_t argv_len[64];
    char keys[16];

    (void)redis;
    (void)deadline_ms;
    (void)err;
    assert(args_count + 3 < 64);
    (void)snprintf(keys, sizeof(keys), "%d", keys_count);
    argv[0] = "EVAL";
    argv[1] = script->text;
    argv[2] = keys;
    for (int i = 0; i < args_count; i++) {
        argv[3 + i] = args[i];
        argv_len[3 + i] = args_len[i];
    }
    argv_len[0] = 4;
    argv_len[1] = script->text_len;
    argv_len[2] = strlen(keys);
    assert(!pending.on_reply);
    pending = (struct pending){ redisCommandArgv(context, args_count + 3, argv, argv_len), on_reply,
                                arg };
    return 0;
}

int redis_run_script_replicated(struct redis *redis, const struct redis_script *script,
                                int keys_count, int args_count, const char *const *args,
                                const size_t *args_len, const struct redis_wait *wait,
                                uint64_t deadline_ms, redis_reply_cb *on_reply, void *arg,
                                struct error *err)
{
    (void)wait;
    return redis_run_script(redis, script, keys_count, args_count, args, args_len, deadline_ms,
                            on_reply, arg, err);
}

/* Callbacks may send again. */
static void run_callbacks(void)
{
    while (pending.on_reply) {
        struct pending now = pending;
        bool bad = !now.reply || now.reply->type == REDIS_REPLY_ERROR;

        pending = (struct pending){ 0 };
        now.on_reply(NULL, bad ? REDIS_REFUSED : REDIS_REPLY, now.reply,
                     bad && now.reply ? now.reply->str : "", now.arg);
        freeReplyObject(now.reply);
    }
}

enum redis_error_class redis_error_class(const redisReply *reply)
{
    return reply ? REDIS_CLASS_OTHER : REDIS_CLASS_NONE;
}

static struct bytes text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text ? (struct bytes){ text, strlen(text) } : (struct bytes){ 0 };
}

static uint64_t number_of(const json_t *line, const char *name)
{
    const json_t *value = json_object_get(line, name);

    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
}

static void set_text(json_t *object, const char *name, struct bytes text)
{
    if (text.data)
        json_object_set_new(object, name, json_stringn(text.data, text.len));
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    if (number > 0)
        json_object_set_new(object, name, json_integer((json_int_t)number));
}

static bool note_failure(const struct call_result *call)
{
    if (call->outcome != REDIS_REPLY)
        json_object_set_new(answer, "error", json_string(call->why));
    return call->outcome != REDIS_REPLY;
}

static void on_upserted(struct queue *queue, const struct call_result *call,
                        const struct scheduler_upsert *result, void *arg)
{
    (void)queue;
    (void)arg;
    if (note_failure(call))
        return;
    json_object_set_new(answer, "code", json_integer(result->code));
    if (result->job_id)
        json_object_set_new(answer, "job", json_string(result->job_id));
    json_object_set_new(answer, "delay", json_integer((json_int_t)result->delay_ms));
}

static void on_number(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    (void)queue;
    (void)arg;
    if (!note_failure(call))
        json_object_set_new(answer, "value", json_integer(value));
}

static json_t *entry_json(const struct scheduler_entry *entry)
{
    json_t *object = json_object();

    set_text(object, "key", entry->id);
    set_text(object, "name", entry->name);
    set_text(object, "pattern", entry->pattern);
    set_text(object, "tz", entry->tz);
    set_text(object, "data", entry->data);
    set_text(object, "opts", entry->opts);
    set_number(object, "next", entry->next_at_ms);
    set_number(object, "every", entry->every_ms);
    set_number(object, "offset", entry->offset_ms);
    set_number(object, "iterationCount", entry->iterations);
    set_number(object, "limit", entry->limit);
    set_number(object, "startDate", entry->start_at_ms);
    set_number(object, "endDate", entry->end_at_ms);
    json_object_set_new(object, "legacy", json_boolean(entry->legacy));
    return object;
}

static void on_listed(struct queue *queue, const struct call_result *call,
                      const struct scheduler_entry *entries, size_t count, uint64_t total,
                      void *arg)
{
    json_t *list = json_array();

    (void)queue;
    (void)arg;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, entry_json(&entries[i]));
    json_object_set_new(answer, "schedulers", list);
    json_object_set_new(answer, "total", json_integer((json_int_t)total));
    (void)note_failure(call);
}

static void on_continued(struct queue *queue, const struct call_result *call,
                         const struct scheduler_continued *result, void *arg)
{
    static const char *const steps[] = { "continued", "already", "taken", "removed", "ended" };

    (void)queue;
    (void)arg;
    if (note_failure(call))
        return;
    json_object_set_new(answer, "step", json_string(steps[result->step]));
    if (result->next_id)
        json_object_set_new(answer, "next", json_string(result->next_id));
}

static int upsert(struct queue *queue, const json_t *line, struct error *err)
{
    struct scheduler_spec spec = {
        .id = text_of(line, "id"),
        .name = text_of(line, "name"),
        .data = text_of(line, "data"),
        .opts = text_of(line, "opts"),
        .every_ms = number_of(line, "every"),
        .pattern = text_of(line, "pattern"),
        .tz = text_of(line, "tz"),
        .offset_ms = number_of(line, "offset"),
        .has_limit = json_object_get(line, "limit"),
        .limit = number_of(line, "limit"),
        .start_at_ms = number_of(line, "startDate"),
        .end_at_ms = number_of(line, "endDate"),
        .immediately = json_is_true(json_object_get(line, "immediately")),
    };

    return queue_upsert_scheduler(queue, &spec, on_upserted, NULL, err);
}

static int go_on(struct queue *queue, const json_t *line, struct error *err)
{
    const char *id = json_string_value(json_object_get(line, "job"));
    redisReply *found =
        redisCommand(context, "HMGET %s%s name data opts rjk", queue_key_prefix(queue), id);
    struct job job = { .id = { id, strlen(id) } };
    struct bytes *texts[] = { &job.name, &job.data, &job.opts, &job.scheduler };
    int code;

    for (size_t i = 0; i < 4; i++) {
        if (found->element[i]->type == REDIS_REPLY_STRING)
            *texts[i] = (struct bytes){ found->element[i]->str, found->element[i]->len };
    }
    if (job.opts.data && job_options_parse(job.opts.data, job.opts.len, &job.options, NULL) < 0)
        job.options.repeats = false; /* damaged on purpose */
    if (!job_is_iteration(&job))
        code = error_set(err, -EINVAL, "not an iteration");
    else
        code = queue_continue_scheduler(queue, &job, on_continued, NULL, err);
    if (code == 1)
        json_object_set_new(answer, "step", json_string("ended"));
    run_callbacks();
    freeReplyObject(found);
    return code;
}

static int run(struct queue *queue, const json_t *line, struct error *err)
{
    const char *op = json_string_value(json_object_get(line, "op"));

    now_ms = number_of(line, "now");
    if (!strcmp(op, "upsert"))
        return upsert(queue, line, err);
    if (!strcmp(op, "continue"))
        return go_on(queue, line, err);
    if (!strcmp(op, "remove"))
        return queue_remove_scheduler(queue, text_of(line, "id"), on_number, NULL, err);
    if (!strcmp(op, "get"))
        return queue_get_scheduler(queue, text_of(line, "id"), on_listed, NULL, err);
    return queue_list_schedulers(queue, number_of(line, "start"), number_of(line, "count"),
                                 json_is_true(json_object_get(line, "asc")), on_listed, NULL, err);
}

int main(int argc, char **argv)
{
    static char connection; /* common/redis's type is opaque: any address will do */
    struct queue *queue = NULL;
    struct error err = { 0 };
    char *text = NULL;
    size_t size = 0;

    if (argc != 4 ||
        queue_new(argv[2], argv[3], (struct redis *)(void *)&connection, &queue, &err) < 0)
        return 64;
    context = redisConnectUnix(argv[1]);
    assert(context && !context->err);
    while (getline(&text, &size, stdin) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        int code;

        assert(line);
        answer = json_object();
        code = run(queue, line, &err);
        run_callbacks();
        if (code < 0)
            (void)json_object_set_new(answer, "refused", json_sprintf("%d %s", code, err.text));
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        puts("");
        (void)fflush(stdout);
        json_decref(answer);
        json_decref(line);
    }
    free(text);
    queue_free(queue);
    redisFree(context);
    zones_done();
    return 0;
}
