/* job_log.h - a job's life in the log, as far as `log_jobs` of its queue asks for it.
 * With `failures` nothing is done for a job that goes well; with `none` nothing at all. What `all`
 * adds is not limited, because it was asked for; failures are, because they come in floods. Never
 * a job's data or result: reasons are the handler's words. */
#pragma once

#include "workers/worker/runs.h"

/* Its handler is about to be started. */
void job_log_started(const struct run *run);
/* Redis has taken what became of it; run->settle still says what. */
/* Its handler has chosen its place: run->settle says which. */
void job_log_moved(const struct run *run);
void job_log_settled(const struct run *run);
/* It was put back without an attempt; only `all` asks for each. True when it was logged. */
bool job_log_put_back(const struct run *run, const char *why, const char *detail);
/* Its program has reported a row for it; any bytes. */
void job_log_said(const struct run *run, const char *row, size_t len);
