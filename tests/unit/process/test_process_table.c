/* What /proc says, whatever a process is called, hides or leaves behind. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/process/process_table.h"

#define WAIT_MS 10000

/* Nothing of a test lives on after it: what it started is its child or becomes it. */
static void set_up(void)
{
    log_open(STDERR_FILENO, LOG_FORMAT_JSON, LOG_LEVEL_ERROR);
    cr_assert(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
}

static void tear_down(void)
{
    uint64_t end_ms = clock_now_ms() + WAIT_MS;

    while (waitpid(-1, NULL, WNOHANG) >= 0) {
        (void)process_kill_children();
        cr_assert(clock_now_ms() < end_ms, "children are left");
    }
}

TestSuite(process, .init = set_up, .fini = tear_down);

Test(process, a_line_of_proc_is_read_whatever_the_name)
{
#define TAIL " 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 "
    static const struct {
        const char *text;
        int result;
        struct process_stat stat;
    } rows[] = {
        { "12 (sleep) S 1 12 10" TAIL "777 1000 2", 0, { 12, 'S', 1, 10, 777 } },
        { "12 (sleep) S 1 12 10" TAIL "777", 0, { 12, 'S', 1, 10, 777 } },
        { "12 (a b) S 1 12 10" TAIL "777\n", 0, { 12, 'S', 1, 10, 777 } },
        { "12 (x) Z 9 9 9 9) R 1 12 10" TAIL "1 0", 0, { 12, 'R', 1, 10, 1 } },
        { "12 ()) Z 1 12 10" TAIL "0 0", 0, { 12, 'Z', 1, 10, 0 } },
        { "12 (() S 1 12 10" TAIL "5 0", 0, { 12, 'S', 1, 10, 5 } },
        { "12 () S 1 12 10" TAIL "5 0", 0, { 12, 'S', 1, 10, 5 } },
        { "12 (a\nb) S 1 12 10" TAIL "5 0", 0, { 12, 'S', 1, 10, 5 } },
        { "12 (12 (sleep) S 1 1 1) S 1 12 10" TAIL "5 0", 0, { 12, 'S', 1, 10, 5 } },
        { "12 (\xff\xfe) S 1 12 10" TAIL "5 0", 0, { 12, 'S', 1, 10, 5 } },
        { "12 (sleep) S 0 -1 -1" TAIL "5 0", 0, { 12, 'S', 0, -1, 5 } },
        { "12 (sleep) S 1 12 10" TAIL "18446744073709551615 0", 0, { 12, 'S', 1, 10, UINT64_MAX } },
        { "12 (sleep) S 1 12 10" TAIL "18446744073709551616 0", -EINVAL, { 0 } },
        { "12 (sleep) S 1 12 10" TAIL "-5 0", -EINVAL, { 0 } },
        { "12 (sleep) S 1 12 10" TAIL, -EINVAL, { 0 } },
        { "12 (sleep) S 1 12 10 0 -1", -EINVAL, { 0 } },
        { "12 (sleep) S 1 12", -EINVAL, { 0 } },
        { "12 (sleep) S 1 12 10", -EINVAL, { 0 } },
        { "12 (sleep)", -EINVAL, { 0 } },
        { "12 (sleep) ", -EINVAL, { 0 } },
        { "12 (sleep) S", -EINVAL, { 0 } },
        { "12 (sleep) S x 12 10" TAIL "5 0", -EINVAL, { 0 } },
        { "99999999999999999999 (sleep) S 1 12 10" TAIL "5 0", -EINVAL, { 0 } },
        { "12 sleep S 1 12 10" TAIL "5 0", -EINVAL, { 0 } },
        { "", -EINVAL, { 0 } },
    };
#undef TAIL

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct process_stat stat = { 0 };

        cr_expect(process_parse_stat(rows[i].text, &stat) == rows[i].result, "row %zu", i);
        cr_expect(stat.pid == rows[i].stat.pid && stat.state == rows[i].stat.state &&
                      stat.parent == rows[i].stat.parent && stat.session == rows[i].stat.session &&
                      stat.start_ticks == rows[i].stat.start_ticks,
                  "row %zu", i);
    }
}

Test(process, every_end_has_a_name)
{
    static const struct {
        int exit_status, term_signal;
        const char *cause;
    } rows[] = {
        { 0, 0, "exit 0 (ok)" },
        { 1, 0, "exit 1 (failed)" },
        { 64, 0, "exit 64 (usage)" },
        { 69, 0, "exit 69 (unavailable)" },
        { 71, 0, "exit 71 (supervisor lost)" },
        { 78, 0, "exit 78 (config)" },
        { 5, 0, "exit 5" },
        { 255, 0, "exit 255" },
        { 0, SIGKILL, "signal 9 (SIGKILL)" },
        { 0, SIGSEGV, "signal 11 (SIGSEGV)" },
        { 0, 35, "signal 35" },
    };
    char out[PROCESS_CAUSE_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect_str_eq(process_cause(rows[i].exit_status, rows[i].term_signal, out),
                         rows[i].cause);
}

/* Starts a process that sleeps; as leader of a session, or in that of the test. */
static pid_t start_sleeper(bool leader)
{
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        if (leader)
            (void)setsid();
        for (;;)
            (void)pause();
    }
    return pid;
}

static void wait_until_session_is(pid_t pid, pid_t sid)
{
    uint64_t end_ms = clock_now_ms() + WAIT_MS;

    while (getsid(pid) != sid)
        cr_assert(clock_now_ms() < end_ms, "no session in time");
}

static void reap(pid_t pid)
{
    int status = 0;

    cr_expect(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
              WTERMSIG(status) == SIGKILL);
}

static void wait_until_ended(pid_t pid)
{
    siginfo_t info;

    cr_assert(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

Test(process, our_own_line_is_read)
{
    struct process_stat stat;

    cr_assert(process_read_stat(getpid(), &stat) == 0);
    cr_expect(stat.pid == getpid() && stat.parent == getppid() && stat.session == getsid(0));
    cr_expect(stat.state == 'R' && stat.start_ticks > 0);
}

Test(process, a_process_is_known_by_pid_and_start_time)
{
    pid_t pid = start_sleeper(false);
    struct process_stat stat;

    cr_assert(process_read_stat(pid, &stat) == 0);
    cr_expect(process_is_alive(pid, stat.start_ticks));
    cr_expect(process_is_alive(pid, 0));
    cr_expect(!process_is_alive(pid, stat.start_ticks + 1), "the number is somebody else's");
    (void)kill(pid, SIGKILL);
    wait_until_ended(pid);
    cr_expect(process_read_stat(pid, &stat) == 0 && stat.state == 'Z');
    cr_expect(!process_is_alive(pid, stat.start_ticks), "a zombie");
    reap(pid);
    cr_expect(process_read_stat(pid, &stat) == -ESRCH);
    cr_expect(!process_is_alive(pid, 0));
}

Test(process, there_is_no_process_0_and_none_below)
{
    struct process_stat stat;

    cr_expect(process_read_stat(0, &stat) == -ESRCH && process_read_stat(-1, &stat) == -ESRCH);
    cr_expect(!process_is_alive(0, 0) && !process_is_alive(-1, 0));
}

Test(process, a_number_given_to_somebody_else_is_not_killed)
{
    pid_t pid = start_sleeper(true);

    wait_until_session_is(pid, pid);
    cr_expect(process_kill_session(pid, /* leader_reaped= */ true) == 0);
    cr_expect(process_is_alive(pid, 0));
    cr_expect(process_kill_session(pid, /* leader_reaped= */ false) == 1);
    wait_until_ended(pid);
    cr_expect(process_kill_session(pid, /* leader_reaped= */ false) == 0, "zombies do not count");
    reap(pid);
    cr_expect(process_kill_session(pid, /* leader_reaped= */ true) == 0);
}

/* A leader that starts `count` sleepers in its session and one that leaves it. */
static pid_t start_family(int count, pid_t *out_escaped)
{
    int pipe_fds[2];
    pid_t leader;

    cr_assert(pipe2(pipe_fds, O_CLOEXEC) == 0);
    leader = fork();
    cr_assert(leader >= 0);
    if (leader == 0) {
        pid_t escaped;

        (void)setsid();
        for (int i = 0; i < count; i++)
            (void)start_sleeper(false);
        escaped = start_sleeper(true);
        while (getsid(escaped) != escaped)
            ;
        if (write(pipe_fds[1], &escaped, sizeof escaped) < 0)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(pipe_fds[1]);
    cr_assert(read(pipe_fds[0], out_escaped, sizeof *out_escaped) == sizeof *out_escaped);
    (void)close(pipe_fds[0]);
    return leader;
}

static bool none_is_ours(pid_t pid, void *arg)
{
    (void)pid;
    (void)arg;
    return false;
}

static void reap_orphans(unsigned int count)
{
    uint64_t end_ms = clock_now_ms() + WAIT_MS;
    unsigned int reaped = 0;

    while ((reaped += process_reap_orphans(none_is_ours, NULL)) < count)
        cr_assert(clock_now_ms() < end_ms, "%u of %u orphans in time", reaped, count);
    cr_expect(reaped == count);
}

Test(process, the_session_of_a_dead_leader_is_killed_and_what_left_it_is_not)
{
    pid_t escaped, leader = start_family(3, &escaped);

    (void)kill(leader, SIGKILL);
    reap(leader);
    cr_expect(process_kill_session(leader, /* leader_reaped= */ true) == 3);
    reap_orphans(3);
    cr_expect(process_kill_session(leader, /* leader_reaped= */ true) == 0);
    cr_expect(process_is_alive(escaped, 0));
    cr_expect(process_kill_children() == 1, "it has become our child");
    reap_orphans(1);
    cr_expect(process_kill_children() == 0);
}

Test(process, several_sessions_end_with_one_look)
{
    pid_t escaped[3];
    struct process_session sessions[4] = { 0 };

    for (int i = 0; i < 3; i++)
        sessions[i].sid = start_family(i + 1, &escaped[i]);
    (void)kill(sessions[1].sid, SIGKILL);
    reap(sessions[1].sid);
    sessions[1].leader_reaped = true;
    sessions[3] = (struct process_session){ .sid = sessions[0].sid, .leader_reaped = true };
    process_kill_sessions(sessions, 4);
    cr_expect(sessions[0].living == 2, "leader and one: %u", sessions[0].living);
    cr_expect(sessions[1].living == 2, "two without leader: %u", sessions[1].living);
    cr_expect(sessions[2].living == 4, "leader and three: %u", sessions[2].living);
    cr_expect(sessions[3].living == 0, "the number is somebody else's");
    process_kill_sessions(sessions, 0);
}

Test(process, children_are_killed_and_orphans_reaped)
{
    pid_t pid = start_sleeper(true);

    wait_until_session_is(pid, pid);
    cr_expect(process_reap_orphans(none_is_ours, NULL) == 0, "it has not ended");
    cr_expect(process_kill_children() == 1);
    reap_orphans(1);
    cr_expect(kill(pid, 0) == -1 && errno == ESRCH);
    cr_expect(process_kill_children() == 0);
}

static bool is_the_one(pid_t pid, void *arg)
{
    return pid == *(pid_t *)arg;
}

Test(process, what_is_ours_is_left_to_its_owner)
{
    pid_t pid = start_sleeper(false);

    cr_expect(process_kill_children() == 1);
    wait_until_ended(pid);
    cr_expect(process_reap_orphans(is_the_one, &pid) == 0);
    reap(pid);
}

Test(process, the_host_is_described)
{
    struct process_host host, again;
    struct buf boot = BUF_INIT(100);
    char name[256];

    memset(&host, 'x', sizeof host);
    process_read_host(&host);
    process_read_host(&again);
    cr_expect(memcmp(&host, &again, sizeof host) == 0);
    cr_assert(gethostname(name, sizeof name) == 0);
    cr_expect_str_eq(host.name, name);
    cr_assert(fd_read_file("/proc/sys/kernel/random/boot_id", &boot, NULL) == 0);
    cr_expect(strlen(host.boot) == 36 && strncmp(host.boot, buf_text(&boot), 36) == 0);
    cr_expect(host.pid_space != 0);
    cr_expect(strspn(host.machine, "0123456789abcdef") == strlen(host.machine));
    buf_done(&boot);
}

/* ---- where /proc cannot be read, or hides; in processes of their own, which lose something by it
 */

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)dprintf(STDERR_FILENO, "line %d: not so: %s (errno %s)\n", __LINE__, #condition, \
                          strerror(errno));                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int status_of(void (*run)(void))
{
    pid_t pid = fork();
    int status = 0;

    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)alarm(WAIT_MS / 1000);
        run();
        _exit(0);
    }
    cr_assert(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void look_without_descriptors(void)
{
    const struct rlimit none = { 0, 0 };
    pid_t pid = start_sleeper(true);

    NEED(setrlimit(RLIMIT_NOFILE, &none) == 0);
    while (getsid(pid) != pid)
        ;
    NEED(process_is_alive(pid, 1) && process_is_alive(pid, 0));
    NEED(process_kill_session(pid, /* leader_reaped= */ false) == 1);
    NEED(process_kill_session(pid, /* leader_reaped= */ true) == 0);
    NEED(process_kill_children() == 1);
    NEED(kill(pid, SIGKILL) == 0);
    while (process_is_alive(pid, 0))
        ; /* of a child we know when it has ended */
    NEED(waitpid(pid, NULL, 0) == pid);
    NEED(!process_is_alive(pid, 0));
    NEED(process_kill_children() == 0);
}

Test(process, what_cannot_be_looked_at_counts_as_living)
{
    cr_expect(status_of(look_without_descriptors) == 0);
}

/* Undumpable processes cannot be seen by one without CAP_SYS_PTRACE when /proc hides. */
enum { EXIT_CANNOT_HIDE = 77 };

static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };

    NEED(syscall(SYS_capset, &header, none) == 0);
}

/* A leader with a hidden sleeper in its session; both cannot be seen. */
static pid_t start_hidden(void)
{
    pid_t leader = fork();

    NEED(leader >= 0);
    if (leader == 0) {
        (void)setsid();
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        NEED(fork() >= 0);
        for (;;)
            (void)pause();
    }
    return leader;
}

static pid_t only_child(void)
{
    char text[64] = { 0 };
    int fd = open("/proc/self/task/1/children", O_RDONLY | O_CLOEXEC);

    NEED(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    (void)close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static void see_the_hidden(void)
{
    pid_t leader = start_hidden(), orphan;
    struct process_stat stat;

    while (process_read_stat(leader, &stat) == 0)
        ; /* until it has hidden itself */
    NEED(process_read_stat(leader, &stat) == -EACCES);
    NEED(process_is_alive(leader, 12345) && process_is_alive(leader, 0));
    while (process_kill_session(leader, /* leader_reaped= */ false) == 0)
        ; /* until it leads one */
    NEED(waitpid(leader, NULL, 0) == leader);
    NEED(process_read_stat(leader, &stat) == -ESRCH && !process_is_alive(leader, 0));
    orphan = only_child();
    if (orphan > 0) { /* else it died before it had started its sleeper */
        NEED(process_read_stat(orphan, &stat) == -EACCES);
        NEED(process_kill_session(leader, /* leader_reaped= */ true) == 1);
        NEED(waitpid(orphan, NULL, 0) == orphan);
    }
    NEED(process_kill_session(leader, /* leader_reaped= */ true) == 0);
    leader = start_hidden();
    NEED(process_kill_children() == 1);
    NEED(waitpid(leader, NULL, 0) == leader);
}

static void hide_and_see(void)
{
    int space = CLONE_NEWNS | CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    pid_t first;
    int status = 0;

    if (unshare(space) < 0)
        _exit(EXIT_CANNOT_HIDE);
    first = fork();
    NEED(first >= 0);
    if (first == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* the first of a space hears no alarm */
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("proc", "/proc", "proc", 0, "hidepid=4") < 0)
            _exit(EXIT_CANNOT_HIDE);
        drop_capabilities();
        see_the_hidden();
        _exit(0);
    }
    NEED(waitpid(first, &status, 0) == first);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

Test(process, what_proc_hides_is_found_among_our_children)
{
    int status = status_of(hide_and_see);

    if (status == EXIT_CANNOT_HIDE)
        cr_skip_test("this machine allows no mount of a /proc of its own");
    cr_expect(status == 0);
}
