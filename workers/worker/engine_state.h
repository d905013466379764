/* engine_state.h - the engine's state, shared by its modules and nobody else.
 *
 *   engine.c   step, life, the ladder of drain and stop
 *   jobs.c     a job from fetch to outcome, the ladder that ends a handler
 *   turns.c    the settle-and-fetch calls
 *   locks.c    beat, renewal, proof
 *   waiting.c  what to do when there is nothing to fetch
 *   solo.c     jobs that must run alone
 *   replicas.c jobs that too few replicas know of
 *   resolve.c  lost replies
 *   board.c    what is shown on the scoreboard
 *   job_log.c  what the log says of single jobs
 *   decide.c, batch.c, correlation.c, put_backs.c, runs.c  know nothing of the engine */
#pragma once

#include "common/base/backoff.h"
#include "workers/worker/batch.h"
#include "workers/worker/engine.h"
#include "workers/worker/put_backs.h"
#include "workers/worker/runs.h"

#define ENGINE_CALLS       2         /* in flight at once, while there is a backlog */
#define ENGINE_FETCH_BYTES (4 << 20) /* most data fetched by one call */

enum engine_phase {
    ENGINE_SERVING,
    ENGINE_DRAINING, /* bounded by drain_until_ms */
    ENGINE_STOPPING, /* handlers were asked to end; bounded by give_up_ms */
    ENGINE_LEAVING,  /* nothing held; queue_leave under way, bounded by give_up_ms */
    ENGINE_ENDED,
};

/* One settle-and-fetch call under way. */
struct turn_call {
    struct engine *engine;
    bool flying;
    uint64_t n; /* fetcher.calls when it was sent */
    struct run *runs[QUEUE_TURN_MAX];
    size_t count; /* of runs */
    size_t want;  /* jobs asked for */
    bool alone;   /* asked for one that must run alone */
    uint64_t sent_us, sent_boot_ms;
};

struct turns {
    struct turn_call calls[ENGINE_CALLS];
    size_t flying;
    size_t fetching; /* sum of `want` in flight */
    struct batch batch;
    uint64_t last_reply_us;
    bool backlog; /* the last fetch left jobs behind */
    struct backoff backoff;
    uint64_t hold_until_ms;         /* Redis refused: no call before */
    enum redis_error_class refused; /* NONE, or what was said once */
    uint64_t live;                  /* processes serving this queue, >= 1 */
};

struct locks {
    uint64_t beat_ms;      /* interval */
    uint64_t next_beat_ms; /* 0: at once */
    uint64_t check_ms;     /* when the first lock may become unproven, if before the beat */
    size_t in_flight;      /* renewals */
    uint64_t retry_ms;     /* no early renewal before */
    bool refused;          /* said once */
};

struct waiting {
    struct redis *blocking; /* borrowed; NULL: not usable */
    bool drained;           /* the last fetch said that nothing is left: wait before the next */
    unsigned int empty;     /* fetches in a row that brought nothing though jobs waited */
    bool waiting;           /* BZPOPMIN under way */
    bool marker_held;       /* a marker was popped and no fetch was sent since */
    bool stopped;           /* on_stop_waiting was called */
    uint64_t next_due_ms;   /* wall time of the next delayed job; 0 unknown */
    uint64_t limited_ms;    /* no fetch before: the last one said so, */
    uint64_t rest_ms;       /* or a handler has asked for it */
    uint64_t poll_ms;       /* fetch then although nobody told of work; 0 never */
    uint64_t retry_ms;      /* no wait before */
    size_t returning;       /* markers being put back */
};

/* What the job waits for that was given back so often that it must run alone. While it runs, which
 * runs.alone_running says, nothing is fetched whatever the state here. */
enum solo_state {
    SOLO_NONE,
    SOLO_EMPTYING, /* this process is to empty itself: no fetch until it holds nothing */
    SOLO_ASKING,   /* the fetch for such a job is under way */
};

struct solo {
    enum solo_state state;
    uint64_t not_before_ms; /* a fetch for one brought nothing: no more emptying before */
};

struct replicas {
    bool missing;      /* the last turn says so: nothing is fetched */
    bool left;         /* nothing is fetched any more anyway: turns do not wait for replicas */
    uint64_t probe_ms; /* when missing: the next turn at the latest */
};

/* After a lost reply, in this order; bounded by the answers, which the connection bounds. */
enum resolve_stage {
    RESOLVE_NOTHING,
    RESOLVE_OUTCOME, /* were the lost calls executed? */
    RESOLVE_ADOPT,   /* what did they fetch that never arrived? */
};

struct resolve {
    enum resolve_stage stage;
    size_t lost_calls; /* replies lost and not yet asked about; > 0 unless RESOLVE_NOTHING */
    bool asking;
    struct run **asked; /* of the question under way, in its order; owned */
    size_t asked_count;
    uint64_t asked_boot_ms; /* when queue_adopt was called: adopted locks hold from then */
};

/* Counted since the start; shown on the scoreboard and in the registry. */
struct tally {
    uint64_t completed, failed, retried, lost, given_back;
    uint64_t calls;              /* turns answered */
    bool paused, maxed, limited; /* as of the last fetch, likewise: */
    uint64_t active;
    uint64_t waiting, oldest_at_ms; /* as scoreboard.h has them, as of … */
    uint64_t waiting_seen_boot_ms;  /* … then; 0: not yet */
};

struct stalled {
    uint64_t next_ms;
    bool checking;
};

/* The queue's concurrency in Redis is made what the configuration says, on each new connection. */
struct concurrency {
    bool applied, asking;
    uint64_t retry_ms; /* not before */
};

struct engine {
    struct engine_options options;
    size_t allowed; /* jobs that may run now, <= options.slots */
    struct queue *queue;
    const struct config_queue *config;
    struct fetcher fetcher;
    struct worker_identity identity; /* what fetcher.identity points to */
    enum engine_phase phase;
    bool redis_ready;
    bool redis_was_away; /* it was ready once, and was lost */
    bool held;           /* no fetch: handlers are not ready yet */
    bool fenced;         /* declared dead: never fetches again, and leaves */
    bool dirty;          /* something happened since the last step */
    struct runs runs;
    struct turns turns;
    struct locks locks;
    struct waiting waiting;
    struct solo solo;
    struct replicas replicas;
    struct resolve resolve;
    struct stalled stalled;
    struct concurrency concurrency;
    struct put_backs put_backs;
    struct tally tally;
    uint64_t next_deadline_ms; /* no run has an earlier one; 0 none has any */
    uint64_t drain_until_ms;   /* 0 no bound */
    uint64_t give_up_ms;       /* 0 not yet */
    bool leave_sent, leave_done;
    uint64_t random_state;
    uv_idle_t stepper;    /* active while dirty: runs the step before the loop sleeps */
    uv_timer_t timer;     /* wakes the loop for the earliest of all times above */
    uint64_t timer_at_ms; /* what it is armed for; 0 not */
    unsigned int open_handles;
};

/* The earlier of two times where 0 means never. */
static inline uint64_t engine_earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms + b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

/* engine.c */
/* Something happened: the step runs before the loop sleeps. */
void engine_touch(struct engine *engine);
/* Free slots when `carried` of the done jobs leave with the next call. */
size_t engine_free_slots(const struct engine *engine, size_t carried);
/* Redis says that this process was declared dead: loses all it runs, and stops. */
void engine_fence(struct engine *engine);
/* Redis has taken what became of it: counted, and logged. */
void engine_note_settled(const struct run *run);

/* jobs.c */
/* Takes a fetched job: runs it, or settles it without running. */
void engine_admit(struct engine *engine, struct job *job, uint64_t proven_boot_ms);
/* `run` (not free) ends with this outcome: decided, and proving or done. */
void engine_finish(struct run *run, const struct handler_outcome *outcome);
/* Not an attempt: back after delay_ms, or to the front of wait. reason: for
 * SETTLE_GIVE_BACK_COUNTED, else NULL. */
void engine_put_back(struct run *run, enum settle_kind kind, uint64_t delay_ms,
                     const struct bytes *reason);
/* It was to wait for children and has none that are pending: what it waits for is there, so it runs
 * again. */
void engine_repeat_without_children(struct run *run);
/* The result is not ours to write: forget the job, count it as lost. */
void engine_drop(struct run *run);
/* Asks a running handler to end; the hard rung follows after grace_ms. */
void engine_cancel(struct run *run, enum run_cause cause, uint64_t grace_ms);
/* Time-outs and hard rungs that are due. */
void engine_step_deadlines(struct engine *engine, uint64_t now_ms);

/* turns.c */
void turns_init(struct engine *engine);
void turns_step(struct engine *engine, uint64_t now_ms);
/* Redis refused a call as a whole: say it once, hold back. */
void turns_refused(struct engine *engine, const struct call_result *call);
void turns_accepted(struct engine *engine);

/* locks.c */
void locks_init(struct engine *engine);
void locks_step(struct engine *engine, uint64_t now_ms);
uint64_t locks_next_ms(const struct engine *engine);

/* waiting.c */
void waiting_init(struct engine *engine);
/* May a fetch be sent at all, and is there a reason to send one by itself? */
bool waiting_may_fetch(const struct engine *engine, uint64_t now_ms);
bool waiting_wants_fetch(const struct engine *engine, uint64_t now_ms);
void waiting_note_fetch(struct engine *engine);
void waiting_note_state(struct engine *engine, const struct fetch_state *state, size_t fetched);
/* A handler wanted the queue to rest, and Redis knows. */
void waiting_rest(struct engine *engine, uint64_t rest_ms);
void waiting_step(struct engine *engine, uint64_t now_ms);
uint64_t waiting_next_ms(const struct engine *engine, uint64_t now_ms);

/* solo.c */
/* Ordinary fetching rests. */
bool solo_holds_back(const struct engine *engine);
/* Is it time to fetch the one that must run alone? */
bool solo_wants_fetch(const struct engine *engine);
void solo_note_sent(struct engine *engine);
/* The fetch for one got no reply. */
void solo_note_failed(struct engine *engine);
/* A fetch was answered; `asked`: it was the one for a job that must run alone. */
void solo_note_state(struct engine *engine, bool asked, const struct fetch_state *state,
                     size_t fetched);

/* replicas.c */
bool replicas_are_missing(const struct engine *engine);
/* A turn was executed. */
void replicas_note(struct engine *engine, const struct call_result *result);
/* Is a turn to be sent only to ask for them? */
bool replicas_wants_probe(const struct engine *engine, uint64_t now_ms);
uint64_t replicas_next_ms(const struct engine *engine);
void replicas_step(struct engine *engine);

/* board.c */
void board_begin_run(struct run *run);
void board_end_run(struct run *run);
void board_show(struct engine *engine);

/* resolve.c */
void resolve_note_lost(struct engine *engine, struct turn_call *call);
bool resolve_is_pending(const struct engine *engine);
void resolve_step(struct engine *engine, uint64_t now_ms);
void resolve_done(struct engine *engine);
