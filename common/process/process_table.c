#include "common/process/process_table.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/base/text.h"

#define MEMBERS_MAX   1024 /* of one sweep; the caller comes again for more */
#define STAT_BYTES    1024 /* name of 64 and 21 numbers of 20 digits fit */
#define REAP_PER_CALL 64

/* Field 6 is the session, field 22 the start time: proc(5). */
#define FIELDS_BETWEEN 15

/* Takes a number that may be negative (a process outside any session has -1 in places) and the
 * blank after it. */
static bool take_number(const char **at, pid_t *out_number)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(*at, &end, 10);
    if (end == *at || *end != ' ' || errno != 0 || number < INT_MIN || number > INT_MAX)
        return false;
    *out_number = (pid_t)number;
    *at = end + 1;
    return true;
}

static bool take_start_ticks(const char *at, uint64_t *out_ticks)
{
    for (int i = 0; i < FIELDS_BETWEEN; i++) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    return text_parse_uint(at, strspn(at, "0123456789"), out_ticks) == 0;
}

int process_parse_stat(const char *text, struct process_stat *out_stat)
{
    struct process_stat stat;
    const char *at = text;
    pid_t group;

    if (!take_number(&at, &stat.pid) || *at != '(')
        return -EINVAL;
    at = strrchr(at, ')');
    if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
        return -EINVAL;
    stat.state = at[2];
    at += 4;
    if (!take_number(&at, &stat.parent) || !take_number(&at, &group) ||
        !take_number(&at, &stat.session) || !take_start_ticks(at, &stat.start_ticks))
        return -EINVAL;
    *out_stat = stat;
    return 0;
}

/* Reads what one read gives, at most room - 1 bytes, and ends it with a NUL. The files of /proc
 * that are read so give all of it at once. */
static int read_start(int dir_fd, const char *path, char *out_text, size_t room)
{
    _cleanup_(closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return -errno;
    do {
        got = read(fd, out_text, room - 1);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    out_text[got] = '\0';
    return 0;
}

int process_read_stat(pid_t pid, struct process_stat *out_stat)
{
    char path[32], text[STAT_BYTES];
    int result;

    if (pid <= 0)
        return -ESRCH;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    result = read_start(AT_FDCWD, path, text, sizeof text);
    if (result == 0)
        return process_parse_stat(text, out_stat);
    if (kill(pid, 0) < 0 && errno == ESRCH)
        return -ESRCH;
    return result == -ENOENT || result == -EPERM ? -EACCES : result;
}

static bool is_alive(const struct process_stat *stat)
{
    return stat->state != 'Z' && stat->state != 'X';
}

bool process_is_alive(pid_t pid, uint64_t start_ticks)
{
    struct process_stat stat;
    siginfo_t info = { 0 };
    int result = process_read_stat(pid, &stat);

    if (result == 0)
        return is_alive(&stat) && (start_ticks == 0 || stat.start_ticks == start_ticks);
    if (result == -ESRCH)
        return false;
    /* Hidden, or no descriptor left to look with: of a child we know all the same. */
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != pid;
}

typedef void pid_cb(pid_t pid, void *arg);

static int for_each_visible(pid_cb *each, void *arg)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    uint64_t number;

    if (!dir) {
        int code = -errno;

        log_error("processes.unreadable", LOG_STR("error", strerror(-code)));
        return code;
    }
    while ((entry = readdir(dir))) {
        if (text_parse_uint(entry->d_name, strlen(entry->d_name), &number) == 0 && number > 0 &&
            number <= INT_MAX)
            each((pid_t)number, arg);
    }
    (void)closedir(dir); /* was only read */
    return 0;
}

/* Gives the pids of "12 345 6789 " (/proc/PID/task/TID/children), read in pieces. */
static void for_each_in_list(int fd, pid_cb *each, void *arg)
{
    char bytes[4096];
    ssize_t got;
    int64_t pid = 0;

    while ((got = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9' && pid <= INT_MAX / 10 - 1) {
                pid = pid * 10 + (bytes[i] - '0');
                continue;
            }
            if (pid > 0)
                each((pid_t)pid, arg);
            pid = 0;
        }
    }
}

/* Children of ours, hidden ones too. A kernel without CONFIG_PROC_CHILDREN has no such list. */
static void for_each_child(pid_cb *each, void *arg)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    while (tasks && (entry = readdir(tasks))) {
        char path[sizeof entry->d_name + sizeof "/children"];
        int fd;

        (void)snprintf(path, sizeof path, "%s/children", entry->d_name);
        fd = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* "." and "..", or that thread has ended */
        for_each_in_list(fd, each, arg);
        (void)close(fd); /* was only read */
    }
    if (tasks)
        (void)closedir(tasks); /* likewise */
}

/* The orphans of a dead process become our children, so the list of those finds what /proc hides,
 * and what was born behind the back of a reader of /proc; it is read last for that reason. */
static int for_each_pid(pid_cb *each, void *arg)
{
    int result = for_each_visible(each, arg);

    for_each_child(each, arg);
    return result;
}

/* What one look at the table found. Each pid is in it once. */
struct sweep {
    struct process_session *sessions;
    size_t sessions_count;
    struct member {
        pid_t pid;
        struct process_session *session; /* NULL for a child of ours */
    } members[MEMBERS_MAX];
    size_t members_count;
};

static void add_member(struct sweep *sweep, pid_t pid, struct process_session *session)
{
    for (size_t i = 0; i < sweep->members_count; i++) {
        if (sweep->members[i].pid == pid)
            return;
    }
    if (sweep->members_count < MEMBERS_MAX && process_is_alive(pid, 0))
        sweep->members[sweep->members_count++] = (struct member){ pid, session };
}

/* getsid works on hidden processes too and costs a fiftieth of reading a file of /proc: the files
 * of strangers are never read. */
static void note_if_in_session(pid_t pid, void *arg)
{
    struct sweep *sweep = arg;
    pid_t sid = getsid(pid);

    for (size_t i = 0; sid > 0 && i < sweep->sessions_count; i++) {
        if (sweep->sessions[i].sid == sid)
            add_member(sweep, pid, &sweep->sessions[i]);
    }
}

/* After the leader was reaped nobody has its number, or somebody new. */
static bool is_over(const struct process_session *session)
{
    return session->leader_reaped && (getsid(session->sid) >= 0 || errno != ESRCH);
}

/* False when it had ended meanwhile. */
static bool kill_process(pid_t pid)
{
    return kill(pid, SIGKILL) == 0 || errno != ESRCH;
}

void process_kill_sessions(struct process_session *sessions, size_t count)
{
    struct sweep sweep = { .sessions = sessions, .sessions_count = count };
    bool unknown = for_each_pid(note_if_in_session, &sweep) < 0;

    for (size_t i = 0; i < count; i++) {
        assert(sessions[i].sid > 1);
        sessions[i].living = unknown && !is_over(&sessions[i]) ? 1 : 0;
    }
    for (size_t i = 0; i < sweep.members_count; i++) {
        struct process_session *session = sweep.members[i].session;

        if (!is_over(session) && kill_process(sweep.members[i].pid))
            session->living++;
    }
}

unsigned int process_kill_session(pid_t sid, bool leader_reaped)
{
    struct process_session session = { .sid = sid, .leader_reaped = leader_reaped };

    process_kill_sessions(&session, 1);
    return session.living;
}

static void note_if_child(pid_t pid, void *arg)
{
    struct process_stat stat;

    if (process_read_stat(pid, &stat) == 0 && stat.parent == getpid())
        add_member(arg, pid, NULL);
}

static void note_child(pid_t pid, void *arg)
{
    add_member(arg, pid, NULL);
}

unsigned int process_kill_children(void)
{
    struct sweep sweep = { 0 };
    siginfo_t info = { 0 };
    unsigned int killed = 0;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
        return 0;
    if (for_each_visible(note_if_child, &sweep) < 0)
        return 1; /* there is one, living or not yet reaped */
    for_each_child(note_child, &sweep);
    for (size_t i = 0; i < sweep.members_count; i++)
        killed += kill_process(sweep.members[i].pid) ? 1 : 0;
    return killed;
}

static void log_orphan(const siginfo_t *info)
{
    char cause[PROCESS_CAUSE_BYTES];
    bool exited = info->si_code == CLD_EXITED;

    log_debug("orphan.reaped", LOG_INT("pid", info->si_pid),
              LOG_STR("cause", process_cause(exited ? info->si_status : 0,
                                             exited ? 0 : info->si_status, cause)));
}

unsigned int process_reap_orphans(bool (*is_ours)(pid_t pid, void *arg), void *arg)
{
    unsigned int reaped = 0;

    while (reaped < REAP_PER_CALL) {
        siginfo_t info = { 0 };

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid <= 0)
            break; /* no child at all, or none that has ended */
        if (is_ours(info.si_pid, arg))
            break; /* its owner reaps it and comes back here */
        if (waitpid(info.si_pid, NULL, WNOHANG) != info.si_pid)
            break;
        log_orphan(&info);
        reaped++;
    }
    return reaped;
}

const char *process_cause(int exit_status, int term_signal, char out[PROCESS_CAUSE_BYTES])
{
    const char *signal_name = term_signal ? sigabbrev_np(term_signal) : NULL;
    const char *code_name = exit_code_name(exit_status);

    if (signal_name)
        (void)snprintf(out, PROCESS_CAUSE_BYTES, "signal %d (SIG%s)", term_signal, signal_name);
    else if (term_signal)
        (void)snprintf(out, PROCESS_CAUSE_BYTES, "signal %d", term_signal);
    else if (code_name)
        (void)snprintf(out, PROCESS_CAUSE_BYTES, "exit %d (%s)", exit_status, code_name);
    else
        (void)snprintf(out, PROCESS_CAUSE_BYTES, "exit %d", exit_status);
    return out;
}

static void read_word(const char *path, char *out_word, size_t room)
{
    if (read_start(AT_FDCWD, path, out_word, room) < 0)
        out_word[0] = '\0';
    out_word[strcspn(out_word, " \n")] = '\0';
}

void process_read_host(struct process_host *out_host)
{
    struct stat space;

    *out_host = (struct process_host){ 0 };
    if (gethostname(out_host->name, sizeof out_host->name - 1) < 0)
        out_host->name[0] = '\0';
    read_word("/etc/machine-id", out_host->machine, sizeof out_host->machine);
    read_word("/proc/sys/kernel/random/boot_id", out_host->boot, sizeof out_host->boot);
    if (stat("/proc/self/ns/pid", &space) == 0)
        out_host->pid_space = space.st_ino;
}
