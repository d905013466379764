/* each.h - every value of a configuration, one by one, in one order.
 * Invariant: the loader notes where values come from in this same order, so that the n-th value of
 * config_each_value belongs to config->origins[n]. */
#pragma once

#include "common/config/schema.h"

struct each_value {
    const struct schema_row *row;
    size_t section_index; /* bit number of the section it was set in or inherited for */
    const void *base;     /* for value_print, value_to_json */
    const char *names[2]; /* what stands for the pattern's first and second `*`; NULL when none */
    size_t index;         /* of its origin */
};

/* Return false to end the walk. */
typedef bool each_value_cb(const struct each_value *value, void *arg);

/* Endpoints, then the file's own values, then queues, each followed by its types. Groups and parts
 * of a handler of another kind are left out, except the kind itself (SCHEMA_HANDLER). Returns false
 * when on_value did. */
bool config_each_value(const struct config *config, each_value_cb *on_value, void *arg);

/* True when a row has a value in this section: `type` is the one it would belong to (NULL for
 * sections without handlers). */
bool each_row_applies(const struct schema_row *row, size_t section_index,
                      const struct config_type *type);

/* Where a row's values live: the struct of its home in this section. `container` is the config, the
 * endpoint, the queue or the type. */
void *each_base(const struct schema_row *row, size_t section_index, void *container);

/* Appends the concrete dotted key: queues.money.backoff.delay. */
void each_print_key(const struct each_value *value, struct buf *out);
