#include "supervisor/master/status_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "supervisor/master/supervisor_state.h"

#define NAMED_MAX  3    /* of a list of faults; the others are counted */
#define LINE_BYTES 4096 /* before it is cut */

/* ---- numbers */

struct numbers {
    uint64_t busy, slots, waiting;
    uint64_t oldest_at_ms; /* wall; 0 nothing waits */
};

static uint64_t counter_of(const struct slot *slot, enum scoreboard_counter counter)
{
    return scoreboard_counter(slot->context->board, slot->board_slot, counter);
}

/* Not slot_running, which rather says too much. */
static uint64_t busy_of(const struct slot *slot)
{
    uint64_t running = slot->child ? counter_of(slot, SCOREBOARD_RUNNING) : 0;

    return running < slot->told_most ? running : slot->told_most;
}

/* All processes of a queue tell what waits in it; whoever has looked last is right. */
static void add_pool(struct numbers *numbers, const struct pool *pool)
{
    const struct slot *latest = NULL;
    uint64_t seen_ms = 0, oldest_at_ms;

    for (size_t i = 0; i < pool->count; i++) {
        const struct slot *slot = pool->places[i].slot;

        numbers->busy += busy_of(slot);
        if (slot->child && counter_of(slot, SCOREBOARD_WAITING_SEEN_MS) > seen_ms) {
            seen_ms = counter_of(slot, SCOREBOARD_WAITING_SEEN_MS);
            latest = slot;
        }
    }
    numbers->slots += pool->removed ? 0 : pool->concurrency;
    if (!latest || counter_of(latest, SCOREBOARD_WAITING) == 0)
        return;
    numbers->waiting += counter_of(latest, SCOREBOARD_WAITING);
    oldest_at_ms = counter_of(latest, SCOREBOARD_OLDEST_AT_MS);
    if (oldest_at_ms > 0 && (numbers->oldest_at_ms == 0 || oldest_at_ms < numbers->oldest_at_ms))
        numbers->oldest_at_ms = oldest_at_ms;
}

static void add_age(struct buf *line, uint64_t age_ms)
{
    uint64_t s = age_ms / 1000;

    if (s < 60)
        (void)buf_printf(line, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)buf_printf(line, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)buf_printf(line, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)buf_printf(line, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void add_numbers(const struct supervisor *supervisor, struct numbers *numbers,
                        struct buf *line)
{
    size_t queues = 0;
    uint64_t now_ms = clock_wall_ms();

    for (size_t i = 0; i < supervisor->pools_count; i++) {
        queues += !supervisor->pools[i]->removed;
        add_pool(numbers, supervisor->pools[i]);
    }
    (void)buf_printf(line, "%zu queue%s, %" PRIu64 "/%" PRIu64 " busy, %" PRIu64 " waiting", queues,
                     queues == 1 ? "" : "s", numbers->busy, numbers->slots, numbers->waiting);
    if (numbers->oldest_at_ms > 0) {
        (void)buf_append_text(line, ", oldest ");
        add_age(line, now_ms > numbers->oldest_at_ms ? now_ms - numbers->oldest_at_ms : 0);
    }
    (void)buf_printf(line, ", generation %u", supervisor->generation->number);
}

/* ---- what goes on */

static void add_phase(const struct supervisor *supervisor, const struct numbers *numbers,
                      uint64_t stop_left_ms, struct buf *line)
{
    if (supervisor->phase != PHASE_RUNNING) {
        (void)buf_printf(line, "; draining: %" PRIu64 " job%s left", numbers->busy,
                         numbers->busy == 1 ? "" : "s");
        if (stop_left_ms < UINT64_MAX)
            (void)buf_printf(line, ", %" PRIu64 " s left", (stop_left_ms + 999) / 1000);
    } else if (!supervisor->service.told_ready) {
        (void)buf_printf(line, "; starting: %zu of %zu workers ready",
                         supervisor_count_in(supervisor, SLOT_SERVING),
                         supervisor_count_slots(supervisor));
    } else if (supervisor->reload.phase != RELOAD_IDLE) {
        (void)buf_append_text(line, "; reloading");
    }
}

/* ---- what is wrong */

/* Names that share a fault, the first few of them. */
struct list {
    struct buf *line;
    const char *head;
    size_t count;
};

static void add_name(struct list *list, const char *name)
{
    if (list->count == 0)
        (void)buf_printf(list->line, "; %s: ", list->head);
    if (list->count < NAMED_MAX)
        (void)buf_printf(list->line, "%s%.64s", list->count > 0 ? ", " : "", name);
    list->count++;
}

static void end_list(const struct list *list)
{
    if (list->count > NAMED_MAX)
        (void)buf_printf(list->line, " and %zu more", list->count - NAMED_MAX);
}

static bool is_without_redis(const struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        const struct slot *slot = pool->places[i].slot;

        if (slot->state == SLOT_SERVING &&
            !(counter_of(slot, SCOREBOARD_FLAGS) & SCOREBOARD_REDIS_UP))
            return true;
    }
    return false;
}

static bool is_given_up(const struct pool *pool)
{
    return !pool->removed && pool_count_in(pool, SLOT_GIVEN_UP) > 0;
}

static void add_pools(const struct supervisor *supervisor, const char *head,
                      bool (*is_faulty)(const struct pool *pool), struct buf *line)
{
    struct list list = { .line = line, .head = head };

    for (size_t i = 0; i < supervisor->pools_count; i++) {
        if (is_faulty(supervisor->pools[i]))
            add_name(&list, supervisor->pools[i]->queue);
    }
    end_list(&list);
}

static void add_recoveries(const struct supervisor *supervisor, struct buf *line)
{
    struct list list = { .line = line, .head = "not yet recovered" };

    for (const struct recovery *recovery = supervisor->recoveries.first; recovery;
         recovery = recovery->next)
        add_name(&list, recovery->ask.uuid);
    for (size_t i = 0; i < supervisor->kept.count; i++)
        add_name(&list, kept_uuid(&supervisor->kept, i));
    end_list(&list);
}

void status_line_write(const struct supervisor *supervisor, uint64_t stop_left_ms, char *out,
                       size_t room)
{
    struct buf line = BUF_INIT(LINE_BYTES);
    struct numbers numbers = { 0 };

    add_numbers(supervisor, &numbers, &line);
    add_phase(supervisor, &numbers, stop_left_ms, &line);
    add_pools(supervisor, "Redis away", is_without_redis, &line);
    add_pools(supervisor, "given up", is_given_up, &line);
    add_recoveries(supervisor, &line);
    (void)snprintf(out, room, "%s", buf_text(&line)); /* what did not fit is left out */
    buf_done(&line);
}
