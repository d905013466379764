/* drover-reference: prints the generated pages; part of the build, never installed. */
#include <string.h>

#include "common/base/exit_code.h"
#include "common/config/reference.h"

#define PAGE_BYTES_MAX (1024u * 1024u)

int main(int argc, char **argv)
{
    struct buf page = BUF_INIT(PAGE_BYTES_MAX);
    bool failed;

    if (argc != 2 || (strcmp(argv[1], "markdown") != 0 && strcmp(argv[1], "man") != 0)) {
        (void)fputs("usage: drover-reference markdown|man\n", stderr);
        return EXIT_CODE_USAGE;
    }
    reference_print(strcmp(argv[1], "man") == 0 ? REFERENCE_MAN : REFERENCE_MARKDOWN, &page);
    failed = page.failed || fputs(buf_text(&page), stdout) == EOF || fflush(stdout) == EOF;
    buf_done(&page);
    return failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
