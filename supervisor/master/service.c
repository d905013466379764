/* service.c - what systemd hears of the service: when it is ready, a status line, that it needs
 * more time, and that it makes progress. Nothing of it changes what the service does. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/notify.h"
#include "supervisor/master/status_line.h"
#include "supervisor/master/supervisor_state.h"
#include "supervisor/master/watchdog.h"

#define LOOK_EVERY_MS   1000  /* at the status line */
#define EXTEND_EVERY_MS 1000  /* how often more time is asked for … */
#define EXTEND_BY_MS    10000 /* … and how much, from then on, within what there is reason for */

/* ---- the status line */

/* How long the drain may still take, as the workers were told. */
static uint64_t stop_left_ms(const struct supervisor *supervisor)
{
    uint64_t drain_ms = supervisor->context.drain_timeout_ms;
    uint64_t since_ms = clock_now_ms() - supervisor->service.ending_since_ms;

    if (drain_ms == 0)
        return UINT64_MAX;
    return since_ms < drain_ms ? drain_ms - since_ms : 0;
}

static void write_line(const struct supervisor *supervisor, char out[NOTIFY_STATUS_BYTES])
{
    status_line_write(supervisor, stop_left_ms(supervisor), out, NOTIFY_STATUS_BYTES);
}

/* Changes when the line says something else of phases and faults, which is told at once. */
static uint64_t summary(const struct supervisor *supervisor)
{
    const size_t parts[] = {
        supervisor->phase,
        supervisor->reload.phase,
        supervisor->service.told_ready,
        supervisor->generation->number,
        supervisor->pools_count,
        supervisor->recoveries.count,
        supervisor->kept.count,
        supervisor_count_in(supervisor, SLOT_GIVEN_UP),
        supervisor_count_in(supervisor, SLOT_SERVING),
    };
    uint64_t sum = 1;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        sum = sum * 1000003 + parts[i];
    return sum;
}

static void step_status(struct supervisor *supervisor)
{
    struct service *service = &supervisor->service;
    uint64_t now_ms = clock_now_ms(), shown = summary(supervisor);
    char line[NOTIFY_STATUS_BYTES];

    if (now_ms < service->look_ms && shown == service->shown)
        return;
    if (now_ms >= service->look_ms) {
        service->look_ms = now_ms + LOOK_EVERY_MS;
        scoreboard_beat(supervisor->board);
    }
    service->shown = shown;
    write_line(supervisor, line);
    notify_status(line);
}

/* ---- ready */

static bool is_undecided(const struct slot *slot, const void *arg)
{
    (void)arg;
    return !slot->outcome_known;
}

void service_tell_ready(struct supervisor *supervisor)
{
    char line[NOTIFY_STATUS_BYTES];

    if (supervisor->phase != PHASE_RUNNING)
        return;
    write_line(supervisor, line);
    notify_ready(line);
}

static void step_ready(struct supervisor *supervisor)
{
    if (supervisor->service.told_ready || supervisor->phase != PHASE_RUNNING ||
        supervisor_find_slot(supervisor, is_undecided, NULL))
        return;
    supervisor->service.told_ready = true;
    service_tell_ready(supervisor);
    log_info("droverd.ready", LOG_UINT("workers", supervisor_count_slots(supervisor)),
             LOG_UINT("serving", supervisor_count_in(supervisor, SLOT_SERVING)));
}

/* ---- more time */

/* The start of this one goes on, within what it may take (slot.h): its turn has not come, or it is
 * being started, or being killed because it took too long. */
static bool is_starting(const struct slot *slot, const void *arg)
{
    const struct slot_context *context = slot->context;
    uint64_t may_take_ms =
        context->start_timeout_ms + context->kill_again_ms + context->sweep_timeout_ms;

    (void)arg;
    if (slot->outcome_known)
        return false;
    return !slot->child || clock_now_ms() - slot->child->spawned_ms < may_take_ms;
}

/* For how much longer there is a reason to wait for us; 0: none. */
static uint64_t reason_ms(const struct supervisor *supervisor)
{
    uint64_t budget_ms, since_ms;

    if (supervisor->phase == PHASE_RUNNING) {
        /* The pools bound both. Reading the file is bounded by nobody but systemd. */
        bool busy = supervisor->service.told_ready
                        ? supervisor->reload.phase == RELOAD_APPLYING
                        : supervisor_find_slot(supervisor, is_starting, NULL) != NULL;

        return busy ? EXTEND_BY_MS : 0;
    }
    budget_ms = config_stop_budget_ms(supervisor->context.drain_timeout_ms);
    since_ms = clock_now_ms() - supervisor->service.ending_since_ms;
    return since_ms < budget_ms ? budget_ms - since_ms : 0;
}

static void step_extend(struct supervisor *supervisor)
{
    struct service *service = &supervisor->service;
    uint64_t more_ms = reason_ms(supervisor);

    if (more_ms == 0) {
        service->extend_ms = 0;
        return;
    }
    if (clock_now_ms() < service->extend_ms)
        return;
    service->extend_ms = clock_now_ms() + EXTEND_EVERY_MS;
    notify_extend(more_ms < EXTEND_BY_MS ? more_ms : EXTEND_BY_MS);
}

void service_note_end(struct supervisor *supervisor)
{
    supervisor->service.ending_since_ms = clock_now_ms();
    supervisor->service.extend_ms = 0;
    notify_stopping();
}

/* ---- the watchdog */

static void on_watchdog(uv_timer_t *timer)
{
    struct supervisor *supervisor = timer->data;

    supervisor->service.watchdog_is_due = true; /* the step comes before the next wait */
}

static bool has_ended(const struct child *child)
{
    struct pollfd poll_fd = { .fd = child->pidfd, .events = POLLIN };

    return poll(&poll_fd, 1, 0) > 0;
}

static void note_gone(struct slot *slot, uint64_t now_ms)
{
    if (!slot->child || slot->child->exited || !has_ended(slot->child))
        slot->gone_since_ms = 0;
    else if (slot->gone_since_ms == 0)
        slot->gone_since_ms = now_ms;
}

static struct watchdog_row row_of(const struct slot *slot)
{
    return (struct watchdog_row){
        .queue = slot->queue,
        .index = slot->index,
        .state = slot->state,
        .state_since_ms = slot->state_since_ms,
        .deadline_ms = slot->deadline_ms,
        .has_child = slot->child != NULL,
        .exited_ms = slot->child && slot->child->exited ? slot->child->exited_us / 1000 : 0,
        .gone_since_ms = slot->gone_since_ms,
    };
}

static uint64_t last_spawn_ms(const struct slot *slot)
{
    return slot->spawned > 0 ? slot->spawned_at_ms[(slot->spawned - 1) % SLOT_DEATHS_KEPT] : 0;
}

/* One that has ended and is not reaped; the step has just tried. */
static void note_orphan(struct service *service, uint64_t now_ms)
{
    siginfo_t info = { 0 };

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        info.si_pid = 0; /* no child at all */
    if (info.si_pid != service->orphan)
        service->orphan_since_ms = now_ms;
    service->orphan = info.si_pid;
}

/* Returns false on no memory. */
static bool look_at_slots(const struct supervisor *supervisor, struct watchdog_view *view,
                          struct watchdog_row **out_rows)
{
    size_t count = 0, at = 0;
    struct watchdog_row *rows;

    for (size_t i = 0; i < supervisor->pools_count; i++)
        count += supervisor->pools[i]->count;
    rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        for (size_t j = 0; j < pool->count; j++) {
            struct slot *slot = pool->places[j].slot;

            note_gone(slot, view->now_ms);
            if (last_spawn_ms(slot) > view->last_spawn_ms)
                view->last_spawn_ms = last_spawn_ms(slot);
            rows[at++] = row_of(slot);
        }
    }
    view->rows = *out_rows = rows;
    view->count = at;
    return rows != NULL;
}

static bool is_stuck(struct supervisor *supervisor, char why[WATCHDOG_WHY_BYTES])
{
    struct service *service = &supervisor->service;
    struct watchdog_view view = { .now_ms = clock_now_ms() };
    _cleanup_(freep) struct watchdog_row *rows = NULL;

    note_orphan(service, view.now_ms);
    view.orphan = service->orphan;
    view.orphan_since_ms = service->orphan_since_ms;
    if (!look_at_slots(supervisor, &view, &rows))
        return false; /* too little memory to look is no proof of anything */
    return watchdog_is_stuck(&view, why);
}

static void step_watchdog(struct supervisor *supervisor)
{
    struct service *service = &supervisor->service;
    char why[WATCHDOG_WHY_BYTES];

    if (!service->watchdog_is_due)
        return;
    service->watchdog_is_due = false;
    if (!is_stuck(supervisor, why)) {
        if (service->withheld)
            log_info("watchdog.resumed");
        service->withheld = false;
        notify_watchdog();
        return;
    }
    if (!service->withheld)
        log_error("watchdog.withheld", LOG_STR("why", why),
                  LOG_STR("hint", "systemd ends and restarts droverd when this lasts for "
                                  "WatchdogSec; the jobs of its workers are given back then"));
    service->withheld = true;
}

void service_open(struct supervisor *supervisor)
{
    uint64_t usec = 0, every_ms;
    int result = sd_watchdog_enabled(/* unset_environment= */ 0, &usec);

    (void)uv_timer_init(supervisor->loop, &supervisor->service.watchdog); /* never fails */
    supervisor->service.watchdog.data = supervisor;
    if (result < 0)
        log_warn("watchdog.unusable", LOG_STR("error", strerror(-result)),
                 LOG_STR("why", "WATCHDOG_USEC or WATCHDOG_PID cannot be read"));
    if (result <= 0)
        return;
    every_ms = usec / 2000 > 0 ? usec / 2000 : 1;
    (void)uv_timer_start(&supervisor->service.watchdog, on_watchdog, 0, every_ms); /* likewise */
    log_info("watchdog.armed", LOG_UINT("timeout_ms", usec / 1000), LOG_UINT("every_ms", every_ms));
}

void service_close(struct supervisor *supervisor)
{
    uv_close((uv_handle_t *)&supervisor->service.watchdog, NULL);
}

/* ---- the step */

void service_step(struct supervisor *supervisor)
{
    if (supervisor->phase == PHASE_ENDED)
        return;
    step_watchdog(supervisor);
    step_ready(supervisor);
    if (!notify_is_on())
        return;
    step_extend(supervisor);
    step_status(supervisor);
}

uint64_t service_next_ms(const struct supervisor *supervisor)
{
    const struct service *service = &supervisor->service;

    if (!notify_is_on())
        return 0;
    if (service->extend_ms > 0 && service->extend_ms < service->look_ms)
        return service->extend_ms;
    return service->look_ms;
}
