/* One job that kills its process each time, among many that do not: it fails with its history, the
 * others complete, and none of them fails, whatever they were run with (issue: supervised pools).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/lua/add/queue_rig.h"

#define JOBS       50
#define ROUNDS_MAX 1000

/* A worker as far as it matters here: what it holds ends with its next call. */
struct process {
    struct fetcher fetcher;
    struct job *held[QUEUE_TURN_MAX];
    size_t held_count;
    bool alone; /* told to empty itself, then to fetch alone */
};

static struct queue *queue;
static unsigned spawned, deaths;

static void start(void)
{
    struct error err;

    queue_rig_start();
    cr_assert_eq(queue_new("bull", "q", queue_rig_redis(), &queue, &err), 0);
}

static void stop(void)
{
    queue_free(queue);
    queue_rig_stop();
}

static void spawn(struct process *process)
{
    *process = (struct process){ .fetcher = { .lock_ms = 30000, .max_givebacks = 3 } };
    (void)snprintf(process->fetcher.uuid, sizeof(process->fetcher.uuid), "p%u", ++spawned);
}

static void let_go(struct process *process)
{
    for (size_t i = 0; i < process->held_count; i++)
        job_free(process->held[i]);
    process->held_count = 0;
}

static void on_turn(struct queue *called, const struct call_result *call,
                    const struct settle_result *results, size_t results_count, struct job **jobs,
                    size_t jobs_count, const struct fetch_state *state, void *arg)
{
    struct process *process = arg;

    (void)called;
    cr_assert_eq(call->outcome, REDIS_REPLY, "%s", call->why);
    for (size_t i = 0; i < results_count; i++)
        cr_assert_eq(results[i].code, SETTLE_OK);
    let_go(process);
    if (jobs_count > 0)
        memcpy(process->held, jobs, jobs_count * sizeof(*jobs));
    process->held_count = jobs_count;
    process->alone = state->alone;
    for (size_t i = 0; i < jobs_count; i++)
        cr_assert(jobs_count == 1 || jobs[i]->givebacks < 2, "%s is not alone", jobs[i]->id.data);
}

/* Completes what it holds, and fetches as it was told. */
static void turn(struct process *process, size_t most)
{
    struct settle settles[QUEUE_TURN_MAX];
    struct fetch_want want = {
        .max = most, .live = 1, .bytes_max = 1 << 20, .alone = process->alone
    };
    struct error err;

    for (size_t i = 0; i < process->held_count; i++)
        settles[i] = (struct settle){ .kind = SETTLE_COMPLETE,
                                      .job = process->held[i],
                                      .value = { "1", 1 } };
    cr_assert_eq(queue_turn(queue, &process->fetcher, settles, process->held_count, &want, on_turn,
                            process, &err),
                 0);
    (void)queue_rig_run();
}

static void on_recovered(struct queue *called, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    (void)called;
    cr_assert_eq(call->outcome, REDIS_REPLY);
    cr_assert_eq(result->given_back + result->failed, *(size_t *)arg);
}

static void die(struct process *process)
{
    struct recover_spec spec = { process->fetcher.uuid, "signal 11 (SIGSEGV)", 3 };
    struct error err;

    deaths++;
    cr_assert_eq(queue_recover(queue, &spec, on_recovered, &process->held_count, &err), 0);
    (void)queue_rig_run();
    let_go(process);
    spawn(process);
}

static bool holds_poison(const struct process *process)
{
    for (size_t i = 0; i < process->held_count; i++) {
        if (strcmp(process->held[i]->id.data, "20") == 0)
            return true;
    }
    return false;
}

static bool is_over(void)
{
    return strcmp(redis_says("ZCARD bull:q:completed"), "49") == 0 &&
           strcmp(redis_says("ZCARD bull:q:failed"), "1") == 0;
}

static void run_all(struct process *processes, size_t count, size_t most)
{
    unsigned rounds = 0;

    while (!is_over()) {
        cr_assert_lt(rounds++, ROUNDS_MAX, "%zu processes, %zu jobs each: completed %s, failed %s",
                     count, most, redis_says("ZCARD bull:q:completed"),
                     redis_says("ZCARD bull:q:failed"));
        for (size_t i = 0; i < count; i++) {
            turn(&processes[i], most);
            if (holds_poison(&processes[i]))
                die(&processes[i]);
        }
    }
}

static void check_poison(size_t count, size_t most)
{
    struct process processes[8];

    (void)redis_says("FLUSHALL");
    (void)redis_says(
        "EVAL %s 0 %u",
        "for i = 1, ARGV[1] do redis.call('HSET', 'bull:q:' .. i, 'name', 'n', 'data', "
        "'{}', 'opts', '{}', 'priority', '0') "
        "redis.call('LPUSH', 'bull:q:wait', i) end",
        JOBS);
    deaths = 0;
    for (size_t i = 0; i < count; i++)
        spawn(&processes[i]);
    run_all(processes, count, most);
    for (size_t i = 0; i < count; i++)
        let_go(&processes[i]);
    cr_expect_eq(deaths, 3, "%u deaths", deaths);
    cr_expect_str_eq(redis_says("ZRANGE bull:q:failed 0 -1"), "20");
    cr_expect_str_eq(redis_says("HGET bull:q:20 failedReason"),
                     "its process died 3 times while running it: signal 11 (SIGSEGV); signal 11 "
                     "(SIGSEGV); signal 11 (SIGSEGV)");
    cr_expect_str_eq(redis_says("EXISTS bull:q:wait bull:q:active bull:q:prioritized"), "0");
}

Test(poison, one_among_50, .init = start, .fini = stop)
{
    static const size_t counts[] = { 1, 2, 8 }, mosts[] = { 1, 7, 50 };

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(mosts); j++)
            check_poison(counts[i], mosts[j]);
    }
}
