/* orphans.h - jobs that are in no state: their hash is there, and no list or set of the queue names
 * them, so nobody will ever run them. A resume by a stock client of version 5 makes such (wire
 * format 15.1: it renames `paused` over what version 6 has put into `wait`), and so does a lost
 * server.
 *
 * A look goes through the keys of the queue in bounded pieces. What is an orphan in two looks at
 * least a minute apart, unchanged in between, is put back: to `wait` by its priority, or where its
 * delay or its children want it. Nothing is touched that is locked or in any state. */
#pragma once

#include "common/queue/queue.h"

enum orphan_action {
    ORPHANS_REPORT, /* found and counted, and remembered for the next look */
    ORPHANS_REPAIR, /* the same, and what the last look has found too is put back */
    ORPHANS_REMOVE, /* removed at the first look, whatever their age, as stock's removeOrphanedJobs
                     */
};

struct orphans_result {
    uint64_t looked;         /* job hashes looked at */
    uint64_t found;          /* orphans now; those put back or removed included */
    uint64_t settled;        /* of these, seen unchanged by a look at least ORPHAN_AGE_MS before */
    uint64_t changed;        /* put back, or removed */
    const struct bytes *ids; /* the first ORPHAN_IDS_MAX of those settled, or removed; borrowed */
    size_t ids_count;
    bool complete; /* the look has reached its end */
    bool skipped;  /* complete, because somebody else looks, or has just looked (`token`) */
};
#define ORPHAN_IDS_MAX 20
#define ORPHAN_AGE_MS  60000

struct orphans_spec {
    enum orphan_action action;
    /* Of this look alone: one look at a time goes on among those with a token, and then none for
     * ORPHAN_AGE_MS, or ten times as long as it took. NULL: it waits for nobody, nobody for it. */
    const char *token;
};

/* One look, piece by piece, so that the caller says how fast it goes. Each piece is a call of about
 * a ms of Redis. The lists of the queue are noted first, in a filter of 2 bytes a job and 4
 * MiB at most, then all keys of the server are gone through. */
struct orphan_look;
MUST_CHECK int orphan_look_new(struct queue *queue, const struct orphans_spec *spec,
                               struct orphan_look **out_look, struct error *err);
void orphan_look_free(struct orphan_look *look); /* no piece may be under way */

/* `result` is of all pieces so far. After an outcome other than REDIS_REPLY the same piece can be
 * asked for again. */
typedef void orphan_look_cb(struct queue *queue, const struct call_result *call,
                            const struct orphans_result *result, void *arg);
MUST_CHECK int orphan_look_step(struct orphan_look *look, orphan_look_cb *on_done, void *arg,
                                struct error *err);
