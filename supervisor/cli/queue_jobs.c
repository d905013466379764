/* drover queue jobs: the jobs of a queue, by state, type, error and time. */
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/select.h"
#include "supervisor/cli/verb.h"

#define JOBS_SHOWN     50
#define DELAYED_FACTOR 4096.0 /* of a score, wire format 3.3 */
#define REASON_SHOWN   60

static const struct cli_option options[] = {
    VERB_STATE,
    VERB_MATCH,
    { .name = "order",
      .kind = CLI_TEXT,
      .arg = "ORDER",
      .value = CLI_VALUE_WORDS,
      .words = "newest oldest",
      VERB_AT(order),
      .help = "newest first (unless given), or oldest: of what waits the next to run first" },
    { .name = "limit",
      .letter = 'l',
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(limit),
      .help = "at most N jobs, 0 for all; 50 unless given" },
    { .name = "start",
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(start),
      .help = "passes over the first N jobs of each state" },
    { .name = "ids", .kind = CLI_FLAG, VERB_AT(ids), .help = "only their ids, one a line" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

struct lister {
    struct verb *verb;
    struct job_filter filter;
    struct output_table table;
    uint64_t limit, shown;
    bool more; /* another one matches */
};

static uint64_t due_of(const struct job_row *row)
{
    return row->state == QUEUE_STATE_DELAYED && row->score > 0
               ? (uint64_t)(row->score / DELAYED_FACTOR)
               : 0;
}

static void member_time(struct buf *out, const char *name, uint64_t at_ms)
{
    if (at_ms > 0)
        output_member_number(out, false, name, at_ms);
}

static void print_json(const struct lister *lister, const struct job_row *row)
{
    struct buf *out = &lister->verb->out;
    const char *state = queue_state_name(row->state);

    (void)buf_append_text(out, lister->shown > 0 ? ",\n{" : "\n{");
    output_member_text(out, true, "id", row->id.data, row->id.len);
    output_member_text(out, false, "state", state, strlen(state));
    if (!row->exists) {
        (void)buf_append_text(out, ",\"gone\":true}");
        return;
    }
    output_member_text(out, false, "name", row->name.data ? row->name.data : "", row->name.len);
    output_member_number(out, false, "timestamp", row->added_at_ms);
    member_time(out, "processed_on", row->started_at_ms);
    member_time(out, "finished_on", row->ended_at_ms);
    member_time(out, "due_at_ms", due_of(row));
    output_member_number(out, false, "attempts_made", row->attempts_made);
    output_member_number(out, false, "priority", row->priority);
    if (row->failed_reason.data)
        output_member_text(out, false, "failed_reason", row->failed_reason.data,
                           row->failed_reason.len);
    (void)buf_append_char(out, '}');
}

static void cell_bytes(struct output_table *table, struct bytes text, size_t max)
{
    char cell[256];
    size_t len = text.data ? strcspn(text.data, "\n") : 0;

    if (len > text.len)
        len = text.len;
    if (len > max)
        len = text_utf8_prefix(text.data, max);
    (void)snprintf(cell, sizeof(cell), "%.*s%s", (int)len, text.data ? text.data : "",
                   len < text.len ? "..." : "");
    output_table_cell(table, cell);
}

static void print_row(struct lister *lister, const struct job_row *row)
{
    char time[OUTPUT_TIME_BYTES];
    uint64_t at_ms = row->ended_at_ms     ? row->ended_at_ms
                     : due_of(row)        ? due_of(row)
                     : row->started_at_ms ? row->started_at_ms
                                          : row->added_at_ms;

    cell_bytes(&lister->table, row->id, 200);
    output_table_cell(&lister->table, row->exists ? queue_state_name(row->state) : "gone");
    cell_bytes(&lister->table, row->name, 40);
    output_table_cell(&lister->table, output_time(at_ms, time));
    output_table_number(&lister->table, row->attempts_made);
    cell_bytes(&lister->table, row->failed_reason, REASON_SHOWN);
}

static bool take(const struct job_row *row, void *arg)
{
    struct lister *lister = arg;

    if (!filter_matches(&lister->filter, row))
        return true;
    if (lister->limit > 0 && lister->shown == lister->limit) {
        lister->more = true;
        return false;
    }
    if (lister->verb->values.ids) {
        output_text(&lister->verb->out, row->id.data, row->id.len);
        (void)buf_append_char(&lister->verb->out, '\n');
    } else if (lister->verb->values.json) {
        print_json(lister, row);
    } else {
        print_row(lister, row);
    }
    lister->shown++;
    return true;
}

static int walk_states(struct lister *lister)
{
    struct verb *verb = lister->verb;
    bool ascending = verb->values.order && strcmp(verb->values.order, "oldest") == 0;
    int code = 0;

    for (size_t i = 0; i < QUEUE_STATE_COUNT && code == 0 && !lister->more; i++) {
        if (lister->filter.states[i])
            code = select_walk(verb, (enum queue_state)i, verb->values.start.value, ascending, take,
                               lister);
    }
    return code;
}

static void begin_output(struct lister *lister)
{
    static const char *const heads[] = { "ID", "STATE", "TYPE", "TIME", "ATTEMPTS", "REASON" };

    if (lister->verb->values.json)
        (void)buf_append_text(&lister->verb->out, "{\"jobs\":[");
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&lister->table, heads[i]);
}

static void end_output(struct lister *lister)
{
    struct buf *out = &lister->verb->out;

    if (lister->verb->values.json) {
        (void)buf_printf(out, "\n],\"more\":%s}\n", lister->more ? "true" : "false");
        return;
    }
    if (lister->verb->values.ids)
        return;
    if (lister->shown == 0) {
        (void)buf_append_text(out, "no jobs\n");
        return;
    }
    output_table_print(&lister->table, out);
    if (lister->more)
        (void)buf_append_text(out, "... and more; --limit 0 shows all\n");
}

static int act_jobs(struct verb *verb)
{
    static const enum queue_state all[] = {
        QUEUE_STATE_ACTIVE,  QUEUE_STATE_WAITING,     QUEUE_STATE_PAUSED,
        QUEUE_STATE_DELAYED, QUEUE_STATE_PRIORITIZED, QUEUE_STATE_WAITING_CHILDREN,
        QUEUE_STATE_FAILED,  QUEUE_STATE_COMPLETED,
    };
    static const bool right[] = { false, false, false, false, true, false };
    const struct verb_values *values = &verb->values;
    struct lister lister = { .verb = verb };
    int code;

    if (values->order && strcmp(values->order, "newest") != 0 &&
        strcmp(values->order, "oldest") != 0)
        return verb_usage_error(verb, "--order is newest or oldest, not \"%s\"", values->order);
    lister.limit = values->limit.given ? values->limit.value : JOBS_SHOWN;
    verb->values.limit = (struct cli_number){ 0 }; /* ours may be 0 */
    code = filter_init(&lister.filter, verb, all, ARRAY_SIZE(all));
    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code != 0)
        return code;
    output_table_init(&lister.table, ARRAY_SIZE(right), right);
    begin_output(&lister);
    code = walk_states(&lister);
    if (code == 0)
        end_output(&lister);
    else
        buf_reset(&verb->out);
    output_table_done(&lister.table);
    return code;
}

const struct cli_command cli_queue_jobs_verb = VERB_ROW(
    "queue jobs", "lists the jobs of a queue", "drover queue jobs [OPTION...] QUEUE",
    "TIME is when a job ended, else when it is due, started, or was added.\n"
    "A job in the state `gone` is an id of which Redis has no job any more.",
    "what runs next\ndrover queue jobs mail --state waiting --order oldest\n"
    "what failed with a timeout in the last hour\n"
    "drover queue jobs mail --state failed --error ETIMEDOUT --newer-than 1h\n"
    "their ids, for another program\ndrover queue jobs mail --state failed --ids --limit 0\n",
    options, operands, 1, 1, act_jobs);
