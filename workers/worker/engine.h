/* engine.h - runs the jobs of one queue: fetches, hands to handlers, renews locks, settles.
 *
 * Callbacks (of Redis, of handlers, of timers) only record what happened; engine_step looks at the
 * whole state and acts, once per turn of the loop, so that all jobs that finished in one turn go
 * into one call. It knows Redis only through queue.h: who owns the connections tells it when they
 * come and go. */
#pragma once

#include <uv.h>

#include "common/config/config.h"
#include "common/queue/queue.h"
#include "common/scoreboard/scoreboard.h"
#include "workers/handlers/handler.h"

struct engine;

/* The opened handler of a type; kind NULL: none (then the queue's `unknown` rule holds). */
struct engine_binding {
    const struct handler_kind *kind;
    struct handler *handler;
};

struct engine_options {
    uv_loop_t *loop;
    struct queue *queue;               /* borrowed */
    const struct config_queue *config; /* borrowed */
    /* One per config->types, then one for config->fallback; borrowed. */
    const struct engine_binding *bindings;
    const char *worker_name; /* borrowed */
    const char *uuid;        /* of this spawn; copied */
    size_t slots;            /* jobs at once, >= 1 */
    /* For the registry; its texts are borrowed, its counters are the engine's to fill. NULL: this
     * process stays out of the registry. */
    const struct worker_identity *identity;
    struct scoreboard_slot *board; /* borrowed; NULL: nothing is shown */
    /* Fetching has ended for good: close the blocking connection (its wait then ends). */
    void (*on_stop_waiting)(void *arg);
    /* Last callback: `left` jobs could not be settled and are left to their locks' expiry; their
     * handlers may still be at work. */
    void (*on_ended)(size_t left, void *arg);
    void *arg;
};

MUST_CHECK int engine_new(const struct engine_options *options, struct engine **out_engine,
                          struct error *err);

/* The command connection became usable, or ceased to be. */
void engine_set_redis(struct engine *engine, bool ready);
/* The blocking connection; NULL while it is not usable. */
void engine_set_blocking(struct engine *engine, struct redis *blocking);

/* Nothing is fetched while it is held: its handlers cannot run jobs yet. */
void engine_hold(struct engine *engine, bool held);

/* Jobs at once from now on, >= 1. What runs beyond that number ends in its own time. */
void engine_resize(struct engine *engine, size_t slots);
/* Of these, how many may be started now (0 … slots; at first all): the master holds some back while
 * processes that this one replaces still run jobs. */
void engine_allow(struct engine *engine, size_t allowed);

/* No new fetch; running jobs may finish for timeout_ms (0: without bound), then as engine_stop. */
void engine_drain(struct engine *engine, uint64_t timeout_ms);
/* Ends handlers now (soft, after a short grace hard), gives unfinished jobs back, leaves. */
void engine_stop(struct engine *engine);

/* Looks at everything and acts. Safe to call at any time and twice. */
void engine_step(struct engine *engine);

size_t engine_running(const struct engine *engine);
size_t engine_slots(const struct engine *engine);
/* For people: "" while it serves, else "draining" or "stopping". */
const char *engine_ending(const struct engine *engine);
/* Redis said that this process was declared dead: it stops by itself, and must not be started again
 * under the same uuid. */
bool engine_is_fenced(const struct engine *engine);

/* After on_ended: closes the loop's handles; the memory is freed in their close callback. Runs
 * whose handlers are still at work must not get outcomes any more: the process is about to exit. */
void engine_close(struct engine *engine);
