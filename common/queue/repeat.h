/* repeat.h - the rule of a scheduler as its jobs carry it in opts.repeat (wire format 9.1, 9.6),
 * and the next time by a pattern. Inside common/queue. */
#pragma once

#include "common/queue/scheduler.h"

/* Texts are owned; "" when not given. Times in ms, 0 when not given. */
struct repeat {
    uint64_t every_ms;
    char *pattern, *tz;
    char *job_id; /* of repeatable jobs of before BullMQ 5, in their key */
    bool has_limit;
    double limit, count; /* count: this iteration's number, from 1 */
    uint64_t start_at_ms, end_at_ms;
    uint64_t prev_ms; /* the time of this iteration, by a pattern */
};

void repeat_done(struct repeat *repeat);

/* Out of the opts of a job. Without a readable opts.repeat nothing is given. -ENOMEM. */
MUST_CHECK int repeat_read(struct bytes opts, struct repeat *out, struct error *err);
/* Out of a scheduler as stored. -ENOMEM. */
MUST_CHECK int repeat_copy(const struct scheduler_entry *entry, struct repeat *out,
                           struct error *err);

/* Neither limit nor end keep a further iteration from being made at now_ms. */
bool repeat_goes_on(const struct repeat *repeat, uint64_t now_ms);

/* The first time of a pattern after from_ms and not before start_at_ms. -ERANGE: none, or it is
 * after end_at_ms (0: no end). -EINVAL: the pattern or the zone can't be read. */
MUST_CHECK int repeat_next_time(struct bytes pattern, struct bytes tz, uint64_t from_ms,
                                uint64_t start_at_ms, uint64_t end_at_ms, uint64_t *out_ms,
                                struct error *err);
