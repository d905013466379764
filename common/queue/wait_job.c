/* Waiting for the end of a job: the events tell it; its state is looked at when that starts, when
 * nothing was heard for a while, and when events were lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/queue/events.h"
#include "common/queue/get_internal.h"

struct wait_job {
    struct queue *queue;
    queue_finished_cb *on_done;
    void *arg;
    char *id;
    uint64_t until_ms;           /* clock_now_ms; 0: no end */
    struct queue_follow *follow; /* NULL once it has ended */
    bool looking;                /* a look at the state is under way */
    uint64_t looked_at_ms;       /* the last time; 0: never */
    bool timed_out;              /* what is under way is still heard */
    bool known;                  /* how it ends: the rest is below */
    enum job_finished finished;
    char *value;
    size_t value_len;
    struct call_result failed; /* outcome REDIS_REPLY: it did not fail */
    char why[256];
};

static void free_wait(struct wait_job *wait)
{
    free(wait->id);
    free(wait->value);
    free(wait);
}

/* Ends when nothing is under way any more. Safe to call at any time. */
static void step(struct wait_job *wait)
{
    struct bytes value = { wait->value, wait->value_len };

    /* Not known by now: it has not ended in time. */
    if (wait->known && wait->follow)
        queue_follow_stop(wait->follow);
    if (wait->follow || wait->looking)
        return;
    wait->on_done(wait->queue, &wait->failed, wait->finished, value, wait->arg);
    free_wait(wait);
}

static void fail(struct wait_job *wait, const struct call_result *result)
{
    if (wait->known)
        return;
    wait->known = true;
    (void)snprintf(wait->why, sizeof(wait->why), "%s", result->why); /* may be cut */
    wait->failed = *result;
    wait->failed.why = wait->why;
}

static void learn(struct wait_job *wait, enum job_finished finished, struct bytes value)
{
    struct call_result no_memory = get_no_memory();

    if (wait->known)
        return;
    if (value.data) {
        wait->value = malloc(value.len + 1);
        if (!wait->value) {
            fail(wait, &no_memory);
            return;
        }
        memcpy(wait->value, value.data, value.len);
        wait->value[value.len] = '\0';
        wait->value_len = value.len;
    }
    wait->finished = finished;
    wait->known = true;
}

static struct bytes field_of(const struct bytes *names, const struct bytes *values, size_t count,
                             const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i].data && strcmp(names[i].data, name) == 0)
            return values[i];
    }
    return (struct bytes){ 0 };
}

/* Learns the end of the job when that is what an event of it tells. */
static void take_end(struct wait_job *wait, const struct bytes *names, const struct bytes *values,
                     size_t count)
{
    struct bytes what = field_of(names, values, count, "event");

    if (!what.data)
        return;
    if (strcmp(what.data, "completed") == 0)
        learn(wait, JOB_COMPLETED, field_of(names, values, count, "returnvalue"));
    else if (strcmp(what.data, "failed") == 0)
        learn(wait, JOB_FAILED, field_of(names, values, count, "failedReason"));
}

#define HISTORY_SCAN  10000 /* events */
#define LOOK_EVERY_MS 5000
#define SOON_MS       20 /* waits for events while a look is under way: its answer may end it all */

/* The job is gone: if it ended before that, the stream may still say how. */
static void on_history(struct queue *queue, const struct call_result *call,
                       const struct job_event *events, size_t count, void *arg)
{
    struct wait_job *wait = arg;

    (void)queue;
    wait->looking = false;
    if (call->outcome != REDIS_REPLY)
        fail(wait, call);
    for (size_t i = count; i > 0 && !wait->known; i--)
        take_end(wait, events[i - 1].names, events[i - 1].values, events[i - 1].fields_count);
    learn(wait, JOB_GONE, (struct bytes){ 0 });
    step(wait);
}

static void look_back(struct wait_job *wait)
{
    struct call_result result;
    struct error err = { 0 };

    if (queue_job_history(wait->queue, wait->id, HISTORY_SCAN, on_history, wait, &err) == 0) {
        wait->looking = true;
        return;
    }
    result = queue_walk_unsent(&err);
    fail(wait, &result);
}

static void on_look(struct queue *queue, const struct call_result *call, enum job_finished finished,
                    struct bytes value, void *arg)
{
    struct wait_job *wait = arg;

    (void)queue;
    wait->looking = false;
    if (call->outcome != REDIS_REPLY)
        fail(wait, call);
    else if (finished == JOB_GONE)
        look_back(wait);
    else if (finished != JOB_UNFINISHED)
        learn(wait, finished, value);
    step(wait);
}

static void look(struct wait_job *wait)
{
    struct call_result result;
    struct error err = { 0 };

    if (wait->looking || wait->known)
        return;
    wait->looked_at_ms = clock_now_ms();
    if (queue_is_finished(wait->queue, wait->id, on_look, wait, &err) == 0) {
        wait->looking = true;
        return;
    }
    result = queue_walk_unsent(&err);
    fail(wait, &result);
}

/* Events that end the wait: a job that was removed is looked for once more, for it may come back
 * under the same id. */
static void take_event(struct wait_job *wait, const struct queue_event *event)
{
    if (!event->job_id.data || strcmp(event->job_id.data, wait->id) != 0)
        return;
    take_end(wait, event->names, event->values, event->fields_count);
    if (event->event.data && strcmp(event->event.data, "removed") == 0)
        look(wait);
}

/* Sees to it that the next wait for events ends in time. */
static void check_time(struct wait_job *wait)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t block_ms = wait->looking ? SOON_MS : LOOK_EVERY_MS;

    if (wait->until_ms != 0 && now_ms >= wait->until_ms)
        wait->timed_out = true;
    else if (wait->until_ms != 0 && wait->until_ms - now_ms < block_ms)
        block_ms = wait->until_ms - now_ms;
    queue_follow_block(wait->follow, block_ms);
}

/* The first call, without events, comes when the end of the stream is known: from then on nothing
 * is missed, so that is when the state is looked at. */
static bool on_events(struct queue *queue, const struct queue_event *events, size_t count,
                      uint64_t lost, void *arg)
{
    struct wait_job *wait = arg;

    (void)queue;
    for (size_t i = 0; i < count && !wait->known; i++)
        take_event(wait, &events[i]);
    if (lost > 0 || wait->looked_at_ms == 0 || clock_now_ms() - wait->looked_at_ms >= LOOK_EVERY_MS)
        look(wait);
    check_time(wait);
    return !wait->known && !wait->timed_out;
}

static void on_end(struct queue *queue, const struct call_result *call, void *arg)
{
    struct wait_job *wait = arg;

    (void)queue;
    wait->follow = NULL;
    if (call->outcome != REDIS_REPLY)
        fail(wait, call);
    step(wait);
}

int queue_wait_job(struct queue *queue, struct redis *blocking, const char *id, uint64_t timeout_ms,
                   queue_finished_cb *on_done, void *arg, struct error *err)
{
    const struct events_from from = { .id = "$", .batch = 100 };
    struct wait_job *wait;
    int r = get_check_id(id, err);

    if (r < 0)
        return r;
    wait = calloc(1, sizeof(*wait));
    if (!wait)
        return error_set(err, -ENOMEM, "allocate a call");
    *wait = (struct wait_job){ .queue = queue,
                               .on_done = on_done,
                               .arg = arg,
                               .id = strdup(id),
                               .until_ms = timeout_ms ? clock_now_ms() + timeout_ms : 0,
                               .failed = { .outcome = REDIS_REPLY, .why = "" } };
    r = wait->id ? queue_follow_events(queue, blocking, &from, on_events, on_end, wait,
                                       &wait->follow, err)
                 : error_set(err, -ENOMEM, "allocate a call");
    if (r < 0)
        free_wait(wait);
    return r;
}
