#include "supervisor/master/control_packet.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "supervisor/master/control.h"

static const char *const too_large = "a part of the answer is larger than a packet";
static const char *const no_memory = "droverd has no memory left for the answer";

static struct control_packet *packet_of(const json_t *object, const char **out_why)
{
    size_t len = object ? json_dumpb(object, NULL, 0, JSON_COMPACT) : 0;
    struct control_packet *packet;

    *out_why = len > CONTROL_PACKET_BYTES ? too_large : no_memory;
    if (len == 0 || len > CONTROL_PACKET_BYTES)
        return NULL;
    packet = malloc(sizeof(*packet) + len);
    if (!packet)
        return NULL;
    packet->next = NULL;
    packet->len = json_dumpb(object, packet->bytes, len, JSON_COMPACT);
    return packet;
}

static json_t *longest_array(json_t *object)
{
    json_t *longest = NULL;

    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        json_t *value = json_object_iter_value(at);

        if (json_is_array(value) && json_array_size(value) > json_array_size(longest))
            longest = value;
    }
    return longest;
}

struct control_packet *control_packet_new(const json_t *object, json_t *part, const char **out_why)
{
    struct control_packet *packet = packet_of(object, out_why);
    json_t *longest;

    while (!packet && *out_why == too_large && (longest = longest_array(part))) {
        size_t keep = json_array_size(longest) / 2;

        while (json_array_size(longest) > keep)
            (void)json_array_remove(longest, json_array_size(longest) - 1); /* it is there */
        if (json_object_set_new(part, "cut", json_true()) < 0) {
            *out_why = no_memory;
            return NULL;
        }
        packet = packet_of(object, out_why);
    }
    return packet;
}

json_t *control_end_object(int code, json_t *more, const char *error)
{
    json_t *end = json_pack("{s:b, s:b, s:i}", "end", 1, "ok", code == 0, "code", code);
    int r = 0;

    if (error)
        r = json_object_set_new(end, "error",
                                json_stringn(error, text_utf8_prefix(error, strlen(error))));
    if (r == 0 && more)
        r = json_object_update_missing(end, more);
    json_decref(more);
    if (r < 0) {
        json_decref(end);
        return NULL;
    }
    return end;
}
