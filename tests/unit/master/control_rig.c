#include "tests/unit/master/control_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"

struct rig rig;

static uv_timer_t tick; /* so that waiting for a condition looks again and has an end */

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* ---- verbs ---- */

static void on_echo(struct control_request *request, void *arg)
{
    json_t *args = json_deep_copy(control_request_args(request));

    cr_expect(arg == &rig.options);
    cr_expect_str_eq(control_request_verb(request), "echo");
    (void)control_request_add_row(request, args);
    control_request_end(request,
                        json_pack("{s:b}", "may_change", control_request_may_change(request)));
}

static void on_rows(struct control_request *request, void *arg)
{
    (void)arg;
    for (unsigned int i = 0; i < rig.rows_wanted; i++) {
        char text[1001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        (void)control_request_add_row(request, json_pack("{s:i, s:s}", "n", i, "text", text));
    }
    control_request_end(request, NULL);
}

static void on_hold(struct control_request *request, void *arg)
{
    (void)arg;
    cr_assert(rig.held_count < ARRAY_SIZE(rig.held));
    rig.held[rig.held_count++] = request;
}

static void on_change(struct control_request *request, void *arg)
{
    (void)arg;
    rig.changed++;
    control_request_fail(request, EXIT_CODE_CONFIG, json_pack("{s:[i]}", "list", 1), "refused: %s",
                         "a \"reason\"");
}

/* Answers whose arrays are too large for a packet. */
static void on_long(struct control_request *request, void *arg)
{
    json_t *row = json_array(), *more = json_array();

    (void)arg;
    for (int i = 0; i < 10000; i++) {
        json_array_append_new(row, json_string("\x01\x02\x03\x04\x05"));
        json_array_append_new(more, json_integer(1000000 + i));
    }
    cr_expect(control_request_add_row(request, json_pack("{s:i, s:o}", "pid", 7, "jobs", row)));
    control_request_end(request, json_pack("{s:o, s:[i]}", "findings", more, "short", 1));
}

static void on_broken(struct control_request *request, void *arg)
{
    char *text = calloc(1, CONTROL_PACKET_BYTES + 1);

    (void)arg;
    cr_assert(text);
    memset(text, 'x', CONTROL_PACKET_BYTES);
    cr_expect(control_request_add_row(request, json_pack("{s:i}", "n", 1)));
    cr_expect(!control_request_add_row(request, json_pack("{s:s}", "text", text)));
    cr_expect(!control_request_add_row(request, json_pack("{s:i}", "n", 2)), "nothing follows");
    control_request_end(request, json_pack("{s:i}", "generation", 3));
    free(text);
}

static const struct control_verb verbs[] = {
    { "echo", false, on_echo },    { "rows", false, on_rows }, { "hold", false, on_hold },
    { "change", true, on_change }, { "long", false, on_long }, { "broken", false, on_broken },
};

/* ---- rig ---- */

void rig_set_up(void)
{
    int log_fd = memfd_create("log", MFD_CLOEXEC);

    log_open(log_fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    (void)snprintf(rig.folder, sizeof(rig.folder), "/var/tmp/drover-control-XXXXXX");
    cr_assert(mkdtemp(rig.folder));
    cr_assert(chmod(rig.folder, 0755) == 0);
    (void)snprintf(rig.path, sizeof(rig.path), "%s/control", rig.folder);
    cr_assert(uv_loop_init(&rig.loop) == 0);
    cr_assert(uv_timer_init(&rig.loop, &tick) == 0);
    cr_assert(uv_timer_start(&tick, on_tick, 5, 5) == 0);
    uv_unref((uv_handle_t *)&tick);
    rig.options = (struct control_options){ .loop = &rig.loop,
                                            .path = rig.path,
                                            .verbs = verbs,
                                            .verbs_count = ARRAY_SIZE(verbs),
                                            .arg = &rig.options };
}

void rig_tear_down(void)
{
    control_close(rig.control);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_expect(uv_loop_close(&rig.loop) == 0, "everything on the loop was closed");
    cr_expect(access(rig.path, F_OK) < 0, "the socket file is gone");
    (void)unlink(rig.path);
    cr_expect(rmdir(rig.folder) == 0, "nothing is left in the folder: %s", strerror(errno));
}

void rig_open(void)
{
    cr_assert(control_open(&rig.options, &rig.control, &rig.err) == 0, "%s", rig.err.text);
}

int rig_try_to_connect(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig.path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -errno;
}

int rig_connect(void)
{
    int fd = rig_try_to_connect();

    cr_assert(fd >= 0, "connect: %s", strerror(-fd));
    return fd;
}

void rig_say(int fd, const char *text)
{
    cr_assert(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "%s",
              strerror(errno));
}

void rig_turn(void)
{
    (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

size_t rig_hear_bytes(int fd)
{
    uint64_t end_ms = clock_now_ms() + RIG_PATIENCE_MS;
    ssize_t len;

    while ((len = recv(fd, rig.packet, sizeof(rig.packet) - 1, MSG_DONTWAIT)) < 0) {
        cr_assert(errno == EAGAIN || errno == ECONNRESET, "%s", strerror(errno));
        cr_assert(clock_now_ms() < end_ms, "no answer came");
        rig_turn();
    }
    rig.packet[len] = '\0';
    return (size_t)len;
}

json_t *rig_hear(int fd)
{
    size_t len = rig_hear_bytes(fd);
    json_t *object;

    if (len == 0)
        return NULL;
    object = json_loadb(rig.packet, len, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(object), "%s", rig.packet);
    return object;
}

void rig_hear_end(int fd, int code, const char *error, json_t **out)
{
    json_t *end = rig_hear(fd);
    const char *text = json_string_value(json_object_get(end, "error"));

    cr_assert(end, "end of file");
    cr_expect(json_is_true(json_object_get(end, "end")), "%s", rig.packet);
    cr_expect(json_is_boolean(json_object_get(end, "ok")), "%s", rig.packet);
    cr_expect(json_is_true(json_object_get(end, "ok")) == (code == 0), "%s", rig.packet);
    cr_expect(json_integer_value(json_object_get(end, "code")) == code, "%s", rig.packet);
    cr_expect(error ? text && strstr(text, error) : !text, "%s is not in %s", error, rig.packet);
    if (out)
        *out = end;
    else
        json_decref(end);
}

void rig_hear_row_and_end(int fd)
{
    json_t *row = rig_hear(fd);

    cr_expect(json_is_object(json_object_get(row, "row")), "%s", rig.packet);
    json_decref(row);
    rig_hear_end(fd, 0, NULL, NULL);
}

void rig_expect_closed(int fd)
{
    cr_expect(rig_hear_bytes(fd) == 0, "%s", rig.packet);
    (void)close(fd);
}

void rig_wait_for_held(size_t count)
{
    uint64_t end_ms = clock_now_ms() + RIG_PATIENCE_MS;

    while (rig.held_count < count) {
        cr_assert(clock_now_ms() < end_ms);
        rig_turn();
    }
}

void rig_some_turns(void)
{
    for (int i = 0; i < 10; i++)
        rig_turn();
}
