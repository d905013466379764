/* connect.h - which Redis a command talks to, and a connection for as long as the command runs.
 * Everything that goes wrong here is told on stderr with what to do about it; callers only pass the
 * exit code on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/config/config.h"
#include "common/queue/get.h"
#include "supervisor/cli/command.h"

#define CLI_CONFIG_FILE "/etc/drover/drover.yaml"

/* The first member, called `where`, of the struct of every command that talks to Redis. */
struct cli_where {
    const char *config, *redis, *prefix, *password_file;
};

#define CLI_WHERE_OPTIONS(values)                                                                  \
    { .name = "config",                                                                            \
      .letter = 'c',                                                                               \
      .kind = CLI_TEXT,                                                                            \
      .arg = "FILE",                                                                               \
      .value = CLI_VALUE_FILE,                                                                     \
      .at = offsetof(values, where.config),                                                        \
      .help = "the configuration; " CLI_CONFIG_FILE " unless given" },                             \
        { .name = "redis",                                                                         \
          .kind = CLI_TEXT,                                                                        \
          .arg = "URL",                                                                            \
          .at = offsetof(values, where.redis),                                                     \
          .help = "this Redis instead of a configuration:\n"                                       \
                  "redis://[user@]host[:port][/db], unix:///path[?db=N],\n"                        \
                  "redis+sentinel://host[:port],.../master[/db] or\n"                              \
                  "redis+cluster://host[:port],...;\n"                                             \
                  "its password in DROVER_REDIS_PASSWORD, or:" },                                  \
        { .name = "password-file",                                                                 \
          .kind = CLI_TEXT,                                                                        \
          .arg = "FILE",                                                                           \
          .value = CLI_VALUE_FILE,                                                                 \
          .at = offsetof(values, where.password_file),                                             \
          .help = "file with the password for --redis" },                                          \
    {                                                                                              \
        .name = "prefix", .kind = CLI_TEXT, .arg = "PREFIX", .at = offsetof(values, where.prefix), \
        .help = "key prefix for --redis; bull unless given"                                        \
    }

/* The Redis servers of a configuration, or the one of --redis. */
struct cli_target {
    struct config *config;   /* NULL with --redis */
    const char *file;        /* of the configuration */
    struct config_redis own; /* --redis */
};

/* 0, or an exit code. Ends with cli_target_done in both cases. */
int cli_target_init(struct cli_target *target, const char *command, const struct cli_where *where);
void cli_target_done(struct cli_target *target);

/* The endpoint of a queue. With a configuration the queue must be in it: *out_queue; with --redis
 * it is NULL. 0, or an exit code. */
int cli_target_find(const struct cli_target *target, const char *queue_name,
                    const struct config_redis **out_endpoint,
                    const struct config_queue **out_queue);

/* 0 when that queue lies where `endpoint` is, as far as the configuration tells; else an exit code,
 * told: jobs of `other` can have to do only with jobs of the same Redis. */
int cli_target_same(const struct cli_target *target, const struct config_redis *endpoint,
                    const char *other, const char *queue_name);

/* Prints the findings of a configuration on stderr, "file:line:column: error: key: text". */
void cli_print_findings(const struct config_report *report);

/* An open connection; calls run its loop until they are answered. */
struct cli_session {
    uv_loop_t loop;
    struct redis *redis; /* NULL once closed */
    const struct cli_target *target;
    const struct config_redis *endpoint;
    bool ready, loop_open;
    char why[512]; /* of the end */
};

/* Connects and waits until it is ready. 0, or an exit code. Ends with cli_session_close in both
 * cases; the memory must not move in between. */
int cli_session_open(struct cli_session *session, const struct cli_target *target,
                     const struct config_redis *endpoint);
void cli_session_close(struct cli_session *session);

/* Runs the loop until *done; every call that was accepted ends. */
void cli_session_wait(struct cli_session *session, const bool *done);
/* Runs the loop for that long, or until the connection ends. */
void cli_session_sleep(struct cli_session *session, uint64_t ms);

/* Tells that `what` ("add jobs to queue q") failed and returns the exit code; `call` is not
 * REDIS_REPLY. */
int cli_call_failed(const struct cli_session *session, const struct call_result *call,
                    const char *what);
/* The same for a call that was not accepted. */
int cli_call_refused(const struct cli_session *session, const struct error *err, const char *what);
