#include "supervisor/cli/totals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"

#define ASK_MS 2000 /* it is an extra */

/* ---- asking */

struct asked {
    struct totals *totals;
    const char *const *queues;
    size_t queues_count;
};

static bool is_wanted(const struct asked *asked, const char *queue)
{
    for (size_t i = 0; i < asked->queues_count; i++) {
        if (strcmp(asked->queues[i], queue) == 0)
            return true;
    }
    return asked->queues_count == 0;
}

static void on_row(json_t *row, void *arg)
{
    const struct asked *asked = arg;

    if (is_wanted(asked, control_text(row, "queue")))
        (void)json_array_append(asked->totals->rows, row); /* no memory: a row less */
}

static int by_queue(const void *a, const void *b)
{
    return strcmp(control_text(*(json_t *const *)a, "queue"),
                  control_text(*(json_t *const *)b, "queue"));
}

static void sort(json_t *rows)
{
    size_t count = json_array_size(rows);
    _cleanup_(freep) json_t **sorted = calloc(count + 1, sizeof(json_t *));

    if (!sorted)
        return;
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_incref(json_array_get(rows, i));
    qsort(sorted, count, sizeof(json_t *), by_queue);
    for (size_t i = 0; i < count; i++)
        (void)json_array_set_new(rows, i, sorted[i]); /* the place is there */
}

void totals_ask(struct control_client *client, const char *const *queues, size_t queues_count,
                struct totals *out_totals)
{
    struct totals totals = { .rows = json_array() };
    struct asked asked = { &totals, queues, queues_count };
    struct error err;
    int result = control_client_ask(client, json_pack("{s:s}", "verb", "totals"), ASK_MS, on_row,
                                    &asked, &totals.end, &err);

    if (result < 0 || !json_is_true(json_object_get(totals.end, "ok")))
        totals_done(&totals);
    else
        sort(totals.rows);
    *out_totals = totals;
}

void totals_done(struct totals *totals)
{
    json_decref(totals->rows);
    json_decref(totals->end);
    *totals = (struct totals){ 0 };
}

/* ---- showing */

#define TIME_BYTES 32

static const char *local_time(uint64_t at_ms, char out[TIME_BYTES])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm parts;

    if (at_ms == 0 || !localtime_r(&seconds, &parts) ||
        strftime(out, TIME_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        (void)snprintf(out, TIME_BYTES, "-");
    return out;
}

static void add_row(struct output_table *table, const json_t *row)
{
    static const char *const numbers[] = { "completed", "failed",     "retried",
                                           "lost",      "given_back", "deaths" };
    char since[TIME_BYTES];

    output_table_cell(table, control_text(row, "queue"));
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        output_table_number(table, control_number(row, numbers[i]));
    output_table_cell(table, local_time(control_number(row, "since_at_ms"), since));
    output_table_cell(table, json_is_true(json_object_get(row, "served")) ? "" : "not served now");
}

void totals_print(const struct totals *totals, struct buf *out)
{
    static const bool right[] = { false, true, true, true, true, true, true, false, false };
    static const char *const heads[] = { "QUEUE", "DONE",   "FAILED", "RETRIED", "LOST",
                                         "BACK",  "DEATHS", "SINCE",  "" };
    uint64_t starts = control_number(totals->end, "starts");
    struct output_table table;

    if (json_array_size(totals->rows) == 0)
        return;
    (void)buf_printf(out, "%sTotals of this host, over %" PRIu64 " start%s of droverd\n",
                     out->len > 0 ? "\n" : "", starts, starts == 1 ? "" : "s");
    output_table_init(&table, ARRAY_SIZE(heads), right);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&table, heads[i]);
    for (size_t i = 0; i < json_array_size(totals->rows); i++)
        add_row(&table, json_array_get(totals->rows, i));
    output_table_print(&table, out);
    output_table_done(&table);
}

void totals_add_json(const struct totals *totals, json_t *object)
{
    /* No memory: what prints the object fails, too. */
    (void)json_object_set_new(object, "totals",
                              totals->rows ? json_incref(totals->rows) : json_null());
    if (!totals->end)
        return;
    (void)json_object_set(object, "starts", json_object_get(totals->end, "starts"));
    (void)json_object_set(object, "totals_since_at_ms",
                          json_object_get(totals->end, "since_at_ms"));
}
