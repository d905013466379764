/* Contradictions: values that are right by themselves and wrong together. */
#include <stdarg.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/units.h"
#include "common/config/load.h"

/* Stalled checks rarer than this many locks leave lost jobs lying about. */
#define STALLED_LOCKS_MAX 10u
/* A lock must outlive a lost command by this much, or it ends before its renewal can be sent again.
 */
#define LOCK_SPARE_MS     2000u
/* Renewals leave at a third of the lock, behind two calls that wait for replicas at most. */
#define WAITS_A_LOCK      6u

struct check {
    struct load *load;
    const struct config *config;
};

/* Where one value of a queue or type was written. */
struct spot {
    struct tree_mark mark; /* of the value; of the queue's or type's key when built in */
    char key[640];
    bool written;
    bool bad;     /* has a finding already */
    size_t depth; /* in the chain; its count when built in */
};

/* The narrowest section of a chain decides in which section a path is looked up. */
static struct spot spot_of(const struct chain *chain, const char *path)
{
    const struct level *level = chain->levels[0];
    const struct schema_row *row = schema_find_in(level->section, path);
    struct found found = { NULL, chain->count };
    struct spot spot;

    if (row)
        found = chain_find(chain, row);
    spot.written = found.node != NULL;
    spot.bad = found.node && found.node->bad;
    spot.depth = found.node ? found.depth : chain->count;
    if (found.node)
        level = chain->levels[found.depth];
    spot.mark = found.node ? found.node->mark : level->mark;
    (void)snprintf(spot.key, sizeof spot.key, "%s.%s", level->key, path); /* for people */
    return spot;
}

static void contradict(const struct check *check, const struct spot *spot, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void contradict(const struct check *check, const struct spot *spot, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* for people */
    va_end(args);
    findings_error(&check->load->findings, &spot->mark, spot->key, "%s", text);
}

/* Of two values that do not fit, the one that was written nearer to the job. */
static const struct spot *nearer(const struct spot *left, const struct spot *right)
{
    return right->depth < left->depth ? right : left;
}

static const char *kind_name(enum config_backoff_kind kind)
{
    return kind == CONFIG_BACKOFF_FIXED ? "fixed" : "exponential";
}

static void check_backoff(const struct check *check, const struct chain *chain,
                          const struct config_backoff *backoff)
{
    struct spot kind = spot_of(chain, "backoff.type");
    struct spot delay = spot_of(chain, "backoff.delay");
    struct spot max = spot_of(chain, "backoff.max");
    char delay_text[UNITS_TEXT_BYTES], max_text[UNITS_TEXT_BYTES];

    if (kind.bad || delay.bad || max.bad)
        return;
    if (backoff->kind == CONFIG_BACKOFF_NONE) {
        if (delay.written && backoff->delay_ms && delay.depth <= kind.depth)
            contradict(check, &delay,
                       "a delay has no effect without a type; add backoff.type: fixed or "
                       "exponential");
        return;
    }
    if (!backoff->delay_ms) {
        contradict(check, nearer(&kind, &delay),
                   "type %s needs a delay above 0; add backoff.delay: 1s",
                   kind_name(backoff->kind));
        return;
    }
    if (backoff->max_ms && backoff->max_ms < backoff->delay_ms)
        contradict(check, nearer(&max, &delay),
                   "max (%s) is less than delay (%s): no wait could be right; raise max or lower "
                   "delay",
                   units_print_duration(backoff->max_ms, max_text),
                   units_print_duration(backoff->delay_ms, delay_text));
}

static void check_grace(const struct check *check, const struct chain *chain,
                        const struct config_type *type)
{
    struct spot timeout = spot_of(chain, "timeout");
    struct spot grace = spot_of(chain, "kill_grace");
    char timeout_text[UNITS_TEXT_BYTES], grace_text[UNITS_TEXT_BYTES];

    /* The built-in grace may be longer than a short time-out: nobody asked for it. */
    if (timeout.bad || grace.bad || !grace.written || !type->timeout_ms ||
        type->kill_grace_ms <= type->timeout_ms)
        return;
    contradict(check, nearer(&grace, &timeout),
               "kill_grace (%s) is longer than timeout (%s): a job would get more time to end than "
               "to work; lower kill_grace",
               units_print_duration(type->kill_grace_ms, grace_text),
               units_print_duration(type->timeout_ms, timeout_text));
}

static void check_keep(const struct check *check, const struct chain *chain, const char *group,
                       const struct config_keep *keep)
{
    char path[64];
    struct spot age;

    (void)snprintf(path, sizeof path, "%s.age", group); /* constants */
    age = spot_of(chain, path);
    if (!age.bad && age.written && keep->age_ms && keep->count == 0)
        contradict(check, &age,
                   "nothing is kept (count none), so an age has no effect; take one "
                   "of the two out");
}

static void check_heartbeat(const struct check *check, const struct chain *chain,
                            const struct config_type *type)
{
    struct spot heartbeat = spot_of(chain, "handler.heartbeat");
    struct spot timeout = spot_of(chain, "timeout");
    const struct spot *near = nearer(&heartbeat, &timeout);
    char heartbeat_text[UNITS_TEXT_BYTES], timeout_text[UNITS_TEXT_BYTES];

    if (type->handler.kind != CONFIG_HANDLER_PROCESS || heartbeat.bad || timeout.bad ||
        !type->timeout_ms || type->handler.heartbeat_ms <= type->timeout_ms)
        return;
    findings_warning(&check->load->findings, &near->mark, near->key,
                     "heartbeat (%s) is longer than timeout (%s), which ends a silent job first; "
                     "lower heartbeat or raise timeout",
                     units_print_duration(type->handler.heartbeat_ms, heartbeat_text),
                     units_print_duration(type->timeout_ms, timeout_text));
}

/* Groups belong to a user; a user that is only a number has none of its own. */
static void check_user(const struct check *check, const struct chain *chain,
                       const struct config_handler *handler)
{
    struct spot user = spot_of(chain, "handler.user");
    struct spot group = spot_of(chain, "handler.group");
    struct spot groups = spot_of(chain, "handler.groups");
    static const char needs_user[] = "needs a user as well; add user, or take it out";

    if (user.bad || group.bad || groups.bad)
        return;
    if (!handler->user && handler->group)
        contradict(check, &group, "%s", needs_user);
    if (!handler->user && handler->groups)
        contradict(check, &groups, "%s", needs_user);
    if (handler->user && handler->user->gid == CONFIG_NO_GROUP && !handler->group)
        contradict(check, &user,
                   "%s has no entry in the user database, so its group is not known; write group "
                   "as well",
                   handler->user->name);
}

static void check_type(const struct check *check, const struct chain *chain,
                       const struct config_type *type)
{
    check_user(check, chain, &type->handler);
    check_backoff(check, chain, &type->backoff);
    check_grace(check, chain, type);
    check_heartbeat(check, chain, type);
    check_keep(check, chain, "keep.completed", &type->keep_completed);
    check_keep(check, chain, "keep.failed", &type->keep_failed);
}

static void check_processes(const struct check *check, const struct chain *chain,
                            const struct config_queue *queue)
{
    struct spot processes = spot_of(chain, "processes");
    struct spot concurrency = spot_of(chain, "concurrency");

    if (processes.bad || concurrency.bad || queue->processes <= queue->concurrency)
        return;
    contradict(check, &processes,
               "%u processes share a concurrency of %u: some could run nothing; raise concurrency "
               "to %u or more, or lower processes",
               queue->processes, queue->concurrency, queue->processes);
}

static void check_limiter(const struct check *check, const struct chain *chain,
                          const struct config_queue *queue)
{
    struct spot max = spot_of(chain, "limiter.max");
    struct spot duration = spot_of(chain, "limiter.duration");

    if (max.bad || duration.bad || !queue->limiter_max == !queue->limiter_ms)
        return;
    contradict(check, nearer(&max, &duration),
               "a limiter needs both max and duration; add %s, or take it out",
               queue->limiter_max ? "duration: 1s" : "max");
}

static void check_cluster(const struct check *check, const struct chain *chain,
                          const struct config_queue *queue)
{
    struct spot concurrency = spot_of(chain, "concurrency");
    struct spot cluster = spot_of(chain, "cluster_concurrency");
    const struct spot *near = nearer(&cluster, &concurrency);

    if (concurrency.bad || cluster.bad || !queue->cluster_concurrency ||
        queue->concurrency <= queue->cluster_concurrency)
        return;
    findings_warning(&check->load->findings, &near->mark, near->key,
                     "concurrency (%u) is more than cluster_concurrency (%u), so some of it can "
                     "never run; lower concurrency or raise cluster_concurrency",
                     queue->concurrency, queue->cluster_concurrency);
}

static void check_lock(const struct check *check, const struct chain *chain,
                       const struct config_queue *queue)
{
    struct spot lock = spot_of(chain, "lock");
    struct spot stalled = spot_of(chain, "stalled_interval");
    struct findings *findings = &check->load->findings;
    char lock_text[UNITS_TEXT_BYTES], other_text[UNITS_TEXT_BYTES];
    const struct spot *near = nearer(&stalled, &lock);

    if (lock.bad || stalled.bad)
        return;
    (void)units_print_duration(queue->lock_ms, lock_text);
    (void)units_print_duration(queue->stalled_interval_ms, other_text);
    if (queue->stalled_interval_ms > STALLED_LOCKS_MAX * queue->lock_ms)
        findings_warning(findings, &near->mark, near->key,
                         "jobs of a lost worker wait up to %s although their lock (%s) is long "
                         "gone; lower stalled_interval",
                         other_text, lock_text);
    else if (queue->stalled_interval_ms < queue->lock_ms / 2)
        findings_warning(findings, &near->mark, near->key,
                         "looking every %s for locks that last %s finds nothing most times; raise "
                         "stalled_interval to about the lock",
                         other_text, lock_text);
    if (!queue->redis || queue->redis->command_timeout_ms + LOCK_SPARE_MS < queue->lock_ms)
        return;
    findings_warning(findings, &lock.mark, lock.key,
                     "command_timeout of redis.%s (%s) is too near to the lock (%s): when a "
                     "connection dies, running jobs are lost before that is noticed; lower "
                     "command_timeout or raise lock",
                     queue->redis->name,
                     units_print_duration(queue->redis->command_timeout_ms, other_text), lock_text);
}

/* Whatever follows on the connection waits as well, the renewals of locks too. */
static void check_wait(const struct check *check, const struct chain *chain,
                       const struct config_queue *queue)
{
    struct spot lock = spot_of(chain, "lock");
    struct spot replicas = spot_of(chain, "wait_replicas");
    struct spot timeout = spot_of(chain, "wait_timeout");
    char lock_text[UNITS_TEXT_BYTES], timeout_text[UNITS_TEXT_BYTES];

    if (lock.bad || replicas.bad || timeout.bad)
        return;
    if (queue->wait_replicas == 0) {
        if (timeout.written && timeout.depth <= replicas.depth)
            findings_warning(&check->load->findings, &timeout.mark, timeout.key,
                             "has no effect: wait_replicas is none");
        return;
    }
    if (queue->wait_timeout_ms * WAITS_A_LOCK > queue->lock_ms)
        contradict(check, nearer(&timeout, &lock),
                   "wait_timeout (%s) is more than a sixth of the lock (%s): while replicas are "
                   "away, locks would end before they are renewed; lower wait_timeout or raise "
                   "lock",
                   units_print_duration(queue->wait_timeout_ms, timeout_text),
                   units_print_duration(queue->lock_ms, lock_text));
}

static void check_unknown(const struct check *check, const struct chain *chain,
                          const struct config_queue *queue)
{
    struct spot action = spot_of(chain, "unknown.action");
    struct spot delay = spot_of(chain, "unknown.delay");

    if (!action.bad && !delay.bad && delay.written && delay.depth <= action.depth &&
        queue->unknown == CONFIG_UNKNOWN_FAIL)
        findings_warning(&check->load->findings, &delay.mark, delay.key,
                         "has no effect: unknown.action is fail");
}

/* What stands under `handler` may be wrong; then there is a finding already. */
static bool says_handler(const struct tree_entry *entry)
{
    return tree_find(entry->value, "handler") != NULL;
}

/* Programs that the queue's processes start together: each rounds up what its share of the
 * concurrency needs. */
static unsigned int programs_of(const struct config_queue *queue, unsigned int parallel)
{
    unsigned int less = queue->concurrency / queue->processes;
    unsigned int with_one_more = queue->concurrency % queue->processes;

    return with_one_more * ((less + parallel) / parallel) +
           (queue->processes - with_one_more) * ((less + parallel - 1) / parallel);
}

static void wrong_concurrency(const struct check *check, const struct spot *children,
                              unsigned int concurrency, const struct config_handler *handler)
{
    uint64_t jobs = (uint64_t)handler->children * handler->parallel;
    char other[64] = "";

    if (concurrency % handler->parallel == 0)
        (void)snprintf(other, sizeof other, "children: %u or ", concurrency / handler->parallel);
    contradict(
        check, children,
        "children (%u) times parallel (%u) is %llu jobs at once, but the queue's concurrency "
        "is %u; write %sconcurrency: %llu, or take children out",
        handler->children, handler->parallel, (unsigned long long)jobs, concurrency, other,
        (unsigned long long)jobs);
}

/* `children` is a promise of how many programs there are; `above` is the queue's own chain. */
static void check_children(const struct check *check, const struct chain *chain,
                           const struct chain *above, const struct config_queue *queue,
                           const struct config_handler *handler)
{
    struct spot children = spot_of(chain, "handler.children");
    struct spot parallel = spot_of(chain, "handler.parallel");
    unsigned int programs;

    if (handler->kind != CONFIG_HANDLER_PROCESS || !handler->children || children.bad ||
        parallel.bad || spot_of(above, "concurrency").bad || spot_of(above, "processes").bad ||
        queue->processes > queue->concurrency)
        return;
    if ((uint64_t)handler->children * handler->parallel != queue->concurrency) {
        wrong_concurrency(check, &children, queue->concurrency, handler);
        return;
    }
    programs = programs_of(queue, handler->parallel);
    if (programs != handler->children)
        contradict(check, &children,
                   "%u processes cannot share %u children: together they would run %u; make "
                   "children a multiple of processes, or take children out",
                   queue->processes, handler->children, programs);
}

static void check_handlers(const struct check *check, const struct tree_entry *entry,
                           const struct level *level)
{
    const struct tree_entry *types = tree_find(entry->value, "types");
    bool has_types = types && types->value->kind == TREE_MAP && types->value->count;

    if (says_handler(entry))
        return;
    if (!has_types && (!types || !types->value->bad)) {
        findings_error(&check->load->findings, &level->mark, level->key,
                       "has no handler, so no job of it could be run; add handler: {exec: "
                       "[/path]}, or handlers under types");
        return;
    }
    for (size_t i = 0; has_types && i < types->value->count; i++) {
        const struct tree_entry *type = &types->value->entries[i];
        struct level below;

        if (type->value->bad || says_handler(type))
            continue;
        level_init(&below, SCHEMA_TYPE, type, level, "types");
        findings_error(&check->load->findings, &below.mark, below.key,
                       "has no handler, and the queue has none to fall back on; add handler: to "
                       "one of them");
    }
}

static const struct tree_entry *good_entry(const struct tree_node *map, const char *name)
{
    const struct tree_entry *entry = tree_find(map, name);

    return entry && !entry->value->bad ? entry : NULL;
}

static void check_types(const struct check *check, const struct tree_entry *entry,
                        const struct chain *above, const struct config_queue *queue)
{
    const struct tree_entry *types = tree_find(entry->value, "types");

    for (size_t i = 0; types && i < queue->types_count; i++) {
        const struct tree_entry *type = good_entry(types->value, queue->types[i].name);
        struct level level;
        struct chain chain = { { &level, above->levels[0], above->levels[1] }, 3 };

        if (!type)
            continue;
        level_init(&level, SCHEMA_TYPE, type, above->levels[0], "types");
        check_type(check, &chain, &queue->types[i]);
        check_children(check, &chain, above, queue, &queue->types[i].handler);
    }
}

static void check_queue(const struct check *check, const struct tree_entry *entry,
                        const struct level *defaults, const struct config_queue *queue)
{
    struct level level;
    struct chain chain = { { &level, defaults }, 2 };

    level_init(&level, SCHEMA_QUEUE, entry, NULL, "queues");
    check_processes(check, &chain, queue);
    check_limiter(check, &chain, queue);
    check_cluster(check, &chain, queue);
    check_lock(check, &chain, queue);
    check_wait(check, &chain, queue);
    check_unknown(check, &chain, queue);
    check_handlers(check, entry, &level);
    check_type(check, &chain, &queue->fallback);
    check_children(check, &chain, &chain, queue, &queue->fallback.handler);
    check_types(check, entry, &chain, queue);
}

/* Told once, at the queue that is one too many. */
static void check_total(const struct check *check, const struct tree_entry *entry,
                        const struct level *defaults, const struct config_queue *queue,
                        unsigned int *total)
{
    unsigned int before = *total;
    struct level level;
    struct chain chain = { { &level, defaults }, 2 };
    struct spot processes;

    *total += queue->processes;
    if (before > CONFIG_PROCESSES_MAX || *total <= CONFIG_PROCESSES_MAX)
        return;
    level_init(&level, SCHEMA_QUEUE, entry, NULL, "queues");
    processes = spot_of(&chain, "processes");
    if (!processes.bad)
        contradict(check, &processes,
                   "with this queue there are %u worker processes; one droverd runs at most %d: "
                   "lower processes",
                   *total, CONFIG_PROCESSES_MAX);
}

static void check_queues(const struct check *check)
{
    unsigned int total = 0;
    const struct tree_entry *section = tree_find(check->load->root, "queues");
    struct level defaults;

    level_init(&defaults, SCHEMA_DEFAULTS, tree_find(check->load->root, "defaults"), NULL, NULL);
    if (!check->config->queues_count && !check->load->incomplete &&
        (!section || (!section->value->bad && !section->value->count)))
        findings_warning(&check->load->findings,
                         section ? &section->mark : &check->load->root->mark, "queues",
                         "there is no queue: droverd would have nothing to run");
    for (size_t i = 0; i < check->config->queues_count; i++) {
        const struct config_queue *queue = &check->config->queues[i];
        const struct tree_entry *entry = good_entry(section->value, queue->name);

        if (entry) {
            check_queue(check, entry, &defaults, queue);
            check_total(check, entry, &defaults, queue, &total);
        }
    }
}

static void check_start(const struct check *check)
{
    struct level level = { .map = check->load->root, .section = SCHEMA_TOP };
    struct chain chain = { { &level }, 1 };
    const struct config *config = check->config;
    char first_text[UNITS_TEXT_BYTES], max_text[UNITS_TEXT_BYTES];
    struct spot first, max;
    const struct spot *at;

    level.mark = check->load->root->mark;
    first = spot_of(&chain, "start.restart_first");
    max = spot_of(&chain, "start.restart_max");
    at = nearer(&max, &first);
    if (first.bad || max.bad || config->restart_first_ms <= config->restart_max_ms)
        return;
    findings_error(&check->load->findings, &at->mark, at->key + 1, /* no level, no dot */
                   "restart_first (%s) is longer than restart_max (%s); raise restart_max or lower "
                   "restart_first",
                   units_print_duration(config->restart_first_ms, first_text),
                   units_print_duration(config->restart_max_ms, max_text));
}

static void check_worker_user(const struct check *check)
{
    const struct tree_node *node = tree_find_path(check->load->root, "user");
    const struct config_user *user = check->config->user;

    if (node && user && user->gid == CONFIG_NO_GROUP)
        findings_error(&check->load->findings, &node->mark, "user",
                       "%s has no entry in the user database, so its group is not known; make an "
                       "entry, or name another user",
                       user->name);
}

static void unknown_endpoint(const struct check *check, const struct tree_node *node,
                             const char *key)
{
    const struct config *config = check->config;
    struct buf names = BUF_INIT(1024);
    const char *candidates[32];
    const char *nearest;
    size_t count = 0;

    for (size_t i = 0; i < config->redis_count; i++) {
        (void)buf_printf(&names, "%s%s", i ? ", " : "", config->redis[i].name);
        if (count < ARRAY_SIZE(candidates))
            candidates[count++] = config->redis[i].name;
    }
    nearest = text_nearest(node->text, candidates, count);
    if (nearest)
        findings_error(&check->load->findings, &node->mark, key,
                       "there is no endpoint `%s` under redis; did you mean `%s`?", node->text,
                       nearest);
    else
        findings_error(&check->load->findings, &node->mark, key,
                       "there is no endpoint `%s` under redis; these are there: %s", node->text,
                       buf_text(&names));
    buf_done(&names);
}

static void check_tier(const struct check *check, const struct schema_row *row)
{
    const struct tree_entry *redis = tree_find(check->load->root, "redis");
    const struct tree_node *node = tree_find_path(check->load->root, row->path);
    const struct config_redis *endpoint =
        *(const struct config_redis *const *)((const char *)check->config + row->offset);

    if (endpoint || (node && node->bad) || check->load->incomplete || (redis && redis->value->bad))
        return;
    for (size_t i = 0; redis && i < redis->value->count; i++)
        if (redis->value->entries[i].value->bad)
            return; /* it may be the one that is meant */
    if (node)
        unknown_endpoint(check, node, row->path);
    else
        findings_error(&check->load->findings, redis ? &redis->mark : &check->load->root->mark,
                       row->path, "is not set, and no endpoint is named default; write %s: NAME",
                       row->path);
}

static bool is_used(const struct config *config, const struct config_redis *redis)
{
    for (size_t i = 0; i < CONFIG_TIER_COUNT; i++)
        if (config->tiers[i] == redis)
            return true;
    return false;
}

static void check_endpoint(const struct check *check, const struct config_redis *redis,
                           const struct tree_entry *entry)
{
    const struct tree_entry *url = tree_find(entry->value, "url");
    const struct tree_entry *username = tree_find(entry->value, "username");
    struct findings *findings = &check->load->findings;
    struct config_redis from_url = { 0 };
    struct level level;

    level_init(&level, SCHEMA_REDIS, entry, NULL, "redis");
    if (!url && strcmp(entry->key, "default") != 0)
        findings_error(findings, &level.mark, level.key,
                       "has no url; add url: redis://HOST:PORT/DB, unix:///PATH, "
                       "redis+sentinel://HOST:PORT,…/MASTER or redis+cluster://HOST:PORT,…");
    if (!is_used(check->config, redis) && !check->load->incomplete)
        findings_warning(findings, &level.mark, level.key,
                         "no tier uses this endpoint; name it in tiers.important.redis or "
                         "tiers.ephemeral.redis");
    if (!url || !username || url->value->bad || username->value->bad)
        return;
    if (config_parse_redis_url(url->value->text, &from_url, NULL) == 0 && from_url.username &&
        strcmp(from_url.username, redis->username) != 0) {
        (void)snprintf(level.key + strlen(level.key), sizeof level.key - strlen(level.key), "%s",
                       ".username"); /* for people */
        findings_error(findings, &username->value->mark, level.key,
                       "another user than the one in the url; keep one of the two");
    }
    config_redis_done(&from_url);
}

static void check_redis(const struct check *check)
{
    const struct tree_entry *section = tree_find(check->load->root, "redis");

    for (size_t i = 0; i < schema_rows_count; i++)
        if (schema_rows[i].type == SCHEMA_ENDPOINT)
            check_tier(check, &schema_rows[i]);
    for (size_t i = 0; section && i < check->config->redis_count; i++) {
        const struct tree_entry *entry = good_entry(section->value, check->config->redis[i].name);

        if (entry)
            check_endpoint(check, &check->config->redis[i], entry);
    }
}

void load_check(struct load *load, const struct config *config)
{
    struct check check = { load, config };

    check_start(&check);
    check_worker_user(&check);
    check_redis(&check);
    check_queues(&check);
    load_check_nodes(load, config);
}
