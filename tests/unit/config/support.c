#include "tests/unit/config/support.h"

#include <errno.h>

#include "common/base/text.h"
#include "common/base/units.h"

void print_report(const struct config_report *report, struct buf *out)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];

        (void)buf_printf(out, "%s:%u:%u: %s%s: %s\n", finding->file, finding->line, finding->column,
                         finding->warning ? "warning: " : "", finding->key, finding->text);
    }
}

struct config *load_text(const char *text, const struct config_override *overrides, size_t count,
                         struct buf *out_findings)
{
    struct config *config = NULL;
    struct config_report report;
    int result =
        config_load_text("test.yaml", text, strlen(text), overrides, count, &config, &report);

    cr_assert((result == 0) == (config != NULL));
    cr_assert((result == -EINVAL) == (report.errors > 0), "result %d, %zu errors", result,
              report.errors);
    if (out_findings)
        print_report(&report, out_findings);
    config_report_done(&report);
    return config;
}

struct config *load_good(const char *text)
{
    struct buf findings = BUF_INIT(65536);
    struct config *config = load_text(text, NULL, 0, &findings);

    cr_assert(config, "%s\n%s", text, buf_text(&findings));
    buf_done(&findings);
    return config;
}

/* The maps from the top down to `path`, each on its line, one blank deeper. */
static void append_path(const char *path, const char *value, int indent, struct buf *out)
{
    while (*path) {
        size_t len = strcspn(path, ".");

        (void)buf_printf(out, "%*s%.*s:", indent++, "", (int)len, path);
        path += path[len] ? len + 1 : len;
        (void)buf_printf(out, "%s%s\n", *path ? "" : " ", *path ? "" : value);
    }
}

char *yaml_with(const char *section, const char *path, const char *value)
{
    struct buf out = BUF_INIT(4096);
    bool has_handler = strncmp(path, "handler", 7) == 0;

    if (strcmp(section, "") == 0) {
        append_path(path, value, 0, &out);
    } else if (strcmp(section, "redis.*") == 0) {
        (void)buf_append_text(&out, "redis:\n default:\n");
        append_path(path, value, 2, &out);
    } else if (strcmp(section, "defaults") == 0) {
        (void)buf_append_text(&out, "defaults:\n");
        append_path(path, value, 1, &out);
    }
    (void)buf_append_text(&out, "queues:\n q:\n");
    if (strcmp(section, "queues.*") == 0)
        append_path(path, value, 2, &out);
    if (strcmp(section, "queues.*") != 0 || !has_handler)
        (void)buf_append_text(&out, "  handler: noop\n");
    (void)buf_append_text(&out, "  types:\n   t:\n");
    if (strcmp(section, "queues.*.types.*") == 0)
        append_path(path, value, 4, &out);
    cr_assert(!out.failed);
    return buf_take(&out);
}

static const char *sample_word(const struct schema_row *row, enum sample which)
{
    const char *first = row->preset, *last = row->preset; /* others than the default */

    for (const struct schema_word *word = row->words; word->name; word++) {
        if (word->refused || strcmp(word->name, row->preset) == 0)
            continue;
        first = strcmp(first, row->preset) == 0 ? word->name : first;
        last = word->name;
    }
    if (which == SAMPLE_FIRST)
        return last;
    return first == last ? row->preset : first;
}

static const char *sample_number(const struct schema_row *row, enum sample which,
                                 char storage[SAMPLE_BYTES])
{
    double number = which == SAMPLE_FIRST ? row->max : row->max / 2;

    if (row->flags & SCHEMA_ZERO_IS_AUTO) /* the one number that fits a concurrency of 1 */
        return which == SAMPLE_FIRST ? "1" : "auto";
    if (strcmp(row->path, "processes") == 0)
        number = which == SAMPLE_FIRST ? 2 : 3;
    if (row->type == SCHEMA_DURATION)
        return units_print_duration((uint64_t)number, storage);
    if (row->type == SCHEMA_SIZE)
        return units_print_size((uint64_t)number, storage);
    (void)snprintf(storage, SAMPLE_BYTES, "%.15g", number);
    return storage;
}

const char *sample_value(const struct schema_row *row, enum sample which,
                         char storage[SAMPLE_BYTES])
{
    bool first = which == SAMPLE_FIRST;

    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_UINT:
    case SCHEMA_REAL:
        return sample_number(row, which, storage);
    case SCHEMA_COUNT:
    case SCHEMA_KEEP:
        return first ? "17" : "18";
    case SCHEMA_BOOL:
        return first ? "true" : "false";
    case SCHEMA_WORD:
        return sample_word(row, which);
    case SCHEMA_TEXT:
        return first ? "sample" : "other";
    case SCHEMA_PATH:
        return first ? "/tmp" : "/var";
    case SCHEMA_URL:
        return first ? "unix:///run/redis.sock?db=3" : "redis://h:1/2";
    case SCHEMA_SECRET:
        return first ? "env:DROVER_TEST_SECRET" : "env:DROVER_TEST_OTHER";
    case SCHEMA_PROGRAM:
        return first ? "[\"/bin/cat\", \"-\"]" : "[\"/bin/cat\"]";
    case SCHEMA_ENV:
        return first ? "{TZ: UTC}" : "{TZ: CET}";
    case SCHEMA_PATTERNS:
        return first ? "[\"a+b\", \"c\"]" : "[\"d\"]";
    case SCHEMA_ENDPOINT:
        return first ? "default" : "b";
    case SCHEMA_HANDLER:
        return first ? "noop" : "{exec: [/bin/cat]}";
    case SCHEMA_USER:
        return first ? "nobody" : "daemon";
    case SCHEMA_GROUP:
        return first ? "daemon" : "4711";
    case SCHEMA_GROUPS:
        return first ? "[\"daemon\", \"4711\"]" : "[]";
    case SCHEMA_UMASK:
        return first ? "027" : "077";
    case SCHEMA_NICE:
        return first ? "5" : "-20";
    case SCHEMA_LIMIT:
        if (row->flags & SCHEMA_OF_BYTES)
            return first ? "16MiB" : "1GiB";
        return row->flags & SCHEMA_OF_SECONDS ? (first ? "30s" : "1h") : (first ? "64" : "128");
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return NULL;
}

/* The value in a map with what has to stand beside it; NULL when it stands alone. */
static char *map_with(const struct schema_row *row, const char *value, const char **out_path)
{
    const char *name = strrchr(row->path, '.') ? strrchr(row->path, '.') + 1 : row->path;

    if (row->type == SCHEMA_LIMIT) {
        *out_path = "handler";
        return text_format("{exec: [/bin/cat], limits: {%s: %s}}", name, value);
    }
    if (row->type == SCHEMA_GROUP || row->type == SCHEMA_GROUPS) {
        *out_path = "handler";
        return text_format("{exec: [/bin/cat], user: nobody, %s: %s}", name, value);
    }
    if (row->handlers && row->type != SCHEMA_PROGRAM &&
        !(row->handlers & SCHEMA_KIND(CONFIG_HANDLER_NOOP))) {
        *out_path = "handler";
        return text_format("{%s: [/bin/cat], %s: %s}",
                           row->handlers & SCHEMA_KIND(CONFIG_HANDLER_EXEC) ? "exec" : "process",
                           name, value);
    }
    if (strncmp(row->path, "backoff.", 8) == 0) {
        *out_path = "backoff";
        return text_format("{%s%s%s: %s}", strcmp(name, "type") ? "type: fixed, " : "",
                           strcmp(name, "delay") ? "delay: 1s, " : "", name, value);
    }
    if (strncmp(row->path, "limiter.", 8) == 0 && strcmp(value, "none") != 0) {
        *out_path = "limiter";
        return text_format("{%s, %s: %s}", strcmp(name, "max") ? "max: 5" : "duration: 1s", name,
                           value);
    }
    if (strcmp(row->path, "start.restart_first") == 0) {
        *out_path = "start";
        return text_format("{restart_first: %s, restart_max: 1h}", value);
    }
    return NULL;
}

char *yaml_with_row(const struct schema_row *row, size_t section_index, const char *value)
{
    const char *path = row->path;
    _cleanup_(freep) char *map = map_with(row, value, &path);

    if (row->type == SCHEMA_ENDPOINT)
        return text_format("redis: {default: {}, b: {url: \"redis://b\"}}\n"
                           "tiers: {%s: {redis: %s}}\n"
                           "queues: {q: {tier: %s, handler: noop}}\n",
                           strstr(path, "ephemeral") ? "ephemeral" : "important", value,
                           strstr(path, "ephemeral") ? "ephemeral" : "important");
    if (strncmp(path, "sentinel_", 9) == 0)
        return text_format("redis: {default: {url: \"redis+sentinel://h/m\", %s: %s}}\n"
                           "queues: {q: {handler: noop}}\n",
                           path, value);
    if (strcmp(path, "processes") == 0)
        return text_format("queues: {q: {concurrency: 2000, processes: %s, handler: noop}}\n",
                           value);
    return yaml_with(schema_section_prefix(section_index), path, map ? map : value);
}
