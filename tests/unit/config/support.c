#include "tests/unit/config/support.h"

#include <errno.h>

#include "common/base/text.h"

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
