/* status_line.h - the one line that `systemctl status` shows:
 *
 *   3 queues, 12/40 busy, 431 waiting, oldest 12s, generation 4
 *
 * then, behind semicolons, what is going on and what is wrong. Numbers of workers come from the
 * scoreboard, so they are what each has said last (of waiting jobs at most 2 s ago). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct supervisor;

/* `stop_left_ms`: while the service ends, until the drain's end; UINT64_MAX: it has none. */
void status_line_write(const struct supervisor *supervisor, uint64_t stop_left_ms, char *out,
                       size_t room);
