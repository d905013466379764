/* worker.c - wires one worker and watches over its life.
 *
 * Ready is said to the master once both connections stand. The master's DRAIN and STOP go to the
 * engine; SIGTERM and SIGINT are for people: the first drains without bound, the second stops. End
 * of file on the channel means that the master is gone: what can finish in LOST_DRAIN_MS does, the
 * rest is given back, and the exit code says so. */
#include "workers/worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "workers/worker/bindings.h"
#include "workers/worker/engine.h"

#define LOST_DRAIN_MS    5000
/* Due times are compared with the clock of whoever fetches; below this nobody would see it. */
#define SKEW_NOTICED_MS  1000
#define STATUS_MS        1000
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
    char *name;        /* worker name, as peers see it */
    char *client_name; /* of the blocking connection */
    struct queue *queue;
    struct link command, blocking;
    struct bindings *bindings;
    struct engine *engine;
    struct channel *channel;
    uv_timer_t status_timer;
    uv_signal_t signals[WORKER_SIGNALS];
    bool ready_said, drain_asked, master_lost, ended;
    size_t left; /* jobs that could not be given back */
    char title[TITLE_BYTES];
};

/* ---- the link to the master */

static void send_frame(struct worker *worker, const struct channel_frame *frame)
{
    struct error err;

    if (worker->channel && channel_send(worker->channel, frame, &err) < 0)
        log_debug("frame.unsent", LOG_STR("why", err.text));
}

static void say_ready(struct worker *worker)
{
    struct channel_frame frame = { .type = CHANNEL_READY };
    struct error err;

    if (worker->ready_said || !worker->channel || !worker->command.ready || !worker->blocking.ready)
        return;
    if (channel_send(worker->channel, &frame, &err) < 0)
        return; /* said again with the next status */
    worker->ready_said = true;
    log_info("worker.ready", LOG_UINT("slots", worker->arguments->slots),
             LOG_STR("redis", worker->queue_config->redis->url));
}

static void set_title(struct worker *worker, const struct channel_status *status)
{
    char title[TITLE_BYTES];

    (void)snprintf(title, sizeof(title),
                   "drover-worker %s/%" PRIu64 " gen %" PRIu64 " busy %" PRIu64 "/%" PRIu64,
                   worker->arguments->queue, worker->arguments->slot, worker->arguments->generation,
                   status->running, status->slots);
    if (strcmp(title, worker->title) == 0)
        return;
    memcpy(worker->title, title, sizeof(title));
    (void)uv_set_process_title(title); /* for people only */
}

static void send_status(struct worker *worker)
{
    struct channel_frame frame = { .type = CHANNEL_STATUS };

    engine_read_status(worker->engine, &frame.status);
    send_frame(worker, &frame);
    set_title(worker, &frame.status);
}

static void on_status_timer(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    say_ready(worker);
    send_status(worker);
}

static void on_frame(struct channel *channel, const struct channel_frame *frame, void *arg)
{
    struct worker *worker = arg;

    (void)channel;
    if (!frame) {
        worker->master_lost = true;
        log_error("master.lost", LOG_UINT("drain_ms", LOST_DRAIN_MS));
        engine_drain(worker->engine, LOST_DRAIN_MS);
        return;
    }
    if (frame->type == CHANNEL_DRAIN)
        engine_drain(worker->engine, frame->timeout_ms);
    else if (frame->type == CHANNEL_STOP)
        engine_stop(worker->engine);
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
    uv_close((uv_handle_t *)&worker->status_timer, NULL);
    for (size_t i = 0; i < WORKER_SIGNALS; i++)
        uv_close((uv_handle_t *)&worker->signals[i], NULL);
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
    bindings_close(TAKE_PTR(worker->bindings));
    engine_close(TAKE_PTR(worker->engine));
}

static void on_ended(size_t left, void *arg)
{
    struct worker *worker = arg;

    worker->ended = true;
    worker->left = left;
    send_status(worker);
    close_handles(worker);
    channel_close(TAKE_PTR(worker->channel));
    close_link(&worker->command);
    close_link(&worker->blocking);
}

/* ---- connections */

static void tell_engine(struct worker *worker)
{
    engine_set_redis(worker->engine, worker->command.ready);
    engine_set_blocking(worker->engine, worker->blocking.ready ? worker->blocking.redis : NULL);
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
    if (state == REDIS_READY)
        log_info("redis.ready", LOG_STR("connection", link->name),
                 LOG_STR("version", redis_server_version(link->redis)),
                 LOG_INT("clock_skew_ms", redis_clock_skew_ms(link->redis)));
    else if (state == REDIS_WAITING && link->was_ready)
        log_error("redis.lost", LOG_STR("connection", link->name), LOG_STR("why", why));
    else if (state == REDIS_WAITING)
        log_error("redis.refused", LOG_STR("connection", link->name), LOG_STR("why", why));
}

static void on_redis_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct link *link = arg;

    (void)redis;
    log_link(link, state, why);
    if (state == REDIS_READY)
        warn_of_skew(link);
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
        .client_name = blocking ? worker->client_name : NULL,
        .scripts = blocking ? NULL : queue_scripts,
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

static void open_log(const struct worker *worker)
{
    const struct worker_arguments *arguments = worker->arguments;
    struct log_field fields[] = {
        LOG_STR("role", "worker"),       LOG_STR("queue", arguments->queue),
        LOG_STR("worker", worker->name), LOG_UINT("generation", arguments->generation),
        LOG_INT("pid", getpid()),
    };

    log_open(STDERR_FILENO, (enum log_format)worker->config->log_format,
             (enum log_level)worker->config->log_level);
    log_set_context(fields, ARRAY_SIZE(fields));
}

/* "<hostname>-<queue>-<slot>"; CLIENT SETNAME refuses blanks and more. */
static char *make_name(const struct worker_arguments *arguments)
{
    char host[256] = "localhost";
    char *name;

    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = '\0';
    name = text_format("%s-%s-%" PRIu64, host, arguments->queue, arguments->slot);
    for (char *c = name; c && *c; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.' || *c == '_' || *c == '-'))
            *c = '_';
    }
    return name;
}

static int open_queue(struct worker *worker, struct error *err)
{
    const struct config_queue *queue = worker->queue_config;

    if (queue_new(queue->redis->prefix, queue->name, NULL, &worker->queue, err) < 0)
        return error_wrap(err, "open queue %s", queue->name);
    worker->client_name = queue_worker_client_name(worker->queue, worker->name);
    if (!worker->client_name)
        return error_set(err, -ENOMEM, "name the connection");
    return 0;
}

static int open_engine(struct worker *worker, struct error *err)
{
    struct engine_options options = {
        .loop = &worker->loop,
        .queue = worker->queue,
        .config = worker->queue_config,
        .bindings = bindings_rows(worker->bindings),
        .worker_name = worker->name,
        .uuid = worker->arguments->uuid,
        .slots = worker->arguments->slots,
        .on_stop_waiting = on_stop_waiting,
        .on_ended = on_ended,
        .arg = worker,
    };

    return engine_new(&options, &worker->engine, err);
}

static void open_handles(struct worker *worker)
{
    static const int numbers[WORKER_SIGNALS] = { SIGTERM, SIGINT };

    /* None of these can fail but uv_signal_start, for numbers that cannot be caught. */
    (void)uv_timer_init(&worker->loop, &worker->status_timer);
    worker->status_timer.data = worker;
    (void)uv_timer_start(&worker->status_timer, on_status_timer, STATUS_MS, STATUS_MS);
    for (size_t i = 0; i < WORKER_SIGNALS; i++) {
        (void)uv_signal_init(&worker->loop, &worker->signals[i]);
        worker->signals[i].data = worker;
        (void)uv_signal_start(&worker->signals[i], on_signal, numbers[i]);
    }
}

/* In the order in which the pieces need each other; what fails here ends the process. */
static int open_all(struct worker *worker, struct error *err)
{
    int r = bindings_open(&worker->loop, worker->queue_config, &worker->bindings, err);

    if (r == 0)
        r = open_queue(worker, err);
    if (r == 0)
        r = open_engine(worker, err);
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
    free(worker->name);
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
    worker.name = make_name(arguments);
    if (!worker.name || read_config(&worker, &err) < 0) {
        log_error("worker.failed", LOG_STR("queue", arguments->queue),
                  LOG_STR("why", worker.name ? err.text : "out of memory"));
        return EXIT_CODE_CONFIG;
    }
    open_log(&worker);
    if (uv_loop_init(&worker.loop) < 0)
        return EXIT_CODE_UNAVAILABLE;
    code = serve(&worker);
    free_worker(&worker);
    return code;
}
