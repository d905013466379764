#include "supervisor/master/child.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"

/* A process title is cut to the bytes of the argument list (libuv), so the list is made longer by
 * an operand that the worker ignores. */
#define TITLE_ROOM_BYTES 200

/* What systemd gives to the master alone. */
static const struct {
    const char *name;
    bool prefix;
} master_only[] = {
    { "NOTIFY_SOCKET", false },
    { "WATCHDOG_", true },
    { "LISTEN_", true },
    { "CREDENTIALS_DIRECTORY", false },
};

static bool is_master_only(const char *assignment)
{
    for (size_t i = 0; i < ARRAY_SIZE(master_only); i++) {
        size_t len = strlen(master_only[i].name);

        if (strncmp(assignment, master_only[i].name, len) == 0 &&
            (master_only[i].prefix || assignment[len] == '='))
            return true;
    }
    return false;
}

/* Pointers into environ, NULL-terminated; NULL on no memory. */
static char **scrubbed_environment(void)
{
    size_t count = 0;
    char **scrubbed;

    while (environ[count])
        count++;
    scrubbed = calloc(count + 1, sizeof *scrubbed);
    if (!scrubbed)
        return NULL;
    count = 0;
    for (char **entry = environ; *entry; entry++) {
        if (!is_master_only(*entry))
            scrubbed[count++] = *entry;
    }
    return scrubbed;
}

static void on_exit_of_process(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct child *child = process->data;

    child->exited = true;
    child->exited_ms = clock_now_ms();
    child->exit_status = (int)exit_status;
    child->term_signal = term_signal;
}

static void on_frame(struct channel *channel, const struct channel_frame *frame, void *arg)
{
    struct child *child = arg;

    (void)channel;
    if (!frame) {
        child->channel_ended = true;
        return;
    }
    switch (frame->type) {
    case CHANNEL_READY:
        if (child->ready_ms == 0)
            child->ready_ms = clock_now_ms();
        break;
    case CHANNEL_DRAIN:
    case CHANNEL_STOP:
    case CHANNEL_TUNE:
    case CHANNEL_RECOVER:
    case CHANNEL_RECOVERED:
        log_warn("channel.frame_ignored", LOG_STR("why", "not for the master"),
                 LOG_INT("pid", child->pid), LOG_INT("type", frame->type));
        break;
    }
}

static void on_process_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int start_process(uv_loop_t *loop, struct child *child, const struct child_plan *plan,
                         int channel_fd, struct error *err)
{
    _cleanup_(freep) char **environment = scrubbed_environment();
    _cleanup_(freep) char *program = strdup(plan->program);
    _cleanup_(freep) char *queue = strdup(plan->queue);
    char slot[16], concurrency[16], generation[16];
    char name[] = "drover-worker", title_room[TITLE_ROOM_BYTES + 1];
    char o_queue[] = "--queue", o_slot[] = "--slot", o_uuid[] = "--uuid";
    char o_generation[] = "--generation", o_slots[] = "--slots";
    char *arguments[] = { name,        o_queue,     queue,        o_slot,     slot,
                          o_uuid,      child->uuid, o_generation, generation, o_slots,
                          concurrency, title_room,  NULL };
    uv_stdio_container_t stdio[] = {
        { .flags = UV_IGNORE },
        { .flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        [CHANNEL_FD] = { .flags = UV_INHERIT_FD, .data.fd = channel_fd },
        [CHANNEL_CONFIG_FD] = { .flags = UV_INHERIT_FD, .data.fd = plan->config_fd },
    };
    const uv_process_options_t options = {
        .exit_cb = on_exit_of_process,
        .file = program,
        .args = arguments,
        .env = environment,
        .flags = UV_PROCESS_DETACHED, /* setsid */
        .stdio_count = ARRAY_SIZE(stdio),
        .stdio = stdio,
    };
    int result;

    if (!environment || !program || !queue)
        return error_set(err, -ENOMEM, "no memory to start %s", plan->program);
    memset(title_room, '.', TITLE_ROOM_BYTES);
    title_room[TITLE_ROOM_BYTES] = '\0';
    (void)snprintf(slot, sizeof slot, "%u", plan->slot);
    (void)snprintf(concurrency, sizeof concurrency, "%u", plan->concurrency);
    (void)snprintf(generation, sizeof generation, "%u", plan->generation);
    result = uv_spawn(loop, &child->process, &options);
    if (result < 0)
        return error_set(err, result, "start %s: %s", plan->program, uv_strerror(result));
    return 0;
}

static int open_channel(uv_loop_t *loop, struct child *child, int *out_peer_fd, struct error *err)
{
    int fds[2];
    int result = channel_pair(fds, err);

    if (result < 0)
        return result;
    result = channel_open(loop, fds[0], on_frame, child, &child->channel, err);
    if (result < 0) {
        (void)close(fds[0]); /* never used */
        (void)close(fds[1]);
        return result;
    }
    *out_peer_fd = fds[1];
    return 0;
}

int child_spawn(uv_loop_t *loop, const struct child_plan *plan, struct child **out_child,
                struct error *err)
{
    struct child *child = calloc(1, sizeof *child);
    _cleanup_(closep) int peer_fd = -1;
    int result;

    if (!child)
        return error_set(err, -ENOMEM, "no memory for a child");
    child->process.data = child;
    result = uuid_v4(child->uuid, err);
    if (result == 0)
        result = open_channel(loop, child, &peer_fd, err);
    if (result < 0) {
        free(child);
        return result;
    }
    result = start_process(loop, child, plan, peer_fd, err);
    if (result < 0) {
        channel_close(child->channel);
        if (child->process.loop) /* libuv has taken the handle, also when the exec failed */
            uv_close((uv_handle_t *)&child->process, on_process_closed);
        else
            free(child);
        return result;
    }
    child->pid = child->process.pid;
    child->spawned_ms = clock_now_ms();
    *out_child = child;
    return 0;
}

void child_read_rest(struct child *child)
{
    channel_read_rest(child->channel);
}

void child_tell(struct child *child, const struct channel_frame *frame)
{
    struct error err = { 0 };

    if (channel_send(child->channel, frame, &err) < 0)
        log_warn("worker.not_told", LOG_INT("pid", child->pid), LOG_STR("error", err.text));
}

void child_close(struct child *child)
{
    assert(child->exited);
    channel_close(child->channel);
    uv_close((uv_handle_t *)&child->process, on_process_closed);
}
