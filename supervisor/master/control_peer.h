/* control_peer.h - who is at the other end of a connection, by the kernel's word, and what they
 * may.
 */
#pragma once

#include <sys/types.h>

enum control_rights {
    CONTROL_RIGHTS_NONE,
    CONTROL_RIGHTS_LOOK,   /* members of the socket's group */
    CONTROL_RIGHTS_CHANGE, /* root, and the user that we run as */
};

/* As of the moment when they connected: what they have become since does not matter. */
struct control_peer {
    enum control_rights rights;
    pid_t pid;
    uid_t uid;
};

/* `own`: the user that we run as; `group`: the socket's. */
void control_peer_identify(struct control_peer *peer, int fd, uid_t own, gid_t group);
