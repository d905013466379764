/* Events of the installed library, and waiting for the end of a job. Both read by a connection of
 * their own, which is made first and closed last: the caller hears of the end when it is gone. */
#include <errno.h>
#include <string.h>

#include "common/client/client.h"
#include "common/queue/events.h"
#include "common/redis/redis.h"

/* Opening, then reading, then closing; what the engine or the connection said last is the answer.
 */
struct drover_events {
    struct drover_queue *queue;
    struct client_place *place;
    struct redis *redis; /* NULL once closed */
    struct queue_follow *follow;
    char *from;
    drover_events_cb *on_events;
    drover_events_end_cb *on_end;
    void *arg;
    bool reading; /* the engine has the connection */
    bool stopped;
    bool answered;
    struct drover_answer answer; /* why is in `text` */
    char text[ERROR_TEXT_BYTES];

    /* Of drover_wait_job alone. */
    char *job_id;
    uint64_t timeout_ms;
    drover_finished_cb *on_finished;
    enum drover_finished finished;
    char *value;
    size_t value_len;
};

static void events_free(struct drover_events *events)
{
    client_place_unref(events->place);
    free(events->from);
    free(events->job_id);
    free(events->value);
    free(events);
}

static void take_answer(struct drover_events *events, struct drover_answer answer)
{
    if (events->answered)
        return;
    events->answered = true;
    events->answer.outcome = answer.outcome;
    (void)snprintf(events->text, sizeof(events->text), "%s", answer.why); /* may be cut */
    events->answer.why = events->text;
}

/* The connection is gone: the last that happens. */
static void end(struct drover_events *events, const char *why)
{
    struct drover_text value = { events->value, events->value_len };

    take_answer(events, (struct drover_answer){ DROVER_UNKNOWN, why }); /* unless there is one */
    if (events->on_finished)
        events->on_finished(events->queue, &events->answer, events->finished, value, events->arg);
    else
        events->on_end(events->queue, &events->answer, events->arg);
    events_free(events);
}

/* ---- events ---- */

static bool give_events(struct drover_events *events, const struct queue_event *from,
                        struct drover_event *to, struct drover_text *texts, size_t count,
                        uint64_t lost)
{
    for (size_t i = 0; i < count; i++) {
        struct drover_text *names = texts, *values = texts + from[i].fields_count;

        for (size_t field = 0; field < from[i].fields_count; field++) {
            names[field] = client_text(from[i].names[field]);
            values[field] = client_text(from[i].values[field]);
        }
        to[i] = (struct drover_event){ .id = from[i].id,
                                       .at_ms = from[i].at_ms,
                                       .event = client_text(from[i].event),
                                       .job_id = client_text(from[i].job_id),
                                       .fields_count = from[i].fields_count,
                                       .names = names,
                                       .values = values };
        texts = values + from[i].fields_count;
    }
    return events->on_events(events->queue, to, count, lost, events->arg);
}

static bool on_events(struct queue *engine, const struct queue_event *from, size_t count,
                      uint64_t lost, void *arg)
{
    struct drover_events *events = arg;
    _cleanup_(freep) struct drover_event *to = NULL;
    _cleanup_(freep) struct drover_text *texts = NULL;
    size_t texts_count = 0;

    (void)engine;
    if (events->stopped)
        return false;
    for (size_t i = 0; i < count; i++)
        texts_count += 2 * from[i].fields_count;
    to = calloc(count + 1, sizeof(*to));
    texts = calloc(texts_count + 1, sizeof(*texts));
    if (!to || !texts) {
        take_answer(events, (struct drover_answer){ DROVER_UNKNOWN, "memory ran out" });
        return false;
    }
    if (give_events(events, from, to, texts, count, lost))
        return true;
    events->stopped = true;
    return false;
}

static void on_end(struct queue *engine, const struct call_result *call, void *arg)
{
    struct drover_events *events = arg;

    (void)engine;
    events->reading = false;
    events->follow = NULL;
    take_answer(events,
                events->stopped ? (struct drover_answer){ DROVER_DONE, "" } : client_answer(call));
    if (events->redis)
        redis_close(events->redis);
}

static void on_finished(struct queue *engine, const struct call_result *call,
                        enum job_finished finished, struct bytes value, void *arg)
{
    struct drover_events *events = arg;
    static const struct {
        enum job_finished from;
        enum drover_finished to;
    } rows[] = {
        { JOB_GONE, DROVER_JOB_GONE },
        { JOB_UNFINISHED, DROVER_JOB_UNFINISHED },
        { JOB_COMPLETED, DROVER_JOB_COMPLETED },
        { JOB_FAILED, DROVER_JOB_FAILED },
    };

    (void)engine;
    events->reading = false;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].from == finished)
            events->finished = rows[i].to;
    }
    if (value.data) {
        events->value = strndup(value.data, value.len);
        events->value_len = value.len;
    }
    if (value.data && !events->value)
        take_answer(events, (struct drover_answer){ DROVER_UNKNOWN, "memory ran out" });
    take_answer(events, client_answer(call));
    if (events->redis)
        redis_close(events->redis);
}

/* ---- the connection ---- */

static void start_reading(struct drover_events *events)
{
    struct queue *engine = events->queue->engine;
    struct error err = { 0 };
    int r;

    if (events->job_id) {
        r = queue_wait_job(engine, events->redis, events->job_id, events->timeout_ms, on_finished,
                           events, &err);
    } else {
        const struct events_from from = { .id = events->from, .batch = 100 };

        r = queue_follow_events(engine, events->redis, &from, on_events, on_end, events,
                                &events->follow, &err);
    }
    events->reading = r == 0;
    if (r == 0)
        return;
    take_answer(events, (struct drover_answer){ DROVER_UNKNOWN, err.text });
    redis_close(events->redis);
}

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct drover_events *events = arg;

    (void)redis;
    if (state == REDIS_READY && !events->reading && !events->answered) {
        start_reading(events);
    } else if (state == REDIS_CLOSED) {
        events->redis = NULL;
        end(events, why);
    }
}

/* Takes `events`, also on failure. */
static int open_reader(struct drover_events *events, struct error *err)
{
    const struct drover_connection *connection = events->queue->connection;
    const struct redis_options options = { .endpoint = &events->place->endpoint,
                                           .client_name = connection->client_name,
                                           .blocking = true,
                                           .once = true,
                                           .on_state = on_state,
                                           .arg = events };
    int r = connection->redis
                ? redis_open(connection->loop, &options, &events->redis, err)
                : error_set(err, -ENOTCONN, "the queue's connection to Redis has ended");

    if (r < 0)
        events_free(events);
    return r;
}

static struct drover_events *events_new(struct drover_queue *queue, const char *from,
                                        const char *job_id, struct error *err)
{
    struct drover_events *events = calloc(1, sizeof(*events));

    if (events) {
        events->queue = queue;
        events->place = client_place_ref(queue->connection->place);
        events->from = from ? strdup(from) : NULL;
        events->job_id = job_id ? strdup(job_id) : NULL;
    }
    if (!events || (from && !events->from) || (job_id && !events->job_id)) {
        if (events)
            events_free(events);
        (void)error_set(err, -ENOMEM, "allocate a reader of events"); /* NULL says it */
        return NULL;
    }
    return events;
}

int drover_follow_events(struct drover_queue *queue, const char *from, drover_events_cb *on_some,
                         drover_events_end_cb *on_stop, void *arg,
                         struct drover_events **out_events, struct drover_error *error)
{
    struct error err = { 0 };
    struct drover_events *events = events_new(queue, from ? from : "$", NULL, &err);

    if (!events)
        return client_error(&err, error);
    events->on_events = on_some;
    events->on_end = on_stop;
    events->arg = arg;
    if (open_reader(events, &err) < 0)
        return client_error(&err, error);
    *out_events = events;
    return 0;
}

void drover_stop_events(struct drover_events *events)
{
    if (events->stopped)
        return;
    events->stopped = true;
    if (events->follow)
        queue_follow_stop(events->follow);
    take_answer(events, (struct drover_answer){ DROVER_DONE, "" });
    if (events->redis) /* a read under way ends with it */
        redis_close(events->redis);
}

int drover_wait_job(struct drover_queue *queue, const char *id, uint64_t timeout_ms,
                    drover_finished_cb *on_done, void *arg, struct drover_error *error)
{
    struct error err = { 0 };
    struct drover_events *events = NULL;

    if (!id || !*id)
        (void)error_set(&err, -EINVAL, "the job has no id"); /* returned below */
    else
        events = events_new(queue, NULL, id, &err);
    if (!events)
        return client_error(&err, error);
    events->timeout_ms = timeout_ms;
    events->on_finished = on_done;
    events->finished = DROVER_JOB_UNFINISHED;
    events->arg = arg;
    return open_reader(events, &err) < 0 ? client_error(&err, error) : 0;
}
