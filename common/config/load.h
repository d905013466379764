/* load.h - the steps from files to a checked `struct config`; inside common/config only.
 * read.c makes one tree of all files and overrides; walk.c judges every key and value by itself;
 * build.c fills the structs, inherited values included; check.c finds contradictions. Each step
 * goes on after findings of an earlier one, so that one run tells all. */
#pragma once

#include "common/config/tree.h"
#include "common/config/value.h"

#define LOAD_FILES_MAX 256u

struct load {
    struct findings findings;
    char **files; /* names that marks borrow */
    size_t files_count;
    struct tree_node *root; /* always a map after load_read */
    bool incomplete;        /* a file could not be read: what is missing may stand there */
};

/* Where a value can be written: one map of the tree. */
struct level {
    const struct tree_node *map; /* may be NULL: nothing is written here */
    enum schema_section section;
    struct tree_mark mark; /* of the map's key */
    char key[512];         /* dotted; cut when longer */
};

/* Levels that a value is inherited through, narrowest first. */
struct chain {
    const struct level *levels[3];
    size_t count;
};

struct found {
    const struct tree_node *node; /* NULL: built in */
    size_t depth;                 /* index of the level it was found at; chain->count when none */
};

/* read.c */
void load_read_path(struct load *load, const char *path);
void load_read_text(struct load *load, const char *file, const char *text, size_t len);
void load_override(struct load *load, const struct config_override *override);
void load_done(struct load *load);

/* walk.c */
void load_walk(struct load *load);
/* The pattern of key `name` below `pattern` ("*" where the operator chooses); false when there is
 * no such key. */
bool load_child_pattern(const char *pattern, const char *name, char out[SCHEMA_PATTERN_BYTES]);
/* Finding for a key that does not exist, with what may have been meant. */
void load_unknown_key(struct load *load, const struct tree_mark *mark, const char *key,
                      const char *pattern, const char *name);

/* build.c */
struct found chain_find(const struct chain *chain, const struct schema_row *row);
void level_init(struct level *level, enum schema_section section, const struct tree_entry *entry,
                const struct level *parent, const char *between);
/* NULL on no memory only. */
struct config *load_build(struct load *load);

/* check.c */
void load_check(struct load *load, const struct config *config);

/* check_nodes.c */
void load_check_nodes(struct load *load, const struct config *config);

/* config_load of a text that is not in a file, without queues.d: for tests and fuzzers. */
MUST_CHECK int config_load_text(const char *file, const char *text, size_t len,
                                const struct config_override *overrides, size_t overrides_count,
                                struct config **out_config, struct config_report *report);
