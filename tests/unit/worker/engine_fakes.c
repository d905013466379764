/* The fakes behind engine_rig.h: a handler, a scoreboard and a queue that record what they are
 * told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/engine_rig.h"

/* ---- fake handler */

struct handler {
    int unused;
};

struct handler_run {
    size_t index;
};

static int fake_start(struct handler *handler, const struct handler_input *input,
                      const struct handler_events *events, void *arg, struct handler_run **out_run,
                      struct error *err)
{
    struct fake_run *fake = &rig.runs[rig.runs_count];
    struct handler_run *run;

    (void)handler;
    if (rig.refuse_start)
        return error_set(err, -11, "no start today");
    cr_assert(lt(sz, rig.runs_count, ARRAY_SIZE(rig.runs)));
    run = malloc(sizeof(*run));
    run->index = rig.runs_count++;
    *fake = (struct fake_run){ .run = run, .events = events, .arg = arg, .input = input };
    (void)snprintf(fake->id, sizeof(fake->id), "%s", input->job->id.data);
    *out_run = run;
    return 0;
}

static void fake_cancel(struct handler_run *run, enum handler_cancel how,
                        enum handler_cancel_why why, uint64_t grace_ms)
{
    struct fake_run *fake = &rig.runs[run->index];

    cr_assert(not(fake->ended), "a run that ended is not cancelled");
    fake->why = why;
    fake->grace_ms = grace_ms;
    if (how == HANDLER_CANCEL_HARD)
        fake->hard++;
    else
        fake->soft++;
}

static void fake_resize(struct handler *handler, size_t slots)
{
    (void)handler;
    rig.resized_to = slots;
    rig.resizes++;
}

static void fake_drain(struct handler *handler, uint64_t timeout_ms)
{
    (void)handler;
    rig.drain_told_ms = timeout_ms;
    rig.drains++;
}

const struct handler_kind fake_handler_kind = {
    .name = "fake",
    .resize = fake_resize,
    .drain = fake_drain,
    .start = fake_start,
    .cancel = fake_cancel,
};

static void end_fake(struct fake_run *fake, const struct handler_outcome *outcome)
{
    fake->ended = true;
    fake->events->on_outcome(fake->run, outcome, fake->arg);
    free(fake->run);
    fake->run = NULL;
}

struct fake_run *running(unsigned int id)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%u", id);
    for (size_t i = 0; i < rig.runs_count; i++) {
        if (!rig.runs[i].ended && strcmp(rig.runs[i].id, text) == 0)
            return &rig.runs[i];
    }
    cr_fatal("job %u is not running", id);
    return NULL;
}

size_t count_running(void)
{
    size_t count = 0;

    for (size_t i = 0; i < rig.runs_count; i++)
        count += !rig.runs[i].ended;
    return count;
}

void end_run_with(unsigned int id, enum handler_outcome_kind kind, const char *reason,
                  int64_t retry_after_ms)
{
    struct handler_outcome outcome = { .kind = kind,
                                       .reason = { reason, strlen(reason) },
                                       .retry_after_ms = retry_after_ms };

    end_fake(running(id), &outcome);
}

void end_run_at(unsigned int id, enum handler_outcome_kind kind, uint64_t retry_at_ms)
{
    struct handler_outcome outcome = { .kind = kind,
                                       .retry_after_ms = -1,
                                       .retry_at_ms = retry_at_ms };

    end_fake(running(id), &outcome);
}

void end_run(unsigned int id, enum handler_outcome_kind kind)
{
    end_run_with(id, kind, "", -1);
}

void complete(unsigned int id)
{
    struct handler_outcome outcome = { .kind = HANDLER_COMPLETED,
                                       .value = { "null", 4 },
                                       .retry_after_ms = -1 };

    end_fake(running(id), &outcome);
}

void complete_all(void)
{
    for (size_t i = 0; i < rig.runs_count; i++) {
        if (!rig.runs[i].ended)
            complete((unsigned int)strtoul(rig.runs[i].id, NULL, 10));
    }
}

void fail_run(unsigned int id, const char *reason)
{
    end_run_with(id, HANDLER_FAILED, reason, -1);
}

/* ---- fake scoreboard: the slot is the rig */

void scoreboard_set(struct scoreboard_slot *slot, enum scoreboard_counter counter, uint64_t value)
{
    if (slot)
        rig.board.counters[counter] = value;
}

void scoreboard_count_time(struct scoreboard_slot *slot, enum scoreboard_histogram histogram,
                           uint64_t us)
{
    if (!slot)
        return;
    rig.board.counted[histogram]++;
    rig.board.last_us[histogram] = us;
}

int scoreboard_job_begin(struct scoreboard_slot *slot, const char *id, size_t id_len,
                         const char *type, size_t type_len, uint64_t attempt)
{
    for (int row = 0; slot && row < SCOREBOARD_JOBS; row++) {
        if (rig.board.jobs[row].used)
            continue;
        rig.board.jobs[row].used = true;
        rig.board.jobs[row].attempt = attempt;
        rig.board.jobs[row].pid = 0;
        (void)snprintf(rig.board.jobs[row].id, 32, "%.*s", (int)id_len, id);
        (void)snprintf(rig.board.jobs[row].type, 32, "%.*s", (int)type_len, type);
        return row;
    }
    return -1;
}

void scoreboard_job_set_pid(struct scoreboard_slot *slot, int row, int32_t pid)
{
    if (slot && row >= 0)
        rig.board.jobs[row].pid = pid;
}

void scoreboard_job_end(struct scoreboard_slot *slot, int row)
{
    if (!slot || row < 0)
        return;
    cr_assert(rig.board.jobs[row].used, "a row is given back once");
    rig.board.jobs[row].used = false;
}

uint64_t shown(enum scoreboard_counter counter)
{
    return rig.board.counters[counter];
}

bool is_shown(enum scoreboard_flag flag)
{
    return (shown(SCOREBOARD_FLAGS) & (uint64_t)flag) != 0;
}

/* ---- fake queue */

static struct fake_call *record(enum fake_kind kind, void *on_done, void *arg)
{
    struct fake_call *call = &rig.calls[rig.calls_count];

    cr_assert(lt(sz, rig.calls_count, FAKE_CALLS_MAX));
    rig.calls_count++;
    *call = (struct fake_call){ .kind = kind, .on_done = on_done, .arg = arg };
    return call;
}

#define REFUSE_WHEN_TOLD(err)                                 \
    do {                                                      \
        if (rig.send_result < 0)                              \
            return error_set((err), rig.send_result, "told"); \
    } while (0)

static void copy_bytes(char *out, size_t out_bytes, const struct bytes *bytes)
{
    (void)snprintf(out, out_bytes, "%.*s", (int)bytes->len, bytes->data ? bytes->data : "");
}

int queue_turn(struct queue *queue, struct fetcher *fetcher, const struct settle *settles,
               size_t count, const struct fetch_want *want, queue_turn_cb *on_done, void *arg,
               struct error *err)
{
    struct fake_call *call;

    (void)queue;
    REFUSE_WHEN_TOLD(err);
    cr_assert(le(sz, count, QUEUE_TURN_MAX));
    cr_assert(le(sz, want->max, QUEUE_TURN_MAX));
    cr_assert(not(count == 0 && want->max == 0), "a call must carry something");
    if (want->alone) {
        cr_assert(eq(sz, want->max, 1));
        cr_assert(eq(sz, count + runs_held(&rig.engine->runs), 0), "it holds nothing");
    }
    if (want->max > 0)
        cr_assert(eq(sz, rig.engine->runs.alone_running, 0), "nothing beside a lonely job");
    call = record(FAKE_TURN, (void *)on_done, arg);
    call->count = count;
    call->want = want->max;
    call->alone = want->alone;
    call->live = want->live;
    call->limiter = fetcher->limiter;
    call->metrics_points = fetcher->metrics_points;
    call->n = ++fetcher->calls; /* as queue_turn does */
    for (size_t i = 0; i < count; i++) {
        struct fake_settle *settle = &call->settles[i];

        settle->kind = settles[i].kind;
        settle->delay_ms = settles[i].delay_ms;
        settle->due_at_ms = settles[i].due_at_ms;
        settle->attempts_max = settles[i].attempts_max;
        settle->keep = settles[i].keep;
        copy_bytes(settle->id, sizeof(settle->id), &settles[i].job->id);
        copy_bytes(settle->value, sizeof(settle->value), &settles[i].value);
        copy_bytes(settle->stacktrace, sizeof(settle->stacktrace), &settles[i].stacktrace);
    }
    return 0;
}

int queue_renew(struct queue *queue, const struct fetcher *fetcher, const struct job *const *jobs,
                size_t count, queue_renew_cb *on_done, void *arg, struct error *err)
{
    struct fake_call *call;

    (void)queue;
    REFUSE_WHEN_TOLD(err);
    cr_assert(le(sz, count, QUEUE_RENEW_MAX));
    call = record(FAKE_RENEW, (void *)on_done, arg);
    call->count = count;
    if (fetcher->identity)
        call->identity = *fetcher->identity;
    for (size_t i = 0; i < count && i < FAKE_JOBS_MAX; i++)
        copy_bytes(call->ids[i], sizeof(call->ids[i]), &jobs[i]->id);
    return 0;
}

int queue_outcome(struct queue *queue, const struct fetcher *fetcher,
                  const struct job *const *settled, const uint64_t *settle_calls, size_t count,
                  queue_outcome_cb *on_done, void *arg, struct error *err)
{
    struct fake_call *call;

    (void)queue;
    (void)fetcher;
    REFUSE_WHEN_TOLD(err);
    call = record(FAKE_OUTCOME, (void *)on_done, arg);
    call->count = count;
    for (size_t i = 0; i < count; i++) {
        copy_bytes(call->ids[i], sizeof(call->ids[i]), &settled[i]->id);
        call->calls[i] = settle_calls[i];
    }
    return 0;
}

int queue_adopt(struct queue *queue, struct fetcher *fetcher, const struct job *const *known,
                size_t known_count, size_t want, queue_adopt_cb *on_done, void *arg,
                struct error *err)
{
    struct fake_call *call;

    (void)queue;
    (void)fetcher;
    REFUSE_WHEN_TOLD(err);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "no turn is under way");
    cr_assert(eq(sz, known_count, runs_held(&rig.engine->runs)), "all that is held is known");
    cr_assert(le(sz, want, QUEUE_ADOPT_MAX));
    call = record(FAKE_ADOPT, (void *)on_done, arg);
    call->count = known_count;
    call->want = want;
    for (size_t i = 0; i < known_count; i++)
        copy_bytes(call->ids[i], sizeof(call->ids[i]), &known[i]->id);
    return 0;
}

int queue_leave(struct queue *queue, const struct fetcher *fetcher, queue_done_cb *on_done,
                void *arg, struct error *err)
{
    (void)queue;
    (void)fetcher;
    REFUSE_WHEN_TOLD(err);
    (void)record(FAKE_LEAVE, (void *)on_done, arg);
    return 0;
}

int queue_apply_concurrency(struct queue *queue, uint64_t concurrency, queue_done_cb *on_done,
                            void *arg, struct error *err)
{
    (void)queue;
    REFUSE_WHEN_TOLD(err);
    record(FAKE_CONCURRENCY, (void *)on_done, arg)->concurrency = concurrency;
    return 0;
}

int queue_check_stalled(struct queue *queue, uint64_t interval_ms, uint64_t max_stalled,
                        queue_done_cb *on_done, void *arg, struct error *err)
{
    (void)queue;
    (void)max_stalled;
    REFUSE_WHEN_TOLD(err);
    record(FAKE_STALLED, (void *)on_done, arg)->timeout_ms = interval_ms;
    return 0;
}

int queue_wait_marker(struct queue *queue, struct redis *blocking, uint64_t timeout_ms,
                      queue_wait_cb *on_done, void *arg, struct error *err)
{
    (void)queue;
    (void)blocking;
    REFUSE_WHEN_TOLD(err);
    record(FAKE_WAIT, (void *)on_done, arg)->timeout_ms = timeout_ms;
    return 0;
}

int queue_return_marker(struct queue *queue, queue_done_cb *on_done, void *arg, struct error *err)
{
    (void)queue;
    REFUSE_WHEN_TOLD(err);
    (void)record(FAKE_RETURN, (void *)on_done, arg);
    return 0;
}

int queue_update_progress(struct queue *queue, const char *id, const char *json, size_t json_len,
                          queue_done_cb *on_done, void *arg, struct error *err)
{
    (void)queue, (void)id, (void)json, (void)json_len, (void)on_done, (void)arg, (void)err;
    return 0;
}

int queue_add_log(struct queue *queue, const char *id, const char *row, size_t row_len,
                  int64_t keep, queue_done_cb *on_done, void *arg, struct error *err)
{
    (void)queue, (void)id, (void)row, (void)row_len, (void)keep, (void)on_done, (void)arg,
        (void)err;
    return 0;
}

size_t count_calls(enum fake_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < rig.calls_count; i++)
        count += rig.calls[i].kind == kind;
    return count;
}

size_t open_calls(enum fake_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < rig.calls_count; i++)
        count += rig.calls[i].kind == kind && !rig.calls[i].answered;
    return count;
}

struct fake_call *open_call(enum fake_kind kind)
{
    for (size_t i = 0; i < rig.calls_count; i++) {
        if (rig.calls[i].kind == kind && !rig.calls[i].answered)
            return &rig.calls[i];
    }
    cr_fatal("no open call of kind %d", (int)kind);
    return NULL;
}
