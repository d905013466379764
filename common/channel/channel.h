/* channel.h - what the master and one child say to each other over a SOCK_SEQPACKET socketpair.
 * One frame is one packet: a fixed header and a fixed body per type. Versioned: a side that reads a
 * version or a type that it does not know ignores that frame and logs it once. End of file means:
 * the other side is gone. Children find their end at CHANNEL_FD, the sealed configuration at
 * CHANNEL_CONFIG_FD and the scoreboard at CHANNEL_SCOREBOARD_FD. Texts in frames end with a NUL
 * inside their field; a frame whose text does not is malformed. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"

#define CHANNEL_VERSION       1
#define CHANNEL_FD            3
#define CHANNEL_CONFIG_FD     4
#define CHANNEL_SCOREBOARD_FD 5
#define CHANNEL_UUID_BYTES    40  /* a uuid and its NUL, padded */
#define CHANNEL_QUEUE_BYTES   256 /* configuration allows 128 bytes */
#define CHANNEL_CAUSE_BYTES   192

enum channel_type {
    CHANNEL_READY = 1, /* child → master: connected, its handlers are up, serving; once per spawn */
    CHANNEL_DRAIN = 3, /* master → child: fetch no more, finish within timeout_ms, then give back
                          and leave */
    CHANNEL_STOP,      /* master → child: end handlers now, give back what is unfinished, leave */
    CHANNEL_TUNE,      /* master → child: what may change while it runs */
    CHANNEL_RECOVER,   /* master → child: give back the jobs of a dead process */
    CHANNEL_RECOVERED, /* child → master: how that went; one answer per question */
};
/* 2 was a report of counters, which are in the scoreboard now; it is not used again. */

/* CHANNEL_TUNE. */
struct channel_tune {
    uint64_t slots;     /* jobs at once in this process, >= 1 */
    uint64_t allowed;   /* of these, how many may be started now: 0 … slots. Less while processes
                           that it replaces still run some. */
    uint64_t log_level; /* enum log_level */
};

/* CHANNEL_RECOVER. The process is seen dead, and so is everything it had started, unless
 * fence_only is set: then its jobs are left to their locks and it is only kept from fetching. */
struct channel_recover {
    char uuid[CHANNEL_UUID_BYTES];   /* of the dead process */
    char queue[CHANNEL_QUEUE_BYTES]; /* it served; on the same Redis and with the same prefix as the
                                        receiver's own queue */
    char cause[CHANNEL_CAUSE_BYTES]; /* how it died, for the jobs' history; "": its death says
                                        nothing about its jobs and is not counted against them */
    uint64_t max_givebacks;          /* of that queue */
    uint64_t fence_only;             /* 1, or 0 */
};

/* CHANNEL_RECOVERED. */
struct channel_recovered {
    char uuid[CHANNEL_UUID_BYTES];
    int64_t result;      /* 0 done; a negative errno: not (all) done, ask again or somebody else */
    uint64_t given_back; /* jobs that wait again */
    uint64_t failed;     /* jobs that had been given back too often and are in `failed` now */
};

struct channel_frame {
    enum channel_type type;
    union {
        uint64_t timeout_ms; /* CHANNEL_DRAIN; 0: no bound */
        struct channel_tune tune;
        struct channel_recover recover;
        struct channel_recovered recovered;
    };
};

struct channel;

/* `frame` is valid during the call; NULL means end of file (called once, then never again). */
typedef void channel_frame_cb(struct channel *channel, const struct channel_frame *frame,
                              void *arg);

/* A connected non-blocking close-on-exec pair: [0] for the master, [1] for the child. */
MUST_CHECK int channel_pair(int out_fds[2], struct error *err);

/* Takes `fd` (closed by channel_close; on failure it stays the caller's). Frames arrive on the loop
 * from now on, never inside this call. */
MUST_CHECK int channel_open(uv_loop_t *loop, int fd, channel_frame_cb *on_frame, void *arg,
                            struct channel **out_channel, struct error *err);

/* Sends one frame now or not at all: -EAGAIN when the peer does not read, -EPIPE when it is gone.
 */
MUST_CHECK int channel_send(struct channel *channel, const struct channel_frame *frame,
                            struct error *err);

/* Reads what is still in the socket and hands it to on_frame now: before judging a child that has
 * exited. */
void channel_read_rest(struct channel *channel);

/* Asynchronous end; the memory is freed in the loop's close callback. No callback after this call.
 */
void channel_close(struct channel *channel);
