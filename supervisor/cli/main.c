/* drover: the command line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/command.h"
#include "supervisor/cli/instance.h"
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

    for (size_t i = 0; i < cli_commands_count && count < 32; i++) {
        if (!cli_is_verb(cli_commands[i]))
            names[count++] = cli_commands[i]->name;
    }
    nearest = text_nearest(name, names, count);
    if (*name == '-')
        return cli_usage_error("", "unknown option %s; options of a command come after its name",
                               name);
    if (nearest)
        return cli_usage_error("", "there is no command %s; did you mean drover %s?", name,
                               nearest);
    return cli_usage_error("", "there is no command %s", name);
}

/* The NAME of `--instance NAME`, `--instance=NAME` or `-i NAME`, and how many words these are; NULL
 * without, or when it is missing. */
static const char *read_instance(int argc, char **argv, int *out_words)
{
    static const char with_equals[] = "--instance=";

    if (argc > 1 && strncmp(argv[1], with_equals, strlen(with_equals)) == 0) {
        *out_words = 1;
        return argv[1] + strlen(with_equals);
    }
    *out_words = argc > 1 && (strcmp(argv[1], "--instance") == 0 || strcmp(argv[1], "-i") == 0);
    if (*out_words == 0 || argc < 3)
        return NULL;
    *out_words = 2;
    return argv[2];
}

/* `--instance NAME` before the command, else DROVER_INSTANCE. Moves *argv on; 0 or an exit code. */
static int choose_instance(int *argc, char ***argv)
{
    static const char rules[] = "letters, digits, - _ . only, and no dot first";
    int words = 0;
    const char *given = read_instance(*argc, *argv, &words);
    const char *from = words ? "--instance" : "DROVER_INSTANCE";

    if (words && !given)
        return cli_usage_error("", "%s needs the NAME of drover@NAME", (*argv)[1]);
    if (!words)
        given = getenv("DROVER_INSTANCE");
    *argc -= words;
    *argv += words;
    if (given && *given && !instance_choose(given))
        return cli_usage_error("", "%s: \"%s\" is no name of an instance: %s", from, given, rules);
    if (words && !*given)
        return cli_usage_error("", "%s: the name is empty", from);
    return EXIT_CODE_OK;
}

/* The command, or the verb of it that is named behind it; *words: how many words name it. NULL:
 * there is none. */
static const struct cli_command *find_command(int argc, char **argv, int *words)
{
    const struct cli_command *verb = argc > 1 ? cli_find_verb(argv[0], argv[1]) : NULL;

    *words = verb ? 2 : 1;
    return verb ? verb : cli_find_command(argv[0]);
}

int main(int argc, char **argv)
{
    const struct cli_command *command;
    int words;
    int code = choose_instance(&argc, &argv);

    if (code != EXIT_CODE_OK)
        return code;

    if (argc < 2)
        return print_overview(EXIT_CODE_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_overview(EXIT_CODE_OK);
    if (strcmp(argv[1], "help") == 0) {
        if (argc < 3)
            return print_overview(EXIT_CODE_OK);
        command = find_command(argc - 2, argv + 2, &words);
        if (!command)
            return unknown_command(argv[2]);
        argv[1] = (char *)(uintptr_t)command->name; /* nobody writes into it */
        argv[2] = (char[]){ "--help" };
        return command->run(2, argv + 1);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("drover " DROVER_VERSION);
        return EXIT_CODE_OK;
    }
    command = find_command(argc - 1, argv + 1, &words);
    if (!command)
        return unknown_command(argv[1]);
    argv[words] = (char *)(uintptr_t)command->name; /* nobody writes into it */
    return command->run(argc - words, argv + words);
}
