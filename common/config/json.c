/* The JSON form: what a child gets in its sealed memory, and what `drover check --json` shows. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/each.h"
#include "common/config/tree.h"
#include "common/config/value.h"

#define JSON_FORMAT  "drover-config"
/* Raised whenever a child of another build could misread the document. */
#define JSON_VERSION 3

struct printing {
    json_t *root;
    enum config_secrets secrets;
};

/* The object `name` in `parent`, made when it is not there; borrowed. */
static json_t *object_in(json_t *parent, const char *name)
{
    json_t *object = json_object_get(parent, name);

    if (object)
        return object;
    if (json_object_set_new(parent, name, json_object()) < 0)
        return NULL;
    return json_object_get(parent, name);
}

static bool print_value(const struct each_value *value, void *arg)
{
    struct printing *printing = arg;
    char pattern[SCHEMA_PATTERN_BYTES];
    json_t *object = printing->root;
    size_t used = 0;
    char *rest = NULL;

    if (schema_is_group(value->row))
        return true;
    (void)schema_pattern(value->row, value->section_index, pattern);
    for (char *name = strtok_r(pattern, ".", &rest); name;) {
        char *next = strtok_r(NULL, ".", &rest);
        const char *shown = name;

        if (strcmp(name, "*") == 0 && used < ARRAY_SIZE(value->names))
            shown = value->names[used++];
        if (!next)
            return json_object_set_new(object, shown,
                                       value_to_json(value->row, value->base, printing->secrets)) ==
                   0;
        object = object_in(object, shown);
        if (!object)
            return false;
        name = next;
    }
    return false;
}

static int append_json(const char *bytes, size_t len, void *arg)
{
    return buf_append(arg, bytes, len) < 0 ? -1 : 0;
}

int config_print_json(const struct config *config, enum config_secrets secrets, struct buf *out,
                      struct error *err)
{
    struct printing printing = { json_object(), secrets };
    int result = -ENOMEM;

    if (printing.root &&
        json_object_set_new(printing.root, "format", json_string(JSON_FORMAT)) == 0 &&
        json_object_set_new(printing.root, "version", json_integer(JSON_VERSION)) == 0 &&
        json_object_set_new(printing.root, "secrets",
                            json_string(secrets == CONFIG_SECRETS_KEPT ? "kept" : "masked")) == 0 &&
        object_in(printing.root, "queues") && config_each_value(config, print_value, &printing) &&
        json_dump_callback(printing.root, append_json, out, JSON_COMPACT) == 0)
        result = 0;
    json_decref(printing.root);
    if (result < 0)
        return error_set(err, out->failed ? -ENOBUFS : -ENOMEM,
                         "no room for the configuration as JSON");
    return 0;
}

/* The member at a dotted path, or NULL. */
static const json_t *json_at(const json_t *object, const char *path)
{
    while (*path) {
        char name[64];
        size_t len = strcspn(path, ".");

        if (len >= sizeof name)
            return NULL;
        memcpy(name, path, len);
        name[len] = '\0';
        object = json_object_get(object, name);
        path += path[len] ? len + 1 : len;
    }
    return object;
}

static enum config_handler_kind handler_of(const json_t *object)
{
    const json_t *handler = json_object_get(object, "handler");
    const char *name;
    json_t *item;

    json_object_foreach((json_t *)(uintptr_t)handler, name, item)
    {
        enum config_handler_kind kind = value_handler_named(name);

        if (kind != CONFIG_HANDLER_NONE)
            return kind;
    }
    return CONFIG_HANDLER_NONE;
}

/* Reads all rows of one section from its object into `container`. */
static int read_rows(const json_t *object, size_t section_index, void *container,
                     struct config_type *type, const struct config *config, const char *where,
                     struct error *err)
{
    if (type)
        type->handler.kind = handler_of(object);
    for (size_t i = 0; i < schema_rows_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        _cleanup_(freep) char *key = NULL;
        struct value value;
        int result;

        if (schema_is_group(row) || !each_row_applies(row, section_index, type))
            continue;
        key = text_format("%s%s%s", where, *where ? "." : "", row->path);
        if (!key)
            return error_set(err, -ENOMEM, "no memory for the configuration");
        result = value_from_json(row, json_at(object, row->path), key, &value, err);
        if (result < 0)
            return result;
        if (!value_store(row, each_base(row, section_index, container), &value, config))
            return error_set(err, -EINVAL, "%s: names an endpoint that is not there", key);
    }
    return 0;
}

static size_t index_of(enum schema_section section)
{
    return (size_t)__builtin_ctz((unsigned int)section);
}

static int read_redis(const json_t *root, struct config *config, struct error *err)
{
    const json_t *section = json_object_get(root, "redis");
    const char *name;
    json_t *item;

    if (!json_is_object(section) || !json_object_size(section))
        return error_set(err, -EINVAL, "redis: missing");
    config->redis = calloc(json_object_size(section), sizeof *config->redis);
    if (!config->redis)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    json_object_foreach((json_t *)(uintptr_t)section, name, item)
    {
        struct config_redis *redis = &config->redis[config->redis_count++];
        _cleanup_(freep) char *url = NULL;
        int result;

        redis->name = strdup(name);
        if (!redis->name)
            return error_set(err, -ENOMEM, "no memory for the configuration");
        result = read_rows(item, index_of(SCHEMA_REDIS), redis, NULL, config, name, err);
        if (result < 0)
            return result;
        url = redis->url ? strdup(redis->url) : NULL;
        if (!url)
            return error_set(err, -ENOMEM, "no memory for the configuration");
        {
            char *username = TAKE_PTR(redis->username);

            result = config_parse_redis_url(url, redis, err);
            if (username || result < 0) { /* the key, which is the effective one, wins */
                free(redis->username);
                redis->username = username;
            }
        }
        if (result < 0)
            return error_wrap(err, "redis.%s.url", name);
    }
    return 0;
}

static int read_types(const json_t *object, struct config_queue *queue, const struct config *config,
                      struct error *err)
{
    const json_t *section = json_object_get(object, "types");
    const char *name;
    json_t *item;

    if (!json_object_size(section))
        return 0;
    queue->types = calloc(json_object_size(section), sizeof *queue->types);
    if (!queue->types)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    json_object_foreach((json_t *)(uintptr_t)section, name, item)
    {
        struct config_type *type = &queue->types[queue->types_count++];
        int result;

        type->name = strdup(name);
        if (!type->name)
            return error_set(err, -ENOMEM, "no memory for the configuration");
        result = read_rows(item, index_of(SCHEMA_TYPE), type, type, config, name, err);
        if (result < 0)
            return error_wrap(err, "types");
    }
    return 0;
}

static int read_queues(const json_t *root, struct config *config, struct error *err)
{
    const json_t *section = json_object_get(root, "queues");
    const char *name;
    json_t *item;

    if (!json_is_object(section))
        return error_set(err, -EINVAL, "queues: missing");
    config->queues = calloc(json_object_size(section) + 1, sizeof *config->queues);
    if (!config->queues)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    json_object_foreach((json_t *)(uintptr_t)section, name, item)
    {
        struct config_queue *queue = &config->queues[config->queues_count++];
        int result;

        queue->name = strdup(name);
        if (!queue->name)
            return error_set(err, -ENOMEM, "no memory for the configuration");
        result =
            read_rows(item, index_of(SCHEMA_QUEUE), queue, &queue->fallback, config, name, err);
        if (result == 0)
            result = read_types(item, queue, config, err);
        if (result == 0 && queue->processes > queue->concurrency)
            result = error_set(err, -EINVAL, "more processes than concurrency");
        if (result < 0)
            return error_wrap(err, "queues.%s", name);
        queue->redis = config->tiers[queue->tier];
    }
    return 0;
}

static int check_format(const json_t *root, struct error *err)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const char *secrets = json_string_value(json_object_get(root, "secrets"));
    const json_t *version = json_object_get(root, "version");

    if (!format || strcmp(format, JSON_FORMAT) != 0)
        return error_set(err, -EINVAL, "not a drover configuration (format is not %s)",
                         JSON_FORMAT);
    if (!json_is_integer(version) || json_integer_value(version) != JSON_VERSION)
        return error_set(err, -EINVAL,
                         "configuration format version %lld; this program reads version %d only",
                         (long long)json_integer_value(version), JSON_VERSION);
    if (!secrets || strcmp(secrets, "kept") != 0)
        return error_set(err, -EINVAL, "its secrets are masked; it is for people to read");
    return 0;
}

static int read_root(const json_t *root, struct config *config, struct error *err)
{
    int result = check_format(root, err);

    if (result == 0)
        result = read_redis(root, config, err);
    if (result == 0)
        result = read_rows(root, index_of(SCHEMA_TOP), config, NULL, config, "", err);
    if (result == 0)
        result = read_queues(root, config, err);
    return result;
}

int config_from_json(const char *text, size_t len, struct config **out_config, struct error *err)
{
    _cleanup_(config_freep) struct config *config = calloc(1, sizeof *config);
    json_error_t json_err;
    json_t *root;
    int result;

    if (!config)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_err);
    if (!root)
        return error_set(err, -EINVAL, "configuration is not JSON: line %d: %s", json_err.line,
                         json_err.text);
    result = read_root(root, config, err);
    json_decref(root);
    if (result == 0)
        *out_config = TAKE_PTR(config);
    return result;
}
