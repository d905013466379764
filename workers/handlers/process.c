/* process.c - long-lived programs that run many jobs, speaking JSON-RPC lines over their standard
 * input and output (docs/protocols/handler.md).
 *
 * Here: the operations of handler.h, the queue of runs that no program has yet, and the one step
 * that moves them on. A program and its jobs: process_child.c. A run waits in the queue, in order,
 * until a program has room; when none has been ready for start_timeout_ms it is put back, so that
 * other workers can have it. How long a run may take in all is the engine's to bound. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/units.h"
#include "workers/handlers/handlers.h"
#include "workers/handlers/process_child.h"

#define SPAWNS_PER_TURN    4    /* a spawn blocks the loop for a millisecond or two */
#define ABANDON_MS         1200 /* closing: after SIGKILL at 1000 ms, what does not die is left */
#define PUT_BACK_LEAST_MS  1000
#define LAST_FAILURE_BYTES 1024
#define TEXT_EXTRA_BYTES   8192 /* for reasons beside texts out of one line */

/* ---- opening */

static size_t children_wanted(const struct handler *handler, size_t slots)
{
    size_t parallel = handler->setup.config->parallel;
    size_t wanted = (slots + parallel - 1) / parallel;

    return wanted > 0 ? wanted : 1;
}

static void free_handler(struct handler *handler)
{
    while (handler->spare.first) {
        struct handler_run *run = handler->spare.first;

        run_remove(run);
        free(run);
    }
    buf_done(&handler->text);
    buf_done(&handler->last_failure);
    program_tools_done(&handler->tools);
    free(handler);
}

static int allocate(const struct handler_setup *setup, struct handler **out_handler,
                    struct error *err)
{
    struct handler *handler = calloc(1, sizeof(*handler));
    int r = -ENOMEM;

    if (!handler)
        (void)error_set(err, r, "open process handler");
    else
        r = program_tools_init(&handler->tools, setup->config, err);
    if (r < 0) {
        free(handler);
        return r;
    }
    handler->setup = *setup;
    handler->text = BUF_INIT(setup->config->max_output_bytes + TEXT_EXTRA_BYTES);
    handler->last_failure = BUF_INIT(LAST_FAILURE_BYTES);
    handler->none_ready_since_ms = clock_now_ms();
    *out_handler = handler;
    return 0;
}

static void on_step(uv_idle_t *step);
static void on_time(uv_timer_t *timer);

void process_touch(struct handler *handler)
{
    (void)uv_idle_start(&handler->step, on_step); /* cannot fail */
}

static void process_close(struct handler *handler, void (*on_closed)(void *arg), void *arg);

static void on_unopened(void *arg)
{
    (void)arg; /* open has failed: nobody waits */
}

static int process_open(const struct handler_setup *setup, struct handler **out_handler,
                        struct error *err)
{
    struct handler *handler = NULL;
    int r = allocate(setup, &handler, err);

    if (r < 0)
        return r;
    (void)uv_idle_init(setup->loop, &handler->step); /* always succeed */
    (void)uv_timer_init(setup->loop, &handler->timer);
    handler->step.data = handler->timer.data = handler;
    for (size_t i = children_wanted(handler, setup->slots); r == 0 && i > 0; i--)
        r = child_add(handler);
    if (r < 0) {
        process_close(handler, on_unopened, NULL);
        return error_set(err, r, "open process handler");
    }
    *out_handler = handler;
    return 0;
}

/* ---- the step */

static bool step_children(struct handler *handler)
{
    struct child *child = handler->children;
    bool more = false;

    handler->spawns_left = SPAWNS_PER_TURN;
    while (child) {
        struct child *next = child_next(child); /* the step may take it out */

        more |= child_step(child);
        child = next;
    }
    return more;
}

static void give_cancelled(struct handler *handler)
{
    static const struct handler_outcome outcome = { .kind = HANDLER_CANCELLED,
                                                    .retry_after_ms = -1 };

    while (handler->cancelled.first) {
        struct handler_run *run = handler->cancelled.first;

        run_remove(run);
        run_finish(handler, run, &outcome);
    }
}

/* Of those with room the one with the fewest jobs; NULL when none has room. */
static struct child *pick_child(const struct handler *handler)
{
    struct child *best = NULL;

    for (struct child *child = handler->children; child; child = child_next(child)) {
        if (child_has_room(child) && (!best || child_runs(child) < child_runs(best)))
            best = child;
    }
    return best;
}

static void dispatch(struct handler *handler)
{
    while (handler->queue.first) {
        struct child *child = pick_child(handler);
        struct handler_run *run = handler->queue.first;

        if (!child)
            return;
        run_remove(run);
        child_give(child, run);
    }
}

/* Programs that are ready at once after their back-off would not be used sooner. */
static uint64_t put_back_ms(const struct handler *handler, uint64_t now_ms)
{
    uint64_t until_ms = UINT64_MAX;

    for (struct child *child = handler->children; child; child = child_next(child)) {
        if (child_backoff_until_ms(child) < until_ms)
            until_ms = child_backoff_until_ms(child);
    }
    if (until_ms == UINT64_MAX || until_ms < now_ms + PUT_BACK_LEAST_MS)
        return PUT_BACK_LEAST_MS;
    return until_ms - now_ms;
}

static void put_back_queue(struct handler *handler, uint64_t now_ms)
{
    struct handler_outcome outcome = { .kind = HANDLER_PUT_BACK };
    struct buf reason = BUF_INIT(LAST_FAILURE_BYTES + 128);
    char limit[UNITS_TEXT_BYTES];

    (void)buf_printf(&reason, "no program was ready within %s",
                     units_print_duration(handler->setup.start_timeout_ms, limit));
    if (handler->last_failure.len > 0)
        (void)buf_printf(&reason, "; the last one: %s", buf_text(&handler->last_failure));
    outcome.reason = (struct bytes){ buf_text(&reason), reason.len };
    outcome.retry_after_ms = (int64_t)put_back_ms(handler, now_ms);
    log_warn("handler.not_ready", LOG_STR("job_type", handler->setup.type),
             LOG_UINT("put_back", handler->queue.count), LOG_STR("why", buf_text(&reason)));
    for (size_t left = handler->queue.count; left > 0 && handler->queue.first; left--) {
        struct handler_run *run = handler->queue.first;

        run_remove(run);
        run_finish(handler, run, &outcome);
    }
    buf_done(&reason);
}

static bool has_server(const struct handler *handler)
{
    for (const struct child *child = handler->children; child; child = child_next(child)) {
        if (child_serves(child))
            return true;
    }
    return false;
}

/* Queued runs wait start_timeout_ms for a program, counted from when the last one was ready. */
static void bound_queue(struct handler *handler)
{
    uint64_t now_ms = clock_now_ms(), until_ms;

    if (has_server(handler))
        handler->none_ready_since_ms = 0;
    else if (handler->none_ready_since_ms == 0)
        handler->none_ready_since_ms = now_ms;
    if (handler->none_ready_since_ms == 0 || !handler->queue.first)
        return;
    until_ms = handler->none_ready_since_ms + handler->setup.start_timeout_ms;
    if (until_ms <= now_ms)
        put_back_queue(handler, now_ms);
    else
        (void)uv_timer_start(&handler->timer, on_time, until_ms - now_ms, 0); /* cannot fail */
}

static void look_whether_ready(struct handler *handler)
{
    for (const struct child *child = handler->children; child; child = child_next(child)) {
        if (!child_is_leaving(child) && !child_has_shaken_hands(child))
            return;
    }
    if (handler->was_ready || handler->closing)
        return;
    handler->was_ready = true;
    if (handler->setup.on_ready)
        handler->setup.on_ready(handler->setup.arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct handler *handler = handle->data;

    if (--handler->open_handles > 0)
        return;
    handler->on_closed(handler->closed_arg);
    free_handler(handler);
}

static void step_close(struct handler *handler)
{
    uint64_t now_ms = clock_now_ms();
    struct child *child = handler->children;

    if (now_ms >= handler->abandon_at_ms) {
        for (; child; child = child_next(child))
            child_abandon(child);
    } else {
        (void)uv_timer_start(&handler->timer, on_time, handler->abandon_at_ms - now_ms, 0);
    }
    if (handler->children_count > 0 || handler->open_handles > 0)
        return;
    handler->open_handles = 2;
    uv_close((uv_handle_t *)&handler->step, on_handle_closed);
    uv_close((uv_handle_t *)&handler->timer, on_handle_closed);
}

static void on_step(uv_idle_t *step)
{
    struct handler *handler = step->data;

    (void)uv_idle_stop(step); /* whoever has more to do touches the handler again */
    give_cancelled(handler);
    if (step_children(handler))
        process_touch(handler);
    dispatch(handler);
    for (struct child *child = handler->children; child; child = child_next(child))
        child_flush(child);
    bound_queue(handler);
    look_whether_ready(handler);
    if (handler->closing)
        step_close(handler);
}

static void on_time(uv_timer_t *timer)
{
    process_touch(timer->data);
}

/* ---- the operations */

static bool process_is_ready(const struct handler *handler)
{
    return handler->was_ready;
}

static struct handler_run *take_run(struct handler *handler)
{
    struct handler_run *run = handler->spare.first;

    if (!run)
        return malloc(sizeof(*run));
    run_remove(run);
    return run;
}

static int process_start(struct handler *handler, const struct handler_input *input,
                         const struct handler_events *events, void *arg,
                         struct handler_run **out_run, struct error *err)
{
    struct handler_run *run = take_run(handler);

    if (!run)
        return error_set(err, -ENOMEM, "start a job of %s", handler->setup.config->argv[0]);
    *run = (struct handler_run){ .input = input, .events = events, .arg = arg };
    run_push_back(&handler->queue, run);
    process_touch(handler);
    *out_run = run;
    return 0;
}

static struct handler *handler_of_queue(struct run_list *queue)
{
    return (struct handler *)((char *)queue - offsetof(struct handler, queue));
}

static void process_cancel(struct handler_run *run, enum handler_cancel how,
                           enum handler_cancel_why why, uint64_t grace_ms)
{
    struct handler *handler;

    if (run->child) {
        child_cancel(run, how, why, grace_ms);
        return;
    }
    if (run->cancelled)
        return; /* its outcome is on the way */
    run->cancelled = true;
    handler = handler_of_queue(run->list);
    run_remove(run);
    run_push_back(&handler->cancelled, run);
    process_touch(handler);
}

static size_t count_staying(const struct handler *handler)
{
    size_t count = 0;

    for (const struct child *child = handler->children; child; child = child_next(child))
        count += !child_is_leaving(child);
    return count;
}

/* Whose going disturbs least: one without a ready program, else the one with the fewest jobs. */
static struct child *pick_leaver(const struct handler *handler)
{
    struct child *best = NULL;

    for (struct child *child = handler->children; child; child = child_next(child)) {
        if (child_is_leaving(child))
            continue;
        if (!best || (child_serves(best) && !child_serves(child)) ||
            (child_serves(best) == child_serves(child) && child_runs(child) < child_runs(best)))
            best = child;
    }
    return best;
}

static void process_resize(struct handler *handler, size_t slots)
{
    size_t wanted = children_wanted(handler, slots), count = count_staying(handler);

    for (; count < wanted && child_add(handler) == 0; count++)
        ;
    if (count < wanted) /* jobs wait for those that are there */
        log_error("handler.not_resized", LOG_UINT("children", count), LOG_UINT("wanted", wanted),
                  LOG_STR("why", "no memory"));
    for (; count > wanted; count--)
        child_leave(pick_leaver(handler));
}

static void process_drain(struct handler *handler, uint64_t timeout_ms)
{
    handler->draining = true;
    handler->drain_until_ms = timeout_ms > 0 ? clock_now_ms() + timeout_ms : 0;
    for (struct child *child = handler->children; child; child = child_next(child))
        child_drain(child);
}

static void process_close(struct handler *handler, void (*on_closed)(void *arg), void *arg)
{
    assert(!handler->queue.first && !handler->cancelled.first);
    handler->on_closed = on_closed;
    handler->closed_arg = arg;
    handler->closing = true;
    handler->abandon_at_ms = clock_now_ms() + ABANDON_MS;
    for (struct child *child = handler->children; child; child = child_next(child))
        child_leave(child);
    process_touch(handler);
}

const struct handler_kind handler_process = {
    .name = "process",
    .kind = CONFIG_HANDLER_PROCESS,
    .open = process_open,
    .is_ready = process_is_ready,
    .resize = process_resize,
    .drain = process_drain,
    .start = process_start,
    .cancel = process_cancel,
    .close = process_close,
};
