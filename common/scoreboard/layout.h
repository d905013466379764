/* layout.h - the bytes of the shared object, and how they are read and written.
 * Only the files of this folder know it. Each word has one writer; a text is written between
 * layout_begin_write and layout_end_write by that one, and copied by layout_copy_untorn. */
#pragma once

#include "common/scoreboard/scoreboard.h"
#include "common/scoreboard/totals.h"

/* The object, host byte order (all its users are on this host): docs/protocols/scoreboard.md.
 * Parts with different writers are on different pages, so that each is mapped writable by its
 * writer alone. */
#define BOARD_MAGIC 0x53565244u /* "DRVS" as bytes of a little-endian machine */
#define PART_BYTES  4096
#define ROWS_OFFSET PART_BYTES

struct board_header {
    uint32_t magic;
    uint32_t version;
    uint32_t slots_offset;
    uint32_t slot_bytes;
    uint32_t slots_count;
    uint32_t counters_count;
    uint32_t histograms_count;
    uint32_t buckets_count;
    uint32_t jobs_count;
    uint32_t reserved; /* 0 */
};

/* What the master knows of each slot without touching its memory, which would make it real. */
enum slot_use {
    USE_NONE = 0,
    USE_TAKEN = 1,
    USE_RELEASED = 2, /* but when it was released, the process that had it still lived */
};

/* Who has used the object: for the next master, which finds it kept (docs/operations.md). */
struct board_life {
    uint32_t starts;       /* masters so far; the number of the one that uses it now */
    uint32_t reserved;     /* 0 */
    uint64_t made_at_ms;   /* wall */
    uint64_t beat_boot_ms; /* clock_boot_ms() when the master last said that it lives; 0 never */
};

/* A sum that is being written: whole or not begun, whenever its writer is killed. The values are
 * those of the row *after* it, so writing them again changes nothing. */
struct board_sum {
    uint32_t slot_plus_1; /* whose counters are added; 0: no sum is under way. Written last */
    uint32_t row;
    uint64_t values[SCOREBOARD_TOTAL_COUNT];
};

/* Of one queue, since its row was made: what processes that are gone had counted. */
struct total_row {
    uint32_t used;        /* 0: never; rows are used from the first one on. Written last */
    uint32_t held_by;     /* number of the master that serves this queue; 0 none */
    uint64_t since_at_ms; /* wall */
    uint64_t held_at_ms;  /* wall: when a master last began or ceased to serve it */
    uint64_t values[SCOREBOARD_TOTAL_COUNT];
    char queue[SCOREBOARD_QUEUE_BYTES];
    unsigned char reserved[48]; /* 0 */
};

struct master_part {
    uint32_t sequence; /* odd while the master writes */
    uint32_t state;    /* enum scoreboard_state; a word of its own, as are the numbers below */
    int32_t pid;
    uint32_t slot;
    uint64_t start_ticks;
    uint64_t spawned_at_ms;
    uint32_t generation;
    uint32_t reserved; /* 0 */
    char uuid[40];
    char queue[SCOREBOARD_QUEUE_BYTES];
};

struct job_row {
    uint32_t sequence; /* odd while the child writes */
    uint32_t used;     /* 1 while the job runs, else 0 */
    int32_t pid;       /* a word of its own */
    uint32_t reserved; /* 0 */
    uint64_t started_boot_ms;
    uint64_t attempt;
    char id[SCOREBOARD_TEXT_BYTES];
    char type[SCOREBOARD_TEXT_BYTES];
};

struct child_part {
    union {
        struct {
            uint64_t counters[SCOREBOARD_COUNTER_COUNT];
            uint64_t histograms[SCOREBOARD_HISTOGRAM_COUNT][SCOREBOARD_BUCKETS];
            uint32_t rows_used; /* rows from here on were never written: a reader leaves them */
        };
        unsigned char numbers[ROWS_OFFSET];
    };
    struct job_row rows[SCOREBOARD_JOBS];
};

struct slot_memory {
    union {
        struct master_part master;
        unsigned char master_bytes[PART_BYTES];
    };
    struct child_part child;
};

struct board_memory {
    union {
        struct {
            struct board_header header;
            unsigned char reserved[24]; /* 0 */
            struct board_life life;
            struct board_sum sum;
        };
        unsigned char header_bytes[PART_BYTES];
    };
    unsigned char uses[SCOREBOARD_SLOTS]; /* enum slot_use; written by the master */
    struct slot_memory slots[SCOREBOARD_SLOTS];
    struct total_row totals[SCOREBOARD_TOTALS]; /* written by the master */
};

_Static_assert(sizeof(struct board_header) == 40, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct master_part) == 216, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct job_row) == 160, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, histograms) == 112, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, rows_used) == 1072, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, rows) == ROWS_OFFSET, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct board_memory, slots) == 8192, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct board_memory, life) == 64, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct board_memory, sum) == 88, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct board_memory, totals) == 117448704, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct total_row) == 256, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct slot_memory) == 28672, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct slot_memory) % PART_BYTES == 0, "slots share no page");
_Static_assert(sizeof(((struct master_part *)0)->uuid) >= UUID_TEXT_BYTES, "a uuid fits");

#define word_load(word)         __atomic_load_n(word, __ATOMIC_RELAXED)
#define word_store(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)

/* Between these two the only writer of a text changes it. */
// NOLINTNEXTLINE(readability-non-const-parameter): an atomic store is not seen as one
static inline void layout_begin_write(uint32_t *sequence)
{
    word_store(sequence, word_load(sequence) | 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

// NOLINTNEXTLINE(readability-non-const-parameter): likewise
static inline void layout_end_write(uint32_t *sequence)
{
    __atomic_store_n(sequence, word_load(sequence) + 1, __ATOMIC_RELEASE);
}

static inline bool layout_has_slot(int index)
{
    return index >= 0 && index < SCOREBOARD_SLOTS;
}

/* Copies what is guarded by `sequence`, which is part of it. False when no untorn copy was had: the
 * writer is dead, or lies, or writes without end. */
bool layout_copy_untorn(void *copy, const void *shared, size_t bytes, const uint32_t *sequence);

/* Fills `room` bytes with the text, cut between characters, and NULs. */
void layout_put_text(char *out, size_t room, const char *text, size_t len);

struct scoreboard {
    int fd;                      /* owned */
    struct board_memory *memory; /* all of it, mapped */
};

/* Torn, when no better copy can be had: it is for people to look at. */
void layout_read_master(const struct master_part *shared, struct scoreboard_master *out_master);

/* totals.c: finishes a sum that an earlier master had begun. */
void layout_finish_sum(struct board_memory *memory);
/* Adds the counters of a taken slot to the totals of its queue and marks it as released, both or
 * neither whenever this process is killed. */
void layout_sum_up(struct board_memory *memory, int index);

/* New sealed memory with its head written. Returns the descriptor (caller closes). */
MUST_CHECK int layout_make(struct error *err);

/* That the object can be mapped and read without a signal, and means what we think: -EPROTO. */
MUST_CHECK int layout_check(int fd, struct error *err);

/* Part of the object; begins at `base` where pages do. */
struct mapping {
    void *base;
    size_t bytes;
};

/* Maps `bytes` from `offset` on; returns where they are, NULL (errno is set) when that fails. Pages
 * may be larger than our parts: then the mapping begins before `offset`. */
void *layout_map(int fd, size_t offset, size_t bytes, int protection, struct mapping *out_mapping);
void layout_unmap(struct mapping *mapping);
