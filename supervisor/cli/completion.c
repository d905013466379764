#include "supervisor/cli/completion.h"

#include <string.h>

const char *completion_value_name(enum cli_value value)
{
    static const char *const names[] = {
        [CLI_VALUE_ANY] = "any",         [CLI_VALUE_WORDS] = "words", [CLI_VALUE_FILE] = "file",
        [CLI_VALUE_DATA] = "data",       [CLI_VALUE_QUEUE] = "queue", [CLI_VALUE_KEY] = "key",
        [CLI_VALUE_SETTING] = "setting",
    };
    _Static_assert(ARRAY_SIZE(names) == CLI_VALUE_COUNT, "every kind of value has a name");

    return names[value];
}

void completion_each_option(const struct cli_command *command, completion_option_cb *print,
                            struct buf *out)
{
    static const struct cli_option help = { .name = "help", .letter = 'h', .help = "this text" };
    const struct cli_option *options = command ? command->options : cli_global_options;
    size_t count = command ? command->options_count : cli_global_options_count;

    for (size_t i = 0; i < count; i++)
        print(&options[i], out);
    if (command)
        print(&help, out);
}

void completion_quote(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'')
            (void)buf_append_text(out, "'\\''");
        else
            (void)buf_append_char(out, text[i]);
    }
}
