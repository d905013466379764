/* error.h - the one way in which a failure is told.
 * A function that can fail returns 0 or more on success and a negative errno on failure, and takes
 * `struct error *err` last. Who detects says what and with which value (error_set); who wraps says
 * what it was trying to do (error_wrap). `err` may be NULL when the caller does not want the text.
 */
#pragma once

#include "common/base/attr.h"

#define ERROR_TEXT_BYTES 1024

struct error {
    int code;                    /* negative errno; 0 when nothing failed */
    char text[ERROR_TEXT_BYTES]; /* UTF-8, NUL-terminated, cut when longer; no trailing newline */
};

/* Fills `err` (when not NULL) and returns `code`, which must be negative. */
int error_set(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "<context>: " in front of the text and returns the code already there. `err` may be NULL:
 * returns -EIO. */
int error_wrap(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

#ifdef __clang_analyzer__
/* clang-tidy cannot look into error.c; without this it would follow paths on which a failure is
 * reported and yet 0 returned. */
#define error_set(...)  ERROR_IS_NEGATIVE((error_set)(__VA_ARGS__))
#define error_wrap(...) ERROR_IS_NEGATIVE((error_wrap)(__VA_ARGS__))
#define ERROR_IS_NEGATIVE(call)            \
    ({                                     \
        int error_code_ = (call);          \
        __builtin_assume(error_code_ < 0); \
        error_code_;                       \
    })
#endif
