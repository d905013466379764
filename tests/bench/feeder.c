/* feeder.c - a producer that links the engine, for measuring.
 *
 *   feeder SOCKET QUEUE MODE COUNT [DATA_BYTES]
 *
 *   bulk    pieces of 500 jobs, two in flight           prints {"seconds": S, "cpu": S} at the end
 *   single  jobs one by one, a hundred in flight         the same
 *   pace    one job every 3 to 9 ms                      prints "ID MICROSECONDS" a job: when the
 *                                                        add's reply was there (wall clock)
 *   delay   one job every 10 to 30 ms, due 300 ms later  prints "ID MICROSECONDS": when it is due
 *
 * One job is added first, and waited for, so that nothing of the measured time is spent on
 * connecting or loading scripts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/queue/add.h"

#define BULK_FLIGHTS   2
#define SINGLE_FLIGHTS 100
#define DELAY_MS       300

enum mode { MODE_BULK, MODE_SINGLE, MODE_PACE, MODE_DELAY };
static const char *const mode_names[] = { "bulk", "single", "pace", "delay" };

static struct feeder {
    uv_loop_t loop;
    uv_timer_t timer;
    struct redis *redis;
    struct queue *queue;
    enum mode mode;
    size_t count, sent, answered, under_way;
    bool warm;
    char *data;
    struct job_spec specs[QUEUE_ADD_MAX];
    uint64_t started_us;
    double cpu_s;
} feeder;

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
    (void)fprintf(stderr, "feeder: %s: %s\n", what, why);
    exit(1);
}

static double own_cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for ourselves */
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t wall_us(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_REALTIME, &at); /* cannot fail */
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static void go_on(void);

static void finish(void)
{
    if (feeder.mode == MODE_BULK || feeder.mode == MODE_SINGLE)
        (void)printf("{\"seconds\": %.6f, \"cpu\": %.6f}\n",
                     (double)(clock_now_us() - feeder.started_us) / 1e6,
                     own_cpu_s() - feeder.cpu_s);
    uv_close((uv_handle_t *)&feeder.timer, NULL);
    redis_close(feeder.redis);
}

static void on_added(struct queue *queue, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    uint64_t replied_us = wall_us();

    (void)queue;
    (void)arg;
    if (call->outcome != REDIS_REPLY)
        die("add", call->why);
    for (size_t i = 0; i < count; i++) {
        if (!results[i].id)
            die("add", results[i].why);
    }
    feeder.under_way--;
    if (!feeder.warm) {
        feeder.warm = true;
        feeder.started_us = clock_now_us();
        feeder.cpu_s = own_cpu_s();
        go_on();
        return;
    }
    feeder.answered += count;
    if (feeder.mode == MODE_PACE)
        (void)printf("%s %" PRIu64 "\n", results[0].id, replied_us);
    if (feeder.mode == MODE_DELAY)
        (void)printf("%s %" PRIu64 "\n", results[0].id,
                     (feeder.specs[0].timestamp_ms + DELAY_MS) * 1000);
    go_on();
}

static void add(size_t count)
{
    struct error err;

    if (queue_add_jobs(feeder.queue, feeder.specs, count, on_added, NULL, &err) < 0)
        die("add", err.text);
    feeder.under_way++;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    feeder.sent++;
    feeder.specs[0].timestamp_ms = clock_wall_ms();
    feeder.specs[0].delay_ms = feeder.mode == MODE_DELAY ? DELAY_MS : 0;
    add(1);
}

/* Not at the same distance: nothing that repeats in the worker shall keep step with it. */
static void pause_and_add(uint64_t least_ms)
{
    (void)uv_timer_start(&feeder.timer, on_timer, least_ms + (uint64_t)random() % (2 * least_ms),
                         0); /* cannot fail */
}

static void go_on(void)
{
    size_t flights = feeder.mode == MODE_SINGLE ? SINGLE_FLIGHTS : BULK_FLIGHTS;
    size_t piece = feeder.mode == MODE_SINGLE ? 1 : QUEUE_ADD_MAX;

    if (feeder.answered == feeder.count) {
        finish();
        return;
    }
    if (feeder.mode == MODE_PACE || feeder.mode == MODE_DELAY) {
        pause_and_add(feeder.mode == MODE_PACE ? 3 : 10);
        return;
    }
    while (feeder.under_way < flights && feeder.sent < feeder.count) {
        size_t left = feeder.count - feeder.sent, size = left < piece ? left : piece;

        feeder.sent += size;
        add(size);
    }
}

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    (void)redis;
    (void)arg;
    if (state == REDIS_WAITING)
        die("connection", why);
    if (state == REDIS_READY)
        add(1);
}

static void fill_specs(size_t data_bytes)
{
    feeder.data = malloc(data_bytes + 32);
    if (!feeder.data)
        die("data", "no memory");
    memcpy(feeder.data, "{\"text\":\"", 9);
    memset(feeder.data + 9, 'x', data_bytes);
    memcpy(feeder.data + 9 + data_bytes, "\"}", 3);
    for (size_t i = 0; i < QUEUE_ADD_MAX; i++) {
        feeder.specs[i] = JOB_SPEC_INIT;
        feeder.specs[i].name = (struct bytes){ "ok", 2 };
        feeder.specs[i].data = (struct bytes){ feeder.data, 9 + data_bytes + 2 };
    }
}

static void read_mode(const char *name)
{
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            feeder.mode = (enum mode)i;
            return;
        }
    }
    die("mode", name);
}

int main(int argc, char **argv)
{
    struct config_redis endpoint = { .connect_timeout_ms = 60000, .command_timeout_ms = 60000 };
    struct redis_options options = { .endpoint = &endpoint,
                                     .scripts = queue_scripts,
                                     .on_state = on_state };
    struct error err;

    if (argc < 5)
        die("usage", "SOCKET QUEUE MODE COUNT [DATA_BYTES]");
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* cannot fail before the first write */
    read_mode(argv[3]);
    feeder.count = (size_t)strtoull(argv[4], NULL, 10);
    fill_specs(argc > 5 ? (size_t)strtoull(argv[5], NULL, 10) : 170);
    endpoint.url = argv[1];
    endpoint.path = argv[1];
    if (uv_loop_init(&feeder.loop) != 0 || uv_timer_init(&feeder.loop, &feeder.timer) != 0)
        die("loop", "no memory");
    if (redis_open(&feeder.loop, &options, &feeder.redis, &err) < 0)
        die("open", err.text);
    if (queue_new("bull", argv[2], feeder.redis, &feeder.queue, &err) < 0)
        die("queue", err.text);
    (void)uv_run(&feeder.loop, UV_RUN_DEFAULT);
    queue_free(feeder.queue);
    free(feeder.data);
    return 0;
}
