/* queue_verbs.h - rows of the verbs of `drover queue` and `drover job`; commands.c lists them. */
#pragma once

#include "supervisor/cli/command.h"

/* All of them, in the order of help. */
#define CLI_QUEUE_VERBS(ROW) \
    ROW(queue_list)          \
    ROW(queue_show)          \
    ROW(queue_jobs)          \
    ROW(queue_priorities)    \
    ROW(queue_workers)       \
    ROW(queue_metrics)       \
    ROW(queue_events)        \
    ROW(queue_pause)         \
    ROW(queue_resume)        \
    ROW(queue_concurrency)   \
    ROW(queue_limit)         \
    ROW(queue_hold)          \
    ROW(queue_retry)         \
    ROW(queue_promote)       \
    ROW(queue_remove)        \
    ROW(queue_clean)         \
    ROW(queue_drain)         \
    ROW(queue_obliterate)    \
    ROW(queue_orphans)       \
    ROW(queue_schedulers)    \
    ROW(queue_schedule)      \
    ROW(queue_unschedule)    \
    ROW(queue_deduplication) \
    ROW(queue_trim_events)
#define CLI_JOB_VERBS(ROW) \
    ROW(job_show)          \
    ROW(job_state)         \
    ROW(job_logs)          \
    ROW(job_children)      \
    ROW(job_flow)          \
    ROW(job_wait)          \
    ROW(job_retry)         \
    ROW(job_promote)       \
    ROW(job_priority)      \
    ROW(job_delay)         \
    ROW(job_data)          \
    ROW(job_progress)      \
    ROW(job_log)           \
    ROW(job_clear_logs)    \
    ROW(job_remove)        \
    ROW(job_detach)        \
    ROW(job_release)

#define VERB_EXTERN(name) extern const struct cli_command cli_##name##_verb;
CLI_QUEUE_VERBS(VERB_EXTERN)
CLI_JOB_VERBS(VERB_EXTERN)
#undef VERB_EXTERN

/* A row: name, summary, usage, about, examples, options, operands, words, what it does. */
#define VERB_ROW(name_, summary_, usage_, about_, examples_, options_, operands_, min_, max_,  \
                 act_)                                                                         \
    {                                                                                          \
        .name = (name_), .summary = (summary_), .usage = (usage_), .about = (about_),          \
        .examples = (examples_), .options = (options_), .options_count = ARRAY_SIZE(options_), \
        .operands = (operands_), .operands_count = ARRAY_SIZE(operands_), .run = cli_run_verb, \
        .act = (act_), .words_min = (min_), .words_max = (max_)                                \
    }
