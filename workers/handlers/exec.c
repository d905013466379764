/* exec.c - a program per job, through drover-exec: payload on stdin, result from stdout, reason
 * from the end of stderr, exit code by sysexits.
 *
 * A run's life: queued (a few are spawned per turn of the loop, because a spawn blocks it for a
 * millisecond or two), running (three pipes polled), exited (the group is killed, what the pipes
 * still hold is read, background children that keep them open are not waited for), closing,
 * outcome. The process group's id is the program's pid: drover-exec sees to it before anything
 * else. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/program_path.h"
#include "common/base/text.h"
#include "workers/handlers/exec_outcome.h"
#include "workers/handlers/handlers.h"

#define SPAWNS_PER_TURN    4
#define SCRATCH_BYTES      65536
#define READS_PER_TURN     4   /* of SCRATCH_BYTES, so that one chatty program starves no one */
#define READS_AFTER_EXIT   128 /* a writer that escaped the group could go on for ever */
#define ERRORS_KEPT_BYTES  8192
#define ENVIRONMENT_OWN    12 /* rows that fill_environment makes */
#define ENVIRONMENT_SYSTEM 3  /* the first of them, that configuration may replace */

/* One pipe of a run, our end. */
struct stream {
    uv_poll_t poll;
    struct handler_run *run;
    int fd;      /* -1 when closed */
    bool polled; /* `poll` is initialised and not yet closing */
};

enum run_place { RUN_QUEUED, RUN_STARTED, RUN_ENDING };

struct handler_run {
    struct handler *handler;
    struct handler_run *next; /* in the queue */
    const struct handler_input *input;
    const struct handler_events *events;
    void *arg;
    enum run_place place;
    uv_process_t process;
    pid_t pid; /* 0 until spawned and after it was reaped */
    struct stream input_pipe, output_pipe, errors_pipe;
    int status_fd;
    size_t written; /* bytes of the payload that the program's pipe took */
    struct buf output, errors;
    struct exec_end end;
    unsigned int open_handles;
};

struct handler {
    uv_loop_t *loop;
    const struct config_handler *config;
    char *launcher;    /* path of drover-exec */
    uv_idle_t starter; /* active while runs are queued */
    struct handler_run *first, *last;
    char *scratch;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void free_handler(struct handler *handler)
{
    free(handler->launcher);
    free(handler->scratch);
    free(handler);
}

static int exec_open(const struct handler_setup *setup, struct handler **out_handler,
                     struct error *err)
{
    struct handler *handler = calloc(1, sizeof(*handler));
    int r = -ENOMEM;

    if (handler)
        handler->scratch = malloc(SCRATCH_BYTES);
    if (!handler || !handler->scratch)
        (void)error_set(err, r, "open exec handler");
    else
        r = program_path_find("drover-exec", NULL, &handler->launcher, err);
    if (r < 0) {
        if (handler)
            free_handler(handler);
        return r;
    }
    handler->loop = setup->loop;
    handler->config = setup->config;
    (void)uv_idle_init(setup->loop, &handler->starter); /* always succeeds */
    handler->starter.data = handler;
    *out_handler = handler;
    return 0;
}

/* ---- the end of a run */

static void give_outcome(struct handler_run *run)
{
    struct exec_verdict verdict;

    run->end.program = run->handler->config->argv[0];
    run->end.directory = run->handler->config->directory;
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

static void count_closed(struct handler_run *run)
{
    if (--run->open_handles == 0 && run->place == RUN_ENDING)
        give_outcome(run);
}

static void on_stream_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;

    count_closed(stream->run);
}

static void on_process_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

static void close_stream(struct stream *stream)
{
    if (stream->polled) {
        stream->polled = false;
        uv_close((uv_handle_t *)&stream->poll, on_stream_closed);
    }
    closep(&stream->fd);
    stream->fd = -1;
}

static void end_run(struct handler_run *run)
{
    run->place = RUN_ENDING;
    close_stream(&run->input_pipe);
    close_stream(&run->output_pipe);
    close_stream(&run->errors_pipe);
    closep(&run->status_fd);
    run->status_fd = -1;
    if (run->process.data)
        uv_close((uv_handle_t *)&run->process, on_process_closed);
    if (run->open_handles == 0)
        give_outcome(run);
}

/* ESRCH: drover-exec has not made the group yet, so it is still alone. */
static void signal_group(const struct handler_run *run, int number)
{
    if (run->pid > 0 && kill(-run->pid, number) < 0 && errno == ESRCH)
        (void)kill(run->pid, number); /* it has just ended: on_exit is under way */
}

/* ---- pipes */

static void keep_output(struct handler_run *run, const char *bytes, size_t len)
{
    if (run->end.too_much)
        return;
    if (buf_append(&run->output, bytes, len) < 0) {
        run->end.too_much = true;
        signal_group(run, SIGKILL);
    }
}

static void keep_errors(struct handler_run *run, const char *bytes, size_t len)
{
    if (len > ERRORS_KEPT_BYTES) {
        bytes += len - ERRORS_KEPT_BYTES;
        len = ERRORS_KEPT_BYTES;
    }
    if (buf_append(&run->errors, bytes, len) == 0 && run->errors.len > ERRORS_KEPT_BYTES)
        buf_consume(&run->errors, run->errors.len - ERRORS_KEPT_BYTES);
}

/* Reads at most `rounds` times; the stream is closed at its end. */
static void read_stream(struct stream *stream, int rounds)
{
    struct handler_run *run = stream->run;
    char *scratch = run->handler->scratch;

    while (stream->fd >= 0 && rounds-- > 0) {
        ssize_t got = read(stream->fd, scratch, SCRATCH_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            close_stream(stream);
        else if (stream == &run->output_pipe)
            keep_output(run, scratch, (size_t)got);
        else
            keep_errors(run, scratch, (size_t)got);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; /* read(2) tells the same and more */
    (void)events;
    read_stream(poll->data, READS_PER_TURN);
}

/* A program may leave its input unread, or close it: neither is an error of the job. */
static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct stream *stream = poll->data;
    struct handler_run *run = stream->run;
    const struct bytes *data = &run->input->job->data;
    ssize_t put = 0;

    (void)events;
    if (status == 0 && run->written < data->len)
        put = write(stream->fd, data->data + run->written, data->len - run->written);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (put > 0)
        run->written += (size_t)put;
    if (status < 0 || put < 0 || run->written >= data->len)
        close_stream(stream);
}

static void poll_stream(struct handler_run *run, struct stream *stream, int events,
                        uv_poll_cb on_event)
{
    /* Fails only for descriptors that cannot be polled; pipes can. */
    if (uv_poll_init(run->handler->loop, &stream->poll, stream->fd) < 0)
        return;
    stream->polled = true;
    stream->poll.data = stream;
    run->open_handles++;
    (void)uv_poll_start(&stream->poll, events, on_event); /* the handle is valid and open */
}

/* ---- starting */

/* Our end of a pipe, non-blocking, and the program's, blocking; both close-on-exec. */
static int make_pipe(int *out_ours, int *out_theirs, bool we_write)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    *out_ours = fds[we_write ? 1 : 0];
    *out_theirs = fds[we_write ? 0 : 1];
    /* Cannot fail on a pipe just made. */
    (void)fcntl(*out_ours, F_SETFL, fcntl(*out_ours, F_GETFL) | O_NONBLOCK);
    return 0;
}

static int make_pipes(struct handler_run *run, int theirs[4])
{
    int r = make_pipe(&run->input_pipe.fd, &theirs[0], /* we_write= */ true);

    if (r == 0)
        r = make_pipe(&run->output_pipe.fd, &theirs[1], /* we_write= */ false);
    if (r == 0)
        r = make_pipe(&run->errors_pipe.fd, &theirs[2], /* we_write= */ false);
    if (r == 0)
        r = make_pipe(&run->status_fd, &theirs[3], /* we_write= */ false);
    return r;
}

static char *deadline_text(const struct handler_input *input)
{
    uint64_t now_ms = clock_now_ms();

    if (input->deadline_ms == 0)
        return text_format("DROVER_DEADLINE_MS=");
    return text_format("DROVER_DEADLINE_MS=%" PRIu64,
                       input->deadline_ms > now_ms ? input->deadline_ms - now_ms : 0);
}

/* Fills ENVIRONMENT_OWN rows with malloc'ed NAME=value; the first ENVIRONMENT_SYSTEM may be
 * overridden by configuration, what says DROVER_ may not. */
static void fill_environment(const struct handler_input *input, char **rows)
{
    const struct job *job = input->job;
    const char *home = getenv("HOME");

    *rows++ = text_format("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    *rows++ = text_format("LANG=C.UTF-8");
    *rows++ = text_format("HOME=%s", home ? home : "/");
    *rows++ = text_format("DROVER_QUEUE=%s", input->queue);
    *rows++ = text_format("DROVER_JOB_ID=%.*s", (int)job->id.len, job->id.data);
    *rows++ = text_format("DROVER_JOB_NAME=%.*s", (int)job->name.len, job->name.data);
    *rows++ = text_format("DROVER_ATTEMPT=%" PRIu64, input->attempt);
    *rows++ = text_format("DROVER_ATTEMPTS_MAX=%" PRIu64, input->attempts_max);
    *rows++ = deadline_text(input);
    *rows++ = text_format("DROVER_IDEMPOTENCY_KEY=%s", input->idempotency_key);
    *rows++ = text_format("DROVER_FENCING_TOKEN=%s", input->fencing_token);
    *rows++ = text_format("DROVER_WORKER=%s", input->worker ? input->worker : "");
}

/* Where `row`'s name stands among the own rows; -1 when it does not. */
static int find_own_row(char *const *own, const char *row)
{
    size_t name_len = strcspn(row, "=") + 1;

    for (int i = 0; i < ENVIRONMENT_OWN; i++) {
        if (own[i] && strncmp(own[i], row, name_len) == 0)
            return i;
    }
    return -1;
}

static size_t count_texts(char *const *texts)
{
    size_t count = 0;

    while (texts && texts[count])
        count++;
    return count;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

/* The whole environment, each name once; free_texts with *out_count. NULL on no memory. */
static char **make_environment(const struct handler_run *run, size_t *out_count)
{
    char *const *configured = run->handler->config->env;
    size_t configured_count = count_texts(configured), count = ENVIRONMENT_OWN;
    char **all = calloc(configured_count + ENVIRONMENT_OWN + 1, sizeof(*all));

    if (!all)
        return NULL;
    fill_environment(run->input, all);
    for (size_t i = 0; i < configured_count; i++) {
        int own = find_own_row(all, configured[i]);
        char **place = own < 0 ? &all[count++] : &all[own];

        if (own >= ENVIRONMENT_SYSTEM)
            continue;
        free(*place);
        *place = text_format("%s", configured[i]);
    }
    *out_count = count;
    for (size_t i = 0; i < count; i++) {
        if (!all[i]) {
            free_texts(all, count);
            return NULL;
        }
    }
    return all;
}

static void on_exit_seen(uv_process_t *process, int64_t exit_status, int term_signal);

static int spawn_launcher(struct handler_run *run, char **arguments, char **environment,
                          const int theirs[4])
{
    uv_stdio_container_t stdio[4];
    uv_process_options_t options = {
        .exit_cb = on_exit_seen,
        .file = run->handler->launcher,
        .args = arguments,
        .env = environment,
        .stdio_count = 4,
        .stdio = stdio,
    };
    int r;

    for (int i = 0; i < 4; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = theirs[i];
    }
    r = uv_spawn(run->handler->loop, &run->process, &options);
    run->process.data = run; /* also after a failure the handle must be closed */
    run->open_handles++;
    if (r == 0)
        run->pid = run->process.pid;
    return r;
}

static int spawn_program(struct handler_run *run, const int theirs[4])
{
    const struct config_handler *config = run->handler->config;
    size_t argc = count_texts(config->argv), rows = 0;
    char **arguments = calloc(argc + 4, sizeof(*arguments));
    char **environment = make_environment(run, &rows);
    char directory[] = "/", name[] = "drover-exec", parent[24];
    int r = -ENOMEM;

    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    if (arguments && environment) {
        arguments[0] = name;
        arguments[1] = parent;
        arguments[2] = config->directory ? config->directory : directory;
        memcpy(arguments + 3, config->argv, argc * sizeof(*arguments));
        r = spawn_launcher(run, arguments, environment, theirs);
    }
    free_texts(environment, rows);
    free(arguments);
    return r;
}

static void start_program(struct handler_run *run)
{
    int theirs[4] = { -1, -1, -1, -1 };
    int r = make_pipes(run, theirs);

    run->place = RUN_STARTED;
    if (r == 0)
        r = spawn_program(run, theirs);
    for (int i = 0; i < 4; i++)
        closep(&theirs[i]);
    if (r < 0) {
        run->end.start_error = r;
        end_run(run);
        return;
    }
    poll_stream(run, &run->input_pipe, UV_WRITABLE, on_writable);
    poll_stream(run, &run->output_pipe, UV_READABLE, on_readable);
    poll_stream(run, &run->errors_pipe, UV_READABLE, on_readable);
}

/* The status descriptor holds one struct or nothing: a pipe takes that much in one write. */
static void read_status(struct handler_run *run)
{
    struct exec_status status;
    ssize_t got = read(run->status_fd, &status, sizeof(status));

    if (got == (ssize_t)sizeof(status))
        run->end.status = status;
}

static void on_exit_seen(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct handler_run *run = process->data;

    run->end.exit_code = (int)exit_status;
    run->end.signal = term_signal;
    /* What it left behind in its group must not go on after the job. The id cannot belong to
     * another group as long as a member lives; without members this is ESRCH. */
    (void)kill(-run->pid, SIGKILL);
    run->pid = 0;
    read_status(run);
    read_stream(&run->output_pipe, READS_AFTER_EXIT);
    read_stream(&run->errors_pipe, READS_AFTER_EXIT);
    end_run(run);
}

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
            start_program(run);
    }
    if (!handler->first)
        (void)uv_idle_stop(&handler->starter); /* cannot fail */
}

static void init_run(struct handler_run *run, struct handler *handler)
{
    run->handler = handler;
    run->place = RUN_QUEUED;
    run->input_pipe = (struct stream){ .run = run, .fd = -1 };
    run->output_pipe = (struct stream){ .run = run, .fd = -1 };
    run->errors_pipe = (struct stream){ .run = run, .fd = -1 };
    run->status_fd = -1;
    buf_init(&run->output, handler->config->max_output_bytes);
    buf_init(&run->errors, (size_t)2 * ERRORS_KEPT_BYTES);
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
    (void)why, (void)grace_ms;
    if (run->place == RUN_ENDING)
        return; /* it ended by itself; its outcome is on the way */
    run->end.cancelled = true;
    signal_group(run, how == HANDLER_CANCEL_HARD ? SIGKILL : SIGTERM);
}

static void on_starter_closed(uv_handle_t *handle)
{
    struct handler *handler = handle->data;

    handler->on_closed(handler->closed_arg);
    free_handler(handler);
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
