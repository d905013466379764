/* orphans.c - a look for jobs that are in no state.
 *
 * Whether an id is in a list costs Redis a walk through that list, so that question is not asked of
 * every job that waits: the ids of the lists are read first, page by page, into a filter (a Bloom
 * filter: "perhaps in it", or "surely not"). What is in no set and surely not in the filter is
 * asked about closely, by lua/orphan_settle.lua; there an id that has meanwhile come into a list is
 * found. A job that the filter takes for another one is missed by this look; the next one hashes
 * otherwise. */
#include "common/queue/orphans.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/queue/change_internal.h"

#define PAGE_IDS         1000
#define SCAN_KEYS        200
#define SETTLE_IDS       50
#define SETTLE_ELEMENTS  200000 /* of lists that one call of orphan_settle.lua walks through */
#define HOLD_FACTOR      10
#define FILTER_HASHES    4
#define FILTER_BITS_MIN  ((uint64_t)1 << 12)
#define FILTER_BITS_MAX  ((uint64_t)1 << 25) /* 4 MiB */
#define FILTER_BITS_A_ID 16

static const char *const lists[] = { "wait", "paused", "active" };

struct orphan_look {
    struct queue *queue;
    enum orphan_action action;
    char *token;         /* "" none */
    uint64_t started_ms; /* wall */

    size_t list;        /* of the next page; ARRAY_SIZE(lists): all are read */
    uint64_t list_from; /* ids of it that were read */
    uint64_t list_ids;  /* of all lists, as of the last page */
    uint64_t *filter;   /* owned; NULL before the first page */
    uint64_t filter_bits, seed;

    char cursor[24]; /* of the walk through the keys */
    bool scanned;

    char **suspects; /* owned: one block; to be asked about */
    size_t suspects_count, suspects_at, asked;

    struct orphans_result result;
    struct bytes ids[ORPHAN_IDS_MAX]; /* owned texts */

    orphan_look_cb *on_done; /* of the piece that is under way */
    void *arg;
};

static redis_reply_cb on_list, on_scan, on_settle;

/* ---- the filter ---- */

/* FNV-1a, with a seed of this look, and a last mixing: neighbouring ids differ in one digit. */
static uint64_t hash_id(const struct orphan_look *look, struct bytes id)
{
    uint64_t hash = 14695981039346656037ULL ^ look->seed;

    for (size_t i = 0; i < id.len; i++) {
        hash ^= (unsigned char)id.data[i];
        hash *= 1099511628211ULL;
    }
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdULL;
    hash ^= hash >> 33;
    return hash;
}

static uint64_t filter_bit(const struct orphan_look *look, uint64_t hash, unsigned n)
{
    return (hash + n * ((hash >> 32) | 1)) & (look->filter_bits - 1);
}

static void filter_add(struct orphan_look *look, struct bytes id)
{
    uint64_t hash = hash_id(look, id);

    for (unsigned n = 0; n < FILTER_HASHES; n++) {
        uint64_t bit = filter_bit(look, hash, n);

        look->filter[bit / 64] |= (uint64_t)1 << (bit % 64);
    }
}

static bool filter_has(const struct orphan_look *look, struct bytes id)
{
    uint64_t hash = hash_id(look, id);

    for (unsigned n = 0; n < FILTER_HASHES; n++) {
        uint64_t bit = filter_bit(look, hash, n);

        if (!(look->filter[bit / 64] & ((uint64_t)1 << (bit % 64))))
            return false;
    }
    return true;
}

static bool filter_new(struct orphan_look *look)
{
    uint64_t bits = FILTER_BITS_MIN;

    while (bits < FILTER_BITS_MAX && bits < look->list_ids * FILTER_BITS_A_ID)
        bits *= 2;
    look->filter_bits = bits;
    look->filter = calloc(bits / 64, sizeof(*look->filter));
    return look->filter != NULL;
}

/* ---- pieces ---- */

/* Between two looks passes ORPHAN_AGE_MS, or HOLD_FACTOR times as long as the look takes: on a
 * server with many keys it is dear. */
static uint64_t hold_ms(const struct orphan_look *look)
{
    uint64_t now_ms = clock_wall_ms();
    uint64_t taken_ms = now_ms > look->started_ms ? now_ms - look->started_ms : 0;

    return taken_ms * HOLD_FACTOR > ORPHAN_AGE_MS ? taken_ms * HOLD_FACTOR : ORPHAN_AGE_MS;
}

static int begin(struct orphan_look *look, size_t more, struct error *err)
{
    int r = queue_args_begin(look->queue, QUEUE_ARGS_STANDARD + more, err);

    if (r == 0)
        queue_args_add_standard(look->queue);
    return r;
}

static int send_list(struct orphan_look *look, struct error *err)
{
    int r = begin(look, 5, err);

    if (r < 0)
        return r;
    queue_args_add_text(look->queue, look->token);
    queue_args_add_text(look->queue, lists[look->list]);
    queue_args_add_uint(look->queue, look->list_from);
    queue_args_add_uint(look->queue, PAGE_IDS);
    queue_args_add_uint(look->queue, hold_ms(look));
    return queue_args_run(look->queue, &queue_script_orphan_lists, QUEUE_KEY_COUNT, on_list, look,
                          err);
}

static int send_scan(struct orphan_look *look, struct error *err)
{
    int r = begin(look, 5, err);

    if (r < 0)
        return r;
    queue_args_add_text(look->queue, look->token);
    queue_args_add_text(look->queue, look->cursor);
    queue_args_add_uint(look->queue, SCAN_KEYS);
    queue_args_add_uint(look->queue, look->started_ms);
    queue_args_add_uint(look->queue, hold_ms(look));
    return queue_args_run(look->queue, &queue_script_orphan_scan, QUEUE_KEY_COUNT, on_scan, look,
                          err);
}

static int send_settle(struct orphan_look *look, struct error *err)
{
    static const char *const words[] = {
        [ORPHANS_REPORT] = "report", [ORPHANS_REPAIR] = "repair", [ORPHANS_REMOVE] = "remove"
    };
    size_t left = look->suspects_count - look->suspects_at, most = SETTLE_IDS;
    int r;

    if (look->list_ids > SETTLE_ELEMENTS / SETTLE_IDS)
        most = (size_t)(SETTLE_ELEMENTS / look->list_ids);
    most = most > 0 ? most : 1;
    look->asked = left < most ? left : most;
    r = begin(look, 3 + look->asked, err);
    if (r < 0)
        return r;
    queue_args_add_uint(look->queue, clock_wall_ms());
    queue_args_add_text(look->queue, words[look->action]);
    queue_args_add_uint(look->queue, ORPHAN_AGE_MS);
    for (size_t i = 0; i < look->asked; i++)
        queue_args_add_text(look->queue, look->suspects[look->suspects_at + i]);
    return queue_args_run(look->queue, &queue_script_orphan_settle, QUEUE_KEY_COUNT, on_settle,
                          look, err);
}

int orphan_look_step(struct orphan_look *look, orphan_look_cb *on_done, void *arg,
                     struct error *err)
{
    assert(!look->on_done && !look->result.complete);
    look->on_done = on_done;
    look->arg = arg;
    int r = look->suspects_at < look->suspects_count ? send_settle(look, err)
            : look->list < ARRAY_SIZE(lists)         ? send_list(look, err)
                                                     : send_scan(look, err);
    if (r < 0)
        look->on_done = NULL;
    return r;
}

/* ---- answers ---- */

static void answer(struct orphan_look *look, const struct call_result *result)
{
    orphan_look_cb *on_done = TAKE_PTR(look->on_done);

    if (result->outcome == REDIS_REPLY && look->scanned &&
        look->suspects_at == look->suspects_count)
        look->result.complete = true;
    on_done(look->queue, result, &look->result, look->arg); /* may free look */
}

static void answer_no_memory(struct orphan_look *look)
{
    const struct call_result result = { REDIS_REFUSED, REDIS_CLASS_OTHER, "out of memory" };

    answer(look, &result);
}

static void skip(struct orphan_look *look)
{
    look->result.skipped = look->result.complete = true;
}

enum { LIST_OURS, LIST_TOTAL, LIST_IDS };

static void on_list(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct orphan_look *look = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        answer(look, &result);
        return;
    }
    if (reply->elements < LIST_IDS) {
        skip(look);
        answer(look, &result);
        return;
    }
    look->list_ids = queue_reply_uint(reply->element[LIST_TOTAL], 0);
    if (!look->filter && !filter_new(look)) {
        answer_no_memory(look);
        return;
    }
    for (size_t i = LIST_IDS; i < reply->elements; i++)
        filter_add(look, queue_reply_bytes(reply->element[i]));
    look->list_from += reply->elements - LIST_IDS;
    if (reply->elements - LIST_IDS < PAGE_IDS) {
        look->list++;
        look->list_from = 0;
    }
    answer(look, &result);
}

/* Copies those that the filter does not know. */
static bool keep_suspects(struct orphan_look *look, redisReply *const *ids, size_t count)
{
    size_t bytes = 1;
    char *at;

    free(look->suspects);
    look->suspects_count = look->suspects_at = 0;
    for (size_t i = 0; i < count; i++)
        bytes += sizeof(char *) + queue_reply_bytes(ids[i]).len + 1;
    look->suspects = malloc(bytes);
    if (!look->suspects)
        return false;
    at = (char *)(look->suspects + count);
    for (size_t i = 0; i < count; i++) {
        struct bytes id = queue_reply_bytes(ids[i]);

        if (id.len == 0 || filter_has(look, id))
            continue;
        look->suspects[look->suspects_count++] = at;
        memcpy(at, id.data, id.len);
        at[id.len] = '\0';
        at += id.len + 1;
    }
    return true;
}

enum { SCAN_CURSOR, SCAN_LOOKED, SCAN_IDS };

static void on_scan(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    struct orphan_look *look = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 1);
    struct bytes cursor;

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        answer(look, &result);
        return;
    }
    if (reply->elements < SCAN_IDS) {
        skip(look);
        answer(look, &result);
        return;
    }
    if (!keep_suspects(look, reply->element + SCAN_IDS, reply->elements - SCAN_IDS)) {
        answer_no_memory(look);
        return;
    }
    cursor = queue_reply_bytes(reply->element[SCAN_CURSOR]);
    (void)snprintf(look->cursor, sizeof(look->cursor), "%.*s", (int)cursor.len,
                   cursor.len > 0 ? cursor.data : "0");
    look->scanned = strcmp(look->cursor, "0") == 0;
    look->result.looked += queue_reply_uint(reply->element[SCAN_LOOKED], 0);
    answer(look, &result);
}

enum { SETTLED_NONE, SETTLED_FOUND, SETTLED_OLD, SETTLED_CHANGED };

static void keep_id(struct orphan_look *look, const char *id)
{
    char *copy = look->result.ids_count < ORPHAN_IDS_MAX ? strdup(id) : NULL;

    if (copy)
        look->ids[look->result.ids_count++] = (struct bytes){ copy, strlen(copy) };
}

static void on_settle(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                      const char *why, void *arg)
{
    struct orphan_look *look = arg;
    struct call_result result = queue_call_result(outcome, reply, why, look->asked);

    (void)redis;
    if (result.outcome != REDIS_REPLY) {
        answer(look, &result);
        return;
    }
    for (size_t i = 0; i < look->asked; i++) {
        uint64_t code = queue_reply_uint(reply->element[i], SETTLED_NONE);

        look->result.found += code >= SETTLED_FOUND;
        look->result.settled += code >= SETTLED_OLD && look->action != ORPHANS_REMOVE;
        look->result.changed += code == SETTLED_CHANGED;
        if (code >= SETTLED_OLD)
            keep_id(look, look->suspects[look->suspects_at + i]);
    }
    look->suspects_at += look->asked;
    answer(look, &result);
}

/* ---- life ---- */

int orphan_look_new(struct queue *queue, const struct orphans_spec *spec,
                    struct orphan_look **out_look, struct error *err)
{
    struct orphan_look *look = calloc(1, sizeof(*look));

    if (look)
        look->token = strdup(spec->token ? spec->token : "");
    if (!look || !look->token) {
        free(look);
        return error_set(err, -ENOMEM, "allocate a look for orphans");
    }
    look->queue = queue;
    look->action = spec->action;
    look->started_ms = clock_wall_ms();
    look->seed = look->started_ms * 0x9e3779b97f4a7c15ULL;
    look->cursor[0] = '0';
    look->result.ids = look->ids;
    *out_look = look;
    return 0;
}

void orphan_look_free(struct orphan_look *look)
{
    if (!look)
        return;
    for (size_t i = 0; i < look->result.ids_count; i++)
        free((void *)(uintptr_t)look->ids[i].data); /* ours: the const is for the readers */
    free(look->suspects);
    free(look->filter);
    free(look->token);
    free(look);
}
