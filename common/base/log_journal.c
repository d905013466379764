/* log_journal.c - the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram
 * with NAME=value lines; a value with a newline in it as NAME, newline, 64 bits of length in little
 * endian, the bytes. Too big for a datagram: the same in sealed memory, whose descriptor is sent.
 *
 * Spoken here, and not through libsystemd's sd_journal_sendv, for what linking it costs every
 * worker process: 0.8 MiB of memory and half a millisecond of start (measured: it brings six
 * libraries for compression and cryptography that sending does not use). The master has it for
 * sd_notify; one way to log is enough. */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/fd.h"
#include "common/base/log_events.h"
#include "common/base/log_form.h"

#define ENTRY_BYTES_MAX (1U << 20)

/* Names that are more than their own in capitals: those by which people look. */
static const struct {
    const char *ours, *journals;
} names[] = {
    { "job", "JOB_ID" },
    { "correlation", "CORRELATION_ID" },
};

/* syslog(3) */
static const int priorities[] = {
    [LOG_LEVEL_DEBUG] = 7,
    [LOG_LEVEL_INFO] = 6,
    [LOG_LEVEL_WARN] = 4,
    [LOG_LEVEL_ERROR] = 3,
};

static struct {
    int fd; /* -1 until the first entry */
    struct sockaddr_un address;
    struct buf entry, message; /* kept from entry to entry: no allocation per event */
} journal = { .fd = -1 };

/* A number and what follows it; false when there is none. */
static bool read_number(const char **at, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(*at, &end, 10);
    if (end == *at || errno != 0)
        return false;
    *at = end;
    return true;
}

bool log_journal_owns(int fd)
{
    const char *at = getenv("JOURNAL_STREAM"); /* "device:inode" */
    uint64_t device = 0, inode = 0;
    struct stat info;

    if (!at || !read_number(&at, &device) || *at++ != ':' || !read_number(&at, &inode) || *at)
        return false;
    return fstat(fd, &info) == 0 && info.st_dev == device && info.st_ino == inode;
}

void log_journal_close(void)
{
    closep(&journal.fd);
    journal.fd = -1;
    buf_done(&journal.entry);
    buf_done(&journal.message);
}

void log_journal_open(const char *path)
{
    size_t len = strlen(path);

    log_journal_close();
    assert(len < sizeof journal.address.sun_path);
    journal.address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(journal.address.sun_path, path, len + 1);
    journal.entry.max = ENTRY_BYTES_MAX;
}

/* ---- the entry */

static void append_name(struct buf *entry, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i].ours) == 0) {
            (void)buf_append_text(entry, names[i].journals); /* entry->failed tells */
            return;
        }
    }
    for (; *name; name++)
        (void)buf_append_char(entry,
                              (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name));
}

/* After the name. */
static void append_bytes(struct buf *entry, const char *bytes, size_t len)
{
    uint64_t le_len = htole64(len);

    if (memchr(bytes, '\n', len)) {
        (void)buf_append_char(entry, '\n'); /* entry->failed tells */
        (void)buf_append(entry, &le_len, sizeof le_len);
    } else {
        (void)buf_append_char(entry, '=');
    }
    if (len > 0)
        (void)buf_append(entry, bytes, len);
    (void)buf_append_char(entry, '\n');
}

/* A text that is absent is a field that is absent. */
static void append_field(struct buf *entry, const struct log_field *field)
{
    if (field->type == LOG_FIELD_TEXT && !field->text)
        return;
    append_name(entry, field->name);
    if (field->type == LOG_FIELD_TEXT) {
        append_bytes(entry, field->text, strlen(field->text));
        return;
    }
    (void)buf_append_char(entry, '='); /* entry->failed tells */
    log_line_append_number(entry, field);
    (void)buf_append_char(entry, '\n');
}

static void make_entry(const struct log_entry *entry, struct buf *out)
{
    const struct log_event *event = log_event_find(entry->event);

    buf_reset(out);
    log_line_describe(entry, &journal.message);
    (void)buf_append_text(out, "MESSAGE"); /* out->failed tells, here and below */
    append_bytes(out, buf_text(&journal.message), journal.message.len);
    (void)buf_printf(out, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nEVENT=%s\n", priorities[entry->level],
                     entry->identifier, entry->event);
    if (event)
        (void)buf_printf(out, "MESSAGE_ID=%s\n", event->id);
    for (size_t i = 0; i < entry->context_count; i++)
        append_field(out, &entry->context[i]);
    for (size_t i = 0; i < entry->fields_count; i++)
        append_field(out, &entry->fields[i]);
    if (journal.message.failed)
        out->failed = true;
}

/* ---- sending */

/* To the path each time, not connected: journald may be restarted. */
static int send_message(struct msghdr *message)
{
    ssize_t sent;

    message->msg_name = &journal.address;
    message->msg_namelen = sizeof journal.address;
    do {
        sent = sendmsg(journal.fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static int send_in_memory(const char *bytes, size_t len)
{
    _cleanup_(closep) int memory = fd_sealed_memory("drover-log", bytes, len, NULL);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof control };

    if (memory < 0)
        return memory;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &memory, sizeof memory);
    return send_message(&message);
}

int log_journal_send(const struct log_entry *entry)
{
    struct iovec bytes;
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
    int result;

    make_entry(entry, &journal.entry);
    if (journal.entry.failed)
        return -ENOBUFS;
    if (journal.fd < 0)
        journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (journal.fd < 0)
        return -errno;
    bytes = (struct iovec){ journal.entry.data, journal.entry.len };
    result = send_message(&message);
    if (result == -EMSGSIZE || result == -ENOBUFS)
        result = send_in_memory(journal.entry.data, journal.entry.len);
    return result;
}
