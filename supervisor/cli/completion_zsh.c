/* The tables as specifications for zsh's _arguments, which completion/_drover.in calls. */
#include <string.h>

#include "supervisor/cli/completion.h"

/* Inside single quotes; brackets and colons end parts of a specification. */
static void print_text(const char *text, struct buf *out)
{
    for (const char *at = text; *at; at++) {
        if (strchr("[]:\\", *at))
            (void)buf_append_char(out, '\\');
        completion_quote(*at == '\n' ? " " : at, 1, out);
    }
}

static void print_action(enum cli_value value, const char *words, struct buf *out)
{
    if (value == CLI_VALUE_WORDS) {
        (void)buf_append_text(out, " _drover_words ");
        print_text(words, out);
    } else if (value == CLI_VALUE_FILE) {
        (void)buf_append_text(out, "_files");
    } else if (value != CLI_VALUE_ANY) {
        (void)buf_printf(out, "_drover_%s", completion_value_name(value));
    } else {
        (void)buf_append_char(out, ' ');
    }
}

/* '*--set=[help]:KEY=VALUE:_drover_setting', and with a letter '(-c --config)'{-c+,--config=}'…' */
static void print_option(const struct cli_option *option, struct buf *out)
{
    bool has_value = option->kind != CLI_FLAG;

    (void)buf_append_text(out, "    ");
    if (option->kind == CLI_LIST)
        (void)buf_append_text(out, "'*'");
    else if (option->letter)
        (void)buf_printf(out, "'(-%c --%s)'", option->letter, option->name);
    if (option->letter)
        (void)buf_printf(out, "{-%c%s,--%s%s}'[", option->letter, has_value ? "+" : "",
                         option->name, has_value ? "=" : "");
    else
        (void)buf_printf(out, "'--%s%s[", option->name, has_value ? "=" : "");
    print_text(option->help, out);
    (void)buf_append_char(out, ']');
    if (has_value) {
        (void)buf_append_char(out, ':');
        print_text(option->arg, out);
        (void)buf_append_char(out, ':');
        print_action(option->value, option->words, out);
    }
    (void)buf_append_text(out, "'\n");
}

/* Operands that need an option share the first place: '1:KEY:{_drover_with --explain …}' */
static void print_conditional(const struct cli_command *command, struct buf *out)
{
    (void)buf_append_text(out, "    '1: :{");
    for (size_t i = 0; i < command->operands_count; i++) {
        const struct cli_operand *operand = &command->operands[i];

        (void)buf_printf(out, "_drover_with --%s ", operand->with);
        print_action(operand->value, operand->words, out);
        (void)buf_append_text(out, "; ");
    }
    (void)buf_append_text(out, "}'\n");
}

static void print_operands(const struct cli_command *command, struct buf *out)
{
    if (command->operands_count > 0 && command->operands[0].with) {
        print_conditional(command, out);
        return;
    }
    for (size_t i = 0; i < command->operands_count; i++) {
        const struct cli_operand *operand = &command->operands[i];

        (void)buf_append_text(out, "    '");
        if (operand->many)
            (void)buf_append_char(out, '*');
        else
            (void)buf_printf(out, "%zu", i + 1);
        (void)buf_append_char(out, ':');
        print_text(operand->name, out);
        (void)buf_append_char(out, ':');
        print_action(operand->value, operand->words, out);
        (void)buf_append_text(out, "'\n");
    }
}

static void print_command(const struct cli_command *command, struct buf *out)
{
    (void)buf_printf(out, "  ('%s') specs=(\n", command->name);
    completion_each_option(command, print_option, out);
    print_operands(command, out);
    (void)buf_append_text(out, "  ) ;;\n");
}

/* A branch for each command that has verbs. */
static void print_verbs(struct buf *out)
{
    (void)buf_append_text(out, "# The verbs of a command.\n"
                               "_drover_verbs() {\n  verbs=()\n  case $1 in\n");
    for (size_t i = 0; i < cli_commands_count; i++) {
        bool any = false;

        for (size_t v = 0; v < cli_commands_count; v++) {
            const char *name = cli_verb_name(cli_commands[v], cli_commands[i]->name);

            if (!name)
                continue;
            if (!any)
                (void)buf_printf(out, "  (%s) verbs=(\n", cli_commands[i]->name);
            any = true;
            (void)buf_printf(out, "    '%s:", name);
            completion_quote(cli_commands[v]->summary, strlen(cli_commands[v]->summary), out);
            (void)buf_append_text(out, "'\n");
        }
        (void)buf_append_text(out, any ? "  ) ;;\n" : "");
    }
    (void)buf_append_text(out, "  esac\n}\n\n");
}

void completion_print_zsh(struct buf *out)
{
    (void)buf_append_text(out, "_drover_globals=(\n");
    completion_each_option(NULL, print_option, out);
    (void)buf_append_text(out, ")\n\n_drover_command() {\n  local -a commands=(\n");
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (cli_is_verb(cli_commands[i]))
            continue;
        (void)buf_printf(out, "    '%s:", cli_commands[i]->name);
        completion_quote(cli_commands[i]->summary, strlen(cli_commands[i]->summary), out);
        (void)buf_append_text(out, "'\n");
    }
    (void)buf_append_text(out, "    'help:explains a command'\n  )\n"
                               "  _describe -t commands command commands\n}\n\n");
    print_verbs(out);
    (void)buf_append_text(out, "_drover_arguments() {\n  local -a specs\n  case $1 in\n");
    for (size_t i = 0; i < cli_commands_count; i++)
        print_command(cli_commands[i], out);
    (void)buf_append_text(out, "  (help) specs=('1:command:_drover_command') ;;\n"
                               "  (*) return 1 ;;\n  esac\n"
                               "  _arguments -s -S $specs\n}\n");
}
