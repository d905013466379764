/* generation.h - one accepted configuration: its number, its values, and the sealed memory in which
 * children get them. Counted, because workers of several generations live side by side: a pool that
 * a reload does not touch keeps its processes.
 * Invariant: a config that anybody borrows from a generation lives as long as his reference. */
#pragma once

#include "common/config/config.h"

struct generation {
    unsigned int number;   /* from 1; grows with every accepted reload */
    struct config *config; /* owned */
    int config_fd;         /* sealed memory, secrets included; owned */
    unsigned int refs;     /* >= 1 */
};

/* Takes `config` (also on failure). The caller holds the one reference. */
MUST_CHECK int generation_new(unsigned int number, struct config *config,
                              struct generation **out_generation, struct error *err);
struct generation *generation_ref(struct generation *generation);
/* NULL is fine. */
void generation_unref(struct generation *generation);

/* Names the Redis, its user and the key prefix that a queue uses: queues with the same text can be
 * recovered by each other's workers. malloc'ed; NULL on no memory. */
char *generation_endpoint(const struct config_queue *queue);
