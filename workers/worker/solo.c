/* solo.c - jobs that must run alone (poison rule): a job whose process died with it twice may be
 * the cause, so it takes no innocent ones with it a third time.
 *
 * Ordinary fetches pass such jobs over. Of all processes one is told to empty itself (`alone` in
 * the fetch's answer): it fetches no more until it holds nothing, then asks for one such job and
 * nothing else, and fetches nothing while that runs. Nothing here is a promise of anybody: when the
 * other processes were quicker, or the claim in Redis ran out meanwhile, the fetch brings nothing
 * and ordinary fetching goes on. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define FRUITLESS_MS 1000 /* after a fetch for nothing: what waits is not to be had now */

bool solo_holds_back(const struct engine *engine)
{
    return engine->solo.state != SOLO_NONE || engine->runs.alone_running > 0;
}

bool solo_wants_fetch(const struct engine *engine)
{
    return engine->solo.state == SOLO_EMPTYING && runs_held(&engine->runs) == 0 &&
           engine->turns.flying == 0;
}

void solo_note_sent(struct engine *engine)
{
    engine->solo.state = SOLO_ASKING;
}

void solo_note_failed(struct engine *engine)
{
    engine->solo.state = SOLO_EMPTYING;
}

/* Once it has begun it goes on until a fetch brings none: that one also ends the claim. */
static void take_answer(struct engine *engine, bool more, size_t fetched)
{
    engine->solo.state = more && fetched > 0 ? SOLO_EMPTYING : SOLO_NONE;
    engine->waiting.drained = false; /* nobody has looked for other jobs meanwhile */
    if (fetched == 0)
        engine->solo.not_before_ms = clock_now_ms() + FRUITLESS_MS;
}

void solo_note_state(struct engine *engine, bool asked, const struct fetch_state *state,
                     size_t fetched)
{
    if (asked) {
        take_answer(engine, state->alone, fetched);
        return;
    }
    if (!state->alone || engine->solo.state != SOLO_NONE || engine->phase != ENGINE_SERVING ||
        clock_now_ms() < engine->solo.not_before_ms)
        return;
    engine->solo.state = SOLO_EMPTYING;
    log_info("worker.emptying", LOG_UINT("held", runs_held(&engine->runs)),
             LOG_STR("why", "a job waits that must run alone"));
}
