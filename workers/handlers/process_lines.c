#include "workers/handlers/process_lines.h"

#include <string.h>

#define KEPT_WHILE_IDLE_BYTES 65536 /* the memory of a longer line is given back */

void lines_init(struct lines *lines, size_t max_bytes, lines_cb *on_line, void *arg)
{
    *lines = (struct lines){ .kept = BUF_INIT(max_bytes), .on_line = on_line, .arg = arg };
}

void lines_done(struct lines *lines)
{
    buf_done(&lines->kept);
}

static void forget_kept(struct lines *lines)
{
    if (lines->kept.cap > KEPT_WHILE_IDLE_BYTES)
        buf_done(&lines->kept);
    buf_reset(&lines->kept);
}

/* Keeps a part of a line; without room, or memory, the line is too long. */
static void keep(struct lines *lines, const char *bytes, size_t len)
{
    size_t room = lines->kept.max - lines->kept.len;

    if (len <= room && buf_append(&lines->kept, bytes, len) == 0)
        return;
    if (len > room)
        (void)buf_append(&lines->kept, bytes, room); /* a shorter beginning is one as well */
    lines->skipping = true;
    lines->on_line(buf_text(&lines->kept), lines->kept.len, /* whole= */ false, lines->arg);
    forget_kept(lines);
}

static void end_line(struct lines *lines)
{
    if (!lines->skipping)
        lines->on_line(buf_text(&lines->kept), lines->kept.len, /* whole= */ true, lines->arg);
    lines->skipping = false;
    forget_kept(lines);
}

void lines_take(struct lines *lines, const char *bytes, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(bytes, '\n', len);
        size_t part = newline ? (size_t)(newline - bytes) : len;

        if (newline && !lines->skipping && lines->kept.len == 0 && part <= lines->kept.max) {
            lines->on_line(bytes, part, /* whole= */ true, lines->arg);
        } else {
            if (!lines->skipping)
                keep(lines, bytes, part);
            if (newline)
                end_line(lines);
        }
        part += newline ? 1 : 0;
        bytes += part;
        len -= part;
    }
}

void lines_end(struct lines *lines)
{
    if (lines->kept.len > 0)
        end_line(lines);
    lines->skipping = false;
}
