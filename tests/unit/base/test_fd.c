#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/base/fd.h"

Test(fd, sealed_memory_is_what_was_given_and_cannot_change)
{
    static const char bytes[] = "{\"version\":1}";
    struct buf read_back = BUF_INIT(100);
    int fd = fd_sealed_memory("config", bytes, sizeof bytes - 1, NULL);

    cr_assert(fd >= 0);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_expect(write(fd, "x", 1) == -1 && errno == EPERM);
    cr_expect(ftruncate(fd, 1) == -1 && errno == EPERM);
    cr_expect(ftruncate(fd, 100) == -1 && errno == EPERM);
    for (int i = 0; i < 2; i++) { /* the offset does not move: a second reader sees it all too */
        buf_reset(&read_back);
        cr_expect(fd_read_sealed(fd, &read_back, NULL) == 0);
        cr_expect_str_eq(buf_text(&read_back), bytes);
    }
    cr_expect(lseek(fd, 0, SEEK_CUR) == 0);
    buf_done(&read_back);
    (void)close(fd);
}

Test(fd, sealed_memory_may_be_empty)
{
    struct buf read_back = BUF_INIT(10);
    int fd = fd_sealed_memory("empty", "", 0, NULL);

    cr_assert(fd >= 0);
    cr_expect(fd_read_sealed(fd, &read_back, NULL) == 0);
    cr_expect(read_back.len == 0);
    buf_done(&read_back);
    (void)close(fd);
}

Test(fd, refuses_memory_that_may_change)
{
    static const struct {
        const char *name;
        int seals;
        int result;
    } rows[] = {
        { "none", 0, -EPERM },
        { "shrink only", F_SEAL_SHRINK, -EPERM },
        { "write only", F_SEAL_WRITE, -EPERM },
        { "both", F_SEAL_WRITE | F_SEAL_SHRINK, 0 },
    };
    struct error err = { 0 };
    int pipes[2];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf out = BUF_INIT(10);
        int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        cr_assert(fd >= 0 && fcntl(fd, F_ADD_SEALS, rows[i].seals) == 0);
        cr_expect(fd_read_sealed(fd, &out, &err) == rows[i].result, "%s", rows[i].name);
        buf_done(&out);
        (void)close(fd);
    }
    cr_assert(pipe(pipes) == 0);
    struct buf out = BUF_INIT(10);

    cr_expect(fd_read_sealed(pipes[0], &out, &err) < 0, "a pipe is no sealed memory");
    cr_expect(fd_read_sealed(-1, &out, &err) == -EBADF);
}

Test(fd, reading_stops_at_the_limit)
{
    int fd = fd_sealed_memory("ten", "0123456789", 10, NULL);
    struct error err = { 0 };

    for (size_t max = 9; max <= 11; max++) {
        struct buf out = BUF_INIT(max);
        int result = fd_read_sealed(fd, &out, &err);

        cr_expect(result == (max < 10 ? -EFBIG : 0), "max %zu: %d", max, result);
        buf_done(&out);
    }
    cr_expect(strstr(err.text, "limit of 9 bytes"), "%s", err.text);
    (void)close(fd);
}

Test(fd, reads_a_file_and_names_it_in_errors)
{
    char path[] = "/tmp/drover-test-XXXXXX";
    int fd = mkstemp(path);
    struct buf out = BUF_INIT(300000);
    struct error err = { 0 };
    char *block = calloc(1, 200000);

    cr_assert(fd >= 0 && block);
    memset(block, 'b', 200000); /* several reads */
    cr_assert(fd_write_all(fd, block, 200000, &err) == 0);
    cr_expect(fd_read_file(path, &out, &err) == 0);
    cr_expect(out.len == 200000 && memcmp(out.data, block, 200000) == 0);
    (void)close(fd);
    cr_assert(unlink(path) == 0);
    cr_expect(fd_read_file(path, &out, &err) == -ENOENT);
    cr_expect(strstr(err.text, path), "%s", err.text);
    cr_expect(fd_read_file("/", &out, &err) == -EISDIR);
    cr_expect(strstr(err.text, "/: read"), "%s", err.text);
    cr_expect(fd_read_file("/", &out, NULL) < 0);
    buf_done(&out);
    free(block);
}

/* A pipe takes 64 KiB at once: what is more is written in several steps while the child reads. */
Test(fd, writes_all_over_short_writes)
{
    enum { BYTES = 1000000 };
    int pipes[2], status = 0;
    char *block = calloc(1, BYTES);
    pid_t reader;

    cr_assert(block && pipe(pipes) == 0);
    for (int i = 0; i < BYTES; i++)
        block[i] = (char)(i * 7);
    reader = fork();
    cr_assert(reader >= 0);
    if (reader == 0) {
        struct buf out = BUF_INIT(BYTES);

        (void)close(pipes[1]);
        _exit(fd_read_all(pipes[0], &out, NULL) == 0 && out.len == BYTES &&
                      memcmp(out.data, block, BYTES) == 0
                  ? 0
                  : 1);
    }
    (void)close(pipes[0]);
    cr_expect(fd_write_all(pipes[1], block, BYTES, NULL) == 0);
    (void)close(pipes[1]);
    cr_expect(waitpid(reader, &status, 0) == reader);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(block);
}

Test(fd, says_when_nobody_reads)
{
    struct error err = { 0 };
    int pipes[2];

    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert(pipe(pipes) == 0);
    (void)close(pipes[0]);
    cr_expect(fd_write_all(pipes[1], "x", 1, &err) == -EPIPE);
    cr_expect(fd_write_all(pipes[1], "", 0, &err) == 0);
}

Test(fd, marks_close_on_exec)
{
    int low = dup(0), high = fcntl(0, F_DUPFD, 100);
    struct error err = { 0 };

    cr_assert(low >= 0 && high >= 100);
    cr_expect(!(fcntl(low, F_GETFD) & FD_CLOEXEC));
    cr_expect(fd_set_cloexec(low, &err) == 0);
    cr_expect(fcntl(low, F_GETFD) & FD_CLOEXEC);
    fd_cloexec_from(high + 1);
    cr_expect(!(fcntl(high, F_GETFD) & FD_CLOEXEC));
    fd_cloexec_from(high);
    cr_expect(fcntl(high, F_GETFD) & FD_CLOEXEC);
    cr_expect(fd_set_cloexec(-1, &err) == -EBADF);
    cr_expect(err.text[0]);
}
