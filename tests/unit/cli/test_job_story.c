/* One job in words and as JSON. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisor/cli/job_story.h"

#define B(text)                  \
    {                            \
        (text), sizeof(text) - 1 \
    }

static struct job_record record;

static void take(const struct bytes *names, const struct bytes *values, size_t count)
{
    struct job_view view = { .state = "failed",
                             .fields_count = count,
                             .names = names,
                             .values = values,
                             .lock_ttl_ms = -1 };

    (void)setenv("TZ", "UTC", 1);
    tzset();
    record = (struct job_record){ .queue = "q", .id = "7" };
    cr_assert(job_record_take_view(&record, &view));
}

static char *print(bool full)
{
    struct buf out = BUF_INIT((size_t)1024 * 1024);

    job_record_print(&record, full, &out);
    cr_assert(!out.failed);
    return buf_take(&out);
}

static json_t *print_json(void)
{
    struct buf out = BUF_INIT((size_t)1024 * 1024);
    json_error_t err;
    json_t *json;

    job_record_print_json(&record, &out);
    json = json_loadb(buf_text(&out), out.len, 0, &err);
    cr_assert(json != NULL, "%s: %s", err.text, buf_text(&out));
    buf_done(&out);
    return json;
}

static const struct bytes names[] = { B("name"),       B("data"),         B("opts"), B("timestamp"),
                                      B("delay"),      B("failedReason"), B("atm"),  B("ats"),
                                      B("stacktrace"), B("odd\x1b") };
static const struct bytes values[] = { B("m\x1b[2Jail"),
                                       B("{\"to\":\"x\"}"),
                                       B("{\"attempts\":3}"),
                                       B("1795309442319"),
                                       B("0"),
                                       B("boom\nagain"),
                                       B("3"),
                                       B("4"),
                                       B("[\"Error: a\\n    at b\",\"c\"]"),
                                       B("\xff") };

Test(job_story, page)
{
    static const struct bytes event_names[] = { B("event"), B("name") };
    static const struct bytes event_values[] = { B("added"), B("mail") };
    static const struct bytes later_names[] = { B("event"), B("failedReason"), B("prev") };
    static const struct bytes later_values[] = { B("failed"), B("bo\x1bom"), B("active") };
    struct job_event events[] = {
        { .at_ms = 1795309442319, .fields_count = 2, .names = event_names, .values = event_values },
        { .at_ms = 1795309443319, .fields_count = 3, .names = later_names, .values = later_values },
    };
    char *page;

    take(names, values, ARRAY_SIZE(names));
    cr_assert(job_record_take_events(&record, events, 2));
    page = print(false);
    cr_expect_str_eq(page, "Job 7 of queue q: m\\x1b[2Jail, failed\n"
                           "  attempts      3 made, 4 started, 3 allowed\n"
                           "  added         2026-11-22T01:04:02.319+00:00\n"
                           "  options       {\"attempts\":3}\n"
                           "  data          {\"to\":\"x\"}\n"
                           "  reason        boom\n"
                           "                again\n"
                           "  attempt 1     Error: a\n"
                           "                    at b\n"
                           "  attempt 2     c\n"
                           "  odd\\x1b = \\xff\n"
                           "\nStory\n"
                           "  2026-11-22T01:04:02.319+00:00              added\n"
                           "  2026-11-22T01:04:03.319+00:00  +1.0 s      failed, failedReason "
                           "bo\\x1bom, was active\n");
    free(page);
    job_record_done(&record);
}

Test(job_story, long_texts_are_cut_unless_full)
{
    static char data[2000];
    struct bytes name = B("data");
    struct bytes value = { data, sizeof(data) };
    char *page;

    memset(data, 'd', sizeof(data));
    take(&name, &value, 1);
    page = print(false);
    cr_expect(strlen(page) < 1000 && strstr(page, "(600 of 2000 bytes; --full shows all)"));
    free(page);
    page = print(true);
    cr_expect(strlen(page) > 2000 && !strstr(page, "--full"));
    free(page);
    memset(data, 0xff, sizeof(data)); /* cannot be cut between characters */
    job_record_done(&record);
    take(&name, &value, 1);
    page = print(false);
    cr_expect(strlen(page) < 4000 && strstr(page, "of 2000 bytes"));
    free(page);
    job_record_done(&record);
}

Test(job_story, json_has_types)
{
    json_t *json;

    take(names, values, ARRAY_SIZE(names));
    json = print_json();
    cr_expect_str_eq(json_string_value(json_object_get(json, "id")), "7");
    cr_expect_str_eq(json_string_value(json_object_get(json, "failed_reason")), "boom\nagain");
    cr_expect(json_integer_value(json_object_get(json, "timestamp")) == 1795309442319);
    cr_expect(json_integer_value(json_object_get(json, "attempts_made")) == 3);
    cr_expect(json_is_object(json_object_get(json, "data")));
    cr_expect(json_array_size(json_object_get(json, "stacktrace")) == 2);
    cr_expect(json_is_null(json_object_get(json, "lock_ttl_ms")));
    cr_expect(json_object_size(json_object_get(json, "other_fields")) == 1);
    json_decref(json);
    job_record_done(&record);
}

Test(job_story, damaged_fields_are_shown_as_text)
{
    static const struct bytes bad_names[] = { B("data"), B("timestamp"), B("stacktrace"),
                                              B("atm") };
    static const struct bytes bad_values[] = { B("{oops"), B("soon"), B("[1"), B("x") };
    json_t *json;
    char *page;

    take(bad_names, bad_values, 4);
    json = print_json();
    cr_expect_str_eq(json_string_value(json_object_get(json, "data")), "{oops");
    cr_expect_str_eq(json_string_value(json_object_get(json, "timestamp")), "soon");
    json_decref(json);
    page = print(false);
    cr_expect(strstr(page, "data          {oops\n") && strstr(page, "stack traces  [1\n"));
    cr_expect(strstr(page, "No events of it are left"));
    free(page);
    job_record_done(&record);
}

Test(job_story, locked_job_and_log)
{
    struct bytes name = B("name"), value = B("n");
    char *page;

    take(&name, &value, 1);
    record.lock_ttl_ms = 29500;
    record.logs_count = 30;
    record.logs = calloc(2, sizeof(*record.logs));
    cr_assert(record.logs != NULL);
    record.logs[0] = strdup("row\x1b");
    record.logs[1] = strdup("two\nlines");
    record.logs_kept = 2;
    page = print(false);
    cr_expect(strstr(page, "locked        for 29.5 s more"));
    cr_expect(strstr(page, "Log (2 of 30 rows)\n  row\\x1b\n  two\n    lines\n"), "%s", page);
    free(page);
    job_record_done(&record);
}
