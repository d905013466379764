/* info.h - reading INFO: lines of `field:value`, ended by CRLF, with `# Section` lines between. */
#pragma once

#include <stdbool.h>

#include "common/base/attr.h"

/* Copies the value of `field` into `out` (NUL-terminated). False, with `out` "", when the field is
 * absent or its value does not fit. */
bool redis_info_field(const char *info, size_t info_len, const char *field, char *out,
                      size_t out_bytes);

/* True when `version` ("7.0.15", "6.2.0-rc1") is at least major.minor; false for unreadable text.
 */
bool redis_version_at_least(const char *version, unsigned int major, unsigned int minor);
