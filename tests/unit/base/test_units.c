#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/units.h"

struct unit_row {
    const char *text;
    int result;
    uint64_t value;
};

static const struct unit_row durations[] = {
    { "0", 0, 0 },
    { "0s", 0, 0 },
    { "250ms", 0, 250 },
    { "1.5s", 0, 1500 },
    { "1.500000000000000000s", 0, 1500 },
    { "0.001s", 0, 1 },
    { "10m", 0, 600000 },
    { "2h", 0, 7200000 },
    { "90d", 0, 7776000000 },
    { "0.000000011574074074d", -EINVAL, 0 }, /* more decimals than are read */
    { "9007199254740992ms", 0, 1ULL << 53 },
    { "9007199254740993ms", -ERANGE, 0 },
    { "104249991d", 0, 104249991ULL * 86400000 },
    { "104249992d", -ERANGE, 0 },
    { "99999999999999999999999999d", -ERANGE, 0 },
    { "18446744073709551617ms", -ERANGE, 0 }, /* 2^64 + 1 must not pass for 1 */
    { "", -EINVAL, 0 },
    { "30", -EINVAL, 0 },
    { "00", -EINVAL, 0 },
    { "s", -EINVAL, 0 },
    { "-1s", -EINVAL, 0 },
    { "+1s", -EINVAL, 0 },
    { " 1s", -EINVAL, 0 },
    { "1 s", -EINVAL, 0 },
    { "1s ", -EINVAL, 0 },
    { "1m30s", -EINVAL, 0 },
    { ".5s", -EINVAL, 0 },
    { "1.s", -EINVAL, 0 },
    { "1..5s", -EINVAL, 0 },
    { "1e3ms", -EINVAL, 0 },
    { "1S", -EINVAL, 0 },
    { "1min", -EINVAL, 0 },
    { "0.5ms", -EINVAL, 0 },
    { "0.0001s", -EINVAL, 0 },
};

static const struct unit_row sizes[] = {
    { "0", 0, 0 },
    { "0B", 0, 0 },
    { "1B", 0, 1 },
    { "1KiB", 0, 1024 },
    { "1KB", 0, 1000 },
    { "1.5KiB", 0, 1536 },
    { "16MiB", 0, 16777216 },
    { "2GB", 0, 2000000000 },
    { "1TiB", 0, 1ULL << 40 },
    { "0.000000000001TB", 0, 1 },
    { "8192TiB", 0, 1ULL << 53 },
    { "8193TiB", -ERANGE, 0 },
    { "512", -EINVAL, 0 },
    { "512M", -EINVAL, 0 },
    { "1kb", -EINVAL, 0 },
    { "0.5B", -EINVAL, 0 },
    { "0.3KiB", -EINVAL, 0 },
};

static void check_row(const struct unit_row *row, int result, uint64_t value,
                      const struct error *err)
{
    cr_expect(result == row->result, "\"%s\": %d", row->text, result);
    if (row->result == 0)
        cr_expect(value == row->value, "\"%s\": %llu", row->text, (unsigned long long)value);
    else
        cr_expect(value == 7 && err->text[0], "\"%s\": output untouched, text set", row->text);
}

Test(units, reads_durations)
{
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        struct error err = { 0 };
        uint64_t value = 7;
        int result = units_parse_duration(durations[i].text, &value, &err);

        check_row(&durations[i], result, value, &err);
    }
}

Test(units, reads_sizes)
{
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct error err = { 0 };
        uint64_t value = 7;
        int result = units_parse_size(sizes[i].text, &value, &err);

        check_row(&sizes[i], result, value, &err);
    }
}

Test(units, says_which_units_exist)
{
    struct error err = { 0 };
    uint64_t value = 0;

    cr_expect(units_parse_duration("30", &value, &err) < 0);
    cr_expect(strstr(err.text, "\"30\" has no unit (ms, s, m, h, d)"), "%s", err.text);
    cr_expect(units_parse_size("5 MB", &value, &err) < 0);
    cr_expect(strstr(err.text, "\" MB\" is not a unit"), "%s", err.text);
    cr_expect(units_parse_size("x", &value, NULL) == -EINVAL);
}

Test(units, prints_the_shortest_exact_form)
{
    static const struct {
        uint64_t value;
        const char *duration;
        const char *size;
    } rows[] = {
        { 0, "0s", "0B" },
        { 1, "1ms", "1B" },
        { 1000, "1s", "1KB" },
        { 1024, "1024ms", "1KiB" },
        { 1500, "1500ms", "1500B" },
        { 90000, "90s", "90KB" },
        { 120000, "2m", "120KB" },
        { 7200000, "2h", "7200KB" },
        { 86400000, "1d", "86400KB" },
        { 1ULL << 53, "9007199254740992ms", "8192TiB" },
    };
    char out[UNITS_TEXT_BYTES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t again = 0;

        cr_expect_str_eq(units_print_duration(rows[i].value, out), rows[i].duration);
        cr_expect(units_parse_duration(out, &again, NULL) == 0 && again == rows[i].value);
        cr_expect_str_eq(units_print_size(rows[i].value, out), rows[i].size);
        cr_expect(units_parse_size(out, &again, NULL) == 0 && again == rows[i].value);
    }
}
