/* resolve.h - a host name into addresses, off the loop (hiredis' own look-up would block it).
 * Invariant: on_done runs once, later, on the loop, unless the look-up was abandoned before. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"

#define RESOLVE_ADDRESSES_MAX 8
#define RESOLVE_ADDRESS_BYTES 64 /* an IPv6 literal with scope */

struct resolve;

struct resolve_result {
    char addresses[RESOLVE_ADDRESSES_MAX]
                  [RESOLVE_ADDRESS_BYTES]; /* literals, in the system's order */
    size_t count;
};

/* `why` is NULL and the result has at least one address, or `why` says what failed. */
typedef void resolve_cb(const struct resolve_result *result, const char *why, void *arg);

/* True, with the one address, when `host` is a literal already. */
bool resolve_literal(const char *host, struct resolve_result *out);

MUST_CHECK int resolve_start(uv_loop_t *loop, const char *host, resolve_cb *on_done, void *arg,
                             struct resolve **out, struct error *err);

/* on_done will not run; the memory goes when the look-up ends. NULL is accepted. */
void resolve_abandon(struct resolve *resolve);
