/* drover-exec - the last steps between a worker and a handler program, then exec.
 *
 *   drover-exec PARENT_PID DIRECTORY PROGRAM [ARGUMENT…]
 *
 * uv_spawn has no hook before exec, so what has to happen in the child happens here: a process
 * group of its own, death with the worker, no new privileges, default signals, no inherited
 * descriptor beyond 0, 1 and 2, the working directory. Static and without libuv: it starts in under
 * a millisecond. A failing step is told on EXEC_STATUS_FD (exec_status.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "workers/exec/exec_status.h"

static _Noreturn void fail(enum exec_step step, int code)
{
    struct exec_status status = { .step = (int32_t)step, .code = code };
    ssize_t written = write(EXEC_STATUS_FD, &status, sizeof(status));

    (void)written; /* the worker is gone or its pipe is full: nobody is left to tell */
    _exit(EXEC_EXIT_CODE);
}

static void join_own_group(void)
{
    if (setpgid(0, 0) < 0)
        fail(EXEC_STEP_GROUP, errno);
}

/* The signal is tied to the parent at the time of the call: one that died before it is found by
 * getppid. */
static void die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail(EXEC_STEP_DEATH_SIGNAL, errno);
    if (getppid() != parent)
        fail(EXEC_STEP_DEATH_SIGNAL, ESRCH);
}

static void drop_privileges(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(EXEC_STEP_PRIVILEGES, errno);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* KILL, STOP and libc's own numbers refuse, rightly */
    if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        fail(EXEC_STEP_SIGNALS, errno);
}

/* Kernels before 5.9 have no close_range: every number up to the limit is tried. */
static void close_one_by_one(void)
{
    long limit = sysconf(_SC_OPEN_MAX);

    if (limit < 0 || limit > 1048576)
        limit = 1048576;
    for (long fd = EXEC_STATUS_FD + 1; fd < limit; fd++)
        (void)close((int)fd); /* most are not open */
}

static void close_descriptors(void)
{
    if (close_range(EXEC_STATUS_FD + 1, ~0U, 0) < 0)
        close_one_by_one();
    if (fcntl(EXEC_STATUS_FD, F_SETFD, FD_CLOEXEC) < 0)
        fail(EXEC_STEP_DESCRIPTORS, errno);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long parent = argc > 1 ? strtol(argv[1], &end, 10) : 0;

    if (argc < 4 || *end || parent <= 0)
        fail(EXEC_STEP_ARGUMENTS, EINVAL);
    join_own_group();
    die_with((pid_t)parent);
    drop_privileges();
    reset_signals();
    close_descriptors();
    if (chdir(argv[2]) < 0)
        fail(EXEC_STEP_DIRECTORY, errno);
    (void)execv(argv[3], argv + 3); /* returns only when it failed */
    fail(EXEC_STEP_EXEC, errno);
}
