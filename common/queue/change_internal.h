/* change_internal.h - what change.c, change_many.c, remove.c, bulk.c and orphans.c share. */
#pragma once

#include "common/queue/change.h"
#include "common/queue/queue_internal.h"

/* -EINVAL for an id that no job can have, or whose job's key would be another key of the queue. */
MUST_CHECK int change_check_id(const char *id, struct error *err);

/* What a call gets that looped over scripts and whose next one could not be sent: what was done
 * stays done. `err` is borrowed. */
struct call_result change_unsent(const struct error *err);

/* The code of an answer; CHANGE_DAMAGED for what is none. */
enum change_code change_read_code(const redisReply *reply);

/* Arguments of lua/retry.lua up to its ids: named ones, or (named 0) a page of `most` jobs behind
 * the first `from` that finished until then. */
#define RETRY_ARGS 8
struct retry_page {
    size_t named;
    uint64_t from, most, until_ms;
};
void change_add_retry_args(struct queue *queue, const struct retry_spec *spec,
                           const struct retry_page *page);
/* The same of lua/promote.lua. */
#define PROMOTE_ARGS 4
void change_add_promote_args(struct queue *queue, const struct retry_page *page);

/* Arguments of lua/remove.lua up to the names. */
#define REMOVE_ARGS 5
/* Codes of lua/remove.lua that its callers' callers never see. */
enum { REMOVE_LARGE = 1, REMOVE_UNSEEN = 2 };
enum remove_what { REMOVE_NOW, REMOVE_LOOK, REMOVE_PENDING };
void change_add_remove_args(struct queue *queue, enum remove_what what, bool with_children,
                            size_t most, const char *above);
