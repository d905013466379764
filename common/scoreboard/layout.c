#include "common/scoreboard/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/text.h"

#define NEEDED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define READ_TRIES   100 /* of a text that changes while it is read, or whose writer died */

bool layout_copy_untorn(void *copy, const void *shared, size_t bytes, const uint32_t *sequence)
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

void layout_put_text(char *out, size_t room, const char *text, size_t len)
{
    size_t kept = len < room ? len : room - 1;

    if (kept < len) { /* cut before a character that does not fit as a whole */
        size_t whole = text_utf8_prefix(text, kept);

        kept = kept - whole < 4 ? whole : kept;
    }
    memcpy(out, text, kept);
    memset(out + kept, 0, room - kept);
}

void layout_read_master(const struct master_part *shared, struct scoreboard_master *out_master)
{
    struct master_part part;

    (void)layout_copy_untorn(&part, shared, sizeof part, &shared->sequence);
    *out_master = (struct scoreboard_master){ .pid = part.pid,
                                              .start_ticks = part.start_ticks,
                                              .slot = part.slot,
                                              .generation = part.generation,
                                              .state = part.state,
                                              .spawned_at_ms = part.spawned_at_ms };
    memcpy(out_master->uuid, part.uuid, sizeof out_master->uuid - 1);
    memcpy(out_master->queue, part.queue, sizeof out_master->queue - 1);
}

int layout_make(struct error *err)
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
    const struct board_life life = { .made_at_ms = clock_wall_ms() };
    _cleanup_(closep) int fd = memfd_create("drover-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return error_set(err, -errno, "memfd_create: %s", strerror(errno));
    if (ftruncate(fd, sizeof(struct board_memory)) < 0)
        return error_set(err, -errno, "size the scoreboard: %s", strerror(errno));
    if (pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        pwrite(fd, &life, sizeof life, offsetof(struct board_memory, life)) != (ssize_t)sizeof life)
        return error_set(err, -EIO, "write the head of the scoreboard");
    if (fcntl(fd, F_ADD_SEALS, NEEDED_SEALS | F_SEAL_SEAL) < 0)
        return error_set(err, -errno, "seal the scoreboard: %s", strerror(errno));
    return TAKE_FD(fd);
}

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

int layout_check(int fd, struct error *err)
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

void layout_unmap(struct mapping *mapping)
{
    if (mapping->base)
        (void)munmap(mapping->base, mapping->bytes); /* it is what mmap gave */
    *mapping = (struct mapping){ 0 };
}

void *layout_map(int fd, size_t offset, size_t bytes, int protection, struct mapping *out_mapping)
{
    size_t before = offset % (size_t)sysconf(_SC_PAGESIZE);
    void *base = mmap(NULL, before + bytes, protection, MAP_SHARED, fd, (off_t)(offset - before));

    if (base == MAP_FAILED)
        return NULL;
    *out_mapping = (struct mapping){ .base = base, .bytes = before + bytes };
    return (unsigned char *)base + before;
}
