#include "workers/worker/job_log.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "workers/worker/engine_state.h"

#define TEXT_BYTES 2048 /* of a reason or row that is shown */

#define LOG_JOB(run) LOG_RUN(run), LOG_STR("job_type", (run)->job->name.data)

static bool is_asked(const struct run *run, enum config_log_jobs least)
{
    return run->engine->config->log_jobs >= least;
}

/* The attempt that this run is or would have been, from 1. */
static uint64_t attempt_of(const struct run *run)
{
    return run->job->attempts_made + 1;
}

/* Cut, and without NUL inside. */
static const char *copy_text(const char *bytes, size_t len, char text[TEXT_BYTES])
{
    if (len >= TEXT_BYTES)
        len = text_utf8_prefix(bytes, TEXT_BYTES - 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(bytes[i] ? bytes[i] : ' ');
    text[len] = '\0';
    return text;
}

static const char *reason_of(const struct run *run, char text[TEXT_BYTES])
{
    return copy_text(run->settle.value.data, run->settle.value.len, text);
}

/* How long ago the job was added: a delay and earlier attempts are part of it. */
static uint64_t age_ms(const struct job *job)
{
    uint64_t now_ms = clock_wall_ms();

    return now_ms > job->timestamp_ms ? now_ms - job->timestamp_ms : 0;
}

void job_log_started(const struct run *run)
{
    char added_at[CLOCK_TEXT_BYTES];

    if (!is_asked(run, CONFIG_LOG_JOBS_ALL))
        return;
    log_unlimited(LOG_LEVEL_INFO, "job.started", LOG_JOB(run), LOG_UINT("attempt", attempt_of(run)),
                  LOG_UINT("attempts_max", run->input.attempts_max),
                  LOG_STR("added_at", clock_print_wall(run->job->timestamp_ms, added_at)),
                  LOG_UINT("age_ms", age_ms(run->job)));
}

static void log_completed(const struct run *run)
{
    if (is_asked(run, CONFIG_LOG_JOBS_ALL))
        log_unlimited(LOG_LEVEL_INFO, "job.completed", LOG_JOB(run),
                      LOG_UINT("attempt", attempt_of(run)),
                      LOG_UINT("took_ms", run->took_us / 1000));
}

static void log_failed(const struct run *run)
{
    char reason[TEXT_BYTES];

    log_error("job.failed", LOG_JOB(run), LOG_UINT("attempt", attempt_of(run)),
              LOG_UINT("took_ms", run->took_us / 1000), LOG_STR("reason", reason_of(run, reason)));
}

static void log_retried(const struct run *run)
{
    char reason[TEXT_BYTES], again_at[CLOCK_TEXT_BYTES];

    log_warn(
        "job.retried", LOG_JOB(run), LOG_UINT("attempt", attempt_of(run)),
        LOG_UINT("attempts_max", run->settle.attempts_max),
        LOG_UINT("took_ms", run->took_us / 1000), LOG_UINT("delay_ms", run->settle.delay_ms),
        LOG_STR("again_at", clock_print_wall(clock_wall_ms() + run->settle.delay_ms, again_at)),
        LOG_STR("reason", reason_of(run, reason)));
}

static void log_given_back(const struct run *run)
{
    char reason[TEXT_BYTES];
    bool counted = run->settle.kind == SETTLE_GIVE_BACK_COUNTED;

    log_info("job.given_back", LOG_JOB(run), LOG_UINT("attempt", attempt_of(run)),
             LOG_BOOL("was_started", run->started_us != 0), LOG_BOOL("counted", counted),
             LOG_UINT("took_ms", run->took_us / 1000),
             LOG_STR("reason", counted ? reason_of(run, reason) : "interrupted, or not begun"));
}

void job_log_settled(const struct run *run)
{
    if (!is_asked(run, CONFIG_LOG_JOBS_FAILURES))
        return;
    switch (run->settle.kind) {
    case SETTLE_COMPLETE:
        log_completed(run);
        break;
    case SETTLE_FAIL:
        log_failed(run);
        break;
    case SETTLE_RETRY:
    case SETTLE_RETRY_LATER:
        log_retried(run);
        break;
    case SETTLE_GIVE_BACK:
    case SETTLE_GIVE_BACK_COUNTED:
        log_given_back(run);
        break;
    case SETTLE_DELAY: /* put_backs.c says it, with the reason, or job_log_moved did */
    case SETTLE_WAIT:
    case SETTLE_WAIT_CHILDREN:
        break;
    }
}

void job_log_moved(const struct run *run)
{
    enum settle_kind kind = run->settle.kind;
    char at[CLOCK_TEXT_BYTES] = "";

    if (!is_asked(run, CONFIG_LOG_JOBS_ALL))
        return;
    if (run->settle.due_at_ms > 0)
        (void)clock_print_wall(run->settle.due_at_ms, at);
    log_unlimited(LOG_LEVEL_INFO, "job.moved", LOG_JOB(run),
                  LOG_STR("to", kind == SETTLE_DELAY  ? "delayed"
                                : kind == SETTLE_WAIT ? "wait"
                                                      : "waiting-children"),
                  LOG_UINT("after_ms", run->settle.delay_ms), LOG_STR("at", at));
}

bool job_log_put_back(const struct run *run, const char *why, const char *detail)
{
    if (!is_asked(run, CONFIG_LOG_JOBS_ALL))
        return false;
    log_unlimited(LOG_LEVEL_WARN, "job.put_back", LOG_JOB(run), LOG_STR("why", why),
                  LOG_STR("detail", detail ? detail : ""), LOG_UINT("count", 1));
    return true;
}

void job_log_said(const struct run *run, const char *row, size_t len)
{
    char text[TEXT_BYTES];

    if (is_asked(run, CONFIG_LOG_JOBS_ALL))
        log_unlimited(LOG_LEVEL_INFO, "job.said", LOG_JOB(run),
                      LOG_STR("text", copy_text(row, len, text)));
}
