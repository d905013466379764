/* Counts, one job, and events of the installed library. */
#include <errno.h>
#include <string.h>

#include "common/client/client.h"
#include "common/queue/events.h"
#include "common/queue/get.h"

struct queue *client_engine(struct drover_queue *queue, struct drover_error *error)
{
    struct redis *redis = queue->connection->redis;
    struct error err = { 0 };

    if (!redis || redis_state(redis) != REDIS_READY) {
        (void)error_set(&err, -ENOTCONN, "there is no connection to Redis"); /* NULL says it */
        (void)client_error(&err, error);
        return NULL;
    }
    return queue->engine;
}

/* Texts of the engine in the library's form; NULL when there is no memory, or none of them. */
static struct drover_text *texts_of(const struct bytes *from, size_t count)
{
    struct drover_text *texts = count > 0 ? calloc(count, sizeof(*texts)) : NULL;

    for (size_t i = 0; texts && i < count; i++)
        texts[i] = client_text(from[i]);
    return texts;
}

struct client_call *client_call_new(struct drover_queue *queue, void (*on_done)(void), void *arg,
                                    struct error *err)
{
    struct client_call *call = calloc(1, sizeof(*call));

    if (!call) {
        (void)error_set(err, -ENOMEM, "allocate a call"); /* NULL says it */
        return NULL;
    }
    *call = (struct client_call){ queue, on_done, arg };
    return call;
}

static struct drover_answer no_memory(void)
{
    return (struct drover_answer){ DROVER_UNKNOWN, "memory ran out for the answer" };
}

/* ---- counts ---- */

static void on_counts(struct queue *engine, const struct call_result *call,
                      const struct queue_counts *counts, void *arg)
{
    _cleanup_(freep) struct client_call *own = arg;
    struct drover_answer answer = client_answer(call);
    struct drover_counts all = { 0 };

    (void)engine;
    if (counts)
        all = (struct drover_counts){ .waiting = counts->waiting + counts->paused_list,
                                      .active = counts->active,
                                      .prioritized = counts->prioritized,
                                      .delayed = counts->delayed,
                                      .waiting_children = counts->waiting_children,
                                      .completed = counts->completed,
                                      .failed = counts->failed,
                                      .paused = counts->paused };
    ((drover_counts_cb *)own->on_done)(own->queue, &answer, counts ? &all : NULL, own->arg);
}

int drover_count_jobs(struct drover_queue *queue, drover_counts_cb *on_done, void *arg,
                      struct drover_error *error)
{
    struct error err = { 0 };
    struct client_call *call;
    struct queue *engine = client_engine(queue, error);

    if (!engine)
        return -ENOTCONN;
    call = client_call_new(queue, (void (*)(void))on_done, arg, &err);
    if (call && queue_count_jobs(engine, on_counts, call, &err) == 0)
        return 0;
    free(call);
    return client_error(&err, error);
}

/* ---- one job ---- */

static void on_view(struct queue *engine, const struct call_result *call,
                    const struct job_view *view, void *arg)
{
    _cleanup_(freep) struct client_call *own = arg;
    _cleanup_(freep) struct drover_text *names =
        view ? texts_of(view->names, view->fields_count) : NULL;
    _cleanup_(freep) struct drover_text *values =
        view ? texts_of(view->values, view->fields_count) : NULL;
    struct drover_answer answer = client_answer(call);
    struct drover_job_view shown = { 0 };

    (void)engine;
    if (view && view->fields_count > 0 && (!names || !values)) {
        answer = no_memory();
        view = NULL;
    }
    if (view)
        shown = (struct drover_job_view){ view->state, view->fields_count, names, values };
    ((drover_view_cb *)own->on_done)(own->queue, &answer, view ? &shown : NULL, own->arg);
}

int drover_get_job(struct drover_queue *queue, const char *id, drover_view_cb *on_done, void *arg,
                   struct drover_error *error)
{
    struct error err = { 0 };
    struct client_call *call;
    struct queue *engine = client_engine(queue, error);

    if (!engine)
        return -ENOTCONN;
    call = client_call_new(queue, (void (*)(void))on_done, arg, &err);
    if (call && queue_view_job(engine, id, on_view, call, &err) == 0)
        return 0;
    free(call);
    return client_error(&err, error);
}
