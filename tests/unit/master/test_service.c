/* What systemd hears of a master with real (fake) workers: ready, the status line, more time, and
 * the watchdog. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/master/status_line.h"
#include "tests/unit/master/master_rig.h"
#include "tests/unit/master/notify_ear.h"

static void set_up(void)
{
    rig_init();
    ear_open();
}

static void tear_down(void)
{
    rig_done();
    ear_close();
}

TestSuite(service, .init = set_up, .fini = tear_down, .timeout = 60);

static void start_ready(void)
{
    rig_start();
    run_until("droverd.ready", 1);
    run_until("worker.ready", supervisor_count_slots(rig.supervisor));
}

/* What a worker of ours would say of itself. */
static void say_of(const char *queue, unsigned int index, enum scoreboard_counter counter,
                   uint64_t value)
{
    const struct slot *slot = slot_of(queue, index);
    struct scoreboard_slot *row = NULL;

    cr_assert(scoreboard_attach(scoreboard_fd(rig.supervisor->board), slot->board_slot,
                                slot->child->uuid, &row, NULL) == 0);
    scoreboard_set(row, counter, value);
    scoreboard_detach(row);
}

static void say_waiting(const char *queue, unsigned int index, uint64_t waiting,
                        uint64_t oldest_at_ms, uint64_t seen_ms)
{
    say_of(queue, index, SCOREBOARD_FLAGS, SCOREBOARD_REDIS_UP);
    say_of(queue, index, SCOREBOARD_WAITING, waiting);
    say_of(queue, index, SCOREBOARD_OLDEST_AT_MS, oldest_at_ms);
    say_of(queue, index, SCOREBOARD_WAITING_SEEN_MS, seen_ms);
}

static const char *line_of(void)
{
    static char line[1024];

    status_line_write(rig.supervisor, UINT64_MAX, line, sizeof line);
    return line;
}

static void run_until_status(const char *text)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (!strstr(ear_status(), text)) {
        cr_assert(clock_now_ms() < end_ms, "\"%s\", not \"%s\"", ear_status(), text);
        run_turns(1);
    }
}

/* ---- ready, stopping */

Test(service, tells_systemd)
{
    const char *heard;

    rig_queue("serve", "");
    rig_start();
    run_until("droverd.ready", 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect_str_eq(ear_hear_states(), "READY=1\nSTOPPING=1\n");
    heard = ear_hear();
    cr_expect(strstr(heard, "READY=1;STATUS=1 queue, 0/1 busy, 0 waiting, generation 1"), "%s",
              heard);
    cr_expect(strstr(heard, "STATUS=1 queue, 0/1 busy, 0 waiting, generation 1; starting: 0 of 1 "
                            "workers ready\n"),
              "%s", heard);
    cr_expect(strstr(heard, "FDSTORE=1;FDNAME=scoreboard"), "%s", heard);
    cr_expect(ear_count("WATCHDOG=1") == 0, "nobody has asked for it");
}

/* ---- the status line */

Test(service, the_line_has_the_numbers_of_all_queues)
{
    uint64_t boot_ms = clock_boot_ms(), wall_ms = clock_wall_ms();

    rig_queue("serve", "concurrency: 30, processes: 2");
    rig_queue("serve.b", "concurrency: 6");
    rig_queue("serve.c", "concurrency: 4");
    start_ready();
    say_waiting("serve", 0, 1000, wall_ms - 500000, boot_ms - 5000); /* long ago */
    say_waiting("serve", 1, 31, wall_ms - 8000, boot_ms - 10);       /* so this one is right */
    say_waiting("serve.b", 0, 400, wall_ms - 12500, boot_ms);
    say_waiting("serve.c", 0, 0, 0, boot_ms);
    say_of("serve", 0, SCOREBOARD_RUNNING, 7);
    say_of("serve", 1, SCOREBOARD_RUNNING, 3);
    say_of("serve.b", 0, SCOREBOARD_RUNNING, 2);
    cr_expect_str_eq(line_of(), "3 queues, 12/40 busy, 431 waiting, oldest 12s, generation 1");
    say_of("serve.b", 0, SCOREBOARD_RUNNING, UINT64_MAX);
    cr_expect(strstr(line_of(), ", 16/40 busy,"), "a liar counts with what it may run: %s",
              line_of());
    clock_shift_for_tests(3600000);
    cr_expect(strstr(line_of(), "oldest 1h00m"), "%s", line_of());
    clock_shift_for_tests(-3600000);
    rig_end();
}

Test(service, the_line_is_sent_again_only_when_it_differs)
{
    size_t before;

    rig_queue("serve", "concurrency: 2");
    start_ready();
    say_waiting("serve", 0, 0, 0, clock_boot_ms());
    clock_shift_for_tests(1000);
    while (strcmp(ear_status(), "1 queue, 0/2 busy, 0 waiting, generation 1") != 0)
        run_turns(1);
    before = ear_count("STATUS=");
    for (int i = 0; i < 5; i++) {
        clock_shift_for_tests(1000);
        run_turns(2);
    }
    cr_expect(ear_count("STATUS=") == before, "%s", ear_hear());
    say_of("serve", 0, SCOREBOARD_RUNNING, 1);
    run_turns(5);
    clock_shift_for_tests(1000);
    run_until_status("1/2 busy");
    cr_expect(ear_count("STATUS=") == before + 1, "%s", ear_hear());
    rig_end();
}

/* Without an event: its own timer looks once a second. */
Test(service, the_line_is_looked_at_by_itself)
{
    rig_queue("serve", "concurrency: 2");
    start_ready();
    while (pool_of("serve")->balance_ms != 0)
        run_turns(1);
    run_turns(3);
    cr_expect(uv_is_active((uv_handle_t *)&rig.supervisor->timer));
    cr_expect(uv_timer_get_due_in(&rig.supervisor->timer) <= 1000);
    rig_end();
}

Test(service, the_line_says_what_is_wrong)
{
    rig_queue("serve", "");
    rig_queue("serve.b", "");
    rig_queue("exit-78", "");
    rig_start();
    run_until("droverd.ready", 1);
    run_until("pool.given_up", 1);
    run_until("worker.ready", 2);
    say_of("serve", 0, SCOREBOARD_FLAGS, SCOREBOARD_REDIS_UP);
    cr_expect(strstr(line_of(), "generation 1; Redis away: serve.b; given up: exit-78"), "%s",
              line_of());
    run_until_status("given up: exit-78");
    say_of("serve.b", 0, SCOREBOARD_FLAGS, SCOREBOARD_REDIS_UP | SCOREBOARD_PAUSED);
    cr_expect(!strstr(line_of(), "Redis"), "%s", line_of());
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(service, the_line_names_a_few_and_counts_the_rest)
{
    for (int i = 0; i < 6; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "serve.%d", i);
        rig_queue(name, "");
    }
    start_ready();
    cr_expect(strstr(line_of(), "; Redis away: serve.0, serve.1, serve.2 and 3 more"), "%s",
              line_of());
    rig_end();
}

Test(service, the_line_names_the_dead_until_they_are_recovered)
{
    char uuid[UUID_TEXT_BYTES];

    rig_queue("no-recover", "concurrency: 2, processes: 2");
    start_ready();
    (void)snprintf(uuid, sizeof uuid, "%s", slot_of("no-recover", 1)->child->uuid);
    kill_worker("no-recover", 1, SIGKILL);
    run_until_status("; not yet recovered: ");
    cr_expect(strstr(ear_status(), uuid), "%s", ear_status());
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(service, the_line_tells_how_far_the_drain_is)
{
    rig.drain_timeout = "60s";
    rig_queue("ignore-drain", "concurrency: 4");
    start_ready();
    say_of("ignore-drain", 0, SCOREBOARD_RUNNING, 3);
    supervisor_ask_to_end(rig.supervisor);
    run_until_status("; draining: 3 jobs left, 60 s left");
    say_of("ignore-drain", 0, SCOREBOARD_RUNNING, 1);
    clock_shift_for_tests(20000);
    run_until_status("; draining: 1 job left, 40 s left");
    supervisor_ask_to_end(rig.supervisor);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

/* ---- more time */

/* Of the last request, in ms. */
static uint64_t extended_ms(void)
{
    const char *heard = ear_hear(), *last = NULL;

    for (const char *at = heard; (at = strstr(at, "EXTEND_TIMEOUT_USEC=")); at++)
        last = at;
    return last ? strtoull(last + strlen("EXTEND_TIMEOUT_USEC="), NULL, 10) / 1000 : 0;
}

static size_t extensions(void)
{
    return ear_count("EXTEND_TIMEOUT_USEC=");
}

Test(service, a_stop_is_extended_until_its_budget_ends)
{
    uint64_t budget_ms = config_stop_budget_ms(60000);
    size_t before;

    rig.drain_timeout = "60s";
    rig_queue("ignore-all", "");
    start_ready();
    run_turns(3);
    ear_forget();
    supervisor_ask_to_end(rig.supervisor);
    run_turns(2);
    cr_expect(extensions() == 1 && extended_ms() == 10000, "%s", ear_hear());
    run_turns(5);
    cr_expect(extensions() == 1, "once a second: %s", ear_hear());
    clock_shift_for_tests(1000);
    run_turns(2);
    cr_expect(extensions() == 2, "%s", ear_hear());
    clock_shift_for_tests((int64_t)budget_ms - 3000); /* 2 s before its end, or a little less */
    run_turns(2);
    cr_expect(extensions() == 3 && extended_ms() <= 2000 && extended_ms() > 0, "%s", ear_hear());
    before = extensions();
    clock_shift_for_tests(2000);
    run_turns(5);
    cr_expect(extensions() == before, "beyond its budget systemd decides: %s", ear_hear());
    (void)run_to_the_end();
    cr_expect(extensions() == before);
}

Test(service, a_drain_without_a_bound_is_extended_without_one)
{
    rig.drain_timeout = "0s";
    rig_queue("ignore-drain", "");
    start_ready();
    ear_forget();
    supervisor_ask_to_end(rig.supervisor);
    run_turns(2);
    clock_shift_for_tests(86400000);
    run_turns(2);
    cr_expect(extensions() == 2 && extended_ms() == 10000, "%s", ear_hear());
    cr_expect(strstr(ear_status(), "draining: 0 jobs left") && !strstr(ear_status(), "s left;"),
              "%s", ear_status());
    supervisor_ask_to_end(rig.supervisor);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(service, the_budget_is_the_sum_of_what_an_end_may_take)
{
    cr_expect(config_stop_budget_ms(30000) == 30000 + 6000 + 7000 + 5000 + 1000);
    cr_expect(config_stop_budget_ms(0) == UINT64_MAX);
}

Test(service, a_start_is_extended_while_workers_come_up)
{
    size_t before;

    rig.start_timeout = "60s";
    rig_queue("wait-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    run_turns(2);
    cr_expect(extensions() == 1, "%s", ear_hear());
    clock_shift_for_tests(40000);
    run_turns(2);
    cr_expect(extensions() == 2, "%s", ear_hear());
    tell_workers("ready", 1, 1);
    run_until("droverd.ready", 1);
    before = extensions();
    for (int i = 0; i < 3; i++) {
        clock_shift_for_tests(2000);
        run_turns(2);
    }
    cr_expect(extensions() == before, "it is up: %s", ear_hear());
    rig_end();
}

/* A worker that cannot even be killed does not hold the start open for ever. */
Test(service, a_start_is_not_extended_beyond_what_it_may_take)
{
    size_t before;

    rig.start_timeout = "60s";
    rig_queue("never-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    run_turns(2);
    rig.supervisor->context.start_timeout_ms = 1000; /* its own deadline is still 60 s away */
    before = extensions();
    clock_shift_for_tests(8000);
    run_turns(3);
    cr_expect(extensions() == before, "%s", ear_hear());
    supervisor_ask_to_end(rig.supervisor);
    supervisor_ask_to_end(rig.supervisor);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(service, a_reload_is_extended_while_its_workers_come_up)
{
    rig_queue("wait-ready", "");
    tell_workers("ready", 1, 1);
    start_ready();
    clock_shift_for_tests(3000);
    run_turns(3);
    ear_forget();
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 7");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.accepted", 1);
    run_turns(2);
    cr_expect(extensions() == 1, "%s", ear_hear());
    tell_workers("ready", 2, 1);
    run_until("reload.done", 1);
    rig_end();
}

/* ---- the watchdog */

static void set_watchdog(const char *usec)
{
    char pid[16];

    (void)snprintf(pid, sizeof pid, "%d", getpid());
    cr_assert(setenv("WATCHDOG_USEC", usec, 1) == 0 && setenv("WATCHDOG_PID", pid, 1) == 0);
}

static void run_until_fed(size_t times)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (ear_count("WATCHDOG=1") < times) {
        cr_assert(clock_now_ms() < end_ms, "%s", ear_hear());
        run_turns(1);
    }
}

Test(service, the_watchdog_is_fed_at_half_its_interval)
{
    set_watchdog("200000");
    rig_queue("serve", "");
    start_ready();
    cr_expect(number_of("watchdog.armed", 0, "timeout_ms") == 200);
    cr_expect(number_of("watchdog.armed", 0, "every_ms") == 100);
    run_until_fed(4);
    cr_expect(count_lines("watchdog.withheld") == 0);
    rig_end();
}

Test(service, an_interval_that_cannot_be_read_is_said)
{
    set_watchdog("often");
    rig_queue("serve", "");
    start_ready();
    cr_expect(count_lines("watchdog.unusable") == 1 && count_lines("watchdog.armed") == 0);
    rig_end();
}

Test(service, the_watchdog_of_another_process_is_not_fed)
{
    cr_assert(setenv("WATCHDOG_USEC", "20000", 1) == 0 && setenv("WATCHDOG_PID", "1", 1) == 0);
    rig_queue("serve", "");
    start_ready();
    cr_expect(count_lines("watchdog.armed") == 0 && ear_count("WATCHDOG=1") == 0);
    rig_end();
}

/* Workers that hang, and one that dies all the time, are none of its business. */
Test(service, workers_do_not_trip_the_watchdog)
{
    set_watchdog("20000");
    rig_queue("serve", "concurrency: 2, processes: 2");
    rig_queue("die-early", "");
    rig_start();
    run_until("worker.ready", 2);
    kill_worker("serve", 0, SIGSTOP);
    ear_forget();
    clock_shift_for_tests(1000000);
    run_until_fed(5);
    cr_expect(count_lines("watchdog.withheld") == 0);
    kill_worker("serve", 0, SIGCONT);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

/* A master that has lost sight of a child: here its pidfd is not watched any more. */
Test(service, a_lost_child_withholds_the_watchdog)
{
    struct child *child;
    size_t fed;

    set_watchdog("20000");
    rig_queue("serve", "");
    start_ready();
    child = slot_of("serve", 0)->child;
    cr_assert(uv_poll_stop(&child->watch) == 0);
    kill_worker("serve", 0, SIGKILL);
    while (slot_of("serve", 0)->gone_since_ms == 0)
        run_turns(1);
    run_until_fed(ear_count("WATCHDOG=1") + 2); /* it may be noticed yet */
    clock_shift_for_tests(11000);
    run_until("watchdog.withheld", 1);
    fed = ear_count("WATCHDOG=1");
    run_turns(50);
    cr_expect(ear_count("WATCHDOG=1") == fed, "nothing more is said");
    cr_expect(count_lines("watchdog.withheld") == 1, "and the reason once");
    {
        json_t *line = find_line("watchdog.withheld", 0);
        const char *why = text_of(line, "why");

        cr_expect(strstr(why, "worker serve/0, ") && strstr(why, "was not noticed"), "%s", why);
        json_decref(line);
    }
    cr_assert(waitpid(child->pid, NULL, 0) == child->pid); /* now as if it had seen it */
    child->exited = true;
    child->exited_us = clock_now_us();
    child->term_signal = SIGKILL;
    run_until("watchdog.resumed", 1);
    run_until_fed(fed + 2);
    run_until("worker.ready", 2);
    rig_end();
}
