/* verbs.c - what can be asked over the control socket, and the answers (docs/protocols/control.md).
 * What children wrote into the scoreboard is shown, never trusted: texts may be cut or torn. */
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/supervisor_state.h"

#define CONCURRENCY_MAX 100000

/* ---- ps */

static json_t *percentiles(const uint64_t buckets[SCOREBOARD_BUCKETS])
{
    return json_pack("{s:I, s:I}", "p50", (json_int_t)scoreboard_percentile_us(buckets, 0.5), "p99",
                     (json_int_t)scoreboard_percentile_us(buckets, 0.99));
}

/* Text of a child: what is not UTF-8 is left out from there on. */
static json_t *text_json(const char *text)
{
    return json_stringn(text, text_utf8_prefix(text, strlen(text)));
}

/* A number of a child; what JSON's integers cannot hold is shown as the largest that they can. */
static json_int_t number(uint64_t value)
{
    return value < INT64_MAX ? (json_int_t)value : INT64_MAX;
}

static uint64_t age_ms(uint64_t boot_ms)
{
    uint64_t now_ms = clock_boot_ms();

    return boot_ms > 0 && boot_ms < now_ms ? now_ms - boot_ms : 0;
}

static json_t *jobs_json(const struct scoreboard_view *view)
{
    json_t *jobs = json_array();

    for (size_t i = 0; i < view->jobs_count; i++) {
        const struct scoreboard_job *job = &view->jobs[i];

        (void)json_array_append_new(/* out of memory shows at the end of the request */
                                    jobs,
                                    json_pack("{s:o, s:o, s:I, s:I, s:i}", "id", text_json(job->id),
                                              "type", text_json(job->type), "age_ms",
                                              (json_int_t)age_ms(job->started_boot_ms), "attempt",
                                              number(job->attempt), "pid", (int)job->pid));
    }
    return jobs;
}

static void add_counters(json_t *row, const struct scoreboard_view *view)
{
    static const struct {
        const char *name;
        enum scoreboard_counter counter;
    } counters[] = {
        { "running", SCOREBOARD_RUNNING },       { "slots", SCOREBOARD_JOB_SLOTS },
        { "completed", SCOREBOARD_COMPLETED },   { "failed", SCOREBOARD_FAILED },
        { "retried", SCOREBOARD_RETRIED },       { "lost", SCOREBOARD_LOST },
        { "given_back", SCOREBOARD_GIVEN_BACK }, { "waiting", SCOREBOARD_WAITING },
        { "active", SCOREBOARD_ACTIVE },         { "calls", SCOREBOARD_CALLS },
    };
    uint64_t flags = view->counters[SCOREBOARD_FLAGS];

    for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
        (void)json_object_set_new(row, counters[i].name,
                                  json_integer(number(view->counters[counters[i].counter])));
    (void)json_object_set_new(row, "redis_up", json_boolean(flags & SCOREBOARD_REDIS_UP));
    (void)json_object_set_new(row, "paused", json_boolean(flags & SCOREBOARD_PAUSED));
    (void)json_object_set_new(row, "maxed", json_boolean(flags & SCOREBOARD_MAXED));
    (void)json_object_set_new(row, "limited", json_boolean(flags & SCOREBOARD_LIMITED));
    (void)json_object_set_new(row, "beat_age_ms",
                              json_integer((json_int_t)age_ms(view->counters[SCOREBOARD_BEAT_MS])));
}

static json_t *worker_json(const struct slot *slot, const struct scoreboard_view *view)
{
    json_t *row =
        json_pack("{s:i, s:s, s:I, s:s, s:I, s:s, s:I, s:s, s:o, s:o, s:o, s:o}", "pid",
                  slot->child ? (int)slot->child->pid : 0, "queue", slot->queue, "slot",
                  (json_int_t)slot->index, "state",
                  scoreboard_state_name((enum scoreboard_state)view->master.state), "generation",
                  (json_int_t)slot->child_generation, "uuid",
                  slot->child ? slot->child->uuid : slot->last_uuid, "spawned_at_ms",
                  (json_int_t)view->master.spawned_at_ms, "role", "worker", "jobs", jobs_json(view),
                  "run_us", percentiles(view->histograms[SCOREBOARD_RUN_US]), "wait_us",
                  percentiles(view->histograms[SCOREBOARD_WAIT_US]), "call_us",
                  percentiles(view->histograms[SCOREBOARD_CALL_US]));

    if (row)
        add_counters(row, view);
    return row;
}

/* A place without a process: waiting for its next start, or given up. */
static json_t *empty_json(const struct slot *slot)
{
    uint64_t now_ms = clock_now_ms();

    return json_pack("{s:i, s:s, s:I, s:s, s:I, s:s, s:I, s:s}", "pid", 0, "queue", slot->queue,
                     "slot", (json_int_t)slot->index, "state", slot_state_name(slot->state),
                     "generation", (json_int_t)slot->child_generation, "uuid", slot->last_uuid,
                     "next_start_ms",
                     (json_int_t)(slot->deadline_ms > now_ms ? slot->deadline_ms - now_ms : 0),
                     "last_cause", slot->last_cause);
}

static void add_slot_row(struct supervisor *supervisor, struct control_request *request,
                         const struct slot *slot)
{
    static struct scoreboard_view view; /* large; one thread */

    if (slot->board_slot >= 0 && scoreboard_read(supervisor->board, slot->board_slot, &view))
        (void)control_request_add_row(request, worker_json(slot, &view));
    else if (slot->state != SLOT_STOPPED)
        (void)control_request_add_row(request, empty_json(slot));
}

static json_t *recovery_json(const struct recovery *recovery)
{
    uint64_t now_ms = clock_wall_ms();

    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:b}", "uuid", recovery->ask.uuid, "queue", recovery->ask.queue,
        "cause", recovery->end, "age_ms",
        (json_int_t)(now_ms > recovery->since_at_ms ? now_ms - recovery->since_at_ms : 0), "asked",
        (json_int_t)recovery->asks, "fence_only", recovery->ask.fence_only != 0);
}

static bool wants_queue(const struct control_request *request, const char *queue)
{
    const json_t *wanted = json_object_get(control_request_args(request), "queue");

    return !json_is_string(wanted) || strcmp(json_string_value(wanted), queue) == 0;
}

static void on_ps(struct control_request *request, void *arg)
{
    struct supervisor *supervisor = arg;

    for (size_t i = 0; i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        if (!wants_queue(request, pool->queue))
            continue;
        for (size_t j = 0; j < pool->count; j++)
            add_slot_row(supervisor, request, pool->places[j].slot);
    }
    for (const struct recovery *recovery = supervisor->recoveries.first; recovery;
         recovery = recovery->next) {
        if (wants_queue(request, recovery->ask.queue))
            (void)control_request_add_row(request,
                                          json_pack("{s:o}", "recovery", recovery_json(recovery)));
    }
    control_request_end(
        request, json_pack("{s:I}", "generation", (json_int_t)supervisor->generation->number));
}

/* ---- totals */

/* The processes that are still there have not been added up yet. */
static void add_living(const struct supervisor *supervisor, struct scoreboard_totals *totals)
{
    for (size_t i = 0; i < supervisor->pools_count; i++) {
        const struct pool *pool = supervisor->pools[i];

        if (strcmp(pool->queue, totals->queue) != 0)
            continue;
        for (size_t j = 0; j < pool->count; j++)
            scoreboard_add_live(supervisor->board, pool->places[j].slot->board_slot, totals);
    }
}

static json_t *totals_json(const struct scoreboard_totals *totals)
{
    json_t *row = json_pack("{s:o, s:b, s:I}", "queue", text_json(totals->queue), "served",
                            (int)totals->served, "since_at_ms", number(totals->since_at_ms));

    for (int i = 0; row && i < SCOREBOARD_TOTAL_COUNT; i++)
        (void)json_object_set_new(/* out of memory shows at the end of the request */
                                  row, scoreboard_total_name((enum scoreboard_total)i),
                                  json_integer(number(totals->values[i])));
    return row;
}

static void on_totals(struct control_request *request, void *arg)
{
    const struct supervisor *supervisor = arg;
    struct scoreboard_totals totals;
    struct scoreboard_life life;

    for (int i = 0; scoreboard_read_totals(supervisor->board, i, &totals); i++) {
        if (!wants_queue(request, totals.queue))
            continue;
        add_living(supervisor, &totals);
        (void)control_request_add_row(request, totals_json(&totals));
    }
    scoreboard_read_life(supervisor->board, &life);
    control_request_end(request, json_pack("{s:I, s:I}", "starts", (json_int_t)life.starts,
                                           "since_at_ms", number(life.made_at_ms)));
}

/* ---- status, version */

static const char *phase_name(const struct supervisor *supervisor)
{
    if (supervisor->phase != PHASE_RUNNING)
        return "stopping";
    if (supervisor->reload.phase != RELOAD_IDLE)
        return "reloading";
    return supervisor->service.told_ready ? "running" : "starting";
}

static void on_status(struct control_request *request, void *arg)
{
    const struct supervisor *supervisor = arg;
    json_t *pending = json_array();

    for (const struct recovery *recovery = supervisor->recoveries.first; recovery;
         recovery = recovery->next)
        (void)json_array_append_new(pending, recovery_json(recovery));
    (void)control_request_add_row(
        request,
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:o, s:{s:I, s:I, s:I}}", "pid",
                  (int)getpid(), "version", DROVER_VERSION, "state", phase_name(supervisor),
                  "generation", (json_int_t)supervisor->generation->number, "uptime_ms",
                  (json_int_t)(clock_now_ms() - supervisor->started_ms), "config",
                  supervisor->options.file ? supervisor->options.file : "", "queues",
                  (json_int_t)supervisor->generation->config->queues_count, "workers",
                  (json_int_t)supervisor_count_slots(supervisor), "serving",
                  (json_int_t)supervisor_count_in(supervisor, SLOT_SERVING), "recoveries", pending,
                  "recovered", "processes", (json_int_t)supervisor->recoveries.done, "given_back",
                  (json_int_t)supervisor->recoveries.given_back, "failed",
                  (json_int_t)supervisor->recoveries.failed));
    control_request_end(request, NULL);
}

static void on_version(struct control_request *request, void *arg)
{
    const struct supervisor *supervisor = arg;

    control_request_end(request,
                        json_pack("{s:i, s:s, s:i, s:I}", "pid", (int)getpid(), "version",
                                  DROVER_VERSION, "protocol", CONTROL_VERSION, "generation",
                                  (json_int_t)supervisor->generation->number));
}

/* ---- reload, scale */

static void on_reload(struct control_request *request, void *arg)
{
    reload_ask_for(arg, request);
}

static void fail_unknown_queue(const struct supervisor *supervisor, struct control_request *request,
                               const char *queue)
{
    const struct config *config = supervisor->generation->config;
    const char **names = calloc(config->queues_count ? config->queues_count : 1, sizeof *names);
    const char *nearest = NULL;

    for (size_t i = 0; names && i < config->queues_count; i++)
        names[i] = config->queues[i].name;
    if (names)
        nearest = text_nearest(queue, names, config->queues_count);
    if (nearest)
        control_request_fail(request, EXIT_CODE_FAILED, NULL,
                             "there is no queue %.128s here; did you mean %s?", queue, nearest);
    else
        control_request_fail(request, EXIT_CODE_FAILED, NULL, "there is no queue %.128s here",
                             queue);
    free(names);
}

static void scale(struct supervisor *supervisor, struct control_request *request)
{
    const json_t *args = control_request_args(request);
    const char *queue = json_string_value(json_object_get(args, "queue"));
    const json_t *concurrency = json_object_get(args, "concurrency");
    bool keep = json_is_true(json_object_get(args, "keep"));
    struct pool *pool = queue ? supervisor_find_pool(supervisor, queue) : NULL;
    struct error err = { 0 };
    unsigned int from;

    if (!queue || !json_is_integer(concurrency) || json_integer_value(concurrency) < 0 ||
        json_integer_value(concurrency) > CONCURRENCY_MAX) {
        control_request_fail(request, EXIT_CODE_USAGE, NULL,
                             "scale needs a queue (text) and a concurrency (0 to %d)",
                             CONCURRENCY_MAX);
        return;
    }
    if (!pool) {
        fail_unknown_queue(supervisor, request, queue);
        return;
    }
    from = pool->concurrency;
    if (pool_scale(pool, (unsigned int)json_integer_value(concurrency), keep, &err) < 0) {
        control_request_fail(request, EXIT_CODE_FAILED, NULL, "%s", err.text);
        return;
    }
    control_request_end(request, json_pack("{s:s, s:I, s:I, s:I, s:b}", "queue", queue, "from",
                                           (json_int_t)from, "to", (json_int_t)pool->concurrency,
                                           "workers", (json_int_t)pool->processes, "kept", keep));
}

static void on_scale(struct control_request *request, void *arg)
{
    struct supervisor *supervisor = arg;

    if (supervisor->phase != PHASE_RUNNING)
        control_request_fail(request, EXIT_CODE_FAILED, NULL, "droverd is stopping");
    else if (supervisor->scales_count == RELOAD_ASKERS)
        control_request_fail(request, EXIT_CODE_UNAVAILABLE, NULL, "too many requests are waiting");
    else
        supervisor->scales[supervisor->scales_count++] = request;
}

bool verbs_step(struct supervisor *supervisor)
{
    size_t count = supervisor->scales_count;

    if (supervisor->reload.phase != RELOAD_IDLE)
        return false;
    supervisor->scales_count = 0;
    for (size_t i = 0; i < count; i++)
        scale(supervisor, supervisor->scales[i]);
    return count > 0;
}

void verbs_end(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->scales_count; i++)
        control_request_fail(supervisor->scales[i], EXIT_CODE_FAILED, NULL, "droverd is stopping");
    supervisor->scales_count = 0;
}

const struct control_verb supervisor_verbs[] = {
    { "ps", false, on_ps },         { "totals", false, on_totals },
    { "status", false, on_status }, { "version", false, on_version },
    { "reload", true, on_reload },  { "scale", true, on_scale },
};
const size_t supervisor_verbs_count = ARRAY_SIZE(supervisor_verbs);
