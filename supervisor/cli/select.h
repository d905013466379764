/* select.h - which jobs of a queue a command is about: filters by state, type, error and time, and
 * the ids of those that match, gathered before anything is done to them.
 * The jobs are walked in pages, the newest first: what is added meanwhile moves ranks up, so a job
 * may be seen twice (and is taken once), but none is passed over. */
#pragma once

#include "common/queue/get.h"

struct verb;

struct job_filter {
    bool states[QUEUE_STATE_COUNT];
    const char *const *types; /* any of them; borrowed */
    size_t types_count;
    const char *error;            /* part of failedReason; NULL: any */
    uint64_t before_ms, after_ms; /* wall; 0: no bound */
    uint64_t limit;               /* 0: none */
};

/* A job as the filter and `drover queue jobs` see it; borrowed from a page. */
struct job_row {
    enum queue_state state;
    struct bytes id, name, failed_reason;
    double score;
    uint64_t added_at_ms, started_at_ms, ended_at_ms; /* 0: not */
    uint64_t attempts_made, priority;
    bool exists;
};

/* The filter of the verb's options; `defaults`: the states without --state. 0, or EXIT_CODE_USAGE.
 */
int filter_init(struct job_filter *filter, const struct verb *verb,
                const enum queue_state *defaults, size_t defaults_count);
/* Whether anything but the state limits it. */
bool filter_is_narrow(const struct job_filter *filter);
bool filter_matches(const struct job_filter *filter, const struct job_row *row);
/* "an age as in 2h, or a time": wall ms. False: it is neither. */
bool filter_parse_time(const char *text, uint64_t now_ms, uint64_t *out_ms);

/* Walks the jobs of a state in that order and calls `take` with each; false ends it. `start`: rank.
 * 0, or an exit code. */
typedef bool select_take(const struct job_row *row, void *arg);
int select_walk(struct verb *verb, enum queue_state state, uint64_t start, bool ascending,
                select_take *take, void *arg);

struct selected_job {
    char *id;
    enum queue_state state;
};
struct selection {
    struct selected_job *jobs; /* by state in the order of the enum, the oldest first */
    size_t count, cap;
    uint64_t looked;
};
#define SELECTION_MAX 5000000

/* 0, or an exit code. Ends with selection_done in both cases. */
int select_jobs(struct verb *verb, const struct job_filter *filter, struct selection *out);
void selection_done(struct selection *selection);
