/* drover-worker - runs the jobs of one queue, for droverd. */
#include <stdio.h>
#include <uv.h>

#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/base/undumpable.h"
#include "workers/worker/rights.h"
#include "workers/worker/worker.h"

int main(int argc, char **argv)
{
    struct worker_arguments arguments;
    struct error err = { 0 };

    argv = uv_setup_args(argc, argv); /* room for the process title */
    if (worker_arguments_parse(argc, argv, &arguments, &err) < 0) {
        (void)fprintf(stderr, "drover-worker: %s\n\n%s", err.text, worker_usage);
        return EXIT_CODE_USAGE;
    }
    if (arguments.help || arguments.version) {
        (void)fputs(arguments.help ? worker_usage : "drover-worker " DROVER_VERSION "\n", stdout);
        return EXIT_CODE_OK;
    }
    if (rights_give_up(&arguments, &err) < 0) { /* before anything from outside is read */
        log_error("worker.failed", LOG_STR("queue", arguments.queue), LOG_STR("why", err.text));
        return EXIT_CODE_UNAVAILABLE;
    }
    undumpable_begin(); /* before the configuration, which holds secrets, is read */
    return worker_run(&arguments);
}
