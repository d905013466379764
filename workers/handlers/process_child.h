/* process_child.h - one place for a long-lived program: starts it, shakes hands, gives it jobs,
 * hears it, ends it, and starts it again when it died.
 *
 * Invariants: a program is given jobs only while the child is ready; a run that a child has ends
 * with an answer, with the death of the program, or goes back to the handler's queue untouched when
 * not one byte of its line was written. Outcomes follow what was seen: a program's death is judged
 * only when it is reaped and its output read to the end. */
#pragma once

#include "workers/handlers/process_state.h"

/* Down: there is none, the next step starts one. Starting: it was started and sent `initialize`;
 * its answer must come within start_timeout_ms. Ready: it has answered; only here it gets jobs.
 * Ending: it was asked to end, or has closed a pipe, or broke the protocol; it gets no more jobs,
 * what it still answers counts; SIGTERM and SIGKILL follow at their times (either may be due at
 * once). Dead: it is reaped and its runs have ended; libuv's handles are being closed. Back-off:
 * the last one died before it was of use; the wait is over at its time. Gone: nobody wants this
 * child any more; its memory is given back soon.
 * A program, and so a process, exists in starting, ready and ending, and only there; runs in ready
 * and ending. One timer serves whatever the state waits for. */
enum child_state {
    CHILD_DOWN,
    CHILD_STARTING,
    CHILD_READY,
    CHILD_ENDING,
    CHILD_DEAD,
    CHILD_BACKOFF,
    CHILD_GONE,
    CHILD_STATE_COUNT
};

/* Adds one to the end of handler->children, down. -ENOMEM. */
MUST_CHECK int child_add(struct handler *handler);

/* Acts on what was noted: starts a program (as long as handler->spawns_left), ends one that is not
 * wanted. May remove the child from handler->children. True when it waits for its turn. */
bool child_step(struct child *child);
/* Writes what was built for its program. */
void child_flush(struct child *child);

struct child *child_next(const struct child *child);
size_t child_runs(const struct child *child);

/* It was ready at least once. */
bool child_has_shaken_hands(const struct child *child);
/* It is ready and wanted: runs may be given to it, now or when it has room. */
bool child_serves(const struct child *child);
/* It serves, fewer than `parallel` jobs are in it, and it reads what is written to it. */
bool child_has_room(const struct child *child);

/* Not wanted any more: no more jobs, its program ends when it has none. */
void child_leave(struct child *child);
bool child_is_leaving(const struct child *child);

/* child_has_room is true, the run is in no list. */
void child_give(struct child *child, struct handler_run *run);
void child_cancel(struct handler_run *run, enum handler_cancel how, enum handler_cancel_why why,
                  uint64_t grace_ms);
/* Tells it `drain`, now or when it becomes ready. */
void child_drain(struct child *child);

/* Closing: the program does not die; it is watched no longer. */
void child_abandon(struct child *child);

/* When the back-off is over; UINT64_MAX in any other state. */
uint64_t child_backoff_until_ms(const struct child *child);
