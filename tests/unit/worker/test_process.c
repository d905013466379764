/* The process handler against a program that keeps the protocol: jobs, reports, cancelling,
 * children that come and go, the end. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>

#include "common/base/log.h"
#include "tests/unit/worker/process_rig.h"

TestSuite(process, .init = process_rig_init, .fini = rig_done, .timeout = 60);

static const struct handler_kind *kind(void)
{
    return handler_find(CONFIG_HANDLER_PROCESS);
}

/* ---- answers */

Test(process, results_are_passed_on_as_they_are)
{
    static const struct {
        const char *data, *result; /* data: the result as a JSON string */
    } rows[] = {
        { "\" {\\\"a\\\" : [1, 2.50]} \"", "{\"a\" : [1, 2.50]}" },
        { "\"null\"", "null" },
        { "\"\\\"\\\\ud800\\\"\"", "\"\\ud800\"" },
        { "\"-18446744073709551617e400\"", "-18446744073709551617e400" },
        { "\"false\"", "false" },
    };

    open_ready("plain");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_start_job("raw", rows[i].data);

        rig_wait_ended();
        expect(result, HANDLER_COMPLETED, rows[i].result);
    }
}

Test(process, a_job_arrives_with_all_that_is_known_of_it)
{
    struct result *result;

    rig.input.deadline_ms = clock_now_ms() + 30000;
    rig.job.timestamp_ms = 1700000000000;
    rig.job.priority = 4;
    open_ready("plain");
    result = rig_start_job("params", "{\"a\":1}");
    rig_wait_ended();
    cr_assert(strstr(result->value, "{\"job\": \"17\", \"name\": \"params\", \"attempt\": 2, "
                                    "\"attempts_max\": 5, \"deadline_ms\": 2") == result->value,
              "%s", result->value);
    cr_assert(strstr(result->value,
                     ", \"idempotency_key\": \"pictures:17\", \"fencing_token\": \"uuid:4\", "
                     "\"correlation_id\": \"order-9\", \"queue\": \"pictures\", "
                     "\"added_at_ms\": 1700000000000, \"priority\": 4, \"data\": {\"a\": 1}}") !=
                  NULL,
              "%s", result->value);
}

Test(process, data_that_is_no_json_arrives_as_text)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("params", "plain\ntext");
    rig_wait_ended();
    cr_assert(strstr(result->value, "\"data_text\": \"plain\\ntext\", \"data\": null}") != NULL,
              "%s", result->value);
}

Test(process, handshake_tells_the_limits)
{
    rig.config.parallel = 7;
    rig.config.heartbeat_ms = 30000;
    rig.setup.type = "resize";
    open_ready("plain");
    cr_assert(eq(str, (char *)(uintptr_t)read_trace("initialize"),
                 (char *)"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                         "\"protocol\":2,\"drover\":\"" DROVER_VERSION
                         "\",\"queue\":\"pictures\",\"type\":\"resize\",\"worker\":"
                         "\"host-pictures-0\",\"parallel\":7,\"max_line_bytes\":1048576,"
                         "\"heartbeat_ms\":30000}}\n"));
    (void)wait_logged("program.ready", "\"name\":\"talker\"", NULL);
}

Test(process, environment_is_made_from_nothing)
{
    static char colour[] = "COLOUR=red", queue[] = "DROVER_QUEUE=other";
    static char *env[] = { colour, queue, NULL };
    struct result *result;

    (void)setenv("SECRET", "must not leak", 1);
    rig.config.env = env;
    rig.setup.type = "resize";
    open_ready("plain");
    result = rig_start_job("env", "1");
    rig_wait_ended();
    cr_assert(strstr(result->value, "\"COLOUR\": \"red\"") != NULL, "%s", result->value);
    cr_assert(strstr(result->value, "\"DROVER_QUEUE\": \"pictures\"") != NULL);
    cr_assert(strstr(result->value, "\"DROVER_WORKER\": \"host-pictures-0\"") != NULL);
    cr_assert(strstr(result->value, "\"DROVER_JOB_NAME\": \"resize\"") != NULL);
    cr_assert(strstr(result->value, "SECRET") == NULL);
}

Test(process, errors)
{
    static const struct {
        const char *name, *data;
        enum handler_outcome_kind kind;
        const char *reason, *stack;
        int64_t retry_after_ms;
    } rows[] = {
        { "error", "{\"code\":-32001,\"message\":\"try again\"}", HANDLER_FAILED, "try again", "",
          -1 },
        { "error",
          "{\"code\":-32001,\"message\":\"slow\",\"data\":{\"retry_after_ms\":1500,\"stack\":"
          "\"at "
          "x\"}}",
          HANDLER_FAILED, "slow", "at x", 1500 },
        { "error", "{\"code\":-32603,\"message\":\"crashed\"}", HANDLER_FAILED, "crashed", "", -1 },
        { "error", "{\"code\":-32002,\"message\":\"never\"}", HANDLER_FAILED_FINAL, "never", "",
          -1 },
        { "error", "{\"code\":-32003,\"message\":\"limit\",\"data\":{\"retry_after_ms\":2000}}",
          HANDLER_PUT_BACK, "limit", "", 2000 },
        { "error", "{\"code\":-32003,\"message\":\"limit\"}", HANDLER_PUT_BACK, "limit", "", -1 },
        { "error", "{\"code\":-32005,\"message\":\"d\",\"data\":{\"retry_after_ms\":5}}",
          HANDLER_DELAYED, "d", "", 5 },
        { "error", "{\"code\":-32006,\"message\":\"w\"}", HANDLER_WAITING, "w", "", -1 },
        { "error", "{\"code\":-32007,\"message\":\"k\"}", HANDLER_WAITING_CHILDREN, "k", "", -1 },
        { "error", "{\"code\":-32008,\"message\":\"l\",\"data\":{\"retry_after_ms\":7}}",
          HANDLER_LIMITED, "l", "", 7 },
        { "error", "{\"code\":-32009,\"message\":\"none\"}", HANDLER_FAILED, "none", "", -1 },
        { "error", "{\"code\":-32004,\"message\":\"unasked\"}", HANDLER_FAILED, "unasked", "", -1 },
        { "error", "{\"code\":-32001,\"message\":\"\"}", HANDLER_FAILED,
          "the program answered with error -32001 and no message", "", -1 },
        { "bad-error", "1", HANDLER_FAILED, "the program answered with error -32001 and no message",
          "", -1 },
        { "no-such", "1", HANDLER_FAILED, "no job no-such", "", -1 },
    };

    open_ready("plain");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_start_job(rows[i].name, rows[i].data);

        rig_wait_ended();
        expect(result, rows[i].kind, rows[i].reason);
        cr_assert(eq(str, result->stack, (char *)(uintptr_t)rows[i].stack), "%s", rows[i].data);
        cr_assert(eq(i64, result->retry_after_ms, rows[i].retry_after_ms), "%s", rows[i].data);
    }
}

/* To a program of version 1 these codes mean what they always did: nothing special. */
Test(process, errors_of_a_later_version)
{
    static const char *const codes[] = { "-32005", "-32006", "-32007", "-32008" };

    open_ready("old");
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        char data[64];
        struct result *result;

        (void)snprintf(data, sizeof(data), "{\"code\":%s,\"message\":\"m\"}", codes[i]);
        result = rig_start_job("error", data);
        rig_wait_ended();
        expect(result, HANDLER_FAILED, "m");
    }
}

Test(process, megabytes_go_through_both_ways)
{
    size_t len = 4 << 20;
    char *data = malloc(len + 1);
    struct result *result;

    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    data[len] = '\0';
    rig.config.max_output_bytes = len + 100;
    open_ready("plain");
    for (int i = 0; i < 3; i++) {
        result = rig_start_job("echo", data);
        rig_wait_ended();
        cr_assert(eq(int, (int)result->kind, (int)HANDLER_COMPLETED), "%s", result->reason);
        cr_assert(eq(sz, result->value_len, len));
        cr_assert(eq(int, memcmp(result->value, data, len), 0));
    }
    free(data);
}

/* The buffer of what is to be written is moved over while it is never empty. */
Test(process, slow_reader_gets_every_byte)
{
    static char data[20001];

    memset(data, 'x', sizeof(data) - 1);
    data[0] = data[sizeof(data) - 2] = '"';
    rig.config.parallel = 40;
    rig.setup.slots = 40;
    open_ready("plain");
    for (int i = 0; i < 250; i++)
        (void)rig_start_job("slow-echo", data);
    rig_wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        expect(&rig.results[i], HANDLER_COMPLETED, data);
}

Test(process, answers_byte_by_byte)
{
    struct result *result;

    open_ready("byte-wise");
    result = rig_start_job("byte-wise", "{\"a\":\"\xe2\x82\xac\"}");
    rig_wait_ended();
    expect(result, HANDLER_COMPLETED, "{\"a\": \"\\u20ac\"}");
}

Test(process, reports)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("report", "1");
    rig_wait_ended();
    cr_assert(eq(str, result->progress, (char *)"{\"percent\": 50}"));
    cr_assert(eq(str, result->row, (char *)"half \xe2\x82\xac \n way \xf0\x9f\x98\x80"));
    cr_assert(eq(sz, result->reports, 2));
    (void)wait_logged("program.said", "\"level\":\"warn\"", "said by log", NULL);
    (void)wait_logged("program.said", "\"level\":\"info\"", "said by stderr", NULL);
    cr_assert(le(sz, strlen(wait_logged("yyyyyyyyyy", NULL)), 1300), "cut");
}

Test(process, chatter_is_counted_not_logged)
{
    open_ready("plain");
    log_set_limit(4, 60000);
    (void)rig_start_job("chatter", "1");
    rig_wait_ended();
    cr_assert(log_flush_next_ms() > 0);
    log_close();
    (void)wait_logged("log.suppressed", "\"repeated\":\"program.said\"", "\"count\":96", NULL);
    cr_assert(eq(sz, count_logged("\"event\":\"program.said\""), 40));
}

Test(process, program_is_told_of)
{
    struct result *result;

    open_ready("plain");
    result = rig_start_job("pid", "1");
    rig_wait_ended();
    cr_assert(eq(int, result->pid, atoi(result->value)));
}

/* ---- which program */

static size_t pids_of(size_t from)
{
    size_t different = 0;

    for (size_t i = from; i < rig.count; i++) {
        bool seen = false;

        for (size_t j = from; j < i; j++)
            seen |= rig.results[j].pid == rig.results[i].pid;
        different += !seen;
    }
    return different;
}

Test(process, jobs_are_spread_evenly)
{
    rig.setup.slots = 10;
    rig.config.parallel = 4;
    open_ready("plain"); /* ceil(10 / 4) = 3 */
    cr_assert(eq(sz, count_lines(read_trace("pids")), 3));
    for (int i = 0; i < 9; i++)
        (void)rig_start_job("hold", "1");
    (void)wait_trace("held", 9);
    cr_assert(eq(sz, pids_of(0), 3));
    for (int i = 0; i < 9; i++) {
        int same = 0;

        for (int j = 0; j < 9; j++)
            same += rig.results[i].pid == rig.results[j].pid;
        cr_assert(eq(int, same, 3), "three in each");
    }
    for (size_t i = 0; i < 9; i++)
        rig_cancel(&rig.results[i], HANDLER_CANCEL_SOFT);
    rig_wait_ended();
}

Test(process, no_more_than_parallel_in_one)
{
    struct result *waits;

    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("plain");
    (void)rig_start_job("hold", "1");
    (void)rig_start_job("hold", "2");
    waits = rig_start_job("echo", "3");
    (void)wait_trace("held", 2);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_assert(eq(uint, waits->outcomes, 0));
    rig_cancel(&rig.results[0], HANDLER_CANCEL_SOFT);
    rig_wait(waits->outcomes == 1);
    rig_cancel(&rig.results[1], HANDLER_CANCEL_SOFT);
    rig_wait_ended();
}

Test(process, order_is_kept_while_none_is_ready)
{
    static char texts[40][4];
    char wanted[256] = "";

    rig.config.parallel = 3;
    rig.setup.slots = 3;
    open_talker("plain");
    for (int i = 0; i < 40; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%d", i);
        (void)snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "%d\n", i);
        (void)rig_start_job("order", texts[i]);
    }
    rig_wait_ended();
    cr_assert(eq(str, (char *)(uintptr_t)read_trace("order"), wanted));
}

Test(process, hundred_at_once_through_one)
{
    rig.config.parallel = 100;
    rig.setup.slots = 100;
    open_ready("plain");
    for (int i = 0; i < 200; i++)
        (void)rig_start_job("echo", "{\"n\":1}");
    rig_wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        expect(&rig.results[i], HANDLER_COMPLETED, "{\"n\": 1}");
}

Test(process, ready_when_all_of_the_first_start_are)
{
    rig.setup.slots = 3;
    open_talker("plain");
    cr_assert(not(kind()->is_ready(rig.handler)));
    wait_ready();
    cr_assert(eq(sz, count_lines(read_trace("initialize")), 3));
    cr_assert(eq(uint, rig.readies, 1));
}

Test(process, grows_and_shrinks)
{
    char text[64];

    rig.setup.slots = 1;
    open_ready("plain");
    kind()->resize(rig.handler, 3);
    (void)wait_trace("initialize", 3);
    for (int i = 0; i < 3; i++)
        (void)rig_start_job("hold", "1");
    (void)wait_trace("held", 3);
    kind()->resize(rig.handler, 1);
    (void)wait_trace("told", 2); /* drain to those that go, which have a job each */
    cr_assert(strstr(read_trace("told"), "\"drain\"") != NULL);
    (void)snprintf(text, sizeof(text), "%s", strstr(read_trace("told"), "\"params\""));
    cr_assert(eq(int, strncmp(text, "\"params\":{\"timeout_ms\":null}}", 29), 0), "%s", text);
    for (size_t i = 0; i < 3; i++)
        cr_assert(rig_is_alive(rig.results[i].pid), "none goes while a job is in it");
    for (size_t i = 0; i < 3; i++)
        rig_cancel(&rig.results[i], HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    (void)wait_trace("told", 6); /* two drains, two shutdowns, two ends of file */
    rig_wait(rig_is_alive(rig.results[0].pid) + rig_is_alive(rig.results[1].pid) +
                 rig_is_alive(rig.results[2].pid) ==
             1);
    (void)rig_start_job("echo", "1");
    rig_wait_ended();
    expect(&rig.results[3], HANDLER_COMPLETED, "1");
    cr_assert(eq(sz, count_lines(read_trace("pids")), 3), "nothing was started again");
}

Test(process, shrinks_before_it_has_grown)
{
    open_ready("plain");
    for (int i = 0; i < 20; i++) {
        kind()->resize(rig.handler, 5);
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
        kind()->resize(rig.handler, 1);
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    (void)rig_start_job("echo", "1");
    rig_wait_ended();
    expect(&rig.results[0], HANDLER_COMPLETED, "1");
}

Test(process, drain_is_told_to_all)
{
    rig.setup.slots = 2;
    open_ready("plain");
    kind()->drain(rig.handler, 30000);
    (void)wait_trace("told", 2);
    cr_assert(strstr(read_trace("told"), "\"drain\",\"params\":{\"timeout_ms\":") != NULL);
    (void)rig_start_job("echo", "1");
    rig_wait_ended();
    expect(&rig.results[0], HANDLER_COMPLETED, "1");
}

Test(process, drain_is_told_to_one_that_comes_late)
{
    open_talker("plain");
    kind()->drain(rig.handler, 0);
    (void)wait_trace("told", 1);
    cr_assert(strstr(read_trace("told"), "{\"timeout_ms\":null}") != NULL);
}

/* ---- cancelling */

Test(process, soft_cancel_is_asked_with_its_reason)
{
    static const struct {
        enum handler_cancel_why why;
        const char *word;
    } rows[] = { { HANDLER_WHY_STOP, "\"reason\": \"stop\"" },
                 { HANDLER_WHY_TIMEOUT, "\"reason\": \"timeout\"" },
                 { HANDLER_WHY_LOST, "\"reason\": \"lost\"" } };

    open_ready("plain");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct result *result = rig_start_job("hold", "1");

        (void)wait_trace("held", i + 1);
        rig_cancel_why(result, HANDLER_CANCEL_SOFT, rows[i].why, 4321);
        rig_wait_ended();
        cr_assert(eq(int, (int)result->kind, (int)HANDLER_CANCELLED));
        cr_assert(strstr(wait_trace("cancel", i + 1), rows[i].word) != NULL);
        cr_assert(strstr(read_trace("cancel"), "\"grace_ms\": 4321") != NULL);
    }
    cr_assert(eq(sz, count_lines(read_trace("pids")), 1), "the program lives on");
}

Test(process, what_is_finished_after_a_cancel_is_finished)
{
    struct result *late, *wrong;

    rig.config.parallel = 2;
    rig.setup.slots = 2;
    open_ready("plain");
    late = rig_start_job("late", "1");
    wrong = rig_start_job("wrong", "1");
    (void)wait_trace("held", 2);
    rig_cancel(late, HANDLER_CANCEL_SOFT);
    rig_cancel(wrong, HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    expect(late, HANDLER_COMPLETED, "\"finished after all\"");
    cr_assert(eq(int, (int)wrong->kind, (int)HANDLER_CANCELLED), "any error is its end");
}

Test(process, hard_cancel_ends_the_program_and_spares_the_others)
{
    struct result *culprit, *other, *next;

    rig.config.parallel = 3;
    rig.setup.slots = 3;
    open_ready("stubborn");
    culprit = rig_start_job("stubborn", "1");
    other = rig_start_job("hold", "1");
    (void)wait_trace("held", 2);
    rig_cancel(culprit, HANDLER_CANCEL_SOFT);
    (void)wait_trace("cancel", 1);
    cr_assert(eq(uint, culprit->outcomes, 0));
    rig_cancel(culprit, HANDLER_CANCEL_HARD);
    next = rig_start_job("echo", "2");
    rig_wait_ended();
    cr_assert(eq(int, (int)culprit->kind, (int)HANDLER_CANCELLED));
    cr_assert(eq(int, (int)other->kind, (int)HANDLER_INNOCENT));
    expect(next, HANDLER_COMPLETED, "2");
    cr_assert(ne(int, next->pid, culprit->pid));
    rig_wait_dead(culprit->pid);
}

Test(process, cancel_of_a_queued_job)
{
    struct result *queued, *hard;

    open_talker("silent");
    queued = rig_start_job("echo", "1");
    hard = rig_start_job("echo", "1");
    rig_cancel(queued, HANDLER_CANCEL_SOFT);
    rig_cancel(hard, HANDLER_CANCEL_SOFT);
    rig_cancel(hard, HANDLER_CANCEL_HARD);
    rig_wait_ended();
    cr_assert(eq(int, (int)queued->kind, (int)HANDLER_CANCELLED));
    cr_assert(eq(int, (int)hard->kind, (int)HANDLER_CANCELLED));
}

Test(process, cancel_at_any_moment)
{
    rig.config.parallel = 4;
    rig.setup.slots = 8;
    open_talker("plain");
    for (int i = 0; i < 60; i++) {
        struct result *result = rig_start_job(i % 3 ? "hold" : "echo", "1");

        for (int turn = 0; turn <= i % 7; turn++)
            (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
        if (result->outcomes == 0)
            rig_cancel(result, i % 10 ? HANDLER_CANCEL_SOFT : HANDLER_CANCEL_HARD);
    }
    rig_wait_ended();
    for (size_t i = 0; i < rig.count; i++)
        cr_assert(rig.results[i].kind == HANDLER_CANCELLED ||
                      rig.results[i].kind == HANDLER_INNOCENT ||
                      rig.results[i].kind == HANDLER_COMPLETED,
                  "%zu: %d %s", i, (int)rig.results[i].kind, rig.results[i].reason);
}

/* ---- the end */

static uint64_t close_ms(void)
{
    uint64_t from_ms = clock_now_ms();

    rig_close_handler();
    rig_wait(rig.closed);
    return clock_now_ms() - from_ms;
}

Test(process, close_says_so_and_then_ends_the_input)
{
    open_ready("plain");
    (void)close_ms();
    cr_assert(eq(str, (char *)(uintptr_t)read_trace("told"),
                 (char *)"{\"jsonrpc\":\"2.0\",\"method\":\"shutdown\"}\nend of file\n"));
    (void)wait_logged("program.ended", "\"cause\":\"exit code 0\"", "\"asked\":true", NULL);
}

Test(process, close_does_not_wait_for_the_stubborn)
{
    uint64_t took_ms;

    rig.setup.slots = 3;
    open_ready("stubborn");
    took_ms = close_ms();
    cr_assert(ge(u64, took_ms, 990), "%d", (int)took_ms);
    (void)wait_logged("program.ended", "SIGKILL", NULL);
}

Test(process, close_ends_one_that_obeys_a_signal_only)
{
    open_ready("deaf");
    cr_assert(ge(u64, close_ms(), 490));
    (void)wait_logged("program.ended", "SIGTERM", NULL);
}

Test(process, close_at_any_moment)
{
    static const char *const modes[] = { "plain", "silent", "exits", "version", "bye" };

    for (size_t i = 0; i < 20; i++) {
        rig.setup.slots = 1 + i % 3;
        open_talker(modes[i % ARRAY_SIZE(modes)]);
        rig_tick(true);
        for (size_t turn = 0; turn < i * 2; turn++)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
        (void)close_ms();
    }
}

Test(process, group_of_a_program_ends_with_it)
{
    char text[64];
    struct result *result;

    open_ready("plain");
    result = rig_start_job("child", "1");
    rig_wait_file("child", text, sizeof(text));
    rig_wait_ended();
    expect(result, HANDLER_FAILED, "exit code 1");
    rig_wait_dead((pid_t)atoi(text));
}
