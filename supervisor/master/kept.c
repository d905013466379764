#include "supervisor/master/kept.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/process/process_table.h"
#include "common/scoreboard/totals.h"
#include "supervisor/master/generation.h"
#include "supervisor/master/recoveries.h"

#define LOOK_MS         20    /* between two looks at what was killed … */
#define LOOK_ALIVE_MS   500   /* … and at what leaves by itself */
#define SWEEP_MS        1000  /* what outlives SIGKILL for so long is not waited for */
#define ALIVE_MS        60000 /* one that lives leaves by itself, as its channel has ended */
#define FRESH_MS        60000 /* a session's number may be another's when nobody lived for so long */
#define JOBS_TEXT_BYTES 512   /* ids of what it ran, for the log */

struct kept_worker {
    int board_slot;
    struct scoreboard_master master;
    uint64_t dead_since_ms; /* its process was seen gone first; 0 not yet */
    unsigned int living;    /* of its session, at the last look */
};

static const char its_master_died[] = "its master died";

/* ---- finding them */

static size_t count_taken(const struct scoreboard *board, struct scoreboard_view *view)
{
    size_t count = 0;

    for (int i = 0; i < SCOREBOARD_SLOTS; i++)
        count += scoreboard_read(board, i, view);
    return count;
}

void kept_find(struct kept *kept, struct scoreboard *board, struct recoveries *recoveries)
{
    static struct scoreboard_view view; /* large; one thread */
    size_t count = count_taken(board, &view);
    uint64_t now_boot_ms = clock_boot_ms();
    struct scoreboard_life life;

    scoreboard_read_life(board, &life);
    *kept = (struct kept){
        .board = board,
        .recoveries = recoveries,
        .may_kill = life.beat_boot_ms > 0 && life.beat_boot_ms <= now_boot_ms &&
                    now_boot_ms - life.beat_boot_ms < FRESH_MS,
    };
    if (count == 0)
        return;
    kept->workers = calloc(count, sizeof *kept->workers);
    if (!kept->workers)
        log_error("scoreboard.unread", LOG_UINT("workers", count), LOG_STR("why", "no memory"));
    for (int i = 0; kept->workers && i < SCOREBOARD_SLOTS && kept->count < count; i++) {
        if (scoreboard_read(board, i, &view))
            kept->workers[kept->count++] =
                (struct kept_worker){ .board_slot = i, .master = view.master };
    }
    kept->next_ms = clock_now_ms();
    kept->end_ms = kept->next_ms + ALIVE_MS;
}

/* ---- seeing them dead */

static bool is_gone(const struct kept_worker *worker)
{
    return worker->master.pid > 1 &&
           !process_is_alive(worker->master.pid, worker->master.start_ticks);
}

/* Ends what is left of the sessions of all whose process is gone, with one look at the process
 * table. */
static void end_sessions(struct kept *kept)
{
    _cleanup_(freep) struct process_session *sessions = calloc(kept->count + 1, sizeof *sessions);
    size_t count = 0, at = 0;

    for (size_t i = 0; i < kept->count; i++) {
        struct kept_worker *worker = &kept->workers[i];

        worker->living = worker->dead_since_ms > 0 && !sessions && kept->may_kill;
        if (sessions && worker->dead_since_ms > 0)
            sessions[count++] =
                (struct process_session){ .sid = worker->master.pid, .leader_reaped = true };
    }
    if (count == 0 || !kept->may_kill)
        return;
    process_kill_sessions(sessions, count);
    for (size_t i = 0; i < kept->count; i++) {
        if (kept->workers[i].dead_since_ms > 0)
            kept->workers[i].living = sessions[at++].living;
    }
}

static void look(struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        struct kept_worker *worker = &kept->workers[i];

        if (worker->dead_since_ms == 0 && is_gone(worker))
            worker->dead_since_ms = clock_now_ms();
    }
    end_sessions(kept);
}

/* ---- giving back what they had */

/* What a child wrote: for people, and cut. */
static void list_jobs(const struct scoreboard_view *view, char out[JOBS_TEXT_BYTES])
{
    struct buf text = BUF_INIT(1 << 16);

    for (size_t i = 0; i < view->jobs_count; i++) {
        const char *id = view->jobs[i].id;

        (void)buf_printf(&text, "%s%.*s", i > 0 ? ", " : "", (int)text_utf8_prefix(id, strlen(id)),
                         id);
    }
    (void)snprintf(out, JOBS_TEXT_BYTES, "%s", buf_text(&text));
    out[text_utf8_prefix(out, strlen(out))] = '\0';
    buf_done(&text);
}

static void say_found(const struct kept *kept, const struct kept_worker *worker, const char *what)
{
    static struct scoreboard_view view; /* large; one thread */
    const struct scoreboard_master *master = &worker->master;
    char jobs[JOBS_TEXT_BYTES] = "";
    uint64_t running = 0;

    if (scoreboard_read(kept->board, worker->board_slot, &view)) {
        list_jobs(&view, jobs);
        running = view.counters[SCOREBOARD_RUNNING];
    }
    log_warn("worker.found", LOG_STR("queue", master->queue), LOG_UINT("slot", master->slot),
             LOG_INT("pid", master->pid), LOG_STR("uuid", master->uuid),
             LOG_UINT("generation", master->generation), LOG_UINT("running", running),
             LOG_STR("jobs", jobs), LOG_STR("cause", its_master_died), LOG_STR("what", what));
}

static void add_recovery(const struct kept *kept, const struct kept_worker *worker,
                         const struct config_queue *queue, bool seen_dead)
{
    const struct scoreboard_master *master = &worker->master;
    _cleanup_(freep) char *endpoint = generation_endpoint(queue);
    char end[CHANNEL_CAUSE_BYTES];

    (void)snprintf(end, sizeof end, "worker %.64s/%u: %s", master->queue, master->slot,
                   its_master_died);
    recoveries_add(kept->recoveries,
                   &(struct recovery_case){ .uuid = master->uuid,
                                            .queue = master->queue,
                                            .endpoint = endpoint ? endpoint : "",
                                            .end = end,
                                            .cause = "", /* the master's end, not a job's doing */
                                            .max_givebacks = queue->max_givebacks,
                                            .fence_only = !seen_dead,
                                            .died_us = clock_now_us() });
}

/* Nothing more can be done for it here; its slot is free again and what it counted is kept. */
static void let_go(const struct kept *kept, const struct kept_worker *worker,
                   const struct config *config)
{
    const struct config_queue *queue = config_find_queue(config, worker->master.queue);
    bool seen_dead = worker->dead_since_ms > 0 && worker->living == 0;

    if (!uuid_is_valid(worker->master.uuid)) {
        say_found(kept, worker, "it was never started");
    } else if (!queue) {
        say_found(
            kept, worker,
            "its queue is not configured any more: its jobs come back when their locks expire");
    } else {
        say_found(kept, worker,
                  seen_dead
                      ? "its jobs are given back now"
                      : "it could not be seen dead: its jobs come back when their locks expire");
        add_recovery(kept, worker, queue, seen_dead);
    }
    if (uuid_is_valid(worker->master.uuid))
        scoreboard_count_death(kept->board, worker->master.queue);
    scoreboard_release(kept->board, worker->board_slot);
}

/* Whether all is known of it that will be. */
static bool is_decided(const struct kept *kept, const struct kept_worker *worker, uint64_t now_ms)
{
    if (kept->recoveries->count >= RECOVERIES_MAX)
        return false; /* there is no room for it yet */
    if (worker->dead_since_ms > 0)
        return worker->living == 0 || now_ms >= worker->dead_since_ms + SWEEP_MS;
    return worker->master.pid <= 1 || now_ms >= kept->end_ms;
}

void kept_step(struct kept *kept, const struct config *config)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t wait_ms = LOOK_ALIVE_MS;
    size_t left = 0;

    if (kept->next_ms == 0 || now_ms < kept->next_ms)
        return;
    look(kept);
    for (size_t i = 0; i < kept->count; i++) {
        if (is_decided(kept, &kept->workers[i], now_ms)) {
            let_go(kept, &kept->workers[i], config);
            continue;
        }
        if (kept->workers[i].dead_since_ms > 0)
            wait_ms = LOOK_MS;
        kept->workers[left++] = kept->workers[i];
    }
    kept->count = left;
    kept->next_ms = left > 0 ? now_ms + wait_ms : 0;
}

uint64_t kept_next_ms(const struct kept *kept)
{
    return kept->next_ms;
}

const char *kept_uuid(const struct kept *kept, size_t n)
{
    assert(n < kept->count);
    return kept->workers[n].master.uuid;
}

void kept_done(struct kept *kept)
{
    free(kept->workers);
    *kept = (struct kept){ 0 };
}
