#include "supervisor/master/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/process/process_table.h"
#include "supervisor/master/needs.h"
#include "supervisor/master/store.h"
#include "supervisor/master/supervisor_state.h"

#define SPAWNS_PER_TURN 4
#define CLEAR_FIRST_MS  20 /* doubling */
#define CLEAR_LAST_MS   1000
#define CONTROL_GROUP   "drover"

_Static_assert(2 * CONFIG_PROCESSES_MAX <= SCOREBOARD_SLOTS, "all pools may be replaced at once");

static const int watched_signals[SIGNALS_COUNT] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };

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
        reload_ask(supervisor);
    /* SIGCHLD: it has ended the wait; the step reaps orphans */
}

void supervisor_ask_to_end(struct supervisor *supervisor)
{
    supervisor->asked++;
}

void supervisor_ask_to_reload(struct supervisor *supervisor)
{
    reload_ask(supervisor);
}

bool supervisor_has_ended(const struct supervisor *supervisor)
{
    return supervisor->phase == PHASE_ENDED;
}

int supervisor_exit_code(const struct supervisor *supervisor)
{
    return supervisor->exit_code;
}

/* ---- looking at all pools */

struct pool *supervisor_find_pool(const struct supervisor *supervisor, const char *queue)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        if (!supervisor->pools[i]->removed && strcmp(supervisor->pools[i]->queue, queue) == 0)
            return supervisor->pools[i];
    }
    return NULL;
}

int supervisor_add_pool(struct supervisor *supervisor, struct pool *pool, struct error *err)
{
    if (supervisor->pools_count == supervisor->pools_cap) {
        size_t cap = supervisor->pools_cap ? supervisor->pools_cap * 2 : 8;
        struct pool **pools = reallocarray(supervisor->pools, cap, sizeof(struct pool *));

        if (!pools) {
            pool_free(pool);
            return error_set(err, -ENOMEM, "no memory for %zu pools", cap);
        }
        supervisor->pools = pools;
        supervisor->pools_cap = cap;
    }
    supervisor->pools[supervisor->pools_count++] = pool;
    return 0;
}

size_t supervisor_count_in(const struct supervisor *supervisor, enum slot_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < supervisor->pools_count; i++)
        count += pool_count_in(supervisor->pools[i], state);
    return count;
}

size_t supervisor_count_slots(const struct supervisor *supervisor)
{
    size_t count = 0;

    for (size_t i = 0; i < supervisor->pools_count; i++)
        count += pool_wanted(supervisor->pools[i]);
    return count;
}

struct slot *supervisor_find_slot(const struct supervisor *supervisor,
                                  bool (*each)(const struct slot *slot, const void *arg),
                                  const void *arg)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        for (size_t j = 0; j < pool->count; j++) {
            if (each(pool->places[j].slot, arg))
                return pool->places[j].slot;
        }
    }
    return NULL;
}

static bool has_pid(const struct slot *slot, const void *arg)
{
    return slot->child && !slot->child->exited && slot->child->pid == *(const pid_t *)arg;
}

static bool is_own_child(pid_t pid, void *arg)
{
    return supervisor_find_slot(arg, has_pid, &pid) != NULL;
}

static bool ended_otherwise_than(const struct slot *slot, const void *arg)
{
    return slot->last_exit_status != *(const int *)arg;
}

/* ---- the steps */

static void start_ending(struct supervisor *supervisor)
{
    supervisor->phase = PHASE_ENDING;
    supervisor->context.killed_count = 0; /* how this end goes is what the exit code tells */
    service_note_end(supervisor);
    reload_end(supervisor);
    verbs_end(supervisor);
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
    log_info(events[wish], LOG_UINT("workers", supervisor_count_slots(supervisor)),
             LOG_UINT("serving", supervisor_count_in(supervisor, SLOT_SERVING)),
             LOG_UINT("timeout_ms", context->drain_timeout_ms));
}

static void step_pools(struct supervisor *supervisor)
{
    size_t kept = 0;

    supervisor->context.spawns_left = SPAWNS_PER_TURN;
    for (size_t i = 0; i < supervisor->pools_count; i++)
        pool_step(supervisor->pools[i]);
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        struct pool *pool = supervisor->pools[i];

        if (!pool_is_gone(pool)) {
            supervisor->pools[kept++] = pool;
            continue;
        }
        log_info("pool.gone", LOG_STR("queue", pool->queue));
        reload_forget_pool(supervisor, pool);
        pool_free(pool);
    }
    supervisor->pools_count = kept;
}

static bool any_parked(const struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        if (!pool->removed && pool->scaled && pool->concurrency == 0)
            return true;
    }
    return false;
}

/* No worker will ever run: the service must fail, and say so, rather than idle for ever. (A pool
 * that was parked on purpose can be scaled up again.) */
static void step_gave_up(struct supervisor *supervisor)
{
    const int config = EXIT_CODE_CONFIG;
    size_t slots = supervisor_count_slots(supervisor);

    if (supervisor->phase != PHASE_RUNNING || supervisor->reload.phase != RELOAD_IDLE ||
        slots == 0 || supervisor_count_in(supervisor, SLOT_GIVEN_UP) < slots ||
        any_parked(supervisor))
        return;
    supervisor->gave_up = true;
    supervisor->exit_code = supervisor_find_slot(supervisor, ended_otherwise_than, &config)
                                ? EXIT_CODE_FAILED
                                : EXIT_CODE_CONFIG;
    log_error("droverd.gave_up", LOG_UINT("workers", slots),
              LOG_INT("exit_code", supervisor->exit_code),
              LOG_STR("why", "every worker ended with an exit code after which a restart cannot "
                             "help; worker.never_restarted names them"));
    start_ending(supervisor);
    supervisor->context.wish = SLOT_WISH_DRAIN;
    step_pools(supervisor);
}

static void close_handles(struct supervisor *supervisor)
{
    control_close(TAKE_PTR(supervisor->control));
    service_close(supervisor);
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
    kept_done(&supervisor->kept);
    recoveries_done(&supervisor->recoveries);
    log_info("droverd.stopped", LOG_INT("exit_code", supervisor->exit_code),
             LOG_UINT("killed", supervisor->context.killed_count));
    close_handles(supervisor);
}

static bool all_at_rest(const struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        if (!pool_is_at_rest(supervisor->pools[i]))
            return false;
    }
    return true;
}

/* All workers and their sessions are gone. What else became our child left its session on purpose:
 * it must not outlive the service. */
static void step_end(struct supervisor *supervisor)
{
    unsigned int living;

    if (supervisor->phase == PHASE_ENDING && all_at_rest(supervisor)) {
        supervisor->phase = PHASE_CLEARING;
        supervisor->deadline_ms = clock_now_ms();
        supervisor->clear_wait_ms = CLEAR_FIRST_MS;
    }
    if (supervisor->phase != PHASE_CLEARING || clock_now_ms() < supervisor->deadline_ms)
        return;
    living = process_kill_children();
    if (living == 0) {
        end(supervisor);
        return;
    }
    log_warn("orphan.killed", LOG_UINT("processes", living));
    supervisor->deadline_ms = clock_now_ms() + supervisor->clear_wait_ms;
    supervisor->clear_wait_ms *= 2;
    if (supervisor->clear_wait_ms > CLEAR_LAST_MS)
        supervisor->clear_wait_ms = CLEAR_LAST_MS;
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
    uint64_t deadline_ms = recoveries_next_ms(&supervisor->recoveries);

    if (supervisor->phase == PHASE_CLEARING)
        deadline_ms = supervisor->deadline_ms;
    deadline_ms = earlier(deadline_ms, kept_next_ms(&supervisor->kept));
    deadline_ms = earlier(deadline_ms, service_next_ms(supervisor));
    for (size_t i = 0; i < supervisor->pools_count; i++)
        deadline_ms = earlier(deadline_ms, pool_next_ms(supervisor->pools[i]));
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
    step_asked(supervisor);
    step_pools(supervisor);
    /* After the pools, whose outcomes it waits for: no other event may come to look again. */
    reload_step(supervisor);
    if (verbs_step(supervisor)) /* what has waited for the reload */
        step_pools(supervisor);
    kept_step(&supervisor->kept, supervisor->generation->config);
    recoveries_step(&supervisor->recoveries, helper_find, helper_child, supervisor);
    (void)process_reap_orphans(is_own_child, supervisor); /* the count is for tests */
    step_gave_up(supervisor);
    step_end(supervisor);
    service_step(supervisor);
    if (supervisor->phase != PHASE_ENDED)
        arm_timer(supervisor);
}

/* ---- the start */

static int open_handles(struct supervisor *supervisor, struct error *err)
{
    uv_loop_t *loop = supervisor->loop;

    /* None of these can fail but uv_signal_start. */
    (void)uv_prepare_init(loop, &supervisor->prepare);
    supervisor->prepare.data = supervisor;
    (void)uv_prepare_start(&supervisor->prepare, on_prepare);
    (void)uv_timer_init(loop, &supervisor->timer);
    service_open(supervisor);
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

/* Two masters on one socket are a mistake that must not run. Without a place for the socket the
 * queues are served all the same: signals still work, and the log says it. */
static int open_control(struct supervisor *supervisor, struct error *err)
{
    struct error why = { 0 };
    const struct control_options options = {
        .loop = supervisor->loop,
        .path = supervisor->generation->config->control_path,
        .group = CONTROL_GROUP,
        .verbs = supervisor_verbs,
        .verbs_count = supervisor_verbs_count,
        .arg = supervisor,
    };
    int result;

    if (supervisor->options.no_control)
        return 0;
    result = control_open(&options, &supervisor->control, &why);
    if (result == -EADDRINUSE)
        return error_set(err, result, "%s", why.text);
    if (result >= 0)
        return 0;
    log_error("control.unavailable", LOG_STR("path", options.path), LOG_STR("why", why.text),
              LOG_STR("hint", "drover ps, reload and scale need it; SIGHUP and SIGTERM work; see "
                              "`control` in the configuration"));
    return 0;
}

static int open_pools(struct supervisor *supervisor, struct error *err)
{
    const struct config *config = supervisor->generation->config;

    for (size_t i = 0; i < config->queues_count; i++) {
        struct pool *pool = NULL;
        int result = pool_new(&supervisor->context, supervisor->generation, config->queues[i].name,
                              &pool, err);

        if (result == 0)
            result = supervisor_add_pool(supervisor, pool, err);
        if (result < 0)
            return result;
    }
    return 0;
}

void supervisor_warn_of_root(const struct config *config)
{
    if (needs_leave_root(config))
        log_warn("droverd.runs_as_root",
                 LOG_STR("why", "workers, and handlers without a user of their own, run as root: "
                                "whoever can add a job has this host"),
                 LOG_STR("hint", "start droverd as another user, or set `user`"));
}

static void set_context(struct supervisor *supervisor, const struct config *config)
{
    const struct supervisor_options *options = &supervisor->options;

    supervisor->context = (struct slot_context){
        .loop = supervisor->loop,
        .worker_path = options->worker_path,
        .run_uuid = supervisor->run_uuid,
        .board = supervisor->board,
        .recoveries = &supervisor->recoveries,
        .wish = SLOT_WISH_RUN,
        .log_level = (unsigned int)config->log_level,
        .start_timeout_ms = config->start_timeout_ms,
        .drain_timeout_ms = config->drain_timeout_ms,
        .drain_margin_ms = CONFIG_STOP_MARGIN_MS,
        .stop_grace_ms = options->stop_grace_ms ? options->stop_grace_ms : CONFIG_STOP_GRACE_MS,
        .kill_again_ms = CONFIG_STOP_KILL_MS,
        .sweep_timeout_ms = CONFIG_STOP_SWEEP_MS,
    };
}

/* Everything but the handles on the loop. */
static int prepare(struct supervisor *supervisor, struct config *config, struct error *err)
{
    int result = generation_new(1, config, &supervisor->generation, err);
    bool kept = false;

    if (result == 0)
        result = uuid_v4(supervisor->run_uuid, err);
    if (result == 0)
        result = store_open_board(supervisor->options.passed, &supervisor->board, &kept, err);
    if (result < 0)
        return result;
    supervisor->options.passed = NULL;
    if (kept)
        kept_find(&supervisor->kept, supervisor->board, &supervisor->recoveries);
    supervisor->first = generation_ref(supervisor->generation);
    set_context(supervisor, supervisor->generation->config);
    return open_pools(supervisor, err);
}

static void close_half_open(struct supervisor *supervisor)
{
    supervisor->phase = PHASE_ENDED;
    close_handles(supervisor);
    while (uv_run(supervisor->loop, UV_RUN_NOWAIT) != 0) /* the handles sit in what is freed next */
        ;
}

int supervisor_open(uv_loop_t *loop, const struct supervisor_options *options,
                    struct config *config, struct supervisor **out_supervisor, struct error *err)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    int result;

    if (!supervisor) {
        config_free(config);
        return error_set(err, -ENOMEM, "no memory for the supervisor");
    }
    supervisor->loop = loop;
    supervisor->options = *options;
    supervisor->started_ms = clock_now_ms();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        log_warn("droverd.not_subreaper", LOG_STR("error", strerror(errno)));
    result = prepare(supervisor, config, err);
    if (result < 0) {
        supervisor_free(supervisor);
        return result;
    }
    result = open_handles(supervisor, err);
    if (result == 0)
        result = open_control(supervisor, err);
    if (result < 0) {
        close_half_open(supervisor);
        supervisor_free(supervisor);
        return result;
    }
    log_info("droverd.started", LOG_STR("version", DROVER_VERSION), LOG_INT("pid", getpid()),
             LOG_STR("run", supervisor->run_uuid),
             LOG_UINT("queues", supervisor->generation->config->queues_count),
             LOG_STR("worker", options->worker_path));
    supervisor_warn_of_root(supervisor->generation->config);
    *out_supervisor = supervisor;
    return 0;
}

void supervisor_free(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    for (size_t i = 0; i < supervisor->pools_count; i++)
        pool_free(supervisor->pools[i]);
    free(supervisor->pools);
    kept_done(&supervisor->kept);
    recoveries_done(&supervisor->recoveries);
    reload_done(supervisor);
    scoreboard_free(supervisor->board);
    generation_unref(supervisor->generation);
    generation_unref(supervisor->first);
    free(supervisor);
}
