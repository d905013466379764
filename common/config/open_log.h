/* open_log.h - the log as the configuration wants it, for every program that has one. */
#pragma once

#include "common/config/config.h"

/* Lines go to standard error from now on. `identifier` is static text: the program's name. Patterns
 * that do not compile are refused, which a checked configuration does not have: -ENOMEM is left. */
MUST_CHECK int config_open_log(const struct config *config, const char *identifier,
                               struct error *err);
