#include "supervisor/master/control_peer.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/base/attr.h"

#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

/* Among the supplementary groups. */
static bool is_member(int fd, gid_t group)
{
    _cleanup_(freep) gid_t *groups = NULL;
    socklen_t bytes = 0;
    gid_t none;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &none, &bytes) == 0)
        return false; /* it has none */
    if (errno != ERANGE || bytes > GROUPS_MAX * sizeof(*groups))
        return false;
    groups = malloc(bytes);
    if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
        return false;
    for (size_t i = 0; i < bytes / sizeof(*groups); i++) {
        if (groups[i] == group)
            return true;
    }
    return false;
}

void control_peer_identify(struct control_peer *peer, int fd, uid_t own, gid_t group)
{
    struct ucred found;
    socklen_t len = sizeof(found);

    *peer = (struct control_peer){ .rights = CONTROL_RIGHTS_NONE };
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &len) < 0)
        return;
    peer->pid = found.pid;
    peer->uid = found.uid;
    if (found.uid == 0 || found.uid == own)
        peer->rights = CONTROL_RIGHTS_CHANGE;
    else if (found.gid == group || is_member(fd, group))
        peer->rights = CONTROL_RIGHTS_LOOK;
}
