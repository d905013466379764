/* drover-exec, through the exec handler and as such. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/program_path.h"
#include "tests/unit/worker/program_rig.h"
#include "workers/exec/exec_status.h"

TestSuite(launcher, .init = rig_init, .fini = rig_done, .timeout = 60);

Test(launcher, no_descriptor_leaks)
{
    int leak = open("/dev/null", O_RDONLY); /* without close-on-exec, on purpose */
    struct result *result;

    cr_assert(ge(int, leak, 0));
    cr_assert(ge(int, dup2(leak, 300), 0));
    result = rig_run_script("for i in /proc/self/fd/*; do echo \"${i##*/}\"; done");
    cr_assert(eq(str, result->value, (char *)"\"0\\n1\\n2\\n3\""), "3 is the listing's own: %s",
              result->value);
    (void)close(leak);
    (void)close(300);
}

Test(launcher, group_is_its_own)
{
    struct result *result =
        rig_run_script("read a b c d pgrp rest < /proc/self/stat; echo $$ $pgrp");
    int pid = 0, group = 0;

    cr_assert(eq(int, sscanf(result->value, "\"%d %d", &pid, &group), 2), "%s", result->value);
    cr_assert(eq(int, pid, group));
    cr_assert(ne(int, group, (int)getpgrp()));
}

Test(launcher, signals_are_as_new_and_privileges_frozen)
{
    sigset_t all;
    struct result *result;

    (void)sigfillset(&all);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)sigdelset(&all, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    result =
        rig_run_script("grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status | tr -d '\\t '");
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
    const char *argv[24] = { "drover-exec", parent, "/", NULL };
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

Test(launcher, resets_signals)
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

Test(launcher, tells_the_step_that_failed)
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
Test(launcher, program_dies_with_its_worker)
{
    char script[256], text[64];
    pid_t worker;

    (void)snprintf(script, sizeof(script), "echo $$ > %s/tmp; mv %s/tmp %s/pid; exec sleep 600",
                   rig.folder, rig.folder, rig.folder);
    worker = fork();
    if (worker == 0) {
        if (uv_loop_fork(&rig.loop) < 0)
            _exit(1);
        rig_open_script(script);
        (void)rig_start();
        (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    rig_wait_file("pid", text, sizeof(text));
    cr_assert(rig_is_alive((pid_t)atoi(text)));
    (void)kill(worker, SIGKILL);
    cr_assert(eq(int, (int)waitpid(worker, NULL, 0), (int)worker));
    rig_wait_dead((pid_t)atoi(text));
}
