/* Who writes what where, and that it is read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/process/process_table.h"
#include "tests/unit/scoreboard/board_rig.h"

TestSuite(scoreboard, .init = rig_set_up, .fini = rig_tear_down);

static size_t memory_bytes(void)
{
    struct stat status;

    cr_assert(fstat(scoreboard_fd(board), &status) == 0);
    return (size_t)status.st_blocks * 512;
}

/* ---- the master's half */

Test(scoreboard, a_new_one_is_empty_sealed_and_not_inherited)
{
    int seals = fcntl(scoreboard_fd(board), F_GET_SEALS);

    cr_expect((seals & F_SEAL_SHRINK) && (seals & F_SEAL_GROW) && (seals & F_SEAL_SEAL));
    cr_expect(fcntl(scoreboard_fd(board), F_GETFD) & FD_CLOEXEC);
    for (int i = -1; i <= SCOREBOARD_SLOTS; i++)
        cr_expect(!scoreboard_read(board, i, &view));
    cr_expect(scoreboard_counter(board, 0, SCOREBOARD_RUNNING) == 0);
    cr_expect(scoreboard_counter(board, SCOREBOARD_SLOTS, SCOREBOARD_RUNNING) == 0);
}

Test(scoreboard, what_the_master_writes_is_read)
{
    struct scoreboard_master master = rig_master_of(getpid(), UUID);
    struct process_stat stat;
    int index = rig_claim();

    cr_assert(process_read_stat(getpid(), &stat) == 0);
    cr_expect(scoreboard_read(board, index, &view), "claimed, nothing started yet");
    cr_expect(view.master.state == SCOREBOARD_STARTING && view.master.pid == 0);
    scoreboard_set_master(board, index, &master);
    cr_assert(scoreboard_read(board, index, &view));
    cr_expect(view.master.pid == getpid());
    cr_expect(view.master.start_ticks == stat.start_ticks, "looked up");
    cr_expect_str_eq(view.master.uuid, UUID);
    cr_expect_str_eq(view.master.queue, "money");
    cr_expect(view.master.slot == 3 && view.master.generation == 7);
    cr_expect(view.master.state == SCOREBOARD_SERVING);
    cr_expect(view.master.spawned_at_ms == 1234567890123);
    cr_expect(view.jobs_count == 0 && view.counters[SCOREBOARD_BEAT_MS] == 0);
    scoreboard_set_state(board, index, SCOREBOARD_DRAINING);
    cr_expect(scoreboard_read(board, index, &view) && view.master.state == SCOREBOARD_DRAINING);
    master.start_ticks = 5;
    scoreboard_set_master(board, index, &master);
    cr_expect(scoreboard_read(board, index, &view) && view.master.start_ticks == 5);
}

Test(scoreboard, states_have_names)
{
    cr_expect_str_eq(scoreboard_state_name(SCOREBOARD_FREE), "free");
    cr_expect_str_eq(scoreboard_state_name(SCOREBOARD_SERVING), "serving");
    cr_expect_str_eq(scoreboard_state_name(SCOREBOARD_DEAD), "dead");
    cr_expect_str_eq(scoreboard_state_name(SCOREBOARD_STATE_COUNT), "?");
    cr_expect_str_eq(scoreboard_state_name((enum scoreboard_state) - 1), "?");
}

static pid_t start_sleeper(void)
{
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    return pid;
}

Test(scoreboard, a_slot_is_used_again_only_when_its_process_is_gone)
{
    pid_t pid = start_sleeper();
    struct scoreboard_master master = rig_master_of(pid, UUID);
    int index = rig_claim(), second, third;

    scoreboard_set_master(board, index, &master);
    scoreboard_release(board, index);
    cr_expect(!scoreboard_read(board, index, &view), "it is free to look at");
    second = rig_claim();
    cr_expect(second != index, "its process still lives");
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    third = rig_claim();
    cr_expect(third == index);
    cr_expect(scoreboard_read(board, third, &view) && view.master.pid == 0 &&
                  view.master.uuid[0] == '\0',
              "emptied");
}

Test(scoreboard, a_reused_pid_does_not_keep_a_slot)
{
    struct scoreboard_master master = rig_master_of(getpid(), UUID);
    int index = rig_claim();

    master.start_ticks = 1; /* not ours */
    scoreboard_set_master(board, index, &master);
    scoreboard_release(board, index);
    cr_expect(rig_claim() == index);
}

Test(scoreboard, a_released_slot_is_empty_for_the_next)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    struct scoreboard_master master = rig_master_of(0, OTHER_UUID);

    scoreboard_set(slot, SCOREBOARD_RUNNING, 5);
    scoreboard_count_time(slot, SCOREBOARD_RUN_US, 100);
    cr_expect(rig_begin(slot, "1") == 0);
    scoreboard_detach(slot);
    scoreboard_set_master(board, index, &master);
    scoreboard_release(board, index);
    scoreboard_release(board, index);
    cr_expect(rig_claim() == index && scoreboard_read(board, index, &view));
    cr_expect(view.jobs_count == 0 && view.counters[SCOREBOARD_RUNNING] == 0 &&
              view.counters[SCOREBOARD_BEAT_MS] == 0);
    cr_expect(scoreboard_percentile_us(view.histograms[SCOREBOARD_RUN_US], 0.5) == 0);
}

Test(scoreboard, when_all_slots_are_taken_it_says_so)
{
    struct error err = { 0 };

    for (int i = 0; i < SCOREBOARD_SLOTS; i++)
        cr_assert(scoreboard_claim(board, &err) == i);
    cr_expect(scoreboard_claim(board, &err) == -EUSERS);
    cr_expect(strstr(err.text, "4096"));
    scoreboard_release(board, 1234);
    cr_expect(rig_claim() == 1234);
    cr_expect(scoreboard_claim(board, &err) == -EUSERS);
}

Test(scoreboard, another_mapping_sees_and_goes_on)
{
    struct scoreboard *taken_over = NULL;
    int fd = fcntl(scoreboard_fd(board), F_DUPFD_CLOEXEC, 0);
    int index = rig_claim_own();

    cr_assert(fd >= 0 && scoreboard_open(fd, &taken_over, NULL) == 0);
    cr_expect(scoreboard_fd(taken_over) == fd);
    cr_expect(scoreboard_read(taken_over, index, &view) && view.master.pid == getpid());
    cr_expect(scoreboard_claim(taken_over, NULL) == index + 1);
    scoreboard_free(taken_over);
    scoreboard_free(NULL);
}

Test(scoreboard, memory_is_only_taken_by_what_is_used)
{
    struct scoreboard_slot *slot;
    int index;

    cr_expect(memory_bytes() <= 4096, "%zu", memory_bytes());
    for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
        cr_expect(!scoreboard_read(board, i, &view));
        cr_expect(scoreboard_counter(board, i, SCOREBOARD_RUNNING) == 0);
    }
    cr_expect(memory_bytes() <= 8192, "looking at free slots costs nothing: %zu", memory_bytes());
    index = rig_claim_own();
    slot = rig_attach(index);
    cr_assert(rig_begin(slot, "1") == 0);
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == 1);
    cr_expect(memory_bytes() <= 8192 + 3 * 4096, "nor does reading one make all of it real: %zu",
              memory_bytes());
    scoreboard_detach(slot);
    scoreboard_set_master(board, index, &(struct scoreboard_master){ 0 });
    scoreboard_release(board, index);
    cr_expect(memory_bytes() <= 8192, "given back: %zu", memory_bytes());
}

/* ---- the child's half */

Test(scoreboard, what_a_child_writes_is_read)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    uint64_t before_ms = clock_boot_ms();
    int first, second;

    scoreboard_set(slot, SCOREBOARD_JOB_SLOTS, 10);
    scoreboard_add(slot, SCOREBOARD_COMPLETED, 2);
    scoreboard_add(slot, SCOREBOARD_COMPLETED, 3);
    scoreboard_set(slot, SCOREBOARD_FLAGS, SCOREBOARD_REDIS_UP | SCOREBOARD_MAXED);
    first = scoreboard_job_begin(slot, "17", 2, "charge", 6, 3);
    second = rig_begin(slot, "18");
    scoreboard_job_set_pid(slot, second, 4711);
    cr_assert(scoreboard_read(board, index, &view));
    cr_expect(view.counters[SCOREBOARD_JOB_SLOTS] == 10);
    cr_expect(view.counters[SCOREBOARD_COMPLETED] == 5);
    cr_expect(view.counters[SCOREBOARD_FLAGS] == (SCOREBOARD_REDIS_UP | SCOREBOARD_MAXED));
    cr_expect(scoreboard_counter(board, index, SCOREBOARD_COMPLETED) == 5);
    cr_expect(view.counters[SCOREBOARD_BEAT_MS] >= before_ms);
    cr_assert(view.jobs_count == 2);
    cr_expect_str_eq(view.jobs[0].id, "17");
    cr_expect_str_eq(view.jobs[0].type, "charge");
    cr_expect(view.jobs[0].attempt == 3 && view.jobs[0].pid == 0);
    cr_expect(view.jobs[0].started_boot_ms >= before_ms &&
              view.jobs[0].started_boot_ms <= clock_boot_ms());
    cr_expect_str_eq(view.jobs[1].id, "18");
    cr_expect(view.jobs[1].pid == 4711);
    scoreboard_job_end(slot, first);
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == 1);
    cr_expect_str_eq(view.jobs[0].id, "18");
    cr_expect(rig_begin(slot, "19") == first, "the lowest free row");
    scoreboard_detach(slot);
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == 2,
              "what a child wrote outlives it");
}

Test(scoreboard, every_way_to_be_alive_beats)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    uint64_t beat_ms;

    scoreboard_set(slot, SCOREBOARD_RUNNING, 0);
    beat_ms = scoreboard_counter(board, index, SCOREBOARD_BEAT_MS);
    clock_shift_for_tests(100);
    cr_expect(rig_begin(slot, "1") == 0);
    cr_expect(scoreboard_counter(board, index, SCOREBOARD_BEAT_MS) >= beat_ms + 100);
    clock_shift_for_tests(100);
    scoreboard_set(slot, SCOREBOARD_RUNNING, 1);
    cr_expect(scoreboard_counter(board, index, SCOREBOARD_BEAT_MS) >= beat_ms + 200);
    scoreboard_set(slot, SCOREBOARD_BEAT_MS, 5);
    cr_expect(scoreboard_counter(board, index, SCOREBOARD_BEAT_MS) == 5);
    scoreboard_detach(slot);
}

Test(scoreboard, more_jobs_than_rows_are_not_shown)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);

    for (int i = 0; i < SCOREBOARD_JOBS; i++)
        cr_assert(rig_begin(slot, "1") == i);
    cr_expect(rig_begin(slot, "2") == -1);
    scoreboard_job_set_pid(slot, -1, 1);
    scoreboard_job_end(slot, -1);
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == SCOREBOARD_JOBS);
    scoreboard_job_end(slot, 100);
    cr_expect(rig_begin(slot, "3") == 100);
    for (int i = 0; i < SCOREBOARD_JOBS; i++)
        scoreboard_job_end(slot, i);
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == 0);
    scoreboard_detach(slot);
}

Test(scoreboard, a_row_that_is_not_in_use_is_our_mistake, .signal = SIGABRT)
{
    scoreboard_job_end(rig_attach(rig_claim_own()), 3);
}

Test(scoreboard, long_texts_are_cut_between_characters)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        { "", "" },
        { "123456789-123456789-123456789-123456789-123456789-123456789-123",
          "123456789-123456789-123456789-123456789-123456789-123456789-123" },
        { "123456789-123456789-123456789-123456789-123456789-123456789-1234",
          "123456789-123456789-123456789-123456789-123456789-123456789-123" },
        { "123456789-123456789-123456789-123456789-123456789-123456789-12\u20acx",
          "123456789-123456789-123456789-123456789-123456789-123456789-12" },
        { "123456789-123456789-123456789-123456789-123456789-123456789-\u20acx",
          "123456789-123456789-123456789-123456789-123456789-123456789-\u20ac" },
        { "\xff"
          "23456789-123456789-123456789-123456789-123456789-123456789-1234",
          "\xff"
          "23456789-123456789-123456789-123456789-123456789-123456789-123" },
    };
    struct scoreboard_slot *slot = rig_attach(rig_claim_own());

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int row = rig_begin(slot, rows[i].text);

        cr_assert(scoreboard_read(board, 0, &view) && view.jobs_count == 1, "row %zu", i);
        cr_expect_str_eq(view.jobs[0].id, rows[i].shown, "row %zu: %s", i, view.jobs[0].id);
        scoreboard_job_end(slot, row);
    }
    scoreboard_detach(slot);
}

Test(scoreboard, a_worker_without_a_scoreboard_works)
{
    scoreboard_set(NULL, SCOREBOARD_RUNNING, 1);
    scoreboard_add(NULL, SCOREBOARD_COMPLETED, 1);
    scoreboard_count_time(NULL, SCOREBOARD_RUN_US, 1);
    cr_expect(scoreboard_job_begin(NULL, "1", 1, "t", 1, 1) == -1);
    scoreboard_job_set_pid(NULL, 0, 1);
    scoreboard_job_end(NULL, 0);
    scoreboard_detach(NULL);
}

Test(scoreboard, times_fall_into_buckets_of_powers_of_two)
{
    static const struct {
        uint64_t us;
        int bucket;
    } rows[] = {
        { 0, 0 },
        { 1, 1 },
        { 2, 2 },
        { 3, 2 },
        { 4, 3 },
        { 1023, 10 },
        { 1024, 11 },
        { (UINT64_C(1) << 38) - 1, 38 },
        { UINT64_C(1) << 38, 39 },
        { UINT64_C(1) << 39, 39 },
        { UINT64_MAX, 39 },
    };
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t before;

        cr_assert(scoreboard_read(board, index, &view));
        before = view.histograms[SCOREBOARD_CALL_US][rows[i].bucket];
        scoreboard_count_time(slot, SCOREBOARD_CALL_US, rows[i].us);
        cr_assert(scoreboard_read(board, index, &view));
        cr_expect(view.histograms[SCOREBOARD_CALL_US][rows[i].bucket] == before + 1, "row %zu", i);
        cr_expect(view.histograms[SCOREBOARD_RUN_US][rows[i].bucket] == 0, "row %zu", i);
    }
    scoreboard_detach(slot);
}

Test(scoreboard, percentiles_are_the_upper_bound_of_their_bucket)
{
    static const struct {
        const char *name;
        uint64_t buckets[SCOREBOARD_BUCKETS];
        double share;
        uint64_t us;
    } rows[] = {
        { "nothing counted", { 0 }, 0.5, 0 },
        { "below a microsecond", { [0] = 3 }, 0.5, 1 },
        { "one time, least", { [10] = 1 }, 0, 1023 },
        { "one time, middle", { [10] = 1 }, 0.5, 1023 },
        { "one time, most", { [10] = 1 }, 1, 1023 },
        { "half and half, middle", { [3] = 50, [10] = 50 }, 0.5, 7 },
        { "half and half, just above", { [3] = 50, [10] = 50 }, 0.51, 1023 },
        { "1 of 100 is slow, p99", { [3] = 99, [10] = 1 }, 0.99, 7 },
        { "2 of 100 are slow, p99", { [3] = 98, [10] = 2 }, 0.99, 1023 },
        { "1 of 3 is slow, p50", { [3] = 2, [10] = 1 }, 0.5, 7 },
        { "2 of 3 are slow, p50", { [3] = 1, [10] = 2 }, 0.5, 1023 },
        { "the last bucket", { [39] = 1 }, 0.5, (UINT64_C(1) << 39) - 1 },
        { "share above 1", { [3] = 1, [10] = 1 }, 7, 1023 },
        { "share below 0", { [3] = 1, [10] = 1 }, -7, 7 },
        { "share that is none", { [3] = 1, [10] = 1 }, __builtin_nan(""), 7 },
        { "all words full", { [3] = UINT64_MAX }, 0.999, 7 },
        { "a sum that wraps", { [3] = UINT64_MAX, [4] = 1 }, 0.5, 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(scoreboard_percentile_us(rows[i].buckets, rows[i].share) == rows[i].us,
                  "%s: %llu", rows[i].name,
                  (unsigned long long)scoreboard_percentile_us(rows[i].buckets, rows[i].share));
}

Test(scoreboard, the_bytes_are_where_the_protocol_page_says)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    struct {
        uint32_t sequence, state;
        int32_t pid;
        uint32_t slot;
        uint64_t start_ticks, spawned_at_ms;
        uint32_t generation, reserved;
        char uuid[40], queue[136];
    } master;
    struct {
        uint32_t sequence, used;
        int32_t pid;
        uint32_t reserved;
        uint64_t started_boot_ms, attempt;
        char id[64], type[64];
    } row;
    uint32_t head[10], rows_used;
    uint64_t word;
    unsigned char use;

    cr_assert(pread(scoreboard_fd(board), head, sizeof head, 0) == sizeof head);
    cr_expect(head[0] == 0x53565244 && head[1] == 2 && head[2] == SLOTS_OFFSET &&
              head[3] == SLOT_BYTES && head[4] == 4096 && head[5] == 14 && head[6] == 3 &&
              head[7] == 40 && head[8] == 128 && head[9] == 0);
    cr_assert(pread(scoreboard_fd(board), &use, 1, 4096 + index) == 1);
    cr_expect(use == 1);
    rig_get_bytes(index, 0, &master, sizeof master);
    cr_expect(master.sequence % 2 == 0 && master.sequence > 0 && master.pid == getpid());
    cr_expect(master.state == SCOREBOARD_SERVING && master.slot == 3 && master.generation == 7);
    cr_expect(master.start_ticks > 0 && master.spawned_at_ms == 1234567890123);
    cr_expect_str_eq(master.uuid, UUID);
    cr_expect_str_eq(master.queue, "money");
    scoreboard_set(slot, SCOREBOARD_CALLS, 77);
    scoreboard_count_time(slot, SCOREBOARD_WAIT_US, 3);
    cr_expect(rig_begin(slot, "0") == 0 && rig_begin(slot, "one") == 1);
    scoreboard_job_set_pid(slot, 1, 99);
    rig_get_bytes(index, CHILD_OFFSET + 8 * SCOREBOARD_CALLS, &word, sizeof word);
    cr_expect(word == 77);
    rig_get_bytes(index, HISTOGRAMS_OFFSET + 8 * (40 + 2), &word, sizeof word);
    cr_expect(word == 1);
    rig_get_bytes(index, ROWS_USED_OFFSET, &rows_used, sizeof rows_used);
    cr_expect(rows_used == 2);
    rig_get_bytes(index, ROWS_OFFSET + ROW_BYTES, &row, sizeof row);
    cr_expect(row.sequence % 2 == 0 && row.used == 1 && row.pid == 99 && row.attempt == 1);
    cr_expect(row.started_boot_ms > 0);
    cr_expect_str_eq(row.id, "one");
    cr_expect_str_eq(row.type, "charge");
    scoreboard_detach(slot);
}
