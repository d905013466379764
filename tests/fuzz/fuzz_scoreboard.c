/* Any bytes anywhere in a slot of the scoreboard, as a child might leave them: they are read, shown
 * and written over; texts have an end, counts a bound. The input is a list of patches: 2 bytes
 * where, 1 byte how many, and those. */
#include <string.h>
#include <unistd.h>

#include "common/scoreboard/scoreboard.h"
#include "tests/fuzz/fuzz.h"

#define UUID "0b36ae1d-9a57-4c5c-8c3a-0d4a36f6b001"

/* docs/protocols/scoreboard.md */
enum { SLOTS_OFFSET = 8192, SLOT_BYTES = 28672 };

static struct scoreboard *board;
static struct scoreboard_slot *child;
static struct scoreboard_view view;

static void open_once(void)
{
    static const struct scoreboard_master master = { .uuid = UUID, .queue = "money" };

    if (board)
        return;
    if (scoreboard_new(&board, NULL) < 0 || scoreboard_claim(board, NULL) != 0)
        abort();
    scoreboard_set_master(board, 0, &master);
    if (scoreboard_attach(scoreboard_fd(board), 0, UUID, &child, NULL) < 0)
        abort();
}

static void spoil_slot(const uint8_t *data, size_t size)
{
    static uint8_t slot[SLOT_BYTES];

    memset(slot, 0, sizeof slot);
    while (size > 3) {
        size_t at = ((size_t)data[0] << 8 | data[1]) % SLOT_BYTES, count = data[2];

        data += 3;
        size -= 3;
        count = count < size ? count : size;
        count = count < SLOT_BYTES - at ? count : SLOT_BYTES - at;
        memcpy(slot + at, data, count);
        data += count;
        size -= count;
    }
    if (pwrite(scoreboard_fd(board), slot, sizeof slot, SLOTS_OFFSET) != (ssize_t)sizeof slot)
        abort();
}

static void check_view(void)
{
    assert(view.jobs_count <= SCOREBOARD_JOBS);
    for (size_t i = 0; i < view.jobs_count; i++) {
        assert(strnlen(view.jobs[i].id, sizeof view.jobs[i].id) < sizeof view.jobs[i].id);
        assert(strnlen(view.jobs[i].type, sizeof view.jobs[i].type) < sizeof view.jobs[i].type);
    }
    assert(strnlen(view.master.uuid, sizeof view.master.uuid) < sizeof view.master.uuid);
    assert(strnlen(view.master.queue, sizeof view.master.queue) < sizeof view.master.queue);
    assert(scoreboard_state_name((enum scoreboard_state)view.master.state));
    for (int i = 0; i < SCOREBOARD_HISTOGRAM_COUNT; i++)
        assert(scoreboard_percentile_us(view.histograms[i], 0.95) < UINT64_C(1) << 40);
}

/* A child and the master go on over what is there. */
static void write_over(void)
{
    int row = scoreboard_job_begin(child, "17", 2, "charge", 6, 1);
    size_t shown = 0;

    assert(row == 0);
    if (!scoreboard_read(board, 0, &view))
        abort();
    check_view();
    for (size_t i = 0; i < view.jobs_count; i++)
        shown += strcmp(view.jobs[i].id, "17") == 0 ? 1 : 0;
    assert(shown >= 1);
    scoreboard_count_time(child, SCOREBOARD_RUN_US, 5);
    scoreboard_add(child, SCOREBOARD_COMPLETED, 1);
    scoreboard_job_end(child, row);
    scoreboard_set_state(board, 0, SCOREBOARD_DEAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scoreboard_slot *second = NULL;

    open_once();
    spoil_slot(data, size);
    if (!scoreboard_read(board, 0, &view))
        abort();
    check_view();
    if (scoreboard_attach(scoreboard_fd(board), 0, UUID, &second, NULL) == 0)
        scoreboard_detach(second);
    write_over();
    return 0;
}
