/* watchdog.h - does the master make progress? What is asked before systemd is told WATCHDOG=1.
 * That the loop turns and that supervisor_step has run is shown by being asked at all. Here the
 * table of children is looked at: a master that has lost sight of a child would go on turning, and
 * its jobs would wait for ever.
 * Invariant: what a worker does, or does not do, never speaks against the master. A worker that
 * hangs is one that lives; one that survives SIGKILL has its deadline moved on each time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisor/master/slot.h"

/* How long something may be overdue: the step that has just run ought to have seen to it. */
#define WATCHDOG_MARGIN_MS 10000

/* One place for a worker, as of now. Times by clock_now_ms(). */
struct watchdog_row {
    const char *queue;
    unsigned int index;
    enum slot_state state;
    uint64_t state_since_ms;
    uint64_t deadline_ms; /* as in struct slot; 0 none */
    bool has_child;
    uint64_t exited_ms;     /* its end was noted then; 0: not */
    uint64_t gone_since_ms; /* the kernel says that it has ended; first seen then; 0: it lives */
};

struct watchdog_view {
    const struct watchdog_row *rows;
    size_t count;
    uint64_t now_ms;
    uint64_t last_spawn_ms;   /* of any slot; 0 never */
    pid_t orphan;             /* a child that has ended and that nobody has reaped; 0 none … */
    uint64_t orphan_since_ms; /* … the same one was there then */
};

#define WATCHDOG_WHY_BYTES 256

/* True, and what, when something is stuck. */
bool watchdog_is_stuck(const struct watchdog_view *view, char out_why[WATCHDOG_WHY_BYTES]);
