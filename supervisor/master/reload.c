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
#include "supervisor/master/notify.h"
#include "supervisor/master/supervisor_state.h"

/* ---- asking */

void reload_ask(struct supervisor *supervisor)
{
    supervisor->reload.asked = true;
}

void reload_ask_for(struct supervisor *supervisor, struct control_request *request)
{
    struct reload *reload = &supervisor->reload;

    if (supervisor->phase != PHASE_RUNNING) {
        control_request_fail(request, EXIT_CODE_FAILED, NULL, "droverd is stopping");
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
    const char *outcome = pool ? pool_outcome_name(pool->outcome) : "gone";

    row->told = true;
    reload->failed += pool && pool->outcome == POOL_FAILED;
    for (size_t i = 0; i < reload->askers_count; i++)
        (void)control_request_add_row(
            reload->askers[i],
            json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "queue", row->queue, "kind", row->kind,
                      "outcome", outcome, "workers",
                      (json_int_t)(pool ? pool->removed ? pool->count : pool->processes : 0),
                      "changes", row->changes, "why", pool ? pool->why : ""));
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

static void fail_askers(struct reload *reload, const struct supervisor *supervisor, const char *why)
{
    for (size_t i = 0; i < reload->askers_count; i++)
        control_request_fail(reload->askers[i], EXIT_CODE_FAILED,
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
    if (supervisor->phase == PHASE_RUNNING && supervisor->told_ready)
        notify_ready(); /* before those who asked are answered: systemctl looks then */
}

static void refuse(struct supervisor *supervisor, const char *why)
{
    struct reload *reload = &supervisor->reload;
    size_t errors = reload->report.errors;

    log_findings(&reload->report);
    log_error("reload.refused", LOG_STR("file", supervisor->options.file), LOG_STR("why", why),
              LOG_UINT("errors", errors), LOG_UINT("generation", supervisor->generation->number));
    if (supervisor->phase == PHASE_RUNNING && supervisor->told_ready)
        notify_ready();
    fail_askers(reload, supervisor, why);
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
    for (size_t i = 0; i < count; i++) {
        if (failed == 0)
            control_request_end(askers[i], ends[i]);
        else
            control_request_fail(askers[i], EXIT_CODE_FAILED, ends[i],
                                 "%zu queue%s could not be changed; their old workers go on",
                                 failed, failed == 1 ? "" : "s");
    }
}

/* ---- applying */

static struct reload_row *add_row(struct reload *reload, const struct config_diff_queue *diff)
{
    struct reload_row *row = &reload->rows[reload->rows_count];

    *row = (struct reload_row){ .queue = strdup(diff->name),
                                .changes = strdup(diff->changes ? diff->changes : ""),
                                .kind = config_diff_kind_name(diff->kind) };
    reload->rows_count++;
    return row->queue && row->changes ? row : NULL;
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

static int change_pool(struct supervisor *supervisor, struct pool *pool, struct generation *to,
                       enum config_diff_kind kind, struct error *err)
{
    (void)supervisor;
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

static int apply_to_queue(struct supervisor *supervisor, const struct config_diff_queue *queue,
                          struct generation *to, struct error *err)
{
    struct pool *pool = supervisor_find_pool(supervisor, queue->name);
    struct config_diff own = { 0 };
    struct reload_row *row;
    int result = 0;

    if (pool)
        result = diff_of_pool(supervisor, pool, to, &own, &queue, err);
    row = result == 0 ? add_row(&supervisor->reload, queue) : NULL;
    if (!row) {
        config_diff_done(&own);
        return result < 0 ? result : error_set(err, -ENOMEM, "no memory for the reload");
    }
    if (pool) {
        result = change_pool(supervisor, pool, to, queue->kind, err);
    } else {
        result = pool_new(&supervisor->context, to, queue->name, &pool, err);
        if (result == 0)
            result = supervisor_add_pool(supervisor, pool, err);
    }
    row->pool = result == 0 ? pool : NULL;
    config_diff_done(&own);
    return result;
}

static void take_top(struct supervisor *supervisor, const struct config *config)
{
    struct slot_context *context = &supervisor->context;

    context->start_timeout_ms = config->start_timeout_ms;
    context->drain_timeout_ms = config->drain_timeout_ms;
    context->log_level = (unsigned int)config->log_level;
    log_open(STDERR_FILENO, (enum log_format)supervisor->generation->config->log_format,
             (enum log_level)config->log_level);
}

/* Only memory can fail here. A queue that it failed for keeps what it has and is told so. */
static void apply(struct supervisor *supervisor, const struct config_diff *diff,
                  struct generation *to)
{
    struct reload *reload = &supervisor->reload;
    struct error err = { 0 };

    take_top(supervisor, to->config);
    for (size_t i = 0; i < diff->queues_count; i++) {
        if (apply_to_queue(supervisor, &diff->queues[i], to, &err) < 0) {
            log_error("reload.failed", LOG_STR("queue", diff->queues[i].name),
                      LOG_STR("why", err.text));
            reload->failed++;
        }
    }
    generation_unref(supervisor->generation);
    supervisor->generation = to;
    reload->phase = RELOAD_APPLYING;
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
    if (result == 0) {
        reload->rows = calloc(diff.queues_count ? diff.queues_count : 1, sizeof *reload->rows);
        reload->top = strdup(diff.top);
        reload->restart = strdup(diff.restart);
        if (!reload->rows || !reload->top || !reload->restart)
            result = error_set(&err, -ENOMEM, "no memory for the reload");
    }
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
        refuse(supervisor, "droverd is stopping");
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
    /* The pools of the first start are given their time first, so that each change is judged by
     * itself. */
    if (reload->phase == RELOAD_IDLE && reload->asked && supervisor->phase == PHASE_RUNNING &&
        supervisor->told_ready)
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

    fail_askers(reload, supervisor, "droverd is stopping");
    memcpy(reload->askers, reload->next_askers, sizeof reload->askers);
    reload->askers_count = reload->next_askers_count;
    reload->next_askers_count = 0;
    fail_askers(reload, supervisor, "droverd is stopping");
    reload->asked = false;
    if (reload->phase == RELOAD_APPLYING)
        end_reload(supervisor);
}

void reload_done(struct supervisor *supervisor)
{
    forget_rows(&supervisor->reload);
    forget_file(&supervisor->reload);
}
