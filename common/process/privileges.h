/* privileges.h - who this process is and what it may do: user, groups, capabilities; read, and
 * given up for good. On numbers only (names are resolved where the configuration is read) and with
 * nothing but the kernel below, so that the static drover-exec uses the same steps as a worker. The
 * order in which to give up: groups, group, user (privileges_become), then capabilities
 * (privileges_keep), then privileges_verify. Each step that fails leaves the process in between:
 * there is nothing to do but to end it.
 * Every function returns 0 or a negative errno; one thread only. */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/attr.h"

/* A set of capabilities, a bit each (linux/capability.h). */
#define PRIVILEGE(capability) (UINT64_C(1) << (capability))

/* What drover has use for. What each allows: capabilities(7). */
#define PRIVILEGE_SETUID       PRIVILEGE(CAP_SETUID)
#define PRIVILEGE_SETGID       PRIVILEGE(CAP_SETGID)
#define PRIVILEGE_KILL         PRIVILEGE(CAP_KILL)
#define PRIVILEGE_SETPCAP      PRIVILEGE(CAP_SETPCAP) /* takes capabilities out of the bounding set */
#define PRIVILEGE_SYS_NICE     PRIVILEGE(CAP_SYS_NICE)     /* a lower nice value */
#define PRIVILEGE_SYS_RESOURCE PRIVILEGE(CAP_SYS_RESOURCE) /* a higher limit */

/* What a process may do. */
struct privileges {
    uint64_t effective, permitted, inheritable, ambient, bounding;
};
MUST_CHECK int privileges_read(struct privileges *out);

/* "CAP_SETUID CAP_KILL"; numbers for those that drover does not know. Returns `out`. */
#define PRIVILEGE_NAMES_BYTES 512
const char *privilege_names(uint64_t set, char out[PRIVILEGE_NAMES_BYTES]);

/* True when two lists of supplementary groups mean the same to a process whose group is `group`: in
 * any order, each as often as one likes, and `group` itself in both, one or none of them. */
bool privileges_same_groups(gid_t group, const gid_t *left, size_t left_count, const gid_t *right,
                            size_t right_count);
/* The same with the groups that this process has; false when they cannot be read. */
bool privileges_has_groups(gid_t group, const gid_t *groups, size_t count);

/* The supplementary groups. Nothing is done, and no capability needed, when it has just these. */
MUST_CHECK int privileges_set_groups(gid_t group, const gid_t *groups, size_t count);
/* Real, effective and saved. The capabilities that a change of user would take are kept for
 * privileges_keep to choose from when `keep`. */
MUST_CHECK int privileges_set_group(gid_t group);
MUST_CHECK int privileges_set_user(uid_t user, bool keep);

/* Gives up all capabilities but `kept` (of those that it has): `effective` of them in the effective
 * set, `ambient` of them for the programs that it executes. The bounding set is reduced to `kept`
 * as well when the process may (PRIVILEGE_SETPCAP); what cannot be taken out of it is of no use
 * after privileges_freeze. */
struct privileges_wish {
    uint64_t kept, effective, ambient;
};
MUST_CHECK int privileges_keep(const struct privileges_wish *wish);

/* No program that it executes gets more than it has: set-user-id bits and file capabilities have no
 * effect any more. */
MUST_CHECK int privileges_freeze(void);

/* That it took: all three ids are these, no capability is there but those of `wish`, and, without
 * PRIVILEGE_SETUID among them, root is out of reach. -EPERM when not. */
MUST_CHECK int privileges_verify(uid_t user, gid_t group, const struct privileges_wish *wish);
