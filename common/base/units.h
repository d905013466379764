/* units.h - durations and sizes as people write them: "250ms", "1.5s", "10m", "2h", "90d",
 * "512MiB". A number needs its unit (0 alone is allowed): a bare 30 would be read as seconds by one
 * and ms by another. */
#pragma once

#include "common/base/error.h"

#define UNITS_TEXT_BYTES 32

/* ms, s, m, h, d; decimals allowed when the result is a whole number of ms; one number and one
 * unit, no sign, no blanks. -EINVAL (text names what is wrong) or -ERANGE beyond 2^53 ms; *out_ms
 * is then untouched. */
MUST_CHECK int units_parse_duration(const char *text, uint64_t *out_ms, struct error *err);

/* B, KiB, MiB, GiB, TiB, and KB, MB, GB, TB (powers of 1000); whole bytes below 2^53. */
MUST_CHECK int units_parse_size(const char *text, uint64_t *out_bytes, struct error *err);

/* The shortest exact form without decimals, of two equally short ones that of the larger unit
 * (90000 → "90s", 120000 → "2m", 1500 → "1500ms", 0 → "0s"); returns `out`. */
const char *units_print_duration(uint64_t ms, char out[UNITS_TEXT_BYTES]);
const char *units_print_size(uint64_t bytes, char out[UNITS_TEXT_BYTES]);
