/* add_internal.h - what add.c and flow.c share: how a job is put into the arguments of a script,
 * and how the answer about it is read. */
#pragma once

#include "common/queue/add.h"
#include "common/queue/queue_internal.h"

/* The texts of one call that are made for it: of each job the opts, then the parent for its hash
 * ("" without one), behind each other. An id, which opts repeat, is the only part of them without a
 * bound of its own. */
#define ADD_TEXTS_BYTES_MAX ((size_t)64 * 1024 * 1024)
struct add_texts {
    struct buf text;
    struct add_text_ends {
        size_t opts, parent;
    } * ends; /* of each job */
};
MUST_CHECK int add_texts_init(struct add_texts *texts, size_t count, struct error *err);
void add_texts_done(struct add_texts *texts);
/* Of the jobs in order. */
MUST_CHECK int add_texts_print(struct add_texts *texts, const struct job_spec *spec, size_t index,
                               struct error *err);
/* The text from *at to `end`, where *at is then. */
struct bytes add_texts_next(const struct add_texts *texts, size_t *at, size_t end);

/* Where a job without children goes, in the scripts' letters. */
const char *add_place_of(const struct job_spec *spec);
/* Name, data, opts, timestamp, delay and priority. */
void add_put_job(struct queue *queue, const struct job_spec *spec, struct bytes opts,
                 uint64_t now_ms);
/* The parent's queue and id, and the parent for the job's hash. */
void add_put_parent(struct queue *queue, const struct job_spec *spec, struct bytes parent);

/* Reads code and text of one job. False when they are none. */
bool add_read_result(const redisReply *code, const redisReply *text, struct add_result *out);
