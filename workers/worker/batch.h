/* batch.h - how many jobs one settle-and-fetch call should carry.
 * Redis serves nobody else while the script runs, so a call should stay below 2 ms; bigger calls
 * cost less per job (platform-notes 9). The size halves when even the fastest of a few full calls
 * was slower, and grows while a full call takes less than 1 ms. The fastest of a few, because what
 * is measured holds scheduling noise of this machine that a smaller batch would only make worse. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BATCH_SLOW_US 2000
#define BATCH_FAST_US 1000

struct batch {
    size_t size;         /* 1 … max */
    size_t max;          /* from configuration, <= QUEUE_TURN_MAX */
    uint64_t fastest_us; /* of the calls seen since the last change */
    unsigned int seen;
};

void batch_init(struct batch *batch, size_t max);
/* A call that carried `jobs` (the larger of settled and fetched) took so long. */
void batch_note(struct batch *batch, size_t jobs, uint64_t took_us);
/* A call was refused in a way that a single bad job may cause: the next ones carry half. */
void batch_halve(struct batch *batch);
