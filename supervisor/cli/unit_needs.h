/* unit_needs.h - what a configuration needs of the systemd unit that runs it, beyond what the
 * shipped one has: paths that the sandbox hides or keeps read-only, credentials, times,
 * descriptors. `drover unit` prints it as a drop-in, `drover check --unit` looks for it in a unit
 * that is there. Invariant: one rule is one place; both commands say the same of the same
 * configuration. */
#pragma once

#include "common/config/config.h"

/* What the shipped unit (systemd/drover.service.in) sets; a test compares. */
#define UNIT_STOP_MS     60000
#define UNIT_START_MS    90000
#define UNIT_DESCRIPTORS 65536
#define UNIT_USER        "drover"
#define UNIT_RIGHTS      "CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_RESOURCE" /* of users.conf */

enum unit_need_kind {
    UNIT_NEED_READ,       /* the path, which the sandbox hides */
    UNIT_NEED_WRITE,      /* likewise, to write there */
    UNIT_NEED_WRITABLE,   /* a path that is seen, but read-only */
    UNIT_NEED_CREDENTIAL, /* text: its name */
    UNIT_NEED_USERS, /* text: whom workers become; handlers of other users, lower nice values */
    UNIT_NEED_STOP,  /* number: ms; UINT64_MAX for no end */
    UNIT_NEED_START, /* number: ms */
    UNIT_NEED_DESCRIPTORS,
    UNIT_NEED_KIND_COUNT
};

struct unit_need {
    enum unit_need_kind kind;
    char *text;
    uint64_t number;
    char *why; /* "queues.x.handler.directory: …" */
};

struct unit_needs {
    struct unit_need *rows; /* in the order of the kinds; none twice */
    size_t count;
    char **notes; /* for people: paths that are not there, or that the user may not use */
    size_t notes_count;
    bool out_of_memory;
};

/* Goes through the configuration and the file system. `user` runs the handlers (the name of a user
 * of this host, NULL when there is none yet). STOP, START and DESCRIPTORS are always told, whether
 * the shipped unit has enough or not. Returns 0 or -ENOMEM; ends with unit_needs_done always. */
MUST_CHECK int unit_needs_find(const struct config *config, const struct config_report *report,
                               const char *user, struct unit_needs *out);
void unit_needs_done(struct unit_needs *needs);

/* True when the path lies where the shipped unit hides it: a home (ProtectHome=) or one of the
 * temporary folders (PrivateTmp=). */
bool unit_hides_home(const char *path);
bool unit_hides_tmp(const char *path);
/* `path` is `folder` or lies in it. */
bool unit_path_is_below(const char *path, const char *folder);
