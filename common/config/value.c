#include "common/config/value.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/secret.h"

/* What a reader of one type needs. */
struct reading {
    const struct schema_row *row;
    const struct tree_node *node;
    const char *key;
    struct findings *findings;
};

#define wrong(reading, ...) \
    findings_error((reading)->findings, &(reading)->node->mark, (reading)->key, __VA_ARGS__)

static void list_free(char **list)
{
    for (char **item = list; item && *item; item++)
        free(*item);
    free(list);
}

void value_done(struct value *value)
{
    secret_free(value->text);
    list_free(value->list);
    *value = (struct value){ 0 };
}

static const char *node_kind_name(const struct tree_node *node)
{
    static const char *const names[] = {
        [TREE_SCALAR] = "a single value", [TREE_MAP] = "a map", [TREE_LIST] = "a list"
    };
    return names[node->kind];
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

/* True when `number` is inside; otherwise `bound` tells which side and which value. */
static bool in_range(const struct schema_row *row, double number, const char **out_side,
                     double *out_bound)
{
    if (number >= row->min && number <= row->max)
        return true;
    *out_side = number < row->min ? "less than the least" : "more than the most";
    *out_bound = number < row->min ? row->min : row->max;
    return false;
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

    if (in_range(reading->row, number, &side, &bound))
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
    const char *text = reading->node->text;
    int result;

    if (!need_plain(reading, "a whole number"))
        return false;
    result = text_parse_uint(text, strlen(text), &out->natural);
    if (result == -ERANGE) {
        wrong(reading, "%s is too large a number", text);
        return false;
    }
    if (result < 0) {
        wrong(reading, "must be a whole number, not `%s`", text);
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

static bool read_path(const struct reading *reading, struct value *out)
{
    struct stat info;

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

static const char *const handler_names[] = {
    [CONFIG_HANDLER_NONE] = "none",
    [CONFIG_HANDLER_NOOP] = "noop",
    [CONFIG_HANDLER_EXEC] = "exec",
};

const char *value_handler_name(enum config_handler_kind kind)
{
    return handler_names[kind];
}

bool value_handler_kind(const struct tree_node *node, enum config_handler_kind *out_kind)
{
    for (size_t i = 0; node->kind == TREE_MAP && i < node->count; i++) {
        for (int kind = CONFIG_HANDLER_NOOP; kind < (int)ARRAY_SIZE(handler_names); kind++) {
            if (strcmp(node->entries[i].key, handler_names[kind]) == 0) {
                *out_kind = (enum config_handler_kind)kind;
                return true;
            }
        }
    }
    return false;
}

static bool read_handler_word(const struct reading *reading, struct value *out)
{
    if (!need_scalar(reading, "a handler, noop or {exec: [/path]}"))
        return false;
    if (strcmp(reading->node->text, "noop") == 0) {
        out->word = CONFIG_HANDLER_NOOP;
        return true;
    }
    if (strcmp(reading->node->text, "exec") == 0)
        wrong(reading, "exec needs its program: {exec: [/path/to/program, argument]}");
    else
        wrong(reading, "`%s` is no handler; this version has noop and {exec: [/path]}",
              reading->node->text);
    return false;
}

static bool read_handler(const struct reading *reading, struct value *out)
{
    const struct tree_entry *noop = tree_find(reading->node, "noop");
    const struct tree_entry *exec = tree_find(reading->node, "exec");
    const struct tree_entry *second;
    enum config_handler_kind kind;

    if (reading->node->kind != TREE_MAP) {
        if (reading->node->kind == TREE_LIST) {
            wrong(reading, "must be noop or a map, as in {exec: [/path]}, not a list");
            return false;
        }
        return read_handler_word(reading, out);
    }
    if (noop && exec) {
        second = noop > exec ? noop : exec;
        findings_error(reading->findings, &second->mark, reading->key,
                       "two kinds of handler, noop and exec; keep one");
        return false;
    }
    if (!value_handler_kind(reading->node, &kind)) {
        wrong(reading, "says no kind of handler; add exec: [/path] or noop: {}");
        return false;
    }
    out->word = (int)kind;
    return true;
}

bool value_read(const struct schema_row *row, const struct tree_node *node, const char *key,
                struct findings *findings, struct value *out)
{
    static bool (*const readers[SCHEMA_TYPE_COUNT])(const struct reading *, struct value *) = {
        [SCHEMA_DURATION] = read_unit, [SCHEMA_SIZE] = read_unit,
        [SCHEMA_UINT] = read_uint,     [SCHEMA_COUNT] = read_count,
        [SCHEMA_REAL] = read_real,     [SCHEMA_BOOL] = read_bool,
        [SCHEMA_WORD] = read_word,     [SCHEMA_TEXT] = read_text,
        [SCHEMA_PATH] = read_path,     [SCHEMA_URL] = read_url,
        [SCHEMA_SECRET] = read_secret, [SCHEMA_PROGRAM] = read_program,
        [SCHEMA_ENV] = read_env,       [SCHEMA_ENDPOINT] = read_endpoint,
        [SCHEMA_KEEP] = read_count,    [SCHEMA_HANDLER] = read_handler,
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
    if (readers[row->type](&reading, out))
        return true;
    value_done(out);
    return false;
}

bool value_read_preset(const struct schema_row *row, struct value *out)
{
    struct tree_node node = { .kind = TREE_SCALAR, .plain = true };
    struct findings findings;
    bool good;

    *out = (struct value){ 0 };
    if (row->type == SCHEMA_COUNT || row->type == SCHEMA_KEEP)
        out->count = -1;
    if (!row->preset)
        return true;
    findings_init(&findings);
    findings.muted = true;
    node.mark.file = "";
    node.text = strdup(row->preset);
    good = node.text && value_read(row, &node, "", &findings, out);
    assert(good || !node.text || findings.out_of_memory); /* a preset is right by a test */
    free(node.text);
    findings_done(&findings);
    return good;
}

#define FIELD(base, row, type)       (*(type *)((char *)(base) + (row)->offset))
#define CONST_FIELD(base, row, type) (*(type const *)((const char *)(base) + (row)->offset))

static const struct config_redis *find_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->redis_count; i++)
        if (strcmp(config->redis[i].name, name) == 0)
            return &config->redis[i];
    return NULL;
}

void value_clear(const struct schema_row *row, void *base)
{
    switch ((int)row->type) {
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
    case SCHEMA_SECRET:
        secret_free(FIELD(base, row, char *));
        FIELD(base, row, char *) = NULL;
        break;
    case SCHEMA_PROGRAM:
    case SCHEMA_ENV:
        list_free(FIELD(base, row, char **));
        FIELD(base, row, char **) = NULL;
        break;
    default:
        break;
    }
}

bool value_store(const struct schema_row *row, void *base, struct value *value,
                 const struct config *config)
{
    const struct config_redis *endpoint;
    bool found = true;

    value_clear(row, base);
    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        FIELD(base, row, uint64_t) = value->natural;
        break;
    case SCHEMA_UINT:
        FIELD(base, row, unsigned int) = (unsigned int)value->natural;
        break;
    case SCHEMA_COUNT:
        FIELD(base, row, int64_t) = value->count;
        break;
    case SCHEMA_REAL:
        FIELD(base, row, double) = value->real;
        break;
    case SCHEMA_BOOL:
        FIELD(base, row, bool) = value->truth;
        break;
    case SCHEMA_WORD:
    case SCHEMA_HANDLER:
        FIELD(base, row, int) = value->word;
        break;
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
    case SCHEMA_SECRET:
        FIELD(base, row, char *) = TAKE_PTR(value->text);
        break;
    case SCHEMA_PROGRAM:
    case SCHEMA_ENV:
        FIELD(base, row, char **) = TAKE_PTR(value->list);
        break;
    case SCHEMA_ENDPOINT:
        endpoint = value->text ? find_endpoint(config, value->text) : NULL;
        FIELD(base, row, const struct config_redis *) = endpoint;
        found = endpoint != NULL;
        break;
    case SCHEMA_KEEP:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    value_done(value);
    return found;
}

static const char *word_name(const struct schema_row *row, int value)
{
    for (const struct schema_word *word = row->words; word->name; word++)
        if (word->value == value && !word->refused)
            return word->name;
    return "";
}

static void print_list(char *const *list, bool is_env, struct buf *out)
{
    (void)buf_append_char(out, is_env ? '{' : '[');
    for (char *const *item = list; item && *item; item++) {
        if (item != list)
            (void)buf_append_text(out, ", ");
        if (is_env)
            (void)buf_printf(out, "%.*s: \"" VALUE_MASK "\"", (int)strcspn(*item, "="), *item);
        else
            (void)json_text_quote(out, *item, strlen(*item));
    }
    (void)buf_append_char(out, is_env ? '}' : ']');
}

static void print_unit(const struct schema_row *row, uint64_t number, struct buf *out)
{
    char text[UNITS_TEXT_BYTES];

    if (!number && (row->flags & SCHEMA_ZERO_IS_NONE))
        (void)buf_append_text(out, "none");
    else if (row->type == SCHEMA_SIZE)
        (void)buf_append_text(out, units_print_size(number, text));
    else
        (void)buf_append_text(out, units_print_duration(number, text));
}

static void print_text(const char *text, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./";

    if (!text)
        (void)buf_append_text(out, "none");
    else if (*text && text[strspn(text, plain)] == '\0')
        (void)buf_append_text(out, text);
    else
        (void)json_text_quote(out, text, strlen(text));
}

void value_print(const struct schema_row *row, const void *base, struct buf *out)
{
    const struct config_redis *endpoint;
    int64_t count;

    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        print_unit(row, CONST_FIELD(base, row, uint64_t), out);
        break;
    case SCHEMA_UINT:
        (void)buf_printf(out, "%u", CONST_FIELD(base, row, unsigned int));
        break;
    case SCHEMA_COUNT:
        count = CONST_FIELD(base, row, int64_t);
        if (count > 0)
            (void)buf_printf(out, "%lld", (long long)count);
        else
            (void)buf_append_text(out, count ? "all" : "none");
        break;
    case SCHEMA_REAL:
        (void)buf_printf(out, "%.15g", CONST_FIELD(base, row, double));
        break;
    case SCHEMA_BOOL:
        (void)buf_append_text(out, CONST_FIELD(base, row, bool) ? "true" : "false");
        break;
    case SCHEMA_WORD:
        (void)buf_append_text(out, word_name(row, CONST_FIELD(base, row, int)));
        break;
    case SCHEMA_HANDLER:
        (void)buf_append_text(out, handler_names[CONST_FIELD(base, row, int)]);
        break;
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
        print_text(CONST_FIELD(base, row, char *), out);
        break;
    case SCHEMA_SECRET:
        (void)buf_append_text(out, CONST_FIELD(base, row, char *) ? VALUE_MASK : "none");
        break;
    case SCHEMA_PROGRAM:
    case SCHEMA_ENV:
        print_list(CONST_FIELD(base, row, char **), row->type == SCHEMA_ENV, out);
        break;
    case SCHEMA_ENDPOINT:
        endpoint = CONST_FIELD(base, row, const struct config_redis *);
        print_text(endpoint ? endpoint->name : NULL, out);
        break;
    case SCHEMA_KEEP:
    case SCHEMA_TYPE_COUNT:
        break;
    }
}

static json_t *list_to_json(char *const *list)
{
    json_t *array = json_array();

    for (char *const *item = list; array && item && *item; item++) {
        if (json_array_append_new(array, json_string(*item)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *env_to_json(char *const *list, enum config_secrets secrets)
{
    json_t *object = json_object();

    for (char *const *item = list; object && item && *item; item++) {
        size_t name_len = strcspn(*item, "=");
        _cleanup_(freep) char *name = strndup(*item, name_len);
        const char *value = secrets == CONFIG_SECRETS_KEPT ? *item + name_len + 1 : VALUE_MASK;

        if (!name || json_object_set_new(object, name, json_string(value)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *text_to_json(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *value_to_json(const struct schema_row *row, const void *base, enum config_secrets secrets)
{
    const struct config_redis *endpoint;
    const char *text;

    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE: /* below 2^53 */
        return json_integer((json_int_t)CONST_FIELD(base, row, uint64_t));
    case SCHEMA_UINT:
        return json_integer(CONST_FIELD(base, row, unsigned int));
    case SCHEMA_COUNT:
        return json_integer(CONST_FIELD(base, row, int64_t));
    case SCHEMA_REAL:
        return json_real(CONST_FIELD(base, row, double));
    case SCHEMA_BOOL:
        return json_boolean(CONST_FIELD(base, row, bool));
    case SCHEMA_WORD:
        return json_string(word_name(row, CONST_FIELD(base, row, int)));
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
        return text_to_json(CONST_FIELD(base, row, char *));
    case SCHEMA_SECRET:
        text = CONST_FIELD(base, row, char *);
        return text_to_json(text && secrets != CONFIG_SECRETS_KEPT ? VALUE_MASK : text);
    case SCHEMA_PROGRAM:
        return list_to_json(CONST_FIELD(base, row, char **));
    case SCHEMA_ENV:
        return env_to_json(CONST_FIELD(base, row, char **), secrets);
    case SCHEMA_ENDPOINT:
        endpoint = CONST_FIELD(base, row, const struct config_redis *);
        return text_to_json(endpoint ? endpoint->name : NULL);
    case SCHEMA_KEEP:
    case SCHEMA_HANDLER:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return NULL;
}

static int json_refuse(const char *key, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "%s: not %s", key, what);
}

static int number_from_json(const struct schema_row *row, const json_t *json, const char *key,
                            struct value *out, struct error *err)
{
    double number = json_number_value(json);
    const char *side;
    double bound;

    if (row->type == SCHEMA_REAL ? !json_is_number(json) : !json_is_integer(json))
        return json_refuse(key, "a number", err);
    out->real = number;
    out->count = (int64_t)json_integer_value(json);
    if (row->type == SCHEMA_COUNT && out->count == -1)
        return 0;
    if (!in_range(row, number, &side, &bound))
        return error_set(err, -ERANGE, "%s: %.15g is %s, which is %.15g", key, number, side, bound);
    out->natural = (uint64_t)out->count;
    return 0;
}

static int copy_text(const char *text, char **out, struct error *err)
{
    *out = strdup(text);
    return *out ? 0 : error_set(err, -ENOMEM, "no memory for the configuration");
}

static int text_from_json(const struct schema_row *row, const json_t *json, const char *key,
                          struct value *out, struct error *err)
{
    if (json_is_null(json) && !row->preset)
        return 0;
    if (!json_is_string(json) || !*json_string_value(json))
        return json_refuse(key, "text", err);
    return copy_text(json_string_value(json), &out->text, err);
}

static int word_from_json(const struct schema_row *row, const json_t *json, const char *key,
                          struct value *out, struct error *err)
{
    const char *text = json_string_value(json);

    for (const struct schema_word *word = row->words; text && word->name; word++) {
        if (!word->refused && strcmp(word->name, text) == 0) {
            out->word = word->value;
            return 0;
        }
    }
    return json_refuse(key, "one of its words", err);
}

static int program_from_json(const json_t *json, const char *key, struct value *out,
                             struct error *err)
{
    size_t count = json_array_size(json);

    if (!count || count > VALUE_ITEMS_MAX)
        return json_refuse(key, "a list of a program and its arguments", err);
    out->list = calloc(count + 1, sizeof *out->list);
    if (!out->list)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(json, i));
        int result =
            text ? copy_text(text, &out->list[i], err) : json_refuse(key, "a list of texts", err);

        if (result < 0)
            return result;
    }
    return out->list[0][0] == '/' ? 0 : json_refuse(key, "an absolute path", err);
}

static int env_from_json(const json_t *json, const char *key, struct value *out, struct error *err)
{
    size_t count = json_object_size(json), used = 0;
    const char *name;
    json_t *item;

    if (!json_is_object(json) || count > VALUE_ITEMS_MAX)
        return json_refuse(key, "a map of variables", err);
    if (!count)
        return 0;
    out->list = calloc(count + 1, sizeof *out->list);
    if (!out->list)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    json_object_foreach((json_t *)(uintptr_t)json, name, item)
    {
        if (!json_is_string(item))
            return json_refuse(key, "a map of texts", err);
        out->list[used] = text_format("%s=%s", name, json_string_value(item));
        if (!out->list[used++])
            return error_set(err, -ENOMEM, "no memory for the configuration");
    }
    return 0;
}

static int read_json(const struct schema_row *row, const json_t *json, const char *key,
                     struct value *out, struct error *err)
{
    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_UINT:
    case SCHEMA_COUNT:
    case SCHEMA_REAL:
        return number_from_json(row, json, key, out, err);
    case SCHEMA_BOOL:
        out->truth = json_is_true(json);
        return json_is_boolean(json) ? 0 : json_refuse(key, "true or false", err);
    case SCHEMA_WORD:
        return word_from_json(row, json, key, out, err);
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
    case SCHEMA_SECRET:
    case SCHEMA_ENDPOINT:
        return text_from_json(row, json, key, out, err);
    case SCHEMA_PROGRAM:
        return program_from_json(json, key, out, err);
    case SCHEMA_ENV:
        return env_from_json(json, key, out, err);
    case SCHEMA_KEEP:
    case SCHEMA_HANDLER:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return json_refuse(key, "a value", err);
}

int value_from_json(const struct schema_row *row, const json_t *json, const char *key,
                    struct value *out, struct error *err)
{
    int result;

    *out = (struct value){ 0 };
    if (!json)
        return error_set(err, -EINVAL, "%s: missing", key);
    result = read_json(row, json, key, out, err);
    if (result < 0)
        value_done(out);
    return result;
}
