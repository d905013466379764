#include "supervisor/master/child.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"

/* A process title is cut to the bytes of the argument list (libuv), so the list is made longer by
 * an operand that the worker ignores. */
#define TITLE_ROOM_BYTES 200
#define NUMBER_BYTES     24
#define GROUPS_BYTES     (CONFIG_GROUPS_MAX * 11 + 1)

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

/* What says who somebody is: another user gets his own. */
static const char *const of_user[] = { "HOME=", "USER=", "LOGNAME=", "SHELL=", "MAIL=" };

static bool says_user(const char *assignment)
{
    for (size_t i = 0; i < ARRAY_SIZE(of_user); i++) {
        if (strncmp(assignment, of_user[i], strlen(of_user[i])) == 0)
            return true;
    }
    return false;
}

/* The environment of a child: pointers into environ, and what is made for its user. */
struct environment {
    char **rows;                    /* NULL-terminated; the list is owned, most texts are not */
    char *home, *user, *login_name; /* owned; NULL without a user */
};

static void environment_done(struct environment *environment)
{
    free(environment->rows);
    free(environment->home);
    free(environment->user);
    free(environment->login_name);
}

static int make_environment(const struct config_user *user, struct environment *out)
{
    size_t count = 0;

    while (environ[count])
        count++;
    out->rows = calloc(count + 4, sizeof *out->rows);
    if (!out->rows)
        return -ENOMEM;
    count = 0;
    for (char **entry = environ; *entry; entry++) {
        if (!is_master_only(*entry) && !(user && says_user(*entry)))
            out->rows[count++] = *entry;
    }
    if (!user)
        return 0;
    out->rows[count++] = out->home = text_format("HOME=%s", user->home);
    out->rows[count++] = out->user = text_format("USER=%s", user->name);
    out->rows[count] = out->login_name = text_format("LOGNAME=%s", user->name);
    return out->home && out->user && out->login_name ? 0 : -ENOMEM;
}

/* ---- what the child does */

static void on_pidfd(uv_poll_t *watch, int status, int events)
{
    struct child *child = watch->data;
    siginfo_t info = { 0 };
    int result = waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG);

    (void)status;
    (void)events;
    if (child->exited || (result < 0 && errno != ECHILD) || (result == 0 && info.si_pid == 0))
        return;
    (void)uv_poll_stop(watch); /* a pidfd stays readable; cannot fail on Unix */
    child->exited = true;
    child->exited_us = clock_now_us();
    if (result < 0) {
        child->exit_status = CHILD_STATUS_UNKNOWN; /* somebody else has reaped it */
        return;
    }
    child->exit_status = info.si_code == CLD_EXITED ? info.si_status : 0;
    child->term_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
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
    case CHANNEL_RECOVERED:
        child->on_recovered(&frame->recovered, child->arg);
        break;
    case CHANNEL_DRAIN:
    case CHANNEL_STOP:
    case CHANNEL_TUNE:
    case CHANNEL_RECOVER:
        log_warn("channel.frame_ignored", LOG_STR("why", "not for the master"),
                 LOG_INT("pid", child->pid), LOG_INT("type", frame->type));
        break;
    }
}

/* ---- starting it */

/* Descriptors as docs/protocols/channel.md has them. All others are close-on-exec. */
static int lay_out_descriptors(posix_spawn_file_actions_t *actions, const struct child_plan *plan,
                               int channel_fd)
{
    int result = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    /* One that lies where another one goes would be overwritten. The loop has the low ones. */
    assert(channel_fd > CHANNEL_SCOREBOARD_FD && plan->config_fd > CHANNEL_SCOREBOARD_FD &&
           plan->board_fd > CHANNEL_SCOREBOARD_FD);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(actions, channel_fd, CHANNEL_FD);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(actions, plan->config_fd, CHANNEL_CONFIG_FD);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(actions, plan->board_fd, CHANNEL_SCOREBOARD_FD);
    return result;
}

/* A session of its own, no blocked signal, none ignored. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    int result;

    (void)sigfillset(&all); /* neither can fail */
    (void)sigemptyset(&none);
    result = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                                      POSIX_SPAWN_SETSIGMASK);
    if (result == 0)
        result = posix_spawnattr_setsigdefault(attributes, &all);
    if (result == 0)
        result = posix_spawnattr_setsigmask(attributes, &none);
    return result;
}

/* posix_spawn and not uv_spawn: it shares the memory until the exec (a fork of the master costs
 * milliseconds), and libuv would reap a child that is ours to wait for. Returns a positive errno.
 */
static int spawn(struct child *child, const struct child_plan *plan, int channel_fd, char **argv,
                 char **environment)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result = posix_spawn_file_actions_init(&actions);

    if (result != 0)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (result == 0) {
        result = lay_out_descriptors(&actions, plan, channel_fd);
        if (result == 0)
            result = set_attributes(&attributes);
        if (result == 0)
            result =
                posix_spawn(&child->pid, plan->program, &actions, &attributes, argv, environment);
        (void)posix_spawnattr_destroy(&attributes); /* neither fails on what was made */
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return result;
}

/* "1,2,3" */
static int print_groups(const struct config_user *user, struct buf *out)
{
    for (size_t i = 0; i < user->groups_count; i++)
        (void)buf_printf(out, "%s%" PRIu32, i ? "," : "", user->groups[i]);
    return out->failed ? -ENOMEM : 0;
}

static void add_text(const char **argv, size_t *count, const char *name, const char *value)
{
    argv[(*count)++] = name;
    argv[(*count)++] = value;
}

/* Number `value` as the argument after `name`; `storage` holds it. */
static void add_number(const char **argv, size_t *count, const char *name, uint64_t value,
                       char storage[NUMBER_BYTES])
{
    (void)snprintf(storage, NUMBER_BYTES, "%" PRIu64, value);
    add_text(argv, count, name, storage);
}

#define ARGUMENTS_MAX 32

static int start_process(struct child *child, const struct child_plan *plan, int channel_fd,
                         struct error *err)
{
    _cleanup_(environment_done) struct environment environment = { 0 };
    _cleanup_(buf_done) struct buf groups = BUF_INIT(GROUPS_BYTES);
    char numbers[7][NUMBER_BYTES], title_room[TITLE_ROOM_BYTES + 1];
    const char *argv[ARGUMENTS_MAX] = { "drover-worker", "--queue", plan->queue };
    size_t count = 3;
    int result = make_environment(plan->user, &environment);

    if (result == 0 && plan->user)
        result = print_groups(plan->user, &groups);
    if (result < 0)
        return error_set(err, result, "no memory to start %s", plan->program);
    add_number(argv, &count, "--slot", plan->slot, numbers[0]);
    add_text(argv, &count, "--uuid", child->uuid);
    add_number(argv, &count, "--generation", plan->generation, numbers[1]);
    add_number(argv, &count, "--slots", plan->concurrency, numbers[2]);
    add_number(argv, &count, "--board", (uint64_t)plan->board_slot, numbers[3]);
    add_text(argv, &count, "--master", plan->master);
    if (plan->keep)
        add_number(argv, &count, "--keep", plan->keep, numbers[4]);
    if (plan->user) {
        add_number(argv, &count, "--user", plan->user->uid, numbers[5]);
        add_number(argv, &count, "--group", plan->user->gid, numbers[6]);
        add_text(argv, &count, "--groups", buf_text(&groups));
    }
    memset(title_room, '.', TITLE_ROOM_BYTES);
    title_room[TITLE_ROOM_BYTES] = '\0';
    argv[count] = title_room; /* and NULL after it */
    /* The const is lost by the interface only: posix_spawn changes no argument. */
    result = spawn(child, plan, channel_fd, (char **)(uintptr_t)argv, environment.rows);
    if (result != 0)
        return error_set(err, -result, "start %s: %s", plan->program, strerror(result));
    return 0;
}

/* A child that cannot be watched must not live: it is ended here and now. */
static void end_unwatched(struct child *child)
{
    (void)kill(child->pid, SIGKILL); /* not reaped, so the number is its own */
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int watch_process(uv_loop_t *loop, struct child *child, struct error *err)
{
    int result;

    child->pidfd = pidfd_open(child->pid, 0); /* close-on-exec by itself */
    if (child->pidfd < 0) {
        result = error_set(err, -errno, "pidfd_open: %s", strerror(errno));
        end_unwatched(child);
        return result;
    }
    result = uv_poll_init(loop, &child->watch, child->pidfd);
    if (result < 0) {
        end_unwatched(child);
        closep(&child->pidfd);
        return error_set(err, result, "watch a child: %s", uv_strerror(result));
    }
    child->watch.data = child;
    result = uv_poll_start(&child->watch, UV_READABLE, on_pidfd);
    assert(result == 0); /* the handle is new and open */
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
    child->on_recovered = plan->on_recovered;
    child->arg = plan->arg;
    (void)snprintf(child->uuid, sizeof child->uuid, "%s", plan->uuid);
    result = open_channel(loop, child, &peer_fd, err);
    if (result == 0)
        result = start_process(child, plan, peer_fd, err);
    if (result == 0)
        result = watch_process(loop, child, err);
    if (result < 0) {
        channel_close(child->channel);
        free(child);
        return result;
    }
    child->spawned_ms = clock_now_ms();
    *out_child = child;
    return 0;
}

/* ---- the rest of its life */

void child_read_rest(struct child *child)
{
    channel_read_rest(child->channel);
}

int child_tell(struct child *child, const struct channel_frame *frame)
{
    struct error err = { 0 };
    int result = channel_send(child->channel, frame, &err);

    if (result < 0)
        log_warn("worker.not_told", LOG_INT("pid", child->pid), LOG_INT("type", frame->type),
                 LOG_STR("error", err.text));
    return result;
}

void child_signal(struct child *child, int number)
{
    if (!child->exited)
        (void)pidfd_send_signal(child->pidfd, number, NULL, 0); /* ESRCH: its end is on the way */
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;

    (void)close(child->pidfd); /* the number is gone either way */
    free(child);
}

void child_close(struct child *child)
{
    assert(child->exited);
    channel_close(child->channel);
    uv_close((uv_handle_t *)&child->watch, on_watch_closed);
}
