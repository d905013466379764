/* arguments.h - the command line of drover-worker, which only droverd writes. */
#pragma once

#include <stdbool.h>

#include "common/base/error.h"

struct worker_arguments {
    const char *queue; /* all borrowed from argv */
    const char *uuid;
    uint64_t slot;       /* which of the queue's processes, from 0 */
    uint64_t generation; /* of the configuration */
    uint64_t slots;      /* jobs at once in this process, 1 … WORKER_SLOTS_MAX */
    uint64_t board;      /* its slot of the scoreboard; WORKER_NO_BOARD when not given */
    const char *master;  /* uuid of the run of the master; NULL when not given */
    uint64_t user;       /* whom it becomes before anything else; WORKER_NO_USER: nobody else … */
    uint64_t group;      /* … and with that user's group; WORKER_NO_USER without one */
    const char *groups;  /* … and supplementary groups: "1,2,3"; NULL: none */
    uint64_t keep;       /* capabilities that stay, a bit each (common/process/privileges.h) */
    bool help, version;
};

#define WORKER_SLOTS_MAX 100000
#define WORKER_NO_BOARD  UINT64_MAX
#define WORKER_NO_USER   UINT64_MAX

extern const char worker_usage[];

/* -EINVAL names the argument. Arguments without a leading "--" are padding for the process title.
 */
MUST_CHECK int worker_arguments_parse(int argc, char *const *argv, struct worker_arguments *out,
                                      struct error *err);
