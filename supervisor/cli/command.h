/* command.h - the commands of `drover` and their options, as tables.
 * Invariant: the parser, --help and the manual page read the same rows; an option is described
 * nowhere else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

enum cli_kind {
    CLI_FLAG,     /* bool */
    CLI_TEXT,     /* const char *; the last one given counts */
    CLI_LIST,     /* struct cli_list; may be given again */
    CLI_NUMBER,   /* struct cli_number; whole, not negative */
    CLI_DURATION, /* struct cli_number in ms; "5s" */
};

struct cli_list {
    const char *items[64]; /* borrowed from argv */
    size_t count;
};

struct cli_number {
    bool given;
    uint64_t value;
};

/* One option. `at` is the offset of its value in the command's own struct. */
struct cli_option {
    const char *name; /* long form without the hyphens */
    char letter;      /* short form; 0 for none */
    enum cli_kind kind;
    size_t at;
    const char *arg;  /* what its value is called in help; NULL for a flag */
    const char *help; /* one or more lines, separated by \n */
};

struct cli_command {
    const char *name;
    const char *summary;  /* one line, for the list of commands */
    const char *usage;    /* what follows the name; alternatives separated by \n */
    const char *about;    /* paragraphs; "" for none */
    const char *examples; /* pairs of lines: what for, and the command */
    const struct cli_option *options;
    size_t options_count;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit code */
};

/* All commands, in the order of help (commands.c); each row is in the command's own file. */
extern const struct cli_command *const cli_commands[];
extern const size_t cli_commands_count;
extern const struct cli_command cli_add_command, cli_check_command, cli_dev_command,
    cli_job_command, cli_ps_command, cli_reload_command, cli_scale_command, cli_status_command,
    cli_unit_command;

/* The command of that name, or NULL. */
const struct cli_command *cli_find_command(const char *name);

enum cli_parsed { CLI_PARSED_GO_ON, CLI_PARSED_HELP, CLI_PARSED_WRONG };

/* Reads options into `values` (the command's struct, initialised) and moves the other words to
 * words[0 … *words_count). --help prints the help; what is wrong is told on stderr with a way out.
 * words has room for argc pointers. */
enum cli_parsed cli_parse(const char *name, int argc, char **argv, void *values, const char **words,
                          size_t *words_count);

/* The help of one command, of all, and the manual page (roff). A failed append marks `out`. */
void cli_print_help(const struct cli_command *command, struct buf *out);
void cli_print_overview(struct buf *out);
void cli_print_manual(struct buf *out);

/* Tells a wrong command line on stderr, points at --help and returns EXIT_CODE_USAGE. */
int cli_usage_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);
