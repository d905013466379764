/* The n-th allocation fails, for n = 1, 2, 3, …: -ENOMEM and nothing else goes wrong, until one run
 * gets through. The linker wraps the allocations of drover's own code (meson.build). */
#include <errno.h>

#include "common/config/diff.h"
#include "tests/unit/config/support.h"

static size_t allocations;
static size_t failing; /* 0: none */

static bool fails(void)
{
    return ++allocations == failing;
}

#define WRAP(result, name, parameters, arguments)        \
    result __real_##name parameters;                     \
    result __wrap_##name parameters;                     \
    result __wrap_##name parameters                      \
    {                                                    \
        return fails() ? NULL : __real_##name arguments; \
    }

/* The names are the linker's (--wrap). */
WRAP(void *, malloc, (size_t size), (size))                                            // NOLINT
WRAP(void *, calloc, (size_t count, size_t size), (count, size))                       // NOLINT
WRAP(void *, realloc, (void *old, size_t size), (old, size))                           // NOLINT
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size)) // NOLINT
WRAP(char *, strdup, (const char *text), (text))                                       // NOLINT
WRAP(char *, strndup, (const char *text, size_t size), (text, size))                   // NOLINT

static const char good[] = "redis: {default: {url: \"redis://bob@h/1\", password: env:HOME},\n"
                           "        b: {url: \"unix:///r.sock?db=1\", prefix: p}}\n"
                           "tiers: {ephemeral: {redis: b}}\n"
                           "defaults: {attempts: 3, backoff: {type: fixed, delay: 1s}}\n"
                           "queues:\n"
                           " q:\n"
                           "  keep: {completed: 5}\n"
                           "  handler: {exec: [/bin/cat, -], env: {A: b}}\n"
                           "  types: {t: {handler: noop}}\n";
static const char bad[] =
    "log: {level: loud, colour: 1}\nqueues: {q: {lock: 3, tier: important}}\n";

/* Loads with the n-th allocation failing; true when none did. */
static bool load_failing(const char *text, size_t n, int wanted)
{
    struct config_override override = { "queues.\"q\".concurrency", "3" };
    struct config *config = NULL;
    struct config_report report;
    bool through;
    int result;

    allocations = 0;
    failing = n;
    result = config_load_text("m.yaml", text, strlen(text), &override, 1, &config, &report);
    failing = 0;
    through = allocations < n;
    cr_assert((result == 0) == (config != NULL), "allocation %zu", n);
    /* Some texts for people are not needed for a right answer. */
    cr_assert(result == wanted || (!through && result == -ENOMEM), "allocation %zu: %d", n, result);
    config_report_done(&report);
    config_free(config);
    return through;
}

Test(memory, loading_survives_each_failing_allocation)
{
    size_t n = 1;

    while (!load_failing(good, n, 0))
        cr_assert(++n < 100000);
    cr_assert(n > 100, "only %zu allocations: nothing was wrapped", n);
    for (n = 1; !load_failing(bad, n, -EINVAL); n++)
        cr_assert(n < 100000);
    cr_assert(n > 50);
}

Test(memory, the_json_form_survives_each_failing_allocation)
{
    struct config *config = load_good(good);
    struct buf json = BUF_INIT(65536);
    size_t n = 1;

    cr_assert(config_print_json(config, CONFIG_SECRETS_KEPT, &json, NULL) == 0);
    for (;; n++) {
        struct config *copy = NULL;
        struct error err = { 0 };
        int result;

        cr_assert(n < 100000);
        allocations = 0;
        failing = n;
        result = config_from_json(buf_text(&json), json.len, &copy, &err);
        failing = 0;
        cr_assert((result == 0) == (copy != NULL));
        cr_assert(result == 0 || result == -ENOMEM, "allocation %zu: %d %s", n, result, err.text);
        config_free(copy);
        if (allocations < n)
            break;
        cr_assert(result == -ENOMEM, "allocation %zu", n);
    }
    cr_assert(n > 20, "only %zu allocations", n);
    buf_done(&json);
    config_free(config);
}

Test(memory, comparing_survives_each_failing_allocation)
{
    struct config *from = load_good(good);
    struct config *to = load_good("redis: {default: {url: \"redis://h/2\"}}\n"
                                  "log: {level: debug, format: json}\n"
                                  "queues:\n"
                                  " new: {handler: noop}\n"
                                  " q:\n"
                                  "  concurrency: 2\n"
                                  "  handler: {exec: [/bin/cat], env: {A: c, B: d}}\n"
                                  "  types: {u: {}}\n");
    size_t n = 1;

    for (;; n++) {
        struct config_diff diff = { 0 };
        struct error err = { 0 };
        int result;

        cr_assert(n < 100000);
        allocations = 0;
        failing = n;
        result = config_diff_new(from, to, &diff, &err);
        failing = 0;
        cr_assert(result == 0 || result == -ENOMEM, "allocation %zu: %d %s", n, result, err.text);
        cr_assert((result == 0) == (diff.queues != NULL));
        config_diff_done(&diff);
        if (allocations < n)
            break;
        cr_assert(result == -ENOMEM, "allocation %zu", n);
    }
    cr_assert(n > 20, "only %zu allocations", n);
    config_free(from);
    config_free(to);
}
