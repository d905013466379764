#include "supervisor/master/recoveries.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/master/child.h"

#define ANSWER_MS    5000 /* without an answer for so long somebody is asked again */
#define NOT_DONE_MS  500  /* it could not be done (Redis refuses): a pause */
#define NOT_TOLD_MS  100  /* the helper's end of the channel is full: likewise */
#define TELLS_MAX    8    /* so many others are tried at once */
#define NOBODY_MS    5000 /* nobody can be asked for so long: that is said, once */
#define TOLD_OF_ASKS 20   /* a line says that it takes long, at the second and once in so many */

static void free_recovery(struct recovery *recovery)
{
    free(recovery->endpoint);
    free(recovery);
}

void recoveries_done(struct recoveries *recoveries)
{
    while (recoveries->first) {
        struct recovery *recovery = recoveries->first;

        recoveries->first = recovery->next;
        log_warn("recovery.left", LOG_STR("uuid", recovery->ask.uuid),
                 LOG_STR("queue", recovery->ask.queue), LOG_STR("end", recovery->end),
                 LOG_STR("hint", "its jobs come back when the next droverd of this host starts, or "
                                 "when their locks expire"));
        free_recovery(recovery);
    }
    recoveries->count = 0;
}

static void refuse(const struct recovery_case *what, const char *why)
{
    log_error("recovery.refused", LOG_STR("uuid", what->uuid), LOG_STR("queue", what->queue),
              LOG_STR("why", why), LOG_STR("hint", "its jobs come back when their locks expire"));
}

static struct recovery *new_recovery(const struct recovery_case *what)
{
    struct recovery *recovery = calloc(1, sizeof *recovery);

    if (recovery)
        recovery->endpoint = strdup(what->endpoint);
    if (!recovery || !recovery->endpoint) {
        free(recovery);
        return NULL;
    }
    (void)snprintf(recovery->ask.uuid, sizeof recovery->ask.uuid, "%s", what->uuid);
    (void)snprintf(recovery->ask.queue, sizeof recovery->ask.queue, "%s", what->queue);
    (void)snprintf(recovery->ask.cause, sizeof recovery->ask.cause, "%s", what->cause);
    (void)snprintf(recovery->end, sizeof recovery->end, "%s", what->end);
    recovery->ask.max_givebacks = what->max_givebacks;
    recovery->ask.fence_only = what->fence_only;
    recovery->died_us = what->died_us;
    recovery->since_ms = clock_now_ms();
    recovery->since_at_ms = clock_wall_ms();
    return recovery;
}

static void append(struct recoveries *recoveries, struct recovery *recovery)
{
    struct recovery **last = &recoveries->first;

    while (*last)
        last = &(*last)->next;
    *last = recovery;
    recovery->next = NULL;
}

void recoveries_add(struct recoveries *recoveries, const struct recovery_case *what)
{
    struct recovery *recovery = NULL;

    if (recoveries->count >= RECOVERIES_MAX) {
        refuse(what, "too many dead workers are waiting for it");
        return;
    }
    recovery = new_recovery(what);
    if (!recovery) {
        refuse(what, "no memory");
        return;
    }
    append(recoveries, recovery);
    recoveries->count++;
}

void recoveries_note(struct recoveries *recoveries, const struct channel_recovered *answer)
{
    for (struct recovery *recovery = recoveries->first; recovery; recovery = recovery->next) {
        if (strcmp(recovery->ask.uuid, answer->uuid) == 0) {
            recovery->answer = *answer;
            recovery->answered = true;
        }
    }
}

static void say_done(const struct recovery *recovery)
{
    const struct channel_recovered *answer = &recovery->answer;

    log_at(answer->failed > 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
           recovery->ask.fence_only ? "worker.fenced" : "worker.recovered",
           LOG_STR("queue", recovery->ask.queue), LOG_STR("uuid", recovery->ask.uuid),
           LOG_UINT("given_back", answer->given_back), LOG_UINT("failed", answer->failed),
           LOG_STR("by", recovery->asked), LOG_UINT("asks", recovery->asks),
           LOG_UINT("took_us", clock_now_us() - recovery->died_us));
}

/* Whoever was asked need not answer any more. Returns it; NULL when it is not there, or nobody was
 * asked. */
static struct child *let_go(struct recovery *recovery, recovery_child_cb *find_child, void *arg)
{
    struct child *child = recovery->asked[0] ? find_child(recovery->asked, arg) : NULL;

    recovery->asked[0] = '\0';
    if (child)
        child->recoveries_open--;
    return child;
}

/* Takes an answer: true when the entry is done with. */
static bool take_answer(struct recoveries *recoveries, struct recovery *recovery,
                        recovery_child_cb *find_child, void *arg)
{
    bool done = recovery->answer.result >= 0;
    struct child *child;

    recovery->answered = false;
    if (done) {
        recoveries->done++;
        recoveries->given_back += recovery->answer.given_back;
        recoveries->failed += recovery->answer.failed;
        say_done(recovery);
    }
    child = let_go(recovery, find_child, arg);
    if (child)
        child->recoveries_missed = done ? 0 : child->recoveries_missed + 1;
    recovery->look_ms = clock_now_ms() + NOT_DONE_MS;
    return done;
}

/* Whoever was asked may have died meanwhile, and its answer will not come; or takes too long. True
 * then. */
static bool is_in_vain(struct recovery *recovery, recovery_child_cb *find_child, void *arg)
{
    struct child *child = recovery->asked[0] ? find_child(recovery->asked, arg) : NULL;

    if (!recovery->asked[0] || (child && clock_now_ms() < recovery->look_ms))
        return false;
    child = let_go(recovery, find_child, arg);
    if (child)
        child->recoveries_missed++;
    recovery->look_ms = 0;
    return true;
}

static void say_nobody(struct recovery *recovery)
{
    uint64_t since_ms = clock_now_ms() - recovery->since_ms;

    if (recovery->told_nobody || since_ms < NOBODY_MS)
        return;
    recovery->told_nobody = true;
    log_warn("recovery.waits", LOG_STR("queue", recovery->ask.queue),
             LOG_STR("uuid", recovery->ask.uuid), LOG_UINT("since_ms", since_ms),
             LOG_STR("why", "no worker on that Redis is there, and free, to give its jobs back"));
}

static void ask(struct recovery *recovery, recovery_find_cb *find, void *arg)
{
    const struct channel_frame frame = { .type = CHANNEL_RECOVER, .recover = recovery->ask };
    struct child *child = find(recovery, arg);

    /* One that cannot be told anything is often dying, too: who is found after it is somebody else.
     */
    for (unsigned int i = 0; child && child_tell(child, &frame) < 0; i++) {
        child->recoveries_missed++;
        recovery->look_ms = clock_now_ms() + NOT_TOLD_MS;
        if (i == TELLS_MAX)
            return;
        child = find(recovery, arg);
    }
    if (!child) {
        recovery->look_ms = 0;
        say_nobody(recovery);
        return;
    }
    (void)snprintf(recovery->asked, sizeof recovery->asked, "%s", child->uuid);
    child->recoveries_open++;
    recovery->look_ms = clock_now_ms() + ANSWER_MS;
    if (++recovery->asks == 2 || recovery->asks % TOLD_OF_ASKS == 0)
        log_warn("recovery.delayed", LOG_STR("queue", recovery->ask.queue),
                 LOG_STR("uuid", recovery->ask.uuid), LOG_UINT("asks", recovery->asks),
                 LOG_INT("last_result", recovery->answer.result),
                 LOG_UINT("since_ms", clock_now_ms() - recovery->since_ms));
}

void recoveries_step(struct recoveries *recoveries, recovery_find_cb *find,
                     recovery_child_cb *find_child, void *arg)
{
    struct recovery **at = &recoveries->first;

    while (*at) {
        struct recovery *recovery = *at;

        if (recovery->answered && take_answer(recoveries, recovery, find_child, arg)) {
            *at = recovery->next;
            recoveries->count--;
            free_recovery(recovery);
            continue;
        }
        if (is_in_vain(recovery, find_child, arg)) {
            *at = recovery->next;
            append(recoveries, recovery); /* the others first */
            continue;
        }
        if (!recovery->asked[0] && clock_now_ms() >= recovery->look_ms)
            ask(recovery, find, arg);
        at = &recovery->next;
    }
}

uint64_t recoveries_next_ms(const struct recoveries *recoveries)
{
    uint64_t next_ms = 0;

    for (const struct recovery *recovery = recoveries->first; recovery; recovery = recovery->next) {
        uint64_t look_ms = recovery->look_ms;

        if (look_ms == 0 && !recovery->told_nobody)
            look_ms = recovery->since_ms + NOBODY_MS;
        if (look_ms > 0 && (next_ms == 0 || look_ms < next_ms))
            next_ms = look_ms;
    }
    return next_ms;
}
