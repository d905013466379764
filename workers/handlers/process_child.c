#include "workers/handlers/process_child.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "workers/handlers/process_jobs.h"
#include "workers/handlers/process_talk.h"
#include "workers/handlers/process_wire.h"
#include "workers/handlers/program_env.h"

#define ENVIRONMENT_ROWS 3   /* that make_environment adds */
#define LEAVE_TERM_MS    500 /* after `shutdown`, and after it closed a pipe */
#define LEAVE_KILL_MS    1000
#define KILL_AGAIN_MS    1000
#define CAUSE_BYTES      1024
#define OF_USE_MS        1000 /* a program that was given no job must live so long to be of use */
#define RESTART_JITTER   0.2

static const struct {
    const char *name;
    unsigned int may_become;
} states[] = {
#define TO(state) (1u << (state))
    [CHILD_DOWN] = { "down", TO(CHILD_STARTING) | TO(CHILD_GONE) },
    [CHILD_STARTING] = { "starting", TO(CHILD_READY) | TO(CHILD_ENDING) | TO(CHILD_DEAD) },
    [CHILD_READY] = { "ready", TO(CHILD_ENDING) | TO(CHILD_DEAD) },
    [CHILD_ENDING] = { "ending", TO(CHILD_DEAD) },
    [CHILD_DEAD] = { "dead", TO(CHILD_DOWN) | TO(CHILD_BACKOFF) | TO(CHILD_GONE) },
    [CHILD_BACKOFF] = { "backoff", TO(CHILD_DOWN) | TO(CHILD_GONE) },
    [CHILD_GONE] = { "gone", 0 },
#undef TO
};
_Static_assert(ARRAY_SIZE(states) == CHILD_STATE_COUNT, "a row per state");

static void child_set_state(struct child *child, enum child_state next, const char *why)
{
    assert(states[child->state].may_become & (1u << next));
    log_debug("program.changed", LOG_INT("pid", child->program.pid), LOG_STR("why", why),
              LOG_STR("from", states[child->state].name), LOG_STR("to", states[next].name));
    child->state = next;
    child->due_ms = 0;
    process_touch(child->handler);
}

bool child_is_alive(const struct child *child)
{
    return child->state == CHILD_STARTING || child->state == CHILD_READY ||
           child->state == CHILD_ENDING;
}

/* ---- the timer */

static void on_time(uv_timer_t *timer);

uint64_t child_earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms + b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

void child_arm(struct child *child)
{
    uint64_t now_ms = clock_now_ms(), at_ms = child->due_ms;

    if (child->state == CHILD_ENDING)
        at_ms = child_earlier(child->term_at_ms, child->kill_at_ms);
    /* Neither can fail on an initialised timer with a callback. */
    if (at_ms == 0)
        (void)uv_timer_stop(&child->timer);
    else
        (void)uv_timer_start(&child->timer, on_time, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* ---- ending a program */

/* Asks it to end, or makes that sooner; the first cause stays. Signals leave from the timer. */
static void end_program(struct child *child, uint64_t term_after_ms, uint64_t kill_after_ms,
                        const char *cause)
{
    uint64_t now_ms = clock_now_ms();

    if (child->state != CHILD_ENDING)
        child_set_state(child, CHILD_ENDING, cause ? cause : child->closed);
    if (cause && child->cause.len == 0)
        (void)buf_append_text(&child->cause, cause);
    child->term_at_ms = child_earlier(child->term_at_ms, now_ms + term_after_ms);
    child->kill_at_ms = child_earlier(child->kill_at_ms, now_ms + kill_after_ms);
    child_arm(child);
}

void child_end_at_once(struct child *child, const char *cause)
{
    end_program(child, 0, child->handler->setup.kill_grace_ms, cause);
}

void child_kill_for_one(struct child *child, const char *cause)
{
    child->killed_for_one = true;
    end_program(child, 0, 0, cause);
    program_signal(&child->program, SIGKILL);
}

void child_end_closed(struct child *child, const char *cause)
{
    if (child->state != CHILD_STARTING && child->state != CHILD_READY)
        return;
    child->closed = cause;
    end_program(child, LEAVE_TERM_MS, LEAVE_TERM_MS + child->handler->setup.kill_grace_ms, NULL);
}

static void end_politely(struct child *child)
{
    child->asked = true;
    wire_shutdown(talk_out(child));
    child->shuts_down = true;
    end_program(child, LEAVE_TERM_MS, LEAVE_KILL_MS, NULL);
}

static void signal_when_due(struct child *child)
{
    uint64_t now_ms = clock_now_ms();

    if (child_earlier(child->term_at_ms, child->kill_at_ms) > now_ms)
        return;
    if (child->closed && child->cause.len == 0)
        (void)buf_append_text(&child->cause, child->closed);
    if (child->kill_at_ms <= now_ms) {
        program_signal(&child->program, SIGKILL);
        child->term_at_ms = 0;
        child->kill_at_ms = now_ms + KILL_AGAIN_MS;
    } else {
        program_signal(&child->program, SIGTERM);
        child->term_at_ms = 0;
    }
}

/* ---- the death of a program */

/* The name of its death into `out`, without its last words. */
static void print_death(const struct child *child, struct buf *out)
{
    const struct handler *handler = child->handler;

    buf_reset(out);
    if (!program_end_was_started(&child->program.end))
        program_end_print_unstarted(out, &child->program.end, handler->setup.config);
    else
        process_print_death(out, &child->program.end, buf_text(&child->cause));
}

/* One that ended before its handshake, or soon after it without ever having had a job: to start it
 * again at once would only burn the machine. */
static bool was_of_use(const struct child *child)
{
    return child->was_ready && (child->was_given || clock_now_ms() - child->ready_ms >= OF_USE_MS);
}

static void log_end(const struct child *child, bool of_use, uint64_t wait_ms)
{
    struct buf how = BUF_INIT(256);
    bool well = child->asked && child->program.end.signal == 0;

    program_end_print(&how, &child->program.end);
    log_at(well ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "program.ended", LOG_INT("pid", child->log.pid),
           LOG_STR("job_type", child->handler->setup.type),
           LOG_STR("cause", buf_text(&child->handler->text)), LOG_STR("end", buf_text(&how)),
           LOG_UINT("lifetime_ms", clock_now_ms() - child->spawned_ms),
           LOG_BOOL("was_ready", child->was_ready), LOG_UINT("jobs", child->runs.count),
           LOG_BOOL("asked", child->asked), LOG_UINT("restart_ms", of_use ? 0 : wait_ms));
    buf_done(&how);
}

static void died(struct child *child)
{
    struct handler *handler = child->handler;
    bool of_use = was_of_use(child) || child->asked;
    uint64_t wait_ms = 0;

    if (of_use)
        backoff_reset(&child->backoff);
    else
        wait_ms = backoff_next_ms(&child->backoff);
    print_death(child, &handler->text);
    log_end(child, of_use, wait_ms);
    if (!child->was_ready) {
        buf_reset(&handler->last_failure);
        (void)buf_append(&handler->last_failure, buf_text(&handler->text), handler->text.len);
    }
    jobs_end_all(child);
    program_log_end(&child->log);
    child_set_state(child, CHILD_DEAD, "it ended");
    child->due_ms = of_use ? 0 : clock_now_ms() + wait_ms; /* for what comes after */
    (void)uv_timer_stop(&child->timer);                    /* cannot fail */
    program_close(&child->program);
}

static void on_program_exit(struct program *program)
{
    struct child *child = program->owner;

    talk_read_to_end(child);
    died(child);
}

static void on_program_closed(struct program *program)
{
    struct child *child = program->owner;
    uint64_t due_ms = child->due_ms;

    buf_done(&child->cause);
    talk_end(child);
    if (due_ms == 0 || child->leaving) {
        child_set_state(child, CHILD_DOWN, "all is closed");
        return;
    }
    child_set_state(child, CHILD_BACKOFF, "it was of no use");
    child->due_ms = due_ms;
    child_arm(child);
}

static const struct program_events program_events = {
    .on_readable = talk_on_readable,
    .on_writable = talk_on_writable,
    .on_exit = on_program_exit,
    .on_closed = on_program_closed,
};

/* ---- starting a program */

static int make_environment(const struct handler_setup *setup, struct program_env *env)
{
    int r = program_env_init(env, setup->config, ENVIRONMENT_ROWS);

    if (r < 0)
        return r;
    program_env_add(env, "DROVER_QUEUE=%s", setup->queue);
    program_env_add(env, "DROVER_WORKER=%s", setup->worker ? setup->worker : "");
    if (setup->type)
        program_env_add(env, "DROVER_JOB_NAME=%s", setup->type);
    return program_env_finish(env);
}

static int start_program(struct child *child)
{
    const struct handler *handler = child->handler;
    const struct config_handler *config = handler->setup.config;
    _cleanup_(program_env_done) struct program_env env = { 0 };
    struct program_order order = { .tools = &handler->tools,
                                   .argv = config->argv,
                                   .directory = config->directory };
    int r = make_environment(&handler->setup, &env);

    if (r < 0) {
        child->program.end.start_error = r;
        return r;
    }
    order.environment = env.rows;
    return program_start(&child->program, &order);
}

/* What belongs to one program, anew. */
static void forget_program(struct child *child)
{
    program_init(&child->program, child->handler->setup.loop, &program_events, child);
    child->spawned_ms = clock_now_ms();
    child->ready_ms = child->term_at_ms = child->kill_at_ms = 0;
    child->closed = NULL;
    child->was_ready = child->was_given = child->asked = false;
    child->killed_for_one = child->shuts_down = false;
    child->cause = BUF_INIT(CAUSE_BYTES);
    child->next_id = WIRE_INITIALIZE_ID + 1;
    talk_begin(child);
}

static void greet(struct child *child)
{
    const struct handler_setup *setup = &child->handler->setup;
    struct wire_hello hello = { .queue = setup->queue,
                                .type = setup->type,
                                .worker = setup->worker,
                                .parallel = setup->config->parallel,
                                .max_line_bytes = setup->config->max_output_bytes,
                                .heartbeat_ms = setup->config->heartbeat_ms };

    wire_initialize(talk_out(child), &hello);
    talk_built(child); /* without memory for it the handshake is silent, and that is noticed */
    child->due_ms = child->spawned_ms + setup->start_timeout_ms;
    child_arm(child);
}

static void start(struct child *child)
{
    int r;

    forget_program(child);
    child_set_state(child, CHILD_STARTING, "a program is wanted");
    r = start_program(child);
    program_log_init(&child->log, child->program.pid, child->handler->setup.type);
    if (r < 0)
        died(child); /* program.end has the reason */
    else
        greet(child);
}

/* ---- time */

void child_became_ready(struct child *child, const char *name)
{
    child->shaken = child->was_ready = true;
    child->ready_ms = clock_now_ms();
    log_info("program.ready", LOG_INT("pid", child->program.pid),
             LOG_STR("job_type", child->handler->setup.type), LOG_STR("name", name),
             LOG_UINT("start_ms", child->ready_ms - child->spawned_ms));
    child_set_state(child, CHILD_READY, "it has shaken hands");
    child_arm(child);
    if (child->handler->draining)
        child_drain(child);
}

static void end_unready(struct child *child)
{
    char limit[UNITS_TEXT_BYTES], cause[UNITS_TEXT_BYTES + 40];

    (void)snprintf(cause, sizeof(cause), "silent at the handshake for %s",
                   units_print_duration(child->handler->setup.start_timeout_ms, limit));
    child_end_at_once(child, cause);
}

/* What it has written already counts: this process may be the one that was slow. */
static void look_at_jobs(struct child *child)
{
    if (child->program.output.fd >= 0)
        talk_on_readable(&child->program.output);
    if (child->state == CHILD_READY)
        jobs_look_for_silence(child);
}

static void on_time(uv_timer_t *timer)
{
    struct child *child = timer->data;
    bool due = child->due_ms > 0 && clock_now_ms() >= child->due_ms;

    if (child->state == CHILD_STARTING && due)
        end_unready(child);
    else if (child->state == CHILD_READY && due)
        look_at_jobs(child);
    else if (child->state == CHILD_ENDING)
        signal_when_due(child);
    else if (child->state == CHILD_BACKOFF && due)
        child_set_state(child, CHILD_DOWN, "the wait is over");
    child_arm(child);
}

/* ---- the child as a whole */

int child_add(struct handler *handler)
{
    struct child *child = calloc(1, sizeof(*child)), **place = &handler->children;
    size_t places = 2;

    while (places < (size_t)2 * handler->setup.config->parallel)
        places *= 2;
    if (child)
        child->by_id = calloc(places, sizeof(struct handler_run *));
    if (!child || !child->by_id) {
        free(child);
        return -ENOMEM;
    }
    child->handler = handler;
    child->by_id_mask = places - 1;
    child->backoff = (struct backoff){ .first_ms = handler->setup.restart_first_ms,
                                       .max_ms = handler->setup.restart_max_ms,
                                       .jitter = RESTART_JITTER };
    (void)uv_timer_init(handler->setup.loop, &child->timer); /* always succeeds */
    child->timer.data = child;
    while (*place)
        place = &(*place)->next;
    *place = child;
    handler->children_count++;
    process_touch(handler);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;

    child->handler->children_count--;
    process_touch(child->handler);
    free(child->by_id);
    free(child);
}

static void go(struct child *child)
{
    struct child **place = &child->handler->children;

    child_set_state(child, CHILD_GONE, "not wanted");
    while (*place != child)
        place = &(*place)->next;
    *place = child->next;
    uv_close((uv_handle_t *)&child->timer, on_timer_closed);
}

bool child_step(struct child *child)
{
    struct handler *handler = child->handler;

    if (child->leaving && (child->state == CHILD_DOWN || child->state == CHILD_BACKOFF)) {
        go(child);
        return false;
    }
    if (child->leaving && child->runs.count == 0 &&
        (child->state == CHILD_STARTING || child->state == CHILD_READY))
        end_politely(child);
    if (child->state == CHILD_DOWN && handler->spawns_left > 0) {
        handler->spawns_left--;
        start(child);
    }
    return child->state == CHILD_DOWN;
}

void child_flush(struct child *child)
{
    if (child_is_alive(child) && !child->program.input.wanted &&
        (talk_behind(child) > 0 || child->shuts_down))
        talk_flush(child);
}

struct child *child_next(const struct child *child)
{
    return child->next;
}

size_t child_runs(const struct child *child)
{
    return child->runs.count;
}

bool child_has_shaken_hands(const struct child *child)
{
    return child->shaken;
}

bool child_serves(const struct child *child)
{
    return child->state == CHILD_READY && !child->leaving;
}

bool child_is_leaving(const struct child *child)
{
    return child->leaving;
}

void child_leave(struct child *child)
{
    child->leaving = true;
    process_touch(child->handler);
    if (child->state == CHILD_ENDING && child->runs.count == 0)
        end_program(child, LEAVE_TERM_MS, LEAVE_KILL_MS, NULL);
    if (child->state != CHILD_READY || child->runs.count == 0)
        return;
    wire_drain(talk_out(child), 0);
    talk_built(child);
}

void child_drain(struct child *child)
{
    uint64_t until_ms = child->handler->drain_until_ms, now_ms = clock_now_ms();

    if (child->state != CHILD_READY)
        return;
    if (until_ms > 0) /* one that is over is told as the shortest: 0 would be none */
        until_ms = until_ms > now_ms ? until_ms - now_ms : 1;
    wire_drain(talk_out(child), until_ms);
    talk_built(child);
}

void child_abandon(struct child *child)
{
    if (!child_is_alive(child))
        return;
    log_error("program.abandoned", LOG_INT("pid", child->program.pid),
              LOG_STR("why", "it does not die"));
    jobs_end_all(child);
    child_set_state(child, CHILD_DEAD, "abandoned");
    (void)uv_timer_stop(&child->timer); /* cannot fail */
    program_close(&child->program);
}

uint64_t child_backoff_until_ms(const struct child *child)
{
    return child->state == CHILD_BACKOFF ? child->due_ms : UINT64_MAX;
}
