/* log_limit.h - repeats of an event are left out and counted: a fault that strikes with every job
 * must not fill a disk, nor hide everything else.
 * An event of a queue may be written `burst` times within an interval, which begins with its first
 * line; what comes more is counted, and the count is told when the interval is over.
 * Invariant: what was written and what was told as left out is together what was logged. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_QUEUE_BYTES 64 /* of a queue's name that is kept; longer ones are cut */

struct log_limit_row {
    const char *event;                 /* static text; NULL: free */
    uint64_t queue_hash;               /* of the whole name */
    uint64_t began_ms;                 /* when the interval began */
    uint64_t burst;                    /* lines that may be written in it, > 0 */
    uint64_t count;                    /* lines asked for in it, written or not */
    char queue[LOG_LIMIT_QUEUE_BYTES]; /* "" when the event is of no queue */
};

/* More kinds than this at once push the oldest out, whose count is told early. */
#define LOG_LIMIT_ROWS 256

struct log_limit {
    uint64_t interval_ms; /* > 0 */
    struct log_limit_row rows[LOG_LIMIT_ROWS];
    size_t used;
};

/* So many lines of this event were left out since began_ms. */
typedef void log_limit_tell_cb(const struct log_limit_row *row, uint64_t left_out);

/* May this line be written? `event` is static text, queue may be NULL; burst > 0. */
bool log_limit_allows(struct log_limit *limit, const char *event, const char *queue, uint64_t burst,
                      uint64_t now_ms, log_limit_tell_cb *tell);
/* Ends the intervals that are over at now_ms, or all of them, and tells what they left out. */
void log_limit_end(struct log_limit *limit, uint64_t now_ms, bool all, log_limit_tell_cb *tell);
/* When the next interval is over that left something out; 0 when none did. */
uint64_t log_limit_next_ms(const struct log_limit *limit);
