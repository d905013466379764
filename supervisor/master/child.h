/* child.h - one spawned worker process: how it is started, what it said, how it ended.
 * Known by its spawn uuid, never by its pid alone. The callbacks of process and channel only write
 * down what happened; slot.c looks at it and acts.
 * Invariant: pid > 0 from child_spawn on; it is not reused by the kernel before `exited`. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/uuid.h"
#include "common/channel/channel.h"

/* What a worker is started with. */
struct child_plan {
    const char *program; /* absolute path of drover-worker */
    const char *queue;
    unsigned int slot;        /* index in its pool */
    unsigned int concurrency; /* jobs at once in this process, >= 1 */
    unsigned int generation;  /* of the configuration, from 1 */
    int config_fd;            /* sealed memory, borrowed */
};

struct child {
    uv_process_t process; /* process.data is the child; freed in its close callback */
    struct channel *channel;
    char uuid[UUID_TEXT_BYTES];
    pid_t pid; /* also its process group and its session: a worker is a session leader */
    uint64_t spawned_ms;
    uint64_t ready_ms;  /* 0 until it said so */
    uint64_t exited_ms; /* meaningful when `exited` */
    bool channel_ended; /* end of file: it is dying, or broken */
    bool exited;        /* reaped */
    int exit_status;    /* when exited and term_signal is 0 */
    int term_signal;    /* 0 when it exited by itself */
};

/* Starts the program as a session leader with descriptors 3 (channel) and 4 (configuration) and a
 * scrubbed environment. On failure nothing is left behind but handles that close on the loop. */
MUST_CHECK int child_spawn(uv_loop_t *loop, const struct child_plan *plan, struct child **out_child,
                           struct error *err);

/* Reads what the child still has to say; after `exited`, before it is judged. */
void child_read_rest(struct child *child);

/* Sends a frame to the child. A child that cannot be told anything is dealt with by deadlines, so a
 * failure is only logged. */
void child_tell(struct child *child, const struct channel_frame *frame);

/* Asynchronous end of the handles; the memory is freed on the loop. Only after `exited`. */
void child_close(struct child *child);
