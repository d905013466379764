#include "supervisor/master/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/base/log.h"

static char last_status[NOTIFY_STATUS_BYTES];

bool notify_is_on(void)
{
    const char *socket = getenv("NOTIFY_SOCKET");

    return socket && *socket;
}

/* Most of these are repeated, and so would a failure be: it is said once. */
static void note_result(int result, const char *message)
{
    static bool failed;

    if (result < 0 && !failed)
        log_warn("systemd.not_told", LOG_STR("error", strerror(-result)), LOG_STR("text", message));
    failed = result < 0;
}

static void tell(const char *message)
{
    note_result(sd_notify(0, message), message);
}

/* One line, whatever a name in it holds. */
static void take_status(const char *text)
{
    (void)snprintf(last_status, sizeof last_status, "%s", text);
    for (char *at = last_status; *at; at++) {
        if ((unsigned char)*at < ' ')
            *at = ' ';
    }
}

void notify_ready(const char *status)
{
    char message[NOTIFY_STATUS_BYTES + 32];

    take_status(status);
    (void)snprintf(message, sizeof message, "READY=1\nSTATUS=%s", last_status);
    tell(message);
}

/* systemd wants to know when the reload began on CLOCK_MONOTONIC, so that it can tell a late
 * message from a new one (sd_notify(3)); not clock.h's time, which tests move. */
void notify_reloading(void)
{
    struct timespec now = { 0 };
    char message[64];

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* always there */
    (void)snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)now.tv_sec * 1000000ULL +
                       (unsigned long long)now.tv_nsec / 1000);
    tell(message);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}

void notify_status(const char *text)
{
    char before[NOTIFY_STATUS_BYTES], message[NOTIFY_STATUS_BYTES + 8];

    memcpy(before, last_status, sizeof before);
    take_status(text);
    if (strcmp(before, last_status) == 0)
        return;
    (void)snprintf(message, sizeof message, "STATUS=%s", last_status);
    tell(message);
}

void notify_extend(uint64_t more_ms)
{
    char message[64];

    (void)snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%llu",
                   (unsigned long long)more_ms * 1000);
    tell(message);
}

void notify_watchdog(void)
{
    tell("WATCHDOG=1");
}

void notify_store(int fd, const char *name)
{
    char message[128];
    int fds[] = { fd };

    /* FDPOLL=0: what is polled and found hung up is dropped; memory cannot even be polled. */
    (void)snprintf(message, sizeof message, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    note_result(sd_pid_notify_with_fds(0, /* unset_environment= */ 0, message, fds, 1), message);
}

void notify_forget(const char *name)
{
    char message[128];

    (void)snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    tell(message);
}
