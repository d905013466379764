/* tree.h - a YAML file as a tree in which every key and value knows its place.
 * Invariant: bounded in bytes, depth and nodes; no anchors, aliases, tags, duplicate keys or bytes
 * that are not UTF-8 get into a tree: each is a finding with its place. */
#pragma once

#include "common/config/findings.h"

#define TREE_BYTES_MAX (1024u * 1024u)
#define TREE_DEPTH_MAX 24u
#define TREE_NODES_MAX 100000u

enum tree_kind { TREE_SCALAR, TREE_MAP, TREE_LIST };

struct tree_node {
    enum tree_kind kind;
    struct tree_mark mark;
    char *text;                 /* scalar: never NULL, valid UTF-8, no NUL inside */
    bool plain;                 /* scalar: written without quotes */
    bool bad;                   /* a finding was made about it: its value must not be used */
    struct tree_entry *entries; /* of a map or list, in the order of the file */
    size_t count, cap;
};

struct tree_entry {
    char *key;             /* NULL in a list */
    struct tree_mark mark; /* of the key */
    struct tree_node *value;
};

/* Reads one document. `file` is borrowed by the marks. NULL when it cannot be read at all (then
 * there is a finding, or findings->out_of_memory). An empty document is a plain empty scalar. */
struct tree_node *tree_read(const char *file, const char *text, size_t len,
                            struct findings *findings);

struct tree_node *tree_new(enum tree_kind kind, const struct tree_mark *mark);
void tree_free(struct tree_node *node);
void tree_freep(struct tree_node **node);

/* Appends; takes `value` and copies `key` (NULL in a list). False on no memory (then `value` is
 * freed). */
bool tree_add(struct tree_node *parent, const char *key, const struct tree_mark *mark,
              struct tree_node *value);

/* Entry of a map; NULL when there is none or `node` is NULL or no map. */
struct tree_entry *tree_find(const struct tree_node *node, const char *key);
/* Value at a dotted path of plain keys below `node`, or NULL. */
struct tree_node *tree_find_path(const struct tree_node *node, const char *path);

/* True for an empty plain scalar, ~ and null: a key without a value. */
bool tree_is_null(const struct tree_node *node);

/* Appends ".name" (or "name" to an empty path); a name that is not letters, digits, _ or - is put
 * into quotes, so that a path can be split again. */
void tree_join(struct buf *path, const char *name);
