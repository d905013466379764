/* What `drover add` reads, and what it takes from the configuration. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/add_parse.h"

Test(add_parse, backoff)
{
    static const struct {
        const char *text;
        struct job_backoff want;
    } rows[] = {
        { "fixed:5s", { JOB_BACKOFF_FIXED, 5000, 0 } },
        { "fixed:0", { JOB_BACKOFF_FIXED, 0, 0 } },
        { "exponential:2s", { JOB_BACKOFF_EXPONENTIAL, 2000, 0 } },
        { "exponential:250ms:0.5", { JOB_BACKOFF_EXPONENTIAL, 250, 0.5 } },
        { "fixed:1m:1", { JOB_BACKOFF_FIXED, 60000, 1 } },
    };
    static const char *const bad[] = {
        "",           "fixed",         "fixed:",       "5s",
        "linear:5s",  "fixed:5",       "fixed:5s:",    "fixed:5s:2",
        "fixed:5s:x", "fixed:5s:-0.1", "fixed:5s:nan", "fixed:5s:1:1",
        "Fixed:5s",   "fixedness:5s"
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_backoff got = { 0 };

        cr_expect(add_parse_backoff(rows[i].text, &got, NULL) == 0, "%s", rows[i].text);
        cr_expect(got.kind == rows[i].want.kind && got.delay_ms == rows[i].want.delay_ms &&
                      got.jitter == rows[i].want.jitter,
                  "%s", rows[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct job_backoff got = { .delay_ms = 77 };
        struct error err = { 0 };

        cr_expect(add_parse_backoff(bad[i], &got, &err) == -EINVAL, "%s", bad[i]);
        cr_expect(got.delay_ms == 77 && *err.text, "%s", bad[i]);
    }
}

Test(add_parse, keep)
{
    static const struct {
        const char *text;
        int64_t count;
        double age_s;
    } rows[] = { { "all", -1, 0 },  { "none", 0, 0 },        { "0", 0, 0 },
                 { "100", 100, 0 }, { "7d", -1, 7 * 86400 }, { "1500ms", -1, 1.5 } };
    static const char *const bad[] = { "", "-1", "some", "1.5", "0s", "99999999999" };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_keep got = { 0 };

        cr_expect(add_parse_keep(rows[i].text, &got, NULL) == 0, "%s", rows[i].text);
        cr_expect(got.present && got.count == rows[i].count && got.age_s == rows[i].age_s, "%s",
                  rows[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct job_keep got;

        cr_expect(add_parse_keep(bad[i], &got, NULL) == -EINVAL, "%s", bad[i]);
    }
}

Test(add_parse, configuration_fills_only_what_is_absent)
{
    struct config_type type = { .attempts = 5,
                                .backoff = { CONFIG_BACKOFF_EXPONENTIAL, 2000, 60000, 0.25 },
                                .keep_completed = { .count = 100 },
                                .keep_failed = { .count = -1, .age_ms = 1500 } };
    struct job_spec spec = JOB_SPEC_INIT;

    add_fill_from_config(&type, &spec);
    cr_expect(spec.attempts == 5 && spec.backoff.kind == JOB_BACKOFF_EXPONENTIAL);
    cr_expect(spec.backoff.delay_ms == 2000 && spec.backoff.jitter == 0.25);
    cr_expect(spec.keep_completed.present && spec.keep_completed.count == 100);
    cr_expect(spec.keep_failed.present && spec.keep_failed.count == -1);
    cr_expect(spec.keep_failed.age_s == 1.5);
    spec = JOB_SPEC_INIT;
    spec.attempts = 2;
    spec.backoff = (struct job_backoff){ JOB_BACKOFF_FIXED, 1, 0 };
    spec.keep_completed = spec.keep_failed = (struct job_keep){ .present = true, .count = 0 };
    add_fill_from_config(&type, &spec);
    cr_expect(spec.attempts == 2 && spec.backoff.kind == JOB_BACKOFF_FIXED);
    cr_expect(spec.keep_completed.count == 0 && spec.keep_failed.count == 0);
}

Test(add_parse, built_in_defaults_are_not_written)
{
    struct config_type type = { .attempts = 1,
                                .keep_completed = { .count = -1 },
                                .keep_failed = { .count = -1 } };
    struct job_spec spec = JOB_SPEC_INIT;

    add_fill_from_config(&type, &spec);
    cr_expect(spec.attempts == 0 && spec.backoff.kind == JOB_BACKOFF_ABSENT);
    cr_expect(!spec.keep_completed.present && !spec.keep_failed.present);
}

Test(add_parse, policy)
{
    enum job_policy got = JOB_POLICY_NONE;
    struct error err = { 0 };

    cr_expect(add_parse_policy("fail-parent", &got, NULL) == 0 && got == JOB_POLICY_FAIL_PARENT);
    cr_expect(add_parse_policy("continue-parent", &got, NULL) == 0 &&
              got == JOB_POLICY_CONTINUE_PARENT);
    cr_expect(add_parse_policy("ignore", &got, NULL) == 0 && got == JOB_POLICY_IGNORE_DEPENDENCY);
    cr_expect(add_parse_policy("remove", &got, NULL) == 0 && got == JOB_POLICY_REMOVE_DEPENDENCY);
    cr_expect(add_parse_policy("fail", &got, &err) == -EINVAL);
    cr_expect_str_eq(err.text, "\"fail\" must be one of fail-parent continue-parent ignore remove");
}

Test(add_parse, parent)
{
    static const char *const bad[] = { "", ":", "q", "q:", ":1" };
    const char *id;
    char *queue;

    cr_expect(add_parse_parent("a q:x:y:z", &queue, &id, NULL) == 0);
    cr_expect_str_eq(queue, "a q");
    cr_expect_str_eq(id, "x:y:z");
    free(queue);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = { 0 };

        queue = NULL;
        cr_expect(add_parse_parent(bad[i], &queue, &id, &err) == -EINVAL && *err.text && !queue,
                  "%s", bad[i]);
    }
}
