/* What is made of descriptors that systemd, or anybody, passes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/store.h"
#include "tests/unit/master/notify_ear.h"

#define FIRST 40 /* Criterion has the low ones */

static int log_fd;
static struct store_passed passed;
static struct scoreboard *board;
static bool kept;

static void set_up(void)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_open(log_fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    ear_open();
    passed = (struct store_passed){ .names = calloc(STORE_PASSED_MAX + 8, sizeof(char *)) };
}

static void tear_down(void)
{
    scoreboard_free(board);
    for (int i = 0; i < 8; i++)
        cr_expect(fcntl(FIRST + i, F_GETFD) < 0, "descriptor %d is closed", FIRST + i);
    ear_close();
}

TestSuite(store, .init = set_up, .fini = tear_down);

/* Takes `fd`. */
static void pass(int fd, const char *name)
{
    cr_assert(dup2(fd, FIRST + passed.count) >= 0);
    (void)close(fd);
    passed.fds[passed.count] = FIRST + passed.count;
    passed.names[passed.count++] = strdup(name);
}

static void open_board(bool expect_kept)
{
    struct error err = { 0 };

    cr_assert(store_open_board(&passed, &board, &kept, &err) == 0, "%s", err.text);
    cr_expect(kept == expect_kept);
    cr_expect(passed.names == NULL, "used up");
}

static uint32_t starts(void)
{
    struct scoreboard_life life;

    scoreboard_read_life(board, &life);
    return life.starts;
}

static bool logged(const char *text)
{
    struct buf all = BUF_INIT(1 << 20);
    bool found;

    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &all, NULL) == 0);
    found = strstr(buf_text(&all), text) != NULL;
    buf_done(&all);
    return found;
}

/* As the last master left one: this is its second start. */
static int make_board(void)
{
    struct scoreboard *made = NULL;
    int fd;

    cr_assert(scoreboard_new(&made, NULL) == 0);
    scoreboard_begin(made);
    fd = fcntl(scoreboard_fd(made), F_DUPFD_CLOEXEC, 100);
    scoreboard_free(made);
    return fd;
}

static int make_wrong(uint32_t version)
{
    int fd = make_board();

    cr_assert(pwrite(fd, &version, sizeof version, 4) == sizeof version);
    return fd;
}

static int make_memory(const char *text)
{
    int fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

#define STORED    "FDSTORE=1;FDNAME=scoreboard;FDPOLL=0\n"
#define FORGOTTEN "FDSTOREREMOVE=1;FDNAME=scoreboard\n"

Test(store, nothing_passed_makes_a_new_one_and_has_it_kept)
{
    open_board(false);
    cr_expect(starts() == 1);
    cr_expect_str_eq(ear_hear(), STORED);
    cr_expect(!logged("warn"));
}

Test(store, nobody_has_to_be_asked_at_all)
{
    struct error err = { 0 };

    free(passed.names);
    cr_assert(store_open_board(NULL, &board, &kept, &err) == 0 && !kept && starts() == 1);
}

Test(store, the_kept_one_is_used)
{
    pass(make_board(), "scoreboard");
    open_board(true);
    cr_expect(starts() == 2);
    cr_expect_str_eq(ear_hear(), "", "systemd has it already");
    cr_expect(logged("\"event\":\"scoreboard.kept\""));
    scoreboard_free(board);
    board = NULL;
}

Test(store, a_wrong_one_is_refused_by_name_and_replaced)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        { "the version before", "version 1; this program knows version 2" },
        { "a later version", "version 9;" },
        { "empty", "not a scoreboard: 0 bytes" },
        { "something else", "not a scoreboard (it begins with" },
        { "no memory at all", "not a scoreboard: " },
    };
    int pipe_fds[2];

    cr_assert(pipe2(pipe_fds, O_CLOEXEC) == 0);
    free(passed.names); /* each row has its own */
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        passed = (struct store_passed){ .names = calloc(STORE_PASSED_MAX + 8, sizeof(char *)) };
        pass(i == 0   ? make_wrong(1)
             : i == 1 ? make_wrong(9)
             : i == 2 ? make_memory("")
             : i == 3 ? make_memory("something else, and long enough for a head of forty bytes")
                      : pipe_fds[0],
             "scoreboard");
        open_board(false);
        cr_expect(starts() == 1, "%s", rows[i].name);
        cr_expect(logged(rows[i].text), "%s", rows[i].name);
        cr_expect_str_eq(ear_hear(), FORGOTTEN STORED, "%s", rows[i].name);
        ear_forget();
        cr_expect(fcntl(FIRST, F_GETFD) < 0, "%s: closed", rows[i].name);
        scoreboard_free(board);
        board = NULL;
    }
    (void)close(pipe_fds[1]);
}

Test(store, one_scoreboard_is_enough)
{
    pass(make_wrong(1), "scoreboard");
    pass(make_board(), "scoreboard");
    pass(make_board(), "scoreboard");
    open_board(true);
    cr_expect(starts() == 2, "the first good one");
    cr_expect(logged("one scoreboard is enough"));
    cr_expect_str_eq(ear_hear(), FORGOTTEN STORED, "only the good one is kept on");
    scoreboard_free(board);
    board = NULL;
}

Test(store, others_are_closed_and_said)
{
    pass(open("/dev/null", O_RDONLY | O_CLOEXEC), "http");
    pass(make_board(), "");
    pass(make_board(), "scoreboard");
    pass(open("/dev/null", O_RDONLY | O_CLOEXEC), "unknown");
    open_board(true);
    cr_expect(starts() == 2);
    cr_expect(logged("\"name\":\"http\"") && logged("\"name\":\"unknown\"") &&
              logged("systemd.fd_closed"));
    cr_expect_str_eq(ear_hear(), "FDSTOREREMOVE=1;FDNAME=http\nFDSTOREREMOVE=1;FDNAME=unknown\n");
    scoreboard_free(board);
    board = NULL;
}

Test(store, without_names_nothing_is_ours)
{
    pass(make_board(), "");
    free(passed.names[0]);
    free(passed.names);
    passed.names = NULL;
    passed.error = -EINVAL;
    open_board(false);
    cr_expect(logged("systemd.fds_ignored") && logged("systemd.fd_closed"));
}

/* ---- the environment */

static void set(const char *pid, const char *fds, const char *names)
{
    char own[16];

    (void)snprintf(own, sizeof own, "%d", getpid());
    cr_assert((pid ? setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1)
                   : unsetenv("LISTEN_PID")) == 0);
    cr_assert((fds ? setenv("LISTEN_FDS", fds, 1) : unsetenv("LISTEN_FDS")) == 0);
    cr_assert((names ? setenv("LISTEN_FDNAMES", names, 1) : unsetenv("LISTEN_FDNAMES")) == 0);
}

/* Where nothing was passed, or what was cannot be made out. */
Test(store, an_odd_environment_is_told_from_none)
{
    static const struct {
        const char *name, *pid, *fds, *names;
        bool error;
    } rows[] = {
        { "none", NULL, NULL, NULL, false },
        { "of another process", "1", "1", "scoreboard", false },
        { "a number of nothing", "own", "0", "", true },
        { "no pid", NULL, "1", "scoreboard", false },
        { "no number", "own", "abc", NULL, true },
        { "a negative one", "own", "-2", NULL, true },
        { "no number of a process", "x", "1", NULL, true },
        { "far too many", "own", "2000000000", NULL, true },
        { "more than are open", "own", "900", NULL, true },
    };

    free(passed.names);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct store_passed got = { .count = 7 };

        set(rows[i].pid, rows[i].fds, rows[i].names);
        store_take(&got);
        cr_expect(got.count == 0 && got.surplus == 0 && !got.names, "%s", rows[i].name);
        cr_expect((got.error < 0) == rows[i].error, "%s: %d", rows[i].name, got.error);
    }
}

/* In a process of its own: what lies from 3 on belongs to the test's framework. Returns how many
 * were passed on; each has a high number and is close-on-exec, and the low ones are free. */
static int take_in_child(int count, const char *names)
{
    pid_t pid = fork();
    int status = 0;

    cr_assert(pid >= 0);
    if (pid == 0) {
        struct store_passed got;
        char number[16];
        bool good = true;

        for (int fd = 3; fd < 256; fd++)
            (void)close(fd);
        for (int i = 0; i < count; i++)
            (void)!dup2(open("/dev/null", O_RDONLY), 3 + i);
        (void)snprintf(number, sizeof number, "%d", count);
        set("own", number, names);
        store_take(&got);
        for (int i = 0; i < got.count; i++)
            good = good && got.fds[i] >= 64 && fcntl(got.fds[i], F_GETFD) == FD_CLOEXEC;
        for (int fd = 3; fd < 64; fd++)
            good = good && fcntl(fd, F_GETFD) < 0;
        good = good && got.count + got.surplus == count;
        good = good && (got.error < 0) == (names && strstr(names, "too:many"));
        _exit(good ? got.count : 255);
    }
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(store, what_is_passed_moves_out_of_the_way)
{
    free(passed.names);
    cr_expect(take_in_child(1, "scoreboard") == 1);
    cr_expect(take_in_child(3, NULL) == 3);
    cr_expect(take_in_child(1, "too:many") == 1, "closed and said, later");
    cr_expect(take_in_child(40, NULL) == STORE_PASSED_MAX);
}
