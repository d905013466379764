/* store.h - the scoreboard outlives the master: systemd keeps its descriptor (FDSTORE,
 * sd_notify(3)) and passes it to the next start of the unit, after a restart, a crash or the
 * watchdog, but not after a stop. Without a store, or without systemd, each start has a new
 * scoreboard. Invariant: a descriptor that was passed to us is used or closed; none reaches a
 * child. */
#pragma once

#include "common/scoreboard/scoreboard.h"

#define STORE_BOARD_NAME "scoreboard"

#define STORE_PASSED_MAX 32

/* What was passed to this process (LISTEN_FDS). */
struct store_passed {
    int fds[STORE_PASSED_MAX];
    int count;    /* of fds */
    int surplus;  /* so many more, which are closed already */
    char **names; /* of each; owned, NULL: none has one */
    int error;    /* a negative errno: it could not be made out */
};

/* Takes what was passed, to higher numbers and close-on-exec. Before this process opens anything:
 * only then are those that LISTEN_FDS stands for certain, and the low ones, which have a meaning in
 * children (child.c), are taken by the loop as in any other start. */
void store_take(struct store_passed *out_passed);

/* The scoreboard of the last master when there is one that can be used, else a new one, which
 * systemd is asked to keep. All that was passed is used or closed, and what is odd is said.
 * `passed` may be NULL; its names are freed. */
MUST_CHECK int store_open_board(struct store_passed *passed, struct scoreboard **out_board,
                                bool *out_kept, struct error *err);
