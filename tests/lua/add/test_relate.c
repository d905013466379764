/* lua/relate.lua: children of a job that is there (wire format 3.1, 3.6, 15.7): where they are
 * noted, what a job of their id that exists becomes, and when their parent moves on. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lua/add/adding.h"

TestSuite(relate, .init = adding_setup, .fini = adding_teardown, .timeout = 60);

static struct job_spec child(const char *name, const char *id, const char *parent_queue)
{
    struct job_spec spec = plain(name);

    if (id)
        spec.id = text(id);
    spec.parent = (struct job_parent){ text("dad"), text(parent_queue) };
    return spec;
}

/* A parent in bull:p that waits for its children. */
static void make_parent(const char *queue)
{
    redis_says("HSET %s:dad name dad data {} opts {} timestamp 1 delay 0 priority 0", queue);
    redis_says("ZADD %s:waiting-children 1 dad", queue);
}

Test(relate, child_is_stored_and_its_parent_waits_for_it)
{
    struct job_spec spec = child("kid", NULL, "bull:p");

    make_parent("bull:p");
    add(&spec, 1);
    cr_expect(added.code[0] == ADD_OK && !added.duplicate[0]);
    says("kid {} {\"attempts\":0,\"timestamp\":1795300804162,\"parent\":{\"id\":"
         "\"dad\",\"queue\":\"bull:p\"}} 1795300804162 0 0 bull:p:dad "
         "{\"id\":\"dad\",\"queueKey\":\"bull:p\"}",
         "HMGET bull:q:1 name data opts timestamp delay priority parentKey parent");
    says("8", "HLEN bull:q:1");
    says("bull:q:1", "SMEMBERS bull:p:dad:dependencies");
    says("1", "LRANGE bull:q:wait 0 -1");
    says("0 0", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("opts.maxLenEvents 10000", "HGETALL bull:q:meta");
    cr_expect_str_eq(events("q"), "|event added jobId 1 name kid |event waiting jobId 1 ");
    says("0", "EXISTS bull:p:meta bull:p:id bull:p:events");
}

Test(relate, every_policy_is_in_options_and_parent)
{
    static const struct {
        enum job_policy policy;
        const char *opts, *parent;
    } rows[] = {
        { JOB_POLICY_FAIL_PARENT, "\"fpof\":true", ",\"fpof\":true}" },
        { JOB_POLICY_CONTINUE_PARENT, "\"cpof\":true", ",\"cpof\":true}" },
        { JOB_POLICY_IGNORE_DEPENDENCY, "\"idof\":true", ",\"idof\":true}" },
        { JOB_POLICY_REMOVE_DEPENDENCY, "\"rdof\":true", ",\"rdof\":true}" },
    };

    make_parent("bull:p");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = child("kid", "kid", "bull:p");

        spec.policy = rows[i].policy;
        redis_says("DEL bull:q:kid");
        add(&spec, 1);
        cr_expect(strstr(redis_says("HGET bull:q:kid opts"), rows[i].opts), "%s", rows[i].opts);
        cr_expect(strstr(redis_says("HGET bull:q:kid parent"), rows[i].parent), "%s",
                  redis_says("HGET bull:q:kid parent"));
    }
}

Test(relate, places_are_those_of_ordinary_jobs)
{
    struct job_spec specs[5];

    make_parent("bull:q"); /* also in the queue itself */
    for (size_t i = 0; i < 5; i++)
        specs[i] = child("kid", NULL, "bull:q");
    specs[1].lifo = true;
    specs[2].priority = 3;
    specs[3].delay_ms = 1000;
    specs[4].delay_ms = 1000;
    add(specs, 5);
    says("1 2", "LRANGE bull:q:wait 0 -1");
    says("3 12884901889", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("4 7353552097943552 5 7353552097943553", "ZRANGE bull:q:delayed 0 -1 WITHSCORES");
    says("0 0 1 1795300805162", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("5", "SCARD bull:q:dad:dependencies");
    redis_says("HSET bull:q:meta paused 1");
    redis_says("DEL bull:q:marker");
    add(specs, 1);
    says("6", "LRANGE bull:q:paused 0 -1");
    says("0", "EXISTS bull:q:marker");
}

Test(relate, missing_parent_refuses_and_writes_nothing)
{
    struct job_spec spec = child("kid", "kid", "bull:p");

    add(&spec, 1);
    cr_expect(added.code[0] == ADD_PARENT_MISSING && added.refused[0]);
    cr_expect_str_eq(added.ids[0], "there is no parent \"bull:p:dad\"");
    says("0", "EXISTS bull:q:kid bull:q:id bull:q:wait bull:p:dad:dependencies");
}

Test(relate, one_refused_job_hinders_no_other)
{
    struct job_spec specs[3] = { child("a", NULL, "bull:p"), child("b", NULL, "bull:gone"),
                                 plain("c") };

    make_parent("bull:p");
    add(specs, 3);
    cr_expect(!added.refused[0] && added.code[1] == ADD_PARENT_MISSING && !added.refused[2]);
    says("2 1", "LRANGE bull:q:wait 0 -1");
}

/* ---- a job of that id is there ---- */

Test(relate, namesake_becomes_the_child)
{
    static const struct {
        const char *name, *old_parent;
        bool old_there;
        enum add_code code;
    } rows[] = {
        { "without a parent", NULL, false, ADD_OK },
        { "of the same parent", "bull:p:dad", true, ADD_OK },
        { "of a parent that is gone", "bull:p:gone", false, ADD_OK },
        { "of another parent", "bull:o:other", true, ADD_PARENT_OF_OTHER },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = child("new", "kid", "bull:p");
        bool good = rows[i].code == ADD_OK;

        redis_says("FLUSHALL");
        make_parent("bull:p");
        redis_says("HSET bull:q:kid name old data 1 opts {}");
        redis_says("LPUSH bull:q:wait kid");
        if (rows[i].old_parent)
            redis_says("HSET bull:q:kid parentKey %s parent old", rows[i].old_parent);
        if (rows[i].old_there)
            redis_says("HSET %s name x", rows[i].old_parent);
        spec.policy = JOB_POLICY_FAIL_PARENT;
        add(&spec, 1);
        cr_expect(added.code[0] == rows[i].code, "%s: %s", rows[i].name, added.ids[0]);
        cr_expect(added.duplicate[0] == good, "%s", rows[i].name);
        cr_expect_str_eq(added.ids[0], good ? "kid" : "bull:q:kid is a child of \"bull:o:other\"",
                         "%s", rows[i].name);
        says(good ? "bull:q:kid" : "", "SMEMBERS bull:p:dad:dependencies");
        says(good ? "bull:p:dad" : "bull:o:other", "HGET bull:q:kid parentKey");
        says(good ? "{\"id\":\"dad\",\"queueKey\":\"bull:p\",\"fpof\":true}" : "old",
             "HGET bull:q:kid parent");
        says("old", "HGET bull:q:kid name");
        says("kid", "LRANGE bull:q:wait 0 -1");
        says("dad", "ZRANGE bull:p:waiting-children 0 -1");
        cr_expect_str_eq(events("q"), good ? "|event duplicated jobId kid " : "", "%s",
                         rows[i].name);
        says("1", "GET bull:q:id");
    }
}

static void make_completed(const char *value)
{
    redis_says("HSET bull:q:kid name old data 1 opts {}");
    if (value)
        redis_says("HSET bull:q:kid returnvalue %s", value);
    redis_says("ZADD bull:q:completed 7 kid");
}

Test(relate, completed_namesake_counts_as_done_and_the_parent_moves_on)
{
    struct job_spec spec = child("new", "kid", "bull:p");

    make_parent("bull:p");
    make_completed("{\"r\":1}");
    add(&spec, 1);
    cr_expect(added.duplicate[0]);
    says("bull:q:kid {\"r\":1}", "HGETALL bull:p:dad:processed");
    says("0", "EXISTS bull:p:dad:dependencies bull:p:waiting-children");
    says("dad", "LRANGE bull:p:wait 0 -1");
    says("0 0", "ZRANGE bull:p:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(events("p"), "|event waiting jobId dad prev waiting-children ");
    cr_expect_str_eq(events("q"), "|event duplicated jobId kid ");
    says("0", "EXISTS bull:q:marker bull:q:wait");
}

Test(relate, parent_with_other_children_goes_on_waiting)
{
    struct job_spec spec = child("new", "kid", "bull:p");

    make_parent("bull:p");
    redis_says("SADD bull:p:dad:dependencies bull:q:other");
    make_completed(NULL);
    add(&spec, 1);
    says("bull:q:kid null", "HGETALL bull:p:dad:processed");
    says("dad", "ZRANGE bull:p:waiting-children 0 -1");
    says("0", "EXISTS bull:p:wait");
}

Test(relate, parent_moves_on_to_where_it_belongs)
{
    struct job_spec spec = child("new", "kid", "bull:p");

    make_parent("bull:p");
    redis_says("HSET bull:p:dad delay 1000");
    make_completed(NULL);
    add(&spec, 1);
    says("dad 7353552097943552", "ZRANGE bull:p:delayed 0 -1 WITHSCORES");
    says("1 1795300805162", "ZRANGE bull:p:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(events("p"), "|event delayed jobId dad delay 1795300805162 ");

    redis_says("FLUSHALL");
    make_parent("bull:q"); /* in the same queue, paused, with a priority */
    redis_says("HSET bull:q:dad priority 2");
    redis_says("HSET bull:q:meta paused 1");
    spec = child("new", "kid", "bull:q");
    make_completed(NULL);
    add(&spec, 1);
    says("dad 8589934593", "ZRANGE bull:q:prioritized 0 -1 WITHSCORES");
    says("0", "EXISTS bull:q:marker");
}

/* ---- what is refused ---- */

Test(relate, spoilt_key_refuses_the_call_before_its_first_write)
{
    static const char *const spoil[] = {
        "SET bull:q:wait x",   "SET bull:q:paused x",    "SET bull:q:delayed x",
        "SET bull:q:marker x", "SET bull:q:events x",    "SET bull:q:meta x",
        "LPUSH bull:q:id x",   "SET bull:q:id x",        "SET bull:q:prioritized x",
        "LPUSH bull:q:pc x",   "SET bull:q:completed x", "SET bull:q:active x",
    };
    struct job_spec spec = plain("a");

    spec.dedup.id = text("d");
    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        redis_says("FLUSHALL");
        redis_says(spoil[i]);
        add(&spec, 1);
        cr_expect(added.call.outcome == REDIS_REFUSED, "%s", spoil[i]);
        cr_expect_str_eq(redis_says("DBSIZE"), "1", "%s left %s", spoil[i], redis_says("KEYS *"));
    }
}

Test(relate, spoilt_key_of_a_parent_refuses_its_child_alone)
{
    static const char *const spoil[] = {
        "SET bull:p:dad x",           "SET bull:p:dad:dependencies x",
        "SET bull:p:dad:processed x", "SET bull:p:waiting-children x",
        "SET bull:p:wait x",          "LPUSH bull:q:2 x",
    };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        struct job_spec specs[3] = { plain("a"), child("b", NULL, "bull:p"), plain("c") };

        redis_says("FLUSHALL");
        if (i > 0)
            redis_says("HSET bull:p:dad name dad");
        redis_says(spoil[i]);
        add(specs, 3);
        cr_expect(added.call.outcome == REDIS_REPLY, "%s: %s", spoil[i], added.why);
        cr_expect(added.code[1] == ADD_UNSTORED && strstr(added.ids[1], " holds a "), "%s: %s",
                  spoil[i], added.ids[1]);
        cr_expect(!added.refused[0] && !added.refused[2], "%s", spoil[i]);
        says("2", "LLEN bull:q:wait");
    }
}

Test(relate, job_can_not_be_its_own_parent)
{
    struct job_spec spec = child("a", "dad", "bull:q");
    struct error err = { 0 };

    cr_expect(queue_add_jobs(adding_queue, &spec, 1, adding_on_added, NULL, &err) == -EINVAL);
    cr_expect_str_eq(err.text, "job 1: it is its own parent");
    spec.parent.queue = text("bull:p");
    make_parent("bull:p");
    add(&spec, 1);
    cr_expect(!added.refused[0]);
}

Test(relate, largest_batch)
{
    static struct job_spec specs[QUEUE_ADD_MAX];

    make_parent("bull:p");
    for (size_t i = 0; i < QUEUE_ADD_MAX; i++)
        specs[i] = child("kid", NULL, "bull:p");
    add(specs, QUEUE_ADD_MAX);
    cr_expect(added.count == QUEUE_ADD_MAX);
    says("500", "SCARD bull:p:dad:dependencies");
    says(
        "500 1", "EVAL %s 0",
        "return {redis.call('LINDEX', 'bull:q:wait', 0), redis.call('LINDEX', 'bull:q:wait', -1)}");
}

/* Ordinary jobs are cheaper: they do not pay for what others can. */
Test(relate, ordinary_jobs_go_through_the_cheap_script)
{
    static struct job_spec specs[QUEUE_ADD_MAX];
    const char *calls;

    for (size_t i = 0; i < QUEUE_ADD_MAX; i++)
        specs[i] = plain("a");
    redis_says("CONFIG RESETSTAT");
    add(specs, QUEUE_ADD_MAX);
    calls = redis_says("INFO commandstats");
    cr_expect(strstr(calls, "cmdstat_hset:calls=500,"), "%s", calls);
    cr_expect(strstr(calls, "cmdstat_xadd:calls=1000,"), "%s", calls);
    cr_expect(strstr(calls, "cmdstat_lpush:calls=1,"), "%s", calls);
    cr_expect(strstr(calls, "cmdstat_incrby:calls=1,"), "%s", calls);
    cr_expect(!strstr(calls, "cmdstat_incr:") && !strstr(calls, "cmdstat_exists:"), "%s", calls);
}
