/* accounts.h - users and groups by name or number, as the host's user database (NSS) has them.
 * Asked where a file is read and nowhere else: children get numbers. May wait for a slow directory
 * service, so never on an event loop. */
#pragma once

#include "common/config/config.h"

/* -ENOENT: there is no such user (a number without an entry is one: then its group is
 * CONFIG_NO_GROUP, its home "/"). -E2BIG: more than CONFIG_GROUPS_MAX groups. -ENOMEM. All others:
 * the database could not be asked. */
MUST_CHECK int account_find_user(const char *text, struct config_user **out, struct error *err);
/* Likewise; a number is taken as it is. */
MUST_CHECK int account_find_group(const char *text, uint32_t *out_gid, struct error *err);

void config_user_free(struct config_user *user);
void config_groups_free(struct config_groups *groups);
