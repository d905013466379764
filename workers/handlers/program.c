#include "workers/handlers/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "common/base/program_path.h"
#include "workers/handlers/program_orders.h"

enum { PIPE_INPUT, PIPE_OUTPUT, PIPE_ERRORS, PIPE_STATUS, PIPE_COUNT };

void program_init(struct program *program, uv_loop_t *loop, const struct program_events *events,
                  void *owner)
{
    *program = (struct program){
        .events = events,
        .owner = owner,
        .loop = loop,
        .input = { .program = program, .fd = -1 },
        .output = { .program = program, .fd = -1 },
        .errors = { .program = program, .fd = -1 },
        .status_fd = -1,
    };
}

int program_tools_init(struct program_tools *tools, const struct config_handler *config,
                       struct error *err)
{
    int r;

    *tools = (struct program_tools){ .scratch = malloc(PROGRAM_SCRATCH_BYTES),
                                     .orders = program_orders_new(config) };
    if (!tools->scratch || !tools->orders) {
        program_tools_done(tools);
        return error_set(err, -ENOMEM, "no memory to start and read programs");
    }
    r = program_path_find("drover-exec", NULL, &tools->launcher, err);
    if (r < 0)
        program_tools_done(tools);
    return r;
}

void program_tools_done(struct program_tools *tools)
{
    free(tools->launcher);
    free(tools->scratch);
    program_orders_free(tools->orders);
    *tools = (struct program_tools){ 0 };
}

/* ---- closing */

static void count_closed(struct program *program)
{
    if (--program->open_handles == 0 && program->closing)
        program->events->on_closed(program);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct program_pipe *pipe = handle->data;

    count_closed(pipe->program);
}

static void on_process_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

static void close_pipe(struct program_pipe *pipe)
{
    if (pipe->polled) {
        pipe->polled = false;
        uv_close((uv_handle_t *)&pipe->poll, on_pipe_closed);
    }
    closep(&pipe->fd);
    pipe->fd = -1;
}

void program_close_input(struct program *program)
{
    close_pipe(&program->input);
}

void program_close(struct program *program)
{
    program->closing = true;
    close_pipe(&program->input);
    close_pipe(&program->output);
    close_pipe(&program->errors);
    closep(&program->status_fd);
    program->status_fd = -1;
    if (program->has_process)
        uv_close((uv_handle_t *)&program->process, on_process_closed);
    if (program->open_handles == 0)
        program->events->on_closed(program);
}

/* ---- pipes */

void program_read(struct program_pipe *pipe, char *scratch, int rounds,
                  void (*on_bytes)(struct program_pipe *pipe, const char *bytes, size_t len))
{
    while (pipe->fd >= 0 && rounds-- > 0) {
        ssize_t got = read(pipe->fd, scratch, PROGRAM_SCRATCH_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            close_pipe(pipe);
        else
            on_bytes(pipe, scratch, (size_t)got);
    }
}

void program_keep_errors(struct buf *kept, const char *bytes, size_t len)
{
    if (len > PROGRAM_ERRORS_KEPT_BYTES) {
        bytes += len - PROGRAM_ERRORS_KEPT_BYTES;
        len = PROGRAM_ERRORS_KEPT_BYTES;
    }
    if (buf_append(kept, bytes, len) == 0 && kept->len > PROGRAM_ERRORS_KEPT_BYTES)
        buf_consume(kept, kept->len - PROGRAM_ERRORS_KEPT_BYTES);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct program_pipe *pipe = poll->data;

    (void)status; /* read(2) tells the same and more */
    (void)events;
    pipe->program->events->on_readable(pipe);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct program_pipe *pipe = poll->data;

    (void)status; /* write(2) tells the same and more */
    (void)events;
    pipe->program->events->on_writable(pipe);
}

static void init_poll(struct program_pipe *pipe)
{
    /* Fails only for descriptors that cannot be polled; pipes can. */
    if (uv_poll_init(pipe->program->loop, &pipe->poll, pipe->fd) < 0)
        return;
    pipe->polled = true;
    pipe->poll.data = pipe;
    pipe->program->open_handles++;
}

/* uv_poll_start cannot fail on a handle that is open. */
static void watch_output(struct program_pipe *pipe)
{
    init_poll(pipe);
    if (pipe->polled)
        (void)uv_poll_start(&pipe->poll, UV_READABLE, on_readable);
}

void program_watch_input(struct program *program, bool wanted)
{
    struct program_pipe *pipe = &program->input;

    if (pipe->fd < 0 || (pipe->polled && pipe->wanted == wanted))
        return;
    if (!pipe->polled)
        init_poll(pipe);
    pipe->wanted = wanted;
    if (pipe->polled)
        (void)uv_poll_start(&pipe->poll, UV_DISCONNECT | (wanted ? UV_WRITABLE : 0), on_writable);
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

static int make_pipes(struct program *program, int theirs[PIPE_COUNT])
{
    int r = make_pipe(&program->input.fd, &theirs[PIPE_INPUT], /* we_write= */ true);

    if (r == 0)
        r = make_pipe(&program->output.fd, &theirs[PIPE_OUTPUT], /* we_write= */ false);
    if (r == 0)
        r = make_pipe(&program->errors.fd, &theirs[PIPE_ERRORS], /* we_write= */ false);
    if (r == 0)
        r = make_pipe(&program->status_fd, &theirs[PIPE_STATUS], /* we_write= */ false);
    return r;
}

/* The status descriptor holds one struct or nothing: a pipe takes that much in one write. */
static void read_status(struct program *program)
{
    struct exec_status status;
    ssize_t got = read(program->status_fd, &status, sizeof(status));

    if (got == (ssize_t)sizeof(status))
        program->end.status = status;
}

static void on_exit_seen(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct program *program = process->data;

    program->end.exit_code = (int)exit_status;
    program->end.signal = term_signal;
    /* What it left behind in its group must not go on after it. The id cannot belong to another
     * group as long as a member lives; without members this is ESRCH. */
    (void)kill(-program->pid, SIGKILL);
    program->pid = 0;
    read_status(program);
    program->events->on_exit(program);
}

static int spawn(struct program *program, char **arguments, const struct program_order *order,
                 const int theirs[PIPE_COUNT])
{
    uv_stdio_container_t stdio[PIPE_COUNT];
    uv_process_options_t options = {
        .exit_cb = on_exit_seen,
        .file = order->tools->launcher,
        .args = arguments,
        .env = order->environment,
        .stdio_count = PIPE_COUNT,
        .stdio = stdio,
    };
    int r;

    for (int i = 0; i < PIPE_COUNT; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = theirs[i];
    }
    r = uv_spawn(program->loop, &program->process, &options);
    program->process.data = program;
    program->has_process = true; /* also after a failure the handle must be closed */
    program->open_handles++;
    if (r == 0)
        program->pid = program->process.pid;
    return r;
}

static size_t count_texts(char *const *texts)
{
    size_t count = 0;

    while (texts[count])
        count++;
    return count;
}

static int spawn_launcher(struct program *program, const struct program_order *order,
                          const int theirs[PIPE_COUNT])
{
    char name[] = "drover-exec", root[] = "/", parent[24];
    size_t argc = count_texts(order->argv), orders = count_texts(order->tools->orders);
    _cleanup_(freep) char **arguments = calloc(3 + orders + argc + 1, sizeof(*arguments));

    if (!arguments)
        return -ENOMEM;
    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    arguments[0] = name;
    arguments[1] = parent;
    arguments[2] = order->directory ? order->directory : root;
    memcpy(arguments + 3, order->tools->orders, orders * sizeof(*arguments));
    memcpy(arguments + 3 + orders, order->argv, argc * sizeof(*arguments));
    return spawn(program, arguments, order, theirs);
}

int program_start(struct program *program, const struct program_order *order)
{
    int theirs[PIPE_COUNT] = { -1, -1, -1, -1 };
    int r = make_pipes(program, theirs);

    if (r == 0)
        r = spawn_launcher(program, order, theirs);
    for (int i = 0; i < PIPE_COUNT; i++)
        closep(&theirs[i]);
    program->end.start_error = r;
    if (r == 0) {
        watch_output(&program->output);
        watch_output(&program->errors);
    }
    return r;
}

/* ESRCH: drover-exec has not made the group yet, so it is still alone. */
void program_signal(const struct program *program, int number)
{
    if (program->pid > 0 && kill(-program->pid, number) < 0 && errno == ESRCH)
        (void)kill(program->pid, number); /* it has just ended: on_exit is under way */
}
