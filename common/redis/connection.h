/* connection.h - the inside of one connection, shared by redis.c (life cycle), request.c (commands
 * in flight) and handshake.c (what is asked before READY). Not for other folders.
 *
 * Phases: START → (RESOLVE →) CONNECT → HANDSHAKE → READY; every failure goes to LOST, where the
 * step function drops what is left, tells, and goes to WAIT; a timer leads from there to the next
 * try. Callbacks of hiredis only note the loss (redis_lose): hiredis 0.14 must not be freed inside
 * its connect and disconnect callbacks. START to HANDSHAKE are bounded by try_deadline_ms, READY by
 * the deadlines of the requests, WAIT by retry_at_ms. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "common/base/backoff.h"
#include "common/redis/adapter.h"
#include "common/redis/redis.h"
#include "common/redis/resolve.h"

#define NO_DEADLINE   UINT64_MAX
#define WHY_BYTES     512
#define VERSION_BYTES 32
#define RUN_ID_BYTES  64

enum phase {
    PHASE_START,
    PHASE_RESOLVE,
    PHASE_CONNECT,
    PHASE_HANDSHAKE,
    PHASE_READY,
    PHASE_LOST,
    PHASE_WAIT,
    PHASE_CLOSED, /* only the timer's close callback is still to come */
};

/* One command that was accepted and not yet answered. */
struct request {
    TAILQ_ENTRY(request) link;
    struct redis *redis;
    redis_reply_cb *on_reply;
    void *arg;
    uint64_t deadline_at_ms;           /* clock_now_ms; NO_DEADLINE */
    uint64_t timeout_ms;               /* as given, for the text */
    const struct redis_script *script; /* NULL: not a script, or its text was sent already */
    size_t args_count;                 /* of the whole command */
    size_t tail_at;                    /* script: where the arguments behind the sha begin */
    size_t text_len;
    char name[24]; /* of command or script, for the text; cut */
    char text[];   /* the encoded command, kept for NOSCRIPT */
};

TAILQ_HEAD(requests, request);

struct redis {
    uv_loop_t *loop;
    uv_timer_t timer; /* the only one: the next thing that redis_step has to do */
    const struct config_redis *endpoint;       /* borrowed */
    char *client_name;                         /* NULL: none */
    char *place;                               /* the server's name in texts */
    const struct redis_script *const *scripts; /* borrowed; NULL: none */
    bool blocking, once;
    redis_state_cb *on_state;
    void *arg;

    enum phase phase;
    bool closing;                    /* redis_close was called, or `once` failed */
    redisAsyncContext *context;      /* hiredis'; NULL when there is none */
    struct redis_adapter *adapter;   /* of `context` */
    struct resolve *resolve;         /* NULL when none is under way */
    struct resolve_result addresses; /* of this try */
    size_t address_at;               /* the next to try */
    size_t handshake_left;           /* replies still to come */
    uint64_t handshake_sent_at_ms;   /* wall */

    struct requests requests; /* in the order they were sent */
    size_t requests_count;
    uint64_t next_deadline_ms; /* <= every deadline in `requests` */
    struct request *late;      /* in `requests`: past its deadline, but what has arrived is read
                                  first; NULL none */
    uint64_t late_since_ms;
    uint64_t reads_seen;

    uint64_t try_deadline_ms, retry_at_ms, ready_since_ms;
    struct backoff backoff;
    char why[WHY_BYTES];  /* why this connection or try ends; "" while it does not */
    char told[WHY_BYTES]; /* reason last told; "" after READY */

    char version[VERSION_BYTES]; /* "" before the first handshake; likewise run_id */
    char run_id[RUN_ID_BYTES];
    int64_t clock_skew_ms;
};

/* redis.c: notes that connection or try is over; the first reason stays. The step follows. */
void redis_lose(struct redis *redis, const char *format, ...) PRINTF_LIKE(2, 3);
/* redis.c: the same, with hiredis' reason; the context is about to be freed. */
void redis_lose_context(struct redis *redis, const redisAsyncContext *context);
/* redis.c: sees to it that redis_step runs on the next turn of the loop. */
void redis_kick(struct redis *redis);
/* redis.c: the handshake is done. */
void redis_become_ready(struct redis *redis);

/* What to send: a command, or a script with its keys and arguments. All borrowed. */
struct call {
    const struct redis_script *script; /* NULL: a plain command, whose words argv holds */
    int keys_count;                    /* of a script: keys come first in argv */
    size_t argc;
    const char *const *argv;
    const size_t *argv_len; /* NULL: all are NUL-terminated */
};

/* request.c: sends in any phase that has a context. timeout_ms 0: no deadline. */
MUST_CHECK int request_send(struct redis *redis, const struct call *call, uint64_t timeout_ms,
                            redis_reply_cb *on_reply, void *arg, struct error *err);
/* request.c: answers what is left with REDIS_UNKNOWN. */
void requests_give_up(struct redis *redis);
/* request.c: loses the connection when a deadline has passed. */
void requests_check_deadlines(struct redis *redis, uint64_t now_ms);

/* handshake.c: sends everything at once; replies drive the rest. */
void handshake_start(struct redis *redis);
