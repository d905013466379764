#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/clock.h"
#include "common/scoreboard/layout.h"

struct scoreboard_slot {
    struct mapping mapping;
    struct child_part *child;             /* within `mapping` */
    uint64_t taken[SCOREBOARD_JOBS / 64]; /* a bit per row in use; what the memory says of it may
                                             have been spoilt by somebody else */
};
_Static_assert(SCOREBOARD_JOBS % 64 == 0, "whole words of bits");

/* That the slot was claimed for this process. */
static int check_slot(int fd, size_t offset, const char *uuid, struct error *err)
{
    struct mapping mapping;
    struct scoreboard_master master;
    const struct master_part *part = layout_map(fd, offset, sizeof *part, PROT_READ, &mapping);

    if (!part)
        return error_set(err, -errno, "map the scoreboard: %s", strerror(errno));
    layout_read_master(part, &master);
    layout_unmap(&mapping);
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
    slot->child = layout_map(fd, offset + offsetof(struct slot_memory, child), sizeof *slot->child,
                             PROT_READ | PROT_WRITE, &slot->mapping);
    if (!slot->child)
        return error_set(err, -errno, "map the scoreboard: %s", strerror(errno));
    return 0;
}

int scoreboard_attach(int fd, int index, const char *uuid, struct scoreboard_slot **out_slot,
                      struct error *err)
{
    _cleanup_(freep) struct scoreboard_slot *slot = NULL;
    int result = layout_check(fd, err);

    if (result < 0)
        return result;
    if (!layout_has_slot(index))
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
    layout_unmap(&slot->mapping);
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

// NOLINTNEXTLINE(readability-non-const-parameter): an atomic store is not seen as one
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
    layout_begin_write(&row->sequence);
    row->used = 1;
    row->pid = 0;
    row->started_boot_ms = now_ms;
    row->attempt = attempt;
    layout_put_text(row->id, sizeof row->id, id, id_len);
    layout_put_text(row->type, sizeof row->type, type, type_len);
    layout_end_write(&row->sequence);
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
    layout_begin_write(&job->sequence);
    word_store(&job->used, 0);
    layout_end_write(&job->sequence);
    slot->taken[row / 64] &= ~(UINT64_C(1) << row % 64);
}
