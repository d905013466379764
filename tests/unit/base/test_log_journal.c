/* The journal's native protocol, against a socket that plays journald. */
#include <criterion/criterion.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/fd.h"
#include "common/base/log_events.h"
#include "common/base/log_form.h"

static char folder[] = "/tmp/drover-journal-XXXXXX";
static char path[64];
static int journald = -1, stderr_fd = -1;
static char entry[1 << 20]; /* the last one that arrived */
static size_t entry_len;
static bool in_memory;

static void listen_at(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    journald = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert(journald >= 0 && bind(journald, (struct sockaddr *)&address, sizeof address) == 0);
}

static void init(void)
{
    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    listen_at();
    stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
    log_open(stderr_fd, LOG_FORMAT_JOURNAL, LOG_LEVEL_DEBUG);
    log_journal_open(path);
    log_set_identifier("drover-worker");
}

static void done(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

TestSuite(log_journal, .init = init, .fini = done);

static struct buf stderr_text(void)
{
    struct buf text = BUF_INIT(1 << 20);

    cr_assert(lseek(stderr_fd, 0, SEEK_SET) == 0);
    cr_assert(fd_read_all(stderr_fd, &text, NULL) == 0);
    return text;
}

/* Takes the next entry; false when there is none. */
static bool receive(void)
{
    struct iovec bytes = { entry, sizeof entry };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t len = recvmsg(journald, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *head;

    if (len < 0)
        return false;
    entry_len = (size_t)len;
    head = CMSG_FIRSTHDR(&message);
    in_memory = head != NULL;
    if (head) {
        struct buf text = BUF_INIT(sizeof entry);
        int fd;

        cr_assert(len == 0, "the descriptor alone");
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
        cr_assert(fd_read_sealed(fd, &text, NULL) == 0, "journald wants it sealed");
        cr_assert(fcntl(fd, F_GET_SEALS) ==
                  (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
        cr_assert(text.data);
        memcpy(entry, text.data, text.len);
        entry_len = text.len;
        buf_done(&text);
        (void)close(fd);
    }
    return true;
}

/* Reads the field at *at by the protocol; the value is valid until the next call. */
static const char *next_field(size_t *at, const char **out_value, size_t *out_len)
{
    static char name[64];
    size_t name_len = strcspn(entry + *at, "=\n");

    cr_assert(name_len > 0 && name_len < sizeof name);
    memcpy(name, entry + *at, name_len);
    name[name_len] = '\0';
    if (entry[*at + name_len] == '=') {
        *out_value = entry + *at + name_len + 1;
        *out_len = strcspn(*out_value, "\n");
    } else {
        uint64_t len;

        memcpy(&len, entry + *at + name_len + 1, sizeof len);
        *out_len = le64toh(len);
        *out_value = entry + *at + name_len + 1 + sizeof len;
    }
    *at = (size_t)(*out_value - entry) + *out_len;
    cr_assert(*at < entry_len && entry[*at] == '\n', "%s is not ended by a newline", name);
    ++*at;
    return name;
}

/* The value of a field, which must stand once; "(absent)". To be freed. */
static char *field(const char *wanted)
{
    char *found = NULL;

    for (size_t at = 0; at < entry_len;) {
        const char *value;
        size_t len;
        const char *name = next_field(&at, &value, &len);

        cr_assert(strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name) &&
                      name[0] != '_' && strlen(name) <= 64,
                  "%s", name);
        if (strcmp(name, wanted) == 0) {
            cr_assert(!found, "%s stands twice", name);
            found = strndup(value, len);
        }
    }
    return found ? found : strdup("(absent)");
}

static void expect_field(const char *name, const char *wanted)
{
    char *value = field(name);

    cr_expect_str_eq(value, wanted, "%s is %s, not %s", name, value, wanted);
    free(value);
}

static void set_context(void)
{
    log_set_context((struct log_field[]){ LOG_STR("role", "worker"), LOG_STR("queue", "money"),
                                          LOG_STR("worker", "h/money/0"), LOG_UINT("generation", 3),
                                          LOG_INT("pid", 77) },
                    5);
}

Test(log_journal, an_event_has_the_fields_that_people_search_for)
{
    set_context();
    log_error("job.failed", LOG_STR("job", "42"), LOG_STR("job_type", "pay"),
              LOG_STR("correlation", "order-9"), LOG_UINT("took_ms", 12), LOG_BOOL("yes", true),
              LOG_REAL("ratio", 0.5), LOG_STR("none", NULL), LOG_STR("reason", "no such card"));
    cr_assert(receive());
    cr_expect(!in_memory);
    expect_field("MESSAGE", "job.failed queue=money job=42 job_type=pay correlation=order-9 "
                            "took_ms=12 yes=true ratio=0.5 none=null reason=\"no such card\"");
    expect_field("MESSAGE_ID", log_event_find("job.failed")->id);
    expect_field("PRIORITY", "3");
    expect_field("SYSLOG_IDENTIFIER", "drover-worker");
    expect_field("EVENT", "job.failed");
    expect_field("QUEUE", "money");
    expect_field("JOB_ID", "42");
    expect_field("JOB_TYPE", "pay");
    expect_field("WORKER", "h/money/0");
    expect_field("GENERATION", "3");
    expect_field("CORRELATION_ID", "order-9");
    expect_field("TOOK_MS", "12");
    expect_field("YES", "true");
    expect_field("RATIO", "0.5");
    expect_field("NONE", "(absent)");
    expect_field("REASON", "no such card");
    expect_field("ROLE", "worker");
    expect_field("PID", "77");
    cr_expect(!receive(), "one event is one entry");
    cr_expect(lseek(stderr_fd, 0, SEEK_END) == 0, "nothing is on stderr");
}

Test(log_journal, levels_are_syslogs)
{
    static const struct {
        enum log_level level;
        const char *priority;
    } rows[] = { { LOG_LEVEL_DEBUG, "7" },
                 { LOG_LEVEL_INFO, "6" },
                 { LOG_LEVEL_WARN, "4" },
                 { LOG_LEVEL_ERROR, "3" } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        log_at(rows[i].level, "a.b", LOG_INT("n", 1));
        cr_assert(receive());
        expect_field("PRIORITY", rows[i].priority);
        expect_field("MESSAGE_ID", "(absent)");
    }
}

Test(log_journal, an_events_own_field_stands_instead_of_the_contexts)
{
    set_context();
    log_info("program.said", LOG_INT("pid", 5), LOG_STR("queue", "other"), LOG_STR("text", "x"));
    cr_assert(receive());
    expect_field("PID", "5");
    expect_field("QUEUE", "other");
    expect_field("MESSAGE", "program.said pid=5 queue=other text=x");
}

Test(log_journal, lines_and_bytes_go_by_their_length)
{
    log_info("a.b", LOG_STR("text", "two\nlines\xff\x01=\n"), LOG_STR("next", "x"));
    cr_assert(receive());
    expect_field("TEXT", "two\nlines\xff\x01=\n");
    expect_field("NEXT", "x");
    expect_field("MESSAGE", "a.b text=\"two\\nlines\xef\xbf\xbd\\u0001=\\n\" next=x");
}

Test(log_journal, what_is_too_big_for_a_datagram_goes_in_sealed_memory)
{
    static char text[20000];
    char *value;

    memset(text, 'x', sizeof text - 1);
    log_info("a.b", LOG_STR("a", text), LOG_STR("b", text), LOG_STR("c", text), LOG_STR("d", text),
             LOG_STR("e", text), LOG_STR("f", text), LOG_STR("g", text), LOG_STR("h", text),
             LOG_STR("i", text), LOG_STR("j", text), LOG_STR("k", text), LOG_STR("l", text),
             LOG_STR("m", text), LOG_STR("n", text), LOG_STR("o", text), LOG_STR("p", text));
    cr_assert(receive());
    cr_expect(in_memory);
    value = field("P");
    cr_expect(strlen(value) == 16384, "a text is cut, not left out");
    free(value);
    value = field("MESSAGE");
    cr_expect(strlen(value) <= 4096 && strstr(value, " …"));
    free(value);
}

Test(log_journal, secrets_do_not_arrive)
{
    char pattern[] = "ssn=[0-9]+";
    char *patterns[] = { pattern, NULL };
    struct error err = { 0 };

    cr_assert(log_set_patterns(patterns, &err) == 0);
    log_set_context((struct log_field[]){ LOG_STR("redis", "redis://u:hunter2@h") }, 1);
    log_error("job.failed", LOG_STR("reason", "password=hunter2 and ssn=123"),
              LOG_STR("other", "fine"), LOG_STR("last", "token=hunter2"));
    cr_assert(receive());
    cr_expect(!memmem(entry, entry_len, "hunter2", 7) && !memmem(entry, entry_len, "123", 3));
    expect_field("REASON", "password=[redacted] and [redacted]");
    expect_field("OTHER", "fine");
    expect_field("LAST", "token=[redacted]");
    expect_field("REDIS", "redis://u:[redacted]@h");
}

Test(log_journal, without_journald_the_line_is_on_stderr_and_counted)
{
    struct buf text;

    (void)close(journald);
    (void)unlink(path);
    errno = ENOENT;
    log_warn("a.b", LOG_INT("n", 1));
    log_warn("a.b", LOG_INT("n", 2));
    cr_expect(errno == ENOENT);
    text = stderr_text();
    cr_expect(strstr(buf_text(&text), "\"event\":\"a.b\",\"n\":1}\n{"), "%s", buf_text(&text));
    cr_expect(strstr(buf_text(&text), "\"n\":2}\n"));
    buf_done(&text);

    listen_at(); /* it was restarted */
    log_warn("a.b", LOG_INT("n", 3));
    cr_assert(receive());
    expect_field("N", "3");
    cr_assert(receive());
    expect_field("EVENT", "log.interrupted");
    expect_field("ON_STDERR", "2");
    expect_field("LOST", "0");
    log_warn("a.b", LOG_INT("n", 4));
    cr_assert(receive());
    cr_expect(!receive(), "told once");
}

/* Both the journal's socket and the stream to it are full: nothing may block. */
Test(log_journal, a_journald_that_does_not_read_blocks_nobody, .timeout = 20)
{
    int pair[2];
    size_t sent = 5000, seen = 0;
    char *lost = NULL, *on_stderr = NULL;

    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    log_open(pair[0], LOG_FORMAT_JOURNAL, LOG_LEVEL_INFO);
    log_journal_open(path);
    for (size_t i = 0; i < sent; i++)
        log_info("a.b", LOG_UINT("n", i), LOG_STR("text", "some words, so that it is longer"));
    while (receive())
        seen++;
    cr_expect(seen > 0 && seen < sent);
    log_info("a.c", LOG_INT("n", 1));
    cr_assert(receive());
    expect_field("EVENT", "a.c");
    cr_assert(receive());
    expect_field("EVENT", "log.interrupted");
    lost = field("LOST");
    on_stderr = field("ON_STDERR");
    cr_expect(strtoull(lost, NULL, 10) > 0);
    cr_expect(strtoull(on_stderr, NULL, 10) > 0);
    cr_expect(seen + strtoull(lost, NULL, 10) + strtoull(on_stderr, NULL, 10) == sent,
              "%zu arrived, %s on stderr, %s lost", seen, on_stderr, lost);
    free(lost);
    free(on_stderr);
}

/* ---- which form is it */

Test(log_journal, auto_is_the_journal_when_the_descriptor_is_systemds)
{
    char stream[64];
    struct stat info;
    int pair[2], other[2];

    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) == 0);
    cr_assert(fstat(pair[0], &info) == 0);
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)info.st_dev,
                   (unsigned long long)info.st_ino);
    cr_assert(setenv("JOURNAL_STREAM", stream, 1) == 0);
    cr_expect(log_journal_owns(pair[0]));
    cr_expect(!log_journal_owns(other[0]), "stderr was redirected, the variable inherited");
    cr_expect(!log_journal_owns(-1));
    cr_assert(setenv("JOURNAL_STREAM", "words", 1) == 0);
    cr_expect(!log_journal_owns(pair[0]));
    cr_assert(unsetenv("JOURNAL_STREAM") == 0);
    cr_expect(!log_journal_owns(pair[0]));
}

Test(log_journal, the_forms_have_the_same_fields)
{
    static const char *const forms[] = { "\"job\":\"42\",\"took_ms\":12,\"reason\":\"a b\"}\n",
                                         " job=42 took_ms=12 reason=\"a b\"\n" };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct buf text;

        stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
        log_open(stderr_fd, i == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
        log_info("job.failed", LOG_STR("job", "42"), LOG_UINT("took_ms", 12),
                 LOG_STR("reason", "a b"));
        text = stderr_text();
        cr_expect(strstr(buf_text(&text), forms[i]), "%s", buf_text(&text));
        buf_done(&text);
    }
    cr_expect(!receive());
}
