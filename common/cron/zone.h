/* zone.h - time zones by their IANA name: how far local time is ahead of UTC at an instant. They
 * are read from the system's zone files (TZif, RFC 8536; Debian package tzdata), not through TZ and
 * localtime, which belong to the whole process. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/attr.h"
#include "common/base/error.h"

struct zone;

/* A zone by name: IANA, in any case; "UTC", "GMT", "UTC+3", "utc-05:30"; NULL, "", "local" or
 * "system": that of this machine ($TZ when it is a name, else /etc/localtime, else UTC). Read once
 * and kept for the process: the pointer stays valid. At most ZONES_MAX are kept. -EINVAL: no such
 * zone; -ENOMEM; -EIO and others: the file can't be read. */
#define ZONES_MAX 1000
MUST_CHECK int zone_find(const char *name, size_t len, const struct zone **out, struct error *err);

/* Seconds that local time is ahead of UTC at `at_s` (seconds since 1970). */
int32_t zone_offset(const struct zone *zone, int64_t at_s);

/* Frees all that is kept; no pointer is valid then. For tests under a leak checker and for exits.
 */
void zones_done(void);
