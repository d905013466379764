#include "supervisor/cli/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/verb.h"

#define PAGE  500
#define DAY_S 86400L

/* ---- times ---- */

/* 2026-11-22, 2026-11-22T10:00, 2026-11-22T10:00:05, with a zone or in local time. */
static bool parse_date(const char *text, uint64_t *out_ms)
{
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                         "%Y-%m-%d %H:%M", "%Y-%m-%d" };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct tm parts = { .tm_isdst = -1 };
        const char *rest = strptime(text, forms[i], &parts);
        const char *end = rest && *rest ? strptime(rest, "%z", &parts) : rest;
        time_t seconds;
        long zone;

        if (!end || *end)
            continue;
        zone = parts.tm_gmtoff; /* timegm clears it */
        if (*rest && (zone <= -DAY_S || zone >= DAY_S))
            return false;
        seconds = *rest ? timegm(&parts) - zone : mktime(&parts);
        if (seconds < 0)
            return false;
        *out_ms = (uint64_t)seconds * 1000;
        return true;
    }
    return false;
}

bool filter_parse_time(const char *text, uint64_t now_ms, uint64_t *out_ms)
{
    struct error err = { 0 };
    uint64_t age_ms;

    if (units_parse_duration(text, &age_ms, &err) < 0)
        return parse_date(text, out_ms);
    *out_ms = age_ms < now_ms ? now_ms - age_ms : 0;
    return true;
}

/* ---- the filter ---- */

static int read_time(const struct verb *verb, const char *option, const char *text,
                     uint64_t *out_ms)
{
    if (!text || filter_parse_time(text, clock_wall_ms(), out_ms))
        return 0;
    return verb_usage_error(verb,
                            "--%s needs an age as in 2h or 7d, or a time as in 2026-11-22T10:00, "
                            "not \"%s\"",
                            option, text);
}

static int read_states(struct job_filter *filter, const struct verb *verb)
{
    struct error err = { 0 };
    enum queue_state state;

    for (size_t i = 0; i < verb->values.states.count; i++) {
        if (queue_state_parse(verb->values.states.items[i], &state, &err) < 0)
            return verb_usage_error(verb, "--state: %s", err.text);
        filter->states[state] = true;
        if (state == QUEUE_STATE_WAITING) /* both lists are "waiting" to people */
            filter->states[QUEUE_STATE_PAUSED] = true;
    }
    return 0;
}

int filter_init(struct job_filter *filter, const struct verb *verb,
                const enum queue_state *defaults, size_t defaults_count)
{
    const struct verb_values *values = &verb->values;
    int code;

    *filter = (struct job_filter){ .types = values->types.items,
                                   .types_count = values->types.count,
                                   .error = values->error,
                                   .limit = values->limit.value };
    if (values->limit.given && values->limit.value == 0)
        return verb_usage_error(verb, "--limit needs a number of at least 1");
    code = read_states(filter, verb);
    if (code == 0)
        code = read_time(verb, "older-than", values->older, &filter->before_ms);
    if (code == 0)
        code = read_time(verb, "newer-than", values->newer, &filter->after_ms);
    for (size_t i = 0; values->states.count == 0 && i < defaults_count; i++)
        filter->states[defaults[i]] = true;
    return code;
}

bool filter_is_narrow(const struct job_filter *filter)
{
    return filter->types_count > 0 || filter->error || filter->before_ms || filter->after_ms ||
           filter->limit;
}

static bool has_type(const struct job_filter *filter, struct bytes name)
{
    for (size_t i = 0; i < filter->types_count; i++) {
        if (name.data && strlen(filter->types[i]) == name.len &&
            memcmp(filter->types[i], name.data, name.len) == 0)
            return true;
    }
    return filter->types_count == 0;
}

bool filter_matches(const struct job_filter *filter, const struct job_row *row)
{
    uint64_t at_ms = row->ended_at_ms ? row->ended_at_ms : row->added_at_ms;

    if (!has_type(filter, row->name))
        return false;
    if (filter->error &&
        (!row->failed_reason.data || !memmem(row->failed_reason.data, row->failed_reason.len,
                                             filter->error, strlen(filter->error))))
        return false;
    return (filter->before_ms == 0 || at_ms < filter->before_ms) &&
           (filter->after_ms == 0 || at_ms >= filter->after_ms);
}

/* ---- walking ---- */

static const char *const row_fields[] = { "name",         "timestamp", "processedOn", "finishedOn",
                                          "failedReason", "atm",       "priority" };

struct walk {
    struct verb *verb;
    enum queue_state state;
    select_take *take;
    void *arg;
    size_t count; /* rows of the page */
    bool ended;
};

static uint64_t number_of(struct bytes text)
{
    uint64_t number = 0;

    return text.data && text_parse_uint(text.data, text.len, &number) == 0 ? number : 0;
}

static void on_page(struct queue *queue, const struct call_result *call,
                    const struct range_row *rows, size_t count, uint64_t total, void *arg)
{
    struct walk *walk = arg;

    (void)queue;
    (void)total;
    if (!verb_answered(walk->verb, call, "read the jobs of the queue"))
        return;
    walk->count = count;
    for (size_t i = 0; i < count && !walk->ended; i++) {
        const struct bytes *values = rows[i].values;
        bool whole = rows[i].fields_count == ARRAY_SIZE(row_fields);
        struct job_row row = {
            .state = walk->state, .id = rows[i].id, .score = rows[i].score, .exists = rows[i].exists
        };

        if (whole) {
            row.name = values[0];
            row.added_at_ms = number_of(values[1]);
            row.started_at_ms = number_of(values[2]);
            row.ended_at_ms = number_of(values[3]);
            row.failed_reason = values[4];
            row.attempts_made = number_of(values[5]);
            row.priority = number_of(values[6]);
        }
        walk->ended = !walk->take(&row, walk->arg);
    }
}

int select_walk(struct verb *verb, enum queue_state state, uint64_t start, bool ascending,
                select_take *take, void *arg)
{
    struct walk walk = { .verb = verb, .state = state, .take = take, .arg = arg };
    struct range_spec spec = { .state = state,
                               .start = start,
                               .count = PAGE,
                               .ascending = ascending,
                               .fields = row_fields,
                               .fields_count = ARRAY_SIZE(row_fields) };
    struct error err = { 0 };
    int code = 0;

    do {
        walk.count = 0;
        queue_set_redis(verb->queue, verb->session.redis);
        code = verb_finish(verb, queue_get_range(verb->queue, &spec, on_page, &walk, &err), &err,
                           "read the jobs of the queue");
        spec.start += PAGE;
    } while (code == 0 && walk.count == PAGE && !walk.ended);
    return code;
}

/* ---- gathering ---- */

struct gathering {
    const struct job_filter *filter;
    struct selection *selection;
    size_t page_from; /* in selection: where the last page begins, whose jobs may come again */
    size_t page_rows;
    size_t page_before;
    bool failed;
};

static bool is_taken(const struct gathering *at, struct bytes id)
{
    for (size_t i = at->page_before; i < at->selection->count; i++) {
        const char *known = at->selection->jobs[i].id;

        if (strlen(known) == id.len && memcmp(known, id.data, id.len) == 0)
            return true;
    }
    return false;
}

static bool keep(struct selection *selection, const struct job_row *row)
{
    char *id;

    if (selection->count == selection->cap) {
        size_t cap = selection->cap ? 2 * selection->cap : 1024;
        struct selected_job *grown = reallocarray(selection->jobs, cap, sizeof(*grown));

        if (!grown)
            return false;
        selection->jobs = grown;
        selection->cap = cap;
    }
    id = strndup(row->id.data, row->id.len);
    if (!id)
        return false;
    selection->jobs[selection->count++] = (struct selected_job){ id, row->state };
    return true;
}

static bool take(const struct job_row *row, void *arg)
{
    struct gathering *at = arg;

    at->selection->looked++;
    if (at->page_rows == PAGE) {
        at->page_before = at->page_from;
        at->page_from = at->selection->count;
        at->page_rows = 0;
    }
    at->page_rows++;
    if (!row->exists || !filter_matches(at->filter, row) || is_taken(at, row->id) ||
        memchr(row->id.data, 0, row->id.len)) /* no id that could be named */
        return true;
    if (at->selection->count == SELECTION_MAX) {
        output_error("more than %d jobs match; narrow it down, or give --limit", SELECTION_MAX);
        at->failed = true;
    } else if (!keep(at->selection, row)) {
        output_error("memory ran out");
        at->failed = true;
    }
    return !at->failed;
}

/* The jobs from there on were gathered the newest first. */
static void turn_round(struct selection *selection, size_t from)
{
    for (size_t to = selection->count; from + 1 < to; from++) {
        struct selected_job other = selection->jobs[from];

        selection->jobs[from] = selection->jobs[--to];
        selection->jobs[to] = other;
    }
}

/* The oldest stay. */
static void cut(struct selection *selection, uint64_t limit)
{
    while (limit > 0 && selection->count > limit)
        free(selection->jobs[--selection->count].id);
}

int select_jobs(struct verb *verb, const struct job_filter *filter, struct selection *out)
{
    int code = 0;

    *out = (struct selection){ 0 };
    for (size_t state = 0; state < QUEUE_STATE_COUNT && code == 0; state++) {
        size_t from = out->count;
        struct gathering at = {
            .filter = filter, .selection = out, .page_from = from, .page_before = from
        };

        if (!filter->states[state])
            continue;
        code = select_walk(verb, (enum queue_state)state, 0, /* ascending= */ false, take, &at);
        turn_round(out, from);
        if (at.failed)
            code = EXIT_CODE_FAILED;
    }
    cut(out, filter->limit);
    return code;
}

void selection_done(struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        free(selection->jobs[i].id);
    free(selection->jobs);
    *selection = (struct selection){ 0 };
}
