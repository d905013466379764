/* buf.h - bytes that grow up to a stated maximum.
 * Invariant: len <= cap <= max; data[len] is a NUL whenever data is not NULL (it does not count in
 * len). A failed append changes nothing and is remembered in `failed`, so a chain of appends is
 * checked once. */
#pragma once

#include <stdbool.h>

#include "common/base/attr.h"

struct buf {
    char *data;  /* owned; NULL while empty */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes usable before the next growth */
    size_t max;  /* bytes it may ever hold; from buf_init */
    bool failed; /* an append did not fit or memory ran out */
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

void buf_init(struct buf *buf, size_t max_bytes);
void buf_done(struct buf *buf);
/* Empties it, keeps the memory, clears `failed`. */
void buf_reset(struct buf *buf);

/* Each returns 0, or -ENOMEM / -ENOBUFS (over max) with nothing appended and `failed` set. */
int buf_append(struct buf *buf, const void *bytes, size_t bytes_len);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_char(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Makes room for `more` bytes after len. */
int buf_reserve(struct buf *buf, size_t more);
/* Drops the first `count` (<= len) bytes. */
void buf_consume(struct buf *buf, size_t count);
/* Text of the buffer, "" when empty; valid until the next change. */
const char *buf_text(const struct buf *buf);
/* Hands the bytes over (malloc'ed, NUL-terminated, "" when empty) and leaves it empty; NULL on no
 * memory. */
char *buf_take(struct buf *buf);
