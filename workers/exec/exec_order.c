#include "workers/exec/exec_order.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NO_ID UINT32_MAX /* (uid_t)-1 would mean "as it is" to the kernel */

enum { SEEN_UID = 1, SEEN_GID = 2, SEEN_GROUPS = 4, SEEN_ALL = 7 };

/* Digits only, up to `end_char` or the end; moves *at to where they end. */
static bool take_number(const char **at, int base, uint64_t *out)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *out = strtoull(*at, &end, base);
    if (errno != 0 || end == *at)
        return false;
    *at = end;
    return true;
}

static bool take_id(const char **at, uint32_t *out)
{
    uint64_t number;

    if (!take_number(at, 10, &number) || number >= NO_ID)
        return false;
    *out = (uint32_t)number;
    return true;
}

static bool read_id(const char *text, uint32_t *out)
{
    return take_id(&text, out) && *text == '\0';
}

static bool read_groups(const char *text, struct exec_order *out)
{
    out->groups_count = 0;
    while (*text) {
        if (out->groups_count == EXEC_GROUPS_MAX ||
            !take_id(&text, &out->groups[out->groups_count]))
            return false;
        out->groups_count++;
        if (*text && *text++ != ',')
            return false;
    }
    return true;
}

static bool read_umask(const char *text, struct exec_order *out)
{
    uint64_t number;

    if (!take_number(&text, 8, &number) || *text || number > 0777)
        return false;
    out->umask = (mode_t)number;
    out->has_umask = true;
    return true;
}

static bool read_nice(const char *text, struct exec_order *out)
{
    bool negative = *text == '-';
    uint64_t number;

    text += negative ? 1 : 0;
    if (!take_number(&text, 10, &number) || *text || number > (negative ? 20 : 19))
        return false;
    out->nice = negative ? -(int)number : (int)number;
    out->has_nice = true;
    return true;
}

static bool take_limit(const char **at, uint64_t *out)
{
    static const char unlimited[] = "unlimited";
    size_t len = sizeof unlimited - 1;

    if (strncmp(*at, unlimited, len) != 0)
        return take_number(at, 10, out) && *out < RESOURCE_INHERIT;
    *at += len;
    *out = RESOURCE_UNLIMITED;
    return true;
}

static bool read_limit(const char *text, struct exec_limit *out)
{
    if (!take_limit(&text, &out->soft) || *text++ != ':')
        return false;
    out->given = true;
    return take_limit(&text, &out->hard) && *text == '\0' && out->soft <= out->hard;
}

static bool is_named(const char *argument, size_t len, const char *name)
{
    return strlen(name) == len && strncmp(argument, name, len) == 0;
}

static bool read_one(const char *argument, unsigned int *seen, struct exec_order *out)
{
    size_t len = strcspn(argument, "=");
    const char *value = argument + len + 1;
    enum resource resource = resource_named(argument, len);

    if (argument[len] == '\0')
        return false;
    if (resource != RESOURCE_COUNT)
        return read_limit(value, &out->limits[resource]);
    if (is_named(argument, len, "umask"))
        return read_umask(value, out);
    if (is_named(argument, len, "nice"))
        return read_nice(value, out);
    if (is_named(argument, len, "uid")) {
        *seen |= SEEN_UID;
        return read_id(value, &out->uid);
    }
    if (is_named(argument, len, "gid")) {
        *seen |= SEEN_GID;
        return read_id(value, &out->gid);
    }
    *seen |= SEEN_GROUPS;
    return is_named(argument, len, "groups") && read_groups(value, out);
}

int exec_order_parse(int argc, char *const *argv, int first, struct exec_order *out)
{
    unsigned int seen = 0;
    int i = first;

    memset(out, 0, sizeof *out);
    while (i < argc && strcmp(argv[i], EXEC_END) != 0) {
        if (!read_one(argv[i++], &seen, out))
            return -EINVAL;
    }
    out->has_user = seen == SEEN_ALL;
    if (i >= argc || (seen != 0 && seen != SEEN_ALL))
        return -EINVAL;
    return i + 1;
}
