/* encode.h - commands as the server reads them (RESP2 arrays of bulk strings), written into memory
 * that the caller has sized: one pass to measure, one to write, no allocation per argument. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes of "*count\r\n", and of one argument of `len` bytes with its frame. */
size_t redis_encode_array_bytes(size_t count);
size_t redis_encode_bulk_bytes(size_t len);

/* Each writes at `at` and returns the place behind. */
char *redis_encode_array(char *at, size_t count);
char *redis_encode_bulk(char *at, const void *bytes, size_t len);
