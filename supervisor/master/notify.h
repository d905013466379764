/* notify.h - what systemd is told (sd_notify). Nothing happens when the program was not started by
 * a service manager (no NOTIFY_SOCKET). */
#pragma once

#include <stdint.h>

void notify_ready(void);
/* A reload begins; notify_ready ends it, well or not. */
void notify_reloading(void);
void notify_stopping(void);
/* One line for `systemctl status`. Sent only when it differs from the last one. */
void notify_status(const char *text);
/* While stopping: asks for this much more time from now on. */
void notify_extend(uint64_t more_ms);
