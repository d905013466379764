/* child.h - one spawned worker process: how it is started, what it said, how it ended.
 * Known by its spawn uuid, never by its pid alone; watched by its pidfd, so that the end of exactly
 * this process is seen, whatever becomes of its number. The callbacks of pidfd and channel only
 * write down what happened; slot.c looks at it and acts.
 * Invariant: pid > 0 from child_spawn on; it is not reused by the kernel before `exited`. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/uuid.h"
#include "common/channel/channel.h"
#include "common/config/config.h"

/* What a worker is started with. All borrowed. */
struct child_plan {
    const char *program; /* absolute path of drover-worker */
    const char *queue;
    const char *uuid;               /* of this spawn */
    const char *master;             /* uuid of this run of the master */
    unsigned int slot;              /* index in its pool */
    unsigned int concurrency;       /* jobs at once in this process, >= 1 */
    unsigned int generation;        /* of the configuration, from 1 */
    int config_fd;                  /* sealed memory */
    int board_fd, board_slot;       /* scoreboard, and its slot in it */
    const struct config_user *user; /* whom it becomes; NULL: it stays what we are */
    uint64_t keep;                  /* capabilities that it keeps (needs.h) */
    /* A frame that answers CHANNEL_RECOVER; only notes it down. */
    void (*on_recovered)(const struct channel_recovered *recovered, void *arg);
    void *arg;
};

#define CHILD_STATUS_UNKNOWN (-1) /* it has ended, but how was not to be learnt */

struct child {
    uv_poll_t watch; /* of the pidfd; watch.data is the child; freed in its close callback */
    int pidfd;
    struct channel *channel;
    char uuid[UUID_TEXT_BYTES];
    pid_t pid; /* also its process group and its session: a worker is a session leader */
    uint64_t spawned_ms;
    uint64_t ready_ms;  /* 0 until it said so */
    uint64_t exited_us; /* clock_now_us() when the end was seen; meaningful when `exited` */
    /* recoveries.h: asked of it and not yet answered; asked in vain since its last good answer. */
    unsigned int recoveries_open, recoveries_missed;
    bool channel_ended; /* end of file: it is dying, or broken */
    bool exited;        /* reaped */
    int exit_status;    /* when exited and term_signal is 0; or CHILD_STATUS_UNKNOWN */
    int term_signal;    /* 0 when it exited by itself */
    void (*on_recovered)(const struct channel_recovered *recovered, void *arg);
    void *arg;
};

/* Starts the program as a session leader with descriptors 3 (channel), 4 (configuration), 5
 * (scoreboard), default signals and a scrubbed environment. On failure nothing is left behind but
 * handles that close on the loop. */
MUST_CHECK int child_spawn(uv_loop_t *loop, const struct child_plan *plan, struct child **out_child,
                           struct error *err);

/* Reads what the child still has to say; after `exited`, before it is judged. */
void child_read_rest(struct child *child);

/* Sends a frame. A child that cannot be told anything is dealt with by deadlines; a failure is
 * logged and returned. */
int child_tell(struct child *child, const struct channel_frame *frame);

/* Sends a signal to this very process; nothing when it has ended. */
void child_signal(struct child *child, int number);

/* Asynchronous end of the handles; the memory is freed on the loop. Only after `exited`. */
void child_close(struct child *child);
