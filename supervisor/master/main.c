/* droverd: reads the configuration, starts the workers, keeps them alive, ends them. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/program_path.h"
#include "common/base/undumpable.h"
#include "common/config/config.h"
#include "common/config/open_log.h"
#include "supervisor/master/needs.h"
#include "supervisor/master/store.h"
#include "supervisor/master/supervisor.h"

#define DEFAULT_FILE  "/etc/drover/drover.yaml"
#define OVERRIDES_MAX 64

struct command_line {
    const char *file;
    struct config_override overrides[OVERRIDES_MAX];
    size_t overrides_count;
    bool check;
};

static const char usage_text[] =
    "Usage: droverd [-c FILE] [--set KEY=VALUE]... [--check]\n"
    "\n"
    "Runs the queues of one YAML file: starts their workers, restarts what dies, gives their\n"
    "jobs back, takes a changed file on SIGHUP, and on SIGTERM lets running jobs finish (a\n"
    "second SIGTERM stops them, a third kills them).\n"
    "\n"
    "  -c, --config FILE     the file (default " DEFAULT_FILE ")\n"
    "      --set KEY=VALUE   use this value instead of the file's; may be repeated\n"
    "      --check           check the file, say everything that is wrong, and exit\n"
    "      --help            this text\n"
    "      --version         the version\n"
    "\n"
    "Examples:\n"
    "  droverd --check -c drover.yaml\n"
    "  droverd -c drover.yaml --set queues.money.concurrency=10 --set log.level=debug\n"
    "\n"
    "Exit: 0 all ended by themselves, 1 some had to be killed, 64 bad command line, 69 another\n"
    "droverd serves the control socket or drover-worker is missing, 78 bad configuration.\n";

static bool add_override(struct command_line *line, char *assignment)
{
    char *equals = strchr(assignment, '=');

    if (!equals || equals == assignment) {
        (void)fprintf(stderr,
                      "droverd: --set %s: write it as KEY=VALUE, such as "
                      "queues.money.concurrency=10\n",
                      assignment);
        return false;
    }
    if (line->overrides_count == OVERRIDES_MAX) {
        (void)fprintf(stderr, "droverd: more than %d --set; put them into the file\n",
                      OVERRIDES_MAX);
        return false;
    }
    *equals = '\0';
    line->overrides[line->overrides_count++] =
        (struct config_override){ .key = assignment, .value = equals + 1 };
    return true;
}

/* Returns -1 to go on, else the exit code. */
static int parse_command_line(int argc, char **argv, struct command_line *out_line)
{
    enum { OPTION_SET = 256, OPTION_CHECK, OPTION_HELP, OPTION_VERSION };
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "set", required_argument, NULL, OPTION_SET },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *out_line = (struct command_line){ .file = DEFAULT_FILE };
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c')
            out_line->file = optarg;
        else if (option == OPTION_CHECK)
            out_line->check = true;
        else if (option == OPTION_HELP || option == 'h')
            return fputs(usage_text, stdout) < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
        else if (option == OPTION_VERSION)
            return puts("droverd " DROVER_VERSION) < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
        else if (option != OPTION_SET || !add_override(out_line, optarg))
            break;
    }
    if (option == -1 && optind == argc)
        return -1;
    if (option == -1)
        (void)fprintf(stderr, "droverd: unexpected argument \"%s\"\n", argv[optind]);
    (void)fputs("Try: droverd --help\n", stderr);
    return EXIT_CODE_USAGE;
}

static void print_findings(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];
        const char *kind = finding->warning ? "warning" : "error";

        (void)fputs(finding->file ? finding->file : "droverd", stderr);
        if (finding->line > 0)
            (void)fprintf(stderr, ":%u:%u", finding->line, finding->column);
        (void)fprintf(stderr, ": %s: %s%s%s\n", kind, finding->key ? finding->key : "",
                      finding->key && *finding->key ? ": " : "", finding->text);
    }
}

static int load(const struct command_line *line, struct config **out_config)
{
    struct config_report report;
    int result =
        config_load(line->file, line->overrides, line->overrides_count, out_config, &report);

    /* --check is about the file: whoever asks is not who will run it. */
    if (result == 0 && !line->check)
        result = needs_check(*out_config, &report);
    if (result < 0)
        config_free(TAKE_PTR(*out_config));
    print_findings(&report);
    if (result < 0)
        (void)fprintf(stderr, "droverd: %s: %zu error%s, nothing was started\n", line->file,
                      report.errors, report.errors == 1 ? "" : "s");
    config_report_done(&report);
    return result;
}

static int run(const struct supervisor_options *options, struct config *config)
{
    struct supervisor *supervisor = NULL;
    struct error err = { 0 };
    uv_loop_t loop;
    int exit_code = EXIT_CODE_FAILED;
    int result = uv_loop_init(&loop);

    if (result < 0) {
        config_free(config);
        (void)error_set(&err, result, "make the event loop: %s", uv_strerror(result));
    } else {
        result = supervisor_open(&loop, options, config, &supervisor, &err);
    }
    if (result < 0) {
        log_error("droverd.failed", LOG_STR("error", err.text));
        (void)uv_loop_close(&loop); /* what supervisor_open had opened it has closed */
        return result == -EADDRINUSE ? EXIT_CODE_UNAVAILABLE : exit_code;
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* returns when the supervisor has ended */
    exit_code = supervisor_exit_code(supervisor);
    supervisor_free(supervisor);
    if (uv_loop_close(&loop) < 0)
        log_error("droverd.failed", LOG_STR("error", "a handle is still open at the end"));
    return exit_code;
}

/* Takes the configuration. */
static int prepare_and_run(const struct command_line *line, struct store_passed *passed,
                           struct config *config)
{
    _cleanup_(freep) char *worker_path = NULL;
    struct supervisor_options options = { .file = line->file,
                                          .overrides = line->overrides,
                                          .overrides_count = line->overrides_count,
                                          .passed = passed };
    struct error err = { 0 };
    int exit_code;

    if (config_open_log(config, "droverd", &err) < 0) {
        log_error("droverd.failed", LOG_STR("error", err.text));
        config_free(config);
        return EXIT_CODE_UNAVAILABLE;
    }
    log_set_context((struct log_field[]){ LOG_STR("role", "droverd") }, 1);
    if (program_path_find("drover-worker", NULL, &worker_path, &err) < 0) {
        log_error("droverd.failed", LOG_STR("error", err.text));
        config_free(config);
        return EXIT_CODE_UNAVAILABLE;
    }
    options.worker_path = worker_path;
    exit_code = run(&options, config);
    log_close();
    return exit_code;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct store_passed passed;
    struct config *config = NULL;
    int exit_code = parse_command_line(argc, argv, &line);

    if (exit_code >= 0)
        return exit_code;
    store_take(&passed);                /* while the numbers are still those that were passed */
    fd_cloexec_from(STDERR_FILENO + 1); /* what we inherited must not reach handlers */
    (void)signal(SIGPIPE, SIG_IGN);     /* a reader that left is an error of write, not our end */
    undumpable_begin();                 /* before a secret is read */
    if (load(&line, &config) < 0)
        return EXIT_CODE_CONFIG;
    if (!line.check)
        return prepare_and_run(&line, &passed, config);
    config_free(config);
    return EXIT_CODE_OK;
}
