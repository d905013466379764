/* exec_rig.h - runs real programs through the exec handler: a loop, a job, and what came of each
 * run. A suite uses rig_init and rig_done around each test; rig_done checks that every run had
 * exactly one outcome and that nothing is left on the loop. */
#pragma once

#include <sys/types.h>
#include <uv.h>

#include "workers/handlers/handler.h"

#define RUNS_MAX 64

/* One run and what came of it. */
struct result {
    struct handler_run *run;
    unsigned int outcomes;
    enum handler_outcome_kind kind;
    char *value, *reason, *stack;
    size_t value_len;
};

struct exec_rig {
    uv_loop_t loop;
    struct config_handler config;
    struct config_type type;
    struct handler *handler;
    struct job job;
    struct handler_input input;
    struct result results[RUNS_MAX];
    size_t count, ended;
    char folder[64]; /* scratch, removed by rig_done */
    bool closed;     /* no handler is open or being closed */
};
extern struct exec_rig rig;

void rig_init(void);
void rig_done(void);

/* Opens the handler for a program, or for `/bin/sh -c script`. */
void rig_open_argv(char **argv);
void rig_open_script(const char *script);
/* So that another can be opened; rig_done does it too. */
void rig_close_handler(void);

/* Starts one more run of it; the result fills while the loop runs. */
struct result *rig_start(void);
void rig_wait_ended(void);
/* All three at once. */
struct result *rig_run_script(const char *script);
void rig_cancel(struct result *result, enum handler_cancel how);

/* Runs the loop until the file exists and is not empty; its text is read into `out`. */
void rig_wait_file(const char *name, char *out, size_t out_bytes);

bool rig_is_alive(pid_t pid);
void rig_wait_dead(pid_t pid);
