/* run_as.h - values that say as whom and within which limits a program runs: users, groups, umask,
 * nice, limits (the types from SCHEMA_USER to SCHEMA_LIMIT). For value.c, value_read.c and
 * value_json.c, which do the same for all other types. */
#pragma once

#include "common/config/value.h"

/* False when the node is wrong, with findings made. */
bool run_as_read(const struct schema_row *row, const struct tree_node *node, const char *key,
                 struct findings *findings, struct value *out);
/* Moves the value into its field; what was there is freed by run_as_clear. */
void run_as_store(const struct schema_row *row, void *base, struct value *value);
void run_as_clear(const struct schema_row *row, void *base);
bool run_as_is_same(const struct schema_row *row, const void *left, const void *right);
void run_as_print(const struct schema_row *row, const void *base, struct buf *out);
json_t *run_as_to_json(const struct schema_row *row, const void *base);
MUST_CHECK int run_as_from_json(const struct schema_row *row, const json_t *json, const char *key,
                                struct value *out, struct error *err);

/* ---- shared by run_as.c and run_as_json.c ---- */

#define RUN_AS_UMASK_MAX  0777
#define RUN_AS_NICE_LEAST (-20)
#define RUN_AS_NICE_MOST  19

/* An empty list with room for so many; NULL on no memory. */
struct config_groups *run_as_new_groups(size_t room);
/* True when a limit is inside the row's range; otherwise which side it is on, and that side's
 * bound, in the unit of the field. */
bool run_as_limit_in_range(const struct schema_row *row, uint64_t limit, const char **out_side,
                           double *out_bound);
