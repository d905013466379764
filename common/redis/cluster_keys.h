/* cluster_keys.h - which slot a command is for. */
#pragma once

#include "common/redis/connection.h"

/* The key that decides; NULL: the command has none. Points into the call. */
const char *cluster_first_key(const struct call *call, size_t *out_len);

/* -EINVAL when the keys of a script are of several slots. */
MUST_CHECK int cluster_check_keys(const struct call *call, struct error *err);

/* A key in the same slot that nobody writes, for scripts (cluster.h); malloc'ed, NULL on no memory.
 */
char *cluster_guard_key(const char *key, size_t len);
