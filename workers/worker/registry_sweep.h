/* registry_sweep.h - after the start of a new master: finds in the registry the processes of this
 * host that an earlier master left behind, sees them dead, and gives their jobs back.
 *
 * Invariant: a live process is never taken for a dead one. What proves a death, and nothing else:
 *
 *   same boot, same pid namespace   the kernel knows nobody by its pid (a namespace with our inode
 *                                   is ours, or ended with all in it). A pid that is somebody
 *                                   else's by now (another start time) also needs a beat that
 *                                   stands still, because start times may be shifted by a time
 *                                   namespace. A pid that the kernel knows but /proc hides from us
 *                                   proves nothing. Then what is left of its session is killed,
 *                                   and only when nothing of it lives, it is dead.
 *   another boot of this machine    machine and host name are ours, the last beat is older than
 *                                   this boot, and the beat stood still while we watched for
 *                                   SWEEP_STILL_MS: clones of a machine have its id and name, too.
 *
 * Rows of our own master are its business, and those of other hosts or other containers nobody's
 * here: their jobs come back when their locks end. Two masters on one host see each other's workers
 * alive, and leave them alone. */
#pragma once

#include "common/process/process_table.h"
#include "common/queue/queue.h"

#define SWEEP_STILL_MS 6000  /* three beats */
#define SWEEP_KILL_MS  60000 /* since the last beat: later its session's number may be another's */
#define SWEEP_ROWS     1024  /* looked at */
#define SWEEP_AT_ONCE  16    /* recoveries under way */
#define SWEEP_BUSY_MS  60000 /* it looks every second for so long, then every SWEEP_IDLE_MS */
#define SWEEP_IDLE_MS  30000

/* ---- the decision, pure */

/* Who looks. */
struct sweep_self {
    const struct process_host *host;
    const char *master; /* uuid of the run of our master; not empty */
    uint64_t boot_ms;   /* clock_boot_ms: since this boot */
};

/* What the kernel says of a row's pid, when that means something here. */
enum sweep_pid {
    SWEEP_PID_ALIVE,  /* that very process lives */
    SWEEP_PID_GONE,   /* nobody has that number, or a zombie */
    SWEEP_PID_OTHER,  /* somebody else has it */
    SWEEP_PID_HIDDEN, /* somebody has it, and it cannot be seen who */
};

struct sweep_seen {
    enum sweep_pid pid;
    uint64_t still_ms; /* the beat stood still for so long while we watched without a gap */
};

enum sweep_verdict {
    SWEEP_NOT_OURS, /* never our business */
    SWEEP_LEAVE,    /* of this host and of another master: may live; look again */
    SWEEP_END,      /* the process is dead: end what is left of its session, then it is recovered */
    SWEEP_RECOVER,  /* dead, with all that it had started */
};

/* Does the row's pid mean anything here? */
bool sweep_knows_pid(const struct sweep_self *self, const struct worker_entry *entry);
enum sweep_verdict sweep_decide(const struct sweep_self *self, const struct worker_entry *entry,
                                const struct sweep_seen *seen);
/* "its process is gone", "the machine was started again": for logs. */
const char *sweep_why(const struct sweep_self *self, const struct worker_entry *entry);

/* ---- the sweep */

struct registry_sweep;

struct registry_sweep_options {
    struct queue *queue;             /* of the worker; borrowed */
    const struct process_host *host; /* borrowed */
    const char *master;              /* uuid of the run of our master; borrowed */
    uint64_t max_givebacks;          /* of the queue */
};

MUST_CHECK int registry_sweep_new(const struct registry_sweep_options *options,
                                  struct registry_sweep **out_sweep, struct error *err);
/* Looks when it is time to; call it when the connection becomes ready, and once a second while it
 * is. Does nothing when the sweep is over: no row of this host is left that it could have to
 * recover. */
void registry_sweep_step(struct registry_sweep *sweep);
bool registry_sweep_is_over(const struct registry_sweep *sweep);
/* No call may be under way. NULL is allowed. */
void registry_sweep_free(struct registry_sweep *sweep);
