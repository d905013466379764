/* The tables of all commands: complete, without doubles, and what help and manual are made of. */
#include <criterion/criterion.h>
#include <string.h>

#include "supervisor/cli/command.h"

static bool is_among(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

Test(tables, every_command_explains_itself)
{
    cr_assert(cli_commands_count >= 4);
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];
        char start[64];

        (void)snprintf(start, sizeof(start), "drover %s", command->name);
        cr_expect(strncmp(command->usage, start, strlen(start)) == 0, "%s", command->name);
        cr_expect(command->run && *command->summary, "%s", command->name);
        cr_expect(is_among(command->examples, start), "%s has no example", command->name);
        cr_expect(command->options_count <= 32, "%s", command->name);
        cr_expect(cli_find_command(command->name) == command);
    }
    cr_expect(!cli_find_command("nothing"));
}

Test(tables, options_are_told_apart)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];

        for (size_t a = 0; a < command->options_count; a++) {
            const struct cli_option *one = &command->options[a];

            cr_expect(*one->help && (one->kind == CLI_FLAG) == !one->arg, "%s --%s", command->name,
                      one->name);
            cr_expect(one->letter != 'h' && strcmp(one->name, "help") != 0);
            for (size_t b = a + 1; b < command->options_count; b++) {
                const struct cli_option *other = &command->options[b];

                cr_expect(strcmp(one->name, other->name) != 0, "%s --%s", command->name, one->name);
                cr_expect(!one->letter || one->letter != other->letter, "%s -%c", command->name,
                          one->letter);
            }
        }
    }
}

Test(tables, help_and_manual_have_every_option)
{
    struct buf manual = BUF_INIT((size_t)1024 * 1024);

    cli_print_manual(&manual);
    cr_assert(!manual.failed);
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];
        struct buf help = BUF_INIT((size_t)64 * 1024);

        cli_print_help(command, &help);
        cr_assert(!help.failed);
        for (size_t a = 0; a < command->options_count; a++) {
            char text[64];

            (void)snprintf(text, sizeof(text), "--%s", command->options[a].name);
            cr_expect(is_among(buf_text(&help), text), "%s %s", command->name, text);
        }
        cr_expect(is_among(buf_text(&manual), command->name));
        buf_done(&help);
    }
    buf_done(&manual);
}

Test(tables, overview_lists_all_commands)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);

    cli_print_overview(&out);
    for (size_t i = 0; i < cli_commands_count; i++)
        cr_expect(is_among(buf_text(&out), cli_commands[i]->summary));
    buf_done(&out);
}
