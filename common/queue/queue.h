/* queue.h - one BullMQ queue in Redis: which jobs wait, which are active, by whom and until when.
 * A job is in exactly one set at any moment; only the scripts in common/queue/lua/ move it, one
 * script a transition. All calls are asynchronous on the connection's loop; a callback runs once,
 * later, never inside the call. A call returns 0, or a negative errno and then its callback is
 * never run (-ENOTCONN, -ENOBUFS, -ENOMEM, -EINVAL). */
#pragma once

#include "common/queue/job.h"
#include "common/redis/redis.h"

struct queue;

/* Lists of scripts (NULL-terminated). A connection loads those that it is going to pipeline; any
 * other one goes with its text at its first call on a server. All of them take Redis 10 ms. */
extern const struct redis_script *const queue_scripts[];        /* all there are */
extern const struct redis_script *const queue_worker_scripts[]; /* fetching, settling, owning */
extern const struct redis_script *const queue_add_scripts[];    /* adding */

/* `redis` is borrowed and may be NULL until queue_set_redis. name: not empty, no ':'. */
MUST_CHECK int queue_new(const char *prefix, const char *name, struct redis *redis,
                         struct queue **out_queue, struct error *err);
void queue_free(struct queue *queue); /* no call may be under way */
/* The connection that carries all calls from now on (borrowed; NULL: calls return -ENOTCONN). */
void queue_set_redis(struct queue *queue, struct redis *redis);
/* From now on an add's and a turn's callback waits until `wait->replicas` replicas have what was
 * written, for wait->timeout_ms at most (REDIS_UNREPLICATED); NULL, as at first: for none. */
void queue_set_wait(struct queue *queue, const struct redis_wait *wait);
const char *queue_name(const struct queue *queue);
const char *queue_key_prefix(const struct queue *queue); /* "<prefix>:<name>:" */
/* Key of drover's own, outside the queue's prefix but in its hash slot, and of this queue alone:
 * "drover:{<prefix>:<queue>}:<suffix>", or with braces in these names, whose text is the tag then,
 * "drover:{tag}:<prefix>:<queue>:<suffix>". malloc'ed. */
char *queue_private_key(const struct queue *queue, const char *suffix);
/* CLIENT SETNAME of a worker's blocking connection, for getWorkers() (wire format 8.14); malloc'ed.
 */
char *queue_worker_client_name(const struct queue *queue, const char *worker_name);

/* How a whole call ended. Per-job results are beside it, also of one that is REDIS_UNREPLICATED: it
 * was done, but fewer replicas than queue_set_wait wants have it, and a failover may forget it. */
struct call_result {
    enum redis_outcome outcome;
    enum redis_error_class error_class; /* when REDIS_REFUSED */
    const char *why;                    /* for people; "" when REDIS_REPLY; borrowed */
};

/* ---- settle and fetch: a worker's one call
 * ------------------------------------------------------------- */

enum settle_kind {
    SETTLE_COMPLETE,      /* value: returnvalue JSON */
    SETTLE_FAIL,          /* final; value: failedReason text */
    SETTLE_RETRY,         /* failed attempt, again at once; value: failedReason */
    SETTLE_RETRY_LATER,   /* failed attempt, again after delay_ms; value: failedReason */
    SETTLE_DELAY,         /* not an attempt: back after delay_ms, or at due_at_ms */
    SETTLE_WAIT,          /* not an attempt: next to run (moveToWait). With delay_ms > 0 the queue's
                             rate limit is used up for so long (Worker.rateLimit), and this call
                             fetches nothing */
    SETTLE_WAIT_CHILDREN, /* not an attempt: until its children have ended (moveToWaitingChildren).
                             SETTLE_NO_CHILDREN: none is pending; it is active and ours as before */
    SETTLE_GIVE_BACK,     /* not an attempt: to the front of wait, untouched (drain that ran out of
                             time) */
    SETTLE_GIVE_BACK_COUNTED, /* the same, but the program that ran it died with other jobs in it:
                                 counted as recover.lua does; value: how it died */
};

struct settle {
    enum settle_kind kind;
    const struct job *job;   /* borrowed until the callback */
    struct bytes value;      /* borrowed until the call returns */
    struct bytes stacktrace; /* whole new JSON array, on failures */
    uint64_t delay_ms;
    uint64_t due_at_ms;    /* SETTLE_DELAY: wall time instead of delay_ms, 0 not; past: now */
    uint64_t attempts_max; /* for retries-exhausted */
    struct job_keep keep;
};

enum settle_code {
    SETTLE_NO_CHILDREN = 1, /* of SETTLE_WAIT_CHILDREN only */
    SETTLE_OK = 0,
    SETTLE_GONE = -1, /* no job hash */
    SETTLE_NO_LOCK = -2,
    SETTLE_NOT_ACTIVE = -3,
    SETTLE_CHILDREN_PENDING = -4,
    SETTLE_LOCK_OF_OTHER = -6,
    SETTLE_CHILDREN_FAILED = -9,
    SETTLE_CORRUPT =
        -100, /* its data in Redis is damaged: it was put into `failed` with the reason */
};

struct settle_result {
    enum settle_code code;
    const char *why; /* for SETTLE_CORRUPT; else "" */
};

struct fetch_want {
    size_t max;       /* K: at most so many; 0 only settles */
    uint64_t live;    /* live worker processes of this queue, >= 1, for the fair share */
    size_t bytes_max; /* stop before the jobs' data exceed this (at least one job is taken) */
    bool alone; /* the process holds nothing: take one job that must run alone (job.givebacks >= 2)
                   and nothing else, or nothing when there is none any more. Otherwise such jobs are
                   passed over and stay where they are. */
};

/* What the fetch saw. */
struct fetch_state {
    uint64_t waiting;     /* wait + prioritized left behind; a fetch does not count those that it
                             passed over because they must run alone */
    uint64_t active;      /* LLEN active, afterwards */
    uint64_t next_due_ms; /* wall time of the next delayed job; 0 none */
    uint64_t limit_ms;    /* rate limited, by the queue, by this worker's limiter, or because one of
                             the settles asked for it: fetch again after so long; 0 not */
    bool paused;
    bool maxed;           /* global concurrency reached */
    bool more_due;        /* more due delayed jobs than one call promotes: call again */
    uint64_t ghosts;      /* ids without a job hash that were dropped */
    uint64_t quarantined; /* damaged jobs put into `failed` instead of being fetched */
    bool fenced; /* this process was declared dead (queue_recover): it will never get a job again
                    under this uuid, and what it holds is being given to others */
    bool alone; /* jobs that must run alone were passed over, and this process is the one that shall
                   empty itself for them: fetch no more until it holds nothing, then with
                   fetch_want.alone */
};

/* `jobs` and the memory of the jobs belong to the callee (job_free each). results[i] is of
 * settles[i]. On an outcome other than REDIS_REPLY results and jobs are NULL and counts 0: ask
 * queue_outcome about each settle. */
typedef void queue_turn_cb(struct queue *queue, const struct call_result *call,
                           const struct settle_result *results, size_t results_count,
                           struct job **jobs, size_t jobs_count, const struct fetch_state *state,
                           void *arg);

#define QUEUE_TURN_MAX 64 /* most jobs settled, and most fetched, by one call */

/* What the registry says of a process: who it is, and how it fares. Texts are NUL-terminated. */
struct worker_identity {
    const char *host, *machine, *boot; /* as struct process_host; "" unknown */
    uint64_t pid_space;
    uint64_t pid, start_ticks; /* start_ticks: from /proc/PID/stat */
    const char *master;        /* uuid of the run of the master that started it */
    const char *version;       /* of drover */
    uint64_t slot, slots, generation;
    uint64_t started_at_ms;              /* wall */
    uint64_t running, completed, failed; /* as of this beat */
};

/* A worker's own rate limit, of all jobs of the queue that workers with a limiter fetch. The
 * queue's own maximum (meta.max) goes before `max`; its duration does not go before `duration_ms`
 * (wire format 4.1). A job that only carries its failure with it uses nothing up. */
struct limiter {
    uint64_t max; /* jobs; 0: no limiter */
    uint64_t duration_ms;
};

#define QUEUE_METRICS_POINTS_MAX 100000

/* Who fetches: written into locks and `pb`. */
struct fetcher {
    char uuid[40];           /* of this process' spawn */
    const char *worker_name; /* `pb`; NULL for none; no blanks */
    uint64_t lock_ms;
    uint64_t calls;          /* n of the newest call; grows by one just before each is sent */
    uint64_t max_givebacks;  /* a job whose process died so often fails, >= 1 */
    struct limiter limiter;  /* may change between calls, likewise: */
    uint64_t metrics_points; /* minutes of ended jobs kept in the queue's metrics lists, at most
                                QUEUE_METRICS_POINTS_MAX; 0: none are written */
    const struct worker_identity *identity; /* written by each renewal; borrowed; NULL: not in the
                                               registry */
};

/* Settles `count` jobs in the given (fetch) order, then fetches. One script; each job in a
 * protected call. */
MUST_CHECK int queue_turn(struct queue *queue, struct fetcher *fetcher,
                          const struct settle *settles, size_t count, const struct fetch_want *want,
                          queue_turn_cb *on_done, void *arg, struct error *err);

/* ---- owning
 * ------------------------------------------------------------------------------------------- */

enum lock_answer {
    LOCK_EXTENDED,
    LOCK_RELOCKED, /* had expired, nobody had taken the job: the same token is set again */
    LOCK_LOST,
};

/* What a renewal tells besides. */
struct renew_state {
    uint64_t live; /* processes that serve the queue, this one included */
    bool fenced;   /* it was declared dead: all answers are LOCK_LOST and nothing was written */
    bool waiting_known;
    uint64_t waiting;      /* jobs that could run, those of a paused queue included */
    uint64_t oldest_at_ms; /* when the one that runs next was added; 0: none */
};

/* Answers in the order of jobs. Also beats: keeps this process among the live ones and writes its
 * row of the registry. On an outcome other than REDIS_REPLY answers and state are NULL. */
typedef void queue_renew_cb(struct queue *queue, const struct call_result *call,
                            const enum lock_answer *answers, size_t count,
                            const struct renew_state *state, void *arg);
#define QUEUE_RENEW_MAX 1000
MUST_CHECK int queue_renew(struct queue *queue, const struct fetcher *fetcher,
                           const struct job *const *jobs, size_t count, queue_renew_cb *on_done,
                           void *arg, struct error *err);

enum job_outcome {
    OUTCOME_DONE,     /* that call was executed: the job is settled (or was no longer ours then) */
    OUTCOME_MINE,     /* still active under my token */
    OUTCOME_FREE,     /* still active, its lock expired, nobody took it: renew relocks it */
    OUTCOME_NOT_MINE, /* gone, or somebody else's */
};
/* After a lost reply: was the call that carried n (fetcher.calls at that time) executed, and whose
 * are the jobs? Calls of this uuid that may still arrive on the old connection do nothing from then
 * on. Ask queue_adopt next: those calls may have fetched jobs that never arrived. */
typedef void queue_outcome_cb(struct queue *queue, const struct call_result *call,
                              const enum job_outcome *outcomes, size_t count, void *arg);
MUST_CHECK int queue_outcome(struct queue *queue, const struct fetcher *fetcher,
                             const struct job *const *settled, const uint64_t *settle_calls,
                             size_t count, queue_outcome_cb *on_done, void *arg, struct error *err);

/* Jobs in `active` under this process' uuid that it does not know (`known`: all that it holds): up
 * to `want` of them are adopted (their locks prolonged, handed over in the order of fetching), the
 * others go back to the front of wait without an attempt. Loops over bounded calls. After
 * queue_outcome, while no turn is under way (-EBUSY). `fetcher` is borrowed until the callback:
 * each call takes a number of its own, so that one that arrives late does nothing. On an outcome
 * other than REDIS_REPLY what was adopted so far is handed over all the same; ask again. The jobs
 * belong to the callee. */
typedef void queue_adopt_cb(struct queue *queue, const struct call_result *call, struct job **jobs,
                            size_t jobs_count, uint64_t given_back, bool fenced, void *arg);
#define QUEUE_ADOPT_MAX 256 /* most jobs adopted; more are given back */
MUST_CHECK int queue_adopt(struct queue *queue, struct fetcher *fetcher,
                           const struct job *const *known, size_t known_count, size_t want,
                           queue_adopt_cb *on_done, void *arg, struct error *err);

/* ---- the dead, and the registry of the living (design 2)
 * ------------------------------------------------------------------------------ */

struct recover_spec {
    const char *uuid;  /* of a process that is seen dead together with all it had started */
    const char *cause; /* how it died, for the history in its jobs; NULL or "": not counted (the
                          whole host or the master died, which says nothing about the jobs) */
    uint64_t max_givebacks; /* >= 1 */
};
struct recover_result {
    uint64_t given_back; /* to the front of wait: attempts and `stc` unchanged */
    uint64_t failed; /* given back max_givebacks times: in `failed`, with the history of deaths */
};
/* Fences the uuid for a day, then gives back every job in `active` whose lock is of it. Loops over
 * bounded calls; safe to repeat, by anybody, at any time: after an outcome other than REDIS_REPLY
 * (`result` then counts what was done so far) simply again. Forgets the uuid's row of the registry
 * at the end. */
typedef void queue_recover_cb(struct queue *queue, const struct call_result *call,
                              const struct recover_result *result, void *arg);
MUST_CHECK int queue_recover(struct queue *queue, const struct recover_spec *spec,
                             queue_recover_cb *on_done, void *arg, struct error *err);

/* One row of the registry; texts are borrowed during the callback, "" when absent or odd. */
struct worker_entry {
    const char *uuid;
    struct worker_identity identity;
    uint64_t beat;        /* counter: grows with every renewal */
    uint64_t beat_age_ms; /* since the last one, by Redis' clock */
};
/* Every process that has served this queue and neither left in good order nor was recovered. */
typedef void queue_workers_cb(struct queue *queue, const struct call_result *call,
                              const struct worker_entry *entries, size_t count, void *arg);
MUST_CHECK int queue_list_workers(struct queue *queue, queue_workers_cb *on_done, void *arg,
                                  struct error *err);

typedef void queue_done_cb(struct queue *queue, const struct call_result *call, int64_t value,
                           void *arg);

/* Keeps a uuid from fetching, for a day, and nothing else: its process could not be seen dead. */
MUST_CHECK int queue_fence(struct queue *queue, const char *uuid, queue_done_cb *on_done, void *arg,
                           struct error *err);

/* Makes `concurrency` (> 0) the most jobs that may be active at once in the queue, whoever runs
 * them (meta.concurrency). 0: takes back what a call of this function has set, unless somebody else
 * has changed it since; what others have set stays. value: 1 when that changed something, else 0.
 */
MUST_CHECK int queue_apply_concurrency(struct queue *queue, uint64_t concurrency,
                                       queue_done_cb *on_done, void *arg, struct error *err);

/* Forgets this process (clean end): it no longer counts as live, and leaves the registry. */
MUST_CHECK int queue_leave(struct queue *queue, const struct fetcher *fetcher,
                           queue_done_cb *on_done, void *arg, struct error *err);

/* The stalled check (wire format 7), gated for all peers; value: ids put back, also by a check that
 * was broken off; -1: another one was less than an interval ago. Loops over bounded calls. */
MUST_CHECK int queue_check_stalled(struct queue *queue, uint64_t interval_ms, uint64_t max_stalled,
                                   queue_done_cb *on_done, void *arg, struct error *err);

/* Blocks on the marker for at most timeout_ms; `due_ms`: wall time in the popped marker's score, 0
 * for work now; UINT64_MAX: timed out. Only on a connection opened as blocking. */
typedef void queue_wait_cb(struct queue *queue, const struct call_result *call, uint64_t due_ms,
                           void *arg);
MUST_CHECK int queue_wait_marker(struct queue *queue, struct redis *blocking, uint64_t timeout_ms,
                                 queue_wait_cb *on_done, void *arg, struct error *err);
/* Puts a popped "work now" marker back (a worker that stops while holding one). */
MUST_CHECK int queue_return_marker(struct queue *queue, queue_done_cb *on_done, void *arg,
                                   struct error *err);
