/* Every file in broken/ names in its first lines what must be found in it, and nothing else may
 * be:
 *   # expect LINE:COLUMN KEY | part of the text      (KEY - for none)
 *   # expect-warning LINE:COLUMN KEY | part of the text */
#include <dirent.h>
#include <errno.h>

#include "common/base/fd.h"
#include "common/base/text.h"
#include "tests/unit/config/support.h"

#define FILES_LEAST 50

struct expectation {
    bool warning;
    unsigned int line, column;
    char key[256];
    char text[256];
    bool met;
};

static size_t read_expectations(const char *text, struct expectation *out, size_t max)
{
    size_t count = 0;

    while (strncmp(text, "# expect", 8) == 0) {
        struct expectation *expectation = &out[count];
        const char *end = strchr(text, '\n');
        int used = 0;

        cr_assert(count < max && end);
        *expectation = (struct expectation){ .warning = text[8] == '-' };
        text += strcspn(text + 8, " ") + 8;
        cr_assert(sscanf(text, " %u:%u %255s | %n", &expectation->line, &expectation->column,
                         expectation->key, &used) == 3 &&
                  used);
        text += used;
        (void)snprintf(expectation->text, sizeof expectation->text, "%.*s", (int)(end - text),
                       text);
        cr_assert(*expectation->text && expectation->line);
        if (strcmp(expectation->key, "-") == 0)
            expectation->key[0] = '\0';
        count++;
        text = end + 1;
    }
    return count;
}

static bool meets(const struct config_finding *finding, const struct expectation *expectation,
                  const char *path)
{
    return finding->warning == expectation->warning && finding->line == expectation->line &&
           finding->column == expectation->column && strcmp(finding->key, expectation->key) == 0 &&
           strstr(finding->text, expectation->text) && strcmp(finding->file, path) == 0;
}

static bool check_report(const char *path, const struct config_report *report,
                         struct expectation *expectations, size_t count)
{
    bool good = report->count == count;

    for (size_t i = 0; i < report->count; i++) {
        bool met = false;

        for (size_t j = 0; j < count && !met; j++) {
            if (!expectations[j].met && meets(&report->findings[i], &expectations[j], path))
                met = expectations[j].met = true;
        }
        if (!met)
            good = false;
        /* Secrets that stand in these files. */
        cr_expect(!strstr(report->findings[i].text, "hunter2"), "%s", report->findings[i].text);
        if (i)
            cr_expect(report->findings[i - 1].line <= report->findings[i].line, "%s: order", path);
    }
    return good;
}

static void run_file(const char *path)
{
    struct expectation expectations[32] = { 0 };
    struct buf text = BUF_INIT(TREE_BYTES_MAX), found = BUF_INIT(65536);
    struct config *config = NULL;
    struct config_report report;
    struct error err = { 0 };
    size_t count, errors = 0;
    int result;

    cr_assert(fd_read_file(path, &text, &err) == 0, "%s", err.text);
    count = read_expectations(buf_text(&text), expectations, ARRAY_SIZE(expectations));
    cr_assert(count > 0, "%s expects nothing", path);
    for (size_t i = 0; i < count; i++)
        errors += !expectations[i].warning;
    result = config_load(path, NULL, 0, &config, &report);
    print_report(&report, &found);
    cr_expect(check_report(path, &report, expectations, count), "%s expects:\n%.600s\nfound:\n%s",
              path, buf_text(&text), buf_text(&found));
    cr_expect(result == (errors ? -EINVAL : 0) && report.errors == errors, "%s: %d", path, result);
    cr_expect((config != NULL) == (errors == 0), "%s", path);
    config_report_done(&report);
    config_free(config);
    buf_done(&found);
    buf_done(&text);
}

Test(broken, each_file_names_the_right_place)
{
    struct dirent **entries = NULL;
    int count = scandir(BROKEN_DIR, &entries, NULL, alphasort);
    size_t files = 0;

    cr_assert(count >= 0, "%s: %s", BROKEN_DIR, strerror(errno));
    for (int i = 0; i < count; i++) {
        _cleanup_(freep) char *path = text_format("%s/%s", BROKEN_DIR, entries[i]->d_name);

        if (strstr(entries[i]->d_name, ".yaml")) {
            run_file(path);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    cr_assert(files >= FILES_LEAST, "only %zu files", files);
}

Test(broken, a_file_that_is_not_there)
{
    struct config *config = NULL;
    struct config_report report;

    cr_assert(config_load("/nowhere/drover.yaml", NULL, 0, &config, &report) == -EINVAL);
    cr_assert(!config && report.errors == 1 && report.count == 1);
    cr_assert_str_eq(report.findings[0].file, "/nowhere/drover.yaml");
    cr_assert(strstr(report.findings[0].text, "No such file"));
    config_report_done(&report);
}

Test(broken, a_file_that_is_too_large)
{
    char *text = malloc(TREE_BYTES_MAX + 2);
    struct config *config = NULL;
    struct config_report report;

    cr_assert(text);
    memset(text, '#', TREE_BYTES_MAX + 1);
    text[TREE_BYTES_MAX + 1] = '\0';
    cr_assert(config_load_text("big.yaml", text, TREE_BYTES_MAX + 1, NULL, 0, &config, &report) ==
              -EINVAL);
    cr_assert(report.count == 1 && strstr(report.findings[0].text, "larger than 1MiB"));
    config_report_done(&report);
    free(text);
}

Test(broken, more_findings_than_anybody_reads)
{
    struct buf text = BUF_INIT(TREE_BYTES_MAX);
    struct config *config = NULL;
    struct config_report report;

    for (unsigned int i = 0; i < 1000; i++)
        (void)buf_printf(&text, "key%u: 1\n", i);
    cr_assert(!text.failed);
    cr_assert(config_load_text("many.yaml", buf_text(&text), text.len, NULL, 0, &config, &report) ==
              -EINVAL);
    cr_assert_eq(report.count, FINDINGS_MAX);
    cr_assert(strstr(report.findings[report.count - 1].text, "findings more"));
    config_report_done(&report);
    buf_done(&text);
}
