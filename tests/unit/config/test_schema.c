/* The table itself, and each of its rows: default, override, range, JSON and back. */
#include <errno.h>

#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/each.h"
#include "tests/unit/config/support.h"

/* What is looked for in the effective configuration. */
struct looking {
    const struct schema_row *row;
    size_t section_index;
    size_t seen;
    struct buf text;
};

static bool on_value(const struct each_value *value, void *arg)
{
    struct looking *looking = arg;

    if (value->row != looking->row || value->section_index != looking->section_index)
        return true;
    looking->seen++;
    value_print(value->row, value->base, &looking->text);
    return true;
}

/* The value of a row where it takes effect; malloc'ed. */
static char *effective(const struct config *config, const struct schema_row *row,
                       size_t section_index)
{
    struct looking looking = { row, section_index, 0, BUF_INIT(4096) };

    cr_assert(config_each_value(config, on_value, &looking));
    cr_assert_eq(looking.seen, 1, "%s", row->path);
    return buf_take(&looking.text);
}

/* Where a value of this section takes effect: values of `defaults` in the queue. */
static size_t effect_of(size_t section_index)
{
    return (1u << section_index) == SCHEMA_DEFAULTS ? 3 : section_index;
}

static void check_round_trip(const struct config *config)
{
    struct buf first = BUF_INIT(1u << 20), second = BUF_INIT(1u << 20);
    struct config *copy = NULL;
    struct error err = { 0 };

    cr_assert(config_print_json(config, CONFIG_SECRETS_KEPT, &first, &err) == 0, "%s", err.text);
    cr_assert(config_from_json(buf_text(&first), first.len, &copy, &err) == 0, "%s\n%s", err.text,
              buf_text(&first));
    cr_assert(config_print_json(copy, CONFIG_SECRETS_KEPT, &second, &err) == 0);
    cr_assert_str_eq(buf_text(&first), buf_text(&second));
    config_free(copy);
    buf_done(&first);
    buf_done(&second);
}

Test(schema, every_row_is_whole)
{
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        struct value value;

        cr_expect(row->sections && row->path && row->help && *row->help, "row %zu", i);
        cr_expect(strlen(row->help) < 400 && row->help[strlen(row->help) - 1] == '.', "%s",
                  row->path);
        cr_expect((row->type == SCHEMA_WORD) == (row->words != NULL), "%s", row->path);
        cr_expect(!row->preset || value_read_preset(row, &value), "%s: default", row->path);
        if (row->preset)
            value_done(&value);
        for (size_t j = i + 1; j < schema_rows_count; j++)
            cr_expect(!(row->sections & schema_rows[j].sections) ||
                          strcmp(row->path, schema_rows[j].path) != 0,
                      "%s is there twice", row->path);
        for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
            char pattern[SCHEMA_PATTERN_BYTES];

            if (!(row->sections & (1u << s)))
                continue;
            (void)schema_pattern(row, s, pattern);
            cr_expect(strlen(pattern) < SCHEMA_PATTERN_BYTES - 1);
            cr_expect_eq(schema_find(pattern), row, "%s", pattern);
        }
    }
}

/* Shown for a queue whose handler is noop. */
static bool is_in_noop(const struct schema_row *row)
{
    return !row->handlers || (row->handlers & SCHEMA_KIND(CONFIG_HANDLER_NOOP));
}

Test(schema, every_default_applies)
{
    struct config *config = load_good("queues:\n q:\n  handler: noop\n  types:\n   t:\n"
                                      "   u: {handler: {exec: [/bin/cat]}}\n"
                                      "   v: {handler: {process: [/bin/cat]}}\n");
    const struct config_handler *process;

    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        const size_t section_index = (size_t)__builtin_ctz(row->sections);
        _cleanup_(freep) char *text = NULL;

        if (!row->preset || schema_is_group(row) || !is_in_noop(row) || row->type == SCHEMA_URL)
            continue;
        text = effective(config, row, effect_of(section_index));
        if (row->type == SCHEMA_DURATION && strcmp(row->preset, "none") != 0) {
            uint64_t preset_ms, value_ms;

            cr_assert(units_parse_duration(row->preset, &preset_ms, NULL) == 0);
            cr_assert(units_parse_duration(text, &value_ms, NULL) == 0, "%s: %s", row->path, text);
            cr_expect_eq(preset_ms, value_ms, "%s: %s", row->path, text);
        } else {
            cr_expect_str_eq(text, row->preset, "%s", row->path);
        }
    }
    cr_expect_str_eq(config->redis[0].url, "redis://127.0.0.1:6379/0");
    cr_expect_str_eq(config->queues[0].types[1].handler.directory, "/");
    cr_expect_eq(config->queues[0].types[1].handler.max_output_bytes, 1048576);
    process = &config->queues[0].types[2].handler;
    cr_expect(process->kind == CONFIG_HANDLER_PROCESS && process->children == 0 &&
              process->parallel == 1 && process->heartbeat_ms == 0 &&
              process->max_output_bytes == 1048576 && !process->env);
    cr_expect_str_eq(process->directory, "/");
    check_round_trip(config);
    config_free(config);
}

static void check_row_in(const struct schema_row *row, size_t section_index)
{
    char storage[SAMPLE_BYTES];
    const char *value = sample_value(row, SAMPLE_FIRST, storage);
    _cleanup_(freep) char *yaml = yaml_with_row(row, section_index, value);
    _cleanup_(freep) char *text = NULL;
    struct buf findings = BUF_INIT(65536);
    struct config *config = load_text(yaml, NULL, 0, &findings);

    cr_assert(config, "%s = %s in %s:\n%s%s", row->path, value,
              schema_section_prefix(section_index), yaml, buf_text(&findings));
    buf_done(&findings);
    if (!schema_is_group(row)) {
        text = effective(config, row, effect_of(section_index));
        if (row->type == SCHEMA_SECRET || row->type == SCHEMA_ENV)
            cr_expect(strstr(text, VALUE_MASK), "%s: %s", row->path, text);
        else if (row->type == SCHEMA_URL)
            cr_expect_str_eq(text, "\"unix:///run/redis.sock?db=3\"");
        else
            cr_expect_str_eq(text, value, "%s in %s", row->path,
                             schema_section_prefix(section_index));
    }
    check_round_trip(config);
    config_free(config);
}

Test(schema, every_row_can_be_set_in_each_of_its_sections)
{
    cr_assert(setenv("DROVER_TEST_SECRET", "geheim", 1) == 0);
    for (size_t i = 0; i < schema_rows_count; i++)
        for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++)
            if (schema_rows[i].sections & (1u << s))
                check_row_in(&schema_rows[i], s);
}

static bool is_number(const struct schema_row *row)
{
    return row->type == SCHEMA_DURATION || row->type == SCHEMA_SIZE || row->type == SCHEMA_UINT ||
           row->type == SCHEMA_REAL || row->type == SCHEMA_COUNT;
}

static void check_refused(const struct schema_row *row, size_t section_index, double number)
{
    char value[64];
    const char *unit = row->type == SCHEMA_DURATION ? "ms" : row->type == SCHEMA_SIZE ? "B" : "";
    _cleanup_(freep) char *yaml = NULL;
    struct buf findings = BUF_INIT(65536);
    struct config *config;

    (void)snprintf(value, sizeof value, "%.15g%s", number, unit);
    yaml = yaml_with_row(row, section_index, value);
    config = load_text(yaml, NULL, 0, &findings);
    cr_expect(!config, "%s = %s was taken", row->path, value);
    cr_expect(strstr(buf_text(&findings), "which is"), "%s = %s: %s", row->path, value,
              buf_text(&findings));
    config_free(config);
    buf_done(&findings);
}

Test(schema, every_range_is_kept)
{
    size_t checked = 0;

    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        const size_t section_index = (size_t)__builtin_ctz(row->sections);

        if (!is_number(row))
            continue;
        cr_expect(row->min < row->max, "%s", row->path);
        check_refused(row, section_index, row->max + 1);
        if (row->min >= 1)
            check_refused(row, section_index, row->min - 1);
        checked++;
    }
    cr_assert(checked > 15);
}

Test(schema, json_out_of_range_is_refused)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        { "\"concurrency\":1", "\"concurrency\":0" },
        { "\"concurrency\":1", "\"concurrency\":\"1\"" },
        { "\"processes\":1", "\"processes\":2" },
        { "\"lock\":30000", "\"lock\":4999" },
        { "\"jitter\":0.0", "\"jitter\":1.5" },
        { "\"version\":3", "\"version\":2" },
        { "\"drover-config\"", "\"other\"" },
        { "\"secrets\":\"kept\"", "\"secrets\":\"masked\"" },
        { "\"batch\":50,", "" },
        { "\"type\":\"none\"", "\"type\":\"some\"" },
        { "\"important\":{\"redis\":\"default\"}", "\"important\":{\"redis\":\"other\"}" },
        { "\"enforce\":false", "\"enforce\":0" },
        { "redis://127.0.0.1:6379/0", "http://127.0.0.1:6379/0" },
        { "\"control\":\"/run/drover/control\",", "" },
        { "\"max_givebacks\":3", "\"max_givebacks\":0" },
        { "\"children\":0", "\"children\":10001" },
        { "\"children\":0", "\"children\":-1" },
        { "\"children\":0", "\"children\":\"auto\"" },
        { "\"parallel\":1", "\"parallel\":0" },
        { "\"heartbeat\":0", "\"heartbeat\":99" },
        { "\"process\":[\"/bin/cat\"]", "\"process\":[\"cat\"]" },
        { "\"process\":[\"/bin/cat\"]", "\"process\":[]" },
        { "\"uid\":65534", "\"uid\":0" },
        { "\"uid\":65534", "\"uid\":4294967295" },
        { "\"uid\":65534", "\"uid\":-1" },
        { "\"uid\":65534", "\"uid\":\"nobody\"" },
        { "\"home\":\"/nonexistent\"", "\"home\":null" },
        { "\"groups\":[65534]", "\"groups\":[-1]" },
        { "\"groups\":[65534]", "\"groups\":65534" },
        { "\"group\":{\"name\":\"4711\",\"gid\":4711}", "\"group\":{\"name\":\"4711\"}" },
        { "\"group\":{\"name\":\"4711\",\"gid\":4711}", "\"group\":[]" },
        { "\"groups\":[{\"name\":\"4712\",\"gid\":4712}]", "\"groups\":[4712]" },
        { "\"umask\":23", "\"umask\":512" },
        { "\"umask\":23", "\"umask\":\"027\"" },
        { "\"nice\":5", "\"nice\":-21" },
        { "\"nice\":5", "\"nice\":20" },
        { "\"open_files\":64", "\"open_files\":15" },
        { "\"open_files\":64", "\"open_files\":\"unlimited\"" },
        { "\"open_files\":64", "\"open_files\":-1" },
        { "\"cpu\":5", "\"cpu\":0" },
        { "\"cpu\":5", "\"cpu\":\"5s\"" },
        { "\"stack\":\"unlimited\"", "\"stack\":\"endless\"" },
    };
    struct config *config = load_good(
        "queues: {q: {handler: noop, types: {t: {handler: {process: [/bin/cat], user: nobody,"
        " group: 4711, groups: [4712], umask: 027, nice: 5,"
        " limits: {open_files: 64, cpu: 5s, stack: unlimited}}}}}}");
    struct buf json = BUF_INIT(65536);

    cr_assert(config_print_json(config, CONFIG_SECRETS_KEPT, &json, NULL) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        const char *at = strstr(buf_text(&json), changes[i].from);
        _cleanup_(freep) char *changed = NULL;
        struct config *copy = NULL;
        struct error err = { 0 };

        cr_assert(at, "%s", changes[i].from);
        changed = text_format("%.*s%s%s", (int)(at - json.data), json.data, changes[i].to,
                              at + strlen(changes[i].from));
        cr_expect(config_from_json(changed, strlen(changed), &copy, &err) < 0, "%s", changes[i].to);
        cr_expect(!copy && err.text[0], "%s", changes[i].to);
    }
    buf_done(&json);
    config_free(config);
}
