/* The file of the control socket: its modes, what is in the way, and that no two masters have it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/text.h"
#include "supervisor/master/control_socket.h"

enum { NOBODY = 65534 };

static char folder[] = "/var/tmp/drover-control-XXXXXX";
static char path[100];
static struct control_socket first, second;
static struct error err;

static void set_up(void)
{
    first.fd = second.fd = -1;
    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/control", folder);
}

static void tear_down(void)
{
    control_socket_close(&first);
    control_socket_close(&second);
    cr_expect(rmdir(folder) == 0, "nothing is left in the folder: %s", strerror(errno));
}

TestSuite(control_socket, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_first(const char *at, const char *group)
{
    cr_assert(control_socket_open(at, group, &first, &err) == 0, "%s", err.text);
}

static void expect_refused(const char *at, int code, const char *text)
{
    cr_expect(control_socket_open(at, NULL, &second, &err) == code, "%d: %s", err.code, err.text);
    cr_expect(strstr(err.text, text), "%s", err.text);
    cr_expect(second.fd == -1 && !second.path, "nothing was given");
}

static struct sockaddr_un address_of_path(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static int connect_to_path(void)
{
    struct sockaddr_un address = address_of_path();
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -errno;
}

/* Binds `path` by hand; backlog -1: does not listen. */
static int bind_path(int type, int backlog)
{
    struct sockaddr_un address = address_of_path();
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert(backlog < 0 || listen(fd, backlog) == 0);
    return fd;
}

static mode_t mode_of(const char *of)
{
    struct stat at;

    cr_assert(stat(of, &at) == 0, "%s: %s", of, strerror(errno));
    return at.st_mode & 07777;
}

Test(control_socket, modes_do_not_depend_on_the_umask)
{
    static const mode_t masks[] = { 0, 022, 077, 0777 };
    char *inner = text_format("%s/inner", folder), *deep = text_format("%s/inner/control", folder);

    cr_assert(inner && deep);
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        mode_t before = umask(masks[i]);

        open_first(deep, NULL);
        cr_expect(umask(before) == masks[i]);
        cr_expect(mode_of(deep) == 0660, "umask %o: %o", masks[i], mode_of(deep));
        cr_expect(mode_of(inner) == 0755, "umask %o: %o", masks[i], mode_of(inner));
        control_socket_close(&first);
        cr_expect(access(deep, F_OK) < 0);
        cr_expect(rmdir(inner) == 0);
    }
    free(inner);
    free(deep);
}

Test(control_socket, a_folder_that_is_there_is_left_as_it_is)
{
    cr_assert(chmod(folder, 0700) == 0);
    open_first(path, NULL);
    cr_expect(mode_of(folder) == 0700);
}

Test(control_socket, gets_the_group_that_is_named)
{
    const struct group *group = getgrnam("nogroup");

    if (geteuid() != 0)
        cr_skip_test("only root may give any group");
    if (!group)
        cr_skip_test("this machine has no group nogroup");
    open_first(path, "nogroup");
    cr_expect(first.group == group->gr_gid && mode_of(path) == 0660);
    control_socket_close(&first);
    open_first(path, "there-is-no-such-group");
    cr_expect(first.group == getegid() && mode_of(path) == 0660);
    control_socket_close(&first);
    cr_assert(chown(folder, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0);
    open_first(path, "root");
    cr_expect(first.group == getegid(), "a group that we may not give is not asked for in vain");
    control_socket_close(&first);
    cr_assert(seteuid(0) == 0);
}

Test(control_socket, paths_that_cannot_be)
{
    char *deep = text_format("%s/no/such/control", folder), long_one[109] = "/";

    cr_assert(deep);
    expect_refused("control", -EINVAL, "does not begin with /");
    expect_refused("", -EINVAL, "does not begin with /");
    memset(long_one + 1, 'x', sizeof(long_one) - 2);
    expect_refused(long_one, -ENAMETOOLONG, "longer than the 107 bytes");
    expect_refused(deep, -ENOENT, "/no/such of the control socket");
    cr_expect(strstr(err.text, "`control`"), "%s", err.text);
    free(deep);
}

Test(control_socket, what_is_no_socket_stays)
{
    FILE *file = fopen(path, "w");

    cr_assert(file && fputs("mine", file) >= 0 && fclose(file) == 0);
    expect_refused(path, -EEXIST, "no socket");
    cr_expect(access(path, F_OK) == 0);
    cr_assert(unlink(path) == 0 && symlink("/nowhere", path) == 0);
    expect_refused(path, -EEXIST, "no socket");
    cr_assert(unlink(path) == 0);
}

Test(control_socket, a_stale_one_is_replaced)
{
    static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        int fd;

        (void)close(bind_path(types[i], -1));
        open_first(path, NULL);
        fd = connect_to_path();
        cr_expect(fd >= 0);
        (void)close(fd);
        control_socket_close(&first);
    }
}

Test(control_socket, a_living_master_is_named_and_left_alone)
{
    char pid[32];
    int fd;

    (void)snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    open_first(path, NULL);
    expect_refused(path, -EADDRINUSE, pid);
    cr_expect(strstr(err.text, path), "%s", err.text);
    fd = connect_to_path();
    cr_expect(fd >= 0);
    (void)close(fd);
}

Test(control_socket, a_server_of_another_kind_is_left_alone)
{
    int fd = bind_path(SOCK_STREAM, 1);

    expect_refused(path, -EADDRINUSE, path);
    cr_expect(access(path, F_OK) == 0);
    (void)close(fd);
    (void)unlink(path);
}

Test(control_socket, the_longest_path_there_is)
{
    char long_one[108] = { 0 };

    memset(long_one, 'x', sizeof(long_one) - 1);
    memcpy(long_one, path, strlen(path));
    open_first(long_one, NULL);
    (void)close(TAKE_FD(first.fd)); /* as if it had died */
    cr_assert(control_socket_open(long_one, NULL, &second, &err) == 0, "%s", err.text);
}

/* Anybody who can read the folder can lock it: that must not keep a master from starting. */
Test(control_socket, a_lock_that_somebody_holds_is_not_waited_for_long)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_assert(fd >= 0 && flock(fd, LOCK_EX) == 0);
    open_first(path, NULL);
    (void)close(fd);
}

/* Accepts nothing any more, and lives. */
Test(control_socket, a_master_that_hangs_is_left_alone)
{
    int fd = bind_path(SOCK_SEQPACKET, 0), waiting = connect_to_path();

    cr_assert(waiting >= 0 && connect_to_path() == -EAGAIN, "its queue is full");
    expect_refused(path, -EADDRINUSE, path);
    cr_expect(access(path, F_OK) == 0);
    (void)close(waiting);
    (void)close(fd);
    (void)unlink(path);
}

Test(control_socket, only_the_own_file_is_removed)
{
    open_first(path, NULL);
    cr_assert(unlink(path) == 0);
    cr_assert(control_socket_open(path, NULL, &second, &err) == 0, "%s", err.text);
    control_socket_close(&first);
    cr_expect(access(path, F_OK) == 0, "the second one's file stays");
}

/* In a child: tries when `go` reaches its end, says so, and keeps what it has until `keep` does. */
static void race(int go, int keep, int decided)
{
    char byte;
    int r;

    (void)!read(go, &byte, 1);
    r = control_socket_open(path, NULL, &first, &err);
    (void)!write(decided, "x", 1);
    (void)!read(keep, &byte, 1);
    _exit(r == 0 ? 0 : r == -EADDRINUSE ? 1 : 2);
}

/* Many processes want the same path at the same moment: never do two have it. */
Test(control_socket, one_of_many_gets_the_path)
{
    enum { RACERS = 8, ROUNDS = 20 };

    for (int round = 0; round < ROUNDS; round++) {
        int go[2], keep[2], decided[2], winners = 0, status;
        pid_t pids[RACERS];
        char byte;

        if (round % 2 == 0)
            (void)close(bind_path(SOCK_SEQPACKET, -1)); /* a stale one is in the way */
        cr_assert(pipe(go) == 0 && pipe(keep) == 0 && pipe(decided) == 0);
        for (int i = 0; i < RACERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                (void)close(go[1]);
                (void)close(keep[1]);
                race(go[0], keep[0], decided[1]);
            }
        }
        (void)close(go[1]);
        for (int i = 0; i < RACERS; i++)
            cr_assert(read(decided[0], &byte, 1) == 1);
        (void)close(keep[1]);
        for (int i = 0; i < RACERS; i++) {
            cr_assert(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status));
            cr_expect(WEXITSTATUS(status) <= 1, "exit %d", WEXITSTATUS(status));
            winners += WEXITSTATUS(status) == 0;
        }
        cr_expect(winners == 1, "%d have the path", winners);
        (void)unlink(path); /* the winner's */
        (void)close(go[0]);
        (void)close(keep[0]);
        (void)close(decided[0]);
        (void)close(decided[1]);
    }
}
