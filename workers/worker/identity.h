/* identity.h - who this process is to others: its name in BullMQ's fields, and its row of the
 * registry. */
#pragma once

#include "common/process/process_table.h"
#include "common/queue/queue.h"
#include "workers/worker/arguments.h"

struct identity {
    char *name; /* "<hostname>-<queue>-<slot>"; CLIENT SETNAME takes it */
    struct process_host host;
    struct worker_identity row; /* its texts point into `host` and the arguments */
};

/* Fills it in place; it must not be moved afterwards. `arguments` is borrowed. */
MUST_CHECK int identity_init(struct identity *identity, const struct worker_arguments *arguments,
                             struct error *err);
void identity_done(struct identity *identity);
