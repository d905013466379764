#include "supervisor/cli/unit_needs.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/text.h"
#include "supervisor/cli/unit_access.h"

#define RECOVERY_START_MS    15000 /* a second try of a worker, and giving back what is left */
#define DESCRIPTORS_OF_JOB   4     /* three pipes and the status of its start */
#define DESCRIPTORS_OF_CHILD 4     /* channel, pidfd, what is passed to it */
#define DESCRIPTORS_BASE     64

bool unit_path_is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

bool unit_hides_home(const char *path)
{
    return unit_path_is_below(path, "/home") || unit_path_is_below(path, "/root") ||
           unit_path_is_below(path, "/run/user");
}

bool unit_hides_tmp(const char *path)
{
    return unit_path_is_below(path, "/tmp") || unit_path_is_below(path, "/var/tmp");
}

/* ---- collecting */

static bool is_known(const struct unit_needs *needs, enum unit_need_kind kind, const char *text)
{
    for (size_t i = 0; i < needs->count; i++) {
        const struct unit_need *known = &needs->rows[i];

        if (known->kind == kind && known->text && strcmp(known->text, text) == 0)
            return true;
    }
    return false;
}

/* Takes `text` and `why`, which may be NULL for want of memory. */
static void add(struct unit_needs *needs, enum unit_need_kind kind, char *text, uint64_t number,
                char *why)
{
    struct unit_need *rows = NULL;

    if (why && !(text && is_known(needs, kind, text)))
        rows = reallocarray(needs->rows, needs->count + 1, sizeof(*rows));
    if (rows) {
        needs->rows = rows;
        needs->rows[needs->count++] =
            (struct unit_need){ .kind = kind, .text = text, .number = number, .why = why };
        return;
    }
    if (!why || !(text && is_known(needs, kind, text)))
        needs->out_of_memory = true;
    free(text);
    free(why);
}

/* Takes `text`. */
static void note(struct unit_needs *needs, char *text)
{
    char **notes = NULL;

    for (size_t i = 0; text && i < needs->notes_count; i++) {
        if (strcmp(needs->notes[i], text) == 0) {
            free(text);
            return;
        }
    }
    notes = text ? reallocarray(needs->notes, needs->notes_count + 1, sizeof(*notes)) : NULL;
    if (!notes) {
        needs->out_of_memory = true;
        free(text);
        return;
    }
    needs->notes = notes;
    needs->notes[needs->notes_count++] = text;
}

/* ---- paths */

struct search {
    struct unit_needs *needs;
    const struct config *config;
    const struct unit_user *user;
    const struct config_queue *queue;
    const struct config_type *type;
};

/* "queues.mail.handler" or "queues.mail.types.welcome.handler"; NULL: no memory. */
static char *handler_key(const struct search *search)
{
    if (search->type->name)
        return text_format("queues.%s.types.%s.handler", search->queue->name, search->type->name);
    return text_format("queues.%s.handler", search->queue->name);
}

/* The folder that a program lies in, since what it loads mostly lies beside it; the program alone
 * where that folder would be a whole home or temporary folder. */
static char *folder_to_show(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *folder = strndup(path, (size_t)(slash - path));
    static const char *const too_much[] = { "/home", "/root", "/tmp", "/var/tmp", "/run/user" };
    bool whole = !folder;

    for (size_t i = 0; !whole && i < ARRAY_SIZE(too_much); i++)
        whole = strcmp(folder, too_much[i]) == 0;
    if (!whole && strncmp(folder, "/home/", 6) == 0)
        whole = strchr(folder + 6, '/') == NULL;
    return whole ? strdup(path) : TAKE_PTR(folder);
}

static void look_at_program(const struct search *search, const char *key, const char *given)
{
    char real[PATH_MAX];
    const char *path = realpath(given, real) ? real : given;
    const char *denied_at = NULL;

    if (access(path, F_OK) < 0 && errno == ENOENT) {
        /* Not bound either: systemd starts no unit with paths that are not there. */
        note(search->needs, text_format("%s: %s does not exist", key, given));
        return;
    }
    if (search->user->known &&
        unit_access(search->user, path, UNIT_MAY_READ, &denied_at) == -EACCES)
        note(search->needs, text_format("%s: user %s may not use %s (it fails at %s)", key,
                                        search->user->name, path, denied_at));
    if (unit_hides_home(path) || unit_hides_tmp(path))
        add(search->needs, UNIT_NEED_READ, folder_to_show(path), 0,
            text_format("%s: %s lies where the sandbox hides it", key, given));
}

static void look_at_directory(const struct search *search, const char *key, const char *directory)
{
    const struct unit_user *user = search->user;
    const char *denied_at = NULL;

    if (access(directory, F_OK) < 0 && errno == ENOENT) {
        note(search->needs, text_format("%s.directory: %s does not exist; systemd refuses to start "
                                        "a unit with paths that are not there",
                                        key, directory));
        return;
    }
    if (unit_hides_home(directory) || unit_hides_tmp(directory)) {
        add(search->needs, UNIT_NEED_WRITE, strdup(directory), 0,
            text_format("%s.directory: lies where the sandbox hides it", key));
        return;
    }
    if (unit_access(user, directory, UNIT_MAY_WRITE, &denied_at) == 0)
        add(search->needs, UNIT_NEED_WRITABLE, strdup(directory), 0,
            text_format("%s.directory: user %s may write there, the sandbox must allow it", key,
                        user->name));
    else if (!user->known)
        note(search->needs, text_format("%s.directory: %s is read-only in the sandbox; "
                                        "ReadWritePaths=%s if the handler writes there",
                                        key, directory, directory));
}

/* An argument may look like a path and be none (/api/v1): what lies in a hidden folder is taken for
 * one, all else when it is there. */
static bool is_file_argument(const char *argument)
{
    return argument[0] == '/' &&
           (unit_hides_home(argument) || unit_hides_tmp(argument) || access(argument, F_OK) == 0);
}

/* Whether the handler takes the rights of the drop-in users.conf. Limits are not looked at: whether
 * one is raised hangs on what the unit has; droverd tells it at its start. */
static void look_at_rights(const struct search *search, const char *key)
{
    const struct config_handler *handler = &search->type->handler;
    const char *worker = search->config->user ? search->config->user->name : UNIT_USER;
    bool lower_nice = handler->nice != CONFIG_NICE_INHERIT && handler->nice < 0;

    if (handler->user && strcmp(handler->user->name, worker) != 0)
        add(search->needs, UNIT_NEED_USERS, strdup(worker), 0,
            text_format("%s.user: %s is not the user of the workers", key, handler->user->name));
    else if (lower_nice)
        add(search->needs, UNIT_NEED_USERS, strdup(worker), 0,
            text_format("%s.nice: %d is lower than the unit's", key, handler->nice));
}

/* A handler of another user is that user to the file system. */
static void look_at_paths(const struct search *given, const char *key)
{
    const struct config_handler *handler = &given->type->handler;
    struct search search = *given;
    struct unit_user other = { 0 };

    if (handler->user) {
        unit_user_init(&other, handler->user->name);
        search.user = &other;
    }
    for (size_t i = 0; handler->argv && handler->argv[i]; i++) {
        if (i == 0 || is_file_argument(handler->argv[i]))
            look_at_program(&search, key, handler->argv[i]);
    }
    if (handler->argv && handler->directory && strcmp(handler->directory, "/") != 0 &&
        strcmp(handler->directory, "/tmp") != 0 && strcmp(handler->directory, "/var/tmp") != 0)
        look_at_directory(&search, key, handler->directory);
    unit_user_done(&other);
}

static void look_at_type(const struct search *search)
{
    _cleanup_(freep) char *key = handler_key(search);

    if (!key) {
        search->needs->out_of_memory = true;
        return;
    }
    look_at_paths(search, key);
    look_at_rights(search, key);
}

static void look_at_handlers(struct unit_needs *needs, const struct config *config,
                             const struct unit_user *user)
{
    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];
        struct search search = { needs, config, user, queue, &queue->fallback };

        look_at_type(&search);
        for (size_t k = 0; k < queue->types_count; k++) {
            search.type = &queue->types[k];
            look_at_type(&search);
        }
    }
}

static void look_at_sockets(struct unit_needs *needs, const struct config *config)
{
    for (size_t i = 0; i < config->redis_count; i++) {
        const struct config_redis *redis = &config->redis[i];

        if (redis->path && (unit_hides_home(redis->path) || unit_hides_tmp(redis->path)))
            add(needs, UNIT_NEED_READ, folder_to_show(redis->path), 0,
                text_format("redis.%s.url: its socket lies where the sandbox hides it",
                            redis->name));
    }
}

/* ---- numbers */

static uint64_t descriptors_of(const struct config *config)
{
    uint64_t most = 0, processes = 0;

    for (size_t i = 0; i < config->queues_count; i++) {
        const struct config_queue *queue = &config->queues[i];
        uint64_t share = (queue->concurrency + queue->processes - 1) / queue->processes;

        processes += queue->processes;
        if (share > most)
            most = share;
    }
    /* Twice the processes: while all of them are being replaced. */
    if (processes * 2 * DESCRIPTORS_OF_CHILD > most * DESCRIPTORS_OF_JOB)
        return DESCRIPTORS_BASE + processes * 2 * DESCRIPTORS_OF_CHILD;
    return DESCRIPTORS_BASE + most * DESCRIPTORS_OF_JOB;
}

int unit_needs_find(const struct config *config, const struct config_report *report,
                    const char *user_name, struct unit_needs *out)
{
    struct unit_user user;

    *out = (struct unit_needs){ 0 };
    unit_user_init(&user, user_name);
    look_at_handlers(out, config, &user);
    look_at_sockets(out, config);
    unit_user_done(&user);
    for (size_t i = 0; i < report->credentials_count; i++)
        add(out, UNIT_NEED_CREDENTIAL, strdup(report->credentials[i]), 0,
            text_format("cred:%s stands in the configuration", report->credentials[i]));
    add(out, UNIT_NEED_STOP, NULL, config_stop_budget_ms(config->drain_timeout_ms),
        strdup("stop.drain_timeout and the graces after it"));
    add(out, UNIT_NEED_START, NULL, config->start_timeout_ms + RECOVERY_START_MS,
        strdup("start.timeout, and a second try"));
    add(out, UNIT_NEED_DESCRIPTORS, NULL, descriptors_of(config),
        strdup("pipes of the jobs that one worker process runs at once, or channels of all"));
    return out->out_of_memory ? -ENOMEM : 0;
}

void unit_needs_done(struct unit_needs *needs)
{
    for (size_t i = 0; i < needs->count; i++) {
        free(needs->rows[i].text);
        free(needs->rows[i].why);
    }
    for (size_t i = 0; i < needs->notes_count; i++)
        free(needs->notes[i]);
    free(needs->rows);
    free(needs->notes);
    *needs = (struct unit_needs){ 0 };
}
