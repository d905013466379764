#include "common/base/log_events.h"

#include <stdlib.h>
#include <string.h>

const struct log_event_table log_event_tables[LOG_EVENT_TABLES] = {
    { "Jobs", log_events_jobs, &log_events_jobs_count },
    { "Workers, their programs and Redis", log_events_workers, &log_events_workers_count },
    { "The service", log_events_master, &log_events_master_count },
};

static int compare(const void *name, const void *row)
{
    return strcmp(name, ((const struct log_event *)row)->name);
}

const struct log_event *log_event_find(const char *name)
{
    const struct log_event *found = NULL;

    for (size_t i = 0; i < LOG_EVENT_TABLES && !found; i++)
        found = bsearch(name, log_event_tables[i].rows, *log_event_tables[i].count, sizeof *found,
                        compare);
    return found;
}
