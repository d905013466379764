/* store.h - the scoreboard outlives the master: systemd keeps its descriptor (FDSTORE,
 * sd_notify(3)) and passes it to the next start of the unit, after a restart, a crash or the
 * watchdog, but not after a stop. Without a store, or without systemd, each start has a new
 * scoreboard. Invariant: a descriptor that was passed to us is used or closed; none reaches a
 * child. */
#pragma once

#include "common/scoreboard/scoreboard.h"

#define STORE_BOARD_NAME "scoreboard"

/* What was passed to this process (LISTEN_FDS). */
struct store_passed {
    int first;    /* descriptor */
    int count;    /* of descriptors, one after the other */
    char **names; /* of each; owned, NULL: none has one */
    int error;    /* a negative errno: it could not be made out */
};

/* Takes note of what was passed and makes it close-on-exec. Before this process opens anything:
 * only then are the numbers certain. */
void store_take(struct store_passed *out_passed);

/* The scoreboard of the last master when there is one that can be used, else a new one, which
 * systemd is asked to keep. All that was passed is used or closed, and what is odd is said.
 * `passed` may be NULL; its names are freed. */
MUST_CHECK int store_open_board(struct store_passed *passed, struct scoreboard **out_board,
                                bool *out_kept, struct error *err);
