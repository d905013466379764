#include "supervisor/cli/add_parse.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/units.h"

int add_parse_backoff(const char *text, struct job_backoff *out, struct error *err)
{
    struct job_backoff backoff = { 0 };
    const char *delay = strchr(text, ':');
    const char *jitter = delay ? strchr(delay + 1, ':') : NULL;
    _cleanup_(freep) char *delay_text = NULL;
    char *end;

    if (delay && strncmp(text, "fixed:", 6) == 0)
        backoff.kind = JOB_BACKOFF_FIXED;
    else if (delay && strncmp(text, "exponential:", 12) == 0)
        backoff.kind = JOB_BACKOFF_EXPONENTIAL;
    else
        return error_set(err, -EINVAL,
                         "\"%s\" is not a back-off: write fixed:5s, exponential:2s, or with "
                         "jitter exponential:2s:0.5",
                         text);
    delay_text = strndup(delay + 1, jitter ? (size_t)(jitter - delay - 1) : strlen(delay + 1));
    if (!delay_text)
        return error_set(err, -ENOMEM, "allocate a text");
    if (units_parse_duration(delay_text, &backoff.delay_ms, err) < 0)
        return error_wrap(err, "delay of \"%s\"", text);
    if (jitter) {
        backoff.jitter = strtod(jitter + 1, &end);
        if (end == jitter + 1 || *end || !(backoff.jitter >= 0 && backoff.jitter <= 1))
            return error_set(err, -EINVAL, "jitter of \"%s\" must be a number from 0 to 1", text);
    }
    *out = backoff;
    return 0;
}

int add_parse_keep(const char *text, struct job_keep *out, struct error *err)
{
    struct job_keep keep = { .present = true, .count = -1 };
    uint64_t number = 0;

    if (strcmp(text, "none") == 0)
        keep.count = 0;
    else if (strcmp(text, "all") == 0)
        keep.count = -1;
    else if (text_parse_uint(text, strlen(text), &number) == 0 && number <= INT32_MAX)
        keep.count = (int64_t)number;
    else if (units_parse_duration(text, &number, NULL) == 0 && number > 0)
        keep.age_s = (double)number / 1000;
    else
        return error_set(err, -EINVAL,
                         "\"%s\" must be all, none, a number of newest jobs, or an age as in 7d",
                         text);
    *out = keep;
    return 0;
}

int add_parse_policy(const char *text, enum job_policy *out, struct error *err)
{
    static const struct {
        const char *word;
        enum job_policy policy;
    } rows[] = {
        { "fail-parent", JOB_POLICY_FAIL_PARENT },
        { "continue-parent", JOB_POLICY_CONTINUE_PARENT },
        { "ignore", JOB_POLICY_IGNORE_DEPENDENCY },
        { "remove", JOB_POLICY_REMOVE_DEPENDENCY },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(text, rows[i].word) == 0) {
            *out = rows[i].policy;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "\"%s\" must be one of " ADD_POLICY_WORDS, text);
}

int add_parse_parent(const char *text, char **out_queue, const char **out_id, struct error *err)
{
    const char *colon = strchr(text, ':');
    char *queue;

    if (!colon || colon == text || !colon[1])
        return error_set(err, -EINVAL,
                         "\"%s\" must be the parent's queue and its id, as in reports:daily-7",
                         text);
    queue = strndup(text, (size_t)(colon - text));
    if (!queue)
        return error_set(err, -ENOMEM, "allocate a text");
    *out_queue = queue;
    *out_id = colon + 1;
    return 0;
}

static struct job_keep keep_from_config(const struct config_keep *from)
{
    /* Keeping all is what happens without a rule. */
    return (struct job_keep){ .present = from->count >= 0 || from->age_ms > 0,
                              .count = from->count,
                              .age_s = (double)from->age_ms / 1000 };
}

void add_fill_from_config(const struct config_type *type, struct job_spec *spec)
{
    if (spec->attempts == 0 && type->attempts > 1)
        spec->attempts = type->attempts;
    if (spec->backoff.kind == JOB_BACKOFF_ABSENT && type->backoff.kind != CONFIG_BACKOFF_NONE) {
        spec->backoff = (struct job_backoff){
            .kind = type->backoff.kind == CONFIG_BACKOFF_FIXED ? JOB_BACKOFF_FIXED
                                                               : JOB_BACKOFF_EXPONENTIAL,
            .delay_ms = type->backoff.delay_ms,
            .jitter = type->backoff.jitter,
        };
    }
    if (!spec->keep_completed.present)
        spec->keep_completed = keep_from_config(&type->keep_completed);
    if (!spec->keep_failed.present)
        spec->keep_failed = keep_from_config(&type->keep_failed);
}
