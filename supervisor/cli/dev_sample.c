#include "supervisor/cli/dev_sample.h"

#include <string.h>

#define STRIDE 7919 /* a prime: steps of it visit all places unless their number is a multiple */

/* What a sample is made of. The first row takes what the shares leave over. */
static const struct kind {
    const char *queue, *name;
    unsigned int per_mille;
    unsigned int least; /* also in a small sample */
    uint64_t delay_ms;  /* longest; the jobs spread over it */
    uint64_t priority;  /* lowest (1 is the highest); the jobs spread over it */
    uint64_t attempts;
} kinds[] = {
    { "noop", "tick", 0, 0, 0, 0, 0 },      { "noop", "tick", 150, 2, 4000, 0, 0 },
    { "noop", "tick", 150, 2, 0, 10, 0 },   { "exec", "hello", 180, 2, 0, 0, 0 },
    { "exec", "hello", 40, 2, 3000, 0, 0 }, { "exec", "hello", 40, 2, 0, 5, 0 },
    { "exec", "flaky", 20, 2, 0, 0, 3 },    { "exec", "hopeless", 0, DEV_SAMPLE_FAILING, 0, 0, 3 },
};

#define KINDS ARRAY_SIZE(kinds)

static size_t count_of(const struct kind *kind, size_t total)
{
    size_t count = total * kind->per_mille / 1000;

    return count > kind->least ? count : kind->least;
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ text, strlen(text) };
}

/* The nth (from 0) of `count` jobs of one kind. */
static void fill(struct dev_job *job, const struct kind *kind, size_t nth, size_t count)
{
    (void)snprintf(job->data, sizeof(job->data), "{\"n\":%zu,\"from\":\"drover\"}", nth + 1);
    job->queue = kind->queue;
    job->spec = JOB_SPEC_INIT;
    job->spec.name = bytes_of(kind->name);
    job->spec.data = bytes_of(job->data);
    if (kind->delay_ms > 0)
        job->spec.delay_ms = kind->delay_ms * (nth + 1) / count;
    if (kind->priority > 0)
        job->spec.priority = nth % kind->priority + 1;
    if (kind->attempts > 0) {
        job->spec.attempts = kind->attempts;
        job->spec.backoff =
            (struct job_backoff){ .kind = JOB_BACKOFF_FIXED, .delay_ms = 300 + 50 * (nth % 10) };
    }
}

struct dev_job *dev_sample_make(size_t count)
{
    struct dev_job *jobs = calloc(count, sizeof(*jobs));
    size_t counts[KINDS], used = 0, at = 0;
    size_t stride = count % STRIDE == 0 ? 1 : STRIDE;

    if (!jobs)
        return NULL;
    for (size_t i = 1; i < KINDS; i++) {
        counts[i] = count_of(&kinds[i], count);
        used += counts[i];
    }
    counts[0] = count > used ? count - used : 0;
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t nth = 0; nth < counts[i] && at < count; nth++, at++)
            fill(&jobs[at * stride % count], &kinds[i], nth, counts[i]);
    }
    return jobs;
}

static const char *const retried[] = {
    DEV_STORY_QUEUE, "flaky", "{\"order\":7}", "--id",        DEV_STORY_ID,
    "--attempts",    "3",     "--backoff",     "fixed:400ms", NULL
};
static const char *const greeted[] = { "exec", "hello", "{\"to\":\"command line\"}", NULL };
static const char *const first[] = { "noop", "tick", "{}", "--priority", "1", NULL };
static const char *const later[] = { "noop", "tick", "{}", "--delay", "1s", NULL };
static const char *const next[] = { "exec", "hello", "{\"to\":\"next\"}", "--lifo", NULL };

const char *const *const dev_sample_commands[] = { retried, greeted, first, later, next };
const size_t dev_sample_commands_count = ARRAY_SIZE(dev_sample_commands);
