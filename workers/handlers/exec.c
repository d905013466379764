/* exec.c - a program per job, through drover-exec: payload on stdin, result from stdout, reason
 * from the end of stderr, exit code by sysexits.
 *
 * A run's life: queued (a few are spawned per turn of the loop, because a spawn blocks it for a
 * millisecond or two), running (three pipes polled), exited (the group is killed, what the pipes
 * still hold is read, background children that keep them open are not waited for), closing,
 * outcome. The process group's id is the program's pid: drover-exec sees to it before anything
 * else (program.h). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "workers/handlers/exec_outcome.h"
#include "workers/handlers/handlers.h"
#include "workers/handlers/program.h"
#include "workers/handlers/program_env.h"

#define SPAWNS_PER_TURN  4
#define ENVIRONMENT_ROWS 11 /* that make_environment adds */

enum run_place { RUN_QUEUED, RUN_STARTED, RUN_ENDING };

struct handler_run {
    struct handler *handler;
    struct handler_run *next; /* in the queue */
    const struct handler_input *input;
    const struct handler_events *events;
    void *arg;
    enum run_place place;
    struct program program;
    size_t written; /* bytes of the payload that the program's pipe took */
    struct buf output, errors;
    struct exec_end end;
};

struct handler {
    uv_loop_t *loop;
    const struct config_handler *config;
    uint64_t kill_grace_ms;
    struct program_tools tools;
    uv_idle_t starter; /* active while runs are queued */
    struct handler_run *first, *last;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static int exec_open(const struct handler_setup *setup, struct handler **out_handler,
                     struct error *err)
{
    struct handler *handler = calloc(1, sizeof(*handler));
    int r = -ENOMEM;

    if (!handler)
        (void)error_set(err, r, "open exec handler");
    else
        r = program_tools_init(&handler->tools, setup->config, err);
    if (r < 0) {
        free(handler);
        return r;
    }
    handler->loop = setup->loop;
    handler->config = setup->config;
    handler->kill_grace_ms = setup->kill_grace_ms;
    (void)uv_idle_init(setup->loop, &handler->starter); /* always succeeds */
    handler->starter.data = handler;
    *out_handler = handler;
    return 0;
}

/* ---- the end of a run */

static void give_outcome(struct handler_run *run)
{
    struct exec_verdict verdict;

    run->end.program = run->program.end;
    run->end.config = run->handler->config;
    run->end.max_output_bytes = run->handler->config->max_output_bytes;
    run->end.output = &run->output;
    run->end.errors = &run->errors;
    exec_judge(&run->end, &verdict);
    run->events->on_outcome(run, &verdict.outcome, run->arg);
    exec_verdict_done(&verdict);
    buf_done(&run->output);
    buf_done(&run->errors);
    free(run);
}

static void on_program_closed(struct program *program)
{
    give_outcome(program->owner);
}

static void end_run(struct handler_run *run)
{
    run->place = RUN_ENDING;
    program_close(&run->program);
}

/* ---- pipes */

static void keep_output(struct program_pipe *pipe, const char *bytes, size_t len)
{
    struct handler_run *run = pipe->program->owner;

    if (run->end.too_much)
        return;
    if (buf_append(&run->output, bytes, len) < 0) {
        run->end.too_much = true;
        program_signal(&run->program, SIGKILL);
    }
}

static void keep_errors(struct program_pipe *pipe, const char *bytes, size_t len)
{
    struct handler_run *run = pipe->program->owner;

    program_keep_errors(&run->errors, bytes, len);
}

static void read_pipe(struct program_pipe *pipe, int rounds)
{
    struct handler_run *run = pipe->program->owner;

    program_read(pipe, run->handler->tools.scratch, rounds,
                 pipe == &run->program.output ? keep_output : keep_errors);
}

static void on_readable(struct program_pipe *pipe)
{
    read_pipe(pipe, PROGRAM_READS_PER_TURN);
}

/* A program may leave its input unread, or close it: neither is an error of the job. */
static void on_writable(struct program_pipe *pipe)
{
    struct handler_run *run = pipe->program->owner;
    const struct bytes *data = &run->input->job->data;
    ssize_t put = 0;

    if (run->written < data->len)
        put = write(pipe->fd, data->data + run->written, data->len - run->written);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (put > 0)
        run->written += (size_t)put;
    if (put < 0 || run->written >= data->len)
        program_close_input(&run->program);
}

/* ---- starting */

static void add_deadline(struct program_env *env, const struct handler_input *input)
{
    uint64_t now_ms = clock_now_ms();

    if (input->deadline_ms == 0)
        program_env_add(env, "DROVER_DEADLINE_MS=");
    else
        program_env_add(env, "DROVER_DEADLINE_MS=%" PRIu64,
                        input->deadline_ms > now_ms ? input->deadline_ms - now_ms : 0);
}

static int make_environment(const struct handler_run *run, struct program_env *env)
{
    const struct handler_input *input = run->input;
    const struct job *job = input->job;
    int r = program_env_init(env, run->handler->config, ENVIRONMENT_ROWS);

    if (r < 0)
        return r;
    program_env_add(env, "DROVER_QUEUE=%s", input->queue);
    program_env_add(env, "DROVER_JOB_ID=%.*s", (int)job->id.len, job->id.data);
    program_env_add(env, "DROVER_JOB_NAME=%.*s", (int)job->name.len, job->name.data);
    program_env_add(env, "DROVER_ATTEMPT=%" PRIu64, input->attempt);
    program_env_add(env, "DROVER_ATTEMPTS_MAX=%" PRIu64, input->attempts_max);
    add_deadline(env, input);
    program_env_add(env, "DROVER_KILL_GRACE_MS=%" PRIu64, run->handler->kill_grace_ms);
    program_env_add(env, "DROVER_IDEMPOTENCY_KEY=%s", input->idempotency_key);
    program_env_add(env, "DROVER_FENCING_TOKEN=%s", input->fencing_token);
    program_env_add(env, "DROVER_CORRELATION_ID=%s",
                    input->correlation_id ? input->correlation_id : input->idempotency_key);
    program_env_add(env, "DROVER_WORKER=%s", input->worker ? input->worker : "");
    return program_env_finish(env);
}

static int start_program(struct handler_run *run)
{
    const struct handler *handler = run->handler;
    _cleanup_(program_env_done) struct program_env env = { 0 };
    struct program_order order = { .tools = &handler->tools,
                                   .argv = handler->config->argv,
                                   .directory = handler->config->directory };
    int r = make_environment(run, &env);

    if (r < 0) {
        run->program.end.start_error = r;
        return r;
    }
    order.environment = env.rows;
    return program_start(&run->program, &order);
}

static void start_run(struct handler_run *run)
{
    run->place = RUN_STARTED;
    if (start_program(run) < 0) {
        end_run(run); /* program.end has the reason */
        return;
    }
    program_watch_input(&run->program, /* wanted= */ true);
    if (run->events->on_pid)
        run->events->on_pid(run, (int)run->program.pid, run->arg);
}

static void on_program_exit(struct program *program)
{
    read_pipe(&program->output, PROGRAM_READS_AFTER_EXIT);
    read_pipe(&program->errors, PROGRAM_READS_AFTER_EXIT);
    end_run(program->owner);
}

static const struct program_events program_events = {
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_exit = on_program_exit,
    .on_closed = on_program_closed,
};

static void on_starter(uv_idle_t *starter)
{
    struct handler *handler = starter->data;

    for (int i = 0; handler->first && i < SPAWNS_PER_TURN; i++) {
        struct handler_run *run = handler->first;

        handler->first = run->next;
        if (!handler->first)
            handler->last = NULL;
        if (run->end.cancelled)
            end_run(run);
        else
            start_run(run);
    }
    if (!handler->first)
        (void)uv_idle_stop(&handler->starter); /* cannot fail */
}

static void init_run(struct handler_run *run, struct handler *handler)
{
    run->handler = handler;
    run->place = RUN_QUEUED;
    program_init(&run->program, handler->loop, &program_events, run);
    buf_init(&run->output, handler->config->max_output_bytes);
    buf_init(&run->errors, (size_t)2 * PROGRAM_ERRORS_KEPT_BYTES);
}

static int exec_start(struct handler *handler, const struct handler_input *input,
                      const struct handler_events *events, void *arg, struct handler_run **out_run,
                      struct error *err)
{
    struct handler_run *run = calloc(1, sizeof(*run));

    if (!run)
        return error_set(err, -ENOMEM, "start %s", handler->config->argv[0]);
    init_run(run, handler);
    run->input = input;
    run->events = events;
    run->arg = arg;
    *(handler->last ? &handler->last->next : &handler->first) = run;
    handler->last = run;
    (void)uv_idle_start(&handler->starter, on_starter); /* cannot fail */
    *out_run = run;
    return 0;
}

static void exec_cancel(struct handler_run *run, enum handler_cancel how,
                        enum handler_cancel_why why, uint64_t grace_ms)
{
    (void)why;      /* a signal carries no reason */
    (void)grace_ms; /* it was told at the start: DROVER_KILL_GRACE_MS */
    if (run->place == RUN_ENDING)
        return; /* it ended by itself; its outcome is on the way */
    run->end.cancelled = true;
    program_signal(&run->program, how == HANDLER_CANCEL_HARD ? SIGKILL : SIGTERM);
}

static void on_starter_closed(uv_handle_t *handle)
{
    struct handler *handler = handle->data;

    handler->on_closed(handler->closed_arg);
    program_tools_done(&handler->tools);
    free(handler);
}

static void exec_close(struct handler *handler, void (*on_closed)(void *arg), void *arg)
{
    handler->on_closed = on_closed;
    handler->closed_arg = arg;
    uv_close((uv_handle_t *)&handler->starter, on_starter_closed);
}

const struct handler_kind handler_exec = {
    .name = "exec",
    .kind = CONFIG_HANDLER_EXEC,
    .open = exec_open,
    .start = exec_start,
    .cancel = exec_cancel,
    .close = exec_close,
};
