/* bindings.h - the handlers of a queue's types, each opened once. */
#pragma once

#include "workers/worker/engine.h"

struct bindings;

/* One row per type of `queue`, then one for its fallback, as engine_options wants them. */
MUST_CHECK int bindings_open(uv_loop_t *loop, const struct config_queue *queue,
                             struct bindings **out_bindings, struct error *err);
const struct engine_binding *bindings_rows(const struct bindings *bindings);
/* No run may be under way. The memory is freed on the loop, when the last handler has closed. */
void bindings_close(struct bindings *bindings);
