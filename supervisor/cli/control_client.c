#include "supervisor/cli/control_client.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/instance.h"
#include "supervisor/cli/output.h"

#define PROTOCOL_VERSION 1
#define PACKET_BYTES     65536
#define CONNECT_S        5

/* ---- finding the socket ---- */

/* `control` of a configuration that loads, or NULL; malloc'ed. Its findings are the business of
 * `drover check`, and its secrets may be readable by droverd only. */
static char *path_of_configuration(const char *file)
{
    struct config_report report;
    struct config *config = NULL;
    char *path = NULL;

    if (access(file, R_OK) < 0)
        return NULL;
    if (config_inspect(file, NULL, 0, &config, &report) == 0 && config->control_path)
        path = strdup(config->control_path);
    config_report_done(&report);
    config_free(config);
    return path;
}

static void find_in_configuration(struct control_client *client, const char *config)
{
    const char *file = config ? config : CLI_CONFIG_FILE;

    client->path = path_of_configuration(file);
    if (client->path) {
        client->from = text_format("`control` of %s", file);
        return;
    }
    client->path = strdup(CLI_CONTROL_SOCKET);
    client->from =
        config ? text_format("built in: %s does not load, so its `control` is not known", file)
               : strdup("built in");
}

int control_client_init(struct control_client *client, const char *socket, const char *config,
                        struct error *err)
{
    const char *given = getenv("DROVER_CONTROL");

    *client = (struct control_client){ .fd = -1 };
    if (socket) {
        client->path = strdup(socket);
        client->from = strdup("--socket");
    } else if (given && *given) {
        client->path = strdup(given);
        client->from = strdup("DROVER_CONTROL");
    } else if (!config && instance_name()) {
        client->path = strdup(instance_socket());
        client->from = text_format("of instance %s", instance_name());
    } else {
        find_in_configuration(client, config);
    }
    client->packet = malloc(PACKET_BYTES);
    if (!client->path || !client->from || !client->packet)
        return error_set(err, -ENOMEM, "memory ran out");
    return 0;
}

void control_client_done(struct control_client *client)
{
    if (client->fd >= 0)
        (void)close(TAKE_FD(client->fd));
    free(TAKE_PTR(client->path));
    free(TAKE_PTR(client->from));
    free(TAKE_PTR(client->packet));
}

/* ---- connecting ---- */

static int tell_denied(const struct control_client *client, struct error *err)
{
    const struct group *group = NULL;
    struct stat at;
    char name[64] = "the socket's group";

    if (stat(client->path, &at) == 0) {
        // cppcheck-suppress getgrgidCalled; there is one thread
        group = getgrgid(at.st_gid);
        if (group)
            (void)snprintf(name, sizeof(name), "group %.50s", group->gr_name);
        else
            (void)snprintf(name, sizeof(name), "group %u", at.st_gid);
    }
    return error_set(err, -EACCES,
                     "you may not use %s (%s)\nroot and the user that droverd runs as may, and, to "
                     "look, members of %s",
                     client->path, client->from, name);
}

static int tell_unreachable(const struct control_client *client, int code, struct error *err)
{
    char way_out[160 + INSTANCE_UNIT_BYTES], unit[INSTANCE_UNIT_BYTES];

    (void)snprintf(way_out, sizeof(way_out),
                   "start it (systemctl start %s), or say where its socket is (--socket PATH, or "
                   "-c FILE with its configuration)",
                   instance_unit(unit));

    switch (code) {
    case EACCES:
    case EPERM:
        return tell_denied(client, err);
    case ENOENT:
    case ENOTDIR:
        return error_set(err, -ENOENT, "droverd does not run: there is no %s (%s)\n%s",
                         client->path, client->from, way_out);
    case ECONNREFUSED:
        return error_set(err, -ECONNREFUSED, "droverd does not run: nobody answers at %s (%s)\n%s",
                         client->path, client->from, way_out);
    case EAGAIN:
        return error_set(err, -ETIMEDOUT,
                         "droverd takes no connection at %s (%s) for %d s: it hangs\nlook at its "
                         "log, and restart it",
                         client->path, client->from, CONNECT_S);
    case EPROTOTYPE:
        return error_set(err, -code, "%s (%s) is the socket of another program", client->path,
                         client->from);
    default:
        return error_set(err, -code, "connect to droverd at %s (%s): %s", client->path,
                         client->from, strerror(code));
    }
}

int control_client_connect(struct control_client *client, struct error *err)
{
    const struct timeval patience = { .tv_sec = CONNECT_S };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(client->path);

    if (len == 0 || len >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG,
                         "%s: a socket's path has 1 to %zu bytes, and \"%s\" has %zu", client->from,
                         sizeof(address.sun_path) - 1, client->path, len);
    memcpy(address.sun_path, client->path, len + 1);
    client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return error_set(err, -errno, "make a socket: %s", strerror(errno));
    /* It bounds the wait for a droverd that accepts nothing; without it we only wait longer. */
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return tell_unreachable(client, errno, err);
    return 0;
}

/* ---- asking ---- */

static int tell_late(const struct control_client *client, struct error *err)
{
    char time[UNITS_TEXT_BYTES];

    return error_set(err, -ETIMEDOUT,
                     "droverd has not answered within %s\nwhat was asked may still be done: look "
                     "with drover ps, and at its log",
                     units_print_duration(client->timeout_ms, time));
}

static int tell_lost(const char *what, struct error *err)
{
    return error_set(err, -ECONNRESET,
                     "droverd closed the connection before it had answered%s%s\nwhat was asked may "
                     "have been done or not: look with drover ps",
                     *what ? ": " : "", what);
}

static int send_request(struct control_client *client, const json_t *request, struct error *err)
{
    _cleanup_(freep) char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

    if (!text)
        return error_set(err, -ENOMEM, "write the request: memory ran out, or a text is not UTF-8");
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN)
            return tell_late(client, err);
        /* It may have told why before it closed. */
        if (errno != EPIPE && errno != ECONNRESET)
            return error_set(err, -errno, "ask droverd: %s", strerror(errno));
    }
    return 0;
}

/* Waits until there is something to read. */
static int wait_for_packet(const struct control_client *client, struct error *err)
{
    struct pollfd look = { .fd = client->fd, .events = POLLIN };
    int r;

    do {
        uint64_t now_ms = clock_now_ms();
        int wait_ms = -1;

        if (client->end_ms > 0)
            wait_ms = client->end_ms <= now_ms            ? 0
                      : client->end_ms - now_ms > 3600000 ? 3600000
                                                          : (int)(client->end_ms - now_ms);
        r = poll(&look, 1, wait_ms);
    } while ((r < 0 && errno == EINTR) ||
             (r == 0 && (client->end_ms == 0 || clock_now_ms() < client->end_ms)));
    return r > 0 ? 0 : tell_late(client, err);
}

/* The next packet, an object (new). */
static int read_packet(struct control_client *client, json_t **out, struct error *err)
{
    ssize_t len;
    int r;

    do {
        r = wait_for_packet(client, err);
        if (r < 0)
            return r;
        len = recv(client->fd, client->packet, PACKET_BYTES, MSG_DONTWAIT);
        /* What was sent before the close still follows ECONNRESET. */
    } while (len < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET));
    if (len <= 0)
        return tell_lost(len < 0 ? strerror(errno) : "", err);
    *out = json_loadb(client->packet, (size_t)len, 0, NULL);
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    return error_set(err, -EPROTO, "what answers at %s (%s) is not droverd: no JSON object came",
                     client->path, client->from);
}

static int read_answer(struct control_client *client, control_row_cb *on_row, void *arg,
                       json_t **out_end, struct error *err)
{
    for (;;) {
        json_t *packet = NULL, *row;
        int r = read_packet(client, &packet, err);

        if (r < 0)
            return r;
        if (json_is_true(json_object_get(packet, "end"))) {
            *out_end = packet;
            return 0;
        }
        row = json_object_get(packet, "row");
        if (json_is_object(row) && on_row)
            on_row(row, arg);
        json_decref(packet);
    }
}

int control_client_ask(struct control_client *client, json_t *request, uint64_t timeout_ms,
                       control_row_cb *on_row, void *arg, json_t **out_end, struct error *err)
{
    int r = 0;

    client->timeout_ms = timeout_ms;
    client->end_ms = timeout_ms > 0 ? clock_now_ms() + timeout_ms : 0;
    if (request && json_object_set_new(request, "version", json_integer(PROTOCOL_VERSION)) < 0)
        r = error_set(err, -ENOMEM, "write the request: memory ran out");
    if (r == 0)
        r = send_request(client, request, err);
    json_decref(request);
    return r < 0 ? r : read_answer(client, on_row, arg, out_end, err);
}

/* ---- for a command ---- */

static int exit_code_of(int code)
{
    return code == -ENOMEM || code == -EACCES || code == -ENAMETOOLONG || code == -ETIMEDOUT
               ? EXIT_CODE_FAILED
               : EXIT_CODE_UNAVAILABLE;
}

int control_client_call(const struct control_call *call, json_t **out_end)
{
    struct control_client client;
    struct error err = { 0 };
    int r = control_client_init(&client, call->socket, call->config, &err);

    if (r >= 0)
        r = control_client_connect(&client, &err);
    if (r >= 0)
        r = control_client_ask(&client, call->request, call->timeout_ms, call->on_row, call->arg,
                               out_end, &err);
    else
        json_decref(call->request);
    if (r >= 0 && call->and_then && json_is_true(json_object_get(*out_end, "ok")))
        call->and_then(&client, call->arg);
    control_client_done(&client);
    if (r >= 0)
        return 0;
    output_error("%s", err.text);
    return exit_code_of(r);
}

int control_client_finish(const json_t *end)
{
    json_int_t code = json_integer_value(json_object_get(end, "code"));
    const char *error = control_text(end, "error");

    if (json_is_true(json_object_get(end, "ok")))
        return EXIT_CODE_OK;
    output_error("%s", *error ? error : "droverd refused, and did not say why");
    return code > 0 && code <= 255 ? (int)code : EXIT_CODE_FAILED;
}

const char *control_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

uint64_t control_number(const json_t *object, const char *name)
{
    json_int_t number = json_integer_value(json_object_get(object, name));

    return number > 0 ? (uint64_t)number : 0;
}
