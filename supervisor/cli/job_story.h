/* job_story.h - one job put into words: fields of its hash as people and programs read them, and
 * its events as a story. */
#pragma once

#include "common/base/buf.h"
#include "common/queue/get.h"

/* A copy of what the queue's callbacks lend: everything that `drover job` shows. */
struct job_field {
    char *name, *value; /* NUL-terminated after their lengths */
    size_t name_len, value_len;
};

struct job_record {
    const char *queue, *id; /* borrowed */
    char state[32];
    int64_t lock_ttl_ms; /* -1 not locked */
    uint64_t logs_count;
    struct job_field *fields;
    size_t fields_count;
    char **logs; /* the newest rows, oldest first */
    size_t logs_kept;
    struct job_record_event *events; /* oldest first */
    size_t events_count;
};

struct job_record_event {
    uint64_t at_ms;
    struct job_field *fields; /* "event" first */
    size_t fields_count;
};

void job_record_done(struct job_record *record);
/* Each copies; false on no memory. */
bool job_record_take_view(struct job_record *record, const struct job_view *view);
bool job_record_take_events(struct job_record *record, const struct job_event *events,
                            size_t count);

/* Pages. `full`: nothing is cut. */
void job_record_print(const struct job_record *record, bool full, struct buf *out);
void job_record_print_json(const struct job_record *record, struct buf *out);
