/* The state table, the split of concurrency. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/load.h"
#include "supervisor/master/pool.h"

/* As docs/states.md draws them. */
static const struct {
    enum slot_state from, to;
} allowed[] = {
    { SLOT_EMPTY, SLOT_STARTING },    { SLOT_EMPTY, SLOT_BACKOFF },
    { SLOT_EMPTY, SLOT_STOPPED },     { SLOT_STARTING, SLOT_SERVING },
    { SLOT_STARTING, SLOT_DRAINING }, { SLOT_STARTING, SLOT_STOPPING },
    { SLOT_STARTING, SLOT_KILLING },  { SLOT_STARTING, SLOT_SWEEPING },
    { SLOT_SERVING, SLOT_DRAINING },  { SLOT_SERVING, SLOT_STOPPING },
    { SLOT_SERVING, SLOT_KILLING },   { SLOT_SERVING, SLOT_SWEEPING },
    { SLOT_DRAINING, SLOT_STOPPING }, { SLOT_DRAINING, SLOT_KILLING },
    { SLOT_DRAINING, SLOT_SWEEPING }, { SLOT_STOPPING, SLOT_KILLING },
    { SLOT_STOPPING, SLOT_SWEEPING }, { SLOT_KILLING, SLOT_SWEEPING },
    { SLOT_SWEEPING, SLOT_EMPTY },    { SLOT_SWEEPING, SLOT_BACKOFF },
    { SLOT_SWEEPING, SLOT_GIVEN_UP }, { SLOT_SWEEPING, SLOT_STOPPED },
    { SLOT_BACKOFF, SLOT_EMPTY },     { SLOT_BACKOFF, SLOT_STOPPED },
    { SLOT_GIVEN_UP, SLOT_STOPPED },  { SLOT_GIVEN_UP, SLOT_EMPTY },
};

static bool is_allowed(enum slot_state from, enum slot_state to)
{
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        if (allowed[i].from == from && allowed[i].to == to)
            return true;
    }
    return false;
}

static int status_of_move(enum slot_state from, enum slot_state to)
{
    pid_t pid = fork();
    int status = 0;

    cr_assert(pid >= 0);
    if (pid == 0) {
        struct slot slot = { .queue = "q", .state = from, .deadline_ms = 5, .board_slot = -1 };

        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO); /* what assert prints */
        slot_set_state(&slot, to, "test");
        _exit(slot.state == to && slot.deadline_ms == 0 && slot.state_since_ms > 0 ? 0 : 1);
    }
    cr_assert(waitpid(pid, &status, 0) == pid);
    return status;
}

Test(slot, every_allowed_move_is_made_and_every_other_aborts)
{
    for (enum slot_state from = 0; from < SLOT_STATE_COUNT; from++) {
        for (enum slot_state to = 0; to < SLOT_STATE_COUNT; to++) {
            int status = status_of_move(from, to);

            cr_expect(slot_may_become(from, to) == is_allowed(from, to), "%s to %s",
                      slot_state_name(from), slot_state_name(to));
            if (is_allowed(from, to))
                cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s to %s",
                          slot_state_name(from), slot_state_name(to));
            else
                cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s to %s",
                          slot_state_name(from), slot_state_name(to));
        }
    }
}

Test(slot, states_have_names_of_their_own)
{
    for (enum slot_state a = 0; a < SLOT_STATE_COUNT; a++) {
        cr_expect(slot_state_name(a) && *slot_state_name(a));
        for (enum slot_state b = 0; b < a; b++)
            cr_expect(strcmp(slot_state_name(a), slot_state_name(b)) != 0);
    }
}

static struct generation *make_generation(void)
{
    static const char text[] = "queues: {q: {handler: noop}}\n";
    struct generation *generation = NULL;
    struct config_report report;
    struct config *config = NULL;

    cr_assert(config_load_text("test.yaml", text, sizeof text - 1, NULL, 0, &config, &report) == 0);
    config_report_done(&report);
    cr_assert(generation_new(1, config, &generation, NULL) == 0);
    return generation;
}

/* A program that cannot be started: spawn after spawn fails, each wait longer, until the cap. */
Test(slot, failing_spawns_back_off)
{
    static const uint64_t waits_ms[] = { 100, 200, 400, 500, 500 };
    const struct backoff backoff = { .first_ms = 100, .max_ms = 500 };
    struct slot_context context = { .worker_path = "/nonexistent/drover-worker",
                                    .run_uuid = "00000000-0000-4000-8000-000000000000",
                                    .start_timeout_ms = 1000 };
    struct generation *generation = make_generation();
    struct slot slot;
    uv_loop_t loop;

    log_open(-1, LOG_FORMAT_JSON, LOG_LEVEL_ERROR);
    cr_assert(uv_loop_init(&loop) == 0);
    cr_assert(scoreboard_new(&context.board, NULL) == 0);
    context.loop = &loop;
    slot_init(&slot, &context, generation, "q", 0, 1, &backoff);
    slot_step(&slot);
    cr_expect(slot.state == SLOT_EMPTY, "no spawn is left in this turn");
    for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
        uint64_t left_ms;

        context.spawns_left = 1;
        slot_step(&slot);
        cr_assert(slot.state == SLOT_BACKOFF, "try %zu: %s", i, slot_state_name(slot.state));
        cr_expect(slot.child == NULL && slot.outcome_known && slot.board_slot < 0);
        left_ms = slot.deadline_ms - clock_now_ms();
        cr_expect(left_ms <= waits_ms[i] && left_ms + 50 > waits_ms[i], "try %zu: %llu", i,
                  (unsigned long long)left_ms);
        slot_step(&slot);
        cr_expect(slot.state == SLOT_BACKOFF, "not before the wait is over");
        clock_shift_for_tests((int64_t)waits_ms[i]);
    }
    context.wish = SLOT_WISH_DRAIN;
    slot_step(&slot);
    cr_expect(slot.state == SLOT_STOPPED);
    slot_done(&slot);
    generation_unref(generation);
    scoreboard_free(context.board);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect(uv_loop_close(&loop) == 0, "a failed spawn leaves no handle");
}

Test(pool, concurrency_is_split_evenly_and_wholly)
{
    for (unsigned int concurrency = 1; concurrency <= 40; concurrency++) {
        for (unsigned int processes = 1; processes <= concurrency; processes++) {
            unsigned int sum = 0;
            unsigned int least = pool_share(concurrency, processes, processes - 1);

            for (unsigned int i = 0; i < processes; i++) {
                unsigned int share = pool_share(concurrency, processes, i);

                cr_expect(share >= 1 && share - least <= 1, "%u over %u", concurrency, processes);
                sum += share;
            }
            cr_expect(sum == concurrency, "%u over %u", concurrency, processes);
        }
    }
    cr_expect(pool_share(7, 2, 0) == 4 && pool_share(7, 2, 1) == 3);
}

Test(pool, more_processes_than_concurrency_is_our_mistake, .signal = SIGABRT)
{
    (void)pool_share(2, 3, 0);
}
