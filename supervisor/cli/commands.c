#include "supervisor/cli/command.h"

#include "common/base/attr.h"
#include "supervisor/cli/queue_verbs.h"

#define VERB_POINTER(name) &cli_##name##_verb,

const struct cli_command *const cli_commands[] = {
    &cli_check_command,
    &cli_add_command,
    &cli_status_command,
    &cli_queue_command,
    CLI_QUEUE_VERBS(VERB_POINTER) /* clang-format off */
    &cli_job_command,
    CLI_JOB_VERBS(VERB_POINTER)
    &cli_ps_command, /* clang-format on */
    &cli_reload_command,
    &cli_scale_command,
    &cli_unit_command,
    &cli_dev_command,
};

const size_t cli_commands_count = ARRAY_SIZE(cli_commands);
