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

/* What the name of a value in help says it is. */
static enum cli_value value_meant_by(const char *name)
{
    if (strcmp(name, "FILE") == 0 || strcmp(name, "PATH") == 0)
        return CLI_VALUE_FILE;
    if (strcmp(name, "QUEUE") == 0)
        return CLI_VALUE_QUEUE;
    if (strcmp(name, "KEY") == 0)
        return CLI_VALUE_KEY;
    if (strcmp(name, "KEY=VALUE") == 0)
        return CLI_VALUE_SETTING;
    return CLI_VALUE_COUNT;
}

Test(tables, values_are_what_their_names_say)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];

        for (size_t a = 0; a < command->options_count; a++) {
            const struct cli_option *option = &command->options[a];
            enum cli_value meant = value_meant_by(option->arg ? option->arg : "");

            cr_expect(meant == CLI_VALUE_COUNT || option->value == meant, "%s --%s", command->name,
                      option->name);
            cr_expect((option->value == CLI_VALUE_WORDS) == (option->words != NULL), "%s --%s",
                      command->name, option->name);
        }
        for (size_t a = 0; a < command->operands_count; a++) {
            enum cli_value meant = value_meant_by(command->operands[a].name);

            cr_expect(meant == CLI_VALUE_COUNT || command->operands[a].value == meant, "%s %s",
                      command->name, command->operands[a].name);
        }
    }
}

static bool is_operand(const struct cli_command *command, const char *name, size_t len)
{
    for (size_t i = 0; i < command->operands_count; i++) {
        if (strncmp(command->operands[i].name, name, len) == 0 &&
            command->operands[i].name[len] == '\0')
            return true;
    }
    return false;
}

static bool is_value(const struct cli_command *command, const char *name, size_t len)
{
    for (size_t i = 0; i < command->options_count; i++) {
        const char *arg = command->options[i].arg;

        if (arg && strncmp(arg, name, len) == 0 && (arg[len] == '\0' || arg[len] == '='))
            return true;
    }
    return false;
}

/* Words of capitals in the usage are operands, or values of options. */
Test(tables, operands_are_those_of_the_usage)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];
        const char *at = command->usage;

        while (*(at += strcspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))) {
            size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

            if (strncmp(at, "OPTION", len) != 0)
                cr_expect(is_operand(command, at, len) || is_value(command, at, len) ||
                              at[-1] == '=',
                          "drover %s: %.*s", command->name, (int)len, at);
            at += len;
        }
        for (size_t a = 0; a < command->operands_count; a++)
            cr_expect(is_among(command->usage, command->operands[a].name), "%s", command->name);
    }
}

/* Those that need an option share the first word and stand alone; only the last may be many. */
Test(tables, operands_can_be_told_apart)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *command = cli_commands[i];

        for (size_t a = 0; a < command->operands_count; a++) {
            const struct cli_operand *operand = &command->operands[a];
            bool found = !operand->with;

            for (size_t b = 0; b < command->options_count; b++)
                found |= operand->with && strcmp(command->options[b].name, operand->with) == 0;
            cr_expect(found, "%s %s", command->name, operand->name);
            cr_expect(!operand->with == !command->operands[0].with, "%s", command->name);
            cr_expect(!operand->many || a + 1 == command->operands_count, "%s", command->name);
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
        cr_expect(is_among(buf_text(&out), cli_commands[i]->summary) ==
                      !cli_is_verb(cli_commands[i]),
                  "%s", cli_commands[i]->name);
    for (size_t i = 0; i < cli_global_options_count; i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "--%s", cli_global_options[i].name);
        cr_expect(is_among(buf_text(&out), text), "%s", text);
    }
    buf_done(&out);
}

static bool has_option(const struct cli_command *command, const char *name)
{
    for (size_t i = 0; i < command->options_count; i++) {
        if (strcmp(command->options[i].name, name) == 0)
            return true;
    }
    return false;
}

/* A command with its verbs behind it, each listed in its help. */
Test(tables, verbs_are_listed_by_their_command)
{
    const struct cli_command *command = NULL;

    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *verb = cli_commands[i];
        struct buf help = BUF_INIT((size_t)64 * 1024);

        if (!cli_is_verb(verb)) {
            command = verb;
            continue;
        }
        cr_assert(command && cli_verb_name(verb, command->name), "%s", verb->name);
        cr_expect(cli_find_verb(command->name, cli_verb_name(verb, command->name)) == verb);
        cli_print_help(command, &help);
        cr_expect(is_among(buf_text(&help), verb->summary), "%s", verb->name);
        cr_expect(!verb->act || verb->words_min <= verb->words_max, "%s", verb->name);
        cr_expect(has_option(verb, "json") && has_option(verb, "config") &&
                      has_option(verb, "redis") && has_option(verb, "prefix"),
                  "%s", verb->name);
        buf_done(&help);
    }
    cr_expect(!cli_find_verb("queue", "nothing") && !cli_verb_name(command, "queu"));
    cr_expect_str_eq(cli_nearest_verb("queue", "drian"), "drain");
    cr_expect(!cli_nearest_verb("queue", "xxxxxxxxxx"));
}

/* What removes or changes many can be tried before, and asks. */
Test(tables, verbs_that_change_many_ask)
{
    static const char *const names[] = { "queue retry",      "queue promote",     "queue remove",
                                         "queue clean",      "queue drain",       "queue orphans",
                                         "queue obliterate", "queue trim-events", "job remove",
                                         "job clear-logs" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct cli_command *verb = cli_find_command(names[i]);

        cr_assert(verb, "%s", names[i]);
        cr_expect(has_option(verb, "dry-run") && has_option(verb, "yes"), "%s", names[i]);
    }
}
