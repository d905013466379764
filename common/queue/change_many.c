/* change_many.c - the same change of up to QUEUE_IDS_MAX named jobs: promote, retry, remove. Some
 * of them a call of the script, until all have their code. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/change_internal.h"

enum many_kind { MANY_PROMOTE, MANY_RETRY, MANY_REMOVE };

struct many_call {
    struct queue *queue;
    enum many_kind kind;
    struct retry_spec retry;  /* of MANY_RETRY */
    size_t count, done, sent; /* done + sent <= count */
    queue_codes_cb *on_codes; /* NULL: a single job, which has */
    queue_done_cb *on_done;
    void *arg;
    enum change_code *codes; /* behind ids; the first `done` are known */
    const char **ids;        /* owned: one block with their texts and the codes */
};

enum change_code change_read_code(const redisReply *reply)
{
    if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer > 0 ||
        reply->integer < CHANGE_DAMAGED)
        return CHANGE_DAMAGED;
    return (enum change_code)reply->integer;
}

/* ---- arguments ---- */

void change_add_retry_args(struct queue *queue, const struct retry_spec *spec,
                           const struct retry_page *page)
{
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, spec->from == RETRY_FAILED ? "failed" : "completed");
    queue_args_add_uint(queue, spec->reset_attempts_made);
    queue_args_add_uint(queue, spec->reset_attempts_started);
    queue_args_add_uint(queue, page->named);
    queue_args_add_uint(queue, page->from);
    queue_args_add_uint(queue, page->most);
    queue_args_add_uint(queue, page->until_ms);
}

void change_add_promote_args(struct queue *queue, const struct retry_page *page)
{
    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_uint(queue, page->named);
    queue_args_add_uint(queue, page->from);
    queue_args_add_uint(queue, page->most);
}

void change_add_remove_args(struct queue *queue, enum remove_what what, bool with_children,
                            size_t most, const char *above)
{
    static const char *const words[] = {
        [REMOVE_NOW] = "remove", [REMOVE_LOOK] = "look", [REMOVE_PENDING] = "pending"
    };

    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, words[what]);
    queue_args_add_uint(queue, with_children);
    queue_args_add_uint(queue, most);
    queue_args_add_text(queue, above);
}

/* ---- the call ---- */

static void free_many(struct many_call *call)
{
    free(call->ids);
    free(call);
}

/* A copy of all that the caller lends: ids, their texts, and room for the codes. */
static bool copy_ids(struct many_call *call, const char *const *ids)
{
    size_t bytes = call->count * (sizeof(char *) + sizeof(*call->codes));
    char *at;

    for (size_t i = 0; i < call->count; i++)
        bytes += strlen(ids[i]) + 1;
    call->ids = malloc(bytes);
    if (!call->ids)
        return false;
    call->codes = (enum change_code *)(call->ids + call->count);
    at = (char *)(call->codes + call->count);
    for (size_t i = 0; i < call->count; i++) {
        size_t len = strlen(ids[i]) + 1;

        call->ids[i] = memcpy(at, ids[i], len);
        at += len;
    }
    return true;
}

static const struct redis_script *add_args(struct many_call *call)
{
    struct retry_page page = { .named = call->sent };

    switch (call->kind) {
    case MANY_PROMOTE:
        change_add_promote_args(call->queue, &page);
        return &queue_script_promote;
    case MANY_RETRY:
        change_add_retry_args(call->queue, &call->retry, &page);
        return &queue_script_retry;
    case MANY_REMOVE:
        break;
    }
    change_add_remove_args(call->queue, REMOVE_NOW, false, call->sent, "");
    return &queue_script_remove;
}

static void on_answered(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg);

static int send_some(struct many_call *call, struct error *err)
{
    const struct redis_script *script;
    int r;

    call->sent = call->count - call->done;
    if (call->sent > QUEUE_IDS_A_CALL)
        call->sent = QUEUE_IDS_A_CALL;
    r = queue_args_begin(call->queue, QUEUE_ARGS_STANDARD + RETRY_ARGS + call->sent, err);
    if (r < 0)
        return r;
    queue_args_add_standard(call->queue);
    script = add_args(call);
    for (size_t i = 0; i < call->sent; i++)
        queue_args_add_text(call->queue, call->ids[call->done + i]);
    return queue_args_run(call->queue, script, QUEUE_KEY_COUNT, on_answered, call, err);
}

static void end_many(struct many_call *call, const struct call_result *result)
{
    if (call->on_codes)
        call->on_codes(call->queue, result, call->codes, call->done, call->arg);
    else
        call->on_done(call->queue, result, call->done > 0 ? call->codes[0] : 0, call->arg);
    free_many(call);
}

/* remove.lua answers code and count of each; the others whether there is more, then id and code of
 * each. */
static const redisReply *answer_at(const struct many_call *call, const redisReply *reply, size_t i)
{
    return reply->element[call->kind == MANY_REMOVE ? 2 * i : 2 * i + 2];
}

/* Those behind it were too much for one call. The first one never is. */
static bool was_unseen(const struct many_call *call, const redisReply *reply, size_t i)
{
    return i > 0 && call->kind == MANY_REMOVE &&
           queue_reply_uint(answer_at(call, reply, i), 0) == REMOVE_UNSEEN;
}

static void on_answered(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, void *arg)
{
    struct many_call *call = arg;
    size_t elements = 2 * call->sent + (call->kind == MANY_REMOVE ? 0 : 1), seen = 0;
    struct call_result result = queue_call_result(outcome, reply, why, elements);
    struct error err = { 0 };

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_many(call, &result);
        return;
    }
    while (seen < call->sent && !was_unseen(call, reply, seen)) {
        call->codes[call->done + seen] = change_read_code(answer_at(call, reply, seen));
        seen++;
    }
    call->done += seen;
    if (call->done < call->count) {
        if (send_some(call, &err) == 0)
            return;
        result = change_unsent(&err);
    }
    end_many(call, &result);
}

static int check_ids(const char *const *ids, size_t count, struct error *err)
{
    if (count == 0 || count > QUEUE_IDS_MAX)
        return error_set(err, -EINVAL, "%zu ids in one call, not 1 to %d", count, QUEUE_IDS_MAX);
    for (size_t i = 0; i < count; i++) {
        int r = change_check_id(ids[i], err);

        if (r < 0)
            return r;
    }
    return 0;
}

/* `as` is copied. */
static int start_many(const struct many_call *as, const char *const *ids, struct error *err)
{
    struct many_call *call;
    int r = check_ids(ids, as->count, err);

    if (r < 0)
        return r;
    call = malloc(sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = *as;
    r = copy_ids(call, ids) ? send_some(call, err)
                            : error_set(err, -ENOMEM, "allocate %zu ids", call->count);
    if (r < 0)
        free_many(call);
    return r;
}

int queue_promote_job(struct queue *queue, const char *id, queue_done_cb *on_done, void *arg,
                      struct error *err)
{
    struct many_call call = {
        .queue = queue, .kind = MANY_PROMOTE, .count = 1, .on_done = on_done, .arg = arg
    };

    return start_many(&call, &id, err);
}

int queue_promote_jobs_by_id(struct queue *queue, const char *const *ids, size_t count,
                             queue_codes_cb *on_done, void *arg, struct error *err)
{
    struct many_call call = {
        .queue = queue, .kind = MANY_PROMOTE, .count = count, .on_codes = on_done, .arg = arg
    };

    return start_many(&call, ids, err);
}

int queue_retry_job(struct queue *queue, const char *id, const struct retry_spec *spec,
                    queue_done_cb *on_done, void *arg, struct error *err)
{
    struct many_call call = { .queue = queue,
                              .kind = MANY_RETRY,
                              .retry = *spec,
                              .count = 1,
                              .on_done = on_done,
                              .arg = arg };

    return start_many(&call, &id, err);
}

int queue_retry_jobs_by_id(struct queue *queue, const char *const *ids, size_t count,
                           const struct retry_spec *spec, queue_codes_cb *on_done, void *arg,
                           struct error *err)
{
    struct many_call call = { .queue = queue,
                              .kind = MANY_RETRY,
                              .retry = *spec,
                              .count = count,
                              .on_codes = on_done,
                              .arg = arg };

    return start_many(&call, ids, err);
}

int queue_remove_jobs(struct queue *queue, const char *const *ids, size_t count,
                      queue_codes_cb *on_done, void *arg, struct error *err)
{
    struct many_call call = {
        .queue = queue, .kind = MANY_REMOVE, .count = count, .on_codes = on_done, .arg = arg
    };

    return start_many(&call, ids, err);
}
