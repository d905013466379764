/* decide.h - from how a handler's run ended to how its job is settled: BullMQ's rules (wire format
 * 5.2, 5.5, 6) and the precedence of the job's own options and the YAML file. Pure functions.
 *
 * Precedence: the job's options win and YAML fills what is absent; `enforce: true` reverses that.
 * Absent in a job: attempts 0, no backoff, no removeOn…. Absent in YAML: backoff none, keep without
 * bounds; attempts are never absent there (built in 1). `backoff.max` is drover's own and caps the
 * job's own backoff too. */
#pragma once

#include "common/config/config.h"
#include "common/queue/queue.h"
#include "workers/handlers/handler.h"

/* Most attempts that this job gets, >= 1. */
uint64_t decide_attempts(const struct config_queue *queue, const struct config_type *type,
                         const struct job *job);

struct job_keep decide_keep(const struct config_queue *queue, const struct config_type *type,
                            const struct job *job, bool completed);

/* Fills `out` for `outcome` (not HANDLER_CANCELLED): kind, job, delay_ms, attempts_max, keep. Value
 * and stack trace are the caller's to set: out->value borrows the outcome's value or reason.
 * unit_random in [0,1) is for jitter. */
void decide_settle(const struct config_queue *queue, const struct config_type *type,
                   const struct job *job, const struct handler_outcome *outcome, double unit_random,
                   struct settle *out);

/* The new stack trace array for a failure settled as `settle`; malloc'ed, NULL on no memory. */
char *decide_stacktrace(const struct job *job, const struct handler_outcome *outcome);

/* A failure of that kind with a reason, as an outcome. */
struct handler_outcome decide_failure(enum handler_outcome_kind kind, const char *reason);
