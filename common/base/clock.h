/* clock.h - the three clocks of drover, all in milliseconds, all movable by tests.
 * Invariant: now and boot never go back; wall may. */
#pragma once

#include <stdint.h>

/* Time inside the program: CLOCK_MONOTONIC, stands still while the machine sleeps. */
uint64_t clock_now_ms(void);

/* Leases and locks: CLOCK_BOOTTIME, goes on while the machine sleeps, as Redis' expiry does
 * elsewhere. */
uint64_t clock_boot_ms(void);

/* Stored data only (`…_at_ms`): milliseconds since the epoch, as stock BullMQ clients send. */
uint64_t clock_wall_ms(void);

/* As people write it: "2026-01-31T12:00:00.000Z" (RFC 3339, UTC). Returns `out`; times beyond the
 * year 9999 are printed as the epoch. */
#define CLOCK_TEXT_BYTES 32
const char *clock_print_wall(uint64_t wall_ms, char out[CLOCK_TEXT_BYTES]);

/* The same instants in microseconds, for measuring. */
uint64_t clock_now_us(void);

/* Tests only: adds `shift_ms` to all three clocks from now on (may be negative; adds up over
 * calls). */
void clock_shift_for_tests(int64_t shift_ms);
