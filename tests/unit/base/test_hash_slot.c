#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "common/base/hash_slot.h"

/* As CLUSTER KEYSLOT of Redis 7.0.15 answers. */
static const struct {
    const char *key, *tag;
    unsigned int slot;
} rows[] = {
    { "123456789", "123456789", 12739 },
    { "", "", 0 },
    { "foo", "foo", 12182 },
    { "{bull}:mail:wait", "bull", 9263 },
    { "bull:{mail}:wait", "mail", 4247 },
    { "drover:{bull}:{bull}:mail:live", "bull", 9263 },
    { "foo{}{bar}", "foo{}{bar}", 8363 },
    { "foo{{bar}}zap", "{bar", 4015 },
    { "foo{bar}{zap}", "bar", 5061 },
    { "foo{bar", "foo{bar", 15278 },
    { "foo}bar{", "foo}bar{", 11073 },
};

Test(hash_slot, tags_and_slots)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = 0;
        const char *tag = hash_slot_tag(rows[i].key, strlen(rows[i].key), &len);

        cr_expect(len == strlen(rows[i].tag) && memcmp(tag, rows[i].tag, len) == 0, "%s: %.*s",
                  rows[i].key, (int)len, tag);
        cr_expect(eq(u32, hash_slot_of(rows[i].key, strlen(rows[i].key)), rows[i].slot), "%s",
                  rows[i].key);
    }
}

Test(hash_slot, any_bytes)
{
    static const char key[] = { '{', '\0', '}', 'x', (char)0xff };
    size_t len = 0;

    cr_expect(hash_slot_tag(key, sizeof(key), &len) == key + 1 && len == 1);
    cr_expect(lt(u32, hash_slot_of(key, sizeof(key)), HASH_SLOT_COUNT));
}
