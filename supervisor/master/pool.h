/* pool.h - the workers of one queue: so many slots, the queue's concurrency split over them. */
#pragma once

#include "common/config/config.h"
#include "supervisor/master/slot.h"

struct pool {
    const char *queue; /* borrowed from the configuration */
    struct slot *slots;
    size_t slots_count;
    bool told_ready;    /* all were ready at the same time, once */
    bool told_given_up; /* none will ever run */
};

/* Jobs at once of process `index` when `concurrency` is split over `processes` (1 … concurrency) as
 * evenly as possible: they differ by one at most, the sum is `concurrency`. */
unsigned int pool_share(unsigned int concurrency, unsigned int processes, unsigned int index);

MUST_CHECK int pool_init(struct pool *pool, const struct config_queue *queue,
                         struct slot_context *context, const struct backoff *backoff,
                         struct error *err);
void pool_done(struct pool *pool);

void pool_step(struct pool *pool);

size_t pool_count_in(const struct pool *pool, enum slot_state state);
