#include "workers/worker/rights.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/process/privileges.h"

#define GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

/* "1,2,3" into `out`, which has room for all. */
static int read_groups(const char *text, gid_t *out, size_t *out_count, struct error *err)
{
    size_t count = 0;

    while (text && *text) {
        size_t len = strcspn(text, ",");
        uint64_t number;

        if (count == GROUPS_MAX || text_parse_uint(text, len, &number) < 0 || number >= UINT32_MAX)
            return error_set(err, -EINVAL, "--groups: not a list of numbers at %.20s", text);
        out[count++] = (gid_t)number;
        text += text[len] ? len + 1 : len;
    }
    *out_count = count;
    return 0;
}

static int become(const struct worker_arguments *arguments, struct error *err)
{
    _cleanup_(freep) gid_t *groups = calloc(GROUPS_MAX, sizeof(*groups));
    gid_t group = (gid_t)arguments->group;
    size_t count = 0;
    int r;

    if (!groups)
        return error_set(err, -ENOMEM, "no memory for groups");
    r = read_groups(arguments->groups, groups, &count, err);
    if (r < 0)
        return r;
    r = privileges_set_groups(group, groups, count);
    if (r == 0)
        r = privileges_set_group(group);
    if (r == 0)
        r = privileges_set_user((uid_t)arguments->user, /* keep= */ true);
    return r < 0 ? error_set(err, r, "become user %" PRIu64 " with group %" PRIu64 ": %s",
                             arguments->user, arguments->group, strerror(-r))
                 : 0;
}

int rights_give_up(const struct worker_arguments *arguments, struct error *err)
{
    const struct privileges_wish wish = { .kept = arguments->keep,
                                          .effective = arguments->keep & PRIVILEGE_KILL,
                                          .ambient = arguments->keep & ~PRIVILEGE_KILL };
    int r = 0;

    if (arguments->user != WORKER_NO_USER)
        r = become(arguments, err);
    if (r < 0 || geteuid() == 0)
        return r;
    r = privileges_keep(&wish);
    if (r == 0)
        r = privileges_freeze();
    if (r == 0)
        r = privileges_verify(getuid(), getgid(), &wish);
    return r < 0 ? error_set(err, r, "give up capabilities: %s", strerror(-r)) : 0;
}
