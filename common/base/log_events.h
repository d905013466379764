/* log_events.h - what each event means to an operator, and the number by which the journal knows it
 * (MESSAGE_ID, systemd.journal-fields(7)).
 *
 * From these rows come the message catalogue, by which `journalctl -x` explains a line
 * (drover-events catalog), and docs/events.md. Invariants: an id is random, made once
 * (`journalctl --new-id128`) and never changed, whatever becomes of the words; the programs log
 * these events and no others (tests/lint/check_events.py); each table is sorted by name. */
#pragma once

#include <stddef.h>

struct log_event {
    const char *name;    /* as the programs log it */
    const char *id;      /* 32 digits, lower case */
    const char *subject; /* one line */
    /* What has happened and what drover does about it; @QUEUE@ and the like stand for fields that
     * every such entry has. */
    const char *what;
    const char *remedy; /* what to do; NULL: nothing */
};

/* The row of an event, or NULL. */
const struct log_event *log_event_find(const char *name);

/* For what is generated. */
struct log_event_table {
    const char *title;
    const struct log_event *rows;
    const size_t *count;
};
#define LOG_EVENT_TABLES 3
extern const struct log_event_table log_event_tables[LOG_EVENT_TABLES];

/* The tables themselves: log_events_*.c. */
extern const struct log_event log_events_jobs[], log_events_workers[], log_events_master[];
extern const size_t log_events_jobs_count, log_events_workers_count, log_events_master_count;
