/* driver.h - drover's side of the differential test: a program that reads operations as JSON lines
 * and does them with the C API of common/queue, one after the other, at the time that each says.
 * stock.mjs does the same with stock BullMQ; both answer the same JSON for the same operation.
 *
 * An operation names no ids: it picks a job by number out of a list that grows as the operations go
 * (`of`: which list, `pick`: a number, taken modulo its length). So a sequence stays meaningful
 * when operations are taken out of it. What picks from an empty list answers {"none": true}. */
#pragma once

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/attr.h"
#include "common/queue/add.h"

/* ---- the world (main.c)
 * ------------------------------------------------------------------------------------ */

#define LISTS_MAX   12
#define QUEUES_MAX  4
#define WORKERS_MAX 4

/* A job that was met, by queue and id. */
struct met {
    struct world_queue *queue;
    char *id;
};

struct list {
    char *name;
    struct met *jobs;
    size_t count, cap;
};

struct held {
    struct world_queue *queue;
    struct job *job;
};

struct world_queue {
    const char *name;
    struct queue *queue;
    struct fetcher fetchers[WORKERS_MAX]; /* of worker A, B, … */
    char worker_names[WORKERS_MAX][8];
};

struct world {
    char *prefix;
    uint64_t major; /* of the stock side: 5 or 6 */
    struct world_queue queues[QUEUES_MAX];
    size_t queues_count;
    struct list lists[LISTS_MAX];
    struct held *held; /* fetched and not settled, oldest first */
    size_t held_count, held_cap;
};

extern struct world world;

/* Ends the program: an operation that can't be understood is the test's mistake. */
void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);
struct world_queue *world_queue(const json_t *op);
void world_meet(const char *list, struct world_queue *queue, const char *id, size_t id_len);
/* By `of` and `pick`; NULL: the list is empty. */
const struct met *world_pick(const json_t *op);
/* By `pick` among the held ones; NULL: none is held. */
struct held *world_pick_held(const json_t *op);
void world_hold(struct world_queue *queue, struct job *job); /* takes job */
void world_drop(struct held *held);                          /* frees its job */
uint64_t op_uint(const json_t *op, const char *name);        /* 0 when absent */
const char *op_text(const json_t *op, const char *name);     /* NULL when absent */
struct bytes op_bytes(const json_t *op, const char *name);

/* ---- Redis (connection.c)
 * ---------------------------------------------------------------------------------- */

void connection_open(const char *socket_path);
void connection_close(void);
struct redis *connection_redis(void);
/* Runs all callbacks, as the loop would. */
void connection_run(void);
/* A command, its words separated by blanks, that is none of drover's: what time or a test does to
 * keys. Returns the number that it answers, or how many elements. */
long long __attribute__((format(printf, 1, 2))) connection_tell(const char *format, ...);
/* Breaks a rule on purpose: from now on `from` (which must be there) is `to` in that script. */
void connection_patch(const char *script, const char *from, const char *to);

extern uint64_t driver_now_ms; /* what clock_wall_ms says */

/* ---- operations: each answers a new object
 * -------------------------------------------------------------------- */

typedef json_t *op_fn(const json_t *op);

struct op_row {
    const char *name;
    op_fn *run;
};

extern const struct op_row ops_add[], ops_work[], ops_queue[],
    ops_change[]; /* each ends with a NULL name */

json_t *answer_none(void);
/* Adds the id of the job that was picked. */
json_t *about(const struct met *job, json_t *answer);
/* {"code": value}; an outcome other than a reply is {"refused": why}. */
queue_done_cb on_code;
/* Runs the callbacks and takes what on_code was told. */
json_t *finish_code(int sent, const struct error *err);
