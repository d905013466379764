/* json_walk.h - reads members and elements of JSON text in place, without building a tree.
 * Invariant: the text was accepted by json_text_is_valid; the walk trusts its shape and only looks
 * for ends. Why not jansson here: opts and stack traces are written by JavaScript, which emits what
 * jansson refuses (lone surrogates, integers from 2^63, 1e400; platform-notes 7), and such a job
 * must still run; nothing is copied and what is not read keeps its bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL,
};

/* One value as written: with quotes, braces and escapes. Points into the walked text. */
struct json_value {
    enum json_kind kind;
    const char *text;
    size_t len;
};

struct json_walk {
    const char *at, *end; /* what is still to read */
};

/* The one value of a valid text, without the white space around it. */
struct json_value json_whole_value(const char *text, size_t len);

/* Starts inside an object or array value. */
struct json_walk json_walk_into(const struct json_value *container);

/* The next member or element; false at the end. */
bool json_next_member(struct json_walk *walk, struct json_value *out_key,
                      struct json_value *out_value);
bool json_next_element(struct json_walk *walk, struct json_value *out_value);

/* True when a string value means exactly the ASCII `text` (escapes are read). */
bool json_string_is(const struct json_value *string, const char *text);

/* A number, or a string that is a plain decimal number; infinite when it is beyond a double. False
 * for anything else. */
bool json_read_number(const struct json_value *value, double *out_number);
