/* dev_child.h - a program that `drover dev` runs: redis-server, droverd, a producer, `drover add`.
 * Invariant: each is the leader of a session of its own, so that a Ctrl-C on the terminal reaches
 * only `drover dev`, which ends them in order. Its standard output and error arrive as lines. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/error.h"

struct dev_child;

/* One line without its end; never empty. */
typedef void dev_line_cb(struct dev_child *child, const char *line, void *arg);

struct dev_child {
    const char *name; /* in texts; borrowed */
    dev_line_cb *on_line;
    void (*on_end)(void *arg); /* something ended: the owner looks which */
    void *arg;

    uv_process_t process;
    uv_pipe_t output;
    struct buf line;  /* an unfinished line */
    bool started;     /* dev_child_start succeeded once */
    bool running;     /* not yet reaped */
    bool output_open; /* its output has not ended: it, or a child of it, may still write */
    int handles_open; /* the loop still holds so many of the two */
    int64_t exit_code;
    int term_signal; /* 0: it exited */
};

/* argv[0] is looked up in PATH unless it has a slash; env NULL: ours. Both are NULL-terminated. The
 * fields name, on_line, on_end and arg are set before. May be called again after the end. */
MUST_CHECK int dev_child_start(struct dev_child *child, uv_loop_t *loop, const char *const *argv,
                               const char *const *env, struct error *err);

/* Process and output have ended, and it may be started again. */
bool dev_child_done(const struct dev_child *child);
/* Exited with 0. */
bool dev_child_succeeded(const struct dev_child *child);
/* "exited with code 1", "was killed by signal 9"; valid until the next call. */
const char *dev_child_fate(const struct dev_child *child);

/* To the process, or to all of its process group. Nothing happens when it has ended. */
void dev_child_signal(const struct dev_child *child, int signal_number);
void dev_child_signal_group(const struct dev_child *child, int signal_number);

/* Stops reading; the handles close on the loop. The process must have ended. */
void dev_child_close(struct dev_child *child);
