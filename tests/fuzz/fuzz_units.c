/* Any text as a duration, a size, a whole number: refused with a text, or printed and read back the
 * same. */
#include <string.h>

#include "common/base/text.h"
#include "common/base/units.h"
#include "tests/fuzz/fuzz.h"

typedef int parse_fn(const char *text, uint64_t *out, struct error *err);
typedef const char *print_fn(uint64_t value, char out[UNITS_TEXT_BYTES]);

static void check(const char *text, parse_fn *parse, print_fn *print)
{
    char printed[UNITS_TEXT_BYTES];
    uint64_t value = 77, again = 0;
    struct error err = { 0 };

    if (parse(text, &value, &err) < 0) {
        assert(value == 77 && err.code < 0 && err.text[0]);
        return;
    }
    assert(value <= 1ULL << 53);
    assert(strlen(print(value, printed)) < UNITS_TEXT_BYTES);
    if (parse(printed, &again, &err) < 0)
        abort();
    assert(again == value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    uint64_t number = 0;

    if (!text)
        return 0;
    check(text, units_parse_duration, units_print_duration);
    check(text, units_parse_size, units_print_size);
    if (text_parse_uint(text, strlen(text), &number) == 0) {
        char printed[32];

        (void)snprintf(printed, sizeof printed, "%llu", (unsigned long long)number);
        assert(strcmp(printed, text) == 0);
    }
    free(text);
    return 0;
}
