/* The rules between a handler's outcome and the settle, as tables. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "workers/worker/decide.h"

#define KEEP(n)                       \
    {                                 \
        .present = true, .count = (n) \
    }
#define YAML(n)      \
    {                \
        .count = (n) \
    }

static struct config_queue queue;

static struct handler_outcome failed = { .kind = HANDLER_FAILED,
                                         .reason = { "no", 2 },
                                         .retry_after_ms = -1 };

Test(decide, attempts)
{
    static const struct {
        const char *name;
        bool enforce;
        uint64_t job;
        unsigned int yaml;
        uint64_t expected;
    } rows[] = {
        { "job wins", false, 5, 3, 5 },        { "0 is absent", false, 0, 3, 3 },
        { "1 is not absent", false, 1, 3, 1 }, { "built in", false, 0, 1, 1 },
        { "enforced", true, 5, 3, 3 },         { "enforced, absent", true, 0, 3, 3 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct config_type type = { .attempts = rows[i].yaml };
        struct job job = { .options.attempts = rows[i].job };

        queue.enforce = rows[i].enforce;
        cr_assert(eq(u64, decide_attempts(&queue, &type, &job), rows[i].expected), "%s",
                  rows[i].name);
    }
}

Test(decide, keep)
{
    static const struct {
        const char *name;
        bool enforce;
        struct job_keep job;
        struct config_keep yaml;
        bool present;
        int64_t count;
    } rows[] = {
        { "neither: keep all", false, { 0 }, YAML(-1), false, -1 },
        { "yaml fills", false, { 0 }, YAML(10), true, 10 },
        { "yaml fills with none", false, { 0 }, YAML(0), true, 0 },
        { "job wins", false, KEEP(5), YAML(10), true, 5 },
        { "job keeps all", false, KEEP(-1), YAML(10), true, -1 },
        { "enforced", true, KEEP(5), YAML(10), true, 10 },
        { "enforced, yaml silent", true, KEEP(5), YAML(-1), true, 5 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct config_type type = { .keep_completed = rows[i].yaml, .keep_failed = YAML(-1) };
        struct job job = { .options.keep_completed = rows[i].job };
        struct job_keep keep;

        queue.enforce = rows[i].enforce;
        keep = decide_keep(&queue, &type, &job, true);
        cr_assert(eq(int, keep.present, rows[i].present), "%s", rows[i].name);
        cr_assert(eq(i64, keep.count, rows[i].count), "%s", rows[i].name);
    }
}

Test(decide, keep_by_age_is_in_seconds_and_per_side)
{
    struct config_type type = { .keep_completed = { .count = -1, .age_ms = 90500 },
                                .keep_failed = { .count = 7 } };
    struct job job = { 0 };

    queue.enforce = false;
    cr_assert(eq(dbl, decide_keep(&queue, &type, &job, true).age_s, 90.5));
    cr_assert(eq(u64, decide_keep(&queue, &type, &job, true).limit, 1000));
    cr_assert(eq(i64, decide_keep(&queue, &type, &job, false).count, 7));
}

Test(decide, failure)
{
    static const struct {
        const char *name;
        bool enforce;
        enum handler_outcome_kind kind;
        uint64_t attempts, made;
        struct job_backoff job;
        struct config_backoff yaml;
        int64_t retry_after_ms;
        enum settle_kind expected;
        uint64_t delay_ms;
    } rows[] = {
        { "last attempt", 0, HANDLER_FAILED, 3, 2, { 0 }, { 0 }, -1, SETTLE_FAIL, 0 },
        { "attempts left, no backoff", 0, HANDLER_FAILED, 3, 1, { 0 }, { 0 }, -1, SETTLE_RETRY, 0 },
        { "attempts left, first", 0, HANDLER_FAILED, 2, 0, { 0 }, { 0 }, -1, SETTLE_RETRY, 0 },
        { "more made than allowed", 0, HANDLER_FAILED, 3, 9, { 0 }, { 0 }, -1, SETTLE_FAIL, 0 },
        { "unrecoverable", 0, HANDLER_FAILED_FINAL, 9, 0, { 0 }, { 0 }, -1, SETTLE_FAIL, 0 },
        { "job's fixed",
          0,
          HANDLER_FAILED,
          9,
          3,
          { JOB_BACKOFF_FIXED, 500, 0 },
          { CONFIG_BACKOFF_FIXED, 9, 0, 0 },
          -1,
          SETTLE_RETRY_LATER,
          500 },
        { "job's exponential",
          0,
          HANDLER_FAILED,
          9,
          3,
          { JOB_BACKOFF_EXPONENTIAL, 100, 0 },
          { 0 },
          -1,
          SETTLE_RETRY_LATER,
          800 },
        { "yaml fills",
          0,
          HANDLER_FAILED,
          9,
          2,
          { 0 },
          { CONFIG_BACKOFF_EXPONENTIAL, 100, 0, 0 },
          -1,
          SETTLE_RETRY_LATER,
          400 },
        { "yaml fixed",
          0,
          HANDLER_FAILED,
          9,
          2,
          { 0 },
          { CONFIG_BACKOFF_FIXED, 70, 0, 0 },
          -1,
          SETTLE_RETRY_LATER,
          70 },
        { "yaml max caps the job's",
          0,
          HANDLER_FAILED,
          99,
          10,
          { JOB_BACKOFF_EXPONENTIAL, 1000, 0 },
          { CONFIG_BACKOFF_NONE, 0, 5000, 0 },
          -1,
          SETTLE_RETRY_LATER,
          5000 },
        { "enforced",
          1,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_FIXED, 500, 0 },
          { CONFIG_BACKOFF_FIXED, 9, 0, 0 },
          -1,
          SETTLE_RETRY_LATER,
          9 },
        { "enforced, yaml silent",
          1,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_FIXED, 500, 0 },
          { 0 },
          -1,
          SETTLE_RETRY_LATER,
          500 },
        { "custom strategy",
          0,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_CUSTOM, 0, 0 },
          { 0 },
          -1,
          SETTLE_FAIL,
          0 },
        { "custom strategy, yaml has one",
          0,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_CUSTOM, 0, 0 },
          { CONFIG_BACKOFF_FIXED, 9, 0, 0 },
          -1,
          SETTLE_RETRY_LATER,
          9 },
        { "handler says when",
          0,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_FIXED, 500, 0 },
          { 0 },
          42,
          SETTLE_RETRY_LATER,
          42 },
        { "handler says now",
          0,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_FIXED, 500, 0 },
          { 0 },
          0,
          SETTLE_RETRY,
          0 },
        { "full jitter at 0",
          0,
          HANDLER_FAILED,
          9,
          0,
          { JOB_BACKOFF_FIXED, 500, 1 },
          { 0 },
          -1,
          SETTLE_RETRY,
          0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct config_type type = { .attempts = 1, .backoff = rows[i].yaml };
        struct job job = { .attempts_made = rows[i].made,
                           .options = { .attempts = rows[i].attempts, .backoff = rows[i].job } };
        struct handler_outcome outcome = { .kind = rows[i].kind,
                                           .reason = { "no", 2 },
                                           .retry_after_ms = rows[i].retry_after_ms };
        struct settle settle;

        queue.enforce = rows[i].enforce;
        type.attempts = rows[i].enforce ? (unsigned int)rows[i].attempts : 1;
        decide_settle(&queue, &type, &job, &outcome, 0, &settle);
        cr_assert(eq(int, (int)settle.kind, (int)rows[i].expected), "%s", rows[i].name);
        cr_assert(eq(u64, settle.delay_ms, rows[i].delay_ms), "%s", rows[i].name);
        cr_assert(eq(u64, settle.attempts_max, rows[i].attempts), "%s", rows[i].name);
        cr_assert(settle.job == &job && settle.value.data == outcome.reason.data, "%s",
                  rows[i].name);
    }
}

Test(decide, jitter_uses_the_random_number)
{
    struct config_type type = { .attempts = 2 };
    struct job job = { .options.backoff = { JOB_BACKOFF_FIXED, 1000, 0.5 } };
    struct settle settle;

    queue.enforce = false;
    decide_settle(&queue, &type, &job, &failed, 0.5, &settle);
    cr_assert(eq(u64, settle.delay_ms, 750));
}

Test(decide, completed_keeps_the_value)
{
    struct config_type type = { .attempts = 2, .keep_completed = YAML(3) };
    struct handler_outcome outcome = { .kind = HANDLER_COMPLETED, .value = { "42", 2 } };
    struct job job = { 0 };
    struct settle settle;

    queue.enforce = false;
    decide_settle(&queue, &type, &job, &outcome, 0, &settle);
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_COMPLETE));
    cr_assert(eq(str, (char *)settle.value.data, (char *)"42"));
    cr_assert(eq(i64, settle.keep.count, 3));
}

Test(decide, stack_traces)
{
    static const struct {
        const char *name, *stored, *stack;
        enum handler_outcome_kind kind;
        int64_t limit;
        const char *expected;
    } rows[] = {
        { "first", NULL, NULL, HANDLER_FAILED, -1, "[\"Error: no\"]" },
        { "final", NULL, NULL, HANDLER_FAILED_FINAL, -1, "[\"UnrecoverableError: no\"]" },
        { "given", NULL, "Error: no\n    at x", HANDLER_FAILED, -1, "[\"Error: no\\n    at x\"]" },
        { "appended", "[\"a\"]", NULL, HANDLER_FAILED, -1, "[\"a\",\"Error: no\"]" },
        { "limited", "[\"a\",\"b\"]", NULL, HANDLER_FAILED, 1, "[\"Error: no\"]" },
        { "limit 0", "[\"a\"]", NULL, HANDLER_FAILED, 0, "[]" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job job = { .options.stack_trace_limit = rows[i].limit };
        struct handler_outcome outcome = { .kind = rows[i].kind, .reason = { "no", 2 } };
        char *json;

        if (rows[i].stored)
            job.stacktrace = (struct bytes){ rows[i].stored, strlen(rows[i].stored) };
        if (rows[i].stack)
            outcome.stack = (struct bytes){ rows[i].stack, strlen(rows[i].stack) };
        json = decide_stacktrace(&job, &outcome);
        cr_assert(eq(str, json, (char *)rows[i].expected), "%s", rows[i].name);
        free(json);
    }
}

Test(decide, huge_stack_is_cut_not_lost)
{
    size_t len = 200000;
    char *text = malloc(len);
    struct job job = { .options.stack_trace_limit = -1 };
    struct handler_outcome outcome = { .kind = HANDLER_FAILED };
    char *json;

    memset(text, 'x', len);
    outcome.reason = (struct bytes){ text, len };
    json = decide_stacktrace(&job, &outcome);
    cr_assert(json != NULL);
    cr_assert(lt(sz, 10000, strlen(json)));
    cr_assert(lt(sz, strlen(json), 100000));
    free(json);
    free(text);
}
