#include "common/redis/info.h"

#include <string.h>

bool redis_info_field(const char *info, size_t info_len, const char *field, char *out,
                      size_t out_bytes)
{
    size_t field_len = strlen(field);
    const char *end = info + info_len;

    out[0] = '\0';
    for (const char *line = info; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((line_end ? line_end : end) - line);

        if (len > field_len && line[field_len] == ':' && memcmp(line, field, field_len) == 0) {
            size_t value_len = len - field_len - 1;

            if (value_len > 0 && line[len - 1] == '\r')
                value_len--;
            if (value_len >= out_bytes)
                return false;
            memcpy(out, line + field_len + 1, value_len);
            out[value_len] = '\0';
            return true;
        }
        line += len + 1;
    }
    return false;
}

/* Reads digits at *at (at most 6, so that nothing overflows) and moves past them. */
static bool read_number(const char **at, unsigned int *out)
{
    const char *start = *at;
    unsigned int number = 0;

    while (**at >= '0' && **at <= '9' && *at - start < 6) {
        number = number * 10 + (unsigned int)(**at - '0');
        (*at)++;
    }
    *out = number;
    return *at > start;
}

bool redis_version_at_least(const char *version, unsigned int major, unsigned int minor)
{
    unsigned int has_major = 0, has_minor = 0;
    const char *at = version;

    if (!read_number(&at, &has_major) || *at != '.')
        return false;
    at++;
    if (!read_number(&at, &has_minor))
        return false;
    return has_major > major || (has_major == major && has_minor >= minor);
}
