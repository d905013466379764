#include "common/base/backoff.h"

#include <assert.h>
#include <sys/random.h>

/* A number in [-1, 1]; 0 (no spread) should the kernel have no randomness to give. */
static double random_sign(void)
{
    uint32_t bits;

    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != sizeof bits)
        return 0;
    return 2.0 * (double)bits / (double)UINT32_MAX - 1.0;
}

uint64_t backoff_next_ms(struct backoff *backoff)
{
    uint64_t wait_ms = backoff->first_ms;
    double spread_ms;

    assert(backoff->first_ms > 0 && backoff->max_ms >= backoff->first_ms);
    assert(backoff->jitter >= 0 && backoff->jitter <= 1);
    for (unsigned int i = 0; i < backoff->failures && wait_ms < backoff->max_ms; i++)
        wait_ms = wait_ms > backoff->max_ms / 2 ? backoff->max_ms : wait_ms * 2;
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    spread_ms = (double)wait_ms * (1.0 + backoff->jitter * random_sign());
    if (spread_ms >= (double)backoff->max_ms)
        return backoff->max_ms;
    return spread_ms > 0 ? (uint64_t)spread_ms : 0;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}
