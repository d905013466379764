/* Who is refused, and that no content of the scoreboard stops or crashes a reader. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "tests/unit/scoreboard/board_rig.h"

TestSuite(distrust, .init = rig_set_up, .fini = rig_tear_down);

/* ---- who is refused */

struct faked_head {
    uint32_t words[10];
};

static int make_fake(const struct faked_head *head, off_t bytes, unsigned int seals)
{
    int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert(fd >= 0 && pwrite(fd, head, sizeof *head, 0) == sizeof *head);
    cr_assert(ftruncate(fd, bytes) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void expect_refused(const char *name, int fd, const char *text)
{
    struct scoreboard_slot *slot = (void *)1;
    struct scoreboard *opened = (void *)1;
    struct error err = { 0 };

    cr_expect(scoreboard_attach(fd, 0, UUID, &slot, &err) == -EPROTO, "%s", name);
    cr_expect(strstr(err.text, text), "%s: %s", name, err.text);
    err.text[0] = '\0';
    cr_expect(scoreboard_open(fd, &opened, &err) == -EPROTO, "%s", name);
    cr_expect(strstr(err.text, text), "%s: %s", name, err.text);
    cr_expect(slot == (void *)1 && opened == (void *)1, "%s: no outputs on failure", name);
}

Test(distrust, another_object_is_refused_and_named)
{
    static const unsigned int sealed = F_SEAL_SHRINK | F_SEAL_GROW;
    static const struct {
        const char *name;
        size_t word;
        uint32_t value;
        off_t bytes;
        unsigned int seals;
        const char *text;
    } rows[] = {
        { "magic", 0, 0x43565244, BOARD_BYTES, sealed,
          "not a scoreboard (it begins with 0x43565244)" },
        { "next version", 1, 3, BOARD_BYTES, sealed, "version 3; this program knows version 2" },
        { "the version before, of another size", 1, 1, 117448704, sealed, "version 1;" },
        { "next version of another size", 1, 3, 8192, sealed, "version 3;" },
        { "offset", 2, 4096, BOARD_BYTES, sealed, "another layout" },
        { "slot bytes", 3, 4096, BOARD_BYTES, sealed, "another layout" },
        { "slots", 4, 4097, BOARD_BYTES, sealed, "another layout" },
        { "counters", 5, 15, BOARD_BYTES, sealed, "another layout" },
        { "histograms", 6, 4, BOARD_BYTES, sealed, "another layout" },
        { "buckets", 7, 41, BOARD_BYTES, sealed, "another layout" },
        { "jobs", 8, 129, BOARD_BYTES, sealed, "another layout" },
        { "shorter", 9, 0, BOARD_BYTES - 1, sealed, "bytes instead of" },
        { "longer", 9, 0, BOARD_BYTES + 1, sealed, "bytes instead of" },
        { "no head", 9, 0, 39, sealed, "39 bytes" },
        { "empty", 9, 0, 0, sealed, "0 bytes" },
        { "not sealed", 9, 0, BOARD_BYTES, 0, "not sealed" },
        { "may shrink", 9, 0, BOARD_BYTES, F_SEAL_GROW, "not sealed" },
        { "may grow", 9, 0, BOARD_BYTES, F_SEAL_SHRINK, "not sealed" },
    };
    struct faked_head good;

    cr_assert(pread(scoreboard_fd(board), &good, sizeof good, 0) == sizeof good);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct faked_head head = good;
        int fd;

        head.words[rows[i].word] = rows[i].value;
        fd = make_fake(&head, rows[i].bytes, rows[i].seals);
        expect_refused(rows[i].name, fd, rows[i].text);
        (void)close(fd);
    }
}

Test(distrust, what_is_no_memory_is_refused)
{
    int fds[2], zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    cr_assert(pipe2(fds, O_CLOEXEC) == 0 && zero >= 0);
    expect_refused("a pipe", fds[0], "not a scoreboard");
    expect_refused("zeros", zero, "not a scoreboard");
    expect_refused("nothing", 9999, "not a scoreboard");
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(zero);
}

Test(distrust, a_slot_of_somebody_else_is_refused)
{
    static const struct {
        int index;
        const char *uuid, *text;
    } rows[] = {
        { 0, OTHER_UUID, "slot 0 of the scoreboard: the slot is of \"" UUID "\"" },
        { 1, UUID, "slot 1" },
        { -1, UUID, "no slot -1" },
        { SCOREBOARD_SLOTS, UUID, "no slot 4096" },
        { INT32_MAX, UUID, "no slot" },
    };

    cr_assert(rig_claim_own() == 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scoreboard_slot *slot = NULL;
        struct error err = { 0 };

        cr_expect(scoreboard_attach(scoreboard_fd(board), rows[i].index, rows[i].uuid, &slot,
                                    &err) == -EPROTO,
                  "row %zu", i);
        cr_expect(strstr(err.text, rows[i].text), "row %zu: %s", i, err.text);
        cr_expect(slot == NULL, "row %zu", i);
        cr_expect(scoreboard_attach(scoreboard_fd(board), rows[i].index, rows[i].uuid, &slot,
                                    NULL) == -EPROTO);
    }
}

/* ---- a reader trusts nothing */

/* Writes rows in which every byte says the same, as fast as it can, for ever. */
static void write_rows(int index)
{
    struct scoreboard_slot *slot = rig_attach(index);
    char text[SCOREBOARD_TEXT_BYTES - 1];
    int kept = scoreboard_job_begin(slot, "kept", 4, "kept", 4, 1);

    for (unsigned int i = 0;; i++) {
        int row;

        memset(text, (int)('a' + i % 26), sizeof text);
        row = scoreboard_job_begin(slot, text, sizeof text, text, sizeof text, 'a' + i % 26);
        scoreboard_add(slot, SCOREBOARD_COMPLETED, 1);
        scoreboard_job_end(slot, row);
        if (kept < 0)
            _exit(1);
    }
}

static bool is_whole(const struct scoreboard_job *job)
{
    if (strcmp(job->id, "kept") == 0)
        return strcmp(job->type, "kept") == 0;
    for (int i = 0; i < SCOREBOARD_TEXT_BYTES - 1; i++) {
        if ((unsigned char)job->id[i] != job->attempt ||
            (unsigned char)job->type[i] != job->attempt)
            return false;
    }
    return job->id[SCOREBOARD_TEXT_BYTES - 1] == '\0' &&
           job->type[SCOREBOARD_TEXT_BYTES - 1] == '\0';
}

Test(distrust, a_reader_beside_a_writer_sees_whole_rows)
{
    int index = rig_claim_own();
    pid_t pid = fork();
    uint64_t end_ms = clock_now_ms() + 10000, last = 0;
    size_t seen = 0;

    cr_assert(pid >= 0);
    if (pid == 0)
        write_rows(index);
    while (seen < 20000 && clock_now_ms() < end_ms) {
        cr_assert(scoreboard_read(board, index, &view));
        cr_assert(view.jobs_count <= 2);
        for (size_t i = 0; i < view.jobs_count; i++) {
            cr_assert(is_whole(&view.jobs[i]), "torn: %s %s", view.jobs[i].id, view.jobs[i].type);
            seen++;
        }
        cr_assert(view.counters[SCOREBOARD_COMPLETED] >= last);
        last = view.counters[SCOREBOARD_COMPLETED];
    }
    cr_expect(seen >= 20000 && last > 0, "%zu rows, %llu written", seen, (unsigned long long)last);
    (void)kill(pid, SIGKILL);
    cr_expect(waitpid(pid, NULL, 0) == pid);
}

Test(distrust, a_writer_that_died_while_writing_stops_nobody)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    const uint32_t odd = 7;

    cr_expect(rig_begin(slot, "1") == 0 && rig_begin(slot, "2") == 1);
    scoreboard_detach(slot);
    rig_put_bytes(index, ROWS_OFFSET, &odd, sizeof odd);
    rig_put_bytes(index, 0, &odd, sizeof odd);
    cr_assert(scoreboard_read(board, index, &view));
    cr_expect(view.jobs_count == 1, "the half written row is left out");
    cr_expect_str_eq(view.jobs[0].id, "2");
    cr_expect_str_eq(view.master.uuid, UUID);
    slot = rig_attach(index);
    cr_expect(rig_begin(slot, "3") == 0, "the next writer makes it whole");
    cr_expect(scoreboard_read(board, index, &view) && view.jobs_count == 2);
    scoreboard_detach(slot);
}

Test(distrust, texts_without_an_end_end_at_their_room)
{
    int index = rig_claim_own();
    struct scoreboard_slot *slot = rig_attach(index);
    char text[SCOREBOARD_QUEUE_BYTES];

    memset(text, 'x', sizeof text);
    cr_expect(rig_begin(slot, "1") == 0);
    rig_put_bytes(index, ROWS_OFFSET + 32, text, 64);
    rig_put_bytes(index, ROWS_OFFSET + 96, text, 64);
    rig_put_bytes(index, 40, text, 40);
    rig_put_bytes(index, 80, text, 136);
    cr_assert(scoreboard_read(board, index, &view) && view.jobs_count == 1);
    cr_expect(strlen(view.jobs[0].id) == 63 && strlen(view.jobs[0].type) == 63);
    cr_expect(strlen(view.master.uuid) == 36 && strlen(view.master.queue) == 135);
    scoreboard_detach(slot);
}

static void check_view(void)
{
    cr_expect(view.jobs_count <= SCOREBOARD_JOBS);
    for (size_t i = 0; i < view.jobs_count; i++)
        cr_expect(strlen(view.jobs[i].id) < SCOREBOARD_TEXT_BYTES &&
                  strlen(view.jobs[i].type) < SCOREBOARD_TEXT_BYTES);
    cr_expect(strlen(view.master.uuid) < UUID_TEXT_BYTES &&
              strlen(view.master.queue) < SCOREBOARD_QUEUE_BYTES);
    for (int i = 0; i < SCOREBOARD_HISTOGRAM_COUNT; i++)
        cr_expect(scoreboard_percentile_us(view.histograms[i], 0.99) < UINT64_C(1) << 40);
    cr_expect(scoreboard_state_name((enum scoreboard_state)view.master.state) != NULL);
}

Test(distrust, any_bytes_are_read)
{
    static unsigned char bytes[SLOT_BYTES];
    int index = rig_claim_own();
    unsigned int random = 1;

    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(round == 0 ? 0xff : rand_r(&random));
        rig_put_bytes(index, 0, bytes, sizeof bytes);
        cr_assert(scoreboard_read(board, index, &view));
        check_view();
    }
    scoreboard_release(board, index); /* the pid is a lie as well */
}
