/* supervisor_state.h - the supervisor's state, shared by its modules and nobody else.
 *
 *   supervisor.c   step, signals, the end
 *   service.c      what systemd hears: ready, the status line, more time, the watchdog
 *   reload.c       a changed file: read beside the loop, compared, applied pool by pool
 *   verbs.c        what is asked over the control socket
 *   helper.c       who gives back the jobs of the dead
 *   pool.c, slot.c, child.c, recoveries.c, kept.c, generation.c, control.c  know nothing of the
 *                  supervisor
 */
#pragma once

#include "supervisor/master/control.h"
#include "supervisor/master/kept.h"
#include "supervisor/master/pool.h"
#include "supervisor/master/recoveries.h"
#include "supervisor/master/supervisor.h"

/* running  → ending (asked, or every worker was given up) → clearing (all slots are at rest;
 * whatever became our child is killed, seen dead) → ended (handles close, the loop runs out). */
enum supervisor_phase { PHASE_RUNNING, PHASE_ENDING, PHASE_CLEARING, PHASE_ENDED };

/* idle → reading (the file is read and checked on another thread) → applying (new workers start;
 * until none of the pools is pending) → idle. One at a time; what is asked meanwhile makes one
 * more. */
enum reload_phase { RELOAD_IDLE, RELOAD_READING, RELOAD_APPLYING };

/* What a reload does to one queue, kept for those who asked. */
struct reload_row {
    struct pool *pool;     /* NULL once it is gone */
    char *queue, *changes; /* owned */
    char why[160];         /* it could not even be tried; "" */
    const char *kind;      /* config_diff_kind_name */
    bool told;             /* its outcome is known and was told */
};

#define RELOAD_ASKERS 16 /* control clients that wait for one reload */

struct reload {
    enum reload_phase phase;
    bool asked; /* once more, since the current one began */
    struct control_request *askers[RELOAD_ASKERS], *next_askers[RELOAD_ASKERS];
    size_t askers_count, next_askers_count;
    uv_work_t work; /* reading; its data is the supervisor */
    /* Of the work: written by its thread, read once it is done. */
    struct config *loaded;
    struct config_report report;
    int result;
    /* Applying. */
    struct reload_row *rows;
    size_t rows_count, failed;
    char *top, *restart; /* as struct config_diff */
    uint64_t started_ms;
};

/* What systemd was told, and when it is told again. */
struct service {
    uv_timer_t watchdog;  /* every half of the unit's WatchdogSec … */
    bool watchdog_is_due; /* … it is looked at what there is, after the next step */
    bool withheld;        /* something is stuck; it was said */
    pid_t orphan;         /* watchdog.h */
    uint64_t orphan_since_ms;
    bool told_ready;    /* to systemd */
    uint64_t look_ms;   /* when the status line is made again … */
    uint64_t shown;     /* … if what it says of phases and faults has not changed before */
    uint64_t extend_ms; /* when to ask for more time again */
    uint64_t ending_since_ms;
};

#define SIGNALS_COUNT 4

struct supervisor {
    uv_loop_t *loop;
    struct supervisor_options options;
    uv_prepare_t prepare; /* runs supervisor_step before each wait */
    uv_timer_t timer;     /* ends the wait at the next deadline */
    uv_signal_t signals[SIGNALS_COUNT];
    char run_uuid[UUID_TEXT_BYTES];
    struct scoreboard *board;
    struct recoveries recoveries;
    struct kept kept;
    struct service service;
    struct control *control; /* NULL: no socket */
    struct slot_context context;
    struct generation *generation; /* the newest accepted one; a reference */
    struct generation *first;      /* whose log.format and control are in force; a reference */
    struct pool **pools;
    size_t pools_count, pools_cap;
    struct reload reload;
    struct control_request *scales[RELOAD_ASKERS]; /* wait for the end of a reload */
    size_t scales_count;
    enum supervisor_phase phase;
    unsigned int asked; /* how often the end was asked for */
    bool gave_up;       /* ends because no worker will ever run */
    uint64_t started_ms;
    uint64_t deadline_ms;   /* clearing: when to look again … */
    uint64_t clear_wait_ms; /* … and how long to wait after that, doubling */
    int exit_code;
};

/* supervisor.c */
/* NULL when there is none. Removed pools that still drain are not found. */
struct pool *supervisor_find_pool(const struct supervisor *supervisor, const char *queue);
/* Makes room for one more; takes the pool, on failure too. */
MUST_CHECK int supervisor_add_pool(struct supervisor *supervisor, struct pool *pool,
                                   struct error *err);
/* The first slot for which `each` is true, NULL when there is none. */
struct slot *supervisor_find_slot(const struct supervisor *supervisor,
                                  bool (*each)(const struct slot *slot, const void *arg),
                                  const void *arg);
/* Says it when workers of this configuration run as root. */
void supervisor_warn_of_root(const struct config *config);
size_t supervisor_count_in(const struct supervisor *supervisor, enum slot_state state);
size_t supervisor_count_slots(const struct supervisor *supervisor);

/* helper.c: for recoveries_step, with the supervisor as arg. */
recovery_find_cb helper_find;
recovery_child_cb helper_child;

/* service.c */
void service_open(struct supervisor *supervisor);
/* At the end of supervisor_step: what is told is what that has brought about. */
void service_step(struct supervisor *supervisor);
uint64_t service_next_ms(const struct supervisor *supervisor); /* 0: no need to step */
/* The end begins. */
void service_note_end(struct supervisor *supervisor);
/* A reload is over. Before anybody who waits for it is answered. */
void service_tell_ready(struct supervisor *supervisor);
void service_close(struct supervisor *supervisor);

/* reload.c */
void reload_ask(struct supervisor *supervisor);
/* The request is answered when the reload that begins next has ended. Takes it. */
void reload_ask_for(struct supervisor *supervisor, struct control_request *request);
void reload_step(struct supervisor *supervisor);
/* A pool is about to be freed. */
void reload_forget_pool(struct supervisor *supervisor, const struct pool *pool);
/* The service ends: those who wait are told. The work that is under way is waited for by the loop.
 */
void reload_end(struct supervisor *supervisor);
void reload_done(struct supervisor *supervisor);

/* verbs.c */
extern const struct control_verb supervisor_verbs[];
extern const size_t supervisor_verbs_count;
/* Requests to scale that had to wait for a reload. True when there was one: the pools must be
 * stepped. */
bool verbs_step(struct supervisor *supervisor);
void verbs_end(struct supervisor *supervisor);
