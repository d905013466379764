#include "common/queue/job.h"

#include <math.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/queue/json_walk.h"

/* A wait that no deployment outlives (34 years): keeps due times far inside a double's whole
 * numbers, where 2^(n-1) would leave them. */
#define WAIT_MAX_MS 0x1p40

/* The stored stack trace never grows beyond this: a job that is retried for ever must not fill
 * Redis. The oldest entries go first. */
#define STACKTRACE_BYTES_MAX ((size_t)1024 * 1024)
#define STACKTRACE_ENTRY_MAX ((size_t)64 * 1024)

void job_free(struct job *job)
{
    if (!job)
        return;
    free(job->options_error);
    free(job); /* the texts are in the same block, see job_new */
}

void job_freep(struct job **job)
{
    job_free(*job);
}

uint64_t job_backoff_ms(const struct job_backoff *backoff, uint64_t attempt, double unit_random,
                        uint64_t max_ms)
{
    double wait = (double)backoff->delay_ms;

    if (backoff->kind != JOB_BACKOFF_FIXED && backoff->kind != JOB_BACKOFF_EXPONENTIAL)
        return 0;
    if (backoff->kind == JOB_BACKOFF_EXPONENTIAL && attempt > 1)
        wait *= exp2((double)(attempt - 1));
    if (!(wait < WAIT_MAX_MS)) /* also when it became infinite */
        wait = WAIT_MAX_MS;
    /* Capped before the jitter, so that waits at the cap are still spread. */
    if (max_ms > 0 && wait > (double)max_ms)
        wait = (double)max_ms;
    if (backoff->jitter > 0)
        wait = floor(unit_random * wait * backoff->jitter + wait * (1 - backoff->jitter));
    return (uint64_t)wait;
}

/* How many strings the stored array has; 0 when it cannot be read. */
static size_t count_entries(const struct bytes *stored, struct json_value *out_array)
{
    struct json_value entry;
    struct json_walk walk;
    size_t count = 0;

    if (!stored || !stored->data || !json_text_is_valid(stored->data, stored->len))
        return 0;
    *out_array = json_whole_value(stored->data, stored->len);
    if (out_array->kind != JSON_KIND_ARRAY)
        return 0;
    walk = json_walk_into(out_array);
    while (json_next_element(&walk, &entry)) {
        if (entry.kind != JSON_KIND_STRING)
            return 0;
        count++;
    }
    return count;
}

/* Appends the stored entries from `skip` on, as they are. */
static void copy_entries(struct buf *out, const struct json_value *array, size_t skip)
{
    struct json_walk walk = json_walk_into(array);
    struct json_value entry;
    size_t index = 0;

    while (json_next_element(&walk, &entry)) {
        if (index++ < skip)
            continue;
        (void)buf_append(out, entry.text, entry.len);
        (void)buf_append_char(out, ',');
    }
}

char *job_stacktrace_add(const struct bytes *stored_json, const char *entry, int64_t limit)
{
    struct json_value array = { .kind = JSON_KIND_NULL };
    _cleanup_(buf_done) struct buf out = BUF_INIT(STACKTRACE_BYTES_MAX);
    size_t stored = count_entries(stored_json, &array);
    size_t entry_len = text_utf8_prefix(entry, strnlen(entry, STACKTRACE_ENTRY_MAX));
    size_t skip = 0;

    if (limit == 0)
        return strdup("[]");
    if (limit > 0 && stored + 1 > (size_t)limit)
        skip = stored + 1 - (size_t)limit;
    /* Usually one pass; each further one drops the older half of what did not fit. */
    for (;; skip += (stored - skip + 1) / 2) {
        buf_reset(&out);
        (void)buf_append_char(&out, '[');
        if (stored > skip)
            copy_entries(&out, &array, skip);
        (void)json_text_quote(&out, entry, entry_len);
        (void)buf_append_char(&out, ']');
        if (!out.failed)
            return buf_take(&out);
        if (stored <= skip)
            return NULL;
    }
}
