/* queue_internal.h - what the files of common/queue share about a queue: its keys, made once, and
 * the way in which they call a script. Nobody outside this folder includes it.
 *
 * A worker's scripts are all called in one way: KEYS are all keys of the queue in the order of
 * `enum queue_key` (named for Lua in lua/lib/keys.lua), ARGV[1] is the prefix of the queue, ARGV[2]
 * the prefix of drover's own keys, and the script's own arguments follow from ARGV[3]. Others take
 * the few keys that they need (queue_args_add_key). */
#pragma once

#include "common/base/buf.h"
#include "common/queue/lua/queue_scripts.h"
#include "common/queue/queue.h"

/* The order is the scripts' KEYS[1…]; lua/lib/keys.lua lists the same. */
enum queue_key {
    QUEUE_KEY_WAIT,
    QUEUE_KEY_PAUSED,
    QUEUE_KEY_ACTIVE,
    QUEUE_KEY_PRIORITIZED,
    QUEUE_KEY_DELAYED,
    QUEUE_KEY_WAITING_CHILDREN,
    QUEUE_KEY_COMPLETED,
    QUEUE_KEY_FAILED,
    QUEUE_KEY_MARKER,
    QUEUE_KEY_ID,
    QUEUE_KEY_PC,
    QUEUE_KEY_META,
    QUEUE_KEY_EVENTS,
    QUEUE_KEY_STALLED,
    QUEUE_KEY_STALLED_CHECK,
    QUEUE_KEY_LIMITER,
    QUEUE_KEY_COUNT,
};

#define QUEUE_NUMBER_BYTES 24 /* a decimal uint64_t or int64_t with its NUL */

/* The argument vector of the call being built; the memory is kept for the next one. */
struct queue_args {
    const char **argv; /* borrowed pointers, or into `numbers` */
    size_t *argv_len;
    char (*numbers)[QUEUE_NUMBER_BYTES]; /* one place an argument; never moved while building */
    size_t count;                        /* arguments so far, keys included */
    size_t cap;                          /* of the three arrays */
};

struct options_cache; /* fetched.c: parsed opts by their exact text */

struct queue {
    char *name;
    struct bytes key_prefix;     /* "<prefix>:<name>:" */
    struct bytes private_prefix; /* of all keys of drover's own for this queue, see queue.c */
    struct bytes keys[QUEUE_KEY_COUNT];
    struct redis *redis;    /* borrowed; NULL until known */
    struct redis_wait wait; /* of queue_args_run_kept; replicas 0: it does not wait */
    struct queue_args args;
    struct options_cache *options_cache; /* owned; made at the first fetch; options_cache_free */
    unsigned turns_under_way;            /* calls of turn.lua without their callback yet */
};

/* ---- calling a script (call.c)
 * ----------------------------------------------------------------------------------------- */

/* Starts an empty vector with room for `max` arguments, keys included. */
MUST_CHECK int queue_args_begin(struct queue *queue, size_t max, struct error *err);
/* Each adds arguments; more than max is our mistake (assert). Bytes are borrowed until
 * queue_args_run returns. */
#define QUEUE_ARGS_STANDARD (QUEUE_KEY_COUNT + 2)
void queue_args_add_standard(struct queue *queue); /* all keys and the two prefixes */
void queue_args_add_prefixes(
    struct queue *queue); /* these alone, behind keys of one's own choice */
void queue_args_add_key(struct queue *queue, enum queue_key key);
void queue_args_add(struct queue *queue, const char *data, size_t len);
void queue_args_add_text(struct queue *queue, const char *text);
void queue_args_add_bytes(struct queue *queue, struct bytes bytes); /* absent: "" */
void queue_args_add_uint(struct queue *queue, uint64_t value);
void queue_args_add_int(struct queue *queue, int64_t value);
/* Sends the script with that vector, whose first `keys_count` are keys. -ENOTCONN without a
 * connection. */
MUST_CHECK int queue_args_run(struct queue *queue, const struct redis_script *script,
                              size_t keys_count, redis_reply_cb *on_reply, void *arg,
                              struct error *err);
/* The same for what must survive a failover: an add, a settle, a fetch. As queue_set_wait says. */
MUST_CHECK int queue_args_run_kept(struct queue *queue, const struct redis_script *script,
                                   size_t keys_count, redis_reply_cb *on_reply, void *arg,
                                   struct error *err);
void queue_args_done(struct queue_args *args);

/* Turns what the connection says into what a queue's callback gets: REDIS_REPLY, or
 * REDIS_UNREPLICATED, only when `reply` is an array of at least `min_elements` (0: any reply).
 * Otherwise outcome, class and text are
 * those of the refusal; a reply of another shape is REDIS_REFUSED, class OTHER. */
struct call_result queue_call_result(enum redis_outcome outcome, const redisReply *reply,
                                     const char *why, size_t min_elements);

/* A context for calls that end in a queue_done_cb with a whole number: pass queue_on_number as the
 * reply callback and the context as its argument. NULL on no memory. */
struct queue_done_call;
struct queue_done_call *queue_done_call_new(struct queue *queue, queue_done_cb *on_done, void *arg);
redis_reply_cb queue_on_number;
/* Sends a script with the standard keys that answers a number. */
MUST_CHECK int queue_args_run_for_number(struct queue *queue, const struct redis_script *script,
                                         queue_done_cb *on_done, void *arg, struct error *err);

/* Values of a reply. Elements that are missing or of another kind give the fallback. */
struct bytes queue_reply_bytes(const redisReply *reply); /* absent for nil; borrowed */
uint64_t queue_reply_uint(const redisReply *reply, uint64_t fallback);

/* -EINVAL when they can't be those of a queue (queue.c). */
MUST_CHECK int queue_check_names(const char *prefix, const char *name, struct error *err);

/* True when a job of this id would have the key of something else, as "wait" or "meta" (queue.c).
 */
bool queue_is_key_name(const char *id, size_t len);

/* ---- jobs out of answers (fetched.c)
 * ----------------------------------------------------------------------------------- */

#define QUEUE_TOKEN_BYTES sizeof(((struct job *)0)->token)

/* The job of a row as turn.lua and adopt.lua answer it (lua/lib/job.lua), whose lock holds `token`;
 * NULL: it is in the row (adopt.lua). Returns NULL when that is no row, or on no memory: such a job
 * is not passed on, its lock runs out and the stalled check puts it back. */
struct job *queue_read_job(struct queue *queue, const redisReply *row, const char *token);
void options_cache_free(struct options_cache *cache);

/* ---- deaths (recover.c)
 * ----------------------------------------------------------------------------------- */

/* "<ISO time UTC> <cause>", as it is kept in the history of a job; cut at the end of a character.
 * Returns `out`. */
#define QUEUE_DEATH_BYTES 256
const char *queue_write_death(struct bytes cause, char out[QUEUE_DEATH_BYTES]);

/* ---- walks through `active` (recover.c, adopt.c)
 * A script looks at one piece of the list a call and answers where to go on (lua/lib/walk.lua); the
 * caller repeats it with those anchors, out of the reply that it just got. */

#define QUEUE_WALK_PIECE     500   /* ids looked at by one call */
#define QUEUE_WALK_CALLS_MAX 10000 /* no honest list needs so many */

void queue_args_add_elements(struct queue *queue, redisReply *const *elements, size_t count);
/* How a walk ends whose next call could not be sent, and one of too many calls. `err` is borrowed.
 */
struct call_result queue_walk_unsent(const struct error *err);
int queue_walk_check_calls(size_t calls, struct error *err);

/* ---- the registry (registry.c)
 * ----------------------------------------------------------------------------------- */

/* Adds field and value of each field of a process' row; nothing without an identity. */
#define QUEUE_IDENTITY_ARGS 32
void queue_args_add_identity(struct queue *queue, const struct worker_identity *identity);
