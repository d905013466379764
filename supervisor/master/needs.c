#include "supervisor/master/needs.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "common/config/each.h"
#include "common/process/privileges.h"

#define SWITCH_USER (PRIVILEGE_SETUID | PRIVILEGE_SETGID | PRIVILEGE_KILL)
#define REMEDY      "install the drop-in users.conf (`drover unit` prints it)"

/* What droverd is. */
struct self {
    uid_t uid;
    gid_t gid;
    uint64_t usable; /* capabilities that it has and its children get */
};

/* Children of root get what the bounding set allows, those of others what is ambient. */
static struct self read_self(void)
{
    struct self self = { .uid = geteuid(), .gid = getegid() };
    struct privileges own;

    if (privileges_read(&own) == 0)
        self.usable = own.effective & (self.uid == 0 ? own.bounding : own.ambient);
    return self;
}

/* ---- what is asked for */

static bool is_self(const struct self *self, uint32_t uid, uint32_t gid, const uint32_t *groups,
                    size_t count)
{
    return self->uid == uid && self->gid == gid && privileges_has_groups(gid, groups, count);
}

/* Whether workers become somebody else. */
static bool workers_switch(const struct self *self, const struct config *config)
{
    const struct config_user *user = config->user;

    return user && !is_self(self, user->uid, user->gid, user->groups, user->groups_count);
}

/* Whether the program is somebody else than its worker. */
static bool program_switches(const struct self *self, const struct config *config,
                             const struct config_handler *handler)
{
    const struct config_user *worker = config->user;
    uint32_t groups[CONFIG_GROUPS_MAX], gid;
    size_t count;

    if (!handler->user)
        return false;
    gid = config_handler_gid(handler);
    count = config_handler_groups(handler, groups);
    if (!worker)
        return !is_self(self, handler->user->uid, gid, groups, count);
    return worker->uid != handler->user->uid || worker->gid != gid ||
           !privileges_same_groups(gid, worker->groups, worker->groups_count, groups, count);
}

static uint64_t hard_limit(enum resource resource)
{
    struct rlimit own;

    /* Fails for no number of the table. */
    if (getrlimit((__rlimit_resource_t)resource_number(resource), &own) < 0 ||
        own.rlim_max == RLIM_INFINITY)
        return RESOURCE_UNLIMITED;
    return own.rlim_max;
}

/* Of processor time the hard limit is a second more (workers/handlers/program_orders.c). */
static bool is_raise(enum resource resource, uint64_t limit)
{
    uint64_t more = resource == RESOURCE_CPU && limit < RESOURCE_INHERIT ? 1 : 0;

    return limit != RESOURCE_INHERIT && limit + more > hard_limit(resource);
}

static bool lowers_nice(int nice)
{
    struct rlimit own;

    if (nice == CONFIG_NICE_INHERIT || nice >= getpriority(PRIO_PROCESS, 0))
        return false;
    /* 20 - nice is how the limit counts: getrlimit(2). */
    return getrlimit(RLIMIT_NICE, &own) < 0 || own.rlim_max < (rlim_t)(20 - nice);
}

/* The limit of nice values is raised, or it is not needed at all: whichever is there. */
static uint64_t for_nice(const struct self *self)
{
    return self->usable & PRIVILEGE_SYS_RESOURCE ? PRIVILEGE_SYS_RESOURCE
                                                 : self->usable & PRIVILEGE_SYS_NICE;
}

/* ---- of a worker */

static uint64_t of_handler(const struct self *self, const struct config *config,
                           const struct config_handler *handler)
{
    uint64_t needed = 0;

    if (handler->kind != CONFIG_HANDLER_EXEC && handler->kind != CONFIG_HANDLER_PROCESS)
        return 0;
    if (program_switches(self, config, handler))
        needed |= SWITCH_USER;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (is_raise((enum resource)i, handler->limits[i]))
            needed |= PRIVILEGE_SYS_RESOURCE;
    }
    if (lowers_nice(handler->nice))
        needed |= for_nice(self);
    return needed;
}

uint64_t needs_of_workers(const struct config *config, const struct config_queue *queue)
{
    struct self self = read_self();
    uint64_t needed = of_handler(&self, config, &queue->fallback.handler);

    for (size_t i = 0; i < queue->types_count; i++)
        needed |= of_handler(&self, config, &queue->types[i].handler);
    /* With it drover-exec can empty the bounding set as well. */
    return needed ? (needed | PRIVILEGE_SETPCAP) & self.usable : 0;
}

bool needs_leave_root(const struct config *config)
{
    return geteuid() == 0 && !config->user && config->queues_count > 0;
}

/* ---- the check */

struct check {
    const struct config *config;
    struct config_report *report;
    struct self self;
    bool refused;
    int result; /* -ENOMEM once it happened */
};

/* What is missing, as part of a sentence. */
static const char *missing_names(const struct check *check, uint64_t needed,
                                 char out[PRIVILEGE_NAMES_BYTES])
{
    return privilege_names(needed & ~check->self.usable, out);
}

static void find_user(const struct check *check, const struct config_user *user, bool switches,
                      struct buf *out)
{
    char names[PRIVILEGE_NAMES_BYTES];

    if (switches && (SWITCH_USER & ~check->self.usable))
        (void)buf_printf(out,
                         "%s: droverd may not switch users: it runs as uid %u and lacks %s; " REMEDY
                         ", or take the key out",
                         user->name, check->self.uid, missing_names(check, SWITCH_USER, names));
}

static void find_limit(const struct check *check, const struct schema_row *row,
                       const struct config_handler *handler, const void *base, struct buf *out)
{
    const uint64_t *limit = (const uint64_t *)((const char *)base + row->offset);
    enum resource resource = (enum resource)(limit - handler->limits);
    struct buf own = BUF_INIT(64);

    if (!is_raise(resource, *limit) || (check->self.usable & PRIVILEGE_SYS_RESOURCE))
        return;
    (void)buf_printf(&own, "%" PRIu64, hard_limit(resource));
    (void)buf_printf(out,
                     "droverd may not raise limits: its own hard limit is %s, and it lacks "
                     "CAP_SYS_RESOURCE; raise Limit…= of the unit, or " REMEDY,
                     buf_text(&own));
    buf_done(&own);
}

static void find_nice(const struct check *check, const struct config_handler *handler,
                      struct buf *out)
{
    if (lowers_nice(handler->nice) && for_nice(&check->self) == 0)
        (void)buf_printf(out,
                         "%d: droverd may not lower nice below its own %d: it lacks "
                         "CAP_SYS_RESOURCE; set LimitNICE= of the unit, or " REMEDY,
                         handler->nice, getpriority(PRIO_PROCESS, 0));
}

static void find(const struct check *check, const struct each_value *value, struct buf *out)
{
    const struct config_type *type = value->base;

    if (value->row->home == SCHEMA_HOME_CONFIG && value->row->type == SCHEMA_USER) {
        find_user(check, check->config->user, workers_switch(&check->self, check->config), out);
        return;
    }
    if (value->row->home != SCHEMA_HOME_TYPE)
        return;
    if (value->row->type == SCHEMA_USER)
        find_user(check, type->handler.user,
                  program_switches(&check->self, check->config, &type->handler), out);
    else if (value->row->type == SCHEMA_LIMIT)
        find_limit(check, value->row, &type->handler, value->base, out);
    else if (value->row->type == SCHEMA_NICE)
        find_nice(check, &type->handler, out);
}

static bool check_value(const struct each_value *value, void *arg)
{
    struct check *check = arg;
    const struct config *config = check->config;
    struct buf text = BUF_INIT(1024), key = BUF_INIT(1024);

    find(check, value, &text);
    if (text.len > 0) {
        check->refused = true;
        each_print_key(value, &key);
        if (config_report_add(check->report,
                              value->index < config->origins_count ? config->origins[value->index]
                                                                   : NULL,
                              buf_text(&key), buf_text(&text)) < 0)
            check->result = -ENOMEM;
    }
    buf_done(&text);
    buf_done(&key);
    return true;
}

int needs_check(const struct config *config, struct config_report *report)
{
    struct check check = { .config = config, .report = report, .self = read_self() };

    (void)config_each_value(config, check_value, &check); /* it is never ended early */
    if (check.result < 0)
        return check.result;
    return check.refused ? -EINVAL : 0;
}
