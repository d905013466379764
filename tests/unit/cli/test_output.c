/* What reaches a terminal. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisor/cli/output.h"

static void expect_text(const char *from, size_t len, const char *want)
{
    struct buf out = BUF_INIT(4096);

    output_text(&out, from, len);
    cr_expect_str_eq(buf_text(&out), want);
    buf_done(&out);
}

Test(output, nothing_harmful_gets_through)
{
    static const struct {
        const char *from, *want;
    } rows[] = {
        { "plain text", "plain text" },
        { "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\x95",
          "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\x95" },
        { "a\x1b[31mred", "a\\x1b[31mred" },
        { "tab\tline\nreturn\r", "tab\\tline\\nreturn\\r" },
        { "bell\a del\x7f", "bell\\x07 del\\x7f" },
        { "c1 \xc2\x9b", "c1 \\x9b" },
        { "bad \xff\xc3", "bad \\xff\\xc3" },
        { "overlong \xc0\x80", "overlong \\xc0\\x80" },
        { "turned \xe2\x80\xae", "turned \\u202e" },
        { "", "" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect_text(rows[i].from, strlen(rows[i].from), rows[i].want);
    expect_text("nul\0here", 8, "nul\\x00here");
}

Test(output, lines_are_kept_and_indented)
{
    struct buf out = BUF_INIT(4096);

    output_lines(&out, "one\ntwo\x1b\n\n", 10, 3);
    cr_expect_str_eq(buf_text(&out), "one\n   two\\x1b");
    buf_done(&out);
}

Test(output, times)
{
    char text[OUTPUT_TIME_BYTES];

    (void)setenv("TZ", "Asia/Kathmandu", 1);
    tzset();
    cr_expect_str_eq(output_time(1795309442319ULL, text), "2026-11-22T06:49:02.319+05:45");
    (void)setenv("TZ", "America/St_Johns", 1);
    tzset();
    cr_expect_str_eq(output_time(1795309442009ULL, text), "2026-11-21T21:34:02.009-03:30");
    cr_expect_str_eq(output_time(0, text), "-");
    cr_expect(strlen(output_time(UINT64_MAX, text)) < OUTPUT_TIME_BYTES);
}

Test(output, ages)
{
    static const struct {
        uint64_t ms;
        const char *want;
    } rows[] = {
        { 0, "0 ms" },          { 999, "999 ms" },       { 1000, "1.0 s" },
        { 59949, "59.9 s" },    { 60000, "1 m 0 s" },    { 3599999, "59 m 59 s" },
        { 3600000, "1 h 0 m" }, { 90061000, "1 d 1 h" }, { 8640000000ULL, "100 d 0 h" },
    };
    char text[OUTPUT_AGE_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect_str_eq(output_age(rows[i].ms, text), rows[i].want);
    cr_expect(strlen(output_age(UINT64_MAX, text)) < OUTPUT_AGE_BYTES - 1);
}

Test(output, table_is_aligned_and_clean)
{
    static const bool right[] = { false, true, false };
    struct output_table table;
    struct buf out = BUF_INIT(4096);

    output_table_init(&table, 3, right);
    output_table_cell(&table, "NAME");
    output_table_cell(&table, "N");
    output_table_cell(&table, "");
    output_table_cell(&table, "gr\xc3\xbc\x1b");
    output_table_number(&table, 1234);
    output_table_cell(&table, "paused");
    output_table_cell(&table, "x");
    output_table_number(&table, 5);
    output_table_cell(&table, "");
    output_table_print(&table, &out);
    cr_expect_str_eq(buf_text(&out), "NAME        N\n"
                                     "gr\xc3\xbc\\x1b  1234  paused\n"
                                     "x           5\n");
    output_table_done(&table);
    buf_done(&out);
}

Test(output, json_members)
{
    struct buf out = BUF_INIT(4096);

    output_member_text(&out, true, "a", "x\"\x1b\xff", 4);
    output_member_number(&out, false, "b", 7);
    cr_expect_str_eq(buf_text(&out), "\"a\":\"x\\\"\\u001b\xef\xbf\xbd\",\"b\":7");
    buf_done(&out);
}
