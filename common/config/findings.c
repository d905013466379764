#include "common/config/findings.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/text.h"

#define FINDING_TEXT_BYTES 1024

void findings_init(struct findings *findings)
{
    *findings = (struct findings){ 0 };
}

static void finding_done(struct config_finding *finding)
{
    free(finding->file);
    free(finding->key);
    free(finding->text);
}

static void names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void findings_done(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        finding_done(&findings->rows[i].finding);
    free(findings->rows);
    names_free(findings->credentials, findings->credentials_count);
    findings_init(findings);
}

void findings_add_file(struct findings *findings, const char *file)
{
    if (findings->files_count < ARRAY_SIZE(findings->files))
        findings->files[findings->files_count++] = file;
}

void findings_add_credential(struct findings *findings, const char *name)
{
    char **names;

    for (size_t i = 0; i < findings->credentials_count; i++)
        if (strcmp(findings->credentials[i], name) == 0)
            return;
    names = reallocarray(findings->credentials, findings->credentials_count + 1, sizeof *names);
    if (names)
        findings->credentials = names;
    if (names)
        names[findings->credentials_count] = strdup(name);
    if (!names || !names[findings->credentials_count])
        findings->out_of_memory = true;
    else
        findings->credentials_count++;
}

static size_t rank_of(const struct findings *findings, const char *file)
{
    for (size_t i = 0; i < findings->files_count; i++)
        if (strcmp(findings->files[i], file) == 0)
            return i;
    return findings->files_count;
}

static bool is_known(const struct findings *findings, const struct tree_mark *mark,
                     const char *text)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct config_finding *known = &findings->rows[i].finding;

        if (known->line == mark->line && known->column == mark->column && known->line != 0 &&
            strcmp(known->file, mark->file) == 0 && strcmp(known->text, text) == 0)
            return true;
    }
    return false;
}

static bool make_room(struct findings *findings)
{
    size_t cap = findings->cap ? findings->cap * 2 : 16;
    struct finding_row *rows;

    if (findings->count < findings->cap)
        return true;
    rows = reallocarray(findings->rows, cap, sizeof *rows);
    if (!rows)
        return false;
    findings->rows = rows;
    findings->cap = cap;
    return true;
}

static void add(struct findings *findings, bool warning, const struct tree_mark *mark,
                const char *key, const char *text)
{
    struct config_finding finding = { .warning = warning };

    if (findings->muted || is_known(findings, mark, text))
        return;
    if (findings->count >= FINDINGS_MAX) {
        findings->dropped++;
        return;
    }
    finding.file = strdup(mark->file);
    finding.key = strdup(key);
    finding.text = strdup(text);
    finding.line = mark->line;
    finding.column = mark->column;
    if (!finding.file || !finding.key || !finding.text || !make_room(findings)) {
        finding_done(&finding);
        findings->out_of_memory = true;
        return;
    }
    findings->rows[findings->count] = (struct finding_row){
        .finding = finding,
        .rank = rank_of(findings, mark->file),
        .seq = findings->count,
    };
    findings->count++;
}

static PRINTF_LIKE(5, 0) void add_formatted(struct findings *findings, bool warning,
                                            const struct tree_mark *mark, const char *key,
                                            const char *format, va_list args)
{
    char text[FINDING_TEXT_BYTES];

    (void)vsnprintf(text, sizeof text, format, args); /* a cut text is still a text */
    text[text_utf8_prefix(text, strlen(text))] = '\0';
    add(findings, warning, mark, key, text);
}

void findings_error(struct findings *findings, const struct tree_mark *mark, const char *key,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_formatted(findings, false, mark, key, format, args);
    va_end(args);
}

void findings_warning(struct findings *findings, const struct tree_mark *mark, const char *key,
                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_formatted(findings, true, mark, key, format, args);
    va_end(args);
}

static int compare_rows(const void *left, const void *right)
{
    const struct finding_row *a = left, *b = right;

    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->finding.line != b->finding.line)
        return a->finding.line < b->finding.line ? -1 : 1;
    if (a->finding.column != b->finding.column)
        return a->finding.column < b->finding.column ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Says in the last row how many more there were. */
static void add_dropped(struct findings *findings)
{
    char *text;

    if (!findings->dropped || !findings->count)
        return;
    text = text_format("and %zu findings more; put these right first", findings->dropped);
    if (!text) {
        findings->out_of_memory = true;
        return;
    }
    free(findings->rows[findings->count - 1].finding.text);
    findings->rows[findings->count - 1].finding.text = text;
    findings->rows[findings->count - 1].finding.warning = false;
}

int findings_take(struct findings *findings, struct config_report *report)
{
    bool out_of_memory;

    if (findings->count)
        qsort(findings->rows, findings->count, sizeof *findings->rows, compare_rows);
    add_dropped(findings);
    out_of_memory = findings->out_of_memory;
    *report = (struct config_report){ 0 };
    report->findings = findings->count ? calloc(findings->count, sizeof *report->findings) : NULL;
    if (findings->count && !report->findings) {
        findings_done(findings);
        return -ENOMEM;
    }
    for (size_t i = 0; i < findings->count; i++) {
        report->findings[i] = findings->rows[i].finding;
        if (!report->findings[i].warning)
            report->errors++;
    }
    report->count = findings->count;
    report->credentials = TAKE_PTR(findings->credentials);
    report->credentials_count = findings->credentials_count;
    findings->credentials_count = 0;
    findings->count = 0; /* their texts are the report's now */
    findings_done(findings);
    if (out_of_memory)
        return -ENOMEM;
    return report->errors ? -EINVAL : 0;
}

void config_report_done(struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        finding_done(&report->findings[i]);
    free(report->findings);
    names_free(report->credentials, report->credentials_count);
    *report = (struct config_report){ 0 };
}

/* "FILE:LINE:COLUMN", or a name without a place. */
static bool split_origin(const char *origin, struct config_finding *out)
{
    const char *column = strrchr(origin, ':');
    const char *line = column ? memrchr(origin, ':', (size_t)(column - origin)) : NULL;
    uint64_t numbers[2];

    if (!line || text_parse_uint(line + 1, (size_t)(column - line - 1), &numbers[0]) < 0 ||
        text_parse_uint(column + 1, strlen(column + 1), &numbers[1]) < 0) {
        out->file = strdup(origin);
        return out->file != NULL;
    }
    out->line = (unsigned int)numbers[0];
    out->column = (unsigned int)numbers[1];
    out->file = strndup(origin, (size_t)(line - origin));
    return out->file != NULL;
}

static bool is_reported(const struct config_report *report, const struct config_finding *finding)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *known = &report->findings[i];

        if (known->line == finding->line && known->column == finding->column &&
            finding->line != 0 && strcmp(known->file, finding->file) == 0 &&
            strcmp(known->text, finding->text) == 0)
            return true;
    }
    return false;
}

int config_report_add(struct config_report *report, const char *origin, const char *key,
                      const char *text)
{
    struct config_finding finding = { .key = strdup(key), .text = strdup(text) };
    struct config_finding *rows;

    if (!split_origin(origin ? origin : "default", &finding) || !finding.key || !finding.text) {
        finding_done(&finding);
        return -ENOMEM;
    }
    if (is_reported(report, &finding)) {
        finding_done(&finding);
        return 0;
    }
    rows = reallocarray(report->findings, report->count + 1, sizeof *rows);
    if (!rows) {
        finding_done(&finding);
        return -ENOMEM;
    }
    report->findings = rows;
    rows[report->count++] = finding;
    report->errors++;
    return 0;
}
