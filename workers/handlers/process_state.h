/* process_state.h - what the files of the process handler share: the handler, its runs, its
 * programs.
 *
 * A run is in exactly one list: the handler's queue (no program has it), the runs of one child (its
 * line is in the child's buffer, in the pipe or read by the program), the handler's `cancelled`
 * (asked to end before any program had it; its outcome comes with the next step), or the spare
 * ones.
 *
 * The operations of handler.h and the callbacks of programs only note what happened and touch the
 * handler; process_step looks at the whole once per turn of the loop: it starts and ends programs,
 * hands queued runs to programs and writes. Outcomes are given from the step and from what a
 * program wrote or how it ended, always on the loop, so the engine may start, cancel or close from
 * within one. */
#pragma once

#include "common/base/backoff.h"
#include "workers/handlers/handler.h"
#include "workers/handlers/program.h"

struct child;

struct run_list {
    struct handler_run *first, *last;
    size_t count;
};

struct handler_run {
    struct handler_run *prev, *next;
    struct run_list *list; /* where it is */
    struct child *child;   /* whose program has it; NULL while queued */
    const struct handler_input *input;
    const struct handler_events *events;
    void *arg;
    uint64_t id;       /* of its request, in its child */
    uint64_t line_at;  /* where its line begins in all that the child's program was ever written */
    uint64_t heard_ms; /* when it was given to the program or last reported */
    uint64_t kill_at_ms; /* silent: when its program is killed; else 0 */
    bool cancelled;      /* asked to end by the engine */
    bool silent;         /* asked to end because it did not report for heartbeat_ms */
};

struct handler {
    struct handler_setup setup; /* what it points to is the caller's */
    struct program_tools tools;
    struct buf text;  /* for the duration of one callback */
    uv_idle_t step;   /* active while process_step has something to do */
    uv_timer_t timer; /* waits for what is bounded here: queued runs, the close */
    struct run_list queue, cancelled, spare;
    struct child *children;       /* in order of their making; leaving ones included */
    size_t children_count;        /* until their memory is given back */
    size_t spawns_left;           /* in this turn */
    uint64_t none_ready_since_ms; /* since when no program can be given a run; 0 while one can */
    uint64_t abandon_at_ms;       /* closing: when programs that do not die are left alone */
    uint64_t drain_until_ms;      /* 0: no bound */
    struct buf last_failure;      /* how the last program ended that was not ready, for reasons */
    bool draining, closing;
    bool was_ready; /* every program of the first start has shaken hands */
    unsigned int open_handles;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

void run_push_back(struct run_list *list, struct handler_run *run);
void run_push_front(struct run_list *list, struct handler_run *run);
void run_remove(struct handler_run *run);
/* Ends the run: the outcome is given, its memory goes to the spare ones. */
void run_finish(struct handler *handler, struct handler_run *run,
                const struct handler_outcome *outcome);

/* process_step runs in the next turn of the loop. */
void process_touch(struct handler *handler);
