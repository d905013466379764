/* board.c - what this process shows on the scoreboard: counters once a step, times and running jobs
 * as they come. For people only; without a scoreboard all of it does nothing. */
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/json_walk.h"
#include "workers/worker/engine_state.h"

/* opts.delay, of options that could be read; 0 when there is none. */
static uint64_t read_delay_ms(const struct job *job)
{
    struct json_value opts, key, value;
    struct json_walk walk;
    double delay_ms;

    if (!job->opts.data || !memmem(job->opts.data, job->opts.len, "\"delay\"", 7))
        return 0;
    opts = json_whole_value(job->opts.data, job->opts.len);
    if (opts.kind != JSON_KIND_OBJECT)
        return 0;
    walk = json_walk_into(&opts);
    while (json_next_member(&walk, &key, &value)) {
        if (json_string_is(&key, "delay") && json_read_number(&value, &delay_ms) && delay_ms > 0 &&
            delay_ms < 1e15)
            return (uint64_t)delay_ms;
    }
    return 0;
}

/* First starts only: later ones waited for a backoff or a lock's end, which the job does not tell.
 */
static void count_wait(const struct run *run)
{
    const struct job *job = run->job;
    uint64_t now_ms = clock_wall_ms(), due_ms;

    if (!run->engine->options.board || job->attempts_started > 1 || job->timestamp_ms == 0)
        return;
    due_ms = job->timestamp_ms + read_delay_ms(job);
    scoreboard_count_time(run->engine->options.board, SCOREBOARD_WAIT_US,
                          now_ms > due_ms ? (now_ms - due_ms) * 1000 : 0);
}

void board_begin_run(struct run *run)
{
    const struct job *job = run->job;

    count_wait(run);
    run->started_us = clock_now_us();
    run->board_row = scoreboard_job_begin(run->engine->options.board, job->id.data, job->id.len,
                                          job->name.data, job->name.len, run->input.attempt);
}

void board_end_run(struct run *run)
{
    scoreboard_job_end(run->engine->options.board, run->board_row);
    scoreboard_count_time(run->engine->options.board, SCOREBOARD_RUN_US,
                          clock_now_us() - run->started_us);
    run->board_row = -1;
}

static uint64_t flags(const struct engine *engine)
{
    const struct tally *tally = &engine->tally;
    bool up = engine->redis_ready && engine->turns.refused == REDIS_CLASS_NONE &&
              engine->resolve.stage == RESOLVE_NOTHING;
    bool ends = engine->phase > ENGINE_SERVING && engine->turns.fetching == 0 &&
                engine->resolve.stage == RESOLVE_NOTHING;

    return (up ? SCOREBOARD_REDIS_UP : 0U) | (ends ? SCOREBOARD_ENDS : 0U) |
           (tally->paused ? SCOREBOARD_PAUSED : 0U) | (tally->maxed ? SCOREBOARD_MAXED : 0U) |
           (tally->limited ? SCOREBOARD_LIMITED : 0U);
}

void board_show(struct engine *engine)
{
    const struct tally *tally = &engine->tally;
    const struct {
        enum scoreboard_counter counter;
        uint64_t value;
    } rows[] = {
        { SCOREBOARD_FLAGS, flags(engine) },
        { SCOREBOARD_RUNNING, engine->runs.in_state[RUN_RUNNING] },
        { SCOREBOARD_JOB_SLOTS, engine->options.slots },
        { SCOREBOARD_COMPLETED, tally->completed },
        { SCOREBOARD_FAILED, tally->failed },
        { SCOREBOARD_RETRIED, tally->retried },
        { SCOREBOARD_LOST, tally->lost },
        { SCOREBOARD_GIVEN_BACK, tally->given_back },
        { SCOREBOARD_WAITING, tally->waiting },
        { SCOREBOARD_ACTIVE, tally->active },
        { SCOREBOARD_CALLS, tally->calls },
        { SCOREBOARD_OLDEST_AT_MS, tally->oldest_at_ms },
        { SCOREBOARD_WAITING_SEEN_MS, tally->waiting_seen_boot_ms },
        { SCOREBOARD_BEAT_MS, clock_boot_ms() },
    };

    if (!engine->options.board)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        scoreboard_set(engine->options.board, rows[i].counter, rows[i].value);
}
