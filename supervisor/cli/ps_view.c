/* The tables of drover ps. */
#include <inttypes.h>
#include <string.h>

#include "supervisor/cli/control_client.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/ps.h"

#define SHORT_BYTES 24
#define NOTE_BYTES  96

/* ---- order ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare(const void *a_at, const void *b_at)
{
    const json_t *a = *(json_t *const *)a_at, *b = *(json_t *const *)b_at;
    int r = strcmp(control_text(a, "queue"), control_text(b, "queue"));

    if (r == 0)
        r = strcmp(control_text(a, "host"), control_text(b, "host"));
    if (r == 0)
        r = compare_numbers(control_number(a, "slot"), control_number(b, "slot"));
    if (r == 0)
        r = compare_numbers(control_number(a, "generation"), control_number(b, "generation"));
    return r ? r : strcmp(control_text(a, "uuid"), control_text(b, "uuid"));
}

bool ps_sort(json_t *processes)
{
    size_t count = json_array_size(processes);
    _cleanup_(freep) json_t **rows = calloc(count + 1, sizeof(json_t *));
    bool good = rows != NULL;

    if (!good)
        return false;
    for (size_t i = 0; i < count; i++)
        rows[i] = json_incref(json_array_get(processes, i));
    qsort(rows, count, sizeof(json_t *), compare);
    (void)json_array_clear(processes); /* it is an array */
    for (size_t i = 0; i < count; i++)
        good = json_array_append_new(processes, rows[i]) == 0 && good;
    return good;
}

/* ---- cells ---- */

/* An age in few characters: 12s, 3m20s, 5h02m, 12d03h. */
static const char *short_age(uint64_t ms, char out[SHORT_BYTES])
{
    uint64_t s = ms / 1000;

    if (s < 60)
        (void)snprintf(out, SHORT_BYTES, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(out, SHORT_BYTES, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, SHORT_BYTES, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, SHORT_BYTES, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    return out;
}

/* 0 stands for unknown. */
static void age_cell(struct output_table *table, uint64_t since_ms, uint64_t now_ms)
{
    char text[SHORT_BYTES];

    if (since_ms == 0)
        output_table_cell(table, "-");
    else
        output_table_cell(table, short_age(now_ms > since_ms ? now_ms - since_ms : 0, text));
}

static void size_cell(struct output_table *table, uint64_t bytes)
{
    char text[SHORT_BYTES];
    double mib = (double)bytes / (1024 * 1024);

    if (bytes == 0)
        (void)snprintf(text, sizeof(text), "-");
    else if (mib < 1024)
        (void)snprintf(text, sizeof(text), "%.1fMiB", mib);
    else
        (void)snprintf(text, sizeof(text), "%.1fGiB", mib / 1024);
    output_table_cell(table, text);
}

static void pid_cell(struct output_table *table, uint64_t pid)
{
    if (pid > 0)
        output_table_number(table, pid);
    else
        output_table_cell(table, "-");
}

static void busy_cell(struct output_table *table, const json_t *row)
{
    char text[2 * SHORT_BYTES];

    (void)snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, control_number(row, "running"),
                   control_number(row, "slots"));
    output_table_cell(table, text);
}

static void add_note(char note[NOTE_BYTES], const char *text)
{
    size_t len = strlen(note);

    (void)snprintf(note + len, NOTE_BYTES - len, "%s%s", len > 0 ? ", " : "", text);
}

/* A place whose process died before it was ready: when the next one is started, and why not now. */
static void restart_note(const json_t *row, char note[NOTE_BYTES])
{
    const char *cause = control_text(row, "last_cause");
    uint64_t wait_ms = control_number(row, "next_start_ms");
    char age[SHORT_BYTES], again[2 * SHORT_BYTES];

    if (wait_ms > 0) {
        (void)snprintf(again, sizeof(again), "again in %s", short_age(wait_ms, age));
        add_note(note, again);
    }
    if (*cause)
        add_note(note, cause);
}

/* What is out of the ordinary with a process that should be at work. */
static void note_cell(struct output_table *table, const json_t *row)
{
    const char *state = control_text(row, "state");
    bool serves = strcmp(state, "serving") == 0 || strcmp(state, "draining") == 0;
    uint64_t beat_age_ms = control_number(row, "beat_age_ms");
    char note[NOTE_BYTES] = "", age[SHORT_BYTES], silent[2 * SHORT_BYTES];

    if (serves && beat_age_ms > PS_SILENT_MS) {
        (void)snprintf(silent, sizeof(silent), "silent %s", short_age(beat_age_ms, age));
        add_note(note, silent);
    }
    if (serves && json_is_false(json_object_get(row, "redis_up")))
        add_note(note, "no Redis");
    if (json_is_true(json_object_get(row, "paused")))
        add_note(note, "paused");
    if (json_is_true(json_object_get(row, "maxed")))
        add_note(note, "maxed");
    if (json_is_true(json_object_get(row, "limited")))
        add_note(note, "limited");
    if (control_number(row, "pid") == 0)
        restart_note(row, note);
    output_table_cell(table, note);
}

struct column {
    const char *head;
    bool right;
};

#define COLUMNS_MAX 16

/* `right` is kept as long as the table. */
static void start_table(struct output_table *table, const struct column *columns, size_t count,
                        bool right[COLUMNS_MAX])
{
    for (size_t i = 0; i < count; i++)
        right[i] = columns[i].right;
    output_table_init(table, count, right);
    for (size_t i = 0; i < count; i++)
        output_table_cell(table, columns[i].head);
}

/* ---- this host ---- */

void ps_print_processes(const json_t *processes, uint64_t now_ms, struct buf *out)
{
    static const struct column columns[] = {
        { "PID", true },    { "QUEUE", false },  { "SLOT", true },    { "STATE", false },
        { "GEN", true },    { "UP", true },      { "BUSY", true },    { "DONE", true },
        { "FAILED", true }, { "RETRIED", true }, { "WAITING", true }, { "RSS", true },
        { "", false },
    };
    bool right[COLUMNS_MAX];
    struct output_table table;

    start_table(&table, columns, ARRAY_SIZE(columns), right);
    for (size_t i = 0; i < json_array_size(processes); i++) {
        const json_t *row = json_array_get(processes, i);

        pid_cell(&table, control_number(row, "pid"));
        output_table_cell(&table, control_text(row, "queue"));
        output_table_number(&table, control_number(row, "slot"));
        output_table_cell(&table, control_text(row, "state"));
        output_table_number(&table, control_number(row, "generation"));
        age_cell(&table, control_number(row, "spawned_at_ms"), now_ms);
        busy_cell(&table, row);
        output_table_number(&table, control_number(row, "completed"));
        output_table_number(&table, control_number(row, "failed"));
        output_table_number(&table, control_number(row, "retried"));
        output_table_number(&table, control_number(row, "waiting"));
        size_cell(&table, control_number(row, "rss_bytes"));
        note_cell(&table, row);
    }
    output_table_print(&table, out);
    output_table_done(&table);
}

static void job_cells(struct output_table *table, const json_t *process, const json_t *job)
{
    char age[OUTPUT_AGE_BYTES];

    output_table_cell(table, control_text(process, "queue"));
    pid_cell(table, control_number(process, "pid"));
    output_table_cell(table, control_text(job, "id"));
    output_table_cell(table, control_text(job, "type"));
    output_table_cell(table, output_age(control_number(job, "age_ms"), age));
    output_table_number(table, control_number(job, "attempt"));
    pid_cell(table, control_number(job, "pid"));
}

void ps_print_jobs(const json_t *processes, struct buf *out)
{
    static const struct column columns[] = {
        { "QUEUE", false }, { "WORKER", true },  { "JOB", false },    { "TYPE", false },
        { "AGE", true },    { "ATTEMPT", true }, { "HANDLER", true },
    };
    bool right[COLUMNS_MAX];
    struct output_table table;
    uint64_t running = 0, shown = 0;

    start_table(&table, columns, ARRAY_SIZE(columns), right);
    for (size_t i = 0; i < json_array_size(processes); i++) {
        const json_t *process = json_array_get(processes, i);
        const json_t *jobs = json_object_get(process, "jobs");

        for (size_t n = 0; n < json_array_size(jobs); n++)
            job_cells(&table, process, json_array_get(jobs, n));
        shown += json_array_size(jobs);
        running += control_number(process, "running");
    }
    if (shown > 0)
        output_table_print(&table, out);
    else
        (void)buf_append_text(out, "no job runs\n");
    if (running > shown && shown > 0)
        (void)buf_printf(out, "and %" PRIu64 " more\n", running - shown);
    output_table_done(&table);
}

void ps_print_recoveries(const json_t *recoveries, struct buf *out)
{
    static const struct column columns[] = {
        { "PROCESS", false }, { "QUEUE", false }, { "CAUSE", false },
        { "FOR", true },      { "ASKED", true },  { "", false },
    };
    bool right[COLUMNS_MAX];
    struct output_table table;

    start_table(&table, columns, ARRAY_SIZE(columns), right);
    for (size_t i = 0; i < json_array_size(recoveries); i++) {
        const json_t *row = json_array_get(recoveries, i);
        char age[SHORT_BYTES];

        output_table_cell(&table, control_text(row, "uuid"));
        output_table_cell(&table, control_text(row, "queue"));
        output_table_cell(&table, control_text(row, "cause"));
        output_table_cell(&table, short_age(control_number(row, "age_ms"), age));
        output_table_number(&table, control_number(row, "asked"));
        output_table_cell(&table, json_is_true(json_object_get(row, "fence_only"))
                                      ? "not seen dead: left to the end of its locks"
                                      : "");
    }
    (void)buf_append_text(out, "Not yet recovered: dead, and what they ran is not given back\n");
    output_table_print(&table, out);
    output_table_done(&table);
}

/* ---- all hosts ---- */

void ps_print_cluster(const json_t *processes, uint64_t now_ms, struct buf *out)
{
    static const struct column columns[] = {
        { "HOST", false }, { "PID", true },  { "QUEUE", false },   { "SLOT", true },
        { "BUSY", true },  { "DONE", true }, { "FAILED", true },   { "GEN", true },
        { "UP", true },    { "BEAT", true }, { "VERSION", false }, { "UUID", false },
        { "", false },
    };
    bool right[COLUMNS_MAX];
    struct output_table table;

    start_table(&table, columns, ARRAY_SIZE(columns), right);
    for (size_t i = 0; i < json_array_size(processes); i++) {
        const json_t *row = json_array_get(processes, i);
        char beat[SHORT_BYTES], uuid[9];

        (void)snprintf(uuid, sizeof(uuid), "%s", control_text(row, "uuid")); /* its beginning */
        output_table_cell(&table, control_text(row, "host"));
        pid_cell(&table, control_number(row, "pid"));
        output_table_cell(&table, control_text(row, "queue"));
        output_table_number(&table, control_number(row, "slot"));
        busy_cell(&table, row);
        output_table_number(&table, control_number(row, "completed"));
        output_table_number(&table, control_number(row, "failed"));
        output_table_number(&table, control_number(row, "generation"));
        age_cell(&table, control_number(row, "started_at_ms"), now_ms);
        output_table_cell(&table, short_age(control_number(row, "beat_age_ms"), beat));
        output_table_cell(&table, control_text(row, "version"));
        output_table_cell(&table, uuid);
        output_table_cell(&table, json_is_true(json_object_get(row, "silent")) ? "silent" : "");
    }
    output_table_print(&table, out);
    output_table_done(&table);
}
