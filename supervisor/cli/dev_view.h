/* dev_view.h - what `drover dev` shows: counts while jobs run, a summary, the story of one job.
 * Three ways: a table that is drawn again in place (terminal), a line a second (pipe), one JSON
 * object a line (--json). */
#pragma once

#include "common/base/buf.h"
#include "common/queue/get.h"

enum dev_view_way { DEV_VIEW_TERMINAL, DEV_VIEW_LINES, DEV_VIEW_JSON };

/* One queue as last counted. */
struct dev_counted {
    const char *name;
    struct queue_counts counts;
};

struct dev_view {
    enum dev_view_way way;
    size_t drawn_lines;     /* terminal: of the table that stands there now */
    uint64_t started_at_ms; /* clock_now_ms */
    uint64_t next_line_ms;  /* lines, JSON: not before */
    struct buf last;        /* the last line without its time: nothing new is not shown */
};

void dev_view_init(struct dev_view *view, bool json);
void dev_view_done(struct dev_view *view);

/* One sentence between the counts (on stderr with JSON). */
void dev_view_say(struct dev_view *view, const char *format, ...) PRINTF_LIKE(2, 3);

/* Shows the counts when it is time to; `expected` 0: no sample. */
void dev_view_counts(struct dev_view *view, const struct dev_counted *queues, size_t count,
                     uint64_t expected);

/* The table at the end. */
void dev_view_summary(struct dev_view *view, const struct dev_counted *queues, size_t count,
                      uint64_t expected, uint64_t took_ms);

/* The story of one job: its events with times since the first; then what is kept of it (NULL:
 * nothing). */
void dev_view_story(struct dev_view *view, const char *id, const struct job_event *events,
                    size_t count);
void dev_view_kept(struct dev_view *view, const struct job_view *job);

/* Jobs that still have to run, and that have ended. */
uint64_t dev_view_open(const struct dev_counted *queues, size_t count);
uint64_t dev_view_ended(const struct dev_counted *queues, size_t count);
