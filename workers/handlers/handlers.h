/* handlers.h - the kinds that exist, one file each; handler_find (handler.h) looks them up. */
#pragma once

#include "workers/handlers/handler.h"

extern const struct handler_kind handler_noop;
extern const struct handler_kind handler_exec;
extern const struct handler_kind handler_process;
