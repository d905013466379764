/* Any bytes as JSON: what jansson reads is valid for us too (the other way round it is not: lone
 * surrogates, huge numbers), and what we quote is valid JSON that holds the same text. */
#include <jansson.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "tests/fuzz/fuzz.h"

#define LEVELS_MAX 512u

/* jansson reads deeper than we do. */
static bool is_deep(const char *bytes, size_t len)
{
    size_t opened = 0;

    for (size_t i = 0; i < len; i++)
        opened += bytes[i] == '[' || bytes[i] == '{';
    return opened > LEVELS_MAX;
}

static void check_quote(const char *bytes, size_t len)
{
    struct buf quoted = BUF_INIT(16u << 20);
    json_t *json;

    if (json_text_quote(&quoted, bytes, len) < 0)
        abort();
    assert(json_text_is_valid(quoted.data, quoted.len));
    json = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert(json_is_string(json));
    if (text_utf8_prefix(bytes, len) == len)
        assert(json_string_length(json) == len && memcmp(json_string_value(json), bytes, len) == 0);
    json_decref(json);
    buf_done(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    json_t *json = json_loadb(bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    /* jansson takes a NUL byte after the value for the end of the text. */
    if (json && !is_deep(bytes, size) && !memchr(bytes, '\0', size))
        assert(json_text_is_valid(bytes, size));
    if (!json)
        (void)json_text_is_valid(bytes, size); /* it may be valid all the same: it must survive */
    json_decref(json);
    check_quote(bytes, size);
    return 0;
}
