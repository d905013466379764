/* drover queue: what looks at a whole queue and changes nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/queue/settings.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/queues.h"
#include "supervisor/cli/verb.h"

#define POINTS_SHOWN 60

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};
static const struct cli_option plain_options[] = {
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

/* ---- the command itself: without a verb it explains them ---- */

static int cli_queue(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    const char *nearest;

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        struct buf out = BUF_INIT((size_t)64 * 1024);

        cli_print_help(cli_find_command(argv[0]), &out);
        (void)output_flush(&out); /* a failure was told */
        buf_done(&out);
        return EXIT_CODE_OK;
    }
    if (*word == '\0' || *word == '-')
        return cli_usage_error("queue", "needs a verb first: drover queue VERB");
    nearest = cli_nearest_verb("queue", word);
    if (nearest)
        return cli_usage_error("queue", "there is no verb %s; did you mean drover queue %s?", word,
                               nearest);
    return cli_usage_error("queue", "there is no verb %s", word);
}

const struct cli_command cli_queue_command = {
    .name = "queue",
    .summary = "looks at and steers queues: pause, drain, clean, retry, limits, schedulers, ...",
    .usage = "drover queue VERB [OPTION...] [QUEUE...]",
    .about = "What removes or changes many jobs asks first on a terminal, and elsewhere needs\n"
             "--yes; --dry-run says what it would do. Such work goes in bounded steps: ^C ends it\n"
             "between two of them, and the same command goes on from there.",
    .examples = "what waits, and why\ndrover queue show mail\n"
                "everything that failed with a timeout since this morning, once more\n"
                "drover queue retry mail --error ETIMEDOUT --newer-than 2026-11-22T06:00\n",
    .operands =
        (const struct cli_operand[]){ { .name = "VERB" },
                                      { .name = "QUEUE", .value = CLI_VALUE_QUEUE, .many = true } },
    .operands_count = 2,
    .run = cli_queue,
};

/* ---- list ---- */

static void on_counts(struct queue *queue, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (verb_answered(verb, call, "count the jobs"))
        *(struct queue_counts *)verb->state = *counts;
}

static int count_jobs(struct verb *verb, struct queue_counts *out)
{
    struct error err = { 0 };
    int code;

    verb->state = out;
    code = verb_finish(verb, queue_count_jobs(verb->queue, on_counts, verb, &err), &err,
                       "count the jobs");
    verb->state = NULL;
    return code;
}

static uint64_t all_of(const struct queue_counts *counts)
{
    uint64_t all = 0;

    for (size_t state = 0; state < QUEUE_STATE_COUNT; state++)
        all += queue_counts_of(counts, (enum queue_state)state);
    return all;
}

static void print_counts_json(const struct queue_counts *counts, struct buf *out)
{
    (void)buf_append_char(out, '{');
    for (size_t state = 0; state < QUEUE_STATE_COUNT; state++)
        output_member_number(out, state == 0, queue_state_name((enum queue_state)state),
                             queue_counts_of(counts, (enum queue_state)state));
    (void)buf_append_char(out, '}');
}

struct lister {
    struct verb *verb;
    struct output_table table;
    size_t count;
};

static int list_queue(struct lister *lister, const char *name)
{
    struct verb *verb = lister->verb;
    struct queue_counts counts = { 0 };
    int code = verb_change_queue(verb, name);

    if (code == 0)
        code = count_jobs(verb, &counts);
    if (code != 0)
        return code;
    if (verb->values.json) {
        (void)buf_append_text(&verb->out, lister->count > 0 ? "," : "");
        (void)buf_append_char(&verb->out, '{');
        output_member_text(&verb->out, true, "queue", name, strlen(name));
        output_member_text(&verb->out, false, "prefix", verb->session.endpoint->prefix,
                           strlen(verb->session.endpoint->prefix));
        (void)buf_printf(&verb->out,
                         ",\"paused\":%s,\"counts\":", counts.paused ? "true" : "false");
        print_counts_json(&counts, &verb->out);
        (void)buf_append_char(&verb->out, '}');
    } else {
        output_table_cell(&lister->table, name);
        output_table_cell(&lister->table, counts.paused ? "paused" : "running");
        output_table_number(&lister->table, all_of(&counts));
        output_table_number(&lister->table,
                            counts.waiting + counts.paused_list + counts.prioritized);
        output_table_number(&lister->table, counts.active);
        output_table_number(&lister->table, counts.delayed);
        output_table_number(&lister->table, counts.waiting_children);
        output_table_number(&lister->table, counts.completed);
        output_table_number(&lister->table, counts.failed);
    }
    lister->count++;
    return 0;
}

static int list_endpoint(struct lister *lister, const struct config_redis *endpoint)
{
    struct verb *verb = lister->verb;
    struct cli_names names = { 0 };
    int code = cli_session_open(&verb->session, &verb->target, endpoint);

    if (code == 0)
        code = cli_find_queues(&verb->session, &names);
    for (size_t i = 0; code == 0 && i < names.count; i++)
        code = list_queue(lister, names.items[i]);
    verb_close(verb);
    cli_names_done(&names);
    return code;
}

static int act_list(struct verb *verb)
{
    static const bool right[] = { false, false, true, true, true, true, true, true, true };
    static const char *const heads[] = { "QUEUE",   "IS",       "JOBS",      "WAITING", "ACTIVE",
                                         "DELAYED", "CHILDREN", "COMPLETED", "FAILED" };
    struct lister lister = { .verb = verb };
    const struct config *config = verb->target.config;
    int code = 0;

    output_table_init(&lister.table, ARRAY_SIZE(right), right);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&lister.table, heads[i]);
    (void)buf_append_text(&verb->out, verb->values.json ? "{\"queues\":[" : "");
    if (!config)
        code = list_endpoint(&lister, &verb->target.own);
    for (size_t i = 0; config && code == 0 && i < config->redis_count; i++)
        code = list_endpoint(&lister, &config->redis[i]);
    if (code != 0)
        buf_reset(&verb->out);
    else if (verb->values.json)
        (void)buf_append_text(&verb->out, "]}\n");
    else if (lister.count > 0)
        output_table_print(&lister.table, &verb->out);
    else
        (void)buf_append_text(&verb->out, "no queues\n");
    output_table_done(&lister.table);
    return code;
}

const struct cli_command cli_queue_list_verb = {
    .name = "queue list",
    .summary = "lists the queues, with how many jobs they have",
    .usage = "drover queue list [OPTION...]",
    .about = "Those of the configuration, or with --redis those that a client has made there.",
    .examples = "every queue of a Redis\ndrover queue list --redis redis://localhost:6379\n",
    .options = plain_options,
    .options_count = ARRAY_SIZE(plain_options),
    .run = cli_run_verb,
    .act = act_list,
};

/* ---- show ---- */

struct overview {
    struct verb *verb;
    struct queue_counts counts;
    struct queue_meta meta;
    char version[64];
    int64_t limit_ttl_ms;
    size_t workers, listeners;
    bool clients_known;
};

static void on_meta(struct queue *queue, const struct call_result *call,
                    const struct queue_meta *meta, void *arg)
{
    struct overview *overview = arg;

    (void)queue;
    if (!verb_answered(overview->verb, call, "read the settings"))
        return;
    overview->meta = *meta;
    (void)snprintf(overview->version, sizeof(overview->version), "%s", meta->version);
}

static void on_workers(struct queue *queue, const struct call_result *call,
                       const struct client_entry *clients, size_t count, void *arg)
{
    struct overview *overview = arg;

    (void)queue;
    (void)clients;
    /* A user without the right to CLIENT LIST may look at the rest. */
    overview->clients_known = call->outcome == REDIS_REPLY;
    overview->verb->answered = true;
    overview->workers = count;
}

static void on_listeners(struct queue *queue, const struct call_result *call,
                         const struct client_entry *clients, size_t count, void *arg)
{
    struct overview *overview = arg;

    (void)queue;
    (void)call;
    (void)clients;
    overview->verb->answered = true;
    overview->listeners = count;
}

static int read_overview(struct overview *overview)
{
    struct verb *verb = overview->verb;
    struct error err = { 0 };
    int code = count_jobs(verb, &overview->counts);

    if (code == 0)
        code = verb_finish(verb, queue_get_meta(verb->queue, on_meta, overview, &err), &err,
                           "read the settings");
    verb->state = &overview->limit_ttl_ms;
    if (code == 0)
        code = verb_finish(verb, queue_get_rate_limit_ttl(verb->queue, 0, verb_on_done, verb, &err),
                           &err, "read the rate limit");
    verb->state = NULL;
    if (code == 0)
        code = verb_finish(
            verb, queue_list_clients(verb->queue, CLIENT_WORKERS, on_workers, overview, &err), &err,
            "list the workers");
    if (code == 0)
        code = verb_finish(
            verb,
            queue_list_clients(verb->queue, CLIENT_QUEUE_EVENTS, on_listeners, overview, &err),
            &err, "list who listens");
    return code;
}

static void print_overview_json(const struct overview *overview, struct buf *out)
{
    const struct queue_meta *meta = &overview->meta;

    (void)buf_append_char(out, '{');
    output_member_text(out, true, "queue", overview->verb->queue_name,
                       strlen(overview->verb->queue_name));
    (void)buf_printf(out, ",\"paused\":%s", meta->paused ? "true" : "false");
    (void)buf_append_text(out, ",\"counts\":");
    print_counts_json(&overview->counts, out);
    output_member_number(out, false, "oldest_waiting_at_ms", overview->counts.oldest_waiting_at_ms);
    output_member_number(out, false, "concurrency", meta->concurrency);
    output_member_number(out, false, "limit_max", meta->limit_max);
    output_member_number(out, false, "limit_duration_ms", meta->limit_duration_ms);
    output_member_number(out, false, "limited_for_ms",
                         overview->limit_ttl_ms > 0 ? (uint64_t)overview->limit_ttl_ms : 0);
    output_member_number(out, false, "events_max", meta->events_max);
    output_member_text(out, false, "version", overview->version, strlen(overview->version));
    if (overview->clients_known) {
        output_member_number(out, false, "workers", overview->workers);
        output_member_number(out, false, "listeners", overview->listeners);
    }
    (void)buf_append_text(out, "}\n");
}

/* Why what waits does not run, in the order in which it would have to be mended. */
static void print_reasons(const struct overview *overview, struct buf *out)
{
    const struct queue_counts *counts = &overview->counts;
    char age[OUTPUT_AGE_BYTES];

    if (counts->waiting + counts->paused_list + counts->prioritized == 0)
        return;
    if (overview->meta.paused)
        (void)buf_append_text(out, "  What waits is held: the queue is paused.\n");
    if (overview->clients_known && overview->workers == 0)
        (void)buf_append_text(out, "  What waits is held: no worker is connected.\n");
    if (overview->meta.concurrency > 0 && counts->active >= overview->meta.concurrency)
        (void)buf_append_text(out, "  What waits is held: as many jobs run as may at once.\n");
    if (overview->limit_ttl_ms > 0)
        (void)buf_printf(out, "  What waits is held by the rate limit for %s more.\n",
                         output_age((uint64_t)overview->limit_ttl_ms, age));
}

static void print_setting(struct buf *out, const char *label, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void print_setting(struct buf *out, const char *label, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    (void)buf_printf(out, "  %-17s ", label);
    output_text(out, text, strlen(text));
    (void)buf_append_char(out, '\n');
}

static void print_overview(const struct overview *overview, struct buf *out)
{
    const struct queue_meta *meta = &overview->meta;
    const struct queue_counts *counts = &overview->counts;
    char age[OUTPUT_AGE_BYTES];
    uint64_t now_ms = clock_wall_ms();

    (void)buf_append_text(out, "Queue ");
    output_text(out, overview->verb->queue_name, strlen(overview->verb->queue_name));
    (void)buf_printf(out, ": %s\n", meta->paused ? "paused" : "running");
    print_reasons(overview, out);
    for (size_t state = 0; state < QUEUE_STATE_COUNT; state++)
        print_setting(out, queue_state_name((enum queue_state)state), "%" PRIu64,
                      queue_counts_of(counts, (enum queue_state)state));
    if (counts->oldest_waiting_at_ms > 0 && counts->oldest_waiting_at_ms < now_ms)
        print_setting(out, "oldest waits", "%s",
                      output_age(now_ms - counts->oldest_waiting_at_ms, age));
    if (meta->concurrency > 0)
        print_setting(out, "at once", "%" PRIu64 " jobs at most, all workers together",
                      meta->concurrency);
    if (meta->limit_max > 0)
        print_setting(out, "rate limit", "%" PRIu64 " jobs in %s", meta->limit_max,
                      output_age(meta->limit_duration_ms, age));
    if (overview->clients_known) {
        print_setting(out, "workers", "%zu connected", overview->workers);
        print_setting(out, "listeners", "%zu connected", overview->listeners);
    }
    if (meta->events_max > 0)
        print_setting(out, "events kept", "about %" PRIu64, meta->events_max);
    if (*overview->version)
        print_setting(out, "made by", "%s", overview->version);
}

static int act_show(struct verb *verb)
{
    struct overview overview = { .verb = verb };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code == 0)
        code = read_overview(&overview);
    if (code != 0)
        return code;
    if (verb->values.json)
        print_overview_json(&overview, &verb->out);
    else
        print_overview(&overview, &verb->out);
    return 0;
}

const struct cli_command cli_queue_show_verb = VERB_ROW(
    "queue show", "shows a queue: its jobs by state, its settings, and why what waits does not run",
    "drover queue show [OPTION...] QUEUE", "",
    "what waits, and why\ndrover queue show mail\n"
    "for a script\ndrover queue show mail --json | jq .counts.failed\n",
    plain_options, queue_operand, 1, 1, act_show);

/* ---- priorities ---- */

static const struct cli_operand priorities_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "PRIORITY", .many = true },
};

struct priorities {
    struct verb *verb;
    uint64_t asked[QUEUE_PRIORITIES_MAX];
    size_t count;
};

static void on_priorities(struct queue *queue, const struct call_result *call,
                          const uint64_t *counts, size_t count, void *arg)
{
    struct priorities *priorities = arg;
    struct verb *verb = priorities->verb;

    (void)queue;
    if (!verb_answered(verb, call, "count the jobs"))
        return;
    for (size_t i = 0; i < count; i++) {
        if (verb->values.json)
            (void)buf_printf(&verb->out, "%s\"%" PRIu64 "\":%" PRIu64, i > 0 ? "," : "{",
                             priorities->asked[i], counts[i]);
        else
            (void)buf_printf(&verb->out, "%" PRIu64 " %" PRIu64 "\n", priorities->asked[i],
                             counts[i]);
    }
    (void)buf_append_text(&verb->out, verb->values.json ? "}\n" : "");
}

static int act_priorities(struct verb *verb)
{
    struct priorities priorities = { .verb = verb, .count = verb->words_count - 1 };
    struct error err = { 0 };
    int code = 0;

    for (size_t i = 0; i < priorities.count && code == 0; i++)
        code = verb_parse_number(verb, "PRIORITY", verb->words[i + 1], &priorities.asked[i]);
    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    return code
               ? code
               : verb_finish(verb,
                             queue_count_priorities(verb->queue, priorities.asked, priorities.count,
                                                    on_priorities, &priorities, &err),
                             &err, "count the jobs");
}

const struct cli_command cli_queue_priorities_verb =
    VERB_ROW("queue priorities", "counts the jobs that wait with some priorities",
             "drover queue priorities [OPTION...] QUEUE PRIORITY...",
             "0 stands for jobs without a priority, which run before all others.",
             "an example\ndrover queue priorities mail 0 1 5\n", plain_options, priorities_operands,
             2, QUEUE_PRIORITIES_MAX + 1, act_priorities);

/* ---- metrics ---- */

static const struct cli_option metrics_options[] = {
    { .name = "of",
      .kind = CLI_TEXT,
      .arg = "STATE",
      .value = CLI_VALUE_WORDS,
      .words = "completed failed",
      VERB_AT(metrics),
      .help = "completed (unless given) or failed" },
    { .name = "limit",
      .letter = 'l',
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(limit),
      .help = "at most N minutes, the newest; 60 unless given" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static void print_metrics(const struct queue_metrics *metrics, const char *of, struct buf *out)
{
    char time[OUTPUT_TIME_BYTES];

    (void)buf_printf(out, "%" PRIu64 " jobs %s, %" PRIu64 " minutes kept\n", metrics->count, of,
                     metrics->points_total);
    for (size_t i = 0; i < metrics->points_count; i++) {
        uint64_t at_ms = metrics->prev_at_ms > i * 60000 ? metrics->prev_at_ms - i * 60000 : 0;

        (void)buf_printf(out, "  %.16s  %" PRIu64 "\n", output_time(at_ms, time),
                         metrics->points[i]);
    }
}

static void on_metrics(struct queue *queue, const struct call_result *call,
                       const struct queue_metrics *metrics, void *arg)
{
    struct verb *verb = arg;
    const char *of = verb->values.metrics ? verb->values.metrics : "completed";

    (void)queue;
    if (!verb_answered(verb, call, "read the metrics"))
        return;
    if (!verb->values.json) {
        print_metrics(metrics, of, &verb->out);
        return;
    }
    (void)buf_append_char(&verb->out, '{');
    output_member_text(&verb->out, true, "of", of, strlen(of));
    output_member_number(&verb->out, false, "count", metrics->count);
    output_member_number(&verb->out, false, "prev_at_ms", metrics->prev_at_ms);
    output_member_number(&verb->out, false, "prev_count", metrics->prev_count);
    output_member_number(&verb->out, false, "points_total", metrics->points_total);
    (void)buf_append_text(&verb->out, ",\"points\":[");
    for (size_t i = 0; i < metrics->points_count; i++)
        (void)buf_printf(&verb->out, "%s%" PRIu64, i > 0 ? "," : "", metrics->points[i]);
    (void)buf_append_text(&verb->out, "]}\n");
}

static int act_metrics(struct verb *verb)
{
    const char *of = verb->values.metrics ? verb->values.metrics : "completed";
    uint64_t count = verb->values.limit.given ? verb->values.limit.value : POINTS_SHOWN;
    enum queue_state state;
    struct error err = { 0 };
    int code;

    if (queue_state_parse(of, &state, &err) < 0 ||
        (state != QUEUE_STATE_COMPLETED && state != QUEUE_STATE_FAILED))
        return verb_usage_error(verb, "--of is completed or failed, not \"%s\"", of);
    code = verb_open_queue(verb, verb->words[0]);
    return code ? code
                : verb_finish(
                      verb, queue_get_metrics(verb->queue, state, 0, count, on_metrics, verb, &err),
                      &err, "read the metrics");
}

const struct cli_command cli_queue_metrics_verb =
    VERB_ROW("queue metrics", "shows how many jobs ended in each minute",
             "drover queue metrics [OPTION...] QUEUE",
             "Where workers keep metrics (drover's with `metrics:`, stock ones with their option).",
             "the last ten minutes of failures\ndrover queue metrics mail --of failed --limit 10\n",
             metrics_options, queue_operand, 1, 1, act_metrics);
