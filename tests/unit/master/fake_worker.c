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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/text.h"
#include "common/base/uuid.h"
#include "common/channel/channel.h"
#include "common/scoreboard/scoreboard.h"

struct wire {
    uint32_t magic;
    uint16_t version, type;
    uint32_t body_bytes, reserved;
    union {
        uint64_t timeout_ms;
        struct channel_tune tune;
        struct channel_recover recover;
        struct channel_recovered recovered;
    };
};

static const char *queue = "", *slot = "", *uuid = "", *generation = "", *slots = "", *board = "";
static struct scoreboard_slot *row;
static unsigned int recoveries_failed;
static bool drained; /* before it was ready */

/* A queue called "serve.b" behaves like "serve". */
static bool is_called(const char *name)
{
    size_t len = strcspn(queue, ".");

    return strlen(name) == len && strncmp(queue, name, len) == 0;
}

static void send_frame(const struct wire *frame)
{
    if (send(CHANNEL_FD, frame, 16 + frame->body_bytes, MSG_NOSIGNAL) < 0)
        _exit(EXIT_CODE_SUPERVISOR_LOST);
}

static struct wire make_frame(enum channel_type type, uint32_t body_bytes)
{
    return (struct wire){ .magic = 0x43565244u,
                          .version = CHANNEL_VERSION,
                          .type = (uint16_t)type,
                          .body_bytes = body_bytes };
}

static void say(enum channel_type type)
{
    struct wire frame = make_frame(type, 0);

    send_frame(&frame);
}

/* One line of what was heard, for the test to read. */
static void note(const char *text)
{
    const char *path = getenv("DROVER_TEST_HEARD");
    char line[1024];
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    int len = snprintf(line, sizeof line, "%s/%s gen %s: %s\n", queue, slot, generation, text);

    if (fd < 0)
        return;
    if (write(fd, line, (size_t)len) < 0)
        _exit(EXIT_CODE_FAILED);
    (void)close(fd);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "fake worker: %s\n", what);
    _exit(EXIT_CODE_CONFIG);
}

/* A number that the test writes into NAME.GENERATION beside the file of what was heard, and may
 * change; 0 while there is none. */
static unsigned int told_by_test(const char *name)
{
    const char *path = getenv("DROVER_TEST_HEARD");
    struct buf text = BUF_INIT(64);
    char at[256];
    unsigned int number = 0;

    (void)snprintf(at, sizeof at, "%s.%s.%s", path ? path : "", name, generation);
    if (fd_read_file(at, &text, NULL) == 0)
        number = (unsigned int)strtoul(buf_text(&text), NULL, 10);
    buf_done(&text);
    return number;
}

static void recover(const struct channel_recover *ask)
{
    struct wire answer = make_frame(CHANNEL_RECOVERED, sizeof(struct channel_recovered));
    char text[600];

    (void)snprintf(text, sizeof text, "recover of %s cause \"%s\" max %u%s", ask->queue, ask->cause,
                   (unsigned int)ask->max_givebacks, ask->fence_only ? " fence only" : "");
    note(text);
    if (is_called("no-recover"))
        return;
    if (is_called("die-at-recover"))
        _exit(EXIT_CODE_SOFTWARE);
    memcpy(answer.recovered.uuid, ask->uuid, sizeof answer.recovered.uuid);
    answer.recovered.given_back = 2;
    if (is_called("fail-recover") && recoveries_failed++ < 2)
        answer.recovered.result = -EIO;
    send_frame(&answer);
}

static void tune(const struct channel_tune *told)
{
    char text[128];

    (void)snprintf(text, sizeof text, "tune slots %u allowed %u level %u",
                   (unsigned int)told->slots, (unsigned int)told->allowed,
                   (unsigned int)told->log_level);
    note(text);
}

/* Returns the next frame's type, 0 when none has come within wait_ms (-1: for ever); leaves when
 * the master is gone. */
static unsigned int hear_for(int wait_ms)
{
    for (;;) {
        struct pollfd wait = { .fd = CHANNEL_FD, .events = POLLIN };
        struct wire frame;
        ssize_t got;
        int ready = poll(&wait, 1, wait_ms);

        if (ready == 0)
            return 0;
        if (ready < 0)
            continue;
        got = recv(CHANNEL_FD, &frame, sizeof frame, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            _exit(EXIT_CODE_SUPERVISOR_LOST);
        if (got >= 16 && frame.type == CHANNEL_RECOVER)
            recover(&frame.recover);
        else if (got >= 16 && frame.type == CHANNEL_TUNE)
            tune(&frame.tune);
        else if (got >= 16)
            return frame.type;
    }
}

static unsigned int hear(void)
{
    return hear_for(-1);
}

/* Runs as many jobs as the test says, until it was told to leave and runs none any more. */
static void hold(void)
{
    bool leaves = false;

    for (;;) {
        unsigned int type = hear_for(5), running = told_by_test("running");

        if (type == CHANNEL_STOP)
            break;
        scoreboard_set(row, SCOREBOARD_RUNNING, running);
        if (type == CHANNEL_DRAIN) {
            leaves = true;
            note("drain");
        }
        if (leaves && !is_called("hold-open"))
            scoreboard_set(row, SCOREBOARD_FLAGS, SCOREBOARD_ENDS);
        if (leaves && running == 0 && told_by_test("stay") == 0)
            break;
    }
    _exit(EXIT_CODE_OK);
}

/* What `ps` shows of it, odd things too. */
static void show_jobs(void)
{
    static const char odd[] = "caf\xc3\xa9 \"\\\n\x01 \xff after";

    scoreboard_set(row, SCOREBOARD_FLAGS, SCOREBOARD_REDIS_UP | SCOREBOARD_PAUSED);
    scoreboard_set(row, SCOREBOARD_RUNNING, 3);
    scoreboard_set(row, SCOREBOARD_JOB_SLOTS, 5);
    scoreboard_set(row, SCOREBOARD_COMPLETED, 41);
    scoreboard_set(row, SCOREBOARD_WAITING, UINT64_MAX); /* a lie */
    for (int i = 0; i < 100; i++)
        scoreboard_count_time(row, SCOREBOARD_RUN_US, i < 98 ? 1000 : 1000000);
    scoreboard_job_set_pid(row, scoreboard_job_begin(row, "17", 2, "mail", 4, 2), 4711);
    (void)scoreboard_job_begin(row, odd, sizeof odd - 1, "", 0, UINT64_MAX);
    for (int i = 2; i < SCOREBOARD_JOBS + 3; i++)
        (void)scoreboard_job_begin(row, odd, sizeof odd - 1, odd, sizeof odd - 1, 1);
}

/* All pages of its own half, by another mapping than the library's. */
static void write_garbage(void)
{
    size_t master_bytes = 4096, slot_bytes = 28672; /* docs/protocols/scoreboard.md */
    size_t at = 8192 + (size_t)atoi(board) * slot_bytes + master_bytes;
    unsigned char *child = mmap(NULL, slot_bytes - master_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                                CHANNEL_SCOREBOARD_FD, (off_t)at);

    if (child == MAP_FAILED)
        fail("map the scoreboard");
    for (size_t i = 0; i < slot_bytes - master_bytes; i++)
        child[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t i = 4096; i < slot_bytes - master_bytes; i += 160) { /* rows that look whole */
        memset(child + i, 0xff, 160);
        memcpy(child + i, &(uint32_t[]){ 2, 1 }, 8);
    }
    note("garbage written");
}

static void serve(void)
{
    unsigned int type;

    do {
        type = hear();
        if (type == CHANNEL_DRAIN)
            scoreboard_set(row, SCOREBOARD_FLAGS, SCOREBOARD_ENDS);
    } while ((type == CHANNEL_DRAIN && is_called("ignore-drain")) || is_called("ignore-all"));
    note(type == CHANNEL_DRAIN ? "drain" : "stop");
    /* More than the master reads in a turn of its loop: the last one is read after the death. */
    for (int i = 0; i < 100 && is_called("many-frames"); i++)
        say(CHANNEL_READY);
    scoreboard_set(row, SCOREBOARD_RUNNING, 0);
    scoreboard_set(row, SCOREBOARD_COMPLETED, 3);
    _exit(EXIT_CODE_OK);
}

static void check_descriptors(void)
{
    struct buf config = BUF_INIT(65536);
    struct stat status;

    if (fstat(CHANNEL_FD, &status) < 0 || !S_ISSOCK(status.st_mode))
        fail("descriptor 3 is no socket");
    if (fd_read_sealed(CHANNEL_CONFIG_FD, &config, NULL) < 0)
        fail("descriptor 4 is not sealed memory");
    if (!strstr(buf_text(&config), "\"inspect\""))
        fail("descriptor 4 is not the configuration");
    if (!row)
        fail("descriptor 5 is no scoreboard with a slot of ours");
    for (int fd = CHANNEL_SCOREBOARD_FD + 1; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            fail("more descriptors than 0 to 5");
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

static void read_arguments(int argc, char **argv)
{
    static const struct {
        const char *name;
        const char **value;
    } known[] = {
        { "--queue", &queue }, { "--slot", &slot },   { "--uuid", &uuid },
        { "--slots", &slots }, { "--board", &board }, { "--generation", &generation },
    };

    for (int i = 1; i + 1 < argc; i += 2) {
        for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
            if (strcmp(argv[i], known[k].name) == 0)
                *known[k].value = argv[i + 1];
        }
    }
}

/* --queue inspect --slot N --uuid U --generation 1 --slots C --board B --master M ROOM */
static void check_arguments(int argc, char **argv)
{
    uint64_t number;

    if (argc != 16 || strcmp(argv[13], "--master") != 0 || !uuid_is_valid(argv[14]))
        fail("arguments are not the agreed ones");
    if (!uuid_is_valid(uuid) || strcmp(generation, "1") != 0 ||
        text_parse_uint(slot, strlen(slot), &number) < 0 ||
        strcmp(slots, number == 0 ? "4" : "3") != 0)
        fail("concurrency 7 over 2 processes is 4 and 3");
    if (argv[15][0] == '-' || strlen(argv[15]) < 100)
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

/* This one counts. */
static unsigned int starts_so_far(void)
{
    struct buf heard = BUF_INIT(1 << 20);
    unsigned int count = 0;

    note("started");
    if (fd_read_file(getenv("DROVER_TEST_HEARD"), &heard, NULL) == 0) {
        for (const char *at = buf_text(&heard); (at = strstr(at, ": started")); at++)
            count++;
    }
    buf_done(&heard);
    return count;
}

/* Until the test says so; a stop ends it. Whether it was told to drain meanwhile. */
static void wait_until(const char *name)
{
    while (told_by_test(name) == 0) {
        unsigned int type = hear_for(5);

        if (type == CHANNEL_STOP)
            _exit(EXIT_CODE_OK);
        drained = drained || type == CHANNEL_DRAIN;
    }
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
    if (is_called("late-start") && starts_so_far() % 3 != 0)
        _exit(EXIT_CODE_UNAVAILABLE);
    if (is_called("exit-78") || (is_called("exit-78-until") && told_by_test("good") == 0))
        _exit(EXIT_CODE_CONFIG);
    if (is_called("exit-64"))
        _exit(EXIT_CODE_USAGE);
    if (is_called("signal"))
        (void)raise(SIGUSR1); /* no sanitizer catches it */
    if (is_called("never-ready") || is_called("deaf"))
        (void)signal(SIGTERM, SIG_IGN);
    if (is_called("wait-ready"))
        wait_until("ready");
    while (is_called("never-ready") ||
           (is_called("never-ready-again") && strcmp(generation, "1") != 0))
        (void)hear();
    if (is_called("exit-78-again") && strcmp(generation, "1") != 0)
        _exit(EXIT_CODE_CONFIG);
}

static void after_ready(void)
{
    if (is_called("ready-and-64"))
        _exit(EXIT_CODE_USAGE);
    if (is_called("ready-and-die"))
        _exit(EXIT_CODE_SOFTWARE);
    if (is_called("die-late")) {
        (void)poll(NULL, 0, 200);
        _exit(EXIT_CODE_SOFTWARE);
    }
    if (is_called("leave-handlers")) {
        start_handler(false);
        start_handler(false);
        (void)poll(NULL, 0, 200);
        _exit(EXIT_CODE_SOFTWARE);
    }
    if (is_called("handlers-at-drain"))
        start_handler(false);
    if (is_called("escaped-handler"))
        start_handler(true);
    if (drained) {
        wait_until("leave");
        _exit(EXIT_CODE_OK);
    }
    if (is_called("hold") || is_called("hold-open"))
        hold();
    if (is_called("garbage"))
        write_garbage();
    if (is_called("show-jobs"))
        show_jobs();
    if (is_called("deaf-drain")) { /* loses its channel when it is told to drain */
        while (hear() != CHANNEL_DRAIN)
            ;
    }
    if (is_called("close-channel") || is_called("deaf-drain")) {
        (void)close(CHANNEL_FD);
        (void)poll(NULL, 0, 60000);
    }
}

int main(int argc, char **argv)
{
    struct error err = { 0 };

    read_arguments(argc, argv);
    if (scoreboard_attach(CHANNEL_SCOREBOARD_FD, atoi(board), uuid, &row, &err) < 0)
        row = NULL;
    before_ready(argc, argv);
    say(CHANNEL_READY);
    after_ready();
    serve();
    return EXIT_CODE_FAILED;
}
