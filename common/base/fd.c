#include "common/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/text.h"

#define FD_READ_BYTES 65536

/* One read that goes on after EINTR; offset < 0: from the current place. */
static ssize_t read_some(int fd, void *bytes, size_t len, off_t offset)
{
    ssize_t got;

    do {
        got = offset < 0 ? read(fd, bytes, len) : pread(fd, bytes, len, offset);
    } while (got < 0 && errno == EINTR);
    return got;
}

static int read_to_end(int fd, off_t offset, struct buf *out, struct error *err)
{
    for (;;) {
        size_t room = out->max - out->len < FD_READ_BYTES ? out->max - out->len : FD_READ_BYTES;
        char probe;
        ssize_t got;

        if (room > 0 && buf_reserve(out, room) < 0)
            return error_set(err, -ENOMEM, "no memory for %zu bytes", out->len + room);
        got = room > 0 ? read_some(fd, out->data + out->len, room, offset)
                       : read_some(fd, &probe, 1, offset);
        if (got < 0)
            return error_set(err, -errno, "read: %s", strerror(errno));
        if (got == 0)
            return 0;
        if (room == 0)
            return error_set(err, -EFBIG, "larger than the limit of %zu bytes", out->max);
        out->len += (size_t)got;
        out->data[out->len] = '\0';
        if (offset >= 0)
            offset += got;
    }
}

int fd_read_all(int fd, struct buf *out, struct error *err)
{
    return read_to_end(fd, -1, out, err);
}

int fd_read_file(const char *path, struct buf *out, struct error *err)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return error_set(err, -errno, "open %s: %s", path, strerror(errno));
    if (fd_read_all(fd, out, err) < 0)
        return err ? error_wrap(err, "%s", path) : -EIO;
    return 0;
}

int fd_write_all(int fd, const void *bytes, size_t len, struct error *err)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t wrote = write(fd, at, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return error_set(err, -errno, "write: %s", strerror(errno));
        at += wrote;
        len -= (size_t)wrote;
    }
    return 0;
}

int fd_sealed_memory(const char *name, const void *bytes, size_t len, struct error *err)
{
    _cleanup_(closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result;

    if (fd < 0)
        return error_set(err, -errno, "memfd_create %s: %s", name, strerror(errno));
    result = fd_write_all(fd, bytes, len, err);
    if (result < 0)
        return result;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_set(err, -errno, "seal %s: %s", name, strerror(errno));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, -errno, "rewind %s: %s", name, strerror(errno));
    return TAKE_FD(fd);
}

int fd_read_sealed(int fd, struct buf *out, struct error *err)
{
    const int needed = F_SEAL_WRITE | F_SEAL_SHRINK;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0)
        return error_set(err, -errno, "descriptor %d is not sealed memory: %s", fd,
                         strerror(errno));
    if ((seals & needed) != needed)
        return error_set(err, -EPERM, "descriptor %d is not sealed against writing and shrinking",
                         fd);
    return read_to_end(fd, 0, out, err);
}

int fd_set_cloexec(int fd, struct error *err)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return error_set(err, -errno, "mark descriptor %d close-on-exec: %s", fd, strerror(errno));
    return 0;
}

static void cloexec_one_by_one(int from)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t number;

    while (dir && (entry = readdir(dir))) {
        if (text_parse_uint(entry->d_name, strlen(entry->d_name), &number) == 0 &&
            number <= INT32_MAX && (int)number >= from)
            (void)fcntl((int)number, F_SETFD, FD_CLOEXEC); /* it may be closed meanwhile */
    }
    if (dir)
        (void)closedir(dir);
}

void fd_cloexec_from(int from)
{
    if (close_range((unsigned int)from, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        cloexec_one_by_one(from); /* Linux before 5.11 */
}
