/* What a reload would do: one changed key at a time, as the table says, and all that is not one
 * key. */
#include "common/base/text.h"
#include "common/config/diff.h"
#include "tests/unit/config/support.h"

/* Two files that are right, and what lies between them. */
struct versions {
    struct config *from, *to;
    struct config_diff diff;
};

static struct versions compare(const char *from, const char *to)
{
    struct versions versions = { .from = load_good(from), .to = load_good(to) };
    struct error err = { 0 };

    cr_assert(config_diff_new(versions.from, versions.to, &versions.diff, &err) == 0, "%s",
              err.text);
    return versions;
}

static void done(struct versions *versions)
{
    config_diff_done(&versions->diff);
    config_free(versions->from);
    config_free(versions->to);
}

/* Each queue of the diff on a line: "name: kind (changes)". */
static char *summary(const struct config_diff *diff)
{
    struct buf out = BUF_INIT(65536);

    for (size_t i = 0; i < diff->queues_count; i++)
        (void)buf_printf(&out, "%s: %s (%s)\n", diff->queues[i].name,
                         config_diff_kind_name(diff->queues[i].kind), diff->queues[i].changes);
    cr_assert(!out.failed);
    return buf_take(&out);
}

static void expect_diff(const char *from, const char *to, const char *queues, const char *top,
                        const char *restart)
{
    struct versions versions = compare(from, to);
    _cleanup_(freep) char *found = summary(&versions.diff);

    cr_expect_str_eq(found, queues, "%s\nnot\n%s", found, queues);
    cr_expect_str_eq(versions.diff.top, top);
    cr_expect_str_eq(versions.diff.restart, restart);
    done(&versions);
}

static void expect_queues(const char *from, const char *to, const char *queues)
{
    expect_diff(from, to, queues, "", "");
}

/* ---- each key alone ---- */

static enum config_diff_kind kind_of(const struct schema_row *row, size_t section_index)
{
    if ((1u << section_index) == SCHEMA_TOP && row->change != SCHEMA_NEW_WORKERS)
        return CONFIG_DIFF_SAME;
    return row->change == SCHEMA_LIVE ? CONFIG_DIFF_LIVE : CONFIG_DIFF_REPLACE;
}

/* Where people read of a change: the two texts that belong to no queue, or the queue's. */
static const char *text_of(const struct schema_row *row, size_t section_index,
                           const struct config_diff *diff)
{
    if (kind_of(row, section_index) != CONFIG_DIFF_SAME)
        return diff->queues[0].changes;
    return row->change == SCHEMA_RESTART ? diff->restart : diff->top;
}

/* How a key is named in the text. */
static char *name_of(const struct schema_row *row, size_t section_index)
{
    if (row->type == SCHEMA_ENDPOINT)
        return text_format("redis.url: ");
    if (row->type == SCHEMA_KEEP)
        return text_format("%s.count: ", row->path);
    if ((1u << section_index) == SCHEMA_REDIS)
        return text_format("redis.%s: ", row->path);
    return text_format("%s%s: ", (1u << section_index) == SCHEMA_TYPE ? "types.t." : "", row->path);
}

static void expect_alone(const struct schema_row *row, size_t section_index,
                         const struct config_diff *diff)
{
    const char *text = text_of(row, section_index, diff);
    const char *all[] = { diff->queues[0].changes, diff->top, diff->restart };
    _cleanup_(freep) char *name = name_of(row, section_index);
    const char *section = schema_section_prefix(section_index);

    cr_assert_eq(diff->queues_count, 1);
    cr_expect_eq(diff->queues[0].kind, kind_of(row, section_index), "%s in %s: %s, %s", row->path,
                 section, config_diff_kind_name(diff->queues[0].kind), diff->queues[0].changes);
    cr_expect(strstr(text, name), "%s in %s: %s", name, section, text);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        cr_expect((all[i] == text) == (*all[i] != '\0'), "%s in %s also changes %s", row->path,
                  section, all[i]);
        cr_expect(!strstr(all[i], "geheim"), "%s", all[i]);
    }
}

static void check_row_in(const struct schema_row *row, size_t section_index)
{
    char first[SAMPLE_BYTES], second[SAMPLE_BYTES];
    _cleanup_(freep) char *from =
        yaml_with_row(row, section_index, sample_value(row, SAMPLE_FIRST, first));
    _cleanup_(freep) char *to =
        yaml_with_row(row, section_index, sample_value(row, SAMPLE_SECOND, second));
    struct versions versions = compare(from, to);

    expect_alone(row, section_index, &versions.diff);
    done(&versions);
    versions = compare(to, from);
    expect_alone(row, section_index, &versions.diff);
    done(&versions);
    versions = compare(from, from);
    cr_expect(versions.diff.queues[0].kind == CONFIG_DIFF_SAME, "%s: %s", row->path,
              versions.diff.queues[0].changes);
    done(&versions);
}

Test(diff, each_key_takes_what_its_row_says)
{
    cr_assert(setenv("DROVER_TEST_SECRET", "geheim1", 1) == 0);
    cr_assert(setenv("DROVER_TEST_OTHER", "geheim2", 1) == 0);
    for (size_t i = 0; i < schema_rows_count; i++)
        for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++)
            if (schema_rows[i].sections & (1u << s))
                check_row_in(&schema_rows[i], s);
}

Test(diff, a_key_that_takes_a_restart_is_of_no_queue)
{
    /* A queue could not say so: its kinds end at new workers. */
    for (size_t i = 0; i < schema_rows_count; i++)
        cr_expect(schema_rows[i].change != SCHEMA_RESTART || schema_rows[i].sections == SCHEMA_TOP,
                  "%s", schema_rows[i].path);
}

/* ---- nothing changed ---- */

Test(diff, the_example_is_the_same_as_itself)
{
    struct config *config = NULL;
    struct config_report report;
    struct config_diff diff;

    cr_assert(config_load(SOURCE_DIR "/conf/drover.yaml", NULL, 0, &config, &report) == 0);
    cr_assert(config_diff_new(config, config, &diff, NULL) == 0);
    cr_assert(diff.queues_count == config->queues_count && diff.queues_count > 0);
    for (size_t i = 0; i < diff.queues_count; i++) {
        cr_expect_eq(diff.queues[i].kind, CONFIG_DIFF_SAME);
        cr_expect_str_eq(diff.queues[i].changes, "");
        cr_expect_str_eq(diff.queues[i].name, config->queues[i].name);
    }
    cr_expect(!*diff.top && !*diff.restart);
    config_diff_done(&diff);
    config_report_done(&report);
    config_free(config);
}

Test(diff, order_means_nothing)
{
    expect_queues("redis: {default: {}, z: {url: \"redis://z\"}}\n"
                  "queues:\n"
                  " a: {handler: {exec: [/bin/cat], env: {A: x, B: y}}, attempts: 2, batch: 3}\n"
                  " b: {handler: noop, types: {s: {attempts: 3}, t: {timeout: 1s}}}\n",
                  "queues:\n"
                  " b: {types: {t: {timeout: 1s}, s: {attempts: 3}}, handler: noop}\n"
                  " a: {batch: 3, attempts: 2, handler: {env: {B: y, A: x}, exec: [/bin/cat]}}\n"
                  "redis: {z: {url: \"redis://z\"}, default: {}}\n",
                  "b: same ()\na: same ()\n");
}

Test(diff, other_words_for_the_same)
{
    expect_queues("defaults: {timeout: 60s, lock: 30s}\n"
                  "queues: {q: {handler: noop, keep: {completed: 5}}}\n",
                  "queues: {q: {handler: {noop: {duration: 0ms}}, timeout: 1m, lock: 30000ms,\n"
                  "  keep: {completed: {count: 5, age: none}}, concurrency: 1, unknown: {}}}\n",
                  "q: same ()\n");
}

Test(diff, an_endpoint_by_another_name)
{
    expect_queues("redis: {default: {url: \"redis://h/3\", prefix: p}}\n"
                  "queues: {q: {handler: noop}}\n",
                  "redis: {main: {url: \"redis://h/3\", prefix: p}, x: {url: \"redis://x\"}}\n"
                  "tiers: {important: {redis: main}, ephemeral: {redis: x}}\n"
                  "queues: {q: {handler: noop}}\n",
                  "q: same ()\n");
}

/* ---- what a queue does not say itself ---- */

Test(diff, a_tier_that_means_another_endpoint)
{
    static const char redis[] = "redis: {a: {url: \"redis://h/1\"}, b: {url: \"redis://h/2\"}}\n";
    static const char queues[] = "queues:\n p: {handler: noop}\n"
                                 " q: {handler: noop, tier: ephemeral}\n";
    _cleanup_(freep) char *from =
        text_format("%stiers: {important: {redis: a}, ephemeral: {redis: a}}\n%s", redis, queues);
    _cleanup_(freep) char *to =
        text_format("%stiers: {important: {redis: a}, ephemeral: {redis: b}}\n%s", redis, queues);

    expect_queues(from, to,
                  "p: same ()\n"
                  "q: replace (redis.url: \"redis://h/1\" -> \"redis://h/2\")\n");
}

Test(diff, an_endpoint_that_changed_under_one_tier)
{
    static const char rest[] = "tiers: {important: {redis: a}, ephemeral: {redis: b}}\n"
                               "queues:\n p: {handler: noop}\n"
                               " q: {handler: noop, tier: ephemeral}\n";
    _cleanup_(freep) char *from =
        text_format("redis: {a: {url: \"redis://h/1\"}, b: {url: \"redis://h/2\"}}\n%s", rest);
    _cleanup_(freep) char *to =
        text_format("redis: {a: {url: \"redis://bob@h/1\"}, b: {url: \"redis://h/2\"}}\n%s", rest);

    expect_queues(from, to,
                  "p: replace (redis.url: \"redis://h/1\" -> \"redis://bob@h/1\", "
                  "redis.username: none -> bob)\n"
                  "q: same ()\n");
}

Test(diff, an_inherited_change_counts_where_it_is_inherited)
{
    static const char queues[] = "queues:\n"
                                 " takes: {handler: noop}\n"
                                 " own: {handler: noop, timeout: 5s}\n"
                                 " typed: {timeout: 7s, types: {\"a.b\": {handler: noop}}}\n"
                                 " both: {handler: noop, types: {t: {timeout: none}, u: {}}}\n";
    _cleanup_(freep) char *from = text_format("defaults: {timeout: 30s}\n%s", queues);
    _cleanup_(freep) char *to =
        text_format("defaults: {timeout: 1m, keep: {failed: 7}}\n%s", queues);

    expect_queues(from, to,
                  "takes: replace (timeout: 30s -> 1m, keep.failed.count: all -> 7)\n"
                  "own: replace (keep.failed.count: all -> 7)\n"
                  "typed: replace (keep.failed.count: all -> 7, "
                  "types.\"a.b\".keep.failed.count: all -> 7)\n"
                  "both: replace (timeout: 30s -> 1m, keep.failed.count: all -> 7, "
                  "types.t.keep.failed.count: all -> 7, types.u.timeout: 30s -> 1m, "
                  "types.u.keep.failed.count: all -> 7)\n");
}

/* ---- several ---- */

Test(diff, queues_come_and_go)
{
    expect_queues("queues: {a: {handler: noop}, b: {handler: noop}, c: {handler: noop}}",
                  "queues: {d: {handler: noop}, c: {handler: noop}, b: {handler: noop, batch: 2}}",
                  "d: added ()\n"
                  "c: same ()\n"
                  "b: replace (batch: 50 -> 2)\n"
                  "a: removed ()\n");
    expect_queues("queues: {a: {handler: noop}}", "queues: {}", "a: removed ()\n");
    expect_queues("", "queues: {a: {handler: noop}}", "a: added ()\n");
    expect_queues("", "", "");
}

Test(diff, types_come_and_go)
{
    expect_queues("queues: {q: {handler: noop, types: {a: {}, b: {attempts: 2}}}}",
                  "queues: {q: {handler: noop, types: {b: {attempts: 3}, c: {}}}}",
                  "q: replace (types.b.attempts: 2 -> 3, types.c: added, types.a: removed)\n");
}

Test(diff, live_alone_is_live)
{
    expect_queues("queues: {q: {handler: noop, concurrency: 5}}",
                  "queues: {q: {handler: noop, concurrency: 10, processes: 2}}",
                  "q: live (concurrency: 5 -> 10, processes: 1 -> 2)\n");
    expect_queues("queues: {q: {handler: noop, concurrency: 5, timeout: 30s}}",
                  "queues: {q: {handler: noop, concurrency: 10, timeout: 1m}}",
                  "q: replace (concurrency: 5 -> 10, timeout: 30s -> 1m)\n");
    /* Programs follow the concurrency by themselves, or their number is a change of the handler. */
    expect_queues("queues: {q: {handler: {process: [/bin/cat]}, concurrency: 5}}",
                  "queues: {q: {handler: {process: [/bin/cat]}, concurrency: 10}}",
                  "q: live (concurrency: 5 -> 10)\n");
    expect_queues("queues: {q: {handler: {process: [/bin/cat], children: 2}, concurrency: 2}}",
                  "queues: {q: {handler: {process: [/bin/cat], children: 3}, concurrency: 3}}",
                  "q: replace (concurrency: 2 -> 3, handler.children: 2 -> 3)\n");
}

Test(diff, keys_of_no_queue)
{
    expect_diff("log: {level: info, format: json}\nstart: {timeout: 10s}\n"
                "control: /run/a\nqueues: {q: {handler: noop}}\n",
                "log: {level: debug, format: plain}\nstart: {timeout: 20s}\n"
                "control: /run/b\nqueues: {q: {handler: noop}}\n",
                "q: same ()\n", "log.level: info -> debug, start.timeout: 10s -> 20s",
                "log.format: json -> plain, control: /run/a -> /run/b");
}

Test(diff, another_kind_of_handler)
{
    expect_queues("queues: {q: {handler: {exec: [/bin/cat], env: {A: x}}}}",
                  "queues: {q: {handler: {process: [/bin/true], env: {A: x}, parallel: 2}}}",
                  "q: replace (handler: exec -> process)\n");
    expect_queues("queues: {q: {handler: noop, types: {t: {}}}}",
                  "queues: {q: {types: {t: {handler: noop}}}}",
                  "q: replace (handler: noop -> none)\n");
    expect_queues("queues: {q: {handler: {process: [/bin/cat, a]}}}",
                  "queues: {q: {handler: {process: [/bin/cat, a, b]}}}",
                  "q: replace (handler.process: [\"/bin/cat\", \"a\"] -> "
                  "[\"/bin/cat\", \"a\", \"b\"])\n");
}

/* ---- secrets ---- */

Test(diff, a_new_password_in_the_same_place)
{
    static const char text[] = "redis: {default: {password: env:DROVER_TEST_SECRET}}\n"
                               "queues: {q: {handler: noop}}\n";
    struct versions versions = { 0 };
    _cleanup_(freep) char *found = NULL;

    cr_assert(setenv("DROVER_TEST_SECRET", "geheim1", 1) == 0);
    versions.from = load_good(text);
    cr_assert(setenv("DROVER_TEST_SECRET", "geheim2", 1) == 0);
    versions.to = load_good(text);
    cr_assert(config_diff_new(versions.from, versions.to, &versions.diff, NULL) == 0);
    found = summary(&versions.diff);
    cr_expect_str_eq(found, "q: replace (redis.password: changed)\n");
    done(&versions);
    expect_queues("queues: {q: {handler: noop}}", text, "q: replace (redis.password: changed)\n");
}

Test(diff, variables_show_their_names_only)
{
    expect_queues("queues: {q: {handler: {exec: [/bin/cat], env: {A: geheim, B: x, GONE: x}}}}",
                  "queues: {q: {handler: {exec: [/bin/cat], env: {AB: x, B: x, A: geheim2}}}}",
                  "q: replace (handler.env: changed (AB added, A, GONE removed))\n");
    expect_queues("queues: {q: {handler: {exec: [/bin/cat]}}}",
                  "queues: {q: {handler: {exec: [/bin/cat], env: {A: geheim}}}}",
                  "q: replace (handler.env: changed (A added))\n");
}

/* ---- long texts ---- */

Test(diff, a_long_value_leaves_room_for_others)
{
    struct buf from = BUF_INIT(65536);
    struct versions versions;
    size_t len;

    (void)buf_append_text(&from, "queues: {q: {handler: {exec: [/bin/cat, \"");
    for (size_t i = 0; i < 300; i++)
        (void)buf_append_text(&from, "ü");
    (void)buf_append_text(&from, "\"]}, types: {t: {}}}}");
    versions = compare(buf_text(&from), "queues: {q: {handler: {exec: [/bin/cat]}}}");
    cr_expect_eq(versions.diff.queues[0].kind, CONFIG_DIFF_REPLACE);
    cr_expect(strstr(versions.diff.queues[0].changes, "ü… -> [\"/bin/cat\"], types.t: removed"),
              "%s", versions.diff.queues[0].changes);
    len = strlen(versions.diff.queues[0].changes);
    cr_expect_eq(text_utf8_prefix(versions.diff.queues[0].changes, len), len);
    done(&versions);
    buf_done(&from);
}

Test(diff, many_changes_are_cut)
{
    struct buf from = BUF_INIT(65536), to = BUF_INIT(65536);
    struct versions versions;
    const char *text;
    size_t len;

    (void)buf_append_text(&from, "queues:\n q:\n  handler: noop\n  concurrency: 2\n  types:\n");
    (void)buf_append_text(&to, "queues:\n q:\n  handler: noop\n  concurrency: 3\n  types:\n");
    for (unsigned int i = 0; i < 100; i++) {
        (void)buf_printf(&from, "   \"tüpe%u\": {attempts: 1}\n", i);
        (void)buf_printf(&to, "   \"tüpe%u\": {attempts: 2}\n", i);
    }
    versions = compare(buf_text(&from), buf_text(&to));
    text = versions.diff.queues[0].changes;
    len = strlen(text);
    cr_expect(len > 480 && len <= 503, "%zu", len);
    cr_expect_str_eq(text + len - strlen("…"), "…");
    cr_expect_eq(text_utf8_prefix(text, len), len);
    cr_expect(strncmp(text, "concurrency: 2 -> 3, types.", 27) == 0, "%s", text);
    /* What does not fit counts all the same. */
    cr_expect_eq(versions.diff.queues[0].kind, CONFIG_DIFF_REPLACE);
    done(&versions);
    buf_done(&from);
    buf_done(&to);
}
