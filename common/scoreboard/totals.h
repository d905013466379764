/* totals.h - what the processes of each queue have done together, also those that are gone.
 * A process counts in its slot; when the master releases the slot it adds those counters to the row
 * of the queue, whole or not at all whenever it is killed. So the numbers outlive every process
 * that has counted, and with a kept scoreboard (supervisor/master/store.h) the master as well.
 * Written by the master alone. For people, like all of the scoreboard. */
#pragma once

#include "common/scoreboard/scoreboard.h"

/* Rows: at least one for each queue that one droverd can serve. A queue that is served no more
 * keeps its row until all are used; then the one that has not been served for longest is reused. */
#define SCOREBOARD_TOTALS 2048

enum scoreboard_total {
    SCOREBOARD_TOTAL_COMPLETED,
    SCOREBOARD_TOTAL_FAILED,
    SCOREBOARD_TOTAL_RETRIED,
    SCOREBOARD_TOTAL_LOST,
    SCOREBOARD_TOTAL_GIVEN_BACK,
    SCOREBOARD_TOTAL_DEATHS, /* processes that ended with jobs to be given back by others */
    SCOREBOARD_TOTAL_COUNT
};
const char *scoreboard_total_name(enum scoreboard_total total); /* "completed", … */

struct scoreboard_totals {
    char queue[SCOREBOARD_QUEUE_BYTES];
    uint64_t since_at_ms; /* wall */
    bool served;          /* by the master that uses the board now */
    uint64_t values[SCOREBOARD_TOTAL_COUNT];
};

struct scoreboard_life {
    uint32_t starts;       /* masters that have used it, this one included */
    uint64_t made_at_ms;   /* wall */
    uint64_t beat_boot_ms; /* clock_boot_ms() of the last scoreboard_beat; 0 never */
};

/* A master begins to use the board. Once, before the functions below. */
void scoreboard_begin(struct scoreboard *board);
/* It lives: the next one learns how long ago that was. */
void scoreboard_beat(struct scoreboard *board);
void scoreboard_read_life(const struct scoreboard *board, struct scoreboard_life *out_life);

/* The queue is served: finds its row or makes one. -ENOSPC when all rows are of queues that are
 * served; then nothing is counted for it. */
MUST_CHECK int scoreboard_hold_totals(struct scoreboard *board, const char *queue,
                                      struct error *err);
/* It is served no more; its row stays. */
void scoreboard_let_go_totals(struct scoreboard *board, const char *queue);
void scoreboard_count_death(struct scoreboard *board, const char *queue);

/* Copies row `row`, from 0; false when there is none, nor any after it. Processes that are still
 * there are not in it: scoreboard_add_live. */
bool scoreboard_read_totals(const struct scoreboard *board, int row,
                            struct scoreboard_totals *out_totals);
/* Adds what the process of a taken slot has counted so far. */
void scoreboard_add_live(const struct scoreboard *board, int index,
                         struct scoreboard_totals *totals);
