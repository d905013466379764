#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/text.h"

Test(text, finds_the_word_that_was_meant)
{
    static const char *const keys[] = { "concurrency", "processes", "handler", "lock", "tier" };
    static const struct {
        const char *word;
        const char *meant;
    } rows[] = {
        { "concurency", "concurrency" },
        { "concurrecny", "concurrency" },
        { "CONCURRENCY", NULL },
        { "handlers", "handler" },
        { "hander", "handler" },
        { "look", "lock" },
        { "teir", "tier" }, /* one swap is one edit */
        { "xx", NULL },
        { "", NULL },
        { "lock", "lock" },
    };
    char long_word[200];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *found = text_nearest(rows[i].word, keys, ARRAY_SIZE(keys));

        cr_expect(found == rows[i].meant ||
                      (found && rows[i].meant && !strcmp(found, rows[i].meant)),
                  "%s: %s", rows[i].word, found ? found : "nothing");
    }
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    cr_expect(text_nearest(long_word, keys, ARRAY_SIZE(keys)) == NULL);
    cr_expect(text_nearest("lock", (const char *const[]){ long_word }, 1) == NULL);
    cr_expect(text_nearest("lock", keys, 0) == NULL);
}

Test(text, takes_the_nearer_of_two)
{
    static const char *const keys[] = { "max_stalls", "max_stalled" };

    cr_expect_str_eq(text_nearest("max_stalledd", keys, 2), "max_stalled");
    cr_expect_str_eq(text_nearest("max_stals", keys, 2), "max_stalls");
}

Test(text, reads_whole_numbers_only)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } rows[] = {
        { "0", 0, 0 },
        { "7", 0, 7 },
        { "18446744073709551615", 0, UINT64_MAX },
        { "18446744073709551616", -ERANGE, 0 },
        { "99999999999999999999999", -ERANGE, 0 },
        { "", -EINVAL, 0 },
        { "00", -EINVAL, 0 },
        { "01", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
        { "+1", -EINVAL, 0 },
        { " 1", -EINVAL, 0 },
        { "1 ", -EINVAL, 0 },
        { "1.0", -EINVAL, 0 },
        { "0x1", -EINVAL, 0 },
        { "99999999999999999999999x", -EINVAL, 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t value = 3;
        int result = text_parse_uint(rows[i].text, strlen(rows[i].text), &value);

        cr_expect(result == rows[i].result, "\"%s\": %d", rows[i].text, result);
        cr_expect(value == (result == 0 ? rows[i].value : 3), "\"%s\"", rows[i].text);
    }
}

Test(text, knows_utf8)
{
    static const struct {
        const char *bytes;
        size_t len, valid;
    } rows[] = {
        { "", 0, 0 },
        { "abc", 3, 3 },
        { "a\0b", 3, 3 },
        { "\xc3\xa9", 2, 2 },
        { "\xe2\x82\xac!", 4, 4 },
        { "\xf0\x9f\x98\x80", 4, 4 },
        { "\xf4\x8f\xbf\xbf", 4, 4 },
        { "ok\xc3", 3, 2 },
        { "ok\xe2\x82", 4, 2 },
        { "ok\xf0\x9f\x98", 5, 2 },
        { "\x80", 1, 0 },
        { "\xc0\x80", 2, 0 },
        { "\xc1\xbf", 2, 0 },
        { "\xe0\x9f\xbf", 3, 0 },
        { "\xed\xa0\x80", 3, 0 },
        { "\xed\x9f\xbf", 3, 3 },
        { "\xf0\x8f\xbf\xbf", 4, 0 },
        { "\xf4\x90\x80\x80", 4, 0 },
        { "\xf5\x80\x80\x80", 4, 0 },
        { "\xe2\x28\xa1", 3, 0 },
        { "\xe2\x82\x28", 3, 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(text_utf8_prefix(rows[i].bytes, rows[i].len) == rows[i].valid, "row %zu", i);
}

Test(text, writes_base64)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *encoded;
    } rows[] = {
        /* RFC 4648 section 10, then all the letters' ends */
        { "", 0, "" },
        { "f", 1, "Zg==" },
        { "fo", 2, "Zm8=" },
        { "foo", 3, "Zm9v" },
        { "foob", 4, "Zm9vYg==" },
        { "fooba", 5, "Zm9vYmE=" },
        { "foobar", 6, "Zm9vYmFy" },
        { "\xff\xef\xbe\x00", 4, "/+++AA==" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(freep) char *encoded = text_base64(rows[i].bytes, rows[i].len);

        cr_expect_str_eq(encoded, rows[i].encoded);
    }
}

Test(text, formats_into_new_memory)
{
    _cleanup_(freep) char *text = text_format("%s-%d", "a", 5);

    cr_expect_str_eq(text, "a-5");
}
