/* Back-off (wire format 6) and stack traces (2.2). */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/queue/job.h"

Test(job, backoff_numbers)
{
    static const struct {
        struct job_backoff backoff;
        uint64_t attempt;
        double random;
        uint64_t max_ms, want_ms;
    } rows[] = {
        { { JOB_BACKOFF_ABSENT, 500, 0 }, 1, 0.5, 0, 0 },
        { { JOB_BACKOFF_CUSTOM, 500, 0 }, 1, 0.5, 0, 0 },
        { { JOB_BACKOFF_FIXED, 500, 0 }, 1, 0.5, 0, 500 },
        { { JOB_BACKOFF_FIXED, 500, 0 }, 9, 0.5, 0, 500 },
        { { JOB_BACKOFF_FIXED, 500, 0 }, 9, 0.5, 300, 300 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0 }, 1, 0, 0, 100 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0 }, 2, 0, 0, 200 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0 }, 5, 0, 0, 1600 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0 }, 5, 0, 1000, 1000 },
        { { JOB_BACKOFF_EXPONENTIAL, 0, 0 }, 5, 0, 0, 0 },
        { { JOB_BACKOFF_EXPONENTIAL, 1, 0 }, 5000, 0, 0, 1ULL << 40 },
        { { JOB_BACKOFF_FIXED, UINT64_MAX, 0 }, 1, 0, 0, 1ULL << 40 },
        /* floor(r * D * j + D * (1 - j)) */
        { { JOB_BACKOFF_FIXED, 1000, 1 }, 1, 0, 0, 0 },
        { { JOB_BACKOFF_FIXED, 1000, 1 }, 1, 0.9999, 0, 999 },
        { { JOB_BACKOFF_FIXED, 1000, 0.5 }, 1, 0, 0, 500 },
        { { JOB_BACKOFF_FIXED, 1000, 0.5 }, 1, 0.5, 0, 750 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0.25 }, 3, 0.5, 0, 350 },
        { { JOB_BACKOFF_EXPONENTIAL, 100, 0.5 }, 10, 0.5, 1000, 750 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t got =
            job_backoff_ms(&rows[i].backoff, rows[i].attempt, rows[i].random, rows[i].max_ms);

        cr_expect(got == rows[i].want_ms, "row %zu: %llu, not %llu", i, (unsigned long long)got,
                  (unsigned long long)rows[i].want_ms);
    }
}

Test(job, jitter_stays_in_its_bounds)
{
    for (int jitter = 0; jitter <= 10; jitter++) {
        struct job_backoff backoff = { JOB_BACKOFF_FIXED, 10007, jitter / 10.0 };

        for (int i = 0; i < 100; i++) {
            uint64_t wait = job_backoff_ms(&backoff, 1, i / 100.0, 0);

            cr_expect(wait <= 10007 && (double)wait >= 10007 * (1 - jitter / 10.0) - 1,
                      "jitter %d, %d: %llu", jitter, i, (unsigned long long)wait);
        }
    }
}

static void expect_trace(const char *stored, const char *entry, int64_t limit, const char *want)
{
    struct bytes bytes = { stored, stored ? strlen(stored) : 0 };
    char *got = job_stacktrace_add(&bytes, entry, limit);

    cr_assert(got);
    cr_expect_str_eq(got, want, "%s + %s, limit %d", stored ? stored : "(none)", entry, (int)limit);
    free(got);
}

Test(job, stacktrace_grows_up_to_its_limit)
{
    char *got;

    expect_trace(NULL, "Error: a\nb", -1, "[\"Error: a\\nb\"]");
    expect_trace("[]", "a", -1, "[\"a\"]");
    expect_trace("[\"a\", \"b\"]", "c", -1, "[\"a\",\"b\",\"c\"]");
    expect_trace("[\"a\",\"b\"]", "c", 0, "[]");
    expect_trace("[\"a\",\"b\"]", "c", 1, "[\"c\"]");
    expect_trace("[\"a\",\"b\"]", "c", 2, "[\"b\",\"c\"]");
    expect_trace("[\"a\",\"b\"]", "c", 9, "[\"a\",\"b\",\"c\"]");
    got = job_stacktrace_add(NULL, "a", -1);
    cr_expect_str_eq(got, "[\"a\"]");
    free(got);
}

Test(job, stacktrace_keeps_what_only_javascript_writes)
{
    expect_trace("[\"\\ud800\\u0000\"]", "c", -1, "[\"\\ud800\\u0000\",\"c\"]");
}

Test(job, unreadable_stacktrace_is_replaced)
{
    static const char *const rows[] = { "", "x", "{}", "[1]", "[\"a\",null]", "[\"a\"", "\"a\"" };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_trace(rows[i], "c", -1, "[\"c\"]");
}

Test(job, stacktrace_is_bounded)
{
    static char entry[200001];
    struct bytes stored = { NULL, 0 };
    size_t len = 0;

    memset(entry, 'e', sizeof(entry) - 1);
    for (int i = 0; i < 40; i++) {
        char *next = job_stacktrace_add(&stored, entry, -1);

        cr_assert(next);
        len = strlen(next);
        cr_expect(len <= (size_t)1024 * 1024 && next[len - 1] == ']' && len > 60000);
        free((void *)(uintptr_t)stored.data);
        stored = (struct bytes){ next, len };
    }
    cr_expect(len > 400000, "history was thrown away: %zu bytes", len);
    free((void *)(uintptr_t)stored.data);
}

Test(job, free_accepts_nothing)
{
    struct job *job = NULL;

    job_free(NULL);
    job_freep(&job);
}
