/* Files and overrides → one tree. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/config/load.h"

#define SEGMENTS_MAX 16

static const char *const set_file = "--set";

/* Keeps the name for as long as marks point at it. NULL on no memory or too many. */
static const char *keep_name(struct load *load, const char *name)
{
    char **files = reallocarray(load->files, load->files_count + 1, sizeof *files);

    if (files)
        load->files = files;
    if (!files || !(files[load->files_count] = strdup(name))) {
        load->findings.out_of_memory = true;
        return NULL;
    }
    findings_add_file(&load->findings, files[load->files_count]);
    return files[load->files_count++];
}

static struct tree_node *read_file(struct load *load, const char *file)
{
    struct buf bytes = BUF_INIT(TREE_BYTES_MAX + 1);
    struct tree_mark nowhere = { file, 0, 0 };
    struct tree_node *tree = NULL;
    struct error err = { 0 };
    int result = fd_read_file(file, &bytes, &err);

    if (result == -ENOMEM)
        load->findings.out_of_memory = true;
    else if (result < 0 && result != -EFBIG)
        findings_error(&load->findings, &nowhere, "", "cannot read it: %s", strerror(-result));
    else
        tree = tree_read(file, buf_text(&bytes), bytes.len, &load->findings);
    buf_done(&bytes);
    if (!tree)
        load->incomplete = true;
    return tree;
}

static struct tree_node *new_map(struct load *load, const struct tree_mark *mark)
{
    struct tree_node *map = tree_new(TREE_MAP, mark);

    if (!map)
        load->findings.out_of_memory = true;
    return map;
}

/* Makes load->root a map whatever the main file was. */
static void set_root(struct load *load, const char *file, struct tree_node *tree)
{
    struct tree_mark start = { file, 1, 1 };

    if (tree && tree->kind != TREE_MAP) {
        if (!tree_is_null(tree)) {
            findings_error(&load->findings, &tree->mark, "",
                           "a configuration is a map: KEY: VALUE lines, as in conf/drover.yaml");
            load->incomplete = true;
        }
        tree_free(tree);
        tree = NULL;
    }
    load->root = tree ? tree : new_map(load, &start);
}

void load_read_text(struct load *load, const char *file, const char *text, size_t len)
{
    const char *name = keep_name(load, file);
    struct tree_node *tree = name ? tree_read(name, text, len, &load->findings) : NULL;

    if (!tree)
        load->incomplete = true;
    if (name)
        set_root(load, name, tree);
}

/* The map under `queues` of the main tree, made when it is not there; NULL when something else
 * stands there (walk.c tells) or on no memory. */
static struct tree_node *main_queues(struct load *load, const struct tree_mark *mark)
{
    struct tree_entry *entry = tree_find(load->root, "queues");
    struct tree_node *map;

    if (entry && entry->value->kind == TREE_MAP)
        return entry->value;
    if (entry && !tree_is_null(entry->value))
        return NULL;
    map = new_map(load, mark);
    if (!map)
        return NULL;
    if (entry) {
        tree_free(entry->value);
        entry->value = map;
    } else if (!tree_add(load->root, "queues", mark, map)) {
        load->findings.out_of_memory = true;
        return NULL;
    }
    return map;
}

static void merge_queue(struct load *load, struct tree_entry *entry)
{
    struct buf key = BUF_INIT(512);
    struct tree_node *queues = main_queues(load, &entry->mark);
    const struct tree_entry *first = tree_find(queues, entry->key);

    tree_join(&key, "queues");
    tree_join(&key, entry->key);
    if (first)
        findings_error(&load->findings, &entry->mark, buf_text(&key),
                       "queue %s is defined twice, first in %s:%u:%u; keep one of the two",
                       entry->key, first->mark.file, first->mark.line, first->mark.column);
    else if (queues && !tree_add(queues, entry->key, &entry->mark, TAKE_PTR(entry->value)))
        load->findings.out_of_memory = true;
    buf_done(&key);
}

/* Moves the queues of a queues.d file into the main tree; takes `tree`. */
static void merge(struct load *load, struct tree_node *tree)
{
    if (tree->kind != TREE_MAP && !tree_is_null(tree))
        findings_error(&load->findings, &tree->mark, "",
                       "a file in queues.d holds one key, `queues`, with queues below it");
    for (size_t i = 0; tree->kind == TREE_MAP && i < tree->count; i++) {
        struct tree_entry *entry = &tree->entries[i];

        if (strcmp(entry->key, "queues") != 0) {
            findings_error(&load->findings, &entry->mark, entry->key,
                           "only `queues` can stand in a file of queues.d; move this key to the "
                           "main file, or the queue below `queues:`");
            continue;
        }
        if (entry->value->kind != TREE_MAP && !tree_is_null(entry->value))
            findings_error(&load->findings, &entry->value->mark, "queues",
                           "must be a map: queue names and their settings");
        for (size_t j = 0; entry->value->kind == TREE_MAP && j < entry->value->count; j++)
            merge_queue(load, &entry->value->entries[j]);
    }
    tree_free(tree);
}

static int is_part(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);

    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

static void read_part(struct load *load, const char *directory, const char *name)
{
    _cleanup_(freep) char *path = text_format("%s/%s", directory, name);
    struct tree_mark nowhere = { path, 0, 0 };
    struct tree_node *tree;
    const char *file;

    if (!path) {
        load->findings.out_of_memory = true;
        return;
    }
    if (!ends_with(name, ".yaml")) {
        if (ends_with(name, ".yml"))
            findings_warning(&load->findings, &nowhere, "",
                             "not read: the name must end in .yaml, not .yml");
        return;
    }
    if (load->files_count >= LOAD_FILES_MAX) {
        findings_error(&load->findings, &nowhere, "", "more than %u files; put queues together",
                       LOAD_FILES_MAX);
        return;
    }
    file = keep_name(load, path);
    tree = file ? read_file(load, file) : NULL;
    if (tree && load->root)
        merge(load, tree);
    else
        tree_free(tree);
}

static void read_parts(struct load *load, const char *main_path)
{
    const char *slash = strrchr(main_path, '/');
    _cleanup_(freep) char *directory =
        slash ? text_format("%.*s/queues.d", (int)(slash - main_path), main_path)
              : strdup("queues.d");
    struct tree_mark nowhere = { directory, 0, 0 };
    struct dirent **entries = NULL;
    int count;

    if (!directory) {
        load->findings.out_of_memory = true;
        return;
    }
    count = scandir(directory, &entries, is_part, by_bytes);
    if (count < 0 && errno != ENOENT) {
        findings_error(&load->findings, &nowhere, "", "cannot read it: %s", strerror(errno));
        load->incomplete = true;
    }
    for (int i = 0; i < count; i++) {
        read_part(load, directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

void load_read_path(struct load *load, const char *path)
{
    const char *file = keep_name(load, path);

    if (!file)
        return;
    set_root(load, file, read_file(load, file));
    read_parts(load, file);
}

void load_done(struct load *load)
{
    tree_free(load->root);
    for (size_t i = 0; i < load->files_count; i++)
        free(load->files[i]);
    free(load->files);
    findings_done(&load->findings);
    *load = (struct load){ 0 };
}

/* ---- overrides ---- */

/* One key=value on its way into the tree. */
struct setting {
    struct load *load;
    const char *key;
    struct tree_mark mark;
    char *segments[SEGMENTS_MAX];
    size_t count;
    char pattern[SCHEMA_PATTERN_BYTES]; /* of the whole key */
};

/* Splits queues."a.b".attempts; a name with dots stands in double quotes. */
static bool split_key(struct setting *setting)
{
    const char *at = setting->key;

    for (;;) {
        bool quoted = *at == '"';
        const char *from = quoted ? at + 1 : at;
        size_t len = strcspn(from, quoted ? "\"" : ".");

        if (quoted && from[len] != '"')
            return false;
        at = from + len + (quoted ? 1 : 0);
        if ((*at && *at != '.') || (!quoted && !len) || setting->count == SEGMENTS_MAX)
            return false;
        setting->segments[setting->count] = strndup(from, len);
        if (!setting->segments[setting->count]) {
            setting->load->findings.out_of_memory = true;
            return false;
        }
        setting->count++;
        if (!*at)
            return true;
        at++;
    }
}

/* Names of queues and types must stand in the files: a wrong one would make a queue of its own. */
static bool name_exists(struct setting *setting, const struct tree_node *map, const char *pattern,
                        const char *name)
{
    struct load *load = setting->load;
    const char *names[64];
    const char *nearest;
    size_t count = 0;

    if (strcmp(pattern, "redis.*") == 0 || tree_find(map, name) || load->incomplete)
        return true;
    for (size_t i = 0; map && map->kind == TREE_MAP && i < map->count && count < 64; i++)
        names[count++] = map->entries[i].key;
    nearest = text_nearest(name, names, count);
    findings_error(&load->findings, &setting->mark, setting->key,
                   "there is no `%s` in the files%s%s%s", name, nearest ? "; did you mean `" : "",
                   nearest ? nearest : "", nearest ? "`?" : "");
    return false;
}

/* Finds the key's pattern; makes a finding and returns false when there is no such key. */
static bool resolve_key(struct setting *setting)
{
    const struct tree_node *node = setting->load->root;

    for (size_t i = 0; i < setting->count; i++) {
        char child[SCHEMA_PATTERN_BYTES];
        const struct tree_entry *entry = tree_find(node, setting->segments[i]);

        if (!load_child_pattern(setting->pattern, setting->segments[i], child)) {
            load_unknown_key(setting->load, &setting->mark, setting->key, setting->pattern,
                             setting->segments[i]);
            return false;
        }
        if (ends_with(child, "*") && !name_exists(setting, node, child, setting->segments[i]))
            return false;
        memcpy(setting->pattern, child, sizeof child);
        node = entry ? entry->value : NULL;
    }
    return true;
}

static void mark_all(struct tree_node *node, const struct tree_mark *mark)
{
    node->mark = *mark;
    for (size_t i = 0; i < node->count; i++) {
        node->entries[i].mark = *mark;
        mark_all(node->entries[i].value, mark);
    }
}

/* Lists and maps are read as YAML; a single value is taken as it is, so that a shell's word needs
 * no second kind of quotes. */
static struct tree_node *setting_value(struct setting *setting, const char *value,
                                       const struct schema_row *row)
{
    bool is_yaml = row->type == SCHEMA_PROGRAM || row->type == SCHEMA_PATTERNS ||
                   row->type == SCHEMA_ENV || schema_is_group(row);
    struct findings *findings = &setting->load->findings;
    struct tree_node *node = NULL;

    if (is_yaml) {
        node = tree_read(set_file, value, strlen(value), findings);
        if (node)
            mark_all(node, &setting->mark);
        return node;
    }
    if (text_utf8_prefix(value, strlen(value)) != strlen(value)) {
        findings_error(findings, &setting->mark, setting->key, "the value is not UTF-8");
        return NULL;
    }
    node = tree_new(TREE_SCALAR, &setting->mark);
    if (node) {
        node->plain = true;
        node->text = strdup(value);
    }
    if (!node || !node->text) {
        tree_free(node);
        findings->out_of_memory = true;
        return NULL;
    }
    return node;
}

/* Puts the value into the tree, making the maps on the way; takes `value`. */
static void insert(struct setting *setting, struct tree_node *value)
{
    struct tree_node *map = setting->load->root;

    for (size_t i = 0; i < setting->count; i++) {
        bool last = i + 1 == setting->count;
        struct tree_entry *entry = tree_find(map, setting->segments[i]);
        struct tree_node *next = last ? value : NULL;

        if (!last && entry && entry->value->kind == TREE_MAP) {
            map = entry->value;
            continue;
        }
        if (!last)
            next = new_map(setting->load, &setting->mark);
        if (!next) {
            tree_free(value);
            return;
        }
        if (entry) {
            tree_free(entry->value);
            entry->value = next;
            entry->mark = setting->mark;
        } else if (!tree_add(map, setting->segments[i], &setting->mark, next)) {
            setting->load->findings.out_of_memory = true;
            if (!last)
                tree_free(value);
            return;
        }
        map = next;
    }
}

static bool is_secret_place(const char *value)
{
    return strncmp(value, "file:", 5) == 0 || strncmp(value, "cred:", 5) == 0 ||
           strncmp(value, "env:", 4) == 0;
}

static void apply(struct setting *setting, const char *value)
{
    const struct schema_row *row = schema_find(setting->pattern);
    struct findings *findings = &setting->load->findings;
    struct tree_node *node;

    if (!row) {
        findings_error(findings, &setting->mark, setting->key,
                       "is a section; --set takes one key of it (drover check --explain %s)",
                       setting->pattern);
        return;
    }
    if (row->type == SCHEMA_SECRET && !is_secret_place(value)) {
        findings_error(findings, &setting->mark, setting->key,
                       "a secret never stands on a command line, where process lists show it; "
                       "give its place: file:/PATH, cred:NAME or env:NAME");
        return;
    }
    node = setting_value(setting, value, row);
    if (node)
        insert(setting, node);
}

void load_override(struct load *load, const struct config_override *override)
{
    struct setting setting = { .load = load, .key = override->key, .mark = { set_file, 0, 0 } };
    const char *key = override->key;

    if (!load->root)
        return;
    if (text_utf8_prefix(key, strlen(key)) != strlen(key) || !split_key(&setting))
        findings_error(&load->findings, &setting.mark, "",
                       "no key can be read before the =; write --set queues.NAME.concurrency=5, "
                       "and names with dots in double quotes");
    else if (resolve_key(&setting))
        apply(&setting, override->value);
    for (size_t i = 0; i < setting.count; i++)
        free(setting.segments[i]);
}
