/* process_talk.h - the conversation with one long-lived program: what is written to it, what it
 * writes. Invariants: a line is built only when its turn to be written has come, so that a program
 * which does not read costs a bounded amount of memory; whatever it writes is either a message of
 * the protocol, and acted on, or dropped and counted. */
#pragma once

#include "workers/handlers/process_child_state.h"

/* For a program that is about to be started; talk_end when it is gone. */
void talk_begin(struct child *child);
void talk_end(struct child *child);

/* Where lines are appended. */
struct buf *talk_out(struct child *child);
/* A line was appended to it (or did not fit, and does not matter): it leaves with the next
 * step. */
void talk_built(struct child *child);
/* Bytes built and not yet written. */
size_t talk_behind(const struct child *child);
/* Writes what the pipe takes; goes on by itself when it takes more. */
void talk_flush(struct child *child);

/* Events of the program's pipes. */
void talk_on_writable(struct program_pipe *pipe);
void talk_on_readable(struct program_pipe *pipe);
/* The program is reaped: all that it still said. */
void talk_read_to_end(struct child *child);
