#include "common/redis/encode.h"

#include <string.h>

static size_t digits_of(size_t number)
{
    size_t digits = 1;

    while (number >= 10) {
        number /= 10;
        digits++;
    }
    return digits;
}

static char *write_count(char *at, char mark, size_t number)
{
    size_t digits = digits_of(number);

    *at++ = mark;
    for (size_t i = digits; i > 0; i--) {
        at[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    at += digits;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

size_t redis_encode_array_bytes(size_t count)
{
    return digits_of(count) + 3;
}

size_t redis_encode_bulk_bytes(size_t len)
{
    return digits_of(len) + 3 + len + 2;
}

char *redis_encode_array(char *at, size_t count)
{
    return write_count(at, '*', count);
}

char *redis_encode_bulk(char *at, const void *bytes, size_t len)
{
    at = write_count(at, '$', len);
    if (len > 0)
        memcpy(at, bytes, len);
    at += len;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}
