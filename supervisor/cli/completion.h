/* completion.h - the completion of shells, made from the tables of the commands at build time.
 * Invariant: what is written here knows no command and no option; a row in a table is enough for it
 * to be offered. */
#pragma once

#include "supervisor/cli/command.h"

/* The part of completion/drover.bash.in, and of completion/_drover.in, that is made of tables. A
 * failed append marks `out`. */
void completion_print_bash(struct buf *out);
void completion_print_zsh(struct buf *out);

/* "file", "queue", …: what both call a kind of value. */
const char *completion_value_name(enum cli_value value);

/* Writes all options of a command, or with NULL those before it, --help included, one after the
 * other. */
typedef void completion_option_cb(const struct cli_option *option, struct buf *out);
void completion_each_option(const struct cli_command *command, completion_option_cb *print,
                            struct buf *out);

/* Copies `text`; between single quotes for either shell. */
void completion_quote(const char *text, size_t len, struct buf *out);
