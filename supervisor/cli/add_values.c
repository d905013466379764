#include "supervisor/cli/add_values.h"

#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/add_parse.h"

#define COUNT_MAX 10000000

#define AT(member) .at = offsetof(struct add_values, member)
const struct cli_option add_options[ADD_OPTIONS_COUNT] = {
    { .name = "data",
      .kind = CLI_TEXT,
      .arg = "JSON",
      .value = CLI_VALUE_DATA,
      AT(data),
      .help = "the job's data, as DATA: JSON text, - for standard input, @FILE for a file;\n"
              "{} unless given" },
    { .name = "delay",
      .kind = CLI_DURATION,
      .arg = "TIME",
      AT(delay),
      .help = "not before that time has passed: 500ms, 5s, 10m, 2h, 1d" },
    { .name = "priority",
      .kind = CLI_NUMBER,
      .arg = "N",
      AT(priority),
      .help = "1 is the highest, 2097151 the lowest; without one a job runs before all of them" },
    { .name = "lifo", .kind = CLI_FLAG, AT(lifo), .help = "runs next, before those that wait" },
    { .name = "id",
      .kind = CLI_TEXT,
      .arg = "ID",
      AT(id),
      .help = "an id of your own, not a whole number; a job that has it already stays as it is,\n"
              "so that adding again is safe" },
    { .name = "attempts",
      .kind = CLI_NUMBER,
      .arg = "N",
      AT(attempts),
      .help = "runs at most N times when it fails" },
    { .name = "backoff",
      .kind = CLI_TEXT,
      .arg = "KIND:TIME[:JITTER]",
      .value = CLI_VALUE_WORDS,
      .words = "fixed: exponential:",
      AT(backoff),
      .help = "how long a failed job waits: fixed:5s, exponential:2s, exponential:2s:0.5\n"
              "(jitter 0.5: between half and all of it, by chance)" },
    { .name = "keep-completed",
      .kind = CLI_TEXT,
      .arg = "RULE",
      .value = CLI_VALUE_WORDS,
      .words = "all none",
      AT(keep_completed),
      .help = "completed jobs that stay in Redis: all, none, the newest N, or an age as in 7d" },
    { .name = "keep-failed",
      .kind = CLI_TEXT,
      .arg = "RULE",
      .value = CLI_VALUE_WORDS,
      .words = "all none",
      AT(keep_failed),
      .help = "the same for failed jobs" },
    { .name = "parent",
      .kind = CLI_TEXT,
      .arg = "QUEUE:ID",
      AT(parent),
      .help = "a job that is there and waits for this one: it completes only when this one has\n"
              "ended" },
    { .name = "on-failure",
      .kind = CLI_TEXT,
      .arg = "WAY",
      .value = CLI_VALUE_WORDS,
      .words = ADD_POLICY_WORDS,
      AT(on_failure),
      .help = "what the parent does when this job has failed for good: fail-parent,\n"
              "continue-parent (starts at once), ignore (counts as done) or remove (the same,\n"
              "and the parent hears nothing of it); it goes on waiting unless given" },
    { .name = "dedup",
      .kind = CLI_TEXT,
      .arg = "ID",
      AT(dedup),
      .help = "added only when no job with this deduplication id is waiting, delayed or running" },
    { .name = "dedup-ttl",
      .kind = CLI_DURATION,
      .arg = "TIME",
      AT(dedup_ttl),
      .help = "no other job with that id for this long, however that one ends" },
    { .name = "dedup-extend",
      .kind = CLI_FLAG,
      AT(dedup_extend),
      .help = "each job that is not added starts the time anew" },
    { .name = "dedup-replace",
      .kind = CLI_FLAG,
      AT(dedup_replace),
      .help = "a job with that id that is still delayed gives way to this one" },
    { .name = "dedup-keep-last",
      .kind = CLI_FLAG,
      AT(dedup_keep_last),
      .help = "while a job with that id runs, the last one that comes is kept and added after it" },
    { .name = "dedup-reschedule",
      .kind = CLI_FLAG,
      AT(dedup_reschedule),
      .help = "a job with that id that is still delayed gets the delay of this one" },
    { .name = "telemetry",
      .kind = CLI_TEXT,
      .arg = "TEXT",
      AT(telemetry),
      .help = "metadata of a trace, for workers that carry it on" },
    { .name = "omit-context",
      .kind = CLI_FLAG,
      AT(omit_context),
      .help = "workers do not carry the trace on" },
    { .name = "extra",
      .kind = CLI_TEXT,
      .arg = "JSON",
      AT(extra),
      .help = "an object with options of your own, put beside the others into the job" },
    { .name = "count", .kind = CLI_NUMBER, .arg = "N", AT(count), .help = "the same job N times" },
    { .name = "lines",
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(lines),
      .help = "one job per line of FILE (- for standard input): each line is the data of one.\n"
              "Bad lines are told with their number and left out" },
    { .name = "flow",
      .kind = CLI_TEXT,
      .arg = "FILE",
      .value = CLI_VALUE_FILE,
      AT(flow),
      .help = "a tree of jobs out of FILE (- for standard input), at most 1000, all or none:\n"
              "{\"name\": ..., \"queueName\": ..., \"data\": ..., \"opts\": {...}, \"children\": "
              "[...]}\n"
              "with the names of BullMQ's FlowProducer; a job waits for its children" },
    { .name = "json",
      .kind = CLI_FLAG,
      AT(json),
      .help = "one line of JSON per job: {\"id\":\"17\",\"duplicate\":false}" },
    CLI_WHERE_OPTIONS(struct add_values),
};

struct bytes add_bytes_of(const char *text)
{
    return (struct bytes){ text, text ? strlen(text) : 0 };
}

/* All relations but the parent, whose key depends on where it lies. */
static int fill_relations(const struct add_values *values, struct job_spec *model)
{
    struct error err = { 0 };

    if (values->on_failure && !values->parent)
        return cli_usage_error("add", "--on-failure needs --parent");
    if (values->on_failure && add_parse_policy(values->on_failure, &model->policy, &err) < 0)
        return cli_usage_error("add", "--on-failure: %s", err.text);
    if (values->parent && values->dedup)
        return cli_usage_error("add", "--parent does not go with --dedup");
    if (!values->dedup &&
        (values->dedup_ttl.given || values->dedup_extend || values->dedup_replace ||
         values->dedup_keep_last || values->dedup_reschedule))
        return cli_usage_error("add", "--dedup-... needs --dedup ID");
    model->dedup = (struct job_dedup){ .id = add_bytes_of(values->dedup),
                                       .ttl_ms = values->dedup_ttl.value,
                                       .extend = values->dedup_extend,
                                       .replace = values->dedup_replace,
                                       .keep_last_if_active = values->dedup_keep_last,
                                       .reschedule = values->dedup_reschedule };
    model->telemetry.metadata = add_bytes_of(values->telemetry);
    model->telemetry.omit_context = values->omit_context;
    model->extra_opts = add_bytes_of(values->extra);
    return 0;
}

int add_fill_model(const struct add_values *values, struct job_spec *model)
{
    struct error err = { 0 };
    int code = fill_relations(values, model);

    if (code != 0)
        return code;

    if (values->backoff && add_parse_backoff(values->backoff, &model->backoff, &err) < 0)
        return cli_usage_error("add", "--backoff: %s", err.text);
    if (values->keep_completed &&
        add_parse_keep(values->keep_completed, &model->keep_completed, &err) < 0)
        return cli_usage_error("add", "--keep-completed: %s", err.text);
    if (values->keep_failed && add_parse_keep(values->keep_failed, &model->keep_failed, &err) < 0)
        return cli_usage_error("add", "--keep-failed: %s", err.text);
    if (values->id)
        model->id = (struct bytes){ values->id, strlen(values->id) };
    model->delay_ms = values->delay.value;
    model->priority = values->priority.value;
    model->attempts = values->attempts.value;
    model->lifo = values->lifo;
    if (job_spec_check(model, &err) < 0)
        return cli_usage_error("add", "%s", err.text);
    return 0;
}

/* The file says all of its jobs. */
int add_check_flow_values(const struct add_values *values, size_t words_count)
{
    if (words_count > 0)
        return cli_usage_error("add", "--flow takes queues, names and data from its file");
    if (values->data || values->id || values->backoff || values->keep_completed ||
        values->keep_failed || values->lines || values->parent || values->on_failure ||
        values->dedup || values->telemetry || values->extra || values->delay.given ||
        values->priority.given || values->attempts.given || values->count.given ||
        values->dedup_ttl.given || values->lifo || values->dedup_extend || values->dedup_replace ||
        values->dedup_keep_last || values->dedup_reschedule || values->omit_context)
        return cli_usage_error("add", "--flow takes the options of its jobs from its file");
    return 0;
}

int add_check_values(struct add_values *values, const char **words, size_t words_count)
{
    if (words_count < 2)
        return cli_usage_error("add", "needs QUEUE and NAME");
    if (words_count > 3)
        return cli_usage_error("add", "unexpected \"%s\"; DATA with blanks needs quotes", words[3]);
    if (words_count == 3 && values->data)
        return cli_usage_error("add", "the data is given twice");
    if (words_count == 3)
        values->data = words[2];
    if (values->lines && (values->data || values->count.given || values->id))
        return cli_usage_error("add", "--lines does not go with DATA, --count or --id");
    if (values->count.given && values->id && values->count.value != 1)
        return cli_usage_error("add", "--count does not go with --id: an id is of one job");
    if (values->count.value > COUNT_MAX)
        return cli_usage_error("add", "--count is at most %d", COUNT_MAX);
    return 0;
}
