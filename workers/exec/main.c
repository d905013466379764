/* drover-exec - the last steps between a worker and a handler program, then exec.
 *
 *   drover-exec PARENT_PID DIRECTORY [ORDER…] -- PROGRAM [ARGUMENT…]
 *
 * uv_spawn has no hook before exec, so what has to happen in the child happens here: a process
 * group of its own, death with the worker, what the handler's configuration orders (exec_order.h:
 * limits, nice value, umask, another user), no capability, no new privileges, default signals, no
 * inherited descriptor beyond 0, 1 and 2, the working directory. Static and without libuv: it
 * starts in under a millisecond. A failing step is told on EXEC_STATUS_FD (exec_status.h).
 *
 * A worker that is not root holds the few capabilities that the orders take, and hands them to this
 * program alone, as ambient ones; those survive a change from one user to another. So they are
 * given up here whoever the program runs as, and it is looked whether that took. Only a program
 * that runs as root because droverd and its workers do keeps what root has. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/process/privileges.h"
#include "workers/exec/exec_order.h"
#include "workers/exec/exec_status.h"

#define NICE_LIMIT_OF(nice) (20 - (nice)) /* as RLIMIT_NICE counts: getrlimit(2) */

static _Noreturn void fail_at(enum exec_step step, int code, int detail)
{
    struct exec_status status = { .step = (int32_t)step, .code = code, .detail = detail };
    ssize_t written = write(EXEC_STATUS_FD, &status, sizeof(status));

    (void)written; /* the worker is gone or its pipe is full: nobody is left to tell */
    _exit(EXEC_EXIT_CODE);
}

static _Noreturn void fail(enum exec_step step, int code)
{
    fail_at(step, code, 0);
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

static rlim_t limit_of(uint64_t value)
{
    return value == RESOURCE_UNLIMITED ? RLIM_INFINITY : (rlim_t)value;
}

static void set_limits(const struct exec_order *order)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        const struct exec_limit *limit = &order->limits[i];
        struct rlimit wanted = { .rlim_cur = limit_of(limit->soft),
                                 .rlim_max = limit_of(limit->hard) };

        if (limit->given &&
            setrlimit((__rlimit_resource_t)resource_number((enum resource)i), &wanted) < 0)
            fail_at(EXEC_STEP_LIMIT, errno, i);
    }
}

/* A lower value than ours takes CAP_SYS_NICE, or a limit that allows it; the limit takes
 * CAP_SYS_RESOURCE, and is put back: the program must not be able to raise itself further. */
static void set_nice(int nice)
{
    struct rlimit before, wanted;
    int r = setpriority(PRIO_PROCESS, 0, nice);

    if (r == 0)
        return;
    if (errno != EACCES || getrlimit(RLIMIT_NICE, &before) < 0)
        fail(EXEC_STEP_NICE, errno);
    wanted = (struct rlimit){ .rlim_cur = (rlim_t)NICE_LIMIT_OF(nice),
                              .rlim_max = (rlim_t)NICE_LIMIT_OF(nice) };
    if (before.rlim_max > wanted.rlim_max)
        wanted.rlim_max = before.rlim_max;
    if (setrlimit(RLIMIT_NICE, &wanted) < 0 || setpriority(PRIO_PROCESS, 0, nice) < 0 ||
        setrlimit(RLIMIT_NICE, &before) < 0)
        fail(EXEC_STEP_NICE, errno);
}

static void become(const struct exec_order *order)
{
    int r = privileges_set_groups(order->gid, order->groups, order->groups_count);

    if (r == 0)
        r = privileges_set_group(order->gid);
    if (r < 0)
        fail(EXEC_STEP_USER_GROUPS, -r);
    /* Kept for one step more, so that the bounding set can be emptied. */
    r = privileges_set_user(order->uid, /* keep= */ true);
    if (r < 0)
        fail(EXEC_STEP_USER, -r);
}

static void give_up_capabilities(void)
{
    static const struct privileges_wish none = { 0 };
    uid_t uid = getuid();
    gid_t gid = getgid();
    int r;

    if (geteuid() == 0)
        return;
    r = privileges_keep(&none);
    if (r == 0)
        r = privileges_verify(uid, gid, &none);
    if (r < 0)
        fail(EXEC_STEP_CAPABILITIES, -r);
}

static void freeze_privileges(void)
{
    int r = privileges_freeze();

    if (r < 0)
        fail(EXEC_STEP_PRIVILEGES, -r);
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
static void close_one_by_one(long limit)
{
    if (limit < 0 || limit > 1048576)
        limit = 1048576;
    for (long fd = EXEC_STATUS_FD + 1; fd < limit; fd++)
        (void)close((int)fd); /* most are not open */
}

static void close_descriptors(long limit)
{
    if (close_range(EXEC_STATUS_FD + 1, ~0U, 0) < 0)
        close_one_by_one(limit);
    if (fcntl(EXEC_STATUS_FD, F_SETFD, FD_CLOEXEC) < 0)
        fail(EXEC_STEP_DESCRIPTORS, errno);
}

/* What the configuration of the handler orders, while the capabilities for it are there. */
static void follow(const struct exec_order *order)
{
    set_limits(order);
    if (order->has_nice)
        set_nice(order->nice);
    if (order->has_umask)
        (void)umask(order->umask); /* cannot fail */
    if (order->has_user)
        become(order);
}

int main(int argc, char **argv)
{
    static struct exec_order order;
    char *end = NULL;
    long limit, parent = argc > 1 ? strtol(argv[1], &end, 10) : 0;
    int program = argc > 3 ? exec_order_parse(argc, argv, 3, &order) : -EINVAL;

    if (argc < 4 || *end || parent <= 0 || program < 0 || program >= argc)
        fail(EXEC_STEP_ARGUMENTS, EINVAL);
    limit = sysconf(_SC_OPEN_MAX); /* that descriptors were opened under, before it is changed */
    join_own_group();
    die_with((pid_t)parent);
    follow(&order);
    give_up_capabilities();
    die_with((pid_t)parent); /* the kernel forgets it when a process becomes somebody else */
    freeze_privileges();
    reset_signals();
    close_descriptors(limit);
    if (chdir(argv[2]) < 0)
        fail(EXEC_STEP_DIRECTORY, errno);
    (void)execv(argv[program], argv + program); /* returns only when it failed */
    fail(EXEC_STEP_EXEC, errno);
}
