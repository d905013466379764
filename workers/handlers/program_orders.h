/* program_orders.h - what a handler's configuration orders drover-exec to do before it executes the
 * program (workers/exec/exec_order.h): made once a handler, used for each start. */
#pragma once

#include "common/config/config.h"

/* NULL-terminated, EXEC_END the last; free it with program_orders_free. NULL on no memory. */
char **program_orders_new(const struct config_handler *config);
void program_orders_free(char **orders);
