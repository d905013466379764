/* processes.h - what the process table says: who is left of a session, who became our child, which
 * orphans can be reaped.
 * A worker's handlers stay in the worker's session, so "the worker and all it started" is a
 * session. Only a handler that makes a session of its own leaves it; it becomes the master's child
 * (the master is child subreaper) and is killed when the master ends. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/error.h"

/* One line of /proc/PID/stat, as far as it is needed. */
struct process_stat {
    pid_t pid;
    char state; /* R S D Z … */
    pid_t parent;
    pid_t session;
};

/* Reads the text of /proc/PID/stat. The name in parentheses may hold anything, also ") Z 1 1 1". */
MUST_CHECK int processes_parse_stat(const char *text, struct process_stat *out_stat);

/* Sends SIGKILL to every living process of the session `sid` whose leader was a child of ours, and
 * returns how many there were; zombies do not count. With `leader_reaped`, a living process with
 * pid == sid proves that the number was given to somebody else since (the kernel does not reuse a
 * number that is still some process's session): then nothing is killed and 0 returned. */
unsigned int processes_kill_session(pid_t sid, bool leader_reaped);

/* Sends SIGKILL to every living child of this process and returns how many there were. */
unsigned int processes_kill_children(void);

/* Reaps ended children that are not `is_ours(pid, arg)` (those are libuv's to reap); bounded per
 * call. Returns how many. */
unsigned int processes_reap_orphans(bool (*is_ours)(pid_t pid, void *arg), void *arg);
