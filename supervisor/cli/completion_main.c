/* drover-completion bash|zsh TEMPLATE: prints the template with the tables in the place of its line
 * @TABLES@; a tool of the build, never installed. */
#include <stdio.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "supervisor/cli/completion.h"
#include "supervisor/cli/output.h"

#define MARK      "@TABLES@\n"
#define BYTES_MAX ((size_t)1024 * 1024)

static int fill(const char *template, void (*print_tables)(struct buf *out))
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(BYTES_MAX);
    _cleanup_(buf_done) struct buf out = BUF_INIT(BYTES_MAX);
    struct error err = { 0 };
    const char *mark;

    if (fd_read_file(template, &text, &err) < 0) {
        output_error("%s", err.text);
        return EXIT_CODE_FAILED;
    }
    mark = strstr(buf_text(&text), MARK);
    if (!mark) {
        output_error("%s has no line @TABLES@", template);
        return EXIT_CODE_FAILED;
    }
    (void)buf_append(&out, buf_text(&text), (size_t)(mark - buf_text(&text)));
    print_tables(&out);
    (void)buf_append_text(&out, mark + strlen(MARK));
    return output_flush(&out) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "bash") == 0)
        return fill(argv[2], completion_print_bash);
    if (argc == 3 && strcmp(argv[1], "zsh") == 0)
        return fill(argv[2], completion_print_zsh);
    (void)fputs("usage: drover-completion bash|zsh TEMPLATE\n", stderr);
    return EXIT_CODE_USAGE;
}
