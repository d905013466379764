#include "supervisor/cli/dev_child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)64 * 1024)

/* ---- output ---- */

static void give_lines(struct dev_child *child)
{
    const char *end;

    while (child->line.len > 0 && (end = memchr(child->line.data, '\n', child->line.len))) {
        size_t len = (size_t)(end - child->line.data);

        child->line.data[len] = '\0';
        if (len > 0)
            child->on_line(child, child->line.data, child->arg);
        buf_consume(&child->line, len + 1);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static char bytes[16 * 1024]; /* read callbacks of one loop never overlap */

    (void)handle;
    (void)suggested;
    *out = uv_buf_init(bytes, sizeof(bytes));
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct dev_child *child = handle->data;

    child->handles_open--;
    child->on_end(child->arg);
}

static void close_output(struct dev_child *child)
{
    if (!child->output_open)
        return;
    child->output_open = false;
    uv_close((uv_handle_t *)&child->output, on_handle_closed);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct dev_child *child = stream->data;

    if (len < 0) {
        if (child->line.len > 0)
            (void)buf_append_char(&child->line, '\n'); /* a full line is given as it is */
        give_lines(child);
        close_output(child);
        return;
    }
    if (buf_append(&child->line, bytes->base, (size_t)len) < 0)
        buf_reset(&child->line); /* a line beyond the bound is of no use to anybody */
    give_lines(child);
}

/* ---- process ---- */

static void on_process_exit(uv_process_t *process, int64_t status, int term_signal)
{
    struct dev_child *child = process->data;

    child->running = false;
    child->exit_code = status;
    child->term_signal = term_signal;
    uv_close((uv_handle_t *)process, on_handle_closed);
}

static int spawn(struct dev_child *child, uv_loop_t *loop, const char *const *argv,
                 const char *const *env, int output_fd)
{
    uv_stdio_container_t stdio[] = {
        { .flags = UV_IGNORE },
        { .flags = UV_INHERIT_FD, .data.fd = output_fd },
        { .flags = UV_INHERIT_FD, .data.fd = output_fd },
    };
    /* libuv does not write through these pointers. */
    const uv_process_options_t options = {
        .exit_cb = on_process_exit,
        .file = argv[0],
        .args = (char **)(uintptr_t)argv,
        .env = (char **)(uintptr_t)env,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };

    child->process.data = child;
    return uv_spawn(loop, &child->process, &options);
}

int dev_child_start(struct dev_child *child, uv_loop_t *loop, const char *const *argv,
                    const char *const *env, struct error *err)
{
    uv_file ends[2];
    int r = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);

    if (r < 0)
        return error_set(err, r, "make a pipe for %s: %s", child->name, uv_strerror(r));
    buf_done(&child->line); /* of an earlier run */
    buf_init(&child->line, LINE_MAX_BYTES);
    (void)uv_pipe_init(loop, &child->output, 0); /* always 0 */
    child->output.data = child;
    (void)uv_pipe_open(&child->output, ends[0]); /* a fresh pipe: cannot fail */
    child->output_open = true;
    child->handles_open = 2;
    r = spawn(child, loop, argv, env, ends[1]);
    (void)close(ends[1]);
    if (r < 0) {
        uv_close((uv_handle_t *)&child->process, on_handle_closed);
        close_output(child);
        return error_set(err, r, "start %s: %s", argv[0], uv_strerror(r));
    }
    child->started = true;
    child->running = true;
    (void)uv_read_start((uv_stream_t *)&child->output, on_alloc, on_read); /* fails only closing */
    return 0;
}

bool dev_child_done(const struct dev_child *child)
{
    return !child->running && child->handles_open == 0;
}

bool dev_child_succeeded(const struct dev_child *child)
{
    return child->started && !child->running && child->term_signal == 0 && child->exit_code == 0;
}

const char *dev_child_fate(const struct dev_child *child)
{
    static char text[64];

    if (child->term_signal != 0)
        (void)snprintf(text, sizeof(text), "was killed by signal %d", child->term_signal);
    else
        (void)snprintf(text, sizeof(text), "exited with code %lld", (long long)child->exit_code);
    return text;
}

void dev_child_signal(const struct dev_child *child, int signal_number)
{
    if (child->running && child->process.pid > 0)
        (void)kill(child->process.pid, signal_number); /* not reaped yet: the pid is its own */
}

void dev_child_signal_group(const struct dev_child *child, int signal_number)
{
    if (child->running && child->process.pid > 0)
        (void)kill(-child->process.pid, signal_number);
}

void dev_child_close(struct dev_child *child)
{
    close_output(child);
    buf_done(&child->line);
}
