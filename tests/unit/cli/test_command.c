/* The parser of options, with a command table of its own (it takes the place of commands.c). */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/command.h"

struct values {
    bool flag;
    const char *text;
    struct cli_list list;
    struct cli_number number, wait;
};

#define AT(member) .at = offsetof(struct values, member)
static const struct cli_option options[] = {
    { .name = "flag", .letter = 'f', .kind = CLI_FLAG, AT(flag), .help = "a flag" },
    { .name = "text", .letter = 't', .kind = CLI_TEXT, .arg = "T", AT(text), .help = "one\ntwo" },
    { .name = "item", .kind = CLI_LIST, .arg = "I", AT(list), .help = "an item" },
    { .name = "number", .kind = CLI_NUMBER, .arg = "N", AT(number), .help = "a number" },
    { .name = "wait", .kind = CLI_DURATION, .arg = "TIME", AT(wait), .help = "a wait" },
};

static const struct cli_command fake = { .name = "fake",
                                         .summary = "does .nothing \\ much",
                                         .usage = "drover fake X\ndrover fake -Y",
                                         .about = "First.\nSecond.",
                                         .examples = "how?\ndrover fake -f\n",
                                         .options = options,
                                         .options_count = ARRAY_SIZE(options) };

const struct cli_command *const cli_commands[] = { &fake };
const size_t cli_commands_count = 1;

static struct values values;
static const char *words[64];
static size_t words_count;

static enum cli_parsed parse(const char *line)
{
    static char copy[1024];
    char *argv[64] = { 0 };
    int argc = 0;

    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    memset(&values, 0, sizeof(values));
    return cli_parse("fake", argc, argv, &values, words, &words_count);
}

Test(command, reads_every_kind_of_option)
{
    cr_assert(parse("fake -f --text=a --item 1 --item 2 --number 7 --wait 1.5s x y") ==
              CLI_PARSED_GO_ON);
    cr_expect(values.flag);
    cr_expect_str_eq(values.text, "a");
    cr_expect(values.list.count == 2);
    cr_expect_str_eq(values.list.items[1], "2");
    cr_expect(values.number.given && values.number.value == 7);
    cr_expect(values.wait.given && values.wait.value == 1500);
    cr_expect(words_count == 2);
    cr_expect_str_eq(words[0], "x");
    cr_expect_str_eq(words[1], "y");
}

Test(command, words_and_options_mix_and_two_hyphens_end_them)
{
    cr_assert(parse("fake x -t a y -- --flag - ") == CLI_PARSED_GO_ON);
    cr_expect(!values.flag && words_count == 4);
    cr_expect_str_eq(words[2], "--flag");
    cr_expect_str_eq(words[3], "-");
    cr_expect_str_eq(values.text, "a");
    cr_assert(parse("fake") == CLI_PARSED_GO_ON);
    cr_expect(words_count == 0 && !values.number.given && !values.text);
}

Test(command, the_last_of_a_repeated_option_counts)
{
    cr_assert(parse("fake --number 1 --number 2 -t a -t b") == CLI_PARSED_GO_ON);
    cr_expect(values.number.value == 2);
    cr_expect_str_eq(values.text, "b");
}

Test(command, wrong_lines_are_refused, .init = cr_redirect_stderr)
{
    static const char *const lines[] = {
        "fake --nothing",      "fake -x",           "fake --number",     "fake --number x",
        "fake --number -1",    "fake --number 1.5", "fake --number 0x1", "fake --wait 5",
        "fake --wait 5parsec", "fake --flag=yes",   "fake -t",           "fake --n 5 --t",
    };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect(parse(lines[i]) == CLI_PARSED_WRONG, "%s", lines[i]);
}

Test(command, too_many_of_a_list, .init = cr_redirect_stderr)
{
    char *argv[2 + 2 * 65] = { (char[]){ "fake" } };
    static const char *many[2 + 2 * 65];
    char item[] = "--item=x";

    for (int i = 1; i <= 65; i++)
        argv[i] = item;
    memset(&values, 0, sizeof(values));
    cr_expect(cli_parse("fake", 65, argv, &values, many, &words_count) == CLI_PARSED_GO_ON);
    cr_expect(values.list.count == 64);
    memset(&values, 0, sizeof(values));
    cr_expect(cli_parse("fake", 66, argv, &values, many, &words_count) == CLI_PARSED_WRONG);
}

Test(command, mistakes_are_told_with_a_way_out, .init = cr_redirect_stderr)
{
    (void)parse("fake --flga");
    (void)fflush(stderr);
    cr_expect_stderr_eq_str("drover: unknown option --flga; did you mean --flag?\n"
                            "Try: drover fake --help\n");
}

Test(command, help_is_made_of_the_tables, .init = cr_redirect_stdout)
{
    cr_expect(parse("fake x --help --nothing") == CLI_PARSED_HELP);
    (void)fflush(stdout);
    cr_expect_stdout_eq_str("Usage: drover fake X\n"
                            "       drover fake -Y\n"
                            "\ndoes .nothing \\ much\n"
                            "\nFirst.\nSecond.\n"
                            "\nOptions:\n"
                            "  -f, --flag                   a flag\n"
                            "  -t, --text T                 one\n"
                            "                               two\n"
                            "  --item I                     an item\n"
                            "  --number N                   a number\n"
                            "  --wait TIME                  a wait\n"
                            "  -h, --help                   this text\n"
                            "\nExamples:\n"
                            "  # how?\n"
                            "    drover fake -f\n");
}

Test(command, manual_escapes_what_roff_reads)
{
    struct buf out = BUF_INIT((size_t)64 * 1024);

    cli_print_manual(&out);
    cr_assert(!out.failed);
    cr_expect(strstr(buf_text(&out), "does .nothing \\e much"));
    cr_expect(strstr(buf_text(&out), "\\fB\\-t, \\-\\-text T\\fR"));
    cr_expect(strstr(buf_text(&out), ".SS drover fake\n"));
    buf_done(&out);
}
