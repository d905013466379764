/* A value in the JSON form, both ways. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/config/run_as.h"
#include "common/config/value.h"

static json_t *list_to_json(char *const *list)
{
    json_t *array = json_array();

    for (char *const *item = list; array && item && *item; item++) {
        if (json_array_append_new(array, json_string(*item)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *env_to_json(char *const *list, enum config_secrets secrets)
{
    json_t *object = json_object();

    for (char *const *item = list; object && item && *item; item++) {
        size_t name_len = strcspn(*item, "=");
        _cleanup_(freep) char *name = strndup(*item, name_len);
        const char *value = secrets == CONFIG_SECRETS_KEPT ? *item + name_len + 1 : VALUE_MASK;

        if (!name || json_object_set_new(object, name, json_string(value)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *text_to_json(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *value_to_json(const struct schema_row *row, const void *base, enum config_secrets secrets)
{
    const struct config_redis *endpoint;
    const char *text;

    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE: /* below 2^53 */
        return json_integer((json_int_t)VALUE_FIELD(base, row, uint64_t));
    case SCHEMA_UINT:
        return json_integer(VALUE_FIELD(base, row, unsigned int));
    case SCHEMA_COUNT:
        return json_integer(VALUE_FIELD(base, row, int64_t));
    case SCHEMA_REAL:
        return json_real(VALUE_FIELD(base, row, double));
    case SCHEMA_BOOL:
        return json_boolean(VALUE_FIELD(base, row, bool));
    case SCHEMA_WORD:
        return json_string(value_word_name(row, VALUE_FIELD(base, row, int)));
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
        return text_to_json(VALUE_FIELD(base, row, char *));
    case SCHEMA_SECRET:
        text = VALUE_FIELD(base, row, char *);
        return text_to_json(text && secrets != CONFIG_SECRETS_KEPT ? VALUE_MASK : text);
    case SCHEMA_PROGRAM:
        return list_to_json(VALUE_FIELD(base, row, char **));
    case SCHEMA_ENV:
        return env_to_json(VALUE_FIELD(base, row, char **), secrets);
    case SCHEMA_ENDPOINT:
        endpoint = VALUE_FIELD(base, row, const struct config_redis *);
        return text_to_json(endpoint ? endpoint->name : NULL);
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
    case SCHEMA_UMASK:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        return run_as_to_json(row, base);
    case SCHEMA_KEEP:
    case SCHEMA_HANDLER:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return NULL;
}

static int json_refuse(const char *key, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "%s: not %s", key, what);
}

static int number_from_json(const struct schema_row *row, const json_t *json, const char *key,
                            struct value *out, struct error *err)
{
    double number = json_number_value(json);
    const char *side;
    double bound;

    if (row->type == SCHEMA_REAL ? !json_is_number(json) : !json_is_integer(json))
        return json_refuse(key, "a number", err);
    out->real = number;
    out->count = (int64_t)json_integer_value(json);
    if (row->type == SCHEMA_COUNT && out->count == -1)
        return 0;
    if (!out->count && (row->flags & SCHEMA_ZERO_IS_AUTO))
        return 0;
    if (!value_in_range(row, number, &side, &bound))
        return error_set(err, -ERANGE, "%s: %.15g is %s, which is %.15g", key, number, side, bound);
    out->natural = (uint64_t)out->count;
    return 0;
}

static int copy_text(const char *text, char **out, struct error *err)
{
    *out = strdup(text);
    return *out ? 0 : error_set(err, -ENOMEM, "no memory for the configuration");
}

static int text_from_json(const struct schema_row *row, const json_t *json, const char *key,
                          struct value *out, struct error *err)
{
    if (json_is_null(json) && !row->preset)
        return 0;
    if (!json_is_string(json) || !*json_string_value(json))
        return json_refuse(key, "text", err);
    return copy_text(json_string_value(json), &out->text, err);
}

static int word_from_json(const struct schema_row *row, const json_t *json, const char *key,
                          struct value *out, struct error *err)
{
    const char *text = json_string_value(json);

    for (const struct schema_word *word = row->words; text && word->name; word++) {
        if (!word->refused && strcmp(word->name, text) == 0) {
            out->word = word->value;
            return 0;
        }
    }
    return json_refuse(key, "one of its words", err);
}

static int program_from_json(const json_t *json, const char *key, struct value *out,
                             struct error *err)
{
    size_t count = json_array_size(json);

    if (!count || count > VALUE_ITEMS_MAX)
        return json_refuse(key, "a list of a program and its arguments", err);
    out->list = calloc(count + 1, sizeof *out->list);
    if (!out->list)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(json, i));
        int result =
            text ? copy_text(text, &out->list[i], err) : json_refuse(key, "a list of texts", err);

        if (result < 0)
            return result;
    }
    return out->list[0][0] == '/' ? 0 : json_refuse(key, "an absolute path", err);
}

static int env_from_json(const json_t *json, const char *key, struct value *out, struct error *err)
{
    size_t count = json_object_size(json), used = 0;
    const char *name;
    json_t *item;

    if (!json_is_object(json) || count > VALUE_ITEMS_MAX)
        return json_refuse(key, "a map of variables", err);
    if (!count)
        return 0;
    out->list = calloc(count + 1, sizeof *out->list);
    if (!out->list)
        return error_set(err, -ENOMEM, "no memory for the configuration");
    json_object_foreach((json_t *)(uintptr_t)json, name, item)
    {
        if (!json_is_string(item))
            return json_refuse(key, "a map of texts", err);
        out->list[used] = text_format("%s=%s", name, json_string_value(item));
        if (!out->list[used++])
            return error_set(err, -ENOMEM, "no memory for the configuration");
    }
    return 0;
}

static int read_json(const struct schema_row *row, const json_t *json, const char *key,
                     struct value *out, struct error *err)
{
    switch (row->type) {
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
    case SCHEMA_UINT:
    case SCHEMA_COUNT:
    case SCHEMA_REAL:
        return number_from_json(row, json, key, out, err);
    case SCHEMA_BOOL:
        out->truth = json_is_true(json);
        return json_is_boolean(json) ? 0 : json_refuse(key, "true or false", err);
    case SCHEMA_WORD:
        return word_from_json(row, json, key, out, err);
    case SCHEMA_TEXT:
    case SCHEMA_PATH:
    case SCHEMA_URL:
    case SCHEMA_SECRET:
    case SCHEMA_ENDPOINT:
        return text_from_json(row, json, key, out, err);
    case SCHEMA_PROGRAM:
        return program_from_json(json, key, out, err);
    case SCHEMA_ENV:
        return env_from_json(json, key, out, err);
    case SCHEMA_USER:
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
    case SCHEMA_UMASK:
    case SCHEMA_NICE:
    case SCHEMA_LIMIT:
        return run_as_from_json(row, json, key, out, err);
    case SCHEMA_KEEP:
    case SCHEMA_HANDLER:
    case SCHEMA_TYPE_COUNT:
        break;
    }
    return json_refuse(key, "a value", err);
}

int value_from_json(const struct schema_row *row, const json_t *json, const char *key,
                    struct value *out, struct error *err)
{
    int result;

    *out = (struct value){ 0 };
    if (!json)
        return error_set(err, -EINVAL, "%s: missing", key);
    result = read_json(row, json, key, out, err);
    if (result < 0)
        value_done(out);
    return result;
}
