/* log.c - the front: decides whether an event is written, makes its texts fit to be read, and gives
 * it to the form in force (log_form.h). */
#include "common/base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/log_form.h"
#include "common/base/log_limit.h"
#include "common/base/redact.h"

#define CONTEXT_FIELDS 8
#define NAME_BYTES     32
#define VALUE_BYTES    128
/* Of a text that is looked at; no line is as long, an entry of the journal may have several. */
#define TEXT_BYTES     16384

struct context_field {
    struct log_field field; /* name and text point into the two arrays below */
    char name[NAME_BYTES];
    char text[VALUE_BYTES];
};

static struct {
    int fd;
    bool is_socket; /* fd is one: it is written to without waiting */
    bool journal;   /* the journal takes the entries */
    bool plain;     /* form of lines */
    enum log_level least;
    const char *identifier;
    struct context_field context[CONTEXT_FIELDS];
    size_t context_count;
    uint64_t burst; /* 0: no limit */
    struct log_limit limit;
    struct redact_patterns *patterns; /* NULL: none */
    struct buf line;                  /* kept from line to line: no allocation per event */
    struct buf hidden;                /* texts of this event that were changed */
    uint64_t on_stderr, lost;         /* lines that the journal, or nothing, took; not yet told */
} state = { .fd = STDERR_FILENO,
            .least = LOG_LEVEL_INFO,
            .identifier = "drover",
            .line = { .max = LOG_LINE_BYTES },
            .hidden = { .max = 2 * LOG_FIELDS_MAX * TEXT_BYTES } };

const char *const log_level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

/* ---- settings */

void log_open(int fd, enum log_format format, enum log_level least)
{
    struct stat info;
    bool terminal = isatty(fd) == 1;

    state.fd = fd;
    state.is_socket = fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
    state.journal =
        format == LOG_FORMAT_JOURNAL || (format == LOG_FORMAT_AUTO && log_journal_owns(fd));
    state.plain = format == LOG_FORMAT_PLAIN || (format != LOG_FORMAT_JSON && terminal);
    state.least = least;
    if (state.journal)
        log_journal_open(LOG_JOURNAL_SOCKET);
}

void log_set_level(enum log_level least)
{
    state.least = least;
}

bool log_is_on(enum log_level level)
{
    return level >= state.least;
}

void log_set_identifier(const char *identifier)
{
    state.identifier = identifier;
}

int log_set_patterns(char *const *patterns, struct error *err)
{
    struct redact_patterns *compiled = NULL;

    if (patterns && *patterns) {
        int result = redact_patterns_new(patterns, &compiled, err);

        if (result < 0)
            return result;
    }
    redact_patterns_free(state.patterns);
    state.patterns = compiled;
    return 0;
}

/* ---- texts */

static void copy_cut(char *out, size_t out_bytes, const char *text)
{
    size_t len = strlen(text);

    if (len >= out_bytes)
        len = out_bytes - 1; /* a character cut in two is printed as U+FFFD */
    memcpy(out, text, len);
    out[len] = '\0';
}

/* Appends the text as it may be shown, and a NUL, to state.hidden; false when `text` itself may
 * be. */
static bool hide(const char *text)
{
    size_t len = strnlen(text, TEXT_BYTES + 1);
    bool cut = len > TEXT_BYTES;
    enum redact_result result;

    if (cut)
        len = TEXT_BYTES;
    result = redact_text(state.patterns, text, len, &state.hidden);
    if (result == REDACT_FAILED)
        (void)buf_append_text(&state.hidden, REDACT_MARK); /* both: failed is looked at */
    else if (result == REDACT_SAME && cut)
        (void)buf_append(&state.hidden, text, len);
    if (result == REDACT_SAME && !cut)
        return false;
    (void)buf_append_char(&state.hidden, '\0');
    return true;
}

/* Copies the fields, with texts that may be shown. */
static void clean_fields(const struct log_field *fields, size_t count, struct log_field *out)
{
    size_t at[LOG_FIELDS_MAX];
    bool hidden[LOG_FIELDS_MAX] = { false };

    buf_reset(&state.hidden);
    for (size_t i = 0; i < count; i++) {
        out[i] = fields[i];
        at[i] = state.hidden.len;
        if (fields[i].type == LOG_FIELD_TEXT && fields[i].text)
            hidden[i] = hide(fields[i].text);
    }
    for (size_t i = 0; i < count; i++) /* now the memory does not move any more */
        if (hidden[i])
            out[i].text = state.hidden.failed ? REDACT_MARK : state.hidden.data + at[i];
}

void log_set_context(const struct log_field *fields, size_t count)
{
    struct log_field clean[CONTEXT_FIELDS];

    if (count > CONTEXT_FIELDS)
        count = CONTEXT_FIELDS;
    clean_fields(fields, count, clean);
    for (size_t i = 0; i < count; i++) {
        struct context_field *own = &state.context[i];

        own->field = clean[i];
        copy_cut(own->name, sizeof own->name, clean[i].name);
        own->field.name = own->name;
        if (clean[i].type == LOG_FIELD_TEXT && clean[i].text) {
            copy_cut(own->text, sizeof own->text, clean[i].text);
            own->field.text = own->text;
        }
    }
    state.context_count = count;
}

/* ---- writing */

/* A socket is not waited for: its reader may be stopped, and would stop us. */
static ssize_t put(const char *bytes, size_t len)
{
    return state.is_socket ? send(state.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : write(state.fd, bytes, len);
}

static bool write_line(const struct log_entry *entry)
{
    size_t done = 0;

    log_line_make(entry, state.plain, &state.line);
    while (!state.line.failed && done < state.line.len) {
        ssize_t wrote = put(state.line.data + done, state.line.len - done);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    return !state.line.failed;
}

/* True when it went where it should. */
static bool put_entry(const struct log_entry *entry)
{
    if (state.journal && log_journal_send(entry) == 0)
        return true;
    if (!write_line(entry)) {
        state.lost++;
        return false;
    }
    state.on_stderr += state.journal;
    return !state.journal;
}

static const struct log_field *find_field(const struct log_field *fields, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static bool emit(enum log_level level, const char *event, const struct log_field *fields,
                 size_t count)
{
    struct log_field clean[LOG_FIELDS_MAX], context[CONTEXT_FIELDS];
    struct log_entry entry = { .level = level,
                               .event = event,
                               .identifier = state.identifier,
                               .context = context,
                               .fields = clean,
                               .fields_count = count };

    assert(count <= LOG_FIELDS_MAX);
    clean_fields(fields, count, clean);
    for (size_t i = 0; i < state.context_count; i++)
        if (!find_field(fields, count, state.context[i].field.name))
            context[entry.context_count++] = state.context[i].field;
    return put_entry(&entry);
}

/* The way is free again: what went elsewhere meanwhile is told. */
static void tell_interruption(void)
{
    struct log_field fields[] = { LOG_UINT("on_stderr", state.on_stderr),
                                  LOG_UINT("lost", state.lost) };

    state.on_stderr = state.lost = 0;
    (void)emit(LOG_LEVEL_WARN, "log.interrupted", fields, ARRAY_SIZE(fields)); /* it counts again */
}

static void write_event(enum log_level level, const char *event, const struct log_field *fields,
                        size_t count)
{
    int errno_before = errno;

    if (emit(level, event, fields, count) && state.on_stderr + state.lost > 0)
        tell_interruption();
    errno = errno_before;
}

/* ---- the limit */

static void tell_suppressed(const struct log_limit_row *row, uint64_t left_out)
{
    struct log_field fields[] = { LOG_STR("repeated", row->event), LOG_UINT("count", left_out),
                                  LOG_UINT("interval_ms", state.limit.interval_ms),
                                  LOG_STR("queue", row->queue) };
    size_t without_queue = ARRAY_SIZE(fields) - 1;

    write_event(LOG_LEVEL_WARN, "log.suppressed", fields,
                row->queue[0] ? ARRAY_SIZE(fields) : without_queue);
}

static const char *queue_of(const struct log_field *fields, size_t count)
{
    const struct log_field *field = find_field(fields, count, "queue");

    return field && field->type == LOG_FIELD_TEXT ? field->text : NULL;
}

static void write_limited(enum log_level level, const char *event, const struct log_field *fields,
                          size_t count, uint64_t burst)
{
    if (level == LOG_LEVEL_DEBUG || burst == 0 ||
        log_limit_allows(&state.limit, event, queue_of(fields, count), burst, clock_now_ms(),
                         tell_suppressed))
        write_event(level, event, fields, count);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    write_limited(level, event, fields, count, state.burst);
}

void log_write_words(enum log_level level, const char *event, const struct log_field *fields,
                     size_t count)
{
    write_limited(level, event, fields, count, state.burst * LOG_WORDS_FACTOR);
}

void log_write_unlimited(enum log_level level, const char *event, const struct log_field *fields,
                         size_t count)
{
    write_event(level, event, fields, count);
}

void log_set_limit(uint64_t burst, uint64_t interval_ms)
{
    log_limit_end(&state.limit, 0, /* all= */ true, tell_suppressed);
    state.burst = burst;
    state.limit.interval_ms = interval_ms;
}

void log_flush_suppressed(uint64_t now_ms)
{
    log_limit_end(&state.limit, now_ms, /* all= */ false, tell_suppressed);
}

uint64_t log_flush_next_ms(void)
{
    return log_limit_next_ms(&state.limit);
}

void log_close(void)
{
    log_limit_end(&state.limit, 0, /* all= */ true, tell_suppressed);
    redact_patterns_free(TAKE_PTR(state.patterns));
    buf_done(&state.hidden);
    buf_done(&state.line);
    log_journal_close();
}
