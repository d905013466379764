#include "workers/worker/recoveries.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/queue/queue.h"

#define SAY_EVERY_MS 10000

struct recovery {
    struct recovery *prev, *next; /* among all, in order of asking */
    struct recoveries *recoveries;
    struct channel_recover question;
    struct queue *queue; /* the dead one's; NULL: not begun */
};

struct recoveries {
    const char *prefix;
    struct redis *redis; /* NULL: not ready */
    bool was_ready;
    struct recovery *first, *last;
    size_t count;
    struct queue *spent; /* of the last one that ended; freed by the next: its own callback may
                            still stand on it */
    uint64_t said_ms;    /* when a failure was logged; 0 never */
    recoveries_answer_cb *on_answer;
    void *arg;
};

int recoveries_new(const char *prefix, recoveries_answer_cb *on_answer, void *arg,
                   struct recoveries **out_recoveries, struct error *err)
{
    struct recoveries *recoveries = calloc(1, sizeof(*recoveries));

    if (!recoveries)
        return error_set(err, -ENOMEM, "allocate recoveries");
    recoveries->prefix = prefix;
    recoveries->on_answer = on_answer;
    recoveries->arg = arg;
    *out_recoveries = recoveries;
    return 0;
}

static void unlink_recovery(struct recovery *recovery)
{
    struct recoveries *all = recovery->recoveries;

    *(recovery->prev ? &recovery->prev->next : &all->first) = recovery->next;
    *(recovery->next ? &recovery->next->prev : &all->last) = recovery->prev;
    all->count--;
}

static void free_recovery(struct recovery *recovery)
{
    struct recoveries *all = recovery->recoveries;

    unlink_recovery(recovery);
    queue_free(all->spent);
    all->spent = recovery->queue;
    free(recovery);
}

static void answer(struct recoveries *recoveries, const char *uuid, int result,
                   const struct recover_result *counts)
{
    struct channel_recovered recovered = { .result = result };

    if (counts) {
        recovered.given_back = counts->given_back;
        recovered.failed = counts->failed;
    }
    (void)snprintf(recovered.uuid, sizeof(recovered.uuid), "%s", uuid);
    recoveries->on_answer(&recovered, recoveries->arg);
}

/* The master tells how each ended; here only why it failed, and not at each try. */
static void say_failed(struct recoveries *recoveries, const struct channel_recover *question,
                       const char *why)
{
    uint64_t now_ms = clock_now_ms();

    if (recoveries->said_ms > 0 && now_ms - recoveries->said_ms < SAY_EVERY_MS)
        return;
    recoveries->said_ms = now_ms;
    log_warn("recovery.failed", LOG_STR("uuid", question->uuid),
             LOG_STR("of_queue", question->queue), LOG_STR("why", why));
}

/* Answers and forgets. */
static void finish(struct recovery *recovery, int result, const struct recover_result *counts,
                   const char *why)
{
    struct recoveries *recoveries = recovery->recoveries;
    char uuid[CHANNEL_UUID_BYTES];

    if (result < 0)
        say_failed(recoveries, &recovery->question, why);
    memcpy(uuid, recovery->question.uuid, sizeof(uuid));
    free_recovery(recovery); /* first: the answer may look at what is pending */
    answer(recoveries, uuid, result, counts);
}

static int result_of(const struct call_result *call)
{
    if (call->outcome == REDIS_REPLY)
        return 0;
    return call->outcome == REDIS_UNKNOWN ? -ENOTCONN : -EREMOTEIO;
}

static void on_recovered(struct queue *queue, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    (void)queue;
    finish(arg, result_of(call), result, call->why);
}

static void on_fenced(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    (void)queue;
    (void)value;
    finish(arg, result_of(call), NULL, call->why);
}

static int send_question(struct recovery *recovery, struct error *err)
{
    const struct channel_recover *question = &recovery->question;
    struct recover_spec spec = {
        .uuid = question->uuid,
        .cause = question->cause,
        .max_givebacks = question->max_givebacks > 0 ? question->max_givebacks : 1,
    };

    if (question->fence_only)
        return queue_fence(recovery->queue, question->uuid, on_fenced, recovery, err);
    return queue_recover(recovery->queue, &spec, on_recovered, recovery, err);
}

static void begin(struct recovery *recovery)
{
    struct recoveries *recoveries = recovery->recoveries;
    struct error err = { 0 };
    int r = queue_new(recoveries->prefix, recovery->question.queue, recoveries->redis,
                      &recovery->queue, &err);

    if (r == 0)
        r = send_question(recovery, &err);
    if (r < 0)
        finish(recovery, r, NULL, err.text);
}

/* A lost connection answers by itself what is under way; what is asked then is refused at once. */
void recoveries_set_redis(struct recoveries *recoveries, struct redis *redis)
{
    struct recovery *next;

    recoveries->redis = redis;
    if (!redis)
        return;
    recoveries->was_ready = true;
    for (struct recovery *recovery = recoveries->first; recovery; recovery = next) {
        next = recovery->next;
        if (!recovery->queue)
            begin(recovery);
    }
}

void recoveries_ask(struct recoveries *recoveries, const struct channel_recover *question)
{
    struct recovery *recovery;

    if (recoveries->was_ready && !recoveries->redis) {
        answer(recoveries, question->uuid, -ENOTCONN, NULL);
        return;
    }
    recovery = recoveries->count < RECOVERIES_MAX ? calloc(1, sizeof(*recovery)) : NULL;
    if (!recovery) {
        answer(recoveries, question->uuid, recoveries->count < RECOVERIES_MAX ? -ENOMEM : -EBUSY,
               NULL);
        return;
    }
    recovery->recoveries = recoveries;
    recovery->question = *question;
    recovery->prev = recoveries->last;
    *(recovery->prev ? &recovery->prev->next : &recoveries->first) = recovery;
    recoveries->last = recovery;
    recoveries->count++;
    if (recoveries->redis)
        begin(recovery);
}

size_t recoveries_pending(const struct recoveries *recoveries)
{
    return recoveries->count;
}

void recoveries_free(struct recoveries *recoveries)
{
    if (!recoveries)
        return;
    while (recoveries->first)
        free_recovery(recoveries->first);
    queue_free(recoveries->spent);
    free(recoveries);
}
