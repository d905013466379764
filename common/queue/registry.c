/* registry.c - the processes that serve a queue: the row of one, and all of them.
 * One table says which fields a row has; renew.lua writes them as they are given, workers.lua
 * answers those that are asked for, so another version may have others. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/queue/queue_internal.h"

#define ENTRIES_MAX 10000 /* more are not answered */

static const struct {
    const char *name;
    size_t offset; /* in struct worker_identity */
    bool is_text;  /* const char *, else uint64_t */
} fields[] = {
#define TEXT(field, name)                                   \
    {                                                       \
        name, offsetof(struct worker_identity, field), true \
    }
#define NUMBER(field, name)                                  \
    {                                                        \
        name, offsetof(struct worker_identity, field), false \
    }
    TEXT(host, "host"),
    TEXT(machine, "machine"),
    TEXT(boot, "boot"),
    NUMBER(pid_space, "pid_space"),
    NUMBER(pid, "pid"),
    NUMBER(start_ticks, "start_ticks"),
    TEXT(master, "master"),
    TEXT(version, "version"),
    NUMBER(slot, "slot"),
    NUMBER(slots, "slots"),
    NUMBER(generation, "generation"),
    NUMBER(started_at_ms, "started_at_ms"),
    NUMBER(running, "running"),
    NUMBER(completed, "completed"),
    NUMBER(failed, "failed"),
#undef TEXT
#undef NUMBER
};
_Static_assert(2 * ARRAY_SIZE(fields) + 2 <= QUEUE_IDENTITY_ARGS, "with the queue's name");

/* ---- one row
 * -------------------------------------------------------------------------------------------- */

static const char *text_field(const struct worker_identity *identity, size_t offset)
{
    const char *text;

    memcpy(&text, (const char *)identity + offset, sizeof(text));
    return text ? text : "";
}

static uint64_t number_field(const struct worker_identity *identity, size_t offset)
{
    uint64_t number;

    memcpy(&number, (const char *)identity + offset, sizeof(number));
    return number;
}

void queue_args_add_identity(struct queue *queue, const struct worker_identity *identity)
{
    if (!identity)
        return;
    queue_args_add_text(queue, "queue");
    queue_args_add_text(queue, queue->name);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        queue_args_add_text(queue, fields[i].name);
        if (fields[i].is_text)
            queue_args_add_text(queue, text_field(identity, fields[i].offset));
        else
            queue_args_add_uint(queue, number_field(identity, fields[i].offset));
    }
}

/* ---- all of them
 * ---------------------------------------------------------------------------------------- */

/* Elements of an entry of the reply: uuid, age, and the fields in the order asked for. */
enum { ENTRY_UUID, ENTRY_AGE, ENTRY_BEAT, ENTRY_FIELDS };
#define ENTRY_ELEMENTS (ENTRY_FIELDS + ARRAY_SIZE(fields))

struct workers_call {
    struct queue *queue;
    queue_workers_cb *on_done;
    void *arg;
    struct worker_entry *entries; /* owned; the texts of each are one block that starts with uuid */
    size_t count, cap;
};

static void on_page(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg);

static void free_workers(struct workers_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        free((void *)(uintptr_t)call->entries[i].uuid); /* ours, see read_entry */
    free(call->entries);
    free(call);
}

static void end_workers(struct workers_call *call, const struct call_result *result)
{
    size_t count = result->outcome == REDIS_REPLY ? call->count : 0;

    call->on_done(call->queue, result, call->entries, count, call->arg);
    free_workers(call);
}

/* `call` belongs to on_page when it was sent, else still to the caller. */
static int send_page(struct workers_call *call, struct bytes cursor, struct error *err)
{
    struct queue *queue = call->queue;
    int code = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 2 + ARRAY_SIZE(fields), err);

    if (code < 0)
        return code;
    queue_args_add_standard(queue);
    queue_args_add_bytes(queue, cursor);
    queue_args_add_text(queue, "beat");
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        queue_args_add_text(queue, fields[i].name);
    return queue_args_run(queue, &queue_script_workers, QUEUE_KEY_COUNT, on_page, call, err);
}

static const char *copy_text(char **at, struct bytes text)
{
    char *start = *at;

    if (text.len > 0)
        memcpy(start, text.data, text.len);
    start[text.len] = '\0';
    *at += text.len + 1;
    return start;
}

static void read_field(struct worker_identity *identity, size_t field, const redisReply *value,
                       char **at)
{
    char *place = (char *)identity + fields[field].offset;

    if (fields[field].is_text) {
        const char *text = copy_text(at, queue_reply_bytes(value));

        memcpy(place, &text, sizeof(text));
    } else {
        uint64_t number = queue_reply_uint(value, 0);

        memcpy(place, &number, sizeof(number));
    }
}

static int read_entry(redisReply *const *elements, struct worker_entry *out)
{
    size_t bytes = queue_reply_bytes(elements[ENTRY_UUID]).len + 1;
    char *at;

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        bytes += queue_reply_bytes(elements[ENTRY_FIELDS + i]).len + 1;
    at = malloc(bytes);
    if (!at)
        return -ENOMEM;
    *out = (struct worker_entry){ .beat = queue_reply_uint(elements[ENTRY_BEAT], 0),
                                  .beat_age_ms = queue_reply_uint(elements[ENTRY_AGE], 0) };
    out->uuid = copy_text(&at, queue_reply_bytes(elements[ENTRY_UUID]));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        read_field(&out->identity, i, elements[ENTRY_FIELDS + i], &at);
    return 0;
}

/* A page may tell of a process again. */
static bool is_known(const struct workers_call *call, struct bytes uuid)
{
    for (size_t i = 0; i < call->count; i++) {
        if (strlen(call->entries[i].uuid) == uuid.len &&
            memcmp(call->entries[i].uuid, uuid.data, uuid.len) == 0)
            return true;
    }
    return false;
}

static int add_entry(struct workers_call *call, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != ENTRY_ELEMENTS ||
        !queue_reply_bytes(entry->element[ENTRY_UUID]).data ||
        is_known(call, queue_reply_bytes(entry->element[ENTRY_UUID])) || call->count == ENTRIES_MAX)
        return 0;
    if (call->count == call->cap) {
        size_t cap = call->cap ? 2 * call->cap : 64;
        struct worker_entry *grown = realloc(call->entries, cap * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        call->entries = grown;
        call->cap = cap;
    }
    if (read_entry(entry->element, &call->entries[call->count]) < 0)
        return -ENOMEM;
    call->count++;
    return 0;
}

static int add_page(struct workers_call *call, const redisReply *reply, struct error *err)
{
    for (size_t i = 1; i < reply->elements; i++) {
        if (add_entry(call, reply->element[i]) < 0)
            return error_set(err, -ENOMEM, "allocate an entry of the registry");
    }
    return 0;
}

static void on_page(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct workers_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    struct error err;

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        struct bytes cursor = queue_reply_bytes(reply->element[0]);
        bool is_last = !cursor.data || strcmp(cursor.data, "0") == 0 || call->count == ENTRIES_MAX;

        if (add_page(call, reply, &err) < 0)
            result = queue_walk_unsent(&err);
        else if (!is_last && send_page(call, cursor, &err) == 0)
            return;
        else if (!is_last)
            result = queue_walk_unsent(&err);
    }
    end_workers(call, &result);
}

int queue_list_workers(struct queue *queue, queue_workers_cb *on_done, void *arg, struct error *err)
{
    struct workers_call *call = calloc(1, sizeof(*call));
    int code;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    code = send_page(call, (struct bytes){ "0", 1 }, err);
    if (code < 0)
        free_workers(call);
    return code;
}
