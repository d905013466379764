/* Adding: the calls of lua/add.lua, for ordinary jobs, and of lua/relate.lua, when one of them has
 * to do with others. */
#include "common/queue/add.h"

#include <errno.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/queue/add_internal.h"
#include "common/queue/options.h"

#define ARGS_A_JOB         8
#define ARGS_A_RELATED_JOB 14

/* Everything that the reply needs is allocated before sending: an answer can always be told. */
struct add_call {
    struct queue *queue;
    queue_add_cb *on_done;
    void *arg;
    size_t count;
    struct add_result results[]; /* of each job, in order */
};

bool add_read_result(const redisReply *code, const redisReply *text, struct add_result *out)
{
    if (code->type != REDIS_REPLY_INTEGER || text->type != REDIS_REPLY_STRING)
        return false;
    switch (code->integer) {
    case 0:
    case 1:
    case 2:
    case 3:
        *out = (struct add_result){ .id = text->str,
                                    .duplicate = code->integer == 1,
                                    .deduplicated = code->integer >= 2,
                                    .kept_as_next = code->integer == 3,
                                    .why = "" };
        return true;
    case ADD_UNSTORED:
    case ADD_PARENT_MISSING:
    case ADD_PARENT_OF_OTHER:
        *out = (struct add_result){ .code = (enum add_code)code->integer, .why = text->str };
        return true;
    default:
        return false;
    }
}

static void on_added(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    _cleanup_(freep) struct add_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, call->count * 2);
    bool done = result.outcome == REDIS_REPLY || result.outcome == REDIS_UNREPLICATED;
    bool readable = done;

    (void)redis;
    for (size_t i = 0; readable && i < call->count; i++)
        readable =
            add_read_result(reply->element[i * 2], reply->element[i * 2 + 1], &call->results[i]);
    if (readable) {
        call->on_done(call->queue, &result, call->results, call->count, call->arg);
        return;
    }
    if (done)
        result = (struct call_result){ .outcome = REDIS_REFUSED,
                                       .error_class = REDIS_CLASS_OTHER,
                                       .why = "the add script answered in an unknown form" };
    call->on_done(call->queue, &result, NULL, 0, call->arg);
}

/* A delay wins over a priority, a priority over lifo. */
const char *add_place_of(const struct job_spec *spec)
{
    if (spec->delay_ms > 0)
        return "d";
    if (spec->priority > 0)
        return "p";
    return spec->lifo ? "l" : "w";
}

void add_put_job(struct queue *queue, const struct job_spec *spec, struct bytes opts,
                 uint64_t now_ms)
{
    queue_args_add_bytes(queue, spec->name);
    if (spec->data.data)
        queue_args_add_bytes(queue, spec->data);
    else
        queue_args_add_text(queue, "{}");
    queue_args_add_bytes(queue, opts);
    queue_args_add_uint(queue, spec->timestamp_ms > 0 ? spec->timestamp_ms : now_ms);
    queue_args_add_uint(queue, spec->delay_ms);
    queue_args_add_uint(queue, spec->priority);
}

void add_put_parent(struct queue *queue, const struct job_spec *spec, struct bytes parent)
{
    queue_args_add_bytes(queue, spec->parent.queue);
    queue_args_add_bytes(queue, spec->parent.id);
    queue_args_add_bytes(queue, parent);
}

static void put_dedup(struct queue *queue, const struct job_dedup *dedup)
{
    static const char *const letters[] = { "",  "e",  "r",  "er",  "k",  "ek",  "rk",  "erk",
                                           "s", "es", "rs", "ers", "ks", "eks", "rks", "erks" };

    queue_args_add_bytes(queue, dedup->id);
    queue_args_add_uint(queue, dedup->ttl_ms);
    queue_args_add_text(
        queue, letters[(dedup->extend ? 1 : 0) + (dedup->replace ? 2 : 0) +
                       (dedup->keep_last_if_active ? 4 : 0) + (dedup->reschedule ? 8 : 0)]);
}

static bool is_related(const struct job_spec *spec)
{
    return spec->parent.id.data || spec->dedup.id.data;
}

struct bytes add_texts_next(const struct add_texts *texts, size_t *at, size_t end)
{
    struct bytes text = { .data = buf_text(&texts->text) + *at, .len = end - *at };

    *at = end;
    return text;
}

int add_texts_print(struct add_texts *texts, const struct job_spec *spec, size_t index,
                    struct error *err)
{
    int r = job_options_print(spec, &texts->text);

    texts->ends[index].opts = texts->text.len;
    if (r == 0)
        r = job_parent_print(spec, &texts->text);
    texts->ends[index].parent = texts->text.len;
    if (r < 0)
        return error_set(err, -ENOMEM, "print the options of job %zu", index + 1);
    return 0;
}

void add_texts_done(struct add_texts *texts)
{
    buf_done(&texts->text);
    free(texts->ends);
}

int add_texts_init(struct add_texts *texts, size_t count, struct error *err)
{
    *texts = (struct add_texts){ .text = BUF_INIT(ADD_TEXTS_BYTES_MAX),
                                 .ends = calloc(count, sizeof(*texts->ends)) };
    if (!texts->ends)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    return 0;
}

static void put_jobs(struct queue *queue, const struct job_spec *specs, size_t count,
                     const struct add_texts *texts, bool related)
{
    uint64_t now_ms = clock_wall_ms();
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        queue_args_add_text(queue, add_place_of(&specs[i]));
        queue_args_add_bytes(queue, specs[i].id);
        add_put_job(queue, &specs[i], add_texts_next(texts, &at, texts->ends[i].opts), now_ms);
        if (!related)
            continue;
        add_put_parent(queue, &specs[i], add_texts_next(texts, &at, texts->ends[i].parent));
        put_dedup(queue, &specs[i].dedup);
    }
}

static int send_jobs(struct queue *queue, const struct job_spec *specs, size_t count, bool related,
                     struct add_call *call, struct error *err)
{
    _cleanup_(add_texts_done) struct add_texts texts = { 0 };
    size_t args = related ? ARGS_A_RELATED_JOB : ARGS_A_JOB;
    int r = add_texts_init(&texts, count, err);

    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_texts_print(&texts, &specs[i], i, err);
    if (r == 0)
        r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 1 + count * args, err);
    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, count);
    put_jobs(queue, specs, count, &texts, related);
    return queue_args_run_kept(queue, related ? &queue_script_relate : &queue_script_add,
                               QUEUE_KEY_COUNT, on_added, call, err);
}

/* A job that waits for itself would wait for ever. */
static int check_own_parent(const struct queue *queue, const struct job_spec *spec,
                            struct error *err)
{
    const struct bytes *parent_queue = &spec->parent.queue;

    if (!spec->parent.id.data || !spec->id.data || spec->id.len != spec->parent.id.len ||
        memcmp(spec->id.data, spec->parent.id.data, spec->id.len) != 0 ||
        parent_queue->len + 1 != queue->key_prefix.len ||
        memcmp(parent_queue->data, queue->key_prefix.data, parent_queue->len) != 0)
        return 0;
    return error_set(err, -EINVAL, "it is its own parent");
}

int queue_add_jobs(struct queue *queue, const struct job_spec *specs, size_t count,
                   queue_add_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct add_call *call = NULL;
    bool related = false;
    int r;

    if (count == 0 || count > QUEUE_ADD_MAX)
        return error_set(err, -EINVAL, "%zu jobs in one call, must be 1 to %d", count,
                         QUEUE_ADD_MAX);
    for (size_t i = 0; i < count; i++) {
        if (job_spec_check(&specs[i], err) < 0 || check_own_parent(queue, &specs[i], err) < 0)
            return error_wrap(err, "job %zu", i + 1);
        related |= is_related(&specs[i]);
    }
    call = calloc(1, sizeof(*call) + count * sizeof(call->results[0]));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->count = count;
    r = send_jobs(queue, specs, count, related, call, err);
    if (r < 0)
        return r;
    (void)TAKE_PTR(call); /* on_added frees it */
    return 0;
}
