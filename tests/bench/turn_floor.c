/* turn_floor.c - how fast queue_turn empties a queue when running a job costs nothing: the floor
 * under every worker. Jobs lie ready on a private server; calls of K jobs each settle what the
 * last but one has fetched, two in flight.
 *
 *   turn_floor [JOBS [K [IN_FLIGHT [DATA_BYTES]]]]        (100000 50 2 200)
 *   turn_floor JOBS K IN_FLIGHT DATA_BYTES SOCKET         on that server, where JOBS jobs wait in
 * the queue `bench` */
#include <hiredis/hiredis.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/queue/queue.h"
#include "tests/support/redis_server.h"

struct bench {
    uv_loop_t loop;
    struct redis_server server; /* not started when another one is given */
    redisContext *asked;        /* of the server that is measured */
    struct redis *redis;
    struct queue *queue;
    struct fetcher fetcher;
    size_t jobs, batch, in_flight, data_bytes;
    size_t under_way, done, calls;
    uint64_t started_us, ended_us;
    double redis_cpu_s, own_cpu_s;
};

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
    (void)fprintf(stderr, "turn_floor: %s: %s\n", what, why);
    exit(1);
}

static double redis_cpu_s(redisContext *server)
{
    redisReply *reply = redisCommand(server, "INFO cpu");
    const char *user, *kernel;
    double sum = 0;

    if (!reply || reply->type != REDIS_REPLY_STRING)
        die("INFO cpu", server->errstr);
    user = strstr(reply->str, "used_cpu_user:");
    kernel = strstr(reply->str, "used_cpu_sys:");
    if (user && kernel)
        sum = strtod(user + 14, NULL) + strtod(kernel + 13, NULL);
    freeReplyObject(reply);
    return sum;
}

static double own_cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for ourselves */
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A server of its own with the jobs; its socket. */
static char *prepare(struct bench *bench)
{
    redis_server_start(&bench->server, NULL);
    redis_server_do(
        &bench->server, "EVAL %s 0 %llu %llu",
        "local data = '{\"x\":\"' .. string.rep('y', ARGV[2] - 8) .. '\"}' "
        "for i = 1, ARGV[1] do local id = string.format('%.0f', i) "
        "redis.call('HSET', 'bull:bench:' .. id, 'name', 'noop', 'data', data, 'opts', "
        "'{\"attempts\":0}', 'timestamp', '1700000000000', 'delay', '0', 'priority', '0') "
        "redis.call('LPUSH', 'bull:bench:wait', id) end return 1",
        (unsigned long long)bench->jobs, (unsigned long long)bench->data_bytes);
    return bench->server.socket_path;
}

static void turn(struct bench *bench, struct job **jobs, size_t count);

static void on_turn(struct queue *queue, const struct call_result *call,
                    const struct settle_result *results, size_t results_count, struct job **jobs,
                    size_t jobs_count, const struct fetch_state *state, void *arg)
{
    struct bench *bench = arg;

    (void)queue;
    (void)state;
    if (call->outcome != REDIS_REPLY)
        die("turn", call->why);
    for (size_t i = 0; i < results_count; i++) {
        if (results[i].code != SETTLE_OK)
            die("settle", results[i].why);
    }
    bench->under_way--;
    bench->calls++;
    bench->done += results_count;
    if (bench->done == bench->jobs) {
        bench->ended_us = clock_now_us();
        bench->redis_cpu_s = redis_cpu_s(bench->asked) - bench->redis_cpu_s;
        bench->own_cpu_s = own_cpu_s() - bench->own_cpu_s;
        redis_close(bench->redis);
        return;
    }
    if (jobs_count > 0 || bench->under_way == 0)
        turn(bench, jobs, jobs_count);
}

static void turn(struct bench *bench, struct job **jobs, size_t count)
{
    struct settle settles[QUEUE_TURN_MAX] = { 0 };
    struct fetch_want want = { .max = bench->batch, .live = 1, .bytes_max = 1 << 20 };
    struct error err;

    for (size_t i = 0; i < count; i++)
        settles[i] =
            (struct settle){ .kind = SETTLE_COMPLETE, .job = jobs[i], .value = { "null", 4 } };
    if (queue_turn(bench->queue, &bench->fetcher, settles, count, &want, on_turn, bench, &err) < 0)
        die("turn", err.text);
    bench->under_way++;
    for (size_t i = 0; i < count; i++)
        job_free(jobs[i]);
}

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct bench *bench = arg;

    (void)redis;
    if (state == REDIS_WAITING)
        die("connection", why);
    if (state != REDIS_READY)
        return;
    bench->redis_cpu_s = redis_cpu_s(bench->asked);
    bench->own_cpu_s = own_cpu_s();
    bench->started_us = clock_now_us();
    for (size_t i = 0; i < bench->in_flight; i++)
        turn(bench, NULL, 0);
}

static size_t number_arg(int argc, char **argv, int at, size_t fallback)
{
    return argc > at ? (size_t)strtoull(argv[at], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct config_redis endpoint;
    const char *path;
    char *url = NULL;
    struct redis_options options = {
        .endpoint = &endpoint, .scripts = queue_scripts, .on_state = on_state, .arg = &bench
    };
    double seconds;
    struct error err;

    bench.jobs = number_arg(argc, argv, 1, 100000);
    bench.batch = number_arg(argc, argv, 2, 50);
    bench.in_flight = number_arg(argc, argv, 3, 2);
    bench.data_bytes = number_arg(argc, argv, 4, 200);
    bench.fetcher = (struct fetcher){ .uuid = "00000000-0000-4000-8000-000000000001",
                                      .worker_name = "bench",
                                      .lock_ms = 30000,
                                      .max_givebacks = 3 };
    path = argc > 5 ? argv[5] : prepare(&bench);
    if (asprintf(&url, "unix://%s", path) < 0 ||
        config_redis_init(&endpoint, "bench", url, &err) < 0)
        die("endpoint", path);
    endpoint.connect_timeout_ms = endpoint.command_timeout_ms = 60000;
    bench.asked = redisConnectUnix(path);
    if (!bench.asked || bench.asked->err)
        die("connect", path);
    if (uv_loop_init(&bench.loop) != 0)
        die("loop", "no memory");
    if (redis_open(&bench.loop, &options, &bench.redis, &err) < 0)
        die("open", err.text);
    if (queue_new("bull", "bench", bench.redis, &bench.queue, &err) < 0)
        die("queue", err.text);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    seconds = (double)(bench.ended_us - bench.started_us) / 1e6;
    (void)printf("jobs=%zu k=%zu in_flight=%zu jobs_per_s=%.0f redis_cpu_us_per_job=%.1f "
                 "own_cpu_us_per_job=%.2f call_us=%.0f\n",
                 bench.jobs, bench.batch, bench.in_flight, (double)bench.jobs / seconds,
                 bench.redis_cpu_s * 1e6 / (double)bench.jobs,
                 bench.own_cpu_s * 1e6 / (double)bench.jobs, seconds * 1e6 / (double)bench.calls);
    queue_free(bench.queue);
    redisFree(bench.asked);
    redis_server_stop(&bench.server);
    config_redis_done(&endpoint);
    free(url);
    return 0;
}
