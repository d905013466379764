/* adding.h - what the tests of adding share: a queue "bull:q" over the rig, jobs of one instant,
 * what the last call answered, and the events of a queue as one text. */
#pragma once

#include "common/queue/flow.h"
#include "tests/lua/add/queue_rig.h"

#define AT_MS 1795300804162ULL

extern struct queue *adding_queue;

/* What the last call answered. */
struct added {
    int calls;
    struct call_result call;
    char why[256]; /* of the call */
    enum add_code code[FLOW_NODES_MAX];
    char ids[FLOW_NODES_MAX][128]; /* or why not */
    bool duplicate[FLOW_NODES_MAX], refused[FLOW_NODES_MAX];
    bool deduplicated[FLOW_NODES_MAX], next[FLOW_NODES_MAX];
    size_t count;
};
extern struct added added;

void adding_setup(void);
void adding_teardown(void);
queue_add_cb adding_on_added;

struct bytes text(const char *from);
struct job_spec plain(const char *name); /* at AT_MS */
/* Adds and fills `added`. */
void add(const struct job_spec *specs, size_t count);
void add_flow(const struct flow_node *root);

#define says(expected, ...) cr_expect_str_eq(redis_says(__VA_ARGS__), expected)

/* The events of queue bull:<name> without their ids, one after another, each with a bar in front.
 */
const char *events(const char *name);
