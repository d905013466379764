#include "supervisor/cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/base/error.h"
#include "common/base/json_text.h"
#include "common/base/text.h"

/* ---- text that came from outside ---- */

/* Length of one valid UTF-8 character at `at` and its code point; 0 when it is not valid. */
static size_t read_char(const char *at, size_t left, uint32_t *out_code)
{
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t code = first;

    if (len > left || text_utf8_prefix(at, len) != len)
        return 0;
    if (len > 1) {
        code = first & (0xffU >> (len + 1));
        for (size_t i = 1; i < len; i++)
            code = code << 6 | ((unsigned char)at[i] & 0x3f);
    }
    *out_code = code;
    return len;
}

/* Control characters, and those that turn the direction of the text around them. */
static bool is_harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
           code == 0x061c || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void escape(struct buf *out, uint32_t code)
{
    if (code == '\n')
        (void)buf_append_text(out, "\\n");
    else if (code == '\t')
        (void)buf_append_text(out, "\\t");
    else if (code == '\r')
        (void)buf_append_text(out, "\\r");
    else if (code < 0x100)
        (void)buf_printf(out, "\\x%02" PRIx32, code);
    else
        (void)buf_printf(out, "\\u%04" PRIx32, code);
}

static void print_text(struct buf *out, const char *text, size_t len, bool lines, size_t indent)
{
    for (size_t at = 0; at < len;) {
        uint32_t code = (unsigned char)text[at];
        size_t char_len = read_char(text + at, len - at, &code);

        if (lines && code == '\n')
            (void)buf_printf(out, "\n%*s", (int)indent, "");
        else if (char_len == 0 || is_harmful(code))
            escape(out, char_len == 0 ? (unsigned char)text[at] : code);
        else
            (void)buf_append(out, text + at, char_len);
        at += char_len ? char_len : 1;
    }
}

void output_text(struct buf *out, const char *text, size_t len)
{
    print_text(out, text, len, /* lines= */ false, 0);
}

void output_lines(struct buf *out, const char *text, size_t len, size_t indent)
{
    while (len > 0 && text[len - 1] == '\n')
        len--;
    print_text(out, text, len, /* lines= */ true, indent);
}

void output_error(const char *format, ...)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);
    char text[8192];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    output_lines(&out, text, strlen(text), 2);
    (void)fprintf(stderr, "drover: %s\n", buf_text(&out));
    buf_done(&out);
}

bool output_flush(struct buf *out)
{
    bool good = !out->failed;

    if (!good)
        output_error("the output is too long, or memory ran out");
    else if (fwrite(buf_text(out), 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        good = false;
        if (errno != EPIPE)
            output_error("write to standard output: %s", strerror(errno));
    }
    buf_reset(out);
    return good;
}

/* ---- times ---- */

const char *output_time(uint64_t at_ms, char out[OUTPUT_TIME_BYTES])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm local;
    char date[24] = "", zone[8] = "";

    if (at_ms == 0 || !localtime_r(&seconds, &local) ||
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &local) == 0 ||
        strftime(zone, sizeof(zone), "%z", &local) != 5) {
        (void)snprintf(out, OUTPUT_TIME_BYTES, "-");
        return out;
    }
    (void)snprintf(out, OUTPUT_TIME_BYTES, "%s.%03u%.3s:%.2s", date, (unsigned int)(at_ms % 1000),
                   zone, zone + 3); /* 29 bytes up to the year 9999, and cut after it */
    return out;
}

const char *output_age(uint64_t ms, char out[OUTPUT_AGE_BYTES])
{
    uint64_t s = ms / 1000;

    if (ms < 1000)
        (void)snprintf(out, OUTPUT_AGE_BYTES, "%" PRIu64 " ms", ms);
    else if (s < 60)
        (void)snprintf(out, OUTPUT_AGE_BYTES, "%" PRIu64 ".%" PRIu64 " s", s, ms / 100 % 10);
    else if (s < 3600)
        (void)snprintf(out, OUTPUT_AGE_BYTES, "%" PRIu64 " m %" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, OUTPUT_AGE_BYTES, "%" PRIu64 " h %" PRIu64 " m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, OUTPUT_AGE_BYTES, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
                       s / 3600 % 24);
    return out;
}

/* ---- JSON members ---- */

void output_member_text(struct buf *out, bool first, const char *name, const char *text, size_t len)
{
    (void)buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
    (void)json_text_quote(out, text, len);
}

void output_member_number(struct buf *out, bool first, const char *name, uint64_t number)
{
    (void)buf_printf(out, "%s\"%s\":%" PRIu64, first ? "" : ",", name, number);
}

/* ---- tables ---- */

#define TABLE_BYTES_MAX   ((size_t)8 * 1024 * 1024)
#define TABLE_COLUMNS_MAX 16

void output_table_init(struct output_table *table, size_t columns, const bool *right)
{
    *table = (struct output_table){ .columns = columns, .right = right };
    buf_init(&table->cells, TABLE_BYTES_MAX);
}

void output_table_done(struct output_table *table)
{
    buf_done(&table->cells);
}

void output_table_cell(struct output_table *table, const char *text)
{
    output_text(&table->cells, text, strlen(text));
    (void)buf_append_char(&table->cells, '\0');
}

void output_table_number(struct output_table *table, uint64_t number)
{
    (void)buf_printf(&table->cells, "%" PRIu64, number);
    (void)buf_append_char(&table->cells, '\0');
}

/* Characters, which is what a column is wide in (wide and combining ones are not told apart). */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* Without blanks at its end: the last cells may be empty. */
static void end_row(struct buf *out)
{
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    (void)buf_append_char(out, '\n');
}

void output_table_print(const struct output_table *table, struct buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = { 0 }, column = 0;
    const char *end = table->cells.data + table->cells.len;

    for (const char *cell = table->cells.data; cell && cell < end; cell += strlen(cell) + 1) {
        size_t width = width_of(cell);

        if (width > widths[column])
            widths[column] = width;
        column = (column + 1) % table->columns;
    }
    column = 0;
    for (const char *cell = table->cells.data; cell && cell < end; cell += strlen(cell) + 1) {
        bool last = column + 1 == table->columns;
        int pad = (int)(widths[column] - width_of(cell));

        if (table->right[column])
            (void)buf_printf(out, "%*s%s", pad, "", cell);
        else
            (void)buf_printf(out, "%s%*s", cell, last ? 0 : pad, "");
        if (last)
            end_row(out);
        else
            (void)buf_append_text(out, "  ");
        column = last ? 0 : column + 1;
    }
}
