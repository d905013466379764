/* drover job: everything that Redis knows of one job. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/job_story.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/queues.h"

#define OUTPUT_BYTES_MAX ((size_t)512 * 1024 * 1024) /* one job with its data */
#define LOGS_SHOWN       "-20"                       /* LRANGE from here */
#define EVENTS_LOOKED_AT 50000

struct job_values {
    struct cli_where where;
    const char *queue;
    bool full, json;
};

#define AT(member) .at = offsetof(struct job_values, member)
static const struct cli_option options[] = {
    { .name = "queue",
      .letter = 'q',
      .kind = CLI_TEXT,
      .arg = "QUEUE",
      .value = CLI_VALUE_QUEUE,
      AT(queue),
      .help = "its queue; without it all queues are looked through" },
    { .name = "full", .kind = CLI_FLAG, AT(full), .help = "long texts are not cut" },
    { .name = "json", .kind = CLI_FLAG, AT(json), .help = "for programs; nothing is cut" },
    CLI_WHERE_OPTIONS(struct job_values),
};

static const struct cli_operand operands[] = {
    { .name = "ID" },
};

static const struct cli_operand command_operands[] = {
    { .name = "ID" },
    { .name = "VERB", .many = true },
};

static int cli_job(int argc, char **argv);

#define ABOUT                                                                            \
    "The story is what the queue's event stream still holds of the job; the stream is\n" \
    "short (10,000 events unless set otherwise), so an old job may have none left."

const struct cli_command cli_job_command = {
    .name = "job",
    .summary = "shows a job with its story, or does something to it: retry, promote, remove, ...",
    .usage = "drover job [OPTION...] ID\n"
             "drover job VERB [OPTION...] ID...",
    .about = ABOUT "\nAn id that is the name of a verb is shown by drover job show ID.",
    .examples = "why did it fail?\ndrover job 4711 -q mail\n"
                "its data, as it is stored\ndrover job 4711 -q mail --json | jq .data\n"
                "without a configuration\n"
                "drover job 4711 -q mail --redis redis://localhost:6379\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = command_operands,
    .operands_count = ARRAY_SIZE(command_operands),
    .run = cli_job,
};

const struct cli_command cli_job_show_verb = {
    .name = "job show",
    .summary = "shows one job: state, times, attempts, data, failure, log, and its story",
    .usage = "drover job show [OPTION...] ID",
    .about = ABOUT,
    .examples = "why did it fail?\ndrover job show 4711 -q mail\n",
    .options = options,
    .options_count = ARRAY_SIZE(options),
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_job,
};

struct viewer {
    const struct job_values *values;
    struct cli_target target;
    struct cli_session session;
    struct job_record record;
    bool found;

    /* Of the call under way. */
    bool answered;
    int code;
};

/* ---- reading ---- */

static void no_memory(struct viewer *viewer)
{
    output_error("memory ran out");
    viewer->code = EXIT_CODE_FAILED;
}

static void on_view(struct queue *queue, const struct call_result *call,
                    const struct job_view *view, void *arg)
{
    struct viewer *viewer = arg;

    (void)queue;
    viewer->answered = true;
    if (call->outcome != REDIS_REPLY) {
        viewer->code = cli_call_failed(&viewer->session, call, "read the job");
        return;
    }
    viewer->found = view != NULL;
    if (view && !job_record_take_view(&viewer->record, view))
        no_memory(viewer);
}

static void on_history(struct queue *queue, const struct call_result *call,
                       const struct job_event *events, size_t count, void *arg)
{
    struct viewer *viewer = arg;

    (void)queue;
    viewer->answered = true;
    if (call->outcome != REDIS_REPLY)
        viewer->code = cli_call_failed(&viewer->session, call, "read the job's events");
    else if (!job_record_take_events(&viewer->record, events, count))
        no_memory(viewer);
}

static void on_logs(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct viewer *viewer = arg;
    struct job_record *record = &viewer->record;
    struct call_result call = { .outcome = outcome, .why = why };

    (void)redis;
    viewer->answered = true;
    if (outcome != REDIS_REPLY) {
        call.error_class = outcome == REDIS_REFUSED ? redis_error_class(reply) : REDIS_CLASS_NONE;
        viewer->code = cli_call_failed(&viewer->session, &call, "read the job's log");
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return;
    record->logs = calloc(reply->elements, sizeof(*record->logs));
    for (size_t i = 0; record->logs && i < reply->elements; i++) {
        record->logs[i] = strdup(reply->element[i]->str ? reply->element[i]->str : "");
        if (!record->logs[i])
            break;
        record->logs_kept++;
    }
    if (record->logs_kept < reply->elements)
        no_memory(viewer);
}

/* Runs the loop until the call that returned `r` is answered. */
static int finish(struct viewer *viewer, int r, const struct error *err, const char *what)
{
    if (r < 0)
        return cli_call_refused(&viewer->session, err, what);
    cli_session_wait(&viewer->session, &viewer->answered);
    return viewer->code;
}

static int read_logs(struct viewer *viewer, const struct queue *queue)
{
    struct buf key = BUF_INIT((size_t)1024 * 1024);
    struct error err = { 0 };
    int code;

    if (viewer->record.logs_count == 0)
        return 0;
    (void)buf_printf(&key, "%s%s:logs", queue_key_prefix(queue), viewer->record.id);
    viewer->answered = false;
    if (!viewer->session.redis)
        code = finish(viewer, error_set(&err, -ENOTCONN, "not connected"), &err, "read the log");
    else {
        const char *argv[] = { "LRANGE", buf_text(&key), LOGS_SHOWN, "-1" };

        code = finish(viewer,
                      redis_command(viewer->session.redis, ARRAY_SIZE(argv), argv, NULL, 0, on_logs,
                                    viewer, &err),
                      &err, "read the log");
    }
    buf_done(&key);
    return code;
}

/* Looks for the job in this queue; viewer->found tells. */
static int read_job(struct viewer *viewer, const char *queue_name, const char *id)
{
    struct queue *queue = NULL;
    struct error err = { 0 };
    int code;

    if (queue_new(viewer->session.endpoint->prefix, queue_name, viewer->session.redis, &queue,
                  &err) < 0)
        return cli_usage_error("job", "%s", err.text);
    viewer->record.queue = queue_name;
    viewer->record.id = id;
    viewer->answered = false;
    code = finish(viewer, queue_view_job(queue, id, on_view, viewer, &err), &err, "read the job");
    if (code == 0 && viewer->found)
        code = read_logs(viewer, queue);
    if (code == 0 && viewer->found) {
        queue_set_redis(queue, viewer->session.redis);
        viewer->answered = false;
        code =
            finish(viewer, queue_job_history(queue, id, EVENTS_LOOKED_AT, on_history, viewer, &err),
                   &err, "read the job's events");
    }
    queue_free(queue);
    return code;
}

/* ---- showing ---- */

static int show(struct viewer *viewer)
{
    struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);
    int code = EXIT_CODE_OK;

    if (viewer->values->json)
        job_record_print_json(&viewer->record, &out);
    else
        job_record_print(&viewer->record, viewer->values->full, &out);
    if (!output_flush(&out))
        code = EXIT_CODE_FAILED;
    buf_done(&out);
    return code;
}

/* One endpoint: the named queue, or all that it has. Each find is shown. */
static int look_through(struct viewer *viewer, const struct config_redis *endpoint, const char *id,
                        size_t *shown)
{
    struct cli_names names = { 0 };
    int code = cli_session_open(&viewer->session, &viewer->target, endpoint);

    if (code == 0 && viewer->values->queue) {
        if (!cli_names_add(&names, viewer->values->queue, strlen(viewer->values->queue)))
            code = EXIT_CODE_FAILED;
    } else if (code == 0) {
        code = cli_find_queues(&viewer->session, &names);
    }
    for (size_t i = 0; code == 0 && i < names.count; i++) {
        viewer->found = false;
        code = read_job(viewer, names.items[i], id);
        if (code == 0 && viewer->found) {
            if (*shown > 0 && !viewer->values->json)
                (void)putchar('\n');
            code = show(viewer);
            (*shown)++;
        }
        job_record_done(&viewer->record);
    }
    cli_names_done(&names);
    cli_session_close(&viewer->session);
    return code;
}

static int run(struct viewer *viewer, const char *id)
{
    const struct config *config = viewer->target.config;
    const struct config_queue *queue;
    const struct config_redis *endpoint;
    size_t shown = 0;
    int code = 0;

    if (viewer->values->queue) {
        code = cli_target_find(&viewer->target, viewer->values->queue, &endpoint, &queue);
        if (code == 0)
            code = look_through(viewer, endpoint, id, &shown);
    } else if (!config) {
        code = look_through(viewer, &viewer->target.own, id, &shown);
    } else {
        for (size_t i = 0; code == 0 && i < config->redis_count; i++)
            code = look_through(viewer, &config->redis[i], id, &shown);
    }
    if (code != 0 || shown > 0)
        return code;
    output_error("there is no job %s in %s%s\nit may have been removed after it ended (keep rules)",
                 id, viewer->values->queue ? "queue " : "any queue",
                 viewer->values->queue ? viewer->values->queue : "");
    return EXIT_CODE_FAILED;
}

static int cli_job(int argc, char **argv)
{
    struct job_values values = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    struct viewer viewer = { .values = &values };
    const char *nearest;
    size_t words_count = 0;
    enum cli_parsed parsed;
    int code;

    if (!words)
        return EXIT_CODE_FAILED;
    parsed = cli_parse(argv[0], argc, argv, &values, words, &words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (words_count > 1 && cli_find_verb("job", words[0]))
        return cli_usage_error("job", "the verb comes first: drover job %s", words[0]);
    if (words_count > 1 && (nearest = cli_nearest_verb("job", words[0])))
        return cli_usage_error("job", "there is no verb %s; did you mean drover job %s?", words[0],
                               nearest);
    if (words_count != 1 || !*words[0])
        return cli_usage_error(argv[0], "needs one ID");
    code = cli_target_init(&viewer.target, argv[0], &values.where);
    if (code == 0)
        code = run(&viewer, words[0]);
    cli_target_done(&viewer.target);
    return code;
}
