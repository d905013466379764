/* drover job: what changes one job, or some that are named. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/queue/change.h"
#include "common/queue/get.h"
#include "supervisor/cli/long_work.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_option plain_options[] = {
    VERB_QUEUE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand job_operand[] = { { .name = "ID" } };
static const struct cli_operand jobs_operand[] = { { .name = "ID", .many = true } };

/* ---- results ---- */

static void print_done(struct verb *verb, const char *id, const char *did)
{
    struct buf *out = &verb->out;

    if (verb->values.json) {
        (void)buf_append_char(out, '{');
        output_member_text(out, true, "queue", verb->queue_name, strlen(verb->queue_name));
        output_member_text(out, false, "id", id, strlen(id));
        output_member_text(out, false, "result", did, strlen(did));
        (void)buf_append_text(out, "}\n");
        return;
    }
    (void)buf_append_text(out, "job ");
    output_text(out, id, strlen(id));
    (void)buf_append_text(out, " of queue ");
    output_text(out, verb->queue_name, strlen(verb->queue_name));
    (void)buf_printf(out, ": %s\n", did);
}

/* What is wrong with a job, and what state would be right. */
static int tell_code(const struct verb *verb, const char *id, enum change_code code,
                     const char *wanted)
{
    if (code == CHANGE_NOT_THERE && wanted)
        output_error("job %s of queue %s is not %s", id, verb->queue_name, wanted);
    else
        output_error("job %s of queue %s: %s", id, verb->queue_name, change_code_text(code));
    return EXIT_CODE_FAILED;
}

/* ---- some by id: retry, promote ---- */

struct change {
    struct verb *verb;
    const char *did;    /* "retried" */
    const char *wanted; /* the state in which it can be done */
    int code;
};

static void on_codes(struct queue *queue, const struct call_result *call,
                     const enum change_code *codes, size_t count, void *arg)
{
    struct change *change = arg;

    (void)queue;
    /* Those before a failure were changed all the same. */
    for (size_t i = 0; i < count; i++) {
        const char *id = change->verb->words[i];

        if (codes[i] == CHANGE_OK)
            print_done(change->verb, id, change->did);
        else
            change->code = tell_code(change->verb, id, codes[i], change->wanted);
    }
    (void)verb_answered(change->verb, call, change->verb->command->summary);
}

/* Several are of one queue, which must be said: an id alone may be in more than one. */
static int open_jobs(struct verb *verb)
{
    if (verb->words_count > QUEUE_IDS_MAX)
        return verb_usage_error(verb, "%zu ids: %d at most", verb->words_count, QUEUE_IDS_MAX);
    if (verb->words_count > 1 && !verb->values.queue &&
        !(verb->target.config && verb->target.config->queues_count == 1))
        return verb_usage_error(verb, "needs --queue for more than one job");
    return verb_open_job(verb, verb->words[0]);
}

static const struct cli_option retry_options[] = {
    VERB_QUEUE,
    { .name = "state",
      .kind = CLI_LIST,
      .arg = "STATE",
      .value = CLI_VALUE_WORDS,
      .words = "failed completed",
      VERB_AT(states),
      .help = "failed (unless given) or completed" },
    { .name = "reset-attempts",
      .kind = CLI_FLAG,
      VERB_AT(reset),
      .help = "attempts count from 0 again; else a job that has none left\n"
              "gets exactly one more" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int act_retry(struct verb *verb)
{
    const struct cli_list *states = &verb->values.states;
    bool completed = states->count > 0 && strcmp(states->items[0], "completed") == 0;
    struct retry_spec spec = { .from = completed ? RETRY_COMPLETED : RETRY_FAILED,
                               .reset_attempts_made = verb->values.reset,
                               .reset_attempts_started = verb->values.reset };
    struct change change = { .verb = verb,
                             .did = "retried",
                             .wanted = completed ? "completed" : "failed" };
    struct error err = { 0 };
    int code;

    if (states->count > 1 ||
        (states->count == 1 && !completed && strcmp(states->items[0], "failed") != 0))
        return verb_usage_error(verb, "--state is failed or completed: other jobs are not retried");
    code = open_jobs(verb);
    if (code == 0)
        code = verb_finish(verb,
                           queue_retry_jobs_by_id(verb->queue, verb->words, verb->words_count,
                                                  &spec, on_codes, &change, &err),
                           &err, "retry jobs");
    return code ? code : change.code;
}

const struct cli_command cli_job_retry_verb = VERB_ROW(
    "job retry", "lets a failed (or completed) job run again", "drover job retry [OPTION...] ID...",
    "It waits again, by its priority.", "once more\ndrover job retry 4711 -q mail\n", retry_options,
    jobs_operand, 1, QUEUE_IDS_MAX, act_retry);

static int act_promote(struct verb *verb)
{
    struct change change = { .verb = verb, .did = "promoted", .wanted = "delayed" };
    struct error err = { 0 };
    int code = open_jobs(verb);

    if (code == 0)
        code = verb_finish(verb,
                           queue_promote_jobs_by_id(verb->queue, verb->words, verb->words_count,
                                                    on_codes, &change, &err),
                           &err, "promote jobs");
    return code ? code : change.code;
}

const struct cli_command cli_job_promote_verb =
    VERB_ROW("job promote", "lets a delayed job run now", "drover job promote [OPTION...] ID...",
             "", "not tomorrow, now\ndrover job promote daily-2026-11-22 -q reports\n",
             plain_options, jobs_operand, 1, QUEUE_IDS_MAX, act_promote);

/* ---- one: what answers a number ---- */

/* Ends a change of the first word's job: `value` is a code when it is negative. */
static int end_change(struct verb *verb, int r, const struct error *err, int64_t *value,
                      const char *did, const char *wanted)
{
    int code;

    verb->state = value;
    code = verb_finish(verb, r, err, verb->command->summary);
    verb->state = NULL;
    if (code != 0)
        return code;
    if (*value < 0)
        return tell_code(verb, verb->words[0], (enum change_code) * value, wanted);
    if (did)
        print_done(verb, verb->words[0], did);
    return 0;
}

static const struct cli_option priority_options[] = {
    VERB_QUEUE,
    { .name = "lifo",
      .kind = CLI_FLAG,
      VERB_AT(lifo),
      .help = "before those that wait with the same priority" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand priority_operands[] = { { .name = "ID" }, { .name = "N" } };

static int act_priority(struct verb *verb)
{
    uint64_t priority = 0;
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_parse_number(verb, "N", verb->words[1], &priority);

    if (code == 0)
        code = verb_open_job(verb, verb->words[0]);
    return code ? code
                : end_change(verb,
                             queue_change_priority(verb->queue, verb->words[0], priority,
                                                   verb->values.lifo, verb_on_done, verb, &err),
                             &err, &value, "priority set", NULL);
}

const struct cli_command cli_job_priority_verb = VERB_ROW(
    "job priority", "changes the priority of a job", "drover job priority [OPTION...] ID N",
    "1 is the highest, 2097151 the lowest; 0: none, which runs before all of them. It also holds\n"
    "for later: a delayed job has it when it is due.",
    "first\ndrover job priority 4711 1 -q mail\n", priority_options, priority_operands, 2, 2,
    act_priority);

static const struct cli_operand delay_operands[] = { { .name = "ID" }, { .name = "TIME" } };

static int act_delay(struct verb *verb)
{
    uint64_t delay_ms = 0;
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_parse_duration(verb, "TIME", verb->words[1], &delay_ms);

    if (code == 0)
        code = verb_open_job(verb, verb->words[0]);
    return code ? code
                : end_change(verb,
                             queue_change_delay(verb->queue, verb->words[0], delay_ms, verb_on_done,
                                                verb, &err),
                             &err, &value, "delay set", "delayed");
}

const struct cli_command cli_job_delay_verb = VERB_ROW(
    "job delay", "changes when a delayed job is due", "drover job delay [OPTION...] ID TIME",
    "TIME from now on. Only of a job that is delayed.",
    "in two hours\ndrover job delay 4711 2h -q mail\n", plain_options, delay_operands, 2, 2,
    act_delay);

static const struct cli_operand data_operands[] = { { .name = "ID" },
                                                    { .name = "JSON", .value = CLI_VALUE_DATA } };

typedef int change_json(struct queue *queue, const char *id, const char *json, size_t json_len,
                        queue_done_cb *on_done, void *arg, struct error *err);

static int act_json(struct verb *verb, change_json *change, const char *done)
{
    _cleanup_(buf_done) struct buf json = BUF_INIT(0);
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_read_json(verb, verb->words[1], &json);

    if (code == 0)
        code = verb_open_job(verb, verb->words[0]);
    return code ? code
                : end_change(verb,
                             change(verb->queue, verb->words[0], buf_text(&json), json.len,
                                    verb_on_done, verb, &err),
                             &err, &value, done, NULL);
}

static int act_data(struct verb *verb)
{
    return act_json(verb, queue_update_data, "data replaced");
}

const struct cli_command cli_job_data_verb = VERB_ROW(
    "job data", "replaces the data of a job", "drover job data [OPTION...] ID JSON",
    "JSON text, - for standard input, @FILE for a file. A job that runs has read its data.",
    "a wrong address\n"
    "drover job data 4711 '{\"to\":\"ann@example.org\"}' -q mail\n",
    plain_options, data_operands, 2, 2, act_data);

static int act_progress(struct verb *verb)
{
    return act_json(verb, queue_update_progress, "progress set");
}

const struct cli_command cli_job_progress_verb = VERB_ROW(
    "job progress", "sets the progress of a job", "drover job progress [OPTION...] ID JSON",
    "Listeners hear of it.", "half of it\ndrover job progress 4711 50 -q mail\n", plain_options,
    data_operands, 2, 2, act_progress);

/* ---- its log ---- */

static const struct cli_option log_options[] = {
    VERB_QUEUE,
    { .name = "keep",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(keep),
      .help = "the newest N rows stay; without it as many as the job's own keepLogs says" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand log_operands[] = { { .name = "ID" },
                                                   { .name = "TEXT", .value = CLI_VALUE_DATA } };

/* keepLogs of the job's options, as a stock Job.log obeys it; -1 without. */
static void on_options(struct queue *queue, const struct call_result *call,
                       const struct job_view *view, void *arg)
{
    struct verb *verb = arg;
    struct job_options options = { .keep_logs = -1 };

    (void)queue;
    if (!verb_answered(verb, call, "read the job"))
        return;
    for (size_t i = 0; view && i < view->fields_count; i++) {
        /* Options that cannot be read limit nothing. */
        if (view->names[i].data && strcmp(view->names[i].data, "opts") == 0 &&
            view->values[i].data &&
            job_options_parse(view->values[i].data, view->values[i].len, &options, NULL) == 0)
            *(int64_t *)verb->state = options.keep_logs;
    }
}

static int read_keep(struct verb *verb, int64_t *keep)
{
    struct error err = { 0 };
    int code;

    if (verb->values.keep.given)
        return 0;
    verb->state = keep;
    code = verb_finish(verb, queue_view_job(verb->queue, verb->words[0], on_options, verb, &err),
                       &err, "read the job");
    verb->state = NULL;
    return code;
}

static int act_log(struct verb *verb)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT(0);
    int64_t keep = verb->values.keep.given ? (int64_t)verb->values.keep.value : -1;
    int64_t value = 0;
    struct error err = { 0 };
    int code = 0;

    if (verb->values.keep.given && (verb->values.keep.value == 0 || keep < 0))
        return verb_usage_error(verb, "--keep needs a number of at least 1");
    code = verb_read_text(verb, verb->words[1], &text);
    if (code == 0)
        code = verb_open_job(verb, verb->words[0]);
    if (code == 0)
        code = read_keep(verb, &keep);
    return code ? code
                : end_change(verb,
                             queue_add_log(verb->queue, verb->words[0], buf_text(&text), text.len,
                                           keep, verb_on_done, verb, &err),
                             &err, &value, "row added", NULL);
}

const struct cli_command cli_job_log_verb =
    VERB_ROW("job log", "adds a row to the log of a job", "drover job log [OPTION...] ID TEXT",
             "TEXT, - for standard input, @FILE for a file: one row.",
             "what was done by hand\ndrover job log 4711 'sent by hand' -q mail\n", log_options,
             log_operands, 2, 2, act_log);

static const struct cli_option clear_options[] = {
    VERB_QUEUE,
    { .name = "keep",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(keep),
      .help = "the newest N rows stay" },
    VERB_DRY_RUN,
    VERB_YES,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int act_clear_logs(struct verb *verb)
{
    char question[256];
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_open_job(verb, verb->words[0]);

    if (code != 0)
        return code;
    if (verb->values.dry_run) {
        print_done(verb, verb->words[0], "the log would be cleared");
        return 0;
    }
    (void)snprintf(question, sizeof(question), "Clear the log of job %.100s of queue %.100s",
                   verb->words[0], verb->queue_name);
    code = long_work_ask(verb, question);
    return code ? code
                : end_change(verb,
                             queue_clear_logs(verb->queue, verb->words[0], verb->values.keep.value,
                                              verb_on_done, verb, &err),
                             &err, &value, "log cleared", NULL);
}

const struct cli_command cli_job_clear_logs_verb =
    VERB_ROW("job clear-logs", "removes the log of a job", "drover job clear-logs [OPTION...] ID",
             "", "all but ten rows\ndrover job clear-logs 4711 -q mail --keep 10 --yes\n",
             clear_options, job_operand, 1, 1, act_clear_logs);

/* ---- removing ---- */

static const struct cli_option remove_options[] = {
    VERB_QUEUE,
    { .name = "children",
      .kind = CLI_FLAG,
      VERB_AT(with_children),
      .help = "with all its children and theirs, also in other queues" },
    { .name = "unprocessed",
      .kind = CLI_FLAG,
      VERB_AT(unprocessed),
      .help = "only the children that it still waits for; the job itself stays" },
    VERB_DRY_RUN,
    VERB_YES,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

struct remover {
    struct verb *verb;
    const char *id;
    int code;
};

static void on_removed(struct queue *queue, const struct call_result *call,
                       const struct remove_result *result, void *arg)
{
    struct remover *remover = arg;
    struct verb *verb = remover->verb;
    char did[64];

    (void)queue;
    if (!verb_answered(verb, call, "remove the job"))
        return;
    if (result->code != CHANGE_OK) {
        remover->code = tell_code(verb, remover->id, result->code, NULL);
        if (result->removed > 0)
            output_error("before that, %" PRIu64 " jobs of its tree were removed", result->removed);
        return;
    }
    (void)snprintf(did, sizeof(did), "%" PRIu64 " job%s removed", result->removed,
                   result->removed == 1 ? "" : "s");
    print_done(verb, remover->id, did);
}

static int remove_one(struct verb *verb, const char *id)
{
    struct remover remover = { .verb = verb, .id = id };
    struct error err = { 0 };
    int r = verb->values.unprocessed
                ? queue_remove_unprocessed_children(verb->queue, id, on_removed, &remover, &err)
                : queue_remove_job(verb->queue, id, verb->values.with_children, on_removed,
                                   &remover, &err);
    int code = verb_finish(verb, r, &err, "remove the job");

    return code ? code : remover.code;
}

static void on_there(struct queue *queue, const struct call_result *call,
                     enum job_finished finished, struct bytes value, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    (void)value;
    if (verb_answered(verb, call, "look for the job"))
        *(bool *)verb->state = finished != JOB_GONE;
}

static int tell_would(struct verb *verb, const char *id)
{
    struct error err = { 0 };
    bool is_there = false;
    int code;

    verb->state = &is_there;
    code = verb_finish(verb, queue_is_finished(verb->queue, id, on_there, verb, &err), &err,
                       "look for the job");
    verb->state = NULL;
    if (code == 0 && !is_there)
        return tell_code(verb, id, CHANGE_NO_JOB, NULL);
    if (code == 0)
        print_done(verb, id,
                   verb->values.unprocessed     ? "its unprocessed children would be removed"
                   : verb->values.with_children ? "would be removed with its children"
                                                : "would be removed");
    return code;
}

static int ask_remove(const struct verb *verb)
{
    char question[300];

    if (verb->words_count == 1)
        (void)snprintf(question, sizeof(question), "Remove %sjob %.100s%s of queue %.100s",
                       verb->values.unprocessed ? "the unprocessed children of " : "",
                       verb->words[0], verb->values.with_children ? " with its children" : "",
                       verb->queue_name);
    else
        (void)snprintf(question, sizeof(question), "Remove %zu jobs of queue %.100s",
                       verb->words_count, verb->queue_name);
    return long_work_ask(verb, question);
}

static int act_remove(struct verb *verb)
{
    int code, failed = 0;

    if (verb->values.unprocessed && verb->values.with_children)
        return verb_usage_error(verb, "give --children or --unprocessed");
    code = open_jobs(verb);
    if (code == 0 && !verb->values.dry_run)
        code = ask_remove(verb);
    /* One that stays does not keep the others. */
    for (size_t i = 0; i < verb->words_count && code == 0; i++) {
        int result = verb->values.dry_run ? tell_would(verb, verb->words[i])
                                          : remove_one(verb, verb->words[i]);

        if (result == EXIT_CODE_FAILED)
            failed = result;
        else
            code = result;
    }
    return code ? code : failed;
}

const struct cli_command cli_job_remove_verb = VERB_ROW(
    "job remove", "removes a job", "drover job remove [OPTION...] ID...",
    "A job that runs stays, and so does the pending one of a scheduler (drover queue unschedule).\n"
    "For its parent a removed child counts as done.",
    "a job with its tree\ndrover job remove build-7 -q builds --children --yes\n", remove_options,
    jobs_operand, 1, QUEUE_IDS_MAX, act_remove);

/* ---- its ties ---- */

static int act_detach(struct verb *verb)
{
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_open_job(verb, verb->words[0]);

    return code ? code
                : end_change(verb,
                             queue_remove_child_dependency(verb->queue, verb->words[0],
                                                           verb_on_done, verb, &err),
                             &err, &value, "detached from its parent",
                             "a child that a parent waits for");
}

const struct cli_command cli_job_detach_verb =
    VERB_ROW("job detach", "takes a job from its parent, which no longer waits for it",
             "drover job detach [OPTION...] ID",
             "The job itself stays and runs. The parent goes on when it was its last child.",
             "go on without it\ndrover job detach lint-7 -q builds\n", plain_options, job_operand,
             1, 1, act_detach);

static int act_release(struct verb *verb)
{
    int64_t value = 0;
    struct error err = { 0 };
    int code = verb_open_job(verb, verb->words[0]);

    if (code == 0)
        code = end_change(
            verb,
            queue_release_deduplication(verb->queue, verb->words[0], verb_on_done, verb, &err),
            &err, &value, NULL, NULL);
    if (code != 0)
        return code;
    if (value == 0) {
        output_error("job %s of queue %s owns no deduplication id", verb->words[0],
                     verb->queue_name);
        return EXIT_CODE_FAILED;
    }
    print_done(verb, verb->words[0], "its deduplication id is free");
    return 0;
}

const struct cli_command cli_job_release_verb =
    VERB_ROW("job release", "frees the deduplication id that a job owns",
             "drover job release [OPTION...] ID",
             "The next job with that id is added. The job itself stays.",
             "let the next one in\ndrover job release 4711 -q mail\n", plain_options, job_operand,
             1, 1, act_release);
