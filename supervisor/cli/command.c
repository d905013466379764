#include "supervisor/cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "supervisor/cli/output.h"

#define OPTIONS_MAX 32 /* of one command; asserted by tests */
#define VERBS_MAX   64 /* of one command */

const struct cli_option cli_global_options[] = {
    { .name = "instance",
      .letter = 'i',
      .kind = CLI_TEXT,
      .arg = "NAME",
      .help = "of several droverd on this host that of drover@NAME" },
    { .name = "help", .letter = 'h', .kind = CLI_FLAG, .help = "the list of commands" },
    { .name = "version", .kind = CLI_FLAG, .help = "the version" },
};
const size_t cli_global_options_count = ARRAY_SIZE(cli_global_options);

const struct cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    }
    return NULL;
}

const char *cli_verb_name(const struct cli_command *verb, const char *command)
{
    size_t len = strlen(command);

    return strncmp(verb->name, command, len) == 0 && verb->name[len] == ' ' ? verb->name + len + 1
                                                                            : NULL;
}

bool cli_is_verb(const struct cli_command *command)
{
    return strchr(command->name, ' ') != NULL;
}

const struct cli_command *cli_find_verb(const char *command, const char *verb)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const char *name = cli_verb_name(cli_commands[i], command);

        if (name && strcmp(name, verb) == 0)
            return cli_commands[i];
    }
    return NULL;
}

const char *cli_nearest_verb(const char *command, const char *word)
{
    const char *names[VERBS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < cli_commands_count && count < VERBS_MAX; i++) {
        const char *name = cli_verb_name(cli_commands[i], command);

        if (name)
            names[count++] = name;
    }
    return text_nearest(word, names, count);
}

int cli_usage_error(const char *command, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    output_error("%s", text);
    (void)fprintf(stderr, "Try: drover %s%s--help\n", command, *command ? " " : "");
    return EXIT_CODE_USAGE;
}

/* ---- parsing ---- */

static int store_number(const char *command, const struct cli_option *option, const char *text,
                        struct cli_number *to)
{
    struct error err = { 0 };

    if (option->kind == CLI_DURATION) {
        if (units_parse_duration(text, &to->value, &err) < 0)
            return cli_usage_error(command, "--%s: %s", option->name, err.text);
    } else if (text_parse_uint(text, strlen(text), &to->value) < 0) {
        return cli_usage_error(command, "--%s needs a whole number, not \"%s\"", option->name,
                               text);
    }
    to->given = true;
    return 0;
}

/* 0, or EXIT_CODE_USAGE when it was told what is wrong. */
static int store(const char *command, const struct cli_option *option, const char *text,
                 void *values)
{
    void *to = (char *)values + option->at;
    struct cli_list *list;

    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)to = true;
        return 0;
    case CLI_TEXT:
        *(const char **)to = text;
        return 0;
    case CLI_LIST:
        list = to;
        if (list->count == ARRAY_SIZE(list->items))
            return cli_usage_error(command, "--%s is given more than %zu times", option->name,
                                   ARRAY_SIZE(list->items));
        list->items[list->count++] = text;
        return 0;
    case CLI_NUMBER:
    case CLI_DURATION:
        return store_number(command, option, text, to);
    default:
        return cli_usage_error(command, "--%s cannot be read", option->name);
    }
}

static enum cli_parsed unknown_option(const struct cli_command *command, const char *given)
{
    const char *names[OPTIONS_MAX + 1];
    const char *nearest;
    size_t count = 0;

    for (size_t i = 0; i < command->options_count && count < OPTIONS_MAX; i++)
        names[count++] = command->options[i].name;
    names[count++] = "help";
    nearest = strncmp(given, "--", 2) == 0 ? text_nearest(given + 2, names, count) : NULL;
    if (nearest)
        (void)cli_usage_error(command->name, "unknown option %s; did you mean --%s?", given,
                              nearest);
    else
        (void)cli_usage_error(command->name, "unknown option %s", given);
    return CLI_PARSED_WRONG;
}

static void build_tables(const struct cli_command *command, struct option *longs, char *shorts)
{
    *shorts++ = ':'; /* a missing value is told as such */
    for (size_t i = 0; i < command->options_count; i++) {
        const struct cli_option *option = &command->options[i];
        int has_arg = option->kind == CLI_FLAG ? no_argument : required_argument;

        longs[i] = (struct option){ option->name, has_arg, NULL, 256 + (int)i };
        if (option->letter) {
            *shorts++ = option->letter;
            if (has_arg)
                *shorts++ = ':';
        }
    }
    longs[command->options_count] = (struct option){ "help", no_argument, NULL, 'h' };
    longs[command->options_count + 1] = (struct option){ 0 };
    *shorts++ = 'h';
    *shorts = '\0';
}

static const struct cli_option *option_of(const struct cli_command *command, int code)
{
    if (code >= 256)
        return &command->options[code - 256];
    for (size_t i = 0; i < command->options_count; i++) {
        if (command->options[i].letter == code)
            return &command->options[i];
    }
    return NULL;
}

static enum cli_parsed print_help_and_stop(const struct cli_command *command)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);

    cli_print_help(command, &out);
    output_flush(&out);
    buf_done(&out);
    return CLI_PARSED_HELP;
}

enum cli_parsed cli_parse(const char *name, int argc, char **argv, void *values, const char **words,
                          size_t *words_count)
{
    const struct cli_command *command = cli_find_command(name);
    struct option longs[OPTIONS_MAX + 2];
    char shorts[2 * OPTIONS_MAX + 3];
    int code;

    build_tables(command, longs, shorts);
    opterr = 0;
    optind = 0; /* GNU: forget earlier parsing */
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct cli_option *option;

        if (code == 'h')
            return print_help_and_stop(command);
        if (code == ':') {
            (void)cli_usage_error(name, "%s needs a value", argv[optind - 1]);
            return CLI_PARSED_WRONG;
        }
        option = option_of(command, code);
        if (!option)
            return unknown_option(command, argv[optind - 1]);
        if (store(name, option, optarg, values) != 0)
            return CLI_PARSED_WRONG;
    }
    *words_count = 0;
    for (int i = optind; i < argc; i++)
        words[(*words_count)++] = argv[i];
    return CLI_PARSED_GO_ON;
}

/* ---- help ---- */

/* Calls `line` with each line of a text. */
static void each_line(const char *text, void (*line)(struct buf *, const char *, size_t, size_t),
                      struct buf *out)
{
    size_t number = 0;

    while (*text) {
        size_t len = strcspn(text, "\n");

        line(out, text, len, number++);
        text += len + (text[len] == '\n');
    }
}

static void usage_line(struct buf *out, const char *text, size_t len, size_t number)
{
    (void)buf_printf(out, "%s %.*s\n", number == 0 ? "Usage:" : "      ", (int)len, text);
}

static void example_line(struct buf *out, const char *text, size_t len, size_t number)
{
    (void)buf_printf(out, number % 2 == 0 ? "  # %.*s\n" : "    %.*s\n", (int)len, text);
}

static void option_head(const struct cli_option *option, char *out, size_t out_bytes)
{
    char letter[8] = "";

    if (option->letter)
        (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    (void)snprintf(out, out_bytes, "%s--%s%s%s", letter, option->name, option->arg ? " " : "",
                   option->arg ? option->arg : ""); /* may be cut, only help */
}

static void print_option(const struct cli_option *option, struct buf *out)
{
    const char *text = option->help;
    char head[64];

    option_head(option, head, sizeof(head));
    for (bool first = true; *text; first = false) {
        size_t len = strcspn(text, "\n");

        (void)buf_printf(out, "  %-28s %.*s\n", first ? head : "", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void print_verbs(const struct cli_command *command, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < cli_commands_count; i++) {
        const char *name = cli_verb_name(cli_commands[i], command->name);

        if (!name)
            continue;
        if (first)
            (void)buf_append_text(out, "\nVerbs:\n");
        first = false;
        (void)buf_printf(out, "  %-16s %s\n", name, cli_commands[i]->summary);
    }
    if (!first)
        (void)buf_printf(out, "\nEach explains itself: drover %s VERB --help.\n", command->name);
}

void cli_print_help(const struct cli_command *command, struct buf *out)
{
    static const struct cli_option help = { .name = "help", .letter = 'h', .help = "this text" };

    each_line(command->usage, usage_line, out);
    (void)buf_printf(out, "\n%s\n", command->summary);
    if (*command->about)
        (void)buf_printf(out, "\n%s\n", command->about);
    print_verbs(command, out);
    (void)buf_append_text(out, "\nOptions:\n");
    for (size_t i = 0; i < command->options_count; i++)
        print_option(&command->options[i], out);
    print_option(&help, out);
    if (*command->examples) {
        (void)buf_append_text(out, "\nExamples:\n");
        each_line(command->examples, example_line, out);
    }
}

void cli_print_overview(struct buf *out)
{
    (void)buf_append_text(out, "Usage: drover [--instance NAME] COMMAND [OPTION…]\n"
                               "       drover --help | --version\n\n"
                               "BullMQ job queues as a Linux system service: the command line.\n\n"
                               "Commands:\n");
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (!cli_is_verb(cli_commands[i]))
            (void)buf_printf(out, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    (void)buf_append_text(
        out,
        "\nEvery command explains itself: drover COMMAND --help.\n"
        "Which Redis: from the queue's entry in /etc/drover/drover.yaml (-c FILE for another),\n"
        "or --redis URL --prefix PREFIX. Which droverd (ps, reload, scale): from `control` in the\n"
        "same file, or --socket PATH. --instance NAME (-i NAME, or DROVER_INSTANCE) means\n"
        "drover@NAME: /etc/drover/NAME/drover.yaml and its droverd.\n");
}

/* ---- manual page ---- */

/* Roff text: backslashes, and lines that would start with a control character. */
static void roff_text(struct buf *out, const char *text, size_t len)
{
    if (len > 0 && (*text == '.' || *text == '\''))
        (void)buf_append_text(out, "\\&");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\')
            (void)buf_append_text(out, "\\e");
        else if (text[i] == '-')
            (void)buf_append_text(out, "\\-");
        else
            (void)buf_append_char(out, text[i]);
    }
}

static void roff_line(struct buf *out, const char *text, size_t len, size_t number)
{
    (void)number;
    if (len == 0)
        (void)buf_append_text(out, ".PP");
    else
        roff_text(out, text, len);
    (void)buf_append_char(out, '\n');
}

static void roff_usage(struct buf *out, const char *text, size_t len, size_t number)
{
    if (number > 0)
        (void)buf_append_text(out, ".br\n");
    (void)buf_append_text(out, "\\fB");
    roff_text(out, text, len);
    (void)buf_append_text(out, "\\fR\n");
}

static void roff_example(struct buf *out, const char *text, size_t len, size_t number)
{
    if (number % 2 == 0) {
        (void)buf_append_text(out, ".PP\n");
        roff_text(out, text, len);
        (void)buf_append_char(out, '\n');
        return;
    }
    (void)buf_append_text(out, ".PP\n.RS 4\n.nf\n");
    roff_text(out, text, len);
    (void)buf_append_text(out, "\n.fi\n.RE\n");
}

static void roff_option(const struct cli_option *option, struct buf *out)
{
    char head[64];

    option_head(option, head, sizeof(head));
    (void)buf_append_text(out, ".TP\n\\fB");
    roff_text(out, head, strlen(head));
    (void)buf_append_text(out, "\\fR\n");
    each_line(option->help, roff_line, out);
}

static void roff_command(const struct cli_command *command, struct buf *out)
{
    (void)buf_printf(out, ".SS drover %s\n", command->name);
    each_line(command->usage, roff_usage, out);
    (void)buf_append_text(out, ".PP\n");
    roff_text(out, command->summary, strlen(command->summary));
    (void)buf_append_text(out, "\n");
    if (*command->about) {
        (void)buf_append_text(out, ".PP\n");
        each_line(command->about, roff_line, out);
    }
    for (size_t i = 0; i < command->options_count; i++)
        roff_option(&command->options[i], out);
    each_line(command->examples, roff_example, out);
}

void cli_print_manual(struct buf *out)
{
    (void)buf_append_text(
        out, ".\\\" Made from the tables of supervisor/cli by drover-manual.\n"
             ".TH DROVER 1 \"" DROVER_MANUAL_DATE "\" \"drover " DROVER_VERSION "\" \"drover\"\n"
             ".SH NAME\ndrover \\- BullMQ job queues as a Linux system service\n"
             ".SH SYNOPSIS\n.B drover\n[\\fB\\-\\-instance\\fR \\fINAME\\fR]\n.I "
             "COMMAND\n[\\fIOPTION\\fR...]\n"
             ".SH DESCRIPTION\n"
             "Looks at and steers the queues that\n.BR droverd (8)\nruns, and adds jobs. "
             "Options and other words may stand in any order; after\n.B \\-\\-\n"
             "nothing is an option.\n"
             ".PP\n.B \\-\\-instance\n(or\n.BR \\-i )\n.I NAME\nbefore the command means "
             "one of several droverd on a host:\n.IR drover@NAME.service ,\n"
             "with the configuration\n.I /etc/drover/NAME/drover.yaml\nand the socket\n"
             ".IR /run/drover\\-NAME/control .\n"
             ".SH COMMANDS\n");
    for (size_t i = 0; i < cli_commands_count; i++)
        roff_command(cli_commands[i], out);
    (void)buf_append_text(
        out,
        ".SH EXIT STATUS\n"
        ".TP\n.B 0\nDone.\n"
        ".TP\n.B 1\nWhat was asked for failed; standard error says why.\n"
        ".TP\n.B 64\nWrong command line.\n"
        ".TP\n.B 69\nRedis, droverd or systemd is not there, refuses, or did not answer in time.\n"
        ".TP\n.B 78\nThe configuration has errors.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B DROVER_CONTROL\nControl socket of droverd, unless \\-\\-socket is given.\n"
        ".TP\n.B DROVER_REDIS_PASSWORD\nPassword for \\-\\-redis.\n"
        ".TP\n.B DROVER_INSTANCE\nThe instance, unless \\-\\-instance is given.\n"
        ".SH FILES\n.I /etc/drover/drover.yaml\n.br\n"
        ".I /run/drover/control\n"
        ".SH SEE ALSO\n.BR drover.yaml (5),\n.BR drover.service (8),\n.BR droverd (8)\n");
}
