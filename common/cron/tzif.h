/* tzif.h - the contents of a zone file (TZif, RFC 8536): when its offset changes, and the rule (a
 * POSIX TZ text) for all times after the last change listed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/attr.h"
#include "common/base/error.h"

/* When in a year the offset changes: at second `time_s` (may be negative or past the day) of a day
 * that is the nth (1 … 5, 5 the last) weekday of a month, or of a day of the year. */
struct zone_switch {
    enum { SWITCH_MONTH_WEEK_DAY, SWITCH_JULIAN, SWITCH_DAY_OF_YEAR } kind;
    int month, week, weekday; /* SWITCH_MONTH_WEEK_DAY */
    int day;                  /* JULIAN: 1 … 365, 29 February is never counted; else 0 … 365 */
    int32_t time_s;
};

struct zone_rule {
    bool present;
    bool has_summer;
    int32_t standard_s, summer_s; /* ahead of UTC */
    struct zone_switch to_summer, to_standard;
};

struct tzif {
    int64_t *changes;      /* rising; owned */
    int32_t *offsets;      /* from changes[i] on; owned */
    size_t changes_count;  /* of both */
    int32_t first_s;       /* before changes[0] */
    struct zone_rule rule; /* from the last change on */
};

/* -EINVAL: no TZif of version 1 to 4, or a damaged one. */
MUST_CHECK int tzif_read(const uint8_t *bytes, size_t len, struct tzif *out, struct error *err);
void tzif_done(struct tzif *tzif);
int32_t tzif_offset(const struct tzif *tzif, int64_t at_s);

/* A POSIX TZ text, as in "CET-1CEST,M3.5.0,M10.5.0/3". -EINVAL. */
MUST_CHECK int zone_rule_read(const char *text, size_t len, struct zone_rule *out,
                              struct error *err);
