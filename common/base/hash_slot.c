#include "common/base/hash_slot.h"

#include <stdint.h>
#include <string.h>

/* CRC-16/XMODEM (polynomial 0x1021), four bits at a time: a table of 16 instead of 256. */
static const uint16_t crc_of_nibble[16] = { 0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                            0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                            0xc18c, 0xd1ad, 0xe1ce, 0xf1ef };

static uint16_t crc16(const char *data, size_t len)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)data[i];

        crc = (uint16_t)((crc << 4) ^ crc_of_nibble[(crc >> 12) ^ (byte >> 4)]);
        crc = (uint16_t)((crc << 4) ^ crc_of_nibble[(crc >> 12) ^ (byte & 15)]);
    }
    return crc;
}

const char *hash_slot_tag(const char *key, size_t len, size_t *out_len)
{
    const char *open = memchr(key, '{', len);
    const char *close = open ? memchr(open, '}', len - (size_t)(open - key)) : NULL;

    if (!close || close == open + 1) {
        *out_len = len;
        return key;
    }
    *out_len = (size_t)(close - open) - 1;
    return open + 1;
}

unsigned int hash_slot_of(const char *key, size_t len)
{
    size_t tag_len = 0;
    const char *tag = hash_slot_tag(key, len, &tag_len);

    return crc16(tag, tag_len) % HASH_SLOT_COUNT;
}
