/* fd.h - descriptors: whole files, sealed memory, close-on-exec. */
#pragma once

#include "common/base/buf.h"
#include "common/base/error.h"

/* Reads all of `path` or of `fd` (from its current offset) into `out` (initialised; its max bounds
 * the file). */
MUST_CHECK int fd_read_file(const char *path, struct buf *out, struct error *err);
MUST_CHECK int fd_read_all(int fd, struct buf *out, struct error *err);

/* Writes all bytes, going on after EINTR and short writes; the fd must be blocking. */
MUST_CHECK int fd_write_all(int fd, const void *bytes, size_t len, struct error *err);

/* New memfd with these bytes, sealed against every change, close-on-exec, offset 0. Returns the fd
 * (caller closes). */
MUST_CHECK int fd_sealed_memory(const char *name, const void *bytes, size_t len, struct error *err);

/* Reads a memfd from offset 0, without moving it; refuses one that is not sealed against writing
 * and shrinking. */
MUST_CHECK int fd_read_sealed(int fd, struct buf *out, struct error *err);

/* Marks every descriptor >= `from` close-on-exec. */
void fd_cloexec_from(int from);
MUST_CHECK int fd_set_cloexec(int fd, struct error *err);
