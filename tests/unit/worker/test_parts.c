/* The worker's small parts: batch size, the table of runs, what is said of jobs put back,
 * correlation ids, the command line, sysexits. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/base/log.h"
#include "workers/handlers/sysexits.h"
#include "workers/worker/arguments.h"
#include "workers/worker/batch.h"
#include "workers/worker/correlation.h"
#include "workers/worker/put_backs.h"
#include "workers/worker/runs.h"

/* ---- batch */

Test(batch, grows_while_full_calls_are_fast)
{
    struct batch batch;

    batch_init(&batch, 64);
    for (int i = 0; i < 10; i++)
        batch_note(&batch, batch.size, 500);
    cr_assert(eq(sz, batch.size, 64));
}

Test(batch, stays_between_one_and_two_milliseconds)
{
    struct batch batch;
    size_t size;

    batch_init(&batch, 64);
    size = batch.size;
    for (int i = 0; i < 100; i++)
        batch_note(&batch, batch.size, 1500);
    cr_assert(eq(sz, batch.size, size));
}

Test(batch, halves_when_even_the_fastest_is_slow)
{
    struct batch batch;
    size_t size;

    batch_init(&batch, 64);
    size = batch.size;
    for (int i = 0; i < 3; i++)
        batch_note(&batch, batch.size, 9000);
    cr_assert(eq(sz, batch.size, size));
    batch_note(&batch, batch.size, 2500);
    cr_assert(eq(sz, batch.size, size / 2));
}

Test(batch, one_fast_call_forgives_slow_ones)
{
    struct batch batch;
    size_t size;

    batch_init(&batch, 64);
    size = batch.size;
    for (int i = 0; i < 40; i++)
        batch_note(&batch, batch.size, i % 4 == 3 ? 1500 : 9000);
    cr_assert(eq(sz, batch.size, size));
}

Test(batch, small_calls_say_nothing)
{
    struct batch batch;
    size_t size;

    batch_init(&batch, 64);
    size = batch.size;
    for (int i = 0; i < 40; i++)
        batch_note(&batch, size / 2 - 1, i % 2 ? 10 : 9000);
    cr_assert(eq(sz, batch.size, size));
}

Test(batch, has_bounds)
{
    struct batch batch;

    batch_init(&batch, 5);
    cr_assert(eq(sz, batch.size, 5));
    for (int i = 0; i < 100; i++)
        batch_note(&batch, batch.size, 90000);
    cr_assert(eq(sz, batch.size, 5), "below the least size halving gains nothing");
    batch_init(&batch, 64);
    for (int i = 0; i < 100; i++)
        batch_note(&batch, batch.size, 90000);
    cr_assert(eq(sz, batch.size, 8));
    for (int i = 0; i < 10; i++)
        batch_halve(&batch);
    cr_assert(eq(sz, batch.size, 1));
    batch_init(&batch, 0);
    cr_assert(eq(sz, batch.size, 1));
}

/* ---- runs */

/* What the prose in runs.h allows; all else must abort. */
static const bool allowed[RUN_STATE_COUNT][RUN_STATE_COUNT] = {
    [RUN_FREE][RUN_RUNNING] = true,       [RUN_RUNNING][RUN_DONE] = true,
    [RUN_RUNNING][RUN_PROVING] = true,    [RUN_RUNNING][RUN_FREE] = true,
    [RUN_RUNNING][RUN_CONTINUING] = true, [RUN_CONTINUING][RUN_RUNNING] = true,
    [RUN_CONTINUING][RUN_DONE] = true,    [RUN_CONTINUING][RUN_PROVING] = true,
    [RUN_CONTINUING][RUN_FREE] = true,    [RUN_PROVING][RUN_DONE] = true,
    [RUN_PROVING][RUN_FREE] = true,       [RUN_DONE][RUN_SETTLING] = true,
    [RUN_DONE][RUN_PROVING] = true,       [RUN_DONE][RUN_FREE] = true,
    [RUN_SETTLING][RUN_FREE] = true,      [RUN_SETTLING][RUN_DONE] = true,
    [RUN_SETTLING][RUN_PROVING] = true,   [RUN_SETTLING][RUN_UNRESOLVED] = true,
    [RUN_UNRESOLVED][RUN_FREE] = true,    [RUN_UNRESOLVED][RUN_DONE] = true,
    [RUN_UNRESOLVED][RUN_PROVING] = true,
};

Test(runs, moves_are_those_of_the_table)
{
    for (int from = 0; from < RUN_STATE_COUNT; from++) {
        for (int to = 0; to < RUN_STATE_COUNT; to++)
            cr_assert(eq(int, run_may_become((enum run_state)from, (enum run_state)to),
                         allowed[from][to]),
                      "%s to %s", run_state_name((enum run_state)from),
                      run_state_name((enum run_state)to));
    }
}

static struct job *new_job(const char *id)
{
    struct job *job = calloc(1, sizeof(*job));

    job->id = (struct bytes){ id, strlen(id) };
    return job;
}

Test(runs, forbidden_move_aborts, .signal = SIGABRT)
{
    struct runs runs;

    runs_init(&runs, 1, NULL);
    runs_set_state(&runs, runs_take(&runs, new_job("1")), RUN_SETTLING);
}

Test(runs, table_has_a_bound_and_is_used_again)
{
    struct runs runs;
    struct job *extra = new_job("4");
    struct run *taken[3];

    runs_init(&runs, 3, NULL);
    for (int i = 0; i < 3; i++)
        taken[i] = runs_take(&runs, new_job("1"));
    cr_assert(runs_take(&runs, extra) == NULL);
    cr_assert(eq(sz, runs_held(&runs), 3));
    runs_set_state(&runs, taken[1], RUN_FREE);
    cr_assert(runs_take(&runs, extra) == taken[1]);
    cr_assert(lt(u64, taken[2]->seq, taken[1]->seq), "a new sequence number");
    runs_done(&runs);
}

Test(runs, done_jobs_queue_in_order_of_finishing)
{
    struct runs runs;
    struct run *taken[4];

    runs_init(&runs, 4, NULL);
    for (int i = 0; i < 4; i++)
        taken[i] = runs_take(&runs, new_job("1"));
    for (int i = 3; i >= 0; i--)
        runs_set_state(&runs, taken[i], RUN_DONE);
    runs_set_state(&runs, taken[2], RUN_SETTLING);
    cr_assert(runs.done_first == taken[3]);
    cr_assert(runs.done_first->next == taken[1]);
    cr_assert(runs.done_last == taken[0]);
    runs_done(&runs);
}

Test(runs, values_and_keys_of_any_length)
{
    static char long_id[500], long_value[300];
    struct runs runs;
    struct run *run;
    const char *key;

    memset(long_id, 'i', sizeof(long_id) - 1);
    memset(long_value, 'v', sizeof(long_value) - 1);
    runs_init(&runs, 2, NULL);
    run = runs_take(&runs, new_job(long_id));
    key = run_make_key(run, "q");
    cr_assert(eq(sz, strlen(key), 501));
    cr_assert(eq(int, strncmp(key, "q:iii", 5), 0));
    for (size_t len = 60; len < 70; len++) {
        struct bytes value = { long_value, len };

        cr_assert(eq(int, run_set_value(run, &value), 0));
        cr_assert(eq(sz, strlen(run->settle.value.data), len));
    }
    cr_assert(eq(str, (char *)run_make_key(runs_take(&runs, new_job("7")), "q"), (char *)"q:7"));
    runs_done(&runs);
}

/* Blocks are added where the table grows; nothing that is held moves. */
Test(runs, grows_while_jobs_are_held)
{
    enum { FIRST = 100, ALL = 1000 };
    static struct run *taken[ALL];
    struct job *extra = new_job("x");
    struct runs runs;
    size_t seen = 0;

    runs_init(&runs, FIRST, NULL);
    for (size_t i = 0; i < FIRST; i++)
        taken[i] = runs_take(&runs, new_job("1"));
    cr_assert(runs_take(&runs, extra) == NULL, "as many as may be");
    runs_allow(&runs, ALL);
    runs_allow(&runs, 5);
    for (size_t i = FIRST; i < ALL; i++)
        taken[i] = runs_take(&runs, new_job("1"));
    cr_assert(runs_take(&runs, extra) == NULL);
    cr_assert(eq(sz, runs_held(&runs), ALL));
    RUNS_EACH (&runs, run) {
        cr_assert(run == taken[seen], "in order of fetching, where it was");
        seen++;
    }
    cr_assert(eq(sz, seen, ALL));
    job_free(extra);
    runs_done(&runs);
}

Test(runs, looking_at_all_may_free_them)
{
    struct runs runs;
    size_t seen = 0;

    runs_init(&runs, 5, NULL);
    for (int i = 0; i < 5; i++)
        (void)runs_take(&runs, new_job("1"));
    RUNS_EACH (&runs, run) {
        if (++seen % 2 == 1)
            runs_set_state(&runs, run, RUN_FREE);
    }
    cr_assert(eq(sz, seen, 5));
    cr_assert(eq(sz, runs_held(&runs), 2));
    runs_done(&runs);
}

/* ---- what is said of jobs put back */

static bool note(struct put_backs *put_backs, const char *name, size_t name_len, const char *detail,
                 uint64_t now_ms)
{
    struct job job = { .id = { "1", 1 }, .name = { name, name_len } };

    return put_backs_note(put_backs, &job, "why", detail, now_ms);
}

Test(put_backs, says_each_name_once_a_minute)
{
    struct put_backs put_backs = { 0 };

    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
    cr_assert(note(&put_backs, "a", 1, NULL, 1000));
    cr_assert(not(note(&put_backs, "a", 1, "it says", 2000)));
    cr_assert(note(&put_backs, "b", 1, NULL, 2000));
    cr_assert(not(note(&put_backs, "a", 1, NULL, 60999)));
    cr_assert(note(&put_backs, "a", 1, NULL, 61000));
    cr_assert(eq(u64, put_backs.rows[0].count, 0));
}

Test(put_backs, many_and_long_names_are_bounded)
{
    struct put_backs put_backs = { 0 };
    char name[200];

    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
    memset(name, 'n', sizeof(name));
    for (int i = 0; i < 100; i++) {
        name[0] = (char)('!' + i % 90);
        (void)note(&put_backs, name, sizeof(name), NULL, 1000);
    }
    cr_assert(eq(sz, put_backs.count, PUT_BACKS_NAMES));
    cr_assert(lt(u64, 50, put_backs.rows[PUT_BACKS_NAMES - 1].count));
}

/* ---- correlation ids */

#define X16  "xxxxxxxxxxxxxxxx"
#define X128 X16 X16 X16 X16 X16 X16 X16 X16

Test(correlation, is_found_in_the_data)
{
    static const struct {
        const char *name, *data, *id;
    } rows[] = {
        { "top", "{\"a\":1,\"correlationId\":\"abc\"}", "abc" },
        { "metadata", "{\"metadata\":{\"correlationId\":\"abc\"}}", "abc" },
        { "metadata wins", "{\"correlationId\":\"t\",\"metadata\":{\"correlationId\":\"m\"}}",
          "m" },
        { "metadata without one", "{\"correlationId\":\"t\",\"metadata\":{\"x\":1}}", "t" },
        { "metadata is no object", "{\"metadata\":[1],\"correlationId\":\"t\"}", "t" },
        { "the last of two", "{\"correlationId\":\"a\",\"correlationId\":\"b\"}", "b" },
        { "escapes", "{\"correlationId\":\"a\\/b\\u00e9\"}", "a/b\u00e9" },
        { "longest", "{\"correlationId\":\"" X128 "\"}", X128 },
        { "too long", "{\"correlationId\":\"" X128 "x\"}", NULL },
        { "empty", "{\"correlationId\":\"\"}", NULL },
        { "number", "{\"correlationId\":17}", NULL },
        { "object", "{\"correlationId\":{}}", NULL },
        { "line break", "{\"correlationId\":\"a\\nb\"}", NULL },
        { "NUL", "{\"correlationId\":\"a\\u0000b\"}", NULL },
        { "half a surrogate pair", "{\"correlationId\":\"\\ud800\"}", NULL },
        { "deeper", "{\"a\":{\"correlationId\":\"abc\"}}", NULL },
        { "as a value", "{\"a\":\"correlationId\"}", NULL },
        { "array", "[\"correlationId\",\"abc\"]", NULL },
        { "not JSON", "{\"correlationId\":\"abc\"", NULL },
        { "text", "\"correlationId\"", NULL },
        { "nothing", "", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct bytes data = { rows[i].data, strlen(rows[i].data) };
        char *id = correlation_find(&data);

        cr_assert(rows[i].id ? id && strcmp(id, rows[i].id) == 0 : !id, "%s: %s", rows[i].name,
                  id ? id : "none");
        free(id);
    }
}

Test(correlation, big_data_is_not_looked_into)
{
    static char text[CORRELATION_DATA_MAX + 2];
    struct bytes data = { text, CORRELATION_DATA_MAX };
    char *id;

    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"correlationId\":\"abc\"}", 23);
    id = correlation_find(&data);
    cr_assert(eq(str, id, (char *)"abc"));
    free(id);
    data.len++;
    cr_assert(correlation_find(&data) == NULL);
    data = (struct bytes){ 0 };
    cr_assert(correlation_find(&data) == NULL);
}

/* ---- arguments */

#define UUID "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f6c"

Test(arguments, are_checked)
{
    static const struct {
        const char *name;
        const char *argv[24];
        const char *fault; /* NULL: accepted */
    } rows[] = {
        { "all and padding",
          { "--queue", "q", "--slot", "1", "--uuid", UUID, "--generation", "2", "--slots", "3",
            "...." },
          NULL },
        { "all with a master",
          { "--queue", "q", "--slot", "1", "--uuid", UUID, "--generation", "2", "--slots", "3",
            "--board", "4095", "--master", UUID },
          NULL },
        { "another user",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--user", "5", "--group", "6",
            "--groups", "6,7", "--keep", "480" },
          NULL },
        { "a user without a group",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--user", "5" },
          "belong together" },
        { "groups without a user",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--groups", "5" },
          "belong together" },
        { "a user that means nobody",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--user", "4294967295", "--group",
            "6" },
          "--user" },
        { "help", { "--help" }, NULL },
        { "board beyond the scoreboard",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--board", "4096" },
          "--board" },
        { "bad master",
          { "--queue", "q", "--uuid", UUID, "--slots", "3", "--master", "m" },
          "--master" },
        { "no queue", { "--uuid", UUID, "--slots", "3" }, "--queue" },
        { "bad uuid", { "--queue", "q", "--uuid", "x", "--slots", "3" }, "--uuid" },
        { "no slots", { "--queue", "q", "--uuid", UUID }, "--slots" },
        { "too many slots", { "--queue", "q", "--uuid", UUID, "--slots", "100001" }, "--slots" },
        { "not a number", { "--slots", "x" }, "not a whole number" },
        { "negative", { "--slots", "-1" }, "not a whole number" },
        { "no value", { "--queue" }, "needs a value" },
        { "unknown", { "--qeue", "q" }, "--qeue" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct worker_arguments out;
        struct error err = { 0 };
        const char *argv[25] = { "drover-worker" };
        int argc = 1, r;

        for (; rows[i].argv[argc - 1]; argc++)
            argv[argc] = rows[i].argv[argc - 1];
        r = worker_arguments_parse(argc, (char *const *)argv, &out, &err);
        cr_assert(eq(int, r, rows[i].fault ? -EINVAL : 0), "%s", rows[i].name);
        if (rows[i].fault)
            cr_assert(strstr(err.text, rows[i].fault) != NULL, "%s: %s", rows[i].name, err.text);
    }
}

Test(arguments, board_and_master_may_be_absent)
{
    static const char *const argv[] = {
        "drover-worker", "--queue", "q",        "--uuid", UUID, "--slots", "3",
        "--board",       "7",       "--master", UUID
    };
    char *const *words = (char *const *)argv;
    struct worker_arguments out;

    cr_assert(eq(int, worker_arguments_parse(7, words, &out, NULL), 0));
    cr_assert(eq(u64, out.board, WORKER_NO_BOARD));
    cr_assert(out.master == NULL);
    cr_assert(eq(int, worker_arguments_parse(ARRAY_SIZE(argv), words, &out, NULL), 0));
    cr_assert(eq(u64, out.board, 7));
    cr_assert(eq(str, (char *)out.master, (char *)UUID));
}

/* ---- sysexits */

Test(sysexits, which_codes_are_permanent)
{
    for (int code = 0; code < 256; code++) {
        const struct sysexit *row = sysexit_find(code);
        bool named = code >= 64 && code <= 78;
        bool permanent = (code >= 64 && code <= 68) || code == 77 || code == 78;

        cr_assert(eq(int, row != NULL, named), "%d", code);
        if (row)
            cr_assert(eq(int, row->permanent, permanent), "%d", code);
    }
}
