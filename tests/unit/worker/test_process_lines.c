/* Bytes into lines, however they arrive. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "common/base/attr.h"
#include "workers/handlers/process_lines.h"

TestSuite(process_lines, .timeout = 20);

static char seen[1024];

static void on_line(const char *line, size_t len, bool whole, void *arg)
{
    size_t used = strlen(seen);

    cr_assert(arg == seen);
    (void)snprintf(seen + used, sizeof(seen) - used, "[%.*s%s]", (int)len, line, whole ? "" : "~");
}

static const struct {
    const char *name, *bytes, *lines; /* ~: not whole */
} rows[] = {
    { "nothing", "", "" },
    { "one", "abc\n", "[abc]" },
    { "two", "a\nbc\n", "[a][bc]" },
    { "empty ones", "\n\na\n", "[][][a]" },
    { "without an end", "a\nb", "[a][b]" },
    { "as long as may be", "12345678\nx\n", "[12345678][x]" },
    { "longer", "123456789\nx\n", "[12345678~][x]" },
    { "much longer", "123456789012345678901234567890\nx\ny", "[12345678~][x][y]" },
    { "longer and without an end", "1234567890", "[12345678~]" },
    { "two long ones", "1234567890\n1234567890\n", "[12345678~][12345678~]" },
};

static void cut(const char *bytes, size_t piece)
{
    struct lines lines;
    size_t len = strlen(bytes);

    seen[0] = '\0';
    lines_init(&lines, 8, on_line, seen);
    for (size_t at = 0; at < len; at += piece) {
        /* A copy of exactly that length: a sanitizer sees what is read beyond it. */
        size_t part = len - at < piece ? len - at : piece;
        char *copy = malloc(part);

        memcpy(copy, bytes + at, part);
        lines_take(&lines, copy, part);
        free(copy);
    }
    lines_end(&lines);
    lines_done(&lines);
}

Test(process_lines, in_pieces_of_every_length)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t piece = 1; piece <= 40; piece++) {
            cut(rows[i].bytes, piece);
            cr_assert(eq(str, seen, (char *)(uintptr_t)rows[i].lines), "%s, pieces of %zu",
                      rows[i].name, piece);
        }
    }
}
