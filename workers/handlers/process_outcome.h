/* process_outcome.h - what an answer of a long-lived program, or its death, means for a job.
 * Pure: the process handler fills in what it saw. */
#pragma once

#include "workers/handlers/process_wire.h"
#include "workers/handlers/program_end.h"

/* The outcome and the memory that it points into. */
struct process_verdict {
    struct handler_outcome outcome;
    struct buf reason, stack;
};

/* `message` is WIRE_RESULT or WIRE_ERROR of a program that speaks `protocol`; the outcome may point
 * into it. `cancelled`: the engine
 * had asked for the job's end. `silent_ms`: it had been asked to end because it did not report for
 * so long; else 0. */
void process_judge_answer(const struct wire_message *message, unsigned int protocol, bool cancelled,
                          uint64_t silent_ms, struct process_verdict *verdict);

/* Its answer was longer than the limit. */
void process_judge_too_long(uint64_t max_output_bytes, struct process_verdict *verdict);

/* How a program ended that had `jobs_count` (>= 1) jobs in it. Borrowed. */
struct process_death {
    const struct program_end *end;
    const char *cause;        /* why drover ended it; NULL or "" when it did not */
    const struct buf *errors; /* the end of its stderr */
    size_t jobs_count;
    bool killed_for_one; /* ended because of one of the jobs; the others are innocent */
};

void process_judge_death(const struct process_death *death, bool cancelled, uint64_t silent_ms,
                         struct process_verdict *verdict);

/* The name of a death: "exit code 3", "silent at the handshake for 30s". Appends. */
void process_print_death(struct buf *out, const struct program_end *end, const char *cause);

/* `verdict` is initialised by the calls above; on no memory it is a retryable failure. */
void process_verdict_done(struct process_verdict *verdict);
