/* notify.h - what systemd is told (sd_notify). Nothing happens when the program was not started by
 * a service manager (no NOTIFY_SOCKET). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_STATUS_BYTES 512

/* Whether somebody listens. */
bool notify_is_on(void);

/* The start, or a reload, is over; `status` as for notify_status, in the same message, so that who
 * has waited for it sees what is true then. */
void notify_ready(const char *status);
/* A reload begins; notify_ready ends it, well or not. */
void notify_reloading(void);
void notify_stopping(void);
/* One line for `systemctl status`, cut to NOTIFY_STATUS_BYTES. Sent only when it differs from the
 * last one. */
void notify_status(const char *text);
/* While something takes its time: it may take this much from now on, whatever the unit allows. */
void notify_extend(uint64_t more_ms);
/* The master makes progress. */
void notify_watchdog(void);

/* Descriptors that systemd keeps while the service restarts. It takes as many as the unit's
 * FileDescriptorStoreMax allows (usually none), and one that it has already only once. */
void notify_store(int fd, const char *name);
void notify_forget(const char *name); /* all of that name */
