/* drover queue orphans: jobs that are in no state. */
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/json_text.h"
#include "common/queue/orphans.h"
#include "supervisor/cli/long_work.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

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

struct orphans {
    struct verb *verb;
    struct long_work work;
    enum orphan_action action;
    struct orphans_result result; /* ids: not after the callback */
    bool complete;
};

static void print_orphans_json(const struct orphans *orphans, const struct orphans_result *result)
{
    struct verb *verb = orphans->verb;
    struct buf *out = &verb->out;

    (void)buf_append_char(out, '{');
    output_member_text(out, true, "queue", verb->queue_name, strlen(verb->queue_name));
    output_member_number(out, false, "looked", result->looked);
    output_member_number(out, false, "found", result->found);
    output_member_number(out, false, "settled", result->settled);
    output_member_number(out, false, "changed", result->changed);
    (void)buf_append_text(out, ",\"ids\":[");
    for (size_t i = 0; i < result->ids_count; i++) {
        (void)buf_append_text(out, i > 0 ? "," : "");
        (void)json_text_quote(out, result->ids[i].data, result->ids[i].len);
    }
    (void)buf_append_text(out, "]}\n");
}

static void print_orphans(const struct orphans *orphans, const struct orphans_result *result)
{
    struct buf *out = &orphans->verb->out;

    (void)buf_printf(out, "%" PRIu64 " jobs looked at, %" PRIu64 " orphans", result->looked,
                     result->found);
    if (orphans->action == ORPHANS_REMOVE)
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
    if (orphans->action == ORPHANS_REPAIR && result->found > result->settled)
        (void)buf_append_text(out, "look again in a minute: only what is seen twice is put back\n");
}

static void on_orphans(struct queue *queue, const struct call_result *call,
                       const struct orphans_result *result, void *arg)
{
    struct orphans *orphans = arg;

    (void)queue;
    if (!verb_answered(orphans->verb, call, "look for orphans"))
        return;
    orphans->result = *result;
    orphans->complete = result->complete;
    if (result->complete && orphans->verb->values.json)
        print_orphans_json(orphans, result);
    else if (result->complete)
        print_orphans(orphans, result);
}

static int look_for_orphans(struct orphans *orphans)
{
    struct verb *verb = orphans->verb;
    const struct orphans_spec spec = { .action = orphans->action };
    struct orphan_look *look = NULL;
    struct error err = { 0 };
    bool go_on = true;
    int code = 0;

    if (orphan_look_new(verb->queue, &spec, &look, &err) < 0) {
        output_error("look for orphans: %s", err.text);
        return EXIT_CODE_FAILED;
    }
    long_work_begin(&orphans->work, verb, "looked at", 0);
    while (code == 0 && go_on && !orphans->complete) {
        queue_set_redis(verb->queue, verb->session.redis);
        code = verb_finish(verb, orphan_look_step(look, on_orphans, orphans, &err), &err,
                           "look for orphans");
        go_on = long_work_step(&orphans->work, orphans->result.looked);
    }
    long_work_end(&orphans->work);
    orphan_look_free(look);
    if (code != 0 || orphans->complete)
        return code;
    output_error("interrupted: %" PRIu64 " orphans found until then, %" PRIu64
                 " of them %s; the queue is consistent",
                 orphans->result.found, orphans->result.changed,
                 orphans->action == ORPHANS_REMOVE ? "removed" : "put back");
    return EXIT_CODE_FAILED;
}

static int act_orphans(struct verb *verb)
{
    struct orphans orphans = { .verb = verb, .action = ORPHANS_REPORT };
    char question[256];
    int code;

    if (verb->values.repair && verb->values.remove)
        return verb_usage_error(verb, "give --repair or --remove");
    if (!verb->values.dry_run && verb->values.repair)
        orphans.action = ORPHANS_REPAIR;
    if (!verb->values.dry_run && verb->values.remove)
        orphans.action = ORPHANS_REMOVE;
    code = verb_open_queue(verb, verb->words[0]);
    if (code == 0 && orphans.action == ORPHANS_REMOVE) {
        (void)snprintf(question, sizeof(question), "Remove all orphaned jobs of queue %s",
                       verb->queue_name);
        code = long_work_ask(verb, question);
    }
    return code ? code : look_for_orphans(&orphans);
}

const struct cli_command cli_queue_orphans_verb =
    VERB_ROW("queue orphans", "finds jobs that are in no state, and puts them back",
             "drover queue orphans [OPTION...] QUEUE",
             "Nobody will ever run such a job. Stock BullMQ 5 and 6 on one queue make them when a\n"
             "paused queue is resumed, and so does a server that lost data.",
             "are there any?\ndrover queue orphans mail\n"
             "put them back (the second look does it)\ndrover queue orphans mail --repair\n",
             orphans_options, queue_operand, 1, 1, act_orphans);
