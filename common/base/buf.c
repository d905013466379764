#include "common/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define BUF_FIRST_BYTES 64

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = BUF_INIT(max_bytes);
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

int buf_reserve(struct buf *buf, size_t more)
{
    size_t need, cap;
    char *data;

    if (more > buf->max || buf->len > buf->max - more) {
        buf->failed = true;
        return -ENOBUFS;
    }
    need = buf->len + more;
    if (buf->data && need <= buf->cap)
        return 0;
    cap = buf->cap ? buf->cap : BUF_FIRST_BYTES;
    while (cap < need)
        cap = cap > buf->max / 2 ? buf->max : cap * 2;
    if (cap > buf->max)
        cap = buf->max;
    data = realloc(buf->data, cap + 1); /* one more for the NUL */
    if (!data) {
        buf->failed = true;
        return -ENOMEM;
    }
    buf->data = data;
    buf->cap = cap;
    buf->data[buf->len] = '\0';
    return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t bytes_len)
{
    int result = buf_reserve(buf, bytes_len);

    if (result < 0)
        return result;
    if (bytes_len)
        memcpy(buf->data + buf->len, bytes, bytes_len);
    buf->len += bytes_len;
    buf->data[buf->len] = '\0';
    return 0;
}

int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int len, result;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
        return -EINVAL;
    }
    result = buf_reserve(buf, (size_t)len);
    if (result < 0)
        return result;
    va_start(args, format);
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args); /* length is known */
    va_end(args);
    buf->len += (size_t)len;
    return 0;
}

void buf_consume(struct buf *buf, size_t count)
{
    assert(count <= buf->len);
    if (!count)
        return;
    buf->len -= count;
    memmove(buf->data, buf->data + count, buf->len);
    buf->data[buf->len] = '\0';
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf)
{
    char *data = buf->data ? buf->data : calloc(1, 1);

    buf->data = NULL;
    buf->len = buf->cap = 0;
    buf->failed = false;
    return data;
}
