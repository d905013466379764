/* Reading and writing opts (wire format 2.3, 5.2). */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/queue/add.h"
#include "common/queue/json_walk.h"
#include "common/queue/options.h"

static struct job_options parse(const char *json)
{
    struct job_options options;
    struct error err = { 0 };

    cr_assert(job_options_parse(json, strlen(json), &options, &err) == 0, "%s: %s", json, err.text);
    return options;
}

Test(options, attempts)
{
    static const struct {
        const char *json;
        uint64_t attempts;
    } rows[] = {
        { "{}", 0 },
        { "{\"attempts\":0}", 0 },
        { "{\"attempts\":3}", 3 },
        { "{\"attempts\":3.9}", 3 },
        { "{\"attempts\":\"7\"}", 7 },
        { "{\"attempts\":1e2}", 100 },
        { "{\"attempts\":-1}", 1 },
        { "{\"attempts\":null}", 0 },
        { "{\"attempts\":2,\"attempts\":5}", 5 },
        { "{\"attempts\":1e400}", 1ULL << 53 },
        { "{\"attempts\":99999999999999999999999}", 1ULL << 53 },
        { "{\"\\u0061ttempts\":4}", 4 },
        { "{\"other\":{\"attempts\":9},\"x\":[{\"attempts\":8}]}", 0 },
        { " { \"x\" : \"}\\\"{\" , \"attempts\" : 2 } ", 2 },
        { "{\"name\":\"\\ud800\",\"nul\":\"\\u0000\",\"attempts\":6}", 6 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(parse(rows[i].json).attempts == rows[i].attempts, "%s", rows[i].json);
}

Test(options, backoff)
{
    static const struct {
        const char *json;
        struct job_backoff want;
    } rows[] = {
        { "{}", { JOB_BACKOFF_ABSENT, 0, 0 } },
        { "{\"backoff\":null}", { JOB_BACKOFF_ABSENT, 0, 0 } },
        { "{\"backoff\":false}", { JOB_BACKOFF_ABSENT, 0, 0 } },
        { "{\"backoff\":100}", { JOB_BACKOFF_FIXED, 100, 0 } },
        { "{\"backoff\":0}", { JOB_BACKOFF_FIXED, 0, 0 } },
        { "{\"backoff\":-5}", { JOB_BACKOFF_FIXED, 0, 0 } },
        { "{\"backoff\":{\"type\":\"fixed\",\"delay\":200}}", { JOB_BACKOFF_FIXED, 200, 0 } },
        { "{\"backoff\":{\"delay\":12.7,\"type\":\"exponential\",\"jitter\":0.5}}",
          { JOB_BACKOFF_EXPONENTIAL, 12, 0.5 } },
        { "{\"backoff\":{\"type\":\"exponential\",\"delay\":\"30\",\"jitter\":7}}",
          { JOB_BACKOFF_EXPONENTIAL, 30, 1 } },
        { "{\"backoff\":{\"type\":\"mine\",\"delay\":5}}", { JOB_BACKOFF_CUSTOM, 5, 0 } },
        { "{\"backoff\":{\"type\":\"fixe\"}}", { JOB_BACKOFF_CUSTOM, 0, 0 } },
        { "{\"backoff\":{}}", { JOB_BACKOFF_CUSTOM, 0, 0 } },
        { "{\"backoff\":{\"type\":\"fixed\",\"delay\":null}}", { JOB_BACKOFF_FIXED, 0, 0 } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_backoff got = parse(rows[i].json).backoff;

        cr_expect(got.kind == rows[i].want.kind && got.delay_ms == rows[i].want.delay_ms &&
                      got.jitter == rows[i].want.jitter,
                  "%s", rows[i].json);
    }
}

Test(options, keep_rules)
{
    static const struct {
        const char *value;
        struct job_keep want;
    } rows[] = {
        { "null", { false, 0, 0, 0 } },
        { "true", { true, 0, 0, 1000 } },
        { "false", { true, -1, 0, 1000 } },
        { "0", { true, 0, 0, 1000 } },
        { "100", { true, 100, 0, 1000 } },
        { "2.9", { true, 2, 0, 1000 } },
        { "-1", { true, -1, 0, 1000 } },
        { "{}", { true, -1, 0, 1000 } },
        { "{\"age\":10,\"count\":5}", { true, 5, 10, 1000 } },
        { "{\"age\":0.5,\"limit\":7}", { true, -1, 0.5, 7 } },
        { "{\"count\":0}", { true, 0, 0, 1000 } },
        { "{\"age\":-3,\"count\":null}", { true, -1, 0, 1000 } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char json[128];
        struct job_options got;

        (void)snprintf(json, sizeof(json), "{\"removeOnComplete\":%s,\"removeOnFail\":%s}",
                       rows[i].value, rows[i].value);
        got = parse(json);
        cr_expect(got.keep_completed.present == rows[i].want.present, "%s", json);
        cr_expect(got.keep_completed.count == rows[i].want.count, "%s", json);
        cr_expect(got.keep_completed.age_s == rows[i].want.age_s, "%s", json);
        cr_expect(got.keep_completed.limit == rows[i].want.limit, "%s", json);
        cr_expect(got.keep_failed.count == rows[i].want.count, "%s", json);
    }
}

Test(options, other_members)
{
    cr_expect(parse("{}").stack_trace_limit == -1 && parse("{}").keep_logs == -1);
    cr_expect(parse("{\"stackTraceLimit\":0}").stack_trace_limit == 0);
    cr_expect(parse("{\"stackTraceLimit\":3}").stack_trace_limit == 3);
    cr_expect(parse("{\"kl\":4}").keep_logs == 4);
    cr_expect(parse("{\"kl\":0}").keep_logs == -1);
    cr_expect(parse("{\"lifo\":true}").lifo && parse("{\"lifo\":1}").lifo);
    cr_expect(parse("{\"lifo\":\"yes\"}").lifo);
    cr_expect(!parse("{\"lifo\":false}").lifo && !parse("{\"lifo\":0}").lifo);
    cr_expect(!parse("{\"lifo\":\"\"}").lifo && !parse("{\"lifo\":null}").lifo);
}

Test(options, wrong_types_name_the_member)
{
    static const struct {
        const char *json, *member;
    } rows[] = {
        { "", "JSON" },
        { "{", "JSON" },
        { "{\"attempts\":3}x", "JSON" },
        { "[]", "object" },
        { "3", "object" },
        { "null", "object" },
        { "{\"attempts\":\"many\"}", "opts.attempts" },
        { "{\"attempts\":true}", "opts.attempts" },
        { "{\"attempts\":[3]}", "opts.attempts" },
        { "{\"attempts\":\"\"}", "opts.attempts" },
        { "{\"backoff\":\"fixed\"}", "opts.backoff" },
        { "{\"backoff\":[1]}", "opts.backoff" },
        { "{\"backoff\":{\"type\":3}}", "opts.backoff.type" },
        { "{\"backoff\":{\"type\":\"fixed\",\"delay\":{}}}", "opts.backoff.delay" },
        { "{\"backoff\":{\"type\":\"fixed\",\"jitter\":\"x\"}}", "opts.backoff.jitter" },
        { "{\"removeOnComplete\":\"yes\"}", "opts.removeOnComplete" },
        { "{\"removeOnFail\":[]}", "opts.removeOnFail" },
        { "{\"removeOnFail\":{\"age\":\"old\"}}", "opts.removeOnFail.age" },
        { "{\"removeOnComplete\":{\"count\":true}}", "opts.removeOnComplete.count" },
        { "{\"stackTraceLimit\":{}}", "opts.stackTraceLimit" },
        { "{\"kl\":\"all\"}", "opts.kl" },
        { "{\"lifo\":{}}", "opts.lifo" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_options options = { .attempts = 77 };
        struct error err = { 0 };

        cr_expect(job_options_parse(rows[i].json, strlen(rows[i].json), &options, &err) == -EINVAL,
                  "%s", rows[i].json);
        cr_expect(strstr(err.text, rows[i].member), "%s: %s", rows[i].json, err.text);
        cr_expect(options.attempts == 77, "%s: written on failure", rows[i].json);
    }
}

/* What is printed reads back as the same. */
Test(options, printed_form_reads_back)
{
    static const struct {
        struct job_keep keep;
        const char *printed;
    } rows[] = {
        { { .present = true, .count = 0 }, "\"removeOnComplete\":true" },
        { { .present = true, .count = -1 }, "\"removeOnComplete\":false" },
        { { .present = true, .count = 9 }, "\"removeOnComplete\":9" },
        { { .present = true, .count = -1, .age_s = 1.5 }, "\"removeOnComplete\":{\"age\":1.5}" },
        { { .present = true, .count = 2, .age_s = 86400, .limit = 10 },
          "\"removeOnComplete\":{\"age\":86400,\"count\":2,\"limit\":10}" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf out = BUF_INIT(4096);
        struct job_spec spec = JOB_SPEC_INIT;
        struct job_options back;

        spec.attempts = 4;
        spec.lifo = true;
        spec.priority = 12;
        spec.delay_ms = 34;
        spec.keep_completed = rows[i].keep;
        spec.backoff = (struct job_backoff){ JOB_BACKOFF_FIXED, 250, 0.25 };
        cr_assert(job_options_print(&spec, &out) == 0);
        cr_expect(strstr(buf_text(&out), rows[i].printed), "%s", buf_text(&out));
        cr_expect(strstr(buf_text(&out), "\"delay\":34,\"priority\":12,\"lifo\":true"));
        back = parse(buf_text(&out));
        cr_expect(back.attempts == 4 && back.lifo && back.backoff.delay_ms == 250);
        cr_expect(back.backoff.kind == JOB_BACKOFF_FIXED && back.backoff.jitter == 0.25);
        cr_expect(back.keep_completed.count == rows[i].keep.count);
        cr_expect(back.keep_completed.age_s == rows[i].keep.age_s);
        cr_expect(!back.keep_failed.present && back.keep_logs == -1);
        buf_done(&out);
    }
}

Test(options, relations_are_printed_under_the_stored_names)
{
    struct buf out = BUF_INIT(4096);
    struct job_spec spec = JOB_SPEC_INIT;

    spec.parent.id = (struct bytes){ "d\"1", 3 };
    spec.parent.queue = (struct bytes){ "bull:q", 6 };
    spec.policy = JOB_POLICY_REMOVE_DEPENDENCY;
    spec.telemetry.metadata = (struct bytes){ "{\"t\":1}", 7 };
    spec.telemetry.omit_context = true;
    spec.extra_opts = (struct bytes){ " { \"a\" : [1, 2] , \"b\":null}", 28 };
    cr_assert(job_options_print(&spec, &out) == 0);
    cr_expect_str_eq(buf_text(&out),
                     "{\"attempts\":0,\"rdof\":true,\"parent\":{\"id\":\"d\\\"1\",\"queue\":"
                     "\"bull:q\"},\"tm\":\"{\\\"t\\\":1}\",\"omc\":true,\"a\":[1, 2],\"b\":null}");
    buf_reset(&out);
    cr_assert(job_parent_print(&spec, &out) == 0);
    cr_expect_str_eq(buf_text(&out), "{\"id\":\"d\\\"1\",\"queueKey\":\"bull:q\",\"rdof\":true}");
    buf_reset(&out);
    spec = JOB_SPEC_INIT;
    cr_assert(job_parent_print(&spec, &out) == 0);
    cr_expect(out.len == 0);
    buf_done(&out);
}

Test(options, printing_into_a_full_buffer_fails)
{
    struct buf out = BUF_INIT(8);
    struct job_spec spec = JOB_SPEC_INIT;

    cr_expect(job_options_print(&spec, &out) < 0);
    buf_done(&out);
}

Test(options, walk_reads_members_as_written)
{
    static const char json[] = " {\"a\" : [1, {\"b]\":\"}\"}], \"c\":\"x\\\"y\" ,\"d\":-1.5e3} ";
    struct json_value whole = json_whole_value(json, strlen(json)), key, value;
    struct json_walk walk = json_walk_into(&whole);
    double number;

    cr_assert(whole.kind == JSON_KIND_OBJECT);
    cr_assert(json_next_member(&walk, &key, &value));
    cr_expect(json_string_is(&key, "a") && value.kind == JSON_KIND_ARRAY && value.len == 15);
    cr_assert(json_next_member(&walk, &key, &value));
    cr_expect(json_string_is(&key, "c") && json_string_is(&value, "x\"y") == false);
    cr_expect(value.len == 6 && !json_string_is(&key, "cc") && !json_string_is(&key, ""));
    cr_assert(json_next_member(&walk, &key, &value));
    cr_expect(json_read_number(&value, &number) && number == -1500);
    cr_expect(!json_next_member(&walk, &key, &value));
}
