/* A worker for the master's tests: speaks the channel, and behaves as its queue is called. It
 * leaves at the end of file in every case, so that a failed test leaves nothing behind. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/text.h"
#include "common/base/uuid.h"
#include "common/channel/channel.h"

struct wire {
    uint32_t magic;
    uint16_t version, type;
    uint32_t body_bytes, reserved;
    uint64_t body[8];
};

static const char *queue = "";

static bool is_called(const char *name)
{
    return strcmp(queue, name) == 0;
}

static void say(enum channel_type type, uint32_t body_bytes)
{
    struct wire frame = { .magic = 0x43565244u,
                          .version = CHANNEL_VERSION,
                          .type = (uint16_t)type,
                          .body_bytes = body_bytes,
                          .body = { 1, 2, 3 } };

    if (send(CHANNEL_FD, &frame, 16 + body_bytes, MSG_NOSIGNAL) < 0)
        _exit(EXIT_CODE_SUPERVISOR_LOST);
}

/* Returns the next frame's type; leaves when the master is gone. */
static unsigned int hear(void)
{
    for (;;) {
        struct pollfd wait = { .fd = CHANNEL_FD, .events = POLLIN };
        struct wire frame;
        ssize_t got;

        if (poll(&wait, 1, -1) < 0)
            continue;
        got = recv(CHANNEL_FD, &frame, sizeof frame, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            _exit(EXIT_CODE_SUPERVISOR_LOST);
        if (got >= 16)
            return frame.type;
    }
}

static void serve(void)
{
    unsigned int type;

    do {
        type = hear();
    } while ((type == CHANNEL_DRAIN && is_called("ignore-drain")) || is_called("ignore-all"));
    /* More than the master reads in a turn of its loop: the last one is read after the death. */
    for (int i = 0; i < 100 && is_called("many-frames"); i++)
        say(CHANNEL_READY, 0);
    _exit(EXIT_CODE_OK);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "fake worker: %s\n", what);
    _exit(EXIT_CODE_CONFIG);
}

static void check_descriptors(void)
{
    struct buf config = BUF_INIT(1000);
    struct stat status;

    if (fstat(CHANNEL_FD, &status) < 0 || !S_ISSOCK(status.st_mode))
        fail("descriptor 3 is no socket");
    if (fd_read_sealed(CHANNEL_CONFIG_FD, &config, NULL) < 0)
        fail("descriptor 4 is not sealed memory");
    if (strcmp(buf_text(&config), "{\"the\":\"config\"}") != 0)
        fail("descriptor 4 is not the configuration");
    for (int fd = 5; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            fail("more descriptors than 0 to 4");
    }
    if (fstat(STDIN_FILENO, &status) < 0 || !S_ISCHR(status.st_mode))
        fail("stdin is not /dev/null");
    buf_done(&config);
}

static void check_environment(void)
{
    static const char *const absent[] = {
        "NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",
        "LISTEN_FDS",    "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY"
    };
    const char *kept = getenv("DROVER_TEST_KEPT");

    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        if (getenv(absent[i]))
            fail(absent[i]);
    }
    if (!kept || strcmp(kept, "yes") != 0)
        fail("the rest of the environment is not there");
    if (getsid(0) != getpid() || getpgid(0) != getpid())
        fail("not a session leader");
}

/* --queue inspect --slot N --uuid U --generation 1 --slots C ROOM */
static void check_arguments(int argc, char **argv)
{
    uint64_t number;

    if (argc != 12 || strcmp(argv[3], "--slot") != 0 || strcmp(argv[5], "--uuid") != 0 ||
        strcmp(argv[7], "--generation") != 0 || strcmp(argv[8], "1") != 0 ||
        strcmp(argv[9], "--slots") != 0)
        fail("arguments are not the agreed ones");
    if (!uuid_is_valid(argv[6]) || text_parse_uint(argv[4], strlen(argv[4]), &number) < 0 ||
        strcmp(argv[10], number == 0 ? "4" : "3") != 0)
        fail("concurrency 7 over 2 processes is 4 and 3");
    if (argv[11][0] == '-' || strlen(argv[11]) < 100)
        fail("no room for a title");
}

static void start_handler(bool own_session)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)close(CHANNEL_FD);
        if (own_session)
            (void)setsid();
        (void)signal(SIGTERM, SIG_IGN);
        (void)execl("/bin/sleep", "sleep", "77", (char *)NULL);
        _exit(1);
    }
    while (own_session && getsid(pid) != pid)
        (void)poll(NULL, 0, 1); /* until the child has left the session */
}

static void before_ready(int argc, char **argv)
{
    if (is_called("inspect")) {
        check_arguments(argc, argv);
        check_descriptors();
        check_environment();
    }
    if (is_called("die-early"))
        _exit(EXIT_CODE_UNAVAILABLE);
    if (is_called("exit-78"))
        _exit(EXIT_CODE_CONFIG);
    if (is_called("exit-64"))
        _exit(EXIT_CODE_USAGE);
    if (is_called("signal"))
        (void)raise(SIGUSR1); /* no sanitizer catches it */
    if (is_called("never-ready") || is_called("deaf"))
        (void)signal(SIGTERM, SIG_IGN);
    while (is_called("never-ready"))
        (void)hear();
}

static void after_ready(void)
{
    if (is_called("ready-and-die"))
        _exit(EXIT_CODE_SOFTWARE);
    if (is_called("die-late")) {
        (void)poll(NULL, 0, 1100); /* just longer than what counts as settled */
        _exit(EXIT_CODE_SOFTWARE);
    }
    if (is_called("leave-handlers")) {
        start_handler(false);
        start_handler(false);
        (void)poll(NULL, 0, 1100);
        _exit(EXIT_CODE_SOFTWARE);
    }
    if (is_called("handlers-at-drain"))
        start_handler(false);
    if (is_called("escaped-handler"))
        start_handler(true);
    if (is_called("close-channel")) {
        (void)close(CHANNEL_FD);
        (void)poll(NULL, 0, 60000);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--queue") == 0)
        queue = argv[2];
    before_ready(argc, argv);
    say(CHANNEL_READY, 0);
    after_ready();
    serve();
    return EXIT_CODE_FAILED;
}
