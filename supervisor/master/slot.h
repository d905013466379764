/* slot.h - one place for a worker process in a pool: empty, or filled by one child, through its
 * whole life; what comes after a death is decided here and nowhere else.
 *
 * States, what each waits for, and what bounds the wait (docs/states.md has the picture):
 *   empty     the next step fills it (or stops it); bounded by the supervisor's spawns per turn
 *   starting  the child's ready frame; start_timeout_ms, then it is killed
 *   serving   nothing; ends by a death, a drain or a stop. A child whose channel ends is given
 *             stop_grace_ms to be seen dead, then it is killed
 *   draining  the child's end; drain_timeout_ms + drain_margin_ms (no bound when drain_timeout_ms
 *             is 0), then stop. A child that was still starting keeps its start deadline until it
 *             says ready; one whose channel ends is dealt with as in serving
 *   stopping  the child's end; stop_grace_ms, then kill
 *   killing   the child's end after SIGKILL to its session; repeated every kill_again_ms (a process
 *             that hangs in the kernel cannot be killed: said each time)
 *   sweeping  the child is reaped; waits until nothing of its session lives; sweep_timeout_ms, then
 *             said and left. When it is over, and the child left no clean end, its jobs are handed
 *             to recoveries.h
 *   backoff   a wait before the next start: after a death before ready, or because the process has
 *             died so often in the last second that its restarts would eat the machine
 *   given_up  nothing: the child ended with a code after which a restart cannot help
 *   stopped   nothing: this place is not wanted any more
 * A child exists in starting … killing, and only there; in sweeping only its session's number is
 * known. */
#pragma once

#include "common/base/backoff.h"
#include "common/scoreboard/scoreboard.h"
#include "supervisor/master/child.h"
#include "supervisor/master/generation.h"

struct recoveries;

enum slot_state {
    SLOT_EMPTY,
    SLOT_STARTING,
    SLOT_SERVING,
    SLOT_DRAINING,
    SLOT_STOPPING,
    SLOT_KILLING,
    SLOT_SWEEPING,
    SLOT_BACKOFF,
    SLOT_GIVEN_UP,
    SLOT_STOPPED,
    SLOT_STATE_COUNT,
};

/* What is wanted of a slot; only ever grows. */
enum slot_wish { SLOT_WISH_RUN, SLOT_WISH_DRAIN, SLOT_WISH_STOP, SLOT_WISH_KILL };

/* What all slots share; the supervisor owns it. Times in ms, > 0 unless said. */
struct slot_context {
    uv_loop_t *loop;
    const char *worker_path;
    const char *run_uuid; /* of this run of the master */
    struct scoreboard *board;
    struct recoveries *recoveries;
    enum slot_wish wish;       /* of all slots; the larger of this and the slot's own counts */
    unsigned int spawns_left;  /* in this turn: a spawn blocks the loop for a millisecond */
    unsigned int killed_count; /* children that had to be killed; from 0 when the service ends */
    unsigned int log_level;    /* enum log_level, for new and running children */
    uint64_t start_timeout_ms;
    uint64_t drain_timeout_ms; /* 0: no bound */
    uint64_t drain_margin_ms;  /* for giving back what was not finished in time */
    uint64_t stop_grace_ms;
    uint64_t kill_again_ms;
    uint64_t sweep_timeout_ms;
};

#define SLOT_DEATHS_KEPT 8 /* that many starts within a second are enough */

struct slot {
    struct slot_context *context;      /* borrowed */
    struct generation *generation;     /* what the next child is started with; a reference */
    const struct config_queue *config; /* of the queue, borrowed from `generation` */
    char *endpoint;     /* which Redis and prefix (generation_endpoint); owned; NULL: no memory */
    const char *queue;  /* its name, borrowed from the pool */
    unsigned int index; /* in its pool */
    unsigned int concurrency; /* its share of the pool's, >= 1 */
    unsigned int allowed; /* jobs that it may run now: <= concurrency; less while others that ought
                             to have gone still run some (pool.h) */
    unsigned int told_concurrency, told_allowed, told_log_level; /* what the child knows */
    unsigned int told_most; /* the largest concurrency that it was ever told */
    enum slot_wish wish;    /* of this slot alone */
    const char *wish_why;   /* static text, for logs */
    enum slot_state state;
    uint64_t state_since_ms;
    uint64_t deadline_ms; /* when slot_step must be called at the latest; 0: no need */
    struct backoff backoff;
    uint64_t spawned_at_ms[SLOT_DEATHS_KEPT]; /* the last so many starts, a ring */
    struct child *child;                      /* NULL unless a process is there */
    unsigned int child_generation;            /* number of what the child was started with */
    int board_slot;                           /* in the scoreboard; -1 none */
    const char *kill_why;   /* static text: why this child was killed; NULL: it was not */
    uint64_t gone_since_ms; /* its process has ended, first seen then; 0: lives (watchdog.h) */
    bool asked_to_leave;    /* it was told to drain or stop */
    bool start_bounds;      /* draining: the deadline is that of its start */
    bool channel_lost;     /* serving, draining: its channel's end was seen; the deadline says it */
    bool outcome_known;    /* was ready or dead once: what the start of the service waits for */
    bool ever_ready;       /* a child of this slot has said ready */
    pid_t swept_session;   /* sweeping: whose processes are killed */
    uint64_t sweep_end_ms; /* sweeping: when to give up … */
    uint64_t sweep_wait_ms; /* … and how long to wait until the next look, doubling */
    bool died_final;        /* how the last child ended: with a final exit code */
    bool died_early;        /* … before it was ready */
    bool died_owing;        /* … and its jobs have to be given back */
    bool died_counted;      /* … and that counts against them */
    int last_exit_status;
    uint64_t died_us; /* when its end was seen */
    char last_uuid[UUID_TEXT_BYTES], last_cause[CHANNEL_CAUSE_BYTES];
    unsigned int spawned; /* children so far */
};

/* Takes a reference of its own to `generation`, which must have the queue. */
void slot_init(struct slot *slot, struct slot_context *context, struct generation *generation,
               const char *queue, unsigned int index, unsigned int concurrency,
               const struct backoff *backoff);
/* No child may be there. */
void slot_done(struct slot *slot);

/* Looks at everything and acts. Safe at any time and twice. */
void slot_step(struct slot *slot);

/* The next child will be started with that; a running one goes on with what it has. */
void slot_set_generation(struct slot *slot, struct generation *generation);
/* Its share, and what of it may be used now; a running child is told by the next step. */
void slot_set_share(struct slot *slot, unsigned int concurrency, unsigned int allowed);
/* Raises the wish; `why` is static text. */
void slot_ask(struct slot *slot, enum slot_wish wish, const char *why);
/* How long the next waits are; how often it has failed in a row stays. */
void slot_set_backoff(struct slot *slot, const struct backoff *backoff);
/* A given-up slot tries again (something may have been repaired). False when it was not. */
bool slot_forgive(struct slot *slot);

/* Jobs that its process runs, as far as it says so; for one that is to leave and has not yet said
 * that it fetches no more, as many as it may. */
unsigned int slot_running(const struct slot *slot);

const char *slot_state_name(enum slot_state state);
bool slot_may_become(enum slot_state from, enum slot_state to);
/* The only writer of slot->state: asserts that the table allows the move, logs it, and shows it in
 * the scoreboard. */
void slot_set_state(struct slot *slot, enum slot_state next, const char *why);
