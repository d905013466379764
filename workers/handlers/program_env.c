#include "workers/handlers/program_env.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/text.h"

#define SYSTEM_ROWS_MAX 5

static size_t count_rows(char *const *rows)
{
    size_t count = 0;

    while (rows && rows[count])
        count++;
    return count;
}

int program_env_init(struct program_env *env, const struct config_handler *config, size_t own_most)
{
    const struct config_user *user = config->user;
    const char *home = user ? user->home : getenv("HOME");

    *env = (struct program_env){ .configured = config->env,
                                 .room = SYSTEM_ROWS_MAX + own_most + count_rows(config->env) };
    env->rows = calloc(env->room + 1, sizeof(*env->rows));
    if (!env->rows)
        return -ENOMEM;
    program_env_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    program_env_add(env, "LANG=C.UTF-8");
    program_env_add(env, "HOME=%s", home ? home : "/");
    if (user) {
        program_env_add(env, "USER=%s", user->name);
        program_env_add(env, "LOGNAME=%s", user->name);
    }
    env->system = env->count;
    return 0;
}

void program_env_add(struct program_env *env, const char *format, ...)
{
    va_list args;
    char *row = NULL;

    assert(env->count < env->room);
    va_start(args, format);
    if (vasprintf(&row, format, args) < 0)
        row = NULL;
    va_end(args);
    env->rows[env->count++] = row;
}

/* Where the name of `row` stands already; -1 when it does not. */
static long find_row(const struct program_env *env, const char *row)
{
    size_t name_len = strcspn(row, "=") + 1;

    for (size_t i = 0; i < env->count; i++) {
        if (env->rows[i] && strncmp(env->rows[i], row, name_len) == 0)
            return (long)i;
    }
    return -1;
}

static void replace_row(struct program_env *env, size_t index, const char *row)
{
    free(env->rows[index]);
    env->rows[index] = text_format("%s", row);
}

int program_env_finish(struct program_env *env)
{
    size_t own = env->count;

    for (size_t i = 0; env->configured && env->configured[i]; i++) {
        long found = find_row(env, env->configured[i]);

        if (found < 0)
            program_env_add(env, "%s", env->configured[i]);
        else if ((size_t)found < env->system || (size_t)found >= own)
            replace_row(env, (size_t)found, env->configured[i]);
    }
    for (size_t i = 0; i < env->count; i++) {
        if (!env->rows[i])
            return -ENOMEM;
    }
    return 0;
}

void program_env_done(struct program_env *env)
{
    for (size_t i = 0; env->rows && i < env->count; i++)
        free(env->rows[i]);
    free(env->rows);
    *env = (struct program_env){ 0 };
}
