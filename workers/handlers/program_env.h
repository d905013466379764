/* program_env.h - the environment of a handler's program, made from nothing: PATH, LANG, HOME (and
 * USER, LOGNAME of a handler with a user of its own), what drover tells it (DROVER_…), what
 * configuration adds.
 * Invariant: each name stands in it once; configuration may replace the first ones, never what says
 * DROVER_. */
#pragma once

#include "common/config/config.h"

struct program_env {
    char **rows;             /* NAME=value, owned, NULL-terminated by program_env_finish */
    size_t count;            /* rows in use */
    size_t room;             /* rows that fit, the NULL not counted */
    size_t system;           /* the first rows, that configuration may replace */
    char *const *configured; /* borrowed; NULL-terminated, or NULL */
};

/* PATH, LANG, HOME, …; `config` is borrowed. -ENOMEM: nothing is allocated. `own_most`: how many
 * rows program_env_add will add. */
MUST_CHECK int program_env_init(struct program_env *env, const struct config_handler *config,
                                size_t own_most);
/* One row of drover's own; without memory it is missing, and program_env_finish says so. */
void program_env_add(struct program_env *env, const char *format, ...) PRINTF_LIKE(2, 3);
/* Adds what is configured. -ENOMEM when a row is missing. */
MUST_CHECK int program_env_finish(struct program_env *env);
void program_env_done(struct program_env *env);
