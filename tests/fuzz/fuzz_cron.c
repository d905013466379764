/* Any text as a cron expression: refused with a text, or its next times are later and later, on
 * whole seconds. Any bytes as a zone file: refused, or an offset of less than two days everywhere.
 */
#include <errno.h>
#include <string.h>

#include "common/cron/cron.h"
#include "common/cron/tzif.h"
#include "tests/fuzz/fuzz.h"

static void check_expression(const char *text, size_t len)
{
    static const char *const names[] = { "UTC", "Europe/Madrid", "Australia/Lord_Howe" };
    struct error err = { 0 };
    struct cron cron;

    if (cron_parse(text, len, &cron, &err) < 0) {
        assert(err.code == -EINVAL && err.text[0]);
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        const struct zone *zone = NULL;
        int64_t at_ms = 1774700000123, next_ms = 0; /* just before clocks change in Europe */

        if (zone_find(names[i], strlen(names[i]), &zone, &err) < 0)
            abort();
        for (int n = 0; n < 3 && cron_next(&cron, at_ms, zone, &next_ms, &err) >= 0; n++) {
            assert(next_ms > at_ms && next_ms % 1000 == 0);
            at_ms = next_ms;
        }
    }
}

static void check_zone(const uint8_t *data, size_t size)
{
    static const int64_t times[] = { INT64_MIN / 4, -1, 0, 1774700000, 4102444800, 253402300800 };
    struct error err = { 0 };
    struct tzif tzif;

    if (tzif_read(data, size, &tzif, &err) < 0) {
        assert(err.text[0]);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        int32_t offset_s = tzif_offset(&tzif, times[i]);

        assert(offset_s > -8 * 86400 && offset_s < 8 * 86400);
    }
    tzif_done(&tzif);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_expression((const char *)data, size);
    check_zone(data, size);
    return 0;
}
