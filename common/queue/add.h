/* add.h - adding jobs: what a producer says of a job, the checks of a stock client, and one script
 * that stores many (lua/add.lua; wire format 2.3, 2.4, 3).
 * A job is stored whole or not at all, and no job of a call hinders another. */
#pragma once

#include "common/queue/queue.h"

/* What the final failure of a child does to its parent (wire format 5.6). */
enum job_policy {
    JOB_POLICY_NONE,              /* nothing: the parent waits until the child has completed */
    JOB_POLICY_FAIL_PARENT,       /* `fpof`: the parent fails */
    JOB_POLICY_CONTINUE_PARENT,   /* `cpof`: the parent starts at once, and sees the failure */
    JOB_POLICY_IGNORE_DEPENDENCY, /* `idof`: counts as done; the parent sees the failure */
    JOB_POLICY_REMOVE_DEPENDENCY, /* `rdof`: counts as done, and nothing is said of it */
};

/* The job that waits for this one. Absent: id.data NULL. */
struct job_parent {
    struct bytes id;
    struct bytes queue; /* "<prefix>:<queue>"; in the same hash slot */
};

/* One job at a time with this id (wire format 3.7). Absent: id.data NULL. */
struct job_dedup {
    struct bytes id;
    uint64_t ttl_ms;          /* as long from the first add; 0: until that job has ended */
    bool extend;              /* each rejected add starts ttl_ms anew */
    bool replace;             /* a job that is still delayed gives way to the new one */
    bool keep_last_if_active; /* of what comes while the job runs, the last one runs after it */
    bool reschedule; /* a rejected add gives a job that is still delayed its delay; not with replace
                      */
};

struct job_telemetry {
    struct bytes metadata; /* opaque text for the worker's span; absent: none */
    bool omit_context;
};

struct job_spec {
    struct bytes name;
    struct bytes data;     /* JSON; absent: {} */
    struct bytes id;       /* absent: automatic */
    uint64_t timestamp_ms; /* 0: now */
    uint64_t delay_ms;
    uint64_t priority; /* 0 … 2097151 */
    bool lifo;
    uint64_t attempts; /* 0: not given */
    struct job_backoff backoff;
    struct job_keep keep_completed, keep_failed;
    int64_t stack_trace_limit; /* -1 absent; likewise keep_logs */
    int64_t keep_logs;
    uint64_t size_limit; /* bytes of data allowed; 0 no limit */
    struct job_parent parent;
    enum job_policy policy; /* counts when the job has a parent */
    struct job_dedup dedup; /* not together with a parent */
    struct job_telemetry telemetry;
    struct bytes extra_opts; /* JSON object: members of opts that drover does not know, carried as
                                they are; absent: none */
};

#define JOB_SPEC_INIT ((struct job_spec){ .stack_trace_limit = -1, .keep_logs = -1 })

/* The checks a stock client makes before it sends (wire format 1.3, 2.4). -EINVAL names the field.
 */
MUST_CHECK int job_spec_check(const struct job_spec *spec, struct error *err);

enum add_code {
    ADD_OK = 0,
    ADD_UNSTORED = -1,        /* a key that it needs holds something else; `why` names it */
    ADD_PARENT_MISSING = -5,  /* no such parent */
    ADD_PARENT_OF_OTHER = -7, /* a job of this id is the child of another parent, which is there */
};

struct add_result {
    enum add_code code;
    const char *id; /* of the stored job, or of the one that is there instead; borrowed; NULL when
                       refused */
    bool duplicate; /* the id existed: that job was left as it is, but for a new parent */
    bool deduplicated; /* not added: `id` is the job that has the deduplication id */
    bool kept_as_next; /* deduplicated, and becomes a job of its own when that one has ended */
    const char *why;   /* reason when refused, else "" */
};

typedef void queue_add_cb(struct queue *queue, const struct call_result *call,
                          const struct add_result *results, size_t count, void *arg);

/* Adds all in order by one script; at most QUEUE_ADD_MAX. All specs are checked first: one bad →
 * -EINVAL, none sent. Safe to repeat for jobs with an id of their own. */
#define QUEUE_ADD_MAX 500
MUST_CHECK int queue_add_jobs(struct queue *queue, const struct job_spec *specs, size_t count,
                              queue_add_cb *on_done, void *arg, struct error *err);
