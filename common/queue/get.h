/* get.h - looking at a queue: counts, ranges, one job, what it depends on, its log, who serves it.
 * Nothing here writes. Every call is one bounded round trip unless it says that it loops; what is
 * larger is read page by page with a cursor or a rank. Callbacks run once, later, as in queue.h;
 * all that they are handed is borrowed during the call. On an outcome other than REDIS_REPLY the
 * results are NULL and counts 0. */
#pragma once

#include "common/queue/queue.h"

/* ---- states ---- */

/* Where a job can be (wire format 1.2). PAUSED is the list in which version 5 keeps the waiting
 * jobs of a paused queue; a job in it is called waiting. */
enum queue_state {
    QUEUE_STATE_WAITING,
    QUEUE_STATE_PAUSED,
    QUEUE_STATE_ACTIVE,
    QUEUE_STATE_PRIORITIZED,
    QUEUE_STATE_DELAYED,
    QUEUE_STATE_WAITING_CHILDREN,
    QUEUE_STATE_COMPLETED,
    QUEUE_STATE_FAILED,
    QUEUE_STATE_COUNT,
};
/* BullMQ's word: "waiting", "waiting-children", … */
const char *queue_state_name(enum queue_state state);
/* The state of that word ("wait" is good as well). -EINVAL names those that there are. */
MUST_CHECK int queue_state_parse(const char *word, enum queue_state *out_state, struct error *err);

/* ---- counts ---- */

struct queue_counts {
    uint64_t waiting, paused_list, active, prioritized, delayed, waiting_children, completed,
        failed;
    bool paused;
    uint64_t oldest_waiting_at_ms; /* timestamp of the job next to run; 0 none */
};
uint64_t queue_counts_of(const struct queue_counts *counts, enum queue_state state);
typedef void queue_counts_cb(struct queue *queue, const struct call_result *call,
                             const struct queue_counts *counts, void *arg);
MUST_CHECK int queue_count_jobs(struct queue *queue, queue_counts_cb *on_done, void *arg,
                                struct error *err);

/* Jobs that wait with each of these priorities (0: without one; each ≤ 2097151), in their order. */
#define QUEUE_PRIORITIES_MAX 100
typedef void queue_priorities_cb(struct queue *queue, const struct call_result *call,
                                 const uint64_t *counts, size_t count, void *arg);
MUST_CHECK int queue_count_priorities(struct queue *queue, const uint64_t *priorities, size_t count,
                                      queue_priorities_cb *on_done, void *arg, struct error *err);

/* ---- one job ---- */

/* One job as stored, for people: fields in stored order, its state, its logs' length. */
struct job_view {
    const char *state; /* waiting, active, delayed, prioritized, waiting-children, completed,
                          failed, unknown */
    size_t fields_count;
    const struct bytes *names, *values;
    uint64_t logs_count;
    int64_t lock_ttl_ms; /* -1 not locked */
};
/* view NULL: no such job. */
typedef void queue_view_cb(struct queue *queue, const struct call_result *call,
                           const struct job_view *view, void *arg);
MUST_CHECK int queue_view_job(struct queue *queue, const char *id, queue_view_cb *on_done,
                              void *arg, struct error *err);

/* Its state alone, as job_view has it; "unknown" when it is nowhere, hash or not. */
typedef void queue_text_cb(struct queue *queue, const struct call_result *call, struct bytes text,
                           void *arg);
MUST_CHECK int queue_get_state(struct queue *queue, const char *id, queue_text_cb *on_done,
                               void *arg, struct error *err);

enum job_finished {
    JOB_GONE = -1,
    JOB_UNFINISHED = 0,
    JOB_COMPLETED = 1, /* value: its returnvalue, JSON */
    JOB_FAILED = 2,    /* value: its failedReason, text */
};
typedef void queue_finished_cb(struct queue *queue, const struct call_result *call,
                               enum job_finished finished, struct bytes value, void *arg);
MUST_CHECK int queue_is_finished(struct queue *queue, const char *id, queue_finished_cb *on_done,
                                 void *arg, struct error *err);

/* Events of one job, oldest first, read backwards from the end of the stream over at most `scan`
 * entries. Loops. */
struct job_event {
    uint64_t at_ms;
    size_t fields_count;
    const struct bytes *names, *values; /* without jobId; "event" first */
};
typedef void queue_history_cb(struct queue *queue, const struct call_result *call,
                              const struct job_event *events, size_t count, void *arg);
MUST_CHECK int queue_job_history(struct queue *queue, const char *id, uint64_t scan,
                                 queue_history_cb *on_done, void *arg, struct error *err);

/* Rows of its log: from row `start`, at most `count` (1 … 1000), counted from the oldest
 * (ascending) or from the newest one; `total`: rows that there are. */
typedef void queue_logs_cb(struct queue *queue, const struct call_result *call,
                           const struct bytes *rows, size_t count, uint64_t total, void *arg);
MUST_CHECK int queue_get_logs(struct queue *queue, const char *id, uint64_t start, size_t count,
                              bool ascending, queue_logs_cb *on_done, void *arg, struct error *err);

/* ---- ranges of a state ----
 * Order (wire format 8.11): of a list descending is newest first, ascending the next to run first;
 * of a set descending is the highest score first. Ranks count from 0 in that order, and move while
 * jobs come and go. */

#define QUEUE_RANGE_MAX  1000 /* jobs of one call */
#define QUEUE_FIELDS_MAX 32

struct range_spec {
    enum queue_state state;
    uint64_t start; /* rank */
    size_t count;   /* ≤ QUEUE_RANGE_MAX */
    bool ascending;
    /* Which fields of the hashes are wanted; NULL: all that each has. None (fields_count 0, fields
     * not NULL): ids only, and their hashes are not looked at. */
    const char *const *fields;
    size_t fields_count;
};

struct range_row {
    struct bytes id;
    double score; /* of a set: what sorts it (wire format 1.2); 0 in lists */
    bool exists;  /* its hash is there; true when it was not looked at */
    size_t fields_count;
    /* All: names and values. Some: values in the order of the spec's fields, absent where the hash
     * has none; names NULL. */
    const struct bytes *names, *values;
};
/* `total`: jobs in that state. Ids of which no hash is left are answered, so that ranks are right.
 */
typedef void queue_range_cb(struct queue *queue, const struct call_result *call,
                            const struct range_row *rows, size_t count, uint64_t total, void *arg);
MUST_CHECK int queue_get_range(struct queue *queue, const struct range_spec *spec,
                               queue_range_cb *on_done, void *arg, struct error *err);

/* ---- what a job depends on (wire format 8.12) ---- */

enum dependency_kind {
    DEPENDENCY_PROCESSED,   /* children that completed; value: returnvalue, JSON */
    DEPENDENCY_UNPROCESSED, /* not yet */
    DEPENDENCY_IGNORED,     /* failed, which does not matter to it; value: failedReason */
    DEPENDENCY_FAILED,      /* failed, and so it fails */
    DEPENDENCY_COUNT,
};
const char *dependency_kind_name(enum dependency_kind kind);

typedef void queue_dependency_counts_cb(struct queue *queue, const struct call_result *call,
                                        const uint64_t counts[DEPENDENCY_COUNT], void *arg);
MUST_CHECK int queue_count_dependencies(struct queue *queue, const char *id,
                                        queue_dependency_counts_cb *on_done, void *arg,
                                        struct error *err);

struct dependency {
    struct bytes key;   /* the child's whole key; see job_key_split */
    struct bytes value; /* absent when the kind has none */
};
/* A page: about `count` of them. `next` is the cursor of the next page, 0 after the last one. A
 * child that is there from the first page to the last is answered at least once, maybe twice. */
#define QUEUE_DEPENDENCIES_MAX 1000
typedef void queue_dependencies_cb(struct queue *queue, const struct call_result *call,
                                   const struct dependency *items, size_t count, uint64_t next,
                                   void *arg);
MUST_CHECK int queue_get_dependencies(struct queue *queue, const char *id,
                                      enum dependency_kind kind, uint64_t cursor, size_t count,
                                      queue_dependencies_cb *on_done, void *arg, struct error *err);

/* A job's key as prefix, queue and id. `queue` helps with prefixes that have colons: a key of a
 * queue of the same prefix is split after it. False: not a job's key. malloc'ed, all or none. */
struct job_address {
    char *prefix, *queue, *id;
};
bool job_key_split(const struct queue *queue, struct bytes key, struct job_address *out);
void job_address_done(struct job_address *address);

/* ---- a flow: a job with its children, and theirs ---- */

struct flow_view_limits {
    size_t depth;    /* levels of children below the root, 1 … 100 */
    size_t children; /* of each kind and node, 1 … 1000 */
    size_t nodes;    /* of all, 1 … 100000 */
};
#define FLOW_VIEW_LIMITS_INIT \
    ((struct flow_view_limits){ .depth = 10, .children = 20, .nodes = 1000 })

struct flow_view {
    char *prefix, *queue, *id;
    char *name;                        /* "" when the job is gone */
    char *state;                       /* as of job_view; "gone" without a hash */
    bool has_kind;                     /* false: the root */
    enum dependency_kind kind;         /* what it is to its parent */
    uint64_t counts[DEPENDENCY_COUNT]; /* its own children, also those not in `children` */
    struct flow_view **children;
    size_t children_count;
};
/* Loops: a call a node. root NULL: no such job. Children on other nodes of a cluster cannot be
 * followed: REDIS_REFUSED. */
typedef void queue_flow_view_cb(struct queue *queue, const struct call_result *call,
                                const struct flow_view *root, void *arg);
MUST_CHECK int queue_get_flow(struct queue *queue, const char *id,
                              const struct flow_view_limits *limits, queue_flow_view_cb *on_done,
                              void *arg, struct error *err);

/* ---- the queue ---- */

/* `P meta` (wire format 1.4); 0 and "" when a field is absent or no number. */
struct queue_meta {
    bool paused;
    uint64_t concurrency;       /* global; 0 none */
    uint64_t limit_max;         /* global rate limit: so many jobs … */
    uint64_t limit_duration_ms; /* … in so long; 0 none */
    uint64_t events_max;
    const char *version; /* of the library that made it: "bullmq:5.81.5" */
};
typedef void queue_meta_cb(struct queue *queue, const struct call_result *call,
                           const struct queue_meta *meta, void *arg);
MUST_CHECK int queue_get_meta(struct queue *queue, queue_meta_cb *on_done, void *arg,
                              struct error *err);

/* The id of the job that owns a deduplication id; absent: none. */
MUST_CHECK int queue_get_deduplication_owner(struct queue *queue, const char *deduplication_id,
                                             queue_text_cb *on_done, void *arg, struct error *err);

/* Jobs per minute, newest minute first, as workers with metrics keep them (wire format 1.2). */
struct queue_metrics {
    uint64_t count;                  /* jobs ever counted */
    uint64_t prev_at_ms, prev_count; /* when, and at how many, the last point was made */
    uint64_t points_total;
    const uint64_t *points;
    size_t points_count;
};
#define QUEUE_POINTS_MAX 10080 /* a week */
typedef void queue_metrics_cb(struct queue *queue, const struct call_result *call,
                              const struct queue_metrics *metrics, void *arg);
/* state: COMPLETED or FAILED; points from `start`, at most `count`. */
MUST_CHECK int queue_get_metrics(struct queue *queue, enum queue_state state, uint64_t start,
                                 size_t count, queue_metrics_cb *on_done, void *arg,
                                 struct error *err);

/* Who is connected for this queue, stock peers included, by the names of their connections (wire
 * format 8.14). The registry of drover's own processes is queue_list_workers. CLIENT LIST is one
 * command over all connections of that server. */
enum client_kind {
    CLIENT_WORKERS,      /* workers' blocking connections: one a worker */
    CLIENT_QUEUE_EVENTS, /* who listens to the events */
};
struct client_entry {
    const char *id, *address; /* of the connection, as the server says */
    const char *name;         /* the worker's; "" when it has none */
    const char *raw_name;     /* of the connection */
    const char *line;         /* all that the server says of it: key=value … */
    uint64_t age_s, idle_s;
};
typedef void queue_clients_cb(struct queue *queue, const struct call_result *call,
                              const struct client_entry *clients, size_t count, void *arg);
MUST_CHECK int queue_list_clients(struct queue *queue, enum client_kind kind,
                                  queue_clients_cb *on_done, void *arg, struct error *err);
