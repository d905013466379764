#include "supervisor/master/watchdog.h"

#include <stdio.h>

#include "common/base/attr.h"

/* What each state must have (slot.h says what it waits for). */
static const struct {
    bool child;    /* a process is there */
    bool deadline; /* the wait has an end */
    bool brief;    /* without a deadline it is over within a step or a few */
} needs[] = {
    [SLOT_EMPTY] = { .brief = true },
    [SLOT_STARTING] = { .child = true, .deadline = true },
    [SLOT_SERVING] = { .child = true },
    [SLOT_DRAINING] = { .child = true },
    [SLOT_STOPPING] = { .child = true, .deadline = true },
    [SLOT_KILLING] = { .child = true, .deadline = true },
    [SLOT_SWEEPING] = { .brief = true },
    [SLOT_BACKOFF] = { .deadline = true },
    [SLOT_GIVEN_UP] = { 0 },
    [SLOT_STOPPED] = { 0 },
};
_Static_assert(ARRAY_SIZE(needs) == SLOT_STATE_COUNT, "a row per state");

static bool is_overdue(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms && now_ms - since_ms > WATCHDOG_MARGIN_MS;
}

/* Places are filled a few at a time: while that goes on, an empty one waits for its turn. */
static bool is_waiting_for_its_turn(const struct watchdog_row *row,
                                    const struct watchdog_view *view)
{
    return row->state == SLOT_EMPTY && view->last_spawn_ms > 0 &&
           !is_overdue(view->last_spawn_ms, view->now_ms);
}

/* NULL, or what is wrong. */
static const char *find_fault(const struct watchdog_row *row, const struct watchdog_view *view)
{
    uint64_t now_ms = view->now_ms;

    if (needs[row->state].child != row->has_child)
        return row->has_child ? "a process is there that its state does not know"
                              : "its process is not known any more";
    if (row->has_child && row->exited_ms > 0 && is_overdue(row->exited_ms, now_ms))
        return "the end of its process is not dealt with";
    if (row->has_child && row->exited_ms == 0 && row->gone_since_ms > 0 &&
        is_overdue(row->gone_since_ms, now_ms))
        return "the end of its process was not noticed";
    if (row->deadline_ms > 0 && is_overdue(row->deadline_ms, now_ms))
        return "the deadline of its state was passed over";
    if (row->deadline_ms == 0 && is_overdue(row->state_since_ms, now_ms) &&
        (needs[row->state].deadline ||
         (needs[row->state].brief && !is_waiting_for_its_turn(row, view))))
        return "its state does not end";
    return NULL;
}

bool watchdog_is_stuck(const struct watchdog_view *view, char out_why[WATCHDOG_WHY_BYTES])
{
    for (size_t i = 0; i < view->count; i++) {
        const struct watchdog_row *row = &view->rows[i];
        const char *fault = find_fault(row, view);

        if (!fault)
            continue;
        (void)snprintf(out_why, WATCHDOG_WHY_BYTES, "worker %s/%u, %s for %llu ms: %s", row->queue,
                       row->index, slot_state_name(row->state),
                       (unsigned long long)(view->now_ms - row->state_since_ms), fault);
        return true;
    }
    if (view->orphan > 0 && is_overdue(view->orphan_since_ms, view->now_ms)) {
        (void)snprintf(out_why, WATCHDOG_WHY_BYTES, "child %d has ended and is not reaped",
                       (int)view->orphan);
        return true;
    }
    return false;
}
