/* Life of a configuration, and looking things up in it. */
#include "common/config/config.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/each.h"
#include "common/config/tree.h"
#include "common/config/value.h"

static void clear_home(enum schema_home home, void *base)
{
    for (size_t i = 0; i < schema_rows_count; i++)
        if (schema_rows[i].home == home)
            value_clear(&schema_rows[i], base);
}

void config_redis_done(struct config_redis *redis)
{
    char *url = TAKE_PTR(redis->url); /* of a row as well as of the place */

    config_redis_forget_place(redis);
    redis->url = url;
    clear_home(SCHEMA_HOME_REDIS, redis);
    free(redis->name);
    *redis = (struct config_redis){ 0 };
}

int config_redis_init(struct config_redis *redis, const char *name, const char *url,
                      struct error *err)
{
    int result;

    *redis = (struct config_redis){ .name = strdup(name) };
    if (!redis->name)
        return error_set(err, -ENOMEM, "no memory for an endpoint");
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        struct value value;

        if (row->home != SCHEMA_HOME_REDIS || row->type == SCHEMA_URL)
            continue;
        if (!value_read_preset(row, &value)) {
            config_redis_done(redis);
            return error_set(err, -ENOMEM, "no memory for an endpoint");
        }
        (void)value_store(row, redis, &value, NULL); /* no row of redis.* names an endpoint */
    }
    result = config_parse_redis_url(url, redis, err);
    if (result < 0)
        config_redis_done(redis);
    return result;
}

static void type_done(struct config_type *type)
{
    clear_home(SCHEMA_HOME_TYPE, type);
    free(type->name);
}

static void queue_done(struct config_queue *queue)
{
    clear_home(SCHEMA_HOME_QUEUE, queue);
    type_done(&queue->fallback);
    for (size_t i = 0; i < queue->types_count; i++)
        type_done(&queue->types[i]);
    free(queue->types);
    free(queue->name);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    clear_home(SCHEMA_HOME_CONFIG, config);
    for (size_t i = 0; i < config->redis_count; i++)
        config_redis_done(&config->redis[i]);
    for (size_t i = 0; i < config->queues_count; i++)
        queue_done(&config->queues[i]);
    for (size_t i = 0; i < config->origins_count; i++)
        free(config->origins[i]);
    free(config->redis);
    free(config->queues);
    free(config->origins);
    free(config);
}

void config_freep(struct config **config)
{
    config_free(*config);
}

const struct config_queue *config_find_queue(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->queues_count; i++)
        if (strcmp(config->queues[i].name, name) == 0)
            return &config->queues[i];
    return NULL;
}

const struct config_type *config_find_type(const struct config_queue *queue, const char *job_name,
                                           size_t name_len)
{
    for (size_t i = 0; i < queue->types_count; i++) {
        const char *name = queue->types[i].name;

        if (strncmp(name, job_name, name_len) == 0 && strlen(name) == name_len)
            return &queue->types[i];
    }
    return &queue->fallback;
}

uint32_t config_handler_gid(const struct config_handler *handler)
{
    return handler->group ? handler->group->rows[0].gid : handler->user->gid;
}

size_t config_handler_groups(const struct config_handler *handler, uint32_t *out)
{
    const struct config_user *user = handler->user;
    size_t count = 0;

    for (size_t i = 0; handler->groups && i < handler->groups->count; i++)
        out[count++] = handler->groups->rows[i].gid;
    /* With another group the primary one is meant to be gone. */
    for (size_t i = 0; !handler->groups && i < user->groups_count; i++) {
        if (!handler->group || user->groups[i] != user->gid)
            out[count++] = user->groups[i];
    }
    return count;
}

bool each_row_applies(const struct schema_row *row, size_t section_index,
                      const struct config_type *type)
{
    if (!(row->sections & (1u << section_index)) || row->type == SCHEMA_KEEP)
        return false;
    if (!row->handlers)
        return true;
    return type && (row->handlers & SCHEMA_KIND(type->handler.kind));
}

void *each_base(const struct schema_row *row, size_t section_index, void *container)
{
    if ((1u << section_index) == SCHEMA_QUEUE && row->home == SCHEMA_HOME_TYPE)
        return &((struct config_queue *)container)->fallback;
    return container;
}

/* One walk: what stays the same while it goes on. */
struct walk {
    each_value_cb *on_value;
    void *arg;
    size_t index;
};

static bool each_in(struct walk *walk, size_t section_index, const void *container,
                    const struct config_type *type, const char *first, const char *second)
{
    for (size_t i = 0; i < schema_rows_count; i++) {
        struct each_value value = {
            &schema_rows[i], section_index, NULL, { first, second }, walk->index
        };

        if (!each_row_applies(&schema_rows[i], section_index, type))
            continue;
        /* The callback gets it back as const. */
        value.base = each_base(&schema_rows[i], section_index, (void *)(uintptr_t)container);
        if (!walk->on_value(&value, walk->arg))
            return false;
        walk->index++;
    }
    return true;
}

static size_t index_of(enum schema_section section)
{
    return (size_t)__builtin_ctz((unsigned int)section);
}

bool config_each_value(const struct config *config, each_value_cb *on_value, void *arg)
{
    struct walk walk = { on_value, arg, 0 };

    for (size_t i = 0; i < config->redis_count; i++)
        if (!each_in(&walk, index_of(SCHEMA_REDIS), &config->redis[i], NULL, config->redis[i].name,
                     NULL))
            return false;
    if (!each_in(&walk, index_of(SCHEMA_TOP), config, NULL, NULL, NULL))
        return false;
    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];

        if (!each_in(&walk, index_of(SCHEMA_QUEUE), queue, &queue->fallback, queue->name, NULL))
            return false;
        for (size_t j = 0; j < queue->types_count; j++)
            if (!each_in(&walk, index_of(SCHEMA_TYPE), &queue->types[j], &queue->types[j],
                         queue->name, queue->types[j].name))
                return false;
    }
    return true;
}

void each_print_key(const struct each_value *value, struct buf *out)
{
    char pattern[SCHEMA_PATTERN_BYTES];
    struct buf key = BUF_INIT(4096);
    char *rest = NULL;
    size_t used = 0;

    (void)schema_pattern(value->row, value->section_index, pattern);
    for (char *name = strtok_r(pattern, ".", &rest); name; name = strtok_r(NULL, ".", &rest)) {
        if (strcmp(name, "*") == 0 && used < ARRAY_SIZE(value->names))
            tree_join(&key, value->names[used++]);
        else
            tree_join(&key, name);
    }
    (void)buf_append_text(out, buf_text(&key));
    buf_done(&key);
}

uint64_t config_stop_budget_ms(uint64_t drain_timeout_ms)
{
    if (drain_timeout_ms == 0)
        return UINT64_MAX;
    return drain_timeout_ms + CONFIG_STOP_MARGIN_MS + CONFIG_STOP_GRACE_MS + CONFIG_STOP_KILL_MS +
           CONFIG_STOP_SWEEP_MS;
}
