#include "workers/worker/correlation.h"

#include <jansson.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/queue/json_walk.h"

#define WORD        "correlationId"
#define WRITTEN_MAX (6 * CORRELATION_MAX + 2) /* each byte as \u00xx, and the quotes */

/* As JavaScript reads: of two members with one name the later counts. */
static bool find_member(const struct json_value *object, const char *name,
                        struct json_value *out_value)
{
    struct json_walk walk;
    struct json_value key, value;
    bool found = false;

    if (object->kind != JSON_KIND_OBJECT)
        return false;
    walk = json_walk_into(object);
    while (json_next_member(&walk, &key, &value)) {
        if (!json_string_is(&key, name))
            continue;
        *out_value = value;
        found = true;
    }
    return found;
}

static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < 0x20 || byte == 0x7F)
            return false;
    }
    return true;
}

/* jansson reads the escapes; what it refuses (half a surrogate pair, a NUL) is no id. */
static char *read_id(const struct json_value *value)
{
    char *id = NULL;
    json_t *text;
    size_t len;

    if (value->kind != JSON_KIND_STRING || value->len > WRITTEN_MAX)
        return NULL;
    text = json_loadb(value->text, value->len, JSON_DECODE_ANY, NULL);
    len = text ? json_string_length(text) : 0;
    if (len > 0 && len <= CORRELATION_MAX && is_printable(json_string_value(text), len))
        id = strdup(json_string_value(text));
    json_decref(text);
    return id;
}

char *correlation_find(const struct bytes *data)
{
    struct json_value whole, inner, value;
    char *id = NULL;

    if (!data->data || data->len > CORRELATION_DATA_MAX ||
        !memmem(data->data, data->len, WORD, strlen(WORD)) ||
        !json_text_is_valid(data->data, data->len))
        return NULL;
    whole = json_whole_value(data->data, data->len);
    if (find_member(&whole, "metadata", &inner) && find_member(&inner, WORD, &value))
        id = read_id(&value);
    if (!id && find_member(&whole, WORD, &value))
        id = read_id(&value);
    return id;
}
