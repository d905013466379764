/* `drover check --explain`: the table for people. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/load.h"

#define WRAP_COLUMN 78

/* Writes `text` in lines of at most WRAP_COLUMN columns, each after `indent` blanks. */
static void print_wrapped(const char *text, int indent, struct buf *out)
{
    size_t width = (size_t)(WRAP_COLUMN - indent);

    while (*text) {
        size_t len = strlen(text);

        if (len > width) {
            for (len = width; len && text[len] != ' ';)
                len--;
            if (!len)
                len = strcspn(text, " ");
        }
        (void)buf_printf(out, "%*s%.*s\n", indent, "", (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
}

static void print_words(const struct schema_row *row, struct buf *out)
{
    for (const struct schema_word *word = row->words; word && word->name; word++)
        if (!word->refused)
            (void)buf_printf(out, "    %-12s %s\n", word->name, word->help);
}

/* Patterns of a row, the widest section first. */
static void print_patterns(const struct schema_row *row, struct buf *out)
{
    char pattern[SCHEMA_PATTERN_BYTES];

    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++)
        if (row->sections & (1u << s))
            (void)buf_printf(out, "%s\n", schema_pattern(row, s, pattern));
}

static const char *change_takes(enum schema_change change)
{
    static const char *const texts[] = {
        [SCHEMA_LIVE] = "drover reload, which interrupts nothing",
        [SCHEMA_NEW_WORKERS] = "drover reload; old workers leave when new ones are ready",
        [SCHEMA_RESTART] = "systemctl restart drover",
    };
    return texts[change];
}

static void print_row(const struct schema_row *row, struct buf *out)
{
    struct buf range = BUF_INIT(256);

    print_patterns(row, out);
    print_wrapped(row->help, 2, out);
    (void)buf_printf(out, "  type:    %s\n", schema_type_name(row->type));
    (void)buf_printf(out, "  default: %s\n", row->preset ? row->preset : "none");
    schema_print_range(row, &range);
    if (row->words)
        print_words(row, out);
    else if (range.len)
        (void)buf_printf(out, "  range:   %s\n", buf_text(&range));
    if (row->sections & SCHEMA_DEFAULTS)
        (void)buf_append_text(out, row->sections & SCHEMA_TYPE
                                       ? "  order:   type, then queue, then defaults\n"
                                       : "  order:   queue, then defaults\n");
    (void)buf_printf(out, "  change:  %s (%s)\n", schema_change_name(row->change),
                     change_takes(row->change));
    buf_done(&range);
}

static void list_keys(const char *below, struct buf *out)
{
    size_t len = strlen(below);
    char pattern[SCHEMA_PATTERN_BYTES];

    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        for (size_t i = 0; i < schema_rows_count; i++) {
            const struct schema_row *row = &schema_rows[i];

            if (!(row->sections & (1u << s)))
                continue;
            (void)schema_pattern(row, s, pattern);
            if (!len || (strncmp(pattern, below, len) == 0 && pattern[len] == '.'))
                (void)buf_printf(out, "%-44s %s, default %s\n", pattern,
                                 schema_type_name(row->type), row->preset ? row->preset : "none");
        }
    }
}

/* A key that ends as the one asked for, in the widest section that has it. */
static bool same_end_elsewhere(const char *key, char out[SCHEMA_PATTERN_BYTES])
{
    size_t key_len = strlen(key);

    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        for (size_t i = 0; i < schema_rows_count; i++) {
            size_t len;

            if (!(schema_rows[i].sections & (1u << s)))
                continue;
            len = strlen(schema_pattern(&schema_rows[i], s, out));
            if (len > key_len && out[len - key_len - 1] == '.' &&
                strcmp(out + len - key_len, key) == 0)
                return true;
        }
    }
    return false;
}

static int unknown(const char *key, const char *pattern, const char *name, struct error *err)
{
    char elsewhere[SCHEMA_PATTERN_BYTES];
    struct schema_children children;
    const char *nearest;

    schema_list_below(pattern, &children);
    nearest = text_nearest(name, children.names, children.count);
    if (nearest)
        return error_set(err, -ENOENT, "there is no key %s; did you mean %s%s%s?", key, pattern,
                         *pattern ? "." : "", nearest);
    if (same_end_elsewhere(key, elsewhere))
        return error_set(err, -ENOENT, "there is no key %s; did you mean %s?", key, elsewhere);
    return error_set(err, -ENOENT, "there is no key %s; --explain without a key lists all", key);
}

/* queues."a.b".lock and queues.*.lock → queues.*.lock */
static int find_pattern(const char *key, char pattern[SCHEMA_PATTERN_BYTES], struct error *err)
{
    const char *at = key;

    pattern[0] = '\0';
    while (*at) {
        bool quoted = *at == '"';
        const char *from = quoted ? at + 1 : at;
        size_t len = strcspn(from, quoted ? "\"" : ".");
        char child[SCHEMA_PATTERN_BYTES];
        _cleanup_(freep) char *name = strndup(from, len);

        if (!name)
            return error_set(err, -ENOMEM, "no memory");
        if (quoted && from[len] != '"')
            return error_set(err, -ENOENT, "there is no key %s: a quote is not closed", key);
        if (!load_child_pattern(pattern, name, child))
            return unknown(key, pattern, name, err);
        memcpy(pattern, child, sizeof child);
        at = from + len + (quoted ? 1 : 0);
        if (*at == '.')
            at++;
        else if (*at)
            return error_set(err, -ENOENT, "there is no key %s", key);
    }
    return 0;
}

int config_explain(const char *key, struct buf *out, struct error *err)
{
    char pattern[SCHEMA_PATTERN_BYTES];
    const struct schema_row *row;
    int result;

    if (!key || !*key) {
        list_keys("", out);
        return out->failed ? error_set(err, -ENOMEM, "no room for the text") : 0;
    }
    result = find_pattern(key, pattern, err);
    if (result < 0)
        return result;
    row = schema_find(pattern);
    if (row)
        print_row(row, out);
    if (schema_has_below(pattern)) {
        if (row)
            (void)buf_append_text(out, "\n");
        list_keys(pattern, out);
    }
    return out->failed ? error_set(err, -ENOMEM, "no room for the text") : 0;
}
