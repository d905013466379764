/* producer.c - adds jobs to a queue from C, and waits until they have run.
 *
 *   cc producer.c -o producer $(pkg-config --cflags --libs drover-queue)
 *   ./producer redis://localhost:6379 mail
 *
 * A worker for the queues "mail" and "mail-parts" must run somewhere: drover's, or a stock one. */
#include <drover/queue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* All that the callbacks share. The program ends when nothing is left to wait for. */
struct producer {
    uv_loop_t loop;
    struct drover_connection *connection;
    struct drover_queue *queue;
    const char *queue_name;
    int waiting; /* jobs that have not ended */
    int failed;  /* what the program returns */
};

/* Nothing is under way any more. */
static void leave(struct producer *producer)
{
    drover_queue_free(producer->queue);
    producer->queue = NULL;
    drover_disconnect(producer->connection); /* NULL when it has ended by itself */
}

static void give_up(struct producer *producer, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    producer->failed = 1;
}

/* 4. A job has ended. */
static void on_finished(struct drover_queue *queue, const struct drover_answer *answer,
                        enum drover_finished finished, struct drover_text value, void *arg)
{
    struct producer *producer = arg;

    (void)queue;
    if (answer->outcome != DROVER_DONE)
        give_up(producer, "wait", answer->why);
    else if (finished == DROVER_JOB_COMPLETED)
        printf("completed: %.*s\n", (int)value.len, value.data);
    else if (finished == DROVER_JOB_FAILED)
        give_up(producer, "failed", value.data);
    else
        give_up(producer, "wait", "not within 20 seconds");
    if (--producer->waiting == 0)
        leave(producer);
}

static void wait_for(struct producer *producer, const char *id)
{
    struct drover_error error;

    if (drover_wait_job(producer->queue, id, 20000, on_finished, producer, &error) < 0)
        give_up(producer, "wait", error.text);
    else
        producer->waiting++;
}

/* 3. The flow is there: its root, results[0], runs when the parts have run. */
static void on_flow(struct drover_queue *queue, const struct drover_answer *answer,
                    const struct drover_added *results, size_t count, void *arg)
{
    struct producer *producer = arg;

    (void)queue;
    if (answer->outcome != DROVER_DONE)
        give_up(producer, "flow", answer->why);
    else if (results[0].code != DROVER_ADDED)
        give_up(producer, "flow", results[0].why);
    else {
        printf("a flow of %zu jobs\n", count);
        wait_for(producer, results[0].id);
    }
    if (producer->waiting == 0)
        leave(producer);
}

static void add_flow(struct producer *producer)
{
    struct drover_flow_node parts[2] = {
        { .queue = "mail-parts", .job = drover_job("text", "{\"of\":\"letter\"}") },
        { .queue = "mail-parts", .job = drover_job("image", "{\"of\":\"letter\"}") },
    };
    struct drover_flow_node root = { .job = drover_job("letter", NULL),
                                     .children = parts,
                                     .children_count = 2 };
    struct drover_error error;

    parts[1].job.policy = DROVER_POLICY_IGNORE_DEPENDENCY; /* goes without a picture if need be */
    if (drover_add_flow(producer->queue, &root, on_flow, producer, &error) < 0) {
        give_up(producer, "flow", error.text);
        leave(producer);
    }
}

/* 2. The jobs are there, or each says why not. */
static void on_added(struct drover_queue *queue, const struct drover_answer *answer,
                     const struct drover_added *results, size_t count, void *arg)
{
    struct producer *producer = arg;

    (void)queue;
    if (answer->outcome != DROVER_DONE)
        give_up(producer, "add", answer->why); /* DROVER_UNKNOWN: jobs with ids may be sent again */
    for (size_t i = 0; i < count; i++) {
        if (results[i].code != DROVER_ADDED)
            give_up(producer, "add", results[i].why);
        else
            printf("job %s%s\n", results[i].id,
                   results[i].duplicate      ? " was there already"
                   : results[i].deduplicated ? " is in its place"
                                             : "");
    }
    add_flow(producer);
}

static void add_jobs(struct producer *producer)
{
    struct drover_job jobs[3] = {
        drover_job("welcome", "{\"to\":\"ann@example.org\"}"),
        drover_job("welcome", "{\"to\":\"bob@example.org\"}"),
        drover_job("digest", "{}"),
    };
    struct drover_error error;

    jobs[0].attempts = 5;
    jobs[0].backoff.kind = DROVER_BACKOFF_EXPONENTIAL;
    jobs[0].backoff.delay_ms = 2000;
    jobs[1].id = drover_text("welcome-bob"); /* only once, however often this program runs */
    jobs[2].delay_ms = 500;
    jobs[2].deduplication.id = drover_text("digest"); /* and only one of these at a time */
    if (drover_add(producer->queue, jobs, 3, on_added, producer, &error) < 0) {
        give_up(producer, "add", error.text);
        leave(producer);
    }
}

/* 1. The connection is ready, or has ended. */
static void on_state(struct drover_connection *connection, enum drover_state state, const char *why,
                     void *arg)
{
    struct producer *producer = arg;
    struct drover_error error;

    if (state == DROVER_CLOSED) {
        producer->connection = NULL;
        if (*why)
            give_up(producer, "Redis", why);
        if (producer->waiting == 0)
            leave(producer);
    }
    if (state != DROVER_READY)
        return;
    if (drover_queue_new(connection, NULL, producer->queue_name, &producer->queue, &error) < 0) {
        give_up(producer, "queue", error.text);
        drover_disconnect(connection);
        return;
    }
    add_jobs(producer);
}

int main(int argc, char **argv)
{
    struct producer producer = { .queue_name = argc > 2 ? argv[2] : "mail" };
    struct drover_connection_options options = {
        .url = argc > 1 ? argv[1] : "redis://localhost:6379",
        .password = getenv("REDIS_PASSWORD"),
        .client_name = "producer",
        .once = true, /* a program that runs to an end; a service leaves this out */
        .on_state = on_state,
        .arg = &producer,
    };
    struct drover_error error;

    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&producer.loop);
    if (drover_connect(&producer.loop, &options, &producer.connection, &error) < 0)
        give_up(&producer, "connect", error.text);
    uv_run(&producer.loop, UV_RUN_DEFAULT);
    uv_loop_close(&producer.loop);
    return producer.failed;
}
