/* exec_outcome.h - what the end of a handler program means for its job.
 * Pure: no process, no descriptor; the exec handler fills in what it saw. */
#pragma once

#include "common/base/buf.h"
#include "workers/exec/exec_status.h"
#include "workers/handlers/handler.h"

#define EXEC_REASON_BYTES 4096 /* most of stderr that becomes a reason */

/* What was seen. Texts and buffers are borrowed. */
struct exec_end {
    const char *program; /* argv[0] */
    const char *directory;
    bool cancelled;            /* it was asked to end */
    bool too_much;             /* stdout exceeded the limit */
    uint64_t max_output_bytes; /* the limit */
    int start_error;           /* negative errno when drover-exec did not even start; else 0 */
    struct exec_status status; /* step 0: the program was executed */
    int exit_code;
    int signal; /* 0 when it exited by itself */
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
