/* The dialect, recorded times of both cron-parsers, errors with their place, and zones. */
#include <errno.h>

#include <criterion/criterion.h>
#include <string.h>

#include "common/cron/cron.h"
#include "common/cron/tzif.h"

struct recorded {
    int64_t after_ms;
    const char *zone, *text;
    int64_t next_ms; /* -1: none */
};

static const struct zone *find(const char *name)
{
    const struct zone *zone = NULL;
    struct error err = { 0 };

    cr_assert_eq(zone_find(name, strlen(name), &zone, &err), 0, "%s: %s", name, err.text);
    return zone;
}

static int64_t next(const char *text, const char *zone, int64_t after_ms)
{
    struct error err = { 0 };
    struct cron cron;
    int64_t found = -1;

    cr_assert_eq(cron_parse(text, strlen(text), &cron, &err), 0, "%s: %s", text, err.text);
    return cron_next(&cron, after_ms, find(zone), &found, &err) < 0 ? -1 : found;
}

Test(cron, times_are_those_that_both_parsers_gave)
{
    static const struct recorded rows[] = {
#include "vectors.inc"
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t found = next(rows[i].text, rows[i].zone, rows[i].after_ms);

        cr_assert_eq(found, rows[i].next_ms, "\"%s\" in %s after %lld: %lld, must be %lld",
                     rows[i].text, rows[i].zone, (long long)rows[i].after_ms, (long long)found,
                     (long long)rows[i].next_ms);
    }
    cr_assert_gt(ARRAY_SIZE(rows), 300);
    zones_done();
}

/* 4.9 and 5 differ here: docs/compatibility.md. */
Test(cron, where_the_parsers_differ_it_is_the_newer_one)
{
    static const struct recorded rows[] = {
        { 1767225600000, "UTC", "0 0 */1 * 1", 1767312000000 }, /* each day; 4.9: Mondays */
        { 1767225600000, "UTC", "0 0 15 * 1#2",
          1768176000000 },                                      /* the second Monday, or the 15th */
        { 1767225600000, "UTC", "0 0 * * 1/4", 1767312000000 }, /* Monday and Friday, no Sunday */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(next(rows[i].text, rows[i].zone, rows[i].after_ms), rows[i].next_ms, "%s",
                     rows[i].text);
    zones_done();
}

Test(cron, errors_name_the_field_and_its_column)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "", "a cron expression is missing" },
        { "  \t", "a cron expression is missing" },
        { "1 2 3 4 5 6 7", "more than 6 fields" },
        { "60 * * * *", "minute \"60\" (column 1): values are 0 to 59" },
        { "0 0 24 * * *", "hour \"24\" (column 5): values are 0 to 23" },
        { "* * 0 * *", "day of month \"0\" (column 5): values are 1 to 31" },
        { "* *  * 13 *", "month \"13\" (column 8): values are 1 to 12" },
        { "* * * * 8", "day of week \"8\" (column 9): values are 0 to 7" },
        { "5-1 * * * *", "minute \"5-1\" (column 1): a range must not go backwards" },
        { "-5 * * * *", "minute \"-5\" (column 1): a range is two numbers, as in 1-5" },
        { "*/0 * * * *", "minute \"*/0\" (column 1): a step is a number from 1 on, as in */5" },
        { "1/2/3 * * * *", "minute \"1/2/3\" (column 1): more than one step" },
        { "1,,2 * * * *", "minute \"1,,2\" (column 1): an item of the list is empty" },
        { "* * * foo *", "month \"foo\" (column 7): an unknown name" },
        { "* * * mon *", "month \"mon\" (column 7): an unknown name" },
        { "mon * * * *", "minute \"mon\" (column 1): an invalid character" },
        { "H * * * *",
          "minute \"H\" (column 1): H, a value by chance, would be another one in each process" },
        { "* * L5 * *",
          "day of month \"L5\" (column 5): L stands at the end of a number, or alone" },
        { "* * * * L", "day of week \"L\" (column 9): L needs the weekday before it, as in 5L" },
        { "* * * * 1#6", "day of week \"1#6\" (column 9): behind # stands 1 to 5, as in 1#2" },
        { "* * * * 1,2#1", "day of week \"1,2#1\" (column 9): # goes with one weekday, not with "
                           "lists, ranges and steps" },
        { "0 0 30 2 *", "day of month 30: month 2 has 29 days at most" },
        { "@never", "\"@never\" is not one of @yearly, @monthly, @weekly, @daily, @hourly and "
                    "their like" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = { 0 };
        struct cron cron;

        cr_assert_eq(cron_parse(rows[i].text, strlen(rows[i].text), &cron, &err), -EINVAL, "%s",
                     rows[i].text);
        cr_assert_str_eq(err.text, rows[i].error);
    }
}

Test(cron, a_nul_in_the_text_is_refused)
{
    struct error err = { 0 };
    struct cron cron;

    cr_assert_eq(cron_parse("* * * * \0", 9, &cron, &err), -EINVAL);
}

Test(cron, what_never_comes_is_none_within_bounds)
{
    cr_assert_eq(next("0 0 31 4,6,9,11 *", "UTC", 0), -1);
    cr_assert_eq(next("0 0 29 2 *", "UTC", 4107542400000), 4233686400000,
                 "2100 has no 29 February");
    zones_done();
}

Test(zone, names_in_any_case_and_fixed_offsets)
{
    cr_assert_eq(zone_offset(find("Europe/Madrid"), 1767225600), 3600);
    cr_assert_eq(find("europe/MADRID"), find("Europe/Madrid"));
    cr_assert_eq(zone_offset(find("UTC"), 0), 0);
    cr_assert_eq(zone_offset(find("gmt"), 0), 0);
    cr_assert_eq(zone_offset(find("UTC+3"), 0), 3 * 3600);
    cr_assert_eq(zone_offset(find("utc-05:30"), 0), -19800);
    cr_assert_eq(zone_offset(find("America/Argentina/Buenos_Aires"), 1767225600), -3 * 3600);
    zones_done();
}

Test(zone, the_rule_goes_on_for_ever)
{
    cr_assert_eq(zone_offset(find("Europe/Madrid"), 4102444800 + 180 * 86400LL), 7200, "July 2100");
    cr_assert_eq(zone_offset(find("Australia/Sydney"), 4102444800), 11 * 3600, "January 2100");
    cr_assert_eq(zone_offset(find("Europe/Dublin"), 4102444800), 0, "January 2100");
    zones_done();
}

Test(zone, other_names_are_refused)
{
    static const char *const names[] = { "Nope/City", "../../etc/passwd", "/etc/localtime",
                                         "Europe/",   "Europe//Madrid",   "zone.tab",
                                         "right/UTC", "Posix/UTC",        "utc+",
                                         "utc+24",    "utc+3:60",         "utc+3:5",
                                         "Europe",    "leapseconds" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct zone *zone = NULL;
        struct error err = { 0 };

        cr_assert_eq(zone_find(names[i], strlen(names[i]), &zone, &err), -EINVAL, "%s: %s",
                     names[i], err.text);
        cr_assert_neq(err.text[0], '\0');
    }
    zones_done();
}

Test(zone, the_machine_s_own_is_that_of_TZ)
{
    cr_assert_eq(setenv("TZ", ":Asia/Tokyo", 1), 0);
    cr_assert_eq(zone_offset(find("local"), 0), 9 * 3600);
    cr_assert_eq(find(""), find("system"));
    zones_done();
}

Test(zone, rules_of_all_forms)
{
    static const struct {
        const char *text;
        int64_t at_s;
        int32_t offset_s;
    } rows[] = {
        { "CET-1CEST,M3.5.0,M10.5.0/3", 1782864000, 7200 },
        { "CET-1CEST,M3.5.0,M10.5.0/3", 1767225600, 3600 },
        { "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 1767225600, 39600 },
        { "IST-1GMT0,M10.5.0,M3.5.0/1", 1767225600, 0 },
        { "XXX3YYY,J60/0,J300/-1", 1782864000, -7200 },
        { "XXX3YYY2:30:15,59,299/167", 1782864000, -9015 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct tzif tzif = { 0 };

        cr_assert_eq(zone_rule_read(rows[i].text, strlen(rows[i].text), &tzif.rule, NULL), 0, "%s",
                     rows[i].text);
        cr_assert_eq(tzif_offset(&tzif, rows[i].at_s), rows[i].offset_s, "%s", rows[i].text);
    }
}
