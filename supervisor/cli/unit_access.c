#include "supervisor/cli/unit_access.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUPS_MAX 1024
#define MAY_PASS   1u

void unit_user_init(struct unit_user *user, const char *name)
{
    // cppcheck-suppress getpwnamCalled; there is one thread
    const struct passwd *entry = name ? getpwnam(name) : NULL;
    int count = GROUPS_MAX;

    *user = (struct unit_user){ .name = name, .uid = (uid_t)-1 };
    if (!entry)
        return;
    user->uid = entry->pw_uid;
    user->groups = calloc(GROUPS_MAX, sizeof(*user->groups));
    if (!user->groups || getgrouplist(name, entry->pw_gid, user->groups, &count) < 0)
        return;
    user->groups_count = (size_t)count;
    user->known = true;
}

void unit_user_done(struct unit_user *user)
{
    free(user->groups);
    *user = (struct unit_user){ 0 };
}

static bool has_group(const struct unit_user *user, gid_t group)
{
    for (size_t i = 0; i < user->groups_count; i++) {
        if (user->groups[i] == group)
            return true;
    }
    return false;
}

static bool may_by_mode(const struct unit_user *user, const struct stat *at, unsigned int wanted)
{
    unsigned int bits = at->st_mode;

    if (user->uid == 0)
        return true;
    if (at->st_uid == user->uid)
        bits >>= 6;
    else if (has_group(user, at->st_gid))
        bits >>= 3;
    return (bits & wanted) == wanted;
}

static int look(const struct unit_user *user, const char *path, unsigned int wanted)
{
    struct stat at;

    if (stat(path, &at) < 0)
        return -errno;
    return may_by_mode(user, &at, wanted) ? 0 : -EACCES;
}

int unit_access(const struct unit_user *user, const char *path, enum unit_may may,
                const char **out_at)
{
    static char part[PATH_MAX];
    int r = 0;

    *out_at = part;
    if (path[0] != '/' || strlen(path) >= sizeof(part))
        return -EINVAL;
    (void)strcpy(part, path); // NOLINT(clang-analyzer-security.insecureAPI.strcpy): measured above
    for (char *slash = strchr(part + 1, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        r = look(user, part, MAY_PASS);
        if (r == 0)
            *slash = '/';
    }
    return r == 0 ? look(user, part, (unsigned int)may) : r;
}
