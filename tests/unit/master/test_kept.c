/* Workers of an earlier master, found on a kept scoreboard by the next one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process/process_table.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/store.h"
#include "tests/unit/master/master_rig.h"

#define OLD_UUID "0b36ae1d-9a57-4c5c-8c3a-0d4a36f6b001"

static struct scoreboard *old; /* the earlier master's mapping */
static struct store_passed passed;

static void set_up(void)
{
    rig_init();
    cr_assert(scoreboard_new(&old, NULL) == 0);
    scoreboard_begin(old);
    scoreboard_beat(old);
}

static void tear_down(void)
{
    scoreboard_free(old);
    rig_done();
}

TestSuite(kept, .init = set_up, .fini = tear_down, .timeout = 60);

/* A worker that the earlier master had started, with two jobs; `stat` says which process. */
static int leave_worker(const char *uuid, const char *queue, const struct process_stat *stat)
{
    struct scoreboard_master master = { .pid = stat ? stat->pid : 0,
                                        .start_ticks = stat ? stat->start_ticks : 0,
                                        .slot = 3,
                                        .generation = 7,
                                        .state = SCOREBOARD_SERVING };
    int index = scoreboard_claim(old, NULL);
    struct scoreboard_slot *row = NULL;

    cr_assert(index >= 0);
    cr_assert(scoreboard_hold_totals(old, queue, NULL) == 0);
    (void)snprintf(master.uuid, sizeof master.uuid, "%s", uuid);
    (void)snprintf(master.queue, sizeof master.queue, "%s", queue);
    scoreboard_set_master(old, index, &master);
    cr_assert(scoreboard_attach(scoreboard_fd(old), index, uuid, &row, NULL) == 0);
    scoreboard_set(row, SCOREBOARD_COMPLETED, 40);
    scoreboard_set(row, SCOREBOARD_RUNNING, 2);
    (void)scoreboard_job_begin(row, "17", 2, "mail", 4, 1);
    (void)scoreboard_job_begin(row, "18", 2, "mail", 4, 1);
    scoreboard_detach(row);
    return index;
}

/* A session leader that lives; `child`: with a process in its session. */
static struct process_stat start_process(bool child)
{
    struct process_stat stat;
    int fds[2];
    pid_t pid;
    char byte;

    cr_assert(pipe2(fds, O_CLOEXEC) == 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)setsid();
        if (child && fork() == 0) {
            for (;;)
                (void)pause();
        }
        (void)!write(fds[1], "x", 1);
        for (;;)
            (void)pause();
    }
    cr_assert(read(fds[0], &byte, 1) == 1);
    (void)close(fds[0]);
    (void)close(fds[1]);
    cr_assert(process_read_stat(pid, &stat) == 0);
    return stat;
}

static void end_process(pid_t pid)
{
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static struct process_stat dead_process(void)
{
    struct process_stat stat = start_process(false);

    end_process(stat.pid);
    return stat;
}

/* The next master starts with what systemd has kept. */
static void start_with_kept(void)
{
    int fd = fcntl(scoreboard_fd(old), F_DUPFD_CLOEXEC, 100);

    passed = (struct store_passed){ .fds = { fd }, .count = 1, .names = calloc(2, sizeof(char *)) };
    passed.names[0] = strdup("scoreboard");
    rig.options.passed = &passed;
    rig_start();
}

static struct scoreboard_totals totals_of(const char *queue)
{
    struct scoreboard_totals totals;

    for (int i = 0; scoreboard_read_totals(rig.supervisor->board, i, &totals); i++) {
        if (strcmp(totals.queue, queue) == 0)
            return totals;
    }
    cr_assert(false, "no totals of %s", queue);
    return totals;
}

Test(kept, the_dead_are_recovered_at_once_and_uncounted)
{
    struct process_stat stat = dead_process();
    int index = leave_worker(OLD_UUID, "serve", &stat);
    struct scoreboard_totals totals;
    struct scoreboard_view view;

    rig_queue("serve", "max_givebacks: 5");
    start_with_kept();
    run_until("worker.recovered", 1);
    expect_text("worker.found", 0, "uuid", OLD_UUID);
    expect_text("worker.found", 0, "queue", "serve");
    expect_text("worker.found", 0, "jobs", "17, 18");
    expect_text("worker.found", 0, "cause", "its master died");
    expect_text("worker.found", 0, "what", "its jobs are given back now");
    cr_expect(number_of("worker.found", 0, "slot") == 3);
    cr_expect(number_of("worker.found", 0, "pid") == stat.pid);
    cr_expect(number_of("worker.found", 0, "generation") == 7);
    cr_expect(number_of("worker.found", 0, "running") == 2);
    expect_text("worker.recovered", 0, "uuid", OLD_UUID);
    cr_expect(count_heard("recover of serve cause \"\" max 5") == 1);
    totals = totals_of("serve");
    cr_expect(totals.values[SCOREBOARD_TOTAL_COMPLETED] == 40, "what it had counted is kept");
    cr_expect(totals.values[SCOREBOARD_TOTAL_DEATHS] == 1);
    cr_expect(number_of("scoreboard.kept", 0, "starts") == 2);
    cr_expect(!scoreboard_read(old, index, &view) || strcmp(view.master.uuid, OLD_UUID) != 0,
              "its slot is free, or another's");
    cr_expect(rig.supervisor->kept.count == 0);
    rig_end();
}

Test(kept, a_new_board_holds_nobody)
{
    rig_queue("serve", "");
    rig_start();
    run_until("worker.ready", 1);
    cr_expect(count_lines("worker.found") == 0 && count_lines("scoreboard.kept") == 0);
    rig_end();
}

Test(kept, of_a_queue_that_is_gone_it_is_said)
{
    struct process_stat stat = dead_process();

    (void)leave_worker(OLD_UUID, "mail", &stat);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.found", 1);
    expect_text("worker.found", 0, "what",
                "its queue is not configured any more: its jobs come back when their locks expire");
    run_until("worker.ready", 1);
    run_turns(5);
    cr_expect(rig.supervisor->recoveries.count == 0 && count_heard("recover of") == 0);
    cr_expect(totals_of("mail").values[SCOREBOARD_TOTAL_COMPLETED] == 40);
    cr_expect(!totals_of("mail").served);
    rig_end();
}

Test(kept, a_living_one_is_waited_for)
{
    struct process_stat stat = start_process(false);
    int index = leave_worker(OLD_UUID, "serve", &stat);
    struct scoreboard_view view;

    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.ready", 1);
    clock_shift_for_tests(2000);
    run_turns(5);
    cr_expect(count_lines("worker.found") == 0 && rig.supervisor->kept.count == 1);
    cr_expect(scoreboard_read(rig.supervisor->board, index, &view), "it keeps its slot");
    end_process(stat.pid);
    clock_shift_for_tests(1000);
    run_until("worker.recovered", 1);
    rig_end();
}

Test(kept, one_that_lives_on_is_left_to_its_locks)
{
    struct process_stat stat = start_process(false);

    (void)leave_worker(OLD_UUID, "serve", &stat);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.ready", 1);
    clock_shift_for_tests(61000);
    run_until("worker.fenced", 1);
    expect_text("worker.found", 0, "what",
                "it could not be seen dead: its jobs come back when their locks expire");
    cr_expect(kill(stat.pid, 0) == 0, "it was left alone");
    end_process(stat.pid);
    rig_end();
}

/* Its number belongs to somebody else now. */
Test(kept, a_reused_pid_is_not_taken_for_it)
{
    struct process_stat stat = start_process(false), earlier = stat;

    earlier.start_ticks--;
    (void)leave_worker(OLD_UUID, "serve", &earlier);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.recovered", 1);
    cr_expect(kill(stat.pid, 0) == 0, "a stranger is left alone");
    end_process(stat.pid);
    rig_end();
}

/* What a dead worker had started is in its session. */
static pid_t in_session_of(pid_t sid)
{
    for (pid_t pid = sid; pid < sid + 1000; pid++) {
        if (pid != sid && getsid(pid) == sid)
            return pid;
    }
    return 0;
}

Test(kept, what_it_had_started_is_ended_first)
{
    struct process_stat stat = start_process(true);
    pid_t handler = in_session_of(stat.pid);

    cr_assert(handler > 0);
    end_process(stat.pid);
    (void)leave_worker(OLD_UUID, "serve", &stat);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.recovered", 1);
    cr_expect(!process_is_alive(handler, 0));
    rig_end();
}

/* After so long the number may be another session's. */
Test(kept, nothing_is_killed_when_the_last_master_lived_long_ago)
{
    struct process_stat stat = start_process(true);
    pid_t handler = in_session_of(stat.pid);

    cr_assert(handler > 0);
    end_process(stat.pid);
    (void)leave_worker(OLD_UUID, "serve", &stat);
    clock_shift_for_tests(61000);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.recovered", 1);
    cr_expect(process_is_alive(handler, 0));
    cr_assert(kill(handler, SIGKILL) == 0);
    rig_end();
}

Test(kept, one_without_a_number_is_only_fenced)
{
    (void)leave_worker(OLD_UUID, "serve", NULL);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.fenced", 1);
    cr_expect(count_lines("worker.recovered") == 0);
    rig_end();
}

Test(kept, a_slot_that_was_only_claimed_is_free_again)
{
    cr_assert(scoreboard_claim(old, NULL) == 0);
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.ready", 1);
    run_turns(2);
    expect_text("worker.found", 0, "what", "it was never started");
    cr_expect(rig.supervisor->kept.count == 0 && rig.supervisor->recoveries.count == 0);
    rig_end();
}

Test(kept, many_at_once)
{
    struct process_stat stat = dead_process();

    for (int i = 0; i < 1100; i++) {
        char uuid[UUID_TEXT_BYTES];

        cr_assert(uuid_v4(uuid, NULL) == 0);
        (void)leave_worker(uuid, "serve", &stat);
    }
    rig_queue("serve", "");
    start_with_kept();
    run_until("worker.recovered", 1100);
    cr_expect(count_lines("recovery.refused") == 0, "more than the list holds wait for their turn");
    cr_expect(totals_of("serve").values[SCOREBOARD_TOTAL_COMPLETED] == 44000);
    rig_end();
}
