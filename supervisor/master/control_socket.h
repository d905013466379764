/* control_socket.h - the file of the control socket: never open to more than it should be, not even
 * for a moment; never taken from a master that lives; removed only by the one that made it. */
#pragma once

#include <sys/stat.h>

#include "common/base/error.h"

struct control_socket {
    int fd; /* listening, non-blocking, close-on-exec */
    char *path;
    dev_t device;
    ino_t inode; /* of the file that we made */
    gid_t group; /* of the file: whose members may connect */
};

/* See control_open. On failure nothing is left behind. May wait for half a second, which is why it
 * belongs to the start. */
MUST_CHECK int control_socket_open(const char *path, const char *group,
                                   struct control_socket *out_socket, struct error *err);
/* Closes, and removes the file when it is still the one that was made. */
void control_socket_close(struct control_socket *socket);
