/* recoveries.h - the dead whose jobs have not been given back yet.
 * The master talks to no Redis: it asks a worker that does. An entry stays until one has answered
 * that all is done; the list outlives reloads, and what it still holds when the master ends is
 * found in the registry by the next one. Invariant: an entry is made only when the process, and all
 * that it had started, is seen dead, or else with fence_only, which gives nothing back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/uuid.h"
#include "common/channel/channel.h"

#define RECOVERIES_MAX 1024 /* more than that are left to their locks, and said */

struct recovery {
    struct recovery *next;
    struct channel_recover ask;  /* what a worker is told */
    char *endpoint;              /* which Redis and prefix; owned */
    char end[64];                /* how it ended, counted or not: "signal 9 (SIGKILL)" */
    uint64_t died_us;            /* clock_now_us() when its end was seen */
    uint64_t since_ms;           /* in this list; monotonic … */
    uint64_t since_at_ms;        /* … and for people */
    char asked[UUID_TEXT_BYTES]; /* the worker that was asked; "" nobody */
    uint64_t look_ms; /* asked: when the answer is overdue; else not before then; 0: at each step,
                         as the next event may bring somebody who can be asked */
    unsigned int asks;
    bool told_nobody; /* that nobody can be asked */
    bool answered;
    struct channel_recovered answer; /* when answered */
};

struct recoveries {
    struct recovery *first;
    size_t count;
    uint64_t done, given_back, failed; /* since the start */
};

#define RECOVERIES_OPEN_MAX 32 /* asked of one worker at a time; its channel holds that many */

/* A worker that can be asked, NULL when there is none. Of those that have missed fewest and have
 * fewer than RECOVERIES_OPEN_MAX open: ready and of that queue, else ready and of that endpoint,
 * else just started there. */
typedef struct child *recovery_find_cb(const struct recovery *recovery, void *arg);
/* The child with that uuid, NULL when it is not there any more. */
typedef struct child *recovery_child_cb(const char *uuid, void *arg);

/* What to give back. Texts are copied, long causes cut. */
struct recovery_case {
    const char *uuid, *queue, *endpoint;
    const char *end;   /* for people */
    const char *cause; /* "" when the death does not count against the jobs */
    unsigned int max_givebacks;
    bool fence_only;
    uint64_t died_us;
};
void recoveries_add(struct recoveries *recoveries, const struct recovery_case *what);
/* An answer has come: noted, dealt with by the next step. */
void recoveries_note(struct recoveries *recoveries, const struct channel_recovered *answer);
/* Asks, asks again, forgets what is done. */
void recoveries_step(struct recoveries *recoveries, recovery_find_cb *find,
                     recovery_child_cb *find_child, void *arg);
/* 0: no need to step. */
uint64_t recoveries_next_ms(const struct recoveries *recoveries);
void recoveries_done(struct recoveries *recoveries);
