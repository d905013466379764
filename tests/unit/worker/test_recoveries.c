/* Jobs of the dead given back when the master asks: with queues that only do as told. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/queue/queue.h"
#include "workers/worker/recoveries.h"

/* ---- fakes */

struct queue {
    char name[256], prefix[32];
    struct redis *redis;
};

static struct asked {
    struct queue *queue;
    char uuid[40], cause[200];
    uint64_t max_givebacks;
    queue_recover_cb *on_recovered; /* NULL: it was a fence */
    queue_done_cb *on_fenced;
    void *arg;
} asked[600];
static size_t asked_count, queues_alive;
static int send_result;
static struct channel_recovered answers[600];
static size_t answers_count, pending_at_answer;
static struct recoveries *recoveries;
static int connection; /* its address is the fake connection */

#define REDIS ((struct redis *)&connection)

int queue_new(const char *prefix, const char *name, struct redis *redis, struct queue **out_queue,
              struct error *err)
{
    struct queue *queue;

    if (!*name)
        return error_set(err, -EINVAL, "a queue needs a name");
    queue = calloc(1, sizeof(*queue));
    (void)snprintf(queue->name, sizeof(queue->name), "%s", name);
    (void)snprintf(queue->prefix, sizeof(queue->prefix), "%s", prefix);
    queue->redis = redis;
    queues_alive++;
    *out_queue = queue;
    return 0;
}

void queue_free(struct queue *queue)
{
    queues_alive -= queue != NULL;
    free(queue);
}

static struct asked *record(struct queue *queue, const char *uuid, void *arg)
{
    struct asked *row = &asked[asked_count++];

    row->queue = queue;
    (void)snprintf(row->uuid, sizeof(row->uuid), "%s", uuid);
    row->arg = arg;
    return row;
}

int queue_recover(struct queue *queue, const struct recover_spec *spec, queue_recover_cb *on_done,
                  void *arg, struct error *err)
{
    struct asked *row;

    if (send_result < 0)
        return error_set(err, send_result, "told");
    row = record(queue, spec->uuid, arg);
    (void)snprintf(row->cause, sizeof(row->cause), "%s", spec->cause);
    row->max_givebacks = spec->max_givebacks;
    row->on_recovered = on_done;
    return 0;
}

int queue_fence(struct queue *queue, const char *uuid, queue_done_cb *on_done, void *arg,
                struct error *err)
{
    if (send_result < 0)
        return error_set(err, send_result, "told");
    record(queue, uuid, arg)->on_fenced = on_done;
    return 0;
}

static void on_answer(const struct channel_recovered *answer, void *arg)
{
    cr_assert(arg == answers);
    answers[answers_count++] = *answer;
    pending_at_answer = recoveries_pending(recoveries);
}

/* ---- the rig */

static void init(void)
{
    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
    cr_assert(eq(int, recoveries_new("bull", on_answer, answers, &recoveries, NULL), 0));
}

static void done(void)
{
    recoveries_free(recoveries);
    cr_assert(eq(sz, queues_alive, 0), "no queue is left");
}

TestSuite(recoveries, .init = init, .fini = done, .timeout = 20);

static void ask(const char *uuid, const char *queue, bool fence_only)
{
    struct channel_recover question = { .max_givebacks = 3, .fence_only = fence_only };

    (void)snprintf(question.uuid, sizeof(question.uuid), "%s", uuid);
    (void)snprintf(question.queue, sizeof(question.queue), "%s", queue);
    (void)snprintf(question.cause, sizeof(question.cause), "signal 9 (SIGKILL)");
    recoveries_ask(recoveries, &question);
}

static void reply(size_t at, enum redis_outcome outcome, uint64_t given_back, uint64_t failed)
{
    struct call_result call = { .outcome = outcome, .why = "told" };
    struct recover_result result = { given_back, failed };

    if (asked[at].on_recovered)
        asked[at].on_recovered(asked[at].queue, &call, &result, asked[at].arg);
    else
        asked[at].on_fenced(asked[at].queue, &call, 0, asked[at].arg);
}

/* ---- tests */

Test(recoveries, are_run_on_the_connection_and_answered_with_counts)
{
    recoveries_set_redis(recoveries, REDIS);
    ask("uuid-1", "money", false);
    cr_assert(eq(sz, asked_count, 1));
    cr_assert(eq(str, asked[0].queue->name, (char *)"money"));
    cr_assert(eq(str, asked[0].queue->prefix, (char *)"bull"));
    cr_assert(asked[0].queue->redis == REDIS);
    cr_assert(eq(str, asked[0].uuid, (char *)"uuid-1"));
    cr_assert(eq(str, asked[0].cause, (char *)"signal 9 (SIGKILL)"));
    cr_assert(eq(u64, asked[0].max_givebacks, 3));
    cr_assert(eq(sz, answers_count, 0));
    cr_assert(eq(sz, recoveries_pending(recoveries), 1));
    reply(0, REDIS_REPLY, 5, 2);
    cr_assert(eq(sz, answers_count, 1));
    cr_assert(eq(str, answers[0].uuid, (char *)"uuid-1"));
    cr_assert(eq(i64, answers[0].result, 0));
    cr_assert(eq(u64, answers[0].given_back, 5));
    cr_assert(eq(u64, answers[0].failed, 2));
    cr_assert(eq(sz, pending_at_answer, 0), "it is done when it is answered");
}

Test(recoveries, fence_only_gives_nothing_back)
{
    recoveries_set_redis(recoveries, REDIS);
    ask("uuid-1", "money", true);
    cr_assert(asked[0].on_recovered == NULL);
    reply(0, REDIS_REPLY, 0, 0);
    cr_assert(eq(i64, answers[0].result, 0));
    cr_assert(eq(u64, answers[0].given_back, 0));
}

Test(recoveries, several_at_once_are_answered_each_by_its_uuid)
{
    recoveries_set_redis(recoveries, REDIS);
    ask("uuid-1", "a", false);
    ask("uuid-2", "b", true);
    ask("uuid-3", "a", false);
    cr_assert(eq(sz, asked_count, 3));
    reply(2, REDIS_REPLY, 3, 0);
    reply(0, REDIS_REPLY, 1, 0);
    reply(1, REDIS_REPLY, 0, 0);
    cr_assert(eq(str, answers[0].uuid, (char *)"uuid-3"));
    cr_assert(eq(str, answers[1].uuid, (char *)"uuid-1"));
    cr_assert(eq(u64, answers[1].given_back, 1));
    cr_assert(eq(str, answers[2].uuid, (char *)"uuid-2"));
    cr_assert(eq(sz, recoveries_pending(recoveries), 0));
}

Test(recoveries, wait_for_the_first_connection)
{
    ask("uuid-1", "a", false);
    ask("uuid-2", "a", true);
    cr_assert(eq(sz, asked_count + answers_count, 0));
    cr_assert(eq(sz, recoveries_pending(recoveries), 2), "ready is not said meanwhile");
    recoveries_set_redis(recoveries, NULL);
    cr_assert(eq(sz, answers_count, 0), "a failed try changes nothing");
    recoveries_set_redis(recoveries, REDIS);
    cr_assert(eq(sz, asked_count, 2));
    recoveries_set_redis(recoveries, REDIS);
    cr_assert(eq(sz, asked_count, 2), "begun once");
    reply(0, REDIS_REPLY, 0, 0);
    reply(1, REDIS_REPLY, 0, 0);
    cr_assert(eq(sz, recoveries_pending(recoveries), 0));
}

Test(recoveries, what_redis_does_not_do_is_answered_so)
{
    recoveries_set_redis(recoveries, REDIS);
    ask("uuid-1", "a", false);
    ask("uuid-2", "a", false);
    ask("uuid-3", "a", true);
    reply(0, REDIS_UNKNOWN, 7, 0);
    reply(1, REDIS_REFUSED, 0, 0);
    reply(2, REDIS_REFUSED, 0, 0);
    cr_assert(eq(i64, answers[0].result, -ENOTCONN));
    cr_assert(eq(u64, answers[0].given_back, 7), "what was done so far");
    cr_assert(eq(i64, answers[1].result, -EREMOTEIO));
    cr_assert(eq(i64, answers[2].result, -EREMOTEIO));
    cr_assert(eq(sz, recoveries_pending(recoveries), 0), "nothing is repeated by itself");
}

Test(recoveries, lost_connection_refuses_at_once)
{
    recoveries_set_redis(recoveries, REDIS);
    recoveries_set_redis(recoveries, NULL);
    ask("uuid-1", "a", false);
    cr_assert(eq(i64, answers[0].result, -ENOTCONN));
    cr_assert(eq(str, answers[0].uuid, (char *)"uuid-1"));
    recoveries_set_redis(recoveries, REDIS);
    cr_assert(eq(sz, asked_count, 0));
}

Test(recoveries, what_cannot_be_sent_is_answered)
{
    recoveries_set_redis(recoveries, REDIS);
    send_result = -ENOBUFS;
    ask("uuid-1", "a", false);
    cr_assert(eq(i64, answers[0].result, -ENOBUFS));
    ask("uuid-2", "", false);
    cr_assert(eq(i64, answers[1].result, -EINVAL));
    cr_assert(eq(sz, recoveries_pending(recoveries), 0));
}

Test(recoveries, have_a_bound)
{
    for (size_t i = 0; i < RECOVERIES_MAX; i++)
        ask("uuid-1", "a", false);
    cr_assert(eq(sz, answers_count, 0));
    ask("uuid-2", "a", false);
    cr_assert(eq(i64, answers[0].result, -EBUSY));
    cr_assert(eq(sz, recoveries_pending(recoveries), RECOVERIES_MAX));
}
