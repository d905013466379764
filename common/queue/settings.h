/* settings.h - what holds for a whole queue and every peer on it: paused or not, how many jobs at
 * once, how many in a time (wire format 1.4, 4.4, 8.1). Read them with queue_get_meta (get.h). */
#pragma once

#include "common/queue/queue.h"

/* Nobody fetches until the queue is resumed; what runs goes on. Both loop over bounded calls: lists
 * are merged, never renamed over one another (wire format 15.1). */
MUST_CHECK int queue_pause(struct queue *queue, queue_done_cb *on_done, void *arg,
                           struct error *err);
MUST_CHECK int queue_resume(struct queue *queue, queue_done_cb *on_done, void *arg,
                            struct error *err);

#define QUEUE_SETTING_MAX 9007199254740991ULL /* what a stock client reads exactly */

/* At most so many jobs run at once, over all workers of the queue. -EINVAL at 0 or above the
 * maximum. */
MUST_CHECK int queue_set_global_concurrency(struct queue *queue, uint64_t concurrency,
                                            queue_done_cb *on_done, void *arg, struct error *err);
MUST_CHECK int queue_remove_global_concurrency(struct queue *queue, queue_done_cb *on_done,
                                               void *arg, struct error *err);
/* At most `max` jobs start in each duration_ms, over all workers. -EINVAL at 0 or above the
 * maximum. */
MUST_CHECK int queue_set_global_rate_limit(struct queue *queue, uint64_t max, uint64_t duration_ms,
                                           queue_done_cb *on_done, void *arg, struct error *err);
MUST_CHECK int queue_remove_global_rate_limit(struct queue *queue, queue_done_cb *on_done,
                                              void *arg, struct error *err);
/* Workers that obey a rate limit start nothing for so long. -EINVAL at 0 or above the maximum. */
MUST_CHECK int queue_limit_rate_now(struct queue *queue, uint64_t duration_ms,
                                    queue_done_cb *on_done, void *arg, struct error *err);
/* The present window of the rate limit ends. value: 1 when there was one, else 0. */
MUST_CHECK int queue_remove_rate_limit(struct queue *queue, queue_done_cb *on_done, void *arg,
                                       struct error *err);
/* value: ms until the next job may start; 0 when one may start now. `max`: of the caller's own
 * limiter; 0: the queue's, and without one how long the present window lasts (-2: there is none,
 * -1: it has no end). */
MUST_CHECK int queue_get_rate_limit_ttl(struct queue *queue, uint64_t max, queue_done_cb *on_done,
                                        void *arg, struct error *err);
