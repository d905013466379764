/* diff.h - what changes from one configuration to the next, queue by queue, and what that takes.
 * Read from the schema's table: a key's `change` says whether workers can take it while they run.
 * The master acts on it at a reload; people read the same rows. */
#pragma once

#include "common/config/config.h"

enum config_diff_kind {
    CONFIG_DIFF_SAME,    /* nothing of the queue changed, its Redis endpoint included */
    CONFIG_DIFF_LIVE,    /* only keys that running workers take: concurrency, processes */
    CONFIG_DIFF_REPLACE, /* its workers must be replaced by new ones */
    CONFIG_DIFF_ADDED,
    CONFIG_DIFF_REMOVED,
};

struct config_diff_queue {
    const char *name; /* borrowed from whichever configuration has it (the new one when both do) */
    enum config_diff_kind kind;
    char
        *changes; /* for people, owned: "timeout: 30s -> 1m, concurrency: 5 -> 10"; "" when nothing;
                     secrets are never shown ("password: changed"); cut with "…" when long */
};

struct config_diff {
    struct config_diff_queue
        *queues; /* those of the new file in its order, then the removed ones */
    size_t queues_count;
    char *top;     /* the same text for keys that belong to no queue and are taken while running
                      (log.level, stop.drain_timeout, start.*); "" when none; owned */
    char *restart; /* keys that take effect only when droverd is started again (log.format,
                      control); "" when none; owned */
};

/* -ENOMEM: nothing is allocated. */
MUST_CHECK int config_diff_new(const struct config *from, const struct config *to,
                               struct config_diff *out_diff, struct error *err);
void config_diff_done(struct config_diff *diff);

/* "same", "live", "replace", "added", "removed" */
const char *config_diff_kind_name(enum config_diff_kind kind);
