/* lua/relate.lua: every row of wire format 3.7, and 3.8, with what stock version 6 has mended
 * (15.4): what owns the deduplication id and how long, who gives way, which events tell of it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lua/add/adding.h"

TestSuite(dedup, .init = adding_setup, .fini = adding_teardown, .timeout = 60);

static struct job_spec with(const char *name, struct job_dedup dedup)
{
    struct job_spec spec = plain(name);

    spec.dedup = dedup;
    spec.dedup.id = text("d");
    return spec;
}

static void add_with(const char *name, struct job_dedup dedup, uint64_t delay_ms)
{
    struct job_spec spec = with(name, dedup);

    spec.delay_ms = delay_ms;
    add(&spec, 1);
}

/* The owner's life in milliseconds; -1 without an end, -2 without an owner. */
static long ttl(void)
{
    return strtol(redis_says("PTTL bull:q:de:d"), NULL, 10);
}

/* Takes job 1 out of wait, as a worker does. */
static void make_active(void)
{
    redis_says("LMOVE bull:q:wait bull:q:active RIGHT LEFT");
    redis_says("HSET bull:q:1 ats 1 processedOn 5");
    redis_says("SET bull:q:1:lock token");
}

#define REJECTED_EVENTS                      \
    "|event debounced jobId 1 debounceId d " \
    "|event deduplicated jobId 1 deduplicationId d deduplicatedJobId 2 "

/* What happens to the second add, by mode and by where the first job is. */
enum where { WAITING, DELAYED, ACTIVE };
enum fate { REJECTED, SILENT, TAKEN_OVER, NEXT };

Test(dedup, every_mode_in_every_state)
{
    static const struct row {
        const char *name;
        struct job_dedup dedup;
        long ttl_first;        /* life of the owner's key after the first add; -1: no end */
        enum fate fate[3];     /* by where */
        long ttl_second_is[3]; /* after the second add: -1 no end, 0 what was left, else about so
                                  much */
    } rows[] = {
        { "simple",
          { { 0 }, 0, false, false, false, false },
          -1,
          { REJECTED, REJECTED, REJECTED },
          { -1, -1, -1 } },
        { "throttle", { .ttl_ms = 50000 }, 50000, { REJECTED, REJECTED, REJECTED }, { 0, 0, 0 } },
        { "extend",
          { .ttl_ms = 50000, .extend = true },
          50000,
          { REJECTED, REJECTED, REJECTED },
          { 50000, 50000, 50000 } },
        { "replace", { .replace = true }, -1, { SILENT, TAKEN_OVER, SILENT }, { -1, -1, -1 } },
        { "replace with ttl",
          { .replace = true, .ttl_ms = 50000 },
          50000,
          { SILENT, TAKEN_OVER, SILENT },
          { 0, 0, 0 } },
        { "debounce",
          { .replace = true, .extend = true, .ttl_ms = 50000 },
          50000,
          { SILENT, TAKEN_OVER, SILENT },
          { 0, 50000, 0 } },
        { "keep last",
          { .keep_last_if_active = true, .ttl_ms = 50000 },
          -1,
          { REJECTED, REJECTED, NEXT },
          { -1, -1, -1 } },
        { "keep last, extend",
          { .keep_last_if_active = true, .ttl_ms = 50000, .extend = true },
          -1,
          { REJECTED, REJECTED, NEXT },
          { -1, -1, -1 } },
        { "keep last, replace",
          { .keep_last_if_active = true, .replace = true },
          -1,
          { SILENT, TAKEN_OVER, NEXT },
          { -1, -1, -1 } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int where = WAITING; where <= ACTIVE; where++) {
            const struct row *row = &rows[i];
            enum fate fate = row->fate[where];
            long left;

            redis_says("FLUSHALL");
            add_with("first", row->dedup, where == DELAYED ? 60000 : 0);
            cr_expect(!added.deduplicated[0] && strcmp(added.ids[0], "1") == 0, "%s", row->name);
            says("1", "GET bull:q:de:d");
            says("d", "HGET bull:q:1 deid");
            cr_expect(row->ttl_first < 0 ? ttl() == -1
                                         : ttl() > row->ttl_first - 5000 && ttl() <= row->ttl_first,
                      "%s: %ld", row->name, ttl());
            if (where == ACTIVE)
                make_active();
            if (row->ttl_first > 0)
                redis_says("PEXPIRE bull:q:de:d 30000");
            redis_says("DEL bull:q:events");

            add_with("second", row->dedup, where == DELAYED ? 70000 : 0);
            cr_expect(added.deduplicated[0] == (fate != TAKEN_OVER), "%s in %d", row->name, where);
            cr_expect(added.next[0] == (fate == NEXT), "%s in %d", row->name, where);
            cr_expect_str_eq(added.ids[0], fate == TAKEN_OVER ? "2" : "1", "%s in %d", row->name,
                             where);
            says(fate == TAKEN_OVER ? "2" : "1", "GET bull:q:de:d");
            says(fate == TAKEN_OVER ? "0 1" : "1 0", "EVAL %s 0",
                 "return {redis.call('EXISTS', 'bull:q:1'), redis.call('EXISTS', 'bull:q:2')}");
            says(fate == NEXT ? "1" : "0", "EXISTS bull:q:dn:d");
            left = row->ttl_second_is[where];
            cr_expect(left < 0    ? ttl() == -1
                      : left == 0 ? ttl() > 25000 && ttl() <= 30000
                                  : ttl() > left - 5000 && ttl() <= left,
                      "%s in %d: %ld", row->name, where, ttl());
            if (fate == TAKEN_OVER)
                cr_expect_str_eq(events("q"),
                                 "|event removed jobId 1 prev delayed "
                                 "|event debounced jobId 2 debounceId d "
                                 "|event deduplicated jobId 2 deduplicationId d deduplicatedJobId "
                                 "1 |event added jobId 2 name second "
                                 "|event delayed jobId 2 delay 1795300874162 ",
                                 "%s in %d", row->name, where);
            else
                cr_expect_str_eq(events("q"), fate == SILENT ? "" : REJECTED_EVENTS, "%s in %d",
                                 row->name, where);
            says("2", "GET bull:q:id"); /* every add uses up a number */
        }
    }
}

Test(dedup, options_are_stored_as_stock_clients_read_them)
{
    struct job_spec spec = with(
        "a", (struct job_dedup){
                 .ttl_ms = 7, .extend = true, .keep_last_if_active = true, .reschedule = true });

    add(&spec, 1);
    says("{\"attempts\":0,\"timestamp\":1795300804162,\"de\":{\"id\":\"d\",\"ttl\":7,"
         "\"extend\":true,\"keepLastIfActive\":true,\"reschedule\":true}}",
         "HGET bull:q:1 opts");
    spec = with("b", (struct job_dedup){ .replace = true });
    spec.dedup.id = text("\"x\"");
    add(&spec, 1);
    says("{\"attempts\":0,\"timestamp\":1795300804162,\"de\":{\"id\":\"\\\"x\\\"\","
         "\"replace\":true}}",
         "HGET bull:q:2 opts");
    says("2", "GET bull:q:de:\"x\"");
}

Test(dedup, next_job_is_kept_whole_and_only_the_last)
{
    struct job_spec spec = with("first", (struct job_dedup){ .keep_last_if_active = true });

    add(&spec, 1);
    make_active();
    redis_says("PEXPIRE bull:q:de:d 1000"); /* as another client may have set it */
    spec.data = text("{\"n\":2}");
    add(&spec, 1);
    spec = with("last", (struct job_dedup){ .keep_last_if_active = true });
    spec.id = text("own");
    spec.data = text("{\"n\":3}");
    spec.priority = 4;
    add(&spec, 1);
    says("last {\"n\":3} "
         "{\"attempts\":0,\"priority\":4,\"jobId\":\"own\",\"timestamp\":1795300804162,"
         "\"de\":{\"id\":\"d\",\"keepLastIfActive\":true}} own",
         "HMGET bull:q:dn:d name data opts jid");
    says("4", "HLEN bull:q:dn:d");
    cr_expect(ttl() == -1);
    says("0", "EXISTS bull:q:own bull:q:prioritized");
}

/* Who holds no lock is looked for in the list itself, but only when he has run before. */
Test(dedup, owner_is_active_by_its_lock_or_by_the_list)
{
    static const struct {
        const char *name, *make;
        bool next;
    } rows[] = {
        { "lock", "SET bull:q:1:lock t", true },
        { "never ran", "LPUSH bull:q:active 1", false },
        { "ran, in the list",
          "EVAL \"redis.call('HSET','bull:q:1','ats',1) "
          "redis.call('LPUSH','bull:q:active','x','1','y')\" 0",
          true },
        { "ran, waits again", "HSET bull:q:1 ats 1", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = with("a", (struct job_dedup){ .keep_last_if_active = true });

        redis_says("FLUSHALL");
        add(&spec, 1);
        if (i == 2) {
            redis_says("HSET bull:q:1 ats 1");
            redis_says("LPUSH bull:q:active x 1 y");
        } else {
            redis_says(rows[i].make);
        }
        add(&spec, 1);
        cr_expect(added.next[0] == rows[i].next, "%s", rows[i].name);
    }
}

Test(dedup, owner_without_a_hash_is_none_unless_its_key_has_an_end)
{
    static const struct job_dedup modes[] = {
        { .ttl_ms = 0 },
        { .replace = true },
        { .keep_last_if_active = true },
        { .ttl_ms = 5000 },
        { .ttl_ms = 5000, .extend = true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        redis_says("FLUSHALL");
        redis_says("SET bull:q:de:d gone");
        redis_says("HSET bull:q:dn:d name old");
        add_with("a", modes[i], 0);
        cr_expect(!added.deduplicated[0], "mode %zu", i);
        says("1", "GET bull:q:de:d");
        says("0", "EXISTS bull:q:dn:d");
        cr_expect(modes[i].ttl_ms > 0 ? ttl() > 0 && ttl() <= 5000 : ttl() == -1, "mode %zu", i);
        cr_expect_str_eq(events("q"), "|event added jobId 1 name a |event waiting jobId 1 ");
    }
    redis_says("SET bull:q:de:d gone PX 30000");
    add_with("a", modes[0], 0);
    cr_expect(added.deduplicated[0]);
    cr_expect_str_eq(added.ids[0], "gone");
}

Test(dedup, replacing_drops_what_was_kept_as_next_and_all_of_the_old_job)
{
    redis_says("RPUSH bull:q:1:logs row");
    add_with("a", (struct job_dedup){ .replace = true }, 1000);
    redis_says("HSET bull:q:dn:d name old");
    add_with("b", (struct job_dedup){ .replace = true }, 0); /* now at once */
    says("0", "EXISTS bull:q:1 bull:q:1:logs bull:q:dn:d bull:q:delayed");
    says("2", "LRANGE bull:q:wait 0 -1");
}

Test(dedup, reschedule_moves_a_delayed_owner)
{
    struct job_dedup mode = { .ttl_ms = 50000, .reschedule = true };

    add_with("a", mode, 1000);
    redis_says("DEL bull:q:events");
    add_with("b", mode, 500);
    cr_expect(added.deduplicated[0]);
    says("500", "HGET bull:q:1 delay");
    says("a", "HGET bull:q:1 name");
    says("1 7353552095895552", "ZRANGE bull:q:delayed 0 -1 WITHSCORES"); /* × 4096 */
    says("1 1795300804662", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    cr_expect_str_eq(events("q"), REJECTED_EVENTS "|event delayed jobId 1 delay 1795300804662 ");
    add_with("c", mode, 0); /* due at its timestamp */
    says("0", "HGET bull:q:1 delay");
    says("1 7353552093847552", "ZRANGE bull:q:delayed 0 -1 WITHSCORES");
}

Test(dedup, reschedule_leaves_others_where_they_are)
{
    struct job_dedup mode = { .reschedule = true };

    add_with("a", mode, 0);
    add_with("b", mode, 500);
    says("1", "LRANGE bull:q:wait 0 -1");
    says("0", "EXISTS bull:q:delayed");
    says("0", "HGET bull:q:1 delay");
}

Test(dedup, batch_is_as_one_by_one)
{
    struct job_spec specs[5] = { plain("plain"), with("a", (struct job_dedup){ .replace = true }),
                                 with("b", (struct job_dedup){ .replace = true }), plain("lifo"),
                                 with("c", (struct job_dedup){ .ttl_ms = 0 }) };

    specs[1].delay_ms = 1000;
    specs[2].delay_ms = 2000;
    specs[3].lifo = true;
    add(specs, 5);
    cr_expect(!added.deduplicated[1] && !added.deduplicated[2] && added.deduplicated[4]);
    cr_expect_str_eq(added.ids[4], "3");
    says("1 4", "LRANGE bull:q:wait 0 -1");
    says("3", "ZRANGE bull:q:delayed 0 -1");
    says("0 0 1 1795300806162", "ZRANGE bull:q:marker 0 -1 WITHSCORES");
    says("5", "GET bull:q:id");
}

Test(dedup, own_id_that_exists_is_a_duplicate_first)
{
    struct job_spec spec = with("a", (struct job_dedup){ .ttl_ms = 5000 });

    spec.id = text("own");
    redis_says("HSET bull:q:own name there");
    add(&spec, 1);
    cr_expect(added.duplicate[0] && !added.deduplicated[0]);
    says("0", "EXISTS bull:q:de:d");
}

Test(dedup, key_of_another_kind_refuses_that_job_alone)
{
    static const char *const spoil[] = { "LPUSH bull:q:de:d x", "SET bull:q:dn:d x" };

    for (size_t i = 0; i < ARRAY_SIZE(spoil); i++) {
        struct job_spec specs[2] = { with("a", (struct job_dedup){ .ttl_ms = 0 }), plain("b") };

        redis_says("FLUSHALL");
        redis_says(spoil[i]);
        add(specs, 2);
        cr_expect(added.code[0] == ADD_UNSTORED && strstr(added.ids[0], ":d holds a "), "%s",
                  added.ids[0]);
        cr_expect(!added.refused[1]);
        says("1", "LRANGE bull:q:wait 0 -1");
    }
}

Test(dedup, full_server_refuses_whole_and_clean)
{
    struct job_spec spec = with("a", (struct job_dedup){ .replace = true });

    redis_says("CONFIG SET maxmemory 1");
    add(&spec, 1);
    cr_expect(added.call.outcome == REDIS_REFUSED);
    cr_expect(added.call.error_class == REDIS_CLASS_MEMORY, "%s", added.why);
    says("0", "DBSIZE");
}
