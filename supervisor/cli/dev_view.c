#include "supervisor/cli/dev_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "supervisor/cli/output.h"

#define OUTPUT_MAX_BYTES ((size_t)1 << 20)
#define LINE_EVERY_MS    1000
#define BAR_CELLS        40

/* The columns: one table for the headings, the lines and the JSON members. */
static const struct column {
    const char *title, *member;
    size_t at; /* of a uint64_t in struct queue_counts */
    bool open; /* jobs that still have to run */
} columns[] = {
    { "waiting", "waiting", offsetof(struct queue_counts, waiting), true },
    { "prioritized", "prioritized", offsetof(struct queue_counts, prioritized), true },
    { "delayed", "delayed", offsetof(struct queue_counts, delayed), true },
    { "active", "active", offsetof(struct queue_counts, active), true },
    { "completed", "completed", offsetof(struct queue_counts, completed), false },
    { "failed", "failed", offsetof(struct queue_counts, failed), false },
};

#define COLUMNS ARRAY_SIZE(columns)

static uint64_t value_of(const struct queue_counts *counts, const struct column *column)
{
    uint64_t value;

    memcpy(&value, (const char *)counts + column->at, sizeof(value));
    return value;
}

static uint64_t sum(const struct dev_counted *queues, size_t count, bool open)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < COLUMNS; c++)
            total += columns[c].open == open ? value_of(&queues[i].counts, &columns[c]) : 0;
        if (open)
            total += queues[i].counts.paused_list + queues[i].counts.waiting_children;
    }
    return total;
}

uint64_t dev_view_open(const struct dev_counted *queues, size_t count)
{
    return sum(queues, count, true);
}

uint64_t dev_view_ended(const struct dev_counted *queues, size_t count)
{
    return sum(queues, count, false);
}

void dev_view_init(struct dev_view *view, bool json)
{
    *view = (struct dev_view){ .started_at_ms = clock_now_ms() };
    buf_init(&view->last, OUTPUT_MAX_BYTES);
    if (json)
        view->way = DEV_VIEW_JSON;
    else
        view->way = isatty(STDOUT_FILENO) ? DEV_VIEW_TERMINAL : DEV_VIEW_LINES;
}

void dev_view_done(struct dev_view *view)
{
    buf_done(&view->last);
}

/* A terminal or pipe that is gone is no reason to stop: the clean-up must still happen. */
static void flush(struct buf *out)
{
    (void)output_flush(out);
    (void)fflush(stdout);
    buf_done(out);
}

static double elapsed_s(const struct dev_view *view)
{
    return (double)(clock_now_ms() - view->started_at_ms) / 1000;
}

void dev_view_say(struct dev_view *view, const char *format, ...)
{
    struct buf out = BUF_INIT(OUTPUT_MAX_BYTES);
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    output_text(&out, text, strlen(text));
    if (view->way == DEV_VIEW_JSON) {
        (void)fprintf(stderr, "%s\n", buf_text(&out));
        buf_done(&out);
        return;
    }
    (void)buf_append_char(&out, '\n');
    view->drawn_lines = 0; /* the table goes on below */
    flush(&out);
}

/* ---- counts ---- */

static void print_table(const struct dev_counted *queues, size_t count, struct buf *out)
{
    static const bool right[COLUMNS + 1] = { false, true, true, true, true, true, true };
    struct output_table table;

    output_table_init(&table, COLUMNS + 1, right);
    output_table_cell(&table, "queue");
    for (size_t c = 0; c < COLUMNS; c++)
        output_table_cell(&table, columns[c].title);
    for (size_t i = 0; i < count; i++) {
        output_table_cell(&table, queues[i].name);
        for (size_t c = 0; c < COLUMNS; c++)
            output_table_number(&table, value_of(&queues[i].counts, &columns[c]));
    }
    output_table_print(&table, out);
    output_table_done(&table);
}

static void print_bar(uint64_t ended, uint64_t expected, double seconds, struct buf *out)
{
    uint64_t cells = expected ? ended * BAR_CELLS / expected : 0;

    if (!expected) {
        (void)buf_printf(out, "%.1f s\n", seconds);
        return;
    }
    (void)buf_append_char(out, '[');
    for (uint64_t i = 0; i < BAR_CELLS; i++)
        (void)buf_append_char(out, i < cells ? '#' : '.');
    (void)buf_printf(out, "] %" PRIu64 " of %" PRIu64 " jobs ended, %.1f s\n", ended, expected,
                     seconds);
}

static size_t count_lines(const struct buf *out)
{
    size_t lines = 0;

    for (size_t i = 0; i < out->len; i++)
        lines += out->data[i] == '\n';
    return lines;
}

static void draw(struct dev_view *view, const struct dev_counted *queues, size_t count,
                 uint64_t expected)
{
    struct buf table = BUF_INIT(OUTPUT_MAX_BYTES), out = BUF_INIT(OUTPUT_MAX_BYTES);

    print_table(queues, count, &table);
    print_bar(dev_view_ended(queues, count), expected, elapsed_s(view), &table);
    if (view->drawn_lines > 0)
        (void)buf_printf(&out, "\033[%zuA\033[J", view->drawn_lines); /* up, clear below */
    (void)buf_append(&out, table.data, table.len);
    view->drawn_lines = count_lines(&table);
    buf_done(&table);
    flush(&out);
}

static void json_counts(const struct dev_counted *queues, size_t count, struct buf *out)
{
    (void)buf_append_text(out, "\"queues\":{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)buf_append_char(out, ',');
        (void)json_text_quote(out, queues[i].name, strlen(queues[i].name));
        (void)buf_append_text(out, ":{");
        for (size_t c = 0; c < COLUMNS; c++)
            output_member_number(out, c == 0, columns[c].member,
                                 value_of(&queues[i].counts, &columns[c]));
        (void)buf_append_char(out, '}');
    }
    (void)buf_append_char(out, '}');
}

static void plain_counts(const struct dev_counted *queues, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(out, "%s%s:", i ? " | " : "", queues[i].name);
        for (size_t c = 0; c < COLUMNS; c++)
            (void)buf_printf(out, " %s %" PRIu64, columns[c].title,
                             value_of(&queues[i].counts, &columns[c]));
    }
}

static void print_line(struct dev_view *view, const struct dev_counted *queues, size_t count)
{
    struct buf line = BUF_INIT(OUTPUT_MAX_BYTES), out = BUF_INIT(OUTPUT_MAX_BYTES);

    if (view->way == DEV_VIEW_JSON)
        json_counts(queues, count, &line);
    else
        plain_counts(queues, count, &line);
    if (strcmp(buf_text(&line), buf_text(&view->last)) != 0) {
        if (view->way == DEV_VIEW_JSON)
            (void)buf_printf(&out, "{\"elapsed_ms\":%" PRIu64 ",%s}\n",
                             clock_now_ms() - view->started_at_ms, buf_text(&line));
        else
            (void)buf_printf(&out, "%5.1f s  %s\n", elapsed_s(view), buf_text(&line));
        buf_reset(&view->last);
        (void)buf_append_text(&view->last, buf_text(&line));
    }
    buf_done(&line);
    flush(&out);
}

void dev_view_counts(struct dev_view *view, const struct dev_counted *queues, size_t count,
                     uint64_t expected)
{
    uint64_t now_ms = clock_now_ms();

    if (view->way == DEV_VIEW_TERMINAL) {
        draw(view, queues, count, expected);
        return;
    }
    if (now_ms < view->next_line_ms)
        return;
    view->next_line_ms = now_ms + LINE_EVERY_MS;
    print_line(view, queues, count);
}

void dev_view_summary(struct dev_view *view, const struct dev_counted *queues, size_t count,
                      uint64_t expected, uint64_t took_ms)
{
    struct buf out = BUF_INIT(OUTPUT_MAX_BYTES);
    uint64_t ended = dev_view_ended(queues, count);

    if (view->way == DEV_VIEW_JSON) {
        (void)buf_printf(&out,
                         "{\"summary\":{\"added\":%" PRIu64 ",\"ended\":%" PRIu64
                         ",\"took_ms\":%" PRIu64 "},",
                         expected, ended, took_ms);
        json_counts(queues, count, &out);
        (void)buf_append_text(&out, "}\n");
    } else {
        if (view->drawn_lines > 0)
            (void)buf_printf(&out, "\033[%zuA\033[J", view->drawn_lines);
        view->drawn_lines = 0;
        (void)buf_append_char(&out, '\n');
        print_table(queues, count, &out);
        (void)buf_printf(&out, "\n%" PRIu64 " jobs added, %" PRIu64 " ended, in %.1f s.\n",
                         expected, ended, (double)took_ms / 1000);
    }
    flush(&out);
}

/* ---- the story ---- */

static bool has_name(const struct bytes *name, const char *text)
{
    return name->len == strlen(text) && memcmp(name->data, text, name->len) == 0;
}

/* Fields of an event that say nothing new to a reader. */
static bool is_noise(const struct bytes *name)
{
    static const char *const noise[] = { "prev", "jobId" };

    for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
        if (has_name(name, noise[i]))
            return true;
    return false;
}

static void plain_field(const struct bytes *name, const struct bytes *value, uint64_t first_ms,
                        struct buf *out)
{
    if (has_name(name, "event")) { /* always the first */
        output_text(out, value->data, value->len);
        return;
    }
    (void)buf_append_text(out, "  ");
    output_text(out, name->data, name->len);
    (void)buf_append_char(out, '=');
    if (has_name(name, "delay")) /* in BullMQ's event: the time it is due at */
        (void)buf_printf(out, "+%.3f s",
                         (double)(strtoull(value->data, NULL, 10) - first_ms) / 1000);
    else
        output_text(out, value->data, value->len);
}

static void plain_event(const struct job_event *event, uint64_t first_ms, struct buf *out)
{
    (void)buf_printf(out, "  +%7.3f s  ", (double)(event->at_ms - first_ms) / 1000);
    for (size_t i = 0; i < event->fields_count; i++) {
        if (!is_noise(&event->names[i]))
            plain_field(&event->names[i], &event->values[i], first_ms, out);
    }
    (void)buf_append_char(out, '\n');
}

static void json_event(const struct job_event *event, bool first, struct buf *out)
{
    (void)buf_printf(out, "%s{\"at_ms\":%" PRIu64, first ? "" : ",", event->at_ms);
    for (size_t i = 0; i < event->fields_count; i++)
        output_member_text(out, false, event->names[i].data, event->values[i].data,
                           event->values[i].len);
    (void)buf_append_char(out, '}');
}

static const struct bytes *kept_field(const struct job_view *job, const char *name)
{
    for (size_t i = 0; i < job->fields_count; i++)
        if (has_name(&job->names[i], name))
            return &job->values[i];
    return NULL;
}

/* Fields of a job's hash that end its story. */
static const struct {
    const char *field, *says;
} endings[] = {
    { "atm", "attempts made" },
    { "failedReason", "last failure" },
    { "returnvalue", "result" },
};

void dev_view_story(struct dev_view *view, const char *id, const struct job_event *events,
                    size_t count)
{
    struct buf out = BUF_INIT(OUTPUT_MAX_BYTES);
    bool json = view->way == DEV_VIEW_JSON;

    if (json) {
        (void)buf_append_text(&out, "{\"story\":{");
        output_member_text(&out, true, "id", id, strlen(id));
        (void)buf_append_text(&out, ",\"events\":[");
    } else {
        (void)buf_printf(&out, "\nThe story of job %s, made to fail once and be retried:\n", id);
    }
    for (size_t i = 0; i < count; i++) {
        if (json)
            json_event(&events[i], i == 0, &out);
        else
            plain_event(&events[i], events[0].at_ms, &out);
    }
    if (json)
        (void)buf_append_text(&out, "]}}\n");
    view->drawn_lines = 0;
    flush(&out);
}

static void plain_kept(const struct job_view *job, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        const struct bytes *value = kept_field(job, endings[i].field);

        if (!value)
            continue;
        (void)buf_printf(out, "  %s: ", endings[i].says);
        output_text(out, value->data, value->len);
        (void)buf_append_char(out, '\n');
    }
}

static void json_kept(const struct job_view *job, struct buf *out)
{
    (void)buf_append_text(out, "{\"kept\":{");
    output_member_text(out, true, "state", job->state, strlen(job->state));
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        const struct bytes *value = kept_field(job, endings[i].field);

        if (value)
            output_member_text(out, false, endings[i].field, value->data, value->len);
    }
    (void)buf_append_text(out, "}}\n");
}

void dev_view_kept(struct dev_view *view, const struct job_view *job)
{
    struct buf out = BUF_INIT(OUTPUT_MAX_BYTES);

    if (job && view->way == DEV_VIEW_JSON)
        json_kept(job, &out);
    else if (job)
        plain_kept(job, &out);
    flush(&out);
}
