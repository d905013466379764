#include "workers/worker/runs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/log.h"

#define BLOCK_RUNS 64

struct run_block {
    struct run_block *next;
    struct run runs[BLOCK_RUNS];
};

#define TO(state) (1U << (state))

static const struct {
    const char *name;
    unsigned int may_become;
} run_states[] = {
    [RUN_FREE] = { "free", TO(RUN_RUNNING) },
    [RUN_RUNNING] = { "running",
                      TO(RUN_CONTINUING) | TO(RUN_DONE) | TO(RUN_PROVING) | TO(RUN_FREE) },
    [RUN_CONTINUING] = { "continuing",
                         TO(RUN_RUNNING) | TO(RUN_DONE) | TO(RUN_PROVING) | TO(RUN_FREE) },
    [RUN_PROVING] = { "proving", TO(RUN_DONE) | TO(RUN_FREE) },
    [RUN_DONE] = { "done", TO(RUN_SETTLING) | TO(RUN_PROVING) | TO(RUN_FREE) },
    [RUN_SETTLING] = { "settling",
                       TO(RUN_FREE) | TO(RUN_DONE) | TO(RUN_PROVING) | TO(RUN_UNRESOLVED) },
    [RUN_UNRESOLVED] = { "unresolved", TO(RUN_FREE) | TO(RUN_DONE) | TO(RUN_PROVING) },
};
_Static_assert(ARRAY_SIZE(run_states) == RUN_STATE_COUNT, "a row per state");

const char *run_state_name(enum run_state state)
{
    return run_states[state].name;
}

bool run_may_become(enum run_state from, enum run_state to)
{
    return (run_states[from].may_become & TO(to)) != 0;
}

void runs_init(struct runs *runs, size_t most, struct engine *engine)
{
    *runs = (struct runs){ .engine = engine, .most = most, .next_seq = 1 };
}

void runs_allow(struct runs *runs, size_t most)
{
    if (most > runs->most)
        runs->most = most;
}

/* The free ones in order of their addresses: what is used first lies together. */
static void add_block(struct runs *runs)
{
    size_t count = runs->most - runs->made < BLOCK_RUNS ? runs->most - runs->made : BLOCK_RUNS;
    struct run_block *block = count > 0 ? calloc(1, sizeof(*block)) : NULL;

    if (!block)
        return;
    block->next = runs->blocks;
    runs->blocks = block;
    for (size_t i = count; i-- > 0;) {
        block->runs[i].engine = runs->engine;
        block->runs[i].next = runs->free;
        runs->free = &block->runs[i];
    }
    runs->made += count;
    runs->in_state[RUN_FREE] += count;
}

/* Frees what the run holds and leaves it as good as new. */
static void clear_run(struct run *run)
{
    struct engine *engine = run->engine;

    job_free(run->job);
    if (run->value_owned)
        free(run->value);
    if (run->key != run->key_inline)
        free(run->key);
    free(run->correlation);
    free(run->stacktrace);
    /* All but the two inline buffers at the end, which need no clearing. */
    memset(run, 0, offsetof(struct run, value_inline));
    run->engine = engine;
}

void runs_done(struct runs *runs)
{
    RUNS_EACH (runs, run)
        clear_run(run);
    while (runs->blocks) {
        struct run_block *block = runs->blocks;

        runs->blocks = block->next;
        free(block);
    }
    *runs = (struct runs){ 0 };
}

size_t runs_held(const struct runs *runs)
{
    return runs->made - runs->in_state[RUN_FREE];
}

bool run_is_alone(const struct run *run)
{
    return run->job->givebacks >= RUN_ALONE_FROM;
}

static void link_held(struct runs *runs, struct run *run)
{
    run->held_next = NULL;
    run->held_prev = runs->held_last;
    *(run->held_prev ? &run->held_prev->held_next : &runs->held_first) = run;
    runs->held_last = run;
}

static void unlink_held(struct runs *runs, struct run *run)
{
    *(run->held_prev ? &run->held_prev->held_next : &runs->held_first) = run->held_next;
    *(run->held_next ? &run->held_next->held_prev : &runs->held_last) = run->held_prev;
}

static void link_done(struct runs *runs, struct run *run)
{
    run->next = NULL;
    run->prev = runs->done_last;
    *(run->prev ? &run->prev->next : &runs->done_first) = run;
    runs->done_last = run;
}

static void unlink_done(struct runs *runs, struct run *run)
{
    *(run->prev ? &run->prev->next : &runs->done_first) = run->next;
    *(run->next ? &run->next->prev : &runs->done_last) = run->prev;
    run->prev = run->next = NULL;
}

static bool is_at_work(enum run_state state)
{
    return state == RUN_RUNNING || state == RUN_CONTINUING;
}

void runs_set_state(struct runs *runs, struct run *run, enum run_state next)
{
    assert(run_may_become(run->state, next));
    log_debug("run.changed", LOG_RUN(run), LOG_STR("from", run_state_name(run->state)),
              LOG_STR("to", run_state_name(next)));
    if (run->state == RUN_DONE)
        unlink_done(runs, run);
    runs->in_state[run->state]--;
    runs->in_state[next]++;
    if (is_at_work(run->state) && !is_at_work(next) && run_is_alone(run))
        runs->alone_running--;
    run->state = next;
    if (next == RUN_DONE)
        link_done(runs, run);
    if (next == RUN_FREE) {
        unlink_held(runs, run);
        clear_run(run);
        run->next = runs->free;
        runs->free = run;
    }
}

struct run *runs_take(struct runs *runs, struct job *job)
{
    struct run *run;

    if (!runs->free)
        add_block(runs);
    run = runs->free;
    if (!run)
        return NULL;
    runs->free = run->next;
    run->next = NULL;
    run->job = job;
    run->seq = runs->next_seq++;
    run->board_row = -1;
    link_held(runs, run);
    runs->alone_running += run_is_alone(run);
    runs_set_state(runs, run, RUN_RUNNING);
    return run;
}

int run_set_value(struct run *run, const struct bytes *value)
{
    char *place = run->value_inline;

    if (run->value_owned)
        free(run->value);
    run->value = NULL;
    run->value_owned = value->len >= sizeof(run->value_inline);
    run->settle.value = (struct bytes){ 0 };
    if (run->value_owned)
        place = malloc(value->len + 1);
    if (!place) {
        run->value_owned = false;
        return -ENOMEM;
    }
    if (value->len > 0)
        memcpy(place, value->data, value->len);
    place[value->len] = '\0';
    run->value = place;
    run->settle.value = (struct bytes){ place, value->len };
    return 0;
}

const char *run_make_key(struct run *run, const char *queue)
{
    size_t queue_len = strlen(queue), id_len = run->job->id.len;
    size_t bytes = queue_len + 1 + id_len + 1;

    run->key = bytes <= sizeof(run->key_inline) ? run->key_inline : malloc(bytes);
    if (!run->key)
        return NULL;
    memcpy(run->key, queue, queue_len);
    run->key[queue_len] = ':';
    memcpy(run->key + queue_len + 1, run->job->id.data, id_len);
    run->key[queue_len + 1 + id_len] = '\0';
    return run->key;
}

const char *run_correlation(const struct run *run)
{
    return run->correlation ? run->correlation : run->key;
}
