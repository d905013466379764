/* Adding: the checks of a stock client (wire format 1.3, 2.4) and the call of lua/add.lua. */
#include "common/queue/add.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/queue/options.h"
#include "common/queue/queue_internal.h"

#define PRIORITY_MAX   2097151          /* 2^21 - 1 */
#define WALL_MAX_MS    8640000000000000 /* the last instant of a JavaScript Date */
#define ARGS_A_JOB     8
/* Of the opts of one call; an id, which they repeat, is the only part without a bound of its own.
 */
#define OPTS_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* ---- checks ---- */

/* What JavaScript's parseInt(id).toString() === id means: a whole number as it is printed. */
static bool looks_automatic(const struct bytes *id)
{
    const char *at = id->data;
    size_t len = id->len;

    if (len > 1 && *at == '-') {
        at++;
        len--;
        if (*at == '0')
            return false;
    }
    if (len == 0 || (len > 1 && *at == '0'))
        return false;
    /* From 22 digits on parseInt answers in exponent form: such a text is not its own parse. */
    if (len > 21)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
    }
    return true;
}

static size_t count_colons(const struct bytes *id)
{
    size_t colons = 0;

    for (size_t i = 0; i < id->len; i++)
        colons += id->data[i] == ':';
    return colons;
}

static int check_id(const struct bytes *id, struct error *err)
{
    int shown = id->len > 100 ? 100 : (int)id->len;
    size_t colons;

    if (!id->data || id->len == 0)
        return 0;
    if (looks_automatic(id))
        return error_set(
            err, -EINVAL,
            "id \"%.*s\" is a whole number: those are the automatic ids; put something "
            "before it, as in order-%.*s",
            shown, id->data, shown, id->data);
    if (id->len >= 2 && memcmp(id->data, "0:", 2) == 0)
        return error_set(err, -EINVAL, "id \"%.*s\" starts with \"0:\"", shown, id->data);
    colons = count_colons(id);
    if (colons != 0 && colons != 2)
        return error_set(err, -EINVAL, "id \"%.*s\" contains ':', which separates parts of keys",
                         shown, id->data);
    /* Stock clients let it pass, and the queue is broken from then on. */
    if (queue_is_key_name(id->data, id->len))
        return error_set(err, -EINVAL, "id \"%.*s\" is the name of a key of the queue itself",
                         shown, id->data);
    if (text_utf8_prefix(id->data, id->len) < id->len)
        return error_set(err, -EINVAL, "id is not valid UTF-8");
    return 0;
}

static int check_backoff(const struct job_backoff *backoff, struct error *err)
{
    if (backoff->kind == JOB_BACKOFF_CUSTOM)
        return error_set(err, -EINVAL, "backoff must be fixed or exponential");
    if (!(backoff->jitter >= 0 && backoff->jitter <= 1))
        return error_set(err, -EINVAL, "backoff jitter %g is outside 0 to 1", backoff->jitter);
    if (backoff->delay_ms > WALL_MAX_MS)
        return error_set(err, -EINVAL, "backoff delay of %" PRIu64 " ms is out of range",
                         backoff->delay_ms);
    return 0;
}

static int check_keep(const char *member, const struct job_keep *keep, struct error *err)
{
    if (keep->present && !(isfinite(keep->age_s) && keep->age_s >= 0))
        return error_set(err, -EINVAL, "%s age must be 0 or more seconds", member);
    return 0;
}

static int check_data(const struct job_spec *spec, struct error *err)
{
    if (!spec->data.data)
        return 0;
    if (!json_text_is_valid(spec->data.data, spec->data.len))
        return error_set(err, -EINVAL, "data is not valid JSON");
    if (spec->size_limit > 0 && spec->data.len > spec->size_limit)
        return error_set(err, -EINVAL, "data of %zu bytes is over the size limit of %" PRIu64,
                         spec->data.len, spec->size_limit);
    return 0;
}

int job_spec_check(const struct job_spec *spec, struct error *err)
{
    if (!spec->name.data)
        return error_set(err, -EINVAL, "name is missing");
    if (text_utf8_prefix(spec->name.data, spec->name.len) < spec->name.len)
        return error_set(err, -EINVAL, "name is not valid UTF-8");
    if (check_data(spec, err) < 0 || check_id(&spec->id, err) < 0)
        return -EINVAL;
    if (spec->priority > PRIORITY_MAX)
        return error_set(err, -EINVAL, "priority %" PRIu64 " is over %d", spec->priority,
                         PRIORITY_MAX);
    if (spec->timestamp_ms > WALL_MAX_MS || spec->delay_ms > WALL_MAX_MS - spec->timestamp_ms)
        return error_set(err, -EINVAL, "timestamp and delay are out of range");
    if (spec->attempts > INT32_MAX)
        return error_set(err, -EINVAL, "attempts %" PRIu64 " are over %d", spec->attempts,
                         INT32_MAX);
    if (check_backoff(&spec->backoff, err) < 0 ||
        check_keep("removeOnComplete", &spec->keep_completed, err) < 0 ||
        check_keep("removeOnFail", &spec->keep_failed, err) < 0)
        return -EINVAL;
    return 0;
}

/* ---- the call ---- */

/* Everything that the reply needs is allocated before sending: an answer can always be told. */
struct add_call {
    struct queue *queue;
    queue_add_cb *on_done;
    void *arg;
    size_t count;
    struct add_result results[]; /* of each job, in order */
};

static bool read_result(const redisReply *code, const redisReply *text, struct add_result *out)
{
    if (code->type != REDIS_REPLY_INTEGER || text->type != REDIS_REPLY_STRING)
        return false;
    out->duplicate = code->integer == 1;
    out->id = code->integer >= 0 ? text->str : NULL;
    out->why = code->integer >= 0 ? "" : text->str;
    return true;
}

static void on_added(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    _cleanup_(freep) struct add_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, call->count * 2);
    bool readable = result.outcome == REDIS_REPLY;

    (void)redis;
    for (size_t i = 0; readable && i < call->count; i++)
        readable = read_result(reply->element[i * 2], reply->element[i * 2 + 1], &call->results[i]);
    if (readable) {
        call->on_done(call->queue, &result, call->results, call->count, call->arg);
        return;
    }
    if (result.outcome == REDIS_REPLY)
        result = (struct call_result){ .outcome = REDIS_REFUSED,
                                       .error_class = REDIS_CLASS_OTHER,
                                       .why = "the add script answered in an unknown form" };
    call->on_done(call->queue, &result, NULL, 0, call->arg);
}

/* Where the script puts a job; a delay wins over a priority, a priority over lifo. */
static const char *place_of(const struct job_spec *spec)
{
    if (spec->delay_ms > 0)
        return "d";
    if (spec->priority > 0)
        return "p";
    return spec->lifo ? "l" : "w";
}

static void put_job(struct queue *queue, const struct job_spec *spec, struct bytes opts,
                    uint64_t now_ms)
{
    queue_args_add_text(queue, place_of(spec));
    queue_args_add_bytes(queue, spec->id);
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

/* Prints the opts of all jobs behind each other; ends[i] is where those of job i end. */
static int print_all_opts(const struct job_spec *specs, size_t count, struct buf *out, size_t *ends,
                          struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (job_options_print(&specs[i], out) < 0)
            return error_set(err, -ENOMEM, "print the options of job %zu", i + 1);
        ends[i] = out->len;
    }
    return 0;
}

static int send_jobs(struct queue *queue, const struct job_spec *specs, size_t count,
                     struct add_call *call, struct error *err)
{
    _cleanup_(buf_done) struct buf opts = BUF_INIT(OPTS_BYTES_MAX);
    size_t ends[QUEUE_ADD_MAX];
    uint64_t now_ms = clock_wall_ms();
    size_t at = 0;
    int r;

    r = print_all_opts(specs, count, &opts, ends, err);
    if (r < 0)
        return r;
    r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 1 + count * ARGS_A_JOB, err);
    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_uint(queue, count);
    for (size_t i = 0; i < count; i++) {
        put_job(queue, &specs[i],
                (struct bytes){ .data = buf_text(&opts) + at, .len = ends[i] - at }, now_ms);
        at = ends[i];
    }
    return queue_args_run(queue, &queue_script_add, QUEUE_KEY_COUNT, on_added, call, err);
}

int queue_add_jobs(struct queue *queue, const struct job_spec *specs, size_t count,
                   queue_add_cb *on_done, void *arg, struct error *err)
{
    _cleanup_(freep) struct add_call *call = NULL;
    int r;

    if (count == 0 || count > QUEUE_ADD_MAX)
        return error_set(err, -EINVAL, "%zu jobs in one call, must be 1 to %d", count,
                         QUEUE_ADD_MAX);
    for (size_t i = 0; i < count; i++) {
        if (job_spec_check(&specs[i], err) < 0)
            return error_wrap(err, "job %zu", i + 1);
    }
    call = calloc(1, sizeof(*call) + count * sizeof(call->results[0]));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call for %zu jobs", count);
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->count = count;
    r = send_jobs(queue, specs, count, call, err);
    if (r < 0)
        return r;
    (void)TAKE_PTR(call); /* on_added frees it */
    return 0;
}
