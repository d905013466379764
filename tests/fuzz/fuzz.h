/* fuzz.h - what a libFuzzer program has: one function that is given any bytes and must survive.
 * A broken promise aborts (assert), so that libFuzzer keeps the input. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
