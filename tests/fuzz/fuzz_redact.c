/* Any text, redacted: never read beyond its end, never longer than marks make it, the same again
 * when redacted again; and a secret planted into it in the usual ways does not come through. */
#include <string.h>

#include "common/base/redact.h"
#include "tests/fuzz/fuzz.h"

#define PATTERN_BYTES_MAX 32

/* The text as it may be shown; to be freed. */
static char *redacted(const struct redact_patterns *patterns, const char *text, size_t len,
                      size_t *out_len)
{
    /* A pattern sees the marks that the rules have made, each byte of which it may match. */
    struct buf out = BUF_INIT((len + 1) * 16 * 16);
    char *shown = NULL;

    switch (redact_text(patterns, text, len, &out)) {
    case REDACT_SAME:
        assert(out.len == 0);
        shown = malloc(len + 1);
        assert(shown);
        memcpy(shown, text, len);
        shown[len] = '\0';
        *out_len = len;
        return shown;
    case REDACT_CHANGED:
        *out_len = out.len;
        return buf_take(&out);
    case REDACT_FAILED:
    default:
        abort(); /* there is room for marks upon marks */
    }
}

/* Once and again: a mark may be anywhere in what is read. */
static void check_twice(const char *text, size_t len)
{
    size_t once_len, twice_len;
    char *once = redacted(NULL, text, len, &once_len);

    free(redacted(NULL, once, once_len, &twice_len));
    free(once);
}

/* On a line of its own, because what stands before may be its quotes. */
static void check_planted(const char *text, size_t len)
{
    static const char planted[] = "\n\"password\": \"hunter2\" redis://u:hunter2@h token=hunter2";
    size_t all_len = len + sizeof planted - 1, shown_len;
    char *all = malloc(all_len), *shown;

    assert(all);
    if (len > 0)
        memcpy(all, text, len);
    memcpy(all + len, planted, sizeof planted - 1);
    shown = redacted(NULL, all, all_len, &shown_len);
    assert(memmem(text, len, "hunter2", 7) || !memmem(shown, shown_len, "hunter2", 7));
    free(shown);
    free(all);
}

/* The first line is a pattern, the rest the text. */
static void check_pattern(const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size < PATTERN_BYTES_MAX ? size : PATTERN_BYTES_MAX);
    struct redact_patterns *patterns = NULL;
    char *list[2] = { NULL, NULL }, *text;
    size_t text_len, shown_len;

    if (!end)
        return;
    list[0] = strndup(bytes, (size_t)(end - bytes));
    text_len = size - (size_t)(end + 1 - bytes);
    text = calloc(1, text_len + 1);
    assert(list[0] && text);
    memcpy(text, end + 1, text_len);
    if (redact_patterns_new(list, &patterns, NULL) == 0) {
        free(redacted(patterns, text, text_len, &shown_len));
        redact_patterns_free(patterns);
    }
    free(text);
    free(list[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* exactly, so that a byte too much is found */
    bool inside = false;

    if (!text)
        return 0;
    memcpy(text, data, size);
    check_twice(text, size);
    check_planted(text, size);
    check_pattern(text, size);
    (void)redact_line_of_key(text, size, &inside);
    free(text);
    return 0;
}
