/* drover reload: droverd reads its file again; what came of it, queue by queue. */
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"

#define OUTPUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct reload_values {
    const char *config, *socket;
    struct cli_number timeout;
    bool json;
};

#define AT(member) .at = offsetof(struct reload_values, member)
static const struct cli_option options[] = {
    { .name = "timeout",
      .kind = CLI_DURATION,
      .arg = "TIME",
      AT(timeout),
      .help = "wait no longer than this; the reload goes on all the same.\n"
              "As long as it takes unless given" },
    { .name = "json", .kind = CLI_FLAG, AT(json), .help = "for programs: one object at the end" },
    CLI_SOCKET_OPTION(struct reload_values, socket),
    { .name = "config",
      .letter = 'c',
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(config),
      .help = "where to find `control`, nothing else: droverd reads the\n"
              "file that it was started with.\n" CLI_CONFIG_FILE " unless given" },
};

static int cli_reload(int argc, char **argv);

const struct cli_command cli_reload_command = {
    .name = "reload",
    .summary = "makes droverd read its configuration again, and says what came of it",
    .usage = "drover reload [--timeout TIME] [--json] [--socket PATH] [-c FILE]",
    .about =
        "A file with a mistake changes nothing: what is wrong is printed as by drover check. Else\n"
        "only what changed is touched. Concurrency and processes are taken by running workers;\n"
        "other changes of a queue replace its workers, new ones first; a queue that is no longer\n"
        "in the file is drained. The command waits until all new workers are ready.\n"
        "For root and the user that droverd runs as.\n"
        "Exit status: 0 when all is done; 1 when the file was refused, or when a queue's workers\n"
        "could not be replaced (they go on with the old configuration).",
    .examples = "after a change of the file\ndrover check && drover reload\n"
                "for a script\ndrover reload --json | jq '.queues[] | select(.outcome != "
                "\"unchanged\")'\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .run = cli_reload,
};

struct reload {
    const struct reload_values *values;
    json_t *rows; /* array, with --json */
    struct buf out;
    bool failed; /* standard output takes no more, or memory ran out */
};

/* ---- rows ---- */

static void print_outcome(const json_t *row, struct buf *out)
{
    static const struct {
        const char *outcome, *says;
        bool counts; /* how many processes */
    } says[] = {
        { "unchanged", "unchanged", false }, { "resized", "live", false },
        { "replaced", "replaced", true },    { "started", "started", true },
        { "draining", "draining", false },   { "failed", "failed", false },
    };
    const char *outcome = control_text(row, "outcome");
    uint64_t workers = control_number(row, "workers");

    for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
        if (strcmp(says[i].outcome, outcome) != 0)
            continue;
        (void)buf_append_text(out, says[i].says);
        if (says[i].counts)
            (void)buf_printf(out, " %" PRIu64 " worker%s", workers, workers == 1 ? "" : "s");
        return;
    }
    output_text(out, outcome, strlen(outcome)); /* of a newer droverd */
}

/* "money: replaced 2 workers (timeout: 30s -> 1m)", "mail: live, concurrency: 5 -> 10" */
static void print_row(const json_t *row, struct buf *out)
{
    const char *queue = control_text(row, "queue"), *changes = control_text(row, "changes");
    const char *why = control_text(row, "why");
    bool live = strcmp(control_text(row, "outcome"), "resized") == 0;

    output_text(out, queue, strlen(queue));
    (void)buf_append_text(out, ": ");
    print_outcome(row, out);
    if (live && !*changes) {
        (void)buf_append_text(out, ", no longer scaled"); /* the file said nothing new */
    } else if (*changes) {
        (void)buf_append_text(out, live ? ", " : " (");
        output_text(out, changes, strlen(changes));
        (void)buf_append_text(out, live ? "" : ")");
    }
    if (*why) {
        (void)buf_append_text(out,
                              strcmp(control_text(row, "outcome"), "failed") == 0 ? ": " : ", ");
        output_lines(out, why, strlen(why), 2);
    }
    (void)buf_append_char(out, '\n');
}

static void on_row(json_t *row, void *arg)
{
    struct reload *reload = arg;

    if (reload->values->json) {
        reload->failed = json_array_append(reload->rows, row) < 0 || reload->failed;
        return;
    }
    print_row(row, &reload->out);
    reload->failed = reload->failed || !output_flush(&reload->out); /* as it happens */
}

/* ---- the end ---- */

static struct config_finding read_finding(const json_t *from)
{
    /* They are only lent to the printer, which changes nothing. */
    return (struct config_finding){
        .warning = json_is_true(json_object_get(from, "warning")),
        .file = (char *)(uintptr_t)control_text(from, "file"),
        .line = (unsigned int)control_number(from, "line"),
        .column = (unsigned int)control_number(from, "column"),
        .key = (char *)(uintptr_t)control_text(from, "key"),
        .text = (char *)(uintptr_t)control_text(from, "text"),
    };
}

static void print_findings(const json_t *end)
{
    const json_t *findings = json_object_get(end, "findings");
    size_t count = json_array_size(findings);
    _cleanup_(freep) struct config_finding *rows = calloc(count + 1, sizeof(*rows));

    for (size_t i = 0; rows && i < count; i++)
        rows[i] = read_finding(json_array_get(findings, i));
    if (rows)
        cli_print_findings(&(struct config_report){ .findings = rows, .count = count });
    if (json_is_true(json_object_get(end, "cut")))
        (void)fputs("and more: drover check shows all\n", stderr);
}

static void print_line(struct buf *out, const char *before, const char *text)
{
    if (!*text)
        return;
    (void)buf_append_text(out, before);
    output_text(out, text, strlen(text));
    (void)buf_append_char(out, '\n');
}

static void print_end(const json_t *end, struct buf *out)
{
    uint64_t generation = control_number(end, "generation");
    bool refused = json_array_size(json_object_get(end, "findings")) > 0 &&
                   !json_is_true(json_object_get(end, "ok"));

    print_line(out, "droverd: ", control_text(end, "top"));
    print_line(out, "droverd, from its next start on: ", control_text(end, "restart"));
    if (generation > 0 && json_is_true(json_object_get(end, "ok")))
        (void)buf_printf(out, "generation %" PRIu64 " is in force\n", generation);
    else if (generation > 0 && refused)
        (void)fprintf(stderr, "generation %" PRIu64 " goes on, unchanged\n", generation);
}

/* Rows and end as one object. */
static void print_json(const struct reload *reload, json_t *end, struct buf *out)
{
    char *text = NULL;

    (void)json_object_del(end, "end"); /* there in every end */
    if (json_object_set(end, "queues", reload->rows) == 0)
        text = json_dumps(end, JSON_COMPACT);
    (void)buf_append_text(out, text ? text : "");
    (void)buf_append_char(out, '\n');
    out->failed = out->failed || !text;
    free(text);
}

static int finish(struct reload *reload, json_t *end)
{
    json_int_t code = json_integer_value(json_object_get(end, "code"));
    int result;

    if (reload->values->json) {
        result = json_is_true(json_object_get(end, "ok")) ? EXIT_CODE_OK
                 : code > 0 && code <= 255                ? (int)code
                                                          : EXIT_CODE_FAILED;
        print_json(reload, end, &reload->out);
    } else {
        print_findings(end);
        result = control_client_finish(end);
        print_end(end, &reload->out);
    }
    if (!output_flush(&reload->out) || reload->failed)
        return result == EXIT_CODE_OK ? EXIT_CODE_FAILED : result;
    return result;
}

static int run(const struct reload_values *values)
{
    struct reload reload = { .values = values,
                             .rows = json_array(),
                             .out = BUF_INIT(OUTPUT_BYTES_MAX) };
    const struct control_call call = { .socket = values->socket,
                                       .config = values->config,
                                       .request = json_pack("{s:s}", "verb", "reload"),
                                       .timeout_ms = values->timeout.value,
                                       .on_row = on_row,
                                       .arg = &reload };
    json_t *end = NULL;
    int code = control_client_call(&call, &end);

    if (code == 0)
        code = finish(&reload, end);
    json_decref(end);
    json_decref(reload.rows);
    buf_done(&reload.out);
    return code;
}

static int cli_reload(int argc, char **argv)
{
    struct reload_values values = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    size_t words_count = 0;
    enum cli_parsed parsed;

    if (!words)
        return EXIT_CODE_FAILED;
    parsed = cli_parse("reload", argc, argv, &values, words, &words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (words_count > 0)
        return cli_usage_error("reload",
                               "unexpected \"%s\": all queues are reloaded, and only those that "
                               "changed are touched",
                               words[0]);
    if (values.timeout.given && values.timeout.value == 0)
        return cli_usage_error("reload", "--timeout must be more than 0");
    return run(&values);
}
