/* Any bytes as drover.yaml: refused with findings, or a configuration that prints, goes through
 * JSON and comes back the same, also to config_diff. Lines "#set KEY=VALUE" at the end are
 * overrides. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/diff.h"
#include "common/config/load.h"
#include "tests/fuzz/fuzz.h"

#define OVERRIDES_MAX 4

struct input {
    char *text;
    struct config_override overrides[OVERRIDES_MAX];
    size_t count;
};

/* Cuts the "#set" lines off the text; their keys and values point into it. */
static void split(struct input *input)
{
    char *line = strstr(input->text, "\n#set ");

    while (line && input->count < OVERRIDES_MAX) {
        char *key = line + strlen("\n#set "), *equal;
        char *next = strstr(key, "\n#set ");

        *line = '\0';
        if (next)
            *next = '\0';
        equal = strchr(key, '=');
        if (equal) {
            *equal = '\0';
            input->overrides[input->count++] = (struct config_override){ key, equal + 1 };
        }
        line = next;
    }
}

static void check_report(const struct config_report *report, int result)
{
    size_t errors = 0;

    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];

        assert(finding->file && finding->key && finding->text && *finding->text);
        assert(text_utf8_prefix(finding->text, strlen(finding->text)) == strlen(finding->text));
        errors += !finding->warning;
    }
    assert(errors == report->errors);
    assert(result == (errors ? -EINVAL : 0));
}

/* A reload with nothing changed touches nothing. */
static void check_same(const struct config *config, const struct config *copy)
{
    struct config_diff diff;
    struct error err = { 0 };

    if (config_diff_new(config, copy, &diff, &err) < 0)
        abort();
    for (size_t i = 0; i < diff.queues_count; i++)
        assert(diff.queues[i].kind == CONFIG_DIFF_SAME && !*diff.queues[i].changes);
    assert(diff.queues_count == config->queues_count && !*diff.top && !*diff.restart);
    config_diff_done(&diff);
}

static void check_config(const struct config *config)
{
    struct buf first = BUF_INIT(64u << 20), second = BUF_INIT(64u << 20);
    struct config *copy = NULL;
    struct error err = { 0 };

    if (config_print_json(config, CONFIG_SECRETS_KEPT, &first, &err) < 0 ||
        config_from_json(buf_text(&first), first.len, &copy, &err) < 0 ||
        config_print_json(copy, CONFIG_SECRETS_KEPT, &second, &err) < 0)
        abort();
    assert(strcmp(buf_text(&first), buf_text(&second)) == 0);
    check_same(config, copy);
    buf_reset(&first);
    if (config_print_effective(config, &first, &err) < 0 ||
        config_print_effective_json(config, &first, &err) < 0)
        abort();
    config_free(copy);
    buf_done(&first);
    buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .text = malloc(size + 1) };
    struct config *config = NULL;
    struct config_report report;
    size_t len;
    int result;

    if (!input.text)
        return 0;
    memcpy(input.text, data, size);
    input.text[size] = '\0';
    split(&input);
    len = input.count ? strlen(input.text) : size;
    result = config_load_text("fuzz.yaml", input.text, len, input.overrides, input.count, &config,
                              &report);
    check_report(&report, result);
    assert((result == 0) == (config != NULL));
    if (config)
        check_config(config);
    config_free(config);
    config_report_done(&report);
    free(input.text);
    return 0;
}
