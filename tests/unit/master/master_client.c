/* A client of the control socket, as docs/protocols/control.md describes it. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

int client_connect(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", rig.control);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "%s: %s",
              rig.control, strerror(errno));
    return fd;
}

void client_send(int fd, const char *members)
{
    char text[1024];
    int len = snprintf(text, sizeof text, "{\"version\":1,%s}", members);

    cr_assert(send(fd, text, (size_t)len, MSG_NOSIGNAL) == len, "%s", strerror(errno));
}

/* One packet as an object; NULL while there is none. */
static json_t *receive(int fd)
{
    static char packet[CONTROL_PACKET_BYTES];
    ssize_t got = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
    json_t *object;

    cr_assert(got > 0 || (got < 0 && errno == EAGAIN), "the answer is complete before the end");
    if (got < 0)
        return NULL;
    object = json_loadb(packet, (size_t)got, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(object), "%.*s", (int)got, packet);
    return object;
}

json_t *client_answer(int fd, json_t **out_rows)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    json_t *rows = json_array(), *packet = NULL;

    while (!packet || !json_object_get(packet, "end")) {
        cr_assert(clock_now_ms() < end_ms, "an answer in time");
        if (packet)
            cr_assert(json_array_append(rows, json_object_get(packet, "row")) == 0);
        json_decref(packet);
        packet = receive(fd);
        if (!packet)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    if (out_rows)
        *out_rows = rows;
    else
        json_decref(rows);
    return packet;
}

json_t *client_ask(const char *members, json_t **out_rows)
{
    int fd = client_connect();
    json_t *end;

    client_send(fd, members);
    end = client_answer(fd, out_rows);
    (void)close(fd);
    return end;
}

const json_t *row_of(const json_t *rows, const char *queue)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (strcmp(text_of(row, "queue"), queue) == 0)
            return row;
    }
    return NULL;
}

const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

long long integer_of(const json_t *object, const char *name)
{
    const json_t *number = json_object_get(object, name);

    return json_is_integer(number) ? json_integer_value(number) : -1;
}
