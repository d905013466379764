/* dev_sample.h - the jobs that `drover dev` puts into the demo's queues: plain, delayed,
 * prioritised, some that fail once and are retried, one that fails for good
 * (conf/demo/drover.yaml). */
#pragma once

#include "common/queue/add.h"
#include "common/queue/job.h"

#define DEV_SAMPLE_MIN     50 /* fewer would not hold one job of every kind */
#define DEV_SAMPLE_FAILING 1  /* jobs of any sample that end in `failed` */

/* The job whose story is told at the end: it fails once, waits, and runs again. */
#define DEV_STORY_QUEUE "exec"
#define DEV_STORY_ID    "demo-retried"

struct dev_job {
    const char *queue;    /* "noop" or "exec" */
    struct job_spec spec; /* points into `data` */
    char data[64];
};

/* `count` (>= 20) jobs in a mixed order, in new memory (free it; it must not be moved); NULL on no
 * memory. */
struct dev_job *dev_sample_make(size_t count);

/* The few that go through the real command line: arguments behind `drover add --redis URL --prefix
 * PREFIX`, each NULL-terminated. The story's job is among them. */
extern const char *const *const dev_sample_commands[];
extern const size_t dev_sample_commands_count;
