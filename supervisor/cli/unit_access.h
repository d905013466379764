/* unit_access.h - whether another user of this host may use a path, by its owner, group and mode.
 * For hints only: ACLs and security modules may say otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/attr.h"

struct unit_user {
    bool known;       /* there is such a user */
    const char *name; /* borrowed */
    uid_t uid;
    gid_t *groups; /* its own and the supplementary ones */
    size_t groups_count;
};

/* Looks the user up; NULL, or a name that nobody has (yet, or while its service is down:
 * DynamicUser=), gives one that is not known: it may what everybody may. */
void unit_user_init(struct unit_user *user, const char *name);
void unit_user_done(struct unit_user *user);

enum unit_may { UNIT_MAY_WRITE = 2, UNIT_MAY_READ = 4 }; /* bits of a mode */

/* 0: may; -EACCES: may not, and *out_at is where that was found (a part of `path`, or all of it);
 * another errno: it cannot be said. Every folder on the way must let the user pass. */
MUST_CHECK int unit_access(const struct unit_user *user, const char *path, enum unit_may may,
                           const char **out_at);
