/* control_packet.h - packets of the control socket's answers.
 * Invariant: a packet is one whole JSON object of at most CONTROL_PACKET_BYTES. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct control_packet {
    struct control_packet *next; /* of those that wait for the same client */
    size_t len;
    char bytes[];
};

/* Makes a packet of `object` (borrowed; NULL, which is jansson out of memory, makes none). When it
 * is too large, the longest arrays of `part` lose their tails (findings of a file that is all
 * wrong, running jobs with ids full of escapes) and "cut":true is added there; `part` is the object
 * itself or a member of it. NULL: *out_why, a constant, says why not. */
struct control_packet *control_packet_new(const json_t *object, json_t *part, const char **out_why);

/* {"end":true,"ok":…,"code":…,"error":…}, and after it the members of `more` with other names.
 * Takes `more`; it and `error` may be NULL. NULL on no memory. */
json_t *control_end_object(int code, json_t *more, const char *error);
