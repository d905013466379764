#include "supervisor/cli/bulk_work.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/verb.h"

#define BATCH_PRESET 100
#define SHOWN_MAX    20 /* ids of a dry run */

int bulk_check_pace(const struct verb *verb)
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

bool bulk_ask(struct verb *verb, const char *doing, uint64_t count, const char *which, int *code)
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

int bulk_end(struct bulk *bulk, int code)
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

struct bulk_run bulk_run_of(struct bulk *bulk)
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

void bulk_on_codes(struct queue *queue, const struct call_result *call,
                   const enum change_code *codes, size_t count, void *arg)
{
    struct bulk *bulk = arg;

    (void)queue;
    /* Those before a failure were done all the same. */
    for (size_t i = 0; i < count; i++) {
        if (codes[i] == CHANGE_OK)
            bulk->done++;
        else
            count_code(bulk, codes[i]);
    }
    (void)verb_answered(bulk->verb, call, bulk->what);
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
    return bulk_end(bulk, code);
}

void bulk_print_dry_run(struct bulk *bulk)
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
int bulk_run_filtered(struct bulk *bulk, const struct job_filter *filter, const char *doing)
{
    struct verb *verb = bulk->verb;
    struct selection selection = { 0 };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code == 0)
        code = select_jobs(verb, filter, &selection);
    bulk->selection = &selection;
    bulk->total = selection.count;
    if (code == 0 && verb->values.dry_run)
        bulk_print_dry_run(bulk);
    else if (code == 0 &&
             (selection.count == 0 || !doing || bulk_ask(verb, doing, selection.count, "", &code)))
        code = run_by_ids(bulk);
    selection_done(&selection);
    bulk->selection = NULL;
    return code;
}

static void on_counts(struct queue *queue, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (verb_answered(verb, call, "count the jobs"))
        *(struct queue_counts *)verb->state = *counts;
}

int bulk_open_and_count(struct verb *verb, struct queue_counts *out)
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
