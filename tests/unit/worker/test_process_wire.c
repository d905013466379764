/* The lines of docs/protocols/handler.md as bytes. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/json_text.h"
#include "workers/handlers/process_wire.h"

TestSuite(process_wire, .timeout = 20);

/* ---- worker to program */

static struct buf out;

static void begin(void)
{
    out = BUF_INIT(1 << 20);
}

static void end(void)
{
    buf_done(&out);
}

TestSuite(process_wire_out, .init = begin, .fini = end, .timeout = 20);

Test(process_wire_out, initialize)
{
    struct wire_hello hello = { .queue = "mo\"ney",
                                .type = "pay",
                                .worker = "h-0",
                                .parallel = 20,
                                .max_line_bytes = 1048576,
                                .heartbeat_ms = 30000 };

    wire_initialize(&out, &hello);
    cr_assert(eq(str, out.data,
                 (char *)"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                         "\"protocol\":2,\"drover\":\"" DROVER_VERSION
                         "\",\"queue\":\"mo\\\"ney\",\"type\":\"pay\",\"worker\":\"h-0\","
                         "\"parallel\":20,\"max_line_bytes\":1048576,\"heartbeat_ms\":30000}}\n"));
}

Test(process_wire_out, initialize_without_a_type)
{
    struct wire_hello hello = { .queue = "q", .worker = NULL, .parallel = 1 };

    wire_initialize(&out, &hello);
    cr_assert(strstr(out.data, "\"queue\":\"q\",\"worker\":\"\",\"parallel\":1,") != NULL, "%s",
              out.data);
}

static void run_line(const char *data, size_t len)
{
    struct job job = { .id = { "17", 2 },
                       .name = { "resize", 6 },
                       .data = { data, len },
                       .timestamp_ms = 1700000000000,
                       .priority = 3 };
    struct handler_input input = { .job = &job,
                                   .queue = "pictures",
                                   .attempt = 2,
                                   .attempts_max = 5,
                                   .deadline_ms = 1500,
                                   .idempotency_key = "pictures:17",
                                   .fencing_token = "uuid:4",
                                   .correlation_id = "order-9" };

    buf_reset(&out);
    wire_job_run(&out, 8, &input, 1000);
}

#define RUN_LINE                                                                                \
    "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"job.run\",\"params\":{\"job\":\"17\",\"name\":" \
    "\"resize\",\"attempt\":2,\"attempts_max\":5,\"deadline_ms\":500,\"idempotency_key\":"      \
    "\"pictures:17\",\"fencing_token\":\"uuid:4\",\"correlation_id\":\"order-9\",\"queue\":"    \
    "\"pictures\",\"added_at_ms\":1700000000000,\"priority\":3,"

Test(process_wire_out, job_run)
{
    run_line("{\"a\": 1}", 8);
    cr_assert(eq(str, out.data, (char *)RUN_LINE "\"data\":{\"a\": 1}}}\n"));
}

Test(process_wire_out, data_stays_one_line)
{
    static const struct {
        const char *name, *data, *written;
    } rows[] = {
        { "line feeds between tokens", "{\n\"a\":\r\n[1,\r2]}\n",
          "\"data\":{ \"a\":  [1, 2]} }}\n" },
        { "line separators in a string", "\"a\xe2\x80\xa8 b\xe2\x80\xa9\"",
          "\"data\":\"a\\u2028 b\\u2029\"}}\n" },
        { "their neighbours", "\"\xe2\x80\xa7\xe2\x82\xac\"",
          "\"data\":\"\xe2\x80\xa7\xe2\x82\xac\"}}\n" },
        { "what jansson would not read", "[1e400,\"\\ud800\",18446744073709551616]",
          "\"data\":[1e400,\"\\ud800\",18446744073709551616]}}\n" },
        { "no JSON", "a\nb\xff", "\"data_text\":\"a\\nb\xef\xbf\xbd\",\"data\":null}}\n" },
        { "half of it", "{\"a\":", "\"data_text\":\"{\\\"a\\\":\",\"data\":null}}\n" },
        { "nothing", "", "\"data_text\":\"\",\"data\":null}}\n" },
        { "separators in a text", "x\xe2\x80\xa8", "\"data_text\":\"x\\u2028\",\"data\":null}}\n" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        run_line(rows[i].data, strlen(rows[i].data));
        cr_assert(eq(int, strncmp(out.data, RUN_LINE, strlen(RUN_LINE)), 0), "%s", rows[i].name);
        cr_assert(eq(str, out.data + strlen(RUN_LINE), (char *)(uintptr_t)rows[i].written), "%s",
                  rows[i].name);
        cr_assert(json_text_is_valid(out.data, out.len), "%s", rows[i].name);
    }
}

Test(process_wire_out, without_deadline_and_correlation)
{
    struct job job = { .id = { "1", 1 }, .name = { "n", 1 }, .data = { "1", 1 } };
    struct handler_input input = {
        .job = &job, .queue = "q", .idempotency_key = "q:1", .fencing_token = "t"
    };

    wire_job_run(&out, 1, &input, 1000);
    cr_assert(strstr(out.data, "\"deadline_ms\":null,") != NULL);
    cr_assert(strstr(out.data, "\"correlation_id\":\"q:1\",") != NULL);
    buf_reset(&out);
    input.deadline_ms = 900; /* over */
    wire_job_run(&out, 1, &input, 1000);
    cr_assert(strstr(out.data, "\"deadline_ms\":0,") != NULL);
}

Test(process_wire_out, notifications)
{
    struct json_value id = { JSON_KIND_STRING, "\"x\"", 3 };

    wire_job_cancel(&out, 8, "stop", 5000);
    wire_drain(&out, 0);
    wire_drain(&out, 30000);
    wire_shutdown(&out);
    wire_no_such_method(&out, &id);
    cr_assert(
        eq(str, out.data,
           (char *)"{\"jsonrpc\":\"2.0\",\"method\":\"job.cancel\",\"params\":{\"id\":8,"
                   "\"reason\":\"stop\",\"grace_ms\":5000}}\n"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"drain\",\"params\":{\"timeout_ms\":null}}\n"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"drain\",\"params\":{\"timeout_ms\":30000}}\n"
                   "{\"jsonrpc\":\"2.0\",\"method\":\"shutdown\"}\n"
                   "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32601,\"message\":"
                   "\"a worker has no methods: answer job.run, notify the rest\"}}\n"));
}

Test(process_wire_out, all_of_a_line_or_nothing)
{
    struct job job = { .id = { "1", 1 }, .name = { "n", 1 }, .data = { "\"\xe2\x80\xa8\"", 5 } };
    struct handler_input input = {
        .job = &job, .queue = "q", .idempotency_key = "q:1", .fencing_token = "t"
    };
    size_t whole;

    wire_job_run(&out, 1, &input, 0);
    whole = out.len;
    for (size_t max = 5; max < whole + 10; max++) {
        struct buf small = BUF_INIT(max);

        (void)buf_append_text(&small, "kept\n");
        wire_job_run(&small, 1, &input, 0);
        cr_assert(eq(int, small.failed, max < whole + 5), "%zu", max);
        cr_assert(eq(sz, small.len, small.failed ? 5 : whole + 5), "%zu", max);
        buf_done(&small);
    }
}

/* ---- program to worker */

Test(process_wire, kinds)
{
    static const struct {
        const char *line;
        enum wire_kind kind;
    } rows[] = {
        { "", WIRE_BLANK },
        { " \t\r", WIRE_BLANK },
        { "hello", WIRE_GARBAGE },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1", WIRE_GARBAGE },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}}", WIRE_GARBAGE },
        { "\xff", WIRE_GARBAGE },
        { "[]", WIRE_BATCH },
        { "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}]", WIRE_BATCH },
        { "42", WIRE_NO_RPC },
        { "\"text\"", WIRE_NO_RPC },
        { "null", WIRE_NO_RPC },
        { "{}", WIRE_NO_RPC },
        { "{\"id\":1,\"result\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":2.0,\"id\":1,\"result\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"id\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"result\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"method\":1}", WIRE_NO_RPC },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\r", WIRE_RESULT },
        { " { \"result\" : {\"error\":1} , \"id\" : 1 , \"jsonrpc\" : \"2.0\" } ", WIRE_RESULT },
        { "{\"json\\u0072pc\":\"2.0\",\"id\":1,\"result\":null}", WIRE_RESULT },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"more\":[1,{}]}", WIRE_RESULT },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", WIRE_ERROR },
        { "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}", WIRE_ERROR },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"job.log\",\"params\":{}}", WIRE_REQUEST },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.begun\",\"params\":{}}", WIRE_UNKNOWN_METHOD },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.heartbeat\"}", WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.heartbeat\",\"params\":[1]}", WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.heartbeat\",\"params\":{\"id\":\"1\"}}",
          WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.heartbeat\",\"params\":{\"id\":1}}",
          WIRE_HEARTBEAT },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.progress\",\"params\":{\"id\":1}}",
          WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.progress\",\"params\":{\"progress\":null,"
          "\"id\":1}}",
          WIRE_PROGRESS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.log\",\"params\":{\"id\":1,\"line\":1}}",
          WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.log\",\"params\":{\"id\":1,\"line\":\"\"}}",
          WIRE_LOG },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"level\":\"x\",\"message\":\"\"}}",
          WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"message\":\"\"}}",
          WIRE_BAD_PARAMS },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"level\":\"info\","
          "\"message\":\"\"}}",
          WIRE_SAID },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t len = strlen(rows[i].line);
        char *copy = malloc(len + 1); /* nothing beyond the line */
        struct wire_message message;

        memcpy(copy, rows[i].line, len);
        wire_parse(copy, len, &message);
        cr_assert(eq(int, (int)message.kind, (int)rows[i].kind), "%s", rows[i].line);
        free(copy);
    }
}

static struct wire_message parse(const char *line)
{
    struct wire_message message;

    wire_parse(line, strlen(line), &message);
    return message;
}

Test(process_wire, ids)
{
    static const struct {
        const char *id;
        uint64_t number;
    } rows[] = {
        { "0", 0 },
        { "12", 12 },
        { "9007199254740991", WIRE_ID_MAX },
        { "9007199254740992", UINT64_MAX },
        { "99999999999999999999", UINT64_MAX },
        { "-1", UINT64_MAX },
        { "1.5", UINT64_MAX },
        { "1e2", UINT64_MAX },
        { "\"12\"", UINT64_MAX },
        { "null", UINT64_MAX },
        { "[1]", UINT64_MAX },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":1}",
                       rows[i].id);
        cr_assert(eq(u64, parse(line).id, rows[i].number), "%s", rows[i].id);
    }
}

Test(process_wire, errors)
{
    struct wire_message message =
        parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32003,\"message\":\"busy\","
              "\"data\":{\"retry_after_ms\":1500,\"stack\":\"at x\"}}}");

    cr_assert(eq(i64, message.code, WIRE_CODE_NOT_NOW));
    cr_assert(eq(i64, message.retry_after_ms, 1500));
    cr_assert(eq(int, strncmp(message.value.text, "\"busy\"", message.value.len), 0));
    cr_assert(eq(int, strncmp(message.stack.text, "\"at x\"", message.stack.len), 0));
    message = parse("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1e300,\"message\":7,"
                    "\"data\":{\"retry_after_ms\":-1,\"stack\":[]}}}");
    cr_assert(eq(i64, message.code, WIRE_CODE_RETRY));
    cr_assert(eq(i64, message.retry_after_ms, -1));
    cr_assert(message.value.text == NULL && message.stack.text == NULL);
}

Test(process_wire, text_of_strings)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "\"\"", "" },
        { "\"a \xe2\x82\xac\"", "a \xe2\x82\xac" },
        { "\"\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "\n\t\"\\/\b\f\r" },
        { "\"\\u0041\\u00e4\\u20ac\"", "A\xc3\xa4\xe2\x82\xac" },
        { "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
        { "\"\\ud83d\"", "\xef\xbf\xbd" },
        { "\"\\ude00x\"", "\xef\xbf\xbdx" },
        { "\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                "A" },
        { "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_value value = { JSON_KIND_STRING, rows[i].json, strlen(rows[i].json) };
        struct buf text = BUF_INIT(256);

        cr_assert(eq(int, wire_append_text(&text, &value), 0));
        cr_assert(eq(str, (char *)(uintptr_t)buf_text(&text), (char *)(uintptr_t)rows[i].text),
                  "%s", rows[i].json);
        buf_done(&text);
    }
}

Test(process_wire, beginnings_of_long_lines)
{
    static const struct {
        const char *bytes;
        enum wire_beginning what;
        uint64_t id;
    } rows[] = {
        { "", WIRE_BEGINS_OTHER, UINT64_MAX },
        { "text", WIRE_BEGINS_OTHER, UINT64_MAX },
        { "[1", WIRE_BEGINS_OTHER, UINT64_MAX },
        { "{", WIRE_BEGINS_UNKNOWN, UINT64_MAX },
        { "{\"jsonrpc\":\"2.0\",\"id\":12,\"result\":\"xx", WIRE_BEGINS_ANSWER, 12 },
        { "{\"id\": 12 ,\"jsonrpc\" : \"2.0\", \"error\":{", WIRE_BEGINS_ANSWER, 12 },
        { "{\"jsonrpc\":\"2.0\",\"id\":12", WIRE_BEGINS_UNKNOWN, UINT64_MAX },
        { "{\"jsonrpc\":\"2.0\",\"id\":\"12\",\"result\":1", WIRE_BEGINS_UNKNOWN, UINT64_MAX },
        { "{\"jsonrpc\":\"2.0\",\"result\":\"xx", WIRE_BEGINS_ANSWER, UINT64_MAX },
        { "{\"jsonrpc\":\"2.0\",\"method\":\"job.log\",\"params\":{\"x", WIRE_BEGINS_OTHER,
          UINT64_MAX },
        { "{\"params\":{", WIRE_BEGINS_OTHER, UINT64_MAX },
        { "{\"more\":{\"a\":1},\"id\":1", WIRE_BEGINS_UNKNOWN, UINT64_MAX },
        { "{\"a\\\"b\":\"c\\\"\",\"id\":7,\"result\":", WIRE_BEGINS_ANSWER, 7 },
        { "{\"a\\", WIRE_BEGINS_UNKNOWN, UINT64_MAX },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t len = strlen(rows[i].bytes);
        char *copy = malloc(len + 1);
        uint64_t id = 1;

        memcpy(copy, rows[i].bytes, len);
        cr_assert(eq(int, (int)wire_look_at_beginning(copy, len, &id), (int)rows[i].what), "%s",
                  rows[i].bytes);
        if (rows[i].what == WIRE_BEGINS_ANSWER)
            cr_assert(eq(u64, id, rows[i].id), "%s", rows[i].bytes);
        free(copy);
    }
}

Test(process_wire, answers_to_the_handshake)
{
    static const struct {
        const char *rest, *why, *name;
    } rows[] = {
        { "\"result\":{\"protocol\":1}", NULL, NULL },
        { "\"result\":{\"protocol\":1.0,\"name\":\"n\",\"more\":1}", NULL, "\"n\"" },
        { "\"result\":{\"protocol\":2}", NULL, NULL },
        { "\"result\":{\"protocol\":3}", "speaks protocol 3; this drover speaks 1 to 2", NULL },
        { "\"result\":{\"protocol\":0}", "speaks protocol 0; this drover speaks 1 to 2", NULL },
        { "\"result\":{\"protocol\":1.5}", "speaks protocol 1.5; this drover speaks 1 to 2", NULL },
        { "\"result\":{}", "does not say which protocol it speaks; this drover speaks 1 to 2",
          NULL },
        { "\"result\":null", "does not say which protocol it speaks; this drover speaks 1 to 2",
          NULL },
        { "\"result\":{\"protocol\":\"1\"}",
          "does not say which protocol it speaks; this drover speaks 1 to 2", NULL },
        { "\"error\":{\"code\":1,\"message\":\"no\"}", "refused the handshake: no", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf why = BUF_INIT(256);
        struct wire_message message;
        struct json_value name;
        unsigned int protocol = 0;
        char line[256];

        (void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":0,%s}", rows[i].rest);
        message = parse(line);
        cr_assert(eq(int, wire_read_hello(&message, &name, &protocol, &why), !rows[i].why), "%s",
                  line);
        cr_assert(eq(uint, protocol, rows[i].why ? 0 : strstr(line, ":2}") ? 2 : 1));
        if (rows[i].why)
            cr_assert(eq(str, why.data, (char *)(uintptr_t)rows[i].why));
        if (rows[i].name)
            cr_assert(eq(int, strncmp(name.text, rows[i].name, name.len), 0));
        else
            cr_assert(eq(int, (int)name.kind, (int)JSON_KIND_NULL));
        buf_done(&why);
    }
}
