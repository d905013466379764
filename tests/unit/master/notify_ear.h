/* notify_ear.h - what systemd would hear of the master, on a socket of the test. */
#pragma once

#include <stddef.h>

/* Sets NOTIFY_SOCKET. Before the supervisor is opened. */
void ear_open(void);
/* Takes in what was said since; all of it is one text from then on, a message after the other,
 * lines of one with "; " between, each message with a newline at its end. */
const char *ear_hear(void);
/* The same, without the messages that begin with one of STATUS, EXTEND_TIMEOUT, FDSTORE, and
 * without the status that comes along with READY. */
const char *ear_hear_states(void);
/* Forgets what was heard. */
void ear_forget(void);
/* How often a text stands in what was heard. */
size_t ear_count(const char *text);
/* The last status line that was heard; "" none. */
const char *ear_status(void);
void ear_close(void);
