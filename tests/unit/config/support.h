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

/* Two values of a row that are right, differ from each other, and differ where possible from the
 * default. */
enum sample { SAMPLE_FIRST, SAMPLE_SECOND };
#define SAMPLE_BYTES 64
const char *sample_value(const struct schema_row *row, enum sample which,
                         char storage[SAMPLE_BYTES]);

/* A configuration with this value of a row in one section, and what else the value needs to be
 * right and to take effect for the queue `q` (malloc'ed). SAMPLE_… of a secret need the environment
 * variables DROVER_TEST_SECRET and DROVER_TEST_OTHER. */
char *yaml_with_row(const struct schema_row *row, size_t section_index, const char *value);
