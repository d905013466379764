#include "supervisor/master/slot.h"

#include <assert.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/process/process_table.h"

#define TO(state) (1u << (state))

static const struct {
    const char *name;
    uint32_t may_become;
} slot_states[] = {
    [SLOT_EMPTY] = { "empty", TO(SLOT_STARTING) | TO(SLOT_BACKOFF) | TO(SLOT_STOPPED) },
    [SLOT_STARTING] = { "starting", TO(SLOT_SERVING) | TO(SLOT_DRAINING) | TO(SLOT_STOPPING) |
                                        TO(SLOT_KILLING) | TO(SLOT_SWEEPING) },
    [SLOT_SERVING] = { "serving", TO(SLOT_DRAINING) | TO(SLOT_STOPPING) | TO(SLOT_KILLING) |
                                      TO(SLOT_SWEEPING) },
    [SLOT_DRAINING] = { "draining", TO(SLOT_STOPPING) | TO(SLOT_KILLING) | TO(SLOT_SWEEPING) },
    [SLOT_STOPPING] = { "stopping", TO(SLOT_KILLING) | TO(SLOT_SWEEPING) },
    [SLOT_KILLING] = { "killing", TO(SLOT_SWEEPING) },
    [SLOT_SWEEPING] = { "sweeping",
                        TO(SLOT_EMPTY) | TO(SLOT_BACKOFF) | TO(SLOT_GIVEN_UP) | TO(SLOT_STOPPED) },
    [SLOT_BACKOFF] = { "backoff", TO(SLOT_EMPTY) | TO(SLOT_STOPPED) },
    [SLOT_GIVEN_UP] = { "given_up", TO(SLOT_STOPPED) },
    [SLOT_STOPPED] = { "stopped", 0 },
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

void slot_set_state(struct slot *slot, enum slot_state next, const char *why)
{
    assert(slot_may_become(slot->state, next));
    log_debug("slot.changed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
              LOG_STR("from", slot_state_name(slot->state)), LOG_STR("to", slot_state_name(next)),
              LOG_STR("why", why));
    slot->state = next;
    slot->state_since_ms = clock_now_ms();
    slot->deadline_ms = 0;
}

void slot_init(struct slot *slot, struct slot_context *context, const char *queue,
               unsigned int index, unsigned int concurrency, const struct backoff *backoff)
{
    assert(concurrency >= 1);
    *slot = (struct slot){ .context = context,
                           .queue = queue,
                           .index = index,
                           .concurrency = concurrency,
                           .backoff = *backoff,
                           .state = SLOT_EMPTY,
                           .state_since_ms = clock_now_ms() };
}

static bool is_due(const struct slot *slot)
{
    return slot->deadline_ms != 0 && clock_now_ms() >= slot->deadline_ms;
}

static void wait_at_most(struct slot *slot, uint64_t wait_ms)
{
    slot->deadline_ms = clock_now_ms() + wait_ms;
}

static void delay_restart(struct slot *slot, const char *why)
{
    uint64_t delay_ms = backoff_next_ms(&slot->backoff);

    slot_set_state(slot, SLOT_BACKOFF, why);
    wait_at_most(slot, delay_ms);
    log_warn("worker.restart_delayed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_UINT("delay_ms", delay_ms), LOG_UINT("failures", slot->backoff.failures),
             LOG_STR("why", why));
}

static void fill(struct slot *slot)
{
    struct slot_context *context = slot->context;
    const struct child_plan plan = {
        .program = context->worker_path,
        .queue = slot->queue,
        .slot = slot->index,
        .concurrency = slot->concurrency,
        .generation = context->generation,
        .config_fd = context->config_fd,
    };
    struct error err = { 0 };

    if (context->spawns_left == 0)
        return;
    context->spawns_left--;
    slot->kill_why = NULL;
    slot->asked_to_leave = false;
    if (child_spawn(context->loop, &plan, &slot->child, &err) < 0) {
        log_error("worker.spawn_failed", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_STR("error", err.text));
        slot->outcome_known = true;
        delay_restart(slot, "spawn failed");
        return;
    }
    slot->spawned++;
    slot_set_state(slot, SLOT_STARTING, "spawned");
    wait_at_most(slot, context->start_timeout_ms);
    log_info("worker.spawned", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("uuid", slot->child->uuid),
             LOG_UINT("generation", context->generation), LOG_UINT("slots", slot->concurrency));
}

static void say_ready(struct slot *slot)
{
    slot->outcome_known = true;
    log_info("worker.ready", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid),
             LOG_UINT("start_ms", slot->child->ready_ms - slot->child->spawned_ms));
}

static void start_killing(struct slot *slot, const char *why)
{
    unsigned int count = process_kill_session(slot->child->pid, /* leader_reaped= */ false);

    if (slot->state != SLOT_KILLING) {
        slot_set_state(slot, SLOT_KILLING, why);
        slot->kill_why = why;
        slot->context->killed_count++;
    }
    /* The leader first of all: also when /proc could not be read. It is not reaped, so it is ours.
     */
    (void)uv_process_kill(&slot->child->process, SIGKILL); /* ESRCH: died meanwhile */
    wait_at_most(slot, slot->context->kill_again_ms);
    log_warn("worker.killed", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("why", why), LOG_UINT("processes", count));
}

static void start_stopping(struct slot *slot, const char *why)
{
    slot_set_state(slot, SLOT_STOPPING, why);
    slot->asked_to_leave = true;
    wait_at_most(slot, slot->context->stop_grace_ms);
    child_tell(slot->child, &(struct channel_frame){ .type = CHANNEL_STOP });
    log_info("worker.stopping", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_STR("why", why),
             LOG_UINT("grace_ms", slot->context->stop_grace_ms));
}

static void start_draining(struct slot *slot)
{
    const struct slot_context *context = slot->context;
    bool starting = slot->state == SLOT_STARTING;
    uint64_t start_deadline_ms = slot->deadline_ms;

    slot_set_state(slot, SLOT_DRAINING, "drain asked");
    slot->asked_to_leave = true;
    if (context->drain_timeout_ms > 0)
        wait_at_most(slot, context->drain_timeout_ms + context->drain_margin_ms);
    if (starting && (slot->deadline_ms == 0 || start_deadline_ms < slot->deadline_ms))
        slot->deadline_ms = start_deadline_ms;
    child_tell(slot->child, &(struct channel_frame){ .type = CHANNEL_DRAIN,
                                                     .timeout_ms = context->drain_timeout_ms });
    log_info("worker.draining", LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index),
             LOG_INT("pid", slot->child->pid), LOG_UINT("timeout_ms", context->drain_timeout_ms));
}

static void log_exit(const struct slot *slot, unsigned int left_over)
{
    const struct child *child = slot->child;
    bool expected = slot->asked_to_leave && child->term_signal == 0 && child->exit_status == 0;
    char cause[PROCESS_CAUSE_BYTES];

    log_at(expected ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "worker.exited",
           LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index), LOG_INT("pid", child->pid),
           LOG_STR("uuid", child->uuid),
           LOG_STR("cause", process_cause(child->exit_status, child->term_signal, cause)),
           LOG_UINT("lifetime_ms", child->exited_ms - child->spawned_ms),
           LOG_BOOL("was_ready", child->ready_ms != 0), LOG_BOOL("asked", slot->asked_to_leave),
           LOG_STR("killed_because", slot->kill_why), LOG_UINT("killed_left_over", left_over));
}

/* The child is reaped: note how it ended, let go of it, and see that nothing of it lives on. */
static void bury(struct slot *slot)
{
    struct child *child = slot->child;
    unsigned int left_over = process_kill_session(child->pid, /* leader_reaped= */ true);

    log_exit(slot, left_over);
    slot->outcome_known = true;
    slot->last_exit_status = child->term_signal ? -1 : child->exit_status;
    slot->died_final = child->term_signal == 0 && exit_code_is_final(child->exit_status);
    slot->died_early =
        child->ready_ms == 0 || child->exited_ms - child->ready_ms < slot->context->settled_ms;
    slot->swept_session = child->pid;
    slot_set_state(slot, SLOT_SWEEPING, "reaped");
    slot->sweep_end_ms = clock_now_ms() + slot->context->sweep_timeout_ms;
    if (left_over > 0)
        wait_at_most(slot, slot->context->sweep_again_ms);
    slot->child = NULL;
    child_close(child);
}

static void decide_what_comes_next(struct slot *slot)
{
    if (slot->context->wish != SLOT_WISH_RUN) {
        slot_set_state(slot, SLOT_STOPPED, "the service stops");
    } else if (slot->died_final) {
        slot_set_state(slot, SLOT_GIVEN_UP, "final exit code");
        log_error("worker.never_restarted", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_INT("exit_code", slot->last_exit_status),
                  LOG_STR("exit_name", exit_code_name(slot->last_exit_status)),
                  LOG_STR("hint", "the worker's own last line says what is wrong; correct it and "
                                  "restart the service"));
    } else if (slot->died_early) {
        delay_restart(slot, "died before it had settled");
    } else {
        backoff_reset(&slot->backoff);
        slot_set_state(slot, SLOT_EMPTY, "restart at once");
    }
}

static void sweep(struct slot *slot)
{
    unsigned int living = process_kill_session(slot->swept_session, /* leader_reaped= */ true);

    if (living > 0 && clock_now_ms() < slot->sweep_end_ms) {
        wait_at_most(slot, slot->context->sweep_again_ms);
        return;
    }
    if (living > 0)
        log_error("worker.left_over_alive", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_INT("session", slot->swept_session),
                  LOG_UINT("processes", living),
                  LOG_STR("hint", "its jobs come back when their locks expire"));
    decide_what_comes_next(slot);
}

static void step_without_child(struct slot *slot)
{
    if (slot->state == SLOT_SWEEPING && slot->deadline_ms == 0)
        decide_what_comes_next(slot); /* nothing was left */
    else if (slot->state == SLOT_SWEEPING && is_due(slot))
        sweep(slot);
    if (slot->context->wish != SLOT_WISH_RUN) {
        if (slot->state == SLOT_EMPTY || slot->state == SLOT_BACKOFF ||
            slot->state == SLOT_GIVEN_UP)
            slot_set_state(slot, SLOT_STOPPED, "the service stops");
        return;
    }
    if (slot->state == SLOT_BACKOFF && is_due(slot))
        slot_set_state(slot, SLOT_EMPTY, "back-off is over");
    if (slot->state == SLOT_EMPTY)
        fill(slot);
}

/* What the child itself did. */
static void step_child(struct slot *slot)
{
    if (slot->state == SLOT_STARTING && slot->child->ready_ms != 0) {
        slot_set_state(slot, SLOT_SERVING, "ready");
        say_ready(slot);
    }
    if (slot->state == SLOT_SERVING && slot->child->channel_ended && slot->deadline_ms == 0)
        wait_at_most(slot, slot->context->stop_grace_ms);
}

static void step_deadline(struct slot *slot)
{
    if (!is_due(slot))
        return;
    if (slot->state == SLOT_STARTING ||
        (slot->state == SLOT_DRAINING && slot->child->ready_ms == 0 &&
         clock_now_ms() - slot->child->spawned_ms >= slot->context->start_timeout_ms))
        start_killing(slot, "not ready in time");
    else if (slot->state == SLOT_SERVING)
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
    enum slot_wish wish = slot->context->wish;

    if (wish == SLOT_WISH_DRAIN && (slot->state == SLOT_STARTING || slot->state == SLOT_SERVING))
        start_draining(slot);
    else if (wish == SLOT_WISH_STOP && slot->state < SLOT_STOPPING)
        start_stopping(slot, "stop asked");
    else if (wish == SLOT_WISH_KILL && slot->state < SLOT_KILLING)
        start_killing(slot, "kill asked");
}

void slot_step(struct slot *slot)
{
    if (slot->child && slot->child->exited) {
        child_read_rest(slot->child);
        step_child(slot); /* it may have said ready just before */
        bury(slot);
    }
    if (!slot->child) {
        step_without_child(slot);
        return;
    }
    step_child(slot);
    step_deadline(slot);
    step_wish(slot);
}
