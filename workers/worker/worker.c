/* worker.c - wires one worker and watches over its life.
 *
 * Ready is said to the master once both connections stand, the handlers can run jobs, and what the
 * master asked to be given back before that is done. The master's DRAIN and STOP go to the engine;
 * SIGTERM and SIGINT are for people: the first drains without bound, the second stops. End of file
 * on the channel means that the master is gone: what can finish in LOST_DRAIN_MS does, the rest is
 * given back, and the exit code says so. How long the end may take: stop_budget.h. */
#include "workers/worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/channel/channel.h"
#include "common/config/open_log.h"
#include "workers/worker/bindings.h"
#include "workers/worker/engine.h"
#include "workers/worker/identity.h"
#include "workers/worker/recoveries.h"
#include "workers/worker/registry_sweep.h"
#include "workers/worker/stop_budget.h"

#define LOST_DRAIN_MS    5000
/* Due times are compared with the clock of whoever fetches; below this nobody would see it. */
#define SKEW_NOTICED_MS  1000
#define SECOND_MS        1000
#define CONFIG_BYTES_MAX ((size_t)64 << 20)
#define WORKER_SIGNALS   2
#define TITLE_BYTES      160

/* A connection and what the rest of us must know of it. */
struct link {
    struct worker *worker;
    const char *name;    /* for logs */
    struct redis *redis; /* NULL once closed */
    bool ready, was_ready;
};

struct worker {
    const struct worker_arguments *arguments;
    uv_loop_t loop;
    struct config *config;
    const struct config_queue *queue_config;
    struct identity identity;
    char *client_name; /* of the blocking connection */
    struct queue *queue;
    struct link command, blocking;
    struct bindings *bindings;
    struct scoreboard_slot *board; /* NULL: nothing is shown */
    struct engine *engine;
    struct recoveries *recoveries;
    struct registry_sweep *sweep; /* NULL: not this process' task */
    struct channel *channel;
    uv_timer_t second;    /* ticks while it serves */
    uv_timer_t end_timer; /* bounds the closing */
    uv_signal_t signals[WORKER_SIGNALS];
    bool ready_said, drain_asked, master_lost, fenced, ended;
    size_t left; /* jobs that could not be given back */
    char title[TITLE_BYTES];
};

/* ---- the link to the master */

static bool is_ready(const struct worker *worker)
{
    return worker->command.ready && worker->blocking.ready &&
           recoveries_pending(worker->recoveries) == 0 && bindings_are_ready(worker->bindings);
}

static void say_ready(struct worker *worker)
{
    struct channel_frame frame = { .type = CHANNEL_READY };
    struct error err;

    if (worker->ready_said || !worker->channel || !is_ready(worker))
        return;
    if (channel_send(worker->channel, &frame, &err) < 0)
        return; /* said again in a second */
    worker->ready_said = true;
    log_info("worker.ready", LOG_UINT("slots", engine_slots(worker->engine)),
             LOG_STR("redis", worker->queue_config->redis->url));
}

/* Before all are ready nothing is fetched. A program that restarts later holds up its own jobs
 * only.
 */
static void on_handlers_ready(void *arg)
{
    struct worker *worker = arg;

    if (worker->ended)
        return;
    if (bindings_are_ready(worker->bindings))
        engine_hold(worker->engine, false);
    say_ready(worker);
}

static void set_title(struct worker *worker)
{
    const struct worker_arguments *arguments = worker->arguments;
    const char *ending = engine_ending(worker->engine);
    char title[TITLE_BYTES];

    (void)snprintf(
        title, sizeof(title), "drover-worker %s/%" PRIu64 " gen %" PRIu64 " busy %zu/%zu%s%s",
        arguments->queue, arguments->slot, arguments->generation, engine_running(worker->engine),
        engine_slots(worker->engine), *ending ? " " : "", ending);
    if (strcmp(title, worker->title) == 0)
        return;
    memcpy(worker->title, title, sizeof(title));
    (void)uv_set_process_title(title); /* for people only */
}

static void step_sweep(struct worker *worker)
{
    if (worker->sweep && worker->command.ready && !*engine_ending(worker->engine))
        registry_sweep_step(worker->sweep);
}

static void on_second(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    say_ready(worker);
    set_title(worker);
    step_sweep(worker);
    log_flush_suppressed(clock_now_ms());
}

static void on_recovery_answered(const struct channel_recovered *answer, void *arg)
{
    struct worker *worker = arg;
    struct channel_frame frame = { .type = CHANNEL_RECOVERED, .recovered = *answer };
    struct error err;

    if (!worker->channel)
        return; /* the master sees our end, and asks somebody else */
    if (channel_send(worker->channel, &frame, &err) < 0)
        log_warn("frame.unsent", LOG_STR("uuid", answer->uuid), LOG_STR("why", err.text));
    say_ready(worker);
}

static void tune(struct worker *worker, const struct channel_tune *wanted)
{
    if (wanted->slots == 0 || wanted->slots > WORKER_SLOTS_MAX || wanted->allowed > wanted->slots ||
        wanted->log_level > LOG_LEVEL_ERROR) {
        log_error("frame.refused", LOG_UINT("slots", wanted->slots),
                  LOG_UINT("allowed", wanted->allowed), LOG_UINT("log_level", wanted->log_level),
                  LOG_STR("why", "out of range"));
        return;
    }
    log_set_level((enum log_level)wanted->log_level);
    engine_resize(worker->engine, wanted->slots);
    engine_allow(worker->engine, wanted->allowed);
}

static void take_frame(struct worker *worker, const struct channel_frame *frame)
{
    switch (frame->type) {
    case CHANNEL_DRAIN:
        engine_drain(worker->engine, frame->timeout_ms);
        break;
    case CHANNEL_STOP:
        engine_stop(worker->engine);
        break;
    case CHANNEL_TUNE:
        tune(worker, &frame->tune);
        break;
    case CHANNEL_RECOVER:
        recoveries_ask(worker->recoveries, &frame->recover);
        break;
    case CHANNEL_READY: /* ours to say */
    case CHANNEL_RECOVERED:
        break;
    }
}

static void on_frame(struct channel *channel, const struct channel_frame *frame, void *arg)
{
    struct worker *worker = arg;

    (void)channel;
    if (frame) {
        take_frame(worker, frame);
    } else {
        worker->master_lost = true;
        log_error("master.lost", LOG_UINT("drain_ms", LOST_DRAIN_MS));
        engine_drain(worker->engine, LOST_DRAIN_MS);
    }
    set_title(worker);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct worker *worker = handle->data;

    log_info("signal.received", LOG_INT("signal", number), LOG_BOOL("again", worker->drain_asked));
    if (worker->drain_asked)
        engine_stop(worker->engine);
    else
        engine_drain(worker->engine, 0);
    worker->drain_asked = true;
    set_title(worker);
}

/* ---- the end */

static void close_link(struct link *link)
{
    if (link->redis)
        redis_close(link->redis);
}

static void on_stop_waiting(void *arg)
{
    struct worker *worker = arg;

    close_link(&worker->blocking);
}

static void close_handles(struct worker *worker)
{
    uv_close((uv_handle_t *)&worker->second, NULL);
    for (size_t i = 0; i < WORKER_SIGNALS; i++)
        uv_close((uv_handle_t *)&worker->signals[i], NULL);
}

/* Something does not close: our exit closes it, and the master ends what is left of our session. */
static void on_end_timer(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    log_warn("worker.unclosed", LOG_UINT("after_ms", STOP_CLOSE_MS),
             LOG_STR("why", worker->engine ? "connections or jobs" : "handlers"));
    uv_stop(&worker->loop);
}

static void on_bindings_closed(void *arg)
{
    struct worker *worker = arg;

    uv_close((uv_handle_t *)&worker->end_timer, NULL);
}

/* Once both connections are closed no callback can reach the engine any more. */
static void finish(struct worker *worker)
{
    if (!worker->ended || worker->command.redis || worker->blocking.redis || !worker->engine)
        return;
    if (engine_running(worker->engine) > 0) {
        uv_stop(&worker->loop); /* handlers that cannot be ended: our exit is all that is left */
        return;
    }
    recoveries_free(TAKE_PTR(worker->recoveries));
    registry_sweep_free(TAKE_PTR(worker->sweep));
    engine_close(TAKE_PTR(worker->engine));
    bindings_close(TAKE_PTR(worker->bindings), on_bindings_closed, worker);
}

static void on_ended(size_t left, void *arg)
{
    struct worker *worker = arg;

    worker->ended = true;
    worker->left = left;
    worker->fenced = engine_is_fenced(worker->engine);
    close_handles(worker);
    (void)uv_timer_start(&worker->end_timer, on_end_timer, STOP_CLOSE_MS, 0); /* cannot fail */
    channel_close(TAKE_PTR(worker->channel));
    close_link(&worker->command);
    close_link(&worker->blocking);
}

/* ---- connections */

static void tell_engine(struct worker *worker)
{
    engine_set_redis(worker->engine, worker->command.ready);
    engine_set_blocking(worker->engine, worker->blocking.ready ? worker->blocking.redis : NULL);
    recoveries_set_redis(worker->recoveries, worker->command.ready ? worker->command.redis : NULL);
    step_sweep(worker);
    say_ready(worker);
}

/* Told at each connect, by one of the two connections. */
static void warn_of_skew(const struct link *link)
{
    int64_t skew_ms = redis_clock_skew_ms(link->redis);

    if (link == &link->worker->command && llabs(skew_ms) >= SKEW_NOTICED_MS)
        log_warn("redis.clock_skewed", LOG_INT("clock_skew_ms", skew_ms),
                 LOG_STR("why", "delayed jobs start early or late by so much"));
}

static void log_link(const struct link *link, enum redis_state state, const char *why)
{
    if (state == REDIS_READY && link->ready)
        log_info("redis.moved", LOG_STR("connection", link->name),
                 LOG_STR("server", redis_server_place(link->redis)));
    else if (state == REDIS_READY)
        log_info("redis.ready", LOG_STR("connection", link->name),
                 LOG_STR("server", redis_server_place(link->redis)),
                 LOG_STR("version", redis_server_version(link->redis)),
                 LOG_INT("clock_skew_ms", redis_clock_skew_ms(link->redis)));
    else if (state == REDIS_WAITING && link->was_ready)
        log_error("redis.lost", LOG_STR("connection", link->name), LOG_STR("why", why));
    else if (state == REDIS_WAITING)
        log_error("redis.refused", LOG_STR("connection", link->name), LOG_STR("why", why));
}

/* After a failover both connections must be to one master. Whichever is there first has asked the
 * Sentinels last; the other one asks them anew. The nodes of a cluster tell it themselves. */
static void keep_together(const struct link *link)
{
    struct worker *worker = link->worker;
    struct link *other = link == &worker->command ? &worker->blocking : &worker->command;

    if (worker->queue_config->redis->kind != CONFIG_REDIS_SENTINEL || !other->ready ||
        strcmp(redis_server_run_id(link->redis), redis_server_run_id(other->redis)) == 0)
        return;
    redis_reconnect(other->redis, "the other connection has found another master");
}

static void on_redis_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct link *link = arg;
    bool moved = state == REDIS_READY && link->ready;

    (void)redis;
    log_link(link, state, why);
    if (state == REDIS_READY) {
        warn_of_skew(link);
        keep_together(link);
    }
    if (moved)
        return;
    link->ready = state == REDIS_READY;
    link->was_ready = state == REDIS_READY;
    if (state == REDIS_CLOSED) {
        link->redis = NULL;
        if (link == &link->worker->command)
            queue_set_redis(link->worker->queue, NULL);
    }
    if (link->worker->ended)
        finish(link->worker);
    else
        tell_engine(link->worker);
}

static int open_link(struct link *link, struct error *err)
{
    struct worker *worker = link->worker;
    bool blocking = link == &worker->blocking;
    struct redis_options options = {
        .endpoint = worker->queue_config->redis,
        .slot_key = queue_key_prefix(worker->queue),
        .client_name = blocking ? worker->client_name : NULL,
        .scripts = blocking ? NULL : queue_worker_scripts,
        .blocking = blocking,
        .on_state = on_redis_state,
        .arg = link,
    };

    link->name = blocking ? "blocking" : "command";
    return redis_open(&worker->loop, &options, &link->redis, err);
}

/* ---- the start */

static int exit_code(const struct worker *worker)
{
    if (worker->fenced)
        return EXIT_CODE_FENCED;
    if (worker->master_lost)
        return EXIT_CODE_SUPERVISOR_LOST;
    return worker->left > 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int read_config(struct worker *worker, struct error *err)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(CONFIG_BYTES_MAX);

    if (fd_read_sealed(CHANNEL_CONFIG_FD, &text, err) < 0)
        return error_wrap(err, "read the configuration at descriptor %d", CHANNEL_CONFIG_FD);
    if (config_from_json(buf_text(&text), text.len, &worker->config, err) < 0)
        return error_wrap(err, "read the configuration");
    (void)close(CHANNEL_CONFIG_FD); /* read whole; holds secrets */
    worker->queue_config = config_find_queue(worker->config, worker->arguments->queue);
    if (!worker->queue_config)
        return error_set(err, -EINVAL, "the configuration has no queue %s",
                         worker->arguments->queue);
    return 0;
}

static int open_log(const struct worker *worker, struct error *err)
{
    const struct worker_arguments *arguments = worker->arguments;
    struct log_field fields[] = {
        LOG_STR("role", "worker"),
        LOG_STR("queue", arguments->queue),
        LOG_STR("worker", worker->identity.name),
        LOG_UINT("generation", arguments->generation),
        LOG_INT("pid", getpid()),
    };

    if (config_open_log(worker->config, "drover-worker", err) < 0)
        return err->code;
    log_set_context(fields, ARRAY_SIZE(fields));
    return 0;
}

static int open_queue(struct worker *worker, struct error *err)
{
    const struct config_queue *queue = worker->queue_config;

    if (queue_new(queue->redis->prefix, queue->name, NULL, &worker->queue, err) < 0)
        return error_wrap(err, "open queue %s", queue->name);
    if (queue->wait_replicas > 0)
        queue_set_wait(worker->queue,
                       &(struct redis_wait){ queue->wait_replicas, queue->wait_timeout_ms });
    worker->client_name = queue_worker_client_name(worker->queue, worker->identity.name);
    if (!worker->client_name)
        return error_set(err, -ENOMEM, "name the connection");
    return 0;
}

static int open_bindings(struct worker *worker, struct error *err)
{
    struct bindings_options options = {
        .loop = &worker->loop,
        .queue = worker->queue_config,
        .worker = worker->identity.name,
        .slots = worker->arguments->slots,
        .start_timeout_ms = worker->config->start_timeout_ms,
        .restart_first_ms = worker->config->restart_first_ms,
        .restart_max_ms = worker->config->restart_max_ms,
        .on_ready = on_handlers_ready,
        .arg = worker,
    };

    return bindings_open(&options, &worker->bindings, err);
}

/* For people only: without it the work goes on. */
static void open_board(struct worker *worker)
{
    const struct worker_arguments *arguments = worker->arguments;
    struct error err = { 0 };

    if (arguments->board == WORKER_NO_BOARD)
        return;
    if (scoreboard_attach(CHANNEL_SCOREBOARD_FD, (int)arguments->board, arguments->uuid,
                          &worker->board, &err) < 0)
        log_warn("scoreboard.unavailable", LOG_UINT("index", arguments->board),
                 LOG_STR("why", err.text));
    (void)close(CHANNEL_SCOREBOARD_FD); /* mapped, or of no use */
}

static int open_engine(struct worker *worker, struct error *err)
{
    struct engine_options options = {
        .loop = &worker->loop,
        .queue = worker->queue,
        .config = worker->queue_config,
        .bindings = bindings_rows(worker->bindings),
        .worker_name = worker->identity.name,
        .uuid = worker->arguments->uuid,
        .slots = worker->arguments->slots,
        .identity = &worker->identity.row,
        .board = worker->board,
        .on_stop_waiting = on_stop_waiting,
        .on_ended = on_ended,
        .arg = worker,
    };
    int r = engine_new(&options, &worker->engine, err);

    if (r == 0)
        engine_hold(worker->engine, !bindings_are_ready(worker->bindings));
    return r;
}

/* One process of the queue looks after what an earlier master left: the one that always is there.
 */
static int open_sweep(struct worker *worker, struct error *err)
{
    struct registry_sweep_options options = {
        .queue = worker->queue,
        .host = &worker->identity.host,
        .master = worker->arguments->master,
        .max_givebacks = worker->queue_config->max_givebacks,
    };

    if (worker->arguments->slot != 0 || !worker->arguments->master)
        return 0;
    return registry_sweep_new(&options, &worker->sweep, err);
}

static void open_handles(struct worker *worker)
{
    static const int numbers[WORKER_SIGNALS] = { SIGTERM, SIGINT };

    /* None of these can fail but uv_signal_start, for numbers that cannot be caught. */
    (void)uv_timer_init(&worker->loop, &worker->second);
    (void)uv_timer_init(&worker->loop, &worker->end_timer);
    worker->second.data = worker->end_timer.data = worker;
    (void)uv_timer_start(&worker->second, on_second, SECOND_MS, SECOND_MS);
    for (size_t i = 0; i < WORKER_SIGNALS; i++) {
        (void)uv_signal_init(&worker->loop, &worker->signals[i]);
        worker->signals[i].data = worker;
        (void)uv_signal_start(&worker->signals[i], on_signal, numbers[i]);
    }
}

/* In the order in which the pieces need each other; what fails here ends the process. */
static int open_all(struct worker *worker, struct error *err)
{
    int r = open_bindings(worker, err);

    open_board(worker);
    if (r == 0)
        r = open_queue(worker, err);
    if (r == 0)
        r = open_engine(worker, err);
    if (r == 0)
        r = recoveries_new(worker->queue_config->redis->prefix, on_recovery_answered, worker,
                           &worker->recoveries, err);
    if (r == 0)
        r = open_sweep(worker, err);
    if (r == 0)
        r = channel_open(&worker->loop, CHANNEL_FD, on_frame, worker, &worker->channel, err);
    if (r == 0)
        r = open_link(&worker->command, err);
    if (r == 0)
        r = open_link(&worker->blocking, err);
    if (r < 0)
        return r;
    queue_set_redis(worker->queue, worker->command.redis);
    open_handles(worker);
    return 0;
}

static int serve(struct worker *worker)
{
    struct error err = { 0 };

    if (open_all(worker, &err) < 0) {
        log_error("worker.failed", LOG_STR("why", err.text));
        return EXIT_CODE_UNAVAILABLE;
    }
    log_info("worker.started", LOG_UINT("slots", worker->arguments->slots),
             LOG_STR("uuid", worker->arguments->uuid));
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT); /* not 0 only when stopped with handles open */
    log_info("worker.ended", LOG_UINT("left", worker->left), LOG_INT("code", exit_code(worker)));
    log_close();
    return exit_code(worker);
}

/* After a clean end. After a failed start or with handlers that could not be ended the process goes
 * as it stands: the loop still holds handles. */
static void free_worker(struct worker *worker)
{
    if (uv_loop_close(&worker->loop) < 0)
        return;
    queue_free(worker->queue);
    config_free(worker->config);
    free(worker->client_name);
    identity_done(&worker->identity);
    scoreboard_detach(worker->board);
}

int worker_run(const struct worker_arguments *arguments)
{
    struct worker worker = { .arguments = arguments };
    struct error err = { 0 };
    int code;

    worker.command.worker = worker.blocking.worker = &worker;
    (void)signal(SIGPIPE, SIG_IGN); /* neither can fail for these numbers */
    (void)signal(SIGHUP, SIG_IGN);
    fd_cloexec_from(CHANNEL_FD);
    if (identity_init(&worker.identity, arguments, &err) < 0 || read_config(&worker, &err) < 0 ||
        open_log(&worker, &err) < 0) {
        log_error("worker.failed", LOG_STR("queue", arguments->queue), LOG_STR("why", err.text));
        return EXIT_CODE_CONFIG;
    }
    if (uv_loop_init(&worker.loop) < 0)
        return EXIT_CODE_UNAVAILABLE;
    code = serve(&worker);
    free_worker(&worker);
    return code;
}
