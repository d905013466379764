#include "supervisor/cli/overrides.h"

#include <string.h>

#include "common/base/exit_code.h"

int cli_overrides_init(struct cli_overrides *overrides, const char *command,
                       const struct cli_list *given)
{
    *overrides = (struct cli_overrides){ 0 };
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');

        if (!equals || equals == given->items[i])
            return cli_usage_error(command, "--set needs KEY=VALUE, not \"%s\"", given->items[i]);
        overrides->keys[i] = strndup(given->items[i], (size_t)(equals - given->items[i]));
        if (!overrides->keys[i])
            return EXIT_CODE_FAILED;
        overrides->rows[i] =
            (struct config_override){ .key = overrides->keys[i], .value = equals + 1 };
        overrides->count++;
    }
    return EXIT_CODE_OK;
}

void cli_overrides_done(struct cli_overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++)
        free(overrides->keys[i]);
    *overrides = (struct cli_overrides){ 0 };
}
