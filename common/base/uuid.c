#include "common/base/uuid.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static void print_uuid(const unsigned char bytes[16], char out_text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out_text;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    *at = '\0';
}

static int random_bytes(unsigned char bytes[16], int version, struct error *err)
{
    if (getrandom(bytes, 16, 0) != 16) /* up to 256 bytes are never cut once the pool is ready */
        return error_set(err, -EIO, "getrandom: %s", strerror(errno));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | (version << 4));
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    return 0;
}

int uuid_v4(char out_text[UUID_TEXT_BYTES], struct error *err)
{
    unsigned char bytes[16];
    int result = random_bytes(bytes, 4, err);

    if (result < 0)
        return result;
    print_uuid(bytes, out_text);
    return 0;
}

int uuid_v7(uint64_t at_ms, char out_text[UUID_TEXT_BYTES], struct error *err)
{
    unsigned char bytes[16];
    int result = random_bytes(bytes, 7, err);

    if (result < 0)
        return result;
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(at_ms >> (8 * (5 - i)));
    print_uuid(bytes, out_text);
    return 0;
}

_Bool uuid_is_valid(const char *text)
{
    if (!text || strlen(text) != UUID_TEXT_BYTES - 1)
        return 0;
    for (int i = 0; i < UUID_TEXT_BYTES - 1; i++) {
        _Bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;

        if (hyphen ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return 0;
    }
    return 1;
}
