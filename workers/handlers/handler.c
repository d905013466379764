#include "workers/handlers/handler.h"

#include "workers/handlers/handlers.h"

static const struct handler_kind *const handlers[] = { &handler_noop, &handler_exec,
                                                       &handler_process };

const struct handler_kind *handler_find(enum config_handler_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (handlers[i]->kind == kind)
            return handlers[i];
    }
    return NULL;
}
