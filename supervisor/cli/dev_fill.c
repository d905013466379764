/* Putting the sample in: a stock producer's part, the bulk by drover's library, a few jobs by the
 * real command line. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/dev_inside.h"

#define BULK_MAX           200                   /* jobs added by one call */
#define PRODUCER_NOT_THERE EXIT_CODE_UNAVAILABLE /* it says so: drover adds its part */

static void on_child_end(void *arg)
{
    dev_step(arg);
}

static void on_producer_line(struct dev_child *child, const char *line, void *arg)
{
    struct dev *dev = arg;

    if (strncmp(line, "added ", 6) == 0) {
        uint64_t count = 0;

        if (text_parse_uint(line + 6, strcspn(line + 6, " "), &count) == 0)
            dev->produced += count;
    }
    dev_view_say(&dev->view, "%s: %s", child->name, line);
}

static void on_adder_line(struct dev_child *child, const char *line, void *arg)
{
    struct dev *dev = arg;

    (void)child;
    (void)snprintf(dev->last_line, sizeof(dev->last_line), "%s", line); /* may be cut */
}

/* Our environment with three variables more. */
static int start_producer(struct dev *dev, struct error *err)
{
    const char *const argv[] = { "/bin/sh", "-c", dev->plan->producer, NULL };
    char jobs[64], sock[192], prefix[256];
    const char **env = NULL;
    size_t count = 0;
    int r;

    while (environ[count])
        count++;
    env = calloc(count + 4, sizeof(*env));
    if (!env)
        return error_set(err, -ENOMEM, "no memory");
    memcpy(env, environ, count * sizeof(*env));
    (void)snprintf(jobs, sizeof(jobs), "DROVER_DEMO_JOBS=%zu", dev->plan->sample * 2 / 5);
    (void)snprintf(sock, sizeof(sock), "DROVER_DEMO_SOCKET=%s", dev->plan->socket_path);
    (void)snprintf(prefix, sizeof(prefix), "DROVER_DEMO_PREFIX=%s",
                   dev->plan->config->redis[0].prefix);
    env[count] = jobs;
    env[count + 1] = sock;
    env[count + 2] = prefix;
    r = dev_child_start(&dev->producer, &dev->loop, argv, env, err);
    free(env);
    return r;
}

static int start_adder(struct dev *dev, const char *const *words, struct error *err)
{
    const struct config_queue *queue = config_find_queue(dev->plan->config, words[0]);
    const char *argv[32] = { dev->own_path,  "add",      "--redis",
                             dev->plan->url, "--prefix", queue->redis->prefix };
    size_t argc = 6;

    for (size_t i = 0; words[i] && argc < ARRAY_SIZE(argv) - 1; i++)
        argv[argc++] = words[i];
    return dev_child_start(&dev->adder, &dev->loop, argv, NULL, err);
}

/* ---- the stages ---- */

static void on_added(struct queue *queue, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    struct dev *dev = arg;

    dev->adding = false;
    if (call->outcome != REDIS_REPLY)
        dev_fail(dev, "add jobs to %s: %s", queue_name(queue), call->why);
    for (size_t i = 0; call->outcome == REDIS_REPLY && i < count; i++) {
        if (results[i].id && !results[i].duplicate)
            dev->added++;
        else
            dev_fail(dev, "a job of %s was refused: %s", queue_name(queue), results[i].why);
    }
    dev_step(dev);
}

/* The next jobs of this queue go in with one call. True when there were any. */
static bool add_some(struct dev *dev, struct dev_queue *queue)
{
    static struct job_spec specs[BULK_MAX];
    struct error err = { .code = 0 };
    size_t count = 0;

    for (; queue->bulk_at < dev->jobs_count && count < BULK_MAX; queue->bulk_at++)
        if (strcmp(dev->jobs[queue->bulk_at].queue, queue_name(queue->queue)) == 0)
            specs[count++] = dev->jobs[queue->bulk_at].spec;
    if (count == 0)
        return false;
    if (queue_add_jobs(queue->queue, specs, count, on_added, dev, &err) < 0) {
        dev_fail(dev, "add jobs to %s: %s", queue_name(queue->queue), err.text);
        return true;
    }
    dev->adding = true;
    return true;
}

static bool make_jobs(struct dev *dev)
{
    uint64_t have = dev->produced + dev_sample_commands_count;

    if (dev->jobs)
        return true;
    dev->added = dev->produced;
    /* At least a few of every kind, also when the producer did more than its part. */
    dev->jobs_count = dev->plan->sample > have + DEV_SAMPLE_MIN / 2 ? dev->plan->sample - have
                                                                    : DEV_SAMPLE_MIN / 2;
    dev->jobs = dev_sample_make(dev->jobs_count);
    if (!dev->jobs)
        dev_fail(dev, "no memory for the sample");
    return dev->jobs != NULL;
}

void dev_fill_step_bulk(struct dev *dev)
{
    if (dev->plan->sample == 0) {
        dev->added = dev->produced;
        dev_enter(dev, dev->produced > 0 || dev->plan->once ? STAGE_WATCH : STAGE_STAY);
        return;
    }
    if (dev->adding || !make_jobs(dev))
        return;
    for (size_t i = 0; i < dev->queues_count; i++)
        if (add_some(dev, &dev->queues[i]))
            return;
    dev_view_say(&dev->view, "drover's library: added %" PRIu64 " jobs in bulk",
                 dev->added - dev->produced);
    dev_enter(dev, STAGE_COMMANDS);
}

void dev_fill_step_commands(struct dev *dev)
{
    struct error err = { .code = 0 };

    if (dev->adder.started && !dev_child_done(&dev->adder))
        return;
    if (dev->adder.started) {
        if (!dev_child_succeeded(&dev->adder)) {
            dev_fail(dev, "drover add %s: %s", dev_child_fate(&dev->adder), dev->last_line);
            return;
        }
        dev->added++;
        dev->commands_done++;
        dev->adder.started = false;
    }
    if (dev->commands_done == dev_sample_commands_count) {
        dev_view_say(&dev->view, "drover add: added %zu jobs from the command line",
                     dev->commands_done);
        dev_enter(dev, STAGE_WATCH);
        return;
    }
    if (start_adder(dev, dev_sample_commands[dev->commands_done], &err) < 0)
        dev_fail(dev, "%s", err.text);
}

void dev_fill_step_producer(struct dev *dev)
{
    struct error err = { .code = 0 };

    if (!dev->plan->producer) {
        dev_enter(dev, STAGE_BULK);
    } else if (!dev->producer.started) {
        if (start_producer(dev, &err) < 0)
            dev_fail(dev, "%s", err.text);
    } else if (dev_child_done(&dev->producer)) {
        if (dev->producer.term_signal == 0 && dev->producer.exit_code == PRODUCER_NOT_THERE)
            dev_view_say(&dev->view, "producer: not available; drover adds all jobs itself");
        else if (!dev_child_succeeded(&dev->producer))
            dev_fail(dev, "the producer %s", dev_child_fate(&dev->producer));
        if (!dev_is_ending(dev))
            dev_enter(dev, STAGE_BULK);
    }
}

void dev_fill_init(struct dev *dev)
{
    dev->producer = (struct dev_child){
        .name = "producer", .on_line = on_producer_line, .on_end = on_child_end, .arg = dev
    };
    dev->adder = (struct dev_child){
        .name = "drover add", .on_line = on_adder_line, .on_end = on_child_end, .arg = dev
    };
}
