#include "workers/worker/registry_sweep.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/uuid.h"

#define GAP_MS 3000 /* between looks: after a longer one stillness is counted anew */

/* ---- the decision */

static bool is_same(const char *ours, const char *theirs)
{
    return ours[0] != '\0' && strcmp(ours, theirs) == 0;
}

bool sweep_knows_pid(const struct sweep_self *self, const struct worker_entry *entry)
{
    const struct worker_identity *identity = &entry->identity;

    return is_same(self->host->boot, identity->boot) && self->host->pid_space > 0 &&
           self->host->pid_space == identity->pid_space && identity->pid > 1 &&
           identity->pid <= INT32_MAX;
}

/* Not a clone of this machine that runs: such a one has beaten since we booted, or has been cut off
 * from Redis for longer than that. */
static bool is_earlier_boot(const struct sweep_self *self, const struct worker_entry *entry)
{
    const struct worker_identity *identity = &entry->identity;

    return is_same(self->host->machine, identity->machine) &&
           is_same(self->host->name, identity->host) && self->host->boot[0] != '\0' &&
           identity->boot[0] != '\0' && strcmp(self->host->boot, identity->boot) != 0;
}

static bool stood_still(const struct worker_entry *entry, const struct sweep_seen *seen)
{
    return seen->still_ms >= SWEEP_STILL_MS && entry->beat_age_ms >= SWEEP_STILL_MS;
}

static enum sweep_verdict decide_by_pid(const struct worker_entry *entry,
                                        const struct sweep_seen *seen)
{
    bool gone =
        seen->pid == SWEEP_PID_GONE || (seen->pid == SWEEP_PID_OTHER && stood_still(entry, seen));

    if (!gone)
        return SWEEP_LEAVE;
    /* A row may be a day old, and its session's number a stranger's by now. Its locks have ended.
     */
    return entry->beat_age_ms < SWEEP_KILL_MS ? SWEEP_END : SWEEP_RECOVER;
}

enum sweep_verdict sweep_decide(const struct sweep_self *self, const struct worker_entry *entry,
                                const struct sweep_seen *seen)
{
    /* Without a master's uuid a row cannot be told from those of our own. */
    if (entry->identity.master[0] == '\0' || strcmp(self->master, entry->identity.master) == 0)
        return SWEEP_NOT_OURS;
    if (sweep_knows_pid(self, entry))
        return decide_by_pid(entry, seen);
    if (!is_earlier_boot(self, entry))
        return SWEEP_NOT_OURS;
    return stood_still(entry, seen) && entry->beat_age_ms >= self->boot_ms ? SWEEP_RECOVER
                                                                           : SWEEP_LEAVE;
}

const char *sweep_why(const struct sweep_self *self, const struct worker_entry *entry)
{
    return sweep_knows_pid(self, entry) ? "its process is gone" : "the machine was started again";
}

/* ---- the sweep */

/* A row that was seen at the last look. */
struct watched {
    char uuid[40];
    uint64_t beat, since_boot_ms;
    bool seen; /* at this look */
};

struct recovering {
    struct registry_sweep *sweep; /* NULL: free */
    char uuid[40], host[64];
    const char *why; /* static text */
};

struct registry_sweep {
    struct registry_sweep_options options;
    bool looking, over;
    uint64_t first_boot_ms;  /* of the first look that was answered; 0 none */
    uint64_t next_boot_ms;   /* no look before */
    uint64_t last_boot_ms;   /* of the last look that was answered; 0 none */
    struct watched *watched; /* SWEEP_ROWS of room */
    size_t watched_count;
    struct recovering recovering[SWEEP_AT_ONCE];
};

int registry_sweep_new(const struct registry_sweep_options *options,
                       struct registry_sweep **out_sweep, struct error *err)
{
    struct registry_sweep *sweep = calloc(1, sizeof(*sweep));

    if (sweep)
        sweep->watched = calloc(SWEEP_ROWS, sizeof(*sweep->watched));
    if (!sweep || !sweep->watched) {
        registry_sweep_free(sweep);
        return error_set(err, -ENOMEM, "allocate the look at the registry");
    }
    sweep->options = *options;
    *out_sweep = sweep;
    return 0;
}

void registry_sweep_free(struct registry_sweep *sweep)
{
    if (!sweep)
        return;
    free(sweep->watched);
    free(sweep);
}

bool registry_sweep_is_over(const struct registry_sweep *sweep)
{
    return sweep->over;
}

/* How long the row's beat has been the same. */
static uint64_t watch(struct registry_sweep *sweep, const struct worker_entry *entry,
                      uint64_t boot_ms)
{
    struct watched *row = NULL;

    for (size_t i = 0; i < sweep->watched_count && !row; i++) {
        if (strcmp(sweep->watched[i].uuid, entry->uuid) == 0)
            row = &sweep->watched[i];
    }
    if (!row) {
        if (sweep->watched_count == SWEEP_ROWS)
            return 0;
        row = &sweep->watched[sweep->watched_count++];
        *row = (struct watched){ .beat = entry->beat, .since_boot_ms = boot_ms };
        (void)snprintf(row->uuid, sizeof(row->uuid), "%s", entry->uuid);
    }
    row->seen = true;
    if (row->beat != entry->beat || boot_ms - sweep->last_boot_ms > GAP_MS) {
        row->beat = entry->beat;
        row->since_boot_ms = boot_ms;
    }
    return boot_ms - row->since_boot_ms;
}

/* Rows that are in the registry no more make room. */
static void forget_unseen(struct registry_sweep *sweep)
{
    size_t kept = 0;

    for (size_t i = 0; i < sweep->watched_count; i++) {
        if (!sweep->watched[i].seen)
            continue;
        sweep->watched[kept] = sweep->watched[i];
        sweep->watched[kept++].seen = false;
    }
    sweep->watched_count = kept;
}

/* kill(2) is not fooled by a /proc that hides the processes of others. */
static enum sweep_pid look_at_pid(pid_t pid, uint64_t start_ticks)
{
    struct process_stat stat;

    if (kill(pid, 0) < 0 && errno == ESRCH)
        return SWEEP_PID_GONE;
    if (process_read_stat(pid, &stat) < 0)
        return SWEEP_PID_HIDDEN;
    if (start_ticks != 0 && stat.start_ticks != start_ticks)
        return SWEEP_PID_OTHER;
    return process_is_alive(pid, start_ticks) ? SWEEP_PID_ALIVE : SWEEP_PID_GONE;
}

/* True when nothing of the session lives. */
static bool end_session(const struct worker_entry *entry)
{
    unsigned int killed =
        process_kill_session((pid_t)entry->identity.pid, /* leader_reaped= */ true);

    if (killed > 0)
        log_warn("session.killed", LOG_STR("uuid", entry->uuid),
                 LOG_UINT("sid", entry->identity.pid), LOG_UINT("count", killed),
                 LOG_STR("why", "left over by a worker of an earlier master"));
    return killed == 0;
}

/* ---- recovering */

static void on_recovered(struct queue *queue, const struct call_result *call,
                         const struct recover_result *result, void *arg)
{
    struct recovering *slot = arg;

    (void)queue;
    slot->sweep = NULL;
    if (call->outcome != REDIS_REPLY) {
        log_debug("recovery.failed", LOG_STR("uuid", slot->uuid), LOG_STR("why", call->why));
        return; /* the row is still there, and found again */
    }
    log_info("worker.recovered", LOG_STR("uuid", slot->uuid), LOG_STR("host", slot->host),
             LOG_STR("why", slot->why), LOG_UINT("given_back", result->given_back),
             LOG_UINT("failed", result->failed));
}

static struct recovering *free_slot(struct registry_sweep *sweep, const char *uuid)
{
    struct recovering *free = NULL;

    for (size_t i = 0; i < SWEEP_AT_ONCE; i++) {
        struct recovering *slot = &sweep->recovering[i];

        if (!slot->sweep)
            free = slot;
        else if (strcmp(slot->uuid, uuid) == 0)
            return NULL; /* under way */
    }
    return free;
}

/* Not counted against the jobs: the master or the whole machine died, not they killed it. */
static void recover(struct registry_sweep *sweep, const struct worker_entry *entry, const char *why)
{
    struct recovering *slot = free_slot(sweep, entry->uuid);
    struct recover_spec spec = { .max_givebacks = sweep->options.max_givebacks };
    struct error err;

    if (!slot)
        return; /* the next look comes again */
    *slot = (struct recovering){ .sweep = sweep, .why = why };
    (void)snprintf(slot->uuid, sizeof(slot->uuid), "%s", entry->uuid);
    (void)snprintf(slot->host, sizeof(slot->host), "%s", entry->identity.host);
    spec.uuid = slot->uuid;
    if (queue_recover(sweep->options.queue, &spec, on_recovered, slot, &err) < 0)
        slot->sweep = NULL;
}

/* ---- looking */

/* True when the row may need another look. */
static bool take_entry(struct registry_sweep *sweep, const struct sweep_self *self,
                       const struct worker_entry *entry)
{
    const struct worker_identity *identity = &entry->identity;
    struct sweep_seen seen = { .pid = SWEEP_PID_HIDDEN };
    enum sweep_verdict verdict;

    if (!uuid_is_valid(entry->uuid))
        return false;
    seen.still_ms = watch(sweep, entry, self->boot_ms);
    if (sweep_knows_pid(self, entry))
        seen.pid = look_at_pid((pid_t)identity->pid, identity->start_ticks);
    verdict = sweep_decide(self, entry, &seen);
    if (verdict == SWEEP_END && end_session(entry))
        verdict = SWEEP_RECOVER;
    if (verdict == SWEEP_RECOVER)
        recover(sweep, entry, sweep_why(self, entry));
    return verdict != SWEEP_NOT_OURS;
}

static void plan_next(struct registry_sweep *sweep, bool more, uint64_t boot_ms)
{
    bool busy = boot_ms - sweep->first_boot_ms < SWEEP_BUSY_MS;

    if (!more) {
        sweep->over = true;
        log_debug("registry.swept", LOG_UINT("rows", sweep->watched_count));
    }
    /* Those that still live are another master's, most likely. */
    sweep->next_boot_ms = boot_ms + (busy ? 0 : SWEEP_IDLE_MS);
}

static void on_listed(struct queue *queue, const struct call_result *call,
                      const struct worker_entry *entries, size_t count, void *arg)
{
    struct registry_sweep *sweep = arg;
    struct sweep_self self = { .host = sweep->options.host,
                               .master = sweep->options.master,
                               .boot_ms = clock_boot_ms() };
    bool more = false;

    (void)queue;
    sweep->looking = false;
    if (call->outcome != REDIS_REPLY)
        return;
    for (size_t i = 0; i < count; i++)
        more = take_entry(sweep, &self, &entries[i]) || more;
    forget_unseen(sweep);
    sweep->last_boot_ms = self.boot_ms;
    if (sweep->first_boot_ms == 0)
        sweep->first_boot_ms = self.boot_ms;
    plan_next(sweep, more, self.boot_ms);
}

void registry_sweep_step(struct registry_sweep *sweep)
{
    uint64_t boot_ms = clock_boot_ms();
    struct error err;

    if (sweep->over || sweep->looking || boot_ms < sweep->next_boot_ms)
        return;
    sweep->looking = queue_list_workers(sweep->options.queue, on_listed, sweep, &err) == 0;
}
