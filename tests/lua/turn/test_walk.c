/* The walks of recover and adopt miss nothing and do nothing twice while others fetch, settle and
 * retry between their pieces, in lists of thousands. Random, by seeds that a failure prints. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/lua/add/queue_rig.h"

#define SEEDS  12
#define ACTIVE 5500

static struct queue *queue;
static struct fetcher fetcher = {
    .uuid = "U", .worker_name = "w", .lock_ms = 30000, .calls = 9, .max_givebacks = 3
};
static unsigned seed, pieces;

static struct {
    enum redis_outcome outcome;
    uint64_t given_back, failed;
    struct job *jobs[QUEUE_ADOPT_MAX];
    size_t jobs_count;
} got;

static void start(void)
{
    struct error err;

    queue_rig_start();
    cr_assert_eq(queue_new("bull", "q", queue_rig_redis(), &queue, &err), 0);
}

static void stop(void)
{
    queue_rig_between(NULL);
    queue_free(queue);
    queue_rig_stop();
}

/* Job i is in `active`, oldest first, in one of ten of U, which are numbered from 1 by `u`. */
static const char fill_script[] =
    "local P, seed, count, most_of_u = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "math.randomseed(seed) local u = 0\n"
    "for i = 1, count do\n"
    "  local id, owner = 'j' .. i, math.random(3) == 1 and 'V:1' or 'W:1'\n"
    "  if math.random(10) == 1 and u < most_of_u then\n"
    "    u = u + 1 id, owner = 'u' .. u, 'U:' .. u end\n"
    "  redis.call('HSET', P .. id, 'name', 'n', 'ats', '1', 'opts', '{}')\n"
    "  redis.call('SET', P .. id .. ':lock', owner)\n"
    "  redis.call('LPUSH', P .. 'active', id) end\n"
    "return u\n";

/* What others do between two pieces: settle, retry and fetch again, fetch what waits or is new; now
 * and then all that stands at the head goes, so that no anchor is left. */
static const char others_script[] =
    "local P, seed, piece = ARGV[1], ARGV[2], ARGV[3]\n"
    "math.randomseed(seed)\n"
    "local function is_others(id)\n"
    "  return string.sub(redis.call('GET', P .. id .. ':lock') or 'U', 1, 1) ~= 'U' end\n"
    "local function leave(id)\n"
    "  redis.call('LREM', P .. 'active', 1, id) redis.call('DEL', P .. id .. ':lock') end\n"
    "local function fetch(id)\n"
    "  redis.call('HINCRBY', P .. id, 'ats', 1)\n"
    "  redis.call('SET', P .. id .. ':lock', 'V:' .. piece)\n"
    "  redis.call('LPUSH', P .. 'active', id) end\n"
    "local function settle(id) leave(id) redis.call('ZADD', P .. 'completed', 1, id) end\n"
    "local first = math.random(5) == 1 and redis.call('LRANGE', P .. 'active', 0, 700) or {}\n"
    "for _, id in ipairs(first) do if is_others(id) then settle(id) end end\n"
    "for _ = 1, math.random(60) do\n"
    "  local at = math.random(redis.call('LLEN', P .. 'active')) - 1\n"
    "  local id = redis.call('LINDEX', P .. 'active', at)\n"
    "  if id and is_others(id) then\n"
    "    if math.random(4) == 1 then leave(id) fetch(id) else settle(id) end end end\n"
    "for i = 1, math.random(60) do\n"
    "  local id = math.random(4) == 1 and redis.call('RPOP', P .. 'wait')\n"
    "  if not id then id = 'n' .. piece .. '.' .. i redis.call('HSET', P .. id, 'name', 'n') end\n"
    "  fetch(id) end\n"
    "return 1\n";

/* Each job is in one place, with a lock or without as it belongs there, none is of U but the known
 * and the adopted ones (ids in ARGV), and what waits is in the order of its fetching. */
static const char check_script[] =
    "local P, bad, place, ours, last = ARGV[1], {}, {}, {}, 1 / 0\n"
    "for i = 2, #ARGV do ours[ARGV[i]] = true end\n"
    "local function at(name, ids) for _, id in ipairs(ids) do\n"
    "  if place[id] then bad[#bad + 1] = id .. ' is in ' .. place[id] .. ' and ' .. name end\n"
    "  place[id] = name\n"
    "  local lock = redis.call('GET', P .. id .. ':lock')\n"
    "  if (name == 'active') ~= (lock ~= false) then bad[#bad + 1] = id .. ': lock' end\n"
    "  if lock and (string.sub(lock, 1, 2) == 'U:') ~= (ours[id] or false) then\n"
    "    bad[#bad + 1] = id .. ' is of ' .. lock end end end\n"
    "at('active', redis.call('LRANGE', P .. 'active', 0, -1))\n"
    "at('wait', redis.call('LRANGE', P .. 'wait', 0, -1))\n"
    "at('completed', redis.call('ZRANGE', P .. 'completed', 0, -1))\n"
    "for _, id in ipairs(redis.call('LRANGE', P .. 'wait', 0, -1)) do\n"
    "  local number = tonumber(string.sub(id, 2))\n"
    "  if number >= last then bad[#bad + 1] = id .. ' waits behind ' .. last end\n"
    "  last = number end\n"
    "for _, key in ipairs(redis.call('KEYS', P .. '*')) do\n"
    "  local id = string.match(string.sub(key, #P + 1), '^([jun][%d.]+)$')\n"
    "  if id and not place[id] then bad[#bad + 1] = id .. ' is nowhere' end end\n"
    "return table.concat(bad, '; ', 1, math.min(#bad, 5))\n";

static unsigned fill(unsigned most_of_u)
{
    (void)redis_says("FLUSHALL");
    pieces = 0;
    return (unsigned)atoi(
        redis_says("EVAL %s 0 %s %u %d %u", fill_script, "bull:q:", seed, ACTIVE, most_of_u));
}

static void others(void)
{
    const char *said =
        redis_says("EVAL %s 0 %s %u %u", others_script, "bull:q:", seed * 1000 + pieces, pieces);

    cr_assert_str_eq(said, "1", "seed %u: %s", seed, said);
    pieces++;
}

static void on_recovered(struct queue *called, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    (void)called;
    (void)arg;
    got.outcome = call->outcome;
    got.given_back = result->given_back;
    got.failed = result->failed;
}

static void on_adopted(struct queue *called, const struct call_result *call, struct job **jobs,
                       size_t jobs_count, uint64_t given_back, bool fenced, void *arg)
{
    (void)called;
    (void)arg;
    cr_assert_not(fenced);
    got.outcome = call->outcome;
    got.given_back = given_back;
    got.jobs_count = jobs_count;
    memcpy(got.jobs, jobs, jobs_count * sizeof(*jobs));
}

Test(walk, recover_among_thousands, .init = start, .fini = stop, .timeout = 120)
{
    struct recover_spec spec = { "U", "signal 9", 3 };

    queue_rig_between(others);
    for (seed = 1; seed <= SEEDS; seed++) {
        unsigned u = fill(ACTIVE);
        struct error err;
        const char *bad;

        cr_assert_eq(queue_recover(queue, &spec, on_recovered, NULL, &err), 0);
        (void)queue_rig_run();
        bad = redis_says("EVAL %s 0 %s", check_script, "bull:q:");
        cr_assert_str_eq(bad, "", "seed %u: %s", seed, bad);
        cr_assert_eq(got.outcome, REDIS_REPLY);
        cr_assert_eq(got.given_back, u, "seed %u: %llu of %u", seed,
                     (unsigned long long)got.given_back, u);
        cr_assert_eq(got.failed, 0);
        cr_assert_gt(pieces, 6, "seed %u: %u pieces", seed, pieces);
    }
}

/* Every seventh job of U is known; the others are adopted as far as there is room. */
static size_t make_known(unsigned u, struct job *known, const struct job **pointers,
                         char (*ids)[16])
{
    size_t count = 0;

    for (unsigned i = 7; i <= u; i += 7) {
        (void)snprintf(ids[count], sizeof(ids[count]), "u%u", i);
        known[count] = (struct job){ .id = { ids[count], strlen(ids[count]) } };
        (void)snprintf(known[count].token, sizeof(known[count].token), "U:%u", i);
        pointers[count] = &known[count];
        count++;
    }
    return count;
}

static const char *check_adopted(const struct job *const *known, size_t known_count)
{
    const char *argv[QUEUE_ADOPT_MAX + 128] = { "EVAL", check_script, "0", "bull:q:" };
    size_t count = 4;

    for (size_t i = 0; i < known_count; i++)
        argv[count++] = known[i]->id.data;
    for (size_t i = 0; i < got.jobs_count; i++)
        argv[count++] = got.jobs[i]->id.data;
    return redis_says_argv(argv, count);
}

Test(walk, adopt_among_thousands, .init = start, .fini = stop, .timeout = 120)
{
    queue_rig_between(others);
    for (seed = 1; seed <= SEEDS; seed++) {
        struct job known[100];
        const struct job *pointers[ARRAY_SIZE(known)];
        char ids[ARRAY_SIZE(known)][16];
        unsigned u = fill(400);
        size_t count = make_known(u, known, pointers, ids);
        size_t want = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 100 : 5000;
        struct error err;
        const char *bad;

        cr_assert_eq(queue_adopt(queue, &fetcher, pointers, count, want, on_adopted, NULL, &err),
                     0);
        (void)queue_rig_run();
        bad = check_adopted(pointers, count);
        cr_assert_str_eq(bad, "", "seed %u: %s", seed, bad);
        cr_assert_eq(got.outcome, REDIS_REPLY);
        cr_assert_eq(got.jobs_count + got.given_back + count, u, "seed %u", seed);
        cr_assert_eq(got.jobs_count, want < QUEUE_ADOPT_MAX ? want : QUEUE_ADOPT_MAX);
        for (size_t i = 0; i < got.jobs_count; i++) {
            cr_assert(i == 0 || got.jobs[i]->call > got.jobs[i - 1]->call, "seed %u: order", seed);
            cr_assert_eq(got.jobs[i]->attempts_started, 1);
        }
        for (size_t i = 0; i < got.jobs_count; i++)
            job_free(got.jobs[i]);
    }
}
