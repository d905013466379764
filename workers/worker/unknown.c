#include "workers/worker/unknown.h"

#include <string.h>

#include "common/base/log.h"

#define SAY_EVERY_MS 60000

static struct unknown_row *find_row(struct unknown *unknown, const char *name, const char *why)
{
    for (size_t i = 0; i < unknown->count; i++) {
        if (unknown->rows[i].why == why && strcmp(unknown->rows[i].name, name) == 0)
            return &unknown->rows[i];
    }
    if (unknown->count < UNKNOWN_NAMES)
        return memset(&unknown->rows[unknown->count++], 0, sizeof(*unknown->rows));
    return &unknown->rows[UNKNOWN_NAMES - 1];
}

_Bool unknown_note(struct unknown *unknown, const char *name, size_t name_len, const char *why,
                   uint64_t now_ms)
{
    char text[UNKNOWN_NAME_BYTES];
    size_t len = name_len < sizeof(text) ? name_len : sizeof(text) - 1;
    struct unknown_row *row;

    memcpy(text, name, len);
    text[len] = '\0';
    row = find_row(unknown, text, why);
    row->count++;
    if (row->said_ms != 0 && now_ms - row->said_ms < SAY_EVERY_MS)
        return 0;
    memcpy(row->name, text, len + 1);
    row->why = why;
    log_warn("job.put_back", LOG_STR("job_type", row->name), LOG_STR("why", why),
             LOG_UINT("count", row->count));
    row->count = 0;
    row->said_ms = now_ms > 0 ? now_ms : 1;
    return 1;
}
