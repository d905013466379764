/* `drover check --effective`: every value with where it came from. */
#include <errno.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/config/each.h"
#include "common/config/value.h"

#define VALUE_BYTES_MAX (256u * 1024u)

struct effective {
    const struct config *config;
    struct buf *out;
};

static const char *origin_of(const struct config *config, size_t index)
{
    if (!config->origins_count)
        return "unknown"; /* read from JSON */
    return index < config->origins_count && config->origins[index] ? config->origins[index]
                                                                   : "default";
}

/* A handler of some kind is shown by its parts. */
static bool is_shown(const struct each_value *value)
{
    struct buf text = BUF_INIT(64);
    bool is_none;

    if (value->row->type != SCHEMA_HANDLER)
        return true;
    value_print(value->row, value->base, &text);
    is_none = strcmp(buf_text(&text), value_handler_name(CONFIG_HANDLER_NONE)) == 0;
    buf_done(&text);
    return is_none;
}

static bool print_line(const struct each_value *value, void *arg)
{
    struct effective *effective = arg;
    struct buf *out = effective->out;

    if (!is_shown(value))
        return true;
    each_print_key(value, out);
    (void)buf_append_text(out, " = ");
    value_print(value->row, value->base, out);
    (void)buf_printf(out, "  # %s\n", origin_of(effective->config, value->index));
    return !out->failed;
}

/* Numbers, truth, lists and maps as they are, all else as text, written as in YAML. */
static bool is_json_already(const struct schema_row *row, const struct buf *text)
{
    switch ((int)row->type) {
    case SCHEMA_REAL:
    case SCHEMA_BOOL:
    case SCHEMA_PROGRAM:
        return true;
    case SCHEMA_GROUPS: /* or auto */
        return text->len > 0 && buf_text(text)[0] == '[';
    case SCHEMA_NICE: /* or inherit */
        return strspn(buf_text(text), "-0123456789") == text->len;
    case SCHEMA_LIMIT: /* or inherit, unlimited, or with a unit */
    case SCHEMA_UINT:
    case SCHEMA_COUNT: /* or auto, all, none */
        return strspn(buf_text(text), "0123456789") == text->len;
    default:
        return false;
    }
}

/* Texts come from value_to_json, because value_print puts quotes around some. */
static bool is_text(const struct schema_row *row)
{
    return row->type == SCHEMA_TEXT || row->type == SCHEMA_PATH || row->type == SCHEMA_URL ||
           row->type == SCHEMA_SECRET || row->type == SCHEMA_ENDPOINT || row->type == SCHEMA_ENV;
}

static void print_json_value(const struct each_value *value, struct buf *out)
{
    struct buf text = BUF_INIT(VALUE_BYTES_MAX);
    json_t *json = NULL;
    char *dumped = NULL;

    value_print(value->row, value->base, &text);
    if (is_text(value->row)) {
        json = value_to_json(value->row, value->base, CONFIG_SECRETS_MASKED);
        dumped = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        if (dumped)
            (void)buf_append_text(out, dumped);
    } else if (is_json_already(value->row, &text)) {
        (void)buf_append(out, buf_text(&text), text.len);
    } else {
        (void)json_text_quote(out, buf_text(&text), text.len);
    }
    if (text.failed || (is_text(value->row) && !dumped))
        out->failed = true;
    free(dumped);
    json_decref(json);
    buf_done(&text);
}

static bool print_member(const struct each_value *value, void *arg)
{
    struct effective *effective = arg;
    const char *origin = origin_of(effective->config, value->index);
    struct buf *out = effective->out;
    struct buf key = BUF_INIT(4096);

    if (!is_shown(value))
        return true;
    each_print_key(value, &key);
    (void)buf_append_text(out, value->index ? ",\n" : "{\n");
    (void)json_text_quote(out, buf_text(&key), key.len);
    (void)buf_append_text(out, ": {\"value\": ");
    print_json_value(value, out);
    (void)buf_append_text(out, ", \"from\": ");
    (void)json_text_quote(out, origin, strlen(origin));
    (void)buf_append_char(out, '}');
    buf_done(&key);
    return !out->failed;
}

int config_print_effective(const struct config *config, struct buf *out, struct error *err)
{
    struct effective effective = { config, out };

    if (!config_each_value(config, print_line, &effective) || out->failed)
        return error_set(err, -ENOMEM, "no room for the effective configuration");
    return 0;
}

int config_print_effective_json(const struct config *config, struct buf *out, struct error *err)
{
    struct effective effective = { config, out };

    if (!config_each_value(config, print_member, &effective) || buf_append_text(out, "\n}\n") < 0 ||
        out->failed)
        return error_set(err, -ENOMEM, "no room for the effective configuration");
    return 0;
}
