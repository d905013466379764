/* The exec handler against real programs. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/worker/program_rig.h"

static void init(void)
{
    rig_init();
    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR); /* what programs say would fill the terminal */
}

TestSuite(exec, .init = init, .fini = rig_done, .timeout = 60);

/* ---- results */

Test(exec, output_becomes_the_result)
{
    static const struct {
        const char *script, *value;
    } rows[] = {
        { "echo '{\"ok\": true}'", "{\"ok\": true}" },
        { "echo 42", "42" },
        { "printf '  [1]  '", "[1]" },
        { "true", "null" },
        { "echo done", "\"done\"" },
        { "printf 'two\\nlines\\n\\n'", "\"two\\nlines\\n\"" },
        { "echo", "\"\"" },
        { "echo '{\"half\":'", "\"{\\\"half\\\":\"" },
        { "printf '\\377ok'", "\"\xef\xbf\xbdok\"" },
        { "echo quiet >&2; echo 1", "1" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_run_script(rows[i].script);

        cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED), "%s", rows[i].script);
        cr_assert(eq(str, result->value, (char *)rows[i].value), "%s", rows[i].script);
        rig_close_handler();
    }
}

Test(exec, payload_arrives_on_stdin)
{
    struct result *result = rig_run_script("cat");

    cr_assert(eq(str, result->value, (char *)"{\"a\":1}"));
}

Test(exec, megabytes_go_through)
{
    size_t len = 1 << 20;
    char *data = malloc(len);
    struct result *result;

    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    rig.job.data = (struct bytes){ data, len };
    result = rig_run_script("cat");
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED));
    cr_assert(eq(sz, result->value_len, len));
    cr_assert(eq(int, memcmp(result->value, data, len), 0));
    free(data);
}

Test(exec, program_that_never_reads_its_input)
{
    size_t len = 1 << 20;
    char *data = calloc(1, len);
    struct result *result;

    memset(data, ' ', len);
    rig.job.data = (struct bytes){ data, len };
    result = rig_run_script("echo 1");
    cr_assert(eq(str, result->value, (char *)"1"));
    free(data);
}

Test(exec, program_that_closes_its_input)
{
    size_t len = 1 << 20;
    char *data = calloc(1, len);
    struct result *result;

    memset(data, ' ', len);
    rig.job.data = (struct bytes){ data, len };
    result = rig_run_script("exec <&-; sleep 0.1; echo 1");
    cr_assert(eq(str, result->value, (char *)"1"));
    free(data);
}

Test(exec, program_that_closes_its_output_early)
{
    struct result *result = rig_run_script("echo 1; exec >&- 2>&-; sleep 0.1; exit 0");

    cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED));
    cr_assert(eq(str, result->value, (char *)"1"));
}

Test(exec, output_by_its_path)
{
    struct result *result = rig_run_script("echo 7 > /dev/stdout");

    cr_assert(eq(str, result->value, (char *)"7"), "a pipe, not a socket");
}

Test(exec, output_beyond_the_limit_kills_the_program)
{
    struct result *result;

    rig.config.max_output_bytes = 100000;
    result = rig_run_script("yes");
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(strstr(result->reason, "max_output") != NULL, "%s", result->reason);
}

Test(exec, output_of_exactly_the_limit)
{
    struct result *result;

    rig.config.max_output_bytes = 5;
    result = rig_run_script("printf 12345");
    cr_assert(eq(str, result->value, (char *)"12345"));
}

/* ---- failures */

Test(exec, exit_codes)
{
    for (int code = 1; code < 256; code++) {
        bool permanent = (code >= 64 && code <= 68) || code == 77 || code == 78;
        char script[32], text[32];
        struct result *result;

        if (code > 5 && code < 60) /* nothing special there; spare the time */
            continue;
        if (code > 82 && code < 250)
            continue;
        (void)snprintf(script, sizeof(script), "exit %d", code);
        (void)snprintf(text, sizeof(text), "exit code %d", code);
        rig.count = rig.ended = 0;
        result = rig_run_script(script);
        cr_assert(
            eq(int, (int)result->kind, (int)(permanent ? HANDLER_FAILED_FINAL : HANDLER_FAILED)),
            "%d", code);
        cr_assert(eq(int, strncmp(result->reason, text, strlen(text)), 0), "%s", result->reason);
        if (code == 75)
            cr_assert(eq(str, result->reason, (char *)"exit code 75 (EX_TEMPFAIL)"));
        free(result->value);
        free(result->reason);
        free(result->stack);
        *result = (struct result){ 0 };
        rig_close_handler();
    }
    rig.count = rig.ended = 0;
}

Test(exec, reason_is_the_end_of_stderr)
{
    struct result *result =
        rig_run_script("echo first >&2; echo 'no such picture' >&2; echo >&2; exit 3");

    cr_assert(eq(str, result->reason, (char *)"first\nno such picture"));
    cr_assert(eq(str, result->stack,
                 (char *)"Error: first\nno such picture\n    at /bin/sh (exit code 3)"));
}

Test(exec, long_stderr_is_cut_at_a_line)
{
    struct result *result = rig_run_script(
        "i=0; while [ $i -lt 3000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; exit 1");

    cr_assert(le(sz, strlen(result->reason), 4096));
    cr_assert(eq(int, strncmp(result->reason, "line ", 5), 0), "%.20s", result->reason);
    cr_assert(strstr(result->reason, "line 2999") != NULL);
    cr_assert(strstr(result->reason, "line 100\n") == NULL);
}

Test(exec, garbage_on_stderr_becomes_text)
{
    struct result *result = rig_run_script("printf 'a\\377\\000b' >&2; exit 1");

    cr_assert(eq(str, result->reason,
                 (char *)"a\xef\xbf\xbd\xef\xbf\xbd"
                         "b"));
}

Test(exec, a_killed_program_names_its_signal)
{
    struct result *result = rig_run_script("kill -9 $$");

    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(eq(str, result->reason, (char *)"killed by signal 9 (SIGKILL)"));
}

Test(exec, a_crash_names_its_signal_and_last_words)
{
    struct result *result = rig_run_script("echo about to die >&2; kill -SEGV $$");

    cr_assert(eq(str, result->reason, (char *)"killed by signal 11 (SIGSEGV): about to die"));
}

Test(exec, program_that_does_not_exist)
{
    static char path[] = "/nonexistent/program";
    char *argv[] = { path, NULL };
    struct result *result;

    rig_open_argv(argv);
    result = rig_start();
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(
        eq(str, result->reason,
           (char *)"cannot start /nonexistent/program: execute it: No such file or directory"));
}

Test(exec, program_that_may_not_be_executed)
{
    static char path[] = "/etc/passwd";
    char *argv[] = { path, NULL };
    struct result *result;

    rig_open_argv(argv);
    result = rig_start();
    rig_wait_ended();
    cr_assert(strstr(result->reason, "execute it: Permission denied") != NULL, "%s",
              result->reason);
}

Test(exec, directory_that_does_not_exist)
{
    static char directory[] = "/nonexistent";
    struct result *result;

    rig.config.directory = directory;
    result = rig_run_script("true");
    cr_assert(strstr(result->reason, "enter its directory /nonexistent") != NULL, "%s",
              result->reason);
}

Test(exec, no_descriptors_left_to_spawn)
{
    struct rlimit all, few = { .rlim_cur = 16, .rlim_max = 16 };
    struct result *result;

    rig_open_script("echo 1");
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &all), 0));
    few.rlim_max = all.rlim_max;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &few), 0));
    result = rig_start();
    rig_wait_ended();
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &all), 0));
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(strstr(result->reason, "Too many open files") != NULL, "%s", result->reason);
}

/* ---- environment */

Test(exec, environment_is_clean_and_complete)
{
    static char row[] = "COLOUR=red", path[] = "PATH=/bin", forged[] = "DROVER_QUEUE=forged";
    char *env[] = { row, path, forged, NULL };
    struct result *result;

    (void)setenv("SECRET_OF_THE_WORKER", "1", 1);
    (void)setenv("HOME", "/root", 1);
    rig.config.env = env;
    rig.input.deadline_ms = 0;
    rig.setup.kill_grace_ms = 7000;
    result = rig_run_script("env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort");
    cr_assert(eq(str, result->value,
                 (char *)"\"COLOUR=red\\nDROVER_ATTEMPT=2\\nDROVER_ATTEMPTS_MAX=5\\n"
                         "DROVER_CORRELATION_ID=order-9\\n"
                         "DROVER_DEADLINE_MS=\\nDROVER_FENCING_TOKEN=uuid:4\\n"
                         "DROVER_IDEMPOTENCY_KEY=pictures:17\\nDROVER_JOB_ID=17\\n"
                         "DROVER_JOB_NAME=resize\\nDROVER_KILL_GRACE_MS=7000\\n"
                         "DROVER_QUEUE=pictures\\n"
                         "DROVER_WORKER=host-pictures-0\\nHOME=/root\\nLANG=C.UTF-8\\n"
                         "PATH=/bin\""));
}

Test(exec, tells_its_pid)
{
    struct result *result = rig_run_script("echo $$");

    cr_assert(ne(int, result->pid, 0));
    cr_assert(eq(int, atoi(result->value), result->pid));
}

Test(exec, deadline_is_what_is_left)
{
    struct result *result;
    int left;

    rig.input.deadline_ms = clock_now_ms() + 30000;
    result = rig_run_script("echo $DROVER_DEADLINE_MS");
    left = atoi(result->value);
    cr_assert(le(int, left, 30000));
    cr_assert(lt(int, 10000, left));
}

Test(exec, runs_in_its_directory)
{
    struct result *result;

    rig.config.directory = rig.folder;
    result = rig_run_script("pwd");
    cr_assert(strstr(result->value, rig.folder) != NULL, "%s", result->value);
}

Test(exec, runs_in_the_root_without_a_directory)
{
    cr_assert(eq(str, rig_run_script("pwd")->value, (char *)"\"/\""));
}

/* ---- ending it */

/* A program with a child in its group, both told by files. */
static struct result *start_family(const char *prologue)
{
    static char script[512];

    (void)snprintf(script, sizeof(script),
                   "%s (echo $$ >%s/group; exec sleep 600) & echo $! >%s/child; wait", prologue,
                   rig.folder, rig.folder);
    rig_open_script(script);
    return rig_start();
}

Test(exec, soft_cancel_ends_the_group)
{
    struct result *result = start_family("");
    char text[64];

    rig_wait_file("child", text, sizeof(text));
    rig_cancel(result, HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
    rig_wait_dead((pid_t)atoi(text));
}

Test(exec, hard_cancel_ends_what_ignores_the_soft_one)
{
    struct result *result = start_family("trap '' TERM;");
    char text[64];

    rig_wait_file("child", text, sizeof(text));
    rig_cancel(result, HANDLER_CANCEL_SOFT);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(rig_is_alive((pid_t)atoi(text)));
    cr_assert(eq(uint, result->outcomes, 0));
    rig_cancel(result, HANDLER_CANCEL_HARD);
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
    rig_wait_dead((pid_t)atoi(text));
}

Test(exec, cancel_before_the_start)
{
    struct result *result;

    rig_open_script("echo 1");
    result = rig_start();
    rig_cancel(result, HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
}

Test(exec, cancel_at_any_moment_of_the_start)
{
    rig_open_script("sleep 600");
    for (int i = 0; i < 30; i++) {
        struct result *result = rig_start();

        for (int turn = 0; turn <= i % 5; turn++)
            (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
        rig_cancel(result, i % 2 ? HANDLER_CANCEL_HARD : HANDLER_CANCEL_SOFT);
    }
    rig_wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        cr_assert(eq(int, (int)rig.results[i].kind, (int)HANDLER_CANCELLED), "run %zu", i);
}

Test(exec, background_children_do_not_hold_the_job)
{
    char script[256], text[64];
    struct result *result;

    (void)snprintf(script, sizeof(script), "sleep 600 & echo $! > %s/child; echo 5", rig.folder);
    result = rig_run_script(script);
    cr_assert(eq(str, result->value, (char *)"5"), "though its stdout is still open");
    rig_wait_file("child", text, sizeof(text));
    rig_wait_dead((pid_t)atoi(text));
}

Test(exec, background_child_of_another_session_does_not_hold_the_job)
{
    char script[256], text[64];
    struct result *result;

    (void)snprintf(script, sizeof(script),
                   "setsid sh -c 'echo $$ > %s/child; exec sleep 600' & "
                   "while ! [ -s %s/child ]; do sleep 0.01; done; echo 5",
                   rig.folder, rig.folder);
    result = rig_run_script(script);
    cr_assert(eq(str, result->value, (char *)"5"));
    rig_wait_file("child", text, sizeof(text));
    (void)kill((pid_t)atoi(text), SIGKILL);
}

Test(exec, many_at_once)
{
    rig_open_script("echo $DROVER_JOB_ID");
    for (int i = 0; i < 50; i++)
        (void)rig_start();
    rig_wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        cr_assert(eq(str, rig.results[i].value, (char *)"17"), "run %zu", i);
}
