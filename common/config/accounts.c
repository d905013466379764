#include "common/config/accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "common/base/text.h"

#define ENTRY_BYTES_FIRST 1024
#define ENTRY_BYTES_MAX   (4U << 20) /* a group's entry lists its members */

void config_user_free(struct config_user *user)
{
    if (!user)
        return;
    free(user->name);
    free(user->groups);
    free(user->home);
    free(user);
}

void config_groups_free(struct config_groups *groups)
{
    for (size_t i = 0; groups && i < groups->count; i++)
        free(groups->rows[i].name);
    free(groups ? groups->rows : NULL);
    free(groups);
}

static void user_freep(struct config_user **user)
{
    config_user_free(*user);
}

/* One entry of the database and the memory that it points into. */
struct entry {
    char *bytes;
    size_t size;
    bool found;
    struct passwd user;
    struct group group;
};

static void entry_done(struct entry *entry)
{
    free(entry->bytes);
}

/* A positive errno, as the functions with _r return it. */
typedef int ask_fn(const char *name, uint32_t number, struct entry *entry);

static int ask_user_name(const char *name, uint32_t number, struct entry *entry)
{
    struct passwd *found = NULL;
    int r = getpwnam_r(name, &entry->user, entry->bytes, entry->size, &found);

    (void)number;
    entry->found = found != NULL;
    return r;
}

static int ask_user_number(const char *name, uint32_t number, struct entry *entry)
{
    struct passwd *found = NULL;
    int r = getpwuid_r(number, &entry->user, entry->bytes, entry->size, &found);

    (void)name;
    entry->found = found != NULL;
    return r;
}

static int ask_group_name(const char *name, uint32_t number, struct entry *entry)
{
    struct group *found = NULL;
    int r = getgrnam_r(name, &entry->group, entry->bytes, entry->size, &found);

    (void)number;
    entry->found = found != NULL;
    return r;
}

/* What the functions answer, beside 0, when there is no such entry: getpwnam(3). */
static bool means_absent(int code)
{
    return code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

/* Asks again with more room as long as that is what is missing. */
static int ask(ask_fn *function, const char *name, uint32_t number, struct entry *out,
               struct error *err)
{
    for (size_t size = ENTRY_BYTES_FIRST; size <= ENTRY_BYTES_MAX; size *= 4) {
        char *bytes = realloc(out->bytes, size);
        int r;

        if (!bytes)
            return error_set(err, -ENOMEM, "no memory for an entry of the user database");
        out->bytes = bytes;
        out->size = size;
        r = function(name, number, out);
        if (r == 0 || means_absent(r))
            return 0;
        if (r != ERANGE)
            return error_set(err, -r, "ask the user database: %s", strerror(r));
    }
    return error_set(err, -ERANGE, "its entry in the user database is too long");
}

static bool is_number(const char *text, uint32_t *out)
{
    uint64_t number;

    if (text_parse_uint(text, strlen(text), &number) < 0 || number >= UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    return true;
}

/* All groups of the user, the primary one first. */
static int find_groups(const char *name, struct config_user *user, struct error *err)
{
    int count = 16;
    int most = CONFIG_GROUPS_MAX;

    for (;;) {
        uint32_t *groups = reallocarray(user->groups, (size_t)count, sizeof *groups);
        int room = count;

        if (!groups)
            return error_set(err, -ENOMEM, "no memory for the groups of a user");
        user->groups = groups;
        if (getgrouplist(name, user->gid, groups, &count) >= 0) {
            user->groups_count = (size_t)count;
            return 0;
        }
        if (count > most || room == most)
            return error_set(err, -E2BIG, "is in more than %d groups; write `groups`", most);
        if (count <= room) /* it grew while we asked */
            count = room * 2 < most ? room * 2 : most;
    }
}

static int fill(const struct entry *entry, struct config_user *user, struct error *err)
{
    const char *home = "/";
    int r = 0;

    user->gid = CONFIG_NO_GROUP;
    if (entry->found) {
        user->uid = entry->user.pw_uid;
        user->gid = entry->user.pw_gid;
        if (entry->user.pw_dir && entry->user.pw_dir[0] == '/')
            home = entry->user.pw_dir;
        r = find_groups(entry->user.pw_name, user, err);
    }
    if (r < 0)
        return r;
    user->home = strdup(home);
    return user->home ? 0 : error_set(err, -ENOMEM, "no memory for a user");
}

int account_find_user(const char *text, struct config_user **out, struct error *err)
{
    _cleanup_(user_freep) struct config_user *user = calloc(1, sizeof *user);
    _cleanup_(entry_done) struct entry entry = { 0 };
    bool numeric;
    int r;

    if (user)
        user->name = strdup(text);
    if (!user || !user->name)
        return error_set(err, -ENOMEM, "no memory for a user");
    numeric = is_number(text, &user->uid);
    r = ask(numeric ? ask_user_number : ask_user_name, text, user->uid, &entry, err);
    if (r == 0 && !entry.found && !numeric)
        return error_set(err, -ENOENT, "there is no user %s on this host", text);
    if (r == 0)
        r = fill(&entry, user, err);
    if (r == 0)
        *out = TAKE_PTR(user);
    return r;
}

int account_find_group(const char *text, uint32_t *out_gid, struct error *err)
{
    _cleanup_(entry_done) struct entry entry = { 0 };
    int r;

    if (is_number(text, out_gid))
        return 0;
    r = ask(ask_group_name, text, 0, &entry, err);
    if (r == 0 && !entry.found)
        return error_set(err, -ENOENT, "there is no group %s on this host", text);
    if (r == 0)
        *out_gid = entry.group.gr_gid;
    return r;
}
