#include "supervisor/master/control.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "supervisor/master/control_packet.h"
#include "supervisor/master/control_peer.h"
#include "supervisor/master/control_socket.h"

#define IDLE_MS      60000
#define STUCK_MS     10000
#define TICK_LEAST   10 /* how often deadlines are looked at: a quarter of the shorter one, … */
#define TICK_MOST    1000
#define VERBS_MAX    32
#define ERROR_BYTES  4096
#define SEND_BUFFERS (256 * 1024) /* asked of the kernel; a packet must fit as a whole */

/* One connection. It is read only while it has no request under way and nothing is left to send to
 * it, so that a client that asks without listening fills its own socket and nothing else. */
struct client {
    struct control *control;
    uv_poll_t poll;
    int fd;
    int events; /* that poll waits for; 0: stopped */
    struct control_peer peer;
    struct control_request *request;     /* under way; NULL none */
    struct control_packet *first, *last; /* to be sent */
    size_t queued_bytes;                 /* <= CONTROL_QUEUE_BYTES, and one packet for an end */
    uint64_t since_ms;                   /* of the last thing that it did */
    bool half_closed;                    /* it sends no more; what it has sent is still answered */
    bool asked_all;                      /* all of that is read: closed once it is answered */
    bool closing;                        /* uv_close was called; no longer among control->clients */
};

struct control {
    struct control_options options; /* its path is not used any more */
    struct control_socket socket;
    uid_t uid; /* ours */
    uv_poll_t listener;
    uv_timer_t timer; /* runs while there is a client or a pause; looks at all deadlines */
    struct client *clients[CONTROL_CLIENTS_MAX]; /* NULL: free */
    unsigned int handles;                        /* open ones; the memory goes with the last */
    bool pausing; /* accepting failed for want of descriptors or memory: again at the next tick */
    bool closing;
    char packet[CONTROL_PACKET_BYTES]; /* being read */
};

struct control_request {
    struct client *client; /* NULL once it has left */
    const struct control_verb *verb;
    json_t *args;
    const char *broken; /* why the answer is not complete; NULL: it is */
    bool may_change;
};

static void client_step(struct client *client);

/* ---- the end of a client ---- */

static void control_maybe_free(struct control *control)
{
    if (control->handles == 0)
        free(control);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct control *control = client->control;

    while (client->first) {
        struct control_packet *packet = client->first;

        client->first = packet->next;
        free(packet);
    }
    (void)close(client->fd); /* nothing was written to a file */
    free(client);
    control->handles--;
    control_maybe_free(control);
}

/* Its request goes on without it. */
static void client_close(struct client *client)
{
    struct control *control = client->control;

    if (client->closing)
        return;
    client->closing = true;
    if (client->request)
        TAKE_PTR(client->request)->client = NULL;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i] == client)
            control->clients[i] = NULL;
    }
    uv_close((uv_handle_t *)&client->poll, on_client_closed);
}

/* ---- sending ---- */

/* 1 sent, 0 the kernel has no room, negative: the client is gone. */
static int try_to_send(const struct client *client, const char *bytes, size_t len)
{
    ssize_t sent;

    do
        sent = send(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 1;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
}

static void client_flush(struct client *client)
{
    while (client->first && !client->closing) {
        struct control_packet *packet = client->first;
        int r = try_to_send(client, packet->bytes, packet->len);

        if (r < 0)
            client_close(client);
        if (r <= 0)
            return;
        client->first = packet->next;
        client->queued_bytes -= packet->len;
        client->since_ms = clock_now_ms();
        free(packet);
    }
    if (!client->first)
        client->last = NULL;
}

static void client_queue(struct client *client, struct control_packet *packet)
{
    if (client->last)
        client->last->next = packet;
    else
        client->first = packet;
    client->last = packet;
    client->queued_bytes += packet->len;
}

/* Takes the packet. The caller steps the client. */
static void client_send(struct client *client, struct control_packet *packet)
{
    int r = client->first ? 0 : try_to_send(client, packet->bytes, packet->len);

    if (r == 0) {
        if (!client->first)
            client->since_ms = clock_now_ms(); /* from now on it is the client that is waited for */
        client_queue(client, packet);
        return;
    }
    free(packet);
    if (r < 0)
        client_close(client);
}

/* ---- ends ---- */

/* Takes `more`. */
static void client_end(struct client *client, int code, json_t *more, const char *error)
{
    json_t *end = control_end_object(code, more, error);
    const char *why;
    struct control_packet *packet = control_packet_new(end, end, &why);

    json_decref(end);
    if (!packet) {
        end = control_end_object(EXIT_CODE_FAILED, NULL, why);
        packet = control_packet_new(end, end, &why);
        json_decref(end);
    }
    client->since_ms = clock_now_ms();
    if (packet)
        client_send(client, packet);
    else
        client_close(client); /* no memory even for that: the end of file tells it */
}

static PRINTF_LIKE(3, 4) void client_refuse(struct client *client, int code, const char *format,
                                            ...)
{
    char text[ERROR_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    client_end(client, code, NULL, text);
}

/* ---- requests ---- */

const char *control_request_verb(const struct control_request *request)
{
    return request->verb->name;
}

const json_t *control_request_args(const struct control_request *request)
{
    return request->args;
}

bool control_request_may_change(const struct control_request *request)
{
    return request->may_change;
}

bool control_request_is_heard(const struct control_request *request)
{
    return request->client != NULL;
}

bool control_request_add_row(struct control_request *request, json_t *row)
{
    struct client *client = request->client;
    struct control_packet *packet = NULL;
    json_t *object = row ? json_pack("{s:o}", "row", row) : NULL;

    if (client && !request->broken)
        packet = control_packet_new(object, row, &request->broken);
    json_decref(object);
    if (!packet)
        return false;
    request->broken = NULL;
    if (client->queued_bytes + packet->len > CONTROL_QUEUE_BYTES) {
        request->broken = "the answer is longer than what may wait for a client: ask for less, or "
                          "read faster";
        free(packet);
        return false;
    }
    client_send(client, packet);
    client_step(client);
    return request->client != NULL;
}

/* Takes `more`. */
static void request_finish(struct control_request *request, int code, json_t *more,
                           const char *error)
{
    struct client *client = request->client;

    if (client) {
        client->request = NULL;
        if (request->broken) {
            json_decref(more);
            client_end(client, EXIT_CODE_FAILED, NULL, request->broken);
        } else {
            client_end(client, code, more, error);
        }
        client_step(client);
    } else {
        json_decref(more);
    }
    json_decref(request->args);
    free(request);
}

void control_request_end(struct control_request *request, json_t *more)
{
    request_finish(request, EXIT_CODE_OK, more, NULL);
}

void control_request_fail(struct control_request *request, int code, json_t *more,
                          const char *format, ...)
{
    char text[ERROR_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    request_finish(request, code ? code : EXIT_CODE_FAILED, more, text);
}

/* ---- reading ---- */

static const struct control_verb *find_verb(const struct control *control, const char *name)
{
    for (size_t i = 0; i < control->options.verbs_count; i++) {
        if (strcmp(control->options.verbs[i].name, name) == 0)
            return &control->options.verbs[i];
    }
    return NULL;
}

static void refuse_verb(struct client *client, const char *name)
{
    const struct control_options *options = &client->control->options;
    const char *names[VERBS_MAX];
    const char *nearest;
    size_t count = 0;

    for (size_t i = 0; i < options->verbs_count && count < VERBS_MAX; i++)
        names[count++] = options->verbs[i].name;
    nearest = text_nearest(name, names, count);
    client_refuse(client, EXIT_CODE_UNAVAILABLE,
                  "this droverd (" DROVER_VERSION ") knows no verb \"%.100s\"%s%s%s", name,
                  nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Takes `args`. */
static void client_ask(struct client *client, const struct control_verb *verb, json_t *args)
{
    struct control_request *request = calloc(1, sizeof(*request));

    if (!request) {
        json_decref(args);
        client_refuse(client, EXIT_CODE_FAILED, "droverd has no memory left for the request");
        return;
    }
    *request =
        (struct control_request){ .client = client,
                                  .verb = verb,
                                  .args = args,
                                  .may_change = client->peer.rights == CONTROL_RIGHTS_CHANGE };
    client->request = request;
    if (verb->changes)
        log_info("control.asked", LOG_STR("verb", verb->name), LOG_UINT("uid", client->peer.uid),
                 LOG_INT("pid", client->peer.pid));
    verb->on_request(request, client->control->options.arg);
}

/* Takes `args`, an object. */
static void client_take_object(struct client *client, json_t *args)
{
    const json_t *version = json_object_get(args, "version");
    const char *name = json_string_value(json_object_get(args, "verb"));
    const struct control_verb *verb = name ? find_verb(client->control, name) : NULL;

    if (!json_is_integer(version))
        client_refuse(client, EXIT_CODE_USAGE, "the request has no \"version\", a number");
    else if (json_integer_value(version) != CONTROL_VERSION)
        client_refuse(client, EXIT_CODE_UNAVAILABLE,
                      "this droverd (" DROVER_VERSION
                      ") speaks version %d of the control protocol, not %" JSON_INTEGER_FORMAT
                      ": use the drover command of the same release",
                      CONTROL_VERSION, json_integer_value(version));
    else if (!name)
        client_refuse(client, EXIT_CODE_USAGE, "the request has no \"verb\", a text");
    else if (!verb)
        refuse_verb(client, name);
    else if (verb->changes && client->peer.rights != CONTROL_RIGHTS_CHANGE)
        client_refuse(
            client, EXIT_CODE_FAILED,
            "%s changes what runs: that is for root and for the user that droverd runs as "
            "(uid %u); members of the socket's group may look",
            name, client->control->uid);
    else {
        client_ask(client, verb, args);
        return;
    }
    json_decref(args);
}

static void client_take_packet(struct client *client, size_t len)
{
    json_error_t wrong;
    json_t *args;

    if (client->peer.rights == CONTROL_RIGHTS_NONE) {
        client->asked_all = true;
        client_refuse(
            client, EXIT_CODE_FAILED,
            "uid %u may not use this socket: root, the user that droverd runs as (uid %u) "
            "and members of the socket's group (gid %u) may",
            client->peer.uid, client->control->uid, client->control->socket.group);
        return;
    }
    if (len > CONTROL_PACKET_BYTES) {
        client_refuse(client, EXIT_CODE_USAGE, "the request has %zu bytes; %d is the most", len,
                      CONTROL_PACKET_BYTES);
        return;
    }
    args = json_loadb(client->control->packet, len, JSON_REJECT_DUPLICATES, &wrong);
    if (json_is_object(args)) {
        client_take_object(client, args);
        return;
    }
    client_refuse(client, EXIT_CODE_USAGE, "the request is not one JSON object: %s",
                  args ? "it is an array" : wrong.text);
    json_decref(args);
}

static void client_read(struct client *client)
{
    ssize_t len = recv(client->fd, client->control->packet, CONTROL_PACKET_BYTES,
                       MSG_DONTWAIT | MSG_TRUNC); /* TRUNC: the length that was sent */

    if (len < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(client);
        return;
    }
    if (len == 0) {
        client->half_closed = client->asked_all = true;
        return;
    }
    client->since_ms = clock_now_ms();
    client_take_packet(client, (size_t)len);
}

/* While its request is under way: has it left, or does it only send no more? */
static void client_look_for_end(struct client *client)
{
    struct pollfd look = { .fd = client->fd };

    if (poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR)))
        client_close(client);
    else
        client->half_closed = true;
}

static bool client_may_ask(const struct client *client)
{
    return !client->request && !client->first && !client->asked_all;
}

static void on_client_event(uv_poll_t *poll, int status, int events)
{
    struct client *client = poll->data;

    if (status < 0) { /* it left without reading our answers */
        client_close(client);
        return;
    }
    if (events & UV_WRITABLE)
        client_flush(client);
    if (!client->closing && (events & UV_READABLE) && client_may_ask(client))
        client_read(client);
    else if (!client->closing && (events & UV_DISCONNECT))
        client_look_for_end(client);
    client_step(client);
}

/* Looks at all of it and decides what it waits for. */
static void client_step(struct client *client)
{
    int events = 0;

    if (client->closing)
        return;
    if (client->asked_all && !client->request && !client->first) {
        client_close(client);
        return;
    }
    if (client->first)
        events |= UV_WRITABLE;
    if (client_may_ask(client))
        events |= UV_READABLE;
    else if (!client->half_closed)
        events |= UV_DISCONNECT;
    if (events == client->events)
        return;
    client->events = events;
    if (events == 0)
        (void)uv_poll_stop(&client->poll); /* cannot fail */
    else if (uv_poll_start(&client->poll, events, on_client_event) < 0)
        client_close(client);
}

/* ---- accepting ---- */

/* When all places are taken: the one that has been idle longest, and for somebody who may change
 * things also one who may not, whatever it waits for. */
static struct client *client_to_displace(const struct control *control, enum control_rights rights)
{
    struct client *idle = NULL, *looking = NULL;

    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = control->clients[i];

        if (client_may_ask(client) && (!idle || client->since_ms < idle->since_ms))
            idle = client;
        if (client->peer.rights < CONTROL_RIGHTS_CHANGE && rights == CONTROL_RIGHTS_CHANGE &&
            (!looking || client->since_ms < looking->since_ms))
            looking = client;
    }
    return idle ? idle : looking;
}

static struct client **find_place(struct control *control, enum control_rights rights)
{
    for (unsigned int round = 0; round < 2; round++) {
        struct client *displaced;

        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
            if (!control->clients[i])
                return &control->clients[i];
        }
        displaced = client_to_displace(control, rights);
        if (!displaced)
            return NULL;
        client_close(displaced);
    }
    return NULL;
}

static void tell_no_place(const struct client *client)
{
    static const char text[] = "{\"end\":true,\"ok\":false,\"code\":69,\"error\":\"droverd has as "
                               "many clients as it takes: try again in a moment\"}";

    (void)try_to_send(client, text, sizeof(text) - 1); /* else the end of file must do */
}

static void on_tick(uv_timer_t *timer);

static void start_timer(struct control *control)
{
    const struct control_options *options = &control->options;
    uint64_t every_ms =
        (options->idle_ms < options->stuck_ms ? options->idle_ms : options->stuck_ms) / 4;

    every_ms = every_ms < TICK_LEAST ? TICK_LEAST : every_ms > TICK_MOST ? TICK_MOST : every_ms;
    if (!uv_is_active((const uv_handle_t *)&control->timer))
        (void)uv_timer_start(&control->timer, on_tick, every_ms, every_ms); /* cannot fail */
}

/* Takes the descriptor. */
static void client_open(struct control *control, int fd)
{
    struct client *client = calloc(1, sizeof(*client));
    struct client **place = NULL;
    int bytes = SEND_BUFFERS;

    if (client) {
        *client = (struct client){ .control = control, .fd = fd, .since_ms = clock_now_ms() };
        control_peer_identify(&client->peer, fd, control->uid, control->socket.group);
        place = find_place(control, client->peer.rights);
        if (!place)
            tell_no_place(client);
    }
    /* The kernel gives what it allows; its usual size is enough for a packet. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (!place || uv_poll_init(control->options.loop, &client->poll, fd) < 0) {
        free(client);
        (void)close(fd);
        return;
    }
    client->poll.data = client;
    control->handles++;
    *place = client;
    start_timer(control);
    client_step(client);
}

/* One a turn: what is left makes the socket readable again. */
static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct control *control = poll->data;
    int fd = accept4(control->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0) {
        client_open(control, fd);
        return;
    }
    if (status == 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
        return;
    /* No descriptor or memory: the connection stays, and would wake us without end. */
    log_warn("control.accept_failed", LOG_STR("error", strerror(errno)));
    control->pausing = true;
    (void)uv_poll_stop(poll); /* cannot fail */
    start_timer(control);
}

static int listen_on(struct control *control)
{
    return uv_poll_start(&control->listener, UV_READABLE, on_connection);
}

static void client_check_deadline(struct client *client, uint64_t now_ms)
{
    const struct control_options *options = &client->control->options;
    uint64_t quiet_ms = now_ms - client->since_ms;

    if (client->first && quiet_ms >= options->stuck_ms) {
        log_info("control.client_dropped", LOG_INT("pid", client->peer.pid),
                 LOG_UINT("uid", client->peer.uid), LOG_UINT("unread_bytes", client->queued_bytes),
                 LOG_UINT("waited_ms", quiet_ms));
        client_close(client);
    } else if (client_may_ask(client) && quiet_ms >= options->idle_ms) {
        client_close(client);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct control *control = timer->data;
    uint64_t now_ms = clock_now_ms();
    bool needed = false;

    if (control->pausing)
        control->pausing = listen_on(control) < 0;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i])
            client_check_deadline(control->clients[i], now_ms);
        needed = needed || control->clients[i];
    }
    if (!needed && !control->pausing)
        (void)uv_timer_stop(timer); /* cannot fail */
}

/* ---- the whole ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct control *control = handle->data;

    control->handles--;
    control_maybe_free(control);
}

static void take_options(struct control *control, const struct control_options *options)
{
    control->options = *options;
    control->options.path = NULL;
    control->options.group = NULL;
    if (options->idle_ms == 0)
        control->options.idle_ms = IDLE_MS;
    if (options->stuck_ms == 0)
        control->options.stuck_ms = STUCK_MS;
    control->uid = geteuid();
}

int control_open(const struct control_options *options, struct control **out_control,
                 struct error *err)
{
    struct control *control = calloc(1, sizeof(*control));
    int r;

    if (!control)
        return error_set(err, -ENOMEM, "allocate the control socket");
    take_options(control, options);
    r = control_socket_open(options->path, options->group, &control->socket, err);
    if (r < 0) {
        free(control);
        return r;
    }
    r = uv_poll_init(options->loop, &control->listener, control->socket.fd);
    if (r < 0) {
        control_socket_close(&control->socket);
        free(control);
        return error_set(err, r, "watch the control socket: %s", uv_strerror(r));
    }
    (void)uv_timer_init(options->loop, &control->timer); /* cannot fail */
    control->listener.data = control->timer.data = control;
    control->handles = 2;
    r = listen_on(control);
    if (r < 0) {
        control_close(control);
        return error_set(err, r, "watch the control socket: %s", uv_strerror(r));
    }
    log_debug("control.opened", LOG_STR("path", options->path),
              LOG_UINT("gid", control->socket.group));
    *out_control = control;
    return 0;
}

void control_close(struct control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = control->clients[i];

        if (!client)
            continue;
        client_flush(client);
        client_close(client);
    }
    uv_close((uv_handle_t *)&control->listener, on_handle_closed);
    uv_close((uv_handle_t *)&control->timer, on_handle_closed);
    control_socket_close(&control->socket); /* the poll above has let go of the descriptor */
}
