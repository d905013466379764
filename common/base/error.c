#include "common/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* The analyser's view in error.h is for callers. */
#undef error_set
#undef error_wrap

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list args;

    assert(code < 0);
    if (!err)
        return code;
    err->code = code;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* a cut text is still a text */
    va_end(args);
    return code;
}

/* Appends as much of `text` as fits; used <= sizeof err->text - 1. */
static size_t append(struct error *err, size_t used, const char *text)
{
    size_t len = strnlen(text, sizeof(err->text) - 1 - used);

    memcpy(err->text + used, text, len);
    err->text[used + len] = '\0';
    return used + len;
}

int error_wrap(struct error *err, const char *format, ...)
{
    char inner[ERROR_TEXT_BYTES];
    va_list args;
    size_t used;

    if (!err)
        return -EIO;
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* a cut text is still a text */
    va_end(args);
    used = append(err, strlen(err->text), ": ");
    (void)append(err, used, inner);
    return err->code;
}
