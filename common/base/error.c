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

int error_wrap(struct error *err, const char *format, ...)
{
    char inner[ERROR_TEXT_BYTES];
    va_list args;
    int used;

    if (!err)
        return -EIO;
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        (void)snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", inner);
    return err->code;
}
