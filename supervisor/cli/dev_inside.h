/* dev_inside.h - the state of one run of `drover dev`, shared by dev_run.c (life cycle: stages,
 * counting, the end) and dev_fill.c (putting the jobs in). Not for other files.
 *
 * Stages, each waiting for: REDIS (the private server answers), PRODUCER (it has ended), BULK and
 * COMMANDS (the sample is in), WATCH (all jobs have ended; 60 s with `once`), STORY (it was told),
 * STAY (Ctrl-C), DRAIN (droverd has ended), CLOSE (the connection, then the server), END. A failure
 * at any point notes its reason and goes to DRAIN. Callbacks record what happened; dev_step looks
 * at the whole state and goes on. */
#pragma once

#include "common/queue/queue.h"
#include "supervisor/cli/dev.h"
#include "supervisor/cli/dev_child.h"
#include "supervisor/cli/dev_sample.h"
#include "supervisor/cli/dev_view.h"

enum stage {
    STAGE_REDIS,
    STAGE_PRODUCER,
    STAGE_BULK,
    STAGE_COMMANDS,
    STAGE_WATCH,
    STAGE_STORY,
    STAGE_STAY,
    STAGE_DRAIN,
    STAGE_CLOSE,
    STAGE_END,
};

struct dev_queue {
    struct queue *queue;
    bool counting;  /* a count is under way */
    bool known;     /* was counted once */
    size_t counted; /* counts since the stage began */
    size_t bulk_at; /* next of dev->jobs to look at */
};

struct dev {
    const struct dev_plan *plan;
    uv_loop_t loop;
    uv_timer_t tick;
    uv_signal_t signals[3];
    struct dev_child server, droverd, producer, adder;
    char last_line[256]; /* of server or producer: the likely reason of its end */
    int log_fd;          /* droverd's output */
    char log_path[160];
    char *droverd_path, *own_path;

    struct redis *redis; /* NULL once closed */
    bool redis_ready;
    struct dev_queue *queues; /* one for each of plan->config->queues */
    struct dev_counted *counted;
    size_t queues_count;

    enum stage stage;
    uint64_t stage_since_ms;
    struct dev_view view;
    unsigned int stops;      /* Ctrl-C and the like so far */
    uint64_t insisted_at_ms; /* last signal to a droverd that is being ended; 0 none */
    bool failed;

    struct dev_job *jobs; /* of the bulk */
    size_t jobs_count;
    bool adding;          /* a bulk call is under way */
    uint64_t added;       /* jobs of the sample that are in */
    uint64_t produced;    /* of these by the producer */
    size_t commands_done; /* drover add */
    bool story_told;
};

/* dev_run.c: safe at any time, and twice. */
void dev_step(struct dev *dev);
void dev_enter(struct dev *dev, enum stage stage);
/* At DRAIN or beyond. */
bool dev_is_ending(const struct dev *dev);
/* Tells the reason and begins the end; later failures follow from the first and are not told. */
void dev_fail(struct dev *dev, const char *format, ...) PRINTF_LIKE(2, 3);

/* dev_fill.c: prepares the two children; then one function for each stage that fills. */
void dev_fill_init(struct dev *dev);
void dev_fill_step_producer(struct dev *dev);
void dev_fill_step_bulk(struct dev *dev);
void dev_fill_step_commands(struct dev *dev);
