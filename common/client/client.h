/* client.h - what the files of the installed library share: include/drover/queue.h is its face,
 * this folder translates between that and the engine, and has no knowledge of its own. */
#pragma once

#include <drover/queue.h>

#include "common/config/config.h"
#include "common/queue/add.h"

/* Where a Redis is: of a connection and of the readers beside it, which may live longer. */
struct client_place {
    unsigned int users;
    struct config_redis endpoint;
};
struct client_place *client_place_ref(struct client_place *place);
void client_place_unref(struct client_place *place);

struct drover_connection {
    uv_loop_t *loop;
    struct redis *redis; /* NULL once closed */
    struct client_place *place;
    char *client_name;
    struct drover_queue *queues; /* of it; they may live longer: the memory stays until the last */
    bool closed;
    drover_state_cb *on_state;
    void *arg;
};

struct drover_queue {
    struct queue *engine;
    struct drover_connection *connection;
    struct drover_queue *next; /* of the connection */
};

/* Tells the caller, when he wants to know, and returns the code. */
int client_error(const struct error *err, struct drover_error *error);
/* A call's end in the library's words; `call` is borrowed. */
struct drover_answer client_answer(const struct call_result *call);
/* The queue's engine, or NULL (told: -ENOTCONN) while its connection is not ready. */
struct queue *client_engine(struct drover_queue *queue, struct drover_error *error);

static inline struct bytes client_bytes(struct drover_text text)
{
    return (struct bytes){ text.data, text.len };
}

static inline struct drover_text client_text(struct bytes bytes)
{
    return (struct drover_text){ bytes.data, bytes.len };
}

struct job_spec client_spec(const struct drover_job *job); /* borrows its texts */

/* What a call keeps until its end. */
struct client_call {
    struct drover_queue *queue;
    void (*on_done)(void); /* of the call's own type */
    void *arg;
};
/* NULL (told) on no memory. */
struct client_call *client_call_new(struct drover_queue *queue, void (*on_done)(void), void *arg,
                                    struct error *err);
