#include "common/config/diff.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/each.h"
#include "common/config/value.h"

/* One long value leaves room for the other changes. */
#define TEXT_BYTES_MAX    500u
#define SHOWN_BYTES_MAX   100u
#define CUT_MARK          "…"
/* A value comes from one file, and JSON quotes make at most six bytes of one. */
#define PRINTED_BYTES_MAX (8u * TREE_BYTES_MAX)

/* What was found to differ, and how much it takes. */
struct changes {
    struct buf text;
    bool cut;       /* the text is full: nothing is added any more */
    bool any;       /* something differs, whether the text could hold it or not */
    bool no_memory; /* the text is not whole for want of memory */
    enum schema_change worst;
};

/* The same section of both configurations. */
struct pair {
    size_t section_index;
    const void *from, *to;                         /* containers, as for each_base */
    const struct config_type *from_type, *to_type; /* NULL in sections without handlers */
    const char *label;                             /* stands before a key in the text */
};

/* Where changes of a row go, by what they take; NULL: they are told elsewhere. */
struct sinks {
    struct changes *by_change[SCHEMA_RESTART + 1];
};

/* Rows of the file itself that workers are started with. Those that name endpoints are compared by
 * what the endpoint holds. */
static bool is_for_workers(const struct schema_row *row)
{
    return row->change == SCHEMA_NEW_WORKERS && row->type != SCHEMA_ENDPOINT;
}

static void changes_init(struct changes *changes)
{
    *changes = (struct changes){ .text = BUF_INIT(TEXT_BYTES_MAX + strlen(CUT_MARK)) };
}

static void changes_done(struct changes *changes)
{
    buf_done(&changes->text);
}

static void append_cut(struct changes *changes, const char *bytes, size_t len)
{
    size_t room = TEXT_BYTES_MAX - changes->text.len;

    if (changes->cut || changes->no_memory)
        return;
    changes->cut = len > room;
    if (changes->cut)
        len = text_utf8_prefix(bytes, room);
    if (buf_append(&changes->text, bytes, len) < 0 ||
        (changes->cut && buf_append_text(&changes->text, CUT_MARK) < 0))
        changes->no_memory = true;
}

static void append_text(struct changes *changes, const char *text)
{
    append_cut(changes, text, strlen(text));
}

static void note(struct changes *changes, enum schema_change change)
{
    if (changes->any)
        append_text(changes, ", ");
    if (!changes->any || change > changes->worst)
        changes->worst = change;
    changes->any = true;
}

static void append_value(struct changes *changes, const struct schema_row *row, const void *base)
{
    struct buf text = BUF_INIT(PRINTED_BYTES_MAX);
    size_t len;

    value_print(row, base, &text);
    changes->no_memory |= text.failed;
    len =
        text.len > SHOWN_BYTES_MAX ? text_utf8_prefix(buf_text(&text), SHOWN_BYTES_MAX) : text.len;
    append_cut(changes, buf_text(&text), len);
    if (len < text.len)
        append_text(changes, CUT_MARK);
    buf_done(&text);
}

/* The entry of a NAME=value list that has the name of `item`, or NULL. */
static const char *find_variable(char *const *list, const char *item)
{
    size_t with_sign = strcspn(item, "=") + 1;

    for (; list && *list; list++)
        if (strncmp(*list, item, with_sign) == 0)
            return *list;
    return NULL;
}

static void append_variable(struct changes *changes, const char *item, const char *how, bool *first)
{
    append_text(changes, *first ? "" : ", ");
    append_cut(changes, item, strcspn(item, "="));
    append_text(changes, how);
    *first = false;
}

/* Names only: a variable may hold a secret. */
static void append_env(struct changes *changes, char *const *from, char *const *to)
{
    bool first = true;

    append_text(changes, "changed (");
    for (char *const *item = to; item && *item; item++) {
        const char *old = find_variable(from, *item);

        if (!old || strcmp(old, *item) != 0)
            append_variable(changes, *item, old ? "" : " added", &first);
    }
    for (char *const *item = from; item && *item; item++)
        if (!find_variable(to, *item))
            append_variable(changes, *item, " removed", &first);
    append_text(changes, ")");
}

static void note_row(struct changes *changes, const char *label, const struct schema_row *row,
                     const void *from, const void *to)
{
    note(changes, row->change);
    append_text(changes, label);
    append_text(changes, row->path);
    append_text(changes, ": ");
    if (row->type == SCHEMA_SECRET) {
        append_text(changes, "changed");
    } else if (row->type == SCHEMA_ENV) {
        append_env(changes, VALUE_FIELD(from, row, char **), VALUE_FIELD(to, row, char **));
    } else {
        append_value(changes, row, from);
        append_text(changes, " -> ");
        append_value(changes, row, to);
    }
}

/* each_base hands out what it was given, for reading. */
static const void *base_of(const struct schema_row *row, size_t section_index,
                           const void *container)
{
    return each_base(row, section_index, (void *)(uintptr_t)container);
}

static void compare(const struct pair *pair, const struct sinks *sinks)
{
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        struct changes *changes = sinks->by_change[row->change];
        const void *from, *to;

        /* A part that only one side's kind of handler has: the row of the kind differs too. */
        if (!changes || !each_row_applies(row, pair->section_index, pair->from_type) ||
            !each_row_applies(row, pair->section_index, pair->to_type))
            continue;
        from = base_of(row, pair->section_index, pair->from);
        to = base_of(row, pair->section_index, pair->to);
        if (!value_is_same(row, from, to))
            note_row(changes, pair->label, row, from, to);
    }
}

static size_t index_of(enum schema_section section)
{
    return (size_t)__builtin_ctz((unsigned int)section);
}

static const struct config_type *find_type(const struct config_queue *queue, const char *name)
{
    for (size_t i = 0; i < queue->types_count; i++)
        if (strcmp(queue->types[i].name, name) == 0)
            return &queue->types[i];
    return NULL;
}

/* "types.NAME" */
static void print_type_key(const char *name, struct buf *out)
{
    tree_join(out, "types");
    tree_join(out, name);
}

static void compare_type(const struct config_type *from, const struct config_type *to,
                         struct changes *changes)
{
    struct sinks sinks = { { changes, changes, changes } };
    struct buf label = BUF_INIT(1024);
    struct pair pair = { index_of(SCHEMA_TYPE), from, to, from, to, NULL };

    print_type_key(to->name, &label);
    (void)buf_append_char(&label, '.');
    pair.label = buf_text(&label);
    compare(&pair, &sinks);
    changes->no_memory |= label.failed;
    buf_done(&label);
}

static void note_type(struct changes *changes, const char *name, const char *what)
{
    struct buf key = BUF_INIT(1024);

    print_type_key(name, &key);
    note(changes, SCHEMA_NEW_WORKERS);
    append_text(changes, buf_text(&key));
    append_text(changes, what);
    changes->no_memory |= key.failed;
    buf_done(&key);
}

static void compare_types(const struct config_queue *from, const struct config_queue *to,
                          struct changes *changes)
{
    for (size_t i = 0; i < to->types_count; i++) {
        const struct config_type *old = find_type(from, to->types[i].name);

        if (old)
            compare_type(old, &to->types[i], changes);
        else
            note_type(changes, to->types[i].name, ": added");
    }
    for (size_t i = 0; i < from->types_count; i++)
        if (!find_type(to, from->types[i].name))
            note_type(changes, from->types[i].name, ": removed");
}

static void compare_top_of_workers(const struct config *from, const struct config *to,
                                   struct changes *changes)
{
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];

        if ((row->sections & SCHEMA_TOP) && is_for_workers(row) && !value_is_same(row, from, to))
            note_row(changes, "", row, from, to);
    }
}

/* Both configurations, and the queue in them. */
struct queue_pair {
    const struct config *from_config, *to_config;
    const struct config_queue *from, *to;
};

/* What a queue inherits stands in its own structs already; its endpoint is compared by what it
 * holds, because workers do not care for its name. */
static void compare_queue(const struct queue_pair *queues, struct changes *changes)
{
    const struct config_queue *from = queues->from, *to = queues->to;
    struct sinks sinks = { { changes, changes, changes } };
    struct pair own = { index_of(SCHEMA_QUEUE), from, to, &from->fallback, &to->fallback, "" };
    struct pair redis = { index_of(SCHEMA_REDIS), from->redis, to->redis, NULL, NULL, "redis." };

    compare(&own, &sinks);
    compare_types(from, to, changes);
    compare(&redis, &sinks);
    compare_top_of_workers(queues->from_config, queues->to_config, changes);
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "no memory to compare configurations");
}

/* Moves the text out. */
static int take_text(struct changes *changes, char **out_text, struct error *err)
{
    if (!changes->no_memory)
        *out_text = buf_take(&changes->text);
    return *out_text ? 0 : no_memory(err);
}

/* Adds the row of a queue and takes the text of `changes`. */
static int add_queue(struct config_diff *diff, const char *name, enum config_diff_kind kind,
                     struct changes *changes, struct error *err)
{
    struct config_diff_queue *row = &diff->queues[diff->queues_count++];

    *row = (struct config_diff_queue){ .name = name, .kind = kind };
    return take_text(changes, &row->changes, err);
}

static enum config_diff_kind kind_of(const struct changes *changes)
{
    if (!changes->any)
        return CONFIG_DIFF_SAME;
    return changes->worst == SCHEMA_LIVE ? CONFIG_DIFF_LIVE : CONFIG_DIFF_REPLACE;
}

/* A queue of the new file; `from` in it is NULL when it is not in the old one. */
static int add_new(struct config_diff *diff, const struct queue_pair *queues, struct error *err)
{
    bool is_new = queues->from == NULL;
    struct changes changes;
    int result;

    changes_init(&changes);
    if (!is_new)
        compare_queue(queues, &changes);
    result = add_queue(diff, queues->to->name, is_new ? CONFIG_DIFF_ADDED : kind_of(&changes),
                       &changes, err);
    changes_done(&changes);
    return result;
}

static int add_removed(struct config_diff *diff, const struct config_queue *from, struct error *err)
{
    struct changes none;
    int result;

    changes_init(&none);
    result = add_queue(diff, from->name, CONFIG_DIFF_REMOVED, &none, err);
    changes_done(&none);
    return result;
}

static int add_queues(struct config_diff *diff, const struct config *from, const struct config *to,
                      struct error *err)
{
    int result = 0;

    diff->queues = calloc(from->queues_count + to->queues_count + 1, sizeof *diff->queues);
    if (!diff->queues)
        return no_memory(err);
    for (size_t i = 0; i < to->queues_count && result == 0; i++) {
        const struct queue_pair queues = { from, to, config_find_queue(from, to->queues[i].name),
                                           &to->queues[i] };

        result = add_new(diff, &queues, err);
    }
    for (size_t i = 0; i < from->queues_count && result == 0; i++)
        if (!config_find_queue(to, from->queues[i].name))
            result = add_removed(diff, &from->queues[i], err);
    return result;
}

static int add_top(struct config_diff *diff, const struct config *from, const struct config *to,
                   struct error *err)
{
    struct changes live, restart;
    /* Rows of the file itself that take new workers are compared with each queue. */
    struct sinks sinks = { { [SCHEMA_LIVE] = &live, [SCHEMA_RESTART] = &restart } };
    struct pair pair = { index_of(SCHEMA_TOP), from, to, NULL, NULL, "" };
    int result;

    changes_init(&live);
    changes_init(&restart);
    compare(&pair, &sinks);
    result = take_text(&live, &diff->top, err);
    if (result == 0)
        result = take_text(&restart, &diff->restart, err);
    changes_done(&live);
    changes_done(&restart);
    return result;
}

int config_diff_new(const struct config *from, const struct config *to,
                    struct config_diff *out_diff, struct error *err)
{
    struct config_diff diff = { 0 };
    int result = add_queues(&diff, from, to, err);

    if (result == 0)
        result = add_top(&diff, from, to, err);
    if (result == 0)
        *out_diff = diff;
    else
        config_diff_done(&diff);
    return result;
}

void config_diff_done(struct config_diff *diff)
{
    for (size_t i = 0; i < diff->queues_count; i++)
        free(diff->queues[i].changes);
    free(diff->queues);
    free(diff->top);
    free(diff->restart);
    *diff = (struct config_diff){ 0 };
}

const char *config_diff_kind_name(enum config_diff_kind kind)
{
    static const char *const names[] = {
        [CONFIG_DIFF_SAME] = "same",       [CONFIG_DIFF_LIVE] = "live",
        [CONFIG_DIFF_REPLACE] = "replace", [CONFIG_DIFF_ADDED] = "added",
        [CONFIG_DIFF_REMOVED] = "removed",
    };
    return names[kind];
}
