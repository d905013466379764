/* opts.repeat is written by JavaScript, so numbers may be texts, and times texts of JSON. */
#include "common/queue/repeat.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "common/base/json_text.h"
#include "common/cron/civil.h"
#include "common/cron/cron.h"
#include "common/queue/json_walk.h"

#define NUMBER_MAX 0x1p53
#define DIGITS     "0123456789"

void repeat_done(struct repeat *repeat)
{
    free(repeat->pattern);
    free(repeat->tz);
    free(repeat->job_id);
    *repeat = (struct repeat){ 0 };
}

/* "2026-11-25T13:00:00.000Z", as JSON has a Date; all of it in UTC. */
static double read_date(const char *text)
{
    struct tm at = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &at);
    struct civil civil = { at.tm_year + 1900, at.tm_mon + 1, at.tm_mday,
                           at.tm_hour,        at.tm_min,     at.tm_sec };
    uint64_t ms = 0;

    if (!rest || strlen(rest) != 5 || rest[0] != '.' || rest[4] != 'Z' ||
        strspn(rest + 1, DIGITS) != 3)
        return (double)NAN;
    for (size_t i = 1; i < 4; i++)
        ms = ms * 10 + (uint64_t)(rest[i] - '0');
    return (double)(civil_seconds(&civil) * 1000) + (double)ms;
}

/* NAN: not given, or no number. */
static double read_number(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    double number = (double)NAN;

    if (json_is_number(value))
        number = json_number_value(value);
    else if (text && *text) {
        number = strtod(text, &end);
        if (*end)
            number = read_date(text);
    }
    return isfinite(number) && fabs(number) <= NUMBER_MAX ? number : (double)NAN;
}

static uint64_t read_whole(const json_t *value)
{
    double number = read_number(value);

    return number >= 1 ? (uint64_t)number : 0;
}

static char *copy_text(const json_t *value)
{
    return strdup(json_is_string(value) ? json_string_value(value) : "");
}

static int read_rule(const json_t *rule, struct repeat *out, struct error *err)
{
    const json_t *pattern = json_object_get(rule, "pattern");
    const json_t *limit = json_object_get(rule, "limit");

    out->every_ms = read_whole(json_object_get(rule, "every"));
    /* "cron" is what the pattern was called up to BullMQ 3. */
    out->pattern = copy_text(pattern ? pattern : json_object_get(rule, "cron"));
    out->tz = json_is_true(json_object_get(rule, "utc")) ? strdup("UTC")
                                                         : copy_text(json_object_get(rule, "tz"));
    out->job_id = copy_text(json_object_get(rule, "jobId"));
    if (!out->pattern || !out->tz || !out->job_id)
        return error_set(err, -ENOMEM, "allocate the rule of a scheduler");
    out->limit = read_number(limit);
    out->has_limit = !isnan(out->limit);
    out->count = fmax(read_number(json_object_get(rule, "count")), 0); /* NAN counts as 0 */
    out->start_at_ms = read_whole(json_object_get(rule, "startDate"));
    out->end_at_ms = read_whole(json_object_get(rule, "endDate"));
    return 0;
}

static uint64_t read_prev(const struct json_value *value)
{
    double number = 0;

    return json_read_number(value, &number) && number >= 1 && number <= NUMBER_MAX
               ? (uint64_t)number
               : 0;
}

/* The two members of opts that count. */
static json_t *find_rule(struct bytes opts, uint64_t *out_prev_ms)
{
    struct json_value whole, key, value;
    struct json_walk walk;
    json_t *rule = NULL;

    if (!opts.data || !json_text_is_valid(opts.data, opts.len))
        return NULL;
    whole = json_whole_value(opts.data, opts.len);
    if (whole.kind != JSON_KIND_OBJECT)
        return NULL;
    walk = json_walk_into(&whole);
    while (json_next_member(&walk, &key, &value)) {
        if (json_string_is(&key, "prevMillis"))
            *out_prev_ms = read_prev(&value);
        if (!json_string_is(&key, "repeat") || value.kind != JSON_KIND_OBJECT)
            continue;
        json_decref(rule);
        rule = json_loadb(value.text, value.len, 0, NULL);
    }
    return rule;
}

int repeat_read(struct bytes opts, struct repeat *out, struct error *err)
{
    struct repeat repeat = { 0 };
    json_t *rule = find_rule(opts, &repeat.prev_ms);
    int code = read_rule(rule, &repeat, err); /* of none: nothing is given */

    json_decref(rule);
    if (code < 0)
        repeat_done(&repeat);
    else
        *out = repeat;
    return code;
}

static char *copy_bytes(struct bytes text)
{
    return strndup(text.data ? text.data : "", text.data ? text.len : 0);
}

int repeat_copy(const struct scheduler_entry *entry, struct repeat *out, struct error *err)
{
    struct repeat repeat = {
        .every_ms = entry->every_ms,
        .pattern = copy_bytes(entry->pattern),
        .tz = copy_bytes(entry->tz),
        .job_id = strdup(""),
        .has_limit = entry->has_limit,
        .limit = (double)entry->limit,
        .count = (double)entry->iterations,
        .start_at_ms = entry->start_at_ms,
        .end_at_ms = entry->end_at_ms,
        .prev_ms = entry->next_at_ms,
    };

    if (!repeat.pattern || !repeat.tz || !repeat.job_id) {
        repeat_done(&repeat);
        return error_set(err, -ENOMEM, "allocate the rule of a scheduler");
    }
    *out = repeat;
    return 0;
}

bool repeat_goes_on(const struct repeat *repeat, uint64_t now_ms)
{
    if (repeat->has_limit && repeat->count + 1 > repeat->limit)
        return false;
    return repeat->end_at_ms == 0 || now_ms <= repeat->end_at_ms;
}

int repeat_next_time(struct bytes pattern, struct bytes tz, uint64_t from_ms, uint64_t start_at_ms,
                     uint64_t end_at_ms, uint64_t *out_ms, struct error *err)
{
    const struct zone *zone = NULL;
    struct cron cron;
    int64_t next_ms = 0;
    int code = cron_parse(pattern.data, pattern.len, &cron, err);

    if (code < 0)
        return error_wrap(err, "pattern");
    code = zone_find(tz.data, tz.data ? tz.len : 0, &zone, err);
    if (code < 0)
        return error_wrap(err, "tz");
    code = cron_next(&cron, (int64_t)(start_at_ms > from_ms ? start_at_ms : from_ms), zone,
                     &next_ms, err);
    if (code < 0)
        return error_wrap(err, "pattern \"%.*s\"", (int)pattern.len, pattern.data);
    if (end_at_ms > 0 && (uint64_t)next_ms > end_at_ms)
        return error_set(err, -ERANGE, "pattern \"%.*s\" has no further time before the end",
                         (int)pattern.len, pattern.data);
    *out_ms = (uint64_t)next_ms;
    return 0;
}
