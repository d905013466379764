/* recoveries.h - gives back the jobs of dead processes when the master asks (CHANNEL_RECOVER).
 *
 * One answer per question: done with its counts, or a negative errno when Redis was lost or
 * refused; then the master asks again, here or elsewhere (the scripts may be repeated at any time).
 * What is asked before the connection stood for the first time waits for it, so that the
 * replacement of a dead worker gives back what its predecessor held before it says ready. All run
 * on the worker's own command connection; several at once. */
#pragma once

#include "common/channel/channel.h"
#include "common/redis/redis.h"

#define RECOVERIES_MAX 256 /* unanswered at once; more are answered -EBUSY */

struct recoveries;

/* `frame` is valid during the call. Also called inside recoveries_ask. */
typedef void recoveries_answer_cb(const struct channel_recovered *answer, void *arg);

/* prefix: BullMQ's, of this worker's endpoint; borrowed. */
MUST_CHECK int recoveries_new(const char *prefix, recoveries_answer_cb *on_answer, void *arg,
                              struct recoveries **out_recoveries, struct error *err);
/* The command connection while it is ready, else NULL. Borrowed. */
void recoveries_set_redis(struct recoveries *recoveries, struct redis *redis);
void recoveries_ask(struct recoveries *recoveries, const struct channel_recover *question);
/* Questions not yet answered. */
size_t recoveries_pending(const struct recoveries *recoveries);
/* No call may be under way: the connection is closed. What waits is not answered. NULL is allowed.
 */
void recoveries_free(struct recoveries *recoveries);
