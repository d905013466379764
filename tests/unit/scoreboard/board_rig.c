#include "tests/unit/scoreboard/board_rig.h"

#include <criterion/criterion.h>
#include <string.h>

struct scoreboard *board;
struct scoreboard_view view;

void rig_set_up(void)
{
    cr_assert(scoreboard_new(&board, NULL) == 0);
}

void rig_tear_down(void)
{
    scoreboard_free(board);
}

int rig_claim(void)
{
    int index = scoreboard_claim(board, NULL);

    cr_assert(index >= 0);
    return index;
}

struct scoreboard_master rig_master_of(int32_t pid, const char *uuid)
{
    struct scoreboard_master master = { .pid = pid,
                                        .queue = "money",
                                        .slot = 3,
                                        .generation = 7,
                                        .state = SCOREBOARD_SERVING,
                                        .spawned_at_ms = 1234567890123 };

    (void)snprintf(master.uuid, sizeof master.uuid, "%s", uuid);
    return master;
}

int rig_claim_own(void)
{
    struct scoreboard_master master = rig_master_of(getpid(), UUID);
    int index = rig_claim();

    scoreboard_set_master(board, index, &master);
    return index;
}

struct scoreboard_slot *rig_attach(int index)
{
    struct scoreboard_slot *slot = NULL;
    struct error err = { 0 };

    cr_assert(scoreboard_attach(scoreboard_fd(board), index, UUID, &slot, &err) == 0, "%s",
              err.text);
    return slot;
}

int rig_begin(struct scoreboard_slot *slot, const char *id)
{
    return scoreboard_job_begin(slot, id, strlen(id), "charge", 6, 1);
}

static off_t offset_in(int index, int offset)
{
    return SLOTS_OFFSET + (off_t)index * SLOT_BYTES + offset;
}

void rig_put_bytes(int index, int offset, const void *bytes, size_t len)
{
    cr_assert(pwrite(scoreboard_fd(board), bytes, len, offset_in(index, offset)) == (ssize_t)len);
}

void rig_get_bytes(int index, int offset, void *bytes, size_t len)
{
    cr_assert(pread(scoreboard_fd(board), bytes, len, offset_in(index, offset)) == (ssize_t)len);
}
