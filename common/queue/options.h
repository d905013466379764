/* options.h - the stored form of a job's opts (wire format 2.3), for the adding side.
 * Reading them is job_options_parse of job.h. */
#pragma once

#include "common/base/buf.h"
#include "common/base/error.h"

struct job_spec;

/* Appends the opts JSON of a checked spec: what a stock client would store for the same options.
 * Returns 0 or buf_append's error. */
int job_options_print(const struct job_spec *spec, struct buf *out);

/* Appends the parent of a checked spec as the job's hash has it, with the failure policy: nothing
 * without a parent. Returns 0 or buf_append's error. */
int job_parent_print(const struct job_spec *spec, struct buf *out);
