#include "workers/worker/put_backs.h"

#include <string.h>

#include "common/base/log.h"

#define SAY_EVERY_MS 60000

static struct put_backs_row *find_row(struct put_backs *put_backs, const char *name,
                                      const char *why)
{
    for (size_t i = 0; i < put_backs->count; i++) {
        if (put_backs->rows[i].why == why && strcmp(put_backs->rows[i].name, name) == 0)
            return &put_backs->rows[i];
    }
    if (put_backs->count < PUT_BACKS_NAMES)
        return memset(&put_backs->rows[put_backs->count++], 0, sizeof(*put_backs->rows));
    return &put_backs->rows[PUT_BACKS_NAMES - 1];
}

bool put_backs_note(struct put_backs *put_backs, const struct job *job, const char *why,
                    const char *detail, uint64_t now_ms)
{
    char text[PUT_BACKS_NAME_BYTES];
    size_t len = job->name.len < sizeof(text) ? job->name.len : sizeof(text) - 1;
    struct put_backs_row *row;

    memcpy(text, job->name.data, len);
    text[len] = '\0';
    row = find_row(put_backs, text, why);
    row->count++;
    if (row->said_ms != 0 && now_ms - row->said_ms < SAY_EVERY_MS)
        return false;
    memcpy(row->name, text, len + 1);
    row->why = why;
    log_warn("job.put_back", LOG_STR("job", job->id.data), LOG_STR("job_type", row->name),
             LOG_STR("why", why), LOG_STR("detail", detail ? detail : ""),
             LOG_UINT("count", row->count));
    row->count = 0;
    row->said_ms = now_ms > 0 ? now_ms : 1;
    return true;
}
