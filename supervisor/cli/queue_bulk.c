/* drover queue: work on many jobs: drain, clean, obliterate, retry, promote, remove, orphans.
 * All of a state goes by the queue's own bulk scripts; what is filtered is gathered first
 * (select.h) and then done by id. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/queue/bulk.h"
#include "common/queue/orphans.h"
#include "supervisor/cli/long_work.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/select.h"
#include "supervisor/cli/verb.h"

#define BATCH_PRESET 100
#define SHOWN_MAX    20 /* ids of a dry run */

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

/* One work of many steps. */
struct bulk {
    struct verb *verb;
    const char *did;  /* "removed" */
    const char *what; /* "remove jobs", for messages */
    struct long_work work;
    uint64_t total, done, passed;
    enum bulk_refusal refusal;
    bool cancelled;
    /* Of work by ids. */
    const struct selection *selection;
    int (*send)(struct bulk *bulk, const char *const *ids, size_t count, struct error *err);
    uint64_t counts_by_code[4]; /* gone, not there, locked or of a scheduler, damaged */
};

static int check_pace(const struct verb *verb)
{
    if (verb->values.batch.given &&
        (verb->values.batch.value == 0 || verb->values.batch.value > QUEUE_PIECE_MAX))
        return verb_usage_error(verb, "--batch needs a number from 1 to %d", QUEUE_PIECE_MAX);
    if (verb->values.rate.given && verb->values.rate.value == 0)
        return verb_usage_error(verb, "--rate needs a number of at least 1");
    return 0;
}

static size_t batch_of(const struct verb *verb)
{
    return verb->values.batch.given ? (size_t)verb->values.batch.value : BATCH_PRESET;
}

/* "3 jobs" */
static const char *jobs_text(uint64_t count, char out[40])
{
    (void)snprintf(out, 40, "%" PRIu64 " job%s", count, count == 1 ? "" : "s");
    return out;
}

static bool ask(struct verb *verb, const char *doing, uint64_t count, const char *which, int *code)
{
    char question[512], jobs[40];

    (void)snprintf(question, sizeof(question), "%s %s%s of queue %s (Redis at %s)", doing,
                   jobs_text(count, jobs), which, verb->queue_name, verb->session.endpoint->url);
    *code = long_work_ask(verb, question);
    return *code == 0;
}

/* ---- results ---- */

static void print_passed(const struct bulk *bulk, struct buf *out)
{
    static const char *const why[] = { "gone meanwhile", "moved meanwhile",
                                       "locked or of a scheduler", "damaged" };
    bool any = false;

    for (size_t i = 0; i < ARRAY_SIZE(why); i++) {
        if (bulk->counts_by_code[i] == 0)
            continue;
        (void)buf_printf(out, "%s%" PRIu64 " %s", any ? ", " : "; left: ", bulk->counts_by_code[i],
                         why[i]);
        any = true;
    }
    if (!any && bulk->passed > 0)
        (void)buf_printf(out, "; left: %" PRIu64, bulk->passed);
}

static void print_result(struct bulk *bulk, bool dry)
{
    struct verb *verb = bulk->verb;
    struct buf *out = &verb->out;
    char jobs[40];

    if (verb->values.json) {
        (void)buf_append_char(out, '{');
        output_member_text(out, true, "queue", verb->queue_name, strlen(verb->queue_name));
        output_member_number(out, false, dry ? "would" : bulk->did, dry ? bulk->total : bulk->done);
        if (!dry)
            output_member_number(out, false, "left", bulk->passed);
        (void)buf_printf(out, ",\"dry_run\":%s}\n", dry ? "true" : "false");
        return;
    }
    (void)buf_append_text(out, "queue ");
    output_text(out, verb->queue_name, strlen(verb->queue_name));
    (void)buf_printf(out, ": %s %s%s", jobs_text(dry ? bulk->total : bulk->done, jobs),
                     dry ? "would be " : "", bulk->did);
    if (!dry)
        print_passed(bulk, out);
    (void)buf_append_char(out, '\n');
}

static int end_bulk(struct bulk *bulk, int code)
{
    long_work_end(&bulk->work);
    if (code == 0 && bulk->cancelled && long_work_interrupted())
        return long_work_tell_interrupted(&bulk->work, bulk->done);
    if (code != 0 && bulk->done > 0)
        output_error("before that, %" PRIu64 " jobs were %s", bulk->done, bulk->did);
    if (code == 0)
        print_result(bulk, /* dry= */ false);
    return code;
}

/* ---- whole states: the queue's own loops ---- */

static bool on_progress(struct queue *queue, const struct bulk_progress *progress, void *arg)
{
    struct bulk *bulk = arg;

    (void)queue;
    bulk->done = progress->done;
    bulk->passed = progress->passed;
    return long_work_step(&bulk->work, progress->done) || !progress->more;
}

static void on_bulk(struct queue *queue, const struct call_result *call,
                    const struct bulk_result *result, void *arg)
{
    struct bulk *bulk = arg;

    (void)queue;
    bulk->done = result->done;
    bulk->passed = result->passed;
    bulk->cancelled = result->cancelled;
    bulk->refusal = result->refusal;
    (void)verb_answered(bulk->verb, call, bulk->what);
}

static struct bulk_run run_of(struct bulk *bulk)
{
    return (struct bulk_run){ .limit = bulk->verb->values.limit.value,
                              .piece = batch_of(bulk->verb),
                              .on_progress = on_progress,
                              .on_done = on_bulk,
                              .arg = bulk };
}

/* ---- what was gathered: by id ---- */

static void count_code(struct bulk *bulk, enum change_code code)
{
    bulk->passed++;
    if (code == CHANGE_NO_JOB)
        bulk->counts_by_code[0]++;
    else if (code == CHANGE_NOT_THERE)
        bulk->counts_by_code[1]++;
    else if (code == CHANGE_LOCKED || code == CHANGE_OF_SCHEDULER)
        bulk->counts_by_code[2]++;
    else
        bulk->counts_by_code[3]++;
}

static void on_codes(struct queue *queue, const struct call_result *call,
                     const enum change_code *codes, size_t count, void *arg)
{
    struct bulk *bulk = arg;

    (void)queue;
    if (!verb_answered(bulk->verb, call, bulk->what))
        return;
    for (size_t i = 0; i < count; i++) {
        if (codes[i] == CHANGE_OK)
            bulk->done++;
        else
            count_code(bulk, codes[i]);
    }
}

static int send_batch(struct bulk *bulk, size_t from, size_t count)
{
    const char *ids[QUEUE_IDS_MAX];
    struct error err = { 0 };

    for (size_t i = 0; i < count; i++)
        ids[i] = bulk->selection->jobs[from + i].id;
    queue_set_redis(bulk->verb->queue, bulk->verb->session.redis);
    return verb_finish(bulk->verb, bulk->send(bulk, ids, count, &err), &err, bulk->what);
}

static int run_by_ids(struct bulk *bulk)
{
    size_t batch = batch_of(bulk->verb), from = 0;
    int code = 0;

    long_work_begin(&bulk->work, bulk->verb, bulk->did, bulk->total);
    while (from < bulk->selection->count && code == 0 && !bulk->cancelled) {
        size_t left = bulk->selection->count - from;
        size_t count = left < batch ? left : batch;

        code = send_batch(bulk, from, count);
        from += count;
        if (code == 0 && !long_work_step(&bulk->work, from) && from < bulk->selection->count)
            bulk->cancelled = true;
    }
    return end_bulk(bulk, code);
}

static void print_dry_run(struct bulk *bulk)
{
    struct buf *out = &bulk->verb->out;
    const struct selection *selection = bulk->selection;

    print_result(bulk, /* dry= */ true);
    for (size_t i = 0; !bulk->verb->values.json && selection && i < selection->count; i++) {
        if (i == SHOWN_MAX) {
            (void)buf_append_text(out, "  ... (drover queue jobs lists them)\n");
            return;
        }
        (void)buf_append_text(out, "  ");
        output_text(out, selection->jobs[i].id, strlen(selection->jobs[i].id));
        (void)buf_printf(out, " %s\n", queue_state_name(selection->jobs[i].state));
    }
}

/* Gathers, asks when `doing` is given, and does it by id. */
static int run_filtered(struct bulk *bulk, const struct job_filter *filter, const char *doing)
{
    struct verb *verb = bulk->verb;
    struct selection selection = { 0 };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code == 0)
        code = select_jobs(verb, filter, &selection);
    bulk->selection = &selection;
    bulk->total = selection.count;
    if (code == 0 && verb->values.dry_run)
        print_dry_run(bulk);
    else if (code == 0 &&
             (selection.count == 0 || !doing || ask(verb, doing, selection.count, "", &code)))
        code = run_by_ids(bulk);
    selection_done(&selection);
    bulk->selection = NULL;
    return code;
}

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

    return queue_retry_jobs_by_id(bulk->verb->queue, ids, count, &spec, on_codes, bulk, err);
}

static int act_retry(struct verb *verb)
{
    static const enum queue_state failed[] = { QUEUE_STATE_FAILED };
    struct bulk bulk = { .verb = verb, .did = "retried", .what = "retry jobs", .send = send_retry };
    struct job_filter filter;
    int code = filter_init(&filter, verb, failed, 1);

    if (code == 0)
        code = check_pace(verb);
    if (code != 0)
        return code;
    if (verb->values.states.count > 1 ||
        (!filter.states[QUEUE_STATE_FAILED] && !filter.states[QUEUE_STATE_COMPLETED]))
        return verb_usage_error(verb, "--state is failed or completed: other jobs are not retried");
    return run_filtered(&bulk, &filter, "Retry");
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
    return queue_promote_jobs_by_id(bulk->verb->queue, ids, count, on_codes, bulk, err);
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
        code = check_pace(verb);
    return code ? code : run_filtered(&bulk, &filter, "Promote");
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
    return queue_remove_jobs(bulk->verb->queue, ids, count, on_codes, bulk, err);
}

static int act_remove(struct verb *verb)
{
    struct bulk bulk = {
        .verb = verb, .did = "removed", .what = "remove jobs", .send = send_remove
    };
    struct job_filter filter;
    int code = filter_init(&filter, verb, NULL, 0);

    if (code == 0)
        code = check_pace(verb);
    if (code != 0)
        return code;
    if (verb->values.states.count == 0)
        return verb_usage_error(verb, "needs --state: of which jobs?");
    return run_filtered(&bulk, &filter, "Remove");
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

/* ---- drain ---- */

static void on_counts(struct queue *queue, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (verb_answered(verb, call, "count the jobs"))
        *(struct queue_counts *)verb->state = *counts;
}

static int open_and_count(struct verb *verb, struct queue_counts *out)
{
    struct error err = { 0 };
    int code = verb_open_queue(verb, verb->words[0]);

    verb->state = out;
    if (code == 0)
        code = verb_finish(verb, queue_count_jobs(verb->queue, on_counts, verb, &err), &err,
                           "count the jobs");
    verb->state = NULL;
    return code;
}

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
    struct bulk_run run = run_of(&bulk);
    struct queue_counts counts = { 0 };
    struct error err = { 0 };
    int code = check_pace(verb);

    if (code == 0)
        code = open_and_count(verb, &counts);
    bulk.total = counts.waiting + counts.paused_list + counts.prioritized +
                 (verb->values.delayed ? counts.delayed : 0);
    if (code == 0 && verb->values.dry_run) {
        print_dry_run(&bulk);
        return 0;
    }
    if (code != 0 || (bulk.total > 0 && !ask(verb, "Remove the", bulk.total, " that wait", &code)))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_drain(verb->queue, verb->values.delayed, &run, &err), &err,
                       bulk.what);
    return end_bulk(&bulk, code);
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
        print_dry_run(bulk);
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
    return check_pace(verb);
}

static int act_clean(struct verb *verb)
{
    struct bulk bulk = { .verb = verb, .did = "removed", .what = "clean the queue" };
    struct bulk_run run = run_of(&bulk);
    struct clean_spec spec;
    struct error err = { 0 };
    int code = read_clean_spec(verb, &spec);

    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = count_old(&bulk, spec.state, spec.grace_ms);
    if (code != 0 || verb->values.dry_run)
        return code;
    if (bulk.total > 0 && !ask(verb, "Remove about", bulk.total, "", &code))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_clean(verb->queue, &spec, &run, &err), &err, bulk.what);
    return end_bulk(&bulk, code);
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
    struct bulk_run run = run_of(&bulk);
    struct queue_counts counts = { 0 };
    struct error err = { 0 };
    int code = check_pace(verb);

    if (code == 0)
        code = open_and_count(verb, &counts);
    for (size_t i = 0; i < QUEUE_STATE_COUNT; i++)
        bulk.total += queue_counts_of(&counts, (enum queue_state)i);
    if (code == 0 && verb->values.dry_run) {
        print_dry_run(&bulk);
        return 0;
    }
    if (code != 0 || !ask(verb, "Remove everything,", bulk.total, " and all settings", &code))
        return code;
    long_work_begin(&bulk.work, verb, bulk.did, bulk.total);
    code = verb_finish(verb, queue_obliterate(verb->queue, verb->values.force, &run, &err), &err,
                       bulk.what);
    if (code == 0 && bulk.refusal != BULK_DONE) {
        long_work_end(&bulk.work);
        return tell_refusal(&bulk);
    }
    return end_bulk(&bulk, code);
}

const struct cli_command cli_queue_obliterate_verb = VERB_ROW(
    "queue obliterate", "removes a queue with everything in it",
    "drover queue obliterate [OPTION...] QUEUE",
    "Pauses it, then removes its jobs in every state, its schedulers, events and settings.\n"
    "While jobs run nothing is removed, unless --force.",
    "a queue that was for a test\ndrover queue obliterate test --yes\n", obliterate_options,
    queue_operand, 1, 1, act_obliterate);

/* ---- orphans ---- */

static const struct cli_option orphans_options[] = {
    { .name = "repair",
      .kind = CLI_FLAG,
      VERB_AT(repair),
      .help = "those that an earlier look (a minute ago or more) has seen unchanged are put\n"
              "back where they belong" },
    { .name = "remove",
      .kind = CLI_FLAG,
      VERB_AT(remove),
      .help = "all of them are removed, at once" },
    VERB_DRY_RUN,
    VERB_YES,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

struct orphan_look {
    struct verb *verb;
    struct long_work work;
    enum orphan_action action;
    uint64_t found;
    bool cancelled;
};

static bool on_orphans_progress(struct queue *queue, const struct orphans_result *so_far, void *arg)
{
    struct orphan_look *look = arg;

    (void)queue;
    look->found = so_far->found;
    return long_work_step(&look->work, so_far->looked);
}

static void print_orphans(const struct orphan_look *look, const struct orphans_result *result)
{
    struct verb *verb = look->verb;
    struct buf *out = &verb->out;

    if (verb->values.json) {
        (void)buf_append_char(out, '{');
        output_member_text(out, true, "queue", verb->queue_name, strlen(verb->queue_name));
        output_member_number(out, false, "looked", result->looked);
        output_member_number(out, false, "found", result->found);
        output_member_number(out, false, "settled", result->settled);
        output_member_number(out, false, "changed", result->changed);
        (void)buf_append_text(out, "}\n");
        return;
    }
    (void)buf_printf(out, "%" PRIu64 " jobs looked at, %" PRIu64 " orphans", result->looked,
                     result->found);
    if (look->action == ORPHANS_REMOVE)
        (void)buf_printf(out, ", %" PRIu64 " removed\n", result->changed);
    else
        (void)buf_printf(out,
                         " (%" PRIu64 " seen before, a minute ago or more), %" PRIu64 " put back\n",
                         result->settled, result->changed);
    for (size_t i = 0; i < result->ids_count; i++) {
        (void)buf_append_text(out, "  ");
        output_text(out, result->ids[i].data, result->ids[i].len);
        (void)buf_append_char(out, '\n');
    }
    if (look->action == ORPHANS_REPAIR && result->found > result->settled)
        (void)buf_append_text(out, "look again in a minute: only what is seen twice is put back\n");
}

static void on_orphans(struct queue *queue, const struct call_result *call,
                       const struct orphans_result *result, void *arg)
{
    struct orphan_look *look = arg;

    (void)queue;
    if (!verb_answered(look->verb, call, "look for orphans"))
        return;
    look->cancelled = result->cancelled;
    print_orphans(look, result);
}

static int act_orphans(struct verb *verb)
{
    struct orphan_look look = { .verb = verb, .action = ORPHANS_REPORT };
    struct orphans_spec spec = { .on_progress = on_orphans_progress,
                                 .on_done = on_orphans,
                                 .arg = &look };
    struct error err = { 0 };
    int code;

    if (verb->values.repair && verb->values.remove)
        return verb_usage_error(verb, "give --repair or --remove");
    if (!verb->values.dry_run)
        look.action = verb->values.repair   ? ORPHANS_REPAIR
                      : verb->values.remove ? ORPHANS_REMOVE
                                            : ORPHANS_REPORT;
    spec.action = look.action;
    code = verb_open_queue(verb, verb->words[0]);
    if (code == 0 && look.action == ORPHANS_REMOVE) {
        char question[256];

        (void)snprintf(question, sizeof(question), "Remove all orphaned jobs of queue %s",
                       verb->queue_name);
        code = long_work_ask(verb, question);
    }
    if (code != 0)
        return code;
    long_work_begin(&look.work, verb, "looked at", 0);
    code = verb_finish(verb, queue_look_for_orphans(verb->queue, &spec, &err), &err,
                       "look for orphans");
    long_work_end(&look.work);
    if (code == 0 && look.cancelled && long_work_interrupted()) {
        output_error("interrupted; what was found until then is above");
        code = EXIT_CODE_FAILED;
    }
    return code;
}

const struct cli_command cli_queue_orphans_verb =
    VERB_ROW("queue orphans", "finds jobs that are in no state, and puts them back",
             "drover queue orphans [OPTION...] QUEUE",
             "Nobody will ever run such a job. Stock BullMQ 5 and 6 on one queue make them when a\n"
             "paused queue is resumed, and so does a server that lost data.",
             "are there any?\ndrover queue orphans mail\n"
             "put them back (the second look does it)\ndrover queue orphans mail --repair\n",
             orphans_options, queue_operand, 1, 1, act_orphans);
