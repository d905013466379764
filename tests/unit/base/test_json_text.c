#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/json_text.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *bytes;
    size_t len;
    bool valid;
} documents[] = {
    { BYTES("null"), true },
    { BYTES("true"), true },
    { BYTES("false"), true },
    { BYTES(" \t\r\n0 \n"), true },
    { BYTES("-0.0e+10"), true },
    { BYTES("1E400"), true },
    { BYTES("123456789012345678901234567890"), true },
    { BYTES("\"\""), true },
    { BYTES("\"\\ud800\""), true },
    { BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00ff\""), true },
    { BYTES("\"\xc3\xa9\xf0\x9f\x98\x80\x7f\""), true },
    { BYTES("[]"), true },
    { BYTES("{}"), true },
    { BYTES("[ ]"), true },
    { BYTES("{ }"), true },
    { BYTES("[1,[2,{\"a\":[]}],\"b\"]"), true },
    { BYTES("{ \"a\" : 1 , \"a\" : { \"b\" : [ null ] } }"), true },
    { BYTES(""), false },
    { BYTES("   "), false },
    { BYTES("nul"), false },
    { BYTES("nullx"), false },
    { BYTES("True"), false },
    { BYTES("undefined"), false },
    { BYTES("NaN"), false },
    { BYTES("-"), false },
    { BYTES("+1"), false },
    { BYTES("01"), false },
    { BYTES("1."), false },
    { BYTES(".5"), false },
    { BYTES("1e"), false },
    { BYTES("1e+"), false },
    { BYTES("0x10"), false },
    { BYTES("1 2"), false },
    { BYTES("\"open"), false },
    { BYTES("\"line\nbreak\""), false },
    { BYTES("\"nul\0byte\""), false },
    { BYTES("\"\\x\""), false },
    { BYTES("\"\\u12\""), false },
    { BYTES("\"\\u12g4\""), false },
    { BYTES("\"\\"), false },
    { BYTES("\"\\\0\""), false },
    { BYTES("'a'"), false },
    { BYTES("[1,]"), false },
    { BYTES("[,1]"), false },
    { BYTES("[1 2]"), false },
    { BYTES("[1}"), false },
    { BYTES("["), false },
    { BYTES("]"), false },
    { BYTES("{1:2}"), false },
    { BYTES("{\"a\"}"), false },
    { BYTES("{\"a\":}"), false },
    { BYTES("{\"a\":1,}"), false },
    { BYTES("{\"a\":1"), false },
    { BYTES("{\"a\":1 \"b\":2}"), false },
    { BYTES("null\0"), false },
    { BYTES("\xef\xbb\xbfnull"), false },
    { BYTES("\"\xc3\""), false },
    { BYTES("\"\xed\xa0\x80\""), false },
    { BYTES("\"\xc0\x80\""), false },
};

Test(json_text, knows_what_json_is)
{
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
        cr_expect(json_text_is_valid(documents[i].bytes, documents[i].len) == documents[i].valid,
                  "row %zu: %.*s", i, (int)documents[i].len, documents[i].bytes);
}

Test(json_text, ends_at_512_levels)
{
    char nested[2 * 513];

    for (size_t depth = 511; depth <= 513; depth++) {
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        cr_expect(json_text_is_valid(nested, 2 * depth) == (depth <= 512), "depth %zu", depth);
    }
}

Test(json_text, never_reads_past_the_end)
{
    static const char whole[] = "{\"a\":[1.5e3,\"\\u00e9\",true,false,null]}";

    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *exact = malloc(len ? len : 1); /* ASan watches its end */

        cr_assert(exact);
        memcpy(exact, whole, len);
        cr_expect(!json_text_is_valid(exact, len), "prefix of %zu bytes", len);
        free(exact);
    }
    cr_expect(json_text_is_valid(whole, sizeof whole - 1));
}

static const struct {
    const char *bytes;
    size_t len;
    const char *quoted;
} quotes[] = {
    { BYTES(""), "\"\"" },
    { BYTES("plain"), "\"plain\"" },
    { BYTES("a\"b\\c/"), "\"a\\\"b\\\\c/\"" },
    { BYTES("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"" },
    { BYTES("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"" },
    { BYTES("\xc3\xa9"), "\"\xc3\xa9\"" },
    { BYTES("a\xff"
            "b"),
      "\"a\xef\xbf\xbd"
      "b\"" },
    { BYTES("\xc3"), "\"\xef\xbf\xbd\"" },
    { BYTES("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

Test(json_text, quotes_any_bytes)
{
    for (size_t i = 0; i < ARRAY_SIZE(quotes); i++) {
        struct buf buf = BUF_INIT(100);

        cr_expect(json_text_quote(&buf, quotes[i].bytes, quotes[i].len) == 0);
        cr_expect_str_eq(buf_text(&buf), quotes[i].quoted, "row %zu", i);
        cr_expect(json_text_is_valid(buf.data, buf.len), "row %zu", i);
        buf_done(&buf);
    }
}

Test(json_text, quotes_all_or_nothing)
{
    struct buf buf = BUF_INIT(8);

    cr_assert(buf_append_text(&buf, "abc") == 0);
    cr_expect(json_text_quote(&buf, "1234", 4) == -ENOBUFS);
    cr_expect(buf.failed);
    cr_expect_str_eq(buf_text(&buf), "abc");
    buf.failed = false;
    cr_expect(json_text_quote(&buf, "123", 3) == 0);
    cr_expect_str_eq(buf_text(&buf), "abc\"123\"");
    buf_done(&buf);
}
