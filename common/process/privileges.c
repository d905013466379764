#include "common/process/privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CAPABILITIES 64 /* bits of a set; the kernel has fewer */

/* ---- reading */

static uint64_t joined(uint32_t low, uint32_t high)
{
    return low | ((uint64_t)high << 32);
}

static bool is_in(uint64_t set, unsigned int capability)
{
    return set & PRIVILEGE(capability);
}

/* The kernel answers EINVAL to numbers beyond its last. */
static uint64_t read_bounding(void)
{
    uint64_t set = 0;
    int r = 0;

    for (unsigned int i = 0; r >= 0 && i < CAPABILITIES; i++) {
        r = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
        set |= r == 1 ? PRIVILEGE(i) : 0;
    }
    return set;
}

static uint64_t read_ambient(void)
{
    uint64_t set = 0;
    int r = 0;

    for (unsigned int i = 0; r >= 0 && i < CAPABILITIES; i++) {
        r = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0);
        set |= r == 1 ? PRIVILEGE(i) : 0;
    }
    return set;
}

int privileges_read(struct privileges *out)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *out = (struct privileges){
        .effective = joined(data[0].effective, data[1].effective),
        .permitted = joined(data[0].permitted, data[1].permitted),
        .inheritable = joined(data[0].inheritable, data[1].inheritable),
        .ambient = read_ambient(),
        .bounding = read_bounding(),
    };
    return 0;
}

const char *privilege_names(uint64_t set, char out[PRIVILEGE_NAMES_BYTES])
{
    static const char *const names[CAPABILITIES] = {
        [CAP_SETUID] = "CAP_SETUID",     [CAP_SETGID] = "CAP_SETGID",
        [CAP_KILL] = "CAP_KILL",         [CAP_SETPCAP] = "CAP_SETPCAP",
        [CAP_SYS_NICE] = "CAP_SYS_NICE", [CAP_SYS_RESOURCE] = "CAP_SYS_RESOURCE",
    };
    size_t used = 0;

    out[0] = '\0';
    for (unsigned int i = 0; i < CAPABILITIES && used < PRIVILEGE_NAMES_BYTES; i++) {
        const char *blank = used > 0 ? " " : "";
        int len = 0;

        if (!is_in(set, i))
            continue;
        if (names[i])
            len = snprintf(out + used, PRIVILEGE_NAMES_BYTES - used, "%s%s", blank, names[i]);
        else
            len = snprintf(out + used, PRIVILEGE_NAMES_BYTES - used, "%s%u", blank, i);
        used += (size_t)len; /* snprintf of that fails for no reason */
    }
    return out;
}

/* ---- user and groups */

static bool has_group(const gid_t *groups, size_t count, gid_t group)
{
    for (size_t i = 0; i < count; i++) {
        if (groups[i] == group)
            return true;
    }
    return false;
}

/* All of `some` but `group` are in `all`. */
static bool is_within(const gid_t *some, size_t some_count, const gid_t *all, size_t all_count,
                      gid_t group)
{
    for (size_t i = 0; i < some_count; i++) {
        if (some[i] != group && !has_group(all, all_count, some[i]))
            return false;
    }
    return true;
}

bool privileges_same_groups(gid_t group, const gid_t *left, size_t left_count, const gid_t *right,
                            size_t right_count)
{
    return is_within(left, left_count, right, right_count, group) &&
           is_within(right, right_count, left, left_count, group);
}

bool privileges_has_groups(gid_t group, const gid_t *groups, size_t count)
{
    int current_count = getgroups(0, NULL);
    _cleanup_(freep) gid_t *current = NULL;

    if (current_count < 0)
        return false;
    current = calloc((size_t)current_count + 1, sizeof(*current));
    if (!current || getgroups(current_count, current) != current_count)
        return false;
    return privileges_same_groups(group, current, (size_t)current_count, groups, count);
}

int privileges_set_groups(gid_t group, const gid_t *groups, size_t count)
{
    if (getegid() == group && privileges_has_groups(group, groups, count))
        return 0;
    return setgroups(count, groups) < 0 ? -errno : 0;
}

int privileges_set_group(gid_t group)
{
    return setresgid(group, group, group) < 0 ? -errno : 0;
}

int privileges_set_user(uid_t user, bool keep)
{
    /* Keeps the permitted set over the change from root; forgotten by the next exec. */
    if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return -errno;
    return setresuid(user, user, user) < 0 ? -errno : 0;
}

/* ---- capabilities */

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        { (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
        { (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
    };

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Needs CAP_SETPCAP in the effective set, which a change of user has emptied. */
static int reduce_bounding(const struct privileges *now, uint64_t kept)
{
    int r;

    if (!(now->permitted & PRIVILEGE_SETPCAP) || (now->bounding & ~kept) == 0)
        return 0;
    r = set_capabilities(now->effective | PRIVILEGE_SETPCAP, now->permitted, now->inheritable);
    for (unsigned int i = 0; r == 0 && i < CAPABILITIES; i++) {
        if (is_in(now->bounding & ~kept, i) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
            r = -errno;
    }
    return r;
}

/* The usual case, and it must also work where a filter of system calls lets capset fail. */
static bool has_nothing(const struct privileges *now)
{
    return (now->permitted | now->inheritable | now->ambient) == 0;
}

static int raise_ambient(uint64_t set)
{
    for (unsigned int i = 0; i < CAPABILITIES; i++) {
        if (is_in(set, i) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
            return -errno;
    }
    return 0;
}

int privileges_keep(const struct privileges_wish *wish)
{
    struct privileges now = { 0 };
    uint64_t kept;
    int r = privileges_read(&now);

    if (r < 0 || has_nothing(&now))
        return r;
    kept = wish->kept & now.permitted;
    r = reduce_bounding(&now, kept);
    if (r == 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        r = -errno;
    /* Ambient ones must be permitted and inheritable; the inheritable set has no other use. */
    if (r == 0)
        r = set_capabilities(wish->effective & kept, kept, wish->ambient & kept);
    return r == 0 ? raise_ambient(wish->ambient & kept) : r;
}

int privileges_freeze(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int privileges_verify(uid_t user, gid_t group, const struct privileges_wish *wish)
{
    struct privileges now = { 0 };
    uid_t uids[3];
    gid_t gids[3];
    int r = privileges_read(&now);

    if (r < 0)
        return r;
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
        if (uids[i] != user || gids[i] != group)
            return -EPERM;
    }
    if ((now.permitted & ~wish->kept) || (now.effective & ~wish->effective) ||
        ((now.inheritable | now.ambient) & ~wish->ambient))
        return -EPERM;
    if (user != 0 && !(wish->kept & PRIVILEGE_SETUID) && setuid(0) == 0)
        return -EPERM;
    return 0;
}
