/* Any bytes as what a program writes, cut into lines and read as messages: nothing is read beyond a
 * line, what a message points to lies in it, a short line is what it is also when it comes in
 * pieces. And any bytes as the data of a job: one line of valid JSON comes out. */
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "tests/fuzz/fuzz.h"
#include "workers/handlers/process_lines.h"
#include "workers/handlers/process_wire.h"

#define LINE_MAX_BYTES 256

struct seen {
    size_t lines, whole_bytes;
};

static void check_within(const struct json_value *value, const char *line, size_t len)
{
    assert(!value->text || (value->text >= line && value->text + value->len <= line + len));
    assert(!value->text || json_text_is_valid(value->text, value->len));
}

static void check_text(const struct json_value *string)
{
    struct buf text = BUF_INIT(string->len);

    if (wire_append_text(&text, string) < 0)
        abort();
    assert(text_utf8_prefix(buf_text(&text), text.len) == text.len);
    buf_done(&text);
}

static void check_hello(const struct wire_message *message)
{
    struct buf why = BUF_INIT(1024);
    struct json_value name;
    unsigned int protocol = 0;

    if (wire_read_hello(message, &name, &protocol, &why) && name.kind == JSON_KIND_STRING)
        check_text(&name);
    assert(protocol <= WIRE_PROTOCOL);
    buf_done(&why);
}

/* A line that begins like no answer is none, and one that tells an id has that id. */
static void check_beginning(const char *line, size_t len, const struct wire_message *message)
{
    bool answer = message->kind == WIRE_RESULT || message->kind == WIRE_ERROR;
    uint64_t id;
    enum wire_beginning what = wire_look_at_beginning(line, len, &id);

    (void)id; /* of equal keys the last wins, which a beginning cannot know */
    assert(!answer || what != WIRE_BEGINS_OTHER || memchr(line, 'm', len) ||
           memchr(line, 'p', len));
}

static void on_line(const char *line, size_t len, bool whole, void *arg)
{
    struct seen *seen = arg;
    struct wire_message message;
    char *copy = malloc(len + 1);
    uint64_t id;

    assert(len <= LINE_MAX_BYTES);
    seen->lines++;
    seen->whole_bytes += whole ? len : 0;
    memcpy(copy, line, len); /* a sanitizer sees what is read beyond it */
    (void)wire_look_at_beginning(copy, len, &id);
    wire_parse(copy, len, &message);
    assert(message.kind < WIRE_KIND_COUNT);
    assert(message.id <= WIRE_ID_MAX || message.id == UINT64_MAX);
    assert(message.retry_after_ms >= -1);
    check_within(&message.value, copy, len);
    check_within(&message.stack, copy, len);
    check_beginning(copy, len, &message);
    if (message.kind == WIRE_LOG || message.kind == WIRE_SAID ||
        (message.kind == WIRE_ERROR && message.value.text))
        check_text(&message.value);
    if (message.kind == WIRE_RESULT || message.kind == WIRE_ERROR)
        check_hello(&message);
    free(copy);
}

static struct seen read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct seen seen = { 0 };
    struct lines lines;

    lines_init(&lines, LINE_MAX_BYTES, on_line, &seen);
    for (size_t at = 0; at < size; at += piece)
        lines_take(&lines, (const char *)data + at, size - at < piece ? size - at : piece);
    lines_end(&lines);
    lines_done(&lines);
    return seen;
}

static void check_job_line(const char *bytes, size_t len)
{
    struct job job = { .id = { bytes, len < 8 ? len : 8 },
                       .name = { bytes, len < 16 ? len : 16 },
                       .data = { bytes, len } };
    struct handler_input input = {
        .job = &job, .queue = "q", .idempotency_key = "q:1", .fencing_token = "t"
    };
    struct buf line = BUF_INIT(64u << 20);

    wire_job_run(&line, 1, &input, 0);
    assert(!line.failed);
    assert(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
    assert(!memchr(line.data, '\r', line.len));
    assert(!memmem(line.data, line.len, "\xe2\x80\xa8", 3));
    assert(!memmem(line.data, line.len, "\xe2\x80\xa9", 3));
    assert(json_text_is_valid(line.data, line.len));
    buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen at_once = read_in_pieces(data, size, size > 0 ? size : 1);
    struct seen in_pieces = read_in_pieces(data, size, size > 0 ? 1 + data[0] % 7 : 1);

    assert(at_once.lines == in_pieces.lines && at_once.whole_bytes == in_pieces.whole_bytes);
    check_job_line((const char *)data, size);
    return 0;
}
