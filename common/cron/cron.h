/* cron.h - the cron dialect of BullMQ's job schedulers (wire format, appendix B): reading an
 * expression, and the next time at which it is due in a time zone. The times are those of
 * cron-parser 5 (BullMQ 6), which are those of cron-parser 4.9 (BullMQ 5) but for what
 * docs/compatibility.md lists: whoever fetches an iteration computes the next one, so all must
 * agree.
 *
 * One to six fields, right-aligned: second minute hour day-of-month month day-of-week; those
 * missing on the left are "0 * * * * *". In a field: *, ?, numbers, names (jan, mon), ranges a-b,
 * steps /n, lists; L the last day of the month, 5L the last Friday, 1#2 the second Monday. When
 * both day fields are restricted, a day is due when either fits. Macros: @yearly @annually @monthly
 * @weekly @daily
 * @hourly @minutely @secondly @weekdays @weekends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/attr.h"
#include "common/base/error.h"
#include "common/cron/zone.h"

#define CRON_TEXT_MAX 1024

/* A plain value; copied freely. Bit n of a set is the value n. */
struct cron {
    uint64_t seconds, minutes;
    uint32_t hours, days, months,
        weekdays;              /* days from 1, months from 1, weekdays 0 (Sunday) … 6 */
    uint32_t last_weekdays;    /* of "5L" */
    bool last_day;             /* L among the days */
    bool any_day, any_weekday; /* the field is * or ? alone: not restricted */
    uint8_t nth_weekday;       /* of "1#2"; 0 none */
};

/* -EINVAL: the message names the field, its text and the column (from 1) where it begins. */
MUST_CHECK int cron_parse(const char *text, size_t len, struct cron *out, struct error *err);

/* The first time strictly after after_ms (ms since 1970) at which it is due in `zone`. -ERANGE when
 * there is none within the years that one call looks at (as for 31 April). Bounded: a few thousand
 * steps at most. */
MUST_CHECK int cron_next(const struct cron *cron, int64_t after_ms, const struct zone *zone,
                         int64_t *out_ms, struct error *err);
