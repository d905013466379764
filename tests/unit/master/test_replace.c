/* A pool is exchanged: new workers are ready before old ones drain, nothing runs twice as much. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

TestSuite(replace, .init = rig_init, .fini = rig_done, .timeout = 60);

static void start_with(const char *queue, const char *options)
{
    rig_queue(queue, options);
    rig_start();
    run_until("droverd.ready", 1);
}

/* Another value of a key that running workers do not take. */
static void write_with(const char *queue, const char *options)
{
    rig_forget_queues();
    rig_queue(queue, options);
    rig_write();
}

static void wait_for_running(const char *queue, unsigned int running)
{
    while (slot_running(slot_of(queue, 0)) != running)
        run_turns(1);
}

/* Waits for the end of the reload that was asked by `fd`, and looks at the only row. */
static void expect_outcome(int fd, const char *kind, const char *outcome, const char *why)
{
    json_t *rows, *end = client_answer(fd, &rows);
    const json_t *row = json_array_get(rows, 0);
    bool ok = strcmp(outcome, "failed") != 0;

    cr_expect(json_array_size(rows) == 1);
    cr_expect_str_eq(text_of(row, "kind"), kind);
    cr_expect_str_eq(text_of(row, "outcome"), outcome);
    cr_expect_str_eq(text_of(row, "why"), why);
    cr_expect(json_is_true(json_object_get(end, "ok")) == ok);
    cr_expect(integer_of(end, "code") == (ok ? EXIT_CODE_OK : EXIT_CODE_FAILED));
    json_decref(rows);
    json_decref(end);
    (void)close(fd);
}

static int ask_reload(void)
{
    int fd = client_connect();

    client_send(fd, "\"verb\":\"reload\"");
    return fd;
}

Test(replace, all_new_ones_are_ready_before_an_old_one_drains)
{
    pid_t old[2];

    start_with("serve", "concurrency: 5, processes: 2");
    old[0] = pid_of("serve", 0);
    old[1] = pid_of("serve", 1);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 7, processes: 3, attempts: 9");
    rig_reload();
    run_until("worker.exited", 2);
    cr_expect(line_number("worker.ready", 4) < line_number("pool.replaced", 0));
    cr_expect(line_number("pool.replaced", 0) < line_number("worker.draining", 0));
    expect_text("worker.draining", 0, "why", "replaced");
    cr_expect(number_of("worker.exited", 0, "pid") == old[0] ||
              number_of("worker.exited", 1, "pid") == old[0]);
    cr_expect(pool_of("serve")->processes == 3 && pool_of("serve")->concurrency == 7);
    cr_expect(slot_of("serve", 0)->child_generation == 2 && pid_of("serve", 0) != old[0]);
    cr_expect(pid_of("serve", 1) != old[1]);
    run_until_heard("serve/2 gen 2: tune slots 2 allowed 2", 1);
    run_turns(3);
    cr_expect(pool_of("serve")->count == 3);
    rig_end();
}

/* The old ones go on until the last new one is ready; the new ones run nothing until then. */
Test(replace, nothing_happens_to_the_old_ones_while_a_new_one_is_not_ready)
{
    pid_t old;
    int fd;

    tell_workers("ready", 1, 1);
    start_with("wait-ready", "concurrency: 4");
    old = pid_of("wait-ready", 0);
    write_with("wait-ready", "concurrency: 4, processes: 2, attempts: 9");
    fd = ask_reload();
    run_until("pool.replacing", 1);
    run_until_heard("gen 2: tune slots 2 allowed 0", 2);
    cr_expect(count_lines("worker.ready") == 1, "both are told before they are ready");
    run_turns(20);
    cr_expect(pid_of("wait-ready", 0) == old && count_lines("worker.draining") == 0);
    cr_expect(slot_of("wait-ready", 0)->allowed == 4 && rig.supervisor->service.told_ready);
    tell_workers("ready", 2, 1);
    expect_outcome(fd, "replace", "replaced", "");
    run_until("worker.draining", 1);
    run_until_heard("gen 2: tune slots 2 allowed 2", 2);
    rig_end();
}

/* Two of three places are still taken by jobs of the old worker. */
Test(replace, what_the_old_ones_still_run_is_taken_off)
{
    start_with("hold", "concurrency: 3");
    tell_workers("running", 1, 2);
    wait_for_running("hold", 2);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 3, attempts: 9");
    rig_reload();
    run_until_heard("hold/0 gen 1: drain", 1);
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 1", 1);
    cr_expect(count_heard("gen 2: tune slots 3 allowed 2") == 0);
    tell_workers("running", 1, 1);
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 2", 1);
    cr_expect(count_heard("gen 2: tune slots 3 allowed 3") == 0);
    tell_workers("running", 1, 0);
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 3", 1);
    cr_expect(count_heard("gen 2: tune") == 4 || count_heard("gen 2: tune") == 5,
              "0, perhaps 0 again, 1, 2, 3");
    rig_end();
}

/* Until it says that it fetches no more it may run as many as it was ever allowed, and it is told
 * to drain in the same turn in which the new ones become those that count. */
Test(replace, an_old_one_that_may_still_fetch_counts_in_full)
{
    start_with("hold-open", "concurrency: 3");
    tell_workers("stay", 1, 1);
    rig_forget_queues();
    rig_queue("hold-open", "concurrency: 3, attempts: 9");
    rig_reload();
    run_until_heard("hold-open/0 gen 1: drain", 1);
    run_turns(30);
    cr_expect(slot_of("hold-open", 0)->allowed == 0);
    cr_expect(count_heard("gen 2: tune slots 3 allowed 0") >= 1);
    cr_expect(count_heard("gen 2: tune slots 3 allowed 1") == 0);
    cr_expect(count_heard("gen 2: tune slots 3 allowed 3") == 0, "not even for a moment");
    tell_workers("stay", 1, 0);
    run_until("worker.exited", 1);
    run_until_heard("gen 2: tune slots 3 allowed 3", 1);
    rig_end();
}

/* Once all is balanced there is nothing to look at. */
Test(replace, a_pool_at_peace_is_not_looked_at_again)
{
    start_with("hold", "concurrency: 3");
    rig_forget_queues();
    rig_queue("hold", "concurrency: 3, attempts: 9");
    rig_reload();
    run_until("worker.exited", 1);
    while (pool_of("hold")->balance_ms != 0)
        run_turns(1);
    cr_expect(pool_next_ms(pool_of("hold")) == 0, "events only");
    rig_end();
}

/* Three generations side by side. */
Test(replace, is_possible_while_the_last_old_ones_still_drain)
{
    start_with("hold", "concurrency: 5");
    tell_workers("running", 1, 2);
    tell_workers("running", 2, 0);
    wait_for_running("hold", 2);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 5, attempts: 8");
    rig_reload();
    run_until_heard("hold/0 gen 2: tune slots 5 allowed 3", 1);
    tell_workers("running", 2, 1);
    wait_for_running("hold", 1);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 5, attempts: 9");
    rig_reload();
    run_until_heard("hold/0 gen 3: tune slots 5 allowed 2", 1);
    cr_expect(pool_of("hold")->count == 3);
    tell_workers("running", 1, 0);
    run_until_heard("hold/0 gen 3: tune slots 5 allowed 4", 1);
    tell_workers("running", 2, 0);
    run_until_heard("hold/0 gen 3: tune slots 5 allowed 5", 1);
    rig_end();
}

Test(replace, new_ones_that_are_never_ready_leave_the_old_ones_as_they_are)
{
    pid_t old;
    int fd;

    tell_workers("ready", 1, 1);
    start_with("wait-ready", "concurrency: 2");
    old = pid_of("wait-ready", 0);
    write_with("wait-ready", "concurrency: 2, attempts: 9");
    fd = ask_reload();
    run_until("pool.replacing", 1);
    run_until("worker.spawned", 2);
    clock_shift_for_tests(11000); /* start.timeout and a second */
    expect_outcome(fd, "replace", "failed",
                   "1 of 1 new workers were not ready within 11000 ms; the old workers go on");
    expect_text("pool.not_replaced", 0, "level", "error");
    run_until("worker.exited", 1);
    cr_expect(pid_of("wait-ready", 0) == old && slot_of("wait-ready", 0)->allowed == 2);
    cr_expect(slot_of("wait-ready", 0)->state == SLOT_SERVING && pool_of("wait-ready")->count == 1);
    cr_expect(count_lines("worker.draining") == 0);

    /* What counts is what runs, not the last file. */
    fd = ask_reload();
    run_until("pool.replacing", 2);
    tell_workers("ready", 3, 1);
    expect_outcome(fd, "replace", "replaced", "");
    run_until("worker.draining", 1);
    cr_expect(pid_of("wait-ready", 0) != old);
    fd = ask_reload();
    expect_outcome(fd, "same", "unchanged", "");
    tell_workers("ready", 4, 1);
    rig_end();
}

Test(replace, the_file_of_before_is_what_still_runs)
{
    pid_t old;
    int fd;

    start_with("exit-78-again", "concurrency: 2");
    old = pid_of("exit-78-again", 0);
    write_with("exit-78-again", "concurrency: 2, attempts: 9");
    fd = ask_reload();
    expect_outcome(fd, "replace", "failed",
                   "a new worker ended with an exit code after which a restart cannot help; the "
                   "old workers go on");
    write_with("exit-78-again", "concurrency: 2");
    fd = ask_reload();
    expect_outcome(fd, "same", "unchanged", "");
    cr_expect(pid_of("exit-78-again", 0) == old && count_lines("worker.draining") == 0);
    cr_expect(pool_of("exit-78-again")->generation->number == 3);
    run_turns(3);
    cr_expect(pool_of("exit-78-again")->count == 1 && count_lines("droverd.gave_up") == 0);
    rig_end();
}

Test(replace, a_new_one_that_dies_before_it_is_ready_is_tried_again)
{
    start_with("late-start", ""); /* of three starts the third one serves */
    run_until("worker.ready", 1);
    rig_forget_queues();
    rig_queue("late-start", "attempts: 9");
    rig_reload();
    cr_expect(count_lines("pool.replaced") == 1 && count_lines("worker.spawned") == 6);
    run_until("worker.draining", 1);
    rig_end();
}

Test(replace, a_pool_that_never_ran_is_repaired_by_a_good_file)
{
    rig_queue("serve", "");
    rig_queue("exit-78-until", "processes: 2, concurrency: 2");
    rig_start();
    run_until("pool.given_up", 1);
    run_until("pool.ready", 1);
    tell_workers("good", 2, 1);
    rig_forget_queues();
    rig_queue("serve", "");
    rig_queue("exit-78-until", "processes: 2, concurrency: 2, attempts: 9");
    rig_reload();
    cr_expect(number_of("reload.done", 0, "failed") == 0);
    cr_expect(pool_of("exit-78-until")->outcome == POOL_REPLACED);
    run_turns(3);
    cr_expect(pool_of("exit-78-until")->count == 2, "the given-up places are gone");
    rig_end();
}

Test(replace, a_new_one_that_is_killed_meanwhile_is_replaced_and_still_runs_nothing)
{
    int fd;

    tell_workers("ready", 1, 1);
    start_with("wait-ready", "concurrency: 2");
    write_with("wait-ready", "concurrency: 2, attempts: 9");
    fd = ask_reload();
    run_until("worker.spawned", 2);
    cr_assert(kill((pid_t)number_of("worker.spawned", 1, "pid"), SIGKILL) == 0);
    run_until("worker.spawned", 3);
    run_until_heard("gen 2: tune slots 2 allowed 0", 1);
    tell_workers("ready", 2, 1);
    expect_outcome(fd, "replace", "replaced", "");
    run_until("worker.draining", 1);
    rig_end();
}

/* Also when it was told less: the next process in its place is. */
Test(replace, a_restarted_worker_is_told_its_limit_before_it_is_ready)
{
    start_with("hold", "concurrency: 3");
    tell_workers("running", 1, 2);
    wait_for_running("hold", 2);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 3, attempts: 9");
    rig_reload();
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 1", 1);
    kill_worker("hold", 0, SIGKILL);
    run_until("worker.spawned", 3);
    cr_expect(slot_of("hold", 0)->told_allowed == 1 && slot_of("hold", 0)->state == SLOT_STARTING);
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 1", 2);
    tell_workers("running", 1, 0);
    run_until_heard("hold/0 gen 2: tune slots 3 allowed 3", 1);
    rig_end();
}
