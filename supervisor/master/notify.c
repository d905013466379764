#include "supervisor/master/notify.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/base/log.h"

static void tell(const char *text)
{
    int result = sd_notify(0, text);

    if (result < 0)
        log_warn("systemd.not_told", LOG_STR("error", strerror(-result)), LOG_STR("text", text));
}

void notify_ready(void)
{
    tell("READY=1");
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
    static char last[256];
    char message[sizeof last + 8];

    if (strcmp(last, text) == 0)
        return;
    (void)snprintf(last, sizeof last, "%s", text);
    (void)snprintf(message, sizeof message, "STATUS=%s", last);
    tell(message);
}

void notify_extend(uint64_t more_ms)
{
    char message[64];

    (void)snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%llu",
                   (unsigned long long)more_ms * 1000);
    tell(message);
}
