/* exec_outcome.h - what the end of a handler program means for its job.
 * Pure: no process, no descriptor; the exec handler fills in what it saw. */
#pragma once

#include "common/base/buf.h"
#include "workers/handlers/handler.h"
#include "workers/handlers/program_end.h"

/* What was seen. Texts and buffers are borrowed. */
struct exec_end {
    struct program_end program;
    const struct config_handler *config; /* what was to be started, and how */
    bool cancelled;                      /* it was asked to end */
    bool too_much;                       /* stdout exceeded the limit */
    uint64_t max_output_bytes;           /* the limit */
    const struct buf *output;
    const struct buf *errors; /* the end of stderr */
};

/* The outcome and the memory that it points into. */
struct exec_verdict {
    struct handler_outcome outcome;
    struct buf value, reason, stack;
};

/* `verdict` is initialised by the call; exec_verdict_done frees it. Always gives an outcome, on no
 * memory a retryable failure. */
void exec_judge(const struct exec_end *end, struct exec_verdict *verdict);
void exec_verdict_done(struct exec_verdict *verdict);
