/* program.h - one program started through drover-exec, as the handler that started it holds it: its
 * process, its process group, its pipes.
 * Invariant: the id of the group is the program's pid (drover-exec sees to it before anything
 * else); when the program is reaped, what is left of the group gets SIGKILL before on_exit, so that
 * nothing of it goes on after what it was started for. libuv holds `process` and the polls until
 * on_closed: the memory stays until then, and may be used for another program afterwards. */
#pragma once

#include <sys/types.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/config/config.h"
#include "workers/handlers/program_end.h"

#define PROGRAM_SCRATCH_BYTES     65536
#define PROGRAM_READS_PER_TURN    4 /* of the scratch, so that one chatty program starves no one */
#define PROGRAM_READS_AFTER_EXIT  128 /* a writer that escaped the group could go on for ever */
#define PROGRAM_ERRORS_KEPT_BYTES 8192

struct program;

/* One pipe to or from it, our end. */
struct program_pipe {
    uv_poll_t poll;
    struct program *program;
    int fd;      /* non-blocking; -1 when closed */
    bool polled; /* `poll` is initialised and not yet closing */
    bool wanted; /* the input: on_writable when it takes bytes, too */
};

/* All are called on the loop, never inside a call of this header (one exception: program_close). */
struct program_events {
    /* There is something to read from `pipe` (output or errors): call program_read. */
    void (*on_readable)(struct program_pipe *pipe);
    /* The input takes bytes, or its other end is closed: write(2) tells. */
    void (*on_writable)(struct program_pipe *pipe);
    /* It is reaped: program->end says how; the pipes may still hold what it wrote. */
    void (*on_exit)(struct program *program);
    /* After program_close: nothing of it is on the loop any more. */
    void (*on_closed)(struct program *program);
};

struct program {
    const struct program_events *events;
    void *owner;
    uv_loop_t *loop;
    uv_process_t process;
    bool has_process; /* `process` is on the loop */
    pid_t pid;        /* 0 until it was started and after it was reaped */
    struct program_pipe input, output, errors;
    int status_fd; /* where drover-exec tells a failed step; -1 when closed */
    struct program_end end;
    unsigned int open_handles;
    bool closing;
};

/* What a handler needs once, however many programs it starts. */
struct program_tools {
    char *launcher; /* path of drover-exec; owned */
    char *scratch;  /* PROGRAM_SCRATCH_BYTES for program_read; owned */
    char **orders;  /* what drover-exec does before the program; owned */
};
/* -ENOENT names the places where drover-exec was looked for; -ENOMEM. Nothing is left on failure.
 */
MUST_CHECK int program_tools_init(struct program_tools *tools, const struct config_handler *config,
                                  struct error *err);
void program_tools_done(struct program_tools *tools);

/* What to start; all borrowed during the call. */
struct program_order {
    const struct program_tools *tools;
    char *const *argv;
    char *directory; /* NULL: "/" */
    char **environment;
};

void program_init(struct program *program, uv_loop_t *loop, const struct program_events *events,
                  void *owner);

/* Starts it: output and errors are read from now on, the input is not watched yet. A failure stands
 * in program->end as well; program_close follows in any case. Blocks for a millisecond or two:
 * start a few per turn of the loop. */
MUST_CHECK int program_start(struct program *program, const struct program_order *order);

/* Calls on_writable whenever the input takes bytes (`wanted`), in any case when its other end is
 * closed. */
void program_watch_input(struct program *program, bool wanted);
void program_close_input(struct program *program);

/* Reads at most `rounds` times PROGRAM_SCRATCH_BYTES into `scratch` and hands each piece on; the
 * pipe is closed at its end (then fd is -1). on_bytes may close the pipe. */
void program_read(struct program_pipe *pipe, char *scratch, int rounds,
                  void (*on_bytes)(struct program_pipe *pipe, const char *bytes, size_t len));

/* To its whole group; nothing happens when it is not alive. */
void program_signal(const struct program *program, int number);

/* Keeps the end of what is appended, PROGRAM_ERRORS_KEPT_BYTES of it; `kept` was initialised with
 * twice that as its maximum. */
void program_keep_errors(struct buf *kept, const char *bytes, size_t len);

/* Closes the pipes and stops watching the process, also one that was never started or still lives.
 * on_closed comes later; at once when nothing of it was on the loop (no pipe could be made). */
void program_close(struct program *program);
