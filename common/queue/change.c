/* change.c - changing one job: its priority, delay, data, progress, log, deduplication. */
#include "common/queue/change.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/queue/change_internal.h"

#define PRIORITY_MAX    2097151             /* wire format 2.4 */
#define DELAY_MAX_MS    ((uint64_t)1 << 40) /* 34 years: scores stay whole numbers in a double */
#define LOG_ROWS_A_CALL 1000

const char *change_code_text(enum change_code code)
{
    static const struct {
        enum change_code code;
        const char *text;
    } rows[] = {
        { CHANGE_OK, "ok" },
        { CHANGE_NO_JOB, "no such job" },
        { CHANGE_NOT_THERE, "not in the state for that" },
        { CHANGE_NO_PARENT, "its parent is gone" },
        { CHANGE_OF_SCHEDULER, "the pending iteration of a job scheduler" },
        { CHANGE_LOCKED, "locked: somebody works on it or on its children" },
        { CHANGE_DAMAGED, "its keys hold something else" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].code == code)
            return rows[i].text;
    }
    return "unknown code";
}

int change_check_id(const char *id, struct error *err)
{
    size_t len = strlen(id);

    if (len == 0)
        return error_set(err, -EINVAL, "an id is empty");
    if (queue_is_key_name(id, len))
        return error_set(err, -EINVAL, "\"%s\" is a key of the queue, not the id of a job", id);
    return 0;
}

struct call_result change_unsent(const struct error *err)
{
    return (struct call_result){ REDIS_REFUSED, REDIS_CLASS_LATER, err->text };
}

/* Starts a call of a script of one job with its id as the first of `more` own arguments, or the
 * second one behind the time. */
static int begin(struct queue *queue, const char *id, bool with_now, size_t more, struct error *err)
{
    int r = change_check_id(id, err);

    if (r == 0)
        r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + more, err);
    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    if (with_now)
        queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, id);
    return 0;
}

int queue_change_priority(struct queue *queue, const char *id, uint64_t priority, bool lifo,
                          queue_done_cb *on_done, void *arg, struct error *err)
{
    int r;

    if (priority > PRIORITY_MAX)
        return error_set(err, -EINVAL, "priority %llu of job %s is above %d",
                         (unsigned long long)priority, id, PRIORITY_MAX);
    r = begin(queue, id, false, 3, err);
    if (r < 0)
        return r;
    queue_args_add_uint(queue, priority);
    queue_args_add_text(queue, lifo ? "1" : "0");
    return queue_args_run_for_number(queue, &queue_script_priority, on_done, arg, err);
}

int queue_change_delay(struct queue *queue, const char *id, uint64_t delay_ms,
                       queue_done_cb *on_done, void *arg, struct error *err)
{
    int r;

    if (delay_ms > DELAY_MAX_MS)
        return error_set(err, -EINVAL, "delay %llu ms of job %s is above %llu ms",
                         (unsigned long long)delay_ms, id, (unsigned long long)DELAY_MAX_MS);
    r = begin(queue, id, true, 3, err);
    if (r < 0)
        return r;
    queue_args_add_uint(queue, delay_ms);
    return queue_args_run_for_number(queue, &queue_script_delay, on_done, arg, err);
}

/* Stock readers parse what is stored without protection: nothing but JSON gets there. */
static int store_json(struct queue *queue, const struct redis_script *script, const char *what,
                      const char *id, const char *json, size_t json_len, queue_done_cb *on_done,
                      void *arg, struct error *err)
{
    int r;

    if (!json_text_is_valid(json, json_len))
        return error_set(err, -EINVAL, "%s of job %s is not valid JSON", what, id);
    r = begin(queue, id, false, 2, err);
    if (r < 0)
        return r;
    queue_args_add(queue, json, json_len);
    return queue_args_run_for_number(queue, script, on_done, arg, err);
}

int queue_update_data(struct queue *queue, const char *id, const char *json, size_t json_len,
                      queue_done_cb *on_done, void *arg, struct error *err)
{
    return store_json(queue, &queue_script_data, "data", id, json, json_len, on_done, arg, err);
}

int queue_update_progress(struct queue *queue, const char *id, const char *json, size_t json_len,
                          queue_done_cb *on_done, void *arg, struct error *err)
{
    return store_json(queue, &queue_script_progress, "progress", id, json, json_len, on_done, arg,
                      err);
}

int queue_add_log(struct queue *queue, const char *id, const char *row, size_t row_len,
                  int64_t keep, queue_done_cb *on_done, void *arg, struct error *err)
{
    int r = begin(queue, id, false, 3, err);

    if (r < 0)
        return r;
    queue_args_add(queue, row, row_len);
    if (keep < 0)
        queue_args_add_text(queue, "");
    else
        queue_args_add_int(queue, keep);
    return queue_args_run_for_number(queue, &queue_script_log, on_done, arg, err);
}

/* ---- clearing a log: the same script until no more rows are kept than wanted ---- */

struct clear_call {
    struct queue *queue;
    uint64_t keep;
    queue_done_cb *on_done;
    void *arg;
    char id[];
};

static void on_cleared(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg);

static int send_clear(struct clear_call *call, struct error *err)
{
    struct queue *queue = call->queue;
    int r = begin(queue, call->id, false, 3, err);

    if (r < 0)
        return r;
    queue_args_add_uint(queue, call->keep);
    queue_args_add_uint(queue, LOG_ROWS_A_CALL);
    return queue_args_run(queue, &queue_script_clear_logs, QUEUE_KEY_COUNT, on_cleared, call, err);
}

static void on_cleared(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    _cleanup_(freep) struct clear_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    int64_t rows =
        outcome == REDIS_REPLY && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    struct error err = { 0 };

    (void)redis;
    if (result.outcome == REDIS_REPLY && rows > 0 && (uint64_t)rows > call->keep) {
        if (send_clear(call, &err) == 0) {
            (void)TAKE_PTR(call); /* the next on_cleared frees it */
            return;
        }
        result = change_unsent(&err);
    }
    call->on_done(call->queue, &result, rows, call->arg);
}

int queue_clear_logs(struct queue *queue, const char *id, uint64_t keep, queue_done_cb *on_done,
                     void *arg, struct error *err)
{
    size_t id_len = strlen(id);
    _cleanup_(freep) struct clear_call *call = malloc(sizeof(*call) + id_len + 1);
    int r;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct clear_call){ .queue = queue, .keep = keep, .on_done = on_done, .arg = arg };
    memcpy(call->id, id, id_len + 1);
    r = send_clear(call, err);
    if (r == 0)
        (void)TAKE_PTR(call); /* on_cleared frees it */
    return r;
}

/* ---- relations ---- */

int queue_remove_child_dependency(struct queue *queue, const char *id, queue_done_cb *on_done,
                                  void *arg, struct error *err)
{
    int r = begin(queue, id, true, 2, err);

    if (r < 0)
        return r;
    return queue_args_run_for_number(queue, &queue_script_detach, on_done, arg, err);
}

static int undedup(struct queue *queue, const char *deduplication_id, const char *id,
                   queue_done_cb *on_done, void *arg, struct error *err)
{
    int r = queue_args_begin(queue, QUEUE_ARGS_STANDARD + 2, err);

    if (r < 0)
        return r;
    queue_args_add_standard(queue);
    queue_args_add_text(queue, deduplication_id);
    queue_args_add_text(queue, id);
    return queue_args_run_for_number(queue, &queue_script_undedup, on_done, arg, err);
}

int queue_remove_deduplication_key(struct queue *queue, const char *deduplication_id,
                                   queue_done_cb *on_done, void *arg, struct error *err)
{
    if (*deduplication_id == '\0')
        return error_set(err, -EINVAL, "a deduplication id is empty");
    return undedup(queue, deduplication_id, "", on_done, arg, err);
}

int queue_release_deduplication(struct queue *queue, const char *id, queue_done_cb *on_done,
                                void *arg, struct error *err)
{
    int r = change_check_id(id, err);

    return r < 0 ? r : undedup(queue, "", id, on_done, arg, err);
}
