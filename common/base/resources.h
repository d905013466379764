/* resources.h - the resource limits that a handler can be given: how the configuration calls them,
 * and the kernel's number. One table for the configuration's keys, the master's checks and
 * drover-exec. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum resource {
    RESOURCE_OPEN_FILES,
    RESOURCE_PROCESSES,
    RESOURCE_FILE_SIZE,
    RESOURCE_CORE,
    RESOURCE_MEMORY,
    RESOURCE_CPU,
    RESOURCE_STACK,
    RESOURCE_LOCKED_MEMORY,
    RESOURCE_COUNT
};

/* Values of a limit that are no numbers. All others are bytes, seconds or a count. */
#define RESOURCE_UNLIMITED UINT64_MAX
#define RESOURCE_INHERIT   (UINT64_MAX - 1) /* as droverd's own */

/* "open_files" … */
const char *resource_name(enum resource resource);
/* RLIMIT_NOFILE … */
int resource_number(enum resource resource);
/* The one of that name, or RESOURCE_COUNT. `name_len` bytes count. */
enum resource resource_named(const char *name, size_t name_len);
