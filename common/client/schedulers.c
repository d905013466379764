/* Job schedulers of the installed library. */
#include <errno.h>

#include "common/base/buf.h"
#include "common/client/client.h"
#include "common/queue/scheduler.h"

#define OPTS_BYTES_MAX ((size_t)1024 * 1024)

_Static_assert(DROVER_SCHEDULERS_MAX == QUEUE_SCHEDULERS_MAX, "bounds");

/* ---- upsert ---- */

static void on_upserted(struct queue *engine, const struct call_result *call,
                        const struct scheduler_upsert *result, void *arg)
{
    _cleanup_(freep) struct client_call *own = arg;
    struct drover_answer answer = client_answer(call);
    struct drover_scheduled scheduled = { 0 };

    (void)engine;
    if (result)
        scheduled = (struct drover_scheduled){ result->job_id, result->delay_ms, result->why };
    ((drover_scheduled_cb *)own->on_done)(own->queue, &answer, result ? &scheduled : NULL,
                                          own->arg);
}

/* Takes `call` when it returns 0. */
static int upsert(struct queue *engine, const struct drover_scheduler *scheduler,
                  struct client_call *call, struct error *err)
{
    _cleanup_(buf_done) struct buf opts = BUF_INIT(OPTS_BYTES_MAX);
    struct job_spec job = client_spec(&scheduler->job);
    struct scheduler_spec spec = { .id = client_bytes(scheduler->id),
                                   .name = job.name,
                                   .data = job.data,
                                   .every_ms = scheduler->every_ms,
                                   .pattern = client_bytes(scheduler->pattern),
                                   .tz = client_bytes(scheduler->tz),
                                   .offset_ms = scheduler->offset_ms,
                                   .has_limit = scheduler->has_limit,
                                   .limit = scheduler->limit,
                                   .start_at_ms = scheduler->start_at_ms,
                                   .end_at_ms = scheduler->end_at_ms,
                                   .immediately = scheduler->immediately };
    int r;

    if (!job.name.data) /* the check below asks for one */
        job.name = spec.id;
    r = job_spec_check(&job, err);
    if (r == 0)
        r = scheduler_print_opts(&job, &opts, err);
    if (r < 0)
        return error_wrap(err, "the scheduler's job");
    spec.opts = (struct bytes){ buf_text(&opts), opts.len };
    return queue_upsert_scheduler(engine, &spec, on_upserted, call, err);
}

int drover_upsert_scheduler(struct drover_queue *queue, const struct drover_scheduler *scheduler,
                            drover_scheduled_cb *on_done, void *arg, struct drover_error *error)
{
    struct error err = { 0 };
    struct client_call *call;
    struct queue *engine = client_engine(queue, error);

    if (!engine)
        return -ENOTCONN;
    call = client_call_new(queue, (void (*)(void))on_done, arg, &err);
    if (call && upsert(engine, scheduler, call, &err) == 0)
        return 0;
    free(call);
    return client_error(&err, error);
}

/* ---- remove ---- */

static void on_removed(struct queue *engine, const struct call_result *call, int64_t value,
                       void *arg)
{
    _cleanup_(freep) struct client_call *own = arg;
    struct drover_answer answer = client_answer(call);

    (void)engine;
    ((drover_removed_cb *)own->on_done)(own->queue, &answer, value == 1, own->arg);
}

int drover_remove_scheduler(struct drover_queue *queue, struct drover_text id,
                            drover_removed_cb *on_done, void *arg, struct drover_error *error)
{
    struct error err = { 0 };
    struct client_call *call;
    struct queue *engine = client_engine(queue, error);

    if (!engine)
        return -ENOTCONN;
    call = client_call_new(queue, (void (*)(void))on_done, arg, &err);
    if (call && queue_remove_scheduler(engine, client_bytes(id), on_removed, call, &err) == 0)
        return 0;
    free(call);
    return client_error(&err, error);
}

/* ---- list ---- */

static void on_listed(struct queue *engine, const struct call_result *call,
                      const struct scheduler_entry *entries, size_t count, uint64_t total,
                      void *arg)
{
    _cleanup_(freep) struct client_call *own = arg;
    struct drover_answer answer = client_answer(call);
    struct drover_scheduler_entry shown[DROVER_SCHEDULERS_MAX];

    (void)engine;
    for (size_t i = 0; i < count && i < DROVER_SCHEDULERS_MAX; i++) {
        const struct scheduler_entry *from = &entries[i];

        shown[i] = (struct drover_scheduler_entry){ .id = client_text(from->id),
                                                    .name = client_text(from->name),
                                                    .pattern = client_text(from->pattern),
                                                    .tz = client_text(from->tz),
                                                    .data = client_text(from->data),
                                                    .opts = client_text(from->opts),
                                                    .next_at_ms = from->next_at_ms,
                                                    .every_ms = from->every_ms,
                                                    .offset_ms = from->offset_ms,
                                                    .iterations = from->iterations,
                                                    .has_limit = from->has_limit,
                                                    .limit = from->limit,
                                                    .start_at_ms = from->start_at_ms,
                                                    .end_at_ms = from->end_at_ms };
    }
    ((drover_schedulers_cb *)own->on_done)(own->queue, &answer, entries ? shown : NULL, count,
                                           total, own->arg);
}

int drover_list_schedulers(struct drover_queue *queue, uint64_t start, size_t count,
                           drover_schedulers_cb *on_done, void *arg, struct drover_error *error)
{
    struct error err = { 0 };
    struct client_call *call;
    struct queue *engine = client_engine(queue, error);

    if (!engine)
        return -ENOTCONN;
    call = client_call_new(queue, (void (*)(void))on_done, arg, &err);
    if (call && queue_list_schedulers(engine, start, count, /* ascending= */ true, on_listed, call,
                                      &err) == 0)
        return 0;
    free(call);
    return client_error(&err, error);
}
