/* add_flow.h - drover add --flow: a tree of jobs out of a file, all of it or nothing. */
#pragma once

#include <stdbool.h>

#include "supervisor/cli/connect.h"

/* Returns the exit code; everything is told. path: "-" for standard input. */
int add_flow(const struct cli_where *where, const char *path, bool json);
