/* queue_rig.h - common/queue over a real Redis without the asynchronous connection.
 * The rig stands in for common/redis: redis_run_script and redis_command are sent over a blocking
 * hiredis connection at once (as EVAL, so no script cache is needed), and their callbacks run in
 * queue_rig_run, as the loop would. So a test drives the C side and the scripts together and looks
 * at Redis between. */
#pragma once

#include "common/queue/add.h"
#include "tests/support/redis_server.h"

/* Starts a server for this test and connects; one a process. */
void queue_rig_start(void);
void queue_rig_stop(void);
/* Instead of starting one: a server that is there. */
void queue_rig_attach(const char *socket_path);
/* What to give to queue_new. */
struct redis *queue_rig_redis(void);
/* Runs all callbacks, also those of calls made inside of them. Returns how many calls there were.
 */
size_t queue_rig_run(void);
/* From now on every call is answered as lost (REDIS_UNKNOWN) without being sent. */
void queue_rig_lose(bool lost);
/* Runs before each callback from now on: after its call was executed, before what the callback
 * sends. NULL: nothing. */
void queue_rig_between(void (*between)(void));

/* Reads with hiredis' format; each answer is text valid until the process ends. Arrays become their
 * elements joined by blanks, nil "(nil)", errors "(error) …". */
const char *redis_says(const char *format, ...);
const char *redis_says_argv(const char *const *argv, size_t count);
