/* channel.h - what the master and one child say to each other over a SOCK_SEQPACKET socketpair.
 * One frame is one packet: a fixed header and a fixed body per type. Versioned: a side that reads a
 * version or a type that it does not know ignores that frame and logs it once. End of file means:
 * the other side is gone. Children find their end at CHANNEL_FD and the sealed configuration at
 * CHANNEL_CONFIG_FD. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"

#define CHANNEL_VERSION   1
#define CHANNEL_FD        3
#define CHANNEL_CONFIG_FD 4

enum channel_type {
    CHANNEL_READY = 1, /* child → master: connected, serving */
    CHANNEL_STATUS,    /* child → master: counters, at most once a second, and before it ends */
    CHANNEL_DRAIN, /* master → child: fetch no more, finish within timeout_ms, then give back and
                      leave */
    CHANNEL_STOP,  /* master → child: end handlers now, give back what is unfinished, leave */
};

struct channel_status {
    uint64_t running;   /* handlers at work now */
    uint64_t slots;     /* most that may be */
    uint64_t completed; /* since start */
    uint64_t failed;    /* final failures since start */
    uint64_t retried;   /* failed attempts that will be tried again, since start */
    uint64_t lost;      /* results dropped because the lock was lost */
    uint64_t waiting;   /* wait + prioritized as of the last fetch */
    uint64_t redis_up;  /* 1 while connected */
};

struct channel_frame {
    enum channel_type type;
    union {
        struct channel_status status; /* CHANNEL_STATUS */
        uint64_t timeout_ms;          /* CHANNEL_DRAIN; 0: no bound */
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
