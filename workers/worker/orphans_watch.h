/* orphans_watch.h - jobs of the queue that are in no state (common/queue/orphans.h): one process of
 * a queue looks for them, piece by piece, beside its work; what was found is told in the log.
 * Invariant: one piece at a time, and none before Redis is ready or while the process ends. */
#pragma once

#include "common/queue/orphans.h"

struct engine;

struct orphans_watch {
    uint64_t next_ms;         /* of the next piece, or of the next look */
    struct orphan_look *look; /* owned; NULL between two looks */
    uint64_t looks;           /* begun so far: part of a look's token */
    uint64_t told;            /* orphans that stayed, as last told */
    bool asking;
    bool refused; /* as last told */
};

void orphans_watch_init(struct orphans_watch *watch);
void orphans_watch_done(struct orphans_watch *watch); /* no piece may be under way */
void orphans_watch_step(struct engine *engine, uint64_t now_ms);
/* When it wants to be stepped; 0: not. */
uint64_t orphans_watch_next_ms(const struct engine *engine);
