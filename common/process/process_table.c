#include "supervisor/master/processes.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "supervisor/master/child.h"

#define SESSION_PIDS_MAX 1024
#define STAT_BYTES       4096
#define REAP_PER_CALL    64

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

int processes_parse_stat(const char *text, struct process_stat *out_stat)
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
        !take_number(&at, &stat.session))
        return -EINVAL;
    *out_stat = stat;
    return 0;
}

static int read_stat(const char *pid_text, struct process_stat *out_stat)
{
    struct buf text = BUF_INIT(STAT_BYTES);
    char path[64];
    int result;

    (void)snprintf(path, sizeof path, "/proc/%s/stat", pid_text);
    result = fd_read_file(path, &text, NULL); /* -ENOENT or -ESRCH: ended meanwhile */
    if (result == 0)
        result = processes_parse_stat(buf_text(&text), out_stat);
    buf_done(&text);
    return result;
}

static bool is_alive(const struct process_stat *stat)
{
    return stat->state != 'Z' && stat->state != 'X';
}

typedef void stat_cb(const struct process_stat *stat, void *arg);

static void for_each_process(stat_cb *each, void *arg)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    struct process_stat stat;
    uint64_t number;

    if (!dir) {
        log_error("processes.unreadable", LOG_STR("error", strerror(errno)));
        return;
    }
    while ((entry = readdir(dir))) {
        if (text_parse_uint(entry->d_name, strlen(entry->d_name), &number) == 0 &&
            read_stat(entry->d_name, &stat) == 0)
            each(&stat, arg);
    }
    (void)closedir(dir);
}

struct session_members {
    pid_t sid;
    pid_t pids[SESSION_PIDS_MAX]; /* living; the caller comes again for more */
    unsigned int count;
    bool has_leader;
};

static void note_if_in_session(const struct process_stat *stat, void *arg)
{
    struct session_members *members = arg;

    if (stat->session != members->sid || !is_alive(stat))
        return;
    if (stat->pid == members->sid)
        members->has_leader = true;
    if (members->count < SESSION_PIDS_MAX)
        members->pids[members->count++] = stat->pid;
}

unsigned int processes_kill_session(pid_t sid, bool leader_reaped)
{
    struct session_members members = { .sid = sid };
    unsigned int killed = 0;

    assert(sid > 1);
    for_each_process(note_if_in_session, &members);
    if (leader_reaped && members.has_leader)
        return 0;
    for (unsigned int i = 0; i < members.count; i++) {
        if (members.pids[i] > 0 && kill(members.pids[i], SIGKILL) == 0)
            killed++;
    }
    return killed;
}

static void kill_if_child(const struct process_stat *stat, void *arg)
{
    unsigned int *killed = arg;

    if (stat->parent == getpid() && is_alive(stat) && stat->pid > 0 &&
        kill(stat->pid, SIGKILL) == 0)
        (*killed)++;
}

unsigned int processes_kill_children(void)
{
    unsigned int killed = 0;

    for_each_process(kill_if_child, &killed);
    return killed;
}

static void log_orphan(const siginfo_t *info)
{
    char cause[CHILD_CAUSE_BYTES];
    bool exited = info->si_code == CLD_EXITED;

    log_debug("orphan.reaped", LOG_INT("pid", info->si_pid),
              LOG_STR("cause", child_cause(exited ? info->si_status : 0,
                                           exited ? 0 : info->si_status, cause)));
}

unsigned int processes_reap_orphans(bool (*is_ours)(pid_t pid, void *arg), void *arg)
{
    unsigned int reaped = 0;

    while (reaped < REAP_PER_CALL) {
        siginfo_t info = { 0 };

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid <= 0)
            break; /* no child at all, or none that has ended */
        if (is_ours(info.si_pid, arg))
            break; /* libuv reaps it first; its exit callback brings us back here */
        if (waitpid(info.si_pid, NULL, WNOHANG) != info.si_pid)
            break;
        log_orphan(&info);
        reaped++;
    }
    return reaped;
}
