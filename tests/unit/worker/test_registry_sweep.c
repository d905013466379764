/* Who in the registry is dead: the decision as a table, and the look at the registry with a kernel
 * and a queue that only say what they are told. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/registry_sweep.h"

#define OURS   "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f00"
#define OTHERS "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f01"
#define DEAD   "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f6c"
#define DEAD_2 "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f8f6d"

static const struct process_host host = {
    .name = "h1", .machine = "m1", .boot = "b1", .pid_space = 100
};

/* ---- the decision */

/* A row of this boot, of another master; the texts below replace what they name. */
static struct worker_entry make_entry(void)
{
    return (struct worker_entry){
        .uuid = DEAD,
        .identity = { .host = "h1",
                      .machine = "m1",
                      .boot = "b1",
                      .pid_space = 100,
                      .pid = 4000,
                      .start_ticks = 77,
                      .master = OTHERS,
                      .version = "0" },
        .beat = 5,
        .beat_age_ms = 1000,
    };
}

#define BOOT_MS 100000

Test(sweep_decide, verdicts)
{
    static const struct {
        const char *name;
        const char *host, *machine, *boot, *master; /* NULL: as ours, the master another */
        uint64_t pid_space, beat_age_ms;            /* 0: ours, one second */
        enum sweep_pid pid;
        uint64_t still_ms;
        enum sweep_verdict verdict;
    } rows[] = {
        /* This boot, pids that mean something here. */
        { "alive", .pid = SWEEP_PID_ALIVE, .verdict = SWEEP_LEAVE },
        { "alive, and hangs", .pid = SWEEP_PID_ALIVE, .still_ms = 900000, .beat_age_ms = 900000,
          .verdict = SWEEP_LEAVE },
        { "gone", .pid = SWEEP_PID_GONE, .verdict = SWEEP_END },
        { "gone long ago: its session may be a stranger's", .pid = SWEEP_PID_GONE,
          .beat_age_ms = SWEEP_KILL_MS, .verdict = SWEEP_RECOVER },
        { "hidden from us", .pid = SWEEP_PID_HIDDEN, .still_ms = 900000, .beat_age_ms = 900000,
          .verdict = SWEEP_LEAVE },
        { "pid of another, beats", .pid = SWEEP_PID_OTHER, .still_ms = 1000,
          .verdict = SWEEP_LEAVE },
        { "pid of another, stood still for us only", .pid = SWEEP_PID_OTHER,
          .still_ms = SWEEP_STILL_MS, .beat_age_ms = 2000, .verdict = SWEEP_LEAVE },
        { "pid of another, old, just seen", .pid = SWEEP_PID_OTHER, .still_ms = 0,
          .beat_age_ms = 900000, .verdict = SWEEP_LEAVE },
        { "pid of another, stands still", .pid = SWEEP_PID_OTHER, .still_ms = SWEEP_STILL_MS,
          .beat_age_ms = SWEEP_STILL_MS, .verdict = SWEEP_END },
        { "gone, host was renamed", .host = "h2", .pid = SWEEP_PID_GONE, .verdict = SWEEP_END },
        { "gone, no machine id", .machine = "", .pid = SWEEP_PID_GONE, .verdict = SWEEP_END },

        /* Rows that are not ours to judge. */
        { "our own master's", .master = OURS, .pid = SWEEP_PID_GONE, .verdict = SWEEP_NOT_OURS },
        { "nobody's", .master = "", .pid = SWEEP_PID_GONE, .verdict = SWEEP_NOT_OURS },
        { "another container of this host", .pid_space = 101, .pid = SWEEP_PID_GONE,
          .still_ms = 900000, .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },
        { "unknown boot", .boot = "", .pid = SWEEP_PID_GONE, .still_ms = 900000,
          .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },
        { "another host", .host = "h2", .machine = "m2", .boot = "b2", .pid = SWEEP_PID_GONE,
          .still_ms = 900000, .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },
        { "another host of the same name", .machine = "m2", .boot = "b2", .pid = SWEEP_PID_GONE,
          .still_ms = 900000, .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },
        { "no machine id, another boot", .machine = "", .boot = "b2", .pid = SWEEP_PID_GONE,
          .still_ms = 900000, .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },
        { "clone with a name of its own", .host = "h2", .boot = "b2", .pid = SWEEP_PID_GONE,
          .still_ms = 900000, .beat_age_ms = 900000, .verdict = SWEEP_NOT_OURS },

        /* An earlier boot of this machine, or a clone of it. */
        { "earlier boot, just seen", .boot = "b0", .beat_age_ms = BOOT_MS, .still_ms = 0,
          .verdict = SWEEP_LEAVE },
        { "earlier boot, stands still", .boot = "b0", .beat_age_ms = BOOT_MS,
          .still_ms = SWEEP_STILL_MS, .verdict = SWEEP_RECOVER },
        { "earlier boot, its pid does not matter", .boot = "b0", .beat_age_ms = BOOT_MS,
          .still_ms = SWEEP_STILL_MS, .pid = SWEEP_PID_ALIVE, .verdict = SWEEP_RECOVER },
        { "clone that has beaten since we booted", .boot = "b0", .beat_age_ms = BOOT_MS - 1,
          .still_ms = SWEEP_STILL_MS, .verdict = SWEEP_LEAVE },
        { "clone that beats", .boot = "b0", .beat_age_ms = 900, .still_ms = 900,
          .verdict = SWEEP_LEAVE },
    };
    struct sweep_self self = { .host = &host, .master = OURS, .boot_ms = BOOT_MS };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct worker_entry entry = make_entry();
        struct sweep_seen seen = { rows[i].pid, rows[i].still_ms };

        if (rows[i].host)
            entry.identity.host = rows[i].host;
        if (rows[i].machine)
            entry.identity.machine = rows[i].machine;
        if (rows[i].boot)
            entry.identity.boot = rows[i].boot;
        if (rows[i].master)
            entry.identity.master = rows[i].master;
        if (rows[i].pid_space > 0)
            entry.identity.pid_space = rows[i].pid_space;
        if (rows[i].beat_age_ms > 0)
            entry.beat_age_ms = rows[i].beat_age_ms;
        cr_assert(eq(int, (int)sweep_decide(&self, &entry, &seen), (int)rows[i].verdict), "%s",
                  rows[i].name);
    }
}

/* What we do not know of ourselves proves nothing of others. */
Test(sweep_decide, facts_of_our_own_may_be_missing)
{
    static const struct {
        const char *name;
        struct process_host host;
        const char *boot;
    } rows[] = {
        { "no boot id", { .name = "h1", .machine = "m1", .pid_space = 100 }, "" },
        { "no boot id, theirs is known",
          { .name = "h1", .machine = "m1", .pid_space = 100 },
          "b1" },
        { "no pid namespace", { .name = "h1", .machine = "m1", .boot = "b1" }, "b1" },
        { "no machine id", { .name = "h1", .boot = "b1", .pid_space = 100 }, "b0" },
        { "no name", { .machine = "m1", .boot = "b1", .pid_space = 100 }, "b0" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sweep_self self = { .host = &rows[i].host, .master = OURS, .boot_ms = BOOT_MS };
        struct worker_entry entry = make_entry();
        struct sweep_seen seen = { SWEEP_PID_GONE, 900000 };

        entry.identity.boot = rows[i].boot;
        entry.identity.pid_space = rows[i].host.pid_space;
        entry.beat_age_ms = 900000;
        cr_assert(eq(int, (int)sweep_decide(&self, &entry, &seen), (int)SWEEP_NOT_OURS), "%s",
                  rows[i].name);
    }
}

Test(sweep_decide, pids_that_cannot_be)
{
    static const uint64_t pids[] = { 0, 1, (uint64_t)INT32_MAX + 1, UINT64_MAX };
    struct sweep_self self = { .host = &host, .master = OURS, .boot_ms = BOOT_MS };
    struct sweep_seen seen = { SWEEP_PID_GONE, 900000 };

    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        struct worker_entry entry = make_entry();

        entry.identity.pid = pids[i];
        cr_assert(eq(int, (int)sweep_decide(&self, &entry, &seen), (int)SWEEP_NOT_OURS), "row %zu",
                  i);
    }
}

/* ---- the look, with fakes */

static queue_workers_cb *on_listed;
static void *listed_arg;
static size_t looks;
static struct recovery {
    char uuid[40];
    bool counted;
    queue_recover_cb *on_done;
    void *arg;
} recoveries[64];
static size_t recoveries_count;
static uint64_t real_start_ticks; /* what /proc says of every pid */
static unsigned int left_over;    /* of the session; killed by the next call */
static unsigned int kills;
static struct registry_sweep *sweep;

int queue_list_workers(struct queue *queue, queue_workers_cb *on_done, void *arg, struct error *err)
{
    (void)queue, (void)err;
    cr_assert(on_listed == NULL, "one look at a time");
    on_listed = on_done;
    listed_arg = arg;
    looks++;
    return 0;
}

int queue_recover(struct queue *queue, const struct recover_spec *spec, queue_recover_cb *on_done,
                  void *arg, struct error *err)
{
    struct recovery *row = &recoveries[recoveries_count++];

    (void)queue, (void)err;
    (void)snprintf(row->uuid, sizeof(row->uuid), "%s", spec->uuid);
    row->counted = spec->cause && *spec->cause;
    row->on_done = on_done;
    row->arg = arg;
    cr_assert(eq(u64, spec->max_givebacks, 3));
    return 0;
}

int process_read_stat(pid_t pid, struct process_stat *out_stat)
{
    *out_stat = (struct process_stat){ .pid = pid, .state = 'S', .start_ticks = real_start_ticks };
    return real_start_ticks > 0 ? 0 : -ESRCH;
}

bool process_is_alive(pid_t pid, uint64_t start_ticks)
{
    (void)pid;
    return start_ticks == 0 || start_ticks == real_start_ticks;
}

unsigned int process_kill_session(pid_t sid, bool leader_reaped)
{
    unsigned int killed = left_over;

    cr_assert(lt(int, 1, sid));
    cr_assert(leader_reaped);
    kills++;
    left_over = 0;
    return killed;
}

static void init(void)
{
    struct registry_sweep_options options = { .host = &host, .master = OURS, .max_givebacks = 3 };

    log_open(2, LOG_FORMAT_PLAIN, LOG_LEVEL_ERROR);
    real_start_ticks = 77;
    cr_assert(eq(int, registry_sweep_new(&options, &sweep, NULL), 0));
}

static void done(void)
{
    registry_sweep_free(sweep);
}

TestSuite(sweep, .init = init, .fini = done, .timeout = 20);

static void answer(const struct worker_entry *entries, size_t count, enum redis_outcome outcome)
{
    struct call_result call = { .outcome = outcome, .why = "" };
    queue_workers_cb *callback = on_listed;

    cr_assert(callback != NULL);
    on_listed = NULL;
    callback(NULL, &call, outcome == REDIS_REPLY ? entries : NULL,
             outcome == REDIS_REPLY ? count : 0, listed_arg);
}

static void look(const struct worker_entry *entries, size_t count)
{
    registry_sweep_step(sweep);
    answer(entries, count, REDIS_REPLY);
    clock_shift_for_tests(1000);
}

static void end_recovery(size_t at, enum redis_outcome outcome)
{
    struct call_result call = { .outcome = outcome, .why = "told" };
    struct recover_result result = { .given_back = 2 };

    recoveries[at].on_done(NULL, &call, &result, recoveries[at].arg);
}

/* A pid that the kernel surely knows nobody by: of a child that was reaped just now. */
static uint64_t gone_pid(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    (void)waitpid(pid, NULL, 0);
    return (uint64_t)pid;
}

/* And one that lives: our own. */
static struct worker_entry entry_of(uint64_t pid)
{
    struct worker_entry entry = make_entry();

    entry.identity.pid = pid;
    return entry;
}

Test(sweep, is_over_when_nobody_is_left)
{
    struct worker_entry ours = entry_of((uint64_t)getpid());

    ours.identity.master = OURS;
    look(&ours, 1);
    cr_assert(registry_sweep_is_over(sweep));
    registry_sweep_step(sweep);
    cr_assert(eq(sz, looks, 1));
}

Test(sweep, gone_process_is_recovered_uncounted)
{
    struct worker_entry entry = entry_of(gone_pid());

    look(&entry, 1);
    cr_assert(eq(uint, kills, 1));
    cr_assert(eq(sz, recoveries_count, 1));
    cr_assert(eq(str, recoveries[0].uuid, (char *)DEAD));
    cr_assert(not(recoveries[0].counted));
    look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 1), "it is under way");
    end_recovery(0, REDIS_REPLY);
    look(NULL, 0);
    cr_assert(registry_sweep_is_over(sweep));
}

Test(sweep, session_is_seen_empty_first)
{
    struct worker_entry entry = entry_of(gone_pid());

    left_over = 3;
    look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 0), "killed, not seen dead");
    look(&entry, 1);
    cr_assert(eq(uint, kills, 2));
    cr_assert(eq(sz, recoveries_count, 1));
    end_recovery(0, REDIS_REPLY);
}

Test(sweep, live_process_is_left_alone_and_watched)
{
    struct worker_entry entry = entry_of((uint64_t)getpid());

    for (int i = 0; i < 20; i++) {
        cr_assert(not(registry_sweep_is_over(sweep)));
        look(&entry, 1);
    }
    cr_assert(eq(sz, looks, 20), "every second");
    cr_assert(eq(sz, recoveries_count + kills, 0));
}

Test(sweep, looks_seldom_after_a_minute)
{
    struct worker_entry entry = entry_of((uint64_t)getpid());

    for (int s = 0; s < 61; s++)
        look(&entry, 1);
    cr_assert(eq(sz, looks, 61));
    for (int s = 0; s < 120; s++) {
        registry_sweep_step(sweep);
        if (on_listed)
            answer(&entry, 1, REDIS_REPLY);
        clock_shift_for_tests(1000);
    }
    cr_assert(le(sz, looks, 66));
    cr_assert(le(sz, 64, looks));
    entry = entry_of(gone_pid());
    clock_shift_for_tests(SWEEP_IDLE_MS);
    look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 1), "and still sees who is gone");
    end_recovery(0, REDIS_REPLY);
}

Test(sweep, hidden_process_is_left_alone)
{
    struct worker_entry entry = entry_of((uint64_t)getpid());

    real_start_ticks = 0; /* /proc does not show it; the kernel knows it */
    for (int i = 0; i < 20; i++)
        look(&entry, 1);
    cr_assert(eq(sz, recoveries_count + kills, 0));
}

Test(sweep, pid_of_another_needs_a_beat_that_stands_still)
{
    struct worker_entry entry = entry_of((uint64_t)getpid());
    int looked = 0;

    real_start_ticks = 99;
    for (int i = 0; i < 8; i++) { /* it beats */
        entry.beat++;
        entry.beat_age_ms = 900;
        look(&entry, 1);
    }
    cr_assert(eq(sz, recoveries_count, 0));
    for (; recoveries_count == 0; looked++) {
        entry.beat_age_ms += 1000;
        look(&entry, 1);
        cr_assert(lt(int, looked, 20));
    }
    cr_assert(le(int, 5, looked), "six seconds");
    end_recovery(0, REDIS_REPLY);
}

/* Nobody beats while Redis is away: that time does not count. */
Test(sweep, stillness_counts_only_while_we_are_answered)
{
    struct worker_entry entry = entry_of((uint64_t)getpid());

    real_start_ticks = 99;
    entry.beat_age_ms = 30000;
    look(&entry, 1);
    for (int i = 0; i < 10; i++) {
        registry_sweep_step(sweep);
        answer(NULL, 0, REDIS_UNKNOWN);
        clock_shift_for_tests(1000);
    }
    look(&entry, 1);
    look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 0));
    for (int i = 0; i < 6; i++)
        look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 1));
    end_recovery(0, REDIS_REPLY);
}

Test(sweep, failed_recovery_is_repeated)
{
    struct worker_entry entry = entry_of(gone_pid());

    look(&entry, 1);
    end_recovery(0, REDIS_UNKNOWN);
    look(&entry, 1);
    cr_assert(eq(sz, recoveries_count, 2));
    end_recovery(1, REDIS_REPLY);
}

Test(sweep, failed_look_is_repeated)
{
    registry_sweep_step(sweep);
    answer(NULL, 0, REDIS_REFUSED);
    cr_assert(not(registry_sweep_is_over(sweep)));
    registry_sweep_step(sweep);
    cr_assert(eq(sz, looks, 2));
    answer(NULL, 0, REDIS_REPLY);
}

Test(sweep, recoveries_at_once_are_bounded_and_none_is_forgotten)
{
    enum { DEAD_ONES = 40 };
    static char uuids[DEAD_ONES][40];
    static struct worker_entry entries[DEAD_ONES];
    uint64_t pid = gone_pid();
    size_t left = DEAD_ONES, ended = 0;

    for (size_t i = 0; i < DEAD_ONES; i++) {
        entries[i] = entry_of(pid);
        (void)snprintf(uuids[i], sizeof(uuids[i]), "0b0cbd0e-38d5-4c5a-92a5-6c9e6a9f%04zx", i);
        entries[i].uuid = uuids[i];
    }
    for (int round = 0; left > 0; round++) {
        cr_assert(lt(int, round, 10));
        look(entries, left);
        cr_assert(le(sz, recoveries_count - ended, SWEEP_AT_ONCE));
        for (; ended < recoveries_count; ended++) {
            end_recovery(ended, REDIS_REPLY);
            for (size_t i = 0; i < left; i++) {
                if (strcmp(entries[i].uuid, recoveries[ended].uuid) == 0)
                    entries[i] = entries[--left];
            }
        }
    }
    cr_assert(eq(sz, recoveries_count, DEAD_ONES), "each once");
}

Test(sweep, odd_rows_are_passed_over)
{
    struct worker_entry entries[] = { make_entry(), make_entry(), make_entry() };

    entries[0].uuid = "";
    entries[1].uuid = "not a uuid";
    entries[2].identity = (struct worker_identity){
        .host = "", .machine = "", .boot = "", .master = "", .version = ""
    };
    look(entries, 3);
    cr_assert(eq(sz, recoveries_count + kills, 0));
    cr_assert(registry_sweep_is_over(sweep));
}

/* Two masters on this host, on one queue: one's slot 0 starts while the other works. */
Test(sweep, second_master_beside_a_living_one)
{
    struct worker_entry entries[] = { entry_of((uint64_t)getpid()), entry_of(gone_pid()) };

    entries[1].uuid = DEAD_2;
    for (int i = 0; i < 10; i++) {
        entries[0].beat++;
        look(entries, 2);
    }
    cr_assert(eq(sz, recoveries_count, 1), "only who is gone");
    cr_assert(eq(str, recoveries[0].uuid, (char *)DEAD_2));
    end_recovery(0, REDIS_REPLY);
}
