/* adapter.h - hiredis' asynchronous context on libuv, for hiredis 0.14 and 1.x.
 * Why not the packaged one: it drops poll errors, so a refused connect is never reported
 * (platform-notes 1). Invariant: the adapter lives until its handles are closed, so a context may
 * end inside any of hiredis' functions. */
#pragma once

#include <hiredis/async.h>
#include <uv.h>

#include "common/base/error.h"

struct redis_adapter;

/* Called once when hiredis lets go of the context (whoever ended it); it is freed right after. */
typedef void redis_adapter_gone_cb(redisAsyncContext *context);

/* Attaches a context that has a descriptor. On failure the context is untouched. */
MUST_CHECK int redis_adapter_attach(redisAsyncContext *context, uv_loop_t *loop,
                                    redis_adapter_gone_cb *on_gone, struct redis_adapter **out,
                                    struct error *err);

/* How often the socket was read so far: shows whether bytes arrive. */
uint64_t redis_adapter_reads(const struct redis_adapter *adapter);
