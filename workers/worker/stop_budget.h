/* stop_budget.h - how long the end of a worker may take, in one place.
 *
 * From a STOP on (or a drain that ran out of time), one after the other:
 *
 *   STOP_GRACE_MAX_MS   handlers were asked softly; the type's kill_grace, at most this
 *   STOP_SEEN_DEAD_MS   after the hard request; what still runs then is left to its lock
 *   STOP_SETTLE_MS      the last settle calls; also when Redis is away and may come back
 *   STOP_LEAVE_MS       forgetting this process in Redis, putting a marker back
 *   STOP_CLOSE_MS       connections and handlers (long-lived programs) close; then we go as we are
 *
 * The master kills the session STOP_MASTER_MS after its STOP; the rest between is for a busy
 * machine. */
#pragma once

#define STOP_GRACE_MAX_MS 2000
#define STOP_SEEN_DEAD_MS 1000
#define STOP_SETTLE_MS    1500
#define STOP_LEAVE_MS     1000
#define STOP_CLOSE_MS     1000
#define STOP_MASTER_MS    7000

_Static_assert(STOP_GRACE_MAX_MS + STOP_SEEN_DEAD_MS + STOP_SETTLE_MS + STOP_LEAVE_MS +
                       STOP_CLOSE_MS + 500 <=
                   STOP_MASTER_MS,
               "a worker that stops must be gone before its master kills it");
