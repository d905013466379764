/* worker.h - one drover-worker: its connections, its engine, and its link to the master. */
#pragma once

#include "workers/worker/arguments.h"

/* Reads the configuration at CHANNEL_CONFIG_FD, serves until it is told to end, returns an
 * enum exit_code. Failures are logged. */
int worker_run(const struct worker_arguments *arguments);
