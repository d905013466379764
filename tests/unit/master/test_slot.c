/* The state table, the split of concurrency, what a death is called, /proc lines. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/master/pool.h"
#include "supervisor/master/processes.h"

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
    { SLOT_GIVEN_UP, SLOT_STOPPED },
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
        struct slot slot = { .queue = "q", .state = from, .deadline_ms = 5 };

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

/* A program that cannot be started: spawn after spawn fails, each wait longer, until the cap. */
Test(slot, failing_spawns_back_off)
{
    static const uint64_t waits_ms[] = { 100, 200, 400, 500, 500 };
    const struct backoff backoff = { .first_ms = 100, .max_ms = 500 };
    struct slot_context context = { .worker_path = "/nonexistent/drover-worker",
                                    .config_fd = 0,
                                    .start_timeout_ms = 1000 };
    struct slot slot;
    uv_loop_t loop;

    log_open(-1, LOG_FORMAT_JSON, LOG_LEVEL_ERROR);
    cr_assert(uv_loop_init(&loop) == 0);
    context.loop = &loop;
    slot_init(&slot, &context, "q", 0, 1, &backoff);
    slot_step(&slot);
    cr_expect(slot.state == SLOT_EMPTY, "no spawn is left in this turn");
    for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
        uint64_t left_ms;

        context.spawns_left = 1;
        slot_step(&slot);
        cr_assert(slot.state == SLOT_BACKOFF, "try %zu: %s", i, slot_state_name(slot.state));
        cr_expect(slot.child == NULL && slot.outcome_known);
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

Test(child, every_death_has_a_name)
{
    static const struct {
        int exit_status, term_signal;
        const char *cause;
    } rows[] = {
        { 0, 0, "exit 0 (ok)" },
        { 1, 0, "exit 1 (failed)" },
        { 64, 0, "exit 64 (usage)" },
        { 69, 0, "exit 69 (unavailable)" },
        { 71, 0, "exit 71 (supervisor lost)" },
        { 78, 0, "exit 78 (config)" },
        { 5, 0, "exit 5" },
        { 255, 0, "exit 255" },
        { 0, SIGKILL, "signal 9 (SIGKILL)" },
        { 0, SIGSEGV, "signal 11 (SIGSEGV)" },
        { 0, 35, "signal 35" },
    };
    char out[CHILD_CAUSE_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect_str_eq(child_cause(rows[i].exit_status, rows[i].term_signal, out), rows[i].cause);
}

Test(processes, a_line_of_proc_is_read_whatever_the_name)
{
    static const struct {
        const char *text;
        int result;
        struct process_stat stat;
    } rows[] = {
        { "12 (sleep) S 1 12 10 0 -1", 0, { 12, 'S', 1, 10 } },
        { "12 (a b) S 1 12 10 0 -1", 0, { 12, 'S', 1, 10 } },
        { "12 (x) Z 9 9 9 9) R 1 12 10 0 -1", 0, { 12, 'R', 1, 10 } },
        { "12 ()) Z 1 12 10 0 -1", 0, { 12, 'Z', 1, 10 } },
        { "12 (sleep) S 0 -1 -1 0 -1", 0, { 12, 'S', 0, -1 } },
        { "12 (sleep) S 1 12", -EINVAL, { 0 } },
        { "12 (sleep) S 1 12 10", -EINVAL, { 0 } },
        { "12 (sleep)", -EINVAL, { 0 } },
        { "12 (sleep) ", -EINVAL, { 0 } },
        { "12 (sleep) S", -EINVAL, { 0 } },
        { "12 (sleep) S x 12 10 0", -EINVAL, { 0 } },
        { "99999999999999999999 (sleep) S 1 12 10 0", -EINVAL, { 0 } },
        { "12 sleep S 1 12 10", -EINVAL, { 0 } },
        { "", -EINVAL, { 0 } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct process_stat stat = { 0 };

        cr_expect(processes_parse_stat(rows[i].text, &stat) == rows[i].result, "row %zu", i);
        cr_expect(stat.pid == rows[i].stat.pid && stat.state == rows[i].stat.state &&
                      stat.parent == rows[i].stat.parent && stat.session == rows[i].stat.session,
                  "row %zu", i);
    }
}

static bool none_is_ours(pid_t pid, void *arg)
{
    (void)pid;
    (void)arg;
    return false;
}

static pid_t start_sleeper(bool leader)
{
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        if (leader)
            (void)setsid();
        (void)execl("/bin/sleep", "sleep", "77", (char *)NULL);
        _exit(1);
    }
    return pid;
}

static void wait_until_session_is(pid_t pid, pid_t sid)
{
    uint64_t end_ms = clock_now_ms() + 10000;

    while (getsid(pid) != sid)
        cr_assert(clock_now_ms() < end_ms, "no session in time");
}

Test(processes, a_number_given_to_somebody_else_is_not_killed)
{
    pid_t pid = start_sleeper(true);
    int status = 0;

    wait_until_session_is(pid, pid);
    cr_expect(processes_kill_session(pid, /* leader_reaped= */ true) == 0);
    cr_expect(kill(pid, 0) == 0, "it lives");
    cr_expect(processes_kill_session(pid, /* leader_reaped= */ false) == 1);
    cr_expect(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    cr_expect(processes_kill_session(pid, /* leader_reaped= */ true) == 0);
}

Test(processes, children_are_killed_and_orphans_reaped)
{
    pid_t pid = start_sleeper(true);
    uint64_t end_ms = clock_now_ms() + 10000;

    wait_until_session_is(pid, pid);
    cr_expect(processes_reap_orphans(none_is_ours, NULL) == 0, "it has not ended");
    cr_expect(processes_kill_children() == 1);
    while (processes_reap_orphans(none_is_ours, NULL) == 0)
        cr_assert(clock_now_ms() < end_ms, "not reaped in time");
    cr_expect(kill(pid, 0) == -1 && errno == ESRCH);
    cr_expect(processes_kill_children() == 0);
}
