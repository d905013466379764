#include "supervisor/master/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/scoreboard/totals.h"

#define RESTART_JITTER   0.2
#define PENDING_SLACK_MS 1000 /* on top of the start timeout, for a second try */
#define BALANCE_MS       50

const char *pool_outcome_name(enum pool_outcome outcome)
{
    static const char *const names[] = {
        [POOL_UNCHANGED] = "unchanged", [POOL_RESIZED] = "resized",   [POOL_REPLACED] = "replaced",
        [POOL_STARTED] = "started",     [POOL_DRAINING] = "draining", [POOL_FAILED] = "failed",
        [POOL_PENDING] = "pending",
    };

    return names[outcome];
}

unsigned int pool_share(unsigned int concurrency, unsigned int processes, unsigned int index)
{
    assert(processes >= 1 && processes <= concurrency && index < processes);
    return concurrency / processes + (index < concurrency % processes ? 1 : 0);
}

/* ---- slots come and go */

static int add_slot(struct pool *pool, struct generation *generation, enum pool_role role,
                    unsigned int index, unsigned int share, struct error *err)
{
    struct slot *slot = calloc(1, sizeof *slot);

    if (slot && pool->count == pool->cap) {
        size_t cap = pool->cap ? pool->cap * 2 : 4;
        struct pool_place *places = realloc(pool->places, cap * sizeof *places);

        if (places) {
            pool->places = places;
            pool->cap = cap;
        }
    }
    if (!slot || pool->count == pool->cap) {
        free(slot);
        return error_set(err, -ENOMEM, "no memory for a worker of queue %s", pool->queue);
    }
    slot_init(slot, pool->context, generation, pool->queue, index, share, &pool->backoff);
    if (role == POOL_NEW)
        slot_set_share(slot, share, 0);
    pool->places[pool->count++] = (struct pool_place){ slot, role };
    return 0;
}

static void free_slot(struct slot *slot)
{
    slot_done(slot);
    free(slot);
}

static void leave(struct pool_place *place, enum slot_wish wish, const char *why)
{
    place->role = POOL_LEAVING;
    slot_ask(place->slot, wish, why);
}

static void drop_stopped(struct pool *pool)
{
    size_t kept = 0;

    for (size_t i = 0; i < pool->count; i++) {
        struct pool_place place = pool->places[i];

        if (place.role == POOL_LEAVING && place.slot->state == SLOT_STOPPED)
            free_slot(place.slot);
        else
            pool->places[kept++] = place;
    }
    pool->count = kept;
}

static struct slot *find_slot(const struct pool *pool, enum pool_role role, unsigned int index)
{
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].role == role && pool->places[i].slot->index == index)
            return pool->places[i].slot;
    }
    return NULL;
}

/* ---- what still runs where it should not */

/* How many jobs it runs that it should not, or would not if it had its share. */
static unsigned int over_of(const struct pool_place *place)
{
    unsigned int running = slot_running(place->slot);

    if (place->role == POOL_LEAVING)
        return running;
    return running > place->slot->concurrency ? running - place->slot->concurrency : 0;
}

/* Takes from what a slot may run as much of `*over` as it has, but for its own part of it: a worker
 * that runs too many starts none by itself. True when that changed something. */
static bool allow(const struct pool_place *place, unsigned int *over)
{
    struct slot *slot = place->slot;
    unsigned int own = over_of(place), before = slot->allowed;
    unsigned int others = *over > own ? *over - own : 0;
    unsigned int cut = others < slot->concurrency ? others : slot->concurrency;

    *over -= cut;
    slot_set_share(slot, slot->concurrency, slot->concurrency - cut);
    return slot->allowed != before;
}

static bool balance(struct pool *pool)
{
    unsigned int over = 0;
    bool changed = false;

    pool->balance_ms = 0;
    if (pool->removed || pool->context->wish != SLOT_WISH_RUN)
        return false; /* nobody is left to be allowed anything */
    for (size_t i = 0; i < pool->count; i++)
        over += over_of(&pool->places[i]);
    if (over > 0)
        pool->balance_ms = clock_now_ms() + BALANCE_MS;
    for (size_t i = pool->count; i-- > 0;) {
        if (pool->places[i].role == POOL_CURRENT)
            changed = allow(&pool->places[i], &over) || changed;
    }
    return changed;
}

/* ---- size */

/* Makes what is missing first, so that a failure has changed nothing. */
static int set_size(struct pool *pool, unsigned int concurrency, unsigned int processes,
                    struct error *err)
{
    size_t before = pool->count;
    unsigned int wanted = processes < concurrency ? processes : concurrency;

    for (unsigned int i = 0; i < wanted; i++) {
        if (find_slot(pool, POOL_CURRENT, i) ||
            add_slot(pool, pool->generation, POOL_CURRENT, i, pool_share(concurrency, wanted, i),
                     err) == 0)
            continue;
        while (pool->count > before)
            free_slot(pool->places[--pool->count].slot);
        return -ENOMEM;
    }
    pool->concurrency = concurrency;
    pool->processes = wanted;
    for (size_t i = 0; i < pool->count; i++) {
        struct pool_place *place = &pool->places[i];

        if (place->role != POOL_CURRENT)
            continue;
        if (place->slot->index >= wanted)
            leave(place, SLOT_WISH_DRAIN, "one process too many");
        else
            slot_set_share(place->slot, pool_share(concurrency, wanted, place->slot->index), 0);
    }
    (void)balance(pool); /* whether it changed something: all are told by the next step */
    /* What a process fetches before it hears of its smaller share shows a little later. */
    pool->balance_ms = clock_now_ms() + BALANCE_MS;
    return 0;
}

/* ---- changes */

static void set_generation(struct pool *pool, struct generation *generation)
{
    struct generation *old = pool->generation;

    pool->generation = generation_ref(generation);
    generation_unref(old);
}

static struct backoff backoff_of(const struct config *config)
{
    return (struct backoff){ .first_ms = config->restart_first_ms,
                             .max_ms = config->restart_max_ms,
                             .jitter = RESTART_JITTER };
}

/* Also for the slots that stay. */
static void take_backoff(struct pool *pool, const struct config *config)
{
    pool->backoff = backoff_of(config);
    for (size_t i = 0; i < pool->count; i++)
        slot_set_backoff(pool->places[i].slot, &pool->backoff);
}

static void expect(struct pool *pool, enum pool_outcome expected)
{
    pool->outcome = POOL_PENDING;
    pool->expected = expected;
    pool->why[0] = '\0';
    pool->pending_until_ms = clock_now_ms() + pool->context->start_timeout_ms + PENDING_SLACK_MS;
}

/* What a pool gets from a file: its numbers, unless a kept `drover scale` is newer than these. */
struct size {
    unsigned int concurrency, processes;
    bool scaled;
};

static struct size size_of(const struct pool *pool, const struct generation *generation)
{
    const struct config_queue *config = config_find_queue(generation->config, pool->queue);
    const struct config_queue *before = config_find_queue(pool->generation->config, pool->queue);
    bool file_changed =
        config->concurrency != before->concurrency || config->processes != before->processes;
    bool scaled = pool->scaled && pool->scale_kept && !file_changed;

    return (struct size){ .concurrency = scaled ? pool->concurrency : config->concurrency,
                          .processes = config->processes,
                          .scaled = scaled };
}

/* Nothing depends on them. */
static void hold_totals(const struct pool *pool)
{
    struct error err = { 0 };

    if (scoreboard_hold_totals(pool->context->board, pool->queue, &err) < 0)
        log_warn("totals.full", LOG_STR("queue", pool->queue), LOG_STR("why", err.text));
}

int pool_new(struct slot_context *context, struct generation *generation, const char *queue,
             struct pool **out_pool, struct error *err)
{
    const struct config_queue *config = config_find_queue(generation->config, queue);
    struct pool *pool = calloc(1, sizeof *pool);
    int result = -ENOMEM;

    assert(config);
    if (pool)
        pool->queue = strdup(queue);
    if (!pool || !pool->queue) {
        free(pool);
        return error_set(err, -ENOMEM, "no memory for the pool of queue %s", queue);
    }
    pool->context = context;
    pool->backoff = backoff_of(generation->config);
    set_generation(pool, generation);
    result = set_size(pool, config->concurrency, config->processes, err);
    if (result < 0) {
        pool_free(pool);
        return result;
    }
    expect(pool, POOL_STARTED);
    hold_totals(pool);
    log_info("pool.started", LOG_STR("queue", queue), LOG_UINT("workers", pool->processes),
             LOG_UINT("concurrency", pool->concurrency),
             LOG_UINT("generation", generation->number));
    *out_pool = pool;
    return 0;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->count; i++)
        free_slot(pool->places[i].slot);
    scoreboard_let_go_totals(pool->context->board, pool->queue);
    free(pool->places);
    generation_unref(pool->generation);
    generation_unref(pool->next);
    free(pool->queue);
    free(pool);
}

int pool_keep(struct pool *pool, struct generation *generation, struct error *err)
{
    struct size size = size_of(pool, generation);
    unsigned int had = pool->concurrency, had_processes = pool->processes;
    bool forgiven = false;
    int result = set_size(pool, size.concurrency, size.processes, err);

    if (result < 0)
        return result;
    pool->scaled = pool->scale_kept = size.scaled;
    take_backoff(pool, generation->config);
    set_generation(pool, generation);
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].role != POOL_CURRENT)
            continue;
        slot_set_generation(pool->places[i].slot, generation);
        forgiven = slot_forgive(pool->places[i].slot) || forgiven;
    }
    pool->told_given_up = false;
    if (had == pool->concurrency && had_processes == pool->processes) {
        pool->outcome = POOL_UNCHANGED;
        pool->why[0] = '\0';
        if (forgiven)
            expect(pool, POOL_STARTED);
        return 0;
    }
    expect(pool, POOL_RESIZED);
    log_info("pool.resized", LOG_STR("queue", pool->queue), LOG_UINT("from", had),
             LOG_UINT("to", pool->concurrency), LOG_UINT("workers", pool->processes));
    return 0;
}

/* The new ones get the size that the file, or a kept `drover scale`, wants. */
int pool_replace(struct pool *pool, struct generation *generation, struct error *err)
{
    struct size size = size_of(pool, generation);
    unsigned int processes = size.processes < size.concurrency ? size.processes : size.concurrency;
    size_t before_count = pool->count;

    assert(!pool->next);
    take_backoff(pool, generation->config);
    for (unsigned int i = 0; i < processes; i++) {
        if (add_slot(pool, generation, POOL_NEW, i, pool_share(size.concurrency, processes, i),
                     err) == 0)
            continue;
        while (pool->count > before_count)
            free_slot(pool->places[--pool->count].slot);
        return -ENOMEM;
    }
    pool->next_scaled = size.scaled;
    pool->next = generation_ref(generation);
    expect(pool, POOL_REPLACED);
    log_info("pool.replacing", LOG_STR("queue", pool->queue), LOG_UINT("workers", processes),
             LOG_UINT("generation", generation->number));
    return 0;
}

void pool_remove(struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        leave(&pool->places[i], SLOT_WISH_DRAIN, "the queue was removed");
    pool->removed = true;
    pool->outcome = POOL_DRAINING;
    pool->why[0] = '\0';
    log_info("pool.removed", LOG_STR("queue", pool->queue), LOG_UINT("workers", pool->count));
}

int pool_return(struct pool *pool, struct generation *generation, struct error *err)
{
    const struct config_queue *config = config_find_queue(generation->config, pool->queue);
    int result;

    assert(pool->removed && !pool->next);
    pool->removed = false;
    take_backoff(pool, generation->config);
    set_generation(pool, generation);
    result = set_size(pool, config->concurrency, config->processes, err);
    if (result < 0) {
        pool->removed = true;
        return result;
    }
    pool->scaled = pool->scale_kept = pool->told_ready = pool->told_given_up = false;
    expect(pool, POOL_STARTED);
    log_info("pool.returned", LOG_STR("queue", pool->queue), LOG_UINT("workers", pool->processes),
             LOG_UINT("draining", pool->count - pool->processes),
             LOG_UINT("generation", generation->number));
    return 0;
}

int pool_scale(struct pool *pool, unsigned int concurrency, bool keep, struct error *err)
{
    const struct config_queue *config = config_find_queue(pool->generation->config, pool->queue);
    unsigned int had = pool->concurrency;
    int result;

    if (pool->next)
        return error_set(err, -EBUSY, "the workers of queue %s are being replaced", pool->queue);
    if (pool->removed)
        return error_set(err, -ENOENT, "queue %s was removed from the configuration", pool->queue);
    result = set_size(pool, concurrency, config->processes, err);
    if (result < 0)
        return result;
    pool->scaled = true;
    pool->scale_kept = keep;
    log_info("pool.scaled", LOG_STR("queue", pool->queue), LOG_UINT("from", had),
             LOG_UINT("to", concurrency), LOG_UINT("workers", pool->processes),
             LOG_BOOL("kept", keep));
    return 0;
}

/* ---- the step */

static size_t count_role_in(const struct pool *pool, enum pool_role role, enum slot_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < pool->count; i++)
        count += pool->places[i].role == role && pool->places[i].slot->state == state;
    return count;
}

static size_t count_role(const struct pool *pool, enum pool_role role)
{
    size_t count = 0;

    for (size_t i = 0; i < pool->count; i++)
        count += pool->places[i].role == role;
    return count;
}

static void commit_replacement(struct pool *pool)
{
    unsigned int concurrency = 0;
    unsigned int processes = 0;

    for (size_t i = 0; i < pool->count; i++) {
        struct pool_place *place = &pool->places[i];

        if (place->role == POOL_CURRENT) {
            leave(place, SLOT_WISH_DRAIN, "replaced");
        } else if (place->role == POOL_NEW) {
            place->role = POOL_CURRENT;
            concurrency += place->slot->concurrency;
            processes++;
        }
    }
    pool->concurrency = concurrency;
    pool->processes = processes;
    generation_unref(pool->generation);
    pool->generation = pool->next;
    pool->next = NULL;
    pool->scaled = pool->scale_kept = pool->next_scaled;
    pool->outcome = POOL_REPLACED;
    pool->told_given_up = false;
    log_info("pool.replaced", LOG_STR("queue", pool->queue), LOG_UINT("workers", processes),
             LOG_UINT("generation", pool->generation->number));
}

/* The new ones go, the old ones stay. */
static void give_up_replacement(struct pool *pool, const char *why)
{
    bool stops = pool->context->wish != SLOT_WISH_RUN;

    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].role == POOL_NEW)
            leave(&pool->places[i], SLOT_WISH_STOP, "its pool could not be replaced");
    }
    generation_unref(pool->next);
    pool->next = NULL;
    pool->outcome = POOL_FAILED;
    (void)snprintf(pool->why, sizeof pool->why, "%s; the old workers go on", why);
    if (!stops) /* else there is nothing to do about it */
        log_error("pool.not_replaced", LOG_STR("queue", pool->queue), LOG_STR("why", why),
                  LOG_STR("hint", "the log lines of the new workers say more; the old ones go on"));
}

static void step_replacement(struct pool *pool)
{
    size_t news = count_role(pool, POOL_NEW);
    char why[96];

    if (pool->context->wish != SLOT_WISH_RUN) {
        give_up_replacement(pool, "the service stops");
    } else if (count_role_in(pool, POOL_NEW, SLOT_SERVING) == news) {
        commit_replacement(pool);
    } else if (count_role_in(pool, POOL_NEW, SLOT_GIVEN_UP) > 0) {
        give_up_replacement(pool, "a new worker ended with an exit code after which a restart "
                                  "cannot help");
    } else if (clock_now_ms() >= pool->pending_until_ms) {
        (void)snprintf(why, sizeof why, "%zu of %zu new workers were not ready within %llu ms",
                       news - count_role_in(pool, POOL_NEW, SLOT_SERVING), news,
                       (unsigned long long)pool->context->start_timeout_ms + PENDING_SLACK_MS);
        give_up_replacement(pool, why);
    }
}

/* A pool that was started or resized: pending ends when all its workers serve. */
static void step_pending(struct pool *pool)
{
    size_t serving = pool_count_in(pool, SLOT_SERVING), wanted = pool_wanted(pool);
    bool over = clock_now_ms() >= pool->pending_until_ms ||
                count_role_in(pool, POOL_CURRENT, SLOT_GIVEN_UP) > 0;

    if (serving == wanted) {
        pool->outcome = pool->expected;
    } else if (over) {
        pool->outcome = POOL_FAILED;
        (void)snprintf(pool->why, sizeof pool->why, "%zu of %zu workers are not ready",
                       wanted - serving, wanted);
        if (pool->context->wish == SLOT_WISH_RUN)
            log_warn("pool.not_ready", LOG_STR("queue", pool->queue), LOG_STR("why", pool->why));
    }
}

static void tell_news(struct pool *pool)
{
    size_t wanted = pool_wanted(pool);

    if (wanted == 0 || pool->removed)
        return;
    if (!pool->told_ready && pool_count_in(pool, SLOT_SERVING) == wanted) {
        pool->told_ready = true;
        log_info("pool.ready", LOG_STR("queue", pool->queue), LOG_UINT("workers", wanted));
    }
    if (!pool->told_given_up && pool_count_in(pool, SLOT_GIVEN_UP) == wanted) {
        pool->told_given_up = true;
        log_error("pool.given_up", LOG_STR("queue", pool->queue), LOG_UINT("workers", wanted),
                  LOG_STR("why", "every worker ended with an exit code after which a restart "
                                 "cannot help"));
    }
}

static void step_slots(struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++)
        slot_step(pool->places[i].slot);
}

void pool_step(struct pool *pool)
{
    bool replacing = pool->next != NULL;

    step_slots(pool);
    if (pool->next)
        step_replacement(pool);
    else if (pool->outcome == POOL_PENDING)
        step_pending(pool);
    if (balance(pool) || (replacing && !pool->next))
        step_slots(pool); /* tells them */
    drop_stopped(pool);
    tell_news(pool);
}

uint64_t pool_next_ms(const struct pool *pool)
{
    uint64_t next_ms = pool->balance_ms;

    if (pool->outcome == POOL_PENDING && (next_ms == 0 || pool->pending_until_ms < next_ms))
        next_ms = pool->pending_until_ms;
    for (size_t i = 0; i < pool->count; i++) {
        const struct slot *slot = pool->places[i].slot;

        if (slot->state == SLOT_EMPTY) /* the turn's spawns were used up */
            return clock_now_ms();
        if (slot->deadline_ms != 0 && (next_ms == 0 || slot->deadline_ms < next_ms))
            next_ms = slot->deadline_ms;
    }
    return next_ms;
}

/* ---- counting */

size_t pool_count_in(const struct pool *pool, enum slot_state state)
{
    return count_role_in(pool, POOL_CURRENT, state);
}

size_t pool_wanted(const struct pool *pool)
{
    return count_role(pool, POOL_CURRENT);
}

bool pool_is_at_rest(const struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].slot->state != SLOT_STOPPED)
            return false;
    }
    return true;
}

bool pool_is_gone(const struct pool *pool)
{
    return pool->removed && pool->count == 0;
}
