/* sentinel.h - who is the master, as the Sentinels of an endpoint see it.
 * Invariant: a master is believed only when at least half of the Sentinels that the endpoint names
 * have answered, and then the one of the highest configuration epoch; never one of an older epoch
 * than was seen before, unless all of them say so (an operator began anew). A former master that
 * still answers, even as one, is thereby not met again.
 *
 * All Sentinels are asked at once before each try to connect; those that answer slowly are not
 * waited for. Besides, one of them is listened to (+switch-master): a new master is followed at
 * once, not only when the old one is lost. What happened while nobody was listened to is asked for
 * when listening begins. */
#pragma once

#include <stdbool.h>

struct redis;
struct sentinel;

/* For a connection whose endpoint is of Sentinels; NULL on no memory. listen: whether to follow
 * what they tell. */
struct sentinel *sentinel_new(struct redis *redis, bool listen);
/* Only after sentinel_close and the end of all children of the connection. NULL is accepted. */
void sentinel_free(struct sentinel *sentinel);

/* Begins to ask; ends in redis_connect_found or a loss, later. */
void sentinel_find(struct sentinel *sentinel);
/* Forgets what is being asked. */
void sentinel_stop_finding(struct sentinel *sentinel);
void sentinel_close(struct sentinel *sentinel);
