/* master_rig.h - the real supervisor on a real loop, with a real configuration file, and workers
 * that behave as their queue is called (fake_worker.c). What it logs is kept and looked at; what
 * the workers hear is in a file that they append to. */
#pragma once

#include <criterion/criterion.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "supervisor/master/supervisor_state.h"

#define PATIENCE_MS 30000

struct master_rig {
    uv_loop_t loop;
    struct supervisor *supervisor;
    struct supervisor_options options;
    char folder[64], file[96], heard[96], control[96];
    struct buf queues; /* YAML lines below `queues:` */
    const char *top;   /* more YAML lines of the whole file */
    /* YAML values; changed by a test before rig_start. */
    const char *log_format, *drain_timeout, *start_timeout, *restart_first, *restart_max,
        *log_level;
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
/* Where it stands in the log; the test fails when it is not there. */
size_t line_number(const char *event, size_t n);
long long number_of(const char *event, size_t n, const char *field);
void expect_text(const char *event, size_t n, const char *field, const char *expected);

/* How many lines of what the workers have heard hold this text. */
size_t count_heard(const char *text);
/* Tells the workers of that generation a number (fake_worker.c knows the names). */
void tell_workers(const char *name, unsigned int generation, unsigned int number);

/* The pool of that queue, removed ones left out; the test fails when there is none. */
struct pool *pool_of(const char *queue);
/* The slot that counts, with that index. */
struct slot *slot_of(const char *queue, unsigned int index);
/* Of its process; 0 when there is none. */
pid_t pid_of(const char *queue, unsigned int index);
void kill_worker(const char *queue, unsigned int index, int number);

/* Run the loop until … ; the test fails after PATIENCE_MS. */
void run_until(const char *event, size_t times);
void run_until_heard(const char *text, size_t times);
void run_while(bool (*holds)(void));
/* As many turns of the loop as it takes for what is under way to have been seen. */
void run_turns(unsigned int turns);
/* Writes the file, asks for a reload as SIGHUP does, and runs until it is over. */
void rig_reload(void);
/* The exit code; no child is left. */
int run_to_the_end(void);
/* Drains and ends with EXIT_CODE_OK. */
void rig_end(void);

/* ---- a client of the control socket */

int client_connect(void);
/* Sends one request: the members of a JSON object, after the version. */
void client_send(int fd, const char *members);
/* Runs the loop until the request is answered; the end, its rows (new array) in *out_rows, which
 * may be NULL. */
json_t *client_answer(int fd, json_t **out_rows);
/* All at once, over a connection of its own. */
json_t *client_ask(const char *members, json_t **out_rows);
/* A row of an array of rows: the one whose `queue` that is. */
const json_t *row_of(const json_t *rows, const char *queue);
const char *text_of(const json_t *object, const char *name);  /* "" when absent */
long long integer_of(const json_t *object, const char *name); /* -1 when absent */
