/* log_line.c - an event as one line of text. */
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/base/log_form.h"

#define TAIL_BYTES 16 /* room kept for the cut mark and the newline */

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

static void append_text(struct buf *line, bool plain, const char *text, size_t len)
{
    if (plain && is_bare_word(text, len))
        (void)buf_append(line, text, len); /* the caller looks at line->failed */
    else
        (void)json_text_quote(line, text, len);
}

void log_line_append_number(struct buf *line, const struct log_field *field)
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
        break;
    }
}

/* Appends the field with the first text_len bytes of its text, or nothing. */
static bool try_field(struct buf *line, bool plain, const struct log_field *field, size_t text_len)
{
    size_t before = line->len;

    line->failed = false;
    if (plain) {
        (void)buf_printf(line, " %s=", field->name);
    } else {
        (void)buf_append_char(line, ',');
        (void)json_text_quote(line, field->name, strlen(field->name));
        (void)buf_append_char(line, ':');
    }
    if (field->type != LOG_FIELD_TEXT)
        log_line_append_number(line, field);
    else if (field->text)
        append_text(line, plain, field->text, text_len);
    else
        (void)buf_append_text(line, "null");
    if (!line->failed)
        return true;
    line->len = before;
    line->failed = false;
    return false;
}

/* Returns false when the field was cut or left out. */
static bool append_field(struct buf *line, bool plain, const struct log_field *field)
{
    size_t text_len = field->type == LOG_FIELD_TEXT && field->text ? strlen(field->text) : 0;

    if (try_field(line, plain, field, text_len))
        return true;
    for (size_t len = text_len > line->max ? line->max : text_len; len >= 16; len /= 2) {
        if (try_field(line, plain, field, len / 2))
            break;
    }
    return false;
}

static void append_head(struct buf *line, bool plain, const struct log_entry *entry)
{
    char at[CLOCK_TEXT_BYTES];

    (void)buf_printf(
        line, plain ? "%s %-5s %s" : "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
        clock_print_wall(clock_wall_ms(), at), log_level_names[entry->level], entry->event);
}

void log_line_make(const struct log_entry *entry, bool plain, struct buf *line)
{
    bool whole = true;

    line->max = LOG_LINE_BYTES - TAIL_BYTES;
    buf_reset(line);
    append_head(line, plain, entry);
    for (size_t i = 0; i < entry->context_count; i++)
        whole &= append_field(line, plain, &entry->context[i]);
    for (size_t i = 0; i < entry->fields_count; i++)
        whole &= append_field(line, plain, &entry->fields[i]);
    line->max = LOG_LINE_BYTES;
    if (!whole)
        (void)buf_append_text(line, plain ? " cut=true" : ",\"cut\":true");
    (void)buf_append_text(line, plain ? "\n" : "}\n"); /* the caller looks at line->failed */
}

void log_line_describe(const struct log_entry *entry, struct buf *text)
{
    bool whole = true;

    text->max = LOG_LINE_BYTES - TAIL_BYTES;
    buf_reset(text);
    (void)buf_append_text(text, entry->event);
    for (size_t i = 0; i < entry->context_count; i++)
        if (strcmp(entry->context[i].name, "queue") == 0)
            whole &= append_field(text, /* plain= */ true, &entry->context[i]);
    for (size_t i = 0; i < entry->fields_count; i++)
        whole &= append_field(text, /* plain= */ true, &entry->fields[i]);
    text->max = LOG_LINE_BYTES;
    if (!whole)
        (void)buf_append_text(text, " …"); /* the caller looks at text->failed */
}
