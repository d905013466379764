/* engine_rig.h - the engine with a queue and handlers that only do what a test tells them.
 *
 * queue_* are fakes: each call is recorded and answered by the test, when it likes. Handlers and
 * the scoreboard are fakes too. The loop is there but never run: the test calls step() and moves
 * the clock. */
#pragma once

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "common/base/clock.h"
#include "workers/worker/engine_state.h"

enum fake_kind {
    FAKE_TURN,
    FAKE_RENEW,
    FAKE_OUTCOME,
    FAKE_ADOPT,
    FAKE_LEAVE,
    FAKE_STALLED,
    FAKE_WAIT,
    FAKE_RETURN,
    FAKE_CONCURRENCY,
};

#define FAKE_JOBS_MAX  256
#define FAKE_CALLS_MAX 512

struct fake_settle {
    enum settle_kind kind;
    char id[32], value[128], stacktrace[256];
    uint64_t delay_ms, due_at_ms, attempts_max;
    struct job_keep keep;
};

/* One recorded call. */
struct fake_call {
    enum fake_kind kind;
    bool answered;
    void *on_done, *arg;
    size_t count; /* settles, or jobs asked about */
    struct fake_settle settles[QUEUE_TURN_MAX];
    char ids[FAKE_JOBS_MAX][32]; /* of RENEW and OUTCOME, and those known to ADOPT */
    uint64_t calls[FAKE_JOBS_MAX];
    size_t want;
    bool alone;
    uint64_t live, n, timeout_ms;
    uint64_t concurrency;   /* of CONCURRENCY */
    struct limiter limiter; /* of TURN, likewise: */
    uint64_t metrics_points;
    struct worker_identity identity; /* of RENEW */
};

struct fake_run {
    struct handler_run *run;
    const struct handler_events *events;
    void *arg;
    const struct handler_input *input;
    char id[32];
    bool ended;
    unsigned int soft, hard;     /* cancels seen */
    enum handler_cancel_why why; /* of the last; likewise: */
    uint64_t grace_ms;
};

/* What the scoreboard shows. */
struct fake_board {
    uint64_t counters[SCOREBOARD_COUNTER_COUNT];
    uint64_t counted[SCOREBOARD_HISTOGRAM_COUNT]; /* how many times */
    uint64_t last_us[SCOREBOARD_HISTOGRAM_COUNT];
    struct {
        bool used;
        char id[32], type[32];
        uint64_t attempt;
        int pid;
    } jobs[SCOREBOARD_JOBS];
};

struct rig {
    uv_loop_t loop;
    struct config_queue config;
    struct config_type types[2];
    struct engine_binding bindings[3];
    struct engine *engine;
    struct fake_call *calls; /* all, in order */
    size_t calls_count;
    struct fake_run runs[1024];
    size_t runs_count;
    struct fake_board board;
    bool without_board, without_identity, start_held;
    struct renew_state renew_state; /* what answer_renew tells */
    size_t ceiling;    /* slots, or what ran and was asked for when they became fewer */
    size_t resized_to; /* what the handlers were told last; likewise: */
    uint64_t drain_told_ms;
    unsigned int resizes, drains;
    bool refuse_start;    /* the fake handler's start fails */
    int send_result;      /* what queue_* calls return, 0 or a negative errno */
    bool stopped_waiting; /* on_stop_waiting was called */
    bool ended;
    size_t left;
};

extern struct rig rig;
extern const struct handler_kind fake_handler_kind;

/* The configuration of a test may be changed before rig_start: slots as given, batch_max 64, lock
 * 30 s, one type "known", fallback without handler when `unknown` is tested by name "strange". */
void rig_init(void);
void rig_start(size_t slots);
/* Starts, answers the first beat, the stalled check, and the first fetch with nothing. */
void rig_start_idle(size_t slots);
void rig_done(void);

/* Engine steps until it has nothing more to do; checks the invariants. */
void step(void);
/* Moves all clocks and steps. */
void pass_ms(uint64_t ms);

size_t count_calls(enum fake_kind kind);
size_t open_calls(enum fake_kind kind); /* not yet answered */
/* The oldest unanswered call of that kind; fails the test when there is none. */
struct fake_call *open_call(enum fake_kind kind);

/* Fake job; id is its number. `prepare` may change it. */
struct job *make_job(unsigned int id);
struct job *make_job_named(unsigned int id, const char *name);

/* Answers and steps. Jobs are taken. state NULL: nothing waits. */
void answer_turn(struct fake_call *call, const enum settle_code *codes, struct job **jobs,
                 size_t jobs_count, const struct fetch_state *state);
/* All settled, `jobs_count` new jobs numbered from `first_id`, `waiting` left behind. */
void answer_jobs(struct fake_call *call, unsigned int first_id, size_t jobs_count,
                 uint64_t waiting);
void answer_turn_badly(struct fake_call *call, enum redis_outcome outcome,
                       enum redis_error_class error_class);
void answer_renew(struct fake_call *call, const enum lock_answer *answers);
void answer_renew_badly(struct fake_call *call, enum redis_outcome outcome);
void answer_renew_fenced(struct fake_call *call);
void answer_outcome(struct fake_call *call, const enum job_outcome *outcomes);
/* `jobs` (taken) are handed over, the others given back. */
void answer_adopt(struct fake_call *call, struct job **jobs, size_t jobs_count,
                  uint64_t given_back);
void answer_adopt_badly(struct fake_call *call, enum redis_outcome outcome, struct job **jobs,
                        size_t jobs_count);
void answer_value(struct fake_call *call, int64_t value); /* LEAVE, STALLED, RETURN, CONCURRENCY */
void answer_value_badly(struct fake_call *call);
void answer_wait(struct fake_call *call, uint64_t due_ms);
void answer_wait_badly(struct fake_call *call, enum redis_outcome outcome);
/* Answers open RENEW, STALLED and CONCURRENCY calls as if all were well. */
void answer_beats(void);

/* The run of a job still at work; fails the test when there is none. */
struct fake_run *running(unsigned int id);
size_t count_running(void);
void complete(unsigned int id); /* with null; does not step */
void complete_all(void);
void fail_run(unsigned int id, const char *reason);
void end_run(unsigned int id, enum handler_outcome_kind kind);
void end_run_with(unsigned int id, enum handler_outcome_kind kind, const char *reason,
                  int64_t retry_after_ms);
void end_run_at(unsigned int id, enum handler_outcome_kind kind, uint64_t retry_at_ms);

/* engine_resize, and a step. */
void resize(size_t slots);
/* A counter as the scoreboard shows it after the last step. */
uint64_t shown(enum scoreboard_counter counter);
bool is_shown(enum scoreboard_flag flag);
