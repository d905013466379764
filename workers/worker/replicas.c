/* replicas.c - what a worker does while replicas are missing (wait_replicas).
 *
 * Each turn waits for the replicas, so a job starts only when they know that it is active and by
 * whom. When too few answer in time, the turn has happened all the same: what it settled is settled
 * here, and would run again after a failover; what it fetched does not start, and goes back. Then
 * nothing is fetched until the replicas are back, which a turn without a fetch asks once a second.
 * A worker that fetches no more anyway does not wait for anybody. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define PROBE_MS 1000

bool replicas_are_missing(const struct engine *engine)
{
    return engine->replicas.missing;
}

void replicas_note(struct engine *engine, const struct call_result *result)
{
    struct replicas *replicas = &engine->replicas;
    bool missing = result->outcome == REDIS_UNREPLICATED;

    if (engine->config->wait_replicas == 0 || engine->phase != ENGINE_SERVING)
        return;
    replicas->probe_ms = missing ? clock_now_ms() + PROBE_MS : 0;
    if (missing)
        engine->waiting.drained = false; /* the fetch after this looks what waits */
    if (missing == replicas->missing)
        return;
    replicas->missing = missing;
    if (missing)
        log_error("replicas.missing", LOG_UINT("wanted", engine->config->wait_replicas),
                  LOG_STR("why", result->why));
    else
        log_info("replicas.back", LOG_UINT("wanted", engine->config->wait_replicas));
}

bool replicas_wants_probe(const struct engine *engine, uint64_t now_ms)
{
    return engine->replicas.missing && engine->turns.flying == 0 &&
           now_ms >= engine->replicas.probe_ms;
}

uint64_t replicas_next_ms(const struct engine *engine)
{
    return engine->replicas.missing && engine->turns.flying == 0 ? engine->replicas.probe_ms : 0;
}

void replicas_step(struct engine *engine)
{
    if (engine->config->wait_replicas == 0 || engine->phase == ENGINE_SERVING ||
        engine->replicas.left)
        return;
    engine->replicas.left = true;
    engine->replicas.missing = false;
    queue_set_wait(engine->queue, NULL);
}
