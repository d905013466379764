/* job.h - one BullMQ job as a worker sees it, and the options it carries.
 * The body (`data`) is opaque bytes. The field names and the opts encoding are BullMQ's contract
 * (wire format 2). */
#pragma once

#include <stdbool.h>

#include "common/base/error.h"

/* Text with a length: may hold any bytes; NUL-terminated after len for convenience. Absent: data
 * NULL. */
struct bytes {
    const char *data;
    size_t len;
};

enum job_backoff_kind {
    JOB_BACKOFF_ABSENT,
    JOB_BACKOFF_FIXED,
    JOB_BACKOFF_EXPONENTIAL,
    JOB_BACKOFF_CUSTOM
};

struct job_backoff {
    enum job_backoff_kind kind; /* CUSTOM: a strategy that only the producer's own worker knows */
    uint64_t delay_ms;
    double jitter; /* 0 … 1 */
};

/* removeOnComplete / removeOnFail (wire format 5.2). */
struct job_keep {
    bool present;
    int64_t count;  /* -1 keep all, 0 keep none, n newest n */
    double age_s;   /* seconds; 0 no limit */
    uint64_t limit; /* most removed by age in one finish; BullMQ's default 1000 */
};

/* The opts that steer a worker; all else in opts is carried, not read. */
struct job_options {
    uint64_t attempts; /* 0 absent; 0 and 1 both mean one attempt */
    struct job_backoff backoff;
    struct job_keep keep_completed, keep_failed;
    int64_t stack_trace_limit; /* -1 absent */
    int64_t keep_logs;         /* `kl`; -1 absent */
    bool lifo;
    bool repeats; /* has a `repeat`: see scheduler.h */
};

/* Reads stored opts. -EINVAL with the place when it is not a JSON object or a steering member has a
 * wrong type. */
MUST_CHECK int job_options_parse(const char *json, size_t len, struct job_options *out,
                                 struct error *err);

/* A fetched job. Owned by whoever got it from the queue; job_free. All `bytes` point into the job's
 * own memory. */
struct job {
    struct bytes id, name, data, opts;
    char token[80]; /* value of its lock: "<uuid>:<n>" */
    uint64_t call;  /* the n of the token: order in which fetches were sent */
    struct job_options options;
    char *options_error; /* not NULL: opts could not be read, and why; the job must fail for good */
    uint64_t timestamp_ms; /* when it was added; wall */
    uint64_t priority;
    uint64_t attempts_made;    /* `atm` before this attempt */
    uint64_t attempts_started; /* `ats`, this one included */
    uint64_t stalled;          /* `stc` */
    uint64_t givebacks; /* `gbc`: how often it was given back because its process died; from 2 on it
                           runs alone in its process */
    struct bytes deferred_failure; /* `defa`: fail with this text without running */
    struct bytes stacktrace;       /* JSON array as stored; absent at the first attempt */
    struct bytes scheduler;        /* `rjk`; absent for ordinary jobs */
    struct bytes parent_key;       /* absent without a parent */
};

void job_free(struct job *job);
void job_freep(struct job **job);

/* Wait before attempt `attempt`+1, where `attempt` (from 1) just failed, by BullMQ's formula (wire
 * format 6). `unit_random` in [0,1). max_ms 0: no cap (a cap is drover's own, from YAML). */
uint64_t job_backoff_ms(const struct job_backoff *backoff, uint64_t attempt, double unit_random,
                        uint64_t max_ms);

/* The stored stack trace array with one more entry, honouring stackTraceLimit: malloc'ed JSON, NULL
 * on no memory. An unreadable old array is replaced. */
char *job_stacktrace_add(const struct bytes *stored_json, const char *entry, int64_t limit);
