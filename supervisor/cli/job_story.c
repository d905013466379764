#include "supervisor/cli/job_story.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/queue/json_walk.h"
#include "supervisor/cli/output.h"

#define CUT_BYTES 600 /* of a long text, unless all is wanted */

/* ---- copying ---- */

static void free_fields(struct job_field *fields, size_t count)
{
    for (size_t i = 0; fields && i < count; i++) {
        free(fields[i].name);
        free(fields[i].value);
    }
    free(fields);
}

void job_record_done(struct job_record *record)
{
    free_fields(record->fields, record->fields_count);
    for (size_t i = 0; i < record->logs_kept; i++)
        free(record->logs[i]);
    free(record->logs);
    for (size_t i = 0; i < record->events_count; i++)
        free_fields(record->events[i].fields, record->events[i].fields_count);
    free(record->events);
    *record = (struct job_record){ 0 };
}

static char *copy_bytes(const struct bytes *from)
{
    char *copy = malloc(from->len + 1);

    if (!copy)
        return NULL;
    if (from->len > 0)
        memcpy(copy, from->data, from->len);
    copy[from->len] = '\0';
    return copy;
}

/* NULL on no memory. */
static struct job_field *copy_fields(const struct bytes *names, const struct bytes *values,
                                     size_t count)
{
    struct job_field *fields = calloc(count ? count : 1, sizeof(*fields));

    for (size_t i = 0; fields && i < count; i++) {
        fields[i] = (struct job_field){ .name = copy_bytes(&names[i]),
                                        .value = copy_bytes(&values[i]),
                                        .name_len = names[i].len,
                                        .value_len = values[i].len };
        if (!fields[i].name || !fields[i].value) {
            free_fields(fields, i + 1);
            return NULL;
        }
    }
    return fields;
}

bool job_record_take_view(struct job_record *record, const struct job_view *view)
{
    (void)snprintf(record->state, sizeof(record->state), "%s", view->state); /* our own words */
    record->lock_ttl_ms = view->lock_ttl_ms;
    record->logs_count = view->logs_count;
    record->fields = copy_fields(view->names, view->values, view->fields_count);
    if (!record->fields)
        return false;
    record->fields_count = view->fields_count;
    return true;
}

bool job_record_take_events(struct job_record *record, const struct job_event *events, size_t count)
{
    record->events = calloc(count ? count : 1, sizeof(*record->events));
    for (size_t i = 0; record->events && i < count; i++) {
        struct job_record_event *event = &record->events[i];

        event->at_ms = events[i].at_ms;
        event->fields = copy_fields(events[i].names, events[i].values, events[i].fields_count);
        if (!event->fields)
            return false;
        event->fields_count = events[i].fields_count;
        record->events_count = i + 1;
    }
    return record->events != NULL;
}

static const struct job_field *find_field(const struct job_field *fields, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static const struct job_field *field_of(const struct job_record *record, const char *name)
{
    return find_field(record->fields, record->fields_count, name);
}

/* ---- the fields of a job hash (wire format 2.1) ---- */

enum field_kind { FIELD_TEXT, FIELD_NUMBER, FIELD_TIME, FIELD_WAIT, FIELD_JSON, FIELD_TRACES };

static const struct {
    const char *name, *label; /* label NULL: shown in the heading */
    const char *json;         /* name for programs */
    enum field_kind kind;
} known_fields[] = {
    { "name", NULL, "name", FIELD_TEXT },
    { "timestamp", "added", "timestamp", FIELD_TIME },
    { "delay", "delay", "delay_ms", FIELD_WAIT },
    { "priority", "priority", "priority", FIELD_NUMBER },
    { "processedOn", "last start", "processed_on", FIELD_TIME },
    { "finishedOn", "finished", "finished_on", FIELD_TIME },
    { "pb", "worker", "processed_by", FIELD_TEXT },
    { "atm", NULL, "attempts_made", FIELD_NUMBER },
    { "ats", NULL, "attempts_started", FIELD_NUMBER },
    { "stc", "stalled", "stalled", FIELD_NUMBER },
    { "rjk", "scheduler", "scheduler", FIELD_TEXT },
    { "deid", "deduplicated", "deduplication_id", FIELD_TEXT },
    { "parentKey", "parent", "parent_key", FIELD_TEXT },
    { "opts", "options", "opts", FIELD_JSON },
    { "data", "data", "data", FIELD_JSON },
    { "progress", "progress", "progress", FIELD_JSON },
    { "returnvalue", "result", "returnvalue", FIELD_JSON },
    { "failedReason", "reason", "failed_reason", FIELD_TEXT },
    { "defa", "will fail", "deferred_failure", FIELD_TEXT },
    { "stacktrace", "stack traces", "stacktrace", FIELD_TRACES },
};

static void print_label(const char *label, struct buf *out)
{
    (void)buf_printf(out, "  %-13s ", label);
}

static uint64_t number_of(const struct job_field *field)
{
    uint64_t number = 0;

    if (!field || text_parse_uint(field->value, field->value_len, &number) < 0)
        return 0;
    return number;
}

/* Text on one or more lines, cut unless `full`. */
static void print_long(const char *text, size_t len, bool full, struct buf *out)
{
    size_t shown = full || len <= CUT_BYTES ? len : text_utf8_prefix(text, CUT_BYTES);

    if (shown == 0 && len > 0)
        shown = len > CUT_BYTES ? CUT_BYTES : len; /* not UTF-8 from its first byte on */
    output_lines(out, text, shown, 16);
    if (shown < len)
        (void)buf_printf(out, "... (%zu of %zu bytes; --full shows all)", shown, len);
    (void)buf_append_char(out, '\n');
}

/* One JSON string without its quotes and escapes; others as they are. */
static void print_trace(const struct json_value *entry, bool full, struct buf *out)
{
    struct buf plain = BUF_INIT((size_t)16 * 1024 * 1024);

    for (size_t i = 1; entry->kind == JSON_KIND_STRING && i + 1 < entry->len; i++) {
        char c = entry->text[i];

        if (c == '\\' && i + 2 < entry->len && strchr("nt\"\\/", entry->text[i + 1])) {
            c = entry->text[++i];
            c = (char)(c == 'n' ? '\n' : c == 't' ? ' ' : c);
        }
        (void)buf_append_char(&plain, c);
    }
    print_long(buf_text(&plain), plain.len, full, out);
    buf_done(&plain);
}

static void print_traces(const struct job_field *field, bool full, struct buf *out)
{
    struct json_value array, entry;
    struct json_walk walk;
    size_t number = 0;

    if (!json_text_is_valid(field->value, field->value_len) ||
        json_whole_value(field->value, field->value_len).kind != JSON_KIND_ARRAY) {
        print_label("stack traces", out);
        print_long(field->value, field->value_len, full, out);
        return;
    }
    array = json_whole_value(field->value, field->value_len);
    walk = json_walk_into(&array);
    while (json_next_element(&walk, &entry)) {
        char label[32];

        (void)snprintf(label, sizeof(label), "attempt %zu", ++number);
        print_label(label, out);
        print_trace(&entry, full, out);
    }
}

static void print_field(const struct job_field *field, const char *label, enum field_kind kind,
                        bool full, struct buf *out)
{
    char text[OUTPUT_TIME_BYTES + OUTPUT_AGE_BYTES];

    if (kind == FIELD_TRACES) {
        print_traces(field, full, out);
        return;
    }
    if ((kind == FIELD_WAIT || kind == FIELD_NUMBER) && strcmp(field->value, "0") == 0)
        return; /* none */
    print_label(label, out);
    if (kind == FIELD_TIME)
        (void)buf_printf(out, "%s\n", output_time(number_of(field), text));
    else if (kind == FIELD_WAIT && number_of(field) > 0)
        (void)buf_printf(out, "%s\n", output_age(number_of(field), text));
    else
        print_long(field->value, field->value_len, full, out);
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(known_fields); i++) {
        if (strcmp(known_fields[i].name, name) == 0)
            return true;
    }
    return false;
}

static void print_attempts(const struct job_record *record, struct buf *out)
{
    const struct job_field *opts = field_of(record, "opts");
    struct job_options options = { 0 };
    uint64_t made = number_of(field_of(record, "atm"));
    uint64_t started = number_of(field_of(record, "ats"));

    print_label("attempts", out);
    (void)buf_printf(out, "%" PRIu64 " made, %" PRIu64 " started", made, started);
    if (opts && job_options_parse(opts->value, opts->value_len, &options, NULL) == 0 &&
        options.attempts > 0)
        (void)buf_printf(out, ", %" PRIu64 " allowed", options.attempts);
    (void)buf_append_char(out, '\n');
}

static void print_heading(const struct job_record *record, struct buf *out)
{
    const struct job_field *name = field_of(record, "name");

    (void)buf_append_text(out, "Job ");
    output_text(out, record->id, strlen(record->id));
    (void)buf_append_text(out, " of queue ");
    output_text(out, record->queue, strlen(record->queue));
    (void)buf_append_text(out, ": ");
    if (name)
        output_text(out, name->value, name->value_len);
    (void)buf_printf(out, ", %s\n", record->state);
}

static void print_fields(const struct job_record *record, bool full, struct buf *out)
{
    if (record->lock_ttl_ms >= 0) {
        char text[OUTPUT_AGE_BYTES];

        print_label("locked", out);
        (void)buf_printf(out, "for %s more, unless renewed\n",
                         output_age((uint64_t)record->lock_ttl_ms, text));
    }
    print_attempts(record, out);
    for (size_t i = 0; i < ARRAY_SIZE(known_fields); i++) {
        const struct job_field *field = field_of(record, known_fields[i].name);

        if (field && known_fields[i].label)
            print_field(field, known_fields[i].label, known_fields[i].kind, full, out);
    }
    for (size_t i = 0; i < record->fields_count; i++) {
        const struct job_field *field = &record->fields[i];

        if (is_known(field->name) || strcmp(field->name, "parent") == 0)
            continue;
        (void)buf_append_text(out, "  ");
        output_text(out, field->name, field->name_len);
        (void)buf_append_text(out, " = ");
        print_long(field->value, field->value_len, full, out);
    }
}

/* ---- the story ---- */

/* " (from active)", " worker-3", the reason of a failure: what an event adds to its name. */
static void print_event_details(const struct job_record_event *event, bool full, struct buf *out)
{
    for (size_t i = 0; i < event->fields_count; i++) {
        const struct job_field *field = &event->fields[i];
        char time[OUTPUT_TIME_BYTES];
        size_t shown = full || field->value_len <= 120 ? field->value_len : 120;

        if (strcmp(field->name, "event") == 0 || strcmp(field->name, "name") == 0)
            continue;
        if (strcmp(field->name, "delay") == 0) {
            (void)buf_printf(out, ", due %s", output_time(number_of(field), time));
            continue;
        }
        (void)buf_append_text(out, strcmp(field->name, "prev") == 0 ? ", was " : ", ");
        if (strcmp(field->name, "prev") != 0) {
            output_text(out, field->name, field->name_len);
            (void)buf_append_char(out, ' ');
        }
        output_text(out, field->value, shown);
        if (shown < field->value_len)
            (void)buf_append_text(out, "...");
    }
}

static void print_story(const struct job_record *record, bool full, struct buf *out)
{
    if (record->events_count == 0) {
        (void)buf_append_text(out, "\nNo events of it are left in the stream.\n");
        return;
    }
    (void)buf_append_text(out, "\nStory\n");
    for (size_t i = 0; i < record->events_count; i++) {
        const struct job_record_event *event = &record->events[i];
        const struct job_field *name = find_field(event->fields, event->fields_count, "event");
        uint64_t since = i > 0 && event->at_ms >= record->events[i - 1].at_ms
                             ? event->at_ms - record->events[i - 1].at_ms
                             : 0;
        char time[OUTPUT_TIME_BYTES], age[OUTPUT_AGE_BYTES];

        (void)buf_printf(out, "  %s  %s%-10s ", output_time(event->at_ms, time), i > 0 ? "+" : " ",
                         i > 0 ? output_age(since, age) : "");
        if (name)
            output_text(out, name->value, name->value_len);
        print_event_details(event, full, out);
        (void)buf_append_char(out, '\n');
    }
}

static void print_logs(const struct job_record *record, struct buf *out)
{
    if (record->logs_count == 0)
        return;
    (void)buf_printf(out, "\nLog (%zu of %" PRIu64 " rows)\n", record->logs_kept,
                     record->logs_count);
    for (size_t i = 0; i < record->logs_kept; i++) {
        (void)buf_append_text(out, "  ");
        output_lines(out, record->logs[i], strlen(record->logs[i]), 4);
        (void)buf_append_char(out, '\n');
    }
}

void job_record_print(const struct job_record *record, bool full, struct buf *out)
{
    print_heading(record, out);
    print_fields(record, full, out);
    print_logs(record, out);
    print_story(record, full, out);
}

/* ---- for programs ---- */

static void print_value_json(const struct job_field *field, enum field_kind kind, struct buf *out)
{
    uint64_t number;

    if ((kind == FIELD_JSON || kind == FIELD_TRACES) &&
        json_text_is_valid(field->value, field->value_len))
        (void)buf_append(out, field->value, field->value_len);
    else if ((kind == FIELD_NUMBER || kind == FIELD_TIME || kind == FIELD_WAIT) &&
             text_parse_uint(field->value, field->value_len, &number) == 0)
        (void)buf_printf(out, "%" PRIu64, number);
    else
        (void)json_text_quote(out, field->value, field->value_len);
}

static void print_fields_json(const struct job_record *record, struct buf *out)
{
    bool others = false;

    for (size_t i = 0; i < ARRAY_SIZE(known_fields); i++) {
        const struct job_field *field = field_of(record, known_fields[i].name);

        if (!field)
            continue;
        (void)buf_printf(out, ",\"%s\":", known_fields[i].json);
        print_value_json(field, known_fields[i].kind, out);
    }
    (void)buf_append_text(out, ",\"other_fields\":{");
    for (size_t i = 0; i < record->fields_count; i++) {
        const struct job_field *field = &record->fields[i];

        if (is_known(field->name))
            continue;
        (void)buf_append_text(out, others ? "," : "");
        (void)json_text_quote(out, field->name, field->name_len);
        (void)buf_append_char(out, ':');
        (void)json_text_quote(out, field->value, field->value_len);
        others = true;
    }
    (void)buf_append_char(out, '}');
}

static void print_event_json(const struct job_record_event *event, struct buf *out)
{
    (void)buf_printf(out, "{\"at_ms\":%" PRIu64, event->at_ms);
    for (size_t i = 0; i < event->fields_count; i++) {
        (void)buf_append_char(out, ',');
        (void)json_text_quote(out, event->fields[i].name, event->fields[i].name_len);
        (void)buf_append_char(out, ':');
        (void)json_text_quote(out, event->fields[i].value, event->fields[i].value_len);
    }
    (void)buf_append_char(out, '}');
}

void job_record_print_json(const struct job_record *record, struct buf *out)
{
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "queue", record->queue, strlen(record->queue));
    output_member_text(out, false, "id", record->id, strlen(record->id));
    output_member_text(out, false, "state", record->state, strlen(record->state));
    if (record->lock_ttl_ms >= 0)
        output_member_number(out, false, "lock_ttl_ms", (uint64_t)record->lock_ttl_ms);
    else
        (void)buf_append_text(out, ",\"lock_ttl_ms\":null");
    print_fields_json(record, out);
    output_member_number(out, false, "logs_count", record->logs_count);
    (void)buf_append_text(out, ",\"logs\":[");
    for (size_t i = 0; i < record->logs_kept; i++) {
        (void)buf_append_text(out, i > 0 ? "," : "");
        (void)json_text_quote(out, record->logs[i], strlen(record->logs[i]));
    }
    (void)buf_append_text(out, "],\"events\":[");
    for (size_t i = 0; i < record->events_count; i++) {
        (void)buf_append_text(out, i > 0 ? "," : "");
        print_event_json(&record->events[i], out);
    }
    (void)buf_append_text(out, "]}\n");
}
