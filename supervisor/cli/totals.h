/* totals.h - what the worker processes of this host have done together since droverd began to
 * count: the verb `totals` of docs/protocols/control.md, for `drover ps` and `drover status`. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/base/buf.h"

struct control_client;

struct totals {
    json_t *rows; /* an array, sorted by queue; NULL: not known */
    json_t *end;
};

/* Asks over a connection that has just answered something else. An older droverd does not know the
 * question: then nothing is known, and nothing is said. `queues`: only these, none named: all. */
void totals_ask(struct control_client *client, const char *const *queues, size_t queues_count,
                struct totals *out_totals);
void totals_done(struct totals *totals);

/* A table for people; nothing when there is none. */
void totals_print(const struct totals *totals, struct buf *out);
/* Adds `totals` (the rows, or null), `totals_since_at_ms` and `starts` to an object. */
void totals_add_json(const struct totals *totals, json_t *object);
