/* control_rig.h - a control socket on a real loop, with verbs for tests, and clients that speak to
 * it from the same process. */
#pragma once

#include <jansson.h>

#include "supervisor/master/control.h"

enum { RIG_PATIENCE_MS = 20000 };

struct rig {
    uv_loop_t loop;
    struct control_options options; /* changed before rig_open */
    struct control *control;
    char folder[64], path[100];
    struct error err;
    unsigned int rows_wanted;        /* from the verb `rows`, each of 1 KiB */
    struct control_request *held[4]; /* by the verb `hold` */
    size_t held_count;
    unsigned int changed;                  /* how often the verb `change` was run */
    char packet[CONTROL_PACKET_BYTES + 1]; /* heard last */
};
extern struct rig rig;

#define SAY_ECHO   "{\"version\":1,\"verb\":\"echo\",\"a\":[1,2]}"
#define SAY_HOLD   "{\"version\":1,\"verb\":\"hold\"}"
#define SAY_ROWS   "{\"version\":1,\"verb\":\"rows\"}"
#define SAY_CHANGE "{\"version\":1,\"verb\":\"change\"}"

void rig_set_up(void);
void rig_tear_down(void);
void rig_open(void);

/* One turn of the loop; it is never longer than a few ms. */
void rig_turn(void);
void rig_some_turns(void);

/* A connection, or a negative errno; rig_connect asserts that there is one. */
int rig_try_to_connect(void);
int rig_connect(void);
void rig_say(int fd, const char *text);
/* Length of the next packet, 0 at the end of file. */
size_t rig_hear_bytes(int fd);
/* The next packet as an object (new); NULL at the end of file. */
json_t *rig_hear(int fd);
/* Hears an end and expects its code and a part of its error (NULL: well ended). out: the end (new).
 */
void rig_hear_end(int fd, int code, const char *error, json_t **out);
void rig_hear_row_and_end(int fd);
/* Hears the end of file, and closes. */
void rig_expect_closed(int fd);
void rig_wait_for_held(size_t count);
