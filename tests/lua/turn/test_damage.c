/* A batch of 50 in which one job is damaged, in every way there is: the others settle, and the bad
 * one ends in `failed` with a reason, or settles where the damage does not matter (issue 2, item
 * 3). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/lua/turn/scenario.h"

enum ending { FAILS, SETTLES };

struct damage {
    const char *name;
    const char *lines; /* done to job 25 */
    enum ending ending;
};

/* The whole key, each of its parts, and each field by itself. */
static const struct damage damages[] = {
    { "key is a string", "+ DEL :25\n+ SET :25 x\n", FAILS },
    { "key is a list", "+ DEL :25\n+ LPUSH :25 x\n", FAILS },
    { "key is a set", "+ DEL :25\n+ SADD :25 x\n", FAILS },
    { "key is a sorted set", "+ DEL :25\n+ ZADD :25 1 x\n", FAILS },
    { "key is a stream", "+ DEL :25\n+ XADD :25 * a b\n", FAILS },
    { "lock is a list", "+ DEL :25:lock\n+ LPUSH :25:lock x\n", FAILS },
    { "lock is a hash", "+ DEL :25:lock\n+ HSET :25:lock a b\n", FAILS },
    { "dependencies is a string", "+ SET :25:dependencies x\n", FAILS },
    { "dependencies is a list", "+ LPUSH :25:dependencies x\n", FAILS },
    { "unsuccessful is a string", "+ SET :25:unsuccessful x\n", FAILS },
    { "processed is a string", "+ SET :25:processed x\n", SETTLES },
    { "failed is a list", "+ LPUSH :25:failed x\n", SETTLES },
    { "logs is a string", "+ SET :25:logs x\n", SETTLES },
    { "name", "+ HDEL :25 name\n", SETTLES },
    { "data", "+ HSET :25 data {broken\n", SETTLES },
    { "opts", "+ HSET :25 opts {broken\n", SETTLES },
    { "timestamp", "+ HSET :25 timestamp then\n", SETTLES },
    { "delay", "+ HSET :25 delay long\n", SETTLES },
    { "progress", "+ HSET :25 progress {broken\n", SETTLES },
    { "processedOn", "+ HSET :25 processedOn then\n", SETTLES },
    { "stacktrace", "+ HSET :25 stacktrace {broken\n", SETTLES },
    { "stc", "+ HSET :25 stc many\n", SETTLES },
    { "atm is a word", "+ HSET :25 atm many\n", FAILS },
    { "atm is a fraction", "+ HSET :25 atm 1.5\n", FAILS },
    { "atm is empty", "+ EVAL \"redis.call('HSET', KEYS[1], 'atm', '')\" 1 :25\n", FAILS },
    { "atm is huge", "+ HSET :25 atm 99999999999999999999\n", FAILS },
    { "ats is a word", "+ HSET :25 ats many\n", FAILS },
    { "ats has an exponent", "+ EVAL \"redis.call('HSET', KEYS[1], 'ats', '1e3')\" 1 :25\n",
      FAILS },
    { "priority", "+ HSET :25 priority high\n", SETTLES },
    { "parentKey", "+ HSET :25 parentKey nowhere\n", FAILS },
    { "parent is broken JSON", "+ HSET :25 parent {broken parentKey bull:p:P\n", FAILS },
    { "parent is no object", "+ HSET :25 parent [] parentKey bull:p:P\n", FAILS },
    { "the parent is a string", "+ SET bull:p:P x\n+ HSET :25 parentKey bull:p:P\n", FAILS },
    { "the parent's children are a string",
      "+ SET bull:p:P:dependencies x\n+ HSET :25 parentKey bull:p:P\n", FAILS },
    { "the parent's queue is damaged", "+ SET bull:p:wait x\n+ HSET :25 parentKey bull:p:P\n",
      FAILS },
    { "its deduplication is a list", "+ HSET :25 deid d\n+ LPUSH :de:d x\n", FAILS },
    { "its last update is a string", "+ HSET :25 deid d\n+ SET :dn:d x\n", FAILS },
    { "its last update has broken options", "+ HSET :25 deid d\n+ HSET :dn:d opts {broken jid 7\n",
      FAILS },
};

#define LINES_BYTES 16384

static char *jobs_of_batch(char *at, const char *end)
{
    for (int i = 1; i <= 50; i++)
        at += snprintf(at, (size_t)(end - at), "active %d\n", i);
    return at;
}

static char *turn_of_batch(char *at, const char *end, const char *kind)
{
    at += snprintf(at, (size_t)(end - at), "turn");
    for (int i = 1; i <= 50; i++)
        at += snprintf(at, (size_t)(end - at), " ; %s %d", kind, i);
    return at + snprintf(at, (size_t)(end - at), "\n");
}

static char *codes_of_batch(char *at, const char *end, enum ending ending)
{
    at += snprintf(at, (size_t)(end - at), "reply codes=");
    if (ending == SETTLES)
        return at + snprintf(at, (size_t)(end - at), "ok jobs=\n");
    for (int i = 1; i <= 50; i++)
        at += snprintf(at, (size_t)(end - at), "%s%s", i > 1 ? "," : "", i == 25 ? "damaged" : "0");
    return at + snprintf(at, (size_t)(end - at), " jobs=\n");
}

/* Job 25 is in `failed`, readable; 1 and 50 are where they belong. */
static void expect_ending(char *at, const char *end, const struct damage *damage, const char *kind)
{
    bool complete = *kind == 'c';

    at += snprintf(at, (size_t)(end - at),
                   "is :active -\nis :1:lock -\nis :25:lock -\nis :50:lock -\n");
    at += snprintf(at, (size_t)(end - at),
                   complete ? "field 1 returnvalue 1\nfield 50 returnvalue 1\n"
                            : "field 1 failedReason boom\nfield 50 failedReason boom\n");
    if (damage->ending == FAILS)
        at += snprintf(at, (size_t)(end - at),
                       "has 25 failedReason \"damaged job data\"\nfield 25 finishedOn 1000000\n"
                       "+ EVAL \"assert(redis.call('ZSCORE', KEYS[1], '25'))\" 1 :failed\n"
                       "+ EVAL \"for _, name in ipairs({'opts', 'data'}) do "
                       "cjson.decode(redis.call('HGET', KEYS[1], name)) end\" 1 :25\n");
    (void)snprintf(
        at, (size_t)(end - at), "+ EVAL \"assert(redis.call('ZCARD', KEYS[1]) == %d)\" 1 :%s\n",
        damage->ending == FAILS && complete ? 49 : 50, complete ? "completed" : "failed");
}

static void run_damages(const char *kind, bool (*matters)(const struct damage *))
{
    static char lines[ARRAY_SIZE(damages)][LINES_BYTES];
    static struct scenario rows[ARRAY_SIZE(damages)];
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        const char *end = lines[count] + LINES_BYTES;
        char *at = jobs_of_batch(lines[count], end);

        if (!matters(&damages[i]))
            continue;
        at += snprintf(at, (size_t)(end - at), "%s", damages[i].lines);
        at = turn_of_batch(at, end, kind);
        at = codes_of_batch(at, end, damages[i].ending);
        expect_ending(at, end, &damages[i], kind);
        rows[count] = (struct scenario){ damages[i].name, lines[count] };
        count++;
    }
    scenario_run_all(rows, count);
}

static bool always(const struct damage *damage)
{
    (void)damage;
    return true;
}

/* A failing job does not look at its children. */
static bool not_children(const struct damage *damage)
{
    return strncmp(damage->name, "dependencies", 12) != 0 &&
           strncmp(damage->name, "unsuccessful", 12) != 0;
}

Test(damage, batch_of_50_completes)
{
    run_damages("c", always);
}

Test(damage, batch_of_50_fails)
{
    run_damages("f", not_children);
}

Test(damage, other_endings)
{
    static const struct scenario rows[] = {
        { "retry now", "active 1 priority=high\nactive 2\nturn ; r 1 ; r 2\nreply waiting=1 "
                       "codes=damaged,0 jobs=\nis :failed 1=1000000\nis :wait 2\n" },
        { "retry later", "active 1 atm=x\nturn ; l 1\nreply codes=damaged jobs=\nis :failed "
                         "1=1000000\nis :delayed -\n" },
        { "delay", "active 1\n+ DEL :1\n+ SET :1 x\nturn ; d 1\nreply codes=damaged jobs=\nis "
                   ":failed 1=1000000\nis $quarantine:1:1 x\n" },
        { "give back",
          "active 1 priority=high\nturn ; g 1\nreply codes=damaged jobs=\nis :failed 1=1000000\n" },
        { "options that the worker could not read: failed, and readable afterwards",
          "active 1 opts={x atm=2\nturn ; x 1 value=\"opts are broken\" stack=[\"s\"]\nreply "
          "codes=ok jobs=\nis :failed 1=1000000\n"
          "field 1 failedReason \"opts are broken\"\nfield 1 opts {}\nfield 1 stacktrace "
          "[s]\nfield 1 atm 3\nis $quarantine:1:1:fields opts={x\n"
          "events failed jobId=1 failedReason=opts are broken prev=active | drained\n" },
        { "data that is no JSON becomes a string",
          "active 1 data={x atm=many\nturn ; c 1\n+ EVAL \"assert(cjson.decode(redis.call('HGET', "
          "KEYS[1], 'data')) == '{x')\" 1 :1\n"
          "is :failed 1=1000000\n" },
        { "parts of wrong kinds are put aside",
          "active 1 atm=x\n+ SET :1:logs l\n+ SET :1:processed p\n+ SET :1:failed f\n+ SET "
          ":1:dependencies d\n+ SET :1:unsuccessful u\n"
          "turn ; c 1\nis :1:logs -\nis :1:processed -\nis $quarantine:1:1:logs l\nis "
          "$quarantine:1:1:dependencies d\n"
          "is $quarantine:1:1:unsuccessful u\n" },
        { "a job of another worker is never touched",
          "active 1 atm=x\n+ SET :1:lock V:1\nturn ; c 1\nreply active=1 codes=-6 jobs=\nfield 1 "
          "atm x\nis :failed -\n" },
        { "nor one without a lock", "active 1 atm=x\n+ DEL :1:lock\nturn ; c 1\nreply active=1 "
                                    "codes=-2 jobs=\nfield 1 atm x\n" },
        { "what is not kept is kept when damaged",
          "active 1 atm=x\nturn ; c 1 keep=0\nis :failed 1=1000000\n" },
        { "a stream that is full of time",
          "active 1\n+ XADD :events 18446744073709551615-18446744073709551615 a b\n"
          "turn ; c 1\nreply codes=ok jobs=\nis :completed 1=1000000\n" },
    };
    SCENARIOS(rows);
}
