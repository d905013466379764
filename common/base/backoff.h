/* backoff.h - how long to wait before trying the same thing again (a restart, a reconnect).
 * Doubles from first_ms up to max_ms; each wait is spread by +-jitter so that a fleet does not come
 * back at once. (A job's own retry delay is BullMQ's contract and lives in common/queue.) */
#pragma once

#include <stdint.h>

struct backoff {
    uint64_t first_ms;     /* > 0 */
    uint64_t max_ms;       /* >= first_ms */
    double jitter;         /* 0 … 1: a wait w becomes w * (1 ± jitter), never above max_ms */
    unsigned int failures; /* in a row; 0 after backoff_reset */
};

/* Counts one more failure and returns the wait before the next try, in ms. */
uint64_t backoff_next_ms(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);
