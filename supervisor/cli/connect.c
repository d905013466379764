#include "supervisor/cli/connect.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/text.h"
#include "supervisor/cli/instance.h"
#include "supervisor/cli/output.h"

#define PASSWORD_BYTES_MAX ((size_t)4096)

/* ---- the target ---- */

void cli_print_findings(const struct config_report *report)
{
    struct buf out = BUF_INIT((size_t)8 * 1024 * 1024);

    for (size_t i = 0; i < report->count; i++) {
        const struct config_finding *finding = &report->findings[i];

        output_text(&out, finding->file, strlen(finding->file));
        if (finding->line > 0)
            (void)buf_printf(&out, ":%u:%u", finding->line, finding->column);
        (void)buf_printf(&out, ": %s: ", finding->warning ? "warning" : "error");
        if (finding->key && *finding->key) {
            output_text(&out, finding->key, strlen(finding->key));
            (void)buf_append_text(&out, ": ");
        }
        output_lines(&out, finding->text, strlen(finding->text), 4);
        (void)buf_append_char(&out, '\n');
    }
    (void)fputs(buf_text(&out), stderr);
    buf_done(&out);
}

static int load_config(struct cli_target *target, const char *file)
{
    struct config_report report;
    int r = config_load(file, NULL, 0, &target->config, &report);

    if (r < 0 && report.count == 0)
        output_error("read %s: %s", file, strerror(-r));
    /* Warnings are the business of `drover check`. */
    if (r < 0)
        cli_print_findings(&report);
    config_report_done(&report);
    target->file = file;
    return r < 0 ? EXIT_CODE_CONFIG : 0;
}

/* Takes the first line of the file as the password. */
static int read_password_file(const char *path, char **out)
{
    struct buf text = BUF_INIT(PASSWORD_BYTES_MAX);
    struct error err = { 0 };

    if (fd_read_file(path, &text, &err) < 0) {
        output_error("--password-file: %s", err.text);
        buf_done(&text);
        return EXIT_CODE_FAILED;
    }
    *out = strndup(buf_text(&text), strcspn(buf_text(&text), "\r\n"));
    if (text.data)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return *out ? 0 : EXIT_CODE_FAILED;
}

static int add_password(struct config_redis *redis, const char *file)
{
    const char *given = getenv("DROVER_REDIS_PASSWORD");

    if (file)
        return read_password_file(file, &redis->password);
    if (!given || !*given)
        return 0;
    redis->password = strdup(given);
    return redis->password ? 0 : EXIT_CODE_FAILED;
}

static int use_url(struct cli_target *target, const char *command, const struct cli_where *where)
{
    struct error err = { 0 };

    if (config_redis_init(&target->own, "--redis", where->redis, &err) < 0)
        return cli_usage_error(command, "--redis: %s", err.text);
    if (where->prefix) {
        char *prefix = strdup(where->prefix);

        if (!prefix)
            return EXIT_CODE_FAILED;
        free(target->own.prefix);
        target->own.prefix = prefix;
    }
    return add_password(&target->own, where->password_file);
}

int cli_target_init(struct cli_target *target, const char *command, const struct cli_where *where)
{
    const char *file = where->config ? where->config : instance_config_file();

    *target = (struct cli_target){ 0 };
    /* hiredis writes with write(2): a server that goes away must not end us. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (where->redis && where->config)
        return cli_usage_error(command, "give either --config or --redis");
    if (!where->redis && (where->prefix || where->password_file))
        return cli_usage_error(command,
                               "--prefix and --password-file go with --redis; a configuration has "
                               "its own");
    if (where->redis)
        return use_url(target, command, where);
    if (!where->config && access(file, F_OK) < 0) {
        output_error("there is no %s; name a configuration with -c FILE, or a Redis with --redis "
                     "URL",
                     file);
        return EXIT_CODE_CONFIG;
    }
    return load_config(target, file);
}

void cli_target_done(struct cli_target *target)
{
    config_free(TAKE_PTR(target->config));
    config_redis_done(&target->own);
}

static void unknown_queue(const struct cli_target *target, const char *name)
{
    const struct config *config = target->config;
    const char **names = calloc(config->queues_count + 1, sizeof(*names));
    const char *nearest = NULL;

    for (size_t i = 0; names && i < config->queues_count; i++)
        names[i] = config->queues[i].name;
    if (names)
        nearest = text_nearest(name, names, config->queues_count);
    if (nearest)
        output_error("queue %s is not in %s; did you mean %s?", name, target->file, nearest);
    else
        output_error("queue %s is not in %s; add it there, or name its Redis with --redis URL",
                     name, target->file);
    free(names);
}

int cli_target_find(const struct cli_target *target, const char *queue_name,
                    const struct config_redis **out_endpoint, const struct config_queue **out_queue)
{
    const struct config_queue *queue;

    if (!target->config) {
        *out_endpoint = &target->own;
        *out_queue = NULL;
        return 0;
    }
    queue = config_find_queue(target->config, queue_name);
    if (!queue) {
        unknown_queue(target, queue_name);
        return EXIT_CODE_FAILED;
    }
    *out_endpoint = queue->redis;
    *out_queue = queue;
    return 0;
}

int cli_target_same(const struct cli_target *target, const struct config_redis *endpoint,
                    const char *other, const char *queue_name)
{
    const struct config_redis *found;
    const struct config_queue *queue;
    int code = cli_target_find(target, queue_name, &found, &queue);

    if (code != 0 || found == endpoint)
        return code;
    output_error("queue %s is in Redis \"%s\", queue %s in \"%s\": jobs that have to do with each "
                 "other must be in one",
                 queue_name, found->name, other, endpoint->name);
    return EXIT_CODE_FAILED;
}

/* ---- telling failures ---- */

/* "file:line:column" of an endpoint's URL; malloc'ed, NULL when it is not known. */
static char *origin_of(const struct cli_target *target, const struct config_redis *endpoint)
{
    _cleanup_(buf_done) struct buf text = BUF_INIT((size_t)16 * 1024 * 1024);
    _cleanup_(freep) char *key = text_format("redis.%s.url", endpoint->name);
    json_t *all, *from;
    char *origin = NULL;

    if (!target->config || !key || config_print_effective_json(target->config, &text, NULL) < 0)
        return NULL;
    all = json_loadb(buf_text(&text), text.len, 0, NULL);
    from = json_object_get(json_object_get(all, key), "from");
    if (json_is_string(from) && strchr(json_string_value(from), ':'))
        origin = strdup(json_string_value(from));
    json_decref(all);
    return origin;
}

/* " (unix:///run/redis.sock, from /etc/drover/drover.yaml:3:10)" */
static void print_endpoint(const struct cli_session *session, char *out, size_t out_bytes)
{
    _cleanup_(freep) char *origin = origin_of(session->target, session->endpoint);
    const char *file = session->target->config ? session->target->file : NULL;

    (void)snprintf(out, out_bytes, "Redis at %s, from %s", session->endpoint->url,
                   origin ? origin
                   : file ? file
                          : "--redis"); /* may be cut */
}

static const char *advice(enum redis_error_class class)
{
    switch (class) {
    case REDIS_CLASS_DENIED:
        return "\ncheck the user, its password (DROVER_REDIS_PASSWORD, --password-file, or "
               "`password:` in the configuration) and its rights";
    case REDIS_CLASS_READONLY:
        return "\nthis server is a replica; name the one that takes writes";
    case REDIS_CLASS_MEMORY:
        return "\nthe server is full (maxmemory): nothing was written; make room or raise it";
    case REDIS_CLASS_DISK:
        return "\nthe server cannot save: look at its log and its disk";
    case REDIS_CLASS_LATER:
        return "\nthe server will recover by itself: try again in a moment";
    case REDIS_CLASS_CLIENTS:
        return "\nthe server has as many clients as it takes (maxclients)";
    case REDIS_CLASS_NONE:
    case REDIS_CLASS_NOSCRIPT:
    case REDIS_CLASS_REDIRECT:
    case REDIS_CLASS_OTHER:
    default:
        return "";
    }
}

int cli_call_failed(const struct cli_session *session, const struct call_result *call,
                    const char *what)
{
    char endpoint[512];

    print_endpoint(session, endpoint, sizeof(endpoint));
    if (call->outcome == REDIS_UNKNOWN) {
        output_error("%s: the connection to %s was lost after the request was sent (%s)\nit may "
                     "have been done or not: look before you repeat it",
                     what, endpoint, call->why);
        return EXIT_CODE_UNAVAILABLE;
    }
    if (call->outcome == REDIS_UNREPLICATED) {
        output_error("%s: %s\na failover may forget it: look at the replicas (INFO replication)",
                     what, call->why);
        return EXIT_CODE_UNAVAILABLE;
    }
    output_error("%s: %s refused: %s%s", what, endpoint, call->why, advice(call->error_class));
    return call->error_class == REDIS_CLASS_OTHER ? EXIT_CODE_FAILED : EXIT_CODE_UNAVAILABLE;
}

int cli_call_refused(const struct cli_session *session, const struct error *err, const char *what)
{
    char endpoint[512];

    if (err->code != -ENOTCONN) {
        output_error("%s: %s", what, err->text);
        return EXIT_CODE_FAILED;
    }
    print_endpoint(session, endpoint, sizeof(endpoint));
    output_error("%s: the connection to %s is lost: %s", what, endpoint,
                 *session->why ? session->why : err->text);
    return EXIT_CODE_UNAVAILABLE;
}

/* ---- the session ---- */

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct cli_session *session = arg;

    (void)redis;
    session->ready = state == REDIS_READY;
    if (*why)
        (void)snprintf(session->why, sizeof(session->why), "%s", why); /* may be cut */
    if (state == REDIS_CLOSED)
        session->redis = NULL;
}

static void tell_unreachable(const struct cli_session *session)
{
    char endpoint[512];

    print_endpoint(session, endpoint, sizeof(endpoint));
    output_error("cannot use %s: %s\nis it running, and is this the right address?", endpoint,
                 *session->why ? session->why : "the connection was closed");
}

int cli_session_open(struct cli_session *session, const struct cli_target *target,
                     const struct config_redis *endpoint)
{
    struct redis_options options = { .endpoint = endpoint,
                                     .scripts = queue_add_scripts,
                                     .once = true,
                                     .on_state = on_state,
                                     .arg = session };
    struct error err = { 0 };

    *session = (struct cli_session){ .target = target, .endpoint = endpoint };
    if (uv_loop_init(&session->loop) < 0) {
        output_error("start the event loop: no memory or descriptors");
        return EXIT_CODE_FAILED;
    }
    session->loop_open = true;
    if (redis_open(&session->loop, &options, &session->redis, &err) < 0) {
        (void)snprintf(session->why, sizeof(session->why), "%.500s", err.text);
        session->redis = NULL;
    }
    while (session->redis && !session->ready)
        (void)uv_run(&session->loop, UV_RUN_ONCE);
    if (session->ready)
        return 0;
    tell_unreachable(session);
    return EXIT_CODE_UNAVAILABLE;
}

void cli_session_close(struct cli_session *session)
{
    if (!session->loop_open)
        return;
    if (session->redis)
        redis_close(session->redis);
    (void)uv_run(&session->loop, UV_RUN_DEFAULT); /* until the last handle is closed */
    (void)uv_loop_close(&session->loop);
    session->loop_open = false;
}

void cli_session_wait(struct cli_session *session, const bool *done)
{
    while (!*done)
        (void)uv_run(&session->loop, UV_RUN_ONCE);
}

static void on_timer(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void cli_session_sleep(struct cli_session *session, uint64_t ms)
{
    uv_timer_t timer;
    bool over = false;

    (void)uv_timer_init(&session->loop, &timer); /* cannot fail */
    timer.data = &over;
    (void)uv_timer_start(&timer, on_timer, ms, 0);
    while (!over && session->redis)
        (void)uv_run(&session->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&timer);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&session->loop, UV_RUN_NOWAIT); /* the close; `timer` may leave after it */
}
