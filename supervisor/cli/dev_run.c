/* One run of `drover dev`: its stages, on one loop (dev_inside.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/program_path.h"
#include "common/base/text.h"
#include "supervisor/cli/dev_inside.h"
#include "supervisor/cli/output.h"

#define TICK_MS          200
#define REDIS_WITHIN_MS  10000
#define FINISH_WITHIN_MS 60000
#define HISTORY_SCAN     20000 /* entries of the event stream looked through for the story */
#define DRAIN_EXTRA_MS   15000 /* beyond the file's drain time-out: then droverd is killed */
#define INSIST_MS        1000  /* between the signals of a second Ctrl-C */
#define SERVER_END_MS    5000
#define TAIL_BYTES       4000

/* ---- stages and failure ---- */

void dev_enter(struct dev *dev, enum stage stage)
{
    dev->stage = stage;
    dev->stage_since_ms = clock_now_ms();
    for (size_t i = 0; i < dev->queues_count; i++)
        dev->queues[i].counted = 0;
}

static uint64_t in_stage_ms(const struct dev *dev)
{
    return clock_now_ms() - dev->stage_since_ms;
}

bool dev_is_ending(const struct dev *dev)
{
    return dev->stage >= STAGE_DRAIN;
}

static void show_log_tail(const struct dev *dev)
{
    struct buf text = BUF_INIT((size_t)64 * 1024 * 1024), shown = BUF_INIT((size_t)64 * 1024);
    size_t from;

    if (fd_read_file(dev->log_path, &text, NULL) == 0 && text.len > 0) {
        from = text.len > TAIL_BYTES ? text.len - TAIL_BYTES : 0;
        output_lines(&shown, text.data + from, text.len - from, 2);
        (void)fprintf(stderr, "The end of droverd's log:\n  %s\n", buf_text(&shown));
    }
    buf_done(&text);
    buf_done(&shown);
}

void dev_fail(struct dev *dev, const char *format, ...)
{
    char text[1024];
    va_list args;

    if (dev_is_ending(dev))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    output_error("%s", text);
    show_log_tail(dev);
    dev->failed = true;
    dev_enter(dev, STAGE_DRAIN);
}

/* ---- children ---- */

static void on_child_end(void *arg)
{
    dev_step(arg);
}

static void on_server_line(struct dev_child *child, const char *line, void *arg)
{
    struct dev *dev = arg;

    (void)child;
    (void)snprintf(dev->last_line, sizeof(dev->last_line), "%s", line); /* may be cut */
}

static void stop_logging(struct dev *dev)
{
    closep(&dev->log_fd);
    dev->log_fd = -1;
    dev_view_say(&dev->view, "%s cannot be written any more", dev->log_path);
}

/* Everything goes to the log; errors, and what is not a log line at all, to the screen too. */
static void on_droverd_line(struct dev_child *child, const char *line, void *arg)
{
    struct dev *dev = arg;

    (void)child;
    /* A full disk is no reason to stop. */
    if (dev->log_fd >= 0 && (fd_write_all(dev->log_fd, line, strlen(line), NULL) < 0 ||
                             fd_write_all(dev->log_fd, "\n", 1, NULL) < 0))
        stop_logging(dev);
    if (line[0] != '{' || strstr(line, "\"level\":\"error\""))
        dev_view_say(&dev->view, "droverd: %s", line);
}

static int start_server(struct dev *dev, struct error *err)
{
    const char *const argv[] = { "redis-server",
                                 "--port",
                                 "0",
                                 "--unixsocket",
                                 dev->plan->socket_path,
                                 "--unixsocketperm",
                                 "700",
                                 "--dir",
                                 dev->plan->dir,
                                 "--save",
                                 "",
                                 "--appendonly",
                                 "no",
                                 "--maxmemory-policy",
                                 "noeviction",
                                 NULL };

    int r = dev_child_start(&dev->server, &dev->loop, argv, NULL, err);

    if (r == -ENOENT)
        return error_set(err, r, "redis-server is not installed: apt-get install redis-server");
    return r;
}

/* --set redis.NAME.url=URL for every server of the file, and a control socket in the scratch
 * folder. */
static int start_droverd(struct dev *dev, struct error *err)
{
    const struct config *config = dev->plan->config;
    size_t argc = 0, sets_count = config->redis_count + 1;
    char **sets = calloc(sets_count, sizeof(*sets));
    const char **argv = calloc(2 * sets_count + 6, sizeof(*argv));
    int r = sets && argv ? 0 : error_set(err, -ENOMEM, "no memory");

    if (r == 0) {
        argv[argc++] = dev->droverd_path;
        argv[argc++] = "-c";
        argv[argc++] = dev->plan->config_file;
    }
    for (size_t i = 0; r == 0 && i < sets_count; i++) {
        sets[i] = i < config->redis_count
                      ? text_format("redis.%s.url=%s", config->redis[i].name, dev->plan->url)
                      : text_format("control=%s/control", dev->plan->dir);
        if (!sets[i])
            r = error_set(err, -ENOMEM, "no memory");
        argv[argc++] = "--set";
        argv[argc++] = sets[i];
    }
    if (r == 0)
        r = dev_child_start(&dev->droverd, &dev->loop, argv, NULL, err);
    for (size_t i = 0; sets && i < sets_count; i++)
        free(sets[i]);
    free(sets);
    free(argv);
    return r;
}

/* ---- Redis ---- */

static void on_redis_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct dev *dev = arg;

    (void)redis;
    (void)why; /* before READY: the server is still starting; later: its end tells more */
    dev->redis_ready = state == REDIS_READY;
    if (state == REDIS_CLOSED)
        dev->redis = NULL;
    dev_step(dev);
}

static int open_redis(struct dev *dev, struct error *err)
{
    const struct redis_options options = { .endpoint = &dev->plan->config->redis[0],
                                           .client_name = "drover-dev",
                                           .scripts = queue_add_scripts,
                                           .on_state = on_redis_state,
                                           .arg = dev };

    return redis_open(&dev->loop, &options, &dev->redis, err);
}

static int make_queues(struct dev *dev, struct error *err)
{
    const struct config *config = dev->plan->config;

    dev->queues = calloc(config->queues_count, sizeof(*dev->queues));
    dev->counted = calloc(config->queues_count, sizeof(*dev->counted));
    if (!dev->queues || !dev->counted)
        return error_set(err, -ENOMEM, "no memory");
    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];
        int r =
            queue_new(queue->redis->prefix, queue->name, dev->redis, &dev->queues[i].queue, err);

        if (r < 0)
            return r;
        dev->counted[i].name = queue->name;
        dev->queues_count++;
    }
    return 0;
}

/* ---- counting ---- */

static void on_counts(struct queue *queue, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    struct dev *dev = arg;

    for (size_t i = 0; i < dev->queues_count; i++) {
        if (dev->queues[i].queue != queue)
            continue;
        dev->queues[i].counting = false;
        if (call->outcome != REDIS_REPLY)
            continue; /* the next tick asks again */
        dev->queues[i].known = true;
        dev->queues[i].counted++;
        dev->counted[i].counts = *counts;
    }
    dev_step(dev);
}

static void count_queues(struct dev *dev)
{
    for (size_t i = 0; i < dev->queues_count && dev->redis_ready; i++) {
        struct dev_queue *queue = &dev->queues[i];

        if (!queue->counting && queue_count_jobs(queue->queue, on_counts, dev, NULL) == 0)
            queue->counting = true; /* when refused, the next tick asks again */
    }
}

static bool counts_are_known(const struct dev *dev)
{
    for (size_t i = 0; i < dev->queues_count; i++)
        if (!dev->queues[i].known)
            return false;
    return true;
}

/* All queues were counted twice since the stage began: the second count was asked for in it. */
static bool counts_are_fresh(const struct dev *dev)
{
    for (size_t i = 0; i < dev->queues_count; i++)
        if (dev->queues[i].counted < 2)
            return false;
    return true;
}

/* ---- the end of the jobs, and their story ---- */

/* With the demo's configuration it is known how all jobs end, and none is removed. */
static void check_ends(struct dev *dev)
{
    uint64_t ended = dev_view_ended(dev->counted, dev->queues_count), jobs_failed = 0;

    for (size_t i = 0; i < dev->queues_count; i++)
        jobs_failed += dev->counted[i].counts.failed;
    if (ended != dev->added)
        dev_fail(dev, "%" PRIu64 " jobs were added, but %" PRIu64 " ended", dev->added, ended);
    else if (jobs_failed != DEV_SAMPLE_FAILING)
        dev_fail(dev, "%" PRIu64 " jobs failed for good; %d of the sample should", jobs_failed,
                 DEV_SAMPLE_FAILING);
}

static void on_view(struct queue *queue, const struct call_result *call,
                    const struct job_view *view, void *arg)
{
    struct dev *dev = arg;

    (void)queue;
    dev->story_told = true;
    if (call->outcome != REDIS_REPLY)
        dev_fail(dev, "read job %s: %s", DEV_STORY_ID, call->why);
    else
        dev_view_kept(&dev->view, view);
    dev_step(dev);
}

static void on_history(struct queue *queue, const struct call_result *call,
                       const struct job_event *events, size_t count, void *arg)
{
    struct dev *dev = arg;
    struct error err = { .code = 0 };

    if (call->outcome != REDIS_REPLY || count == 0)
        dev_fail(dev, "read the events of job %s: %s", DEV_STORY_ID,
                 *call->why ? call->why : "there are none");
    else
        dev_view_story(&dev->view, DEV_STORY_ID, events, count);
    if (!dev_is_ending(dev) && queue_view_job(queue, DEV_STORY_ID, on_view, dev, &err) < 0)
        dev_fail(dev, "read job %s: %s", DEV_STORY_ID, err.text);
    dev_step(dev);
}

static struct dev_queue *find_queue(struct dev *dev, const char *name)
{
    for (size_t i = 0; i < dev->queues_count; i++)
        if (strcmp(dev->counted[i].name, name) == 0)
            return &dev->queues[i];
    return NULL;
}

static void ask_for_story(struct dev *dev)
{
    struct dev_queue *queue = find_queue(dev, DEV_STORY_QUEUE);
    struct error err = { .code = 0 };

    if (!queue)
        dev_fail(dev, "the configuration has no queue %s", DEV_STORY_QUEUE);
    else if (queue_job_history(queue->queue, DEV_STORY_ID, HISTORY_SCAN, on_history, dev, &err) < 0)
        dev_fail(dev, "read job %s: %s", DEV_STORY_ID, err.text);
}

static void step_watch(struct dev *dev)
{
    uint64_t left = dev_view_open(dev->counted, dev->queues_count);

    if (!counts_are_fresh(dev) || left > 0) {
        if (dev->plan->once && in_stage_ms(dev) > FINISH_WITHIN_MS)
            dev_fail(dev, "%" PRIu64 " of %" PRIu64 " jobs have not ended within %d s", left,
                     dev->added, FINISH_WITHIN_MS / 1000);
        return;
    }
    if (dev->plan->demo && dev->plan->sample > 0)
        check_ends(dev);
    if (dev_is_ending(dev))
        return;
    dev_view_summary(&dev->view, dev->counted, dev->queues_count, dev->added,
                     clock_now_ms() - dev->view.started_at_ms);
    dev_enter(dev, STAGE_STORY);
    if (dev->plan->sample > 0)
        ask_for_story(dev);
    else
        dev->story_told = true; /* there is none */
}

static void step_story(struct dev *dev)
{
    if (!dev->story_told)
        return;
    if (dev->plan->once) {
        dev_enter(dev, STAGE_DRAIN);
        return;
    }
    dev_view_say(&dev->view, "All stays up until Ctrl-C. From another terminal:");
    dev_view_say(&dev->view, "  %s status --redis %s --prefix %s", dev->own_path, dev->plan->url,
                 dev->plan->config->redis[0].prefix);
    dev_enter(dev, STAGE_STAY);
}

/* ---- the end ---- */

static void insist(struct dev *dev, int signal_number)
{
    dev_child_signal(&dev->droverd, signal_number);
    dev->insisted_at_ms = clock_now_ms();
}

/* First SIGTERM drains; droverd takes the second for "stop" and the third for "kill". */
static void step_drain(struct dev *dev)
{
    uint64_t limit_ms = dev->plan->config->drain_timeout_ms + DRAIN_EXTRA_MS;

    if (!dev->droverd.running) {
        dev_enter(dev, STAGE_CLOSE);
        return;
    }
    if (dev->insisted_at_ms == 0) {
        dev_child_signal_group(&dev->producer, SIGTERM);
        dev_child_signal_group(&dev->adder, SIGTERM);
        insist(dev, SIGTERM);
    } else if (in_stage_ms(dev) > limit_ms) {
        if (!dev->failed)
            output_error("droverd did not end within %" PRIu64 " ms; it is killed", limit_ms);
        dev->failed = true;
        insist(dev, SIGKILL);
    } else if (dev->stops > 1 && clock_now_ms() - dev->insisted_at_ms >= INSIST_MS) {
        insist(dev, SIGTERM);
    }
}

static void close_all(struct dev *dev)
{
    uv_close((uv_handle_t *)&dev->tick, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(dev->signals); i++)
        uv_close((uv_handle_t *)&dev->signals[i], NULL);
    dev_child_close(&dev->server);
    dev_child_close(&dev->droverd);
    dev_child_close(&dev->producer);
    dev_child_close(&dev->adder);
    dev_enter(dev, STAGE_END);
}

/* Nothing of the server is worth keeping: it is killed once nobody talks to it any more. */
static void step_close(struct dev *dev)
{
    bool others = dev->producer.running || dev->adder.running;

    if (dev->redis) {
        redis_close(dev->redis);
        return;
    }
    if (others && in_stage_ms(dev) > SERVER_END_MS) {
        dev_child_signal_group(&dev->producer, SIGKILL);
        dev_child_signal_group(&dev->adder, SIGKILL);
    }
    dev_child_signal(&dev->server, SIGKILL);
    if (!dev->server.running && !others)
        close_all(dev);
}

/* ---- the step ---- */

static void start_all(struct dev *dev)
{
    struct error err = { .code = 0 };

    if (make_queues(dev, &err) < 0 || start_droverd(dev, &err) < 0) {
        dev_fail(dev, "%s", err.text);
        return;
    }
    dev_view_say(&dev->view, "Redis %s on %s", redis_server_version(dev->redis), dev->plan->url);
    dev_view_say(&dev->view, "droverd runs %s", dev->plan->config_file);
    dev_view_say(&dev->view, "its log: %s", dev->log_path);
    dev_enter(dev, STAGE_PRODUCER);
}

static void check_children(struct dev *dev)
{
    if (dev->server.started && !dev->server.running)
        dev_fail(dev, "redis-server %s: %s", dev_child_fate(&dev->server), dev->last_line);
    else if (dev->droverd.started && !dev->droverd.running)
        dev_fail(dev, "droverd %s", dev_child_fate(&dev->droverd));
}

void dev_step(struct dev *dev)
{
    enum stage before;

    do {
        before = dev->stage;
        if (!dev_is_ending(dev))
            check_children(dev);
        switch (dev->stage) {
        case STAGE_REDIS:
            if (dev->redis_ready)
                start_all(dev);
            else if (in_stage_ms(dev) > REDIS_WITHIN_MS)
                dev_fail(dev, "redis-server does not answer within %d s", REDIS_WITHIN_MS / 1000);
            break;
        case STAGE_PRODUCER:
            dev_fill_step_producer(dev);
            break;
        case STAGE_BULK:
            dev_fill_step_bulk(dev);
            break;
        case STAGE_COMMANDS:
            dev_fill_step_commands(dev);
            break;
        case STAGE_WATCH:
            step_watch(dev);
            break;
        case STAGE_STORY:
            step_story(dev);
            break;
        case STAGE_DRAIN:
            step_drain(dev);
            break;
        case STAGE_CLOSE:
            step_close(dev);
            break;
        case STAGE_STAY:
        case STAGE_END:
            break;
        }
    } while (dev->stage != before);
}

static void on_tick(uv_timer_t *timer)
{
    struct dev *dev = timer->data;

    if (!dev_is_ending(dev) && dev->queues_count > 0) {
        count_queues(dev);
        if (counts_are_known(dev))
            dev_view_counts(&dev->view, dev->counted, dev->queues_count,
                            dev->stage >= STAGE_WATCH ? dev->added : dev->plan->sample);
    }
    dev_step(dev);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct dev *dev = handle->data;

    (void)signal_number;
    dev->stops++;
    if (dev->stops == 1 && !dev_is_ending(dev)) {
        dev_view_say(&dev->view, "Ending: running jobs may finish (Ctrl-C again: at once)");
        if (dev->plan->once)
            dev_fail(dev, "interrupted before all jobs had ended");
        else
            dev_enter(dev, STAGE_DRAIN);
    }
    dev_step(dev);
}

/* ---- making and ending it ---- */

static void init_child(struct dev *dev, struct dev_child *child, const char *name,
                       dev_line_cb *on_line)
{
    *child =
        (struct dev_child){ .name = name, .on_line = on_line, .on_end = on_child_end, .arg = dev };
}

static void init_handles(struct dev *dev)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

    (void)uv_timer_init(&dev->loop, &dev->tick); /* always 0 */
    dev->tick.data = dev;
    (void)uv_timer_start(&dev->tick, on_tick, TICK_MS, TICK_MS); /* 0: not closing */
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        (void)uv_signal_init(&dev->loop, &dev->signals[i]);
        dev->signals[i].data = dev;
        (void)uv_signal_start(&dev->signals[i], on_signal, signals[i]); /* catchable: 0 */
    }
    init_child(dev, &dev->server, "redis-server", on_server_line);
    init_child(dev, &dev->droverd, "droverd", on_droverd_line);
    dev_fill_init(dev);
}

static int find_programs(struct dev *dev, struct error *err)
{
    char own[4096];
    size_t own_len = sizeof(own);
    int r = uv_exepath(own, &own_len);

    if (r < 0)
        return error_set(err, r, "find our own program: %s", uv_strerror(r));
    dev->own_path = strdup(own);
    if (!dev->own_path)
        return error_set(err, -ENOMEM, "no memory");
    return program_path_find("droverd", NULL, &dev->droverd_path, err);
}

static void start(struct dev *dev)
{
    struct error err = { .code = 0 };

    (void)snprintf(dev->log_path, sizeof(dev->log_path), "%s/droverd.log", dev->plan->dir);
    dev->log_fd = open(dev->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (dev->log_fd < 0)
        dev_fail(dev, "open %s: %s", dev->log_path, strerror(errno));
    else if (find_programs(dev, &err) < 0 || start_server(dev, &err) < 0 ||
             open_redis(dev, &err) < 0)
        dev_fail(dev, "%s", err.text);
}

static void dev_done(struct dev *dev)
{
    for (size_t i = 0; i < dev->queues_count; i++)
        queue_free(dev->queues[i].queue);
    free(dev->queues);
    free(dev->counted);
    free(dev->jobs);
    free(dev->droverd_path);
    free(dev->own_path);
    closep(&dev->log_fd);
    dev_view_done(&dev->view);
}

int dev_run(const struct dev_plan *plan)
{
    struct dev dev = { .plan = plan, .log_fd = -1 };
    int r = uv_loop_init(&dev.loop);

    if (r < 0) {
        output_error("make an event loop: %s", uv_strerror(r));
        return EXIT_CODE_FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    dev_view_init(&dev.view, plan->json);
    dev_enter(&dev, STAGE_REDIS);
    init_handles(&dev);
    start(&dev);
    dev_step(&dev);
    (void)uv_run(&dev.loop, UV_RUN_DEFAULT); /* until all handles are closed */
    (void)uv_loop_close(&dev.loop);          /* nothing is open: 0 */
    dev_done(&dev);
    return dev.failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
