#include "common/config/run_as.h"

#include <errno.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/accounts.h"

#define FIELD(base, row, type) (*(type *)((char *)(base) + (row)->offset))

#define SECOND_MS 1000

/* What stands for "as it is" is printed, and read, as this. */
static const char inherit[] = "inherit";
static const char automatic[] = "auto";
static const char none[] = "none";
static const char unlimited[] = "unlimited";

/* ---- in its struct */

void run_as_store(const struct schema_row *row, void *base, struct value *value)
{
    switch ((int)row->type) {
    case SCHEMA_USER:
        FIELD(base, row, struct config_user *) = TAKE_PTR(value->user);
        break;
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        FIELD(base, row, struct config_groups *) = TAKE_PTR(value->groups);
        break;
    case SCHEMA_LIMIT:
        FIELD(base, row, uint64_t) = value->natural;
        break;
    default: /* umask, nice */
        FIELD(base, row, int) = value->word;
        break;
    }
}

void run_as_clear(const struct schema_row *row, void *base)
{
    if (row->type == SCHEMA_USER)
        config_user_free(TAKE_PTR(FIELD(base, row, struct config_user *)));
    else if (row->type == SCHEMA_GROUP || row->type == SCHEMA_GROUPS)
        config_groups_free(TAKE_PTR(FIELD(base, row, struct config_groups *)));
}

static bool is_same_user(const struct config_user *left, const struct config_user *right)
{
    if (!left || !right)
        return left == right;
    return left->uid == right->uid && left->gid == right->gid &&
           strcmp(left->name, right->name) == 0 && strcmp(left->home, right->home) == 0 &&
           left->groups_count == right->groups_count &&
           (left->groups_count == 0 ||
            memcmp(left->groups, right->groups, left->groups_count * sizeof *left->groups) == 0);
}

static bool is_same_groups(const struct config_groups *left, const struct config_groups *right)
{
    if (!left || !right)
        return left == right;
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (left->rows[i].gid != right->rows[i].gid ||
            strcmp(left->rows[i].name, right->rows[i].name) != 0)
            return false;
    }
    return true;
}

bool run_as_is_same(const struct schema_row *row, const void *left, const void *right)
{
    switch ((int)row->type) {
    case SCHEMA_USER:
        return is_same_user(VALUE_FIELD(left, row, struct config_user *),
                            VALUE_FIELD(right, row, struct config_user *));
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        return is_same_groups(VALUE_FIELD(left, row, struct config_groups *),
                              VALUE_FIELD(right, row, struct config_groups *));
    case SCHEMA_LIMIT:
        return VALUE_FIELD(left, row, uint64_t) == VALUE_FIELD(right, row, uint64_t);
    default:
        return VALUE_FIELD(left, row, int) == VALUE_FIELD(right, row, int);
    }
}

static void print_name(const char *name, struct buf *out)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";

    if (name[strspn(name, plain)] == '\0')
        (void)buf_append_text(out, name);
    else
        (void)json_text_quote(out, name, strlen(name));
}

/* As a JSON list, which YAML reads too. */
static void print_groups(const struct config_groups *groups, struct buf *out)
{
    (void)buf_append_char(out, '[');
    for (size_t i = 0; i < groups->count; i++) {
        (void)buf_append_text(out, i ? ", " : "");
        (void)json_text_quote(out, groups->rows[i].name, strlen(groups->rows[i].name));
    }
    (void)buf_append_char(out, ']');
}

static void print_limit(const struct schema_row *row, uint64_t limit, struct buf *out)
{
    char text[UNITS_TEXT_BYTES];

    if (limit == RESOURCE_INHERIT)
        (void)buf_append_text(out, inherit);
    else if (limit == RESOURCE_UNLIMITED)
        (void)buf_append_text(out, unlimited);
    else if (row->flags & SCHEMA_OF_BYTES)
        (void)buf_append_text(out, units_print_size(limit, text));
    else if (row->flags & SCHEMA_OF_SECONDS)
        (void)buf_append_text(out, units_print_duration(limit * SECOND_MS, text));
    else
        (void)buf_printf(out, "%llu", (unsigned long long)limit);
}

static void print_number(const struct schema_row *row, int number, struct buf *out)
{
    if (row->type == SCHEMA_UMASK && number != CONFIG_UMASK_INHERIT)
        (void)buf_printf(out, "%03o", (unsigned int)number);
    else if (row->type == SCHEMA_NICE && number != CONFIG_NICE_INHERIT)
        (void)buf_printf(out, "%d", number);
    else
        (void)buf_append_text(out, inherit);
}

void run_as_print(const struct schema_row *row, const void *base, struct buf *out)
{
    const struct config_user *user;
    const struct config_groups *groups;

    switch ((int)row->type) {
    case SCHEMA_USER:
        user = VALUE_FIELD(base, row, struct config_user *);
        print_name(user ? user->name : none, out);
        break;
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        groups = VALUE_FIELD(base, row, struct config_groups *);
        if (!groups)
            (void)buf_append_text(out, automatic);
        else if (row->type == SCHEMA_GROUP)
            print_name(groups->rows[0].name, out);
        else
            print_groups(groups, out);
        break;
    case SCHEMA_LIMIT:
        print_limit(row, VALUE_FIELD(base, row, uint64_t), out);
        break;
    default:
        print_number(row, VALUE_FIELD(base, row, int), out);
        break;
    }
}

/* ---- from YAML */

struct reading {
    const struct schema_row *row;
    const char *key;
    struct findings *findings;
};

#define wrong(reading, node, ...) \
    findings_error((reading)->findings, &(node)->mark, (reading)->key, __VA_ARGS__)

/* The text of a single value, or NULL. */
static const char *scalar(const struct reading *reading, const struct tree_node *node,
                          const char *what)
{
    if (node->kind != TREE_SCALAR)
        wrong(reading, node, "must be %s, not a %s", what, node->kind == TREE_MAP ? "map" : "list");
    else if (tree_is_null(node) || !*node->text)
        wrong(reading, node, "has no value; write %s, or take the key out", what);
    else
        return node->text;
    return NULL;
}

/* Makes the finding of a failed look-up. */
static bool not_found(const struct reading *reading, const struct tree_node *node, int code,
                      const struct error *err)
{
    if (code == -ENOMEM)
        reading->findings->out_of_memory = true;
    else
        wrong(reading, node, "%s%s%s", code == -ENOENT ? "" : node->text,
              code == -ENOENT ? "" : ": ", err->text);
    return false;
}

static bool read_user(const struct reading *reading, const struct tree_node *node,
                      struct value *out)
{
    const char *text = scalar(reading, node, "the name or number of a user");
    struct error err = { 0 };
    int r;

    if (!text)
        return false;
    if (strcmp(text, none) == 0)
        return true;
    r = account_find_user(text, &out->user, &err);
    if (r < 0)
        return not_found(reading, node, r, &err);
    if (out->user->uid != 0)
        return true;
    wrong(reading, node,
          "%s has uid 0, and nothing here runs as root: whoever can add a job would have the host; "
          "name a user without rights",
          text);
    return false;
}

static bool add_group(const struct reading *reading, const struct tree_node *node,
                      struct config_groups *groups)
{
    const char *text = scalar(reading, node, "the name or number of a group");
    struct config_group *row = &groups->rows[groups->count];
    struct error err = { 0 };
    int r;

    if (!text)
        return false;
    r = account_find_group(text, &row->gid, &err);
    if (r < 0)
        return not_found(reading, node, r, &err);
    row->name = strdup(text);
    if (!row->name)
        return not_found(reading, node, -ENOMEM, &err);
    groups->count++;
    return true;
}

struct config_groups *run_as_new_groups(size_t room)
{
    struct config_groups *groups = calloc(1, sizeof *groups);

    if (groups)
        groups->rows = calloc(room + 1, sizeof *groups->rows);
    if (groups && !groups->rows) {
        free(groups);
        return NULL;
    }
    return groups;
}

static bool is_auto(const struct tree_node *node)
{
    return node->kind == TREE_SCALAR && strcmp(node->text, automatic) == 0;
}

static bool read_groups(const struct reading *reading, const struct tree_node *node,
                        struct value *out)
{
    bool single = reading->row->type == SCHEMA_GROUP;
    size_t count = single ? 1 : node->count;
    bool good = true;

    if (is_auto(node))
        return true;
    if (!single && node->kind != TREE_LIST) {
        wrong(reading, node, "must be a list of groups, as in [video, 1005], or auto");
        return false;
    }
    if (count > CONFIG_GROUPS_MAX) {
        wrong(reading, node, "has more than %d groups", CONFIG_GROUPS_MAX);
        return false;
    }
    out->groups = run_as_new_groups(count);
    if (!out->groups) {
        reading->findings->out_of_memory = true;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        good &= add_group(reading, single ? node : node->entries[i].value, out->groups);
    return good;
}

static bool read_umask(const struct reading *reading, const struct tree_node *node,
                       struct value *out)
{
    static const char what[] = "three or four octal digits, as in 027, or inherit";
    const char *text = scalar(reading, node, what);
    size_t len = text ? strlen(text) : 0;

    if (!text)
        return false;
    out->word = CONFIG_UMASK_INHERIT;
    if (strcmp(text, inherit) == 0)
        return true;
    if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && text[0] != '0')) {
        wrong(reading, node, "must be %s, not `%s`", what, text);
        return false;
    }
    out->word = (int)strtol(text, NULL, 8);
    return true;
}

static bool read_nice(const struct reading *reading, const struct tree_node *node,
                      struct value *out)
{
    static const char what[] = "a whole number from -20 to 19, or inherit";
    const char *text = scalar(reading, node, what);
    bool negative = text && *text == '-';
    uint64_t number = 0;

    if (!text)
        return false;
    out->word = CONFIG_NICE_INHERIT;
    if (strcmp(text, inherit) == 0)
        return true;
    if (!node->plain || text_parse_uint(text + negative, strlen(text + negative), &number) < 0 ||
        number > (negative ? -RUN_AS_NICE_LEAST : RUN_AS_NICE_MOST)) {
        wrong(reading, node, "must be %s, not `%s`", what, text);
        return false;
    }
    out->word = negative ? -(int)number : (int)number;
    return true;
}

/* In the unit of the field: bytes, seconds, or a count. */
static int parse_limit(const struct schema_row *row, const char *text, uint64_t *out,
                       struct error *err)
{
    int r;

    if (row->flags & SCHEMA_OF_BYTES)
        return units_parse_size(text, out, err);
    if (row->flags & SCHEMA_OF_SECONDS) {
        r = units_parse_duration(text, out, err);
        if (r == 0 && *out % SECOND_MS != 0)
            r = error_set(err, -EINVAL, "%s: the kernel counts whole seconds", text);
        *out /= SECOND_MS;
        return r;
    }
    r = text_parse_uint(text, strlen(text), out);
    return r < 0 ? error_set(err, r, "must be a whole number%s, not `%s`",
                             row->flags & SCHEMA_NO_UNLIMITED ? " or inherit"
                                                              : ", unlimited or inherit",
                             text)
                 : 0;
}

/* The bounds of a row of seconds are written in ms, as those of all durations are. */
bool run_as_limit_in_range(const struct schema_row *row, uint64_t limit, const char **out_side,
                           double *out_bound)
{
    double scale = row->flags & SCHEMA_OF_SECONDS ? SECOND_MS : 1;
    bool good = value_in_range(row, (double)limit * scale, out_side, out_bound);

    if (!good)
        *out_bound /= scale;
    return good;
}

static bool read_limit(const struct reading *reading, const struct tree_node *node,
                       struct value *out)
{
    const struct schema_row *row = reading->row;
    const char *text = scalar(reading, node, "a limit");
    struct buf bound_text = BUF_INIT(64);
    struct error err = { 0 };
    const char *side;
    double bound;

    if (!text)
        return false;
    out->natural = strcmp(text, inherit) == 0 ? RESOURCE_INHERIT : RESOURCE_UNLIMITED;
    if (out->natural == RESOURCE_INHERIT ||
        (strcmp(text, unlimited) == 0 && !(row->flags & SCHEMA_NO_UNLIMITED)))
        return true;
    if (strcmp(text, unlimited) == 0) {
        wrong(reading, node, "the kernel has no unlimited here; write a number");
        return false;
    }
    if (parse_limit(row, text, &out->natural, &err) < 0) {
        wrong(reading, node, "%s", err.text);
        return false;
    }
    if (run_as_limit_in_range(row, out->natural, &side, &bound))
        return true;
    print_limit(row, (uint64_t)bound, &bound_text);
    wrong(reading, node, "%s is %s, which is %s", text, side, buf_text(&bound_text));
    buf_done(&bound_text);
    return false;
}

bool run_as_read(const struct schema_row *row, const struct tree_node *node, const char *key,
                 struct findings *findings, struct value *out)
{
    struct reading reading = { row, key, findings };

    switch ((int)row->type) {
    case SCHEMA_USER:
        return read_user(&reading, node, out);
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        return read_groups(&reading, node, out);
    case SCHEMA_UMASK:
        return read_umask(&reading, node, out);
    case SCHEMA_NICE:
        return read_nice(&reading, node, out);
    default:
        return read_limit(&reading, node, out);
    }
}
