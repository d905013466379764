/* add_parse.h - how `drover add` reads what people write: back-off, keep rules, relations. */
#pragma once

#include "common/config/config.h"
#include "common/queue/add.h"

/* "exponential:2s", "fixed:500ms:0.5" (kind, delay, jitter 0 to 1). -EINVAL names what is wrong. */
MUST_CHECK int add_parse_backoff(const char *text, struct job_backoff *out, struct error *err);

/* "all", "none", a number of newest jobs, or an age ("7d"). */
MUST_CHECK int add_parse_keep(const char *text, struct job_keep *out, struct error *err);

/* "fail-parent", "continue-parent", "ignore", "remove". */
MUST_CHECK int add_parse_policy(const char *text, enum job_policy *out, struct error *err);
#define ADD_POLICY_WORDS "fail-parent continue-parent ignore remove"

/* "QUEUE:ID", cut at the first ':': *out_queue is malloc'ed, *out_id lies in `text`. */
MUST_CHECK int add_parse_parent(const char *text, char **out_queue, const char **out_id,
                                struct error *err);

/* Writes what the YAML says of this job's type into the spec, where the spec says nothing. */
void add_fill_from_config(const struct config_type *type, struct job_spec *spec);
