/* scoreboard.h - one shared memory object in which every child of the master says how it fares.
 * Made by the master, inherited by all children at CHANNEL_SCOREBOARD_FD, kept over the death of
 * any of them. For people (ps, top, titles, kill reports). Whose a job is is never decided from it:
 * a reader takes every number and text in it as possibly torn, stale or a lie. (The master uses
 * RUNNING and ENDS to keep a pool within its concurrency while its processes are exchanged; a lie
 * costs a few jobs too many or too few for a while, nothing else.)
 *
 * A slot has one writer for each of its two halves: `master` is written by the master, `child` by
 * the process that the slot was claimed for. Texts are written under a sequence number (odd while
 * writing), numbers are single aligned words. A slot is used again only when the pid *and* the
 * start time of the process that had it are gone.
 *
 * The layout is versioned; a program that meets another version refuses it by name. The memory is
 * sparse: pages of slots that nobody has used cost nothing, and a child maps its own slot only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/uuid.h"

#define SCOREBOARD_VERSION     2
#define SCOREBOARD_SLOTS       4096 /* children at once, draining ones included */
#define SCOREBOARD_JOBS        128  /* running jobs that a slot shows; more are only counted */
#define SCOREBOARD_BUCKETS     40 /* bucket n counts times of 2^(n-1) … 2^n - 1 us; 0: below 1 us */
#define SCOREBOARD_TEXT_BYTES  64  /* job ids and types, cut */
#define SCOREBOARD_QUEUE_BYTES 136 /* a queue's name (128 bytes at most) */

enum scoreboard_state {
    SCOREBOARD_FREE,
    SCOREBOARD_STARTING,
    SCOREBOARD_SERVING,
    SCOREBOARD_DRAINING,
    SCOREBOARD_STOPPING,
    SCOREBOARD_KILLING,
    SCOREBOARD_DEAD, /* reaped; what it had started is being ended, or its jobs not yet given back
                      */
    SCOREBOARD_STATE_COUNT
};
const char *scoreboard_state_name(enum scoreboard_state state); /* "free", "starting", …; "?" */

/* Written by the master. Plain value: a reader's copy. */
struct scoreboard_master {
    int32_t pid;          /* 0 while the slot is free */
    uint64_t start_ticks; /* start time of pid, from /proc/PID/stat; 0 unknown */
    char uuid[UUID_TEXT_BYTES];
    char queue[SCOREBOARD_QUEUE_BYTES];
    uint32_t slot;          /* which of the queue's processes */
    uint32_t generation;    /* of the configuration it was started with */
    uint32_t state;         /* enum scoreboard_state */
    uint64_t spawned_at_ms; /* wall */
};

enum scoreboard_flag {
    SCOREBOARD_REDIS_UP = 1 << 0, /* connected, and calls are accepted */
    SCOREBOARD_PAUSED = 1 << 1,   /* the queue is paused, as of the last fetch; likewise: */
    SCOREBOARD_MAXED = 1 << 2,    /* … its global concurrency is reached */
    SCOREBOARD_LIMITED = 1 << 3,  /* … it is rate limited */
    SCOREBOARD_ENDS = 1 << 4,     /* it will never fetch again and no fetch is under way: RUNNING
                                     only falls from now on */
};

/* Counters since the start of the process; written by the child, each a word of its own. */
enum scoreboard_counter {
    SCOREBOARD_BEAT_MS,   /* clock_boot_ms() of the last scoreboard_set or _job_begin */
    SCOREBOARD_FLAGS,     /* enum scoreboard_flag */
    SCOREBOARD_RUNNING,   /* handlers at work now */
    SCOREBOARD_JOB_SLOTS, /* most that may be */
    SCOREBOARD_COMPLETED,
    SCOREBOARD_FAILED,     /* for good */
    SCOREBOARD_RETRIED,    /* failed attempts that will be tried again */
    SCOREBOARD_LOST,       /* results dropped because the lock was lost */
    SCOREBOARD_GIVEN_BACK, /* put back without an attempt, by this process */
    SCOREBOARD_WAITING, /* jobs of the queue that could run (wait, paused, prioritized), as of … */
    SCOREBOARD_ACTIVE,  /* active, of all workers, as of the last fetch */
    SCOREBOARD_CALLS,   /* settle-and-fetch calls answered */
    SCOREBOARD_OLDEST_AT_MS,    /* wall time at which the one that runs next was added; 0: none */
    SCOREBOARD_WAITING_SEEN_MS, /* … clock_boot_ms() of the last fetch or renewal that told of them;
                                   0: not yet. Of several processes of a queue the latest is right
                                 */
    SCOREBOARD_COUNTER_COUNT
};

enum scoreboard_histogram {
    SCOREBOARD_RUN_US,  /* a handler's run, start to outcome */
    SCOREBOARD_WAIT_US, /* from the time a job could have run (added, or due) to its start */
    SCOREBOARD_CALL_US, /* a settle-and-fetch call, sent to answered */
    SCOREBOARD_HISTOGRAM_COUNT
};

struct scoreboard_job {
    char id[SCOREBOARD_TEXT_BYTES], type[SCOREBOARD_TEXT_BYTES]; /* cut; valid UTF-8 or not */
    uint64_t started_boot_ms;                                    /* clock_boot_ms */
    uint64_t attempt;                                            /* from 1 */
    int32_t pid; /* of the handler's program; 0 none or not known */
};

/* Everything of one slot, copied out; `jobs_count` rows of `jobs` are filled. */
struct scoreboard_view {
    struct scoreboard_master master;
    uint64_t counters[SCOREBOARD_COUNTER_COUNT];
    uint64_t histograms[SCOREBOARD_HISTOGRAM_COUNT][SCOREBOARD_BUCKETS];
    struct scoreboard_job jobs[SCOREBOARD_JOBS];
    size_t jobs_count;
};

struct scoreboard;      /* the master's mapping of all slots */
struct scoreboard_slot; /* a child's mapping of its own */

/* ---- the master */

/* New memory, sealed against shrinking and growing, close-on-exec. */
MUST_CHECK int scoreboard_new(struct scoreboard **out_board, struct error *err);
/* Takes over an existing one (descriptor is taken on success). -EPROTO: not a scoreboard, or of
 * another version, said by name. */
MUST_CHECK int scoreboard_open(int fd, struct scoreboard **out_board, struct error *err);
void scoreboard_free(struct scoreboard *board);
int scoreboard_fd(const struct scoreboard *board); /* borrowed */

/* A slot that nobody uses, emptied: its index, or -EUSERS when all are taken. */
MUST_CHECK int scoreboard_claim(struct scoreboard *board, struct error *err);
/* Writes the master's half. `start_ticks` 0: looked up from pid when that is > 0. */
void scoreboard_set_master(struct scoreboard *board, int index,
                           const struct scoreboard_master *master);
void scoreboard_set_state(struct scoreboard *board, int index, enum scoreboard_state state);
void scoreboard_release(struct scoreboard *board, int index);
/* Copies a slot. False when it is free. */
bool scoreboard_read(const struct scoreboard *board, int index, struct scoreboard_view *out_view);
/* One counter, without the rest. */
uint64_t scoreboard_counter(const struct scoreboard *board, int index,
                            enum scoreboard_counter counter);

/* ---- a child */

/* Maps slot `index` of the object at `fd` (not taken). Refuses another version, size or seal, and
 * a slot whose uuid is another: -EPROTO. */
MUST_CHECK int scoreboard_attach(int fd, int index, const char *uuid,
                                 struct scoreboard_slot **out_slot, struct error *err);
void scoreboard_detach(struct scoreboard_slot *slot);
/* The child functions below do nothing with slot NULL: a worker without a scoreboard works. */
void scoreboard_set(struct scoreboard_slot *slot, enum scoreboard_counter counter, uint64_t value);
void scoreboard_add(struct scoreboard_slot *slot, enum scoreboard_counter counter, uint64_t more);
void scoreboard_count_time(struct scoreboard_slot *slot, enum scoreboard_histogram histogram,
                           uint64_t us);
/* A running job is shown: returns its row, or -1 when all rows are taken (then it is not shown). */
int scoreboard_job_begin(struct scoreboard_slot *slot, const char *id, size_t id_len,
                         const char *type, size_t type_len, uint64_t attempt);
void scoreboard_job_set_pid(struct scoreboard_slot *slot, int row, int32_t pid);
void scoreboard_job_end(struct scoreboard_slot *slot, int row); /* row -1: nothing */

/* ---- for people */

/* Upper bound in us of the bucket that holds the given share (0 … 1) of the counted times (1 for
 * bucket 0); 0 when none was counted. */
uint64_t scoreboard_percentile_us(const uint64_t buckets[SCOREBOARD_BUCKETS], double share);
