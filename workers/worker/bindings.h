/* bindings.h - the handlers of a queue's types, each opened once. */
#pragma once

#include "workers/worker/engine.h"

struct bindings;

struct bindings_options {
    uv_loop_t *loop;
    const struct config_queue *queue; /* borrowed, until all are closed; likewise: */
    const char *worker;
    size_t slots; /* jobs at once in this process */
    uint64_t start_timeout_ms, restart_first_ms, restart_max_ms;
    /* One of them became able to run jobs: ask bindings_are_ready. */
    void (*on_ready)(void *arg);
    void *arg;
};

/* One row per type of the queue, then one for its fallback, as engine_options wants them. */
MUST_CHECK int bindings_open(const struct bindings_options *options, struct bindings **out_bindings,
                             struct error *err);
const struct engine_binding *bindings_rows(const struct bindings *bindings);
/* Can all of them run jobs? */
bool bindings_are_ready(const struct bindings *bindings);
/* No run may be under way. on_closed (may be NULL) comes on the loop, when the last handler has
 * closed, or inside the call when there is none; then the memory is gone. */
void bindings_close(struct bindings *bindings, void (*on_closed)(void *arg), void *arg);
