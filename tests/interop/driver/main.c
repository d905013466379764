/* queue-driver SOCKET PREFIX QUEUE...: reads operations as JSON lines, answers one line each. Ends
 * at the end of its input. */
#include <stdarg.h>
#include <string.h>

#include "tests/interop/driver/driver.h"

struct world world;

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(70);
}

/* ---- the world */

uint64_t op_uint(const json_t *op, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(op, name));

    return value > 0 ? (uint64_t)value : 0;
}

const char *op_text(const json_t *op, const char *name)
{
    return json_string_value(json_object_get(op, name));
}

struct bytes op_bytes(const json_t *op, const char *name)
{
    const json_t *value = json_object_get(op, name);

    if (!json_is_string(value))
        return (struct bytes){ 0 };
    return (struct bytes){ json_string_value(value), json_string_length(value) };
}

struct world_queue *world_queue(const json_t *op)
{
    const char *name = op_text(op, "q");

    for (size_t i = 0; i < world.queues_count; i++) {
        if (!name || strcmp(world.queues[i].name, name) == 0)
            return &world.queues[i];
    }
    die("no queue %s", name);
}

static struct list *list_of(const char *name)
{
    for (size_t i = 0; i < LISTS_MAX; i++) {
        struct list *list = &world.lists[i];

        if (!list->name)
            list->name = strdup(name);
        if (list->name && strcmp(list->name, name) == 0)
            return list;
    }
    die("too many lists");
}

/* Room for one more; `items` is a pointer to the array's pointer. */
static void make_room(void *items, size_t count, size_t *cap, size_t size)
{
    void **array = items;
    void *larger;

    if (count < *cap)
        return;
    *cap = *cap ? *cap * 2 : 64;
    larger = realloc(*array, *cap * size);
    if (!larger)
        die("no memory");
    *array = larger;
}

void world_meet(const char *name, struct world_queue *queue, const char *id, size_t id_len)
{
    struct list *list = list_of(name);

    make_room(&list->jobs, list->count, &list->cap, sizeof(*list->jobs));
    list->jobs[list->count++] = (struct met){ queue, strndup(id, id_len) };
}

const struct met *world_pick(const json_t *op)
{
    const struct list *list = list_of(op_text(op, "of"));

    return list->count ? &list->jobs[op_uint(op, "pick") % list->count] : NULL;
}

struct held *world_pick_held(const json_t *op)
{
    return world.held_count ? &world.held[op_uint(op, "pick") % world.held_count] : NULL;
}

void world_hold(struct world_queue *queue, struct job *job)
{
    make_room(&world.held, world.held_count, &world.held_cap, sizeof(*world.held));
    world.held[world.held_count++] = (struct held){ queue, job };
}

void world_drop(struct held *held)
{
    size_t at = (size_t)(held - world.held);

    job_free(held->job);
    memmove(held, held + 1, (world.held_count - at - 1) * sizeof(*held));
    world.held_count--;
}

static void open_queue(const char *name)
{
    struct world_queue *queue = &world.queues[world.queues_count++];
    struct error err;

    queue->name = name;
    if (queue_new(world.prefix, name, connection_redis(), &queue->queue, &err) < 0)
        die("%s", err.text);
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        struct fetcher *fetcher = &queue->fetchers[i];

        *fetcher = (struct fetcher){ .lock_ms = 600000, .max_givebacks = 3 };
        (void)snprintf(fetcher->uuid, sizeof(fetcher->uuid), "worker-%c", (char)('A' + i));
        (void)snprintf(queue->worker_names[i], sizeof(queue->worker_names[i]), "%c",
                       (char)('A' + i));
        fetcher->metrics_points = 5;
        if (i == 0) /* worker A has a name, the others a limiter */
            fetcher->worker_name = queue->worker_names[i];
    }
}

/* Forgets all that was met: another sequence begins, beside that `major` of stock. */
static json_t *op_reset(const json_t *op)
{
    world.major = op_uint(op, "major");
    for (size_t i = 0; i < LISTS_MAX; i++) {
        struct list *list = &world.lists[i];

        for (size_t j = 0; j < list->count; j++)
            free(list->jobs[j].id);
        list->count = 0;
    }
    while (world.held_count > 0)
        world_drop(&world.held[0]);
    for (size_t i = 0; i < world.queues_count; i++) {
        for (size_t j = 0; j < WORKERS_MAX; j++) {
            struct fetcher *fetcher = &world.queues[i].fetchers[j];

            fetcher->calls = 0;
            /* Stock 5 also counts jobs that only carry their failure with them. */
            if (!fetcher->worker_name && world.major == 6)
                fetcher->limiter = (struct limiter){ .max = 3, .duration_ms = 600000 };
        }
    }
    return json_object();
}

static json_t *op_patch(const json_t *op)
{
    connection_patch(op_text(op, "script"), op_text(op, "from"), op_text(op, "to"));
    return json_object();
}

static void close_world(void)
{
    json_decref(op_reset(NULL));
    for (size_t i = 0; i < LISTS_MAX; i++) {
        free(world.lists[i].name);
        free(world.lists[i].jobs);
    }
    for (size_t i = 0; i < world.queues_count; i++)
        queue_free(world.queues[i].queue);
    free(world.held);
    connection_close();
}

/* ---- operations */

static const struct op_row ops_own[] = {
    { "reset", op_reset },
    { "patch", op_patch },
    { NULL, NULL },
};
static const struct op_row *const tables[] = { ops_own, ops_add, ops_work, ops_queue, ops_change };

static struct {
    bool told;
    enum redis_outcome outcome;
    char why[200];
    int64_t value;
} done;

json_t *answer_none(void)
{
    return json_pack("{s:b}", "none", 1);
}

void on_code(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    (void)queue;
    (void)arg;
    done.told = true;
    done.outcome = call->outcome;
    done.value = value;
    (void)snprintf(done.why, sizeof(done.why), "%s", call->why);
}

json_t *finish_code(int sent, const struct error *err)
{
    done.told = false;
    if (sent < 0)
        return json_pack("{s:s}", "refused", err->text);
    connection_run();
    if (!done.told)
        die("a callback did not run");
    if (done.outcome != REDIS_REPLY)
        return json_pack("{s:s}", "refused", done.why);
    return json_pack("{s:I}", "code", (json_int_t)done.value);
}

json_t *about(const struct met *job, json_t *answer)
{
    (void)json_object_set_new(answer, "id", json_string(job->id));
    return answer;
}

static json_t *run(const json_t *op)
{
    const char *name = op_text(op, "op");

    for (size_t i = 0; name && i < ARRAY_SIZE(tables); i++) {
        for (const struct op_row *row = tables[i]; row->name; row++) {
            if (strcmp(row->name, name) == 0)
                return row->run(op);
        }
    }
    die("no operation is called %s", name ? name : "(nothing)");
}

static void run_line(const char *line)
{
    json_error_t problem;
    json_t *op = json_loads(line, 0, &problem), *answer;
    char *text;

    if (!op)
        die("not JSON: %s: %s", problem.text, line);
    if (json_object_get(op, "now"))
        driver_now_ms = op_uint(op, "now");
    answer = run(op);
    text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    (void)printf("%s\n", text);
    (void)fflush(stdout); /* nobody reads it: the next read ends the program */
    free(text);
    json_decref(answer);
    json_decref(op);
}

int main(int argc, char **argv)
{
    _cleanup_(freep) char *line = NULL;
    size_t cap = 0;

    if (argc < 4 || argc > 3 + QUEUES_MAX)
        die("usage: queue-driver SOCKET PREFIX QUEUE...");
    connection_open(argv[1]);
    world.prefix = argv[2];
    for (int i = 3; i < argc; i++)
        open_queue(argv[i]);
    while (getline(&line, &cap, stdin) > 0)
        run_line(line);
    close_world();
    return 0;
}
