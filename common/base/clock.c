#include "common/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

static int64_t shift_us;

static uint64_t read_us(clockid_t id)
{
    struct timespec at;
    int failed = clock_gettime(id, &at);

    assert(!failed); /* cannot fail for these ids on Linux */
    return (uint64_t)((int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000 + shift_us);
}

uint64_t clock_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_now_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_boot_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

uint64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_shift_for_tests(int64_t shift_ms)
{
    shift_us += shift_ms * 1000;
}

#define WALL_MS_MAX 253402300799999ULL /* the end of the year 9999 */

const char *clock_print_wall(uint64_t wall_ms, char out[CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = { 0 };
    size_t len;

    if (wall_ms > WALL_MS_MAX || !gmtime_r(&seconds, &tm))
        tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
    len = strftime(out, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm); /* fits: 19 characters */
    (void)snprintf(out + len, CLOCK_TEXT_BYTES - len, ".%03uZ", (unsigned int)(wall_ms % 1000));
    return out;
}
