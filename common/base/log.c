#include "common/base/log.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/json_text.h"

/* A write of at most PIPE_BUF (4096) bytes to a pipe is atomic (pipe(7)), so a line never is
 * longer: a field that does not fit is cut or left out, and the line then says "cut":true. */
#define LOG_LINE_BYTES     4096
#define LOG_TAIL_BYTES     16 /* room kept for the cut mark and the newline */
#define LOG_CONTEXT_FIELDS 8
#define LOG_NAME_BYTES     32
#define LOG_VALUE_BYTES    128

struct context_field {
    struct log_field field; /* name and text point into the two arrays below */
    char name[LOG_NAME_BYTES];
    char text[LOG_VALUE_BYTES];
};

static struct {
    int fd;
    bool plain;
    enum log_level least;
    struct context_field context[LOG_CONTEXT_FIELDS];
    size_t context_count;
} log_state = { .fd = STDERR_FILENO, .least = LOG_LEVEL_INFO };

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

static const char *const format_names[] = {
    [LOG_FORMAT_AUTO] = "auto",
    [LOG_FORMAT_JSON] = "json",
    [LOG_FORMAT_PLAIN] = "plain",
};

static int find_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

int log_level_by_name(const char *name)
{
    return find_name(level_names, ARRAY_SIZE(level_names), name);
}

int log_format_by_name(const char *name)
{
    return find_name(format_names, ARRAY_SIZE(format_names), name);
}

void log_open(int fd, enum log_format format, enum log_level least)
{
    log_state.fd = fd;
    log_state.plain = format == LOG_FORMAT_PLAIN || (format == LOG_FORMAT_AUTO && isatty(fd) == 1);
    log_state.least = least;
}

void log_set_level(enum log_level least)
{
    log_state.least = least;
}

bool log_is_on(enum log_level level)
{
    return level >= log_state.least;
}

static void copy_cut(char *out, size_t out_bytes, const char *text)
{
    size_t len = strlen(text);

    if (len >= out_bytes)
        len = out_bytes - 1; /* a character cut in two is printed as U+FFFD */
    memcpy(out, text, len);
    out[len] = '\0';
}

void log_set_context(const struct log_field *fields, size_t count)
{
    if (count > LOG_CONTEXT_FIELDS)
        count = LOG_CONTEXT_FIELDS;
    for (size_t i = 0; i < count; i++) {
        struct context_field *own = &log_state.context[i];

        own->field = fields[i];
        copy_cut(own->name, sizeof own->name, fields[i].name);
        own->field.name = own->name;
        if (fields[i].type == LOG_FIELD_TEXT && fields[i].text) {
            copy_cut(own->text, sizeof own->text, fields[i].text);
            own->field.text = own->text;
        }
    }
    log_state.context_count = count;
}

/* In the plain form a value is bare unless that would make the line ambiguous. */
static bool is_bare_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return false;
    }
    return len > 0;
}

static void append_text(struct buf *line, const char *text, size_t len)
{
    if (log_state.plain && is_bare_word(text, len))
        (void)buf_append(line, text, len); /* the caller looks at line->failed */
    else
        (void)json_text_quote(line, text, len);
}

static void append_value(struct buf *line, const struct log_field *field, size_t text_len)
{
    switch (field->type) { /* results: the caller looks at line->failed */
    case LOG_FIELD_INT:
        (void)buf_printf(line, "%lld", (long long)field->integer);
        break;
    case LOG_FIELD_UINT:
        (void)buf_printf(line, "%llu", (unsigned long long)field->natural);
        break;
    case LOG_FIELD_BOOL:
        (void)buf_append_text(line, field->truth ? "true" : "false");
        break;
    case LOG_FIELD_REAL:
        if (isfinite(field->real))
            (void)buf_printf(line, "%.15g", field->real);
        else
            (void)buf_append_text(line, "null"); /* JSON has no NaN and no infinity */
        break;
    case LOG_FIELD_TEXT:
        if (field->text)
            append_text(line, field->text, text_len);
        else
            (void)buf_append_text(line, "null");
        break;
    }
}

/* Appends the field with the first text_len bytes of its text, or nothing. */
static bool try_field(struct buf *line, const struct log_field *field, size_t text_len)
{
    size_t before = line->len;

    line->failed = false;
    if (log_state.plain) {
        (void)buf_printf(line, " %s=", field->name);
    } else {
        (void)buf_append_char(line, ',');
        (void)json_text_quote(line, field->name, strlen(field->name));
        (void)buf_append_char(line, ':');
    }
    append_value(line, field, text_len);
    if (!line->failed)
        return true;
    line->len = before;
    line->failed = false;
    return false;
}

/* Returns false when the field was cut or left out. */
static bool append_field(struct buf *line, const struct log_field *field)
{
    size_t text_len = field->type == LOG_FIELD_TEXT && field->text ? strlen(field->text) : 0;

    if (try_field(line, field, text_len))
        return true;
    for (size_t len = text_len > line->max ? line->max : text_len; len >= 16; len /= 2) {
        if (try_field(line, field, len / 2))
            break;
    }
    return false;
}

static void append_head(struct buf *line, enum log_level level, const char *event)
{
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char at[32];

    if (!gmtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof tm);
    (void)strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm); /* fits: 19 characters */
    (void)buf_printf(line,
                     log_state.plain ? "%s.%03uZ %-5s %s"
                                     : "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%s\"",
                     at, (unsigned int)(now_ms % 1000), level_names[level], event);
}

static void write_line(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(log_state.fd, bytes, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* nobody to tell: the log itself is what failed */
        bytes += wrote;
        len -= (size_t)wrote;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    static struct buf line; /* kept from line to line: no allocation per event */
    int errno_before = errno;
    bool whole = true;

    line.max = LOG_LINE_BYTES - LOG_TAIL_BYTES;
    buf_reset(&line);
    append_head(&line, level, event);
    for (size_t i = 0; i < log_state.context_count; i++)
        whole &= append_field(&line, &log_state.context[i].field);
    for (size_t i = 0; i < count; i++)
        whole &= append_field(&line, &fields[i]);
    line.max = LOG_LINE_BYTES;
    if (!whole)
        (void)buf_append_text(&line, log_state.plain ? " cut=true" : ",\"cut\":true");
    (void)buf_append_text(&line, log_state.plain ? "\n" : "}\n");
    if (!line.failed)
        write_line(line.data, line.len);
    errno = errno_before;
}
