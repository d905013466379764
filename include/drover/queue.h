/* drover/queue.h - adding jobs to BullMQ queues in Redis, and looking at them, from a C program.
 * drover-queue(3) is the manual page; link with `pkg-config --libs drover-queue`.
 *
 * Everything is asynchronous on a libuv loop of yours. A call that returns 0 was accepted, and its
 * callback runs exactly once, later, on the loop, never inside the call, whatever happens to Redis.
 * A call that returns less was not: a negative errno, the reason in *error (which may be NULL), and
 * its callback never runs. Callbacks may make calls. All that a callback is handed is borrowed
 * during it, all that a call is given is copied before it returns, unless it says otherwise.
 *
 * One thread: the loop's. hiredis writes with write(2), so the program ignores SIGPIPE.
 *
 * All names begin with drover_ or DROVER_; the library has no other symbols, prints nothing and
 * keeps no state of its own. */
#ifndef DROVER_QUEUE_H
#define DROVER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every change after which a program must be looked at; additions do not count. */
#define DROVER_QUEUE_API 1

#if defined(__GNUC__)
#define DROVER_CHECKED __attribute__((warn_unused_result))
#else
#define DROVER_CHECKED
#endif

/* "0.2.0": of the library that is linked. */
const char *drover_version(void);

/* What went wrong, for people. */
struct drover_error {
    int code; /* negative errno */
    char text[1024];
};

/* Text with a length; absent: data NULL. */
struct drover_text {
    const char *data;
    size_t len;
};

static inline struct drover_text drover_text(const char *text)
{
    struct drover_text made = { text, text ? strlen(text) : 0 };

    return made;
}

/* ---- a connection ---- */

struct drover_connection;

enum drover_state {
    DROVER_READY,  /* calls are accepted */
    DROVER_LOST,   /* it was lost or could not be made; it comes back by itself, unless `once` */
    DROVER_CLOSED, /* the last callback: the connection is no more to be used */
};

/* why: "" or the reason, naming the server. A try that fails for the same reason as the one before
 * is not told again. */
typedef void drover_state_cb(struct drover_connection *connection, enum drover_state state,
                             const char *why, void *arg);

struct drover_connection_options {
    const char *url;      /* redis://[user@]host[:port][/db] or unix:///path[?db=N]; more kinds, as
                             Sentinels, in drover.yaml(5). No password in it. */
    const char *password; /* NULL: none */
    const char *client_name;     /* seen in CLIENT LIST; NULL: none */
    uint64_t connect_timeout_ms; /* 0: 5 seconds */
    uint64_t command_timeout_ms; /* a later answer means that the connection is lost; 0: 5 s */
    bool once; /* the first failure ends in DROVER_CLOSED: for programs that run to an end */
    drover_state_cb *on_state; /* NULL: nobody is told */
    void *arg;
};

DROVER_CHECKED int drover_connect(uv_loop_t *loop, const struct drover_connection_options *options,
                                  struct drover_connection **out_connection,
                                  struct drover_error *error);

/* Calls under way are answered (DROVER_UNKNOWN, unless their answer is there first), then comes
 * DROVER_CLOSED. Calls on its queues return -ENOTCONN from then on. Safe in callbacks, and twice
 * before DROVER_CLOSED; NULL is allowed. */
void drover_disconnect(struct drover_connection *connection);

/* ---- a queue ---- */

struct drover_queue;

/* prefix NULL: "bull". No call of its own: a queue is there as soon as a job is in it. */
DROVER_CHECKED int drover_queue_new(struct drover_connection *connection, const char *prefix,
                                    const char *name, struct drover_queue **out_queue,
                                    struct drover_error *error);
/* Not while a call of it is under way, or a reader of its events; before or after the end of its
 * connection. NULL is allowed. */
void drover_queue_free(struct drover_queue *queue);

/* From now on an add is answered when so many replicas have it, or after timeout_ms with
 * DROVER_UNREPLICATED. 0: it waits for none, as at first. */
void drover_queue_wait_replicas(struct drover_queue *queue, unsigned int replicas,
                                uint64_t timeout_ms);

/* What became of a call. */
enum drover_outcome {
    DROVER_DONE,
    DROVER_UNREPLICATED, /* done, but too few replicas have it: a failover may forget it */
    DROVER_REFUSED,      /* Redis refused it, nothing was written */
    DROVER_UNKNOWN,      /* lost on the way: it may have happened or not */
};

struct drover_answer {
    enum drover_outcome outcome;
    const char *why; /* "" when done */
};

/* ---- jobs ---- */

enum drover_backoff_kind { DROVER_BACKOFF_NONE, DROVER_BACKOFF_FIXED, DROVER_BACKOFF_EXPONENTIAL };

/* How long a failed job waits until it is tried again. */
struct drover_backoff {
    enum drover_backoff_kind kind;
    uint64_t delay_ms;
    double jitter; /* 0 … 1; 0.5: between half and all of it, by chance */
};

/* Which finished jobs stay in Redis. */
struct drover_keep {
    bool given;    /* false: the worker's own rule, else all */
    int64_t count; /* -1 all, 0 none, n the newest n */
    double age_s;  /* older ones go; 0 no limit */
};

/* What a parent does when a child has failed for good. */
enum drover_policy {
    DROVER_POLICY_NONE,              /* goes on waiting */
    DROVER_POLICY_FAIL_PARENT,       /* fails */
    DROVER_POLICY_CONTINUE_PARENT,   /* starts at once, and sees the failure */
    DROVER_POLICY_IGNORE_DEPENDENCY, /* the child counts as done; the parent sees the failure */
    DROVER_POLICY_REMOVE_DEPENDENCY, /* the child counts as done, and nothing is said of it */
};

/* One job at a time with this id. */
struct drover_deduplication {
    struct drover_text id;    /* absent: none */
    uint64_t ttl_ms;          /* so long from the first add; 0: until that job has ended */
    bool extend;              /* each job that is not added starts ttl_ms anew */
    bool replace;             /* a job that is still delayed gives way to the new one */
    bool keep_last_if_active; /* of what comes while the job runs, the last one runs after it */
    bool reschedule; /* a job that is still delayed gets the new one's delay; not with replace */
};

struct drover_job {
    struct drover_text name; /* what kind of job: workers choose by it */
    struct drover_text data; /* JSON; absent: {} */
    struct drover_text id;   /* of your own, not a whole number; absent: automatic */
    uint64_t timestamp_ms;   /* since the epoch; 0: now */
    uint64_t delay_ms;
    uint64_t priority; /* 1 is the highest, 2097151 the lowest; 0: before all of these */
    bool lifo;         /* runs next */
    uint64_t attempts; /* 0 and 1: one */
    struct drover_backoff backoff;
    struct drover_keep keep_completed, keep_failed;
    int64_t stack_trace_limit;                  /* stack traces that are kept; -1: all */
    int64_t keep_logs;                          /* lines of its log that are kept; -1: all */
    uint64_t size_limit;                        /* bytes of data allowed; 0: any */
    struct drover_text parent_id, parent_queue; /* a job that waits for this one, and where it is:
                                                   "<prefix>:<queue>"; absent: none */
    enum drover_policy policy;                  /* counts when it has a parent */
    struct drover_deduplication deduplication;  /* not together with a parent */
    struct drover_text telemetry; /* metadata of a trace, for the worker; absent: none */
    bool omit_context;            /* the worker does not carry the trace on */
    struct drover_text extra;     /* JSON object of options of your own; absent: none */
};

/* In C and C++ alike: struct drover_job job = drover_job("name", "{}"); data NULL: {}. */
static inline struct drover_job drover_job(const char *name, const char *data)
{
    struct drover_job job;

    memset(&job, 0, sizeof(job));
    job.name = drover_text(name);
    job.data = drover_text(data);
    job.stack_trace_limit = -1;
    job.keep_logs = -1;
    return job;
}

enum drover_add_code {
    DROVER_ADDED = 0,
    DROVER_ADD_UNSTORED = -1,        /* a key that it needs holds something else */
    DROVER_ADD_PARENT_MISSING = -5,  /* no such parent */
    DROVER_ADD_PARENT_OF_OTHER = -7, /* a job of this id is the child of another parent */
};

struct drover_added {
    enum drover_add_code code;
    const char *id;    /* of the job, or of the one that is there instead; NULL when refused */
    bool duplicate;    /* a job of this id existed: it was left as it is, but for a new parent */
    bool deduplicated; /* not added: `id` is the job that has the deduplication id */
    bool kept_as_next; /* deduplicated, and becomes a job when that one has ended */
    const char *why;   /* reason when refused, else "" */
};

/* results[i] is of jobs[i]; NULL unless done. */
typedef void drover_add_cb(struct drover_queue *queue, const struct drover_answer *answer,
                           const struct drover_added *results, size_t count, void *arg);

/* Adds all of them in order, in one step. All are checked first: -EINVAL names the first bad one,
 * and none is sent. Safe to repeat for jobs with an id of your own. */
#define DROVER_ADD_MAX 500
DROVER_CHECKED int drover_add(struct drover_queue *queue, const struct drover_job *jobs,
                              size_t count, drover_add_cb *on_done, void *arg,
                              struct drover_error *error);

/* The checks of drover_add, of one job: -EINVAL names the member. */
DROVER_CHECKED int drover_job_check(const struct drover_job *job, struct drover_error *error);

/* ---- flows: a tree of jobs, in which each waits for its children ---- */

struct drover_flow_node {
    const char *prefix;    /* NULL: that of the queue that the call is made on */
    const char *queue;     /* NULL: that queue */
    struct drover_job job; /* without an id it gets a random UUID; only the root may have a parent,
                              none a deduplication */
    const struct drover_flow_node *children;
    size_t children_count;
};

#define DROVER_FLOW_MAX       1000 /* jobs of one tree */
#define DROVER_FLOW_DEPTH_MAX 100  /* levels */
/* All of it or nothing, in one step; results are depth first, a parent before its children. When
 * one has a code other than DROVER_ADDED nothing was added. In a cluster all queues of the tree
 * must lie in one hash slot. */
DROVER_CHECKED int drover_add_flow(struct drover_queue *queue, const struct drover_flow_node *root,
                                   drover_add_cb *on_done, void *arg, struct drover_error *error);
/* The same out of JSON as BullMQ's FlowProducer takes it: {"name", "queueName", "prefix", "data",
 * "opts", "children"}. What is unknown in it is refused with its place. */
DROVER_CHECKED int drover_add_flow_json(struct drover_queue *queue, const char *json, size_t len,
                                        drover_add_cb *on_done, void *arg,
                                        struct drover_error *error);

/* ---- schedulers: jobs at an interval, or by a cron pattern ---- */

struct drover_scheduler {
    struct drover_text id;      /* of an existing one: replaces it and its pending job */
    uint64_t every_ms;          /* either this … */
    struct drover_text pattern; /* … or five or six fields of cron, as 30 2 * * * */
    struct drover_text tz;      /* of the pattern, as Europe/Berlin; give one, or each worker takes
                                   its own */
    uint64_t offset_ms;         /* with every_ms, below it: after the full intervals */
    bool has_limit;
    uint64_t limit;                  /* most jobs in all */
    uint64_t start_at_ms, end_at_ms; /* none before, none after; 0: not given */
    bool immediately;                /* with a pattern: the first one now */
    struct drover_job job; /* of each: without id, delay, timestamp, parent; name absent: the id */
};

struct drover_scheduled {
    const char *job_id; /* the pending job; NULL when refused: jobs of these times exist already */
    uint64_t delay_ms;  /* until it is due */
    const char *why;    /* reason when refused, else "" */
};
typedef void drover_scheduled_cb(struct drover_queue *queue, const struct drover_answer *answer,
                                 const struct drover_scheduled *result, void *arg);
/* Makes or replaces it. -ERANGE: it would never make a job, nothing is stored. Safe to repeat. */
DROVER_CHECKED int drover_upsert_scheduler(struct drover_queue *queue,
                                           const struct drover_scheduler *scheduler,
                                           drover_scheduled_cb *on_done, void *arg,
                                           struct drover_error *error);

typedef void drover_removed_cb(struct drover_queue *queue, const struct drover_answer *answer,
                               bool removed, void *arg);
/* removed false: there was none. A job of it that waits or runs already is left. */
DROVER_CHECKED int drover_remove_scheduler(struct drover_queue *queue, struct drover_text id,
                                           drover_removed_cb *on_done, void *arg,
                                           struct drover_error *error);

struct drover_scheduler_entry {
    struct drover_text id, name, pattern, tz; /* absent where there is none */
    struct drover_text data, opts;            /* of the jobs; JSON */
    uint64_t next_at_ms;                      /* of the pending job */
    uint64_t every_ms, offset_ms;
    uint64_t iterations; /* jobs made so far, the pending one included */
    bool has_limit;
    uint64_t limit, start_at_ms, end_at_ms;
};
typedef void drover_schedulers_cb(struct drover_queue *queue, const struct drover_answer *answer,
                                  const struct drover_scheduler_entry *entries, size_t count,
                                  uint64_t total, void *arg);
/* By their next time, from rank `start` (0 the one that is next), at most DROVER_SCHEDULERS_MAX. */
#define DROVER_SCHEDULERS_MAX 200
DROVER_CHECKED int drover_list_schedulers(struct drover_queue *queue, uint64_t start, size_t count,
                                          drover_schedulers_cb *on_done, void *arg,
                                          struct drover_error *error);

/* ---- looking ---- */

struct drover_counts {
    uint64_t waiting; /* those of a paused queue included */
    uint64_t active, prioritized, delayed, waiting_children, completed, failed;
    bool paused;
};
typedef void drover_counts_cb(struct drover_queue *queue, const struct drover_answer *answer,
                              const struct drover_counts *counts, void *arg);
DROVER_CHECKED int drover_count_jobs(struct drover_queue *queue, drover_counts_cb *on_done,
                                     void *arg, struct drover_error *error);

/* One job as it is stored: `name`, `data`, `opts`, `returnvalue`, `failedReason`, … */
struct drover_job_view {
    const char *state; /* waiting, active, delayed, prioritized, waiting-children, completed,
                          failed; unknown: in none of them */
    size_t fields_count;
    const struct drover_text *names, *values;
};
/* view NULL: there is no such job, or the call was not done. */
typedef void drover_view_cb(struct drover_queue *queue, const struct drover_answer *answer,
                            const struct drover_job_view *view, void *arg);
DROVER_CHECKED int drover_get_job(struct drover_queue *queue, const char *id,
                                  drover_view_cb *on_done, void *arg, struct drover_error *error);

enum drover_finished {
    DROVER_JOB_GONE,       /* it is not there, or was removed unfinished */
    DROVER_JOB_UNFINISHED, /* not within the time */
    DROVER_JOB_COMPLETED,  /* value: what it returned, JSON */
    DROVER_JOB_FAILED,     /* value: why, text */
};

/* ---- events ---- */

struct drover_event {
    const char *id;                   /* its place in the stream: go on behind it */
    uint64_t at_ms;                   /* by Redis' clock, since the epoch */
    struct drover_text event, job_id; /* "completed", "failed", "added", …; absent: none */
    size_t fields_count;
    const struct drover_text *names, *values; /* all of them */
};

struct drover_events; /* a reader; it has a connection of its own */

#define DROVER_EVENTS_LOST_UNKNOWN UINT64_MAX

/* Events in order; count 0 once when the reading begins, and when none came for some seconds.
 * `lost` entries are missing before the first, because the stream was cut while the reader was
 * behind; DROVER_EVENTS_LOST_UNKNOWN: some. Return false to stop. */
typedef bool drover_events_cb(struct drover_queue *queue, const struct drover_event *events,
                              size_t count, uint64_t lost, void *arg);
/* The last callback; the reader's memory is gone. DROVER_DONE: it was stopped; otherwise its
 * connection ended: follow again behind the last id. */
typedef void drover_events_end_cb(struct drover_queue *queue, const struct drover_answer *answer,
                                  void *arg);

/* from: an event's id; "0": the oldest; "$" or NULL: what comes from now on. */
DROVER_CHECKED int drover_follow_events(struct drover_queue *queue, const char *from,
                                        drover_events_cb *on_events, drover_events_end_cb *on_end,
                                        void *arg, struct drover_events **out_events,
                                        struct drover_error *error);
/* on_end follows; at most seconds later, as a read may be under way. */
void drover_stop_events(struct drover_events *events);

typedef void drover_finished_cb(struct drover_queue *queue, const struct drover_answer *answer,
                                enum drover_finished finished, struct drover_text value, void *arg);
/* Until the job has ended, or timeout_ms have passed (0: no end). By a connection of its own. A job
 * that is removed as it completes is seen as well. */
DROVER_CHECKED int drover_wait_job(struct drover_queue *queue, const char *id, uint64_t timeout_ms,
                                   drover_finished_cb *on_done, void *arg,
                                   struct drover_error *error);

#ifdef __cplusplus
}
#endif

#endif
