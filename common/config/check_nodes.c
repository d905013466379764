/* What a Sentinel or a cluster as endpoint asks of the rest of the configuration. */
#include <stdio.h>
#include <string.h>

#include "common/base/hash_slot.h"
#include "common/base/text.h"
#include "common/config/load.h"

static const struct tree_entry *good_entry(const struct tree_entry *section, const char *name)
{
    const struct tree_entry *entry =
        section && !section->value->bad ? tree_find(section->value, name) : NULL;

    return entry && !entry->value->bad ? entry : NULL;
}

static void check_credentials(struct load *load, const struct config_redis *redis,
                              const struct tree_entry *entry)
{
    static const char *const names[] = { "sentinel_username", "sentinel_password" };
    const struct tree_entry *url = tree_find(entry->value, "url");

    if (redis->kind == CONFIG_REDIS_SENTINEL || (url && url->value->bad))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct tree_entry *found = tree_find(entry->value, names[i]);
        _cleanup_(freep) char *key = text_format("redis.%s.%s", redis->name, names[i]);

        if (found && !found->value->bad && key)
            findings_error(&load->findings, &found->mark, key,
                           "goes with Sentinels only: url: redis+sentinel://HOST:PORT,…/MASTER");
    }
}

/* A queue's keys are of one slot when its name, behind the prefix, brings a text in braces. */
static bool has_tag(const char *qualified)
{
    size_t len = strlen(qualified), tag_len = 0;

    return hash_slot_tag(qualified, len, &tag_len) != qualified || tag_len != len;
}

static void check_slot(struct load *load, const struct config_queue *queue,
                       const struct tree_entry *entry, const struct tree_node *prefix)
{
    _cleanup_(freep) char *qualified = text_format("%s:%s", queue->redis->prefix, queue->name);
    _cleanup_(freep) char *key = text_format("queues.%s", queue->name);

    if (!qualified || !key) {
        load->findings.out_of_memory = true;
        return;
    }
    if ((prefix && prefix->bad) || has_tag(qualified))
        return;
    findings_error(&load->findings, &entry->mark, key,
                   "redis.%s is a cluster, where all keys of a queue must be in one hash slot, and "
                   "%s has no text in braces; write redis.%s.prefix: '{%s}', or braces in the "
                   "queue's name, as your producers must",
                   queue->redis->name, qualified, queue->redis->name,
                   strpbrk(queue->redis->prefix, "{}") ? "bull" : queue->redis->prefix);
}

void load_check_nodes(struct load *load, const struct config *config)
{
    const struct tree_entry *redis = tree_find(load->root, "redis");
    const struct tree_entry *queues = tree_find(load->root, "queues");

    for (size_t i = 0; i < config->redis_count; i++) {
        const struct tree_entry *entry = good_entry(redis, config->redis[i].name);

        if (entry)
            check_credentials(load, &config->redis[i], entry);
    }
    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];
        const struct tree_entry *entry = good_entry(queues, queue->name);
        const struct tree_entry *endpoint =
            queue->redis ? good_entry(redis, queue->redis->name) : NULL;

        if (entry && queue->redis && queue->redis->kind == CONFIG_REDIS_CLUSTER)
            check_slot(load, queue, entry,
                       endpoint ? tree_find_path(endpoint->value, "prefix") : NULL);
    }
}
