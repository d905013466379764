/* Any bytes as a job's stored opts: refused with a text, or options within their ranges. */
#include <math.h>

#include "common/queue/job.h"
#include "tests/fuzz/fuzz.h"

static void check_keep(const struct job_keep *keep)
{
    assert(keep->count >= -1);
    assert(isfinite(keep->age_s) && keep->age_s >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_options options = { 0 };
    struct error err = { 0 };

    if (job_options_parse((const char *)data, size, &options, &err) < 0) {
        assert(err.code < 0 && err.text[0]);
        return 0;
    }
    assert(options.backoff.jitter >= 0 && options.backoff.jitter <= 1);
    assert(options.backoff.delay_ms <= 1ULL << 53);
    assert(options.stack_trace_limit >= -1 && options.keep_logs >= -1);
    check_keep(&options.keep_completed);
    check_keep(&options.keep_failed);
    for (uint64_t attempt = 1; attempt < 1u << 20; attempt *= 2)
        (void)job_backoff_ms(&options.backoff, attempt, 0.5, 0);
    return 0;
}
