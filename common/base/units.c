#include "common/base/units.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define UNITS_LIMIT           (1ULL << 53) /* exact in a double, which is what Lua and JavaScript have */
#define UNITS_FRACTION_DIGITS 12

struct unit {
    const char *name;
    uint64_t factor;
};

/* Both tables: larger units first, so that of two equally short forms the larger unit is printed.
 */
static const struct unit duration_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

static const struct unit size_units[] = {
    { "TiB", 1ULL << 40 }, { "TB", 1000000000000 }, { "GiB", 1ULL << 30 },
    { "GB", 1000000000 },  { "MiB", 1ULL << 20 },   { "MB", 1000000 },
    { "KiB", 1ULL << 10 }, { "KB", 1000 },          { "B", 1 },
};

struct kind {
    const char *noun;
    const char *example;
    const char *names; /* of all units, for the error's text */
    const char *least; /* unit of the result */
    const struct unit *units;
    size_t count;
};

static const struct kind duration_kind = {
    "duration", "30s", "ms, s, m, h, d", "ms", duration_units, ARRAY_SIZE(duration_units),
};
static const struct kind size_kind = {
    "size",  "16MiB",    "B, KiB, MiB, GiB, TiB, KB, MB, GB, TB",
    "bytes", size_units, ARRAY_SIZE(size_units),
};

/* A decimal as written: whole + fraction / 10^digits. */
struct decimal {
    uint64_t whole;
    uint64_t fraction;
    unsigned int digits;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int read_fraction(const char **at, struct decimal *out, const char *text, struct error *err)
{
    const char *first = *at;
    const char *end;

    while (is_digit(**at))
        (*at)++;
    for (end = *at; end > first && end[-1] == '0';)
        end--; /* zeros at the end say nothing */
    if (end - first > UNITS_FRACTION_DIGITS)
        return error_set(err, -EINVAL, "\"%s\" has more than %d decimals", text,
                         UNITS_FRACTION_DIGITS);
    for (; first < end; first++, out->digits++)
        out->fraction = out->fraction * 10 + (uint64_t)(*first - '0');
    return 0;
}

static int read_decimal(const char **at, const struct kind *kind, struct decimal *out,
                        struct error *err)
{
    const char *text = *at;

    *out = (struct decimal){ 0 };
    if (!is_digit(**at))
        return error_set(err, -EINVAL, "\"%s\" is not a %s: a number and a unit, such as %s", text,
                         kind->noun, kind->example);
    for (; is_digit(**at); (*at)++) {
        if (out->whole > UNITS_LIMIT)
            return error_set(err, -ERANGE, "\"%s\" is too large a %s", text, kind->noun);
        out->whole = out->whole * 10 + (uint64_t)(**at - '0');
    }
    if (**at != '.')
        return 0;
    (*at)++;
    if (!is_digit(**at))
        return error_set(err, -EINVAL, "\"%s\": a digit must follow the decimal point", text);
    return read_fraction(at, out, text, err);
}

static const struct unit *find_unit(const struct kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->count; i++) {
        if (strcmp(kind->units[i].name, name) == 0)
            return &kind->units[i];
    }
    return NULL;
}

static int scale(const struct decimal *decimal, const struct unit *unit, const struct kind *kind,
                 const char *text, uint64_t *out_value, struct error *err)
{
    unsigned __int128 whole = (unsigned __int128)decimal->whole * unit->factor;
    unsigned __int128 fraction = (unsigned __int128)decimal->fraction * unit->factor;
    uint64_t power = 1;

    for (unsigned int i = 0; i < decimal->digits; i++)
        power *= 10;
    if (fraction % power != 0)
        return error_set(err, -EINVAL, "\"%s\" is not a whole number of %s", text, kind->least);
    if (whole + fraction / power > UNITS_LIMIT)
        return error_set(err, -ERANGE, "\"%s\" is too large a %s", text, kind->noun);
    *out_value = (uint64_t)(whole + fraction / power);
    return 0;
}

static int parse(const char *text, const struct kind *kind, uint64_t *out_value, struct error *err)
{
    const char *at = text;
    const struct unit *unit;
    struct decimal decimal;
    int result = read_decimal(&at, kind, &decimal, err);

    if (result < 0)
        return result;
    if (strcmp(text, "0") == 0) {
        *out_value = 0;
        return 0;
    }
    if (!*at)
        return error_set(err, -EINVAL, "\"%s\" has no unit (%s)", text, kind->names);
    unit = find_unit(kind, at);
    if (!unit)
        return error_set(err, -EINVAL, "\"%s\" is not a unit of a %s (%s)", at, kind->noun,
                         kind->names);
    return scale(&decimal, unit, kind, text, out_value, err);
}

int units_parse_duration(const char *text, uint64_t *out_ms, struct error *err)
{
    return parse(text, &duration_kind, out_ms, err);
}

int units_parse_size(const char *text, uint64_t *out_bytes, struct error *err)
{
    return parse(text, &size_kind, out_bytes, err);
}

static const char *print(uint64_t value, const struct kind *kind, char out[UNITS_TEXT_BYTES])
{
    char form[UNITS_TEXT_BYTES];

    out[0] = '\0';
    for (size_t i = 0; i < kind->count; i++) {
        if (value % kind->units[i].factor != 0)
            continue;
        (void)snprintf(form, sizeof form, "%llu%s",
                       (unsigned long long)(value / kind->units[i].factor), kind->units[i].name);
        if (!out[0] || strlen(form) < strlen(out))
            memcpy(out, form, sizeof form);
    }
    return out;
}

const char *units_print_duration(uint64_t ms, char out[UNITS_TEXT_BYTES])
{
    if (ms == 0)
        return memcpy(out, "0s", 3);
    return print(ms, &duration_kind, out);
}

const char *units_print_size(uint64_t bytes, char out[UNITS_TEXT_BYTES])
{
    if (bytes == 0)
        return memcpy(out, "0B", 3);
    return print(bytes, &size_kind, out);
}
