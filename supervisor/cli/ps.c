/* drover ps: the worker processes of this host, or of all hosts. */
#include "supervisor/cli/ps.h"

#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/totals.h"

#define OUTPUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct ps_values {
    struct cli_where where;
    const char *socket;
    bool jobs, cluster, json;
};

#define AT(member) .at = offsetof(struct ps_values, member)
static const struct cli_option options[] = {
    { .name = "jobs",
      .letter = 'j',
      .kind = CLI_FLAG,
      AT(jobs),
      .help = "also the jobs that run now, by id, type, age and attempt" },
    { .name = "cluster",
      .kind = CLI_FLAG,
      AT(cluster),
      .help = "the processes of all hosts, from Redis" },
    { .name = "json", .kind = CLI_FLAG, AT(json), .help = "for programs; nothing is left out" },
    CLI_SOCKET_OPTION(struct ps_values, socket),
    CLI_WHERE_OPTIONS(struct ps_values),
};

static const struct cli_operand operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE, .many = true },
};

static int cli_ps(int argc, char **argv);

const struct cli_command cli_ps_command = {
    .name = "ps",
    .summary = "shows the worker processes: what they do, and how they fare",
    .usage = "drover ps [-j] [--json] [--socket PATH | -c FILE] [QUEUE...]\n"
             "drover ps --cluster [--json] [-c FILE | --redis URL] [QUEUE...]",
    .about =
        "Without --cluster droverd of this host is asked; root, its own user and members of\n"
        "its socket's group may. BUSY is the jobs at work and most that may be; DONE, FAILED\n"
        "(for good) and RETRIED count since the process started; WAITING is the queue's, as of\n"
        "the last look. TOTALS also count the processes that are gone, and over restarts of\n"
        "the service where systemd keeps the scoreboard. Processes that died stay listed below "
        "until what they ran is given\n"
        "back.\n"
        "\n"
        "With --cluster the registry in Redis is read: every process of drover that has neither\n"
        "left in good order nor been given up. BEAT is the time since its last sign of life;\n"
        "after 8 s it is marked silent.",
    .examples = "what runs here?\ndrover ps\n"
                "what is mail working on?\ndrover ps mail --jobs\n"
                "on all hosts\ndrover ps --cluster\n"
                "for a script\ndrover ps --json | jq '[.processes[].running] | add'\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_ps,
};

struct ps {
    const struct ps_values *values;
    const char **names; /* asked for; none: all */
    size_t names_count;
    json_t *processes, *recoveries; /* arrays */
    struct totals totals;
    bool no_memory;
};

static bool is_wanted(const struct ps *ps, const char *queue)
{
    for (size_t i = 0; i < ps->names_count; i++) {
        if (strcmp(ps->names[i], queue) == 0)
            return true;
    }
    return ps->names_count == 0;
}

/* ---- this host ---- */

/* Resident memory of a process of this host; 0 when it cannot be seen. */
static uint64_t read_rss_bytes(uint64_t pid)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(4096);
    unsigned long long all, resident;
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%llu/statm", (unsigned long long)pid);
    if (pid == 0 || fd_read_file(path, &text, NULL) < 0)
        return 0;
    // NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers
    if (sscanf(buf_text(&text), "%llu %llu", &all, &resident) != 2)
        return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void on_row(json_t *row, void *arg)
{
    struct ps *ps = arg;
    json_t *recovery = json_object_get(row, "recovery");
    int r = 0;

    if (!is_wanted(ps, control_text(recovery ? recovery : row, "queue")))
        return;
    if (recovery) {
        r = json_array_append(ps->recoveries, recovery);
    } else {
        uint64_t bytes = read_rss_bytes(control_number(row, "pid"));

        if (bytes > 0)
            r = json_object_set_new(row, "rss_bytes", json_integer((json_int_t)bytes));
        if (r == 0)
            r = json_array_append(ps->processes, row);
    }
    ps->no_memory = ps->no_memory || r < 0;
}

static void ask_totals(struct control_client *client, void *arg)
{
    struct ps *ps = arg;

    totals_ask(client, ps->names, ps->names_count, &ps->totals);
}

static int look_at_host(struct ps *ps)
{
    const struct control_call call = { .socket = ps->values->socket,
                                       .config = ps->values->where.config,
                                       .request = json_pack("{s:s}", "verb", "ps"),
                                       .timeout_ms = CLI_ANSWER_MS,
                                       .on_row = on_row,
                                       .and_then = ask_totals,
                                       .arg = ps };
    json_t *end = NULL;
    int code = control_client_call(&call, &end);

    if (code == 0)
        code = control_client_finish(end);
    json_decref(end);
    return code;
}

static void print_host(const struct ps *ps, struct buf *out)
{
    if (json_array_size(ps->processes) > 0)
        ps_print_processes(ps->processes, clock_wall_ms(), out);
    else
        (void)buf_append_text(out, "no process runs\n");
    if (ps->values->jobs) {
        (void)buf_append_char(out, '\n');
        ps_print_jobs(ps->processes, out);
    }
    if (json_array_size(ps->recoveries) > 0) {
        (void)buf_append_char(out, '\n');
        ps_print_recoveries(ps->recoveries, out);
    }
    totals_print(&ps->totals, out);
}

/* ---- all hosts ---- */

static int look_at_cluster(struct ps *ps)
{
    struct cli_target target;
    int code = cli_target_init(&target, "ps", &ps->values->where);

    if (code == 0)
        code = ps_look_at_cluster(&target, ps->names, ps->names_count, ps->processes);
    cli_target_done(&target);
    return code;
}

static void print_cluster(const struct ps *ps, struct buf *out)
{
    if (json_array_size(ps->processes) > 0)
        ps_print_cluster(ps->processes, clock_wall_ms(), out);
    else
        (void)buf_append_text(out, "no process is registered\n");
}

/* ---- the command ---- */

static void print_json(const struct ps *ps, struct buf *out)
{
    json_t *all =
        json_pack("{s:I, s:O}", "at_ms", (json_int_t)clock_wall_ms(), "processes", ps->processes);
    char *text;

    if (!ps->values->cluster && all) {
        (void)json_object_set(all, "recoveries", ps->recoveries); /* no memory: dumps fails, too */
        totals_add_json(&ps->totals, all);
    }
    text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    (void)buf_append_text(out, text ? text : "");
    (void)buf_append_char(out, '\n');
    out->failed = out->failed || !text;
    free(text);
    json_decref(all);
}

static int run(struct ps *ps)
{
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    int code = ps->values->cluster ? look_at_cluster(ps) : look_at_host(ps);

    if (code == 0 && (ps->no_memory || !ps_sort(ps->processes))) {
        output_error("memory ran out");
        code = EXIT_CODE_FAILED;
    }
    if (code == 0) {
        if (ps->values->json)
            print_json(ps, &out);
        else if (ps->values->cluster)
            print_cluster(ps, &out);
        else
            print_host(ps, &out);
        code = output_flush(&out) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    }
    buf_done(&out);
    return code;
}

static int check_values(const struct ps_values *values)
{
    const struct cli_where *where = &values->where;

    if (values->cluster && (values->jobs || values->socket))
        return cli_usage_error("ps",
                               "--cluster shows no jobs and asks no droverd: leave --jobs and "
                               "--socket out");
    if (!values->cluster && (where->redis || where->prefix || where->password_file))
        return cli_usage_error("ps", "--redis, --prefix and --password-file go with --cluster");
    return 0;
}

static int cli_ps(int argc, char **argv)
{
    struct ps_values values = { 0 };
    struct ps ps = { .values = &values };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    enum cli_parsed parsed;
    int code;

    if (!words)
        return EXIT_CODE_FAILED;
    parsed = cli_parse("ps", argc, argv, &values, words, &ps.names_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    ps.names = words;
    ps.processes = json_array();
    ps.recoveries = json_array();
    code = check_values(&values);
    if (code == 0)
        code = ps.processes && ps.recoveries ? run(&ps) : EXIT_CODE_FAILED;
    json_decref(ps.processes);
    json_decref(ps.recoveries);
    totals_done(&ps.totals);
    return code;
}
