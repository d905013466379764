/* A value in its struct, and as text. */
#include "common/config/value.h"

#include <assert.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/units.h"
#include "common/config/accounts.h"
#include "common/config/run_as.h"
#include "common/config/secret.h"

#define FIELD(base, row, type) (*(type *)((char *)(base) + (row)->offset))
void value_list_free(char **list)
{
    for (char **item = list; item && *item; item++)
        free(*item);
    free(list);
}

void value_done(struct value *value)
{
    secret_free(value->text);
    value_list_free(value->list);
    config_user_free(value->user);
    config_groups_free(value->groups);
    *value = (struct value){ 0 };
}

bool value_in_range(const struct schema_row *row, double number, const char **out_side,
                    double *out_bound)
{
    if (number >= row->min && number <= row->max)
        return true;
    if (number == 0 && (row->flags & SCHEMA_ZERO_IS_NONE))
        return true;
    *out_side = number < row->min ? "less than the least" : "more than the most";
    *out_bound = number < row->min ? row->min : row->max;
    return false;
}

static const char *const handler_names[] = {
    [CONFIG_HANDLER_NONE] = "none",
    [CONFIG_HANDLER_NOOP] = "noop",
    [CONFIG_HANDLER_EXEC] = "exec",
    [CONFIG_HANDLER_PROCESS] = "process",
};

const char *value_handler_name(enum config_handler_kind kind)
{
    return handler_names[kind];
}

enum config_handler_kind value_handler_named(const char *name)
{
    for (size_t kind = CONFIG_HANDLER_NOOP; kind < ARRAY_SIZE(handler_names); kind++)
        if (strcmp(name, handler_names[kind]) == 0)
            return (enum config_handler_kind)kind;
    return CONFIG_HANDLER_NONE;
}

void value_print_handlers(unsigned int handlers, const char *between, struct buf *out)
{
    bool first = true;

    for (size_t kind = CONFIG_HANDLER_NOOP; kind < ARRAY_SIZE(handler_names); kind++) {
        if (!(handlers & SCHEMA_KIND(kind)))
            continue;
        (void)buf_printf(out, "%s%s", first ? "" : between, handler_names[kind]);
        first = false;
    }
}

bool value_handler_kind(const struct tree_node *node, enum config_handler_kind *out_kind)
{
    for (size_t i = 0; node->kind == TREE_MAP && i < node->count; i++) {
        enum config_handler_kind kind = value_handler_named(node->entries[i].key);

        if (kind != CONFIG_HANDLER_NONE) {
            *out_kind = kind;
            return true;
        }
    }
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

static const struct config_redis *find_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; config && i < config->redis_count; i++)
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
        value_list_free(FIELD(base, row, char **));
        FIELD(base, row, char **) = NULL;
        break;
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        run_as_clear(row, base);
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
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
    case SCHEMA_UMASK:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        run_as_store(row, base, value);
        break;
    case SCHEMA_KEEP:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    value_done(value);
    return found;
}

static bool is_same_text(const char *left, const char *right)
{
    return left == right || (left && right && strcmp(left, right) == 0);
}

static size_t list_count(char *const *list)
{
    size_t count = 0;

    while (list && list[count])
        count++;
    return count;
}

static bool is_same_program(char *const *left, char *const *right)
{
    size_t count = list_count(left);

    if (list_count(right) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(left[i], right[i]) != 0)
            return false;
    return true;
}

static bool has_item(char *const *list, const char *item)
{
    for (; list && *list; list++)
        if (strcmp(*list, item) == 0)
            return true;
    return false;
}

/* A name stands once in a list, so equal counts leave no room for others. */
static bool is_same_env(char *const *left, char *const *right)
{
    if (list_count(left) != list_count(right))
        return false;
    for (; left && *left; left++)
        if (!has_item(right, *left))
            return false;
    return true;
}

static bool is_same_endpoint(const struct config_redis *left, const struct config_redis *right)
{
    return left == right || (left && right && strcmp(left->name, right->name) == 0);
}

/* Numbers come from the same text by the same steps: equal or not, nothing between. */
static bool is_same_real(double left, double right)
{
    return !(left < right) && !(left > right);
}

#define SAME_FIELD(type) (VALUE_FIELD(left, row, type) == VALUE_FIELD(right, row, type))

bool value_is_same(const struct schema_row *row, const void *left, const void *right)
{
    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return SAME_FIELD(uint64_t);
    case SCHEMA_UINT:
        return SAME_FIELD(unsigned int);
    case SCHEMA_COUNT:
        return SAME_FIELD(int64_t);
    case SCHEMA_REAL:
        return is_same_real(VALUE_FIELD(left, row, double), VALUE_FIELD(right, row, double));
    case SCHEMA_BOOL:
        return SAME_FIELD(bool);
    case SCHEMA_WORD:
    case SCHEMA_HANDLER:
        return SAME_FIELD(int);
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
    case SCHEMA_SECRET:
        return is_same_text(VALUE_FIELD(left, row, char *), VALUE_FIELD(right, row, char *));
    case SCHEMA_PROGRAM:
        return is_same_program(VALUE_FIELD(left, row, char **), VALUE_FIELD(right, row, char **));
    case SCHEMA_ENV:
        return is_same_env(VALUE_FIELD(left, row, char **), VALUE_FIELD(right, row, char **));
    case SCHEMA_ENDPOINT:
        return is_same_endpoint(VALUE_FIELD(left, row, const struct config_redis *),
                                VALUE_FIELD(right, row, const struct config_redis *));
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
    case SCHEMA_UMASK:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        return run_as_is_same(row, left, right);
    case SCHEMA_KEEP: /* its parts are rows of their own */
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return true;
}

const char *value_word_name(const struct schema_row *row, int number)
{
    for (const struct schema_word *word = row->words; word->name; word++)
        if (word->value == number && !word->refused)
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
    unsigned int number;
    int64_t count;

    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        print_unit(row, VALUE_FIELD(base, row, uint64_t), out);
        break;
    case SCHEMA_UINT:
        number = VALUE_FIELD(base, row, unsigned int);
        if (number || !(row->flags & SCHEMA_ZERO_IS_AUTO))
            (void)buf_printf(out, "%u", number);
        else
            (void)buf_append_text(out, "auto");
        break;
    case SCHEMA_COUNT:
        count = VALUE_FIELD(base, row, int64_t);
        if (count > 0)
            (void)buf_printf(out, "%lld", (long long)count);
        else
            (void)buf_append_text(out, count ? "all" : "none");
        break;
    case SCHEMA_REAL:
        (void)buf_printf(out, "%.15g", VALUE_FIELD(base, row, double));
        break;
    case SCHEMA_BOOL:
        (void)buf_append_text(out, VALUE_FIELD(base, row, bool) ? "true" : "false");
        break;
    case SCHEMA_WORD:
        (void)buf_append_text(out, value_word_name(row, VALUE_FIELD(base, row, int)));
        break;
    case SCHEMA_HANDLER:
        (void)buf_append_text(out, handler_names[VALUE_FIELD(base, row, int)]);
        break;
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
        print_text(VALUE_FIELD(base, row, char *), out);
        break;
    case SCHEMA_SECRET:
        (void)buf_append_text(out, VALUE_FIELD(base, row, char *) ? VALUE_MASK : "none");
        break;
    case SCHEMA_PROGRAM:
    case SCHEMA_ENV:
        print_list(VALUE_FIELD(base, row, char **), row->type == SCHEMA_ENV, out);
        break;
    case SCHEMA_ENDPOINT:
        endpoint = VALUE_FIELD(base, row, const struct config_redis *);
        print_text(endpoint ? endpoint->name : NULL, out);
        break;
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
    case SCHEMA_UMASK:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        run_as_print(row, base, out);
        break;
    case SCHEMA_KEEP:
    case SCHEMA_TYPE_COUNT:
        break;
    }
}
