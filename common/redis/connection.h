/* connection.h - the inside of a connection, shared by redis.c (life cycle), context.c (sockets),
 * request.c and wait.c (commands in flight), handshake.c (what is asked before READY), sentinel.c
 * and cluster.c (where to connect to). Not for other folders.
 *
 * Phases: START → (FIND →) (RESOLVE →) CONNECT → HANDSHAKE → READY; every failure goes to LOST,
 * where the step function drops what is left, tells, and goes to WAIT; a timer leads from there to
 * the next try. Callbacks of hiredis only note the loss (redis_lose): hiredis 0.14 must not be
 * freed inside its connect and disconnect callbacks. START to HANDSHAKE are bounded by
 * try_deadline_ms, READY by the deadlines of the requests, WAIT by retry_at_ms.
 *
 * A cluster is a struct redis without a socket of its own, the router: it goes from FIND to READY,
 * and has links, one struct redis a node, which are its children. A child is never retried by
 * itself; its end is a loss of the router, which finds anew. Sentinels are asked over children,
 * too. A parent ends after its last child. */
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
#define PLACE_BYTES   320
#define REFUSAL_BYTES 96

struct cluster;
struct cluster_node;
struct sentinel;
struct wait_call;

enum phase {
    PHASE_START,
    PHASE_FIND,
    PHASE_RESOLVE,
    PHASE_CONNECT,
    PHASE_HANDSHAKE,
    PHASE_READY,
    PHASE_LOST,
    PHASE_WAIT,
    PHASE_CLOSED, /* only children and the timer's close callback are still to come */
};

/* What a server must be. */
enum peer {
    PEER_MASTER,   /* outside a cluster, and takes writes */
    PEER_NODE,     /* of a cluster, and takes writes */
    PEER_SEED,     /* of a cluster, of whatever role: it is asked for the map only */
    PEER_SENTINEL, /* a Sentinel */
};

/* One command that was accepted and not yet answered. */
struct request {
    TAILQ_ENTRY(request) link;
    struct redis *redis; /* in whose `requests` it is: a connection, or the router that holds it */
    struct redis *asker; /* what the caller holds */
    redis_reply_cb *on_reply;
    void *arg;
    uint64_t deadline_at_ms;           /* clock_now_ms; NO_DEADLINE */
    uint64_t timeout_ms;               /* as given, for the text; 0 none */
    const struct redis_script *script; /* NULL: not a script */
    bool by_text;                      /* the script's text was sent to this server already */
    size_t args_count;                 /* of the whole command */
    size_t tail_at;                    /* script: where the arguments behind the sha begin */
    size_t text_len;
    struct redis_wait wait;      /* replicas 0: no WAIT behind it */
    struct wait_call *wait_call; /* the WAIT that was sent for it and not answered; NULL none */
    redisReply *kept;            /* its reply while WAIT's is to come; owned */
    /* Of a cluster only. */
    uint64_t seq;           /* requests go out in this order */
    uint64_t give_up_at_ms; /* not sent again after this; NO_DEADLINE */
    uint64_t retry_at_ms;   /* not sent again before this */
    struct cluster_node
        *node;             /* where it must go (ASK, or a command without keys); NULL: by slot */
    bool asking;           /* ASKING goes before it */
    unsigned int refusals; /* so often redirected or put off */
    unsigned int slot;
    char refusal[REFUSAL_BYTES]; /* the last of them, "" none; cut */
    char name[24];               /* of command or script, for the text; cut */
    char text[];                 /* the encoded command, kept for NOSCRIPT and redirections */
};

TAILQ_HEAD(requests, request);

struct redis {
    uv_loop_t *loop;
    uv_timer_t timer; /* the only one: the next thing that redis_step has to do */
    const struct config_redis *endpoint; /* borrowed */
    enum peer peer;
    struct config_node *nodes; /* where it may connect to, tried in turn; owned; none with a unix
                                  socket, in a router, and before the Sentinels have answered */
    size_t nodes_count;
    size_t node_at;                            /* of this or the next try */
    size_t failures;                           /* tries that failed in a row */
    char *client_name;                         /* NULL: none */
    char place[PLACE_BYTES];                   /* the server's name in texts */
    const struct redis_script *const *scripts; /* borrowed; NULL: none */
    bool blocking, once;
    uint64_t try_timeout_ms;
    redis_state_cb *on_state;
    void *arg;
    struct sentinel *sentinel; /* finds `nodes` before each try; NULL none; owned */
    struct cluster *cluster;   /* of a router; NULL else; owned */
    struct redis *parent;      /* NULL none */
    size_t children;

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
/* redis.c: the same for a reason that names the server already. */
void redis_lose_because(struct redis *redis, const char *why);
/* redis.c: the same, with hiredis' reason; the context is about to be freed. */
void redis_lose_context(struct redis *redis, const redisAsyncContext *context);
/* redis.c: sees to it that redis_step runs on the next turn of the loop. */
void redis_kick(struct redis *redis);
/* redis.c: the handshake is done, or of a router the node can be asked. */
void redis_become_ready(struct redis *redis);
/* redis.c: the addresses are known: goes on from PHASE_FIND. */
void redis_connect_found(struct redis *redis);
/* redis.c: a child is gone: a connection, or another handle that was counted in `children`. */
void redis_child_ended(struct redis *redis);
/* redis.c: replaces `nodes` by copies; false on no memory. */
bool redis_set_nodes(struct redis *redis, const struct config_node *nodes, size_t count);
/* redis.c: ends socket and requests at once (from a timer only). */
void redis_drop_context(struct redis *redis);
/* redis.c: "[::1]:6379" */
#define ADDRESS_BYTES 300
const char *redis_print_address(const struct config_node *node, char out[ADDRESS_BYTES]);

struct link_options {
    const struct config_redis *endpoint; /* borrowed */
    enum peer peer;
    const struct config_node *nodes; /* copied; NULL: the endpoint's unix socket, or to be found */
    size_t nodes_count;
    const char *client_name;                   /* copied; NULL none */
    const struct redis_script *const *scripts; /* borrowed; NULL none */
    bool blocking;
    bool once;               /* ends after all nodes have failed once, or when it is lost */
    uint64_t try_timeout_ms; /* 0: the endpoint's connect_timeout */
    struct redis *parent;    /* NULL none */
    redis_state_cb *on_state;
    void *arg;
};
/* redis.c: as redis_open, to one server. */
MUST_CHECK int redis_open_link(uv_loop_t *loop, const struct link_options *options,
                               struct redis **out_redis, struct error *err);

/* context.c: tries the next address of this try. */
void context_connect_next(struct redis *redis);

/* What to send: a command, or a script with its keys and arguments. All borrowed. */
struct call {
    const struct redis_script *script; /* NULL: a plain command, whose words argv holds */
    int keys_count;                    /* of a script: keys come first in argv */
    const char *guard;                 /* of a script: one more key behind them; NULL none */
    size_t argc;
    const char *const *argv;
    const size_t *argv_len;        /* NULL: all are NUL-terminated */
    const struct redis_wait *wait; /* NULL none */
};
size_t call_arg_len(const struct call *call, size_t at);

/* request.c: encodes it; belongs to nobody yet. NULL on no memory. */
struct request *request_build(const struct call *call, uint64_t timeout_ms,
                              redis_reply_cb *on_reply, void *arg);
void request_free(struct request *request);
/* request.c: -ENOBUFS when so many bytes more are too many for this connection. */
MUST_CHECK int request_check_room(const struct redis *redis, size_t more, struct error *err);
/* request.c: hands a request to this connection, which answers it; false: hiredis did not take it,
 * and nothing has changed. */
MUST_CHECK bool request_transmit(struct redis *redis, struct request *request);
/* request.c: builds and transmits in any phase that has a context. timeout_ms 0: no deadline. */
MUST_CHECK int request_send(struct redis *redis, const struct call *call, uint64_t timeout_ms,
                            redis_reply_cb *on_reply, void *arg, struct error *err);
/* request.c: takes it out of its list. */
void request_detach(struct request *request);
/* request.c: takes it out of its list, tells, frees. */
void request_answer(struct request *request, enum redis_outcome outcome, const redisReply *reply,
                    const char *why);
/* request.c: answers what is left with REDIS_UNKNOWN. */
void requests_give_up(struct redis *redis);
/* request.c: loses the connection when a deadline has passed. */
void requests_check_deadlines(struct redis *redis, uint64_t now_ms);

/* wait.c: sends the WAIT of a request that has just been sent; false as request_transmit. */
MUST_CHECK bool wait_send(struct request *request);
/* wait.c: the request has its reply; keeps it until the WAIT is answered. */
void wait_take_reply(struct request *request, const redisReply *reply);
/* wait.c: the request does not care for its WAIT any more. */
void wait_forget(struct request *request);

/* handshake.c: sends everything at once; replies drive the rest. */
void handshake_start(struct redis *redis);
