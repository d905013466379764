/* text.h - small helpers on NUL-terminated and counted text. */
#pragma once

#include <stdbool.h>

#include "common/base/error.h"

/* The candidate nearest to `word` for a did-you-mean: at most max(1, strlen/3) edits away; NULL
 * when none is. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* Whole decimal number, no sign, no blanks, no leading zeros but "0" itself. -EINVAL or -ERANGE. */
MUST_CHECK int text_parse_uint(const char *text, size_t len, uint64_t *out_value);

/* Length of the longest valid UTF-8 prefix of `bytes`; equal to `len` when all of it is valid. */
size_t text_utf8_prefix(const char *bytes, size_t len);

/* printf into new memory (free it); NULL on no memory. */
char *text_format(const char *format, ...) PRINTF_LIKE(1, 2);

/* Standard base64 with padding (RFC 4648 section 4) in new memory; NULL on no memory. */
char *text_base64(const void *bytes, size_t len);
