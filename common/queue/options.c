/* What opts mean: wire format 2.3 (encoding), 5.2 (keep rules), 6 (backoff). Every reader here
 * takes what JavaScript may have written: numbers with fractions or as text, null for absent. */
#include "common/queue/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/queue/add.h"
#include "common/queue/json_walk.h"

#define KEEP_LIMIT_DEFAULT 1000   /* wire format 5.2 */
#define NUMBER_MAX         0x1p53 /* larger ones are cut: no counter or time gets there */

static int refuse(struct error *err, const char *member, const struct json_value *value,
                  const char *wanted)
{
    int shown = value->len > 40 ? 40 : (int)value->len;

    return error_set(err, -EINVAL, "opts.%s must be %s, not %.*s%s", member, wanted, shown,
                     value->text, value->len > 40 ? "…" : "");
}

/* A number as parseInt sees it: the fraction is dropped. */
static int read_whole(const char *member, const struct json_value *value, double *out,
                      struct error *err)
{
    double number = 0;

    if (!json_read_number(value, &number))
        return refuse(err, member, value, "a number");
    *out = trunc(fmax(-NUMBER_MAX, fmin(NUMBER_MAX, number)));
    return 0;
}

static int read_attempts(const struct json_value *value, struct job_options *out, struct error *err)
{
    double number = 0;

    if (read_whole("attempts", value, &number, err) < 0)
        return -EINVAL;
    /* Negative ones mean a single attempt to a stock worker (1 < -1 is false), as 1 does. */
    out->attempts = number < 0 ? 1 : (uint64_t)number;
    return 0;
}

/* The number must be given and, where it is not negative, is what counts: -1 otherwise. */
static int read_limit(const char *member, const struct json_value *value, int64_t *out,
                      struct error *err)
{
    double number = 0;

    if (read_whole(member, value, &number, err) < 0)
        return -EINVAL;
    *out = number < 0 ? -1 : (int64_t)number;
    return 0;
}

static enum job_backoff_kind backoff_kind(const struct json_value *type)
{
    if (json_string_is(type, "fixed"))
        return JOB_BACKOFF_FIXED;
    if (json_string_is(type, "exponential"))
        return JOB_BACKOFF_EXPONENTIAL;
    return JOB_BACKOFF_CUSTOM;
}

static int read_backoff_member(const struct json_value *key, const struct json_value *value,
                               struct job_backoff *out, struct error *err)
{
    double number = 0;

    if (value->kind == JSON_KIND_NULL)
        return 0;
    if (json_string_is(key, "type")) {
        if (value->kind != JSON_KIND_STRING)
            return refuse(err, "backoff.type", value, "a string");
        out->kind = backoff_kind(value);
    } else if (json_string_is(key, "delay")) {
        if (read_whole("backoff.delay", value, &number, err) < 0)
            return -EINVAL;
        out->delay_ms = number < 0 ? 0 : (uint64_t)number;
    } else if (json_string_is(key, "jitter")) {
        if (!json_read_number(value, &number))
            return refuse(err, "backoff.jitter", value, "a number");
        out->jitter = fmax(0, fmin(1, number));
    }
    return 0;
}

static int read_backoff(const struct json_value *value, struct job_options *out, struct error *err)
{
    struct job_backoff backoff = { .kind = JOB_BACKOFF_CUSTOM };
    struct json_value key, member;
    struct json_walk walk;
    double number = 0;

    if (value->kind == JSON_KIND_FALSE)
        return 0;
    if (value->kind == JSON_KIND_NUMBER) { /* the short form of fixed, kept in templates */
        if (read_whole("backoff", value, &number, err) < 0)
            return -EINVAL;
        backoff.kind = JOB_BACKOFF_FIXED;
        backoff.delay_ms = number < 0 ? 0 : (uint64_t)number;
        out->backoff = backoff;
        return 0;
    }
    if (value->kind != JSON_KIND_OBJECT)
        return refuse(err, "backoff", value, "a number or an object");
    walk = json_walk_into(value);
    while (json_next_member(&walk, &key, &member)) {
        if (read_backoff_member(&key, &member, &backoff, err) < 0)
            return -EINVAL;
    }
    out->backoff = backoff;
    return 0;
}

static int read_keep_object(const char *member, const struct json_value *value,
                            struct job_keep *out, struct error *err)
{
    struct json_walk walk = json_walk_into(value);
    struct json_value key, item;
    char path[64];
    double number = 0;

    while (json_next_member(&walk, &key, &item)) {
        (void)snprintf(path, sizeof(path), "%s.%.*s", member,
                       (int)(key.len > 22 ? 20 : key.len - 2),
                       key.text + 1); /* only for the message: may be cut */
        if (item.kind == JSON_KIND_NULL)
            continue;
        if (json_string_is(&key, "age")) {
            if (!json_read_number(&item, &number))
                return refuse(err, path, &item, "a number of seconds");
            out->age_s = fmax(0, fmin(NUMBER_MAX, number));
        } else if (json_string_is(&key, "count")) {
            if (read_limit(path, &item, &out->count, err) < 0)
                return -EINVAL;
        } else if (json_string_is(&key, "limit")) {
            if (read_whole(path, &item, &number, err) < 0)
                return -EINVAL;
            out->limit = number < 1 ? KEEP_LIMIT_DEFAULT : (uint64_t)number;
        }
    }
    return 0;
}

static int read_keep(const char *member, const struct json_value *value, struct job_keep *out,
                     struct error *err)
{
    struct job_keep keep = { .present = true, .count = -1, .limit = KEEP_LIMIT_DEFAULT };

    switch (value->kind) {
    case JSON_KIND_TRUE:
        keep.count = 0;
        break;
    case JSON_KIND_FALSE:
        break;
    case JSON_KIND_NUMBER:
        if (read_limit(member, value, &keep.count, err) < 0)
            return -EINVAL;
        break;
    case JSON_KIND_OBJECT:
        if (read_keep_object(member, value, &keep, err) < 0)
            return -EINVAL;
        break;
    case JSON_KIND_ARRAY:
    case JSON_KIND_STRING:
    case JSON_KIND_NULL:
    default:
        return refuse(err, member, value, "true, false, a number or an object");
    }
    *out = keep;
    return 0;
}

/* As JavaScript's truth: what lifo is tested for. */
static int read_lifo(const struct json_value *value, struct job_options *out, struct error *err)
{
    double number = 0;

    if (value->kind == JSON_KIND_OBJECT || value->kind == JSON_KIND_ARRAY)
        return refuse(err, "lifo", value, "true or false");
    if (value->kind == JSON_KIND_STRING)
        out->lifo = value->len > 2;
    else if (value->kind == JSON_KIND_NUMBER)
        out->lifo = !json_read_number(value, &number) || number < 0 || number > 0;
    else
        out->lifo = value->kind == JSON_KIND_TRUE;
    return 0;
}

static int read_member(const struct json_value *key, const struct json_value *value,
                       struct job_options *out, struct error *err)
{
    if (value->kind == JSON_KIND_NULL)
        return 0;
    if (json_string_is(key, "attempts"))
        return read_attempts(value, out, err);
    if (json_string_is(key, "backoff"))
        return read_backoff(value, out, err);
    if (json_string_is(key, "removeOnComplete"))
        return read_keep("removeOnComplete", value, &out->keep_completed, err);
    if (json_string_is(key, "removeOnFail"))
        return read_keep("removeOnFail", value, &out->keep_failed, err);
    if (json_string_is(key, "stackTraceLimit"))
        return read_limit("stackTraceLimit", value, &out->stack_trace_limit, err);
    if (json_string_is(key, "lifo"))
        return read_lifo(value, out, err);
    if (json_string_is(key, "repeat"))
        out->repeats = value->kind == JSON_KIND_OBJECT;
    if (json_string_is(key, "kl")) {
        if (read_limit("kl", value, &out->keep_logs, err) < 0)
            return -EINVAL;
        if (out->keep_logs == 0) /* a stock client sends no limit for 0 */
            out->keep_logs = -1;
    }
    return 0;
}

int job_options_parse(const char *json, size_t len, struct job_options *out, struct error *err)
{
    struct job_options options = { .stack_trace_limit = -1, .keep_logs = -1 };
    struct json_value whole, key, value;
    struct json_walk walk;

    if (!json_text_is_valid(json, len))
        return error_set(err, -EINVAL, "opts is not valid JSON");
    whole = json_whole_value(json, len);
    if (whole.kind != JSON_KIND_OBJECT)
        return error_set(err, -EINVAL, "opts is not a JSON object");
    walk = json_walk_into(&whole);
    while (json_next_member(&walk, &key, &value)) {
        if (read_member(&key, &value, &options, err) < 0)
            return -EINVAL;
    }
    *out = options;
    return 0;
}

/* ---- writing ---- */

static int print_real(struct buf *out, double number)
{
    return buf_printf(out, "%.15g", number);
}

static int print_backoff(const struct job_backoff *backoff, struct buf *out)
{
    const char *type = backoff->kind == JOB_BACKOFF_FIXED ? "fixed" : "exponential";

    if (backoff->kind == JOB_BACKOFF_ABSENT)
        return 0;
    (void)buf_printf(out, ",\"backoff\":{\"type\":\"%s\",\"delay\":%llu", type,
                     (unsigned long long)backoff->delay_ms);
    if (backoff->jitter > 0) {
        (void)buf_append_text(out, ",\"jitter\":");
        (void)print_real(out, backoff->jitter);
    }
    return buf_append_char(out, '}');
}

/* {"age":…,"count":…,"limit":…}; count only when it limits. */
static int print_keep_object(const struct job_keep *keep, struct buf *out)
{
    (void)buf_append_text(out, "{\"age\":");
    (void)print_real(out, keep->age_s);
    if (keep->count >= 0)
        (void)buf_printf(out, ",\"count\":%lld", (long long)keep->count);
    if (keep->limit > 0 && keep->limit != KEEP_LIMIT_DEFAULT)
        (void)buf_printf(out, ",\"limit\":%llu", (unsigned long long)keep->limit);
    return buf_append_char(out, '}');
}

static int print_keep(const char *member, const struct job_keep *keep, struct buf *out)
{
    if (!keep->present)
        return 0;
    (void)buf_printf(out, ",\"%s\":", member);
    if (keep->count == 0)
        return buf_append_text(out, "true");
    if (keep->age_s > 0)
        return print_keep_object(keep, out);
    if (keep->count < 0)
        return buf_append_text(out, "false");
    return buf_printf(out, "%lld", (long long)keep->count);
}

/* The short name of each policy, in opts and in the hash. */
static const char *policy_name(enum job_policy policy)
{
    static const char *const names[] = {
        [JOB_POLICY_FAIL_PARENT] = "fpof",
        [JOB_POLICY_CONTINUE_PARENT] = "cpof",
        [JOB_POLICY_IGNORE_DEPENDENCY] = "idof",
        [JOB_POLICY_REMOVE_DEPENDENCY] = "rdof",
    };

    return names[policy];
}

static int print_text_member(struct buf *out, const char *name, struct bytes text)
{
    (void)buf_printf(out, ",\"%s\":", name);
    return json_text_quote(out, text.data, text.len);
}

static void print_parent(const struct job_spec *spec, struct buf *out)
{
    if (spec->policy != JOB_POLICY_NONE)
        (void)buf_printf(out, ",\"%s\":true", policy_name(spec->policy));
    if (!spec->parent.id.data)
        return;
    (void)buf_append_text(out, ",\"parent\":{\"id\":");
    (void)json_text_quote(out, spec->parent.id.data, spec->parent.id.len);
    (void)print_text_member(out, "queue", spec->parent.queue);
    (void)buf_append_char(out, '}');
}

static void print_dedup(const struct job_dedup *dedup, struct buf *out)
{
    if (!dedup->id.data)
        return;
    (void)buf_append_text(out, ",\"de\":{\"id\":");
    (void)json_text_quote(out, dedup->id.data, dedup->id.len);
    if (dedup->ttl_ms > 0)
        (void)buf_printf(out, ",\"ttl\":%llu", (unsigned long long)dedup->ttl_ms);
    if (dedup->extend)
        (void)buf_append_text(out, ",\"extend\":true");
    if (dedup->replace)
        (void)buf_append_text(out, ",\"replace\":true");
    if (dedup->keep_last_if_active)
        (void)buf_append_text(out, ",\"keepLastIfActive\":true");
    if (dedup->reschedule)
        (void)buf_append_text(out, ",\"reschedule\":true");
    (void)buf_append_char(out, '}');
}

static void print_extra(const struct bytes *extra, struct buf *out)
{
    struct json_value whole, key, value;
    struct json_walk walk;

    if (!extra->data)
        return;
    whole = json_whole_value(extra->data, extra->len);
    walk = json_walk_into(&whole);
    while (json_next_member(&walk, &key, &value)) {
        (void)buf_append_char(out, ',');
        (void)buf_append(out, key.text, key.len);
        (void)buf_append_char(out, ':');
        (void)buf_append(out, value.text, value.len);
    }
}

int job_parent_print(const struct job_spec *spec, struct buf *out)
{
    if (!spec->parent.id.data)
        return 0;
    (void)buf_append_text(out, "{\"id\":");
    (void)json_text_quote(out, spec->parent.id.data, spec->parent.id.len);
    (void)print_text_member(out, "queueKey", spec->parent.queue);
    if (spec->policy != JOB_POLICY_NONE)
        (void)buf_printf(out, ",\"%s\":true", policy_name(spec->policy));
    (void)buf_append_char(out, '}');
    return out->failed ? -ENOMEM : 0;
}

/* A failed append marks the buffer, so the chain is checked once, at its end. */
int job_options_print(const struct job_spec *spec, struct buf *out)
{
    (void)buf_printf(out, "{\"attempts\":%llu", (unsigned long long)spec->attempts);
    if (spec->delay_ms > 0)
        (void)buf_printf(out, ",\"delay\":%llu", (unsigned long long)spec->delay_ms);
    if (spec->priority > 0)
        (void)buf_printf(out, ",\"priority\":%llu", (unsigned long long)spec->priority);
    if (spec->lifo)
        (void)buf_append_text(out, ",\"lifo\":true");
    if (spec->id.data && spec->id.len > 0) {
        (void)buf_append_text(out, ",\"jobId\":");
        (void)json_text_quote(out, spec->id.data, spec->id.len);
    }
    if (spec->timestamp_ms > 0)
        (void)buf_printf(out, ",\"timestamp\":%llu", (unsigned long long)spec->timestamp_ms);
    (void)print_backoff(&spec->backoff, out);
    (void)print_keep("removeOnComplete", &spec->keep_completed, out);
    (void)print_keep("removeOnFail", &spec->keep_failed, out);
    if (spec->stack_trace_limit >= 0)
        (void)buf_printf(out, ",\"stackTraceLimit\":%lld", (long long)spec->stack_trace_limit);
    if (spec->keep_logs >= 0)
        (void)buf_printf(out, ",\"kl\":%lld", (long long)spec->keep_logs);
    if (spec->size_limit > 0)
        (void)buf_printf(out, ",\"sizeLimit\":%llu", (unsigned long long)spec->size_limit);
    print_parent(spec, out);
    print_dedup(&spec->dedup, out);
    if (spec->telemetry.metadata.data)
        (void)print_text_member(out, "tm", spec->telemetry.metadata);
    if (spec->telemetry.omit_context)
        (void)buf_append_text(out, ",\"omc\":true");
    print_extra(&spec->extra_opts, out);
    (void)buf_append_char(out, '}');
    return out->failed ? -ENOMEM : 0;
}
