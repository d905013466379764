/* orphans_watch.c - see orphans_watch.h. */
#include "workers/worker/orphans_watch.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/worker/engine_state.h"

#define FIRST_MS  5000 /* what a start has to do comes first */
#define PIECE_MS  250  /* between two pieces: a few thousandths of Redis' time */
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

/* Their ids, as many as there is room for. */
static void print_ids(const struct orphans_result *result, struct buf *out)
{
    for (size_t i = 0; i < result->ids_count; i++) {
        if (buf_printf(out, "%s%.*s", i > 0 ? " " : "", (int)result->ids[i].len,
                       result->ids[i].data) < 0)
            return;
    }
}

/* What stayed is told again when it has changed only. */
static void tell(struct orphans_watch *watch, const struct orphans_result *result)
{
    uint64_t stayed = result->settled - result->changed;
    struct buf ids = BUF_INIT(IDS_BYTES);

    print_ids(result, &ids);
    if (result->changed > 0)
        log_warn("orphans.repaired", LOG_UINT("count", result->changed),
                 LOG_STR("ids", buf_text(&ids)),
                 LOG_STR("why", "they were stored and in no state; now they wait again"));
    if (stayed > 0 && stayed != watch->told)
        log_warn("orphans.found", LOG_UINT("count", stayed), LOG_STR("ids", buf_text(&ids)),
                 LOG_STR("why", "they are stored and in no state; nobody will run them"));
    watch->told = stayed;
    buf_done(&ids);
}

static void end_look(struct engine *engine, const struct orphans_result *result)
{
    struct orphans_watch *watch = &engine->orphans;

    if (!result->skipped)
        tell(watch, result);
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
    watch->next_ms = clock_now_ms() + PIECE_MS; /* a slow server is asked more rarely */
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
