/* rights.h - a worker gives up what it does not need, before it reads anything from outside.
 * Afterwards it is the user that the master named, has the capabilities that its own handlers take
 * and no others (none, mostly), and can gain none. A worker talks to Redis and reads what strangers
 * have written: whoever got hold of it gets no more than that.
 *
 * What it keeps it mostly cannot use itself: only CAP_KILL is effective, for handlers of other
 * users. CAP_SETUID, CAP_SETGID and CAP_SYS_RESOURCE are ambient, which gives them to the programs
 * that it executes; it executes drover-exec only, which gives them up. A worker that stays root,
 * because droverd is and no other user was named, keeps what root has. */
#pragma once

#include "workers/worker/arguments.h"

/* The process must end when it fails: it may stand in between. */
MUST_CHECK int rights_give_up(const struct worker_arguments *arguments, struct error *err);
