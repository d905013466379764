/* support.h - small helpers of the configuration tests. */
#pragma once

#include <criterion/criterion.h>
#include <string.h>

#include "common/config/load.h"

/* Loads a text; prints the findings into `out_findings` (may be NULL). NULL when refused. */
struct config *load_text(const char *text, const struct config_override *overrides, size_t count,
                         struct buf *out_findings);

/* Loads a text that must be right. */
struct config *load_good(const char *text);

/* Appends the findings, one per line: file:line:column: [warning: ]key: text */
void print_report(const struct config_report *report, struct buf *out);

/* Puts `value` at a dotted concrete key into a minimal configuration, as YAML text (malloc'ed). */
char *yaml_with(const char *section, const char *path, const char *value);
