/* Sums that outlive the processes that have counted, and the master. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/unit/scoreboard/board_rig.h"

TestSuite(totals, .init = rig_set_up, .fini = rig_tear_down);

/* docs/protocols/scoreboard.md */
enum { USES_OFFSET = 4096, SUM_OFFSET = 88 };

static struct scoreboard_totals totals;

static bool read_of(const char *queue)
{
    for (int i = 0; scoreboard_read_totals(board, i, &totals); i++) {
        if (strcmp(totals.queue, queue) == 0)
            return true;
    }
    return false;
}

static uint64_t total_of(const char *queue, enum scoreboard_total total)
{
    cr_assert(read_of(queue), "%s has a row", queue);
    return totals.values[total];
}

/* A process of that queue that is gone, and what it had counted. */
static int make_gone(const char *queue, uint64_t completed)
{
    struct scoreboard_master master = rig_master_of(0, UUID);
    int index = rig_claim();
    struct scoreboard_slot *slot;

    (void)snprintf(master.queue, sizeof master.queue, "%s", queue);
    scoreboard_set_master(board, index, &master);
    slot = rig_attach(index);
    scoreboard_set(slot, SCOREBOARD_COMPLETED, completed);
    scoreboard_set(slot, SCOREBOARD_FAILED, 2);
    scoreboard_set(slot, SCOREBOARD_RETRIED, 3);
    scoreboard_set(slot, SCOREBOARD_LOST, 4);
    scoreboard_set(slot, SCOREBOARD_GIVEN_BACK, 5);
    scoreboard_set(slot, SCOREBOARD_RUNNING, 6);
    scoreboard_detach(slot);
    return index;
}

static void hold(const char *queue)
{
    struct error err = { 0 };

    cr_assert(scoreboard_hold_totals(board, queue, &err) == 0, "%s", err.text);
}

/* The next master finds the same memory. */
static void start_again(void)
{
    int fd = fcntl(scoreboard_fd(board), F_DUPFD_CLOEXEC, 0);
    struct error err = { 0 };

    scoreboard_free(board);
    cr_assert(scoreboard_open(fd, &board, &err) == 0, "%s", err.text);
    scoreboard_begin(board);
}

Test(totals, are_added_up_when_slots_are_released)
{
    uint64_t before_ms = clock_wall_ms();

    scoreboard_begin(board);
    hold("money");
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 0);
    for (int i = 0; i < 3; i++)
        scoreboard_release(board, make_gone("money", 10));
    scoreboard_count_death(board, "money");
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 30);
    cr_expect(totals.values[SCOREBOARD_TOTAL_FAILED] == 6);
    cr_expect(totals.values[SCOREBOARD_TOTAL_RETRIED] == 9);
    cr_expect(totals.values[SCOREBOARD_TOTAL_LOST] == 12);
    cr_expect(totals.values[SCOREBOARD_TOTAL_GIVEN_BACK] == 15);
    cr_expect(totals.values[SCOREBOARD_TOTAL_DEATHS] == 1);
    cr_expect(totals.since_at_ms >= before_ms && totals.since_at_ms <= clock_wall_ms());
    cr_expect(totals.served);
    cr_expect_str_eq(scoreboard_total_name(SCOREBOARD_TOTAL_GIVEN_BACK), "given_back");
}

Test(totals, a_released_slot_is_added_once)
{
    int index;

    scoreboard_begin(board);
    hold("money");
    index = make_gone("money", 10);
    scoreboard_release(board, index);
    scoreboard_release(board, index);
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 10);
}

Test(totals, of_the_living_are_added_for_a_reader)
{
    int index;

    scoreboard_begin(board);
    hold("money");
    index = make_gone("money", 10);
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 0);
    scoreboard_add_live(board, index, &totals);
    cr_expect(totals.values[SCOREBOARD_TOTAL_COMPLETED] == 10);
    scoreboard_release(board, index);
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 10);
    scoreboard_add_live(board, index, &totals);
    scoreboard_add_live(board, -1, &totals);
    cr_expect(totals.values[SCOREBOARD_TOTAL_COMPLETED] == 10, "it is free, and not added again");
}

Test(totals, go_on_with_the_next_master)
{
    struct scoreboard_life life;
    int left;

    scoreboard_read_life(board, &life);
    cr_expect(life.starts == 0 && life.beat_boot_ms == 0 && life.made_at_ms <= clock_wall_ms() &&
              life.made_at_ms + 60000 > clock_wall_ms());
    scoreboard_begin(board);
    hold("money");
    scoreboard_release(board, make_gone("money", 10));
    left = make_gone("money", 7);
    scoreboard_beat(board);
    start_again();
    scoreboard_read_life(board, &life);
    cr_expect(life.starts == 2);
    cr_expect(life.beat_boot_ms > 0 && life.beat_boot_ms <= clock_boot_ms());
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 10);
    cr_expect(!totals.served, "not yet");
    hold("money");
    scoreboard_release(board, left);
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 17 && totals.served);
}

/* The master may be killed between any two steps of a sum: 17 before and after all of them. */
Test(totals, a_sum_that_was_interrupted_is_finished_once)
{
    uint64_t summed[SCOREBOARD_TOTAL_COUNT] = { 17, 2, 3, 4, 5, 0 };
    uint32_t begun[2] = { 0, 0 };
    unsigned char use;

    scoreboard_begin(board);
    hold("money");
    scoreboard_release(board, make_gone("money", 10));
    begun[0] = (uint32_t)make_gone("money", 7) + 1;
    for (int written = 0; written < 2; written++) {
        cr_assert(pwrite(scoreboard_fd(board), begun, sizeof begun, SUM_OFFSET) == sizeof begun);
        cr_assert(pwrite(scoreboard_fd(board), summed, sizeof summed, SUM_OFFSET + 8) ==
                  sizeof summed);
        start_again();
        cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 17, "round %d", written);
        cr_expect(!scoreboard_read(board, (int)begun[0] - 1, &view), "it is released with it");
        cr_assert(pread(scoreboard_fd(board), &use, 1, USES_OFFSET + (off_t)begun[0] - 1) == 1);
        cr_expect(use == 2);
    }
}

Test(totals, nonsense_in_the_place_of_a_sum_is_passed_over)
{
    static const uint32_t rows[][2] = { { SCOREBOARD_SLOTS + 1, 0 },
                                        { 1, SCOREBOARD_TOTALS },
                                        { UINT32_MAX, UINT32_MAX } };

    scoreboard_begin(board);
    hold("money");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_assert(pwrite(scoreboard_fd(board), rows[i], 8, SUM_OFFSET) == 8);
        start_again();
        cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == 0, "row %zu", i);
    }
}

Test(totals, of_a_queue_that_is_not_held_are_not_counted)
{
    scoreboard_begin(board);
    scoreboard_release(board, make_gone("money", 10));
    scoreboard_count_death(board, "money");
    scoreboard_let_go_totals(board, "money");
    cr_expect(!read_of("money"));
}

Test(totals, a_liar_does_not_make_them_small)
{
    scoreboard_begin(board);
    hold("money");
    scoreboard_release(board, make_gone("money", UINT64_MAX - 1));
    scoreboard_release(board, make_gone("money", 5));
    cr_expect(total_of("money", SCOREBOARD_TOTAL_COMPLETED) == UINT64_MAX);
}

static void name_of(int n, char out[32])
{
    (void)snprintf(out, 32, "queue-%d", n);
}

Test(totals, rows_are_kept_until_all_are_used_then_the_oldest_goes)
{
    struct error err = { 0 };
    char name[32];

    scoreboard_begin(board);
    for (int i = 0; i < SCOREBOARD_TOTALS; i++) {
        name_of(i, name);
        hold(name);
    }
    cr_expect(scoreboard_hold_totals(board, "one-more", &err) == -ENOSPC, "all are served");
    cr_expect(strstr(err.text, "2048"), "%s", err.text);
    hold("queue-7");
    scoreboard_release(board, make_gone("queue-7", 10));
    scoreboard_let_go_totals(board, "queue-7");
    cr_expect(total_of("queue-7", SCOREBOARD_TOTAL_COMPLETED) == 10 && !totals.served, "kept");
    {
        uint64_t end_ms = clock_wall_ms() + 2;

        while (clock_wall_ms() < end_ms)
            ;
    }
    scoreboard_let_go_totals(board, "queue-3");
    hold("one-more");
    cr_expect(!read_of("queue-7"), "it was not served for longest");
    cr_expect(total_of("one-more", SCOREBOARD_TOTAL_COMPLETED) == 0, "a row of its own");
    hold("two-more");
    cr_expect(!read_of("queue-3"));
    cr_expect(read_of("queue-0") && read_of("two-more"));
}

Test(totals, names_are_cut_where_the_row_ends)
{
    unsigned char junk[136];

    scoreboard_begin(board);
    hold("money");
    memset(junk, 'x', sizeof junk);
    cr_assert(pwrite(scoreboard_fd(board), junk, sizeof junk, TOTALS_OFFSET + 72) == sizeof junk);
    cr_assert(scoreboard_read_totals(board, 0, &totals));
    cr_expect(strlen(totals.queue) == sizeof totals.queue - 1);
    cr_expect(!scoreboard_read_totals(board, -1, &totals));
    cr_expect(!scoreboard_read_totals(board, 1, &totals));
    cr_expect(!scoreboard_read_totals(board, SCOREBOARD_TOTALS, &totals));
}
