/* Users, groups, umask, nice and limits in the JSON form, both ways. A child does not look names
 * up: it gets the numbers that the reader of the file has found. */
#include <errno.h>
#include <string.h>

#include "common/config/run_as.h"

static const char unlimited[] = "unlimited";

static json_t *numbers_to_json(const uint32_t *numbers, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, json_integer(numbers[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *user_to_json(const struct config_user *user)
{
    return !user ? json_null()
                 : json_pack("{s:s, s:I, s:I, s:o, s:s}", "name", user->name, "uid",
                             (json_int_t)user->uid, "gid", (json_int_t)user->gid, "groups",
                             numbers_to_json(user->groups, user->groups_count), "home", user->home);
}

static json_t *group_to_json(const struct config_group *group)
{
    return json_pack("{s:s, s:I}", "name", group->name, "gid", (json_int_t)group->gid);
}

static json_t *groups_to_json(const struct config_groups *groups)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < groups->count; i++) {
        if (json_array_append_new(array, group_to_json(&groups->rows[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *limit_to_json(uint64_t limit)
{
    if (limit == RESOURCE_INHERIT)
        return json_null();
    return limit == RESOURCE_UNLIMITED ? json_string(unlimited) : json_integer((json_int_t)limit);
}

json_t *run_as_to_json(const struct schema_row *row, const void *base)
{
    const struct config_groups *groups;
    int number;

    switch ((int)row->type) {
    case SCHEMA_USER:
        return user_to_json(VALUE_FIELD(base, row, struct config_user *));
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        groups = VALUE_FIELD(base, row, struct config_groups *);
        if (!groups)
            return json_null();
        return row->type == SCHEMA_GROUP ? group_to_json(groups->rows) : groups_to_json(groups);
    case SCHEMA_LIMIT:
        return limit_to_json(VALUE_FIELD(base, row, uint64_t));
    default:
        number = VALUE_FIELD(base, row, int);
        return number == CONFIG_UMASK_INHERIT || number == CONFIG_NICE_INHERIT
                   ? json_null()
                   : json_integer(number);
    }
}

static int refuse(const char *key, const char *what, struct error *err)
{
    return error_set(err, -EINVAL, "%s: not %s", key, what);
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "no memory for the configuration");
}

static bool id_from_json(const json_t *json, uint32_t *out)
{
    json_int_t number = json_integer_value(json);

    if (!json_is_integer(json) || number < 0 || number > UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    return true;
}

static int numbers_from_json(const json_t *json, struct config_user *user)
{
    size_t count = json_array_size(json);

    if (!json_is_array(json) || count > CONFIG_GROUPS_MAX)
        return -EINVAL;
    user->groups = calloc(count + 1, sizeof *user->groups);
    if (!user->groups)
        return -ENOMEM;
    while (user->groups_count < count) {
        if (!id_from_json(json_array_get(json, user->groups_count),
                          &user->groups[user->groups_count]))
            return -EINVAL;
        user->groups_count++;
    }
    return 0;
}

static int user_from_json(const json_t *json, const char *key, struct value *out, struct error *err)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const char *home = json_string_value(json_object_get(json, "home"));
    struct config_user *user;
    int r;

    if (json_is_null(json))
        return 0;
    user = out->user = calloc(1, sizeof *user);
    if (!user)
        return no_memory(err);
    if (!name || !*name || !home || !id_from_json(json_object_get(json, "uid"), &user->uid) ||
        !id_from_json(json_object_get(json, "gid"), &user->gid) || user->uid == 0 ||
        user->uid == UINT32_MAX)
        return refuse(key, "a user", err);
    r = numbers_from_json(json_object_get(json, "groups"), user);
    if (r == -EINVAL)
        return refuse(key, "a user with groups", err);
    user->name = strdup(name);
    user->home = strdup(home);
    return r == 0 && user->name && user->home ? 0 : no_memory(err);
}

static int group_from_json(const json_t *json, const char *key, struct config_groups *groups,
                           struct error *err)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    struct config_group *row = &groups->rows[groups->count];

    if (!name || !id_from_json(json_object_get(json, "gid"), &row->gid) ||
        row->gid == CONFIG_NO_GROUP)
        return refuse(key, "a group", err);
    row->name = strdup(name);
    if (!row->name)
        return no_memory(err);
    groups->count++;
    return 0;
}

static int groups_from_json(const struct schema_row *row, const json_t *json, const char *key,
                            struct value *out, struct error *err)
{
    bool single = row->type == SCHEMA_GROUP;
    size_t count = single ? 1 : json_array_size(json);
    int r = 0;

    if (json_is_null(json))
        return 0;
    if ((!single && !json_is_array(json)) || count > CONFIG_GROUPS_MAX)
        return refuse(key, "a list of groups", err);
    out->groups = run_as_new_groups(count);
    if (!out->groups)
        return no_memory(err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = group_from_json(single ? json : json_array_get(json, i), key, out->groups, err);
    return r;
}

static int limit_from_json(const struct schema_row *row, const json_t *json, const char *key,
                           struct value *out, struct error *err)
{
    const char *word = json_string_value(json);
    json_int_t number = json_integer_value(json);
    const char *side;
    double bound;

    out->natural = json_is_null(json) ? RESOURCE_INHERIT : RESOURCE_UNLIMITED;
    if (json_is_null(json) ||
        (word && strcmp(word, unlimited) == 0 && !(row->flags & SCHEMA_NO_UNLIMITED)))
        return 0;
    if (!json_is_integer(json) || number < 0 ||
        !run_as_limit_in_range(row, (uint64_t)number, &side, &bound))
        return refuse(key, "a limit", err);
    out->natural = (uint64_t)number;
    return 0;
}

static int number_from_json(const struct schema_row *row, const json_t *json, const char *key,
                            struct value *out, struct error *err)
{
    bool is_nice = row->type == SCHEMA_NICE;
    json_int_t number = json_integer_value(json);

    out->word = is_nice ? CONFIG_NICE_INHERIT : CONFIG_UMASK_INHERIT;
    if (json_is_null(json))
        return 0;
    if (!json_is_integer(json) || number < (is_nice ? RUN_AS_NICE_LEAST : 0) ||
        number > (is_nice ? RUN_AS_NICE_MOST : RUN_AS_UMASK_MAX))
        return refuse(key, is_nice ? "a nice value" : "a umask", err);
    out->word = (int)number;
    return 0;
}

int run_as_from_json(const struct schema_row *row, const json_t *json, const char *key,
                     struct value *out, struct error *err)
{
    switch ((int)row->type) {
    case SCHEMA_USER:
        return user_from_json(json, key, out, err);
    case SCHEMA_GROUP:
    case SCHEMA_GROUPS:
        return groups_from_json(row, json, key, out, err);
    case SCHEMA_LIMIT:
        return limit_from_json(row, json, key, out, err);
    default:
        return number_from_json(row, json, key, out, err);
    }
}
