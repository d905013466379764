/* stamp.c - the noop handler of the measured worker: each start is written down, as "ID
 * MICROSECONDS" (wall clock), in the file that DROVER_BENCH_STARTS names, before anything else is
 * done for the job. The rest is noop.c itself, compiled under another name. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workers/handlers/handlers.h"

extern const struct handler_kind plain_noop;

static FILE *starts; /* of this process; opened with the first handler, closed by its end */

static int stamp_open(const struct handler_setup *setup, struct handler **out_handler,
                      struct error *err)
{
    const char *path = getenv("DROVER_BENCH_STARTS");

    if (path && !starts) {
        starts = fopen(path, "ae");
        if (!starts)
            return error_set(err, -errno, "open %s: %s", path, strerror(errno));
        (void)setvbuf(starts, NULL, _IOLBF, 0); /* a line a write; cannot fail before the first */
    }
    return plain_noop.open(setup, out_handler, err);
}

static int stamp_start(struct handler *handler, const struct handler_input *input,
                       const struct handler_events *events, void *arg, struct handler_run **out_run,
                       struct error *err)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_REALTIME, &at); /* cannot fail */
    if (starts)
        (void)fprintf(starts, "%s %" PRIu64 "\n", input->job->id.data,
                      (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000);
    return plain_noop.start(handler, input, events, arg, out_run, err);
}

static void stamp_cancel(struct handler_run *run, enum handler_cancel how,
                         enum handler_cancel_why why, uint64_t grace_ms)
{
    plain_noop.cancel(run, how, why, grace_ms);
}

static void stamp_close(struct handler *handler, void (*on_closed)(void *arg), void *arg)
{
    plain_noop.close(handler, on_closed, arg);
}

const struct handler_kind handler_noop = {
    .name = "noop",
    .kind = CONFIG_HANDLER_NOOP,
    .open = stamp_open,
    .start = stamp_start,
    .cancel = stamp_cancel,
    .close = stamp_close,
};
