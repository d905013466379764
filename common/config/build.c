/* Fills the structs from the judged tree: each value from the narrowest level that has it. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/each.h"
#include "common/config/load.h"

/* A configuration being filled. */
struct build {
    struct load *load;
    struct config *config;
    size_t origins_cap;
};

void level_init(struct level *level, enum schema_section section, const struct tree_entry *entry,
                const struct level *parent, const char *between)
{
    struct buf key = BUF_INIT(sizeof level->key - 1);

    *level = (struct level){ .section = section };
    if (parent)
        (void)buf_append_text(&key, parent->key);
    if (between)
        tree_join(&key, between);
    if (entry) {
        tree_join(&key, entry->key);
        level->map = entry->value->kind == TREE_MAP ? entry->value : NULL;
        level->mark = entry->mark;
    }
    (void)snprintf(level->key, sizeof level->key, "%s", buf_text(&key)); /* for people */
    buf_done(&key);
}

/* A group is taken whole from the narrowest level that has it. */
static bool find_at(const struct level *level, const struct schema_row *row,
                    const struct tree_node **out_node)
{
    const struct tree_node *group;

    if (!(row->sections & level->section))
        return false;
    if (!row->group) {
        *out_node = tree_find_path(level->map, row->path);
        return *out_node != NULL;
    }
    group = tree_find_path(level->map, row->group);
    if (!group)
        return false;
    if (schema_is_group(row))
        *out_node = group;
    else if (group->kind == TREE_MAP)
        *out_node = tree_find_path(level->map, row->path);
    else
        *out_node = row->flags & SCHEMA_SHORT ? group : NULL;
    return true;
}

struct found chain_find(const struct chain *chain, const struct schema_row *row)
{
    struct found found = { NULL, chain->count };

    for (size_t i = 0; i < chain->count; i++) {
        if (find_at(chain->levels[i], row, &found.node)) {
            found.depth = i;
            return found;
        }
    }
    return found;
}

static bool note_origin(struct build *build, const struct tree_node *node)
{
    struct config *config = build->config;
    char *text = NULL;

    if (config->origins_count == build->origins_cap) {
        size_t cap = build->origins_cap ? build->origins_cap * 2 : 128;
        char **origins = reallocarray(config->origins, cap, sizeof *origins);

        if (!origins)
            return false;
        config->origins = origins;
        build->origins_cap = cap;
    }
    if (node) {
        text = node->mark.line
                   ? text_format("%s:%u:%u", node->mark.file, node->mark.line, node->mark.column)
                   : strdup(node->mark.file);
        if (!text)
            return false;
    }
    config->origins[config->origins_count++] = text;
    return true;
}

/* One endpoint serves whatever its name. */
static void pick_only_endpoint(const struct build *build, const struct schema_row *row,
                               const struct tree_node *node)
{
    if (row->type == SCHEMA_ENDPOINT && !node && build->config->redis_count == 1)
        *(const struct config_redis **)((char *)build->config + row->offset) = build->config->redis;
}

static bool fill_row(struct build *build, const struct schema_row *row, const struct chain *chain,
                     void *base)
{
    struct found found = chain_find(chain, row);
    struct value value;

    build->load->findings.muted = true; /* walk.c judged it */
    if (!found.node || !value_read(row, found.node, "", &build->load->findings, &value)) {
        if (!value_read_preset(row, &value))
            return false;
    }
    build->load->findings.muted = false;
    (void)value_store(row, base, &value, build->config); /* check.c looks for lost endpoints */
    pick_only_endpoint(build, row, found.node);
    return note_origin(build, found.node);
}

static bool fill(struct build *build, size_t section_index, const struct chain *chain,
                 void *container, const struct config_type *type)
{
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];

        /* The row of the handler's kind stands before its parts, and decides which apply. */
        if (each_row_applies(row, section_index, type) &&
            !fill_row(build, row, chain, each_base(row, section_index, container)))
            return false;
    }
    return true;
}

static size_t index_of(enum schema_section section)
{
    return (size_t)__builtin_ctz((unsigned int)section);
}

/* Entries of a map that can be built. */
static size_t count_good(const struct tree_entry *section)
{
    size_t good = 0;

    for (size_t i = 0; section && section->value->kind == TREE_MAP && i < section->value->count;
         i++)
        good += !section->value->entries[i].value->bad;
    return good;
}

static bool finish_redis(struct build *build, struct config_redis *redis, size_t origins_before)
{
    _cleanup_(freep) char *url = redis->url ? strdup(redis->url) : NULL; /* the row has a preset */
    _cleanup_(freep) char *username = redis->username ? strdup(redis->username) : NULL;
    char **origins = build->config->origins + origins_before;
    const char *from_url = NULL;
    size_t at = 0;

    if (!url || (redis->username && !username) ||
        config_parse_redis_url(url, redis, NULL) == -ENOMEM)
        return false;
    if (username) { /* the key wins over the URL; check.c tells when they differ */
        free(redis->username);
        redis->username = TAKE_PTR(username);
        return true;
    }
    for (size_t i = 0; redis->username && i < schema_rows_count; i++) {
        if (!(schema_rows[i].sections & SCHEMA_REDIS))
            continue;
        if (schema_rows[i].type == SCHEMA_URL)
            from_url = origins[at];
        if (schema_rows[i].offset == offsetof(struct config_redis, username) && from_url &&
            !origins[at]) {
            origins[at] = strdup(from_url);
            if (!origins[at])
                return false;
        }
        at++;
    }
    return true;
}

static bool fill_redis(struct build *build, const char *name, const struct tree_entry *entry)
{
    struct config_redis *redis = &build->config->redis[build->config->redis_count++];
    size_t origins_before = build->config->origins_count;
    struct level level;
    struct chain chain = { { &level }, 1 };

    level_init(&level, SCHEMA_REDIS, entry, NULL, "redis");
    redis->name = strdup(name);
    return redis->name && fill(build, index_of(SCHEMA_REDIS), &chain, redis, NULL) &&
           finish_redis(build, redis, origins_before);
}

static bool build_redis(struct build *build)
{
    const struct tree_entry *section = tree_find(build->load->root, "redis");
    size_t count = count_good(section);

    build->config->redis = calloc(count ? count : 1, sizeof *build->config->redis);
    if (!build->config->redis)
        return false;
    if (!count)
        return fill_redis(build, "default", NULL);
    for (size_t i = 0; i < section->value->count; i++) {
        const struct tree_entry *entry = &section->value->entries[i];

        if (!entry->value->bad && !fill_redis(build, entry->key, entry))
            return false;
    }
    return true;
}

static bool fill_type(struct build *build, struct config_queue *queue,
                      const struct tree_entry *entry, const struct chain *above)
{
    struct config_type *type = &queue->types[queue->types_count++];
    struct level level;
    struct chain chain = { { &level, above->levels[0], above->levels[1] }, 3 };

    level_init(&level, SCHEMA_TYPE, entry, above->levels[0], "types");
    type->name = strdup(entry->key);
    return type->name && fill(build, index_of(SCHEMA_TYPE), &chain, type, type);
}

static bool fill_queue(struct build *build, const struct tree_entry *entry,
                       const struct level *defaults)
{
    struct config_queue *queue = &build->config->queues[build->config->queues_count++];
    const struct tree_entry *types = tree_find(entry->value, "types");
    size_t count = count_good(types);
    struct level level;
    struct chain chain = { { &level, defaults }, 2 };

    level_init(&level, SCHEMA_QUEUE, entry, NULL, "queues");
    queue->name = strdup(entry->key);
    queue->types = count ? calloc(count, sizeof *queue->types) : NULL;
    if (!queue->name || (count && !queue->types) ||
        !fill(build, index_of(SCHEMA_QUEUE), &chain, queue, &queue->fallback))
        return false;
    for (size_t i = 0; count && i < types->value->count; i++)
        if (!types->value->entries[i].value->bad &&
            !fill_type(build, queue, &types->value->entries[i], &chain))
            return false;
    queue->redis = build->config->tiers[queue->tier];
    return true;
}

static bool build_queues(struct build *build)
{
    const struct tree_entry *section = tree_find(build->load->root, "queues");
    size_t count = count_good(section);
    struct level defaults;

    level_init(&defaults, SCHEMA_DEFAULTS, tree_find(build->load->root, "defaults"), NULL, NULL);
    if (!count)
        return true;
    build->config->queues = calloc(count, sizeof *build->config->queues);
    if (!build->config->queues)
        return false;
    for (size_t i = 0; i < section->value->count; i++) {
        const struct tree_entry *entry = &section->value->entries[i];

        if (!entry->value->bad && !fill_queue(build, entry, &defaults))
            return false;
    }
    return true;
}

static bool build_top(struct build *build)
{
    struct level level = { .map = build->load->root, .section = SCHEMA_TOP };
    struct chain chain = { { &level }, 1 };

    level.mark = build->load->root->mark;
    return fill(build, index_of(SCHEMA_TOP), &chain, build->config, NULL);
}

struct config *load_build(struct load *load)
{
    struct build build = { .load = load, .config = calloc(1, sizeof *build.config) };

    if (!build.config)
        return NULL;
    if (!build_redis(&build) || !build_top(&build) || !build_queues(&build)) {
        config_free(build.config);
        return NULL;
    }
    return build.config;
}

static int finish(struct load *load, const struct config_override *overrides,
                  size_t overrides_count, struct config **out_config, struct config_report *report)
{
    _cleanup_(config_freep) struct config *config = NULL;
    int result;

    findings_add_file(&load->findings, "--set");
    for (size_t i = 0; i < overrides_count; i++)
        load_override(load, &overrides[i]);
    if (load->root) {
        load_walk(load);
        config = load_build(load);
        load->findings.muted = false;
    }
    if (config)
        load_check(load, config);
    else
        load->findings.out_of_memory = true;
    result = findings_take(&load->findings, report);
    load_done(load);
    if (result == 0)
        *out_config = TAKE_PTR(config);
    return result;
}

int config_load(const char *path, const struct config_override *overrides, size_t overrides_count,
                struct config **out_config, struct config_report *report)
{
    struct load load = { 0 };

    load_read_path(&load, path);
    return finish(&load, overrides, overrides_count, out_config, report);
}

int config_inspect(const char *path, const struct config_override *overrides,
                   size_t overrides_count, struct config **out_config, struct config_report *report)
{
    struct load load = { 0 };

    load_read_path(&load, path);
    load.findings.outside = true;
    return finish(&load, overrides, overrides_count, out_config, report);
}

int config_load_text(const char *file, const char *text, size_t len,
                     const struct config_override *overrides, size_t overrides_count,
                     struct config **out_config, struct config_report *report)
{
    struct load load = { 0 };

    load_read_text(&load, file, text, len);
    return finish(&load, overrides, overrides_count, out_config, report);
}
