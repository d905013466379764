#include "supervisor/master/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/process/process_table.h"
#include "supervisor/master/notify.h"
#include "supervisor/master/pool.h"

#define SPAWNS_PER_TURN  4
#define STOP_GRACE_MS    6000
#define DRAIN_MARGIN_MS  5000
#define KILL_AGAIN_MS    5000
#define SWEEP_TIMEOUT_MS 1000
#define SWEEP_AGAIN_MS   20
#define SETTLED_MS       1000
#define RESTART_JITTER   0.2
#define EXTEND_EVERY_MS  1000  /* while ending: how often systemd is asked for more time … */
#define EXTEND_BY_MS     10000 /* … and for how much, from then on */

/* running  → ending (asked, or every worker was given up) → clearing (all slots are at rest;
 * whatever became our child is killed, seen dead every SWEEP_AGAIN_MS) → ended (handles close, the
 * loop runs out). */
enum phase { PHASE_RUNNING, PHASE_ENDING, PHASE_CLEARING, PHASE_ENDED };

#define SIGNALS_COUNT 4
static const int watched_signals[SIGNALS_COUNT] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };

struct supervisor {
    uv_loop_t *loop;
    uv_prepare_t prepare; /* runs supervisor_step before each wait */
    uv_timer_t timer;     /* ends the wait at the next deadline */
    uv_signal_t signals[SIGNALS_COUNT];
    struct slot_context context;
    struct pool *pools;
    size_t pools_count;
    enum phase phase;
    unsigned int asked;    /* how often the end was asked for */
    bool reload_asked;     /* SIGHUP since the last step */
    bool told_ready;       /* to systemd */
    bool gave_up;          /* ends because no worker will ever run */
    uint64_t extend_at_ms; /* ending: when to tell systemd again */
    uint64_t deadline_ms;  /* clearing: when to look again */
    int exit_code;
};

static void supervisor_step(struct supervisor *supervisor);

static void on_prepare(uv_prepare_t *prepare)
{
    supervisor_step(prepare->data);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* it has ended the wait; the step comes before the next one */
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct supervisor *supervisor = handle->data;

    if (number == SIGTERM || number == SIGINT)
        supervisor->asked++;
    else if (number == SIGHUP)
        supervisor->reload_asked = true;
    /* SIGCHLD: it has ended the wait; the step reaps orphans */
}

void supervisor_ask_to_end(struct supervisor *supervisor)
{
    supervisor->asked++;
}

bool supervisor_has_ended(const struct supervisor *supervisor)
{
    return supervisor->phase == PHASE_ENDED;
}

int supervisor_exit_code(const struct supervisor *supervisor)
{
    return supervisor->exit_code;
}

static size_t count_in(const struct supervisor *supervisor, enum slot_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < supervisor->pools_count; i++)
        count += pool_count_in(&supervisor->pools[i], state);
    return count;
}

static size_t count_slots(const struct supervisor *supervisor)
{
    size_t count = 0;

    for (size_t i = 0; i < supervisor->pools_count; i++)
        count += supervisor->pools[i].slots_count;
    return count;
}

/* Calls `each` on every slot until it returns true; says whether it did. */
static bool any_slot(const struct supervisor *supervisor,
                     bool (*each)(const struct slot *slot, const void *arg), const void *arg)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        for (size_t j = 0; j < supervisor->pools[i].slots_count; j++) {
            if (each(&supervisor->pools[i].slots[j], arg))
                return true;
        }
    }
    return false;
}

static bool has_pid(const struct slot *slot, const void *arg)
{
    return slot->child && !slot->child->exited && slot->child->pid == *(const pid_t *)arg;
}

static bool is_own_child(pid_t pid, void *arg)
{
    return any_slot(arg, has_pid, &pid);
}

static bool is_undecided(const struct slot *slot, const void *arg)
{
    (void)arg;
    return !slot->outcome_known;
}

static bool ended_otherwise_than(const struct slot *slot, const void *arg)
{
    return slot->last_exit_status != *(const int *)arg;
}

static void step_reload(struct supervisor *supervisor)
{
    if (!supervisor->reload_asked)
        return;
    supervisor->reload_asked = false;
    log_warn("reload.refused", LOG_STR("why", "this version cannot reload; restart the service to "
                                              "use a changed configuration"));
}

static void start_ending(struct supervisor *supervisor)
{
    supervisor->phase = PHASE_ENDING;
    supervisor->extend_at_ms = clock_now_ms();
    notify_stopping();
}

/* Turns how often the end was asked for into the wish of all slots. */
static void step_asked(struct supervisor *supervisor)
{
    static const char *const events[] = { NULL, "droverd.draining", "droverd.stopping",
                                          "droverd.killing" };
    struct slot_context *context = &supervisor->context;
    unsigned int wish = supervisor->asked < SLOT_WISH_KILL ? supervisor->asked : SLOT_WISH_KILL;

    if (wish <= context->wish)
        return;
    context->wish = (enum slot_wish)wish;
    if (supervisor->phase == PHASE_RUNNING)
        start_ending(supervisor);
    log_info(events[wish], LOG_UINT("workers", count_slots(supervisor)),
             LOG_UINT("serving", count_in(supervisor, SLOT_SERVING)),
             LOG_UINT("timeout_ms", context->drain_timeout_ms));
}

static void step_pools(struct supervisor *supervisor)
{
    supervisor->context.spawns_left = SPAWNS_PER_TURN;
    for (size_t i = 0; i < supervisor->pools_count; i++)
        pool_step(&supervisor->pools[i]);
}

/* No worker will ever run: the service must fail, and say so, rather than idle for ever. */
static void step_gave_up(struct supervisor *supervisor)
{
    const int config = EXIT_CODE_CONFIG;

    if (supervisor->phase != PHASE_RUNNING || count_slots(supervisor) == 0 ||
        count_in(supervisor, SLOT_GIVEN_UP) < count_slots(supervisor))
        return;
    supervisor->gave_up = true;
    supervisor->exit_code =
        any_slot(supervisor, ended_otherwise_than, &config) ? EXIT_CODE_FAILED : EXIT_CODE_CONFIG;
    log_error("droverd.gave_up", LOG_UINT("workers", count_slots(supervisor)),
              LOG_INT("exit_code", supervisor->exit_code),
              LOG_STR("why", "every worker ended with an exit code after which a restart cannot "
                             "help; worker.never_restarted names them"));
    start_ending(supervisor);
    supervisor->context.wish = SLOT_WISH_DRAIN;
    step_pools(supervisor);
}

static void step_systemd(struct supervisor *supervisor)
{
    char text[128];

    if (supervisor->phase == PHASE_ENDING && clock_now_ms() >= supervisor->extend_at_ms) {
        supervisor->extend_at_ms = clock_now_ms() + EXTEND_EVERY_MS;
        notify_extend(EXTEND_BY_MS);
    }
    (void)snprintf(text, sizeof text, "%s: %zu of %zu workers %s",
                   supervisor->phase == PHASE_RUNNING ? "running" : "stopping",
                   supervisor->phase == PHASE_RUNNING ? count_in(supervisor, SLOT_SERVING)
                                                      : count_in(supervisor, SLOT_STOPPED),
                   count_slots(supervisor),
                   supervisor->phase == PHASE_RUNNING ? "ready" : "stopped");
    notify_status(text);
    if (supervisor->told_ready || any_slot(supervisor, is_undecided, NULL) ||
        supervisor->phase != PHASE_RUNNING)
        return;
    supervisor->told_ready = true;
    notify_ready();
    log_info("droverd.ready", LOG_UINT("workers", count_slots(supervisor)),
             LOG_UINT("serving", count_in(supervisor, SLOT_SERVING)));
}

static void close_handles(struct supervisor *supervisor)
{
    uv_close((uv_handle_t *)&supervisor->prepare, NULL);
    uv_close((uv_handle_t *)&supervisor->timer, NULL);
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        uv_close((uv_handle_t *)&supervisor->signals[i], NULL);
}

static void end(struct supervisor *supervisor)
{
    supervisor->phase = PHASE_ENDED;
    if (!supervisor->gave_up)
        supervisor->exit_code =
            supervisor->context.killed_count > 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
    log_info("droverd.stopped", LOG_INT("exit_code", supervisor->exit_code),
             LOG_UINT("killed", supervisor->context.killed_count));
    close_handles(supervisor);
}

/* All workers and their sessions are gone. What else became our child left its session on purpose:
 * it must not outlive the service. */
static void step_end(struct supervisor *supervisor)
{
    unsigned int living;

    if (supervisor->phase == PHASE_ENDING &&
        count_in(supervisor, SLOT_STOPPED) == count_slots(supervisor)) {
        supervisor->phase = PHASE_CLEARING;
        supervisor->deadline_ms = clock_now_ms();
    }
    if (supervisor->phase != PHASE_CLEARING || clock_now_ms() < supervisor->deadline_ms)
        return;
    living = process_kill_children();
    if (living == 0) {
        end(supervisor);
        return;
    }
    log_warn("orphan.killed", LOG_UINT("processes", living));
    supervisor->deadline_ms = clock_now_ms() + SWEEP_AGAIN_MS;
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms ? a_ms : b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

/* The next moment at which something must be looked at; 0 when only events matter. */
static uint64_t next_deadline_ms(const struct supervisor *supervisor)
{
    uint64_t deadline_ms = 0;

    if (supervisor->phase == PHASE_ENDING)
        deadline_ms = supervisor->extend_at_ms;
    else if (supervisor->phase == PHASE_CLEARING)
        deadline_ms = supervisor->deadline_ms;
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        for (size_t j = 0; j < supervisor->pools[i].slots_count; j++) {
            const struct slot *slot = &supervisor->pools[i].slots[j];

            if (slot->state == SLOT_EMPTY) /* the turn's spawns were used up */
                return clock_now_ms();
            deadline_ms = earlier(deadline_ms, slot->deadline_ms);
        }
    }
    return deadline_ms;
}

static void arm_timer(struct supervisor *supervisor)
{
    uint64_t deadline_ms = next_deadline_ms(supervisor);
    uint64_t now_ms = clock_now_ms();

    if (deadline_ms == 0) {
        (void)uv_timer_stop(&supervisor->timer); /* never fails */
        return;
    }
    uv_update_time(supervisor->loop); /* the loop's idea of now is as old as this turn */
    (void)uv_timer_start(&supervisor->timer, on_timer,
                         deadline_ms > now_ms ? deadline_ms - now_ms : 0, 0); /* has a callback */
}

static void supervisor_step(struct supervisor *supervisor)
{
    if (supervisor->phase == PHASE_ENDED)
        return;
    step_reload(supervisor);
    step_asked(supervisor);
    step_pools(supervisor);
    (void)process_reap_orphans(is_own_child, supervisor); /* the count is for tests */
    step_gave_up(supervisor);
    step_systemd(supervisor);
    step_end(supervisor);
    if (supervisor->phase != PHASE_ENDED)
        arm_timer(supervisor);
}

static int open_handles(struct supervisor *supervisor, struct error *err)
{
    uv_loop_t *loop = supervisor->loop;

    /* None of these can fail but uv_signal_start. */
    (void)uv_prepare_init(loop, &supervisor->prepare);
    supervisor->prepare.data = supervisor;
    (void)uv_prepare_start(&supervisor->prepare, on_prepare);
    (void)uv_timer_init(loop, &supervisor->timer);
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        (void)uv_signal_init(loop, &supervisor->signals[i]);
        supervisor->signals[i].data = supervisor;
    }
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        int result = uv_signal_start(&supervisor->signals[i], on_signal, watched_signals[i]);

        if (result < 0)
            return error_set(err, result, "watch signal %d: %s", watched_signals[i],
                             uv_strerror(result));
    }
    return 0;
}

static int open_pools(struct supervisor *supervisor, const struct config *config, struct error *err)
{
    const struct backoff backoff = { .first_ms = config->restart_first_ms,
                                     .max_ms = config->restart_max_ms,
                                     .jitter = RESTART_JITTER };

    supervisor->pools = calloc(config->queues_count, sizeof *supervisor->pools);
    if (!supervisor->pools)
        return error_set(err, -ENOMEM, "no memory for %zu pools", config->queues_count);
    for (size_t i = 0; i < config->queues_count; i++) {
        int result = pool_init(&supervisor->pools[i], &config->queues[i], &supervisor->context,
                               &backoff, err);

        if (result < 0)
            return result;
        supervisor->pools_count++;
    }
    return 0;
}

static void set_context(struct supervisor *supervisor, const struct supervisor_options *options)
{
    supervisor->context = (struct slot_context){
        .loop = supervisor->loop,
        .worker_path = options->worker_path,
        .config_fd = options->config_fd,
        .generation = 1,
        .wish = SLOT_WISH_RUN,
        .start_timeout_ms = options->config->start_timeout_ms,
        .drain_timeout_ms = options->config->drain_timeout_ms,
        .drain_margin_ms = DRAIN_MARGIN_MS,
        .stop_grace_ms = options->stop_grace_ms ? options->stop_grace_ms : STOP_GRACE_MS,
        .kill_again_ms = KILL_AGAIN_MS,
        .sweep_timeout_ms = SWEEP_TIMEOUT_MS,
        .sweep_again_ms = SWEEP_AGAIN_MS,
        .settled_ms = SETTLED_MS,
    };
}

int supervisor_open(uv_loop_t *loop, const struct supervisor_options *options,
                    struct supervisor **out_supervisor, struct error *err)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    int result;

    if (!supervisor)
        return error_set(err, -ENOMEM, "no memory for the supervisor");
    supervisor->loop = loop;
    set_context(supervisor, options);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        log_warn("droverd.not_subreaper", LOG_STR("error", strerror(errno)));
    log_info("droverd.started", LOG_STR("version", DROVER_VERSION), LOG_INT("pid", getpid()),
             LOG_UINT("queues", options->config->queues_count),
             LOG_STR("worker", options->worker_path));
    result = open_pools(supervisor, options->config, err);
    if (result < 0) {
        supervisor_free(supervisor);
        return result;
    }
    result = open_handles(supervisor, err);
    if (result < 0) {
        supervisor->phase = PHASE_ENDED;
        close_handles(supervisor);
        while (uv_run(loop, UV_RUN_NOWAIT) != 0) /* the handles sit in what is freed next */
            ;
        supervisor_free(supervisor);
        return result;
    }
    *out_supervisor = supervisor;
    return 0;
}

void supervisor_free(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    for (size_t i = 0; i < supervisor->pools_count; i++)
        pool_done(&supervisor->pools[i]);
    free(supervisor->pools);
    free(supervisor);
}
