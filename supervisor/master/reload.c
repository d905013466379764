/* reload.c - a changed file takes effect: read and checked whole, on another thread because disks
 * may be slow; compared with what each pool runs; then only what changed is touched. An error in
 * the file leaves everything as it is. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/log.h"
#include "common/config/diff.h"
#include "supervisor/master/needs.h"
#include "supervisor/master/notify.h"
#include "supervisor/master/supervisor_state.h"

static const char stopping[] = "droverd is stopping";

/* ---- asking */

void reload_ask(struct supervisor *supervisor)
{
    supervisor->reload.asked = true;
}

void reload_ask_for(struct supervisor *supervisor, struct control_request *request)
{
    struct reload *reload = &supervisor->reload;

    if (supervisor->phase != PHASE_RUNNING) {
        control_request_fail(request, EXIT_CODE_FAILED, NULL, "%s", stopping);
        return;
    }
    if (reload->next_askers_count == RELOAD_ASKERS) {
        control_request_fail(request, EXIT_CODE_UNAVAILABLE, NULL,
                             "too many wait for a reload already");
        return;
    }
    reload->next_askers[reload->next_askers_count++] = request;
    reload->asked = true;
}

/* ---- telling */

static void tell_row(struct reload *reload, struct reload_row *row)
{
    const struct pool *pool = row->pool;
    enum pool_outcome outcome = pool ? pool->outcome : POOL_FAILED;
    size_t workers = !pool ? 0 : pool->removed ? pool->count : pool->processes;

    row->told = true;
    reload->failed += outcome == POOL_FAILED;
    for (size_t i = 0; i < reload->askers_count; i++)
        (void)control_request_add_row(
            reload->askers[i],
            json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "queue", row->queue, "kind", row->kind,
                      "outcome", pool_outcome_name(outcome), "workers", (json_int_t)workers,
                      "changes", row->changes, "why", pool ? pool->why : row->why));
}

static json_t *findings_json(const struct config_report *report)
{
    json_t *findings = json_array();

    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];

        /* jansson takes NULL members as out of memory; the end of the request tells. */
        (void)json_array_append_new(
            findings, json_pack("{s:s?, s:i, s:i, s:s?, s:s, s:b}", "file", finding->file, "line",
                                (int)finding->line, "column", (int)finding->column, "key",
                                finding->key, "text", finding->text, "warning", finding->warning));
    }
    return findings;
}

static void fail_askers(struct reload *reload, const struct supervisor *supervisor, int code,
                        const char *why)
{
    for (size_t i = 0; i < reload->askers_count; i++)
        control_request_fail(reload->askers[i], code,
                             json_pack("{s:I, s:o}", "generation",
                                       (json_int_t)supervisor->generation->number, "findings",
                                       reload->phase == RELOAD_READING
                                           ? json_array() /* the thread writes it */
                                           : findings_json(&reload->report)),
                             "%s", why);
    reload->askers_count = 0;
}

static void log_findings(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];

        log_at(finding->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "config.finding",
               LOG_STR("file", finding->file), LOG_UINT("line", finding->line),
               LOG_UINT("column", finding->column), LOG_STR("key", finding->key),
               LOG_STR("why", finding->text));
    }
}

/* ---- the end of one */

static void forget_rows(struct reload *reload)
{
    for (size_t i = 0; i < reload->rows_count; i++) {
        free(reload->rows[i].queue);
        free(reload->rows[i].changes);
    }
    free(reload->rows);
    free(reload->top);
    free(reload->restart);
    reload->rows = NULL;
    reload->top = reload->restart = NULL;
    reload->rows_count = reload->failed = 0;
}

static void forget_file(struct reload *reload)
{
    config_report_done(&reload->report);
    reload->report = (struct config_report){ 0 };
}

static void end_reload(struct supervisor *supervisor)
{
    supervisor->reload.phase = RELOAD_IDLE;
    forget_file(&supervisor->reload);
    forget_rows(&supervisor->reload);
}

static void refuse(struct supervisor *supervisor, const char *why)
{
    struct reload *reload = &supervisor->reload;
    size_t errors = reload->report.errors;

    log_findings(&reload->report);
    log_error("reload.refused", LOG_STR("file", supervisor->options.file), LOG_STR("why", why),
              LOG_UINT("errors", errors), LOG_UINT("generation", supervisor->generation->number));
    reload->phase = RELOAD_IDLE;
    service_tell_ready(supervisor);
    fail_askers(reload, supervisor, EXIT_CODE_FAILED, why);
    end_reload(supervisor);
}

/* The service ends. Those who asked have been told. */
static void abandon(struct supervisor *supervisor)
{
    log_info("reload.abandoned", LOG_STR("why", stopping),
             LOG_UINT("generation", supervisor->generation->number));
    end_reload(supervisor);
}

static json_t *end_json(const struct supervisor *supervisor)
{
    const struct reload *reload = &supervisor->reload;

    return json_pack(
        "{s:I, s:s, s:s, s:o}", "generation", (json_int_t)supervisor->generation->number, "top",
        reload->top ? reload->top : "", "restart", reload->restart ? reload->restart : "",
        "findings", findings_json(&reload->report));
}

static void finish(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;
    struct control_request *askers[RELOAD_ASKERS];
    size_t count = reload->askers_count, failed = reload->failed;
    json_t *ends[RELOAD_ASKERS];

    log_at(failed > 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "reload.done",
           LOG_UINT("generation", supervisor->generation->number),
           LOG_UINT("queues", reload->rows_count), LOG_UINT("failed", failed),
           LOG_UINT("took_ms", clock_now_ms() - reload->started_ms));
    memcpy(askers, reload->askers, sizeof askers);
    for (size_t i = 0; i < count; i++)
        ends[i] = end_json(supervisor);
    reload->askers_count = 0;
    end_reload(supervisor);
    service_tell_ready(supervisor);
    for (size_t i = 0; i < count; i++) {
        if (failed == 0)
            control_request_end(askers[i], ends[i]);
        else
            control_request_fail(askers[i], EXIT_CODE_FAILED, ends[i],
                                 "%zu queue%s not as the file wants: see why, and the log of "
                                 "droverd",
                                 failed, failed == 1 ? " is" : "s are");
    }
}

/* ---- applying */

static struct reload_row *add_row(struct reload *reload, const struct config_diff_queue *diff)
{
    struct reload_row *row = &reload->rows[reload->rows_count];

    *row = (struct reload_row){ .queue = strdup(diff->name),
                                .changes = strdup(diff->changes),
                                .kind = config_diff_kind_name(diff->kind) };
    if (row->queue && row->changes) {
        reload->rows_count++;
        return row;
    }
    free(row->queue);
    free(row->changes);
    return NULL;
}

/* What the new file means for a pool that has not got the newest generation, because an earlier
 * reload could not replace it: compared with what it really runs. */
static int diff_of_pool(const struct supervisor *supervisor, const struct pool *pool,
                        const struct generation *to, struct config_diff *out_own,
                        const struct config_diff_queue **out_row, struct error *err)
{
    int result;

    if (pool->generation == supervisor->generation)
        return 0;
    result = config_diff_new(pool->generation->config, to->config, out_own, err);
    for (size_t i = 0; result == 0 && i < out_own->queues_count; i++) {
        if (strcmp(out_own->queues[i].name, pool->queue) == 0)
            *out_row = &out_own->queues[i];
    }
    return result;
}

static int change_pool(struct pool *pool, struct generation *to, enum config_diff_kind kind,
                       struct error *err)
{
    switch (kind) {
    case CONFIG_DIFF_SAME:
    case CONFIG_DIFF_LIVE:
        return pool_keep(pool, to, err);
    case CONFIG_DIFF_REPLACE:
        return pool_replace(pool, to, err);
    case CONFIG_DIFF_REMOVED:
        pool_remove(pool);
        return 0;
    case CONFIG_DIFF_ADDED:
        break;
    }
    return error_set(err, -EINVAL, "queue %s exists already", pool->queue);
}

static int start_pool(struct supervisor *supervisor, const char *queue, struct generation *to,
                      struct pool **out_pool, struct error *err)
{
    struct pool *pool = NULL;
    int result;

    for (size_t i = 0; i < supervisor->pools_count; i++) {
        if (strcmp(supervisor->pools[i]->queue, queue) != 0)
            continue;
        *out_pool = supervisor->pools[i]; /* it was removed, and drains */
        return pool_return(*out_pool, to, err);
    }
    result = pool_new(&supervisor->context, to, queue, &pool, err);
    if (result == 0)
        result = supervisor_add_pool(supervisor, pool, err);
    if (result == 0)
        *out_pool = pool;
    return result;
}

static int apply_to_queue(struct supervisor *supervisor, const struct config_diff_queue *queue,
                          struct generation *to, struct reload_row **out_row, struct error *err)
{
    struct pool *pool = supervisor_find_pool(supervisor, queue->name);
    struct config_diff own = { 0 };
    int result = 0;

    if (pool)
        result = diff_of_pool(supervisor, pool, to, &own, &queue, err);
    *out_row = add_row(&supervisor->reload, queue);
    if (result == 0 && !*out_row)
        result = error_set(err, -ENOMEM, "no memory for the reload");
    if (result == 0 && pool)
        result = change_pool(pool, to, queue->kind, err);
    else if (result == 0)
        result = start_pool(supervisor, queue->name, to, &pool, err);
    if (result == 0)
        (*out_row)->pool = pool;
    config_diff_done(&own);
    return result;
}

static void take_top(struct supervisor *supervisor, const struct config *config)
{
    struct slot_context *context = &supervisor->context;

    context->start_timeout_ms = config->start_timeout_ms;
    context->drain_timeout_ms = config->drain_timeout_ms;
    context->log_level = (unsigned int)config->log_level;
    log_set_level((enum log_level)config->log_level);
}

/* Only memory can fail here. A queue that it failed for keeps what it has and is told so. */
static void apply(struct supervisor *supervisor, const struct config_diff *diff,
                  struct generation *to)
{
    struct reload *reload = &supervisor->reload;

    take_top(supervisor, to->config);
    supervisor_warn_of_root(to->config);
    for (size_t i = 0; i < diff->queues_count; i++) {
        struct error err = { 0 };
        struct reload_row *row = NULL;

        if (apply_to_queue(supervisor, &diff->queues[i], to, &row, &err) == 0)
            continue;
        log_error("reload.failed", LOG_STR("queue", diff->queues[i].name),
                  LOG_STR("why", err.text));
        if (row)
            (void)snprintf(row->why, sizeof row->why, "%.*s", (int)sizeof row->why - 1, err.text);
        else
            reload->failed++; /* there was no memory for its row either */
    }
    generation_unref(supervisor->generation);
    supervisor->generation = to;
    reload->phase = RELOAD_APPLYING;
}

/* All that is needed before anything is touched. What takes a restart is compared with the file of
 * the start: it waits for that restart over all reloads. */
static int prepare_rows(struct supervisor *supervisor, struct config_diff *diff,
                        const struct generation *to, struct error *err)
{
    struct reload *reload = &supervisor->reload;
    struct config_diff since_start;
    int result = config_diff_new(supervisor->first->config, to->config, &since_start, err);

    if (result < 0)
        return result;
    reload->restart = TAKE_PTR(since_start.restart);
    config_diff_done(&since_start);
    reload->top = TAKE_PTR(diff->top);
    reload->rows = calloc(diff->queues_count ? diff->queues_count : 1, sizeof *reload->rows);
    return reload->rows ? 0 : error_set(err, -ENOMEM, "no memory for the reload");
}

/* The file is good. */
static void accept_file(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;
    struct config_diff diff = { 0 };
    struct generation *to = NULL;
    struct error err = { 0 };
    int result =
        generation_new(supervisor->generation->number + 1, TAKE_PTR(reload->loaded), &to, &err);

    if (result == 0)
        result = config_diff_new(supervisor->generation->config, to->config, &diff, &err);
    if (result == 0)
        result = prepare_rows(supervisor, &diff, to, &err);
    if (result < 0) {
        generation_unref(to);
        config_diff_done(&diff);
        refuse(supervisor, err.text);
        return;
    }
    log_findings(&reload->report); /* warnings */
    log_info("reload.accepted", LOG_UINT("generation", to->number), LOG_STR("changed", reload->top),
             LOG_STR("needs_restart", reload->restart));
    apply(supervisor, &diff, to);
    config_diff_done(&diff);
}

/* ---- reading */

static void read_file(uv_work_t *work)
{
    struct supervisor *supervisor = work->data;
    struct reload *reload = &supervisor->reload;
    const struct supervisor_options *options = &supervisor->options;

    reload->result = config_load(options->file, options->overrides, options->overrides_count,
                                 &reload->loaded, &reload->report);
    if (reload->result == 0)
        reload->result = needs_check(reload->loaded, &reload->report);
    if (reload->result < 0)
        config_free(TAKE_PTR(reload->loaded));
}

static void on_read(uv_work_t *work, int status)
{
    struct supervisor *supervisor = work->data;
    struct reload *reload = &supervisor->reload;
    char why[96];

    (void)status;                /* it is never cancelled */
    reload->phase = RELOAD_IDLE; /* the thread has let go of what it wrote */
    if (supervisor->phase != PHASE_RUNNING) {
        config_free(TAKE_PTR(reload->loaded));
        abandon(supervisor);
    } else if (reload->result < 0) {
        (void)snprintf(why, sizeof why, "%zu error%s in the file; nothing was changed",
                       reload->report.errors, reload->report.errors == 1 ? "" : "s");
        refuse(supervisor, reload->report.errors > 0 ? why : "no memory to read the file");
    } else {
        accept_file(supervisor);
    }
}

static void begin(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;

    reload->asked = false;
    memcpy(reload->askers, reload->next_askers, sizeof reload->askers);
    reload->askers_count = reload->next_askers_count;
    reload->next_askers_count = 0;
    reload->loaded = NULL;
    reload->result = 0;
    reload->report = (struct config_report){ 0 };
    reload->started_ms = clock_now_ms();
    reload->work.data = supervisor;
    notify_reloading();
    if (uv_queue_work(supervisor->loop, &reload->work, read_file, on_read) < 0) {
        refuse(supervisor, "no thread to read the file");
        return;
    }
    reload->phase = RELOAD_READING;
}

/* ---- the step */

static void step_applying(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;
    bool pending = false;

    for (size_t i = 0; i < reload->rows_count; i++) {
        struct reload_row *row = &reload->rows[i];

        if (row->pool && row->pool->outcome == POOL_PENDING)
            pending = true;
        else if (!row->told)
            tell_row(reload, row);
    }
    if (!pending)
        finish(supervisor);
}

void reload_step(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;

    if (reload->phase == RELOAD_APPLYING)
        step_applying(supervisor);
    if (reload->asked && supervisor->phase != PHASE_RUNNING) {
        reload->asked = false;
        log_info("reload.ignored", LOG_STR("why", stopping));
    }
    /* The pools of the first start are given their time first, so that each change is judged by
     * itself. */
    if (reload->phase == RELOAD_IDLE && reload->asked && supervisor->phase == PHASE_RUNNING &&
        supervisor->service.told_ready)
        begin(supervisor);
}

void reload_forget_pool(struct supervisor *supervisor, const struct pool *pool)
{
    struct reload *reload = &supervisor->reload;

    for (size_t i = 0; i < reload->rows_count; i++) {
        if (reload->rows[i].pool != pool)
            continue;
        if (!reload->rows[i].told)
            tell_row(reload, &reload->rows[i]);
        reload->rows[i].pool = NULL;
    }
}

void reload_end(struct supervisor *supervisor)
{
    struct reload *reload = &supervisor->reload;

    fail_askers(reload, supervisor, EXIT_CODE_FAILED, stopping);
    memcpy(reload->askers, reload->next_askers, sizeof reload->askers);
    reload->askers_count = reload->next_askers_count;
    reload->next_askers_count = 0;
    fail_askers(reload, supervisor, EXIT_CODE_FAILED, stopping);
    reload->asked = false;
    if (reload->phase == RELOAD_APPLYING)
        abandon(supervisor);
}

void reload_done(struct supervisor *supervisor)
{
    forget_rows(&supervisor->reload);
    forget_file(&supervisor->reload);
}
