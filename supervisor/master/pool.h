/* pool.h - the workers of one queue: the queue's concurrency split over so many processes,
 * exchanged as a whole when their configuration changes.
 *
 * A slot of a pool has one of three roles:
 *   current  counts: together they have the pool's concurrency
 *   new      replaces a current one once *all* new ones are serving; until then it runs no job, so
 *            a replacement that fails has touched nothing
 *   leaving  was replaced, or is one too many: drains, then goes
 * Jobs that leaving processes (or those whose share has shrunk) still run are taken off what the
 * others may start, so that a pool stays within its concurrency also while it is exchanged. */
#pragma once

#include "common/config/config.h"
#include "supervisor/master/slot.h"

enum pool_role { POOL_CURRENT, POOL_NEW, POOL_LEAVING };

struct pool_place {
    struct slot *slot; /* owned; its address is kept by its child */
    enum pool_role role;
};

/* What became of the last change; what `drover reload` says. */
enum pool_outcome {
    POOL_UNCHANGED,
    POOL_RESIZED,
    POOL_REPLACED,
    POOL_STARTED,
    POOL_DRAINING, /* removed; its last jobs run */
    POOL_FAILED,   /* replacement: the old workers go on; start: it is tried again and again */
    POOL_PENDING,  /* not yet known; at the latest after the start timeout */
};
const char *pool_outcome_name(enum pool_outcome outcome); /* "unchanged", "resized", … */

struct pool {
    char *queue; /* owned */
    struct slot_context *context;
    struct generation *generation; /* whose configuration is in force; a reference */
    struct backoff backoff;        /* as a new slot gets it */
    struct pool_place *places;
    size_t count, cap;
    unsigned int concurrency, processes; /* in force; both 0: parked by `drover scale QUEUE 0` */
    bool scaled;                         /* concurrency is `drover scale`'s, not the file's … */
    bool scale_kept;                     /* … and stays over reloads */
    struct generation *next; /* being replaced by workers of that; a reference, else NULL */
    bool next_scaled;        /* … and then concurrency is a kept `drover scale`'s */
    bool removed;            /* not in the configuration any more */
    enum pool_outcome outcome, expected; /* expected: what pending becomes when all goes well */
    char why[160];                       /* of a failure; "" */
    uint64_t pending_until_ms;           /* pending: then it has failed */
    uint64_t balance_ms; /* when to look again at what others still run; 0: no need */
    bool told_ready;     /* all were ready at the same time, once */
    bool told_given_up;  /* none will ever run */
};

/* Jobs at once of process `index` when `concurrency` is split over `processes` (1 … concurrency) as
 * evenly as possible: they differ by one at most, the sum is `concurrency`. */
unsigned int pool_share(unsigned int concurrency, unsigned int processes, unsigned int index);

/* The generation must have the queue. Slots start with the first step. */
MUST_CHECK int pool_new(struct slot_context *context, struct generation *generation,
                        const char *queue, struct pool **out_pool, struct error *err);
/* No child may be there. */
void pool_free(struct pool *pool);

/* The same values, or other ones that running workers take: no process ends but one too many. */
MUST_CHECK int pool_keep(struct pool *pool, struct generation *generation, struct error *err);
/* Starts new workers beside the old ones; the outcome is pending. */
MUST_CHECK int pool_replace(struct pool *pool, struct generation *generation, struct error *err);
/* All its workers drain. */
void pool_remove(struct pool *pool);
/* A removed pool whose queue is configured again while its last jobs run: new workers beside those
 * that drain, whose jobs are taken off what the new ones may start. */
MUST_CHECK int pool_return(struct pool *pool, struct generation *generation, struct error *err);
/* Sets the concurrency of this host; 0 parks the pool. Not while a replacement is under way
 * (-EBUSY). */
MUST_CHECK int pool_scale(struct pool *pool, unsigned int concurrency, bool keep,
                          struct error *err);

void pool_step(struct pool *pool);
uint64_t pool_next_ms(const struct pool *pool); /* 0: events only */

/* Slots that count (current or new) and are in that state. */
size_t pool_count_in(const struct pool *pool, enum slot_state state);
size_t pool_wanted(const struct pool *pool);   /* slots that count */
bool pool_is_at_rest(const struct pool *pool); /* every slot is stopped */
bool pool_is_gone(const struct pool *pool);    /* removed, and nothing is left of it */
