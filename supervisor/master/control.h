/* control.h - the master's control socket: who may ask, one request after the other, answers that
 * never make the master wait. The packets are described in docs/protocols/control.md; what the
 * verbs do is the business of whoever gives the table of verbs.
 * Invariant: nothing that a client does or leaves undone blocks the loop or makes the master grow
 * without bound: there are CONTROL_CLIENTS_MAX of them, one request of each is under way, what
 * waits to be sent to each is bounded, and each wait for a client has a deadline.
 *
 * A request belongs to the verb's function until it is ended: by exactly one control_request_end or
 * control_request_fail, at once or later, also when its client has left in between (then the
 * answers go nowhere, without an error) and also after control_close. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

#define CONTROL_VERSION      1
#define CONTROL_PACKET_BYTES 65536                     /* of one packet, either way */
#define CONTROL_QUEUE_BYTES  ((size_t)4 * 1024 * 1024) /* not yet taken by one client */
#define CONTROL_CLIENTS_MAX  16

struct control;
struct control_request;

struct control_verb {
    const char *name;
    bool changes; /* refused to those who may only look, before on_request */
    void (*on_request)(struct control_request *request, void *arg); /* on the loop */
};

struct control_options {
    uv_loop_t *loop;
    const char *path;  /* absolute; copied */
    const char *group; /* who may look: the socket file gets this group when it exists and we may
                          give it, else it keeps ours; NULL: ours */
    const struct control_verb *verbs; /* borrowed until all is closed */
    size_t verbs_count;
    void *arg;         /* for on_request */
    uint64_t idle_ms;  /* a client without a request for so long is closed; 0: a minute */
    uint64_t stuck_ms; /* a client that takes no byte of its answer for so long likewise; 0: 10 s */
};

/* Listens on `path` (mode 0660), with its folder made (0755) when only that is missing. A socket
 * file that nobody answers on is replaced. -EADDRINUSE: another process answers there; the text
 * names its pid. -EEXIST: something that is no socket is in the way. For the start of the
 * program: it may wait for half a second. */
MUST_CHECK int control_open(const struct control_options *options, struct control **out_control,
                            struct error *err);

/* Sends what can be sent at once, closes all and removes the socket file when it is still ours. The
 * memory goes by itself once the loop has closed the handles. NULL is fine. */
void control_close(struct control *control);

/* ---- requests */

const char *control_request_verb(const struct control_request *request);
/* The whole packet, an object; borrowed until the end of the request. */
const json_t *control_request_args(const struct control_request *request);
/* Root, or the user that this process runs as. The others are members of the socket's group. */
bool control_request_may_change(const struct control_request *request);
/* False once the client has left: more rows are in vain, the end is still owed. */
bool control_request_is_heard(const struct control_request *request);

/* Sends {"row": row}; takes `row`, an object. One that is larger than a packet loses the tails of
 * its arrays and gets "cut":true. What cannot be sent all the same (NULL, which is jansson out of
 * memory; more than a client may leave waiting) makes the whole request fail at its end: an answer
 * is complete or says that it is not. False then, as a hint to stop. */
bool control_request_add_row(struct control_request *request, json_t *row);

/* Ends the request well: {"end":true,"ok":true,"code":0, …}. `more`: members to add, taken; NULL
 * for none; shortened as a row is. */
void control_request_end(struct control_request *request, json_t *more);

/* Ends it in failure: `code` (not 0) is the exit code for the client, the text says what failed and
 * what to do. */
void control_request_fail(struct control_request *request, int code, json_t *more,
                          const char *format, ...) PRINTF_LIKE(4, 5);
