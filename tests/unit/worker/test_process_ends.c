/* The process handler against programs that die, stay silent, or break the protocol: each case has
 * a name, and no job is lost or told twice. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/worker/process_rig.h"

TestSuite(process_ends, .init = process_rig_init, .fini = rig_done, .timeout = 60);

/* ---- deaths */

Test(process_ends, alone_in_it_the_job_fails_with_the_name_of_the_death)
{
    static const struct {
        const char *name, *data, *reason;
    } rows[] = {
        { "exit", "3", "exit code 3: first\nlast words" },
        { "exit", "0", "exit code 0: first\nlast words" },
        { "exit", "75", "exit code 75 (EX_TEMPFAIL): first\nlast words" },
        { "signal", "11", "killed by signal 11 (SIGSEGV)" },
        { "signal", "9", "killed by signal 9 (SIGKILL)" },
        { "signal", "15", "killed by signal 15 (SIGTERM)" },
    };

    rig.setup.restart_first_ms = rig.setup.restart_max_ms = 600000; /* none of them backs off */
    open_ready("plain");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_start_job(rows[i].name, rows[i].data);

        rig_wait_ended();
        expect(result, HANDLER_FAILED, rows[i].reason);
    }
    (void)rig_start_job("echo", "1");
    rig_wait_ended();
    expect(&rig.results[rig.count - 1], HANDLER_COMPLETED, "1");
}

Test(process_ends, in_company_nobody_knows_whose_fault_it_was)
{
    struct result *held, *culprit, *waits;

    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("plain");
    held = rig_start_job("hold", "1");
    (void)wait_trace("held", 1);
    culprit = rig_start_job("signal", "6");
    waits = rig_start_job("echo", "\"untouched\"");
    rig_wait_ended();
    expect(held, HANDLER_DIED_IN_COMPANY, "killed by signal 6 (SIGABRT)");
    expect(culprit, HANDLER_DIED_IN_COMPANY, "killed by signal 6 (SIGABRT)");
    expect(waits, HANDLER_COMPLETED, "\"untouched\"");
}

Test(process_ends, what_it_answered_before_its_death_counts)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("answer-and-exit", "1");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "\"done\"");
}

Test(process_ends, killed_while_idle_it_is_started_again_at_once)
{
    struct result *result;

    rig.setup.restart_first_ms = rig.setup.restart_max_ms = 600000;
    open_ready("plain");
    result = rig_start_job("pid", "1");
    rig_wait_ended();
    (void)kill(result->pid, SIGKILL);
    (void)wait_trace("pids", 2);
    result = rig_start_job("echo", "1");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "1");
}

Test(process_ends, cancelled_one_that_ends_instead_of_answering)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("hold", "1");
    (void)wait_trace("held", 1);
    rig_cancel(result, HANDLER_CANCEL_SOFT);
    (void)kill(result->pid, SIGKILL);
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
}

/* Its pipe and our buffer are full: jobs of which nothing was written are given to another. */
Test(process_ends, jobs_that_it_never_saw_are_untouched)
{
    static char data[60001];
    struct result *fifth;

    memset(data, 'x', sizeof(data) - 1);
    data[0] = data[sizeof(data) - 2] = '"';
    rig.config.parallel = 5;
    rig.setup.slots = 5;
    open_ready("plain");
    (void)rig_start_job("sleep", "600");
    (void)wait_trace("sleeps", 1); /* it has read this one line and reads no more */
    for (int i = 0; i < 2; i++)
        (void)rig_start_job("echo",
                            data); /* the pipe holds 64 KiB: one, and the beginning of another */
    (void)rig_start_job("echo", data);
    fifth = rig_start_job("echo", data);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    (void)kill(rig.results[0].pid, SIGKILL);
    rig_wait_ended();
    for (size_t i = 0; i < 3; i++)
        cr_assert(eq(int, (int)rig.results[i].kind, (int)HANDLER_DIED_IN_COMPANY), "%zu", i);
    expect(&rig.results[3], HANDLER_COMPLETED, data);
    expect(fifth, HANDLER_COMPLETED, data);
}

/* A process between us and the program: starts it and is killed. */
Test(process_ends, dies_with_its_worker)
{
    char text[64];
    pid_t worker = fork();

    if (worker == 0) {
        if (uv_loop_fork(&rig.loop) < 0)
            _exit(1);
        open_talker("stubborn");
        (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    rig_wait_file("initialize", text, sizeof(text));
    (void)snprintf(text, sizeof(text), "%s", wait_trace("pids", 1));
    cr_assert(rig_is_alive((pid_t)atoi(text)));
    (void)kill(worker, SIGKILL);
    cr_assert(eq(int, (int)waitpid(worker, NULL, 0), (int)worker));
    rig_wait_dead((pid_t)atoi(text));
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");

    while (readdir(folder))
        count++;
    (void)closedir(folder);
    return count;
}

Test(process_ends, no_descriptor_is_left)
{
    size_t before;

    rig.config.parallel = 2;
    rig.setup.slots = 4;
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* libuv opens its own at the first run */
    open_ready("plain");
    rig_close_handler();
    rig_wait(rig.closed);
    before = count_descriptors();
    open_ready("plain");
    for (int i = 0; i < 20; i++)
        (void)rig_start_job(i % 3 ? "exit" : "close-stdin", "1");
    rig_wait_ended();
    rig_close_handler();
    rig_wait(rig.closed);
    cr_assert(eq(sz, count_descriptors(), before));
}

/* ---- before it is ready */

static void expect_put_back(const char *mode, const char *cause)
{
    struct result *result;

    rig.setup.start_timeout_ms = 400;
    rig.setup.kill_grace_ms = 50;
    open_talker(mode);
    result = rig_start_job("echo", "1");
    (void)wait_logged("program.ended", cause, "\"was_ready\":false", NULL);
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_PUT_BACK));
    cr_assert(eq(int,
                 strncmp(result->reason, "no program was ready within 400ms; the last one: ", 49),
                 0),
              "%s", result->reason);
    cr_assert(strstr(result->reason, cause) != NULL, "%s", result->reason);
    cr_assert(ge(i64, result->retry_after_ms, 1000));
    cr_assert(not(handler_find(CONFIG_HANDLER_PROCESS)->is_ready(rig.handler)));
    cr_assert(eq(uint, rig.readies, 0));
}

Test(process_ends, wrong_protocol_version)
{
    expect_put_back("version", "speaks protocol 3; this drover speaks 1 to 2");
}

Test(process_ends, no_protocol_version)
{
    expect_put_back("no-version",
                    "does not say which protocol it speaks; this drover speaks 1 to 2");
}

Test(process_ends, refuses_the_handshake)
{
    expect_put_back("refuses", "refused the handshake: no licence");
}

Test(process_ends, ends_before_the_handshake)
{
    expect_put_back("exits", "exit code 78 (EX_CONFIG)");
    (void)wait_logged("program.said", "no database", NULL);
}

Test(process_ends, silent_at_the_handshake)
{
    rig.setup.start_timeout_ms = 300;
    rig.setup.kill_grace_ms = 100;
    open_talker("silent"); /* and deaf to SIGTERM */
    (void)wait_logged("program.ended", "\"cause\":\"silent at the handshake for 300ms\"", "SIGKILL",
                      NULL);
    (void)wait_trace("pids", 2);
}

Test(process_ends, slow_at_the_first_handshake_and_then_well)
{
    struct result *result;

    rig.setup.start_timeout_ms = 1000;
    open_talker("once-silent");
    result = rig_start_job("echo", "1");
    rig_wait_ended();
    if (result->kind == HANDLER_PUT_BACK) { /* its time was over first */
        wait_ready();
        result = rig_start_job("echo", "1");
        rig_wait_ended();
    }
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED), "%s", result->reason);
}

Test(process_ends, program_that_does_not_exist)
{
    static char path[] = "/nonexistent/program";
    static char *argv[] = { path, NULL };
    struct result *result;

    rig.setup.start_timeout_ms = 300;
    rig_open_argv(argv);
    result = rig_start();
    rig_wait_ended();
    expect(result, HANDLER_PUT_BACK,
           "no program was ready within 300ms; the last one: cannot start /nonexistent/program: "
           "execute it: No such file or directory");
}

Test(process_ends, waits_longer_from_death_to_death)
{
    rig.setup.restart_first_ms = 40;
    rig.setup.restart_max_ms = 10000;
    open_talker("exits");
    (void)wait_trace("pids", 4); /* 40, 80, 160 ms between them */
    cr_assert(le(sz, count_lines(read_trace("pids")), 5));
}

Test(process_ends, ends_after_the_handshake_without_a_job)
{
    rig.setup.restart_first_ms = rig.setup.restart_max_ms = 600000;
    open_talker("bye");
    (void)wait_logged("program.ended", "\"was_ready\":true", "\"restart_ms\":", NULL);
    for (int i = 0; i < 50; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(eq(sz, count_lines(read_trace("pids")), 1), "not at full speed for nothing");
}

Test(process_ends, garbage_before_the_handshake)
{
    struct result *result;

    open_ready("garbage-first");
    result = rig_start_job("echo", "1");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "1");
    (void)wait_logged("program.lines_dropped", "no JSON", NULL);
}

/* ---- breaking the protocol */

Test(process_ends, noise_is_dropped_and_named_once)
{
    struct result *result;

    open_ready("plain");
    for (int i = 0; i < 3; i++) {
        result = rig_start_job("noise", "1");
        rig_wait_ended();
        expect(result, HANDLER_COMPLETED, "\"through\"");
        cr_assert(eq(sz, result->reports, 0));
    }
    cr_assert(eq(sz, count_logged("program.lines_dropped"), 1));
    (void)wait_logged("program.lines_dropped", "no JSON", "\"count\":1",
                      "stdout is for the protocol", NULL);
    clock_shift_for_tests(61000);
    (void)rig_start_job("noise", "1");
    rig_wait_ended();
    cr_assert(eq(sz, count_logged("program.lines_dropped"), 2), "a minute later");
    (void)wait_logged("program.lines_dropped", "no JSON", "\"count\":33", NULL);
}

Test(process_ends, request_of_the_program_is_answered)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("request", "1");
    rig_wait_ended();
    cr_assert(strstr(result->value, "\"id\": \"my-id\", \"error\": {\"code\": -32601") != NULL,
              "%s", result->value);
}

Test(process_ends, second_answer_is_dropped)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("twice", "1");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "1");
    (void)wait_logged("program.lines_dropped", "a second answer", NULL);
    (void)rig_start_job("echo", "5");
    rig_wait_ended();
    expect(&rig.results[1], HANDLER_COMPLETED, "5");
}

Test(process_ends, answer_that_is_too_long)
{
    struct result *big, *exact, *held;

    rig.config.max_output_bytes = 100000;
    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("plain");
    held = rig_start_job("hold", "1");
    big = rig_start_job("long", "3000000");
    rig_wait(big->outcomes == 1);
    expect(big, HANDLER_FAILED, "answer exceeds max_output (100KB)");
    exact = rig_start_job("long", "99950");
    rig_wait(exact->outcomes == 1);
    cr_assert(eq(sz, exact->value_len, 99952));
    rig_cancel(held, HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    cr_assert(eq(int, (int)held->kind, (int)HANDLER_CANCELLED), "it was not touched");
    cr_assert(eq(sz, count_lines(read_trace("pids")), 1));
}

Test(process_ends, answer_that_is_too_long_of_an_unknown_job)
{
    struct result *alone, *other, *next;

    rig.config.max_output_bytes = 1000;
    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("plain");
    alone = rig_start_job("long-turned", "5000");
    rig_wait_ended();
    expect(alone, HANDLER_FAILED, "answer exceeds max_output (1KB)");
    other = rig_start_job("hold", "1");
    (void)wait_trace("held", 1);
    alone = rig_start_job("long-turned", "5000");
    next = rig_start_job("echo", "1");
    rig_wait_ended();
    expect(other, HANDLER_DIED_IN_COMPANY, "answer exceeds max_output (1KB)");
    expect(alone, HANDLER_DIED_IN_COMPANY, "answer exceeds max_output (1KB)");
    expect(next, HANDLER_COMPLETED, "1");
}

Test(process_ends, long_line_that_is_no_answer)
{
    struct result *result;

    rig.config.max_output_bytes = 1000;
    open_ready("plain");
    result = rig_start_job("long-log", "5000");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "\"still here\"");
    cr_assert(eq(sz, result->reports, 0));
    (void)wait_logged("program.lines_dropped", "a line longer than max_output", NULL);
}

Test(process_ends, closes_its_pipes_while_it_lives)
{
    static const struct {
        const char *name, *reason;
    } rows[] = { { "close-stdout", "closed its standard output" },
                 { "close-stdin", "closed its standard input" } };

    open_ready("plain");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_start_job(rows[i].name, "1");

        rig_wait_ended();
        expect(result, HANDLER_FAILED, rows[i].reason);
        rig_wait_dead(result->pid);
    }
    (void)rig_start_job("echo", "1");
    rig_wait_ended();
    expect(&rig.results[2], HANDLER_COMPLETED, "1");
}

Test(process_ends, closes_its_pipes_while_idle)
{
    static const char *const modes[] = { "closes-stdin", "closes-stdout" };
    static const char *const causes[] = { "closed its standard input",
                                          "closed its standard output" };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        open_talker(modes[i]);
        (void)wait_logged("program.ended", causes[i], NULL);
        rig_close_handler();
        rig_wait(rig.closed);
    }
}

/* ---- a program that does not read */

Test(process_ends, deaf_program_takes_bounded_memory_and_hard_cancel_ends_it)
{
    static char data[200001];

    memset(data, 'x', sizeof(data) - 1);
    data[0] = data[sizeof(data) - 2] = '"';
    rig.config.parallel = 50;
    rig.setup.slots = 50;
    open_ready("deaf");
    for (int i = 0; i < 50; i++)
        (void)rig_start_job("echo", data);
    for (int i = 0; i < 50; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(ne(int, rig.results[0].pid, 0));
    cr_assert(eq(int, rig.results[5].pid, 0), "no line is built for it: its pipe is full");
    for (size_t i = 1; i < 50; i++)
        rig_cancel(&rig.results[i], HANDLER_CANCEL_SOFT);
    rig_cancel(&rig.results[0], HANDLER_CANCEL_HARD);
    rig_wait_ended();
    for (size_t i = 0; i < 50; i++)
        cr_assert(eq(int, (int)rig.results[i].kind, (int)HANDLER_CANCELLED), "%zu", i);
}

/* ---- silence */

Test(process_ends, heartbeats_keep_a_job_alive)
{
    struct result *result;

    rig.config.heartbeat_ms = 1000;
    open_ready("plain");
    result = rig_start_job("beat", "20");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "\"beaten\"");
}

Test(process_ends, silent_job_is_asked_and_fails)
{
    struct result *result;

    rig.config.heartbeat_ms = 200;
    open_ready("plain");
    result = rig_start_job("hold", "1");
    rig_wait_ended();
    expect(result, HANDLER_FAILED, "silent for 200ms");
    cr_assert(strstr(wait_trace("cancel", 1), "\"reason\": \"silent\", \"grace_ms\": 5000") !=
              NULL);
    cr_assert(eq(sz, count_lines(read_trace("pids")), 1), "an answer saves the program");
    result = rig_start_job("late", "1");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "\"finished after all\"");
}

Test(process_ends, silent_job_that_goes_on_ends_with_its_program)
{
    struct result *silent, *busy, *next;

    rig.config.heartbeat_ms = 300;
    rig.setup.kill_grace_ms = 200;
    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("stubborn");
    silent = rig_start_job("stubborn", "1");
    (void)wait_trace("held", 1);
    rig_wait(count_logged("job.silent") == 1);
    busy = rig_start_job("hold", "1"); /* not silent for long enough */
    next = rig_start_job("echo", "1");
    rig_wait_ended();
    expect(silent, HANDLER_FAILED, "silent for 300ms");
    cr_assert(eq(int, (int)busy->kind, (int)HANDLER_INNOCENT));
    expect(next, HANDLER_COMPLETED, "1");
}
