/* orphans.h - jobs that are in no state: their hash is there, and no list or set of the queue names
 * them, so nobody will ever run them. A resume by a stock client of version 5 makes such (wire format
 * 15.1: it renames `paused` over what version 6 has put into `wait`), and so does a lost server.
 *
 * A look goes through the keys of the queue in bounded pieces. What is an orphan in two looks at least
 * a minute apart, unchanged in between, is put back: to `wait` by its priority, or where its delay or
 * its children want it. Nothing is touched that is locked or in any state. */
#pragma once

#include "common/queue/bulk.h"

enum orphan_action {
    ORPHANS_REPORT, /* found and counted, and remembered for the next look */
    ORPHANS_REPAIR, /* the same, and what the last look has found too is put back */
    ORPHANS_REMOVE, /* removed at the first look, whatever their age, as stock's removeOrphanedJobs */
};

struct orphans_result {
    uint64_t looked;  /* job hashes looked at */
    uint64_t found;   /* orphans now; those put back or removed included */
    uint64_t settled; /* of these, seen unchanged by a look at least a minute before */
    uint64_t changed; /* put back, or removed */
    const struct bytes *ids; /* the first ORPHAN_IDS_MAX of those that are settled; with REMOVE of those
                                removed; borrowed */
    size_t ids_count;
    bool skipped; /* another look was less than a minute ago: nothing was done (queue_look_for_orphans
                     with `gated` only) */
    bool cancelled;
};
#define ORPHAN_IDS_MAX 20

typedef bool queue_orphans_progress_cb(struct queue *queue, const struct orphans_result *so_far,
                                       void *arg);
typedef void queue_orphans_cb(struct queue *queue, const struct call_result *call,
                              const struct orphans_result *result, void *arg);

struct orphans_spec {
    enum orphan_action action;
    bool gated;         /* one look a minute for all processes of the queue, as of the stalled check */
    uint64_t now_ms;    /* wall; 0: the clock's. For tests. */
    queue_orphans_progress_cb *on_progress; /* may be NULL; false cancels */
    queue_orphans_cb *on_done;
    void *arg;
};
MUST_CHECK int queue_look_for_orphans(struct queue *queue, const struct orphans_spec *spec,
                                      struct error *err);
