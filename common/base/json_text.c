#include "common/base/json_text.h"

#include <string.h>

#include "common/base/text.h"

#define JSON_MAX_DEPTH 512

struct scan {
    const char *at;
    const char *end;
    size_t depth;
    char closers[JSON_MAX_DEPTH]; /* the bracket that ends each open object or array */
};

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

static bool take_char(struct scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool take_word(struct scan *scan, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return false;
    scan->at += len;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool take_digits(struct scan *scan)
{
    const char *first = scan->at;

    while (scan->at < scan->end && is_digit(*scan->at))
        scan->at++;
    return scan->at > first;
}

static bool take_number(struct scan *scan)
{
    (void)take_char(scan, '-'); /* optional */
    if (!take_char(scan, '0') && !take_digits(scan))
        return false;
    if (take_char(scan, '.') && !take_digits(scan))
        return false;
    if (take_char(scan, 'e') || take_char(scan, 'E')) {
        if (!take_char(scan, '+'))
            (void)take_char(scan, '-'); /* optional */
        return take_digits(scan);
    }
    return true;
}

/* After the backslash. */
static bool take_escape(struct scan *scan)
{
    if (scan->at == scan->end)
        return false;
    if (*scan->at != 'u')
        return *scan->at != '\0' && strchr("\"\\/bfnrt", *scan->at++) != NULL;
    scan->at++;
    for (int i = 0; i < 4; i++, scan->at++) {
        if (scan->at == scan->end || !is_hex(*scan->at))
            return false;
    }
    return true;
}

static bool take_string(struct scan *scan)
{
    if (!take_char(scan, '"'))
        return false;
    while (scan->at < scan->end) {
        char c = *scan->at++;

        if (c == '"')
            return true;
        if ((unsigned char)c < 0x20 || (c == '\\' && !take_escape(scan)))
            return false;
    }
    return false;
}

static bool take_scalar(struct scan *scan)
{
    if (scan->at == scan->end)
        return false;
    switch (*scan->at) {
    case '"':
        return take_string(scan);
    case 't':
        return take_word(scan, "true");
    case 'f':
        return take_word(scan, "false");
    case 'n':
        return take_word(scan, "null");
    default:
        return take_number(scan);
    }
}

static bool take_key(struct scan *scan)
{
    skip_blanks(scan);
    if (!take_string(scan))
        return false;
    skip_blanks(scan);
    return take_char(scan, ':');
}

/* Opens objects and arrays down to the next scalar or empty container, and takes that. */
static bool take_down(struct scan *scan)
{
    for (;;) {
        bool object;

        skip_blanks(scan);
        object = take_char(scan, '{');
        if (!object && !take_char(scan, '['))
            return take_scalar(scan);
        if (scan->depth == JSON_MAX_DEPTH)
            return false;
        skip_blanks(scan);
        if (take_char(scan, object ? '}' : ']'))
            return true;
        scan->closers[scan->depth++] = object ? '}' : ']';
        if (object && !take_key(scan))
            return false;
    }
}

bool json_text_is_valid(const char *bytes, size_t bytes_len)
{
    struct scan scan;

    scan.at = bytes;
    scan.end = bytes + bytes_len;
    scan.depth = 0;
    if (text_utf8_prefix(bytes, bytes_len) != bytes_len || !take_down(&scan))
        return false;
    for (;;) { /* a value has just ended */
        skip_blanks(&scan);
        if (scan.depth == 0)
            return scan.at == scan.end;
        if (take_char(&scan, scan.closers[scan.depth - 1])) {
            scan.depth--;
            continue;
        }
        if (!take_char(&scan, ',') || (scan.closers[scan.depth - 1] == '}' && !take_key(&scan)) ||
            !take_down(&scan))
            return false;
    }
}

static int quote_byte(struct buf *buf, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    static const char plain[] = "\b\t\n\f\r\"\\";
    static const char short_form[] = "btnfr\"\\";
    const char *found = c ? strchr(plain, c) : NULL;
    char escape[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

    if (found) {
        escape[1] = short_form[found - plain];
        return buf_append(buf, escape, 2);
    }
    return buf_append(buf, escape, sizeof escape);
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* `bytes` is valid UTF-8. */
static int quote_valid(struct buf *buf, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t run = at;
        int result;

        while (run < len && !needs_escape((unsigned char)bytes[run]))
            run++;
        if (run > at)
            result = buf_append(buf, bytes + at, run - at);
        else
            result = quote_byte(buf, (unsigned char)bytes[run++]);
        if (result < 0)
            return result;
        at = run;
    }
    return 0;
}

static int quote_all(struct buf *buf, const char *bytes, size_t bytes_len)
{
    int result = buf_append_char(buf, '"');

    while (result == 0 && bytes_len > 0) {
        size_t valid = text_utf8_prefix(bytes, bytes_len);

        result = quote_valid(buf, bytes, valid);
        if (result == 0 && valid < bytes_len) {
            result = buf_append(buf, "\xef\xbf\xbd", 3); /* U+FFFD for one byte */
            valid++;
        }
        bytes += valid;
        bytes_len -= valid;
    }
    return result < 0 ? result : buf_append_char(buf, '"');
}

int json_text_quote(struct buf *buf, const char *bytes, size_t bytes_len)
{
    size_t before = buf->len;
    int result = quote_all(buf, bytes, bytes_len);

    if (result < 0 && buf->data) {
        buf->len = before; /* all or nothing */
        buf->data[before] = '\0';
    }
    return result;
}
