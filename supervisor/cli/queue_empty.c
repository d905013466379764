/* drover queue: what empties it: drain, clean, obliterate. */
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "supervisor/cli/bulk_work.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

/* ---- drain ---- */

static const struct cli_option drain_options[] = {
    { .name = "delayed", .kind = CLI_FLAG, VERB_AT(delayed), .help = "delayed jobs as well" },
    VERB_DRY_RUN,
    VERB_YES,
    VERB_PACE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int act_drain(struct verb *verb)
{
    struct bulk bulk = { .verb = verb, .did = "removed", .what = "drain the queue" };
    struct bulk_run run = bulk_run_of(&bulk);
    struct queue_counts counts = { 0 };
    struct error err = { 0 };
    int code = bulk_check_pace(verb);

    if (code == 0)
        code = bulk_open_and_count(verb, &counts);
    bulk.total = counts.waiting + counts.paused_list + counts.prioritized +
                 (verb->values.delayed ? counts.delayed : 0);
    if (code == 0 && verb->values.dry_run) {
        bulk_print_dry_run(&bulk);
        return 0;
    }
    if (code != 0 ||
        (bulk.total > 0 && !bulk_ask(verb, "Remove the", bulk.total, " that wait", &code)))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_drain(verb->queue, verb->values.delayed, &run, &err), &err,
                       bulk.what);
    return bulk_end(&bulk, code);
}

const struct cli_command cli_queue_drain_verb = VERB_ROW(
    "queue drain", "removes all jobs that wait", "drover queue drain [OPTION...] QUEUE",
    "What runs, has ended, or waits for children stays, and so do the pending jobs of schedulers.",
    "also those that are not due yet\ndrover queue drain mail --delayed --yes\n", drain_options,
    queue_operand, 1, 1, act_drain);

/* ---- clean ---- */

static const struct cli_option clean_options[] = {
    { .name = "state",
      .kind = CLI_LIST,
      .arg = "STATE",
      .value = CLI_VALUE_WORDS,
      .words = "completed failed waiting paused active prioritized delayed",
      VERB_AT(states),
      .help = "completed (unless given), failed, waiting, paused, active, prioritized, delayed" },
    { .name = "older-than",
      .kind = CLI_DURATION,
      .arg = "AGE",
      VERB_AT(every),
      .help = "since they ended, else started, else were added: 2h, 7d; 0s: all" },
    VERB_LIMIT,
    VERB_DRY_RUN,
    VERB_YES,
    VERB_PACE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

/* How many it would be; what locks keep is not foreseen. */
static int count_old(struct bulk *bulk, enum queue_state state, uint64_t age_ms)
{
    struct job_filter filter = { .before_ms = clock_wall_ms() - age_ms + 1,
                                 .limit = bulk->verb->values.limit.value };
    struct selection selection = { 0 };
    int code;

    filter.states[state] = true;
    code = select_jobs(bulk->verb, &filter, &selection);
    bulk->total = selection.count;
    if (code == 0 && bulk->verb->values.dry_run) {
        bulk->selection = &selection;
        bulk_print_dry_run(bulk);
        bulk->selection = NULL;
    }
    selection_done(&selection);
    return code;
}

static int read_clean_spec(struct verb *verb, struct clean_spec *out)
{
    struct error err = { 0 };

    *out =
        (struct clean_spec){ .state = QUEUE_STATE_COMPLETED, .grace_ms = verb->values.every.value };
    if (!verb->values.every.given)
        return verb_usage_error(verb, "needs --older-than: how old? (0s: all)");
    if (verb->values.every.value >= clock_wall_ms())
        return verb_usage_error(verb, "--older-than: no job is that old");
    if (verb->values.states.count > 1)
        return verb_usage_error(verb, "--state may be given once");
    if (verb->values.states.count == 1 &&
        queue_state_parse(verb->values.states.items[0], &out->state, &err) < 0)
        return verb_usage_error(verb, "--state: %s", err.text);
    if (out->state == QUEUE_STATE_WAITING_CHILDREN)
        return verb_usage_error(verb, "--state: jobs that wait for children are not cleaned");
    if (verb->values.limit.given && verb->values.limit.value == 0)
        return verb_usage_error(verb, "--limit needs a number of at least 1");
    return bulk_check_pace(verb);
}

static int act_clean(struct verb *verb)
{
    struct bulk bulk = { .verb = verb, .did = "removed", .what = "clean the queue" };
    struct bulk_run run = bulk_run_of(&bulk);
    struct clean_spec spec;
    struct error err = { 0 };
    int code = read_clean_spec(verb, &spec);

    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = count_old(&bulk, spec.state, spec.grace_ms);
    if (code != 0 || verb->values.dry_run)
        return code;
    if (bulk.total > 0 && !bulk_ask(verb, "Remove about", bulk.total, "", &code))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_clean(verb->queue, &spec, &run, &err), &err, bulk.what);
    return bulk_end(&bulk, code);
}

const struct cli_command cli_queue_clean_verb = VERB_ROW(
    "queue clean", "removes old jobs of one state", "drover queue clean [OPTION...] QUEUE",
    "The oldest first. Locked jobs and the pending ones of schedulers stay. Listeners hear how\n"
    "many were removed; by type or error there is drover queue remove.",
    "what completed more than a week ago\ndrover queue clean mail --older-than 7d --yes\n"
    "the oldest thousand failures\n"
    "drover queue clean mail --state failed --older-than 0s --limit 1000 --yes\n",
    clean_options, queue_operand, 1, 1, act_clean);

/* ---- obliterate ---- */

static const struct cli_option obliterate_options[] = {
    { .name = "force", .kind = CLI_FLAG, VERB_AT(force), .help = "although jobs are running" },
    VERB_DRY_RUN,
    VERB_YES,
    VERB_PACE,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

static int tell_refusal(const struct bulk *bulk)
{
    if (bulk->refusal == BULK_ACTIVE_JOBS)
        output_error(
            "queue %s is paused now, and has jobs that are running: wait for their end, or "
            "--force\nnothing was removed; drover queue resume undoes the pause",
            bulk->verb->queue_name);
    else
        output_error("somebody has resumed queue %s meanwhile; %" PRIu64 " jobs were removed",
                     bulk->verb->queue_name, bulk->done);
    return EXIT_CODE_FAILED;
}

static int act_obliterate(struct verb *verb)
{
    struct bulk bulk = { .verb = verb, .did = "removed", .what = "obliterate the queue" };
    struct bulk_run run = bulk_run_of(&bulk);
    struct queue_counts counts = { 0 };
    struct error err = { 0 };
    int code = bulk_check_pace(verb);

    if (code == 0)
        code = bulk_open_and_count(verb, &counts);
    for (size_t i = 0; i < QUEUE_STATE_COUNT; i++)
        bulk.total += queue_counts_of(&counts, (enum queue_state)i);
    if (code == 0 && verb->values.dry_run) {
        bulk_print_dry_run(&bulk);
        return 0;
    }
    if (code != 0 || !bulk_ask(verb, "Remove everything,", bulk.total, " and all settings", &code))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_obliterate(verb->queue, verb->values.force, &run, &err), &err,
                       bulk.what);
    if (code == 0 && bulk.refusal != BULK_DONE) {
        long_work_end(&bulk.work);
        return tell_refusal(&bulk);
    }
    return bulk_end(&bulk, code);
}

const struct cli_command cli_queue_obliterate_verb = VERB_ROW(
    "queue obliterate", "removes a queue with everything in it",
    "drover queue obliterate [OPTION...] QUEUE",
    "Pauses it, then removes its jobs in every state, its schedulers, events and settings.\n"
    "While jobs run nothing is removed, unless --force.",
    "a queue that was for a test\ndrover queue obliterate test --yes\n", obliterate_options,
    queue_operand, 1, 1, act_obliterate);
