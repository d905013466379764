/* The file: a header and a block with 32-bit times; from version 2 on the same once more with
 * 64-bit times, and the rule between two newlines. Only the last block is used. */
#include "common/cron/tzif.h"

#include <errno.h>
#include <string.h>

#include "common/cron/civil.h"

#define HEADER_BYTES 44
#define COUNT_MAX    100000 /* entries of one table; real files have some hundred */

/* ---- the rule ---- */

struct reader {
    const char *at, *end;
};

static bool reader_take(struct reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

static bool read_number(struct reader *reader, int most, int *out)
{
    const char *start = reader->at;
    int value = 0;

    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        value = value * 10 + (*reader->at++ - '0');
        if (value > most)
            return false;
    }
    *out = value;
    return reader->at > start;
}

/* A name: three letters or more, or anything in < >. */
static bool skip_name(struct reader *reader)
{
    const char *start = reader->at;

    if (reader_take(reader, '<')) {
        while (reader->at < reader->end && *reader->at != '>')
            reader->at++;
        return reader_take(reader, '>');
    }
    while (reader->at < reader->end && ((*reader->at >= 'A' && *reader->at <= 'Z') ||
                                        (*reader->at >= 'a' && *reader->at <= 'z')))
        reader->at++;
    return reader->at - start >= 3;
}

/* [+-]h[h[h]][:mm[:ss]] in seconds. */
static bool read_time(struct reader *reader, int32_t *out)
{
    bool negative = reader_take(reader, '-');
    int hours = 0, minutes = 0, seconds = 0;

    if (!negative)
        (void)reader_take(reader, '+'); /* may be left out */
    if (!read_number(reader, 167, &hours))
        return false;
    if (reader_take(reader, ':') && !read_number(reader, 59, &minutes))
        return false;
    if (minutes >= 0 && reader_take(reader, ':') && !read_number(reader, 59, &seconds))
        return false;
    *out = (hours * 3600 + minutes * 60 + seconds) * (negative ? -1 : 1);
    return true;
}

static bool read_day(struct reader *reader, struct zone_switch *out)
{
    if (reader_take(reader, 'M')) {
        out->kind = SWITCH_MONTH_WEEK_DAY;
        return read_number(reader, 12, &out->month) && out->month >= 1 &&
               reader_take(reader, '.') && read_number(reader, 5, &out->week) && out->week >= 1 &&
               reader_take(reader, '.') && read_number(reader, 6, &out->weekday);
    }
    if (reader_take(reader, 'J')) {
        out->kind = SWITCH_JULIAN;
        return read_number(reader, 365, &out->day) && out->day >= 1;
    }
    out->kind = SWITCH_DAY_OF_YEAR;
    return read_number(reader, 365, &out->day);
}

static bool read_switch(struct reader *reader, struct zone_switch *out)
{
    *out = (struct zone_switch){ .time_s = 2 * 3600 };
    if (!reader_take(reader, ',') || !read_day(reader, out))
        return false;
    return !reader_take(reader, '/') || read_time(reader, &out->time_s);
}

static bool read_rule(struct reader *reader, struct zone_rule *rule)
{
    int32_t west_s = 0;

    if (!skip_name(reader) || !read_time(reader, &west_s))
        return false;
    rule->standard_s = -west_s; /* POSIX counts towards the west */
    if (reader->at == reader->end)
        return true;
    rule->has_summer = true;
    rule->summer_s = rule->standard_s + 3600;
    if (!skip_name(reader))
        return false;
    if (reader->at < reader->end && *reader->at != ',') {
        if (!read_time(reader, &west_s))
            return false;
        rule->summer_s = -west_s;
    }
    return read_switch(reader, &rule->to_summer) && read_switch(reader, &rule->to_standard) &&
           reader->at == reader->end;
}

int zone_rule_read(const char *text, size_t len, struct zone_rule *out, struct error *err)
{
    struct reader reader = { text, text + len };
    struct zone_rule rule = { .present = true };

    if (!read_rule(&reader, &rule))
        return error_set(err, -EINVAL, "\"%.*s\" is no rule of a time zone",
                         len > 100 ? 100 : (int)len, text);
    *out = rule;
    return 0;
}

/* The day since 1970 on which it falls in that year. */
static int64_t switch_day(const struct zone_switch *change, int64_t year)
{
    int day;

    if (change->kind == SWITCH_DAY_OF_YEAR)
        return civil_days(year, 1, 1) + change->day;
    if (change->kind == SWITCH_JULIAN) {
        bool after_leap_day = change->day >= 60 && civil_days_in_month(year, 2) == 29;

        return civil_days(year, 1, 1) + change->day - 1 + (after_leap_day ? 1 : 0);
    }
    day = 1 + (change->weekday - civil_weekday(year, change->month, 1) + 7) % 7;
    day += (change->week - 1) * 7;
    if (day > civil_days_in_month(year, change->month))
        day -= 7;
    return civil_days(year, change->month, day);
}

static int32_t rule_offset(const struct zone_rule *rule, int64_t at_s)
{
    int64_t year, to_summer, to_standard;
    bool summer;

    if (!rule->has_summer)
        return rule->standard_s;
    year = civil_at(at_s + rule->standard_s).year;
    to_summer =
        switch_day(&rule->to_summer, year) * DAY_S + rule->to_summer.time_s - rule->standard_s;
    to_standard =
        switch_day(&rule->to_standard, year) * DAY_S + rule->to_standard.time_s - rule->summer_s;
    if (to_summer < to_standard)
        summer = at_s >= to_summer && at_s < to_standard;
    else /* in the south summer goes over the end of the year */
        summer = at_s >= to_summer || at_s < to_standard;
    return summer ? rule->summer_s : rule->standard_s;
}

/* ---- the file ---- */

struct header {
    uint8_t version; /* 0, or the digit */
    size_t ut_count, std_count, leap_count, changes_count, types_count, chars_count;
};

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t big_endian_time(const uint8_t *at, size_t bytes)
{
    if (bytes == 4)
        return (int32_t)big_endian(at);
    return (int64_t)((uint64_t)big_endian(at) << 32 | big_endian(at + 4));
}

static bool read_header(const uint8_t *bytes, size_t len, struct header *out)
{
    const size_t most = COUNT_MAX;

    if (len < HEADER_BYTES || memcmp(bytes, "TZif", 4) != 0)
        return false;
    *out = (struct header){
        .version = bytes[4],
        .ut_count = big_endian(bytes + 20),
        .std_count = big_endian(bytes + 24),
        .leap_count = big_endian(bytes + 28),
        .changes_count = big_endian(bytes + 32),
        .types_count = big_endian(bytes + 36),
        .chars_count = big_endian(bytes + 40),
    };
    return out->ut_count <= most && out->std_count <= most && out->leap_count <= most &&
           out->changes_count <= most && out->types_count <= most && out->chars_count <= most;
}

/* Bytes of the block that follows the header; time_bytes: 4 or 8. */
static size_t block_bytes(const struct header *header, size_t time_bytes)
{
    return header->changes_count * (time_bytes + 1) + header->types_count * 6 +
           header->chars_count + header->leap_count * (time_bytes + 4) + header->std_count +
           header->ut_count;
}

/* Of a type; clamped, so that sums of them never overflow. */
static int32_t type_offset(const uint8_t *types, size_t index)
{
    int32_t offset = (int32_t)big_endian(types + index * 6);

    if (offset > 2 * DAY_S)
        return 2 * DAY_S;
    return offset < -2 * DAY_S ? -2 * DAY_S : offset;
}

static bool read_block(const uint8_t *block, const struct header *header, size_t time_bytes,
                       struct tzif *out)
{
    const uint8_t *indices = block + header->changes_count * time_bytes;
    const uint8_t *types = indices + header->changes_count;

    if (header->types_count == 0)
        return false;
    out->first_s = type_offset(types, 0);
    for (size_t i = 0; i < header->changes_count; i++) {
        if (indices[i] >= header->types_count)
            return false;
        out->changes[i] = big_endian_time(block + i * time_bytes, time_bytes);
        out->offsets[i] = type_offset(types, indices[i]);
        if (i > 0 && out->changes[i] <= out->changes[i - 1])
            return false;
    }
    out->changes_count = header->changes_count;
    return true;
}

static bool read_footer(const uint8_t *at, size_t len, struct zone_rule *out)
{
    const uint8_t *end;

    if (len == 0 || at[0] != '\n')
        return false;
    end = memchr(at + 1, '\n', len - 1);
    if (!end)
        return false;
    if (end == at + 1) /* no rule: the last offset stays */
        return true;
    return zone_rule_read((const char *)at + 1, (size_t)(end - at - 1), out, NULL) == 0;
}

int tzif_read(const uint8_t *bytes, size_t len, struct tzif *out, struct error *err)
{
    struct tzif tzif = { 0 };
    struct header header;
    size_t time_bytes = 4, at = HEADER_BYTES;
    bool ok;

    if (!read_header(bytes, len, &header))
        return error_set(err, -EINVAL, "not a zone file (TZif)");
    if (header.version >= '2') {
        at += block_bytes(&header, 4);
        if (at > len || !read_header(bytes + at, len - at, &header))
            return error_set(err, -EINVAL, "a damaged zone file: no second header");
        at += HEADER_BYTES;
        time_bytes = 8;
    }
    if (at + block_bytes(&header, time_bytes) > len)
        return error_set(err, -EINVAL, "a damaged zone file: cut");
    tzif.changes = calloc(header.changes_count + 1, sizeof(*tzif.changes));
    tzif.offsets = calloc(header.changes_count + 1, sizeof(*tzif.offsets));
    if (!tzif.changes || !tzif.offsets) {
        tzif_done(&tzif);
        return error_set(err, -ENOMEM, "allocate a time zone");
    }
    ok = read_block(bytes + at, &header, time_bytes, &tzif);
    at += block_bytes(&header, time_bytes);
    if (ok && time_bytes == 8)
        ok = read_footer(bytes + at, len - at, &tzif.rule);
    if (!ok) {
        tzif_done(&tzif);
        return error_set(err, -EINVAL, "a damaged zone file");
    }
    *out = tzif;
    return 0;
}

void tzif_done(struct tzif *tzif)
{
    free(tzif->changes);
    free(tzif->offsets);
    *tzif = (struct tzif){ 0 };
}

int32_t tzif_offset(const struct tzif *tzif, int64_t at_s)
{
    size_t low = 0, high = tzif->changes_count; /* changes before low are not after at_s */

    if (tzif->rule.present && (high == 0 || at_s >= tzif->changes[high - 1]))
        return rule_offset(&tzif->rule, at_s);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (tzif->changes[middle] <= at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? tzif->first_s : tzif->offsets[low - 1];
}
