/* docs/protocols/handler.md: its programs run as they stand there, its tables are those of the
 * code. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "tests/unit/worker/process_rig.h"
#include "workers/handlers/process_wire.h"

TestSuite(process_page, .init = process_rig_init, .fini = rig_done, .timeout = 60);

static char *read_page(void)
{
    struct buf page = BUF_INIT(1 << 20);

    cr_assert(eq(int, fd_read_file(HANDLER_PAGE, &page, NULL), 0));
    return buf_take(&page);
}

/* Writes the page's program in that language into the rig's folder; its path. */
static char *extract(const char *language, const char *file_name)
{
    static char path[128];
    char *page = read_page(), fence[32], *from, *to;
    FILE *file;

    (void)snprintf(fence, sizeof(fence), "\n```%s\n#!", language);
    from = strstr(page, fence);
    cr_assert(from != NULL, "no program in %s", language);
    from = strchr(from + 1, '\n') + 1;
    to = strstr(from, "\n```\n");
    cr_assert(to != NULL);
    (void)snprintf(path, sizeof(path), "%s/%s", rig.folder, file_name);
    file = fopen(path, "we");
    cr_assert(file != NULL);
    cr_assert(eq(sz, fwrite(from, 1, (size_t)(to + 1 - from), file), (size_t)(to + 1 - from)));
    cr_assert(eq(int, fclose(file), 0));
    cr_assert(eq(int, chmod(path, 0755), 0));
    free(page);
    return path;
}

static void open_example(const char *language, const char *file_name)
{
    static char *argv[2];

    argv[0] = extract(language, file_name);
    rig_open_argv(argv);
    wait_ready();
}

static void run_the_jobs_of_all(const char *name)
{
    const struct result *echo = rig_start_job("echo", "{\"a\":[1,\"\xe2\x80\xa8\\u20ac\"]}");
    const struct result *text = rig_start_job("echo", "no\n\"data\":json}}");
    const struct result *steps = rig_start_job("steps", "1");
    const struct result *later = rig_start_job("later", "{\"name\":\"echo\"}");
    const struct result *never = rig_start_job("never", "1");

    rig_wait_ended();
    (void)wait_logged("program.ready", name, NULL);
    cr_assert(eq(int, (int)echo->kind, (int)HANDLER_COMPLETED));
    cr_assert(strstr(echo->value, "20ac") || strstr(echo->value, "\xe2\x82\xac"), "%s",
              echo->value);
    cr_assert(strstr(echo->value, "2028") || strstr(echo->value, "\xe2\x80\xa8"), "%s",
              echo->value);
    expect(text, HANDLER_COMPLETED, "null");
    expect(steps, HANDLER_COMPLETED, "\"done\"");
    cr_assert(eq(str, steps->progress, (char *)"50"));
    cr_assert(eq(str, steps->row, (char *)"half way"));
    expect(later, HANDLER_PUT_BACK, "busy");
    cr_assert(eq(i64, later->retry_after_ms, 1000));
    expect(never, HANDLER_FAILED_FINAL, "no such job");
    cr_assert(eq(sz, count_logged("program.lines_dropped"), 0));
}

/* Version 2: the places that a program may ask for. */
static void run_the_moves(void)
{
    const struct result *nightly = rig_start_job("nightly", "{\"at_ms\":1900000000000}");
    const struct result *quota = rig_start_job("quota", "1");
    const struct result *yields = rig_start_job("yields", "1");
    const struct result *tree = rig_start_job("tree", "1");

    rig_wait_ended();
    expect(nightly, HANDLER_DELAYED, "in the night");
    cr_assert(eq(u64, nightly->retry_at_ms, 1900000000000));
    expect(quota, HANDLER_LIMITED, "429 of the service");
    cr_assert(eq(i64, quota->retry_after_ms, 30000));
    expect(yields, HANDLER_WAITING, "others first");
    expect(tree, HANDLER_WAITING_CHILDREN, "children");
    cr_assert(eq(sz, count_logged("program.lines_dropped"), 0));
}

/* Ends by itself at the end of its input, and not by a signal. */
static void leave(void)
{
    rig_close_handler();
    rig_wait(rig.closed);
    (void)wait_logged("program.ended", "\"end\":\"exit code 0\"", NULL);
}

static void wait_and_cancel(void)
{
    struct result *waiting = rig_start_job("wait", "1");
    struct result *other = rig_start_job("echo", "2");

    rig_wait(other->outcomes == 1);
    cr_assert(eq(uint, waiting->outcomes, 0));
    rig_cancel(waiting, HANDLER_CANCEL_SOFT);
    rig_wait_ended();
    cr_assert(eq(int, (int)waiting->kind, (int)HANDLER_CANCELLED));
}

Test(process_page, example_in_sh)
{
    open_example("sh", "example.sh");
    run_the_jobs_of_all("example.sh");
    leave();
}

Test(process_page, example_in_python)
{
    rig.config.parallel = 4;
    rig.setup.slots = 4;
    open_example("python", "example.py");
    run_the_jobs_of_all("example.py");
    run_the_moves();
    wait_and_cancel();
    leave();
}

Test(process_page, example_in_javascript)
{
    if (access("/usr/bin/node", X_OK) < 0)
        cr_skip_test("no Node.js here");
    rig.config.parallel = 4;
    rig.setup.slots = 4;
    open_example("js", "example.mjs");
    run_the_jobs_of_all("example.js");
    run_the_moves();
    wait_and_cancel();
    leave();
}

Test(process_page, names_all_codes_and_methods)
{
    static const int codes[] = { WIRE_CODE_RETRY,         WIRE_CODE_PERMANENT, WIRE_CODE_NOT_NOW,
                                 WIRE_CODE_CANCELLED,     WIRE_CODE_DELAY,     WIRE_CODE_WAIT,
                                 WIRE_CODE_WAIT_CHILDREN, WIRE_CODE_LIMITED };
    static const char *const words[] = { "`job.progress`", "`job.log`",    "`job.heartbeat`",
                                         "`log`",          "### job.run",  "### job.cancel",
                                         "### drain",      "### shutdown", "### initialize" };
    char *page = read_page(), text[64];

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        (void)snprintf(text, sizeof(text), "\n| %d |", codes[i]);
        cr_assert(strstr(page, text) != NULL, "%d", codes[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        cr_assert(strstr(page, words[i]) != NULL, "%s", words[i]);
    (void)snprintf(text, sizeof(text), "\nVersion %d.", WIRE_PROTOCOL);
    cr_assert(strstr(page, text) != NULL);
    free(page);
}

/* The params of a line are the rows of their table, in that order. */
static void compare_params(const char *page, const char *heading, const char *line)
{
    const char *row = strstr(page, heading);
    const char *end = strstr(row + 1, "\n##"), *at = strstr(line, "\"params\":{");

    while ((row = strstr(row, "\n| `")) && row < end) {
        char key[64];
        size_t len = strcspn(row + 4, "`");

        row += 4;
        (void)snprintf(key, sizeof(key), "\"%.*s\":", (int)len, row);
        cr_assert(strstr(at, key) != NULL, "%s of %s, in its place", key, heading);
        at = strstr(at, key);
    }
}

Test(process_page, params_stand_in_their_order)
{
    struct wire_hello hello = { .queue = "q", .type = "t", .worker = "w", .parallel = 1 };
    struct job job = { .id = { "1", 1 }, .name = { "n", 1 }, .data = { "x", 1 } };
    struct handler_input input = {
        .job = &job, .queue = "q", .idempotency_key = "k", .fencing_token = "f"
    };
    struct buf line = BUF_INIT(4096);
    char *page = read_page();

    wire_initialize(&line, &hello);
    compare_params(page, "\n### initialize", line.data);
    buf_reset(&line);
    wire_job_run(&line, 1, &input, 0);
    compare_params(page, "\n### job.run", line.data);
    buf_done(&line);
    free(page);
}
