/* hash_slot.h - which of a Redis Cluster's 16384 slots a key lies in.
 * Only the text between the first '{' and the next '}' counts, when there is any; else the whole
 * key does (Redis Cluster specification, "Hash tags"). */
#pragma once

#include <stddef.h>

#define HASH_SLOT_COUNT 16384

/* The part of the key that counts; `*out_len` is its length. Points into `key`. */
const char *hash_slot_tag(const char *key, size_t len, size_t *out_len);

/* 0 … HASH_SLOT_COUNT - 1 */
unsigned int hash_slot_of(const char *key, size_t len);
