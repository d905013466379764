/* check_unit.h - a unit as systemd has it, against what the configuration needs of it. */
#pragma once

#include "common/config/config.h"

/* Compares and adds what it finds to `report`: file is the unit, key the directive. Errors are what
 * kills jobs, or keeps a handler from working; warnings are what is odd. 0, or an exit code after
 * telling why systemd could not be asked. */
MUST_CHECK int check_unit(const char *unit, const struct config *config,
                          struct config_report *report);
