#include "common/base/log_limit.h"

#include <string.h>

/* FNV-1a: names of queues come from the operator, not from an enemy. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037ULL;

    for (; text && *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
    return hash;
}

static uint64_t left_out(const struct log_limit_row *row)
{
    return row->count > row->burst ? row->count - row->burst : 0;
}

static bool is_over(const struct log_limit *limit, const struct log_limit_row *row, uint64_t now_ms)
{
    return now_ms - row->began_ms >= limit->interval_ms;
}

/* The row is free afterwards; another one may have taken its place. */
static void end_row(struct log_limit *limit, size_t index, log_limit_tell_cb *tell)
{
    struct log_limit_row row = limit->rows[index];
    uint64_t count = left_out(&row);

    limit->rows[index] = limit->rows[--limit->used];
    if (count > 0)
        tell(&row, count);
}

static struct log_limit_row *find_row(struct log_limit *limit, const char *event,
                                      uint64_t queue_hash)
{
    for (size_t i = 0; i < limit->used; i++) {
        struct log_limit_row *row = &limit->rows[i];

        if (row->queue_hash == queue_hash && strcmp(row->event, event) == 0)
            return row;
    }
    return NULL;
}

static size_t oldest_row(const struct log_limit *limit)
{
    size_t oldest = 0;

    for (size_t i = 1; i < limit->used; i++)
        if (limit->rows[i].began_ms < limit->rows[oldest].began_ms)
            oldest = i;
    return oldest;
}

static struct log_limit_row *add_row(struct log_limit *limit, const char *event, const char *queue,
                                     uint64_t burst, uint64_t now_ms, log_limit_tell_cb *tell)
{
    struct log_limit_row *row;
    size_t len = queue ? strlen(queue) : 0;

    if (limit->used == LOG_LIMIT_ROWS)
        end_row(limit, oldest_row(limit), tell);
    if (len >= sizeof row->queue)
        len = sizeof row->queue - 1;
    row = &limit->rows[limit->used++];
    *row = (struct log_limit_row){
        .event = event, .queue_hash = hash_of(queue), .began_ms = now_ms, .burst = burst
    };
    if (len > 0)
        memcpy(row->queue, queue, len);
    return row;
}

bool log_limit_allows(struct log_limit *limit, const char *event, const char *queue, uint64_t burst,
                      uint64_t now_ms, log_limit_tell_cb *tell)
{
    struct log_limit_row *row = find_row(limit, event, hash_of(queue));

    if (row && is_over(limit, row, now_ms)) {
        end_row(limit, (size_t)(row - limit->rows), tell);
        row = NULL;
    }
    if (!row)
        row = add_row(limit, event, queue, burst, now_ms, tell);
    row->count++;
    return row->count <= row->burst;
}

void log_limit_end(struct log_limit *limit, uint64_t now_ms, bool all, log_limit_tell_cb *tell)
{
    for (size_t i = 0; i < limit->used;) {
        if (all || is_over(limit, &limit->rows[i], now_ms))
            end_row(limit, i, tell);
        else
            i++;
    }
}

uint64_t log_limit_next_ms(const struct log_limit *limit)
{
    uint64_t next_ms = 0;

    for (size_t i = 0; i < limit->used; i++) {
        const struct log_limit_row *row = &limit->rows[i];
        uint64_t end_ms = row->began_ms + limit->interval_ms;

        if (left_out(row) > 0 && (next_ms == 0 || end_ms < next_ms))
            next_ms = end_ms;
    }
    return next_ms;
}
