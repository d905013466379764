/* exec_order.h - what drover-exec is asked to do before it executes a program: the part of its
 * argument vector between the directory and "--". All numbers, nothing of it secret, nothing in the
 * environment: a name would have to be looked up, which a static program cannot do.
 *
 *   uid=N gid=N groups=N,N,…   become that user; all three or none of them (groups= is no group)
 *   umask=0NNN                 octal
 *   nice=N                     -20 … 19
 *   RESOURCE=SOFT:HARD         a limit (common/base/resources.h names them); `unlimited` for either
 *
 * What is not named stays as it is. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/resources.h"

#define EXEC_GROUPS_MAX 1024
#define EXEC_END        "--" /* ends the orders; the program follows */

struct exec_limit {
    bool given;
    uint64_t soft, hard; /* RESOURCE_UNLIMITED, or a number */
};

struct exec_order {
    bool has_user, has_umask, has_nice;
    uid_t uid;
    gid_t gid;
    gid_t groups[EXEC_GROUPS_MAX];
    size_t groups_count;
    mode_t umask;
    int nice;
    struct exec_limit limits[RESOURCE_COUNT];
};

/* Reads orders up to EXEC_END, which must be there; returns the index of what follows it, or
 * -EINVAL. `out` is filled in either case. */
int exec_order_parse(int argc, char *const *argv, int first, struct exec_order *out);
