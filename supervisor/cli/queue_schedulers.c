/* drover queue: job schedulers: listed, made or replaced, removed. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/queue/add.h"
#include "common/queue/scheduler.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/select.h"
#include "supervisor/cli/verb.h"

#define PAGE          100
#define OPTIONS_BYTES ((size_t)64 * 1024)

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ text, text ? strlen(text) : 0 };
}

/* ---- list ---- */

static const struct cli_option list_options[] = {
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand list_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "ID" },
};

struct lister {
    struct verb *verb;
    struct output_table table;
    size_t count;      /* so far */
    size_t page_count; /* of the last page */
};

static void member_bytes(struct buf *out, const char *name, struct bytes text)
{
    if (text.data)
        output_member_text(out, false, name, text.data, text.len);
}

static void member_json(struct buf *out, const char *name, struct bytes json)
{
    if (json.data)
        (void)buf_printf(out, ",\"%s\":%s", name, json.data);
}

static void print_entry_json(const struct lister *lister, const struct scheduler_entry *entry)
{
    struct buf *out = &lister->verb->out;

    (void)buf_append_text(out, lister->count > 0 ? ",\n{" : "\n{");
    output_member_text(out, true, "id", entry->id.data, entry->id.len);
    member_bytes(out, "name", entry->name);
    member_bytes(out, "cron", entry->pattern);
    member_bytes(out, "zone", entry->tz);
    if (entry->every_ms > 0)
        output_member_number(out, false, "every_ms", entry->every_ms);
    if (entry->offset_ms > 0)
        output_member_number(out, false, "offset_ms", entry->offset_ms);
    output_member_number(out, false, "next_at_ms", entry->next_at_ms);
    output_member_number(out, false, "iterations", entry->iterations);
    if (entry->has_limit)
        output_member_number(out, false, "limit", entry->limit);
    if (entry->start_at_ms > 0)
        output_member_number(out, false, "start_at_ms", entry->start_at_ms);
    if (entry->end_at_ms > 0)
        output_member_number(out, false, "end_at_ms", entry->end_at_ms);
    member_json(out, "data", entry->data);
    member_json(out, "opts", entry->opts);
    (void)buf_printf(out, ",\"legacy\":%s}", entry->legacy ? "true" : "false");
}

static void cell_bytes(struct output_table *table, struct bytes text)
{
    char cell[256];

    (void)snprintf(cell, sizeof(cell), "%.*s", text.data ? (int)text.len : 1,
                   text.data ? text.data : "-"); /* may be cut */
    output_table_cell(table, cell);
}

static void print_entry(struct lister *lister, const struct scheduler_entry *entry)
{
    char text[256], age[OUTPUT_AGE_BYTES];

    cell_bytes(&lister->table, entry->id);
    if (entry->pattern.data)
        (void)snprintf(text, sizeof(text), "cron %s%s%s", entry->pattern.data,
                       entry->tz.data ? " " : "", entry->tz.data ? entry->tz.data : "");
    else
        (void)snprintf(text, sizeof(text), "every %s", output_age(entry->every_ms, age));
    output_table_cell(&lister->table, text);
    output_table_cell(&lister->table, output_time(entry->next_at_ms, text));
    if (entry->has_limit)
        (void)snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64, entry->iterations,
                       entry->limit);
    else
        (void)snprintf(text, sizeof(text), "%" PRIu64, entry->iterations);
    output_table_cell(&lister->table, text);
    cell_bytes(&lister->table, entry->name);
    output_table_cell(&lister->table, entry->legacy ? "legacy" : "");
}

static void on_schedulers(struct queue *queue, const struct call_result *call,
                          const struct scheduler_entry *entries, size_t count, uint64_t total,
                          void *arg)
{
    struct lister *lister = arg;

    (void)queue;
    (void)total;
    if (!verb_answered(lister->verb, call, "read the schedulers"))
        return;
    for (size_t i = 0; i < count; i++) {
        if (lister->verb->values.json)
            print_entry_json(lister, &entries[i]);
        else
            print_entry(lister, &entries[i]);
        lister->count++;
    }
    lister->page_count = count;
}

static int read_all(struct lister *lister)
{
    struct verb *verb = lister->verb;
    uint64_t start = 0;
    int code = 0;

    do {
        struct error err = { 0 };

        lister->page_count = 0;
        code = verb_finish(verb,
                           queue_list_schedulers(verb->queue, start, PAGE, /* ascending= */ true,
                                                 on_schedulers, lister, &err),
                           &err, "read the schedulers");
        start += PAGE;
    } while (code == 0 && lister->page_count == PAGE);
    return code;
}

static int read_one(struct lister *lister, const char *id)
{
    struct verb *verb = lister->verb;
    struct error err = { 0 };
    int code = verb_finish(
        verb, queue_get_scheduler(verb->queue, bytes_of(id), on_schedulers, lister, &err), &err,
        "read the scheduler");

    if (code != 0 || lister->count > 0)
        return code;
    output_error("queue %s has no scheduler %s", verb->queue_name, id);
    return EXIT_CODE_FAILED;
}

static int act_schedulers(struct verb *verb)
{
    static const char *const heads[] = { "ID", "WHEN", "NEXT", "MADE", "TYPE", "" };
    static const bool right[] = { false, false, false, true, false, false };
    struct lister lister = { .verb = verb };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code != 0)
        return code;
    output_table_init(&lister.table, ARRAY_SIZE(right), right);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&lister.table, heads[i]);
    if (verb->values.json)
        (void)buf_append_text(&verb->out, "{\"schedulers\":[");
    code = verb->words_count == 2 ? read_one(&lister, verb->words[1]) : read_all(&lister);
    if (code != 0)
        buf_reset(&verb->out);
    else if (verb->values.json)
        (void)buf_append_text(&verb->out, "\n]}\n");
    else if (lister.count > 0)
        output_table_print(&lister.table, &verb->out);
    else
        (void)buf_append_text(&verb->out, "no schedulers\n");
    output_table_done(&lister.table);
    return code;
}

const struct cli_command cli_queue_schedulers_verb =
    VERB_ROW("queue schedulers", "lists the job schedulers of a queue",
             "drover queue schedulers [OPTION...] QUEUE [ID]",
             "The next one first. MADE counts jobs, the pending one included.",
             "all of them\ndrover queue schedulers reports\n"
             "one with everything\ndrover queue schedulers reports nightly --json\n",
             list_options, list_operands, 1, 2, act_schedulers);

/* ---- schedule ---- */

static const struct cli_option schedule_options[] = {
    { .name = "every",
      .kind = CLI_DURATION,
      .arg = "TIME",
      VERB_AT(every),
      .help = "a job each TIME: 30s, 5m, 1h" },
    { .name = "cron",
      .kind = CLI_TEXT,
      .arg = "PATTERN",
      VERB_AT(cron),
      .help = "or at the times of a cron pattern, as in \"0 3 * * *\" (seconds may stand first)" },
    { .name = "zone",
      .kind = CLI_TEXT,
      .arg = "ZONE",
      VERB_AT(zone),
      .help = "with --cron: the time zone, as in Europe/Berlin; without it that of whoever\n"
              "computes the next time, so better give one" },
    { .name = "name",
      .kind = CLI_TEXT,
      .arg = "NAME",
      VERB_AT(name),
      .help = "the jobs' type; the scheduler's ID unless given" },
    { .name = "data",
      .kind = CLI_TEXT,
      .arg = "JSON",
      .value = CLI_VALUE_DATA,
      VERB_AT(data),
      .help = "the jobs' data: JSON text, - for standard input, @FILE; {} unless given" },
    { .name = "times",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(scheduler_limit),
      .help = "N jobs in all, then no more" },
    { .name = "start",
      .kind = CLI_TEXT,
      .arg = "TIME",
      VERB_AT(from_time),
      .help = "none before that time, as in 2026-11-22T10:00" },
    { .name = "end",
      .kind = CLI_TEXT,
      .arg = "TIME",
      VERB_AT(until_time),
      .help = "none after that time" },
    { .name = "now",
      .kind = CLI_FLAG,
      VERB_AT(immediately),
      .help = "with --cron: the first one at once (with --every it is anyhow)" },
    { .name = "attempts",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(attempts),
      .help = "each job runs at most N times when it fails" },
    { .name = "priority",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(priority),
      .help = "of each job: 1 is the highest, 2097151 the lowest" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand schedule_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "ID" },
};

static int read_date(const struct verb *verb, const char *option, const char *text,
                     uint64_t *out_ms)
{
    /* An age would lie in the past, which nobody means here. */
    if (!text || (filter_parse_time(text, 0, out_ms) && *out_ms > 0))
        return 0;
    return verb_usage_error(verb, "--%s needs a time as in 2026-11-22T10:00, not \"%s\"", option,
                            text);
}

static int read_template(struct verb *verb, struct scheduler_spec *spec, struct buf *opts)
{
    struct job_spec job = JOB_SPEC_INIT;
    struct error err = { 0 };

    if (!verb->values.attempts.given && !verb->values.priority.given)
        return 0;
    job.name = bytes_of("x"); /* checked by the spec itself */
    job.attempts = verb->values.attempts.value;
    job.priority = verb->values.priority.value;
    if (job_spec_check(&job, &err) < 0 || scheduler_print_opts(&job, opts, &err) < 0)
        return verb_usage_error(verb, "%s", err.text);
    spec->opts = (struct bytes){ buf_text(opts), opts->len };
    return 0;
}

static int read_spec(struct verb *verb, struct scheduler_spec *spec, struct buf *data,
                     struct buf *opts)
{
    const struct verb_values *values = &verb->values;
    struct error err = { 0 };
    int code = 0;

    *spec = (struct scheduler_spec){ .id = bytes_of(verb->words[1]),
                                     .name = bytes_of(values->name),
                                     .every_ms = values->every.value,
                                     .pattern = bytes_of(values->cron),
                                     .tz = bytes_of(values->zone),
                                     .has_limit = values->scheduler_limit.given,
                                     .limit = values->scheduler_limit.value,
                                     .immediately = values->immediately };
    if (!values->every.given == !values->cron)
        return verb_usage_error(verb, "needs --every TIME or --cron PATTERN");
    code = read_date(verb, "start", values->from_time, &spec->start_at_ms);
    if (code == 0)
        code = read_date(verb, "end", values->until_time, &spec->end_at_ms);
    if (code == 0 && values->data) {
        code = verb_read_json(verb, values->data, data);
        spec->data = (struct bytes){ buf_text(data), data->len };
    }
    if (code == 0)
        code = read_template(verb, spec, opts);
    if (code == 0 && scheduler_spec_check(spec, &err) < 0)
        code = verb_usage_error(verb, "%s", err.text);
    return code;
}

static void on_upsert(struct queue *queue, const struct call_result *call,
                      const struct scheduler_upsert *result, void *arg)
{
    struct verb *verb = arg;
    char age[OUTPUT_AGE_BYTES];

    (void)queue;
    if (!verb_answered(verb, call, "make the scheduler"))
        return;
    if (result->code != SCHEDULER_OK) {
        output_error("scheduler %s of queue %s: %s", verb->words[1], verb->queue_name, result->why);
        verb->code = EXIT_CODE_FAILED;
        return;
    }
    if (verb->values.json) {
        (void)buf_append_char(&verb->out, '{');
        output_member_text(&verb->out, true, "scheduler", verb->words[1], strlen(verb->words[1]));
        output_member_text(&verb->out, false, "job", result->job_id, strlen(result->job_id));
        output_member_number(&verb->out, false, "delay_ms", result->delay_ms);
        (void)buf_append_text(&verb->out, "}\n");
        return;
    }
    (void)buf_append_text(&verb->out, "scheduler ");
    output_text(&verb->out, verb->words[1], strlen(verb->words[1]));
    if (result->delay_ms > 0)
        (void)buf_printf(&verb->out, ": the first job in %s\n", output_age(result->delay_ms, age));
    else
        (void)buf_append_text(&verb->out, ": the first job waits already\n");
}

static int act_schedule(struct verb *verb)
{
    _cleanup_(buf_done) struct buf data = BUF_INIT(0), opts = BUF_INIT(OPTIONS_BYTES);
    struct scheduler_spec spec;
    struct error err = { 0 };
    int code = read_spec(verb, &spec, &data, &opts);
    int r;

    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code != 0)
        return code;
    r = queue_upsert_scheduler(verb->queue, &spec, on_upsert, verb, &err);
    if (r == -ERANGE) {
        output_error("%s", err.text);
        return EXIT_CODE_FAILED;
    }
    return verb_finish(verb, r, &err, "make the scheduler");
}

const struct cli_command cli_queue_schedule_verb = VERB_ROW(
    "queue schedule", "makes or replaces a job scheduler",
    "drover queue schedule [OPTION...] QUEUE ID --every TIME\n"
    "drover queue schedule [OPTION...] QUEUE ID --cron PATTERN",
    "Every worker keeps it going, stock BullMQ ones included: who starts a job of it makes the\n"
    "next. One with the same ID is replaced, with its pending job.",
    "each night at three\n"
    "drover queue schedule reports nightly --cron \"0 3 * * *\" --zone Europe/Berlin\n"
    "each five minutes\ndrover queue schedule mail digest --every 5m --data @digest.json\n",
    schedule_options, schedule_operands, 2, 2, act_schedule);

/* ---- unschedule ---- */

static const struct cli_option unschedule_options[] = {
    VERB_DRY_RUN,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int act_unschedule(struct verb *verb)
{
    int64_t removed = 0;
    struct error err = { 0 };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code == 0 && verb->values.dry_run) {
        struct lister lister = { .verb = verb };
        static const bool right[] = { false, false, false, true, false, false };

        output_table_init(&lister.table, ARRAY_SIZE(right), right);
        code = read_one(&lister, verb->words[1]);
        buf_reset(&verb->out);
        output_table_done(&lister.table);
        if (code == 0)
            (void)buf_printf(&verb->out, verb->values.json ? "{\"would\":1,\"dry_run\":true}\n"
                                                           : "1 scheduler would be removed\n");
        return code;
    }
    verb->state = &removed;
    if (code == 0)
        code = verb_finish(
            verb,
            queue_remove_scheduler(verb->queue, bytes_of(verb->words[1]), verb_on_done, verb, &err),
            &err, "remove the scheduler");
    verb->state = NULL;
    if (code == 0 && removed == 0) {
        output_error("queue %s has no scheduler %s", verb->queue_name, verb->words[1]);
        return EXIT_CODE_FAILED;
    }
    if (code == 0)
        (void)buf_append_text(&verb->out,
                              verb->values.json ? "{\"removed\":1}\n" : "1 scheduler removed\n");
    return code;
}

const struct cli_command cli_queue_unschedule_verb =
    VERB_ROW("queue unschedule", "removes a job scheduler and its pending job",
             "drover queue unschedule [OPTION...] QUEUE ID",
             "A job of it that waits or runs already still runs.",
             "no digest any more\ndrover queue unschedule mail digest\n", unschedule_options,
             schedule_operands, 2, 2, act_unschedule);
