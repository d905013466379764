/* sysexits.h - what a handler program's exit code means, by the names of sysexits(3).
 * One table: the exec handler, the documentation and the tests read it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sysexit {
    int code;
    const char *name; /* "EX_TEMPFAIL" */
    bool permanent;   /* trying again cannot help */
    const char *meaning;
};

extern const struct sysexit sysexits[];
extern const size_t sysexits_count;

/* The row of `code`; NULL for a code that has no name: such failures are tried again. */
const struct sysexit *sysexit_find(int code);
