/* Filters of jobs: times as people write them, and what matches. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisor/cli/select.h"

#define NOW_MS 1795300804162ULL /* 2026-11-21T22:40:04.162Z */

Test(select, times_are_ages_or_dates)
{
    static const struct {
        const char *text;
        uint64_t at_ms;
    } rows[] = {
        { "0s", NOW_MS },
        { "1ms", NOW_MS - 1 },
        { "2h", NOW_MS - 7200000 },
        { "7d", NOW_MS - 7ULL * 86400000 },
        { "100000d", 0 }, /* before the clock began */
        { "2026-11-21T22:40:04Z", 1795300804000ULL },
        { "2026-11-21T22:40:04+00:00", 1795300804000ULL },
        { "2026-11-21T23:40:04+01:00", 1795300804000ULL },
        { "2026-11-21T17:10:04-0530", 1795300804000ULL },
        { "2026-11-21 22:40Z", 1795300800000ULL },
        { "2026-11-21T22:40", 1795300800000ULL },
        { "2026-11-21", 1795219200000ULL },
    };

    (void)setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t at_ms = 1;

        cr_expect(filter_parse_time(rows[i].text, NOW_MS, &at_ms), "%s", rows[i].text);
        cr_expect(at_ms == rows[i].at_ms, "%s: %llu", rows[i].text, (unsigned long long)at_ms);
    }
}

Test(select, local_times_are_local)
{
    uint64_t at_ms = 0;

    (void)setenv("TZ", "EST5", 1);
    tzset();
    cr_expect(filter_parse_time("2026-11-21T17:40:04", NOW_MS, &at_ms));
    cr_expect(at_ms == 1795300804000ULL);
}

Test(select, other_texts_are_no_times)
{
    static const char *const rows[] = { "",
                                        "x",
                                        "5",
                                        "-1h",
                                        "2026-13-01",
                                        "2026-11-21T25:00",
                                        "2026-11-21T10:00X",
                                        "2026-11-21T10:00+1",
                                        "2026-11-21T10:00+99:00",
                                        "1900-01-01" };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t at_ms = 7;

        cr_expect(!filter_parse_time(rows[i], NOW_MS, &at_ms), "%s", rows[i]);
    }
}

#define TEXT(text)               \
    (struct bytes)               \
    {                            \
        (text), sizeof(text) - 1 \
    }

Test(select, a_job_must_match_all_that_is_asked)
{
    static const char *const types[] = { "mail", "sms" };
    const struct job_row row = { .state = QUEUE_STATE_FAILED,
                                 .name = TEXT("sms"),
                                 .failed_reason = TEXT("connect ETIMEDOUT 10.0.0.1"),
                                 .added_at_ms = 500,
                                 .ended_at_ms = 1000 };
    static const struct {
        struct job_filter filter;
        bool matches;
    } rows[] = {
        { { .limit = 0 }, true },
        { { .types = types, .types_count = 2 }, true },
        { { .types = types, .types_count = 1 }, false },
        { { .error = "ETIMEDOUT" }, true },
        { { .error = "etimedout" }, false },
        { { .error = "connect ETIMEDOUT 10.0.0.1 and more" }, false },
        { { .before_ms = 1001 }, true },
        { { .before_ms = 1000 }, false }, /* the end counts, not the begin */
        { { .after_ms = 1000 }, true },
        { { .after_ms = 1001 }, false },
        { { .types = types, .types_count = 2, .error = "nothing" }, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(filter_matches(&rows[i].filter, &row) == rows[i].matches, "row %zu", i);
}

Test(select, a_job_without_fields_has_no_error_and_no_time)
{
    static const char *const types[] = { "mail" };
    const struct job_row row = { .state = QUEUE_STATE_WAITING, .added_at_ms = 500 };
    const struct job_filter by_type = { .types = types, .types_count = 1 };
    const struct job_filter by_error = { .error = "" };
    const struct job_filter by_time = { .before_ms = 501, .after_ms = 500 };

    cr_expect(!filter_matches(&by_type, &row));
    cr_expect(!filter_matches(&by_error, &row));
    cr_expect(filter_matches(&by_time, &row));
    cr_expect(!filter_is_narrow(&(struct job_filter){ .limit = 0 }) && filter_is_narrow(&by_time));
}
