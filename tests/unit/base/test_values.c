/* error, buf, clock, uuid, program_path: the small ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/program_path.h"
#include "common/base/text.h"
#include "common/base/uuid.h"

Test(error, is_set_and_wrapped)
{
    struct error err = { 0 };

    cr_expect(error_set(&err, -ENOENT, "open %s", "a.yaml") == -ENOENT);
    cr_expect(error_wrap(&err, "load %d", 3) == -ENOENT);
    cr_expect_str_eq(err.text, "load 3: open a.yaml");
    cr_expect(err.code == -ENOENT);
    cr_expect(error_set(NULL, -EIO, "nobody listens") == -EIO);
    cr_expect(error_wrap(NULL, "nobody listens") == -EIO);
}

Test(error, long_text_is_cut)
{
    struct error err = { 0 };
    char text[3 * ERROR_TEXT_BYTES];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_expect(error_set(&err, -EIO, "%s", text) == -EIO);
    cr_expect(strlen(err.text) == ERROR_TEXT_BYTES - 1);
    cr_expect(error_wrap(&err, "%s", text) == -EIO);
    cr_expect(strlen(err.text) == ERROR_TEXT_BYTES - 1);
}

Test(error, positive_code_is_our_mistake, .signal = SIGABRT)
{
    struct error err;

    (void)!error_set(&err, 5, "not negative");
}

Test(buf, grows_to_its_maximum_and_not_beyond)
{
    struct buf buf = BUF_INIT(100);

    for (int i = 0; i < 100; i++)
        cr_assert(buf_append_char(&buf, 'a') == 0, "byte %d", i);
    cr_expect(!buf.failed && buf.len == 100 && buf.cap <= 100 && buf.data[100] == '\0');
    cr_expect(buf_append_char(&buf, 'a') == -ENOBUFS);
    cr_expect(buf.failed && buf.len == 100);
    cr_expect(buf_append(&buf, "", 0) == 0);
    buf_reset(&buf);
    cr_expect(!buf.failed && buf.len == 0);
    cr_expect(buf_reserve(&buf, SIZE_MAX) == -ENOBUFS);
    buf_done(&buf);
    buf_done(&buf);
}

Test(buf, prints_consumes_and_hands_over)
{
    struct buf buf;
    _cleanup_(freep) char *taken = NULL;
    _cleanup_(freep) char *nothing = NULL;

    buf_init(&buf, 1000);
    cr_expect_str_eq(buf_text(&buf), "");
    buf_consume(&buf, 0);
    cr_expect(buf_printf(&buf, "%d-%s", 42, "abc") == 0);
    cr_expect(buf_append_text(&buf, "!") == 0);
    buf_consume(&buf, 3);
    cr_expect_str_eq(buf_text(&buf), "abc!");
    taken = buf_take(&buf);
    cr_expect_str_eq(taken, "abc!");
    cr_expect(buf.data == NULL && buf.len == 0);
    nothing = buf_take(&buf);
    cr_expect_str_eq(nothing, "");
    buf.max = 5;
    cr_expect(buf_printf(&buf, "%s", "too long") == -ENOBUFS);
    cr_expect(buf.len == 0 && buf.failed);
}

Test(buf, consuming_more_than_there_is_aborts, .signal = SIGABRT)
{
    struct buf buf = BUF_INIT(10);

    buf_consume(&buf, 1);
}

Test(clock, moves_for_tests_only_when_asked)
{
    uint64_t now = clock_now_ms(), boot = clock_boot_ms(), wall = clock_wall_ms();
    uint64_t now_us = clock_now_us();

    clock_shift_for_tests(3600000);
    cr_expect(clock_now_ms() - now >= 3600000 && clock_now_ms() - now < 3660000);
    cr_expect(clock_boot_ms() - boot >= 3600000);
    cr_expect(clock_wall_ms() - wall >= 3600000 - 1);
    cr_expect(clock_now_us() - now_us >= 3600000000);
    clock_shift_for_tests(-3600000);
    cr_expect(clock_now_ms() - now < 60000);
}

Test(uuid, is_random_and_has_its_version)
{
    char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];

    cr_assert(uuid_v4(a, NULL) == 0 && uuid_v4(b, NULL) == 0);
    cr_expect(uuid_is_valid(a) && uuid_is_valid(b));
    cr_expect(strcmp(a, b) != 0);
    cr_expect(a[14] == '4' && strchr("89ab", a[19]));
}

Test(uuid, version_7_sorts_by_time)
{
    char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];

    cr_assert(uuid_v7(0x0123456789ab, a, NULL) == 0 && uuid_v7(0x0123456789ac, b, NULL) == 0);
    cr_expect(strncmp(a, "01234567-89ab-7", 15) == 0, "%s", a);
    cr_expect(strcmp(a, b) < 0);
    cr_expect(uuid_is_valid(a));
}

Test(uuid, knows_its_form)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        { "01234567-89ab-7def-8123-456789abcdef", true },
        { "01234567-89AB-7DEF-8123-456789ABCDEF", true },
        { "01234567-89ab-7def-8123-456789abcdeg", false },
        { "01234567-89ab-7def-8123-456789abcde", false },
        { "01234567-89ab-7def-8123-456789abcdef0", false },
        { "0123456789ab-7def-8123-456789abcdef--", false },
        { "01234567089ab-7def-8123-456789abcdef", false },
        { "", false },
        { NULL, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(uuid_is_valid(rows[i].text) == rows[i].valid, "row %zu", i);
}

static void make_program(const char *folder, const char *name, mode_t mode)
{
    _cleanup_(freep) char *path = text_format("%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);

    cr_assert(fd >= 0, "%s", path);
    (void)close(fd);
}

static void remove_program(const char *folder, const char *name)
{
    _cleanup_(freep) char *path = text_format("%s/%s", folder, name);

    cr_expect(unlink(path) == 0);
}

Test(program_path, looks_in_the_environment_then_beside_then_in_the_configured_folder)
{
    char folder[] = "/tmp/drover-test-XXXXXX";
    struct error err = { 0 };
    char *found = NULL;

    cr_assert(mkdtemp(folder));
    make_program(folder, "drover-test-program", 0700);
    make_program(folder, "drover-test-data", 0600);
    (void)unsetenv("DROVER_LIBEXEC_DIR");
    cr_expect(program_path_find("drover-test-program", folder, &found, &err) == 0, "%s", err.text);
    cr_assert(found && strstr(found, "/drover-test-program"));
    free(found);
    found = NULL;
    cr_expect(program_path_find("drover-test-program", "/nonexistent", &found, &err) == -ENOENT);
    cr_expect(strstr(err.text, "/nonexistent"), "%s", err.text);
    cr_expect(program_path_find("drover-test-data", folder, &found, &err) == -ENOENT,
              "what is not executable is no program");
    cr_expect(program_path_find("drover-test-program", NULL, &found, &err) == -ENOENT);
    /* the test's own program is beside itself */
    cr_expect(program_path_find("test_values", "/nonexistent", &found, &err) == 0, "%s", err.text);
    free(found);
    found = NULL;
    cr_assert(setenv("DROVER_LIBEXEC_DIR", "/nonexistent", 1) == 0);
    cr_expect(program_path_find("drover-test-program", folder, &found, &err) == -ENOENT,
              "when set, only the environment's folder counts");
    cr_assert(setenv("DROVER_LIBEXEC_DIR", folder, 1) == 0);
    cr_expect(program_path_find("drover-test-program", NULL, &found, &err) == 0, "%s", err.text);
    free(found);
    remove_program(folder, "drover-test-program");
    remove_program(folder, "drover-test-data");
    cr_expect(rmdir(folder) == 0);
}

Test(exit_code, has_a_name_and_only_two_are_final)
{
    static const struct {
        int code;
        const char *name;
        bool final;
    } rows[] = {
        { 0, "ok", false },           { 1, "failed", false },    { 64, "usage", true },
        { 69, "unavailable", false }, { 70, "software", false }, { 71, "supervisor lost", false },
        { 72, "fenced", false },      { 78, "config", true },    { 2, NULL, false },
        { -1, NULL, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *name = exit_code_name(rows[i].code);

        cr_expect(name == rows[i].name || (name && rows[i].name && !strcmp(name, rows[i].name)),
                  "code %d", rows[i].code);
        cr_expect(exit_code_is_final(rows[i].code) == rows[i].final, "code %d", rows[i].code);
    }
}
