/* The noop handler: the smallest one that keeps the handler interface's promises. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "workers/handlers/handler.h"

#define RUNS_MAX 200

static struct {
    uv_loop_t loop;
    struct config_handler config;
    struct handler *handler;
    struct handler_run *runs[RUNS_MAX];
    int order[RUNS_MAX]; /* of the outcomes */
    enum handler_outcome_kind kinds[RUNS_MAX];
    size_t started, ended;
    bool closed, starts_more;
} rig;

static const struct handler_kind *noop(void)
{
    return handler_find(CONFIG_HANDLER_NOOP);
}

static void start_one(void);

static void on_outcome(struct handler_run *run, const struct handler_outcome *outcome, void *arg)
{
    size_t index = (size_t)(uintptr_t)arg;

    cr_assert(rig.runs[index] == run);
    rig.kinds[index] = outcome->kind;
    if (outcome->kind == HANDLER_COMPLETED)
        cr_assert(eq(str, (char *)(uintptr_t)outcome->value.data, (char *)"null"));
    rig.order[rig.ended++] = (int)index;
    if (rig.starts_more && rig.started < RUNS_MAX)
        start_one();
}

static const struct handler_events events = { .on_outcome = on_outcome };

static void start_one(void)
{
    struct handler_input input = { 0 };
    size_t index = rig.started++, ended = rig.ended;
    struct error err = { 0 };

    cr_assert(eq(int,
                 noop()->start(rig.handler, &input, &events, (void *)(uintptr_t)index,
                               &rig.runs[index], &err),
                 0));
    cr_assert(eq(sz, rig.ended, ended), "never inside start");
}

static void open_with(uint64_t duration_ms)
{
    struct handler_setup setup = { .loop = &rig.loop, .config = &rig.config, .slots = 1 };
    struct error err = { 0 };

    rig.config.noop_duration_ms = duration_ms;
    cr_assert(eq(int, noop()->open(&setup, &rig.handler, &err), 0));
}

static void init(void)
{
    memset(&rig, 0, sizeof(rig));
    cr_assert(eq(int, uv_loop_init(&rig.loop), 0));
}

static void on_closed(void *arg)
{
    (void)arg;
    rig.closed = true;
}

static void done(void)
{
    noop()->close(rig.handler, on_closed, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_assert(rig.closed);
    cr_assert(eq(int, uv_loop_close(&rig.loop), 0));
}

TestSuite(noop, .init = init, .fini = done, .timeout = 20);

static void run_all(void)
{
    while (rig.ended < rig.started)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

Test(noop, completes_at_once_but_later)
{
    open_with(0);
    for (int i = 0; i < 10; i++)
        start_one();
    run_all();
    for (int i = 0; i < 10; i++) {
        cr_assert(eq(int, rig.order[i], i));
        cr_assert(eq(int, (int)rig.kinds[i], (int)HANDLER_COMPLETED));
    }
}

Test(noop, takes_its_time)
{
    uint64_t from_ms = clock_now_ms();

    open_with(30);
    start_one();
    start_one();
    run_all();
    cr_assert(ge(u64, clock_now_ms() - from_ms, 30));
}

Test(noop, cancel_ends_one_and_only_that)
{
    open_with(600000);
    for (int i = 0; i < 3; i++)
        start_one();
    noop()->cancel(rig.runs[1], HANDLER_CANCEL_SOFT, HANDLER_WHY_STOP, 0);
    noop()->cancel(rig.runs[1], HANDLER_CANCEL_HARD, HANDLER_WHY_STOP, 0);
    cr_assert(eq(sz, rig.ended, 0), "never inside cancel");
    while (rig.ended < 1)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(eq(sz, rig.ended, 1));
    cr_assert(eq(int, rig.order[0], 1));
    cr_assert(eq(int, (int)rig.kinds[1], (int)HANDLER_CANCELLED));
    noop()->cancel(rig.runs[2], HANDLER_CANCEL_HARD, HANDLER_WHY_STOP, 0);
    noop()->cancel(rig.runs[0], HANDLER_CANCEL_HARD, HANDLER_WHY_STOP, 0);
    run_all();
}

Test(noop, outcomes_may_start_more)
{
    open_with(0);
    rig.starts_more = true;
    start_one();
    start_one();
    run_all();
    cr_assert(eq(sz, rig.ended, RUNS_MAX));
}
