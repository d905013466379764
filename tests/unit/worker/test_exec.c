/* The exec handler and drover-exec against real programs. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/program_path.h"
#include "workers/exec/exec_status.h"
#include "workers/handlers/handler.h"

#define RUNS_MAX 64

/* One run and what came of it. */
struct result {
    struct handler_run *run;
    unsigned int outcomes;
    enum handler_outcome_kind kind;
    char *value, *reason, *stack;
    size_t value_len;
};

static struct {
    uv_loop_t loop;
    struct config_handler config;
    struct config_type type;
    struct handler *handler;
    struct job job;
    struct handler_input input;
    struct result results[RUNS_MAX];
    size_t count, ended;
    char folder[64];
    bool closed;
} rig;

static char *copy(const struct bytes *bytes)
{
    char *text = calloc(1, bytes->len + 1);

    if (bytes->len > 0)
        memcpy(text, bytes->data, bytes->len);
    return text;
}

static void on_outcome(struct handler_run *run, const struct handler_outcome *outcome, void *arg)
{
    struct result *result = arg;

    cr_assert(result->run == run);
    result->outcomes++;
    result->kind = outcome->kind;
    result->value = copy(&outcome->value);
    result->value_len = outcome->value.len;
    result->reason = copy(&outcome->reason);
    result->stack = copy(&outcome->stack);
    rig.ended++;
}

static const struct handler_events events = { .on_outcome = on_outcome };

static void init(void)
{
    memset(&rig, 0, sizeof(rig));
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert(eq(int, uv_loop_init(&rig.loop), 0));
    rig.config.kind = CONFIG_HANDLER_EXEC;
    rig.config.max_output_bytes = 1 << 20;
    rig.job.id = (struct bytes){ "17", 2 };
    rig.job.name = (struct bytes){ "resize", 6 };
    rig.job.data = (struct bytes){ "{\"a\":1}", 7 };
    rig.input = (struct handler_input){ .job = &rig.job,
                                        .type = &rig.type,
                                        .queue = "pictures",
                                        .worker = "host-pictures-0",
                                        .attempt = 2,
                                        .attempts_max = 5,
                                        .idempotency_key = "pictures:17",
                                        .fencing_token = "uuid:4" };
    (void)snprintf(rig.folder, sizeof(rig.folder), "/var/tmp/drover-exec-XXXXXX");
    cr_assert(mkdtemp(rig.folder) != NULL);
}

static void on_closed(void *arg)
{
    (void)arg;
    rig.closed = true;
}

static void done(void)
{
    char command[128];

    if (rig.handler)
        handler_find(CONFIG_HANDLER_EXEC)->close(rig.handler, on_closed, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_assert(rig.closed || !rig.handler);
    cr_assert(eq(int, uv_loop_close(&rig.loop), 0), "no handle is left");
    for (size_t i = 0; i < rig.count; i++) {
        cr_assert(eq(uint, rig.results[i].outcomes, 1), "exactly one outcome");
        free(rig.results[i].value);
        free(rig.results[i].reason);
        free(rig.results[i].stack);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
    cr_assert(eq(int, system(command), 0));
}

TestSuite(exec, .init = init, .fini = done, .timeout = 60);

static void open_argv(char **argv)
{
    struct error err = { 0 };

    rig.config.argv = argv;
    cr_assert(
        eq(int, handler_find(CONFIG_HANDLER_EXEC)->open(&rig.loop, &rig.config, &rig.handler, &err),
           0),
        "%s", err.text);
}

static void open_script(const char *script)
{
    static char *argv[4];
    static char sh[] = "/bin/sh", flag[] = "-c";

    argv[0] = sh;
    argv[1] = flag;
    argv[2] = (char *)(uintptr_t)script;
    open_argv(argv);
}

static struct result *start(void)
{
    struct result *result = &rig.results[rig.count++];
    struct error err = { 0 };

    cr_assert(eq(int,
                 handler_find(CONFIG_HANDLER_EXEC)
                     ->start(rig.handler, &rig.input, &events, result, &result->run, &err),
                 0));
    cr_assert(eq(uint, result->outcomes, 0), "never inside start");
    return result;
}

static void wait_ended(void)
{
    while (rig.ended < rig.count)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

static struct result *run_script(const char *script)
{
    struct result *result;

    open_script(script);
    result = start();
    wait_ended();
    return result;
}

static void cancel(struct result *result, enum handler_cancel how)
{
    handler_find(CONFIG_HANDLER_EXEC)->cancel(result->run, how);
    cr_assert(eq(uint, result->outcomes, 0), "never inside cancel");
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until the file exists and is not empty; its text is read into `out`. */
static void wait_file(const char *name, char *out, size_t out_bytes)
{
    uint64_t until_ms = clock_now_ms() + 20000;
    uv_timer_t tick;
    char path[128];
    ssize_t got = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", rig.folder, name);
    (void)uv_timer_init(&rig.loop, &tick);
    (void)uv_timer_start(&tick, on_tick, 5, 5);
    while (got <= 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(lt(u64, clock_now_ms(), until_ms), "%s does not come", path);
        got = fd >= 0 ? read(fd, out, out_bytes - 1) : 0;
        if (fd >= 0)
            (void)close(fd);
        if (got <= 0)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    out[got] = '\0';
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* until it is closed: it lives on this stack */
}

static bool is_alive(pid_t pid)
{
    char path[64], state = '?';
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fscanf(file, "%*d %*s %c", &state) != 1)
        state = '?';
    (void)fclose(file);
    return state != 'Z' && state != 'X';
}

static void wait_dead(pid_t pid)
{
    uint64_t until_ms = clock_now_ms() + 20000;

    while (is_alive(pid)) {
        cr_assert(lt(u64, clock_now_ms(), until_ms), "process %d lives on", (int)pid);
        (void)usleep(2000);
    }
}

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
        struct result *result = run_script(rows[i].script);

        cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED), "%s", rows[i].script);
        cr_assert(eq(str, result->value, (char *)rows[i].value), "%s", rows[i].script);
        handler_find(CONFIG_HANDLER_EXEC)->close(rig.handler, on_closed, NULL);
    }
    rig.handler = NULL;
}

Test(exec, payload_arrives_on_stdin)
{
    struct result *result = run_script("cat");

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
    result = run_script("cat");
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
    result = run_script("echo 1");
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
    result = run_script("exec <&-; sleep 0.1; echo 1");
    cr_assert(eq(str, result->value, (char *)"1"));
    free(data);
}

Test(exec, program_that_closes_its_output_early)
{
    struct result *result = run_script("echo 1; exec >&- 2>&-; sleep 0.1; exit 0");

    cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED));
    cr_assert(eq(str, result->value, (char *)"1"));
}

Test(exec, output_by_its_path)
{
    struct result *result = run_script("echo 7 > /dev/stdout");

    cr_assert(eq(str, result->value, (char *)"7"), "a pipe, not a socket");
}

Test(exec, output_beyond_the_limit_kills_the_program)
{
    struct result *result;

    rig.config.max_output_bytes = 100000;
    result = run_script("yes");
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(strstr(result->reason, "max_output") != NULL, "%s", result->reason);
}

Test(exec, output_of_exactly_the_limit)
{
    struct result *result;

    rig.config.max_output_bytes = 5;
    result = run_script("printf 12345");
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
        result = run_script(script);
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
        handler_find(CONFIG_HANDLER_EXEC)->close(rig.handler, on_closed, NULL);
    }
    rig.count = rig.ended = 0;
    rig.handler = NULL;
}

Test(exec, reason_is_the_end_of_stderr)
{
    struct result *result =
        run_script("echo first >&2; echo 'no such picture' >&2; echo >&2; exit 3");

    cr_assert(eq(str, result->reason, (char *)"first\nno such picture"));
    cr_assert(eq(str, result->stack,
                 (char *)"Error: first\nno such picture\n    at /bin/sh (exit code 3)"));
}

Test(exec, long_stderr_is_cut_at_a_line)
{
    struct result *result =
        run_script("i=0; while [ $i -lt 3000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; exit 1");

    cr_assert(le(sz, strlen(result->reason), 4096));
    cr_assert(eq(int, strncmp(result->reason, "line ", 5), 0), "%.20s", result->reason);
    cr_assert(strstr(result->reason, "line 2999") != NULL);
    cr_assert(strstr(result->reason, "line 100\n") == NULL);
}

Test(exec, garbage_on_stderr_becomes_text)
{
    struct result *result = run_script("printf 'a\\377\\000b' >&2; exit 1");

    cr_assert(eq(str, result->reason,
                 (char *)"a\xef\xbf\xbd\xef\xbf\xbd"
                         "b"));
}

Test(exec, a_killed_program_names_its_signal)
{
    struct result *result = run_script("kill -9 $$");

    cr_assert(eq(int, (int)result->kind, (int)HANDLER_FAILED));
    cr_assert(eq(str, result->reason, (char *)"killed by signal 9 (SIGKILL)"));
}

Test(exec, a_crash_names_its_signal_and_last_words)
{
    struct result *result = run_script("echo about to die >&2; kill -SEGV $$");

    cr_assert(eq(str, result->reason, (char *)"killed by signal 11 (SIGSEGV): about to die"));
}

Test(exec, program_that_does_not_exist)
{
    static char path[] = "/nonexistent/program";
    char *argv[] = { path, NULL };
    struct result *result;

    open_argv(argv);
    result = start();
    wait_ended();
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

    open_argv(argv);
    result = start();
    wait_ended();
    cr_assert(strstr(result->reason, "execute it: Permission denied") != NULL, "%s",
              result->reason);
}

Test(exec, directory_that_does_not_exist)
{
    static char directory[] = "/nonexistent";
    struct result *result;

    rig.config.directory = directory;
    result = run_script("true");
    cr_assert(strstr(result->reason, "enter its directory /nonexistent") != NULL, "%s",
              result->reason);
}

Test(exec, no_descriptors_left_to_spawn)
{
    struct rlimit all, few = { .rlim_cur = 16, .rlim_max = 16 };
    struct result *result;

    open_script("echo 1");
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &all), 0));
    few.rlim_max = all.rlim_max;
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &few), 0));
    result = start();
    wait_ended();
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
    result = run_script("env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort");
    cr_assert(eq(str, result->value,
                 (char *)"\"COLOUR=red\\nDROVER_ATTEMPT=2\\nDROVER_ATTEMPTS_MAX=5\\n"
                         "DROVER_DEADLINE_MS=\\nDROVER_FENCING_TOKEN=uuid:4\\n"
                         "DROVER_IDEMPOTENCY_KEY=pictures:17\\nDROVER_JOB_ID=17\\n"
                         "DROVER_JOB_NAME=resize\\nDROVER_QUEUE=pictures\\n"
                         "DROVER_WORKER=host-pictures-0\\nHOME=/root\\nLANG=C.UTF-8\\n"
                         "PATH=/bin\""));
}

Test(exec, deadline_is_what_is_left)
{
    struct result *result;
    int left;

    rig.input.deadline_ms = clock_now_ms() + 30000;
    result = run_script("echo $DROVER_DEADLINE_MS");
    left = atoi(result->value);
    cr_assert(le(int, left, 30000));
    cr_assert(lt(int, 10000, left));
}

Test(exec, runs_in_its_directory)
{
    struct result *result;

    rig.config.directory = rig.folder;
    result = run_script("pwd");
    cr_assert(strstr(result->value, rig.folder) != NULL, "%s", result->value);
}

Test(exec, runs_in_the_root_without_a_directory)
{
    cr_assert(eq(str, run_script("pwd")->value, (char *)"\"/\""));
}

/* ---- drover-exec */

Test(exec, no_descriptor_leaks)
{
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec, on purpose */
    struct result *result;

    cr_assert(ge(int, leak, 0));
    cr_assert(ge(int, dup2(leak, 300), 0));
    result = run_script("for i in /proc/self/fd/*; do echo \"${i##*/}\"; done");
    cr_assert(eq(str, result->value, (char *)"\"0\\n1\\n2\\n3\""), "3 is the listing's own: %s",
              result->value);
    (void)close(leak);
    (void)close(300);
}

Test(exec, group_is_its_own)
{
    struct result *result = run_script("read a b c d pgrp rest < /proc/self/stat; echo $$ $pgrp");
    int pid = 0, group = 0;

    cr_assert(eq(int, sscanf(result->value, "\"%d %d", &pid, &group), 2), "%s", result->value);
    cr_assert(eq(int, pid, group));
    cr_assert(ne(int, group, (int)getpgrp()));
}

Test(exec, signals_are_as_new_and_privileges_frozen)
{
    sigset_t all;
    struct result *result;

    (void)sigfillset(&all);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)sigdelset(&all, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    result = run_script("grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status | tr -d '\\t '");
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
    cr_assert(strstr(result->value, "NoNewPrivs:1") != NULL, "%s", result->value);
    cr_assert(strstr(result->value, "SigBlk:0000000000000000") != NULL, "%s", result->value);
    cr_assert(strstr(result->value, "SigIgn:0000000000000000") != NULL, "%s", result->value);
}

/* drover-exec as such, without libuv's help. Returns what it wrote to stdout and to the status
 * descriptor. */
static void launch(const char *parent, const char *const *program, char *out, size_t out_bytes,
                   struct exec_status *status)
{
    const char *argv[8] = { "drover-exec", parent, "/", NULL };
    _cleanup_(freep) char *launcher = NULL;
    int output[2], report[2];
    ssize_t got;
    pid_t pid;

    cr_assert(eq(int, program_path_find("drover-exec", NULL, &launcher, NULL), 0));
    for (size_t i = 0; program[i]; i++)
        argv[3 + i] = program[i];
    cr_assert(eq(int, pipe(output), 0));
    cr_assert(eq(int, pipe(report), 0));
    pid = fork();
    if (pid == 0) {
        sigset_t all;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_BLOCK, &all, NULL);
        (void)signal(SIGUSR1, SIG_IGN);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)dup2(output[1], 200); /* out of the way of the numbers below */
        (void)dup2(report[1], 201);
        (void)dup2(200, 1);
        (void)dup2(201, EXEC_STATUS_FD);
        (void)execv(launcher, (char *const *)(uintptr_t)argv);
        _exit(1);
    }
    (void)close(output[1]);
    (void)close(report[1]);
    cr_assert(eq(int, (int)waitpid(pid, NULL, 0), (int)pid));
    got = read(output[0], out, out_bytes - 1);
    out[got > 0 ? got : 0] = '\0';
    *status = (struct exec_status){ 0 };
    got = read(report[0], status, sizeof(*status));
    cr_assert(got == 0 || got == (ssize_t)sizeof(*status));
    (void)close(output[0]);
    (void)close(report[0]);
}

Test(exec, launcher_resets_signals)
{
    static const char *const program[] = { "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status",
                                           NULL };
    struct exec_status status;
    char parent[16], out[256];

    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    launch(parent, program, out, sizeof(out), &status);
    cr_assert(eq(int, status.step, 0));
    cr_assert(eq(str, out, (char *)"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
}

Test(exec, launcher_tells_the_step_that_failed)
{
    static const char *const echo[] = { "/bin/echo", "ran", NULL };
    static const char *const missing[] = { "/nonexistent", NULL };
    static const char *const nothing[] = { NULL };
    char self[16];
    const struct {
        const char *name, *parent;
        const char *const *program;
        int step, code;
    } rows[] = {
        { "worker is gone", "1", echo, EXEC_STEP_DEATH_SIGNAL, ESRCH },
        { "no number", "x", echo, EXEC_STEP_ARGUMENTS, EINVAL },
        { "nothing to run", self, nothing, EXEC_STEP_ARGUMENTS, EINVAL },
        { "not there", self, missing, EXEC_STEP_EXEC, ENOENT },
        { "all is well", self, echo, 0, 0 },
    };

    (void)snprintf(self, sizeof(self), "%d", (int)getpid());
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct exec_status status;
        char out[64];

        launch(rows[i].parent, rows[i].program, out, sizeof(out), &status);
        cr_assert(eq(int, status.step, rows[i].step), "%s", rows[i].name);
        cr_assert(eq(int, status.code, rows[i].code), "%s", rows[i].name);
        cr_assert(eq(str, out, (char *)(rows[i].step == 0 ? "ran\n" : "")), "%s", rows[i].name);
    }
}

/* A process between us and the program: starts it, tells its pid, is killed. */
Test(exec, program_dies_with_its_worker)
{
    char script[256], text[64];
    pid_t worker;

    (void)snprintf(script, sizeof(script), "echo $$ > %s/tmp; mv %s/tmp %s/pid; exec sleep 600",
                   rig.folder, rig.folder, rig.folder);
    worker = fork();
    if (worker == 0) {
        if (uv_loop_fork(&rig.loop) < 0)
            _exit(1);
        open_script(script);
        (void)start();
        (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    wait_file("pid", text, sizeof(text));
    cr_assert(is_alive((pid_t)atoi(text)));
    (void)kill(worker, SIGKILL);
    cr_assert(eq(int, (int)waitpid(worker, NULL, 0), (int)worker));
    wait_dead((pid_t)atoi(text));
}

/* ---- ending it */

/* A program with a child in its group, both told by files. */
static struct result *start_family(const char *prologue)
{
    static char script[512];

    (void)snprintf(script, sizeof(script),
                   "%s (echo $$ >%s/group; exec sleep 600) & echo $! >%s/child; wait", prologue,
                   rig.folder, rig.folder);
    open_script(script);
    return start();
}

Test(exec, soft_cancel_ends_the_group)
{
    struct result *result = start_family("");
    char text[64];

    wait_file("child", text, sizeof(text));
    cancel(result, HANDLER_CANCEL_SOFT);
    wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
    wait_dead((pid_t)atoi(text));
}

Test(exec, hard_cancel_ends_what_ignores_the_soft_one)
{
    struct result *result = start_family("trap '' TERM;");
    char text[64];

    wait_file("child", text, sizeof(text));
    cancel(result, HANDLER_CANCEL_SOFT);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(is_alive((pid_t)atoi(text)));
    cr_assert(eq(uint, result->outcomes, 0));
    cancel(result, HANDLER_CANCEL_HARD);
    wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
    wait_dead((pid_t)atoi(text));
}

Test(exec, cancel_before_the_start)
{
    struct result *result;

    open_script("echo 1");
    result = start();
    cancel(result, HANDLER_CANCEL_SOFT);
    wait_ended();
    cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
}

Test(exec, cancel_at_any_moment_of_the_start)
{
    open_script("sleep 600");
    for (int i = 0; i < 30; i++) {
        struct result *result = start();

        for (int turn = 0; turn <= i % 5; turn++)
            (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
        cancel(result, i % 2 ? HANDLER_CANCEL_HARD : HANDLER_CANCEL_SOFT);
    }
    wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        cr_assert(eq(int, (int)rig.results[i].kind, (int)HANDLER_CANCELLED), "run %zu", i);
}

Test(exec, background_children_do_not_hold_the_job)
{
    char script[256], text[64];
    struct result *result;

    (void)snprintf(script, sizeof(script), "sleep 600 & echo $! > %s/child; echo 5", rig.folder);
    result = run_script(script);
    cr_assert(eq(str, result->value, (char *)"5"), "though its stdout is still open");
    wait_file("child", text, sizeof(text));
    wait_dead((pid_t)atoi(text));
}

Test(exec, background_child_of_another_session_does_not_hold_the_job)
{
    char script[256], text[64];
    struct result *result;

    (void)snprintf(script, sizeof(script),
                   "setsid sh -c 'echo $$ > %s/child; exec sleep 600' & "
                   "while ! [ -s %s/child ]; do sleep 0.01; done; echo 5",
                   rig.folder, rig.folder);
    result = run_script(script);
    cr_assert(eq(str, result->value, (char *)"5"));
    wait_file("child", text, sizeof(text));
    (void)kill((pid_t)atoi(text), SIGKILL);
}

Test(exec, many_at_once)
{
    open_script("echo $DROVER_JOB_ID");
    for (int i = 0; i < 50; i++)
        (void)start();
    wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        cr_assert(eq(str, rig.results[i].value, (char *)"17"), "run %zu", i);
}
