#include "supervisor/master/pool.h"

#include <assert.h>
#include <errno.h>

#include "common/base/log.h"

unsigned int pool_share(unsigned int concurrency, unsigned int processes, unsigned int index)
{
    assert(processes >= 1 && processes <= concurrency && index < processes);
    return concurrency / processes + (index < concurrency % processes ? 1 : 0);
}

int pool_init(struct pool *pool, const struct config_queue *queue, struct slot_context *context,
              const struct backoff *backoff, struct error *err)
{
    *pool = (struct pool){ .queue = queue->name, .slots_count = queue->processes };
    pool->slots = calloc(queue->processes, sizeof *pool->slots);
    if (!pool->slots)
        return error_set(err, -ENOMEM, "no memory for %u workers of queue %s", queue->processes,
                         queue->name);
    for (unsigned int i = 0; i < queue->processes; i++)
        slot_init(&pool->slots[i], context, queue->name, i,
                  pool_share(queue->concurrency, queue->processes, i), backoff);
    log_info("pool.started", LOG_STR("queue", queue->name), LOG_UINT("workers", queue->processes),
             LOG_UINT("concurrency", queue->concurrency));
    return 0;
}

void pool_done(struct pool *pool)
{
    free(pool->slots);
    pool->slots = NULL;
    pool->slots_count = 0;
}

size_t pool_count_in(const struct pool *pool, enum slot_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < pool->slots_count; i++)
        count += pool->slots[i].state == state;
    return count;
}

void pool_step(struct pool *pool)
{
    for (size_t i = 0; i < pool->slots_count; i++)
        slot_step(&pool->slots[i]);
    if (!pool->told_ready && pool_count_in(pool, SLOT_SERVING) == pool->slots_count) {
        pool->told_ready = true;
        log_info("pool.ready", LOG_STR("queue", pool->queue),
                 LOG_UINT("workers", pool->slots_count));
    }
    if (!pool->told_given_up && pool_count_in(pool, SLOT_GIVEN_UP) == pool->slots_count) {
        pool->told_given_up = true;
        log_error("pool.given_up", LOG_STR("queue", pool->queue),
                  LOG_UINT("workers", pool->slots_count),
                  LOG_STR("why", "every worker ended with an exit code after which a restart "
                                 "cannot help"));
    }
}
