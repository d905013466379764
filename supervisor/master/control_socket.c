#include "supervisor/master/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MODE          0660
#define BACKLOG       64
#define ADDRESS_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* ---- who is there ---- */

static int make_socket(struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 ? fd : error_set(err, -errno, "make a socket: %s", strerror(errno));
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path); /* length is checked */
    return address;
}

/* Whether a process listens at `path`: 1 and its pid (0 when it cannot be seen from here), or 0.
 * Connecting to a Unix socket never waits when it is non-blocking. */
static int ask_who_listens(const char *path, pid_t *out_pid, struct error *err)
{
    struct sockaddr_un address = address_of(path);
    struct ucred peer = { 0 };
    socklen_t peer_len = sizeof(peer);
    _cleanup_(closep) int fd = make_socket(err);

    *out_pid = 0;
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) == 0)
            *out_pid = peer.pid; /* of the one that listens */
        return 1;
    }
    if (errno == EAGAIN || errno == EPROTOTYPE) /* it has more to accept; or is of another type */
        return 1;
    if (errno == ECONNREFUSED || errno == ENOENT)
        return 0;
    return error_set(err, -errno, "see who listens at %s: %s", path, strerror(errno));
}

static int refuse(const char *path, pid_t pid, struct error *err)
{
    if (pid > 0)
        return error_set(err, -EADDRINUSE,
                         "process %d listens at %s: another droverd runs with this `control`; stop "
                         "it, or give one of them another path",
                         (int)pid, path);
    return error_set(err, -EADDRINUSE,
                     "another process listens at %s: stop it, or give `control` another path",
                     path);
}

/* ---- making room ---- */

static int check_length(const char *path, struct error *err)
{
    size_t most = ADDRESS_BYTES - 1;

    if (*path != '/')
        return error_set(err, -EINVAL, "the path \"%s\" does not begin with /", path);
    if (strlen(path) > most)
        return error_set(err, -ENAMETOOLONG,
                         "the path %s is longer than the %zu bytes that a socket's may have", path,
                         most);
    return 0;
}

/* Makes the folder when only that is missing: a longer missing path is rather a slip. */
static int make_folder(const char *path, struct error *err)
{
    _cleanup_(freep) char *folder = strndup(path, (size_t)(strrchr(path, '/') - path));

    if (!folder)
        return error_set(err, -ENOMEM, "name the folder of %s", path);
    if (!*folder || access(folder, F_OK) == 0)
        return 0;
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return error_set(err, -errno,
                         "make the folder %s of the control socket: %s; make it, or give "
                         "`control` another path",
                         folder, strerror(errno));
    if (chmod(folder, 0755) < 0) /* mkdir obeys the umask; others must get through to the socket */
        return error_set(err, -errno, "open the folder %s to others: %s", folder, strerror(errno));
    return 0;
}

/* What a dead master's file is called while it is looked at: as long as its own name, so that it
 * can be connected to. */
static int name_aside(const char *path, char out[ADDRESS_BYTES], struct error *err)
{
    size_t len = strlen(path);
    struct stat at;

    memcpy(out, path, len + 1); /* length is checked */
    out[len - 1] = out[len - 1] == '~' ? '-' : '~';
    if (lstat(out, &at) == 0 && !S_ISSOCK(at.st_mode))
        return error_set(err, -EEXIST, "%s is in the way: move it away", out);
    return 0;
}

/* Removes the file that a dead master left. It is moved aside and looked at again there, where
 * nobody else will put one: another master may have taken the path since the first look. */
static int remove_stale(const char *path, struct error *err)
{
    char aside[ADDRESS_BYTES];
    pid_t pid;
    int r = name_aside(path, aside, err);

    if (r < 0)
        return r;
    if (rename(path, aside) < 0)
        return errno == ENOENT ? 0
                               : error_set(err, -errno, "remove the stale socket %s: %s", path,
                                           strerror(errno));
    r = ask_who_listens(aside, &pid, err);
    if (r > 0) {
        (void)renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE); /* it is theirs */
        return refuse(path, pid, err);
    }
    if (r == 0 && unlink(aside) < 0 && errno != ENOENT)
        r = error_set(err, -errno, "remove the stale socket %s: %s", aside, strerror(errno));
    return r;
}

static int make_room(const char *path, struct error *err)
{
    struct stat at;
    pid_t pid;
    int r;

    if (lstat(path, &at) < 0)
        return errno == ENOENT ? 0
                               : error_set(err, -errno, "look at %s: %s", path, strerror(errno));
    if (!S_ISSOCK(at.st_mode))
        return error_set(err, -EEXIST,
                         "%s is no socket: move it away, or give `control` another path", path);
    r = ask_who_listens(path, &pid, err);
    if (r < 0)
        return r;
    return r > 0 ? refuse(path, pid, err) : remove_stale(path, err);
}

/* ---- the file ---- */

/* The group is given when it exists and we may; whoever runs droverd by hand has neither. */
static void give_group(const char *path, const char *name)
{
    const struct group *group = name ? getgrnam(name) : NULL;

    /* Refused to those who are neither root nor in the group: then the file keeps our group. */
    if (group && lchown(path, (uid_t)-1, group->gr_gid) < 0)
        return;
}

/* Between bind and listen nobody can connect, whatever the umask made of the mode. */
static int set_up_file(struct control_socket *socket, const char *group, struct error *err)
{
    struct stat at;

    give_group(socket->path, group);
    if (lstat(socket->path, &at) < 0)
        return error_set(err, -errno, "look at %s: %s", socket->path, strerror(errno));
    socket->device = at.st_dev;
    socket->inode = at.st_ino;
    socket->group = at.st_gid;
    if (chmod(socket->path, MODE) < 0)
        return error_set(err, -errno, "set the mode of %s: %s", socket->path, strerror(errno));
    if (listen(socket->fd, BACKLOG) < 0)
        return error_set(err, -errno, "listen at %s: %s", socket->path, strerror(errno));
    return 0;
}

/* Another master that started at the same moment may have taken our file for a stale one. The one
 * that is reached by the path is the one that has it. */
static int check_it_is_us(const struct control_socket *socket, struct error *err)
{
    pid_t pid;
    int r = ask_who_listens(socket->path, &pid, err);

    if (r < 0)
        return r;
    return r > 0 && pid == getpid() ? 0 : refuse(socket->path, pid, err);
}

int control_socket_open(const char *path, const char *group, struct control_socket *out_socket,
                        struct error *err)
{
    struct control_socket socket = { .fd = -1 };
    struct sockaddr_un address;
    int r = check_length(path, err);

    if (r >= 0)
        r = make_folder(path, err);
    if (r >= 0)
        r = make_room(path, err);
    if (r < 0)
        return r;
    address = address_of(path);
    socket.fd = make_socket(err);
    if (socket.fd < 0)
        return socket.fd;
    if (bind(socket.fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        r = error_set(err, -errno, "make the socket %s: %s", path, strerror(errno));
        (void)close(socket.fd);
        return r;
    }
    socket.path = strdup(path);
    if (!socket.path) {
        (void)unlink(path);
        (void)close(socket.fd);
        return error_set(err, -ENOMEM, "keep the path %s", path);
    }
    r = set_up_file(&socket, group, err);
    if (r >= 0)
        r = check_it_is_us(&socket, err);
    if (r < 0) {
        control_socket_close(&socket);
        return r;
    }
    *out_socket = socket;
    return 0;
}

void control_socket_close(struct control_socket *socket)
{
    struct stat at;

    if (socket->path && lstat(socket->path, &at) == 0 && at.st_dev == socket->device &&
        at.st_ino == socket->inode)
        (void)unlink(socket->path); /* what is left is stale, and the next one replaces it */
    free(TAKE_PTR(socket->path));
    if (socket->fd >= 0)
        (void)close(TAKE_FD(socket->fd));
}
