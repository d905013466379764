/* value.h - one value of one row: read from YAML or JSON, kept in its struct, printed.
 * Invariant: what value_store puts into a struct has passed the row's checks. */
#pragma once

#include <jansson.h>

#include "common/config/schema.h"
#include "common/config/tree.h"

#define VALUE_MASK      "***"
#define VALUE_ITEMS_MAX 256u /* arguments of a program, variables of an environment */

/* A value on its way; which member is used follows from the row's type. */
struct value {
    uint64_t natural; /* duration, size, whole number, limit */
    int64_t count;
    double real;
    bool truth;
    int word;                     /* word, handler kind, umask, nice */
    char *text;                   /* text, path, URL, secret, name of an endpoint; owned */
    char **list;                  /* program, environment; owned */
    struct config_user *user;     /* owned */
    struct config_groups *groups; /* group, groups; owned */
};

void value_done(struct value *value);

/* Reads a node; false when it is wrong, with findings made (unless they are muted). */
bool value_read(const struct schema_row *row, const struct tree_node *node, const char *key,
                struct findings *findings, struct value *out);

/* Reads the row's preset, which must be right; false on no memory. */
bool value_read_preset(const struct schema_row *row, struct value *out);

/* Moves the value into its field below `base` (the row's home), freeing what was there. Endpoints
 * are looked up in `config` by their name: false when there is none. */
bool value_store(const struct schema_row *row, void *base, struct value *value,
                 const struct config *config);

/* Frees what the field owns. */
void value_clear(const struct schema_row *row, void *base);

/* True when both fields mean the same; the order of variables means nothing. */
bool value_is_same(const struct schema_row *row, const void *left, const void *right);

/* As it would be written in YAML; secrets and variables masked. */
void value_print(const struct schema_row *row, const void *base, struct buf *out);

/* Numbers in ms and bytes. NULL on no memory. */
json_t *value_to_json(const struct schema_row *row, const void *base, enum config_secrets secrets);
/* The same checks as for YAML; `key` is for the error's text. */
MUST_CHECK int value_from_json(const struct schema_row *row, const json_t *json, const char *key,
                               struct value *out, struct error *err);

/* True for a map with a key that is a kind of handler (noop, exec, process); out_kind is the first
 * of them. */
bool value_handler_kind(const struct tree_node *node, enum config_handler_kind *out_kind);
const char *value_handler_name(enum config_handler_kind kind);
/* The kind of this name, or CONFIG_HANDLER_NONE. */
enum config_handler_kind value_handler_named(const char *name);
/* Appends the names of a set of kinds (SCHEMA_KIND): "exec or process". */
void value_print_handlers(unsigned int handlers, const char *between, struct buf *out);

/* ---- shared by value.c, value_read.c and value_json.c ---- */

/* The field of a row below its home. */
#define VALUE_FIELD(base, row, type) (*(type const *)((const char *)(base) + (row)->offset))

/* Frees a NULL-terminated list of texts; NULL is fine. */
void value_list_free(char **list);
/* True when `number` is inside the row's range; otherwise which side it is on, and that side's
 * bound. */
bool value_in_range(const struct schema_row *row, double number, const char **out_side,
                    double *out_bound);
/* The word of a value of a row of type SCHEMA_WORD; "" when there is none. */
const char *value_word_name(const struct schema_row *row, int number);
