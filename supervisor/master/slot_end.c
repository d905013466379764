/* slot_end.c - the end of a child: how it is judged, what is left of its session, who gets its
 * jobs, what its place does next. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/process/process_table.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/recoveries.h"
#include "supervisor/master/slot_parts.h"

#define SWEEP_FIRST_MS 1  /* what a dead session holds is mostly gone within a millisecond … */
#define SWEEP_LAST_MS  20 /* … if it is not, looking costs more than it brings */

static void log_exit(const struct slot *slot, unsigned int left_over)
{
    const struct child *child = slot->child;
    const struct scoreboard *board = slot->context->board;
    bool expected = slot->asked_to_leave && child->term_signal == 0 && child->exit_status == 0;

    log_at(expected ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "worker.exited",
           LOG_STR("queue", slot->queue), LOG_UINT("slot", slot->index), LOG_INT("pid", child->pid),
           LOG_STR("uuid", child->uuid), LOG_STR("cause", slot->last_cause),
           LOG_UINT("lifetime_ms", child->exited_us / 1000 - child->spawned_ms),
           LOG_BOOL("was_ready", child->ready_ms != 0), LOG_BOOL("asked", slot->asked_to_leave),
           LOG_STR("killed_because", slot->kill_why),
           LOG_UINT("completed", scoreboard_counter(board, slot->board_slot, SCOREBOARD_COMPLETED)),
           LOG_UINT("running", scoreboard_counter(board, slot->board_slot, SCOREBOARD_RUNNING)),
           LOG_UINT("killed_left_over", left_over));
}

/* Whether a child that ended like this left jobs behind, and whether its end speaks against them: a
 * process that ended on its own, in the middle of its work, may have died of one of its jobs. */
static void note_death(struct slot *slot)
{
    const struct child *child = slot->child;
    bool clean = child->term_signal == 0 && child->exit_status == EXIT_CODE_OK;
    /* Somebody has declared it dead and gives its jobs back already. */
    bool fenced = child->term_signal == 0 && child->exit_status == EXIT_CODE_FENCED;
    char cause[PROCESS_CAUSE_BYTES];

    slot->last_exit_status = child->term_signal ? -1 : child->exit_status;
    slot->died_final = child->term_signal == 0 && exit_code_is_final(child->exit_status);
    slot->died_early = child->ready_ms == 0;
    /* One that refuses its configuration before it is ready has fetched nothing. */
    slot->died_owing = !clean && !fenced && !(slot->died_final && slot->died_early);
    slot->died_counted = slot->died_owing && !slot->asked_to_leave && !slot->kill_why;
    if (slot->died_owing)
        scoreboard_count_death(slot->context->board, slot->queue);
    slot->died_us = child->exited_us;
    slot->gone_since_ms = 0;
    (void)snprintf(slot->last_uuid, sizeof slot->last_uuid, "%s", child->uuid);
    (void)snprintf(slot->last_cause, sizeof slot->last_cause, "%s",
                   process_cause(child->exit_status, child->term_signal, cause));
}

/* The child is reaped: note how it ended, let go of it, and see that nothing of it lives on. */
void slot_bury(struct slot *slot)
{
    struct child *child = slot->child;
    unsigned int left_over = process_kill_session(child->pid, /* leader_reaped= */ true);

    note_death(slot);
    log_exit(slot, left_over);
    slot->outcome_known = true;
    slot->swept_session = child->pid;
    slot_set_state(slot, SLOT_SWEEPING, "reaped");
    slot->sweep_end_ms = clock_now_ms() + slot->context->sweep_timeout_ms;
    slot->sweep_wait_ms = SWEEP_FIRST_MS;
    if (left_over > 0)
        slot_wait_at_most(slot, slot->sweep_wait_ms);
    slot->child = NULL;
    child_close(child);
}

static void hand_over_jobs(struct slot *slot, bool seen_dead)
{
    char end[CHANNEL_CAUSE_BYTES];

    if (!slot->died_owing)
        return;
    slot->died_owing = false;
    (void)snprintf(end, sizeof end, "worker %s/%u: %.48s", slot->queue, slot->index,
                   slot->last_cause);
    recoveries_add(slot->context->recoveries, &(struct recovery_case){
                                                  .uuid = slot->last_uuid,
                                                  .queue = slot->queue,
                                                  .endpoint = slot->endpoint ? slot->endpoint : "",
                                                  .end = end,
                                                  .cause = slot->died_counted ? end : "",
                                                  .max_givebacks = slot->config->max_givebacks,
                                                  .fence_only = !seen_dead,
                                                  .died_us = slot->died_us,
                                              });
}

static void decide_what_comes_next(struct slot *slot)
{
    if (slot_wish_of(slot) != SLOT_WISH_RUN) {
        slot_set_state(slot, SLOT_STOPPED, slot_wish_why(slot));
    } else if (slot->died_final) {
        slot_set_state(slot, SLOT_GIVEN_UP, "final exit code");
        log_error("worker.never_restarted", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_INT("exit_code", slot->last_exit_status),
                  LOG_STR("exit_name", exit_code_name(slot->last_exit_status)),
                  LOG_STR("hint", "the worker's own last line says what is wrong; correct it and "
                                  "reload or restart the service"));
    } else if (slot->died_early) {
        slot_delay_restart(slot, "died before it was ready");
    } else {
        slot_set_state(slot, SLOT_EMPTY, "restart at once");
    }
}

static void end_sweep(struct slot *slot, bool seen_dead)
{
    hand_over_jobs(slot, seen_dead);
    decide_what_comes_next(slot);
}

void slot_sweep(struct slot *slot)
{
    unsigned int living = 0;

    if (slot->deadline_ms != 0 && !slot_is_due(slot))
        return;
    if (slot->deadline_ms != 0) /* 0: nothing was left */
        living = process_kill_session(slot->swept_session, /* leader_reaped= */ true);
    if (living > 0 && clock_now_ms() < slot->sweep_end_ms) {
        slot->sweep_wait_ms *= 2;
        slot_wait_at_most(slot, slot->sweep_wait_ms < SWEEP_LAST_MS ? slot->sweep_wait_ms
                                                                    : SWEEP_LAST_MS);
        return;
    }
    if (living > 0)
        log_error("worker.left_over_alive", LOG_STR("queue", slot->queue),
                  LOG_UINT("slot", slot->index), LOG_INT("session", slot->swept_session),
                  LOG_UINT("processes", living),
                  LOG_STR("hint", "its jobs come back when their locks expire"));
    end_sweep(slot, living == 0);
}
