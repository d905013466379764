/* program_rig.h - runs real programs through the exec or the process handler: a loop, jobs, and
 * what came of each run. A suite uses rig_init and rig_done around each test; rig_done checks that
 * every run had exactly one outcome and that nothing is left on the loop. */
#pragma once

#include <sys/types.h>
#include <uv.h>

#include "common/base/clock.h"
#include "workers/handlers/handler.h"

#define RUNS_MAX 256

/* One run and what came of it. */
struct result {
    struct job job; /* what it was given; a copy of rig.job and rig.input */
    struct handler_input input;
    struct handler_run *run;
    unsigned int outcomes;
    enum handler_outcome_kind kind;
    char *value, *reason, *stack;
    size_t value_len;
    int64_t retry_after_ms;
    uint64_t retry_at_ms;
    size_t order;         /* of its outcome, from 1 */
    int pid;              /* as told by on_pid; 0 */
    char *progress, *row; /* the last ones; NULL */
    size_t reports;       /* how many of both */
};

struct program_rig {
    uv_loop_t loop;
    struct config_handler config; /* of the exec handler, until a test changes its kind */
    struct handler_setup setup;
    struct config_type type;
    struct handler *handler;
    struct job job;
    struct handler_input input;
    struct result results[RUNS_MAX];
    size_t count, ended;
    unsigned int readies; /* calls of on_ready */
    char folder[64];      /* scratch, removed by rig_done */
    bool closed;          /* no handler is open or being closed */
};
extern struct program_rig rig;

void rig_init(void);
void rig_done(void);

/* Opens the handler of rig.config.kind for a program, or for `/bin/sh -c script`. */
void rig_open_argv(char **argv);
void rig_open_script(const char *script);
/* So that another can be opened; rig_done does it too. */
void rig_close_handler(void);

/* Starts one more run of it, with rig.job and rig.input; the result fills while the loop runs. */
struct result *rig_start(void);
/* The same with another name and data of the job; the texts must live as long as the run. */
struct result *rig_start_job(const char *name, const char *data);
void rig_wait_ended(void);
/* All three at once. */
struct result *rig_run_script(const char *script);
void rig_cancel(struct result *result, enum handler_cancel how);
void rig_cancel_why(struct result *result, enum handler_cancel how, enum handler_cancel_why why,
                    uint64_t grace_ms);

/* Runs the loop until the condition holds; a test fails after 20 s. */
#define rig_wait(condition)                                                      \
    do {                                                                         \
        uint64_t until_ms_ = clock_now_ms() + 20000;                             \
        rig_tick(true);                                                          \
        while (!(condition)) {                                                   \
            cr_assert(lt(u64, clock_now_ms(), until_ms_), "never: " #condition); \
            (void)uv_run(&rig.loop, UV_RUN_ONCE);                                \
        }                                                                        \
        rig_tick(false);                                                         \
    } while (0)
/* While on, the loop turns every 5 ms. */
void rig_tick(bool on);

/* Runs the loop until the file exists and is not empty; its text is read into `out`. */
void rig_wait_file(const char *name, char *out, size_t out_bytes);

bool rig_is_alive(pid_t pid);
void rig_wait_dead(pid_t pid);
