/* command.h - the commands of `drover` and their options, as tables.
 * Invariant: the parser, --help, the manual page and the completion of shells read the same rows;
 * an option is described nowhere else. */
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

/* What a value or an operand stands for: what a shell can offer where it is to be written. */
enum cli_value {
    CLI_VALUE_ANY,     /* nothing is known of it */
    CLI_VALUE_WORDS,   /* one of `words` */
    CLI_VALUE_FILE,    /* a path */
    CLI_VALUE_DATA,    /* JSON, or @ and a path */
    CLI_VALUE_QUEUE,   /* a queue of the configuration */
    CLI_VALUE_KEY,     /* a key of the configuration, * for names */
    CLI_VALUE_SETTING, /* KEY=VALUE of the configuration */
    CLI_VALUE_COUNT,
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
    const char *arg;      /* what its value is called in help; NULL for a flag */
    enum cli_value value; /* what `arg` stands for */
    const char *words; /* of CLI_VALUE_WORDS, separated by blanks; one that ends in ':' goes on */
    const char *help;  /* one or more lines, separated by \n */
};

/* A word of a command line that is no option. */
struct cli_operand {
    const char *name; /* as in usage */
    enum cli_value value;
    const char *words; /* as those of an option */
    const char *with;  /* long name of the option that it needs; NULL: always */
    bool many;         /* all words from here on; nothing follows in the table */
};

struct verb;

/* A command, or a verb of one: "queue drain" is a row of its own, and `queue` the command that
 * lists its verbs. */
struct cli_command {
    const char *name;     /* of a verb with its command's: "queue drain" */
    const char *summary;  /* one line, for the list of commands */
    const char *usage;    /* the whole line; alternatives separated by \n */
    const char *about;    /* paragraphs; "" for none */
    const char *examples; /* pairs of lines: what for, and the command */
    const struct cli_option *options;
    size_t options_count;
    /* Words in their order. Those that need an option all stand for the first word, each with an
     * option of its own. */
    const struct cli_operand *operands;
    size_t operands_count;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit code */
    /* Of verbs that are run by cli_run_verb (verb.h): what they do, and how many words they take.
     */
    int (*act)(struct verb *verb);
    size_t words_min, words_max;
};

/* All commands, in the order of help (commands.c), the verbs of one behind it; each row is in the
 * command's own file. */
extern const struct cli_command *const cli_commands[];
extern const size_t cli_commands_count;
extern const struct cli_command cli_add_command, cli_check_command, cli_dev_command,
    cli_job_command, cli_ps_command, cli_queue_command, cli_reload_command, cli_scale_command,
    cli_status_command, cli_unit_command;

/* What may stand before a command; main.c reads them. */
extern const struct cli_option cli_global_options[];
extern const size_t cli_global_options_count;

/* The command of that name, or NULL. */
const struct cli_command *cli_find_command(const char *name);
/* The verb of a command, or NULL. */
const struct cli_command *cli_find_verb(const char *command, const char *verb);
/* The name of a verb without its command's; NULL when it is not one of `command`. */
const char *cli_verb_name(const struct cli_command *verb, const char *command);
bool cli_is_verb(const struct cli_command *command);
/* The verb that was probably meant; NULL when there is none. */
const char *cli_nearest_verb(const char *command, const char *word);

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
