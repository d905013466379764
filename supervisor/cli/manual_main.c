/* drover-manual: prints drover.1 at build time. */
#include "common/base/exit_code.h"
#include "supervisor/cli/command.h"
#include "supervisor/cli/output.h"

int main(void)
{
    struct buf out = BUF_INIT((size_t)1024 * 1024);
    bool good;

    cli_print_manual(&out);
    good = output_flush(&out);
    buf_done(&out);
    return good ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
