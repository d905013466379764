#include "supervisor/master/slot.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/process/process_table.h"
#include "supervisor/master/needs.h"
#include "supervisor/master/recoveries.h"
#include "supervisor/master/slot_parts.h"

#define STORM_MS 1000

#define TO(state) (1u << (state))

static const struct {
    const char *name;
    uint32_t may_become;
    enum scoreboard_state shown;
} slot_states[] = {
    [SLOT_EMPTY] = { "empty", TO(SLOT_STARTING) | TO(SLOT_BACKOFF) | TO(SLOT_STOPPED),
                     SCOREBOARD_FREE },
    [SLOT_STARTING] = { "starting",
                        TO(SLOT_SERVING) | TO(SLOT_DRAINING) | TO(SLOT_STOPPING) |
                            TO(SLOT_KILLING) | TO(SLOT_SWEEPING),
                        SCOREBOARD_STARTING },
    [SLOT_SERVING] = { "serving",
                       TO(SLOT_DRAINING) | TO(SLOT_STOPPING) | TO(SLOT_KILLING) | TO(SLOT_SWEEPING),
                       SCOREBOARD_SERVING },
    [SLOT_DRAINING] = { "draining", TO(SLOT_STOPPING) | TO(SLOT_KILLING) | TO(SLOT_SWEEPING),
                        SCOREBOARD_DRAINING },
    [SLOT_STOPPING] = { "stopping", TO(SLOT_KILLING) | TO(SLOT_SWEEPING), SCOREBOARD_STOPPING },
    [SLOT_KILLING] = { "killing", TO(SLOT_SWEEPING), SCOREBOARD_KILLING },
    [SLOT_SWEEPING] = { "sweeping",
                        TO(SLOT_EMPTY) | TO(SLOT_BACKOFF) | TO(SLOT_GIVEN_UP) | TO(SLOT_STOPPED),
                        SCOREBOARD_DEAD },
    [SLOT_BACKOFF] = { "backoff", TO(SLOT_EMPTY) | TO(SLOT_STOPPED), SCOREBOARD_FREE },
    [SLOT_GIVEN_UP] = { "given_up", TO(SLOT_EMPTY) | TO(SLOT_STOPPED), SCOREBOARD_FREE },
    [SLOT_STOPPED] = { "stopped", 0, SCOREBOARD_FREE },
};
_Static_assert(ARRAY_SIZE(slot_states) == SLOT_STATE_COUNT, "a row per state");

const char *slot_state_name(enum slot_state state)
{
    return slot_states[state].name;
}

bool slot_may_become(enum slot_state from, enum slot_state to)
{
    return slot_states[from].may_become & TO(to);
}

static void show_state(struct slot *slot)
{
    enum scoreboard_state shown = slot_states[slot->state].shown;

    if (slot->board_slot < 0)
        return;
    if (shown != SCOREBOARD_FREE) {
        scoreboard_set_state(slot->context->board, slot->board_slot, shown);
        return;
    }
    scoreboard_release(slot->context->board, slot->board_slot);
    slot->board_slot = -1;
}

void slot_set_state(struct slot *slot, enum slot_state next, const char *why)
{
    assert(slot_may_become(slot->state, next));
    log_debug("slot.changed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
              LOG_STR("from", slot_state_name(slot->state)), LOG_STR("to", slot_state_name(next)),
              LOG_STR("why", why));
    slot->state = next;
    slot->state_since_ms = clock_now_ms();
    slot->deadline_ms = 0;
    slot->channel_lost = false;
    show_state(slot);
}

/* ---- what is wanted of it */

void slot_init(struct slot *slot, struct slot_context *context, struct generation *generation,
               const char *queue, unsigned int index, unsigned int concurrency,
               const struct backoff *backoff)
{
    *slot = (struct slot){ .context = context,
                           .queue = queue,
                           .index = index,
                           .backoff = *backoff,
                           .board_slot = -1,
                           .state = SLOT_EMPTY,
                           .state_since_ms = clock_now_ms() };
    slot_set_generation(slot, generation);
    slot_set_share(slot, concurrency, concurrency);
}

void slot_done(struct slot *slot)
{
    assert(!slot->child);
    if (slot->board_slot >= 0)
        scoreboard_release(slot->context->board, slot->board_slot);
    slot->board_slot = -1;
    generation_unref(slot->generation);
    free(TAKE_PTR(slot->endpoint));
    slot->generation = NULL;
    slot->config = NULL;
}

void slot_set_generation(struct slot *slot, struct generation *generation)
{
    struct generation *old = slot->generation;

    slot->generation = generation_ref(generation);
    slot->config = config_find_queue(generation->config, slot->queue);
    assert(slot->config);
    free(slot->endpoint);
    slot->endpoint = generation_endpoint(slot->config);
    generation_unref(old);
}

void slot_set_share(struct slot *slot, unsigned int concurrency, unsigned int allowed)
{
    assert(concurrency >= 1 && allowed <= concurrency);
    slot->concurrency = concurrency;
    slot->allowed = allowed;
}

void slot_ask(struct slot *slot, enum slot_wish wish, const char *why)
{
    if (wish <= slot->wish)
        return;
    slot->wish = wish;
    slot->wish_why = why;
}

enum slot_wish slot_wish_of(const struct slot *slot)
{
    return slot->wish > slot->context->wish ? slot->wish : slot->context->wish;
}

const char *slot_wish_why(const struct slot *slot)
{
    return slot->wish > SLOT_WISH_RUN && slot->wish >= slot->context->wish ? slot->wish_why
                                                                           : "the service stops";
}

void slot_set_backoff(struct slot *slot, const struct backoff *backoff)
{
    unsigned int failures = slot->backoff.failures;

    slot->backoff = *backoff;
    slot->backoff.failures = failures;
}

bool slot_forgive(struct slot *slot)
{
    if (slot->state != SLOT_GIVEN_UP)
        return false;
    backoff_reset(&slot->backoff);
    slot_set_state(slot, SLOT_EMPTY, "tried again");
    return true;
}

unsigned int slot_running(const struct slot *slot)
{
    const struct scoreboard *board = slot->context->board;
    uint64_t running, flags;
    bool leaves = slot->state > SLOT_SERVING || slot_wish_of(slot) != SLOT_WISH_RUN;

    if (!slot->child || slot->board_slot < 0)
        return 0;
    running = scoreboard_counter(board, slot->board_slot, SCOREBOARD_RUNNING);
    flags = scoreboard_counter(board, slot->board_slot, SCOREBOARD_FLAGS);
    /* One that was never ready would keep the others waiting for the rest of its start. */
    if (leaves && slot->child->ready_ms != 0 && !(flags & SCOREBOARD_ENDS) &&
        running < slot->told_allowed)
        return slot->told_allowed;
    return running < slot->told_most ? (unsigned int)running : slot->told_most;
}

/* ---- waiting */

bool slot_is_due(const struct slot *slot)
{
    return slot->deadline_ms != 0 && clock_now_ms() >= slot->deadline_ms;
}

void slot_wait_at_most(struct slot *slot, uint64_t wait_ms)
{
    slot->deadline_ms = clock_now_ms() + wait_ms;
}

void slot_delay_restart(struct slot *slot, const char *why)
{
    uint64_t delay_ms = backoff_next_ms(&slot->backoff);

    slot_set_state(slot, SLOT_BACKOFF, why);
    slot_wait_at_most(slot, delay_ms);
    log_warn("worker.restart_delayed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_UINT("delay_ms", delay_ms), LOG_UINT("failures", slot->backoff.failures),
             LOG_STR("why", why));
}

/* ---- starting a child */

/* How long the next start has to wait so that no more than SLOT_DEATHS_KEPT fall into STORM_MS. */
static uint64_t storm_wait_ms(const struct slot *slot)
{
    uint64_t oldest_ms = slot->spawned_at_ms[slot->spawned % SLOT_DEATHS_KEPT];
    uint64_t now_ms = clock_now_ms();

    if (slot->spawned < SLOT_DEATHS_KEPT || now_ms - oldest_ms >= STORM_MS)
        return 0;
    return STORM_MS - (now_ms - oldest_ms);
}

static void on_recovered(const struct channel_recovered *recovered, void *arg)
{
    const struct slot *slot = arg;

    recoveries_note(slot->context->recoveries, recovered);
}

/* The worker's row must be there before the worker is. */
static int claim_board_slot(struct slot *slot, const char *uuid, struct error *err)
{
    struct scoreboard_master row = { .slot = slot->index,
                                     .generation = slot->generation->number,
                                     .state = SCOREBOARD_STARTING,
                                     .spawned_at_ms = clock_wall_ms() };
    int board_slot = scoreboard_claim(slot->context->board, err);

    if (board_slot < 0)
        return board_slot;
    slot->board_slot = board_slot;
    (void)snprintf(row.uuid, sizeof row.uuid, "%s", uuid);
    (void)snprintf(row.queue, sizeof row.queue, "%s", slot->queue);
    scoreboard_set_master(slot->context->board, board_slot, &row);
    return 0;
}

static void note_pid(const struct slot *slot)
{
    struct scoreboard_view view;

    if (!scoreboard_read(slot->context->board, slot->board_slot, &view))
        return;
    view.master.pid = slot->child->pid;
    scoreboard_set_master(slot->context->board, slot->board_slot, &view.master);
}

static int start_child(struct slot *slot, struct error *err)
{
    const struct slot_context *context = slot->context;
    char uuid[UUID_TEXT_BYTES];
    struct child_plan plan = {
        .program = context->worker_path,
        .queue = slot->queue,
        .uuid = uuid,
        .master = context->run_uuid,
        .slot = slot->index,
        .concurrency = slot->concurrency,
        .generation = slot->generation->number,
        .config_fd = slot->generation->config_fd,
        .board_fd = scoreboard_fd(context->board),
        .user = slot->generation->config->user,
        .keep = needs_of_workers(slot->generation->config, slot->config),
        .on_recovered = on_recovered,
        .arg = slot,
    };
    int result = uuid_v4(uuid, err);

    if (result == 0)
        result = claim_board_slot(slot, uuid, err);
    if (result < 0)
        return result;
    plan.board_slot = slot->board_slot;
    result = child_spawn(context->loop, &plan, &slot->child, err);
    if (result == 0)
        note_pid(slot);
    return result;
}

/* Tells it what has changed since it was told last. */
static void step_tune(struct slot *slot)
{
    unsigned int log_level = slot->context->log_level;
    const struct channel_frame frame = {
        .type = CHANNEL_TUNE,
        .tune = { .slots = slot->concurrency, .allowed = slot->allowed, .log_level = log_level }
    };

    if (slot->state > SLOT_SERVING || slot->child->channel_ended ||
        (slot->told_concurrency == slot->concurrency && slot->told_allowed == slot->allowed &&
         slot->told_log_level == log_level))
        return;
    if (child_tell(slot->child, &frame) < 0)
        return; /* tried again by the next step; a child that never reads is found by its channel */
    slot->told_concurrency = slot->concurrency;
    slot->told_allowed = slot->allowed;
    slot->told_log_level = log_level;
    if (slot->told_most < slot->concurrency)
        slot->told_most = slot->concurrency;
}

static void fill(struct slot *slot)
{
    struct slot_context *context = slot->context;
    struct error err = { 0 };
    uint64_t wait_ms = storm_wait_ms(slot);

    if (wait_ms > 0) {
        slot_set_state(slot, SLOT_BACKOFF, "died too often within a second");
        slot_wait_at_most(slot, wait_ms);
        return;
    }
    if (context->spawns_left == 0)
        return;
    context->spawns_left--;
    slot->kill_why = NULL;
    slot->asked_to_leave = slot->start_bounds = false;
    if (start_child(slot, &err) < 0) {
        log_error("worker.spawn_failed", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_STR("error", err.text));
        slot->outcome_known = true;
        slot_delay_restart(slot, "spawn failed");
        return;
    }
    slot->spawned_at_ms[slot->spawned++ % SLOT_DEATHS_KEPT] = clock_now_ms();
    slot->child_generation = slot->generation->number;
    slot->told_concurrency = slot->told_allowed = slot->told_most = slot->concurrency;
    /* The level in the configuration may have been changed since by a reload. */
    slot->told_log_level = (unsigned int)slot->generation->config->log_level;
    slot_set_state(slot, SLOT_STARTING, "spawned");
    slot_wait_at_most(slot, context->start_timeout_ms);
    log_info("worker.spawned", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("uuid", slot->child->uuid),
             LOG_UINT("generation", slot->generation->number),
             LOG_UINT("slots", slot->concurrency));
    step_tune(slot); /* before it fetches: it may be allowed less than it was started with */
}

static void say_ready(struct slot *slot)
{
    slot->outcome_known = true;
    slot->ever_ready = true;
    backoff_reset(&slot->backoff);
    log_info("worker.ready", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid),
             LOG_UINT("start_ms", slot->child->ready_ms - slot->child->spawned_ms));
}

/* ---- the ladder */

static void start_killing(struct slot *slot, const char *why)
{
    unsigned int count = process_kill_session(slot->child->pid, /* leader_reaped= */ false);

    if (slot->state != SLOT_KILLING) {
        slot_set_state(slot, SLOT_KILLING, why);
        slot->kill_why = why;
        slot->context->killed_count++;
    }
    child_signal(slot->child, SIGKILL); /* also when /proc could not be read */
    slot_wait_at_most(slot, slot->context->kill_again_ms);
    log_warn("worker.killed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("why", why), LOG_UINT("processes", count));
}

/* A frame that could not be sent is made up for by the deadlines of the ladder. */
static void tell(struct slot *slot, const struct channel_frame *frame)
{
    (void)child_tell(slot->child, frame);
}

static void start_stopping(struct slot *slot, const char *why)
{
    slot_set_state(slot, SLOT_STOPPING, why);
    slot->asked_to_leave = true;
    slot_wait_at_most(slot, slot->context->stop_grace_ms);
    tell(slot, &(struct channel_frame){ .type = CHANNEL_STOP });
    log_info("worker.stopping", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("why", why),
             LOG_UINT("grace_ms", slot->context->stop_grace_ms),
             LOG_UINT("running", slot_running(slot)));
}

static void bound_drain(struct slot *slot)
{
    const struct slot_context *context = slot->context;

    slot->start_bounds = false;
    slot->deadline_ms =
        context->drain_timeout_ms > 0
            ? slot->state_since_ms + context->drain_timeout_ms + context->drain_margin_ms
            : 0;
}

static void start_draining(struct slot *slot)
{
    const struct slot_context *context = slot->context;
    bool starting = slot->state == SLOT_STARTING;
    uint64_t start_deadline_ms = slot->deadline_ms;

    slot_set_state(slot, SLOT_DRAINING, slot_wish_why(slot));
    slot->asked_to_leave = true;
    bound_drain(slot);
    if (starting && (slot->deadline_ms == 0 || start_deadline_ms < slot->deadline_ms)) {
        slot->start_bounds = true; /* a drain does not lengthen the start */
        slot->deadline_ms = start_deadline_ms;
    }
    tell(slot,
         &(struct channel_frame){ .type = CHANNEL_DRAIN, .timeout_ms = context->drain_timeout_ms });
    log_info("worker.draining", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("why", slot_wish_why(slot)),
             LOG_UINT("timeout_ms", context->drain_timeout_ms),
             LOG_UINT("running", slot_running(slot)));
}

/* ---- the step */

static void step_without_child(struct slot *slot)
{
    if (slot->state == SLOT_SWEEPING)
        slot_sweep(slot);
    if (slot_wish_of(slot) != SLOT_WISH_RUN) {
        if (slot->state == SLOT_EMPTY || slot->state == SLOT_BACKOFF ||
            slot->state == SLOT_GIVEN_UP)
            slot_set_state(slot, SLOT_STOPPED, slot_wish_why(slot));
        return;
    }
    if (slot->state == SLOT_BACKOFF && slot_is_due(slot))
        slot_set_state(slot, SLOT_EMPTY, "the wait is over");
    if (slot->state == SLOT_EMPTY)
        fill(slot);
}

/* A worker leaves by itself when it hears nothing of us any more; it is given the time for that. */
static void note_lost_channel(struct slot *slot)
{
    uint64_t until_ms = clock_now_ms() + slot->context->stop_grace_ms;

    if (!slot->child->channel_ended || slot->channel_lost ||
        (slot->state != SLOT_SERVING && slot->state != SLOT_DRAINING))
        return;
    slot->channel_lost = true;
    if (slot->deadline_ms == 0 || until_ms < slot->deadline_ms)
        slot->deadline_ms = until_ms;
}

/* What the child itself did. */
static void step_child(struct slot *slot)
{
    if (slot->state == SLOT_STARTING && slot->child->ready_ms != 0) {
        slot_set_state(slot, SLOT_SERVING, "ready");
        say_ready(slot);
    }
    if (slot->state == SLOT_DRAINING && slot->start_bounds && slot->child->ready_ms != 0)
        bound_drain(slot); /* its frame had crossed ours */
    note_lost_channel(slot);
}

static void step_deadline(struct slot *slot)
{
    if (!slot_is_due(slot))
        return;
    if (slot->state == SLOT_STARTING || (slot->state == SLOT_DRAINING && slot->start_bounds))
        start_killing(slot, "not ready in time");
    else if (slot->channel_lost)
        start_killing(slot, "closed its channel and lives on");
    else if (slot->state == SLOT_DRAINING)
        start_stopping(slot, "did not drain in time");
    else if (slot->state == SLOT_STOPPING)
        start_killing(slot, "did not stop in time");
    else if (slot->state == SLOT_KILLING)
        start_killing(slot, "survives SIGKILL");
}

static void step_wish(struct slot *slot)
{
    enum slot_wish wish = slot_wish_of(slot);

    if (wish == SLOT_WISH_DRAIN && (slot->state == SLOT_STARTING || slot->state == SLOT_SERVING))
        start_draining(slot);
    else if (wish == SLOT_WISH_STOP && slot->state < SLOT_STOPPING)
        start_stopping(slot, slot_wish_why(slot));
    else if (wish == SLOT_WISH_KILL && slot->state < SLOT_KILLING)
        start_killing(slot, "kill asked");
}

void slot_step(struct slot *slot)
{
    if (slot->child && slot->child->exited) {
        child_read_rest(slot->child);
        step_child(slot); /* it may have said ready just before */
        slot_bury(slot);
    }
    if (!slot->child) {
        step_without_child(slot);
        return;
    }
    step_child(slot);
    step_deadline(slot);
    step_wish(slot);
    step_tune(slot);
}
