/* The checks that a stock client makes before it sends (wire format 1.3, 2.4), and those that keep
 * a job from being stored with options that nobody obeys. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/queue/add.h"
#include "common/queue/json_walk.h"
#include "common/queue/queue_internal.h"

#define PRIORITY_MAX    2097151          /* 2^21 - 1 */
#define WALL_MAX_MS     8640000000000000 /* the last instant of a JavaScript Date */
#define EXTRA_BYTES_MAX ((size_t)64 * 1024)

/* What JavaScript's parseInt(id).toString() === id means: a whole number as it is printed. */
static bool looks_automatic(const struct bytes *id)
{
    const char *at = id->data;
    size_t len = id->len;

    if (len > 1 && *at == '-') {
        at++;
        len--;
        if (*at == '0')
            return false;
    }
    if (len == 0 || (len > 1 && *at == '0'))
        return false;
    /* From 22 digits on parseInt answers in exponent form: such a text is not its own parse. */
    if (len > 21)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
    }
    return true;
}

static size_t count_colons(const struct bytes *id)
{
    size_t colons = 0;

    for (size_t i = 0; i < id->len; i++)
        colons += id->data[i] == ':';
    return colons;
}

static int check_id(const struct bytes *id, struct error *err)
{
    int shown = id->len > 100 ? 100 : (int)id->len;
    size_t colons;

    if (!id->data || id->len == 0)
        return 0;
    if (looks_automatic(id))
        return error_set(
            err, -EINVAL,
            "id \"%.*s\" is a whole number: those are the automatic ids; put something "
            "before it, as in order-%.*s",
            shown, id->data, shown, id->data);
    if (id->len >= 2 && memcmp(id->data, "0:", 2) == 0)
        return error_set(err, -EINVAL, "id \"%.*s\" starts with \"0:\"", shown, id->data);
    colons = count_colons(id);
    if (colons != 0 && colons != 2)
        return error_set(err, -EINVAL, "id \"%.*s\" contains ':', which separates parts of keys",
                         shown, id->data);
    /* Stock clients let it pass, and the queue is broken from then on. */
    if (queue_is_key_name(id->data, id->len))
        return error_set(err, -EINVAL, "id \"%.*s\" is the name of a key of the queue itself",
                         shown, id->data);
    if (text_utf8_prefix(id->data, id->len) < id->len)
        return error_set(err, -EINVAL, "id is not valid UTF-8");
    return 0;
}

static int check_backoff(const struct job_backoff *backoff, struct error *err)
{
    if (backoff->kind == JOB_BACKOFF_CUSTOM)
        return error_set(err, -EINVAL, "backoff must be fixed or exponential");
    if (!(backoff->jitter >= 0 && backoff->jitter <= 1))
        return error_set(err, -EINVAL, "backoff jitter %g is outside 0 to 1", backoff->jitter);
    if (backoff->delay_ms > WALL_MAX_MS)
        return error_set(err, -EINVAL, "backoff delay of %" PRIu64 " ms is out of range",
                         backoff->delay_ms);
    return 0;
}

static int check_keep(const char *member, const struct job_keep *keep, struct error *err)
{
    if (keep->present && !(isfinite(keep->age_s) && keep->age_s >= 0))
        return error_set(err, -EINVAL, "%s age must be 0 or more seconds", member);
    return 0;
}

static int check_data(const struct job_spec *spec, struct error *err)
{
    if (!spec->data.data)
        return 0;
    if (!json_text_is_valid(spec->data.data, spec->data.len))
        return error_set(err, -EINVAL, "data is not valid JSON");
    if (spec->size_limit > 0 && spec->data.len > spec->size_limit)
        return error_set(err, -EINVAL, "data of %zu bytes is over the size limit of %" PRIu64,
                         spec->data.len, spec->size_limit);
    return 0;
}

static bool is_given(const struct bytes *bytes)
{
    return bytes->data != NULL;
}

/* A text that goes into a key or into JSON. */
static int check_text(const char *what, const struct bytes *text, struct error *err)
{
    if (!is_given(text) || text->len == 0)
        return error_set(err, -EINVAL, "%s is empty", what);
    if (text_utf8_prefix(text->data, text->len) < text->len)
        return error_set(err, -EINVAL, "%s is not valid UTF-8", what);
    return 0;
}

static int check_parent(const struct job_spec *spec, struct error *err)
{
    const struct bytes *queue = &spec->parent.queue;
    const char *colon;

    if ((unsigned)spec->policy > JOB_POLICY_REMOVE_DEPENDENCY)
        return error_set(err, -EINVAL, "the failure policy has an unknown value %d",
                         (int)spec->policy);
    if (!is_given(&spec->parent.id) && !is_given(queue))
        return 0;
    if (check_text("the parent's id", &spec->parent.id, err) < 0 ||
        check_text("the parent's queue", queue, err) < 0)
        return -EINVAL;
    colon = memrchr(queue->data, ':', queue->len);
    if (!colon || colon == queue->data || colon + 1 == queue->data + queue->len)
        return error_set(err, -EINVAL,
                         "the parent's queue \"%.*s\" must be its prefix and its name, as in "
                         "bull:mail",
                         queue->len > 100 ? 100 : (int)queue->len, queue->data);
    return 0;
}

static int check_dedup(const struct job_spec *spec, struct error *err)
{
    const struct job_dedup *dedup = &spec->dedup;

    if (!is_given(&dedup->id)) {
        if (dedup->ttl_ms > 0 || dedup->extend || dedup->replace || dedup->keep_last_if_active ||
            dedup->reschedule)
            return error_set(err, -EINVAL, "the deduplication has no id");
        return 0;
    }
    if (check_text("the deduplication id", &dedup->id, err) < 0)
        return -EINVAL;
    if (is_given(&spec->parent.id))
        return error_set(err, -EINVAL, "deduplication and a parent do not go together");
    if (dedup->ttl_ms > WALL_MAX_MS)
        return error_set(err, -EINVAL, "the deduplication's ttl of %" PRIu64 " ms is out of range",
                         dedup->ttl_ms);
    if (dedup->extend && dedup->ttl_ms == 0)
        return error_set(err, -EINVAL, "the deduplication's extend needs a ttl");
    if (dedup->reschedule && dedup->replace)
        return error_set(err, -EINVAL,
                         "the deduplication's reschedule and replace do not go together: what is "
                         "replaced can't be rescheduled");
    return 0;
}

/* Options that have a place of their own in struct job_spec, or are another call's. */
static const char *const own_options[] = {
    "attempts",
    "backoff",
    "continueParentOnFailure",
    "cpof",
    "de",
    "debounce",
    "deduplication",
    "delay",
    "failParentOnFailure",
    "fpof",
    "idof",
    "ignoreDependencyOnFailure",
    "jobId",
    "keepLogs",
    "kl",
    "lifo",
    "omc",
    "parent",
    "prevMillis",
    "priority",
    "rdof",
    "removeDependencyOnFailure",
    "removeOnComplete",
    "removeOnFail",
    "repeat",
    "repeatJobKey",
    "sizeLimit",
    "stackTraceLimit",
    "telemetry",
    "timestamp",
    "tm",
};

static int check_extra_member(const struct json_value *key, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(own_options); i++) {
        if (json_string_is(key, own_options[i]))
            return error_set(err, -EINVAL, "extra option \"%s\" is none: it has its own place",
                             own_options[i]);
    }
    return 0;
}

static int check_extra(const struct job_spec *spec, struct error *err)
{
    const struct bytes *extra = &spec->extra_opts;
    struct json_value whole, key, value;
    struct json_walk walk;

    if (!is_given(extra))
        return 0;
    if (extra->len > EXTRA_BYTES_MAX)
        return error_set(err, -EINVAL, "extra options of %zu bytes are over %zu", extra->len,
                         EXTRA_BYTES_MAX);
    if (!json_text_is_valid(extra->data, extra->len))
        return error_set(err, -EINVAL, "extra options are not valid JSON");
    whole = json_whole_value(extra->data, extra->len);
    if (whole.kind != JSON_KIND_OBJECT)
        return error_set(err, -EINVAL, "extra options are not a JSON object");
    walk = json_walk_into(&whole);
    while (json_next_member(&walk, &key, &value)) {
        if (check_extra_member(&key, err) < 0)
            return -EINVAL;
    }
    return 0;
}

/* These opts are read by a script when the job that runs has ended (wire format 2.3), whose parser
 * takes less than a JavaScript one, as jansson does. */
static int check_extra_for_script(const struct job_spec *spec, struct error *err)
{
    json_error_t found;
    json_t *parsed;

    if (!spec->dedup.keep_last_if_active || !is_given(&spec->extra_opts))
        return 0;
    parsed = json_loadb(spec->extra_opts.data, spec->extra_opts.len, 0, &found);
    if (!parsed)
        return error_set(err, -EINVAL,
                         "extra options do not go with keepLastIfActive: Redis could not read "
                         "them: %s",
                         found.text);
    json_decref(parsed);
    return 0;
}

static int check_relations(const struct job_spec *spec, struct error *err)
{
    const struct bytes *metadata = &spec->telemetry.metadata;

    if (check_parent(spec, err) < 0 || check_dedup(spec, err) < 0 || check_extra(spec, err) < 0 ||
        check_extra_for_script(spec, err) < 0)
        return -EINVAL;
    if (is_given(metadata) && text_utf8_prefix(metadata->data, metadata->len) < metadata->len)
        return error_set(err, -EINVAL, "the telemetry metadata is not valid UTF-8");
    return 0;
}

int job_spec_check(const struct job_spec *spec, struct error *err)
{
    if (!spec->name.data)
        return error_set(err, -EINVAL, "name is missing");
    if (text_utf8_prefix(spec->name.data, spec->name.len) < spec->name.len)
        return error_set(err, -EINVAL, "name is not valid UTF-8");
    if (check_data(spec, err) < 0 || check_id(&spec->id, err) < 0)
        return -EINVAL;
    if (spec->priority > PRIORITY_MAX)
        return error_set(err, -EINVAL, "priority %" PRIu64 " is over %d", spec->priority,
                         PRIORITY_MAX);
    if (spec->timestamp_ms > WALL_MAX_MS || spec->delay_ms > WALL_MAX_MS - spec->timestamp_ms)
        return error_set(err, -EINVAL, "timestamp and delay are out of range");
    if (spec->attempts > INT32_MAX)
        return error_set(err, -EINVAL, "attempts %" PRIu64 " are over %d", spec->attempts,
                         INT32_MAX);
    if (check_backoff(&spec->backoff, err) < 0 ||
        check_keep("removeOnComplete", &spec->keep_completed, err) < 0 ||
        check_keep("removeOnFail", &spec->keep_failed, err) < 0)
        return -EINVAL;
    return check_relations(spec, err);
}
