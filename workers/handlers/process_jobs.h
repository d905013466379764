/* process_jobs.h - the jobs in one long-lived program, from the line that gives one to its outcome.
 * Invariant: a run of child->runs is found by its id, and ends with an answer or with the program's
 * death, or goes back to the handler's queue when nothing of its line was written. (child_give and
 * child_cancel of process_child.h are here as well.) */
#pragma once

#include "workers/handlers/process_child_state.h"
#include "workers/handlers/process_outcome.h"

/* NULL when no open run has that id. */
struct handler_run *jobs_find(const struct child *child, uint64_t id);
/* For how long the run did not report when it was asked to end because of that; else 0. */
uint64_t jobs_silent_ms(const struct child *child, const struct handler_run *run);
/* Gives the verdict, and frees it. */
void jobs_finish(struct child *child, struct handler_run *run, struct process_verdict *verdict);

/* Asks those to end that did not report for heartbeat_ms, ends the program of one that did not;
 * sets due_ms to when to look again. */
void jobs_look_for_silence(struct child *child);

/* The program is gone, child->program.end says how: every run ends or goes back. */
void jobs_end_all(struct child *child);
