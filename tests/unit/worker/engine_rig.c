#include "tests/unit/worker/engine_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

struct rig rig;

/* ---- answers */

static void mark_answered(struct fake_call *call, enum fake_kind kind)
{
    cr_assert(call->kind == kind && !call->answered);
    call->answered = true;
}

static const struct call_result replied = { .outcome = REDIS_REPLY, .why = "" };

void answer_turn(struct fake_call *call, const enum settle_code *codes, struct job **jobs,
                 size_t jobs_count, const struct fetch_state *state)
{
    struct settle_result results[QUEUE_TURN_MAX] = { 0 };
    struct fetch_state nothing = { 0 };

    mark_answered(call, FAKE_TURN);
    cr_assert(le(sz, jobs_count, call->want));
    for (size_t i = 0; i < call->count; i++)
        results[i] = (struct settle_result){ .code = codes ? codes[i] : SETTLE_OK, .why = "" };
    for (size_t i = 0; i < jobs_count; i++)
        jobs[i]->call = call->n;
    ((queue_turn_cb *)call->on_done)(NULL, &replied, results, call->count, jobs, jobs_count,
                                     state ? state : &nothing, call->arg);
    step();
}

void answer_jobs(struct fake_call *call, unsigned int first_id, size_t jobs_count, uint64_t waiting)
{
    struct job *jobs[QUEUE_TURN_MAX];
    struct fetch_state state = { .waiting = waiting };

    for (size_t i = 0; i < jobs_count; i++)
        jobs[i] = make_job(first_id + (unsigned int)i);
    answer_turn(call, NULL, jobs, jobs_count, &state);
}

void answer_turn_badly(struct fake_call *call, enum redis_outcome outcome,
                       enum redis_error_class error_class)
{
    struct call_result result = { outcome, error_class, "told" };

    mark_answered(call, FAKE_TURN);
    ((queue_turn_cb *)call->on_done)(NULL, &result, NULL, 0, NULL, 0, NULL, call->arg);
    step();
}

void answer_renew(struct fake_call *call, const enum lock_answer *answers)
{
    enum lock_answer all[QUEUE_RENEW_MAX] = { LOCK_EXTENDED };

    mark_answered(call, FAKE_RENEW);
    for (size_t i = 0; answers && i < call->count; i++)
        all[i] = answers[i];
    ((queue_renew_cb *)call->on_done)(NULL, &replied, all, call->count, &rig.renew_state,
                                      call->arg);
    step();
}

void answer_renew_badly(struct fake_call *call, enum redis_outcome outcome)
{
    struct call_result result = { outcome, REDIS_CLASS_NONE, "told" };

    mark_answered(call, FAKE_RENEW);
    ((queue_renew_cb *)call->on_done)(NULL, &result, NULL, 0, NULL, call->arg);
    step();
}

void answer_outcome(struct fake_call *call, const enum job_outcome *outcomes)
{
    mark_answered(call, FAKE_OUTCOME);
    ((queue_outcome_cb *)call->on_done)(NULL, &replied, outcomes, call->count, call->arg);
    step();
}

void answer_renew_fenced(struct fake_call *call)
{
    const struct renew_state fenced = { .live = 1, .fenced = true };
    enum lock_answer all[QUEUE_RENEW_MAX];

    mark_answered(call, FAKE_RENEW);
    for (size_t i = 0; i < QUEUE_RENEW_MAX; i++)
        all[i] = LOCK_LOST;
    ((queue_renew_cb *)call->on_done)(NULL, &replied, all, call->count, &fenced, call->arg);
    step();
}

static void adopt(struct fake_call *call, const struct call_result *result, struct job **jobs,
                  size_t jobs_count, uint64_t given_back)
{
    mark_answered(call, FAKE_ADOPT);
    cr_assert(le(sz, jobs_count, call->want));
    ((queue_adopt_cb *)call->on_done)(NULL, result, jobs, jobs_count, given_back, false, call->arg);
    step();
}

void answer_adopt(struct fake_call *call, struct job **jobs, size_t jobs_count, uint64_t given_back)
{
    adopt(call, &replied, jobs, jobs_count, given_back);
}

void answer_adopt_badly(struct fake_call *call, enum redis_outcome outcome, struct job **jobs,
                        size_t jobs_count)
{
    struct call_result result = { outcome, REDIS_CLASS_LATER, "told" };

    adopt(call, &result, jobs, jobs_count, 0);
}

void answer_value(struct fake_call *call, int64_t value)
{
    mark_answered(call, call->kind);
    ((queue_done_cb *)call->on_done)(NULL, &replied, value, call->arg);
    step();
}

void answer_value_badly(struct fake_call *call)
{
    struct call_result result = { REDIS_REFUSED, REDIS_CLASS_OTHER, "told" };

    mark_answered(call, call->kind);
    ((queue_done_cb *)call->on_done)(NULL, &result, 0, call->arg);
    step();
}

void answer_wait(struct fake_call *call, uint64_t due_ms)
{
    mark_answered(call, FAKE_WAIT);
    ((queue_wait_cb *)call->on_done)(NULL, &replied, due_ms, call->arg);
    step();
}

void answer_wait_badly(struct fake_call *call, enum redis_outcome outcome)
{
    struct call_result result = { outcome, REDIS_CLASS_NONE, "told" };

    mark_answered(call, FAKE_WAIT);
    ((queue_wait_cb *)call->on_done)(NULL, &result, 0, call->arg);
    step();
}

void answer_beats(void)
{
    while (open_calls(FAKE_RENEW) > 0)
        answer_renew(open_call(FAKE_RENEW), NULL);
    while (open_calls(FAKE_STALLED) > 0)
        answer_value(open_call(FAKE_STALLED), 0);
    while (open_calls(FAKE_CONCURRENCY) > 0)
        answer_value(open_call(FAKE_CONCURRENCY), 0);
}

/* ---- jobs and life */

struct job *make_job_named(unsigned int id, const char *name)
{
    size_t name_len = strlen(name);
    struct job *job = calloc(1, sizeof(*job) + 64 + name_len + 1);
    char *text = (char *)(job + 1);

    (void)snprintf(text, 32, "%u", id);
    job->id = (struct bytes){ text, strlen(text) };
    memcpy(text + 32, "{}", 3);
    job->data = job->opts = (struct bytes){ text + 32, 2 };
    memcpy(text + 64, name, name_len + 1);
    job->name = (struct bytes){ text + 64, name_len };
    (void)snprintf(job->token, sizeof(job->token), "uuid:%u", id);
    job->options.stack_trace_limit = job->options.keep_logs = -1;
    job->attempts_started = 1;
    return job;
}

struct job *make_job(unsigned int id)
{
    return make_job_named(id, "known");
}

static void on_stop_waiting(void *arg)
{
    (void)arg;
    cr_assert(not(rig.stopped_waiting), "said once");
    rig.stopped_waiting = true;
}

static void on_ended(size_t left, void *arg)
{
    (void)arg;
    cr_assert(not(rig.ended), "said once");
    rig.ended = true;
    rig.left = left;
}

void rig_init(void)
{
    static char queue_name[] = "q", type_name[] = "known", other_name[] = "other";
    struct config_type type = {
        .attempts = 1,
        .kill_grace_ms = 1000,
        .keep_completed = { .count = -1 },
        .keep_failed = { .count = -1 },
    };

    memset(&rig, 0, sizeof(rig));
    rig.renew_state.live = 1;
    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
    rig.calls = calloc(FAKE_CALLS_MAX, sizeof(*rig.calls));
    cr_assert(eq(int, uv_loop_init(&rig.loop), 0));
    rig.types[0] = rig.types[1] = rig.config.fallback = type;
    rig.types[0].name = type_name;
    rig.types[1].name = other_name;
    rig.config.name = queue_name;
    rig.config.types = rig.types;
    rig.config.types_count = 2;
    rig.config.lock_ms = 30000;
    rig.config.stalled_interval_ms = 30000;
    rig.config.max_stalled = 1;
    rig.config.batch_max = 64;
    rig.config.max_givebacks = 3;
    rig.config.unknown_delay_ms = 60000;
    rig.bindings[0].kind = rig.bindings[1].kind = &fake_handler_kind;
}

static const struct worker_identity identity = {
    .host = "host", .machine = "m", .boot = "b", .pid = 42, .master = "master", .version = "0"
};

void rig_start(size_t slots)
{
    struct engine_options options = {
        .loop = &rig.loop,
        .config = &rig.config,
        .bindings = rig.bindings,
        .worker_name = "host-q-0",
        .uuid = "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f6c",
        .slots = slots,
        .identity = rig.without_identity ? NULL : &identity,
        .board = rig.without_board ? NULL : (struct scoreboard_slot *)&rig,
        .on_stop_waiting = on_stop_waiting,
        .on_ended = on_ended,
    };
    struct error err = { 0 };

    rig.ceiling = slots;
    cr_assert(eq(int, engine_new(&options, &rig.engine, &err), 0));
    engine_hold(rig.engine, rig.start_held);
    engine_set_redis(rig.engine, true);
    engine_set_blocking(rig.engine, (struct redis *)&rig); /* never looked into */
    step();
}

void rig_start_idle(size_t slots)
{
    rig_start(slots);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
}

/* As redis_close does: what is under way has no answer. */
static void answer_all_badly(void)
{
    struct call_result result = { .outcome = REDIS_UNKNOWN, .why = "closed" };

    for (size_t i = 0; i < rig.calls_count; i++) {
        struct fake_call *call = &rig.calls[i];

        if (!call->answered && call->kind == FAKE_RENEW)
            ((queue_renew_cb *)call->on_done)(NULL, &result, NULL, 0, NULL, call->arg);
    }
}

void rig_done(void)
{
    answer_all_badly();
    for (size_t i = 0; i < rig.runs_count; i++)
        free(rig.runs[i].run);
    engine_close(rig.engine);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_assert(eq(int, uv_loop_close(&rig.loop), 0), "no handle is left");
    free(rig.calls);
}

/* A job is in exactly one state, and the list of the held is in order of fetching. */
static void check_states(const struct runs *runs)
{
    size_t seen[RUN_STATE_COUNT] = { 0 }, alone = 0;
    uint64_t last_seq = 0;

    RUNS_EACH (runs, run) {
        seen[run->state]++;
        alone += run->state == RUN_RUNNING && run_is_alone(run);
        cr_assert(lt(u64, last_seq, run->seq));
        last_seq = run->seq;
    }
    for (const struct run *run = runs->free; run; run = run->next)
        seen[run->state]++;
    for (int state = 0; state < RUN_STATE_COUNT; state++)
        cr_assert(eq(sz, seen[state], runs->in_state[state]));
    cr_assert(eq(sz, alone, runs->alone_running));
}

/* Each running job has a row of its own, as far as there are rows. */
static void check_board(const struct runs *runs)
{
    size_t used = 0;

    for (size_t row = 0; row < SCOREBOARD_JOBS; row++)
        used += rig.board.jobs[row].used;
    cr_assert(eq(sz, used,
                 rig.without_board                               ? 0
                 : runs->in_state[RUN_RUNNING] < SCOREBOARD_JOBS ? runs->in_state[RUN_RUNNING]
                                                                 : used));
    if (!rig.without_board)
        cr_assert(eq(u64, shown(SCOREBOARD_RUNNING), (uint64_t)runs->in_state[RUN_RUNNING]));
}

/* What runs and is asked for never exceeds the slots, and after they became fewer it only sinks. */
static void check_ceiling(const struct engine *engine, size_t wanted)
{
    size_t load = engine->runs.in_state[RUN_RUNNING] + wanted, slots = engine->options.slots;

    cr_assert(le(sz, load, rig.ceiling));
    rig.ceiling = load > slots ? load : slots;
}

/* The calls in flight add up. */
static void check_invariants(void)
{
    const struct engine *engine = rig.engine;
    const size_t *in_state = engine->runs.in_state;
    size_t carried = 0, wanted = 0;

    check_states(&engine->runs);
    if (engine->phase != ENGINE_ENDED)
        check_board(&engine->runs);
    for (size_t i = 0; i < ENGINE_CALLS; i++) {
        carried += engine->turns.calls[i].flying ? engine->turns.calls[i].count : 0;
        wanted += engine->turns.calls[i].flying ? engine->turns.calls[i].want : 0;
    }
    cr_assert(eq(sz, carried, in_state[RUN_SETTLING]));
    cr_assert(eq(sz, wanted, engine->turns.fetching));
    check_ceiling(engine, wanted);
    cr_assert(eq(sz, in_state[RUN_RUNNING], count_running()));
    cr_assert(not(engine->fenced && engine->phase == ENGINE_SERVING));
}

void step(void)
{
    for (int i = 0; i < 10; i++) {
        engine_step(rig.engine);
        check_invariants();
        if (!rig.engine->dirty)
            return;
    }
    cr_fatal("the engine does not come to rest");
}

void pass_ms(uint64_t ms)
{
    clock_shift_for_tests((int64_t)ms);
    step();
}

void resize(size_t slots)
{
    if (slots > rig.ceiling)
        rig.ceiling = slots;
    engine_resize(rig.engine, slots);
    step();
}
