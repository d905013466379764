#include "supervisor/master/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define MODE          0660
#define BACKLOG       64
#define LOCK_MS       500
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

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strndup(path, slash > path ? (size_t)(slash - path) : 1);
}

/* Makes the folder when only that is missing: a longer missing path is rather a slip. */
static int make_folder(const char *path, struct error *err)
{
    _cleanup_(freep) char *folder = folder_of(path);

    if (!folder)
        return error_set(err, -ENOMEM, "name the folder of %s", path);
    if (access(folder, F_OK) == 0)
        return 0;
    if (mkdir(folder, 0755) < 0)
        return errno == EEXIST /* somebody was faster */
                   ? 0
                   : error_set(err, -errno,
                               "make the folder %s of the control socket: %s; make it, or give "
                               "`control` another path",
                               folder, strerror(errno));
    if (chmod(folder, 0755) < 0) /* mkdir obeys the umask; others must get through to the socket */
        return error_set(err, -errno, "open the folder %s to others: %s", folder, strerror(errno));
    return 0;
}

/* Two masters that start at the same moment must not both find the path free, or one the other's
 * fresh file stale: one of them looks and makes its file, then the other looks. The lock is held
 * for that moment only. Whoever can read the folder can also hold it for ever, so it is waited for,
 * for LOCK_MS, but not needed: -1 then, as on a file system without locks. */
static int lock_folder(const char *path)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    _cleanup_(freep) char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    for (int waited_ms = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms++) {
        if (errno != EWOULDBLOCK || waited_ms == LOCK_MS) {
            (void)close(fd);
            return -1;
        }
        (void)nanosleep(&pause, NULL);
    }
    return fd;
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
    if (r > 0)
        return refuse(path, pid, err);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set(err, -errno, "remove the stale socket %s: %s", path, strerror(errno));
    return 0;
}

/* ---- the file ---- */

/* The group is given when it exists and we may; whoever runs droverd by hand has neither. */
static void give_group(const char *path, const char *name)
{
    // cppcheck-suppress getgrnamCalled; at the start, with one thread
    const struct group *group = name ? getgrnam(name) : NULL;

    /* Refused to those who are neither root nor in the group: then the file keeps our group. */
    if (group && lchown(path, (uid_t)-1, group->gr_gid) < 0)
        return;
}

/* Until it listens nobody can connect, whatever the umask made of the mode. */
static int open_to_others(struct control_socket *socket, const char *group, struct error *err)
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

/* Makes and binds; the path is free. */
static int make_file(struct control_socket *socket, const char *path, struct error *err)
{
    struct sockaddr_un address = address_of(path);

    socket->fd = make_socket(err);
    if (socket->fd < 0)
        return socket->fd;
    socket->path = strdup(path);
    if (!socket->path)
        return error_set(err, -ENOMEM, "keep the path %s", path);
    if (bind(socket->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set(err, -errno, "make the socket %s: %s", path, strerror(errno));
    return 0;
}

static int take_path(struct control_socket *socket, const char *path, const char *group,
                     struct error *err)
{
    int lock = lock_folder(path);
    int r = make_room(path, err);

    if (r >= 0)
        r = make_file(socket, path, err);
    if (r >= 0)
        r = open_to_others(socket, group, err);
    if (lock >= 0)
        (void)close(lock); /* and unlocks */
    return r;
}

int control_socket_open(const char *path, const char *group, struct control_socket *out_socket,
                        struct error *err)
{
    struct control_socket socket = { .fd = -1 };
    int r = check_length(path, err);

    if (r >= 0)
        r = make_folder(path, err);
    if (r >= 0)
        r = take_path(&socket, path, group, err);
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
