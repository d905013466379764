/* kept.h - workers of an earlier master that a kept scoreboard (store.h) still shows.
 * Their slots are still taken, so that master died with them, or before they were dealt with. Each
 * is seen dead with all it had started, then its jobs are given back at once, through recoveries.h;
 * without a kept scoreboard the workers' own look into the registry does that, a little later
 * (workers/worker/registry_sweep.h), and doing both is harmless.
 * Invariant: of a slot only what a master wrote is believed; a process is gone by pid and start
 * time, or nothing of it is given back. */
#pragma once

#include "common/config/config.h"
#include "common/scoreboard/scoreboard.h"

struct recoveries;

struct kept {
    struct scoreboard *board;      /* borrowed */
    struct recoveries *recoveries; /* borrowed */
    struct kept_worker *workers;   /* owned */
    size_t count;
    bool may_kill; /* the last master lived a moment ago: the numbers of its sessions are its own */
    uint64_t next_ms; /* when to look again; 0: nothing to do */
    uint64_t end_ms;  /* then what could not be seen dead is left to others */
};

/* Finds the taken slots; before this master takes one itself. On no memory they are left to the
 * registry, and it is said. */
void kept_find(struct kept *kept, struct scoreboard *board, struct recoveries *recoveries);
/* Looks at those that are due. `config`: the one in force. */
void kept_step(struct kept *kept, const struct config *config);
uint64_t kept_next_ms(const struct kept *kept);
/* Of those that are not yet dealt with. */
const char *kept_uuid(const struct kept *kept, size_t n);
/* What is left keeps its slot, for the next master. */
void kept_done(struct kept *kept);
