/* drover check: the configuration, before droverd reads it. */
#include <errno.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/json_text.h"
#include "supervisor/cli/check_unit.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/instance.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/overrides.h"

#define OUTPUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct check_values {
    const char *config, *list;
    struct cli_list set;
    bool explain, effective, unit, json;
};

static const struct cli_option options[] = {
    { .name = "config",
      .letter = 'c',
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      .at = offsetof(struct check_values, config),
      .help = "the configuration; " CLI_CONFIG_FILE " unless given" },
    { .name = "set",
      .kind = CLI_LIST,
      .arg = "KEY=VALUE",
      .value = CLI_VALUE_SETTING,
      .at = offsetof(struct check_values, set),
      .help = "as if the file said so; may be given again, as with droverd" },
    { .name = "explain",
      .kind = CLI_FLAG,
      .at = offsetof(struct check_values, explain),
      .help = "what KEY means, its type, default and range; without KEY: all keys" },
    { .name = "effective",
      .kind = CLI_FLAG,
      .at = offsetof(struct check_values, effective),
      .help = "every value in force and where it came from; secrets are masked" },
    { .name = "list",
      .kind = CLI_TEXT,
      .arg = "WHAT",
      .value = CLI_VALUE_WORDS,
      .words = "queues settings keys",
      .at = offsetof(struct check_values, list),
      .help = "only names, one a line: queues of the file, settings that --set could\n"
              "change in it, or keys that there are" },
    { .name = "unit",
      .kind = CLI_FLAG,
      .at = offsetof(struct check_values, unit),
      .help = "also whether the systemd unit gives the configuration what it needs:\n"
              "UNIT, or drover.service (of --instance NAME: drover@NAME.service)" },
    { .name = "json",
      .kind = CLI_FLAG,
      .at = offsetof(struct check_values, json),
      .help = "for programs" },
};

static const struct cli_operand operands[] = {
    { .name = "KEY", .value = CLI_VALUE_KEY, .with = "explain" },
    { .name = "UNIT", .with = "unit" },
};

static int cli_check(int argc, char **argv);

const struct cli_command cli_check_command = {
    .name = "check",
    .summary = "checks the configuration: every mistake with its place, before droverd reads it",
    .usage = "drover check [-c FILE] [--set KEY=VALUE]... [--effective] [--json]\n"
             "drover check --list queues|settings|keys [-c FILE]\n"
             "drover check --unit [-c FILE] [--set KEY=VALUE]... [--json] [UNIT]\n"
             "drover check --explain [KEY]",
    .about =
        "Mistakes are printed as FILE:LINE:COLUMN: error: KEY: what is wrong.\n"
        "With --unit, what the unit lacks is printed as UNIT: error: DIRECTIVE: what and why;\n"
        "`drover unit` prints the lines that put it right. A credential (cred:NAME) is the\n"
        "service's alone and is not looked at.\n"
        "Exit status: 0 when droverd would take it (warnings may be printed), 78 when not, 69\n"
        "when there is no systemd or no such unit to look at.",
    .examples = "is the file right?\ndrover check\n"
                "what would another value do?\ndrover check --set queues.mail.concurrency=50\n"
                "where does a value come from?\ndrover check --effective | grep queues.mail\n"
                "for each queue of the file\n"
                "for queue in $(drover check --list queues); do drover status \"$queue\"; done\n"
                "would the unit kill running jobs, or hide their files?\ndrover check --unit\n"
                "what does a key mean? * stands for any name\n"
                "drover check --explain 'queues.*.lock'\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_check,
};

static int explain(const char *key)
{
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    struct error err = { 0 };
    int r = config_explain(key, &out, &err);

    if (r < 0)
        output_error("%s", err.text);
    else if (!output_flush(&out))
        r = -EIO;
    buf_done(&out);
    return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int list_keys(void)
{
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    int code;

    config_list_keys(&out);
    code = output_flush(&out) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    buf_done(&out);
    return code;
}

static bool is_list(const char *what)
{
    return strcmp(what, "queues") == 0 || strcmp(what, "settings") == 0 ||
           strcmp(what, "keys") == 0;
}

static void print_finding_json(const struct config_finding *finding, bool first, struct buf *out)
{
    (void)buf_append_text(out, first ? "{" : ",{");
    output_member_text(out, true, "severity", finding->warning ? "warning" : "error",
                       finding->warning ? 7 : 5);
    output_member_text(out, false, "file", finding->file, strlen(finding->file));
    output_member_number(out, false, "line", finding->line);
    output_member_number(out, false, "column", finding->column);
    output_member_text(out, false, "key", finding->key ? finding->key : "",
                       finding->key ? strlen(finding->key) : 0);
    output_member_text(out, false, "text", finding->text, strlen(finding->text));
    (void)buf_append_char(out, '}');
}

static void print_report_json(const char *file, const struct config_report *report,
                              const struct config *config, struct buf *out)
{
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "file", file, strlen(file));
    (void)buf_printf(out, ",\"ok\":%s", config && report->errors == 0 ? "true" : "false");
    output_member_number(out, false, "errors", report->errors);
    output_member_number(out, false, "warnings", report->count - report->errors);
    (void)buf_append_text(out, ",\"findings\":[");
    for (size_t i = 0; i < report->count; i++)
        print_finding_json(&report->findings[i], i == 0, out);
    (void)buf_append_text(out, "]}\n");
}

static void print_summary(const char *file, const struct config_report *report,
                          const struct config *config, struct buf *out)
{
    size_t warnings = report->count - report->errors;
    unsigned int jobs = 0, processes = 0;

    for (size_t i = 0; i < config->queues_count; i++) {
        jobs += config->queues[i].concurrency;
        processes += config->queues[i].processes;
    }
    output_text(out, file, strlen(file));
    (void)buf_printf(out, ": good: %zu queue%s, %u worker process%s, %u job%s at once",
                     config->queues_count, config->queues_count == 1 ? "" : "s", processes,
                     processes == 1 ? "" : "es", jobs, jobs == 1 ? "" : "s");
    if (warnings > 0)
        (void)buf_printf(out, "; %zu warning%s", warnings, warnings == 1 ? "" : "s");
    (void)buf_append_char(out, '\n');
}

/* What goes to stdout; findings for people go to stderr before it. */
static int print_result(const struct check_values *values, const char *file,
                        const struct config_report *report, const struct config *config,
                        struct buf *out)
{
    struct error err = { 0 };
    int r = 0;

    if (!values->json || (values->effective && config))
        cli_print_findings(report);
    if (values->list && config)
        r = config_list(
            config, strcmp(values->list, "queues") == 0 ? CONFIG_LIST_QUEUES : CONFIG_LIST_SETTINGS,
            out, &err);
    else if (values->effective && config && values->json)
        r = config_print_effective_json(config, out, &err);
    else if (values->effective && config)
        r = config_print_effective(config, out, &err);
    else if (values->json)
        print_report_json(file, report, config, out);
    else if (config && report->errors == 0)
        print_summary(file, report, config, out);
    else
        (void)fprintf(stderr, "drover: %s: %zu error%s\n", file, report->errors,
                      report->errors == 1 ? "" : "s");
    if (r < 0)
        output_error("%s", err.text);
    return r;
}

/* What the unit lacks joins the findings about the file. */
static int add_unit_findings(const struct check_values *values, const char *unit_given,
                             const struct config *config, struct config_report *report)
{
    char unit[INSTANCE_UNIT_BYTES];

    if (!values->unit || !config)
        return EXIT_CODE_OK;
    return check_unit(unit_given ? unit_given : instance_unit(unit), config, report);
}

static int check_file(const struct check_values *values, const struct cli_overrides *overrides,
                      const char *unit)
{
    const char *file = values->config ? values->config : instance_config_file();
    _cleanup_(config_freep) struct config *config = NULL;
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    struct config_report report;
    int r = config_inspect(file, overrides->rows, overrides->count, &config, &report);
    int code = EXIT_CODE_OK;

    if (r < 0 && report.count == 0) {
        output_error("read %s: %s", file, strerror(-r));
        code = EXIT_CODE_FAILED;
    } else {
        code = add_unit_findings(values, unit, config, &report);
        if (code == EXIT_CODE_OK &&
            (print_result(values, file, &report, config, &out) < 0 || !output_flush(&out)))
            code = EXIT_CODE_FAILED;
        if (!config || (code == EXIT_CODE_OK && report.errors > 0))
            code = EXIT_CODE_CONFIG;
    }
    config_report_done(&report);
    buf_done(&out);
    return code;
}

static int cli_check(int argc, char **argv)
{
    struct check_values values = { 0 };
    _cleanup_(cli_overrides_done) struct cli_overrides overrides = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    size_t words_count = 0;
    int code;

    if (!words)
        return EXIT_CODE_FAILED;
    switch (cli_parse("check", argc, argv, &values, words, &words_count)) {
    case CLI_PARSED_HELP:
        return EXIT_CODE_OK;
    case CLI_PARSED_WRONG:
        return EXIT_CODE_USAGE;
    case CLI_PARSED_GO_ON:
    default:
        break;
    }
    if (values.explain && values.unit)
        return cli_usage_error("check", "--explain and --unit are two questions; ask one");
    if (words_count > (values.explain || values.unit ? 1 : 0))
        return cli_usage_error("check", "unexpected \"%s\"%s", words[words_count - 1],
                               values.explain ? "" : "; a file is named with -c");
    if (values.list && (values.explain || values.effective || values.unit || values.json))
        return cli_usage_error("check", "--list prints names only: without other forms of output");
    if (values.list && !is_list(values.list))
        return cli_usage_error("check", "--list needs queues, settings or keys, not \"%s\"",
                               values.list);
    if (values.list && strcmp(values.list, "keys") == 0)
        return list_keys();
    if (values.explain)
        return explain(words_count ? words[0] : NULL);
    code = cli_overrides_init(&overrides, "check", &values.set);
    return code == EXIT_CODE_OK ? check_file(&values, &overrides, words_count ? words[0] : NULL)
                                : code;
}
