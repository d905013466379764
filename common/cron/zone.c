#include "common/cron/zone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/base/text.h"
#include "common/cron/tzif.h"

#define ZONE_FILES     "/usr/share/zoneinfo"
#define LOCAL_FILE     "/etc/localtime"
#define FILE_BYTES_MAX (1024 * 1024)
#define NAME_BYTES_MAX 100
#define HOURS_MAX      23 /* of "UTC+n" */

struct zone {
    struct zone *next;
    char name[NAME_BYTES_MAX + 1]; /* as the file is called; "" the local one */
    struct tzif tzif;
};

/* All that were asked for so far; they are never changed. */
static struct zone *zones;
static size_t zones_count;

static struct zone *find_kept(const char *name)
{
    for (struct zone *zone = zones; zone; zone = zone->next) {
        if (!strcasecmp(zone->name, name))
            return zone;
    }
    return NULL;
}

static int keep(const char *name, struct tzif *tzif, const struct zone **out, struct error *err)
{
    struct zone *zone;

    if (zones_count >= ZONES_MAX)
        return error_set(err, -ENOMEM, "more than %d time zones are in use", ZONES_MAX);
    zone = calloc(1, sizeof(*zone));
    if (!zone)
        return error_set(err, -ENOMEM, "allocate a time zone");
    (void)snprintf(zone->name, sizeof(zone->name), "%s", name); /* its length was looked at */
    zone->tzif = *tzif;
    *tzif = (struct tzif){ 0 };
    zone->next = zones;
    zones = zone;
    zones_count++;
    *out = zone;
    return 0;
}

void zones_done(void)
{
    while (zones) {
        struct zone *zone = zones;

        zones = zone->next;
        tzif_done(&zone->tzif);
        free(zone);
    }
    zones_count = 0;
}

int32_t zone_offset(const struct zone *zone, int64_t at_s)
{
    return tzif_offset(&zone->tzif, at_s);
}

/* ---- files ---- */

static int read_all(int fd, uint8_t *bytes, size_t size, size_t *out_len, struct error *err)
{
    size_t len = 0;

    while (len < size) {
        ssize_t got = read(fd, bytes + len, size - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "%s", strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *out_len = len;
    return 0;
}

static int read_zone_file(const char *path, struct tzif *out, struct error *err)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_(freep) uint8_t *bytes = NULL;
    struct stat found;
    size_t len = 0;

    if (fd < 0)
        return error_set(err, -errno, "open %s: %s", path, strerror(errno));
    if (fstat(fd, &found) < 0)
        return error_set(err, -errno, "look at %s: %s", path, strerror(errno));
    if (!S_ISREG(found.st_mode) || found.st_size > FILE_BYTES_MAX)
        return error_set(err, -EINVAL, "%s is not a zone file", path);
    bytes = malloc((size_t)found.st_size + 1);
    if (!bytes)
        return error_set(err, -ENOMEM, "allocate for %s", path);
    if (read_all(fd, bytes, (size_t)found.st_size, &len, err) < 0 ||
        tzif_read(bytes, len, out, err) < 0)
        return error_wrap(err, "read %s", path);
    return 0;
}

/* ---- names ---- */

/* Letters, digits, and what stands between them: no name leads out of the folder, to a list or to
 * hidden files. */
static bool is_name(const char *name)
{
    /* The same zones again: as they are, and with leap seconds counted. */
    if (!strncasecmp(name, "posix/", 6) || !strncasecmp(name, "right/", 6))
        return false;
    for (const char *at = name; *at; at++) {
        bool inner = at > name && at[-1] != '/';

        if (*at == '/' ? !inner || !at[1]
                       : !strchr("+-_", *at) && !(*at >= '0' && *at <= '9') &&
                             !(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z'))
            return false;
    }
    return name[0];
}

/* Sets the part of `path` from `at` on (as long as `len`) to how the folder before it writes it. */
static bool correct_part(char *path, size_t at, size_t len)
{
    bool found = false;
    DIR *folder;

    path[at - 1] = '\0';
    folder = opendir(path);
    path[at - 1] = '/';
    if (!folder)
        return false;
    for (struct dirent *entry = readdir(folder); entry && !found; entry = readdir(folder)) {
        found = strlen(entry->d_name) == len && !strncasecmp(entry->d_name, path + at, len);
        if (found)
            memcpy(path + at, entry->d_name, len);
    }
    (void)closedir(folder);
    return found;
}

/* JavaScript finds zones in any case, files have one. */
static bool correct_case(char *path)
{
    size_t at = sizeof(ZONE_FILES);

    while (path[at]) {
        size_t len = strcspn(path + at, "/");
        char next = path[at + len];
        bool found;

        path[at + len] = '\0';
        found = correct_part(path, at, len);
        path[at + len] = next;
        if (!found)
            return false;
        at += len + (next ? 1 : 0);
    }
    return true;
}

static int find_named(const char *name, const struct zone **out, struct error *err)
{
    char path[sizeof(ZONE_FILES) + 1 + NAME_BYTES_MAX];
    const struct zone *kept = find_kept(name);
    struct tzif tzif;
    int code;

    if (kept) {
        *out = kept;
        return 0;
    }
    if (!is_name(name))
        return error_set(err, -EINVAL, "\"%s\" is not the name of a time zone", name);
    (void)snprintf(path, sizeof(path), "%s/%s", ZONE_FILES, name);
    if (access(path, F_OK) < 0 && !correct_case(path)) {
        if (access(ZONE_FILES "/Etc", F_OK) < 0)
            return error_set(err, -ENOENT, "there are no time zones in %s: install tzdata",
                             ZONE_FILES);
        return error_set(err, -EINVAL, "there is no time zone \"%s\"", name);
    }
    code = read_zone_file(path, &tzif, err);
    if (code >= 0)
        code = keep(path + sizeof(ZONE_FILES), &tzif, out, err);
    return code;
}

static struct tzif fixed(int32_t offset_s)
{
    return (struct tzif){ .first_s = offset_s };
}

/* "UTC", "UTC+3", "UTC-05:30". False when it is of another form. */
static bool read_fixed(const char *name, int32_t *out_s)
{
    unsigned hours = 0, minutes = 0;
    int len = 0;

    *out_s = 0;
    if (!strcasecmp(name, "utc") || !strcasecmp(name, "gmt"))
        return true;
    if (strncasecmp(name, "utc", 3) != 0 || (name[3] != '+' && name[3] != '-') || name[4] < '0' ||
        name[4] > '9')
        return false;
    if (sscanf(name + 4, "%2u%n", &hours, &len) < 1 || hours > HOURS_MAX) // NOLINT: two digits
        return false;
    if (name[4 + len]) {
        const char *rest = name + 4 + len;

        if (strlen(rest) != 3 || rest[0] != ':' || rest[1] < '0' || rest[1] > '5' ||
            rest[2] < '0' || rest[2] > '9')
            return false;
        minutes = (unsigned)((rest[1] - '0') * 10 + rest[2] - '0');
    }
    *out_s = (int32_t)(hours * 3600 + minutes * 60) * (name[3] == '-' ? -1 : 1);
    return true;
}

static int find_fixed(int32_t offset_s, const struct zone **out, struct error *err)
{
    struct tzif tzif = fixed(offset_s);
    char name[32];

    (void)snprintf(name, sizeof(name), "utc %d", offset_s); /* no file is called so */
    *out = find_kept(name);
    return *out ? 0 : keep(name, &tzif, out, err);
}

/* The zone of this machine, as the C library would take it. */
static int find_local(const struct zone **out, struct error *err)
{
    const char *given = getenv("TZ");
    const struct zone *named = find_kept("");
    struct tzif tzif = { 0 };
    int code;

    if (named) {
        *out = named;
        return 0;
    }
    if (given && *given == ':')
        given++;
    if (given && *given && strlen(given) <= NAME_BYTES_MAX && *given != '/' &&
        find_named(given, &named, NULL) == 0) {
        *out = named;
        return 0;
    }
    code = read_zone_file(given && *given == '/' ? given : LOCAL_FILE, &tzif, err);
    if (code < 0 && code != -ENOENT)
        return code;
    if (code < 0)
        tzif = fixed(0);
    return keep("", &tzif, out, err);
}

int zone_find(const char *name, size_t len, const struct zone **out, struct error *err)
{
    char text[NAME_BYTES_MAX + 1] = "";
    int32_t offset_s;

    if (len > NAME_BYTES_MAX || (len > 0 && memchr(name, '\0', len)))
        return error_set(err, -EINVAL, "not the name of a time zone: %zu bytes", len);
    if (len > 0)
        memcpy(text, name, len);
    if (!strcasecmp(text, "local") || !strcasecmp(text, "system"))
        text[0] = '\0';
    if (read_fixed(text, &offset_s))
        return find_fixed(offset_s, out, err);
    return text[0] ? find_named(text, out, err) : find_local(out, err);
}
