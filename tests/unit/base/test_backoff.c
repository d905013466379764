#include <criterion/criterion.h>
#include <stdbool.h>

#include "common/base/attr.h"
#include "common/base/backoff.h"

Test(backoff, doubles_up_to_its_cap)
{
    struct backoff backoff = { .first_ms = 100, .max_ms = 1500 };
    static const uint64_t waits_ms[] = { 100, 200, 400, 800, 1500, 1500, 1500 };

    for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++)
        cr_expect(backoff_next_ms(&backoff) == waits_ms[i], "try %zu", i);
    backoff_reset(&backoff);
    cr_expect(backoff_next_ms(&backoff) == 100);
}

Test(backoff, never_overflows)
{
    struct backoff backoff = { .first_ms = 3, .max_ms = 1ULL << 53 };
    uint64_t before = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t wait_ms = backoff_next_ms(&backoff);

        cr_assert(wait_ms >= before && wait_ms <= 1ULL << 53, "try %d", i);
        before = wait_ms;
    }
    cr_expect(before == 1ULL << 53);
    backoff.failures = UINT32_MAX;
    cr_expect(backoff_next_ms(&backoff) == 1ULL << 53);
    cr_expect(backoff.failures == UINT32_MAX);
}

Test(backoff, spreads_within_its_jitter)
{
    bool below = false, above = false;

    for (int i = 0; i < 1000; i++) {
        struct backoff backoff = { .first_ms = 1000, .max_ms = 100000, .jitter = 0.2 };
        uint64_t wait_ms = backoff_next_ms(&backoff);

        cr_assert(wait_ms >= 799 && wait_ms <= 1200, "%llu", (unsigned long long)wait_ms);
        below |= wait_ms < 1000;
        above |= wait_ms > 1000;
    }
    cr_expect(below && above);
    for (int i = 0; i < 1000; i++) {
        struct backoff capped = { .first_ms = 1000, .max_ms = 1000, .jitter = 1 };

        cr_assert(backoff_next_ms(&capped) <= 1000);
    }
}
