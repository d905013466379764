/* The supervisor starts, restarts and ends workers that behave as their queue is called. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

TestSuite(supervisor, .init = rig_init, .fini = rig_done, .timeout = 60);

Test(supervisor, starts_what_is_configured_and_drains_on_sigterm)
{
    rig_queue("serve", "concurrency: 5, processes: 3");
    rig_queue("other", "");
    rig_start();
    run_until("worker.ready", 4);
    run_until("pool.ready", 2);
    run_until("droverd.ready", 1);
    cr_expect(count_lines("worker.spawned") == 4);
    cr_expect(number_of("worker.spawned", 0, "slots") == 2);
    cr_expect(number_of("worker.spawned", 2, "slots") == 1);
    cr_assert(raise(SIGTERM) == 0);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect(count_lines("worker.exited") == 4);
    cr_expect(count_lines("worker.draining") == 4);
    cr_expect(count_lines("worker.stopping") == 0);
    expect_text("worker.exited", 0, "cause", "exit 0 (ok)");
    expect_text("worker.exited", 0, "level", "info");
    cr_expect(number_of("droverd.stopped", 0, "exit_code") == 0);
}

Test(supervisor, gives_the_worker_what_was_agreed)
{
    cr_assert(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1) == 0);
    cr_assert(setenv("WATCHDOG_USEC", "1", 1) == 0 && setenv("WATCHDOG_PID", "1", 1) == 0);
    cr_assert(setenv("LISTEN_FDS", "1", 1) == 0 && setenv("LISTEN_FDNAMES", "a", 1) == 0);
    cr_assert(setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1) == 0);
    cr_assert(setenv("DROVER_TEST_KEPT", "yes", 1) == 0);
    rig_queue("inspect", "concurrency: 7, processes: 2");
    rig_start();
    run_until("droverd.ready", 1);
    cr_expect(count_lines("worker.ready") == 2, "the fake worker says on stderr what it misses");
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, backs_off_when_a_worker_dies_before_it_is_ready)
{
    rig.restart_max = "200ms";
    rig_queue("die-early", "");
    rig_start();
    run_until("worker.restart_delayed", 5);
    expect_text("worker.exited", 0, "cause", "exit 69 (unavailable)");
    cr_expect(number_of("worker.restart_delayed", 0, "delay_ms") <= 24);
    cr_expect(number_of("worker.restart_delayed", 0, "delay_ms") >= 16);
    cr_expect(number_of("worker.restart_delayed", 2, "delay_ms") >= 64);
    cr_expect(number_of("worker.restart_delayed", 4, "delay_ms") >= 160, "capped");
    cr_expect(number_of("worker.restart_delayed", 4, "delay_ms") <= 200, "capped");
    cr_expect(number_of("worker.restart_delayed", 4, "failures") == 5);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "nothing had to be killed");
}

/* Back-off is for deaths before ready only, but restarts must not eat the machine either. */
Test(supervisor, a_death_after_ready_is_no_reason_to_back_off_but_a_storm_is_slowed_down)
{
    rig.restart_first = rig.restart_max = "60s";
    rig_queue("ready-and-die", "");
    rig_start();
    run_until("worker.spawned", SLOT_DEATHS_KEPT);
    cr_expect(count_lines("worker.restart_delayed") == 0);
    run_until("worker.exited", SLOT_DEATHS_KEPT);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    cr_expect(count_lines("worker.spawned") == SLOT_DEATHS_KEPT, "not another one in this second");
    clock_shift_for_tests(1000);
    run_until("worker.spawned", SLOT_DEATHS_KEPT + 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, restarts_at_once_after_long_service)
{
    rig.restart_first = rig.restart_max = "60s";
    rig_queue("die-late", "");
    rig_start();
    run_until("worker.spawned", 3);
    cr_expect(count_lines("worker.restart_delayed") == 0);
    expect_text("worker.exited", 1, "cause", "exit 70 (software)");
    expect_text("worker.exited", 1, "level", "warn");
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, names_the_signal_of_a_death)
{
    rig_queue("signal", "");
    rig_start();
    run_until("worker.restart_delayed", 1);
    expect_text("worker.exited", 0, "cause", "signal 10 (SIGUSR1)");
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, never_restarts_after_a_final_exit_code_but_serves_the_rest)
{
    rig_queue("exit-78", "concurrency: 2, processes: 2");
    rig_queue("serve", "");
    rig_start();
    run_until("pool.given_up", 1);
    run_until("pool.ready", 1);
    cr_expect(count_lines("worker.never_restarted") == 2);
    expect_text("worker.never_restarted", 0, "exit_name", "config");
    cr_expect(count_lines("worker.spawned") == 3);
    cr_expect(count_lines("droverd.gave_up") == 0);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, ends_with_78_when_every_worker_refuses_its_configuration)
{
    rig_queue("exit-78", "concurrency: 2, processes: 2");
    rig_start();
    cr_expect(run_to_the_end() == EXIT_CODE_CONFIG);
    cr_expect(count_lines("droverd.gave_up") == 1);
    cr_expect(count_lines("worker.spawned") == 2);
}

Test(supervisor, ends_with_1_when_workers_gave_up_for_other_reasons)
{
    rig_queue("exit-78", "");
    rig_queue("exit-64", "");
    rig_start();
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    cr_expect(number_of("droverd.gave_up", 0, "exit_code") == 1);
}

Test(supervisor, kills_and_retries_a_worker_that_is_never_ready)
{
    rig.start_timeout = "100ms";
    rig_queue("never-ready", "");
    rig_start();
    run_until("worker.restart_delayed", 2);
    expect_text("worker.killed", 0, "why", "not ready in time");
    expect_text("worker.exited", 0, "cause", "signal 9 (SIGKILL)");
    expect_text("worker.exited", 0, "killed_because", "not ready in time");
    run_until("worker.spawned", 3);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED, "it had to be killed");
}

Test(supervisor, second_signal_stops_what_ignores_the_drain)
{
    rig.drain_timeout = "none"; /* no bound */
    rig_queue("ignore-drain", "");
    rig_start();
    run_until("worker.ready", 1);
    cr_assert(raise(SIGTERM) == 0);
    run_until("worker.draining", 1);
    cr_assert(raise(SIGINT) == 0);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "it left when told to stop");
    expect_text("worker.stopping", 0, "why", "the service stops");
    cr_expect(count_lines("droverd.stopping") == 1);
}

Test(supervisor, a_drain_has_an_end)
{
    rig.drain_timeout = "50ms";
    rig_queue("ignore-drain", "");
    rig_start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 1);
    clock_shift_for_tests(6000); /* the time-out and its margin */
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    expect_text("worker.stopping", 0, "why", "did not drain in time");
}

Test(supervisor, the_ladder_ends_with_a_kill)
{
    rig.options.stop_grace_ms = 50;
    rig_queue("ignore-all", "");
    rig_start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "did not stop in time");
    cr_expect(number_of("droverd.stopped", 0, "killed") == 1);
}

Test(supervisor, third_signal_kills)
{
    rig.options.stop_grace_ms = 60000;
    rig_queue("ignore-all", "");
    rig_start();
    run_until("worker.ready", 1);
    for (int i = 0; i < 3; i++)
        supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "kill asked");
}

Test(supervisor, kills_what_a_dead_worker_left_in_its_session)
{
    rig_queue("leave-handlers", "");
    rig_start();
    run_until("worker.exited", 1);
    cr_expect(number_of("worker.exited", 0, "killed_left_over") == 2);
    run_until("worker.spawned", 2);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(supervisor, reaps_orphans_and_kills_them_also_after_a_regular_end)
{
    rig_queue("handlers-at-drain", "");
    rig_queue("escaped-handler", "");
    rig_start();
    run_until("worker.ready", 2);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "no worker had to be killed");
    cr_expect(count_lines("orphan.killed") >= 1, "the one with a session of its own");
    cr_expect(count_lines("orphan.reaped") == 2);
}

Test(supervisor, kills_a_worker_that_closed_its_channel_and_lives)
{
    rig.options.stop_grace_ms = 50;
    rig_queue("close-channel", "");
    rig_start();
    run_until("worker.killed", 1);
    expect_text("worker.killed", 0, "why", "closed its channel and lives on");
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(supervisor, starts_more_than_one_turn_of_spawns)
{
    rig_queue("serve", "concurrency: 11, processes: 11");
    rig_start();
    run_until("worker.ready", 11);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect(count_lines("worker.exited") == 11);
}

Test(supervisor, a_worker_that_is_killed_is_replaced)
{
    rig_queue("serve", "concurrency: 2, processes: 2");
    rig_start();
    run_until("worker.ready", 2);
    cr_assert(kill((pid_t)number_of("worker.spawned", 0, "pid"), SIGKILL) == 0);
    run_until("worker.ready", 3);
    expect_text("worker.exited", 0, "cause", "signal 9 (SIGKILL)");
    cr_expect(count_lines("worker.restart_delayed") == 0);
    cr_expect(number_of("worker.spawned", 2, "slot") == number_of("worker.exited", 0, "slot"));
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, a_success_clears_the_back_off)
{
    rig_queue("late-start", ""); /* dies twice before it is ready, then serves */
    rig_start();
    run_until("worker.ready", 1);
    cr_expect(count_lines("worker.restart_delayed") == 2);
    cr_assert(kill((pid_t)number_of("worker.spawned", 2, "pid"), SIGKILL) == 0);
    run_until("worker.ready", 2);
    cr_expect(count_lines("worker.restart_delayed") == 4, "it died twice again");
    cr_expect(number_of("worker.restart_delayed", 2, "failures") == 1, "counted from the start");
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, reads_all_that_a_dead_worker_had_said)
{
    siginfo_t info;

    rig_queue("many-frames", "");
    rig_start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 1);
    /* All is said before the loop turns again, unless the worker was so quick that its end was
     * seen in the turn that asked it to drain. */
    cr_assert(
        waitid(P_PID, (id_t)number_of("worker.spawned", 0, "pid"), &info, WEXITED | WNOWAIT) == 0 ||
        errno == ECHILD);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, a_drain_does_not_lengthen_the_start)
{
    rig.start_timeout = "5000ms";
    rig.drain_timeout = "600000ms";
    rig_queue("never-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 1);
    clock_shift_for_tests(5000);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "not ready in time");
}

/* Its word crossed the order to drain: then it has the time of a drain, not what was left of its
 * start. */
Test(supervisor, a_worker_that_becomes_ready_when_it_is_told_to_drain_may_drain)
{
    rig.start_timeout = "5000ms";
    rig.drain_timeout = "600000ms";
    rig_queue("wait-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 1);
    tell_workers("ready", 1, 1);
    while (slot_of("wait-ready", 0)->child->ready_ms == 0)
        run_turns(1);
    clock_shift_for_tests(6000);
    run_turns(10);
    cr_expect(count_lines("worker.killed") == 0 && count_lines("worker.stopping") == 0);
    tell_workers("leave", 1, 1);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

/* It cannot be told anything any more; without a bound the end of the service would never come. */
Test(supervisor, a_worker_that_loses_its_channel_while_it_drains_is_ended)
{
    rig.options.stop_grace_ms = 50;
    rig.drain_timeout = "none";
    rig_queue("deaf-drain", "");
    rig_start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    cr_expect(count_lines("worker.stopping") == 0, "it would not hear of it");
    expect_text("worker.killed", 0, "why", "closed its channel and lives on");
}

/* Only kills of the end itself speak against it. */
Test(supervisor, a_kill_in_the_middle_of_its_life_does_not_fail_the_service)
{
    rig_queue("wait-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    clock_shift_for_tests(10000);
    run_until("worker.killed", 1);
    tell_workers("ready", 1, 1);
    run_until("worker.ready", 1);
    rig_end();
    cr_expect(number_of("droverd.stopped", 0, "killed") == 0);
}

/* The pidfd stays readable; without an answer the master would spin. */
Test(supervisor, a_worker_that_somebody_else_has_reaped_is_replaced)
{
    rig_queue("serve", "");
    rig_start();
    run_until("worker.ready", 1);
    kill_worker("serve", 0, SIGKILL);
    cr_assert(waitpid(pid_of("serve", 0), NULL, 0) == pid_of("serve", 0));
    run_until("worker.ready", 2);
    expect_text("worker.exited", 0, "cause", "exit -1");
    rig_end();
}

static void limit_descriptors_to_two_more(struct rlimit *out_before)
{
    int fds[3];
    struct rlimit limit;

    for (int i = 0; i < 3; i++)
        cr_assert((fds[i] = dup(STDERR_FILENO)) >= 0);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    cr_assert(getrlimit(RLIMIT_NOFILE, out_before) == 0);
    limit = *out_before;
    limit.rlim_cur = (rlim_t)fds[2];
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The channel can be made, the process is started, and then there is nothing to watch it with. */
Test(supervisor, a_process_that_cannot_be_watched_does_not_live)
{
    struct rlimit before;

    rig_queue("serve", "");
    rig_start();
    limit_descriptors_to_two_more(&before);
    run_until("worker.restart_delayed", 3);
    cr_assert(setrlimit(RLIMIT_NOFILE, &before) == 0);
    expect_text("worker.spawn_failed", 0, "error", "pidfd_open: Too many open files");
    cr_expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no child is left");
    run_until("worker.ready", 1);
    rig_end();
}

/* Nothing but events wakes it. */
Test(supervisor, sleeps_while_there_is_nothing_to_do)
{
    rig_queue("serve", "concurrency: 3, processes: 2");
    rig_start();
    run_until("pool.ready", 1);
    while (pool_of("serve")->balance_ms != 0)
        run_turns(1);
    run_turns(2);
    cr_expect(!uv_is_active((uv_handle_t *)&rig.supervisor->timer));
    rig_end();
}

Test(supervisor, a_second_one_on_the_same_socket_does_not_start)
{
    struct config_report report;
    struct config *config = NULL;
    struct supervisor *second = NULL;
    struct error err = { 0 };
    uv_loop_t loop;

    rig_queue("serve", "");
    rig_start();
    run_until("worker.ready", 1);
    cr_assert(config_load(rig.file, NULL, 0, &config, &report) == 0);
    config_report_done(&report);
    cr_assert(uv_loop_init(&loop) == 0);
    cr_expect(supervisor_open(&loop, &rig.options, config, &second, &err) == -EADDRINUSE);
    cr_expect(!second && strstr(err.text, rig.control), "%s", err.text);
    cr_expect(uv_loop_close(&loop) == 0, "it left nothing on the loop");
    cr_expect(count_lines("worker.spawned") == 1);
    rig_end();
}

/* The queues are served all the same. */
Test(supervisor, runs_without_its_control_socket)
{
    cr_assert(mkdir(rig.control, 0700) == 0);
    rig_queue("serve", "");
    rig_start();
    run_until("worker.ready", 1);
    expect_text("control.unavailable", 0, "level", "error");
    rig_end();
    cr_expect(rmdir(rig.control) == 0, "it is still there, as it was");
}
