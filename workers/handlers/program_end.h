/* program_end.h - how a handler's program ended, and the words for it: reasons of failed jobs,
 * logs. Pure: no process, no descriptor. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/config/config.h"
#include "workers/exec/exec_status.h"

#define PROGRAM_WORDS_BYTES 4096 /* most of stderr that becomes part of a reason */

struct program_end {
    int start_error;           /* negative errno when drover-exec did not even start; else 0 */
    struct exec_status status; /* step 0: the program was executed */
    int exit_code;
    int signal; /* 0 when it exited by itself */
};

/* False when the program itself was never executed. */
bool program_end_was_started(const struct program_end *end);

/* Each appends; what does not fit stays in out->failed. */

/* "exit code 75 (EX_TEMPFAIL)" or "killed by signal 9 (SIGKILL)"; for one that was started. */
void program_end_print(struct buf *out, const struct program_end *end);
/* "cannot start /bin/x: execute it: No such file or directory"; for one that was not. `config` is
 * the handler's whose program it is. */
void program_end_print_unstarted(struct buf *out, const struct program_end *end,
                                 const struct config_handler *config);

/* Any bytes as text: valid UTF-8, no NUL. */
void program_print_text(struct buf *out, const char *bytes, size_t len);
/* The last words of a program: the end of its stderr without blanks around it, at most
 * PROGRAM_WORDS_BYTES, cut at a line when there is one. */
void program_print_words(struct buf *out, const struct buf *errors);
