#include "common/queue/json_walk.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"

/* Characters that JSON allows between tokens, and the punctuation that a walk steps over. */
static void skip_gap(struct json_walk *walk)
{
    while (walk->at < walk->end && strchr(" \t\r\n,:", *walk->at) && *walk->at)
        walk->at++;
}

static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return at < end ? at + 1 : end;
}

/* End of an object or array: the bracket that closes the first; brackets inside strings do not
 * count. */
static const char *container_end(const char *at, const char *end)
{
    size_t depth = 0;

    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if ((*at == '}' || *at == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return end;
}

static const char *scalar_end(const char *at, const char *end)
{
    while (at < end && !strchr(" \t\r\n,:]}", *at))
        at++;
    return at;
}

static enum json_kind kind_of(char first)
{
    switch (first) {
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case '"':
        return JSON_KIND_STRING;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case 'n':
        return JSON_KIND_NULL;
    default:
        return JSON_KIND_NUMBER;
    }
}

/* The walk stands on the first byte of a value. */
static struct json_value take_value(struct json_walk *walk)
{
    struct json_value value = { .kind = kind_of(*walk->at), .text = walk->at };

    switch (value.kind) {
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        walk->at = container_end(walk->at, walk->end);
        break;
    case JSON_KIND_STRING:
        walk->at = string_end(walk->at, walk->end);
        break;
    case JSON_KIND_NUMBER:
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL:
    default:
        walk->at = scalar_end(walk->at, walk->end);
        break;
    }
    value.len = (size_t)(walk->at - value.text);
    return value;
}

struct json_value json_whole_value(const char *text, size_t len)
{
    struct json_walk walk = { .at = text, .end = text + len };

    skip_gap(&walk);
    if (walk.at == walk.end)
        return (struct json_value){ .kind = JSON_KIND_NULL, .text = text };
    return take_value(&walk);
}

struct json_walk json_walk_into(const struct json_value *container)
{
    return (struct json_walk){ .at = container->text + 1,
                               .end = container->text + container->len - 1 };
}

bool json_next_element(struct json_walk *walk, struct json_value *out_value)
{
    skip_gap(walk);
    if (walk->at >= walk->end)
        return false;
    *out_value = take_value(walk);
    return true;
}

bool json_next_member(struct json_walk *walk, struct json_value *out_key,
                      struct json_value *out_value)
{
    struct json_value key;

    if (!json_next_element(walk, &key) || !json_next_element(walk, out_value))
        return false;
    *out_key = key;
    return true;
}

/* One character of a string's inside; what is not ASCII comes out as 0, which equals nothing. */
static char take_char(const char **at, const char *end)
{
    char hex[5] = "";
    unsigned long code;

    if (**at != '\\' || end - *at < 2)
        return *(*at)++;
    if ((*at)[1] != 'u' || end - *at < 6) {
        *at += 2;
        return 0; /* \n and such are in no member's name */
    }
    memcpy(hex, *at + 2, 4);
    *at += 6;
    code = strtoul(hex, NULL, 16);
    return code < 0x80 ? (char)code : 0;
}

bool json_string_is(const struct json_value *string, const char *text)
{
    const char *at, *end;

    if (string->kind != JSON_KIND_STRING || string->len < 2)
        return false;
    at = string->text + 1;
    end = string->text + string->len - 1;
    while (at < end && *text) {
        if (take_char(&at, end) != *text++)
            return false;
    }
    return at == end && !*text;
}

bool json_read_number(const struct json_value *value, double *out_number)
{
    char digits[64];
    const char *from = value->text;
    size_t len = value->len;
    char *end;
    double number;

    if (value->kind == JSON_KIND_STRING) {
        from++;
        len -= 2;
    } else if (value->kind != JSON_KIND_NUMBER) {
        return false;
    }
    if (len == 0 || len >= sizeof(digits) || strspn(from, "0123456789+-.eE") < len)
        return false;
    memcpy(digits, from, len);
    digits[len] = '\0';
    number = strtod(digits, &end);
    if (*end || isnan(number))
        return false;
    *out_number = number;
    return true;
}
