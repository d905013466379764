/* orphans_watch.c - see orphans_watch.h. */
#include "workers/worker/orphans_watch.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define FIRST_MS  5000 /* what a start has to do comes first */
#define PIECE_MS  250  /* between two pieces: about a five-hundredth of Redis' time */
#define IDS_BYTES 400

static bool is_on(const struct engine *engine)
{
    return engine->phase == ENGINE_SERVING && engine->redis_ready &&
           engine->config->orphans != CONFIG_ORPHANS_OFF;
}

void orphans_watch_init(struct orphans_watch *watch)
{
    *watch = (struct orphans_watch){ .next_ms = clock_now_ms() + FIRST_MS };
}

void orphans_watch_done(struct orphans_watch *watch)
{
    orphan_look_free(watch->look);
    watch->look = NULL;
}

uint64_t orphans_watch_next_ms(const struct engine *engine)
{
    return is_on(engine) && !engine->orphans.asking ? engine->orphans.next_ms : 0;
}

static void tell(const char *event, const char *why, uint64_t count,
                 const struct orphans_result *result)
{
    struct buf ids = BUF_INIT(IDS_BYTES);

    for (size_t i = 0; i < result->ids_count; i++) {
        /* A full buffer takes no more: then the last ids are missing. */
        if (buf_printf(&ids, "%s%.*s", i > 0 ? " " : "", (int)result->ids[i].len,
                       result->ids[i].data) < 0)
            break;
    }
    log_warn(event, LOG_UINT("count", count), LOG_STR("ids", buf_text(&ids)), LOG_STR("why", why));
    buf_done(&ids);
}

static void end_look(struct engine *engine, const struct orphans_result *result)
{
    struct orphans_watch *watch = &engine->orphans;
    uint64_t stayed = result->settled - result->changed;

    if (result->changed > 0)
        tell("orphans.repaired", "they were in no state; now they wait again", result->changed,
             result);
    if (!result->skipped && stayed != watch->told) {
        if (stayed > 0)
            tell("orphans.found", "they are stored, and in no state", stayed, result);
        watch->told = stayed;
    }
    orphans_watch_done(watch);
    watch->next_ms = clock_now_ms() + ORPHAN_AGE_MS;
}

static void on_piece(struct queue *queue, const struct call_result *call,
                     const struct orphans_result *result, void *arg)
{
    struct engine *engine = arg;
    struct orphans_watch *watch = &engine->orphans;

    (void)queue;
    watch->asking = false;
    engine_touch(engine);
    /* After a failure the same piece is asked for again. */
    if (call->outcome == REDIS_REPLY && result->complete)
        end_look(engine, result);
}

static int begin_look(struct engine *engine)
{
    struct orphans_watch *watch = &engine->orphans;
    char token[64];
    struct orphans_spec spec = {
        .action =
            engine->config->orphans == CONFIG_ORPHANS_REPAIR ? ORPHANS_REPAIR : ORPHANS_REPORT,
        .token = token,
    };

    (void)snprintf(token, sizeof(token), "%s:%llu", engine->fetcher.uuid,
                   (unsigned long long)++watch->looks);
    return orphan_look_new(engine->queue, &spec, &watch->look, NULL);
}

void orphans_watch_step(struct engine *engine, uint64_t now_ms)
{
    struct orphans_watch *watch = &engine->orphans;

    if (!is_on(engine) || watch->asking || now_ms < watch->next_ms)
        return;
    watch->next_ms = now_ms + PIECE_MS;
    if (!watch->look && begin_look(engine) < 0)
        return; /* no memory: tried again */
    watch->asking = orphan_look_step(watch->look, on_piece, engine, NULL) == 0;
}
