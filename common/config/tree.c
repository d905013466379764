#include "common/config/tree.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "common/base/json_text.h"
#include "common/base/text.h"

#define KEY_PATH_BYTES 2048u

/* One document being read. `fatal`: nothing sensible can be read any more; the finding is made. */
struct reader {
    yaml_parser_t parser;
    const char *file;
    struct findings *findings;
    size_t nodes;
    bool fatal;
};

struct tree_node *tree_new(enum tree_kind kind, const struct tree_mark *mark)
{
    struct tree_node *node = calloc(1, sizeof *node);

    if (!node)
        return NULL;
    node->kind = kind;
    node->mark = *mark;
    return node;
}

/* Depth is bounded by TREE_DEPTH_MAX (the reader) and by the schema (the loader). */
void tree_free(struct tree_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) {
        free(node->entries[i].key);
        tree_free(node->entries[i].value);
    }
    free(node->entries);
    free(node->text);
    free(node);
}

void tree_freep(struct tree_node **node)
{
    tree_free(*node);
}

bool tree_add(struct tree_node *parent, const char *key, const struct tree_mark *mark,
              struct tree_node *value)
{
    char *copy = key ? strdup(key) : NULL;

    if (key && !copy)
        goto failed;
    if (parent->count == parent->cap) {
        size_t cap = parent->cap ? parent->cap * 2 : 4;
        struct tree_entry *entries = reallocarray(parent->entries, cap, sizeof *entries);

        if (!entries)
            goto failed;
        parent->entries = entries;
        parent->cap = cap;
    }
    parent->entries[parent->count++] =
        (struct tree_entry){ .key = copy, .mark = *mark, .value = value };
    return true;
failed:
    free(copy);
    tree_free(value);
    return false;
}

struct tree_entry *tree_find(const struct tree_node *node, const char *key)
{
    if (!node || node->kind != TREE_MAP)
        return NULL;
    for (size_t i = 0; i < node->count; i++)
        if (strcmp(node->entries[i].key, key) == 0)
            return &node->entries[i];
    return NULL;
}

struct tree_node *tree_find_path(const struct tree_node *node, const char *path)
{
    const struct tree_entry *entry = NULL;

    while (*path) {
        char name[64];
        size_t len = strcspn(path, ".");

        if (len >= sizeof name)
            return NULL;
        memcpy(name, path, len);
        name[len] = '\0';
        entry = tree_find(node, name);
        if (!entry)
            return NULL;
        node = entry->value;
        path += path[len] ? len + 1 : len;
    }
    return entry ? entry->value : NULL;
}

bool tree_is_null(const struct tree_node *node)
{
    return node->kind == TREE_SCALAR && node->plain &&
           (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

void tree_join(struct buf *path, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-*";
    size_t len = strlen(name);

    /* The buffers used for paths are only shown; a path that does not fit is cut. */
    if (path->len)
        (void)buf_append_char(path, '.');
    if (len && strspn(name, plain) == len)
        (void)buf_append_text(path, name);
    else
        (void)json_text_quote(path, name, len);
}

static struct tree_mark mark_of(const struct reader *reader, yaml_mark_t mark)
{
    /* libyaml counts from 0. The size of a file bounds both numbers. */
    return (struct tree_mark){ reader->file, (unsigned int)mark.line + 1,
                               (unsigned int)mark.column + 1 };
}

static void fail(struct reader *reader, const struct tree_mark *mark, const char *key,
                 const char *text)
{
    if (!reader->fatal)
        findings_error(reader->findings, mark, key, "%s", text);
    reader->fatal = true;
}

static void out_of_memory(struct reader *reader)
{
    reader->findings->out_of_memory = true;
    reader->fatal = true;
}

/* What helps beyond the parser's own words. */
static const char *hint_for(const char *problem)
{
    if (strstr(problem, "cannot start any token"))
        return " (a tab? indent with blanks; text that begins with @, ` or % needs quotes)";
    if (strstr(problem, "mapping values are not allowed"))
        return " (text that holds a colon and a blank needs quotes; or the line is indented "
               "wrongly)";
    if (strstr(problem, "did not find expected"))
        return " (check the indentation, and that brackets and quotes are closed)";
    if (strstr(problem, "could not find expected ':'"))
        return " (a key needs a colon and a blank after it)";
    return "";
}

static void report_parser_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "it cannot be read";
    struct tree_mark mark = mark_of(reader, parser->problem_mark);
    struct tree_mark began = mark_of(reader, parser->context_mark);

    if (parser->error == YAML_MEMORY_ERROR) {
        out_of_memory(reader);
        return;
    }
    if (reader->fatal)
        return;
    reader->fatal = true;
    if (parser->context && strstr(problem, "unexpected end of stream"))
        findings_error(reader->findings, &began, "", "not YAML: %s, %s that begins here", problem,
                       parser->context); /* the end of the file is not where to look */
    else if (parser->context && began.line != mark.line)
        findings_error(reader->findings, &mark, "", "not YAML: %s, %s that began in line %u%s",
                       problem, parser->context, began.line, hint_for(problem));
    else
        findings_error(reader->findings, &mark, "", "not YAML: %s%s", problem, hint_for(problem));
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (reader->fatal)
        return false;
    if (!yaml_parser_parse(&reader->parser, event)) {
        report_parser_error(reader);
        return false;
    }
    return true;
}

/* Anchors and tags: what they could bring (sharing, types) is what the checks must see written. */
static bool check_decoration(struct reader *reader, const yaml_event_t *event, const char *key)
{
    struct tree_mark mark = mark_of(reader, event->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch ((int)event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        findings_error(reader->findings, &mark, key,
                       "anchors (&%s) are not read; what several queues share goes into `defaults`",
                       (const char *)anchor);
    if (tag)
        findings_error(reader->findings, &mark, key,
                       "tags (%s) are not read; write the value without", (const char *)tag);
    return !anchor && !tag;
}

static struct tree_node *read_value(struct reader *reader, const yaml_event_t *event, size_t depth,
                                    struct buf *path);

static struct tree_node *new_node(struct reader *reader, enum tree_kind kind,
                                  const struct tree_mark *mark)
{
    struct tree_node *node;

    if (++reader->nodes > TREE_NODES_MAX) {
        fail(reader, mark, "", "more than 100000 values in one file; split it");
        return NULL;
    }
    node = tree_new(kind, mark);
    if (!node)
        out_of_memory(reader);
    return node;
}

static struct tree_node *read_scalar(struct reader *reader, const yaml_event_t *event,
                                     const char *key)
{
    struct tree_mark mark = mark_of(reader, event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct tree_node *node = new_node(reader, TREE_SCALAR, &mark);

    if (!node)
        return NULL;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, '\0', len)) {
        findings_error(reader->findings, &mark, key, "text with a NUL character (\\0) in it");
        node->bad = true;
    }
    node->text = strdup(text);
    if (!node->text) {
        tree_free(node);
        out_of_memory(reader);
        return NULL;
    }
    return node;
}

static void read_list(struct reader *reader, struct tree_node *list, size_t depth, struct buf *path)
{
    for (;;) {
        yaml_event_t event;
        struct tree_node *value;

        if (!next_event(reader, &event))
            return;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return;
        }
        value = read_value(reader, &event, depth + 1, path);
        yaml_event_delete(&event);
        if (!value)
            return;
        if (!tree_add(list, NULL, &value->mark, value)) {
            out_of_memory(reader);
            return;
        }
    }
}

/* The key of the next entry; NULL at the end of the map or when nothing can be read any more. */
static char *read_key(struct reader *reader, struct tree_mark *out_mark, const char *map_path)
{
    yaml_event_t event;
    char *key = NULL;

    if (!next_event(reader, &event))
        return NULL;
    *out_mark = mark_of(reader, event.start_mark);
    if (event.type == YAML_SCALAR_EVENT) {
        const char *text = (const char *)event.data.scalar.value;

        (void)check_decoration(reader, &event, map_path);
        if (strlen(text) != event.data.scalar.length) {
            fail(reader, out_mark, map_path, "a key with a NUL character (\\0) in it");
        } else {
            key = strdup(text);
            if (!key)
                out_of_memory(reader);
        }
    } else if (event.type != YAML_MAPPING_END_EVENT) {
        fail(reader, out_mark, map_path, "a key must be plain text");
    }
    yaml_event_delete(&event);
    return key;
}

/* Adds the entry, or makes the finding that the key stands there already. */
static void add_entry(struct reader *reader, struct tree_node *map, const char *key,
                      const struct tree_mark *mark, struct tree_node *value, const char *path)
{
    const struct tree_entry *first = tree_find(map, key);

    if (first) {
        findings_error(reader->findings, mark, path,
                       "written twice, first in line %u; keep one of the two", first->mark.line);
        tree_free(value);
        return;
    }
    if (!tree_add(map, key, mark, value))
        out_of_memory(reader);
}

static void read_map(struct reader *reader, struct tree_node *map, size_t depth, struct buf *path)
{
    size_t path_len = path->len;

    for (;;) {
        _cleanup_(freep) char *key = NULL;
        struct tree_node *value = NULL;
        struct tree_mark mark;
        yaml_event_t event;

        key = read_key(reader, &mark, buf_text(path));
        if (!key || !next_event(reader, &event))
            return;
        tree_join(path, key);
        value = read_value(reader, &event, depth + 1, path);
        yaml_event_delete(&event);
        if (value)
            add_entry(reader, map, key, &mark, value, buf_text(path));
        path->len = path_len;
        if (path->data)
            path->data[path_len] = '\0';
        path->failed = false;
        if (!value)
            return;
    }
}

/* An alias is refused where it stands; what it stands for is not known and not judged. */
static struct tree_node *read_alias(struct reader *reader, const yaml_event_t *event,
                                    const char *key)
{
    struct tree_mark mark = mark_of(reader, event->start_mark);
    struct tree_node *node = new_node(reader, TREE_SCALAR, &mark);

    findings_error(reader->findings, &mark, key,
                   "aliases (*%s) are not read; write the value out, or use `defaults`",
                   (const char *)event->data.alias.anchor);
    if (!node)
        return NULL;
    node->bad = true;
    node->text = strdup("");
    if (!node->text) {
        tree_free(node);
        out_of_memory(reader);
        return NULL;
    }
    return node;
}

static struct tree_node *read_value(struct reader *reader, const yaml_event_t *event, size_t depth,
                                    struct buf *path)
{
    struct tree_mark mark = mark_of(reader, event->start_mark);
    struct tree_node *node;
    bool decorated;

    if (depth > TREE_DEPTH_MAX) {
        fail(reader, &mark, buf_text(path), "nested too deeply; no key of drover is so deep");
        return NULL;
    }
    if (event->type == YAML_ALIAS_EVENT)
        return read_alias(reader, event, buf_text(path));
    decorated = !check_decoration(reader, event, buf_text(path));
    if (event->type == YAML_SCALAR_EVENT) {
        node = read_scalar(reader, event, buf_text(path));
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        node = new_node(reader, TREE_MAP, &mark);
        if (node)
            read_map(reader, node, depth, path);
    } else {
        node = new_node(reader, TREE_LIST, &mark);
        if (node)
            read_list(reader, node, depth, path);
    }
    if (node && decorated && node->kind == TREE_SCALAR)
        node->bad = true;
    if (reader->fatal) {
        tree_free(node);
        return NULL;
    }
    return node;
}

/* STREAM-START, [DOCUMENT-START, value, DOCUMENT-END], STREAM-END; a second document is refused. */
static struct tree_node *read_stream(struct reader *reader, struct buf *path)
{
    struct tree_mark start = { reader->file, 1, 1 };
    struct tree_node *root = NULL;
    size_t documents = 0;

    for (;;) {
        yaml_event_t event;
        yaml_event_type_t type;

        if (!next_event(reader, &event))
            break;
        type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            struct tree_mark mark = mark_of(reader, event.start_mark);

            fail(reader, &mark, "", "a second document (---) in one file; one is read");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            root = read_value(reader, &event, 0, path);
        }
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            break;
    }
    if (!root && !reader->fatal) {
        root = new_node(reader, TREE_SCALAR, &start);
        if (root) {
            root->plain = true;
            root->text = strdup("");
        }
        if (root && !root->text)
            out_of_memory(reader);
    }
    if (reader->fatal) {
        tree_free(root);
        return NULL;
    }
    return root;
}

/* Line and column (in characters) of the byte at `offset`. */
static struct tree_mark place_of(const char *file, const char *text, size_t offset)
{
    struct tree_mark mark = { file, 1, 1 };

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static bool check_bytes(const char *file, const char *text, size_t len, struct findings *findings)
{
    struct tree_mark start = { file, 1, 1 };
    struct tree_mark mark;
    size_t valid;

    if (len > TREE_BYTES_MAX) {
        findings_error(findings, &start, "", "larger than 1MiB; split it over queues.d");
        return false;
    }
    valid = text_utf8_prefix(text, len);
    if (valid == len)
        return true;
    mark = place_of(file, text, valid);
    findings_error(findings, &mark, "", "not UTF-8: byte 0x%02x; save the file as UTF-8",
                   (unsigned int)(unsigned char)text[valid]);
    return false;
}

struct tree_node *tree_read(const char *file, const char *text, size_t len,
                            struct findings *findings)
{
    struct reader reader = { .file = file, .findings = findings };
    struct buf path = BUF_INIT(KEY_PATH_BYTES);
    struct tree_node *root;

    if (!check_bytes(file, text, len, findings))
        return NULL;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* some editors write a BOM */
        text += 3;
        len -= 3;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        findings->out_of_memory = true;
        return NULL;
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    root = read_stream(&reader, &path);
    yaml_parser_delete(&reader.parser);
    buf_done(&path);
    return root;
}
