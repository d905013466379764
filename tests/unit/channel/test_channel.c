#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/channel/channel.h"

/* The far end is the bare socket, so that frames of other versions can be written as bytes. */
struct raw_frame {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t body_bytes;
    uint32_t reserved;
    union {
        uint64_t words[80];
        char text[640];
    };
};

#define MAGIC 0x43565244u

enum { SEEN_MAX = 10000 };

static uv_loop_t loop;
static struct channel *channel;
static int far = -1;
static int log_fd = -1;
static struct channel_frame seen[SEEN_MAX];
static size_t seen_count;
static unsigned int ends;
static size_t close_after; /* close the channel within the callback of this frame; 0 never */

static void on_frame(struct channel *from, const struct channel_frame *frame, void *arg)
{
    cr_assert(from == channel);
    cr_assert(arg == &loop);
    if (!frame) {
        ends++;
        return;
    }
    cr_assert(seen_count < SEEN_MAX);
    seen[seen_count++] = *frame;
    if (seen_count == close_after) {
        channel_close(channel);
        channel = NULL;
    }
}

static void set_up(void)
{
    int fds[2];

    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_open(log_fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    cr_assert(uv_loop_init(&loop) == 0);
    cr_assert(channel_pair(fds, NULL) == 0);
    far = fds[1];
    cr_assert(channel_open(&loop, fds[0], on_frame, &loop, &channel, NULL) == 0);
}

static void tear_down(void)
{
    channel_close(channel);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect(uv_loop_close(&loop) == 0, "everything on the loop was closed");
    if (far >= 0)
        (void)close(far);
}

TestSuite(channel, .init = set_up, .fini = tear_down);

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void send_raw(const struct raw_frame *frame, size_t bytes)
{
    cr_assert(send(far, frame, bytes, MSG_NOSIGNAL) == (ssize_t)bytes, "%s", strerror(errno));
}

static void send_simple(uint16_t version, uint16_t type, uint32_t body_bytes)
{
    struct raw_frame frame = {
        .magic = MAGIC, .version = version, .type = type, .body_bytes = body_bytes
    };

    for (size_t i = 0; i < ARRAY_SIZE(frame.words); i++)
        frame.words[i] = i + 1; /* as a text, it has an end */
    send_raw(&frame, 16 + body_bytes);
}

static size_t times_in_log(const char *what)
{
    struct buf text = BUF_INIT(1 << 20);
    size_t times = 0;

    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0);
    for (const char *at = buf_text(&text); (at = strstr(at, what)); at++)
        times++;
    buf_done(&text);
    return times;
}

Test(channel, pair_is_non_blocking_and_close_on_exec)
{
    int fds[2];

    cr_assert(channel_pair(fds, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        cr_expect(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        cr_expect(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        (void)close(fds[i]);
    }
}

#define DEAD_UUID      "0b36ae1d-9a57-4c5c-8c3a-0d4a36f6b001"
#define LONGEST(bytes) [0 ...(bytes) - 2] = 'x'

/* A field of a body: a text, or else a number. */
struct field_row {
    size_t at, bytes;
    const char *text;
    uint64_t number;
};

/* Every type, with its body as docs/protocols/channel.md lays it out. */
static const struct frame_row {
    struct channel_frame frame;
    uint16_t type;
    uint32_t body_bytes;
    struct field_row fields[5];
} frame_rows[] = {
    { { .type = CHANNEL_READY }, 1, 0, { { 0 } } },
    { { .type = CHANNEL_DRAIN, .timeout_ms = 30000 }, 3, 8, { { 0, 8, NULL, 30000 } } },
    { { .type = CHANNEL_DRAIN, .timeout_ms = UINT64_MAX }, 3, 8, { { 0, 8, NULL, UINT64_MAX } } },
    { { .type = CHANNEL_STOP }, 4, 0, { { 0 } } },
    { { .type = CHANNEL_TUNE, .tune = { .slots = 17, .allowed = 9, .log_level = 2 } },
      5,
      24,
      { { 0, 8, NULL, 17 }, { 8, 8, NULL, 9 }, { 16, 8, NULL, 2 } } },
    { { .type = CHANNEL_RECOVER,
        .recover = { .uuid = DEAD_UUID,
                     .queue = "money",
                     .cause = "signal 9 (SIGKILL)",
                     .max_givebacks = 3,
                     .fence_only = 1 } },
      6,
      504,
      { { 0, 40, DEAD_UUID, 0 },
        { 40, 256, "money", 0 },
        { 296, 192, "signal 9 (SIGKILL)", 0 },
        { 488, 8, NULL, 3 },
        { 496, 8, NULL, 1 } } },
    { { .type = CHANNEL_RECOVER,
        .recover = { .uuid = { LONGEST(CHANNEL_UUID_BYTES) },
                     .queue = { LONGEST(CHANNEL_QUEUE_BYTES) },
                     .cause = { LONGEST(CHANNEL_CAUSE_BYTES) } } },
      6,
      504,
      { { 488, 8, NULL, 0 }, { 496, 8, NULL, 0 } } },
    { { .type = CHANNEL_RECOVERED,
        .recovered = { .uuid = DEAD_UUID, .result = -5, .given_back = 7, .failed = 1 } },
      7,
      64,
      { { 0, 40, DEAD_UUID, 0 },
        { 40, 8, NULL, (uint64_t)-5 },
        { 48, 8, NULL, 7 },
        { 56, 8, NULL, 1 } } },
};

static bool same_body(const struct channel_frame *a, const struct channel_frame *b)
{
    switch (a->type) {
    case CHANNEL_DRAIN:
        return a->timeout_ms == b->timeout_ms;
    case CHANNEL_TUNE:
        return memcmp(&a->tune, &b->tune, sizeof a->tune) == 0;
    case CHANNEL_RECOVER:
        return memcmp(&a->recover, &b->recover, sizeof a->recover) == 0;
    case CHANNEL_RECOVERED:
        return memcmp(&a->recovered, &b->recovered, sizeof a->recovered) == 0;
    case CHANNEL_READY:
    case CHANNEL_STOP:
        break;
    }
    return true;
}

/* The frame as the channel itself writes it. */
static struct raw_frame written(const struct frame_row *row)
{
    struct raw_frame raw;

    memset(&raw, 0xee, sizeof raw);
    cr_assert(channel_send(channel, &row->frame, NULL) == 0);
    cr_assert(recv(far, &raw, sizeof raw, 0) == 16 + (ssize_t)row->body_bytes);
    return raw;
}

Test(channel, each_frame_arrives_as_it_was_sent)
{
    struct channel *other;

    cr_assert(channel_open(&loop, far, on_frame, &loop, &other, NULL) == 0);
    far = -1;
    for (size_t i = 0; i < ARRAY_SIZE(frame_rows); i++)
        cr_assert(channel_send(other, &frame_rows[i].frame, NULL) == 0);
    cr_expect(seen_count == 0, "nothing arrives outside the loop");
    turn();
    cr_assert(seen_count == ARRAY_SIZE(frame_rows));
    for (size_t i = 0; i < ARRAY_SIZE(frame_rows); i++) {
        cr_expect(seen[i].type == frame_rows[i].frame.type, "frame %zu", i);
        cr_expect(same_body(&seen[i], &frame_rows[i].frame), "frame %zu", i);
    }
    channel_close(other);
    turn();
    turn();
    cr_expect(ends == 1);
}

static bool is_in(const struct raw_frame *raw, const struct field_row *field)
{
    if (field->text)
        return strncmp(raw->text + field->at, field->text, field->bytes) == 0;
    return field->bytes == 0 || raw->words[field->at / 8] == field->number;
}

Test(channel, the_bytes_are_what_the_protocol_page_says)
{
    for (size_t i = 0; i < ARRAY_SIZE(frame_rows); i++) {
        const struct frame_row *row = &frame_rows[i];
        struct raw_frame raw = written(row);

        cr_expect(raw.magic == MAGIC && raw.version == 1 && raw.reserved == 0, "row %zu", i);
        cr_expect(raw.type == row->type && raw.body_bytes == row->body_bytes, "row %zu", i);
        for (size_t n = 0; n < ARRAY_SIZE(row->fields); n++)
            cr_expect(is_in(&raw, &row->fields[n]), "row %zu, field %zu", i, n);
    }
}

Test(channel, a_shorter_body_is_malformed_and_a_longer_one_is_cut)
{
    size_t good = 0;

    for (size_t i = 0; i < ARRAY_SIZE(frame_rows); i++) {
        struct raw_frame raw = written(&frame_rows[i]);

        for (uint32_t bytes = 0; bytes <= frame_rows[i].body_bytes + 64; bytes += 4) {
            raw.body_bytes = bytes;
            send_raw(&raw, 16 + bytes);
            channel_read_rest(channel);
            if (bytes < frame_rows[i].body_bytes)
                continue;
            cr_assert(seen_count == ++good, "row %zu, %u bytes", i, bytes);
            cr_expect(same_body(&seen[good - 1], &frame_rows[i].frame), "row %zu, %u bytes", i,
                      bytes);
        }
        cr_assert(seen_count == good, "row %zu", i);
    }
    cr_expect(times_in_log("\"why\":\"short body\"") == 1);
}

Test(channel, a_text_without_an_end_is_malformed)
{
    size_t tried = 0;

    for (size_t i = 0; i < ARRAY_SIZE(frame_rows); i++) {
        for (size_t n = 0; n < ARRAY_SIZE(frame_rows[i].fields); n++) {
            const struct field_row *field = &frame_rows[i].fields[n];
            struct raw_frame raw;

            if (!field->text)
                continue;
            raw = written(&frame_rows[i]);
            memset(raw.text + field->at, 'x', field->bytes);
            send_raw(&raw, 16 + raw.body_bytes);
            channel_read_rest(channel);
            cr_expect(seen_count == 0, "row %zu, field %zu", i, n);
            tried++;
        }
    }
    cr_expect(tried == 4);
    cr_expect(times_in_log("\"why\":\"a text without an end\"") == 1);
}

Test(channel, the_retired_report_of_counters_is_ignored)
{
    send_simple(1, 2, 64);
    send_simple(1, CHANNEL_READY, 0);
    turn();
    cr_expect(seen_count == 1 && seen[0].type == CHANNEL_READY);
    cr_expect(times_in_log("\"why\":\"unknown type\"") == 1);
}

Test(channel, end_of_file_is_told_once_after_the_last_frame)
{
    send_simple(1, CHANNEL_READY, 0);
    (void)close(far);
    far = -1;
    for (int i = 0; i < 5; i++)
        turn();
    cr_expect(seen_count == 1);
    cr_expect(ends == 1);
    channel_read_rest(channel);
    cr_expect(ends == 1);
}

/* The peer that leaves frames unread makes the kernel say ECONNRESET before its own last frames. */
Test(channel, frames_of_a_peer_that_left_ours_unread_are_not_lost)
{
    struct channel_frame drain = { .type = CHANNEL_DRAIN, .timeout_ms = 1 };

    cr_assert(channel_send(channel, &drain, NULL) == 0);
    send_simple(1, CHANNEL_READY, 0);
    send_simple(1, CHANNEL_RECOVERED, 64);
    (void)close(far);
    far = -1;
    for (int i = 0; i < 5; i++)
        turn();
    cr_expect(seen_count == 2, "%zu", seen_count);
    cr_expect(ends == 1);
}

Test(channel, the_rest_is_read_without_the_loop_and_ends)
{
    for (int i = 0; i < 100; i++)
        send_simple(1, CHANNEL_RECOVERED, 64);
    (void)close(far);
    far = -1;
    channel_read_rest(channel);
    cr_expect(seen_count == 100 && ends == 1);
    turn();
    cr_expect(seen_count == 100 && ends == 1);
}

Test(channel, reading_the_rest_of_a_living_peer_does_not_wait)
{
    send_simple(1, CHANNEL_READY, 0);
    channel_read_rest(channel);
    cr_expect(seen_count == 1 && ends == 0);
    send_simple(1, CHANNEL_READY, 0);
    turn();
    cr_expect(seen_count == 2);
}

Test(channel, frames_of_a_newer_version_are_ignored_and_told_once)
{
    for (int i = 0; i < 3; i++) {
        send_simple(2, CHANNEL_READY, 0);
        send_simple(1, 99, 8);
        send_simple(1, 0, 0);
    }
    send_simple(1, CHANNEL_READY, 0);
    turn();
    cr_expect(seen_count == 1, "only the frame of our version arrives");
    cr_expect(times_in_log("\"why\":\"unknown version\"") == 1);
    cr_expect(times_in_log("\"why\":\"unknown type\"") == 1);
    cr_expect(times_in_log("channel.frame_ignored") == 2);
    cr_expect(ends == 0);
}

Test(channel, fields_appended_by_a_newer_minor_are_cut)
{
    send_simple(1, CHANNEL_RECOVERED, 64 + 16);
    send_simple(1, CHANNEL_READY, 8);
    turn();
    cr_assert(seen_count == 2);
    cr_expect(seen[0].recovered.result == 6 && seen[0].recovered.failed == 8);
    cr_expect(times_in_log("channel.frame_ignored") == 0);
}

Test(channel, malformed_frames_are_ignored_and_told_once)
{
    struct raw_frame frame = { .magic = MAGIC, .version = 1, .type = CHANNEL_RECOVERED };
    char huge[10000] = { 0 };

    send_raw(&frame, 3);  /* shorter than a header */
    send_raw(&frame, 16); /* without its body */
    frame.body_bytes = 64;
    send_raw(&frame, 16);      /* says more than there is */
    send_raw(&frame, 16 + 80); /* says less than there is */
    frame.magic++;
    send_raw(&frame, 16 + 64);
    memcpy(
        huge,
        &(struct raw_frame){
            .magic = MAGIC, .version = 1, .type = CHANNEL_READY, .body_bytes = sizeof huge - 16 },
        16);
    cr_assert(send(far, huge, sizeof huge, 0) == sizeof huge);
    send_simple(1, CHANNEL_STOP, 0);
    turn();
    cr_expect(seen_count == 1 && seen[0].type == CHANNEL_STOP, "%zu", seen_count);
    cr_expect(times_in_log("channel.frame_ignored") == 1);
}

Test(channel, a_peer_that_does_not_read_gives_eagain)
{
    struct channel_frame drain = { .type = CHANNEL_DRAIN };
    struct error err = { 0 };
    int result = 0;
    unsigned int sent = 0;

    while (sent < 1000000 && (result = channel_send(channel, &drain, &err)) == 0)
        sent++;
    cr_expect(result == -EAGAIN, "after %u frames: %d", sent, result);
    cr_expect(err.text[0]);
    cr_expect(sent > 10 && sent < 1000000);
}

Test(channel, a_peer_that_is_gone_gives_epipe)
{
    struct channel_frame drain = { .type = CHANNEL_DRAIN };
    struct error err = { 0 };

    (void)close(far);
    far = -1;
    cr_expect(channel_send(channel, &drain, &err) == -EPIPE);
    cr_expect(strstr(err.text, "gone"));
    channel_close(channel);
    cr_expect(channel_send(channel, &drain, &err) == -EPIPE);
}

Test(channel, one_turn_hands_over_a_bounded_number)
{
    for (int i = 0; i < 100; i++)
        send_simple(1, CHANNEL_READY, 0);
    turn();
    cr_expect(seen_count > 0 && seen_count < 100, "%zu", seen_count);
    for (int i = 0; i < 10; i++)
        turn();
    cr_expect(seen_count == 100);
}

Test(channel, nothing_is_called_after_close)
{
    send_simple(1, CHANNEL_READY, 0);
    send_simple(1, CHANNEL_READY, 0);
    close_after = 1;
    turn();
    turn();
    cr_expect(seen_count == 1 && ends == 0);
    channel_close(NULL);
}

Test(channel, refuses_what_cannot_be_watched)
{
    struct channel *other = NULL;
    struct error err = { 0 };

    cr_expect(channel_open(&loop, 9999, on_frame, NULL, &other, &err) < 0);
    cr_expect(other == NULL && err.text[0]);
}
