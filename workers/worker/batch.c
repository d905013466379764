#include "workers/worker/batch.h"

#define BATCH_FIRST  32 /* before anything was measured */
#define BATCH_LEAST  8  /* below it the fixed cost of a call dominates and halving gains nothing */
#define BATCH_WINDOW 4  /* full calls looked at before it shrinks */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void set_size(struct batch *batch, size_t size)
{
    batch->size = smaller(size, batch->max);
    batch->fastest_us = UINT64_MAX;
    batch->seen = 0;
}

void batch_init(struct batch *batch, size_t max)
{
    batch->max = max > 0 ? max : 1;
    set_size(batch, BATCH_FIRST);
}

void batch_halve(struct batch *batch)
{
    set_size(batch, batch->size > 1 ? batch->size / 2 : 1);
}

void batch_note(struct batch *batch, size_t jobs, uint64_t took_us)
{
    if (jobs * 2 < batch->size)
        return; /* a small call says nothing about a full one */
    if (took_us < BATCH_FAST_US) {
        set_size(batch, batch->size + batch->size / 4 + 1);
        return;
    }
    batch->seen++;
    if (took_us < batch->fastest_us)
        batch->fastest_us = took_us;
    if (batch->seen < BATCH_WINDOW)
        return;
    if (batch->fastest_us > BATCH_SLOW_US && batch->size / 2 >= BATCH_LEAST)
        batch_halve(batch);
    else
        set_size(batch, batch->size);
}
