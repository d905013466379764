#include "workers/handlers/process_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"

/* ---- worker to program */

/* Ends the line that began at `from`. Readers differ in what ends a line: Python takes a carriage
 * return for one, Node's readline U+2028 and U+2029 too. In valid JSON a raw CR or LF is white
 * space, and those two stand in strings only, so all of them can be written otherwise. */
static void end_line(struct buf *out, size_t from)
{
    for (size_t at = from; at < out->len; at++) {
        char c = out->data[at];

        if (c == '\n' || c == '\r')
            out->data[at] = ' ';
        else if (c == '\xe2' && out->len - at >= 3 && out->data[at + 1] == '\x80' &&
                 (out->data[at + 2] == '\xa8' || out->data[at + 2] == '\xa9')) {
            char escape[] = { '\\', 'u', '2', '0', '2', out->data[at + 2] == '\xa8' ? '8' : '9' };

            if (buf_reserve(out, 3) < 0)
                return;
            memmove(out->data + at + 6, out->data + at + 3, out->len - at - 3);
            memcpy(out->data + at, escape, sizeof(escape));
            out->len += 3;
        }
    }
    (void)buf_append_char(out, '\n');
}

/* All or nothing: half a line would be read together with the next. */
static void settle_line(struct buf *out, size_t from)
{
    if (!out->failed)
        end_line(out, from);
    if (out->failed && out->data) {
        out->len = from;
        out->data[from] = '\0';
    }
}

static void add_string(struct buf *out, const char *key, const char *text, size_t len)
{
    (void)buf_printf(out, "\"%s\":", key);
    (void)json_text_quote(out, text, len);
}

static void add_text(struct buf *out, const char *key, const char *text)
{
    add_string(out, key, text ? text : "", text ? strlen(text) : 0);
    (void)buf_append_char(out, ',');
}

static void add_number(struct buf *out, const char *key, uint64_t number)
{
    (void)buf_printf(out, "\"%s\":%" PRIu64 ",", key, number);
}

void wire_initialize(struct buf *out, const struct wire_hello *hello)
{
    size_t from = out->len;

    (void)buf_printf(out,
                     "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"initialize\",\"params\":{"
                     "\"protocol\":%d,\"drover\":\"" DROVER_VERSION "\",",
                     WIRE_INITIALIZE_ID, WIRE_PROTOCOL);
    add_text(out, "queue", hello->queue);
    if (hello->type)
        add_text(out, "type", hello->type);
    add_text(out, "worker", hello->worker);
    add_number(out, "parallel", hello->parallel);
    add_number(out, "max_line_bytes", hello->max_line_bytes);
    (void)buf_printf(out, "\"heartbeat_ms\":%" PRIu64 "}}", hello->heartbeat_ms);
    settle_line(out, from);
}

static void add_deadline(struct buf *out, uint64_t deadline_ms, uint64_t now_ms)
{
    if (deadline_ms == 0)
        (void)buf_append_text(out, "\"deadline_ms\":null,");
    else
        add_number(out, "deadline_ms", deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

/* `data` comes last: whoever has no JSON parser cuts it out by its place. */
static void add_data(struct buf *out, const struct bytes *data)
{
    if (data->len > 0 && json_text_is_valid(data->data, data->len)) {
        (void)buf_append_text(out, "\"data\":");
        (void)buf_append(out, data->data, data->len);
        return;
    }
    add_string(out, "data_text", data->len > 0 ? data->data : "", data->len);
    (void)buf_append_text(out, ",\"data\":null");
}

void wire_job_run(struct buf *out, uint64_t id, const struct handler_input *input, uint64_t now_ms)
{
    const struct job *job = input->job;
    const char *correlation =
        input->correlation_id ? input->correlation_id : input->idempotency_key;
    size_t from = out->len;

    (void)buf_printf(
        out, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"job.run\",\"params\":{", id);
    add_string(out, "job", job->id.data, job->id.len);
    (void)buf_append_char(out, ',');
    add_string(out, "name", job->name.data, job->name.len);
    (void)buf_append_char(out, ',');
    add_number(out, "attempt", input->attempt);
    add_number(out, "attempts_max", input->attempts_max);
    add_deadline(out, input->deadline_ms, now_ms);
    add_text(out, "idempotency_key", input->idempotency_key);
    add_text(out, "fencing_token", input->fencing_token);
    add_text(out, "correlation_id", correlation);
    add_text(out, "queue", input->queue);
    add_number(out, "added_at_ms", job->timestamp_ms);
    add_number(out, "priority", job->priority);
    add_data(out, &job->data);
    (void)buf_append_text(out, "}}");
    settle_line(out, from);
}

void wire_job_cancel(struct buf *out, uint64_t id, const char *reason, uint64_t grace_ms)
{
    size_t from = out->len;

    (void)buf_printf(out,
                     "{\"jsonrpc\":\"2.0\",\"method\":\"job.cancel\",\"params\":{\"id\":%" PRIu64
                     ",\"reason\":\"%s\",\"grace_ms\":%" PRIu64 "}}",
                     id, reason, grace_ms);
    settle_line(out, from);
}

void wire_drain(struct buf *out, uint64_t timeout_ms)
{
    size_t from = out->len;
    char bound[24] = "null";

    if (timeout_ms > 0)
        (void)snprintf(bound, sizeof(bound), "%" PRIu64, timeout_ms);
    (void)buf_printf(
        out, "{\"jsonrpc\":\"2.0\",\"method\":\"drain\",\"params\":{\"timeout_ms\":%s}}", bound);
    settle_line(out, from);
}

void wire_shutdown(struct buf *out)
{
    size_t from = out->len;

    (void)buf_append_text(out, "{\"jsonrpc\":\"2.0\",\"method\":\"shutdown\"}");
    settle_line(out, from);
}

void wire_no_such_method(struct buf *out, const struct json_value *id)
{
    size_t from = out->len;

    (void)buf_append_text(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    (void)buf_append(out, id->text, id->len);
    (void)buf_append_text(out, ",\"error\":{\"code\":-32601,\"message\":\"a worker has no methods: "
                               "answer job.run, notify the rest\"}}");
    settle_line(out, from);
}

/* ---- program to worker */

/* The members of a message that mean something; text NULL when absent. Of equal keys the last
 * wins, as in JavaScript. */
struct members {
    struct json_value jsonrpc, id, method, params, result, error;
};

static bool is_present(const struct json_value *value)
{
    return value->text != NULL;
}

static bool is_kind(const struct json_value *value, enum json_kind kind)
{
    return is_present(value) && value->kind == kind;
}

static void read_members(const struct json_value *object, struct members *out)
{
    struct json_walk walk = json_walk_into(object);
    struct json_value key, value;
    const struct {
        const char *name;
        struct json_value *place;
    } rows[] = {
        { "jsonrpc", &out->jsonrpc }, { "id", &out->id },         { "method", &out->method },
        { "params", &out->params },   { "result", &out->result }, { "error", &out->error },
    };

    while (json_next_member(&walk, &key, &value)) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            if (json_string_is(&key, rows[i].name))
                *rows[i].place = value;
        }
    }
}

/* The member of that name; text NULL when there is none. */
static struct json_value find_member(const struct json_value *object, const char *name)
{
    struct json_value key, value, found = { 0 };
    struct json_walk walk;

    if (!is_kind(object, JSON_KIND_OBJECT))
        return found;
    walk = json_walk_into(object);
    while (json_next_member(&walk, &key, &value)) {
        if (json_string_is(&key, name))
            found = value;
    }
    return found;
}

/* An id as the worker writes them: a whole number in plain digits. */
static uint64_t read_id(const struct json_value *value)
{
    uint64_t id;

    if (!is_kind(value, JSON_KIND_NUMBER) || text_parse_uint(value->text, value->len, &id) < 0 ||
        id > WIRE_ID_MAX)
        return UINT64_MAX;
    return id;
}

/* `absent` when it is no number. */
static double read_number(const struct json_value *value, double absent)
{
    double number;

    if (!is_kind(value, JSON_KIND_NUMBER) || !json_read_number(value, &number))
        return absent;
    return number;
}

static void read_error(const struct json_value *error, struct wire_message *out)
{
    struct json_value code = find_member(error, "code"), data = find_member(error, "data");
    struct json_value after = find_member(&data, "retry_after_ms");
    struct json_value at = find_member(&data, "retry_at_ms");
    double number = read_number(&code, WIRE_CODE_RETRY), after_ms = read_number(&after, -1);
    double at_ms = read_number(&at, 0);

    out->kind = WIRE_ERROR;
    out->value = find_member(error, "message");
    out->stack = find_member(&data, "stack");
    out->code = number >= -1e9 && number <= 1e9 ? (int64_t)number : WIRE_CODE_RETRY;
    if (after_ms >= 0 && after_ms <= (double)WIRE_ID_MAX)
        out->retry_after_ms = (int64_t)after_ms;
    if (at_ms > 0 && at_ms <= (double)WIRE_ID_MAX)
        out->retry_at_ms = (uint64_t)at_ms;
    if (!is_kind(&out->value, JSON_KIND_STRING))
        out->value.text = NULL;
    if (!is_kind(&out->stack, JSON_KIND_STRING))
        out->stack.text = NULL;
}

/* "warning" is Python's word. */
static bool read_level(const struct json_value *level, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } rows[] = {
        { "debug", LOG_LEVEL_DEBUG },  { "info", LOG_LEVEL_INFO },   { "warn", LOG_LEVEL_WARN },
        { "warning", LOG_LEVEL_WARN }, { "error", LOG_LEVEL_ERROR },
    };

    for (size_t i = 0; is_kind(level, JSON_KIND_STRING) && i < ARRAY_SIZE(rows); i++) {
        if (json_string_is(level, rows[i].name)) {
            *out = rows[i].level;
            return true;
        }
    }
    return false;
}

static void read_job_notification(enum wire_kind kind, const struct json_value *params,
                                  const char *value_name, struct wire_message *out)
{
    struct json_value id = find_member(params, "id");

    out->kind = kind;
    out->id = read_id(&id);
    if (value_name)
        out->value = find_member(params, value_name);
    if (out->id == UINT64_MAX || (value_name && !is_present(&out->value)) ||
        (kind == WIRE_LOG && !is_kind(&out->value, JSON_KIND_STRING)))
        out->kind = WIRE_BAD_PARAMS;
}

static void read_said(const struct json_value *params, struct wire_message *out)
{
    struct json_value level = find_member(params, "level");

    out->kind = WIRE_SAID;
    out->value = find_member(params, "message");
    if (!is_kind(&out->value, JSON_KIND_STRING) || !read_level(&level, &out->level))
        out->kind = WIRE_BAD_PARAMS;
}

static void read_notification(const struct members *members, struct wire_message *out)
{
    const struct json_value *method = &members->method, *params = &members->params;

    if (json_string_is(method, "job.progress"))
        read_job_notification(WIRE_PROGRESS, params, "progress", out);
    else if (json_string_is(method, "job.log"))
        read_job_notification(WIRE_LOG, params, "line", out);
    else if (json_string_is(method, "job.heartbeat"))
        read_job_notification(WIRE_HEARTBEAT, params, NULL, out);
    else if (json_string_is(method, "log"))
        read_said(params, out);
    else
        out->kind = WIRE_UNKNOWN_METHOD;
}

static void read_object(const struct json_value *object, struct wire_message *out)
{
    struct members members = { 0 };

    read_members(object, &members);
    out->kind = WIRE_NO_RPC;
    if (!is_present(&members.jsonrpc) || !json_string_is(&members.jsonrpc, "2.0"))
        return;
    if (is_present(&members.method)) {
        if (!is_kind(&members.method, JSON_KIND_STRING))
            return;
        if (is_present(&members.id)) {
            out->kind = WIRE_REQUEST;
            out->value = members.id;
        } else {
            read_notification(&members, out);
        }
        return;
    }
    if (!is_present(&members.id) || is_present(&members.result) == is_present(&members.error))
        return;
    out->id = read_id(&members.id);
    if (is_present(&members.result)) {
        out->kind = WIRE_RESULT;
        out->value = members.result;
    } else if (is_kind(&members.error, JSON_KIND_OBJECT)) {
        read_error(&members.error, out);
    }
}

static bool is_blank(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r')
            return false;
    }
    return true;
}

void wire_parse(const char *line, size_t len, struct wire_message *out)
{
    struct json_value whole;

    *out = (struct wire_message){ .kind = WIRE_GARBAGE, .id = UINT64_MAX, .retry_after_ms = -1 };
    if (is_blank(line, len)) {
        out->kind = WIRE_BLANK;
        return;
    }
    if (!json_text_is_valid(line, len))
        return;
    whole = json_whole_value(line, len);
    if (whole.kind == JSON_KIND_OBJECT)
        read_object(&whole, out);
    else
        out->kind = whole.kind == JSON_KIND_ARRAY ? WIRE_BATCH : WIRE_NO_RPC;
}

/* ---- a line of which only the beginning is known: nothing in it is proven to be JSON */

struct glance {
    const char *at, *end;
};

static bool glance_char(struct glance *glance, char c)
{
    while (glance->at < glance->end && (*glance->at == ' ' || *glance->at == '\t'))
        glance->at++;
    if (glance->at == glance->end || *glance->at != c)
        return false;
    glance->at++;
    return true;
}

/* The string that begins here, without its quotes; false when it does not end. */
static bool glance_string(struct glance *glance, const char **out_text, size_t *out_len)
{
    const char *from;

    if (!glance_char(glance, '"'))
        return false;
    for (from = glance->at; glance->at < glance->end && *glance->at != '"'; glance->at++) {
        if (*glance->at == '\\' && glance->end - glance->at > 1)
            glance->at++;
    }
    if (glance->at == glance->end)
        return false;
    *out_text = from;
    *out_len = (size_t)(glance->at - from);
    glance->at++;
    return true;
}

static bool glance_number(struct glance *glance, uint64_t *out_number)
{
    const char *from;

    while (glance->at < glance->end && (*glance->at == ' ' || *glance->at == '\t'))
        glance->at++;
    from = glance->at;
    while (glance->at < glance->end && *glance->at >= '0' && *glance->at <= '9')
        glance->at++;
    /* One that is cut off may be longer. */
    return glance->at < glance->end &&
           text_parse_uint(from, (size_t)(glance->at - from), out_number) == 0 &&
           *out_number <= WIRE_ID_MAX;
}

static bool is_text(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

enum wire_beginning wire_look_at_beginning(const char *bytes, size_t len, uint64_t *out_id)
{
    struct glance glance = { bytes, bytes + len };
    const char *key, *text;
    size_t key_len, text_len;

    *out_id = UINT64_MAX;
    if (!glance_char(&glance, '{'))
        return WIRE_BEGINS_OTHER;
    for (;;) {
        if (!glance_string(&glance, &key, &key_len) || !glance_char(&glance, ':'))
            return WIRE_BEGINS_UNKNOWN;
        if (is_text(key, key_len, "method") || is_text(key, key_len, "params"))
            return WIRE_BEGINS_OTHER;
        if (is_text(key, key_len, "result") || is_text(key, key_len, "error"))
            return WIRE_BEGINS_ANSWER;
        if (is_text(key, key_len, "id") && !glance_number(&glance, out_id))
            return WIRE_BEGINS_UNKNOWN;
        if (!is_text(key, key_len, "id") && !glance_string(&glance, &text, &text_len))
            return WIRE_BEGINS_UNKNOWN;
        if (!glance_char(&glance, ','))
            return WIRE_BEGINS_UNKNOWN;
    }
}

bool wire_read_hello(const struct wire_message *answer, struct json_value *out_name,
                     unsigned int *out_protocol, struct buf *out_why)
{
    struct json_value protocol = { 0 };
    double number;

    *out_name = (struct json_value){ .kind = JSON_KIND_NULL };
    if (answer->kind == WIRE_ERROR) {
        (void)buf_append_text(out_why, "refused the handshake: ");
        if (is_present(&answer->value))
            (void)wire_append_text(out_why, &answer->value);
        return false;
    }
    protocol = find_member(&answer->value, "protocol");
    number = read_number(&protocol, 0);
    if (number >= WIRE_PROTOCOL_MIN && number <= WIRE_PROTOCOL &&
        number == (double)(unsigned int)number) {
        struct json_value name = find_member(&answer->value, "name");

        *out_protocol = (unsigned int)number;
        if (is_kind(&name, JSON_KIND_STRING))
            *out_name = name;
        return true;
    }
    if (is_kind(&protocol, JSON_KIND_NUMBER) && protocol.len <= 20)
        (void)buf_printf(out_why, "speaks protocol %.*s; this drover speaks %d to %d",
                         (int)protocol.len, protocol.text, WIRE_PROTOCOL_MIN, WIRE_PROTOCOL);
    else
        (void)buf_printf(out_why,
                         "does not say which protocol it speaks; this drover speaks %d to %d",
                         WIRE_PROTOCOL_MIN, WIRE_PROTOCOL);
    return false;
}

/* ---- text of a string */

static void append_code_point(struct buf *out, uint32_t code)
{
    unsigned char bytes[4];
    size_t len = 0;

    if (code < 0x80) {
        bytes[len++] = (unsigned char)code;
    } else if (code < 0x800) {
        bytes[len++] = (unsigned char)(0xc0 | code >> 6);
        bytes[len++] = (unsigned char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        bytes[len++] = (unsigned char)(0xe0 | code >> 12);
        bytes[len++] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        bytes[len++] = (unsigned char)(0x80 | (code & 0x3f));
    } else {
        bytes[len++] = (unsigned char)(0xf0 | code >> 18);
        bytes[len++] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
        bytes[len++] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        bytes[len++] = (unsigned char)(0x80 | (code & 0x3f));
    }
    (void)buf_append(out, bytes, len);
}

/* `at` stands on the backslash of \uXXXX; the string is valid. */
static uint32_t read_unit(const char *at)
{
    char hex[5] = "";

    memcpy(hex, at + 2, 4);
    return (uint32_t)strtoul(hex, NULL, 16);
}

/* Returns where the text goes on. */
static const char *append_unicode(struct buf *out, const char *at, const char *end)
{
    uint32_t code = read_unit(at);

    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = read_unit(at);

        if (low >= 0xdc00 && low < 0xe000) {
            append_code_point(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return at + 6;
        }
    }
    append_code_point(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return at;
}

static const char *append_escape(struct buf *out, const char *at, const char *end)
{
    static const char letters[] = "bfnrt", means[] = "\b\f\n\r\t";
    const char *found = strchr(letters, at[1]);

    if (at[1] == 'u')
        return append_unicode(out, at, end);
    (void)buf_append_char(out, found ? means[found - letters] : at[1]);
    return at + 2;
}

int wire_append_text(struct buf *out, const struct json_value *string)
{
    const char *at = string->text + 1, *end = string->text + string->len - 1;

    while (at < end && !out->failed) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *plain_end = escape ? escape : end;

        (void)buf_append(out, at, (size_t)(plain_end - at));
        at = escape ? append_escape(out, escape, end) : end;
    }
    return out->failed ? -ENOBUFS : 0;
}
