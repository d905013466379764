/* A node of the YAML tree as a value: each type's checks, and what they say. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/redact.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/run_as.h"
#include "common/config/secret.h"
#include "common/config/value.h"

/* What a reader of one type needs. */
struct reading {
    const struct schema_row *row;
    const struct tree_node *node;
    const char *key;
    struct findings *findings;
};

#define wrong(reading, ...) \
    findings_error((reading)->findings, &(reading)->node->mark, (reading)->key, __VA_ARGS__)

static const char *node_kind_name(const struct tree_node *node)
{
    static const char *const names[] = {
        [TREE_SCALAR] = "a single value", [TREE_MAP] = "a map", [TREE_LIST] = "a list"
    };
    return (size_t)node->kind < ARRAY_SIZE(names) ? names[node->kind] : "something";
}

static bool need_scalar(const struct reading *reading, const char *what)
{
    if (reading->node->kind != TREE_SCALAR) {
        wrong(reading, "must be %s, not %s", what, node_kind_name(reading->node));
        return false;
    }
    if (tree_is_null(reading->node)) {
        wrong(reading, "has no value; write %s, or take the key out to get the default", what);
        return false;
    }
    return true;
}

/* Numbers and truth are written bare: in quotes YAML makes them text. */
static bool need_plain(const struct reading *reading, const char *what)
{
    if (!need_scalar(reading, what))
        return false;
    if (!reading->node->plain) {
        wrong(reading, "must be %s: write %s without quotes", what, reading->node->text);
        return false;
    }
    return true;
}

static void print_number(const struct schema_row *row, double number, char out[UNITS_TEXT_BYTES])
{
    if (row->type == SCHEMA_DURATION)
        (void)units_print_duration((uint64_t)number, out);
    else if (row->type == SCHEMA_SIZE)
        (void)units_print_size((uint64_t)number, out);
    else
        (void)snprintf(out, UNITS_TEXT_BYTES, "%.15g", number);
}

static bool check_range(const struct reading *reading, double number)
{
    char bound_text[UNITS_TEXT_BYTES];
    const char *side;
    double bound;

    if (value_in_range(reading->row, number, &side, &bound))
        return true;
    print_number(reading->row, bound, bound_text);
    wrong(reading, "%s is %s, which is %s", reading->node->text, side, bound_text);
    return false;
}

static bool is_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool read_unit(const struct reading *reading, struct value *out)
{
    bool is_size = reading->row->type == SCHEMA_SIZE;
    const char *text = reading->node->text;
    struct error err = { 0 };
    int result;

    if (!need_scalar(reading, is_size ? "a size like 16MiB" : "a duration like 30s"))
        return false;
    if ((reading->row->flags & SCHEMA_ZERO_IS_NONE) && strcmp(text, "none") == 0)
        return true;
    if (is_digits(text) && strcmp(text, "0") != 0) {
        if (is_size)
            wrong(reading, "%s has no unit: `%sMiB`, `%sKiB` or `%sB`?", text, text, text, text);
        else
            wrong(reading, "%s has no unit: `%ss` (seconds), `%sms` or `%sm` (minutes)?", text,
                  text, text, text);
        return false;
    }
    result = is_size ? units_parse_size(text, &out->natural, &err)
                     : units_parse_duration(text, &out->natural, &err);
    if (result < 0) {
        wrong(reading, "%s", err.text);
        return false;
    }
    return check_range(reading, (double)out->natural);
}

static bool read_uint(const struct reading *reading, struct value *out)
{
    const char *zero = reading->row->flags & SCHEMA_ZERO_IS_AUTO   ? "auto"
                       : reading->row->flags & SCHEMA_ZERO_IS_NONE ? "none"
                                                                   : NULL;
    const char *text = reading->node->text;
    char what[32];
    int result;

    (void)snprintf(what, sizeof what, "a whole number%s%s", zero ? " or " : "", zero ? zero : "");
    if (!need_plain(reading, what))
        return false;
    if (zero && strcmp(text, zero) == 0)
        return true;
    result = text_parse_uint(text, strlen(text), &out->natural);
    if (result == -ERANGE) {
        wrong(reading, "%s is too large a number", text);
        return false;
    }
    if (result < 0) {
        wrong(reading, "must be %s, not `%s`", what, text);
        return false;
    }
    if (out->natural == 0 && (reading->row->flags & SCHEMA_ZERO_IS_NONE)) {
        wrong(reading, "0 is less than the least, which is %.15g; for none write none",
              reading->row->min);
        return false;
    }
    return check_range(reading, (double)out->natural);
}

static bool read_count(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;
    uint64_t number = 0;

    if (!need_plain(reading, "a whole number, all or none"))
        return false;
    if (strcmp(text, "all") == 0) {
        out->count = -1;
        return true;
    }
    if (strcmp(text, "none") == 0) {
        out->count = 0;
        return true;
    }
    if (text_parse_uint(text, strlen(text), &number) < 0) {
        wrong(reading, "must be a whole number, all or none, not `%s`", text);
        return false;
    }
    if (!check_range(reading, (double)number))
        return false;
    out->count = (int64_t)number;
    return true;
}

static bool read_real(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;
    char *end = NULL;

    if (!need_plain(reading, "a number"))
        return false;
    /* strtod takes more than decimals (inf, nan, 0x1p3): only digits and one point come in. */
    if (text[strspn(text, "0123456789.")] == '\0' && strpbrk(text, "0123456789"))
        out->real = strtod(text, &end);
    if (!end || *end) {
        wrong(reading, "must be a number like 0.2, not `%s`", text);
        return false;
    }
    return check_range(reading, out->real);
}

static bool read_bool(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;

    if (!need_plain(reading, "true or false"))
        return false;
    out->truth = strcmp(text, "true") == 0;
    if (out->truth || strcmp(text, "false") == 0)
        return true;
    wrong(reading, "must be true or false, not `%s`", text);
    return false;
}

static bool read_word(const struct reading *reading, struct value *out)
{
    struct buf words = BUF_INIT(512);
    const char *candidates[16];
    const char *nearest;
    size_t count = 0;

    schema_print_range(reading->row, &words);
    if (!need_scalar(reading, "a word")) {
        buf_done(&words);
        return false;
    }
    for (const struct schema_word *word = reading->row->words; word->name; word++) {
        if (strcmp(word->name, reading->node->text) == 0) {
            buf_done(&words);
            if (word->refused)
                wrong(reading, "%s", word->refused);
            out->word = word->value;
            return !word->refused;
        }
        if (!word->refused && count < ARRAY_SIZE(candidates))
            candidates[count++] = word->name;
    }
    nearest = text_nearest(reading->node->text, candidates, count);
    if (nearest)
        wrong(reading, "`%s` is none of: %s; did you mean `%s`?", reading->node->text,
              buf_text(&words), nearest);
    else
        wrong(reading, "`%s` is none of: %s", reading->node->text, buf_text(&words));
    buf_done(&words);
    return false;
}

static bool take_text(const struct reading *reading, struct value *out)
{
    out->text = strdup(reading->node->text);
    if (!out->text)
        reading->findings->out_of_memory = true;
    return out->text != NULL;
}

static bool read_text(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;

    if (!need_scalar(reading, "text"))
        return false;
    if (!*text) {
        wrong(reading, "must not be empty");
        return false;
    }
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f) {
            wrong(reading, "must not have blanks or control characters in it");
            return false;
        }
    }
    if (reading->row->max > 0 && (double)strlen(text) > reading->row->max) {
        wrong(reading, "is longer than %.0f bytes", reading->row->max);
        return false;
    }
    return take_text(reading, out);
}

static bool is_absolute(const struct reading *reading, const struct tree_node *node,
                        const char *example)
{
    if (node->text[0] == '/')
        return true;
    findings_error(reading->findings, &node->mark, reading->key,
                   "must be an absolute path, as in %s, not `%s`", example, node->text);
    return false;
}

/* The socket is made later, and its directory may be made by systemd just before: neither needs to
 * be there. */
static bool read_socket(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;
    size_t len;

    if (!need_scalar(reading, "an absolute path") ||
        !is_absolute(reading, reading->node, "/run/drover/control"))
        return false;
    len = strlen(text);
    if ((double)len > reading->row->max) {
        wrong(reading,
              "is %zu bytes long, and the path of a unix socket can have %.0f at most; use a "
              "shorter directory",
              len, reading->row->max);
        return false;
    }
    if (text[len - 1] == '/') {
        wrong(reading, "must be the path of a socket, not of a directory; add a name, as in "
                       "/run/drover/control");
        return false;
    }
    return take_text(reading, out);
}

static bool read_path(const struct reading *reading, struct value *out)
{
    struct stat info;

    if (reading->row->flags & SCHEMA_SOCKET)
        return read_socket(reading, out);
    if (!need_scalar(reading, "an absolute path") ||
        !is_absolute(reading, reading->node, "/srv/app"))
        return false;
    if (strlen(reading->node->text) >= 4096) {
        wrong(reading, "is longer than a path can be (4095 bytes)");
        return false;
    }
    if (stat(reading->node->text, &info) < 0 || !S_ISDIR(info.st_mode))
        findings_warning(reading->findings, &reading->node->mark, reading->key,
                         "there is no directory %s on this host", reading->node->text);
    return take_text(reading, out);
}

static bool read_url(const struct reading *reading, struct value *out)
{
    struct config_redis scratch = { 0 };
    struct error err = { 0 };
    int result;

    if (!need_scalar(reading, "a Redis URL"))
        return false;
    result = config_parse_redis_url(reading->node->text, &scratch, &err);
    config_redis_done(&scratch);
    if (result == -ENOMEM)
        reading->findings->out_of_memory = true;
    if (result < 0) {
        wrong(reading, "%s", err.text); /* never the URL: it may hold a password */
        return false;
    }
    return take_text(reading, out);
}

static bool read_secret(const struct reading *reading, struct value *out)
{
    if (!need_scalar(reading, "the place of a secret (file:/PATH, cred:NAME or env:NAME)"))
        return false;
    out->text =
        secret_resolve(reading->node->text, &reading->node->mark, reading->key, reading->findings);
    return out->text != NULL;
}

static bool read_endpoint(const struct reading *reading, struct value *out)
{
    return need_scalar(reading, "the name of an endpoint under `redis`") && take_text(reading, out);
}

static char **new_list(const struct reading *reading, size_t count)
{
    char **list;

    if (count > VALUE_ITEMS_MAX) {
        wrong(reading, "has more than %u entries", VALUE_ITEMS_MAX);
        return NULL;
    }
    list = calloc(count + 1, sizeof *list);
    if (!list)
        reading->findings->out_of_memory = true;
    return list;
}

static bool read_item(const struct reading *reading, const struct tree_node *item)
{
    if (item->kind != TREE_SCALAR) {
        findings_error(reading->findings, &item->mark, reading->key,
                       "must be text, not %s; put text that holds : or { into quotes",
                       node_kind_name(item));
        return false;
    }
    if (tree_is_null(item)) {
        findings_error(reading->findings, &item->mark, reading->key,
                       "has no value; write \"\" for empty text");
        return false;
    }
    return !item->bad;
}

static void warn_program(const struct reading *reading, const struct tree_node *program)
{
    struct stat info;

    if (stat(program->text, &info) < 0)
        findings_warning(reading->findings, &program->mark, reading->key,
                         "there is no program %s on this host", program->text);
    else if (!S_ISREG(info.st_mode) || !(info.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
        findings_warning(reading->findings, &program->mark, reading->key,
                         "%s is not an executable file; chmod +x it", program->text);
}

static bool read_program(const struct reading *reading, struct value *out)
{
    const struct tree_node *node = reading->node;
    bool good = true;

    if (node->kind != TREE_LIST || !node->count) {
        wrong(reading, "must be a list of the program and its arguments, as in [/usr/bin/env, "
                       "node, job.js]");
        return false;
    }
    out->list = new_list(reading, node->count);
    if (!out->list)
        return false;
    for (size_t i = 0; i < node->count; i++) {
        if (!read_item(reading, node->entries[i].value)) {
            good = false;
        } else if (good) {
            out->list[i] = strdup(node->entries[i].value->text);
            good = out->list[i] != NULL;
            reading->findings->out_of_memory |= !good;
        }
    }
    if (!good || !is_absolute(reading, node->entries[0].value, "/usr/bin/env"))
        return false;
    warn_program(reading, node->entries[0].value);
    return true;
}

/* Each is checked, so that all are told. */
static bool read_pattern(const struct reading *reading, const struct tree_node *item, char **out)
{
    struct error err = { 0 };
    int result;

    if (!read_item(reading, item))
        return false;
    result = redact_check_pattern(item->text, &err);
    *out = result < 0 ? NULL : strdup(item->text);
    reading->findings->out_of_memory |= result == -ENOMEM || (result >= 0 && !*out);
    if (result < 0)
        findings_error(reading->findings, &item->mark, reading->key, "`%s` %s", item->text,
                       err.text);
    return *out != NULL;
}

static bool read_patterns(const struct reading *reading, struct value *out)
{
    const struct tree_node *node = reading->node;
    bool good = true;

    if (node->kind != TREE_LIST) {
        wrong(reading, "must be a list of regular expressions, as in ['ssn=[0-9-]+'], not %s",
              node_kind_name(node));
        return false;
    }
    if (node->count > REDACT_PATTERNS_MAX) {
        wrong(reading, "has more than %d entries", REDACT_PATTERNS_MAX);
        return false;
    }
    if (!node->count)
        return true;
    out->list = new_list(reading, node->count);
    for (size_t i = 0, used = 0; out->list && i < node->count; i++) {
        if (read_pattern(reading, node->entries[i].value, &out->list[used]))
            used++;
        else
            good = false;
    }
    return good && out->list;
}

static bool check_variable(const struct reading *reading, const struct tree_entry *entry)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const char *name = entry->key;

    if (!*name || name[strspn(name, letters)] || (*name >= '0' && *name <= '9')) {
        findings_error(reading->findings, &entry->mark, reading->key,
                       "`%s` is no name of a variable: letters, digits and _, no digit first",
                       name);
        return false;
    }
    if (strncmp(name, "DROVER_", 7) == 0) {
        findings_error(reading->findings, &entry->mark, reading->key,
                       "%s: names that begin with DROVER_ are set by drover itself", name);
        return false;
    }
    return true;
}

static bool read_env(const struct reading *reading, struct value *out)
{
    const struct tree_node *node = reading->node;
    bool good = true;

    if (tree_is_null(node))
        return true;
    if (node->kind != TREE_MAP) {
        wrong(reading, "must be a map of variables, as in {TZ: UTC}, not %s", node_kind_name(node));
        return false;
    }
    out->list = new_list(reading, node->count);
    if (!out->list)
        return false;
    for (size_t i = 0; i < node->count; i++) {
        const struct tree_entry *entry = &node->entries[i];

        /* Both are checked, so that both are told. */
        if ((int)check_variable(reading, entry) & (int)read_item(reading, entry->value)) {
            if (!good)
                continue;
            out->list[i] = text_format("%s=%s", entry->key, entry->value->text);
            good = out->list[i] != NULL;
            reading->findings->out_of_memory |= !good;
        } else {
            good = false;
        }
    }
    return good;
}

static bool read_handler_word(const struct reading *reading, struct value *out)
{
    const char *text = reading->node->text;

    if (!need_scalar(reading, "a handler, noop, {exec: [/path]} or {process: [/path]}"))
        return false;
    switch (value_handler_named(text)) {
    case CONFIG_HANDLER_NOOP:
        out->word = CONFIG_HANDLER_NOOP;
        return true;
    case CONFIG_HANDLER_EXEC:
    case CONFIG_HANDLER_PROCESS:
        wrong(reading, "%s needs its program: {%s: [/path/to/program, argument]}", text, text);
        return false;
    case CONFIG_HANDLER_NONE:
        break;
    }
    wrong(reading,
          "`%s` is no handler; this version has noop, {exec: [/path]} and {process: [/path]}",
          text);
    return false;
}

/* The first key of a handler's map that says another kind than `kind`; NULL when none does. */
static const struct tree_entry *second_kind(const struct tree_node *node,
                                            enum config_handler_kind kind)
{
    for (size_t i = 0; i < node->count; i++) {
        enum config_handler_kind other = value_handler_named(node->entries[i].key);

        if (other != CONFIG_HANDLER_NONE && other != kind)
            return &node->entries[i];
    }
    return NULL;
}

static bool read_handler(const struct reading *reading, struct value *out)
{
    const struct tree_entry *second;
    enum config_handler_kind kind;

    if (reading->node->kind != TREE_MAP) {
        if (reading->node->kind == TREE_LIST) {
            wrong(reading, "must be noop or a map, as in {exec: [/path]} or {process: [/path]}, "
                           "not a list");
            return false;
        }
        return read_handler_word(reading, out);
    }
    if (!value_handler_kind(reading->node, &kind)) {
        wrong(reading, "says no kind of handler; add exec: [/path], process: [/path] or noop: {}");
        return false;
    }
    second = second_kind(reading->node, kind);
    if (second) {
        findings_error(reading->findings, &second->mark, reading->key,
                       "two kinds of handler, %s and %s; keep one", value_handler_name(kind),
                       second->key);
        return false;
    }
    out->word = (int)kind;
    return true;
}

bool value_read(const struct schema_row *row, const struct tree_node *node, const char *key,
                struct findings *findings, struct value *out)
{
    static bool (*const readers[SCHEMA_TYPE_COUNT])(const struct reading *, struct value *) = {
        [SCHEMA_DURATION] = read_unit,     [SCHEMA_SIZE] = read_unit,
        [SCHEMA_UINT] = read_uint,         [SCHEMA_COUNT] = read_count,
        [SCHEMA_REAL] = read_real,         [SCHEMA_BOOL] = read_bool,
        [SCHEMA_WORD] = read_word,         [SCHEMA_TEXT] = read_text,
        [SCHEMA_PATH] = read_path,         [SCHEMA_URL] = read_url,
        [SCHEMA_SECRET] = read_secret,     [SCHEMA_PROGRAM] = read_program,
        [SCHEMA_ENV] = read_env,           [SCHEMA_ENDPOINT] = read_endpoint,
        [SCHEMA_KEEP] = read_count,        [SCHEMA_HANDLER] = read_handler,
        [SCHEMA_PATTERNS] = read_patterns,
    };
    struct reading reading = { row, node, key, findings };
    struct schema_row count_row;

    *out = (struct value){ 0 };
    if (node->bad)
        return false;
    if (row->type == SCHEMA_KEEP) { /* its short form is a count, with a count's range */
        count_row = *row;
        count_row.max = 1000000000;
        reading.row = &count_row;
    }
    if (readers[row->type] ? readers[row->type](&reading, out)
                           : run_as_read(row, node, key, findings, out))
        return true;
    value_done(out);
    return false;
}
