/* control_client.h - a command's side of droverd's control socket (docs/protocols/control.md).
 * Invariant: every wait has an end, and every failure says what to do about it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/base/error.h"
#include "supervisor/cli/command.h"

#define CLI_CONTROL_SOCKET "/run/drover/control"
#define CLI_ANSWER_MS      10000 /* for verbs that are answered at once */

/* For the table of options; `member` is a const char * of the command's struct. */
#define CLI_SOCKET_OPTION(values, member)                                           \
    {                                                                               \
        .name = "socket", .kind = CLI_TEXT, .arg = "PATH", .value = CLI_VALUE_FILE, \
        .at = offsetof(values, member),                                             \
        .help = "droverd's control socket; else the one in DROVER_CONTROL, the\n"   \
                "`control` of the configuration, " CLI_CONTROL_SOCKET               \
    }

struct control_client {
    int fd;            /* -1 while not connected */
    char *path, *from; /* of the socket, and where that was said, for people */
    char *packet;      /* the last one read */
    uint64_t end_ms;   /* when waiting ends, by clock_now_ms; 0 never */
    uint64_t timeout_ms;
};

/* Finds the socket: `socket` (--socket), DROVER_CONTROL, the instance's (instance.h), `control` of
 * the configuration `config`
 * (-c; NULL: the usual file) when that loads, the built-in path. A broken file is no obstacle: a
 * reload that would tell what is wrong with it must find droverd. Ends with control_client_done
 * always. */
MUST_CHECK int control_client_init(struct control_client *client, const char *socket,
                                   const char *config, struct error *err);
void control_client_done(struct control_client *client);

/* Connects. The error's text is for people: -ENOENT and -ECONNREFUSED (droverd does not run),
 * -EACCES (who may), -ETIMEDOUT. */
MUST_CHECK int control_client_connect(struct control_client *client, struct error *err);

typedef void control_row_cb(json_t *row, void *arg); /* borrowed */

/* Sends `request` (taken; "version" is added) and calls on_row with each row until the end (new) or
 * until timeout_ms (0: as long as it takes) are over: -ETIMEDOUT. -ECONNRESET: the connection ended
 * before the answer did. */
MUST_CHECK int control_client_ask(struct control_client *client, json_t *request,
                                  uint64_t timeout_ms, control_row_cb *on_row, void *arg,
                                  json_t **out_end, struct error *err);

/* All of it, for a command: finds, connects, asks; tells on stderr what failed. */
struct control_call {
    const char *socket, *config; /* as given; may be NULL */
    json_t *request;             /* taken */
    uint64_t timeout_ms;
    control_row_cb *on_row;
    /* After an end that is `ok`, while the connection is there: to ask for more. May be NULL. */
    void (*and_then)(struct control_client *client, void *arg);
    void *arg;
};
/* 0 and an end (new), which may be one of failure; or an exit code. */
int control_client_call(const struct control_call *call, json_t **out_end);

/* Of an end: EXIT_CODE_OK, or the code of a failure after its error was told on stderr. */
int control_client_finish(const json_t *end);

/* Members of an answer, "" or 0 when they are missing or of another type. */
const char *control_text(const json_t *object, const char *name);
uint64_t control_number(const json_t *object, const char *name);
