/* Connections and queues of the installed library. */
#include <errno.h>
#include <string.h>

#include "common/client/client.h"
#include "common/redis/redis.h"

#define TIMEOUT_DEFAULT_MS 5000
#define TIMEOUT_MAX_MS     ((uint64_t)24 * 3600 * 1000)

const char *drover_version(void)
{
    return DROVER_VERSION;
}

int client_error(const struct error *err, struct drover_error *error)
{
    _Static_assert(sizeof(error->text) == sizeof(err->text), "one fits into the other");
    if (error) {
        error->code = err->code;
        memcpy(error->text, err->text, sizeof(error->text));
    }
    return err->code;
}

struct drover_answer client_answer(const struct call_result *call)
{
    switch (call->outcome) {
    case REDIS_REPLY:
        return (struct drover_answer){ DROVER_DONE, "" };
    case REDIS_UNREPLICATED:
        return (struct drover_answer){ DROVER_UNREPLICATED, call->why };
    case REDIS_REFUSED:
        return (struct drover_answer){ DROVER_REFUSED, call->why };
    case REDIS_UNKNOWN:
    default:
        return (struct drover_answer){ DROVER_UNKNOWN, call->why };
    }
}

/* ---- connections ---- */

struct client_place *client_place_ref(struct client_place *place)
{
    place->users++;
    return place;
}

/* config_redis_done would bring the whole table of keys into the library. */
void client_place_unref(struct client_place *place)
{
    struct config_redis *endpoint;

    if (!place || --place->users > 0)
        return;
    endpoint = &place->endpoint;
    if (endpoint->password)
        explicit_bzero(endpoint->password, strlen(endpoint->password));
    config_redis_forget_place(endpoint);
    free(endpoint->password);
    free(endpoint->username);
    free(endpoint->name);
    free(place);
}

/* Once it is closed and its last queue is gone. */
static void connection_free_unused(struct drover_connection *connection)
{
    if (!connection->closed || connection->queues)
        return;
    client_place_unref(connection->place);
    free(connection->client_name);
    free(connection);
}

static void tell(struct drover_connection *connection, enum drover_state state, const char *why)
{
    if (connection->on_state)
        connection->on_state(connection, state, why, connection->arg);
}

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct drover_connection *connection = arg;

    (void)redis;
    switch (state) {
    case REDIS_READY:
        tell(connection, DROVER_READY, why);
        break;
    case REDIS_WAITING:
        tell(connection, DROVER_LOST, why);
        break;
    case REDIS_CLOSED:
        connection->redis = NULL;
        for (struct drover_queue *queue = connection->queues; queue; queue = queue->next)
            queue_set_redis(queue->engine, NULL);
        tell(connection, DROVER_CLOSED, why);
        connection->closed = true;
        connection_free_unused(connection);
        break;
    case REDIS_CONNECTING: /* never told */
    default:
        break;
    }
}

static int fill_endpoint(struct drover_connection *connection,
                         const struct drover_connection_options *options, struct error *err)
{
    struct config_redis *endpoint = &connection->place->endpoint;

    if (!options->url)
        return error_set(err, -EINVAL, "the connection has no url");
    if (options->connect_timeout_ms > TIMEOUT_MAX_MS ||
        options->command_timeout_ms > TIMEOUT_MAX_MS)
        return error_set(err, -EINVAL, "a timeout of the connection is over a day");
    if (config_parse_redis_url(options->url, endpoint, err) < 0)
        return error_wrap(err, "url");
    endpoint->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : TIMEOUT_DEFAULT_MS;
    endpoint->command_timeout_ms =
        options->command_timeout_ms > 0 ? options->command_timeout_ms : TIMEOUT_DEFAULT_MS;
    endpoint->name = strdup("url");
    if (options->password)
        endpoint->password = strdup(options->password);
    if (options->client_name)
        connection->client_name = strdup(options->client_name);
    if (!endpoint->name || (options->password && !endpoint->password) ||
        (options->client_name && !connection->client_name))
        return error_set(err, -ENOMEM, "allocate a connection");
    return 0;
}

int drover_connect(uv_loop_t *loop, const struct drover_connection_options *options,
                   struct drover_connection **out_connection, struct drover_error *error)
{
    struct drover_connection *connection = calloc(1, sizeof(*connection));
    struct error err = { 0 };
    struct redis_options redis_options;
    int r;

    if (!connection) {
        (void)error_set(&err, -ENOMEM, "allocate a connection"); /* the code is returned below */
        return client_error(&err, error);
    }
    connection->loop = loop;
    connection->on_state = options->on_state;
    connection->arg = options->arg;
    connection->place = calloc(1, sizeof(*connection->place));
    if (connection->place) {
        connection->place->users = 1;
        r = fill_endpoint(connection, options, &err);
    } else {
        r = error_set(&err, -ENOMEM, "allocate a connection");
    }
    if (r == 0) {
        redis_options = (struct redis_options){ .endpoint = &connection->place->endpoint,
                                                .client_name = connection->client_name,
                                                .scripts = queue_add_scripts,
                                                .once = options->once,
                                                .on_state = on_state,
                                                .arg = connection };
        r = redis_open(loop, &redis_options, &connection->redis, &err);
    }
    if (r < 0) {
        connection->closed = true;
        connection_free_unused(connection);
        return client_error(&err, error);
    }
    *out_connection = connection;
    return 0;
}

void drover_disconnect(struct drover_connection *connection)
{
    if (connection && connection->redis)
        redis_close(connection->redis);
}

/* ---- queues ---- */

int drover_queue_new(struct drover_connection *connection, const char *prefix, const char *name,
                     struct drover_queue **out_queue, struct drover_error *error)
{
    struct drover_queue *queue = calloc(1, sizeof(*queue));
    struct error err = { 0 };
    int r;

    if (!queue) {
        (void)error_set(&err, -ENOMEM, "allocate a queue"); /* the code is returned below */
        return client_error(&err, error);
    }
    queue->connection = connection;
    r = queue_new(prefix ? prefix : "bull", name, connection->redis, &queue->engine, &err);
    if (r < 0) {
        free(queue);
        return client_error(&err, error);
    }
    queue->next = connection->queues;
    connection->queues = queue;
    *out_queue = queue;
    return 0;
}

void drover_queue_free(struct drover_queue *queue)
{
    struct drover_connection *connection = queue ? queue->connection : NULL;
    struct drover_queue **place;

    if (!queue)
        return;
    for (place = &connection->queues; *place != queue; place = &(*place)->next)
        ;
    *place = queue->next;
    queue_free(queue->engine);
    free(queue);
    connection_free_unused(connection);
}

void drover_queue_wait_replicas(struct drover_queue *queue, unsigned int replicas,
                                uint64_t timeout_ms)
{
    struct redis_wait wait = { .replicas = replicas,
                               .timeout_ms = timeout_ms > 0 ? timeout_ms : 1 };

    queue_set_wait(queue->engine, replicas > 0 ? &wait : NULL);
}
