#include "common/scoreboard/scoreboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/process/process_table.h"
#include "common/scoreboard/layout.h"

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

/* Takes `fd` on success. */
static int wrap(int fd, struct scoreboard **out_board, struct error *err)
{
    struct scoreboard *board = calloc(1, sizeof *board);
    struct mapping mapping;

    if (!board)
        return error_set(err, -ENOMEM, "no memory for the scoreboard");
    board->memory = layout_map(fd, 0, sizeof *board->memory, PROT_READ | PROT_WRITE, &mapping);
    if (!board->memory) {
        int code = -errno;

        free(board);
        return error_set(err, code, "map the scoreboard: %s", strerror(-code));
    }
    board->fd = fd;
    layout_finish_sum(board->memory);
    *out_board = board;
    return 0;
}

int scoreboard_new(struct scoreboard **out_board, struct error *err)
{
    _cleanup_(closep) int fd = layout_make(err);
    int result = fd < 0 ? fd : wrap(fd, out_board, err);

    if (result < 0)
        return result;
    (void)TAKE_FD(fd); /* the board has it */
    return 0;
}

int scoreboard_open(int fd, struct scoreboard **out_board, struct error *err)
{
    int result = layout_check(fd, err);

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

static struct slot_memory *slot_of(const struct scoreboard *board, int index)
{
    assert(layout_has_slot(index));
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
    layout_begin_write(&part->sequence);
    word_store(&part->state, master->state);
    word_store(&part->pid, master->pid);
    word_store(&part->start_ticks, start_ticks);
    part->slot = master->slot;
    part->spawned_at_ms = master->spawned_at_ms;
    part->generation = master->generation;
    layout_put_text(part->uuid, sizeof part->uuid, master->uuid,
                    strnlen(master->uuid, UUID_TEXT_BYTES));
    layout_put_text(part->queue, sizeof part->queue, master->queue,
                    strnlen(master->queue, sizeof master->queue));
    layout_end_write(&part->sequence);
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
    layout_sum_up(board->memory, index);
    word_store(&slot->master.state, SCOREBOARD_FREE);
    if (!is_gone(&slot->master))
        return;
    empty(board, index);
    board->memory->uses[index] = USE_NONE;
}

/* False for a row that is not used, or was half written when its writer died. */
static bool read_job(const struct job_row *shared, struct scoreboard_job *out_job)
{
    struct job_row row;

    if (word_load(&shared->used) != 1 ||
        !layout_copy_untorn(&row, shared, sizeof row, &shared->sequence) || row.used != 1)
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

    if (!layout_has_slot(index) || board->memory->uses[index] != USE_TAKEN)
        return false;
    slot = slot_of(board, index);
    layout_read_master(&slot->master, &out_view->master);
    read_child(&slot->child, out_view);
    return true;
}

uint64_t scoreboard_counter(const struct scoreboard *board, int index,
                            enum scoreboard_counter counter)
{
    assert(counter < SCOREBOARD_COUNTER_COUNT);
    if (!layout_has_slot(index) || board->memory->uses[index] != USE_TAKEN)
        return 0;
    return word_load(&slot_of(board, index)->child.counters[counter]);
}

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
