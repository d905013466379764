#include "supervisor/master/notify.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/base/log.h"

static void tell(const char *text)
{
    int result = sd_notify(0, text);

    if (result < 0)
        log_warn("systemd.not_told", LOG_STR("error", strerror(-result)), LOG_STR("message", text));
}

void notify_ready(void)
{
    tell("READY=1");
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
