/* slot_parts.h - what slot.c and slot_end.c share, and nobody else. */
#pragma once

#include "supervisor/master/slot.h"

/* The larger of its own and that of all slots; the text says why. */
enum slot_wish slot_wish_of(const struct slot *slot);
const char *slot_wish_why(const struct slot *slot);

/* The deadline of its state. */
void slot_wait_at_most(struct slot *slot, uint64_t wait_ms);
bool slot_is_due(const struct slot *slot);

/* To backoff, for longer each time. */
void slot_delay_restart(struct slot *slot, const char *why);

/* slot_end.c. The child is reaped: notes how it ended, lets go of it, and begins to see that
 * nothing of it lives on (sweeping). */
void slot_bury(struct slot *slot);
/* Sweeping: looks again when it is time; at its end hands over the jobs and decides what comes
 * next. */
void slot_sweep(struct slot *slot);
