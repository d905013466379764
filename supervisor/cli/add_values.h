/* add_values.h - the options of `drover add`, and the job that they describe. */
#pragma once

#include "common/queue/add.h"
#include "supervisor/cli/connect.h"

struct add_values {
    struct cli_where where;
    const char *data, *id, *backoff, *keep_completed, *keep_failed, *lines;
    const char *parent, *on_failure, *dedup, *telemetry, *extra, *flow;
    struct cli_number delay, priority, attempts, count, dedup_ttl;
    bool lifo, json;
    bool dedup_extend, dedup_replace, dedup_keep_last, dedup_reschedule, omit_context;
};

#define ADD_OPTIONS_COUNT 28
extern const struct cli_option add_options[ADD_OPTIONS_COUNT];

/* Each returns 0, or an exit code after telling what is wrong. words: what is not an option; the
 * data is taken out of them. */
int add_check_values(struct add_values *values, const char **words, size_t words_count);
/* With --flow: the file says all of its jobs. */
int add_check_flow_values(const struct add_values *values, size_t words_count);
/* All of the job but its data and its parent, whose key depends on where it lies. */
int add_fill_model(const struct add_values *values, struct job_spec *model);

struct bytes add_bytes_of(const char *text); /* absent for NULL */
