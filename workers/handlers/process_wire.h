/* process_wire.h - the lines between a worker and a long-lived program: JSON-RPC 2.0, one object a
 * line (docs/protocols/handler.md is the contract; a change here is a change there).
 * Pure: bytes in, bytes out. Whatever a program writes is outside input: it is checked here once,
 * and what does not fit is told by its kind, never by a failure. */
#pragma once

#include "common/base/log.h"
#include "common/queue/json_walk.h"
#include "workers/handlers/handler.h"

#define WIRE_PROTOCOL      2 /* what `initialize` offers; a program answers it or an older one */
#define WIRE_PROTOCOL_MIN  1
#define WIRE_MOVES_FROM    2 /* the protocol in which a program may ask for a place */
#define WIRE_INITIALIZE_ID 0 /* the request ids of jobs begin above it */
#define WIRE_ID_MAX        9007199254740991U /* 2^53 - 1: any JSON library keeps it */

/* ---- worker to program: each appends one whole line with its newline; without room or memory
 * nothing is appended and out->failed is set. */

struct wire_hello {
    const char *queue, *type /* NULL: the queue's own handler */, *worker;
    size_t parallel;
    uint64_t max_line_bytes, heartbeat_ms;
};

void wire_initialize(struct buf *out, const struct wire_hello *hello);
/* Data that is valid JSON is passed on as it is; anything else as text. */
void wire_job_run(struct buf *out, uint64_t id, const struct handler_input *input, uint64_t now_ms);
void wire_job_cancel(struct buf *out, uint64_t id, const char *reason, uint64_t grace_ms);
void wire_drain(struct buf *out, uint64_t timeout_ms); /* 0: no bound */
void wire_shutdown(struct buf *out);
/* The answer to a request: the worker offers no methods. `id` as the program wrote it. */
void wire_no_such_method(struct buf *out, const struct json_value *id);

/* ---- program to worker */

enum wire_kind {
    WIRE_BLANK,   /* nothing but white space */
    WIRE_GARBAGE, /* no JSON */
    WIRE_BATCH,   /* a JSON array: JSON-RPC's batches are not part of this protocol */
    WIRE_NO_RPC,  /* JSON, but no JSON-RPC 2.0 message */
    WIRE_RESULT,
    WIRE_ERROR,
    WIRE_REQUEST,        /* with an id; there is nothing that a program may ask for */
    WIRE_UNKNOWN_METHOD, /* a notification of a later version, or a slip */
    WIRE_BAD_PARAMS,     /* a known notification without what it needs */
    WIRE_PROGRESS,
    WIRE_LOG, /* a row for the job's own log */
    WIRE_HEARTBEAT,
    WIRE_SAID, /* `log`: a line for the worker's log */
    WIRE_KIND_COUNT
};

/* Error codes with a meaning of their own; any other is like WIRE_CODE_RETRY. */
enum wire_code {
    WIRE_CODE_RETRY = -32001,
    WIRE_CODE_PERMANENT = -32002,
    WIRE_CODE_NOT_NOW = -32003,
    WIRE_CODE_CANCELLED = -32004,
    WIRE_CODE_DELAY = -32005, /* from WIRE_MOVES_FROM on, likewise: */
    WIRE_CODE_WAIT = -32006,
    WIRE_CODE_WAIT_CHILDREN = -32007,
    WIRE_CODE_LIMITED = -32008,
};

/* All values point into the line; text NULL when absent. */
struct wire_message {
    enum wire_kind kind;
    uint64_t id;             /* of the job.run that it is about; UINT64_MAX when it has none or one
                                that no worker ever gave */
    struct json_value value; /* result; progress; the text of an error, a log row, a line (a
                                string); the id of a request */
    struct json_value stack; /* of an error: a string */
    int64_t code;            /* of an error */
    int64_t retry_after_ms;  /* of an error; -1 when absent or no sensible number */
    uint64_t retry_at_ms;    /* of an error: ms since the epoch; 0 likewise */
    enum log_level level;    /* of WIRE_SAID */
};

/* `line` without its newline. */
void wire_parse(const char *line, size_t len, struct wire_message *out);

/* What a line was going to be, by its first bytes. */
enum wire_beginning {
    WIRE_BEGINS_ANSWER, /* a result or error; *out_id: whose, UINT64_MAX when not known */
    WIRE_BEGINS_OTHER,  /* certainly no answer */
    WIRE_BEGINS_UNKNOWN
};
enum wire_beginning wire_look_at_beginning(const char *bytes, size_t len, uint64_t *out_id);

/* The answer (WIRE_RESULT or WIRE_ERROR) to initialize. False when it is not one for this protocol:
 * what it says instead is appended to `out_why`. `out_name` is the program's own name, of kind NULL
 * when it gave none; `out_protocol` what it speaks, WIRE_PROTOCOL_MIN … WIRE_PROTOCOL. */
bool wire_read_hello(const struct wire_message *answer, struct json_value *out_name,
                     unsigned int *out_protocol, struct buf *out_why);

/* Appends what a JSON string means, as UTF-8; halves of surrogate pairs become U+FFFD. 0, or
 * -ENOBUFS when out->failed (also before the call): it may be cut. */
int wire_append_text(struct buf *out, const struct json_value *string);
