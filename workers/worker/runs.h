/* runs.h - the jobs that this process holds, each in exactly one state.
 *
 *   running     its handler is at work; bounded by the type's timeout
 *   continuing  it came out of a scheduler: the next iteration is made before it runs; bounded by
 * the tries that iterations.c makes proving     finished, but its lock could not be proven: a
 * renewal decides, then done or dropped done        finished, waits for a call to settle it
 *   settling    in a call under way
 *   unresolved  the reply of its call was lost: queue_outcome decides (nothing is fetched until
 * then)
 *
 * Entries never move. They are made in blocks when more jobs come than ever before, and kept: no
 * allocation per job. The held ones are a list in order of fetching, so that looking at all of them
 * costs by what is held, not by how many there may be. */
#pragma once

#include "common/config/config.h"
#include "common/queue/queue.h"
#include "workers/handlers/handler.h"

struct engine;

enum run_state {
    RUN_FREE,
    RUN_RUNNING,
    RUN_CONTINUING,
    RUN_PROVING,
    RUN_DONE,
    RUN_SETTLING,
    RUN_UNRESOLVED,
    RUN_STATE_COUNT
};

/* How far a running handler was asked to end. */
enum run_cancel { RUN_CANCEL_NONE, RUN_CANCEL_SOFT, RUN_CANCEL_HARD };

/* Why: decides what becomes of the job. Later ones win. */
enum run_cause { RUN_CAUSE_NONE, RUN_CAUSE_STOP, RUN_CAUSE_TIMEOUT, RUN_CAUSE_LOST };

#define RUN_VALUE_INLINE 64
#define RUN_KEY_INLINE   96
/* A job that was given back so often because its process died runs alone (poison rule). */
#define RUN_ALONE_FROM   2

struct run {
    enum run_state state;
    struct run *prev, *next; /* among the done, in order of finishing; `next` among the free */
    struct run *held_prev, *held_next; /* among all that are not free, in order of fetching */
    struct engine *engine;
    uint64_t seq;    /* order of fetching; never 0, never used twice */
    struct job *job; /* owned */
    const struct config_type *type;

    /* While running. */
    const struct handler_kind *kind;
    struct handler_run *handler_run;
    struct handler_input input;
    uint64_t deadline_ms; /* when the next rung of the cancel ladder is due; 0 never */
    enum run_cancel cancel;
    enum run_cause cause;
    char *key;           /* idempotency key: key_inline or malloc'ed */
    char *correlation;   /* what the data says; NULL: it says nothing */
    uint64_t started_us; /* clock_now_us; 0: no handler was started */
    uint64_t took_us;    /* its handler, once it has ended */
    int board_row;       /* of the scoreboard; -1 not shown */

    /* Its lock. */
    uint64_t proven_boot_ms; /* the lock holds at least until this + lock_ms (CLOCK_BOOTTIME) */
    bool unproven;           /* not proven in time */
    unsigned int relocks;    /* times that a settle found no lock */

    /* While continuing. */
    bool asking;          /* the call is under way */
    bool continued;       /* done: it may run */
    unsigned int refused; /* calls so far that were refused */
    uint64_t again_ms;    /* next try, when no call is under way */

    /* When finished. */
    struct settle settle; /* `value` and `stacktrace` point into the two below */
    char *value;          /* value_inline, static or malloc'ed (value_owned) */
    bool value_owned;
    bool refailed; /* Redis refused the outcome once and it was turned into a failure */
    char *stacktrace;
    uint64_t call; /* n of the lost call, while unresolved */

    char value_inline[RUN_VALUE_INLINE];
    char key_inline[RUN_KEY_INLINE];
};

struct run_block;

struct runs {
    struct engine *engine;
    struct run_block *blocks;
    size_t made, most; /* entries there are, and may be */
    struct run *free;
    struct run *held_first, *held_last;
    struct run *done_first, *done_last;
    size_t in_state[RUN_STATE_COUNT];
    size_t alone_running; /* of the running and continuing: those that must run alone */
    uint64_t next_seq;
};

/* Each held job in order of fetching; the body may free the one it is given. */
// NOLINTBEGIN(bugprone-macro-parentheses): `run` is a name that is declared here
#define RUNS_EACH(runs, run)                                        \
    for (struct run *run = (runs)->held_first, *run##_next_ = NULL; \
         run && ((run##_next_ = run->held_next), true); run = run##_next_)
// NOLINTEND(bugprone-macro-parentheses)

void runs_init(struct runs *runs, size_t most, struct engine *engine);
void runs_done(struct runs *runs);
/* From now on there may be `most`; a smaller number than before changes nothing. */
void runs_allow(struct runs *runs, size_t most);
/* Jobs held. */
size_t runs_held(const struct runs *runs);

/* A free entry for `job` (taken), in state running; NULL when there are as many as may be, or no
 * memory (then the job is not taken). */
struct run *runs_take(struct runs *runs, struct job *job);
/* The only writer of run->state. Leaving for RUN_FREE frees the job and all memory of the run. */
void runs_set_state(struct runs *runs, struct run *run, enum run_state next);

const char *run_state_name(enum run_state state);
bool run_may_become(enum run_state from, enum run_state to);

/* Must it run alone in its process? */
bool run_is_alone(const struct run *run);
/* Copies the value into the run. -ENOMEM leaves it without one. */
MUST_CHECK int run_set_value(struct run *run, const struct bytes *value);
/* "<queue>:<job id>"; NULL on no memory. */
const char *run_make_key(struct run *run, const char *queue);
/* What the data says, else the idempotency key; NULL before there is one. */
const char *run_correlation(const struct run *run);

/* The two fields that name a job in every line about it. */
#define LOG_RUN(run) \
    LOG_STR("job", (run)->job->id.data), LOG_STR("correlation", run_correlation(run))
