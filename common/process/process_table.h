/* process_table.h - what /proc says: who lives, who is left of a session, who became our child,
 * which orphans can be reaped.
 * A worker's handlers stay in the worker's session, so "the worker and all it started" is a
 * session. Only a handler that makes a session of its own leaves it; it becomes the master's child
 * (the master is child subreaper) and is killed when the master ends.
 * A process is known by pid *and* start time: the kernel gives a number to somebody else later.
 * /proc may hide processes of other users and undumpable ones (hidepid, ProtectProc=). Those of our
 * own children are found all the same; of others only their number is known. Whatever cannot be
 * told counts as living: jobs are given back only when their process is seen dead. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

/* One line of /proc/PID/stat, as far as it is needed. */
struct process_stat {
    pid_t pid;
    char state; /* R S D Z … */
    pid_t parent;
    pid_t session;
    uint64_t start_ticks; /* since boot, in clock ticks (field 22) */
};

/* Reads the text of /proc/PID/stat, as far as field 22. The name in parentheses may hold anything,
 * also ") Z 1 1 1". -EINVAL. */
MUST_CHECK int process_parse_stat(const char *text, struct process_stat *out_stat);

/* Reads /proc/PID/stat. -ESRCH when there is no such process, -EACCES when there is one that is
 * hidden from us. */
MUST_CHECK int process_read_stat(pid_t pid, struct process_stat *out_stat);

/* False when that very process is gone: no such pid, another start time, or a zombie.
 * start_ticks 0: any process with that pid. */
bool process_is_alive(pid_t pid, uint64_t start_ticks);

/* A session to be ended. */
struct process_session {
    pid_t sid;           /* > 1; its leader was a child of ours */
    bool leader_reaped;  /* its leader's end was collected */
    unsigned int living; /* set by process_kill_sessions */
};

/* Sends SIGKILL to every living process of these sessions and sets `living` to how many there were:
 * 0 means that the session is seen dead. Zombies do not count; one that may not be signalled does.
 * After leader_reaped, any process with pid == sid proves that the number was given to somebody
 * else since (the kernel does not reuse a number that is still some process's session): then
 * nothing is killed and `living` is 0. One look at the process table serves all; when it cannot be
 * read, `living` is 1. */
void process_kill_sessions(struct process_session *sessions, size_t count);
/* The same for one; returns `living`. */
unsigned int process_kill_session(pid_t sid, bool leader_reaped);

/* Sends SIGKILL to every living child of this process and returns how many there were. */
unsigned int process_kill_children(void);

/* Reaps ended children that are not `is_ours(pid, arg)` (those are somebody else's to reap);
 * bounded per call. Returns how many. */
unsigned int process_reap_orphans(bool (*is_ours)(pid_t pid, void *arg), void *arg);

/* How a process ended, for people: "exit 78 (config)", "signal 9 (SIGKILL)". Returns `out`. */
#define PROCESS_CAUSE_BYTES 48
const char *process_cause(int exit_status, int term_signal, char out[PROCESS_CAUSE_BYTES]);

/* Where a process runs, for telling whether another's pid means anything here. */
struct process_host {
    char name[256];     /* gethostname; "" when it has none */
    char machine[40];   /* /etc/machine-id; "" when there is none */
    char boot[40];      /* /proc/sys/kernel/random/boot_id; "" when it cannot be read */
    uint64_t pid_space; /* inode of /proc/self/ns/pid; 0 unknown */
};
void process_read_host(struct process_host *out_host);
