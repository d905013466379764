/* attr.h - compiler attributes and scope-bound clean-up used everywhere.
 * Invariant: a pointer or descriptor has one owner; TAKE_PTR/TAKE_FD hand it over and leave
 * "nothing". */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define _cleanup_(function)             __attribute__((cleanup(function)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Evaluates to `pointer` and leaves NULL in it: the owner changes. */
#define TAKE_PTR(pointer)                        \
    ({                                           \
        __typeof__(pointer) *take_ = &(pointer); \
        __typeof__(pointer) was_ = *take_;       \
        *take_ = NULL;                           \
        was_;                                    \
    })

/* Evaluates to `fd` and leaves -1 in it: the owner changes. */
#define TAKE_FD(fd)         \
    ({                      \
        int *take_ = &(fd); \
        int was_ = *take_;  \
        *take_ = -1;        \
        was_;               \
    })

/* Clean-up functions for _cleanup_: each accepts "nothing" (NULL, -1). */
static inline void freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file); /* read-only or already flushed by the owner: nothing to report */
}

static inline void closep(int *fd) // NOLINT(readability-non-const-parameter): _cleanup_ gives int *
{
    if (*fd >= 0)
        (void)close(*fd); /* the number is gone either way */
}
