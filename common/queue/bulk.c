/* bulk.c - work on many jobs: a script that does a piece, called until nothing is left, the limit
 * is reached or the caller cancels. */
#include "common/queue/bulk.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/change_internal.h"
#include "common/queue/settings.h"

#define PIECE_DEFAULT 100  /* about 1 ms of Redis */
#define LITTER_KEYS   1000 /* keys of the server that one call looks at */

enum bulk_kind { BULK_SWEEP, BULK_RETRY, BULK_PROMOTE, BULK_OBLITERATE };

struct bulk_call {
    struct queue *queue;
    enum bulk_kind kind;
    struct bulk_run run;
    struct bulk_result result;
    uint64_t from;     /* jobs of this state that earlier pieces left where they are */
    size_t piece;      /* most jobs of the last piece */
    struct bytes *ids; /* of the last piece; owned */

    /* BULK_SWEEP */
    const char *const *states; /* NULL-terminated; the first is under way */
    bool by_age;
    uint64_t until_ms; /* with by_age; also of BULK_RETRY */
    /* BULK_RETRY */
    struct retry_spec retry;
    /* BULK_OBLITERATE */
    bool force, last; /* last: no job was left; its litter is gone, its own keys come next */
    char cursor[24];  /* of the look for litter */
};

static redis_reply_cb on_sweep, on_codes, on_obliterate, on_litter;

static void free_call(struct bulk_call *call)
{
    free(call->ids);
    free(call);
}

static void end_call(struct bulk_call *call, const struct call_result *result)
{
    call->run.on_done(call->queue, result, &call->result, call->run.arg);
    free_call(call);
}

static void end_well(struct bulk_call *call)
{
    struct call_result result = { REDIS_REPLY, REDIS_CLASS_NONE, "" };

    end_call(call, &result);
}

/* ---- sending a piece ---- */

static size_t piece_of(const struct bulk_call *call)
{
    uint64_t left = call->run.limit > 0 ? call->run.limit - call->result.done : UINT64_MAX;

    return call->run.piece < left ? call->run.piece : (size_t)left;
}

static int begin(struct bulk_call *call, struct error *err)
{
    int r = queue_args_begin(call->queue, QUEUE_ARGS_STANDARD + RETRY_ARGS, err);

    if (r < 0)
        return r;
    queue_args_add_standard(call->queue);
    call->piece = piece_of(call);
    return 0;
}

static int send_sweep(struct bulk_call *call, struct error *err)
{
    struct queue *queue = call->queue;

    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_text(queue, call->states[0]);
    if (call->by_age)
        queue_args_add_uint(queue, call->until_ms);
    else
        queue_args_add_text(queue, "");
    queue_args_add_uint(queue, call->from);
    queue_args_add_uint(queue, call->run.piece);
    queue_args_add_uint(queue, call->piece);
    return queue_args_run(queue, &queue_script_sweep, QUEUE_KEY_COUNT, on_sweep, call, err);
}

static int send_page(struct bulk_call *call, struct error *err)
{
    const struct retry_page page = { .from = call->from,
                                     .most = call->piece,
                                     .until_ms = call->until_ms };
    const struct redis_script *script = &queue_script_promote;

    if (call->kind == BULK_RETRY) {
        change_add_retry_args(call->queue, &call->retry, &page);
        script = &queue_script_retry;
    } else {
        change_add_promote_args(call->queue, &page);
    }
    return queue_args_run(call->queue, script, QUEUE_KEY_COUNT, on_codes, call, err);
}

static int send_obliterate(struct bulk_call *call, struct error *err)
{
    struct queue *queue = call->queue;

    queue_args_add_uint(queue, clock_wall_ms());
    queue_args_add_uint(queue, call->force);
    queue_args_add_uint(queue, call->piece);
    queue_args_add_uint(queue, call->last);
    return queue_args_run(queue, &queue_script_obliterate, QUEUE_KEY_COUNT, on_obliterate, call,
                          err);
}

static int send_litter(struct bulk_call *call, struct error *err)
{
    int r = begin(call, err);

    if (r < 0)
        return r;
    queue_args_add_text(call->queue, call->cursor);
    queue_args_add_uint(call->queue, LITTER_KEYS);
    return queue_args_run(call->queue, &queue_script_litter, QUEUE_KEY_COUNT, on_litter, call, err);
}

static int send_piece(struct bulk_call *call, struct error *err)
{
    int r = begin(call, err);

    if (r < 0)
        return r;
    switch (call->kind) {
    case BULK_SWEEP:
        return send_sweep(call, err);
    case BULK_RETRY:
    case BULK_PROMOTE:
        return send_page(call, err);
    case BULK_OBLITERATE:
        break;
    }
    return send_obliterate(call, err);
}

/* What was sent could not be: the work ends, what is done stays done. */
static void end_unsent(struct bulk_call *call, const struct error *err)
{
    struct call_result result = change_unsent(err);

    end_call(call, &result);
}

/* ---- a piece was done ---- */

/* Tells the caller. False: it ends here, because it was cancelled. */
static bool tell(struct bulk_call *call, bool more, size_t ids_count)
{
    const struct bulk_progress progress = { call->result.done, call->result.passed, more, call->ids,
                                            ids_count };

    if (!call->run.on_progress || call->run.on_progress(call->queue, &progress, call->run.arg))
        return true;
    call->result.cancelled = more;
    return false;
}

static void next_piece(struct bulk_call *call, bool more, size_t ids_count)
{
    struct error err = { 0 };

    if (call->run.limit > 0 && call->result.done >= call->run.limit)
        more = false;
    if (!tell(call, more, ids_count) || !more)
        end_well(call);
    else if (send_piece(call, &err) < 0)
        end_unsent(call, &err);
}

/* Room for the ids of a piece; false on no memory, and the call has ended. */
static bool make_room(struct bulk_call *call, size_t count)
{
    const struct call_result result = { REDIS_REFUSED, REDIS_CLASS_OTHER, "out of memory" };

    free(call->ids);
    call->ids = calloc(count + 1, sizeof(*call->ids));
    if (call->ids)
        return true;
    end_call(call, &result);
    return false;
}

/* True: the reply has the shape; else the call has ended. */
static bool check_reply(struct bulk_call *call, enum redis_outcome outcome, const redisReply *reply,
                        const char *why, size_t elements)
{
    struct call_result result = queue_call_result(outcome, reply, why, elements);

    if (result.outcome == REDIS_REPLY)
        return make_room(call, reply->elements);
    end_call(call, &result);
    return false;
}

enum { SWEEP_DONE, SWEEP_PASSED, SWEEP_MORE, SWEEP_IDS };

static void on_sweep(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct bulk_call *call = arg;
    bool more;

    (void)redis;
    if (!check_reply(call, outcome, reply, why, SWEEP_IDS))
        return;
    for (size_t i = SWEEP_IDS; i < reply->elements; i++)
        call->ids[i - SWEEP_IDS] = queue_reply_bytes(reply->element[i]);
    call->result.done += queue_reply_uint(reply->element[SWEEP_DONE], 0);
    call->result.passed += queue_reply_uint(reply->element[SWEEP_PASSED], 0);
    call->from += queue_reply_uint(reply->element[SWEEP_PASSED], 0);
    more = queue_reply_uint(reply->element[SWEEP_MORE], 0) != 0;
    if (!more && call->states[1]) {
        call->states++;
        call->from = 0;
        more = true;
    }
    next_piece(call, more, reply->elements - SWEEP_IDS);
}

/* Whether the page was full, then id and code of each. */
static void on_codes(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct bulk_call *call = arg;
    size_t moved = 0;

    (void)redis;
    if (!check_reply(call, outcome, reply, why, 1))
        return;
    for (size_t i = 1; i + 1 < reply->elements; i += 2) {
        enum change_code code = change_read_code(reply->element[i + 1]);

        if (code == CHANGE_OK)
            call->ids[moved++] = queue_reply_bytes(reply->element[i]);
        else if (code != CHANGE_NO_JOB) { /* of those the id is gone from the set */
            call->result.passed++;
            call->from++;
        }
    }
    call->result.done += moved;
    next_piece(call, queue_reply_uint(reply->element[0], 0) != 0, moved);
}

enum { OBLITERATE_DONE, OBLITERATE_NEXT, OBLITERATE_IDS };

static void on_obliterate(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                          const char *why, void *arg)
{
    struct bulk_call *call = arg;
    struct error err = { 0 };
    long long next;

    (void)redis;
    if (!check_reply(call, outcome, reply, why, OBLITERATE_IDS))
        return;
    for (size_t i = OBLITERATE_IDS; i < reply->elements; i++)
        call->ids[i - OBLITERATE_IDS] = queue_reply_bytes(reply->element[i]);
    call->result.done += queue_reply_uint(reply->element[OBLITERATE_DONE], 0);
    next = reply->element[OBLITERATE_NEXT]->integer;
    if (next < 0)
        call->result.refusal = next == -1 ? BULK_NOT_PAUSED : BULK_ACTIVE_JOBS;
    if (next != 0 || call->last) {
        next_piece(call, next > 0, reply->elements - OBLITERATE_IDS);
        return;
    }
    (void)snprintf(call->cursor, sizeof(call->cursor), "0");
    if (!tell(call, true, reply->elements - OBLITERATE_IDS))
        end_well(call);
    else if (send_litter(call, &err) < 0)
        end_unsent(call, &err);
}

static void on_litter(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    struct bulk_call *call = arg;
    struct error err = { 0 };
    struct bytes cursor;
    bool ended;

    (void)redis;
    if (!check_reply(call, outcome, reply, why, 2))
        return;
    cursor = queue_reply_bytes(reply->element[0]);
    ended = cursor.len == 0 || (cursor.len == 1 && cursor.data[0] == '0');
    (void)snprintf(call->cursor, sizeof(call->cursor), "%.*s", (int)cursor.len,
                   cursor.len > 0 ? cursor.data : "");
    if (ended)
        call->last = true;
    if (!tell(call, true, 0))
        end_well(call);
    else if ((ended ? send_piece(call, &err) : send_litter(call, &err)) < 0)
        end_unsent(call, &err);
}

/* ---- the works ---- */

/* `as` is copied; `*out_call` is not sent yet. */
static int new_call(const struct bulk_call *as, const struct bulk_run *run,
                    struct bulk_call **out_call, struct error *err)
{
    struct bulk_call *call;

    if (run->piece > QUEUE_PIECE_MAX)
        return error_set(err, -EINVAL, "a piece of %zu jobs, not 1 to %d", run->piece,
                         QUEUE_PIECE_MAX);
    call = malloc(sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = *as;
    call->run = *run;
    if (run->piece == 0)
        call->run.piece = PIECE_DEFAULT;
    *out_call = call;
    return 0;
}

static int start(const struct bulk_call *as, const struct bulk_run *run, struct error *err)
{
    struct bulk_call *call = NULL;
    int r = new_call(as, run, &call, err);

    if (r < 0)
        return r;
    r = send_piece(call, err);
    if (r < 0)
        free_call(call);
    return r;
}

int queue_drain(struct queue *queue, bool delayed, const struct bulk_run *run, struct error *err)
{
    static const char *const waiting[] = { "wait", "paused", "prioritized", NULL };
    static const char *const all[] = { "wait", "paused", "delayed", "prioritized", NULL };
    const struct bulk_call call = { .queue = queue,
                                    .kind = BULK_SWEEP,
                                    .states = delayed ? all : waiting };

    return start(&call, run, err);
}

int queue_clean(struct queue *queue, const struct clean_spec *spec, const struct bulk_run *run,
                struct error *err)
{
    static const char *const keys[QUEUE_STATE_COUNT][2] = {
        [QUEUE_STATE_WAITING] = { "wait" },    [QUEUE_STATE_PAUSED] = { "paused" },
        [QUEUE_STATE_ACTIVE] = { "active" },   [QUEUE_STATE_PRIORITIZED] = { "prioritized" },
        [QUEUE_STATE_DELAYED] = { "delayed" }, [QUEUE_STATE_COMPLETED] = { "completed" },
        [QUEUE_STATE_FAILED] = { "failed" },
    };
    uint64_t now = clock_wall_ms();
    struct bulk_call call = {
        .queue = queue,
        .kind = BULK_SWEEP,
        .by_age = true,
        .until_ms = now > spec->grace_ms ? now - spec->grace_ms : 0,
    };

    if (spec->state >= QUEUE_STATE_COUNT || !keys[spec->state][0])
        return error_set(err, -EINVAL, "jobs that are %s are not cleaned",
                         spec->state < QUEUE_STATE_COUNT ? queue_state_name(spec->state)
                                                         : "nowhere");
    call.states = keys[spec->state];
    return start(&call, run, err);
}

int queue_retry_jobs(struct queue *queue, const struct retry_spec *spec, uint64_t until_ms,
                     const struct bulk_run *run, struct error *err)
{
    const struct bulk_call call = { .queue = queue,
                                    .kind = BULK_RETRY,
                                    .retry = *spec,
                                    .until_ms = until_ms > 0 ? until_ms : clock_wall_ms() };

    return start(&call, run, err);
}

int queue_promote_jobs(struct queue *queue, const struct bulk_run *run, struct error *err)
{
    const struct bulk_call call = { .queue = queue, .kind = BULK_PROMOTE };

    return start(&call, run, err);
}

static void on_paused(struct queue *queue, const struct call_result *result, int64_t value,
                      void *arg)
{
    struct bulk_call *call = arg;
    struct error err = { 0 };

    (void)queue;
    (void)value;
    if (result->outcome != REDIS_REPLY)
        end_call(call, result);
    else if (send_piece(call, &err) < 0)
        end_unsent(call, &err);
}

int queue_obliterate(struct queue *queue, bool force, const struct bulk_run *run, struct error *err)
{
    const struct bulk_call as = { .queue = queue, .kind = BULK_OBLITERATE, .force = force };
    struct bulk_call *call = NULL;
    int r;

    if (run->limit != 0)
        return error_set(err, -EINVAL, "a queue is obliterated whole, not up to a limit");
    r = new_call(&as, run, &call, err);
    if (r < 0)
        return r;
    r = queue_pause(queue, on_paused, call, err);
    if (r < 0)
        free_call(call);
    return r;
}

/* ---- events: the same script until it finds nothing more ---- */

struct trim_call {
    struct queue *queue;
    uint64_t max;
    int64_t removed;
    queue_done_cb *on_done;
    void *arg;
};

static redis_reply_cb on_trimmed;

static int send_trim(struct trim_call *call, struct error *err)
{
    int r = queue_args_begin(call->queue, QUEUE_ARGS_STANDARD + 1, err);

    if (r < 0)
        return r;
    queue_args_add_standard(call->queue);
    queue_args_add_uint(call->queue, call->max);
    return queue_args_run(call->queue, &queue_script_trim_events, QUEUE_KEY_COUNT, on_trimmed, call,
                          err);
}

static void on_trimmed(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    _cleanup_(freep) struct trim_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    uint64_t removed = result.outcome == REDIS_REPLY ? queue_reply_uint(reply, 0) : 0;
    struct error err = { 0 };

    (void)redis;
    call->removed += (int64_t)removed;
    if (removed > 0) {
        if (send_trim(call, &err) == 0) {
            (void)TAKE_PTR(call); /* the next on_trimmed frees it */
            return;
        }
        result = change_unsent(&err);
    }
    call->on_done(call->queue, &result, call->removed, call->arg);
}

int queue_trim_events(struct queue *queue, uint64_t max, queue_done_cb *on_done, void *arg,
                      struct error *err)
{
    _cleanup_(freep) struct trim_call *call = malloc(sizeof(*call));
    int r;

    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    *call = (struct trim_call){ .queue = queue, .max = max, .on_done = on_done, .arg = arg };
    r = send_trim(call, err);
    if (r == 0)
        (void)TAKE_PTR(call); /* on_trimmed frees it */
    return r;
}
