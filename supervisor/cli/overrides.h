/* overrides.h - `--set KEY=VALUE` of commands that read a configuration. */
#pragma once

#include "common/config/config.h"
#include "supervisor/cli/command.h"

struct cli_overrides {
    struct config_override rows[ARRAY_SIZE(((struct cli_list *)NULL)->items)];
    char *keys[ARRAY_SIZE(((struct cli_list *)NULL)->items)]; /* what rows' keys point to */
    size_t count;
};

/* Splits each at its first =; the values are borrowed from argv. 0, or the exit code after telling
 * what is wrong. Ends with cli_overrides_done always. */
MUST_CHECK int cli_overrides_init(struct cli_overrides *overrides, const char *command,
                                  const struct cli_list *given);
void cli_overrides_done(struct cli_overrides *overrides);
