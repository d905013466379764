/* remove.c - removing a job with the tree below it.
 *
 * lua/remove.lua removes a tree that fits into one call, and says of a larger one that it does not.
 * Then the tree is walked from here, depth first: a stack of frames, each a job whose children are
 * read page by page (lua/children.lua) and given to remove.lua some at a time; a child that is too
 * large itself gets a frame of its own. The first walk only looks for locks, the second one
 * removes; a frame of the second one ends as soon as what is left of its job fits into one call. */
#include <errno.h>
#include <string.h>

#include "common/queue/change_internal.h"

#define PAGE_SIZE  100
#define DEPTH_MAX  1000     /* a deeper tree is a circle */
#define CALLS_MAX  10000000 /* likewise */
#define CURSOR_MAX 24

/* Pending children go last: with the last of them their parent would go on, and a worker could take
 * it before its own turn comes. */
static const char *const kinds[] = { "processed", "failed", "unsuccessful", "dependencies" };
#define KIND_PENDING (ARRAY_SIZE(kinds) - 1)

struct frame {
    struct frame *above; /* of the job that this one is a child of; NULL: the root */
    size_t kind;         /* of the page; ARRAY_SIZE(kinds): none is left */
    char cursor[CURSOR_MAX];
    bool last;   /* no page of this kind follows */
    char **page; /* owned: one block with the texts */
    size_t count, at;
    char key[];
};

enum phase {
    PHASE_TRY,     /* the whole tree by one call */
    PHASE_LOOK,    /* is anything locked? */
    PHASE_REMOVE,  /* leaves first */
    PHASE_PENDING, /* pending children only; the root stays */
};

struct remove_call {
    struct queue *queue;
    queue_remove_cb *on_done;
    void *arg;
    enum phase phase;
    bool with_children;
    struct frame *top;
    size_t depth, calls, sent; /* sent: names of the last call of remove.lua */
    bool own_turn;             /* that call was about the job of the top frame itself */
    struct remove_result result;
    char *id;
};

static redis_reply_cb on_tried, on_page, on_removed;

static void pop(struct remove_call *call)
{
    struct frame *frame = call->top;

    call->top = frame->above;
    call->depth--;
    free(frame->page);
    free(frame);
}

static void free_call(struct remove_call *call)
{
    while (call->top)
        pop(call);
    free(call->id);
    free(call);
}

static void end_call(struct remove_call *call, const struct call_result *result)
{
    call->on_done(call->queue, result, &call->result, call->arg);
    free_call(call);
}

static void end_with_code(struct remove_call *call, enum change_code code)
{
    struct call_result result = { REDIS_REPLY, REDIS_CLASS_NONE, "" };

    call->result.code = code;
    end_call(call, &result);
}

static int push(struct remove_call *call, const char *prefix, const char *rest, struct error *err)
{
    size_t prefix_len = strlen(prefix), rest_len = strlen(rest);
    struct frame *frame;

    if (call->depth >= DEPTH_MAX)
        return error_set(err, -ELOOP, "the tree below job %s is deeper than %d", call->id,
                         DEPTH_MAX);
    frame = calloc(1, sizeof(*frame) + prefix_len + rest_len + 1);
    if (!frame)
        return error_set(err, -ENOMEM, "allocate a page of children");
    memcpy(frame->key, prefix, prefix_len);
    memcpy(frame->key + prefix_len, rest, rest_len + 1);
    frame->kind = call->phase == PHASE_REMOVE ? 0 : KIND_PENDING;
    frame->above = call->top;
    frame->cursor[0] = '0';
    call->top = frame;
    call->depth++;
    return 0;
}

static int push_root(struct remove_call *call, struct error *err)
{
    return push(call, queue_key_prefix(call->queue), call->id, err);
}

/* ---- sending ---- */

static int begin(struct remove_call *call, size_t more, struct error *err)
{
    int r = call->calls++ < CALLS_MAX
                ? queue_args_begin(call->queue, QUEUE_ARGS_STANDARD + more, err)
                : error_set(err, -ELOOP, "the tree below job %s has no end", call->id);

    if (r == 0)
        queue_args_add_standard(call->queue);
    return r;
}

static int send_root(struct remove_call *call, struct error *err)
{
    int r = begin(call, REMOVE_ARGS + 1, err);

    if (r < 0)
        return r;
    change_add_remove_args(call->queue, REMOVE_NOW, call->with_children, QUEUE_TREE_MAX, "");
    queue_args_add_text(call->queue, call->id);
    return queue_args_run(call->queue, &queue_script_remove, QUEUE_KEY_COUNT, on_tried, call, err);
}

static int send_page(struct remove_call *call, struct error *err)
{
    const struct frame *frame = call->top;
    int r = begin(call, 4, err);

    if (r < 0)
        return r;
    queue_args_add_text(call->queue, frame->key);
    queue_args_add_text(call->queue, kinds[frame->kind]);
    queue_args_add_text(call->queue, frame->cursor);
    queue_args_add_uint(call->queue, PAGE_SIZE);
    return queue_args_run(call->queue, &queue_script_children, QUEUE_KEY_COUNT, on_page, call, err);
}

/* `names`: keys of children of `above`. */
static int send_names(struct remove_call *call, const struct frame *above, bool with_children,
                      const char *const *names, size_t count, struct error *err)
{
    static const enum remove_what whats[] = {
        [PHASE_LOOK] = REMOVE_LOOK, [PHASE_REMOVE] = REMOVE_NOW, [PHASE_PENDING] = REMOVE_PENDING
    };
    int r;

    call->sent = count < PAGE_SIZE ? count : PAGE_SIZE;
    r = begin(call, REMOVE_ARGS + call->sent, err);
    if (r < 0)
        return r;
    change_add_remove_args(call->queue, whats[call->phase], with_children, QUEUE_TREE_MAX,
                           above->key);
    for (size_t i = 0; i < call->sent; i++)
        queue_args_add_text(call->queue, names[i]);
    return queue_args_run(call->queue, &queue_script_remove, QUEUE_KEY_COUNT, on_removed, call,
                          err);
}

/* The frame's own job: it may fit by now, or its children have had their turn. */
static int send_own_turn(struct remove_call *call, struct error *err)
{
    const char *key = call->top->key;

    call->own_turn = true;
    if (!call->top->above)
        return send_root(call, err);
    return send_names(call, call->top->above, call->phase == PHASE_REMOVE, &key, 1, err);
}

/* ---- what comes next ---- */

static void drop_page(struct frame *frame)
{
    free(frame->page);
    frame->page = NULL;
    frame->count = frame->at = 0;
}

/* What a finished page of the top frame leads to: true when a call follows at once. In the removing
 * walk each kind is read from its start until it is empty: what was read is gone. */
static bool finish_page(struct remove_call *call)
{
    struct frame *frame = call->top;
    bool had_some = frame->count > 0;

    drop_page(frame);
    if (call->phase == PHASE_REMOVE && had_some) {
        (void)snprintf(frame->cursor, sizeof(frame->cursor), "0");
        frame->last = false;
        return true;
    }
    if (frame->last) {
        frame->kind++;
        frame->last = false;
    }
    return false;
}

/* All children of the top frame have had their turn. 0: a call was sent; 1: the walk goes on with
 * the frame that is on top now; 2: everything is done. */
static int finish_frame(struct remove_call *call, struct error *err)
{
    int r;

    if (call->phase == PHASE_PENDING)
        return call->top->above ? send_own_turn(call, err) : 2;
    if (call->phase != PHASE_LOOK)
        return error_set(err, -ELOOP, "the tree below %s is not what its job says", call->top->key);
    pop(call);
    if (call->top)
        return 1;
    call->phase = PHASE_REMOVE; /* nothing is locked */
    r = push_root(call, err);
    return r < 0 ? r : 1;
}

static int step(struct remove_call *call, struct error *err)
{
    call->own_turn = false;
    for (;;) {
        struct frame *frame = call->top;
        int r;

        if (frame->at < frame->count)
            return send_names(call, frame, true, (const char *const *)frame->page + frame->at,
                              frame->count - frame->at, err);
        if (finish_page(call))
            return send_own_turn(call, err);
        if (frame->kind < ARRAY_SIZE(kinds))
            return send_page(call, err);
        r = finish_frame(call, err);
        if (r != 1)
            return r;
    }
}

static void go_on(struct remove_call *call)
{
    struct error err = { 0 };
    int r = step(call, &err);

    if (r < 0) {
        struct call_result result = change_unsent(&err);

        end_call(call, &result);
    } else if (r == 2) {
        end_with_code(call, CHANGE_OK);
    }
}

/* ---- answers ---- */

/* Takes a page over from the reply: cursor, then keys. */
static bool keep_page(struct frame *frame, const redisReply *reply)
{
    size_t count = reply->elements - 1, bytes = count * sizeof(char *) + 1;
    struct bytes cursor = queue_reply_bytes(reply->element[0]);
    char *at;

    for (size_t i = 0; i < count; i++)
        bytes += queue_reply_bytes(reply->element[i + 1]).len + 1;
    frame->page = malloc(bytes);
    if (!frame->page)
        return false;
    at = (char *)(frame->page + count);
    for (size_t i = 0; i < count; i++) {
        struct bytes key = queue_reply_bytes(reply->element[i + 1]);

        frame->page[i] = at;
        if (key.len > 0)
            memcpy(at, key.data, key.len);
        at[key.len] = '\0';
        at += key.len + 1;
    }
    frame->count = count;
    frame->at = 0;
    (void)snprintf(frame->cursor, sizeof(frame->cursor), "%.*s", (int)cursor.len,
                   cursor.len > 0 ? cursor.data : "");
    frame->last = strcmp(frame->cursor, "0") == 0 || cursor.len == 0;
    return true;
}

static void on_page(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct remove_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);

    (void)redis;
    if (result.outcome == REDIS_REPLY && !keep_page(call->top, reply))
        result = (struct call_result){ REDIS_REFUSED, REDIS_CLASS_OTHER, "out of memory" };
    if (result.outcome == REDIS_REPLY)
        go_on(call);
    else
        end_call(call, &result);
}

static void on_tried(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct remove_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 2);
    struct error err = { 0 };

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_call(call, &result);
        return;
    }
    call->result.removed += queue_reply_uint(reply->element[1], 0);
    if (queue_reply_uint(reply->element[0], 0) != REMOVE_LARGE) {
        end_with_code(call, change_read_code(reply->element[0]));
        return;
    }
    if (call->phase == PHASE_TRY) {
        call->phase = PHASE_LOOK;
        if (push_root(call, &err) < 0) {
            result = change_unsent(&err);
            end_call(call, &result);
            return;
        }
    }
    go_on(call);
}

/* One name's answer. True: the next one's counts as well. */
static bool take_answer(struct remove_call *call, uint64_t code, struct error *err)
{
    struct frame *frame = call->top;

    if (code == REMOVE_UNSEEN)
        return false;
    if (code != REMOVE_LARGE) {
        frame->at++;
        return true;
    }
    /* Its frame comes before the other names. */
    if (push(call, frame->page[frame->at], "", err) == 0)
        frame->at++;
    return false;
}

/* The job of the top frame itself: gone, or still too large. */
static void take_own_answer(struct remove_call *call, uint64_t code)
{
    if (code != REMOVE_LARGE)
        pop(call);
}

static void on_removed(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    struct remove_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 2 * call->sent);
    struct error err = { 0 };
    bool more = true;

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        end_call(call, &result);
        return;
    }
    for (size_t i = 0; i < call->sent && more; i++) {
        enum change_code code = change_read_code(reply->element[2 * i]);
        uint64_t special = queue_reply_uint(reply->element[2 * i], 0);

        call->result.removed += queue_reply_uint(reply->element[2 * i + 1], 0);
        if (special == 0 && code != CHANGE_OK && code != CHANGE_NO_JOB &&
            !(call->phase == PHASE_PENDING && code == CHANGE_LOCKED)) {
            end_with_code(call, code);
            return;
        }
        if (call->own_turn)
            take_own_answer(call, special);
        else
            more = take_answer(call, special, &err);
    }
    if (err.code < 0) {
        result = change_unsent(&err);
        end_call(call, &result);
        return;
    }
    go_on(call);
}

/* ---- the calls ---- */

static int new_call(struct queue *queue, const char *id, queue_remove_cb *on_done, void *arg,
                    struct remove_call **out_call, struct error *err)
{
    struct remove_call *call;
    int r = change_check_id(id, err);

    if (r < 0)
        return r;
    call = calloc(1, sizeof(*call));
    if (!call)
        return error_set(err, -ENOMEM, "allocate a call");
    call->queue = queue;
    call->on_done = on_done;
    call->arg = arg;
    call->id = strdup(id);
    if (!call->id) {
        free_call(call);
        return error_set(err, -ENOMEM, "allocate a call");
    }
    *out_call = call;
    return 0;
}

int queue_remove_job(struct queue *queue, const char *id, bool with_children,
                     queue_remove_cb *on_done, void *arg, struct error *err)
{
    struct remove_call *call = NULL;
    int r = new_call(queue, id, on_done, arg, &call, err);

    if (!call)
        return r;
    call->phase = PHASE_TRY;
    call->with_children = with_children;
    r = send_root(call, err);
    if (r < 0)
        free_call(call);
    return r;
}

int queue_remove_unprocessed_children(struct queue *queue, const char *id, queue_remove_cb *on_done,
                                      void *arg, struct error *err)
{
    struct remove_call *call = NULL;
    int r = new_call(queue, id, on_done, arg, &call, err);

    if (!call)
        return r;
    call->phase = PHASE_PENDING;
    r = push_root(call, err);
    if (r == 0)
        r = step(call, err);
    if (r < 0)
        free_call(call);
    return r < 0 ? r : 0;
}
