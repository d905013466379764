/* helper.c - which worker is asked to give back the jobs of a dead one. */
#include <string.h>

#include "supervisor/master/supervisor_state.h"

/* Whether the process in that slot can reach the jobs of the dead one. */
static bool can_recover(const struct slot *slot, const struct recovery *recovery)
{
    const struct child *child = slot->child;

    return child && !child->exited && !child->channel_ended && slot->state <= SLOT_DRAINING &&
           child->recoveries_open < RECOVERIES_OPEN_MAX && slot->endpoint &&
           strcmp(slot->endpoint, recovery->endpoint) == 0;
}

/* Smaller is better: who serves that queue already, who is ready on that Redis, who will be. */
static unsigned int rank_of(const struct slot *slot, const struct recovery *recovery)
{
    bool same_queue = strcmp(slot->queue, recovery->ask.queue) == 0;

    if (slot->child->ready_ms == 0)
        return same_queue ? 4 : 5;
    return (same_queue ? 0U : 1U) + (slot->state == SLOT_DRAINING ? 2U : 0U);
}

/* Who has failed goes last, whatever else speaks for it; among equals the work is spread. */
static bool is_better(const struct slot *slot, const struct slot *best,
                      const struct recovery *recovery)
{
    const struct child *a = slot->child, *b = best->child;

    if (a->recoveries_missed != b->recoveries_missed)
        return a->recoveries_missed < b->recoveries_missed;
    if (rank_of(slot, recovery) != rank_of(best, recovery))
        return rank_of(slot, recovery) < rank_of(best, recovery);
    return a->recoveries_open < b->recoveries_open;
}

struct child *helper_find(const struct recovery *recovery, void *arg)
{
    const struct supervisor *supervisor = arg;
    const struct slot *best = NULL;

    for (size_t i = 0; i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        for (size_t j = 0; j < pool->count; j++) {
            const struct slot *slot = pool->places[j].slot;

            if (can_recover(slot, recovery) && (!best || is_better(slot, best, recovery)))
                best = slot;
        }
    }
    return best ? best->child : NULL;
}

static bool has_uuid(const struct slot *slot, const void *arg)
{
    const struct child *child = slot->child;

    return child && !child->exited && !child->channel_ended && strcmp(child->uuid, arg) == 0;
}

struct child *helper_child(const char *uuid, void *arg)
{
    const struct slot *slot = supervisor_find_slot(arg, has_uuid, uuid);

    return slot ? slot->child : NULL;
}
