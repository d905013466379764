/* redis.h - one asynchronous connection to one Redis endpoint, on the libuv loop, kept alive.
 * Invariant: every command that was accepted gets exactly one reply callback, later, on the loop,
 * whatever happens to the server; a callback never runs inside the call that asked, and no command
 * is ever sent twice by this layer except after a refusal that says that nothing was executed:
 * NOSCRIPT, and of a cluster MOVED, ASK, TRYAGAIN and CLUSTERDOWN.
 *
 * The connection opens, resolves names, authenticates, selects, names itself, checks the server
 * (INFO: version, role, loading), loads the scripts it was given, then is READY. When it is lost it
 * says so once, with the reason, and comes back by itself with back-off and jitter. Commands are
 * accepted only while READY. Programs ignore SIGPIPE: hiredis writes with write(2).
 *
 * What the endpoint is stays in here. One server: the connection is to it. Sentinel: before each
 * try the Sentinels are asked who the master is (sentinel.h), and one of them tells when that
 * changes. Cluster: commands go by the slot of their first key to the node that serves it
 * (cluster.h), over one connection a node; all keys of a command must be of one slot. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"

/* The longest that a lost connection waits before it is tried again, but for jitter (a third more).
 */
#define REDIS_RETRY_MAX_MS 3000

struct config_redis;
struct redis;

/* A Lua script, embedded at build time (common/queue/lua); sha is of the text. */
struct redis_script {
    const char *name; /* file name without .lua */
    const char *text;
    size_t text_len;
    char sha[41];
};

enum redis_state {
    REDIS_CLOSED,     /* before redis_open, and after redis_close */
    REDIS_CONNECTING, /* TCP or unix connect, name resolution, handshake */
    REDIS_READY,
    REDIS_WAITING, /* lost or refused; a timer will try again */
};

/* What became of a command. */
enum redis_outcome {
    REDIS_REPLY,   /* `reply` is an ordinary reply */
    REDIS_REFUSED, /* the server answered with an error; see redis_error_class; nothing was written,
                      except where a script says otherwise */
    REDIS_UNKNOWN, /* connection lost or deadline passed after sending: it may have happened or not
                    */
    REDIS_UNREPLICATED, /* `reply` is an ordinary reply, but fewer replicas than wanted have what
                           was written; only of redis_run_script_replicated */
};

/* The classes of error replies, by their first word (platform-notes 1). */
enum redis_error_class {
    REDIS_CLASS_NONE,
    REDIS_CLASS_LATER, /* LOADING, BUSY, MASTERDOWN, CLUSTERDOWN, TRYAGAIN: the server will recover
                          by itself */
    REDIS_CLASS_READONLY, /* READONLY: a replica; an operator or a failover changes that */
    REDIS_CLASS_MEMORY,   /* OOM */
    REDIS_CLASS_DISK,     /* MISCONF, NOREPLICAS */
    REDIS_CLASS_CLIENTS,  /* max number of clients reached */
    REDIS_CLASS_DENIED,   /* NOAUTH, WRONGPASS, NOPERM */
    REDIS_CLASS_NOSCRIPT,
    REDIS_CLASS_REDIRECT, /* MOVED, ASK */
    REDIS_CLASS_OTHER,    /* ERR, WRONGTYPE, …: a mistake of the caller or corrupt data */
};

/* `reply` is borrowed, valid during the call; NULL when outcome is REDIS_UNKNOWN. `why` is text for
 * people ("" when outcome is REDIS_REPLY). A refusal that a cluster's node could not be asked in
 * time is an error reply of this layer's own, of class LATER. */
typedef void redis_reply_cb(struct redis *redis, enum redis_outcome outcome,
                            const redisReply *reply, const char *why, void *arg);

/* Called from the loop when the state becomes READY, WAITING or CLOSED; `why` is "" or the reason
 * of a loss or refusal, naming the server. A further try that failed is told (WAITING again) only
 * when its reason is another one; that a further try begins (CONNECTING) is never told. READY may
 * be told again: then another node of a cluster serves slot_key. */
typedef void redis_state_cb(struct redis *redis, enum redis_state state, const char *why,
                            void *arg);

struct redis_options {
    const struct config_redis *endpoint; /* borrowed; must outlive the connection */
    const char *client_name;             /* CLIENT SETNAME; NULL for none; copied */
    const struct redis_script *const
        *scripts;  /* NULL-terminated list loaded at each connect; borrowed; NULL for none */
    bool blocking; /* for BZPOPMIN only: commands have no deadline of their own but the given */
    bool once;     /* command line: a failed try, or a loss, closes with its reason; no retry */
    const char *slot_key; /* of a cluster: READY means that this key's node can be asked (copied);
                             NULL: that the nodes are known. Without a cluster of no meaning */
    redis_state_cb *on_state;
    void *arg;
};

/* Starts connecting. The first on_state comes later, on the loop. */
MUST_CHECK int redis_open(uv_loop_t *loop, const struct redis_options *options,
                          struct redis **out_redis, struct error *err);

/* Ends it: pending commands get REDIS_UNKNOWN on the loop (or their reply, when it is read first),
 * then on_state(REDIS_CLOSED) comes as the last callback, after which the memory is gone. Safe in
 * any state, twice, and inside any of its callbacks. With `once` that end also comes by itself. */
void redis_close(struct redis *redis);

/* Drops the connection and connects again after the first back-off (used when a reply shows that
 * this server is the wrong one). Does nothing unless READY. */
void redis_reconnect(struct redis *redis, const char *why);

enum redis_state redis_state(const struct redis *redis);

/* Sends one command: argv/argv_len are copied before return; argv_len NULL: all are NUL-terminated.
 * A reply later than `deadline_ms` from now means that the connection is lost, for all its
 * commands; 0 means the endpoint's command timeout. -ENOTCONN when not READY, -ENOBUFS when too
 * much is unsent or unanswered (the server reads too slowly), -ENOMEM; then no callback. */
#define REDIS_UNSENT_MAX_BYTES                                        \
    (2U << 20) /* one bigger command is taken while nothing is unsent \
                */
#define REDIS_PENDING_MAX 65536U
MUST_CHECK int redis_command(struct redis *redis, int argc, const char *const *argv,
                             const size_t *argv_len, uint64_t deadline_ms, redis_reply_cb *on_reply,
                             void *arg, struct error *err);

/* EVALSHA with `keys_count` keys first in args; on NOSCRIPT it sends the text once. Otherwise as
 * redis_command. */
MUST_CHECK int redis_run_script(struct redis *redis, const struct redis_script *script,
                                int keys_count, int args_count, const char *const *args,
                                const size_t *args_len, uint64_t deadline_ms,
                                redis_reply_cb *on_reply, void *arg, struct error *err);

/* As redis_run_script, and the answer waits until so many replicas have all that the call wrote, or
 * the time is over (WAIT, sent right behind the call): then it is REDIS_UNREPLICATED. Whatever is
 * sent later on this connection is answered after that. The deadline is the call's, the wait comes
 * on top. A loss between the two answers is REDIS_UNKNOWN. */
struct redis_wait {
    unsigned int replicas; /* > 0 */
    uint64_t timeout_ms;   /* > 0 */
};
MUST_CHECK int redis_run_script_replicated(struct redis *redis, const struct redis_script *script,
                                           int keys_count, int args_count, const char *const *args,
                                           const size_t *args_len, const struct redis_wait *wait,
                                           uint64_t deadline_ms, redis_reply_cb *on_reply,
                                           void *arg, struct error *err);

/* A command without keys (SCAN, CLIENT LIST, INFO) is of one server, and a cluster has several:
 * how many masters there are now (1 without a cluster), and the same command to the at-th of them.
 * -ENOENT when there are fewer by now. redis_command sends one without keys to any. */
size_t redis_masters_count(const struct redis *redis);
MUST_CHECK int redis_command_at(struct redis *redis, size_t at, int argc, const char *const *argv,
                                const size_t *argv_len, uint64_t deadline_ms,
                                redis_reply_cb *on_reply, void *arg, struct error *err);

/* Class of an error reply; REDIS_CLASS_NONE for NULL or another kind of reply. */
enum redis_error_class redis_error_class(const redisReply *reply);
const char *redis_error_class_name(enum redis_error_class class);

/* The server in texts, "redis 10.0.0.1:6379"; of a cluster the one that serves slot_key. */
const char *redis_server_place(const struct redis *redis);
/* Facts learned at the last connect; NULL or 0 before. */
const char *redis_server_version(const struct redis *redis);
const char *redis_server_run_id(const struct redis *redis);
/* Redis' clock minus ours at the last connect, in ms. */
int64_t redis_clock_skew_ms(const struct redis *redis);
