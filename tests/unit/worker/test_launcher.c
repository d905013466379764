/* drover-exec, through the exec handler and as such. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/program_path.h"
#include "tests/unit/worker/program_rig.h"
#include "workers/exec/exec_order.h"
#include "workers/exec/exec_status.h"
#include "workers/handlers/program_end.h"
#include "workers/handlers/program_orders.h"

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
    static const char *const program[] = {
        "--", "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL
    };
    struct exec_status status;
    char parent[16], out[256];

    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    launch(parent, program, out, sizeof(out), &status);
    cr_assert(eq(int, status.step, 0));
    cr_assert(eq(str, out, (char *)"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
}

Test(launcher, tells_the_step_that_failed)
{
    static const char *const echo[] = { "--", "/bin/echo", "ran", NULL };
    static const char *const missing[] = { "--", "/nonexistent", NULL };
    static const char *const nothing[] = { "--", NULL };
    static const char *const endless[] = { "/bin/echo", "ran", NULL };
    static const char *const limited[] = { "open_files=50:50", "cpu=3:4", "--",
                                           "/bin/echo",        "ran",     NULL };
    char self[16];
    const struct {
        const char *name, *parent;
        const char *const *program;
        int step, code;
    } rows[] = {
        { "worker is gone", "1", echo, EXEC_STEP_DEATH_SIGNAL, ESRCH },
        { "no number", "x", echo, EXEC_STEP_ARGUMENTS, EINVAL },
        { "nothing to run", self, nothing, EXEC_STEP_ARGUMENTS, EINVAL },
        { "no end of the orders", self, endless, EXEC_STEP_ARGUMENTS, EINVAL },
        { "not there", self, missing, EXEC_STEP_EXEC, ENOENT },
        { "all is well", self, echo, 0, 0 },
        { "within limits", self, limited, 0, 0 },
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

/* Steps that only fail for those who have no rights: as one of them, in a process of its own. */
Test(launcher, tells_the_step_that_takes_rights)
{
    static const struct {
        const char *order[4];
        int step, detail;
    } rows[] = {
        { { "uid=1", "gid=65534", "groups=", NULL }, EXEC_STEP_USER, 0 },
        { { "uid=65534", "gid=1", "groups=1", NULL }, EXEC_STEP_USER_GROUPS, 0 },
        { { "uid=65534", "gid=65534", "groups=4711", NULL }, EXEC_STEP_USER_GROUPS, 0 },
        { { "nice=-20", NULL }, EXEC_STEP_NICE, 0 },
        { { "core=0:0", "locked_memory=unlimited:unlimited", NULL },
          EXEC_STEP_LIMIT,
          RESOURCE_LOCKED_MEMORY },
    };
    const struct rlimit little = { 4096, 4096 };

    if (geteuid() != 0)
        cr_skip_test("only root can be somebody without rights");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        pid_t pid = fork();
        int end;

        if (pid == 0) {
            const char *program[8] = { NULL };
            size_t count = 0;
            struct exec_status status;
            char self[16], out[64];

            if (setrlimit(RLIMIT_MEMLOCK, &little) < 0 || setgroups(0, NULL) < 0 ||
                setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                _exit(100);
            for (; rows[i].order[count]; count++)
                program[count] = rows[i].order[count];
            program[count++] = "--";
            program[count] = "/bin/true";
            (void)snprintf(self, sizeof(self), "%d", (int)getpid());
            launch(self, program, out, sizeof(out), &status);
            _exit(status.step == rows[i].step && status.code == EPERM &&
                          status.detail == rows[i].detail
                      ? 0
                      : status.step + 1);
        }
        cr_assert(eq(int, (int)waitpid(pid, &end, 0), (int)pid));
        cr_assert(eq(int, end, 0), "row %zu: status %d", i, end >> 8);
    }
}

Test(launcher, refuses_orders_that_are_none)
{
    static const char *const wrong[][3] = {
        { "uid=1", NULL },
        { "uid=1", "gid=1", NULL },
        { "groups=1", NULL },
        { "uid=-1", NULL },
        { "uid=4294967295", NULL },
        { "uid=1x", NULL },
        { "uid=", NULL },
        { "umask=888", NULL },
        { "umask=1000", NULL },
        { "nice=20", NULL },
        { "nice=-21", NULL },
        { "nice=--1", NULL },
        { "core=1", NULL },
        { "core=2:1", NULL },
        { "core=unlimited:1", NULL },
        { "core=1:2:3", NULL },
        { "core=18446744073709551614:18446744073709551614", NULL },
        { "colour=1", NULL },
        { "core", NULL },
        { "", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        static struct exec_order order;
        char *argv[5] = { NULL };
        int argc = 0;

        for (; wrong[i][argc]; argc++)
            argv[argc] = (char *)(uintptr_t)wrong[i][argc];
        argv[argc++] = (char *)(uintptr_t)EXEC_END;
        argv[argc++] = (char *)(uintptr_t) "/bin/true";
        cr_assert(eq(int, exec_order_parse(argc, argv, 0, &order), -EINVAL), "%s", wrong[i][0]);
    }
}

/* What the handler writes, drover-exec reads. */
Test(launcher, orders_are_what_the_configuration_says)
{
    static uint32_t primary[] = { 7, 8, 9 };
    static char name[] = "app";
    struct config_user user = {
        .name = name, .uid = 5, .gid = 7, .groups = primary, .groups_count = 3
    };
    struct config_group row = { .name = name, .gid = 11 };
    struct config_groups group = { &row, 1 }, no_groups = { &row, 0 };
    static struct exec_order order;
    char **orders;
    int argc = 0;

    rig.config.user = &user;
    rig.config.umask = 027;
    rig.config.nice = -5;
    rig.config.limits[RESOURCE_CPU] = 7;
    rig.config.limits[RESOURCE_CORE] = 0;
    rig.config.limits[RESOURCE_STACK] = RESOURCE_UNLIMITED;
    for (int round = 0; round < 3; round++) {
        rig.config.group = round > 0 ? &group : NULL;
        rig.config.groups = round > 1 ? &no_groups : NULL;
        orders = program_orders_new(&rig.config);
        cr_assert(orders != NULL);
        for (argc = 0; orders[argc];)
            argc++;
        cr_assert(eq(int, exec_order_parse(argc, orders, 0, &order), argc));
        program_orders_free(orders);
        cr_assert(order.has_user && order.has_umask && order.has_nice);
        cr_assert(eq(u32, order.uid, 5));
        cr_assert(eq(u32, order.gid, round > 0 ? 11 : 7));
        cr_assert(eq(sz, order.groups_count, 3 - (size_t)round - (round > 1 ? 1 : 0)),
                  "all; without the primary group; none");
        cr_assert(eq(u32, order.groups[0], round == 0 ? 7 : round == 1 ? 8 : 0));
        cr_assert(eq(u32, order.umask, 027));
        cr_assert(eq(int, order.nice, -5));
    }
    cr_assert(eq(u64, order.limits[RESOURCE_CPU].soft, 7));
    cr_assert(eq(u64, order.limits[RESOURCE_CPU].hard, 8));
    cr_assert(order.limits[RESOURCE_CORE].given && order.limits[RESOURCE_CORE].hard == 0);
    cr_assert(eq(u64, order.limits[RESOURCE_STACK].hard, RESOURCE_UNLIMITED));
    cr_assert(order.limits[RESOURCE_MEMORY].given == false);
    rig.config.user = NULL;
    rig.config.group = rig.config.groups = NULL;
}

Test(launcher, a_failed_step_is_told_in_words)
{
    static char name[] = "app", path[] = "/bin/x";
    static char *argv[] = { path, NULL };
    struct config_user user = { .name = name };
    const struct config_handler config = { .argv = argv, .user = &user, .nice = -5 };
    static const struct {
        int step, detail;
        const char *text;
    } rows[] = {
        { EXEC_STEP_USER, 0, "cannot start /bin/x: become user app: Operation not permitted" },
        { EXEC_STEP_USER_GROUPS, 0,
          "cannot start /bin/x: take the groups of user app: Operation not permitted" },
        { EXEC_STEP_LIMIT, RESOURCE_OPEN_FILES,
          "cannot start /bin/x: set limits.open_files: Operation not permitted" },
        { EXEC_STEP_NICE, 0, "cannot start /bin/x: set nice to -5: Operation not permitted" },
        { EXEC_STEP_CAPABILITIES, 0,
          "cannot start /bin/x: give up all capabilities: Operation not permitted" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct program_end end = {
            .status = { .step = rows[i].step, .code = EPERM, .detail = rows[i].detail }
        };
        struct buf text = BUF_INIT(256);

        program_end_print_unstarted(&text, &end, &config);
        cr_assert(eq(str, (char *)buf_text(&text), (char *)rows[i].text));
        buf_done(&text);
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
