/* json_text.h - JSON as bytes: checked and quoted without building a tree.
 * Job bodies, results and progress stay opaque bytes; these functions are for where a rule must
 * know that the bytes are JSON, because a stock QueueEvents consumer stops for good at one value
 * that is not. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"

/* True when `bytes` is exactly one RFC 8259 value (white space around it allowed), valid UTF-8, at
 * most 512 levels deep. Numbers of any size and lone surrogate escapes (\ud800), which JavaScript
 * writes, are valid. */
bool json_text_is_valid(const char *bytes, size_t bytes_len);

/* Appends `bytes` as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. Returns 0 or
 * buf_append's error. */
int json_text_quote(struct buf *buf, const char *bytes, size_t bytes_len);
