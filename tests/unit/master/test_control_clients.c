/* Who may use the control socket, who is slow, who is silent, and how many they may be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "tests/unit/master/control_rig.h"

enum { NOBODY = 65534, LOOKERS = 61234 };

TestSuite(control_clients, .init = rig_set_up, .fini = rig_tear_down, .timeout = 60);

/* ---- slow and silent ones ---- */

Test(control_clients, a_client_that_does_not_read_is_dropped)
{
    int slow, quick, rows = 0;
    size_t len;

    rig.rows_wanted = 3000;
    rig.options.stuck_ms = 200;
    rig_open();
    slow = rig_connect();
    quick = rig_connect();
    rig_say(slow, SAY_ROWS);
    rig_some_turns();
    rig_say(quick, SAY_ECHO); /* is served meanwhile */
    rig_hear_row_and_end(quick);
    clock_shift_for_tests(1000);
    rig_some_turns();
    clock_shift_for_tests(-1000);
    for (int i = 0; i < 60; i++)
        rig_turn();
    while ((len = rig_hear_bytes(slow)) > 0)
        rows++;
    cr_expect(rows > 0 && rows < 3000, "%d rows before the end of file", rows);
    (void)close(slow);
    rig_say(quick, SAY_ECHO);
    rig_hear_row_and_end(quick);
    (void)close(quick);
}

Test(control_clients, a_client_that_reads_slowly_is_not)
{
    int fd;

    rig.rows_wanted = 2000;
    rig.options.stuck_ms = 400;
    rig_open();
    fd = rig_connect();
    rig_say(fd, SAY_ROWS);
    for (unsigned int i = 0; i < rig.rows_wanted; i++) {
        json_decref(rig_hear(fd));
        if (i % 200 == 0) {
            rig_some_turns();
            clock_shift_for_tests(200);
            rig_some_turns();
        }
    }
    rig_hear_end(fd, 0, NULL, NULL);
    (void)close(fd);
}

Test(control_clients, a_silent_client_is_closed_and_one_that_waits_for_an_answer_is_not)
{
    int silent, waiting;

    rig.options.idle_ms = 200;
    rig_open();
    silent = rig_connect();
    waiting = rig_connect();
    rig_say(waiting, SAY_HOLD);
    rig_wait_for_held(1);
    clock_shift_for_tests(10000);
    rig_expect_closed(silent);
    cr_expect(control_request_is_heard(rig.held[0]));
    control_request_end(rig.held[0], NULL);
    rig_hear_end(waiting, 0, NULL, NULL);
    clock_shift_for_tests(10000);
    rig_expect_closed(waiting);
}

Test(control_clients, the_one_that_was_idle_longest_makes_room)
{
    int fds[CONTROL_CLIENTS_MAX], one_more;

    rig_open();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = rig_connect();
        rig_say(fds[i], SAY_ECHO);
        rig_hear_row_and_end(fds[i]);
        clock_shift_for_tests(1);
    }
    rig_say(fds[0], SAY_ECHO);
    rig_hear_row_and_end(fds[0]);
    one_more = rig_connect();
    rig_say(one_more, SAY_ECHO);
    rig_hear_row_and_end(one_more);
    rig_expect_closed(fds[1]);
    rig_say(fds[0], SAY_ECHO);
    rig_hear_row_and_end(fds[0]);
    (void)close(one_more);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (i != 1)
            (void)close(fds[i]);
    }
}

Test(control_clients, when_all_are_busy_one_more_is_told_so)
{
    static struct control_request *requests[CONTROL_CLIENTS_MAX];
    int fds[CONTROL_CLIENTS_MAX], one_more;

    rig_open();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = rig_connect();
        rig.held_count = 0;
        rig_say(fds[i], SAY_HOLD);
        rig_wait_for_held(1);
        requests[i] = rig.held[0];
    }
    one_more = rig_connect();
    rig_hear_end(one_more, EXIT_CODE_UNAVAILABLE, "as many clients as it takes", NULL);
    rig_expect_closed(one_more);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        control_request_end(requests[i], NULL);
        rig_hear_end(fds[i], 0, NULL, NULL);
        (void)close(fds[i]);
    }
    fds[0] = rig_connect();
    rig_say(fds[0], SAY_ECHO);
    rig_hear_row_and_end(fds[0]);
    (void)close(fds[0]);
}

Test(control_clients, hundreds_come_and_go)
{
    rig_open();
    for (int i = 0; i < 500; i++) {
        int fd = rig_connect();

        if (i % 3 != 0)
            rig_say(fd, i % 3 == 1 ? SAY_ECHO : "garbage");
        (void)close(fd);
        rig_turn();
        if (i % 2 == 0)
            rig_some_turns();
    }
    for (int i = 0; i < 3; i++) {
        int fd = rig_connect();

        rig_say(fd, SAY_ECHO);
        rig_hear_row_and_end(fd);
        (void)close(fd);
    }
}

/* ---- who may ---- */

/* Runs as somebody else in a child; sends `text`, and reads until an end: its code in *out_code,
 * its error in *out_error, and whether the connection stays. Connecting refused by the kernel:
 * -EACCES in *out_code. */
static void ask_as(uid_t uid, gid_t gid, gid_t more, const char *text, int *out_code,
                   char out_error[1024], bool *out_stays)
{
    int to_parent[2], status;
    struct {
        int code;
        char error[1024];
        bool stays;
    } found = { 0 };
    pid_t pid;

    cr_assert(pipe2(to_parent, O_CLOEXEC | O_NONBLOCK) == 0);
    pid = fork();
    if (pid == 0) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        ssize_t len = 0;

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig.path);
        if (setgroups(more ? 1 : 0, &more) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
            _exit(1);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
            found.code = -errno;
        } else {
            json_t *end = NULL;

            (void)send(fd, text, strlen(text), 0);
            do {
                json_decref(end);
                len = recv(fd, rig.packet, sizeof(rig.packet), 0);
                end = len > 0 ? json_loadb(rig.packet, (size_t)len, 0, NULL) : NULL;
            } while (end && !json_object_get(end, "end"));
            found.code = end ? (int)json_integer_value(json_object_get(end, "code")) : -EPIPE;
            if (json_object_get(end, "error"))
                (void)snprintf(found.error, sizeof(found.error), "%s",
                               json_string_value(json_object_get(end, "error")));
            found.stays = send(fd, SAY_ECHO, strlen(SAY_ECHO), MSG_NOSIGNAL) > 0 &&
                          recv(fd, rig.packet, sizeof(rig.packet), 0) > 0;
        }
        _exit(write(to_parent[1], &found, sizeof(found)) == sizeof(found) ? 0 : 1);
    }
    cr_assert(pid > 0);
    while (read(to_parent[0], &found, sizeof(found)) != sizeof(found)) {
        cr_assert(waitpid(pid, &status, WNOHANG) != pid || WEXITSTATUS(status) == 0);
        rig_turn();
    }
    (void)waitpid(pid, &status, 0);
    (void)close(to_parent[0]);
    (void)close(to_parent[1]);
    *out_code = found.code;
    (void)snprintf(out_error, 1024, "%s", found.error);
    *out_stays = found.stays;
}

static void need_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
}

Test(control_clients, who_may_look_and_who_may_change)
{
    static const struct {
        const char *who;
        uid_t uid;
        gid_t gid, more;
        const char *asks;
        int code;
        const char *error;
        bool stays;
    } rows[] = {
        { "root looks", 0, 0, 0, SAY_ECHO, 0, NULL, true },
        { "root changes", 0, 0, 0, SAY_CHANGE, EXIT_CODE_CONFIG, "refused: a", true },
        { "a member looks", NOBODY, LOOKERS, 0, SAY_ECHO, 0, NULL, true },
        { "a member changes", NOBODY, LOOKERS, 0, SAY_CHANGE, EXIT_CODE_FAILED,
          "change changes what runs: that is for root", true },
        { "a supplementary member looks", NOBODY, NOBODY, LOOKERS, SAY_ECHO, 0, NULL, true },
        { "a supplementary member changes", NOBODY, NOBODY, LOOKERS, SAY_CHANGE, EXIT_CODE_FAILED,
          "may look", true },
        { "a stranger looks", NOBODY, NOBODY, 0, SAY_ECHO, EXIT_CODE_FAILED,
          "uid 65534 may not use this socket", false },
        { "a stranger of another group changes", NOBODY, NOBODY, LOOKERS + 1, SAY_CHANGE,
          EXIT_CODE_FAILED, "(gid 61234) may", false },
    };

    need_root();
    cr_assert(setegid(LOOKERS) == 0);
    rig_open();
    cr_assert(setegid(0) == 0);
    cr_assert(chmod(rig.path, 0666) == 0); /* so that strangers are the server's business */
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char error[1024];
        bool stays;
        int code;

        ask_as(rows[i].uid, rows[i].gid, rows[i].more, rows[i].asks, &code, error, &stays);
        cr_expect(code == rows[i].code, "%s: %d %s", rows[i].who, code, error);
        cr_expect(rows[i].error ? strstr(error, rows[i].error) != NULL : !*error, "%s: %s",
                  rows[i].who, error);
        cr_expect(stays == rows[i].stays, "%s", rows[i].who);
    }
    cr_expect(rig.changed == 1);
}

Test(control_clients, the_kernel_keeps_strangers_out)
{
    char error[1024];
    bool stays;
    int code;

    need_root();
    rig_open();
    ask_as(NOBODY, NOBODY, 0, SAY_ECHO, &code, error, &stays);
    cr_expect(code == -EACCES, "%d", code);
}

/* A master that does not run as root: its own user may change, too. */
Test(control_clients, the_own_user_may_change)
{
    char error[1024];
    bool stays;
    int code;

    need_root();
    cr_assert(chown(rig.folder, NOBODY, NOBODY) == 0);
    cr_assert(setegid(NOBODY) == 0 && seteuid(NOBODY) == 0);
    rig_open();
    cr_assert(seteuid(0) == 0 && setegid(0) == 0);
    ask_as(NOBODY, NOBODY, 0, SAY_CHANGE, &code, error, &stays);
    cr_expect(code == EXIT_CODE_CONFIG, "%d %s", code, error);
    ask_as(0, 0, 0, SAY_CHANGE, &code, error, &stays);
    cr_expect(code == EXIT_CODE_CONFIG, "root as well: %d %s", code, error);
}

/* All places full of members that do not read: root gets through all the same. */
Test(control_clients, lookers_do_not_keep_root_out)
{
    int fds[CONTROL_CLIENTS_MAX], ready[2], fd;
    char byte;
    pid_t pid;

    need_root();
    rig.rows_wanted = 3000;
    cr_assert(setegid(LOOKERS) == 0);
    rig_open();
    cr_assert(setegid(0) == 0);
    cr_assert(pipe2(ready, O_CLOEXEC | O_NONBLOCK) == 0);
    pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setgid(LOOKERS) < 0 || setuid(NOBODY) < 0)
            _exit(1);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
            while ((fds[i] = rig_try_to_connect()) < 0)
                (void)usleep(1000);
            (void)send(fds[i], SAY_ROWS, strlen(SAY_ROWS), 0);
        }
        (void)!write(ready[1], "x", 1);
        (void)pause();
        _exit(0);
    }
    while (read(ready[0], &byte, 1) != 1)
        rig_turn();
    for (int i = 0; i < 50; i++)
        rig_turn();
    fd = rig_connect();
    rig_say(fd, SAY_CHANGE);
    rig_hear_end(fd, EXIT_CODE_CONFIG, "refused", NULL);
    (void)close(fd);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(ready[0]);
    (void)close(ready[1]);
}
