/* slot.h - one place for a worker process in a pool: empty, or filled by one child, through its
 * whole life; what comes after a death is decided here and nowhere else.
 *
 * States, what each waits for, and what bounds the wait (docs/states.md has the picture):
 *   empty     the next step fills it (or stops it); bounded by the supervisor's spawns per turn
 *   starting  the child's ready frame; start_timeout_ms, then it is killed
 *   serving   nothing; ends by a death, a drain or a stop. A child whose channel ends is given
 *             stop_grace_ms to be seen dead, then it is killed
 *   draining  the child's end; drain_timeout_ms + drain_margin_ms (no bound when drain_timeout_ms
 * is 0), then stop. A child that was still starting keeps its start deadline stopping  the child's
 * end; stop_grace_ms, then kill killing   the child's end after SIGKILL to its session; repeated
 * every kill_again_ms (a process that hangs in the kernel cannot be killed: said each time)
 *   sweeping  the child is reaped; waits until nothing of its session lives; sweep_timeout_ms, then
 *             said and left
 *   backoff   the back-off's wait after a death before ready
 *   given_up  nothing: the child ended with a code after which a restart cannot help
 *   stopped   nothing: the supervisor ends
 * A child exists in starting … killing, and only there; in sweeping only its session's number is
 * known. */
#pragma once

#include "common/base/backoff.h"
#include "supervisor/master/child.h"

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

/* What the supervisor wants of every slot; only ever grows. */
enum slot_wish { SLOT_WISH_RUN, SLOT_WISH_DRAIN, SLOT_WISH_STOP, SLOT_WISH_KILL };

/* What all slots share; the supervisor owns it. Times in ms, > 0 unless said. */
struct slot_context {
    uv_loop_t *loop;
    const char *worker_path;
    int config_fd;
    unsigned int generation;
    enum slot_wish wish;
    unsigned int spawns_left;  /* in this turn: a spawn blocks the loop for milliseconds */
    unsigned int killed_count; /* children that had to be killed, since the start */
    uint64_t start_timeout_ms;
    uint64_t drain_timeout_ms; /* 0: no bound */
    uint64_t drain_margin_ms;  /* for giving back what was not finished in time */
    uint64_t stop_grace_ms;
    uint64_t kill_again_ms;
    uint64_t sweep_timeout_ms;
    uint64_t sweep_again_ms;
    uint64_t settled_ms; /* a death sooner than this after ready counts as before ready */
};

struct slot {
    struct slot_context *context; /* borrowed */
    const char *queue;            /* borrowed */
    unsigned int index;           /* in its pool */
    unsigned int concurrency;     /* >= 1 */
    enum slot_state state;
    uint64_t state_since_ms;
    uint64_t deadline_ms; /* when slot_step must be called at the latest; 0: no need */
    struct backoff backoff;
    struct child *child;   /* NULL unless a process is there */
    const char *kill_why;  /* static text: why this child was killed; NULL when it was not */
    bool asked_to_leave;   /* it was told to drain or stop */
    bool outcome_known;    /* was ready or dead once: what the start of the service waits for */
    pid_t swept_session;   /* sweeping: whose processes are killed */
    uint64_t sweep_end_ms; /* sweeping: when to give up */
    bool died_final;       /* how the last child ended: with a final exit code */
    bool died_early;       /* … before it had settled */
    int last_exit_status;
    unsigned int spawned; /* children so far */
};

void slot_init(struct slot *slot, struct slot_context *context, const char *queue,
               unsigned int index, unsigned int concurrency, const struct backoff *backoff);

/* Looks at everything and acts. Safe at any time and twice. */
void slot_step(struct slot *slot);

const char *slot_state_name(enum slot_state state);
bool slot_may_become(enum slot_state from, enum slot_state to);
/* The only writer of slot->state: asserts that the table allows the move, and logs it. */
void slot_set_state(struct slot *slot, enum slot_state next, const char *why);
