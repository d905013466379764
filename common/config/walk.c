/* Judges every key and value of the tree by itself, against its row. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/load.h"

#define KEY_BYTES_MAX  2048u
#define NAME_BYTES_MAX 128u

/* Keys that are known and cannot be used yet. */
static const struct {
    const char *pattern, *name, *text;
} refused_keys[] = {
    { "tiers", "critical",
      "tier critical keeps jobs in PostgreSQL, which this version cannot do; take it out and use "
      "important" },
};

bool load_child_pattern(const char *pattern, const char *name, char out[SCHEMA_PATTERN_BYTES])
{
    const char *dot = *pattern ? "." : "";
    int len;

    for (int chosen = 1; chosen >= 0; chosen--) {
        len = snprintf(out, SCHEMA_PATTERN_BYTES, "%s%s%s", pattern, dot, chosen ? "*" : name);
        if (len > 0 && len < SCHEMA_PATTERN_BYTES && (chosen || !strpbrk(name, ".*")) &&
            (schema_find(out) || schema_has_below(out)))
            return true;
    }
    return false;
}

static void print_names(const struct schema_children *children, struct buf *out)
{
    for (size_t i = 0; i < children->count; i++)
        (void)buf_printf(out, "%s%s", i ? ", " : "", children->names[i]);
}

void load_unknown_key(struct load *load, const struct tree_mark *mark, const char *key,
                      const char *pattern, const char *name)
{
    struct schema_children children;
    struct buf names = BUF_INIT(1024);
    const char *nearest;

    for (size_t i = 0; i < ARRAY_SIZE(refused_keys); i++) {
        if (strcmp(refused_keys[i].pattern, pattern) == 0 &&
            strcmp(refused_keys[i].name, name) == 0) {
            findings_error(&load->findings, mark, key, "%s", refused_keys[i].text);
            return;
        }
    }
    schema_list_below(pattern, &children);
    print_names(&children, &names);
    nearest = text_nearest(name, children.names, children.count);
    if (nearest)
        findings_error(&load->findings, mark, key, "unknown key; did you mean `%s`?", nearest);
    else
        findings_error(&load->findings, mark, key, "unknown key; %s can stand here: %s",
                       children.count == 1 ? "this" : "these", buf_text(&names));
    buf_done(&names);
}

/* Where the walk stands. */
struct position {
    struct load *load;
    const char *pattern;
    struct buf *key;
    enum config_handler_kind handler; /* of the handler map it is in; NONE outside */
};

static void judge(const struct position *position, const struct schema_row *row,
                  struct tree_node *node)
{
    struct value value;

    if (value_read(row, node, buf_text(position->key), &position->load->findings, &value))
        value_done(&value);
    else
        node->bad = true;
}

static const char *name_problem(const char *pattern, const char *name)
{
    if (!*name)
        return "a name must not be empty";
    if (strlen(name) > NAME_BYTES_MAX)
        return "a name must not be longer than 128 bytes";
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return "a name must not have control characters in it";
    if (strcmp(pattern, "queues.*") == 0 && strchr(name, ':'))
        return "a queue's name must not have a colon in it: colons separate the parts of Redis "
               "keys";
    return NULL;
}

/* A part of a handler of another kind. */
static bool is_foreign(const struct schema_row *row, enum config_handler_kind kind)
{
    return row->handlers && kind != CONFIG_HANDLER_NONE && !(row->handlers & SCHEMA_KIND(kind));
}

static void foreign_part(const struct position *position, const struct schema_row *row,
                         const struct tree_entry *entry)
{
    struct buf kinds = BUF_INIT(256);

    value_print_handlers(row->handlers, " or ", &kinds);
    findings_error(&position->load->findings, &entry->mark, buf_text(position->key),
                   "belongs to a handler of kind %s; this one is %s", buf_text(&kinds),
                   value_handler_name(position->handler));
    buf_done(&kinds);
}

static void walk(const struct position *position, struct tree_node *node);

static void walk_entry(const struct position *position, struct tree_entry *entry)
{
    char pattern[SCHEMA_PATTERN_BYTES];
    struct position below = { position->load, pattern, position->key, position->handler };
    struct findings *findings = &position->load->findings;
    const struct schema_row *row;
    const char *problem;

    tree_join(position->key, entry->key);
    if (!load_child_pattern(position->pattern, entry->key, pattern)) {
        load_unknown_key(position->load, &entry->mark, buf_text(position->key), position->pattern,
                         entry->key);
        return;
    }
    problem =
        strcmp(pattern + strlen(pattern) - 1, "*") == 0 ? name_problem(pattern, entry->key) : NULL;
    if (problem) {
        findings_error(findings, &entry->mark, buf_text(position->key), "%s", problem);
        entry->value->bad = true;
    }
    row = schema_find(pattern);
    if (row && is_foreign(row, position->handler)) {
        foreign_part(position, row, entry);
        return;
    }
    walk(&below, entry->value);
}

static void walk_map(const struct position *position, struct tree_node *node)
{
    struct buf *key = position->key;
    size_t key_len = key->len;

    for (size_t i = 0; i < node->count; i++) {
        walk_entry(position, &node->entries[i]);
        key->len = key_len;
        key->failed = false;
        if (key->data)
            key->data[key_len] = '\0';
    }
}

static void need_map(const struct position *position, struct tree_node *node)
{
    struct schema_children children;
    struct buf names = BUF_INIT(1024);

    schema_list_below(position->pattern, &children);
    print_names(&children, &names);
    if (children.count == 1 && strcmp(children.names[0], "*") == 0)
        findings_error(&position->load->findings, &node->mark, buf_text(position->key),
                       "must be a map: names, and settings below each");
    else
        findings_error(&position->load->findings, &node->mark, buf_text(position->key),
                       "must be a map of these keys: %s", buf_text(&names));
    node->bad = true;
    buf_done(&names);
}

static void walk(const struct position *position, struct tree_node *node)
{
    const struct schema_row *row = schema_find(position->pattern);
    bool has_below = schema_has_below(position->pattern);
    struct position inside = *position;

    if (row && (!has_below || node->kind != TREE_MAP)) {
        judge(position, row, node);
        return;
    }
    if (node->kind != TREE_MAP) {
        if (!tree_is_null(node) && !node->bad)
            need_map(position, node);
        return;
    }
    if (row && row->type == SCHEMA_HANDLER) {
        judge(position, row, node);
        if (!node->bad)
            (void)value_handler_kind(node, &inside.handler); /* judged: it has one */
    }
    walk_map(&inside, node);
}

void load_walk(struct load *load)
{
    struct buf key = BUF_INIT(KEY_BYTES_MAX);
    struct position position = { load, "", &key, CONFIG_HANDLER_NONE };

    walk(&position, load->root);
    buf_done(&key);
}
