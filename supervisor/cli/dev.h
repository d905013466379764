/* dev.h - `drover dev`: a private Redis, droverd and jobs, for as long as the command runs.
 * dev.c reads the command line and prepares; dev_run.c runs it all on one loop. */
#pragma once

#include "common/config/config.h"

struct dev_plan {
    const char *config_file;     /* what droverd reads */
    const struct config *config; /* the same, read with the private Redis in place of its own */
    char dir[96];                /* scratch folder; removed at the end */
    char socket_path[128];
    char url[160];        /* "unix://<socket_path>" */
    const char *producer; /* shell command; NULL for none */
    size_t sample;        /* jobs to put in; 0 none */
    bool demo;            /* the demo's own configuration: it is known how each job has to end */
    bool once, json;
};

/* Runs until Ctrl-C, or with `once` until all jobs have ended. Everything it started has ended when
 * it returns. An exit code. */
int dev_run(const struct dev_plan *plan);
