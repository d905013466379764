/* drover status: how many jobs are in each state, queue by queue. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queues.h"
#include "supervisor/cli/totals.h"

#define OUTPUT_BYTES_MAX  ((size_t)16 * 1024 * 1024)
#define WATCH_EVERY_MS    1000
#define WATCH_EVERY_LEAST 100
#define ENDPOINTS_MAX     8
#define MASTER_MS         2000 /* for droverd, whose answer is an extra */

struct status_values {
    struct cli_where where;
    struct cli_number every;
    const char *socket;
    bool json, watch;
};

#define AT(member) .at = offsetof(struct status_values, member)
static const struct cli_option options[] = {
    { .name = "watch",
      .letter = 'w',
      .kind = CLI_FLAG,
      AT(watch),
      .help = "again and again, until Ctrl-C" },
    { .name = "every",
      .kind = CLI_DURATION,
      .arg = "TIME",
      AT(every),
      .help = "with --watch: how often; 1s unless given" },
    { .name = "json",
      .kind = CLI_FLAG,
      AT(json),
      .help = "for programs; with --watch a line each time" },
    CLI_SOCKET_OPTION(struct status_values, socket),
    CLI_WHERE_OPTIONS(struct status_values),
};

static const struct cli_operand operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE, .many = true },
};

static int cli_status(int argc, char **argv);

const struct cli_command cli_status_command = {
    .name = "status",
    .summary = "shows the jobs of each queue by state, and how many workers are seen",
    .usage = "drover status [OPTION...] [QUEUE...]",
    .about =
        "WAITING counts what runs as soon as a worker is free, also while the queue is paused;\n"
        "PRIORITIZED waits too, after it. OLDEST is the age of the job that runs next.\n"
        "WORKERS are connections of worker processes, stock BullMQ ones included.\n"
        "Where droverd of this host lets us look, its processes that are not yet recovered are\n"
        "listed: dead, and the jobs that they ran are not given back. So are the totals of what\n"
        "its processes have done; COMPLETED and FAILED above are what Redis keeps.",
    .examples = "all queues of the configuration\ndrover status\n"
                "one of them, all the time\ndrover status mail --watch\n"
                "every queue of a Redis\ndrover status --redis redis://localhost:6379\n"
                "for a script\ndrover status mail --json | jq '.queues[0].waiting'\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_status,
};

/* What is known of one queue at one look. */
struct status_row {
    struct queue_counts counts;
    uint64_t workers;
    bool workers_known;
};

struct status {
    const struct status_values *values;
    struct cli_target target;
    const char **names; /* asked for; none: all */
    size_t names_count;
    struct cli_session sessions[ENDPOINTS_MAX];
    size_t sessions_count;
    struct output_table table;
    struct buf json;
    size_t rows;

    /* Of the call under way. */
    bool answered;
    int code;
    struct cli_session *session;
    struct queue_counts counts;
    char what[256];
};

/* ---- one queue ---- */

static void on_counts(struct queue *queue, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    struct status *status = arg;

    (void)queue;
    status->answered = true;
    if (call->outcome != REDIS_REPLY)
        status->code = cli_call_failed(status->session, call, status->what);
    else
        status->counts = *counts;
}

static uint64_t oldest_age_ms(const struct queue_counts *counts)
{
    uint64_t now_ms = clock_wall_ms();

    return counts->oldest_waiting_at_ms > 0 && counts->oldest_waiting_at_ms < now_ms
               ? now_ms - counts->oldest_waiting_at_ms
               : 0;
}

static void print_row(struct status *status, const char *name, const struct status_row *row)
{
    const struct queue_counts *counts = &row->counts;
    struct output_table *table = &status->table;
    char age[OUTPUT_AGE_BYTES];

    output_table_cell(table, name);
    output_table_number(table, counts->waiting + counts->paused_list);
    output_table_number(table, counts->prioritized);
    output_table_number(table, counts->active);
    output_table_number(table, counts->delayed);
    output_table_number(table, counts->waiting_children);
    output_table_number(table, counts->failed);
    output_table_number(table, counts->completed);
    if (row->workers_known)
        output_table_number(table, row->workers);
    else
        output_table_cell(table, "-");
    output_table_cell(
        table, counts->oldest_waiting_at_ms > 0 ? output_age(oldest_age_ms(counts), age) : "-");
    output_table_cell(table, counts->paused ? "paused" : "");
}

static void print_row_json(struct status *status, const char *name, const struct status_row *row)
{
    const struct queue_counts *counts = &row->counts;
    struct buf *out = &status->json;

    (void)buf_append_text(out, status->rows > 0 ? ",{" : "{");
    output_member_text(out, true, "queue", name, strlen(name));
    output_member_number(out, false, "waiting", counts->waiting + counts->paused_list);
    output_member_number(out, false, "prioritized", counts->prioritized);
    output_member_number(out, false, "active", counts->active);
    output_member_number(out, false, "delayed", counts->delayed);
    output_member_number(out, false, "waiting_children", counts->waiting_children);
    output_member_number(out, false, "failed", counts->failed);
    output_member_number(out, false, "completed", counts->completed);
    (void)buf_printf(out, ",\"paused\":%s", counts->paused ? "true" : "false");
    if (row->workers_known)
        output_member_number(out, false, "workers", row->workers);
    else
        (void)buf_append_text(out, ",\"workers\":null");
    if (counts->oldest_waiting_at_ms > 0) {
        output_member_number(out, false, "oldest_waiting_at_ms", counts->oldest_waiting_at_ms);
        output_member_number(out, false, "oldest_waiting_age_ms", oldest_age_ms(counts));
    } else {
        (void)buf_append_text(out, ",\"oldest_waiting_at_ms\":null,\"oldest_waiting_age_ms\":null");
    }
    (void)buf_append_char(out, '}');
}

static int look_at_queue(struct status *status, struct cli_session *session, const char *name,
                         const struct cli_clients *clients)
{
    struct status_row row = { .workers_known = clients->list != NULL };
    struct queue *queue = NULL;
    struct error err = { 0 };
    char *base;

    if (queue_new(session->endpoint->prefix, name, session->redis, &queue, &err) < 0)
        return cli_usage_error("status", "%s", err.text);
    (void)snprintf(status->what, sizeof(status->what), "count the jobs of queue %.200s", name);
    status->answered = false;
    status->session = session;
    status->code = EXIT_CODE_OK;
    if (queue_count_jobs(queue, on_counts, status, &err) < 0)
        status->code = cli_call_refused(session, &err, status->what);
    else
        cli_session_wait(session, &status->answered);
    row.counts = status->counts;
    base = queue_worker_client_name(queue, NULL);
    if (base)
        row.workers = cli_count_workers(clients, base);
    free(base);
    queue_free(queue);
    if (status->code != EXIT_CODE_OK)
        return status->code;
    if (status->values->json)
        print_row_json(status, name, &row);
    else
        print_row(status, name, &row);
    status->rows++;
    return 0;
}

/* ---- this host ---- */

static void on_master_row(json_t *row, void *arg)
{
    json_t **recoveries = arg;

    if (!*recoveries)
        *recoveries = json_incref(json_object_get(row, "recoveries"));
}

/* The dead whose jobs are not given back yet, an array (new). NULL when no droverd of this host
 * lets us look: the queues are there all the same, so nothing is said of it. */
static json_t *look_at_master(const struct status *status, struct totals *out_totals)
{
    const struct cli_where *where = &status->values->where;
    struct control_client client;
    json_t *recoveries = NULL, *end = NULL;
    struct error err;

    if (where->redis && !status->values->socket)
        return NULL; /* another Redis than the one of this host's droverd */
    if (control_client_init(&client, status->values->socket, where->config, &err) >= 0 &&
        control_client_connect(&client, &err) >= 0 &&
        control_client_ask(&client, json_pack("{s:s}", "verb", "status"), MASTER_MS, on_master_row,
                           &recoveries, &end, &err) < 0) {
        json_decref(recoveries);
        recoveries = NULL;
    }
    if (recoveries)
        totals_ask(&client, status->names, status->names_count, out_totals);
    control_client_done(&client);
    json_decref(end);
    return recoveries;
}

static void print_recoveries(const json_t *recoveries, struct buf *out)
{
    size_t count = json_array_size(recoveries);

    if (count == 0)
        return;
    (void)buf_printf(out, "%snot yet recovered: %zu dead process%s of this host\n",
                     out->len > 0 ? "\n" : "", count, count == 1 ? "" : "es");
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(recoveries, i);
        const char *const texts[] = { control_text(row, "uuid"), control_text(row, "queue"),
                                      control_text(row, "cause") };

        for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
            (void)buf_append_text(out, "  ");
            output_text(out, texts[n], strlen(texts[n]));
        }
        (void)buf_append_char(out, '\n');
    }
}

static void print_recoveries_json(const json_t *recoveries, struct buf *out)
{
    char *text = recoveries ? json_dumps(recoveries, JSON_COMPACT) : NULL;

    (void)buf_printf(out, ",\"recoveries\":%s", text ? text : "null");
    free(text);
}

static void print_totals_json(const struct totals *totals, struct buf *out)
{
    json_t *object = json_object();
    char *text = NULL;

    if (object) {
        totals_add_json(totals, object);
        text = json_dumps(object, JSON_COMPACT);
    }
    if (text) /* its members, without the braces */
        (void)buf_printf(out, ",%.*s", (int)strlen(text) - 2, text + 1);
    out->failed = out->failed || !text;
    free(text);
    json_decref(object);
}

/* ---- all queues ---- */

static int look_at_endpoint(struct status *status, struct cli_session *session)
{
    struct cli_clients clients = { 0 };
    struct cli_names names = { 0 };
    int code = cli_pick_queues(session, status->names, status->names_count, &names);

    if (code == 0 && names.count > 0)
        code = cli_list_clients(session, &clients);
    for (size_t i = 0; code == 0 && i < names.count; i++)
        code = look_at_queue(status, session, names.items[i], &clients);
    free(clients.list);
    cli_names_done(&names);
    return code;
}

static void start_table(struct status *status)
{
    static const bool right[] = {
        false, true, true, true, true, true, true, true, true, true, false
    };
    static const char *const heads[] = { "QUEUE",   "WAITING", "PRIORITIZED", "ACTIVE",  "DELAYED",
                                         "PARENTS", "FAILED",  "COMPLETED",   "WORKERS", "OLDEST",
                                         "" };

    output_table_init(&status->table, ARRAY_SIZE(heads), right);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&status->table, heads[i]);
}

static bool print_look(struct status *status)
{
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    struct totals totals = { 0 };
    json_t *recoveries = look_at_master(status, &totals);
    bool good;

    if (status->values->json) {
        (void)buf_printf(&out, "{\"at_ms\":%" PRIu64 ",\"queues\":[%s]", clock_wall_ms(),
                         buf_text(&status->json));
        print_recoveries_json(recoveries, &out);
        print_totals_json(&totals, &out);
        (void)buf_append_text(&out, "}\n");
    } else {
        if (status->values->watch && isatty(STDOUT_FILENO))
            (void)buf_append_text(&out, "\x1b[H\x1b[2J");
        output_table_print(&status->table, &out);
        if (status->rows == 0)
            (void)buf_append_text(&out, "no queue here yet\n");
        print_recoveries(recoveries, &out);
        totals_print(&totals, &out);
    }
    good = output_flush(&out);
    buf_done(&out);
    json_decref(recoveries);
    totals_done(&totals);
    return good;
}

/* One look at everything. */
static int look(struct status *status)
{
    int code = 0;

    status->rows = 0;
    buf_init(&status->json, OUTPUT_BYTES_MAX);
    start_table(status);
    for (size_t i = 0; code == 0 && i < status->sessions_count; i++)
        code = look_at_endpoint(status, &status->sessions[i]);
    if (code == 0 && !print_look(status))
        code = EXIT_CODE_FAILED;
    output_table_done(&status->table);
    buf_done(&status->json);
    return code;
}

/* ---- the command ---- */

static int open_session(struct status *status, const struct config_redis *endpoint)
{
    if (status->sessions_count == ENDPOINTS_MAX) {
        output_error("more than %d Redis servers: name some queues", ENDPOINTS_MAX);
        return EXIT_CODE_FAILED;
    }
    return cli_session_open(&status->sessions[status->sessions_count++], &status->target, endpoint);
}

static int open_sessions(struct status *status)
{
    const struct cli_target *target = &status->target;
    int code = cli_check_names(target, status->names, status->names_count);

    if (code == 0 && !target->config)
        return open_session(status, &target->own);
    for (size_t i = 0; code == 0 && i < target->config->redis_count; i++) {
        const struct config_redis *endpoint = &target->config->redis[i];

        if (cli_is_wanted(target, status->names, status->names_count, endpoint))
            code = open_session(status, endpoint);
    }
    return code;
}

static int run(struct status *status)
{
    uint64_t every_ms = status->values->every.given ? status->values->every.value : WATCH_EVERY_MS;
    int code = open_sessions(status);

    if (code == 0)
        code = look(status);
    while (code == 0 && status->values->watch) {
        if (status->sessions_count == 0)
            break;
        cli_session_sleep(&status->sessions[0], every_ms);
        code = look(status);
    }
    return code;
}

static int cli_status(int argc, char **argv)
{
    struct status_values values = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    _cleanup_(freep) struct status *status = calloc(1, sizeof(*status));
    enum cli_parsed parsed;
    int code;

    if (!words || !status)
        return EXIT_CODE_FAILED;
    parsed = cli_parse("status", argc, argv, &values, words, &status->names_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (values.every.given && !values.watch)
        return cli_usage_error("status", "--every goes with --watch");
    if (values.every.given && values.every.value < WATCH_EVERY_LEAST)
        return cli_usage_error("status", "--every must be at least %dms", WATCH_EVERY_LEAST);
    status->values = &values;
    status->names = words;
    code = cli_target_init(&status->target, "status", &values.where);
    if (code == 0)
        code = run(status);
    for (size_t i = 0; i < status->sessions_count; i++)
        cli_session_close(&status->sessions[i]);
    cli_target_done(&status->target);
    return code;
}
