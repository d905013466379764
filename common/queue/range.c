/* Ranges of a state: which jobs are in it, by rank, with fields of their hashes. */
#include <errno.h>
#include <stdlib.h>

#include "common/queue/get_internal.h"

enum { ROW_ID, ROW_SCORE, ROW_EXISTS, ROW_FIELDS };
#define ALL_FIELDS UINT64_MAX /* get_call.number: names are in the reply */

/* Rows and the arrays of their fields, two blocks for all. */
struct rows {
    struct range_row *items;
    struct bytes *texts;
};

static bool is_row(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= ROW_FIELDS;
}

/* Names of a row are those asked for, or stand before each value. */
static void read_row(const redisReply *reply, bool names_inside, struct bytes **texts,
                     struct range_row *out)
{
    size_t elements = reply->elements - ROW_FIELDS;
    size_t count = names_inside ? elements / 2 : elements;

    *out = (struct range_row){
        .id = queue_reply_bytes(reply->element[ROW_ID]),
        .score = strtod(get_reply_text(reply->element[ROW_SCORE]), NULL),
        .exists = queue_reply_uint(reply->element[ROW_EXISTS], 0) != 0,
        .fields_count = count,
        .names = names_inside ? *texts : NULL,
        .values = names_inside ? *texts + count : *texts,
    };
    for (size_t i = 0; i < count; i++) {
        const redisReply *const *at = (const redisReply *const *)reply->element + ROW_FIELDS;

        if (names_inside)
            (*texts)[i] = queue_reply_bytes(at[2 * i]);
        (*texts)[names_inside ? count + i : i] =
            queue_reply_bytes(at[names_inside ? 2 * i + 1 : i]);
    }
    *texts += names_inside ? 2 * count : count;
}

/* How many rows there are; false on no memory. */
static bool read_rows(const redisReply *reply, bool names_inside, struct rows *out,
                      size_t *out_count)
{
    size_t texts_count = 0, count = 0;
    struct bytes *texts;

    for (size_t i = 1; i < reply->elements; i++)
        texts_count += is_row(reply->element[i]) ? reply->element[i]->elements : 0;
    out->items = calloc(reply->elements, sizeof(*out->items));
    out->texts = calloc(texts_count + 1, sizeof(*out->texts));
    if (!out->items || !out->texts)
        return false;
    texts = out->texts;
    for (size_t i = 1; i < reply->elements; i++) {
        if (is_row(reply->element[i]))
            read_row(reply->element[i], names_inside, &texts, &out->items[count++]);
    }
    *out_count = count;
    return true;
}

static void on_range(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    struct rows rows = { 0 };
    size_t count = 0;

    (void)redis;
    if (result.outcome == REDIS_REPLY &&
        !read_rows(reply, call->number == ALL_FIELDS, &rows, &count))
        result = get_no_memory();
    if (result.outcome == REDIS_REPLY)
        call->on_done.range(call->queue, &result, rows.items, count,
                            queue_reply_uint(reply->element[0], 0), call->arg);
    else
        call->on_done.range(call->queue, &result, NULL, 0, 0, call->arg);
    free(rows.items);
    free(rows.texts);
}

static int check_spec(const struct range_spec *spec, struct error *err)
{
    if (spec->count == 0 || spec->count > QUEUE_RANGE_MAX)
        return error_set(err, -EINVAL, "%zu jobs of a range: 1 to %d", spec->count,
                         QUEUE_RANGE_MAX);
    if (spec->fields_count > QUEUE_FIELDS_MAX)
        return error_set(err, -EINVAL, "%zu fields of a job: %d at most", spec->fields_count,
                         QUEUE_FIELDS_MAX);
    if (spec->fields_count > 0 && !spec->fields)
        return error_set(err, -EINVAL, "%zu fields without names", spec->fields_count);
    if (spec->start > UINT32_MAX)
        return error_set(err, -EINVAL, "rank %llu is beyond every range",
                         (unsigned long long)spec->start);
    return 0;
}

int queue_get_range(struct queue *queue, const struct range_spec *spec, queue_range_cb *on_done,
                    void *arg, struct error *err)
{
    const struct get_call call = { .queue = queue,
                                   .on_done.range = on_done,
                                   .arg = arg,
                                   .number = spec->fields ? 0 : ALL_FIELDS };
    int r = check_spec(spec, err);

    if (r == 0)
        r = get_args_begin(queue, 5 + spec->fields_count, err);
    if (r < 0)
        return r;
    queue_args_add_text(queue, queue_state_name(spec->state));
    queue_args_add_uint(queue, spec->start);
    queue_args_add_uint(queue, spec->count);
    queue_args_add_text(queue, spec->ascending ? "asc" : "desc");
    queue_args_add_text(queue, !spec->fields ? "all" : spec->fields_count == 0 ? "ids" : "some");
    for (size_t i = 0; spec->fields && i < spec->fields_count; i++)
        queue_args_add_text(queue, spec->fields[i]);
    return get_run_script(&call, &queue_script_range, on_range, err);
}
