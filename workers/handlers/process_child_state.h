/* process_child_state.h - one child of the process handler as its three files see it: its life
 * (process_child.c), what is said (process_talk.c), the jobs in it (process_jobs.c). */
#pragma once

#include "workers/handlers/process_child.h"
#include "workers/handlers/process_lines.h"
#include "workers/handlers/program_log.h"

struct child {
    struct child *next;
    struct handler *handler;
    enum child_state state;
    uv_timer_t timer;
    struct backoff backoff;
    uint64_t due_ms; /* when the state's wait is over: handshake, silence, back-off; 0 none */
    bool leaving;    /* not wanted any more */
    bool shaken;     /* was ready at least once */

    /* Of the program that is there now. */
    struct program program;
    uint64_t spawned_ms, ready_ms;   /* when */
    uint64_t term_at_ms, kill_at_ms; /* ending: the next signals; 0: none to come */
    const char *closed;              /* the pipe that it closed; the cause once it is signalled */
    bool was_ready, was_given;       /* it shook hands; it got a job */
    unsigned int protocol;           /* that it speaks, once it has shaken hands */
    bool asked;                      /* its end is wanted: no failure */
    bool killed_for_one;             /* SIGKILL because of one of its jobs */
    bool shuts_down;                 /* its input is closed when all is written */
    struct buf cause;                /* why drover ends it, "" when it does not */
    struct program_log log;
    struct lines output, error_lines;
    struct buf errors; /* the end of its stderr */

    /* The jobs in it, and what is still to be written. */
    struct run_list runs;       /* in the order in which they were given */
    struct handler_run **by_id; /* where id & by_id_mask is; NULL when free */
    size_t by_id_mask;
    uint64_t next_id; /* ids below it were given to this program */
    struct buf out;
    size_t out_at;    /* bytes of `out` that are written */
    uint64_t written; /* bytes that this program was ever written */
};

bool child_is_alive(const struct child *child); /* starting, ready or ending */
/* The earlier of two times of which 0 is none. */
uint64_t child_earlier(uint64_t a_ms, uint64_t b_ms);
/* Sets the timer to what the state waits for: call it when due_ms has changed. */
void child_arm(struct child *child);

/* It has shaken hands; `name` is what it calls itself, "" when nothing. */
void child_became_ready(struct child *child, const char *name);
/* It broke the protocol, or its time is over: SIGTERM now, SIGKILL after kill_grace_ms. */
void child_end_at_once(struct child *child, const char *cause);
/* It closed a pipe: most likely it is about to end, and then its end has a better name. `cause` is
 * static text. */
void child_end_closed(struct child *child, const char *cause);
/* SIGKILL because of one of its jobs. */
void child_kill_for_one(struct child *child, const char *cause);
