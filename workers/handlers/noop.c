/* noop.c - does nothing, takes a stated time, always completes with null: for demos, measuring, and
 * trying a configuration without its programs.
 *
 * All runs take the same time, so the list in order of start is also the order of their ends: one
 * timer, for the head, serves all. Runs are recycled: no allocation per job in steady state. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "workers/handlers/handlers.h"

struct handler_run {
    struct handler *handler;
    struct handler_run *prev, *next; /* in the list of the started, or `next` among the spare */
    const struct handler_events *events;
    void *arg;
    uint64_t ends_at_ms;
    bool cancelled;
};

struct handler {
    uv_check_t check; /* active while a run is due: gives outcomes right after the poll */
    uv_idle_t awake;  /* active together with it: the loop must not sleep */
    uv_timer_t timer;
    struct handler_run *first, *last; /* started, by end */
    struct handler_run *spare;
    uint64_t duration_ms;
    unsigned int open_handles;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void unlink_run(struct handler *handler, struct handler_run *run)
{
    *(run->prev ? &run->prev->next : &handler->first) = run->next;
    *(run->next ? &run->next->prev : &handler->last) = run->prev;
}

static void give_outcome(struct handler_run *run)
{
    struct handler *handler = run->handler;
    struct handler_outcome outcome = {
        .kind = run->cancelled ? HANDLER_CANCELLED : HANDLER_COMPLETED,
        .value = { "null", 4 },
        .retry_after_ms = -1,
    };

    unlink_run(handler, run);
    run->events->on_outcome(run, &outcome, run->arg);
    run->next = handler->spare;
    handler->spare = run;
}

static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

static void on_check(uv_check_t *check);
static void on_timer(uv_timer_t *timer);

/* None of the calls below can fail on an initialised handle with a callback. */
static void set_due(struct handler *handler)
{
    (void)uv_check_start(&handler->check, on_check);
    (void)uv_idle_start(&handler->awake, on_awake);
}

/* Waits for the head of the list. */
static void wait_for_first(struct handler *handler)
{
    uint64_t now_ms = clock_now_ms();
    const struct handler_run *first = handler->first;

    if (first && first->ends_at_ms > now_ms)
        (void)uv_timer_start(&handler->timer, on_timer, first->ends_at_ms - now_ms, 0);
    else if (first)
        set_due(handler);
}

/* Ends what is due; runs started by an outcome wait for the next turn. */
static void end_due(struct handler *handler)
{
    struct handler_run *stop_after = handler->last;
    uint64_t now_ms = clock_now_ms();

    while (handler->first && handler->first->ends_at_ms <= now_ms) {
        bool last = handler->first == stop_after;

        give_outcome(handler->first);
        if (last)
            break;
    }
}

static void on_check(uv_check_t *check)
{
    struct handler *handler = check->data;

    (void)uv_check_stop(&handler->check);
    (void)uv_idle_stop(&handler->awake);
    end_due(handler);
    wait_for_first(handler);
}

static void on_timer(uv_timer_t *timer)
{
    set_due(timer->data);
}

static int noop_open(const struct handler_setup *setup, struct handler **out_handler,
                     struct error *err)
{
    struct handler *handler = calloc(1, sizeof(*handler));

    if (!handler)
        return error_set(err, -ENOMEM, "open noop handler");
    handler->duration_ms = setup->config->noop_duration_ms;
    (void)uv_check_init(setup->loop, &handler->check); /* always succeed */
    (void)uv_idle_init(setup->loop, &handler->awake);
    (void)uv_timer_init(setup->loop, &handler->timer);
    handler->check.data = handler->awake.data = handler->timer.data = handler;
    *out_handler = handler;
    return 0;
}

static struct handler_run *take_run(struct handler *handler)
{
    struct handler_run *run = handler->spare;

    if (!run)
        return malloc(sizeof(*run));
    handler->spare = run->next;
    return run;
}

static int noop_start(struct handler *handler, const struct handler_input *input,
                      const struct handler_events *events, void *arg, struct handler_run **out_run,
                      struct error *err)
{
    struct handler_run *run = take_run(handler);

    (void)input; /* a noop looks at nothing */
    if (!run)
        return error_set(err, -ENOMEM, "start noop");
    *run = (struct handler_run){ .handler = handler, .events = events, .arg = arg };
    run->prev = handler->last;
    *(run->prev ? &run->prev->next : &handler->first) = run;
    handler->last = run;
    if (handler->duration_ms > 0)
        run->ends_at_ms = clock_now_ms() + handler->duration_ms;
    if (handler->duration_ms == 0)
        set_due(handler);
    else if (handler->first == run)
        wait_for_first(handler);
    *out_run = run;
    return 0;
}

static void noop_cancel(struct handler_run *run, enum handler_cancel how,
                        enum handler_cancel_why why, uint64_t grace_ms)
{
    struct handler *handler = run->handler;

    (void)how; /* nothing runs: the first request already ends it */
    (void)why;
    (void)grace_ms;
    if (run->cancelled)
        return;
    run->cancelled = true;
    unlink_run(handler, run); /* to the front: due at once */
    run->ends_at_ms = 0;
    run->prev = NULL;
    run->next = handler->first;
    *(run->next ? &run->next->prev : &handler->last) = run;
    handler->first = run;
    set_due(handler);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct handler *handler = handle->data;

    if (--handler->open_handles > 0)
        return;
    while (handler->spare)
        free(take_run(handler));
    handler->on_closed(handler->closed_arg);
    free(handler);
}

static void noop_close(struct handler *handler, void (*on_closed)(void *arg), void *arg)
{
    handler->on_closed = on_closed;
    handler->closed_arg = arg;
    handler->open_handles = 3;
    uv_close((uv_handle_t *)&handler->check, on_handle_closed);
    uv_close((uv_handle_t *)&handler->awake, on_handle_closed);
    uv_close((uv_handle_t *)&handler->timer, on_handle_closed);
}

const struct handler_kind handler_noop = {
    .name = "noop",
    .kind = CONFIG_HANDLER_NOOP,
    .open = noop_open,
    .start = noop_start,
    .cancel = noop_cancel,
    .close = noop_close,
};
