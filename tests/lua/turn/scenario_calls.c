/* The lines that call a script: its arguments, and what comes back where it takes several calls. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/lua/queue_scripts.h"
#include "tests/lua/turn/scenario_internal.h"

static const char *const key_names[] = {
    "wait",      "paused",  "active",        "prioritized", "delayed", "waiting-children",
    "completed", "failed",  "marker",        "id",          "pc",      "meta",
    "events",    "stalled", "stalled-check", "limiter",
};

/* Arguments of a script call: the standard ones are put in by begin. Texts are copied. */
struct args {
    const char *argv[1200];
    size_t count;
};

static void add(struct args *args, const char *text)
{
    cr_assert_lt(args->count, ARRAY_SIZE(args->argv));
    args->argv[args->count++] = strdup(text);
}

static void begin(struct args *args, const struct redis_script *script)
{
    char key[64];

    args->count = 0;
    add(args, "EVAL");
    add(args, script->text);
    add(args, "16");
    for (size_t i = 0; i < ARRAY_SIZE(key_names); i++) {
        (void)snprintf(key, sizeof(key), PREFIX "%s", key_names[i]);
        add(args, key);
    }
    add(args, PREFIX);
    add(args, PRIVATE);
}

static void call_script(struct run *run, struct args *args)
{
    run->by_turn = false;
    run->told[0] = '\0';
    if (run->reply)
        freeReplyObject(run->reply);
    run->reply = redisCommandArgv(run->redis, (int)args->count, args->argv, NULL);
    for (size_t i = 0; i < args->count; i++)
        free((char *)(uintptr_t)args->argv[i]);
    if (!run->reply)
        broken(run, "the connection broke: %s", run->redis->errstr);
}

/* ---- one call
 * ------------------------------------------------------------------------------------------- */

/* The value of `name=` among the words from `from` on, up to the next `;`. */
static const char *option(struct run *run, size_t from, const char *name, const char *fallback)
{
    size_t len = strlen(name);

    for (size_t i = from; i < run->words_count && strcmp(run->words[i], ";") != 0; i++) {
        if (!strncmp(run->words[i], name, len) && run->words[i][len] == '=')
            return run->words[i] + len + 1;
    }
    return fallback;
}

static void add_settle(struct run *run, struct args *args, size_t at)
{
    const char *kind = word(run, at);

    add(args, word(run, at + 1));
    add(args, option(run, at, "token", "U:1"));
    add(args, kind);
    if (strchr("cfx", *kind))
        add(args, option(run, at, "keep", ""));
    if (strchr("cfxrRl", *kind))
        add(args, option(run, at, "value", *kind == 'c' ? "1" : "boom"));
    if (strchr("fxrRl", *kind))
        add(args, option(run, at, "stack", "[]"));
    if (strchr("fx", *kind))
        add(args, option(run, at, "most", "0"));
    if (strchr("ldw", *kind))
        add(args, option(run, at, "delay", *kind == 'w' ? "0" : "500"));
    if (*kind == 'G')
        add(args, option(run, at, "value", "2026-01-02T03:04:05Z boom"));
}

static void turn(struct run *run)
{
    struct args args;
    size_t settles = 0;
    char number[24];

    for (size_t i = 1; i < run->words_count; i++)
        settles += !strcmp(run->words[i], ";");
    (void)snprintf(number, sizeof(number), "%u", ++run->calls);
    begin(&args, &queue_script_turn);
    add(&args, run->now);
    add(&args, option(run, 1, "uuid", "U"));
    add(&args, option(run, 1, "n", number));
    run->calls = (unsigned)atoi(args.argv[args.count - 1]);
    add(&args, "30000");
    add(&args, option(run, 1, "worker", ""));
    add(&args, option(run, 1, "want", "0"));
    add(&args, option(run, 1, "live", "1"));
    add(&args, option(run, 1, "bytes", "1000000"));
    add(&args, option(run, 1, "givebacks", "3"));
    add(&args, option(run, 1, "alone", "0"));
    add(&args, option(run, 1, "limit", "0"));
    add(&args, option(run, 1, "per", "0"));
    add(&args, option(run, 1, "metrics", "0"));
    (void)snprintf(number, sizeof(number), "%zu", settles);
    add(&args, number);
    for (size_t i = 1; i < run->words_count; i++) {
        if (!strcmp(run->words[i], ";"))
            add_settle(run, &args, i + 1);
    }
    call_script(run, &args);
    run->by_turn = true;
}

/* The place of a word that starts another list; words_count when it is not there. */
static size_t find_word(struct run *run, const char *text)
{
    size_t at = 1;

    while (at < run->words_count && strcmp(run->words[at], text) != 0)
        at++;
    return at;
}

static void add_words(struct run *run, struct args *args, size_t from, size_t end)
{
    for (size_t i = from; i < end; i++)
        add(args, run->words[i]);
}

static void add_count(struct args *args, size_t count)
{
    char number[24];

    (void)snprintf(number, sizeof(number), "%zu", count);
    add(args, number);
}

static void renew(struct run *run)
{
    size_t row = find_word(run, "row");
    struct args args;

    begin(&args, &queue_script_renew);
    add(&args, "U");
    add(&args, "30000");
    add(&args, "8000");
    add_count(&args, (row - 1) / 3);
    add_words(run, &args, 1, row);
    add_words(run, &args, row + 1, run->words_count);
    call_script(run, &args);
}

static void outcome(struct run *run)
{
    struct args args;

    begin(&args, &queue_script_outcome);
    add(&args, "U");
    add(&args, word(run, 1));
    if (run->calls < (unsigned)atoi(word(run, 1)))
        run->calls = (unsigned)atoi(word(run, 1)); /* the next call is newer */
    add_count(&args, (run->words_count - 2) / 3);
    add_words(run, &args, 2, run->words_count);
    call_script(run, &args);
}

static void call_of_one_word(struct run *run)
{
    const char *verb = word(run, 0);
    struct args args;

    if (!strcmp(verb, "concurrency")) {
        begin(&args, &queue_script_apply_concurrency);
        add(&args, word(run, 1));
        call_script(run, &args);
        return;
    }
    if (!strcmp(verb, "leave")) {
        begin(&args, &queue_script_leave);
        add(&args, "U");
    } else {
        begin(&args, &queue_script_fence);
        add(&args, word(run, 1));
    }
    call_script(run, &args);
}

/* All pieces of a check. */
static void check_stalled(struct run *run)
{
    char from[64] = "begin";
    long long put_back = 0;

    while (*from) {
        const redisReply *reply;
        struct args args;

        begin(&args, &queue_script_stalled);
        add(&args, run->now);
        add(&args, "30000");
        add(&args, word(run, 1));
        add(&args, from);
        call_script(run, &args);
        reply = run->reply;
        if (reply->type != REDIS_REPLY_ARRAY)
            return;
        put_back += reply->element[0]->integer;
        (void)snprintf(from, sizeof(from), "%s", reply->element[1]->str);
    }
    (void)snprintf(run->told, sizeof(run->told), "%lld", put_back);
}

static void stock_stalled(struct run *run)
{
    static const char script[] =
        "local P = ARGV[1] local ids = redis.call('SMEMBERS', P .. 'stalled')\n"
        "redis.call('DEL', P .. 'stalled')\n"
        "for _, id in ipairs(ids) do\n"
        "  if redis.call('EXISTS', P .. id .. ':lock') == 0\n"
        "    and redis.call('LREM', P .. 'active', 1, id) > 0 then\n"
        "    redis.call('HINCRBY', P .. id, 'stc', 1)\n"
        "    redis.call('RPUSH', P .. 'wait', id)\n"
        "    redis.call('XADD', P .. 'events', '*', 'event', 'stalled', 'jobId', id) end end\n"
        "for _, id in ipairs(redis.call('LRANGE', P .. 'active', 0, -1)) do\n"
        "  redis.call('SADD', P .. 'stalled', id) end\n"
        "return 1\n";

    tell(run, "EVAL %s 0 %s", script, PREFIX);
}

/* ---- walks: recover and adopt
 * ------------------------------------------------------------------------------- */

static void take_anchors(struct run *run, struct walk *walk, redisReply *const *anchors,
                         size_t count)
{
    if (count > ANCHORS)
        broken(run, "%zu anchors", count);
    walk->count = count;
    for (size_t i = 0; i < count; i++)
        (void)snprintf(walk->anchors[i], sizeof(walk->anchors[i]), "%s", anchors[i]->str);
}

static void add_anchors(struct args *args, const struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        add(args, walk->anchors[i]);
}

/* One piece. Returns true when it was the last one, or was refused. */
static bool recover_piece(struct run *run, struct walk *walk, long long *back, long long *failed)
{
    struct args args;
    const redisReply *reply;

    begin(&args, &queue_script_recover);
    add(&args, run->now);
    add(&args, option(run, 1, "uuid", "U"));
    add(&args, option(run, 1, "death", ""));
    add(&args, option(run, 1, "most", "3"));
    add(&args, option(run, 1, "look", "500"));
    add_anchors(&args, walk);
    call_script(run, &args);
    reply = run->reply;
    if (reply->type != REDIS_REPLY_ARRAY)
        return true;
    *back += reply->element[0]->integer;
    *failed += reply->element[1]->integer;
    take_anchors(run, walk, reply->element + 3, reply->elements - 3);
    (void)snprintf(run->told, sizeof(run->told), "back=%lld failed=%lld%s", *back, *failed,
                   reply->element[2]->integer ? "" : " more");
    return reply->element[2]->integer;
}

#define PIECES_MAX 1000

static void recover(struct run *run)
{
    struct walk walk = { .count = 0 };
    long long back = 0, failed = 0;

    for (int i = 0; !recover_piece(run, &walk, &back, &failed); i++) {
        if (i == PIECES_MAX)
            broken(run, "the walk has no end");
    }
}

static void recover_one_piece(struct run *run)
{
    long long back = 0, failed = 0;
    bool is_last = recover_piece(run, &run->walks[*word(run, 1) - 'a'], &back, &failed);

    (void)is_last; /* the reply tells */
}

struct adopting {
    struct walk walk;
    char known[64][2][64]; /* id and token */
    size_t known_count, first_adopted;
    long long back;
    bool complete;
};

static void adopt_piece(struct run *run, struct adopting *adopting)
{
    size_t adopted = adopting->known_count - adopting->first_adopted;
    const redisReply *reply;
    struct args args;
    char number[16];

    begin(&args, &queue_script_adopt);
    add(&args, run->now);
    add(&args, "U");
    add(&args, "30000");
    add_count(&args, (size_t)atoi(option(run, 1, "want", "0")) - adopted);
    add(&args, option(run, 1, "look", "500"));
    (void)snprintf(number, sizeof(number), "%u", ++run->calls);
    add(&args, option(run, 1, "n", number));
    add_count(&args, adopting->known_count);
    for (size_t i = 0; i < adopting->known_count; i++) {
        add(&args, adopting->known[i][0]);
        add(&args, adopting->known[i][1]);
    }
    add_anchors(&args, &adopting->walk);
    call_script(run, &args);
    reply = run->reply;
    adopting->complete = reply->type != REDIS_REPLY_ARRAY || reply->element[2]->integer;
    if (reply->type != REDIS_REPLY_ARRAY)
        return;
    adopting->back += reply->element[1]->integer;
    take_anchors(run, &adopting->walk, reply->element[3]->element, reply->element[3]->elements);
    for (size_t i = 4; i < reply->elements; i++) {
        char(*one)[64] = adopting->known[adopting->known_count++];

        (void)snprintf(one[0], sizeof(one[0]), "%s", reply->element[i]->element[13]->str);
        (void)snprintf(one[1], sizeof(one[1]), "%s", reply->element[i]->element[14]->str);
    }
}

static void adopt(struct run *run)
{
    struct adopting *adopting = calloc(1, sizeof(*adopting));
    struct buf out = BUF_INIT(sizeof(run->told));
    size_t known = find_word(run, "known");

    for (size_t i = known + 1; i + 1 < run->words_count; i += 2) {
        (void)snprintf(adopting->known[adopting->known_count][0], 64, "%s", run->words[i]);
        (void)snprintf(adopting->known[adopting->known_count++][1], 64, "%s", run->words[i + 1]);
    }
    adopting->first_adopted = adopting->known_count;
    while (!adopting->complete)
        adopt_piece(run, adopting);
    if (run->reply->type == REDIS_REPLY_ARRAY) {
        (void)buf_printf(&out,
                         "%sback=%lld jobs=", run->reply->element[0]->integer ? "fenced " : "",
                         adopting->back);
        for (size_t i = adopting->known_count; i-- > adopting->first_adopted;)
            (void)buf_printf(&out, "%s%s", adopting->known[i][0],
                             i > adopting->first_adopted ? "," : "");
        (void)snprintf(run->told, sizeof(run->told), "%s", buf_text(&out));
    }
    buf_done(&out);
    free(adopting);
}

/* Asks for beat, host and pid: "uuid/beat/host/pid", sorted; the ages are looked at here. */
static void workers(struct run *run)
{
    struct args args;
    struct buf out = BUF_INIT(sizeof(run->told));

    begin(&args, &queue_script_workers);
    add(&args, "0");
    add(&args, "beat");
    add(&args, "host");
    add(&args, "pid");
    call_script(run, &args);
    for (size_t i = 1; i < run->reply->elements; i++) {
        const redisReply *entry = run->reply->element[i];

        if (strtoll(entry->element[1]->str, NULL, 10) > 60000)
            (void)buf_append_text(&out, "old:");
        (void)buf_printf(&out, "%s", entry->element[0]->str);
        for (size_t j = 2; j < entry->elements; j++)
            (void)buf_printf(&out, "/%s", entry->element[j]->str ? entry->element[j]->str : "-");
        (void)buf_append_char(&out, ' ');
    }
    (void)snprintf(run->told, sizeof(run->told), "%s%s", buf_text(&out),
                   strcmp(run->reply->element[0]->str, "0") ? "more" : "end");
    buf_done(&out);
}

bool scenario_call(struct run *run)
{
    static const struct {
        const char *verb;
        void (*does)(struct run *run);
    } verbs[] = {
        { "turn", turn },
        { "renew", renew },
        { "outcome", outcome },
        { "stalled", check_stalled },
        { "leave", call_of_one_word },
        { "concurrency", call_of_one_word },
        { "fence", call_of_one_word },
        { "stock-stalled", stock_stalled },
        { "recover", recover },
        { "recover-piece", recover_one_piece },
        { "adopt", adopt },
        { "workers", workers },
    };

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (!strcmp(verbs[i].verb, word(run, 0))) {
            verbs[i].does(run);
            return true;
        }
    }
    return false;
}
