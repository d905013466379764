#include "common/channel/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"

/* The frame on the socket, host byte order (both ends are on this host): docs/protocols/channel.md.
 */
#define FRAME_MAGIC     0x43565244u /* "DRVC" as bytes of a little-endian machine */
#define FRAME_MAX_BYTES 4096
#define FRAMES_PER_TURN 32
#define FRAMES_OF_REST  4096 /* more than a socket's buffer holds */

struct frame_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t body_bytes;
    uint32_t reserved; /* 0 */
};
_Static_assert(sizeof(struct frame_header) == 16, "docs/protocols/channel.md says 16 bytes");

struct frame_packet {
    struct frame_header header;
    unsigned char body[FRAME_MAX_BYTES - sizeof(struct frame_header)];
};

/* Body of each type in this version. A longer one is read as far as it is known, so that fields can
 * be appended; a shorter one is refused. */
static const struct {
    bool known;
    uint32_t body_bytes;
} frame_types[] = {
    [CHANNEL_READY] = { true, 0 },
    [CHANNEL_DRAIN] = { true, sizeof(uint64_t) },
    [CHANNEL_STOP] = { true, 0 },
    [CHANNEL_TUNE] = { true, sizeof(struct channel_tune) },
    [CHANNEL_RECOVER] = { true, sizeof(struct channel_recover) },
    [CHANNEL_RECOVERED] = { true, sizeof(struct channel_recovered) },
};
_Static_assert(sizeof(struct channel_tune) == 24, "no padding in the body");
_Static_assert(sizeof(struct channel_recover) == 504, "no padding in the body");
_Static_assert(sizeof(struct channel_recovered) == 64, "no padding in the body");
_Static_assert(sizeof(struct channel_recover) <= FRAME_MAX_BYTES - sizeof(struct frame_header),
               "every body fits into a frame");

/* Where a frame's body is in memory; the bodies are plain values without padding. */
static const void *body_of(const struct channel_frame *frame)
{
    switch (frame->type) {
    case CHANNEL_DRAIN:
        return &frame->timeout_ms;
    case CHANNEL_TUNE:
        return &frame->tune;
    case CHANNEL_RECOVER:
        return &frame->recover;
    case CHANNEL_RECOVERED:
        return &frame->recovered;
    case CHANNEL_READY:
    case CHANNEL_STOP:
        break;
    }
    return NULL;
}

static bool ends_inside(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static bool has_whole_texts(const struct channel_frame *frame)
{
    if (frame->type == CHANNEL_RECOVER)
        return ends_inside(frame->recover.uuid, sizeof frame->recover.uuid) &&
               ends_inside(frame->recover.queue, sizeof frame->recover.queue) &&
               ends_inside(frame->recover.cause, sizeof frame->recover.cause);
    if (frame->type == CHANNEL_RECOVERED)
        return ends_inside(frame->recovered.uuid, sizeof frame->recovered.uuid);
    return true;
}

struct channel {
    uv_poll_t poll; /* poll.data is the channel; freed in its close callback */
    int fd;
    channel_frame_cb *on_frame;
    void *arg;
    bool ended;        /* end of file was told */
    bool closing;      /* channel_close was called */
    bool told_version; /* each oddity is logged once a channel */
    bool told_type;
    bool told_malformed;
};

int channel_pair(int out_fds[2], struct error *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return error_set(err, -errno, "socketpair: %s", strerror(errno));
    out_fds[0] = fds[0];
    out_fds[1] = fds[1];
    return 0;
}

static void tell_once(bool *told, const char *why, const struct frame_header *header, size_t len)
{
    if (*told)
        return;
    *told = true;
    log_warn("channel.frame_ignored", LOG_STR("why", why), LOG_UINT("version", header->version),
             LOG_UINT("type", header->type), LOG_UINT("frame_bytes", len));
}

/* Returns false for a frame that is not for this version. */
static bool decode(struct channel *channel, const struct frame_packet *packet, size_t len,
                   struct channel_frame *out_frame)
{
    const struct frame_header *header = &packet->header;

    if (len < sizeof *header || len > sizeof *packet || header->magic != FRAME_MAGIC ||
        header->body_bytes != len - sizeof *header) {
        tell_once(&channel->told_malformed, "malformed", header, len);
        return false;
    }
    if (header->version != CHANNEL_VERSION) {
        tell_once(&channel->told_version, "unknown version", header, len);
        return false;
    }
    if (header->type >= ARRAY_SIZE(frame_types) || !frame_types[header->type].known) {
        tell_once(&channel->told_type, "unknown type", header, len);
        return false;
    }
    if (header->body_bytes < frame_types[header->type].body_bytes) {
        tell_once(&channel->told_malformed, "short body", header, len);
        return false;
    }
    *out_frame = (struct channel_frame){ .type = (enum channel_type)header->type };
    if (body_of(out_frame))
        memcpy((void *)(uintptr_t)body_of(out_frame), packet->body,
               frame_types[header->type].body_bytes);
    if (!has_whole_texts(out_frame)) {
        tell_once(&channel->told_malformed, "a text without an end", header, len);
        return false;
    }
    return true;
}

static void tell_end(struct channel *channel)
{
    channel->ended = true;
    (void)uv_poll_stop(&channel->poll); /* cannot fail on Unix */
    channel->on_frame(channel, NULL, channel->arg);
}

/* Reads and hands over at most `most` frames. */
static void read_frames(struct channel *channel, unsigned int most)
{
    for (unsigned int i = 0; i < most && !channel->closing && !channel->ended; i++) {
        struct frame_packet packet = { 0 };
        struct channel_frame frame;
        ssize_t got = recv(channel->fd, &packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);

        if (got < 0 && errno == EAGAIN)
            return;
        /* ECONNRESET (the peer left without reading all we sent) is told once and comes before the
         * frames that it had sent: they are read by the next calls, then the end. */
        if (got < 0 && (errno == EINTR || errno == ECONNRESET))
            continue;
        if (got <= 0)
            tell_end(channel);
        else if (decode(channel, &packet, (size_t)got, &frame))
            channel->on_frame(channel, &frame, channel->arg);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct channel *channel = poll->data;

    (void)events;
    if (status == 0) {
        read_frames(channel, FRAMES_PER_TURN);
        return;
    }
    /* libuv stops the handle when the socket has an error (here: ECONNRESET); what it is and what
     * comes after it is what recv says. */
    read_frames(channel, FRAMES_OF_REST);
    if (!channel->closing && !channel->ended)
        (void)uv_poll_start(poll, UV_READABLE, on_poll); /* open and valid: cannot fail */
}

int channel_open(uv_loop_t *loop, int fd, channel_frame_cb *on_frame, void *arg,
                 struct channel **out_channel, struct error *err)
{
    struct channel *channel = calloc(1, sizeof *channel);
    int result;

    if (!channel)
        return error_set(err, -ENOMEM, "no memory for a channel");
    channel->fd = fd;
    channel->on_frame = on_frame;
    channel->arg = arg;
    channel->poll.data = channel;
    result = uv_poll_init(loop, &channel->poll, fd);
    if (result < 0) {
        free(channel);
        return error_set(err, result, "watch channel on descriptor %d: %s", fd,
                         uv_strerror(result));
    }
    result = uv_poll_start(&channel->poll, UV_READABLE, on_poll);
    assert(result == 0); /* the handle is new and open */
    *out_channel = channel;
    return 0;
}

int channel_send(struct channel *channel, const struct channel_frame *frame, struct error *err)
{
    uint32_t body_bytes = frame_types[frame->type].body_bytes;
    struct frame_packet packet = {
        .header = { .magic = FRAME_MAGIC,
                    .version = CHANNEL_VERSION,
                    .type = (uint16_t)frame->type,
                    .body_bytes = body_bytes },
    };
    ssize_t sent;

    if (channel->closing)
        return error_set(err, -EPIPE, "channel is closed");
    if (body_of(frame))
        memcpy(packet.body, body_of(frame), body_bytes);
    do {
        sent = send(channel->fd, &packet, sizeof packet.header + body_bytes,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    if (errno == EAGAIN)
        return error_set(err, -EAGAIN, "the other side does not read its channel");
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return error_set(err, -EPIPE, "the other side of the channel is gone");
    return error_set(err, -errno, "send on channel: %s", strerror(errno));
}

void channel_read_rest(struct channel *channel)
{
    read_frames(channel, FRAMES_OF_REST);
}

static void on_close(uv_handle_t *handle)
{
    struct channel *channel = handle->data;

    (void)close(channel->fd); /* the number is gone either way */
    free(channel);
}

void channel_close(struct channel *channel)
{
    if (!channel || channel->closing)
        return;
    channel->closing = true;
    uv_close((uv_handle_t *)&channel->poll, on_close);
}
