/* Reading an expression. What is accepted is what cron-parser 4.9 or 5 accepts with a meaning that
 * both would give it, odd forms included (an asterisk is its range as text: "1*" in the minutes is
 * "10-59"): a scheduler made by a stock client must go on here. */
#include "common/cron/cron.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/cron/civil.h"

#define FIELDS         6
#define ATOM_BYTES_MAX (5 * CRON_TEXT_MAX) /* each * becomes at most "0-59" */

struct name {
    char text[4];
    int value;
};

static const struct name months[] = {
    { "jan", 1 }, { "feb", 2 }, { "mar", 3 }, { "apr", 4 },  { "may", 5 },  { "jun", 6 },
    { "jul", 7 }, { "aug", 8 }, { "sep", 9 }, { "oct", 10 }, { "nov", 11 }, { "dec", 12 },
};
static const struct name weekdays[] = { { "sun", 0 }, { "mon", 1 }, { "tue", 2 }, { "wed", 3 },
                                        { "thu", 4 }, { "fri", 5 }, { "sat", 6 } };

enum field_kind { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY };

static const struct field {
    const char *title;
    int least, most;
    const char *letters; /* valid beside digits and * ? , - / */
    const struct name *names;
    size_t names_count;
} fields[FIELDS] = {
    [FIELD_SECOND] = { "second", 0, 59, "", NULL, 0 },
    [FIELD_MINUTE] = { "minute", 0, 59, "", NULL, 0 },
    [FIELD_HOUR] = { "hour", 0, 23, "", NULL, 0 },
    [FIELD_DAY] = { "day of month", 1, 31, "L", NULL, 0 },
    [FIELD_MONTH] = { "month", 1, 12, "", months, ARRAY_SIZE(months) },
    [FIELD_WEEKDAY] = { "day of week", 0, 7, "L", weekdays, ARRAY_SIZE(weekdays) },
};

static const struct {
    const char *name, *text;
} macros[] = {
    { "@yearly", "0 0 0 1 1 *" },     { "@annually", "0 0 0 1 1 *" },
    { "@monthly", "0 0 0 1 * *" },    { "@weekly", "0 0 0 * * 0" },
    { "@daily", "0 0 0 * * *" },      { "@hourly", "0 0 * * * *" },
    { "@minutely", "0 * * * * *" },   { "@secondly", "* * * * * *" },
    { "@weekdays", "0 0 0 * * 1-5" }, { "@weekends", "0 0 0 * * 0,6" },
};

/* A field as it is being read. */
struct reading {
    const struct field *field;
    enum field_kind kind;
    const char *text; /* as given */
    size_t len, column;
    uint64_t values;
    uint32_t last_weekdays;
    bool last_day;
    struct error *err;
};

/* A piece of text; not terminated. */
struct piece {
    const char *at;
    size_t len;
};

static int refuse(const struct reading *reading, const char *why)
{
    return error_set(reading->err, -EINVAL, "%s \"%.*s\" (column %zu): %s", reading->field->title,
                     reading->len > 60 ? 60 : (int)reading->len, reading->text, reading->column,
                     why);
}

static int refuse_range(const struct reading *reading)
{
    char why[64];

    (void)snprintf(why, sizeof(why), "values are %d to %d", reading->field->least,
                   reading->field->most);
    return refuse(reading, why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Cuts off and returns what stands before the next separator; false after the last. */
static bool next_piece(struct piece *rest, char separator, struct piece *out)
{
    const char *found;

    if (!rest->at)
        return false;
    found = memchr(rest->at, separator, rest->len);
    *out = (struct piece){ rest->at, found ? (size_t)(found - rest->at) : rest->len };
    *rest = found ? (struct piece){ found + 1, rest->len - out->len - 1 } : (struct piece){ 0 };
    return true;
}

/* Digits alone; larger numbers than any field has are cut. False when there are none, or others. */
static bool read_number(struct piece piece, int *out)
{
    int value = 0;

    for (size_t i = 0; i < piece.len; i++) {
        if (!is_digit(piece.at[i]))
            return false;
        value = value > 100000 ? value : value * 10 + (piece.at[i] - '0');
    }
    *out = value;
    return piece.len > 0;
}

/* ---- one item of a list ---- */

static void add_value(struct reading *reading, int value)
{
    if (reading->kind == FIELD_WEEKDAY)
        value %= 7;
    reading->values |= 1ULL << value;
}

/* "5L": at most two digits before it, of which the first counts. */
static int read_last(struct reading *reading, struct piece item)
{
    struct piece before = { item.at, item.len - 1 };
    int ignored;

    if (item.at[item.len - 1] != 'L' || before.len > 2 ||
        (before.len > 0 && !read_number(before, &ignored)))
        return refuse(reading, "L stands at the end of a number, or alone");
    if (reading->kind == FIELD_DAY) {
        reading->last_day = true;
        return 0;
    }
    if (before.len == 0)
        return refuse(reading, "L needs the weekday before it, as in 5L");
    reading->last_weekdays |= 1U << ((before.at[0] - '0') % 7);
    return 0;
}

static int read_single(struct reading *reading, struct piece item)
{
    int value;

    if (memchr(item.at, 'L', item.len))
        return read_last(reading, item);
    if (!read_number(item, &value))
        return refuse(reading, "a number is missing");
    if (value < reading->field->least || value > reading->field->most)
        return refuse_range(reading);
    add_value(reading, value);
    return 0;
}

/* "a-b"; what follows a second - is not looked at, as in both versions. */
static int read_range(struct reading *reading, struct piece item, int step)
{
    struct piece first, last;
    int from, to;

    if (!next_piece(&item, '-', &first) || !next_piece(&item, '-', &last) ||
        !read_number(first, &from) || !read_number(last, &to))
        return refuse(reading, "a range is two numbers, as in 1-5");
    if (from < reading->field->least || to > reading->field->most)
        return refuse_range(reading);
    if (from > to)
        return refuse(reading, "a range must not go backwards");
    for (int value = from; value <= to; value += step)
        add_value(reading, value);
    return 0;
}

/* "a/n" is from a to the end. */
static int read_steps(struct reading *reading, struct piece base, struct piece by)
{
    char open_range[40];
    int step, from;

    if (!read_number(by, &step) || step < 1)
        return refuse(reading, "a step is a number from 1 on, as in */5");
    if (memchr(base.at, '-', base.len))
        return read_range(reading, base, step);
    if (!read_number(base, &from))
        return refuse(reading, "a step needs *, a number or a range before it");
    (void)snprintf(open_range, sizeof(open_range), "%d-%d", from, reading->field->most);
    return read_range(reading, (struct piece){ open_range, strlen(open_range) }, step);
}

static int read_item(struct reading *reading, struct piece item)
{
    struct piece rest = item, base, by;

    if (item.len == 0)
        return refuse(reading, "an item of the list is empty");
    (void)next_piece(&rest, '/', &base); /* there is always a first one */
    if (next_piece(&rest, '/', &by)) {
        if (rest.at)
            return refuse(reading, "more than one step");
        return read_steps(reading, base, by);
    }
    if (memchr(item.at, '-', item.len))
        return read_range(reading, item, 1);
    return read_single(reading, item);
}

/* ---- a field as text ---- */

static bool find_name(const struct field *field, const char *at, int *out)
{
    for (size_t i = 0; i < field->names_count; i++) {
        if (!strncasecmp(field->names[i].text, at, 3)) {
            *out = field->names[i].value;
            return true;
        }
    }
    return false;
}

/* Three letters in a row are a name. */
static bool name_begins(const struct field *field, const char *at, size_t len)
{
    return field->names_count > 0 && len >= 3 && is_letter(at[0]) && is_letter(at[1]) &&
           is_letter(at[2]);
}

/* Copies with names as numbers and * ? as ranges. */
static int expand(const struct reading *reading, struct piece text, char *out, size_t *out_len)
{
    const struct field *field = reading->field;
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        int value = 0;

        if (name_begins(field, text.at + i, text.len - i)) {
            if (!find_name(field, text.at + i, &value))
                return refuse(reading, "an unknown name");
            len += (size_t)sprintf(out + len, "%d", value); // NOLINT: shorter than the name
            i += 2;
        } else if (c == '*' || c == '?') {
            len += (size_t)sprintf(out + len, "%d-%d", field->least, field->most); // NOLINT
        } else if (is_digit(c) || c == ',' || c == '-' || c == '/' ||
                   (c && strchr(field->letters, c))) {
            out[len++] = c;
        } else if (c == 'H') {
            return refuse(reading, "H, a value by chance, would be another one in each process");
        } else {
            return refuse(reading, "an invalid character");
        }
    }
    *out_len = len;
    return 0;
}

static int read_list(struct reading *reading, struct piece text)
{
    char expanded[ATOM_BYTES_MAX];
    struct piece rest = { expanded, 0 }, item;

    if (expand(reading, text, expanded, &rest.len) < 0)
        return -EINVAL;
    while (next_piece(&rest, ',', &item)) {
        if (read_item(reading, item) < 0)
            return -EINVAL;
    }
    return 0;
}

/* "1#2": cuts the number off `text`. */
static int read_nth(const struct reading *reading, struct piece *text, uint8_t *out)
{
    struct piece rest = *text, day, nth;
    int number;

    (void)next_piece(&rest, '#', &day); /* there is always a first one */
    if (!next_piece(&rest, '#', &nth))
        return 0;
    if (memchr(text->at, ',', text->len) || memchr(text->at, '-', text->len) ||
        memchr(text->at, '/', text->len))
        return refuse(reading, "# goes with one weekday, not with lists, ranges and steps");
    if (rest.at || !read_number(nth, &number) || number < 1 || number > 5)
        return refuse(reading, "behind # stands 1 to 5, as in 1#2");
    *text = day;
    *out = (uint8_t)number;
    return 0;
}

static bool is_any(const struct reading *reading)
{
    return reading->len == 1 && (reading->text[0] == '*' || reading->text[0] == '?');
}

static int read_field(struct reading *reading, struct cron *out)
{
    struct piece text = { reading->text, reading->len };

    if (reading->kind == FIELD_WEEKDAY && read_nth(reading, &text, &out->nth_weekday) < 0)
        return -EINVAL;
    if (read_list(reading, text) < 0)
        return -EINVAL;
    switch (reading->kind) {
    case FIELD_SECOND:
        out->seconds = reading->values;
        break;
    case FIELD_MINUTE:
        out->minutes = reading->values;
        break;
    case FIELD_HOUR:
        out->hours = (uint32_t)reading->values;
        break;
    case FIELD_DAY:
        out->days = (uint32_t)reading->values;
        out->last_day = reading->last_day;
        out->any_day = is_any(reading);
        break;
    case FIELD_MONTH:
        out->months = (uint32_t)reading->values;
        break;
    case FIELD_WEEKDAY:
        out->weekdays = (uint32_t)reading->values;
        out->last_weekdays = reading->last_weekdays;
        out->any_weekday = is_any(reading);
        break;
    }
    return 0;
}

/* ---- the whole ---- */

/* A month given alone that never has such a day. */
static int check_days(const struct cron *cron, struct error *err)
{
    int month, most;

    if (__builtin_popcount(cron->months) != 1 || cron->last_day)
        return 0;
    month = __builtin_ctz(cron->months);
    most = civil_days_in_month(2000, month); /* a leap year */
    if (__builtin_ctz(cron->days) <= most)
        return 0;
    return error_set(err, -EINVAL, "day of month %d: month %d has %d days at most",
                     __builtin_ctz(cron->days), month, most);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts the expression at blanks; returns how many fields there are, at most FIELDS + 1. */
static size_t split(const char *text, size_t len, struct piece out[FIELDS])
{
    size_t count = 0, i = 0;

    while (i < len) {
        size_t start;

        while (i < len && is_blank(text[i]))
            i++;
        start = i;
        while (i < len && !is_blank(text[i]))
            i++;
        if (i == start)
            break;
        if (count < FIELDS)
            out[count] = (struct piece){ text + start, i - start };
        count++;
        if (count > FIELDS)
            break;
    }
    return count;
}

static int parse_fields(const char *text, size_t len, struct cron *out, struct error *err)
{
    struct piece given[FIELDS];
    size_t count = split(text, len, given);
    struct cron cron = { 0 };

    if (count == 0)
        return error_set(err, -EINVAL, "a cron expression is missing");
    if (count > FIELDS)
        return error_set(err, -EINVAL, "more than %d fields", FIELDS);
    for (size_t i = 0; i < FIELDS; i++) {
        size_t missing = FIELDS - count;
        struct piece piece =
            i < missing ? (struct piece){ i == 0 ? "0" : "*", 1 } : given[i - missing];
        struct reading reading = {
            .field = &fields[i],
            .kind = (enum field_kind)i,
            .text = piece.at,
            .len = piece.len,
            .column = i < missing ? 0 : (size_t)(piece.at - text) + 1,
            .err = err,
        };

        if (read_field(&reading, &cron) < 0)
            return -EINVAL;
    }
    if (check_days(&cron, err) < 0)
        return -EINVAL;
    *out = cron;
    return 0;
}

int cron_parse(const char *text, size_t len, struct cron *out, struct error *err)
{
    if (len > CRON_TEXT_MAX)
        return error_set(err, -EINVAL, "a cron expression of %zu bytes, over %d", len,
                         CRON_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(macros); i++) {
        if (strlen(macros[i].name) == len && !memcmp(macros[i].name, text, len))
            return parse_fields(macros[i].text, strlen(macros[i].text), out, err);
    }
    if (len > 0 && text[0] == '@')
        return error_set(err, -EINVAL,
                         "\"%.*s\" is not one of @yearly, @monthly, @weekly, @daily, "
                         "@hourly and their like",
                         len > 60 ? 60 : (int)len, text);
    return parse_fields(text, len, out, err);
}
