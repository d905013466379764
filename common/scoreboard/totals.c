#include "common/scoreboard/totals.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/scoreboard/layout.h"

static const struct {
    const char *name;
    int counter; /* enum scoreboard_counter that is added up; -1: the master counts it itself */
} kinds[] = {
    [SCOREBOARD_TOTAL_COMPLETED] = { "completed", SCOREBOARD_COMPLETED },
    [SCOREBOARD_TOTAL_FAILED] = { "failed", SCOREBOARD_FAILED },
    [SCOREBOARD_TOTAL_RETRIED] = { "retried", SCOREBOARD_RETRIED },
    [SCOREBOARD_TOTAL_LOST] = { "lost", SCOREBOARD_LOST },
    [SCOREBOARD_TOTAL_GIVEN_BACK] = { "given_back", SCOREBOARD_GIVEN_BACK },
    [SCOREBOARD_TOTAL_DEATHS] = { "deaths", -1 },
};
_Static_assert(ARRAY_SIZE(kinds) == SCOREBOARD_TOTAL_COUNT, "a row per total");

const char *scoreboard_total_name(enum scoreboard_total total)
{
    return kinds[total].name;
}

/* A child may have written any number. */
static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void add_counters(const struct board_memory *memory, int index,
                         uint64_t values[SCOREBOARD_TOTAL_COUNT])
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].counter >= 0)
            values[i] = add_capped(
                values[i], word_load(&memory->slots[index].child.counters[kinds[i].counter]));
    }
}

/* ---- the rows */

static bool is_of(const struct total_row *row, const char *queue)
{
    return strncmp(row->queue, queue, sizeof row->queue) == 0;
}

/* -1 when there is none. Looks no further than rows that were ever used, and not at all when no
 * master has begun: what is touched becomes real memory. */
static int find_row(const struct board_memory *memory, const char *queue)
{
    if (memory->life.starts == 0)
        return -1;
    for (int i = 0; i < SCOREBOARD_TOTALS && word_load(&memory->totals[i].used); i++) {
        if (is_of(&memory->totals[i], queue))
            return i;
    }
    return -1;
}

/* The first that was never used, else the one that has not been served for longest; -1: all are
 * served. */
static int find_room(const struct board_memory *memory)
{
    int oldest = -1;

    for (int i = 0; i < SCOREBOARD_TOTALS; i++) {
        const struct total_row *row = &memory->totals[i];

        if (!word_load(&row->used))
            return i;
        if (row->held_by != memory->life.starts &&
            (oldest < 0 || row->held_at_ms < memory->totals[oldest].held_at_ms))
            oldest = i;
    }
    return oldest;
}

/* Whoever is killed in here leaves a row that is not used, or whole. */
static void make_row(struct total_row *row, const char *queue)
{
    struct total_row made = { .since_at_ms = clock_wall_ms() };

    layout_put_text(made.queue, sizeof made.queue, queue, strlen(queue));
    row->queue[0] = '\0'; /* what is written next is nobody's */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    row->held_by = 0;
    row->since_at_ms = made.since_at_ms;
    memcpy(row->values, made.values, sizeof row->values);
    memcpy(row->queue + 1, made.queue + 1, sizeof row->queue - 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    row->queue[0] = made.queue[0];
    __atomic_store_n(&row->used, 1, __ATOMIC_RELEASE);
}

int scoreboard_hold_totals(struct scoreboard *board, const char *queue, struct error *err)
{
    struct board_memory *memory = board->memory;
    int index = find_row(memory, queue);

    if (index < 0) {
        index = find_room(memory);
        if (index < 0)
            return error_set(err, -ENOSPC, "all %d rows for totals are taken", SCOREBOARD_TOTALS);
        make_row(&memory->totals[index], queue);
    }
    memory->totals[index].held_by = memory->life.starts;
    memory->totals[index].held_at_ms = clock_wall_ms();
    return 0;
}

void scoreboard_let_go_totals(struct scoreboard *board, const char *queue)
{
    int index = find_row(board->memory, queue);

    if (index < 0)
        return;
    board->memory->totals[index].held_by = 0;
    board->memory->totals[index].held_at_ms = clock_wall_ms();
}

void scoreboard_count_death(struct scoreboard *board, const char *queue)
{
    int index = find_row(board->memory, queue);
    uint64_t *deaths;

    if (index < 0)
        return;
    deaths = &board->memory->totals[index].values[SCOREBOARD_TOTAL_DEATHS];
    word_store(deaths, add_capped(*deaths, 1));
}

/* ---- a sum */

/* Repeatable: what it writes does not depend on what is there. */
static void write_sum(struct board_memory *memory)
{
    const struct board_sum *sum = &memory->sum;

    memcpy(memory->totals[sum->row].values, sum->values, sizeof sum->values);
    memory->uses[sum->slot_plus_1 - 1] = USE_RELEASED;
    __atomic_store_n(&memory->sum.slot_plus_1, 0, __ATOMIC_RELEASE);
}

void layout_finish_sum(struct board_memory *memory)
{
    const struct board_sum *sum = &memory->sum;

    if (sum->slot_plus_1 == 0)
        return;
    if (sum->slot_plus_1 <= SCOREBOARD_SLOTS && sum->row < SCOREBOARD_TOTALS)
        write_sum(memory);
    else
        memory->sum.slot_plus_1 = 0; /* nobody of ours has written that */
}

void layout_sum_up(struct board_memory *memory, int index)
{
    struct scoreboard_master master;
    struct board_sum *sum = &memory->sum;
    int row;

    layout_read_master(&memory->slots[index].master, &master);
    row = find_row(memory, master.queue);
    if (row < 0) {
        memory->uses[index] = USE_RELEASED;
        return;
    }
    sum->row = (uint32_t)row;
    memcpy(sum->values, memory->totals[row].values, sizeof sum->values);
    add_counters(memory, index, sum->values);
    __atomic_store_n(&sum->slot_plus_1, (uint32_t)index + 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    write_sum(memory);
}

/* ---- the life of the board */

void scoreboard_begin(struct scoreboard *board)
{
    board->memory->life.starts++;
    if (board->memory->life.starts == 0) /* that is "nobody" */
        board->memory->life.starts = 1;
}

void scoreboard_beat(struct scoreboard *board)
{
    word_store(&board->memory->life.beat_boot_ms, clock_boot_ms());
}

void scoreboard_read_life(const struct scoreboard *board, struct scoreboard_life *out_life)
{
    const struct board_life *life = &board->memory->life;

    *out_life = (struct scoreboard_life){ .starts = life->starts,
                                          .made_at_ms = life->made_at_ms,
                                          .beat_boot_ms = life->beat_boot_ms };
}

/* ---- reading */

bool scoreboard_read_totals(const struct scoreboard *board, int row,
                            struct scoreboard_totals *out_totals)
{
    const struct total_row *shared;

    if (row < 0 || row >= SCOREBOARD_TOTALS || !word_load(&board->memory->totals[row].used))
        return false;
    shared = &board->memory->totals[row];
    *out_totals = (struct scoreboard_totals){
        .since_at_ms = shared->since_at_ms,
        .served = shared->held_by == board->memory->life.starts,
    };
    memcpy(out_totals->values, shared->values, sizeof out_totals->values);
    memcpy(out_totals->queue, shared->queue, sizeof out_totals->queue - 1);
    return true;
}

void scoreboard_add_live(const struct scoreboard *board, int index,
                         struct scoreboard_totals *totals)
{
    if (layout_has_slot(index) && board->memory->uses[index] == USE_TAKEN)
        add_counters(board->memory, index, totals->values);
}
