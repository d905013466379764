#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define NEAREST_MAX_LEN 63

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours between a and b (both short). */
static size_t edits_between(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_MAX_LEN + 1]; /* of the distance table: this one and two before */

    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t same = a[i - 1] == b[j - 1] ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t word_len = strlen(word);
    size_t allowed = word_len / 3 > 1 ? word_len / 3 : 1;
    const char *nearest = NULL;

    if (word_len > NEAREST_MAX_LEN)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(candidates[i]);
        size_t edits;

        if (len > NEAREST_MAX_LEN)
            continue;
        edits = edits_between(word, word_len, candidates[i], len);
        if (nearest ? edits < allowed : edits <= allowed) {
            nearest = candidates[i];
            allowed = edits;
        }
    }
    return nearest;
}

int text_parse_uint(const char *text, size_t len, uint64_t *out_value)
{
    uint64_t value = 0;

    if (len == 0 || (len > 1 && text[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
    }
    for (size_t i = 0; i < len; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return -ERANGE;
    }
    *out_value = value;
    return 0;
}

/* Bytes of the one character at `at` (0 when it is not valid UTF-8; RFC 3629 section 4). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    unsigned char second_least = 0x80, second_most = 0xbf;
    size_t need;

    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        need = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        need = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        need = 4;
    else
        return 0;
    if (at[0] == 0xe0)
        second_least = 0xa0; /* shorter forms exist */
    else if (at[0] == 0xed)
        second_most = 0x9f; /* surrogates */
    else if (at[0] == 0xf0)
        second_least = 0x90;
    else if (at[0] == 0xf4)
        second_most = 0x8f; /* beyond U+10FFFF */
    if (left < need || at[1] < second_least || at[1] > second_most)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return need;
}

size_t text_utf8_prefix(const char *bytes, size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t used = 0;

    while (used < len) {
        size_t step = utf8_length(at + used, len - used);

        if (step == 0)
            break;
        used += step;
    }
    return used;
}

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? NULL : text;
}

char *text_base64(const void *bytes, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    char *text, *at;

    if (len > (SIZE_MAX - 1) / 4 * 3 - 2)
        return NULL;
    text = at = calloc((len + 2) / 3 * 4 + 1, 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        unsigned int left = len - i > 2 ? 3 : (unsigned int)(len - i);
        unsigned int word = (unsigned int)in[i] << 16;

        if (left > 1)
            word |= (unsigned int)in[i + 1] << 8;
        if (left > 2)
            word |= in[i + 2];
        *at++ = letters[word >> 18];
        *at++ = letters[word >> 12 & 63];
        *at++ = left > 1 ? letters[word >> 6 & 63] : '=';
        *at++ = left > 2 ? letters[word & 63] : '=';
    }
    *at = '\0';
    return text;
}
