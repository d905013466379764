/* uuid.h - random identities: of a spawned process (the first part of its locks' token) and of
 * jobs. */
#pragma once

#include "common/base/error.h"

#define UUID_TEXT_BYTES 37 /* 36 characters and the NUL */

/* Writes a lower-case version 4 UUID (RFC 9562). Fails only when the kernel gives no randomness. */
MUST_CHECK int uuid_v4(char out_text[UUID_TEXT_BYTES], struct error *err);

/* Version 7: sorted by `at_ms` (milliseconds since the epoch), never a decimal number. */
MUST_CHECK int uuid_v7(uint64_t at_ms, char out_text[UUID_TEXT_BYTES], struct error *err);

/* True when `text` is 36 characters of lower- or upper-case hexadecimal with hyphens at their
 * places. */
_Bool uuid_is_valid(const char *text);
