#include "supervisor/cli/command.h"

#include "common/base/attr.h"

const struct cli_command *const cli_commands[] = {
    &cli_check_command,  &cli_add_command,   &cli_status_command, &cli_job_command, &cli_ps_command,
    &cli_reload_command, &cli_scale_command, &cli_unit_command,   &cli_dev_command,
};

const size_t cli_commands_count = ARRAY_SIZE(cli_commands);
