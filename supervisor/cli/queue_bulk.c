/* drover queue: work on the jobs that match a filter: retry, promote, remove. */
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/bulk_work.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

/* ---- retry ---- */

#define RESET_OPTION                                                           \
    {                                                                          \
        .name = "reset-attempts", .kind = CLI_FLAG, VERB_AT(reset),            \
        .help = "attempts count from 0 again; else a job that has none left\n" \
                "gets exactly one more"                                        \
    }

static const struct cli_option retry_options[] = {
    { .name = "state",
      .kind = CLI_LIST,
      .arg = "STATE",
      .value = CLI_VALUE_WORDS,
      .words = "failed completed",
      VERB_AT(states),
      .help = "failed (unless given) or completed" },
    VERB_MATCH,
    VERB_LIMIT,
    RESET_OPTION,
    VERB_DRY_RUN,
    VERB_YES,
    VERB_PACE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static struct retry_spec retry_spec_of(const struct verb *verb)
{
    bool completed =
        verb->values.states.count > 0 && strcmp(verb->values.states.items[0], "completed") == 0;

    return (struct retry_spec){ .from = completed ? RETRY_COMPLETED : RETRY_FAILED,
                                .reset_attempts_made = verb->values.reset,
                                .reset_attempts_started = verb->values.reset };
}

static int send_retry(struct bulk *bulk, const char *const *ids, size_t count, struct error *err)
{
    struct retry_spec spec = retry_spec_of(bulk->verb);

    return queue_retry_jobs_by_id(bulk->verb->queue, ids, count, &spec, bulk_on_codes, bulk, err);
}

static int act_retry(struct verb *verb)
{
    static const enum queue_state failed[] = { QUEUE_STATE_FAILED };
    struct bulk bulk = { .verb = verb, .did = "retried", .what = "retry jobs", .send = send_retry };
    struct job_filter filter;
    int code = filter_init(&filter, verb, failed, 1);

    if (code == 0)
        code = bulk_check_pace(verb);
    if (code != 0)
        return code;
    if (verb->values.states.count > 1 ||
        (!filter.states[QUEUE_STATE_FAILED] && !filter.states[QUEUE_STATE_COMPLETED]))
        return verb_usage_error(verb, "--state is failed or completed: other jobs are not retried");
    return bulk_run_filtered(&bulk, &filter, "Retry");
}

const struct cli_command cli_queue_retry_verb = VERB_ROW(
    "queue retry", "lets failed (or completed) jobs run again",
    "drover queue retry [OPTION...] QUEUE",
    "The jobs are gathered first, so what fails while it works is not retried in a circle.",
    "everything that failed with a timeout since this morning\n"
    "drover queue retry mail --error ETIMEDOUT --newer-than 2026-11-22T06:00 --yes\n"
    "what would that be?\ndrover queue retry mail --error ETIMEDOUT --dry-run\n"
    "fifty a second, with all their attempts\n"
    "drover queue retry mail --rate 50 --batch 10 --reset-attempts --yes\n",
    retry_options, queue_operand, 1, 1, act_retry);

/* ---- promote ---- */

static const struct cli_option promote_options[] = {
    VERB_MATCH,
    VERB_LIMIT,
    VERB_DRY_RUN,
    VERB_YES,
    VERB_PACE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int send_promote(struct bulk *bulk, const char *const *ids, size_t count, struct error *err)
{
    return queue_promote_jobs_by_id(bulk->verb->queue, ids, count, bulk_on_codes, bulk, err);
}

static int act_promote(struct verb *verb)
{
    static const enum queue_state delayed[] = { QUEUE_STATE_DELAYED };
    struct bulk bulk = {
        .verb = verb, .did = "promoted", .what = "promote jobs", .send = send_promote
    };
    struct job_filter filter;
    int code = filter_init(&filter, verb, delayed, 1);

    if (code == 0)
        code = bulk_check_pace(verb);
    return code ? code : bulk_run_filtered(&bulk, &filter, "Promote");
}

const struct cli_command cli_queue_promote_verb =
    VERB_ROW("queue promote", "lets delayed jobs run now", "drover queue promote [OPTION...] QUEUE",
             "By their priority, as if they were due.",
             "all that wait for another attempt\ndrover queue promote mail --yes\n",
             promote_options, queue_operand, 1, 1, act_promote);

/* ---- remove ---- */

static const struct cli_option remove_options[] = {
    VERB_STATE, VERB_MATCH, VERB_LIMIT, VERB_DRY_RUN,
    VERB_YES,   VERB_PACE,  VERB_JSON,  CLI_WHERE_OPTIONS(struct verb_values),
};

static int send_remove(struct bulk *bulk, const char *const *ids, size_t count, struct error *err)
{
    return queue_remove_jobs(bulk->verb->queue, ids, count, bulk_on_codes, bulk, err);
}

static int act_remove(struct verb *verb)
{
    struct bulk bulk = {
        .verb = verb, .did = "removed", .what = "remove jobs", .send = send_remove
    };
    struct job_filter filter;
    int code = filter_init(&filter, verb, NULL, 0);

    if (code == 0)
        code = bulk_check_pace(verb);
    if (code != 0)
        return code;
    if (verb->values.states.count == 0)
        return verb_usage_error(verb, "needs --state: of which jobs?");
    return bulk_run_filtered(&bulk, &filter, "Remove");
}

const struct cli_command cli_queue_remove_verb = VERB_ROW(
    "queue remove", "removes jobs by state, type, error and time",
    "drover queue remove [OPTION...] QUEUE",
    "Jobs that run (that are locked) and the pending ones of schedulers stay. Children stay;\n"
    "drover job remove --children takes a tree.",
    "what one type has left behind\n"
    "drover queue remove mail --state failed --type newsletter --yes\n"
    "what would that be?\n"
    "drover queue remove mail --state failed --type newsletter --dry-run\n",
    remove_options, queue_operand, 1, 1, act_remove);
