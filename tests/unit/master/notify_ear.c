#include "tests/unit/master/notify_ear.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEARD_BYTES (1 << 20)

static struct sockaddr_un address;
static int ear = -1;
static char heard[HEARD_BYTES], states[HEARD_BYTES], status[1024];

void ear_open(void)
{
    ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/drover-notify-%d", getpid());
    (void)unlink(address.sun_path);
    cr_assert(bind(ear, (struct sockaddr *)&address, sizeof address) == 0);
    cr_assert(setenv("NOTIFY_SOCKET", address.sun_path, 1) == 0);
}

static void append(char *out, const char *text)
{
    cr_assert(strlen(out) + strlen(text) + 2 < HEARD_BYTES);
    (void)strcat(strcat(out, text), "\n");
}

static void take(char *message)
{
    static const char *const passing[] = { "STATUS=", "EXTEND_TIMEOUT", "FDSTORE" };
    char *line = strstr(message, "STATUS="), *at;
    bool is_state = true;

    if (line)
        (void)snprintf(status, sizeof status, "%s", line + strlen("STATUS="));
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        is_state = is_state && strncmp(message, passing[i], strlen(passing[i])) != 0;
    while ((at = strchr(message, '\n')))
        *at = ';';
    append(heard, message);
    if (is_state && line)
        line[-1] = '\0';
    if (is_state)
        append(states, message);
}

const char *ear_hear(void)
{
    char message[4096];
    ssize_t got;

    while ((got = recv(ear, message, sizeof message - 1, 0)) > 0) {
        message[got] = '\0';
        take(message);
    }
    return heard;
}

const char *ear_hear_states(void)
{
    (void)ear_hear();
    return states;
}

void ear_forget(void)
{
    (void)ear_hear();
    heard[0] = states[0] = '\0';
}

size_t ear_count(const char *text)
{
    size_t count = 0;

    for (const char *at = ear_hear(); (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

const char *ear_status(void)
{
    (void)ear_hear();
    return status;
}

void ear_close(void)
{
    (void)close(ear);
    cr_expect(unlink(address.sun_path) == 0);
}
