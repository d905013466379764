/* correlation.h - the id by which one business event is followed through systems, when the producer
 * put one into the job's data: metadata.correlationId, else correlationId. Job data stays opaque
 * otherwise, so the price is bounded: only data of at most CORRELATION_DATA_MAX bytes that contain
 * the word are looked into. */
#pragma once

#include "common/queue/job.h"

#define CORRELATION_DATA_MAX 65536
#define CORRELATION_MAX      128 /* bytes of an id; a longer one is not taken */

/* The id in new memory; NULL when there is none, when it is no text of printable characters, or on
 * no memory. */
char *correlation_find(const struct bytes *data);
