/* master_rig.h - the real supervisor on a real loop, with a real configuration file, and workers
 * that behave as their queue is called (fake_worker.c). What it logs is kept and looked at; what
 * the workers hear is in a file that they append to. */
#pragma once

#include <criterion/criterion.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "supervisor/master/supervisor_state.h"

#define PATIENCE_MS 30000

struct master_rig {
    uv_loop_t loop;
    struct supervisor *supervisor;
    struct supervisor_options options;
    char folder[64], file[96], heard[96], control[96];
    struct buf queues; /* YAML lines below `queues:` */
    /* YAML values; changed by a test before rig_start. */
    const char *drain_timeout, *start_timeout, *restart_first, *restart_max, *log_level;
};
extern struct master_rig rig;

/* For TestSuite's .init and .fini. */
void rig_init(void);
void rig_done(void);

/* Adds "  <name>: {<options>, handler: noop}" to the file. */
void rig_queue(const char *name, const char *options);
void rig_forget_queues(void);
/* Writes the file anew; rig_start does it, too. */
void rig_write(void);
/* Writes this instead. */
void rig_write_text(const char *text);
void rig_start(void);

/* The n-th (from 0) line of that event as an object (new reference), NULL when there is none. */
json_t *find_line(const char *event, size_t n);
size_t count_lines(const char *event);
long long number_of(const char *event, size_t n, const char *field);
void expect_text(const char *event, size_t n, const char *field, const char *expected);

/* How many lines of what the workers have heard hold this text. */
size_t count_heard(const char *text);

/* Run the loop until … ; the test fails after PATIENCE_MS. */
void run_until(const char *event, size_t times);
void run_until_heard(const char *text, size_t times);
void run_while(bool (*holds)(void));
/* The exit code; no child is left. */
int run_to_the_end(void);
