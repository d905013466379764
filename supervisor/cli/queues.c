#include "supervisor/cli/queues.h"

#include <errno.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/output.h"

#define QUEUES_MAX 10000 /* of one prefix; more are not looked for */

void cli_names_done(struct cli_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(TAKE_PTR(names->items));
    names->count = 0;
}

bool cli_names_add(struct cli_names *names, const char *name, size_t len)
{
    char **items, *copy;

    for (size_t i = 0; i < names->count; i++) {
        if (strncmp(names->items[i], name, len) == 0 && names->items[i][len] == '\0')
            return true;
    }
    copy = strndup(name, len);
    items = copy ? reallocarray(names->items, names->count + 1, sizeof(*items)) : NULL;
    if (!items) {
        free(copy);
        return false;
    }
    names->items = items;
    names->items[names->count++] = copy;
    return true;
}

/* ---- one plain command ---- */

struct ask {
    void (*on_reply)(const redisReply *reply, void *arg);
    void *arg;
    struct cli_session *session;
    const char *what;
    bool done;
    int code;
    bool denied_is_fine; /* the server may refuse: code 0, no reply */
    size_t master;       /* of a cluster: which is asked */
};

static void on_asked(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct ask *ask = arg;
    struct call_result call = { .outcome = outcome, .why = why };

    (void)redis;
    ask->done = true;
    if (outcome == REDIS_REPLY) {
        ask->on_reply(reply, ask->arg);
        return;
    }
    if (outcome == REDIS_REFUSED)
        call.error_class = redis_error_class(reply);
    if (outcome == REDIS_UNKNOWN || !ask->denied_is_fine)
        ask->code = cli_call_failed(ask->session, &call, ask->what);
}

static int run_ask(struct ask *ask, int argc, const char *const *argv)
{
    struct error err = { 0 };

    if (!ask->session->redis) {
        (void)error_set(&err, -ENOTCONN, "not connected");
        return cli_call_refused(ask->session, &err, ask->what);
    }
    if (redis_command_at(ask->session->redis, ask->master, argc, argv, NULL, 0, on_asked, ask,
                         &err) < 0)
        return cli_call_refused(ask->session, &err, ask->what);
    cli_session_wait(ask->session, &ask->done);
    return ask->code;
}

/* ---- queues ---- */

struct scan {
    struct cli_names *out;
    size_t prefix_len; /* of "<prefix>:" */
    char cursor[32];
    bool no_memory;
};

/* "<prefix>:<queue>:meta" */
static void take_key(struct scan *scan, const redisReply *key)
{
    size_t tail = strlen(":meta");

    if (key->type != REDIS_REPLY_STRING || key->len <= scan->prefix_len + tail)
        return;
    if (memchr(key->str + scan->prefix_len, ':', key->len - scan->prefix_len - tail))
        return; /* a longer prefix's queue */
    if (!cli_names_add(scan->out, key->str + scan->prefix_len, key->len - scan->prefix_len - tail))
        scan->no_memory = true;
}

static void on_scanned(const redisReply *reply, void *arg)
{
    struct scan *scan = arg;

    (void)snprintf(scan->cursor, sizeof(scan->cursor), "0");
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return;
    (void)snprintf(scan->cursor, sizeof(scan->cursor), "%s", reply->element[0]->str);
    for (size_t i = 0; i < reply->element[1]->elements; i++)
        take_key(scan, reply->element[1]->element[i]);
}

/* The prefix as a literal part of a glob pattern. */
static char *glob_of(const char *prefix)
{
    struct buf out = BUF_INIT(4096);

    for (; *prefix; prefix++) {
        if (strchr("*?[]\\", *prefix))
            (void)buf_append_char(&out, '\\');
        (void)buf_append_char(&out, *prefix);
    }
    (void)buf_append_text(&out, ":*:meta");
    if (out.failed) {
        buf_done(&out);
        return NULL;
    }
    return buf_take(&out);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The keys of one master. */
static int scan_master(struct cli_session *session, size_t master, const char *pattern,
                       struct scan *scan)
{
    (void)snprintf(scan->cursor, sizeof(scan->cursor), "0");
    do {
        const char *argv[] = { "SCAN", scan->cursor, "MATCH", pattern, "COUNT", "1000" };
        struct ask ask = { .on_reply = on_scanned,
                           .arg = scan,
                           .session = session,
                           .what = "look for queues",
                           .master = master };
        int code = run_ask(&ask, ARRAY_SIZE(argv), argv);

        if (code != 0)
            return code;
    } while (strcmp(scan->cursor, "0") != 0 && !scan->no_memory && scan->out->count < QUEUES_MAX);
    return scan->no_memory ? EXIT_CODE_FAILED : 0;
}

static size_t masters_of(const struct cli_session *session)
{
    return session->redis ? redis_masters_count(session->redis) : 1;
}

static int scan_queues(struct cli_session *session, struct cli_names *out)
{
    const char *prefix = session->endpoint->prefix;
    _cleanup_(freep) char *pattern = glob_of(prefix);
    struct scan scan = { .out = out, .prefix_len = strlen(prefix) + 1 };
    int code = pattern ? 0 : EXIT_CODE_FAILED;

    for (size_t i = 0; code == 0 && i < masters_of(session); i++)
        code = scan_master(session, i, pattern, &scan);
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), by_name);
    return code;
}

int cli_find_queues(struct cli_session *session, struct cli_names *out)
{
    const struct config *config = session->target->config;

    if (!config)
        return scan_queues(session, out);
    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];

        if (queue->redis == session->endpoint &&
            !cli_names_add(out, queue->name, strlen(queue->name)))
            return EXIT_CODE_FAILED;
    }
    return 0;
}

/* ---- queues that were named ---- */

int cli_check_names(const struct cli_target *target, const char *const *names, size_t names_count)
{
    for (size_t i = 0; i < names_count; i++) {
        const struct config_redis *endpoint;
        const struct config_queue *queue;
        int code = cli_target_find(target, names[i], &endpoint, &queue);

        if (code != 0)
            return code;
    }
    return 0;
}

/* Whether the queue of that name is of this endpoint; with --redis all are. */
static bool belongs(const struct cli_target *target, const struct config_redis *endpoint,
                    const char *name)
{
    const struct config_queue *queue;

    if (!target->config)
        return true;
    queue = config_find_queue(target->config, name);
    return queue && queue->redis == endpoint;
}

bool cli_is_wanted(const struct cli_target *target, const char *const *names, size_t names_count,
                   const struct config_redis *endpoint)
{
    const struct config *config = target->config;

    for (size_t i = 0; i < names_count; i++) {
        if (belongs(target, endpoint, names[i]))
            return true;
    }
    for (size_t i = 0; names_count == 0 && i < config->queues_count; i++) {
        if (config->queues[i].redis == endpoint)
            return true;
    }
    return false;
}

int cli_pick_queues(struct cli_session *session, const char *const *names, size_t names_count,
                    struct cli_names *out)
{
    if (names_count == 0)
        return cli_find_queues(session, out);
    for (size_t i = 0; i < names_count; i++) {
        if (belongs(session->target, session->endpoint, names[i]) &&
            !cli_names_add(out, names[i], strlen(names[i])))
            return EXIT_CODE_FAILED;
    }
    return 0;
}

/* ---- workers ---- */

/* Behind the lists of the masters before. */
static void on_clients(const redisReply *reply, void *arg)
{
    struct cli_clients *clients = arg;
    char *all = NULL;

    if (reply->type != REDIS_REPLY_STRING)
        return;
    all = text_format("%s%s", clients->list ? clients->list : "", reply->str);
    if (!all)
        return;
    free(clients->list);
    clients->list = all;
}

int cli_list_clients(struct cli_session *session, struct cli_clients *out)
{
    const char *argv[] = { "CLIENT", "LIST" };
    int code = 0;

    *out = (struct cli_clients){ 0 };
    for (size_t i = 0; code == 0 && i < masters_of(session); i++) {
        struct ask ask = { .on_reply = on_clients,
                           .arg = out,
                           .session = session,
                           .what = "list clients",
                           .denied_is_fine = true,
                           .master = i };

        code = run_ask(&ask, ARRAY_SIZE(argv), argv);
    }
    return code;
}

uint64_t cli_count_workers(const struct cli_clients *clients, const char *base)
{
    size_t base_len = strlen(base);
    uint64_t count = 0;

    for (const char *at = clients->list; at && (at = strstr(at, " name=")); at++) {
        const char *name = at + strlen(" name=");

        if (strncmp(name, base, base_len) != 0)
            continue;
        name += base_len;
        count += *name == ' ' || strncmp(name, ":w:", 3) == 0;
    }
    return count;
}
