/* The tables as functions that completion/drover.bash.in calls. */
#include <string.h>

#include "supervisor/cli/completion.h"

static void print_option_name(const struct cli_option *option, struct buf *out)
{
    (void)buf_printf(out, " --%s", option->name);
    if (option->letter)
        (void)buf_printf(out, " -%c", option->letter);
}

static void print_options_of(const struct cli_command *command, struct buf *out)
{
    (void)buf_printf(out, "    '%s') __choices='", command ? command->name : "");
    completion_each_option(command, print_option_name, out);
    (void)buf_append_text(out, "' ;;\n");
}

static void print_takes(enum cli_value value, const char *words, struct buf *out)
{
    (void)buf_printf(out, "__takes='%s'", completion_value_name(value));
    if (words) {
        (void)buf_append_text(out, " __choices='");
        completion_quote(words, strlen(words), out);
        (void)buf_append_char(out, '\'');
    }
}

/* A branch for each option that has a value; `out` is at the begin of a line. */
static void print_values_of(const struct cli_command *command, struct buf *out)
{
    const struct cli_option *options = command ? command->options : cli_global_options;
    size_t count = command ? command->options_count : cli_global_options_count;
    const char *name = command ? command->name : "";

    for (size_t i = 0; i < count; i++) {
        const struct cli_option *option = &options[i];

        if (option->kind == CLI_FLAG)
            continue;
        (void)buf_printf(out, "    '%s --%s'", name, option->name);
        if (option->letter)
            (void)buf_printf(out, " | '%s -%c'", name, option->letter);
        (void)buf_append_text(out, ") ");
        print_takes(option->value, option->words, out);
        (void)buf_append_text(out, " ;;\n");
    }
}

static void print_operands_of(const struct cli_command *command, struct buf *out)
{
    size_t place = 0;

    for (size_t i = 0; i < command->operands_count; i++) {
        const struct cli_operand *operand = &command->operands[i];

        if (operand->many)
            (void)buf_printf(out, "    '%s '*) (($2 >= %zu)) && ", command->name, place);
        else
            (void)buf_printf(out, "    '%s %zu') ", command->name, place);
        place += operand->with ? 0 : 1;
        if (operand->with)
            (void)buf_printf(out, "[[ $__given == *' --%s '* ]] && ", operand->with);
        print_takes(operand->value, operand->words, out);
        (void)buf_append_text(out, " ;;&\n");
    }
}

/* Names of the commands, or of the verbs of one. */
static void print_names(const char *command, struct buf *out)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const char *name =
            command ? cli_verb_name(cli_commands[i], command) : cli_commands[i]->name;

        if (name && (command || !cli_is_verb(cli_commands[i])))
            (void)buf_printf(out, "%s ", name);
    }
}

/* A branch for each command that has verbs; a blank behind each of them. */
static void print_verbs(struct buf *out)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        bool any = false;

        for (size_t v = 0; v < cli_commands_count && !any; v++)
            any = cli_verb_name(cli_commands[v], cli_commands[i]->name) != NULL;
        if (!any)
            continue;
        (void)buf_printf(out, "    '%s') __choices='", cli_commands[i]->name);
        print_names(cli_commands[i]->name, out);
        (void)buf_append_text(out, "' ;;\n");
    }
}

void completion_print_bash(struct buf *out)
{
    (void)buf_append_text(out, "# Options of command $1, '' for those before it: __choices.\n"
                               "__drover_options() {\n    case $1 in\n");
    print_options_of(NULL, out);
    for (size_t i = 0; i < cli_commands_count; i++)
        print_options_of(cli_commands[i], out);
    (void)buf_append_text(out, "    *) __choices= ;;\n    esac\n}\n\n"
                               "# The value of option $2 of command $1: __takes, '' for none.\n"
                               "__drover_option() {\n    __takes='' __choices=''\n"
                               "    case \"$1 $2\" in\n");
    print_values_of(NULL, out);
    for (size_t i = 0; i < cli_commands_count; i++)
        print_values_of(cli_commands[i], out);
    (void)buf_append_text(out, "    esac\n}\n\n"
                               "# Operand $2, from 0, of command $1: __takes.\n"
                               "__drover_operand() {\n    __takes='' __choices=''\n"
                               "    case \"$1 $2\" in\n    ' 0') __takes='words' __choices='");
    print_names(NULL, out);
    (void)buf_append_text(out, "help' ;;\n    'help 0') __takes='words' __choices='");
    print_names(NULL, out);
    (void)buf_append_text(out, "' ;;\n");
    for (size_t i = 0; i < cli_commands_count; i++)
        print_operands_of(cli_commands[i], out);
    (void)buf_append_text(out, "    esac\n}\n\n"
                               "# The verbs of command $1: __choices.\n"
                               "__drover_verbs() {\n    case $1 in\n");
    print_verbs(out);
    (void)buf_append_text(out, "    *) __choices= ;;\n    esac\n}\n");
}
