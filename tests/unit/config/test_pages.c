/* What people read is what the table says: the reference page, the man page, conf/drover.yaml. */
#include "common/base/fd.h"
#include "common/config/reference.h"
#include "tests/unit/config/support.h"

static struct buf read_page(const char *path)
{
    struct buf text = BUF_INIT(TREE_BYTES_MAX);
    struct error err = { 0 };

    cr_assert(fd_read_file(path, &text, &err) == 0, "%s", err.text);
    return text;
}

Test(pages, the_reference_is_the_table)
{
    struct buf committed = read_page(SOURCE_DIR "/docs/configuration.md");
    struct buf generated = BUF_INIT(TREE_BYTES_MAX);

    reference_print(REFERENCE_MARKDOWN, &generated);
    cr_assert(!generated.failed);
    cr_assert(strcmp(buf_text(&committed), buf_text(&generated)) == 0,
              "docs/configuration.md is old: drover-reference markdown > docs/configuration.md");
    buf_done(&committed);
    buf_done(&generated);
}

Test(pages, the_man_page_has_every_key)
{
    struct buf page = BUF_INIT(TREE_BYTES_MAX);

    reference_print(REFERENCE_MAN, &page);
    cr_assert(!page.failed);
    for (size_t i = 0; i < schema_rows_count; i++) {
        char line[SCHEMA_PATTERN_BYTES];

        (void)snprintf(line, sizeof line, "\n.B %s\n", schema_rows[i].path);
        cr_expect(strstr(buf_text(&page), line), "%s", schema_rows[i].path);
    }
    buf_done(&page);
}

/* "#key: value" becomes "key: value"; "# prose" stays a comment. */
static void switch_on(struct buf *text)
{
    for (size_t i = 0; i + 1 < text->len; i++) {
        size_t indent = i;

        if (i && text->data[i - 1] != '\n')
            continue;
        while (text->data[indent] == ' ')
            indent++;
        if (text->data[indent] == '#' && text->data[indent + 1] >= 'a' &&
            text->data[indent + 1] <= 'z') {
            memmove(text->data + indent, text->data + indent + 1, text->len - indent);
            text->len--;
        }
    }
}

/* Patterns seen in the file. */
struct seen {
    char patterns[512][SCHEMA_PATTERN_BYTES];
    size_t count;
};

static void collect(const struct tree_node *node, const char *pattern, struct seen *seen)
{
    if (*pattern) {
        cr_assert(seen->count < ARRAY_SIZE(seen->patterns));
        (void)snprintf(seen->patterns[seen->count++], SCHEMA_PATTERN_BYTES, "%s", pattern);
    }
    if (node->kind != TREE_MAP || (schema_find(pattern) && !schema_has_below(pattern)))
        return;
    for (size_t i = 0; i < node->count; i++) {
        char child[SCHEMA_PATTERN_BYTES];

        cr_assert(load_child_pattern(pattern, node->entries[i].key, child), "%s.%s is no key",
                  pattern, node->entries[i].key);
        collect(node->entries[i].value, child, seen);
    }
}

static bool has_pattern(const struct seen *seen, const char *pattern)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->patterns[i], pattern) == 0)
            return true;
    return false;
}

Test(pages, the_example_shows_every_key_and_no_other)
{
    struct buf text = read_page(SOURCE_DIR "/conf/drover.yaml");
    static struct seen seen;
    struct findings findings;
    struct tree_node *tree;

    findings_init(&findings);
    switch_on(&text);
    tree = tree_read("drover.yaml", buf_text(&text), text.len, &findings);
    cr_assert(tree && findings.count == 0);
    collect(tree, "", &seen);
    for (size_t i = 0; i < schema_rows_count; i++) {
        for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
            char pattern[SCHEMA_PATTERN_BYTES];

            if (schema_rows[i].sections & (1u << s))
                cr_expect(has_pattern(&seen, schema_pattern(&schema_rows[i], s, pattern)),
                          "conf/drover.yaml does not show %s", pattern);
        }
    }
    tree_free(tree);
    findings_done(&findings);
    buf_done(&text);
}

Test(pages, the_examples_are_right)
{
    static const char *const files[] = {
        SOURCE_DIR "/conf/drover.yaml",
        SOURCE_DIR "/conf/examples/first-queue.yaml",
    };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct buf findings = BUF_INIT(65536);
        struct config *config = NULL;
        struct config_report report;
        int result = config_load(files[i], NULL, 0, &config, &report);

        print_report(&report, &findings);
        cr_expect(result == 0 && report.count == 0, "%s", buf_text(&findings));
        cr_expect(config && config->queues_count > 0);
        config_report_done(&report);
        config_free(config);
        buf_done(&findings);
    }
}
