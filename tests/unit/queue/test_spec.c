/* The checks of a stock client before it sends (wire format 1.3, 2.4). */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/queue/add.h"

static struct bytes text(const char *from)
{
    return (struct bytes){ from, strlen(from) };
}

static struct job_spec named(void)
{
    struct job_spec spec = JOB_SPEC_INIT;

    spec.name = text("job");
    return spec;
}

Test(spec, ids)
{
    static const struct {
        const char *id;
        bool good;
    } rows[] = {
        { "", true },
        { "abc", true },
        { "007", true },
        { "1.5", true },
        { "1e3", true },
        { "-x", true },
        { "-0", true },
        { "-", true },
        { "+5", true },
        { " 5", true },
        { "a:b:c", true },
        { "::", true },
        { "\xc3\xa9", true },
        { "12a", true },
        { "-012", true },
        { "1234567890123456789012", true }, /* parseInt prints it as 1.2345678901234568e+21 */
        { "12", false },
        { "-3", false },
        { "0", false },
        { "a:b", false },
        { ":", false },
        { "a:b:c:d", false },
        { "0:", false },
        { "0:1:2", false },
        { "\xff", false },
        { "wait", false },
        { "stalled-check", false },
        { "repeat", false },
        { "waiting", true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = named();
        struct error err = { 0 };

        spec.id = text(rows[i].id);
        cr_expect((job_spec_check(&spec, &err) == 0) == rows[i].good, "\"%s\": %s", rows[i].id,
                  err.text);
        cr_expect(rows[i].good || strstr(err.text, "id "), "\"%s\": %s", rows[i].id, err.text);
    }
}

#define EXPECT_REFUSED(spec, words)                                           \
    do {                                                                      \
        struct error err_ = { 0 };                                            \
        cr_expect(job_spec_check(&(spec), &err_) == -EINVAL, "%s", words);    \
        cr_expect(strstr(err_.text, words), "%s, not: %s", words, err_.text); \
    } while (0)

Test(spec, bounds)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.priority = 2097151;
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.priority++;
    EXPECT_REFUSED(spec, "priority 2097152");
    spec = named();
    spec.name = text("");
    cr_expect(job_spec_check(&spec, &err) == 0); /* a name is free text */
    spec.name.data = NULL;
    EXPECT_REFUSED(spec, "name");
    spec.name = text("\xff");
    EXPECT_REFUSED(spec, "name");
    spec = named();
    spec.delay_ms = 8640000000000001ULL;
    EXPECT_REFUSED(spec, "delay");
    spec.delay_ms = 5;
    spec.timestamp_ms = 8640000000000000ULL;
    EXPECT_REFUSED(spec, "delay");
    spec.timestamp_ms = UINT64_MAX;
    EXPECT_REFUSED(spec, "delay");
    spec = named();
    spec.attempts = UINT64_MAX;
    EXPECT_REFUSED(spec, "attempts");
}

Test(spec, data)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.data = text("{\"a\":\"\xc3\xa9\"}");
    spec.size_limit = 10;
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.size_limit = 9;
    EXPECT_REFUSED(spec, "size limit");
    spec.size_limit = 0;
    spec.data = text("{a:1}");
    EXPECT_REFUSED(spec, "JSON");
    spec.data = text("");
    EXPECT_REFUSED(spec, "JSON");
}

Test(spec, backoff_and_keep)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.backoff = (struct job_backoff){ JOB_BACKOFF_EXPONENTIAL, 100, 1 };
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.backoff.jitter = 1.01;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff.jitter = -0.1;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff.jitter = NAN;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff = (struct job_backoff){ JOB_BACKOFF_CUSTOM, 0, 0 };
    EXPECT_REFUSED(spec, "backoff");
    spec = named();
    spec.keep_failed = (struct job_keep){ .present = true, .count = 1, .age_s = INFINITY };
    EXPECT_REFUSED(spec, "removeOnFail");
}

/* ---- relations ---- */

Test(spec, parent)
{
    static const struct {
        const char *id, *queue;
        bool good;
    } rows[] = {
        { "dad", "bull:q", true },     { "1", "a:b:q", true },    { "a:b:c", "{t}:q", true },
        { "", "bull:q", false },       { "dad", "", false },      { "dad", "bull", false },
        { "dad", ":q", false },        { "dad", "bull:", false }, { "\xff", "bull:q", false },
        { "dad", "bull:\xff", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = named();
        struct error err = { 0 };

        spec.parent = (struct job_parent){ text(rows[i].id), text(rows[i].queue) };
        cr_expect((job_spec_check(&spec, &err) == 0) == rows[i].good, "row %zu: %s", i, err.text);
        cr_expect(rows[i].good || strstr(err.text, "the parent's "), "row %zu: %s", i, err.text);
    }
}

Test(spec, half_a_parent_and_unknown_policy)
{
    struct job_spec spec = named();

    spec.parent.id = text("dad");
    EXPECT_REFUSED(spec, "the parent's queue is empty");
    spec = named();
    spec.parent.queue = text("bull:q");
    EXPECT_REFUSED(spec, "the parent's id is empty");
    spec = named();
    spec.policy = (enum job_policy)5;
    EXPECT_REFUSED(spec, "failure policy");
    spec.policy = (enum job_policy) - 1;
    EXPECT_REFUSED(spec, "failure policy");
}

Test(spec, deduplication)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.dedup = (struct job_dedup){ .id = text("d"),
                                     .ttl_ms = 5,
                                     .extend = true,
                                     .keep_last_if_active = true,
                                     .reschedule = true };
    cr_expect(job_spec_check(&spec, &err) == 0, "%s", err.text);
    spec.dedup.replace = true;
    EXPECT_REFUSED(spec, "reschedule and replace");
    spec.dedup.reschedule = false;
    spec.dedup.ttl_ms = 0;
    EXPECT_REFUSED(spec, "extend needs a ttl");
    spec.dedup.extend = false;
    cr_expect(job_spec_check(&spec, &err) == 0, "%s", err.text);
    spec.dedup.ttl_ms = 8640000000000001ULL;
    EXPECT_REFUSED(spec, "ttl");
    spec.dedup.ttl_ms = 1;
    spec.parent = (struct job_parent){ text("dad"), text("bull:q") };
    EXPECT_REFUSED(spec, "do not go together");
    spec.parent = (struct job_parent){ { NULL, 0 }, { NULL, 0 } };
    spec.dedup.id = text("");
    EXPECT_REFUSED(spec, "deduplication id is empty");
    spec.dedup.id = text("\xff");
    EXPECT_REFUSED(spec, "deduplication id");
    spec.dedup.id.data = NULL;
    EXPECT_REFUSED(spec, "has no id");
}

Test(spec, extra_options)
{
    static const struct {
        const char *json, *why; /* NULL: good */
    } rows[] = {
        { "{}", NULL },
        { "{\"mine\":[1,{\"a\":null}],\"Delay\":1}", NULL },
        { "{\"lone\":\"\\ud800\"}", NULL },
        { "{\"delay\":1}", "\"delay\"" },
        { "{\"a\":1,\"d\\u0065lay\":1}", "\"delay\"" },
        { "{\"parent\":{}}", "\"parent\"" },
        { "{\"fpof\":true}", "\"fpof\"" },
        { "{\"de\":1}", "\"de\"" },
        { "{\"repeat\":{}}", "\"repeat\"" },
        { "[]", "not a JSON object" },
        { "1", "not a JSON object" },
        { "{", "not valid JSON" },
        { "", "not valid JSON" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = named();
        struct error err = { 0 };

        spec.extra_opts = text(rows[i].json);
        cr_expect((job_spec_check(&spec, &err) == 0) == !rows[i].why, "%s: %s", rows[i].json,
                  err.text);
        cr_expect(!rows[i].why || strstr(err.text, rows[i].why), "%s: %s", rows[i].json, err.text);
    }
}

/* A script must be able to read them when the job that runs has ended. */
Test(spec, extra_options_of_a_kept_job_are_for_redis_too)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.dedup = (struct job_dedup){ .id = text("d"), .keep_last_if_active = true };
    spec.extra_opts = text("{\"mine\":1}");
    cr_expect(job_spec_check(&spec, &err) == 0, "%s", err.text);
    spec.extra_opts = text("{\"lone\":\"\\ud800\"}");
    EXPECT_REFUSED(spec, "keepLastIfActive");
}

Test(spec, telemetry)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.telemetry = (struct job_telemetry){ text("{\"traceparent\":\"00-a\"}"), true };
    cr_expect(job_spec_check(&spec, &err) == 0, "%s", err.text);
    spec.telemetry.metadata = text("\xff");
    EXPECT_REFUSED(spec, "telemetry");
}
