/* Looking rows up, and their texts for people. */
#include <assert.h>
#include <string.h>

#include "common/base/units.h"
#include "common/config/schema.h"

static const char *const section_prefixes[SCHEMA_SECTION_COUNT] = {
    "", "redis.*", "defaults", "queues.*", "queues.*.types.*",
};

const char *schema_section_prefix(size_t section_index)
{
    assert(section_index < SCHEMA_SECTION_COUNT);
    return section_prefixes[section_index];
}

/* The part of `pattern` after "<prefix>." (all of it for the empty prefix), or NULL. */
static const char *after_prefix(const char *pattern, const char *prefix)
{
    size_t len;

    assert(pattern && prefix);
    len = strlen(prefix);
    if (!len)
        return pattern;
    if (strncmp(pattern, prefix, len) != 0 || pattern[len] != '.')
        return NULL;
    return pattern + len + 1;
}

const struct schema_row *schema_find_in(enum schema_section section, const char *path)
{
    for (size_t i = 0; i < schema_rows_count; i++)
        if ((schema_rows[i].sections & section) && strcmp(schema_rows[i].path, path) == 0)
            return &schema_rows[i];
    return NULL;
}

const struct schema_row *schema_find(const char *pattern)
{
    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        const char *rest = after_prefix(pattern, section_prefixes[s]);
        const struct schema_row *row =
            rest ? schema_find_in((enum schema_section)(1u << s), rest) : NULL;

        if (row)
            return row;
    }
    return NULL;
}

/* What stands in `whole` after "<pattern>.", or NULL when it is not below the pattern. */
static const char *below(const char *whole, const char *pattern)
{
    const char *rest = after_prefix(whole, pattern);

    return rest && *rest ? rest : NULL;
}

static void add_child(struct schema_children *out, const char *rest)
{
    size_t len = strcspn(rest, ".");

    assert(len < sizeof out->storage[0]);
    for (size_t i = 0; i < out->count; i++)
        if (strlen(out->names[i]) == len && strncmp(out->names[i], rest, len) == 0)
            return;
    assert(out->count < SCHEMA_CHILDREN_MAX);
    memcpy(out->storage[out->count], rest, len);
    out->storage[out->count][len] = '\0';
    out->names[out->count] = out->storage[out->count];
    out->count++;
}

void schema_list_below(const char *pattern, struct schema_children *out)
{
    char whole[SCHEMA_PATTERN_BYTES];

    out->count = 0;
    for (size_t i = 0; i < schema_rows_count; i++) {
        for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
            const char *rest;

            if (!(schema_rows[i].sections & (1u << s)))
                continue;
            rest = below(schema_pattern(&schema_rows[i], s, whole), pattern);
            if (rest)
                add_child(out, rest);
        }
    }
}

bool schema_has_below(const char *pattern)
{
    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        const char *rest;

        /* The section itself, or a name on the way to it. */
        if (strcmp(pattern, section_prefixes[s]) == 0 || below(section_prefixes[s], pattern))
            return true;
        rest = after_prefix(pattern, section_prefixes[s]);
        for (size_t i = 0; rest && i < schema_rows_count; i++)
            if ((schema_rows[i].sections & (1u << s)) && below(schema_rows[i].path, rest))
                return true;
    }
    return false;
}

const char *schema_pattern(const struct schema_row *row, size_t section_index,
                           char out[SCHEMA_PATTERN_BYTES])
{
    const char *prefix = schema_section_prefix(section_index);

    (void)snprintf(out, SCHEMA_PATTERN_BYTES, "%s%s%s", prefix, *prefix ? "." : "",
                   row->path); /* constants; a test checks that all fit */
    return out;
}

const char *schema_type_name(enum schema_type type)
{
    static const char *const names[SCHEMA_TYPE_COUNT] = {
        [SCHEMA_DURATION] = "duration",
        [SCHEMA_SIZE] = "size",
        [SCHEMA_UINT] = "whole number",
        [SCHEMA_COUNT] = "whole number, all or none",
        [SCHEMA_REAL] = "number",
        [SCHEMA_BOOL] = "true or false",
        [SCHEMA_WORD] = "word",
        [SCHEMA_TEXT] = "text",
        [SCHEMA_PATH] = "absolute path",
        [SCHEMA_URL] = "Redis URL",
        [SCHEMA_SECRET] = "place of a secret",
        [SCHEMA_PROGRAM] = "list: program and arguments",
        [SCHEMA_ENV] = "map of variables",
        [SCHEMA_ENDPOINT] = "name of a Redis endpoint",
        [SCHEMA_KEEP] = "whole number, all, none or map",
        [SCHEMA_HANDLER] = "noop or map",
        [SCHEMA_USER] = "name or number of a user",
        [SCHEMA_GROUP] = "name or number of a group",
        [SCHEMA_GROUPS] = "list of groups",
        [SCHEMA_UMASK] = "octal number",
        [SCHEMA_NICE] = "whole number",
        [SCHEMA_LIMIT] = "limit",
    };
    return names[type];
}

const char *schema_change_name(enum schema_change change)
{
    static const char *const names[] = {
        [SCHEMA_LIVE] = "live",
        [SCHEMA_NEW_WORKERS] = "new workers",
        [SCHEMA_RESTART] = "restart",
    };
    return names[change];
}

bool schema_is_group(const struct schema_row *row)
{
    return row->type == SCHEMA_KEEP || row->type == SCHEMA_HANDLER;
}

static void print_bound(const struct schema_row *row, double bound, struct buf *out)
{
    char text[UNITS_TEXT_BYTES];

    if (row->type == SCHEMA_DURATION || row->flags & SCHEMA_OF_SECONDS)
        (void)buf_append_text(out, units_print_duration((uint64_t)bound, text));
    else if (row->type == SCHEMA_SIZE || row->flags & SCHEMA_OF_BYTES)
        (void)buf_append_text(out, units_print_size((uint64_t)bound, text));
    else
        (void)buf_printf(out, "%.15g", bound);
}

static bool has_range(const struct schema_row *row)
{
    switch ((int)row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_UINT:
    case SCHEMA_COUNT:
    case SCHEMA_REAL:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        return true;
    default:
        return false;
    }
}

void schema_print_range(const struct schema_row *row, struct buf *out)
{
    if (row->type == SCHEMA_WORD) {
        for (const struct schema_word *word = row->words; word->name; word++)
            if (!word->refused)
                (void)buf_printf(out, "%s%s", word == row->words ? "" : ", ", word->name);
        return;
    }
    if (row->type == SCHEMA_UMASK)
        (void)buf_append_text(out, "000 … 777 or inherit");
    if (!has_range(row))
        return;
    print_bound(row, row->min, out);
    (void)buf_append_text(out, " … ");
    print_bound(row, row->max, out);
    if (row->flags & SCHEMA_ZERO_IS_AUTO)
        (void)buf_append_text(out, " or auto");
    if ((row->flags & SCHEMA_ZERO_IS_NONE) && row->min > 0)
        (void)buf_append_text(out, " or none");
    if (row->type == SCHEMA_NICE)
        (void)buf_append_text(out, " or inherit");
    if (row->type == SCHEMA_LIMIT)
        (void)buf_append_text(out, row->flags & SCHEMA_NO_UNLIMITED ? " or inherit"
                                                                    : ", unlimited or inherit");
}
