#include "common/scoreboard/scoreboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/process/process_table.h"

/* The object, host byte order (all its users are on this host): docs/protocols/scoreboard.md.
 * Parts with different writers are on different pages, so that each is mapped writable by its
 * writer alone. */
#define BOARD_MAGIC  0x53565244u /* "DRVS" as bytes of a little-endian machine */
#define PART_BYTES   4096
#define ROWS_OFFSET  PART_BYTES
#define NEEDED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define READ_TRIES   100 /* of a text that changes while it is read, or whose writer died */

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
        struct board_header header;
        unsigned char header_bytes[PART_BYTES];
    };
    unsigned char uses[SCOREBOARD_SLOTS]; /* enum slot_use; written by the master */
    struct slot_memory slots[SCOREBOARD_SLOTS];
};

_Static_assert(sizeof(struct board_header) == 40, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct master_part) == 216, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct job_row) == 160, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, histograms) == 96, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, rows_used) == 1056, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct child_part, rows) == ROWS_OFFSET, "docs/protocols/scoreboard.md");
_Static_assert(offsetof(struct board_memory, slots) == 8192, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct slot_memory) == 28672, "docs/protocols/scoreboard.md");
_Static_assert(sizeof(struct slot_memory) % PART_BYTES == 0, "slots share no page");
_Static_assert(sizeof(((struct master_part *)0)->uuid) >= UUID_TEXT_BYTES, "a uuid fits");

struct scoreboard {
    int fd;                      /* owned */
    struct board_memory *memory; /* all of it, mapped */
};

/* Part of the object; begins at `base` where pages do. */
struct mapping {
    void *base;
    size_t bytes;
};

struct scoreboard_slot {
    struct mapping mapping;
    struct child_part *child;             /* within `mapping` */
    uint64_t taken[SCOREBOARD_JOBS / 64]; /* a bit per row in use; what the memory says of it may
                                             have been spoilt by somebody else */
};
_Static_assert(SCOREBOARD_JOBS % 64 == 0, "whole words of bits");

const char *scoreboard_state_name(enum scoreboard_state state)
{
    static const char *const names[] = {
        [SCOREBOARD_FREE] = "free",         [SCOREBOARD_STARTING] = "starting",
        [SCOREBOARD_SERVING] = "serving",   [SCOREBOARD_DRAINING] = "draining",
        [SCOREBOARD_STOPPING] = "stopping", [SCOREBOARD_KILLING] = "killing",
        [SCOREBOARD_DEAD] = "dead",
    };
    _Static_assert(ARRAY_SIZE(names) == SCOREBOARD_STATE_COUNT, "a name per state");

    return (size_t)state < ARRAY_SIZE(names) ? names[state] : "?";
}

/* ---- words and texts */

#define word_load(word)         __atomic_load_n(word, __ATOMIC_RELAXED)
#define word_store(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)

/* Between these two the only writer of a text changes it. */
static void begin_write(uint32_t *sequence)
{
    word_store(sequence, word_load(sequence) | 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_write(uint32_t *sequence)
{
    __atomic_store_n(sequence, word_load(sequence) + 1, __ATOMIC_RELEASE);
}

/* Copies what is guarded by `sequence`, which is part of it. False when no untorn copy was had: the
 * writer is dead, or lies, or writes without end. */
static bool copy_untorn(void *copy, const void *shared, size_t bytes, const uint32_t *sequence)
{
    for (unsigned int i = 0; i < READ_TRIES; i++) {
        uint32_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);

        memcpy(copy, shared, bytes);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 == 0 && word_load(sequence) == before)
            return true;
    }
    return false;
}

/* ---- the object */

static int check_header(const struct board_header *header, struct error *err)
{
    if (header->magic != BOARD_MAGIC)
        return error_set(err, -EPROTO, "not a scoreboard (it begins with 0x%08x)", header->magic);
    if (header->version != SCOREBOARD_VERSION)
        return error_set(err, -EPROTO, "a scoreboard of version %u; this program knows version %d",
                         header->version, SCOREBOARD_VERSION);
    if (header->slots_offset != offsetof(struct board_memory, slots) ||
        header->slot_bytes != sizeof(struct slot_memory) ||
        header->slots_count != SCOREBOARD_SLOTS ||
        header->counters_count != SCOREBOARD_COUNTER_COUNT ||
        header->histograms_count != SCOREBOARD_HISTOGRAM_COUNT ||
        header->buckets_count != SCOREBOARD_BUCKETS || header->jobs_count != SCOREBOARD_JOBS)
        return error_set(err, -EPROTO, "a scoreboard of version %d with another layout",
                         SCOREBOARD_VERSION);
    return 0;
}

/* That it can be mapped and read without a signal, and means what we think. */
static int check_object(int fd, struct error *err)
{
    struct board_header header;
    struct stat status;
    ssize_t got = pread(fd, &header, sizeof header, 0);
    int seals, result;

    if (got < 0)
        return error_set(err, -EPROTO, "not a scoreboard: %s", strerror(errno));
    if (got < (ssize_t)sizeof header)
        return error_set(err, -EPROTO, "not a scoreboard: %zd bytes", got);
    result = check_header(&header, err);
    if (result < 0)
        return result;
    if (fstat(fd, &status) < 0)
        return error_set(err, -errno, "look at the scoreboard: %s", strerror(errno));
    if (status.st_size != (off_t)sizeof(struct board_memory))
        return error_set(err, -EPROTO, "a scoreboard of %lld bytes instead of %zu",
                         (long long)status.st_size, sizeof(struct board_memory));
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & NEEDED_SEALS) != NEEDED_SEALS)
        return error_set(err, -EPROTO, "a scoreboard that is not sealed against a change of size");
    return 0;
}

static void unmap(struct mapping *mapping)
{
    if (mapping->base)
        (void)munmap(mapping->base, mapping->bytes); /* it is what mmap gave */
    *mapping = (struct mapping){ 0 };
}

/* Maps `bytes` from `offset` on; returns where they are, NULL (errno is set) when that fails. Pages
 * may be larger than our parts: then the mapping begins before `offset`. */
static void *map(int fd, size_t offset, size_t bytes, int protection, struct mapping *out_mapping)
{
    size_t before = offset % (size_t)sysconf(_SC_PAGESIZE);
    void *base = mmap(NULL, before + bytes, protection, MAP_SHARED, fd, (off_t)(offset - before));

    if (base == MAP_FAILED)
        return NULL;
    *out_mapping = (struct mapping){ .base = base, .bytes = before + bytes };
    return (unsigned char *)base + before;
}

/* Takes `fd` on success. */
static int wrap(int fd, struct scoreboard **out_board, struct error *err)
{
    struct scoreboard *board = calloc(1, sizeof *board);
    struct mapping mapping;

    if (!board)
        return error_set(err, -ENOMEM, "no memory for the scoreboard");
    board->memory = map(fd, 0, sizeof *board->memory, PROT_READ | PROT_WRITE, &mapping);
    if (!board->memory) {
        int code = -errno;

        free(board);
        return error_set(err, code, "map the scoreboard: %s", strerror(-code));
    }
    board->fd = fd;
    *out_board = board;
    return 0;
}

static int make_object(struct error *err)
{
    static const struct board_header header = {
        .magic = BOARD_MAGIC,
        .version = SCOREBOARD_VERSION,
        .slots_offset = offsetof(struct board_memory, slots),
        .slot_bytes = sizeof(struct slot_memory),
        .slots_count = SCOREBOARD_SLOTS,
        .counters_count = SCOREBOARD_COUNTER_COUNT,
        .histograms_count = SCOREBOARD_HISTOGRAM_COUNT,
        .buckets_count = SCOREBOARD_BUCKETS,
        .jobs_count = SCOREBOARD_JOBS,
    };
    _cleanup_(closep) int fd = memfd_create("drover-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return error_set(err, -errno, "memfd_create: %s", strerror(errno));
    if (ftruncate(fd, sizeof(struct board_memory)) < 0)
        return error_set(err, -errno, "size the scoreboard: %s", strerror(errno));
    if (pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return error_set(err, -EIO, "write the head of the scoreboard");
    if (fcntl(fd, F_ADD_SEALS, NEEDED_SEALS | F_SEAL_SEAL) < 0)
        return error_set(err, -errno, "seal the scoreboard: %s", strerror(errno));
    return TAKE_FD(fd);
}

int scoreboard_new(struct scoreboard **out_board, struct error *err)
{
    _cleanup_(closep) int fd = make_object(err);
    int result = fd < 0 ? fd : wrap(fd, out_board, err);

    if (result < 0)
        return result;
    fd = -1;
    return 0;
}

int scoreboard_open(int fd, struct scoreboard **out_board, struct error *err)
{
    int result = check_object(fd, err);

    return result < 0 ? result : wrap(fd, out_board, err);
}

void scoreboard_free(struct scoreboard *board)
{
    if (!board)
        return;
    (void)munmap(board->memory, sizeof *board->memory); /* it is what mmap gave */
    (void)close(board->fd);                             /* the number is gone either way */
    free(board);
}

int scoreboard_fd(const struct scoreboard *board)
{
    return board->fd;
}

/* ---- the master */

static bool is_index(int index)
{
    return index >= 0 && index < SCOREBOARD_SLOTS;
}

static struct slot_memory *slot_of(const struct scoreboard *board, int index)
{
    assert(is_index(index));
    return &board->memory->slots[index];
}

/* Gives the memory back, which is zero when it is touched again. */
static void empty(struct scoreboard *board, int index)
{
    struct slot_memory *slot = slot_of(board, index);
    off_t offset = (off_t)(offsetof(struct board_memory, slots) + (size_t)index * sizeof *slot);

    if (fallocate(board->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, sizeof *slot) < 0)
        memset(slot, 0, sizeof *slot); /* interrupted: the same for more memory */
}

static bool is_gone(const struct master_part *master)
{
    int32_t pid = word_load(&master->pid);

    return pid <= 0 || !process_is_alive(pid, word_load(&master->start_ticks));
}

static bool can_claim(const struct scoreboard *board, int index)
{
    switch (board->memory->uses[index]) {
    case USE_NONE:
        return true;
    case USE_RELEASED:
        return is_gone(&slot_of(board, index)->master);
    default:
        return false;
    }
}

int scoreboard_claim(struct scoreboard *board, struct error *err)
{
    for (int index = 0; index < SCOREBOARD_SLOTS; index++) {
        if (!can_claim(board, index))
            continue;
        empty(board, index);
        board->memory->uses[index] = USE_TAKEN;
        scoreboard_set_state(board, index, SCOREBOARD_STARTING);
        return index;
    }
    return error_set(err, -EUSERS, "all %d slots of the scoreboard are taken", SCOREBOARD_SLOTS);
}

static void put_text(char *out, size_t room, const char *text, size_t len)
{
    size_t kept = len < room ? len : room - 1;

    if (kept < len) { /* cut before a character that does not fit as a whole */
        size_t whole = text_utf8_prefix(text, kept);

        kept = kept - whole < 4 ? whole : kept;
    }
    memcpy(out, text, kept);
    memset(out + kept, 0, room - kept);
}

static uint64_t start_ticks_of(const struct scoreboard_master *master)
{
    struct process_stat stat;

    if (master->start_ticks != 0 || process_read_stat(master->pid, &stat) < 0)
        return master->start_ticks;
    return stat.start_ticks;
}

void scoreboard_set_master(struct scoreboard *board, int index,
                           const struct scoreboard_master *master)
{
    struct master_part *part = &slot_of(board, index)->master;
    uint64_t start_ticks = start_ticks_of(master);

    assert(board->memory->uses[index] == USE_TAKEN);
    begin_write(&part->sequence);
    word_store(&part->state, master->state);
    word_store(&part->pid, master->pid);
    word_store(&part->start_ticks, start_ticks);
    part->slot = master->slot;
    part->spawned_at_ms = master->spawned_at_ms;
    part->generation = master->generation;
    put_text(part->uuid, sizeof part->uuid, master->uuid, strnlen(master->uuid, UUID_TEXT_BYTES));
    put_text(part->queue, sizeof part->queue, master->queue,
             strnlen(master->queue, sizeof master->queue));
    end_write(&part->sequence);
}

void scoreboard_set_state(struct scoreboard *board, int index, enum scoreboard_state state)
{
    struct slot_memory *slot = slot_of(board, index);

    assert(board->memory->uses[index] == USE_TAKEN);
    word_store(&slot->master.state, state);
}

void scoreboard_release(struct scoreboard *board, int index)
{
    struct slot_memory *slot = slot_of(board, index);

    if (board->memory->uses[index] != USE_TAKEN)
        return;
    word_store(&slot->master.state, SCOREBOARD_FREE);
    if (!is_gone(&slot->master)) {
        board->memory->uses[index] = USE_RELEASED;
        return;
    }
    empty(board, index);
    board->memory->uses[index] = USE_NONE;
}

/* Torn, when no better copy can be had: it is for people to look at. */
static void read_master(const struct master_part *shared, struct scoreboard_master *out_master)
{
    struct master_part part;

    (void)copy_untorn(&part, shared, sizeof part, &shared->sequence);
    *out_master = (struct scoreboard_master){ .pid = part.pid,
                                              .start_ticks = part.start_ticks,
                                              .slot = part.slot,
                                              .generation = part.generation,
                                              .state = part.state,
                                              .spawned_at_ms = part.spawned_at_ms };
    memcpy(out_master->uuid, part.uuid, sizeof out_master->uuid - 1);
    memcpy(out_master->queue, part.queue, sizeof out_master->queue - 1);
}

/* False for a row that is not used, or was half written when its writer died. */
static bool read_job(const struct job_row *shared, struct scoreboard_job *out_job)
{
    struct job_row row;

    if (word_load(&shared->used) != 1 ||
        !copy_untorn(&row, shared, sizeof row, &shared->sequence) || row.used != 1)
        return false;
    *out_job = (struct scoreboard_job){ .started_boot_ms = row.started_boot_ms,
                                        .attempt = row.attempt,
                                        .pid = row.pid };
    memcpy(out_job->id, row.id, sizeof out_job->id - 1);
    memcpy(out_job->type, row.type, sizeof out_job->type - 1);
    return true;
}

static void read_child(const struct child_part *child, struct scoreboard_view *out_view)
{
    uint32_t rows_used = __atomic_load_n(&child->rows_used, __ATOMIC_ACQUIRE);

    for (int i = 0; i < SCOREBOARD_COUNTER_COUNT; i++)
        out_view->counters[i] = word_load(&child->counters[i]);
    for (int i = 0; i < SCOREBOARD_HISTOGRAM_COUNT; i++) {
        for (int n = 0; n < SCOREBOARD_BUCKETS; n++)
            out_view->histograms[i][n] = word_load(&child->histograms[i][n]);
    }
    out_view->jobs_count = 0;
    for (uint32_t i = 0; i < rows_used && i < SCOREBOARD_JOBS; i++) {
        if (read_job(&child->rows[i], &out_view->jobs[out_view->jobs_count]))
            out_view->jobs_count++;
    }
}

bool scoreboard_read(const struct scoreboard *board, int index, struct scoreboard_view *out_view)
{
    const struct slot_memory *slot;

    if (!is_index(index) || board->memory->uses[index] != USE_TAKEN)
        return false;
    slot = slot_of(board, index);
    read_master(&slot->master, &out_view->master);
    read_child(&slot->child, out_view);
    return true;
}

uint64_t scoreboard_counter(const struct scoreboard *board, int index,
                            enum scoreboard_counter counter)
{
    assert(counter < SCOREBOARD_COUNTER_COUNT);
    if (!is_index(index) || board->memory->uses[index] != USE_TAKEN)
        return 0;
    return word_load(&slot_of(board, index)->child.counters[counter]);
}

/* ---- a child */

/* That the slot was claimed for this process. */
static int check_slot(int fd, size_t offset, const char *uuid, struct error *err)
{
    struct mapping mapping;
    struct scoreboard_master master;
    const struct master_part *part = map(fd, offset, sizeof *part, PROT_READ, &mapping);

    if (!part)
        return error_set(err, -errno, "map the scoreboard: %s", strerror(errno));
    read_master(part, &master);
    unmap(&mapping);
    if (strcmp(master.uuid, uuid) != 0)
        return error_set(err, -EPROTO, "the slot is of \"%s\", not of %s", master.uuid, uuid);
    return 0;
}

static int map_slot(int fd, int index, const char *uuid, struct scoreboard_slot *slot,
                    struct error *err)
{
    size_t offset =
        offsetof(struct board_memory, slots) + (size_t)index * sizeof(struct slot_memory);
    int result = check_slot(fd, offset, uuid, err);

    if (result < 0)
        return result;
    slot->child = map(fd, offset + offsetof(struct slot_memory, child), sizeof *slot->child,
                      PROT_READ | PROT_WRITE, &slot->mapping);
    if (!slot->child)
        return error_set(err, -errno, "map the scoreboard: %s", strerror(errno));
    return 0;
}

int scoreboard_attach(int fd, int index, const char *uuid, struct scoreboard_slot **out_slot,
                      struct error *err)
{
    _cleanup_(freep) struct scoreboard_slot *slot = NULL;
    int result = check_object(fd, err);

    if (result < 0)
        return result;
    if (!is_index(index))
        return error_set(err, -EPROTO, "the scoreboard has no slot %d, only 0 to %d", index,
                         SCOREBOARD_SLOTS - 1);
    slot = calloc(1, sizeof *slot);
    if (!slot)
        return error_set(err, -ENOMEM, "no memory for a slot of the scoreboard");
    result = map_slot(fd, index, uuid, slot, err);
    if (result < 0)
        return err ? error_wrap(err, "slot %d of the scoreboard", index) : result;
    *out_slot = TAKE_PTR(slot);
    return 0;
}

void scoreboard_detach(struct scoreboard_slot *slot)
{
    if (!slot)
        return;
    unmap(&slot->mapping);
    free(slot);
}

void scoreboard_set(struct scoreboard_slot *slot, enum scoreboard_counter counter, uint64_t value)
{
    assert(counter < SCOREBOARD_COUNTER_COUNT);
    if (!slot)
        return;
    word_store(&slot->child->counters[SCOREBOARD_BEAT_MS], clock_boot_ms());
    word_store(&slot->child->counters[counter], value);
}

static void add_to(uint64_t *word, uint64_t more)
{
    word_store(word, word_load(word) + more); /* one writer: needs no locked instruction */
}

void scoreboard_add(struct scoreboard_slot *slot, enum scoreboard_counter counter, uint64_t more)
{
    assert(counter < SCOREBOARD_COUNTER_COUNT);
    if (slot)
        add_to(&slot->child->counters[counter], more);
}

static unsigned int bucket_of(uint64_t us)
{
    unsigned int bits = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

    return bits < SCOREBOARD_BUCKETS ? bits : SCOREBOARD_BUCKETS - 1;
}

void scoreboard_count_time(struct scoreboard_slot *slot, enum scoreboard_histogram histogram,
                           uint64_t us)
{
    assert(histogram < SCOREBOARD_HISTOGRAM_COUNT);
    if (slot)
        add_to(&slot->child->histograms[histogram][bucket_of(us)], 1);
}

/* The lowest row that is not used, so that few pages are; -1 when there is none. */
static int take_row(struct scoreboard_slot *slot)
{
    for (size_t i = 0; i < ARRAY_SIZE(slot->taken); i++) {
        if (slot->taken[i] != UINT64_MAX) {
            int bit = __builtin_ctzll(~slot->taken[i]);

            slot->taken[i] |= UINT64_C(1) << bit;
            return (int)i * 64 + bit;
        }
    }
    return -1;
}

int scoreboard_job_begin(struct scoreboard_slot *slot, const char *id, size_t id_len,
                         const char *type, size_t type_len, uint64_t attempt)
{
    int index = slot ? take_row(slot) : -1;
    uint64_t now_ms;
    struct job_row *row;

    if (index < 0)
        return -1;
    now_ms = clock_boot_ms();
    row = &slot->child->rows[index];
    begin_write(&row->sequence);
    row->used = 1;
    row->pid = 0;
    row->started_boot_ms = now_ms;
    row->attempt = attempt;
    put_text(row->id, sizeof row->id, id, id_len);
    put_text(row->type, sizeof row->type, type, type_len);
    end_write(&row->sequence);
    word_store(&slot->child->counters[SCOREBOARD_BEAT_MS], now_ms);
    if (word_load(&slot->child->rows_used) <= (uint32_t)index)
        __atomic_store_n(&slot->child->rows_used, (uint32_t)index + 1, __ATOMIC_RELEASE);
    return index;
}

/* NULL for a row that is not in use. */
static struct job_row *row_of(const struct scoreboard_slot *slot, int row)
{
    if (!slot || row < 0)
        return NULL;
    assert(row < SCOREBOARD_JOBS && slot->taken[row / 64] >> row % 64 & 1);
    return &slot->child->rows[row];
}

void scoreboard_job_set_pid(struct scoreboard_slot *slot, int row, int32_t pid)
{
    struct job_row *job = row_of(slot, row);

    if (job)
        word_store(&job->pid, pid);
}

void scoreboard_job_end(struct scoreboard_slot *slot, int row)
{
    struct job_row *job = row_of(slot, row);

    if (!job)
        return;
    begin_write(&job->sequence);
    word_store(&job->used, 0);
    end_write(&job->sequence);
    slot->taken[row / 64] &= ~(UINT64_C(1) << row % 64);
}

/* ---- for people */

/* The how-manieth of `total` is at `share`, from 1. */
static uint64_t rank_of(double share, uint64_t total)
{
    double exact = share * (double)total;
    uint64_t rank;

    if (!(share > 0))
        return 1;
    if (share >= 1)
        return total;
    rank = (uint64_t)exact;
    return (double)rank < exact ? rank + 1 : rank;
}

uint64_t scoreboard_percentile_us(const uint64_t buckets[SCOREBOARD_BUCKETS], double share)
{
    uint64_t total = 0, rank, seen = 0;
    unsigned int n = 0;

    for (unsigned int i = 0; i < SCOREBOARD_BUCKETS; i++)
        total += buckets[i];
    if (total == 0)
        return 0;
    rank = rank_of(share, total);
    while (n < SCOREBOARD_BUCKETS - 1 && (seen += buckets[n]) < rank)
        n++;
    return n == 0 ? 1 : (UINT64_C(1) << n) - 1;
}
