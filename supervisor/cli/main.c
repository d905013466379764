/* drover: the command line. */
#include <stdio.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/command.h"
#include "supervisor/cli/output.h"

static int print_overview(int code)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);

    cli_print_overview(&out);
    if (code == EXIT_CODE_OK && !output_flush(&out))
        code = EXIT_CODE_FAILED;
    else if (code != EXIT_CODE_OK)
        (void)fputs(buf_text(&out), stderr);
    buf_done(&out);
    return code;
}

static int unknown_command(const char *name)
{
    const char *names[32];
    const char *nearest;
    size_t count = 0;

    for (size_t i = 0; i < cli_commands_count && count < 32; i++)
        names[count++] = cli_commands[i]->name;
    nearest = text_nearest(name, names, count);
    if (*name == '-')
        return cli_usage_error("", "unknown option %s; options of a command come after its name",
                               name);
    if (nearest)
        return cli_usage_error("", "there is no command %s; did you mean drover %s?", name,
                               nearest);
    return cli_usage_error("", "there is no command %s", name);
}

int main(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc < 2)
        return print_overview(EXIT_CODE_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_overview(EXIT_CODE_OK);
    if (strcmp(argv[1], "help") == 0) {
        if (argc < 3)
            return print_overview(EXIT_CODE_OK);
        command = cli_find_command(argv[2]);
        if (!command)
            return unknown_command(argv[2]);
        argv[2] = (char[]){ "--help" };
        return command->run(2, argv + 1);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("drover " DROVER_VERSION);
        return EXIT_CODE_OK;
    }
    command = cli_find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    return command->run(argc - 1, argv + 1);
}
