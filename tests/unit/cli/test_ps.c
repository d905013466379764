/* drover ps: its tables from rows, its filter, and rows that are not what they should be. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/ps.h"
#include "tests/unit/cli/fake_droverd.h"

#define NOW_MS 1000000000ULL
#define END    "{\"end\":true,\"ok\":true,\"code\":0}"

static json_t *load(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    cr_assert(value, "%s", text);
    return value;
}

static void expect_printed(struct buf *out, const char *want)
{
    cr_assert(!out->failed);
    cr_expect_str_eq(buf_text(out), want);
    buf_done(out);
}

Test(ps, processes)
{
    json_t *rows = load(
        "[{\"pid\":4711,\"queue\":\"mail\",\"slot\":0,\"state\":\"serving\",\"generation\":3,"
        "\"spawned_at_ms\":999800000,\"running\":3,\"slots\":5,\"completed\":1234,\"failed\":5,"
        "\"retried\":67,\"waiting\":890,\"rss_bytes\":9332326,\"redis_up\":true,\"paused\":false},"
        "{\"pid\":4712,\"queue\":\"mail\",\"slot\":1,\"state\":\"draining\",\"generation\":2,"
        "\"spawned_at_ms\":900000000,\"running\":1,\"slots\":5,\"redis_up\":false,\"paused\":true,"
        "\"maxed\":true,\"limited\":true,\"beat_age_ms\":12000},"
        "{\"pid\":0,\"queue\":\"thumbs\",\"slot\":0,\"state\":\"starting\",\"generation\":3,"
        "\"redis_up\":false,\"beat_age_ms\":99999},"
        "{\"pid\":0,\"queue\":\"thumbs\",\"slot\":1,\"state\":\"backoff\",\"generation\":3,"
        "\"next_start_ms\":3000,\"last_cause\":\"exit 1 (failed)\"}]");
    struct buf out = BUF_INIT(65536);

    ps_print_processes(rows, NOW_MS, &out);
    expect_printed(
        &out,
        " PID  QUEUE   SLOT  STATE     GEN     UP  BUSY  DONE  FAILED  RETRIED  WAITING     RSS\n"
        "4711  mail       0  serving     3  3m20s   3/5  1234       5       67      890  8.9MiB\n"
        "4712  mail       1  draining    2  1d03h   1/5     0       0        0        0       -  "
        "silent 12s, no Redis, paused, maxed, limited\n"
        "   -  thumbs     0  starting    3      -   0/0     0       0        0        0       "
        "-\n"
        "   -  thumbs     1  backoff     3      -   0/0     0       0        0        0       -  "
        "again in 3s, exit 1 (failed)\n");
    json_decref(rows);
}

Test(ps, jobs)
{
    json_t *rows =
        load("[{\"pid\":7,\"queue\":\"mail\",\"running\":5,\"jobs\":["
             "{\"id\":\"42\",\"type\":\"welcome\",\"age_ms\":1500,\"attempt\":1,\"pid\":99},"
             "{\"id\":\"a\\u001b[31m\",\"type\":\"\",\"age_ms\":200000,\"attempt\":3,\"pid\":0}]},"
             "{\"pid\":8,\"queue\":\"rest\",\"running\":0,\"jobs\":[]}]");
    json_t *none = load("[{\"pid\":8,\"queue\":\"rest\",\"running\":0}]");
    struct buf out = BUF_INIT(65536);

    ps_print_jobs(rows, &out);
    expect_printed(&out, "QUEUE  WORKER  JOB        TYPE          AGE  ATTEMPT  HANDLER\n"
                         "mail        7  42         welcome     1.5 s        1       99\n"
                         "mail        7  a\\x1b[31m           3 m 20 s        3        -\n"
                         "and 3 more\n");
    buf_init(&out, 65536);
    ps_print_jobs(none, &out);
    expect_printed(&out, "no job runs\n");
    json_decref(rows);
    json_decref(none);
}

Test(ps, recoveries)
{
    json_t *rows = load("[{\"uuid\":\"u1\",\"queue\":\"mail\",\"cause\":\"signal 9 (SIGKILL)\","
                        "\"age_ms\":200000,\"asked\":2,\"fence_only\":false},"
                        "{\"uuid\":\"u2\",\"queue\":\"mail\",\"cause\":\"exit 1\","
                        "\"age_ms\":0,\"asked\":0,\"fence_only\":true}]");
    struct buf out = BUF_INIT(65536);

    ps_print_recoveries(rows, &out);
    expect_printed(&out, "Not yet recovered: dead, and what they ran is not given back\n"
                         "PROCESS  QUEUE  CAUSE                 FOR  ASKED\n"
                         "u1       mail   signal 9 (SIGKILL)  3m20s      2\n"
                         "u2       mail   exit 1                 0s      0  "
                         "not seen dead: left to the end of its locks\n");
    json_decref(rows);
}

Test(ps, the_cluster)
{
    const struct worker_entry entries[] = {
        { .uuid = "0b0f6f5c-1111-4111-8111-111111111111",
          .identity = { .host = "b",
                        .machine = "m",
                        .boot = "t",
                        .pid = 12,
                        .version = "0.1.0",
                        .slot = 1,
                        .slots = 5,
                        .running = 2,
                        .generation = 4,
                        .completed = 7,
                        .failed = 1,
                        .started_at_ms = NOW_MS - 60000,
                        .master = "x" },
          .beat = 9,
          .beat_age_ms = 1200 },
        { .uuid = "1b0f6f5c",
          .identity = { .host = "a",
                        .machine = "",
                        .boot = "",
                        .version = "\xff bad",
                        .master = NULL },
          .beat_age_ms = 8001 },
    };
    json_t *rows = json_array(), *row;
    struct buf out = BUF_INIT(65536);

    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        cr_assert(json_array_append_new(rows, ps_cluster_row("mail", &entries[i])) == 0);
    cr_assert(ps_sort(rows));
    row = json_array_get(rows, 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "uuid")), entries[0].uuid);
    cr_expect(json_integer_value(json_object_get(row, "beat")) == 9);
    cr_expect(json_is_false(json_object_get(row, "silent")));
    ps_print_cluster(rows, NOW_MS, &out);
    expect_printed(
        &out,
        "HOST  PID  QUEUE  SLOT  BUSY  DONE  FAILED  GEN     UP  BEAT  VERSION  UUID\n"
        "a       -  mail      0   0/0     0       0    0      -    8s           1b0f6f5c  silent\n"
        "b      12  mail      1   2/5     7       1    4  1m00s    1s  0.1.0    0b0f6f5c\n");
    json_decref(rows);
}

Test(ps, order_is_by_queue_host_slot_generation)
{
    json_t *rows =
        load("[{\"queue\":\"b\",\"slot\":0,\"n\":5},{\"queue\":\"a\",\"slot\":10,\"n\":4},"
             "{\"queue\":\"a\",\"slot\":2,\"generation\":2,\"n\":3},"
             "{\"queue\":\"a\",\"slot\":2,\"generation\":1,\"n\":2},{\"n\":1}]");

    cr_assert(ps_sort(rows));
    for (size_t i = 0; i < 5; i++)
        cr_expect(json_integer_value(json_object_get(json_array_get(rows, i), "n")) ==
                  (json_int_t)i + 1);
    json_decref(rows);
}

/* ---- the command ---- */

TestSuite(ps_command, .init = cr_redirect_stdout, .timeout = 30);

Test(ps_command, asks_and_prints_what_was_asked_for)
{
    cr_expect(FAKE_RUN("ps b", "{\"row\":{\"pid\":0,\"queue\":\"a\"}}",
                       "{\"row\":{\"pid\":0,\"queue\":\"b\",\"state\":\"serving\"}}",
                       "{\"row\":{\"recovery\":{\"uuid\":\"u\",\"queue\":\"a\"}}}", END) == 0);
    cr_expect_str_eq(fake_request(), "{\"verb\":\"ps\",\"version\":1}");
    cr_expect_stdout_eq_str(
        "PID  QUEUE  SLOT  STATE    GEN  UP  BUSY  DONE  FAILED  RETRIED  WAITING  RSS\n"
        "  -  b         0  serving    0   -   0/0     0       0        0        0    -\n");
}

Test(ps_command, the_dead_are_below)
{
    cr_expect(FAKE_RUN("ps", "{\"row\":{\"recovery\":{\"uuid\":\"u\",\"queue\":\"a\"}}}", END) ==
              0);
    cr_expect_stdout_eq_str("no process runs\n\n"
                            "Not yet recovered: dead, and what they ran is not given back\n"
                            "PROCESS  QUEUE  CAUSE  FOR  ASKED\n"
                            "u        a              0s      0\n");
}

/* What was printed, as JSON (new); nothing can be printed after it. */
static json_t *read_printed(void)
{
    FILE *from = cr_get_redirected_stdout();
    char text[4096] = "";

    (void)fclose(stdout);
    cr_assert(fgets(text, sizeof(text), from));
    return load(text);
}

Test(ps_command, json_has_everything)
{
    char row[256];
    json_t *all, *process;

    (void)snprintf(row, sizeof(row), "{\"row\":{\"pid\":%d,\"queue\":\"q\",\"new\":[1]}}",
                   (int)getpid());
    cr_expect(FAKE_RUN("ps --json", row, "{\"row\":{\"recovery\":{\"queue\":\"q\"}}}", END) == 0);
    all = read_printed();
    process = json_array_get(json_object_get(all, "processes"), 0);
    cr_expect(json_array_size(json_object_get(all, "processes")) == 1);
    cr_expect(json_array_size(json_object_get(all, "recoveries")) == 1);
    cr_expect(json_integer_value(json_object_get(all, "at_ms")) > 0);
    cr_expect(json_is_array(json_object_get(process, "new")));
    cr_expect(json_integer_value(json_object_get(process, "rss_bytes")) > 100000);
    json_decref(all);
}

#define TOTALS_OF_B                                                            \
    "{\"row\":{\"queue\":\"b\",\"served\":true,\"since_at_ms\":1700000000000," \
    "\"completed\":41,\"failed\":1,\"retried\":2,\"lost\":3,\"given_back\":4,\"deaths\":0}}"

/* The totals are asked for after that; here they are already on their way. */
static void run_with_totals(const char *line)
{
    static const char *const packets[] = {
        "{\"row\":{\"pid\":0,\"queue\":\"b\",\"state\":\"serving\"}}",
        END,
        "{\"row\":{\"queue\":\"gone\",\"served\":false,\"completed\":5,\"deaths\":2}}",
        TOTALS_OF_B,
        "{\"end\":true,\"ok\":true,\"code\":0,\"starts\":3,\"since_at_ms\":1600000000000}",
    };

    cr_assert(setenv("TZ", "UTC", 1) == 0);
    fake_start(
        &(struct fake_answer){ .packets = packets, .count = ARRAY_SIZE(packets), .silent = 1 });
    cr_expect(fake_run(line) == 0, "%s", line);
    (void)fake_finish();
}

Test(ps_command, totals_are_at_the_end)
{
    run_with_totals("ps");
    cr_expect_stdout_eq_str(
        "PID  QUEUE  SLOT  STATE    GEN  UP  BUSY  DONE  FAILED  RETRIED  WAITING  RSS\n"
        "  -  b         0  serving    0   -   0/0     0       0        0        0    -\n"
        "\n"
        "Totals of this host, over 3 starts of droverd\n"
        "QUEUE  DONE  FAILED  RETRIED  LOST  BACK  DEATHS  SINCE\n"
        "b        41       1        2     3     4       0  2023-11-14 22:13:20\n"
        "gone      5       0        0     0     0       2  -                    not served now\n");
}

Test(ps_command, totals_of_the_queues_that_were_asked_for)
{
    json_t *all;

    run_with_totals("ps --json gone");
    all = read_printed();
    cr_expect(json_array_size(json_object_get(all, "totals")) == 1);
    cr_expect(json_integer_value(json_object_get(all, "starts")) == 3);
    cr_expect(json_integer_value(json_object_get(all, "totals_since_at_ms")) == 1600000000000);
    json_decref(all);
}

/* An older droverd, or one that goes away: the rest is shown, and nothing is said of it. */
Test(ps_command, totals_may_be_unknown)
{
    json_t *all;

    fake_start(&(struct fake_answer){
        .packets = (const char *const[]){ END, "{\"end\":true,\"ok\":false,\"code\":69}" },
        .count = 2,
        .silent = 1 });
    cr_expect(fake_run("ps --json") == 0);
    (void)fake_finish();
    all = read_printed();
    cr_expect(json_is_null(json_object_get(all, "totals")));
    cr_expect(!json_object_get(all, "starts"));
    json_decref(all);
}

Test(ps_command, a_refusal_is_the_exit_code, .init = cr_redirect_stderr)
{
    cr_expect(FAKE_RUN("ps", "{\"row\":{\"pid\":1,\"queue\":\"a\"}}",
                       "{\"end\":true,\"ok\":false,\"code\":1,\"error\":\"not\\u001b you\"}") == 1);
    cr_expect_stderr_eq_str("drover: not\\x1b you\n");
}

Test(ps_command, options_that_do_not_go_together, .init = cr_redirect_stderr)
{
    static const char *const lines[] = { "ps --cluster --jobs", "ps --cluster --socket /x",
                                         "ps --redis redis://localhost", "ps --prefix x",
                                         "ps --password-file x" };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect(fake_run(lines[i]) == EXIT_CODE_USAGE, "%s", lines[i]);
}
