#include "tests/lua/turn/scenario.h"

#include <criterion/criterion.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/lua/queue_scripts.h"

#define PREFIX    "bull:q:"
#define PRIVATE   "drover:{bull:q}:"
#define WORDS_MAX 600
#define TEXT_MAX  (1U << 20)

static const char *const key_names[] = {
    "wait",      "paused",  "active",        "prioritized", "delayed", "waiting-children",
    "completed", "failed",  "marker",        "id",          "pc",      "meta",
    "events",    "stalled", "stalled-check", "limiter",
};

#define WALKS   2 /* recover-piece a and b */
#define ANCHORS 16

struct walk {
    char anchors[ANCHORS][64];
    size_t count;
};

struct run {
    const struct scenario *row;
    size_t line; /* from 1 */
    redisContext *redis;
    redisReply *reply; /* of the last call; owned */
    bool by_turn;      /* that call was a turn */
    char told[4096];   /* what a call that was put together out of pieces answered, else "" */
    struct walk walks[WALKS];
    char words[WORDS_MAX][256];
    size_t words_count;
    char now[256];
    unsigned calls;
    char last_event[64];
    bool loose;
    bool good;    /* all lines were right */
    jmp_buf left; /* where a broken row goes */
};

/* Says what is wrong and leaves the row; the others still run. */
static void __attribute__((noreturn, format(printf, 2, 3)))
broken(struct run *run, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s, line %zu: ", run->row->name, run->line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    longjmp(run->left, 1);
}

/* ---- talking to Redis
 * ----------------------------------------------------------------------------------- */

static redisReply *ask(struct run *run, const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(run->redis, format, args);
    va_end(args);
    if (!reply)
        broken(run, "the connection broke: %s", run->redis->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        broken(run, "%s: %s", format, reply->str);
    return reply;
}

static void tell(struct run *run, const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(run->redis, format, args);
    va_end(args);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        broken(run, "%s: %s", format, reply ? reply->str : run->redis->errstr);
    freeReplyObject(reply);
}

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

/* ---- words
 * ---------------------------------------------------------------------------------------------- */

static void split(struct run *run, const char *line, size_t len)
{
    const char *at = line, *end = line + len;

    run->words_count = 0;
    while (at < end) {
        char *word;
        size_t size = 0;
        bool quoted = false;

        while (at < end && *at == ' ')
            at++;
        if (at == end)
            break;
        if (run->words_count == WORDS_MAX)
            broken(run, "too many words");
        word = run->words[run->words_count++];
        for (; at < end && (quoted || *at != ' '); at++) {
            if (*at == '"')
                quoted = !quoted;
            else if (size < sizeof(run->words[0]) - 1)
                word[size++] = *at;
        }
        word[size] = '\0';
    }
}

static const char *word(struct run *run, size_t at)
{
    return at < run->words_count ? run->words[at] : "";
}

/* `:x` and `$x` as keys. */
static const char *expand(const char *text, char out[512])
{
    if (text[0] == ':' && text[1])
        (void)snprintf(out, 512, PREFIX "%s", text + 1);
    else if (text[0] == '$' && text[1])
        (void)snprintf(out, 512, PRIVATE "%s", text + 1);
    else
        (void)snprintf(out, 512, "%s", text);
    return out;
}

/* ---- what a key holds, as text
 * -------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Elements in groups of `group`, joined by '='; sorted when the order means nothing. */
static void show_groups(struct buf *out, const redisReply *reply, size_t group, bool sorted)
{
    size_t count = reply->elements / group;
    char **texts = calloc(count + 1, sizeof(*texts));

    for (size_t i = 0; i < count; i++) {
        struct buf one = BUF_INIT(TEXT_MAX);

        for (size_t j = 0; j < group; j++) {
            (void)buf_append_text(&one, j ? "=" : "");
            (void)buf_append_text(&one, reply->element[i * group + j]->str);
        }
        texts[i] = buf_take(&one);
    }
    if (sorted)
        qsort(texts, count, sizeof(*texts), compare_texts);
    for (size_t i = 0; i < count; i++) {
        (void)buf_append_text(out, i ? " " : "");
        (void)buf_append_text(out, texts[i]);
        free(texts[i]);
    }
    free(texts);
}

static void show(struct run *run, const char *key, struct buf *out)
{
    redisReply *kind = ask(run, "TYPE %s", key);
    redisReply *reply = NULL;

    if (!strcmp(kind->str, "none")) {
        (void)buf_append_text(out, "-");
    } else if (!strcmp(kind->str, "string")) {
        reply = ask(run, "GET %s", key);
        (void)buf_append_text(out, reply->str);
    } else if (!strcmp(kind->str, "list")) {
        reply = ask(run, "LRANGE %s 0 -1", key);
        show_groups(out, reply, 1, false);
    } else if (!strcmp(kind->str, "set")) {
        reply = ask(run, "SMEMBERS %s", key);
        show_groups(out, reply, 1, true);
    } else if (!strcmp(kind->str, "zset")) {
        reply = ask(run, "ZRANGE %s 0 -1 WITHSCORES", key);
        show_groups(out, reply, 2, false);
    } else if (!strcmp(kind->str, "hash")) {
        reply = ask(run, "HGETALL %s", key);
        show_groups(out, reply, 2, true);
    } else {
        (void)buf_append_text(out, kind->str);
    }
    freeReplyObject(kind);
    if (reply)
        freeReplyObject(reply);
}

static void show_events(struct run *run, const char *key, const char *after, struct buf *out,
                        bool note)
{
    redisReply *reply = ask(run, "XRANGE %s (%s +", key, after);

    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *fields = reply->element[i]->element[1];

        (void)buf_append_text(out, i ? " | " : "");
        for (size_t j = 0; j + 1 < fields->elements; j += 2) {
            if (j)
                (void)buf_printf(out, " %s=", fields->element[j]->str);
            (void)buf_append_text(out, fields->element[j + 1]->str);
        }
        if (note)
            (void)snprintf(run->last_event, sizeof(run->last_event), "%s",
                           reply->element[i]->element[0]->str);
    }
    freeReplyObject(reply);
}

static void show_turn(const redisReply *reply, struct buf *out)
{
    static const char *const names[] = { "waiting", "active", "due",    "limit",
                                         "flags",   "ghosts", "damaged" };
    const redisReply *codes = reply->element[7];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const redisReply *value = reply->element[i];
        bool number = value->type == REDIS_REPLY_INTEGER;

        if (number ? value->integer != 0 : strcmp(value->str, "0") != 0) {
            if (number)
                (void)buf_printf(out, "%s=%lld ", names[i], value->integer);
            else
                (void)buf_printf(out, "%s=%s ", names[i], value->str);
        }
    }
    (void)buf_append_text(out, "codes=");
    for (size_t i = 0; codes->type == REDIS_REPLY_ARRAY && i < codes->elements; i++) {
        const redisReply *code = codes->element[i];

        (void)buf_append_text(out, i ? "," : "");
        if (code->type == REDIS_REPLY_INTEGER)
            (void)buf_printf(out, "%lld", code->integer);
        else
            (void)buf_append_text(out, "damaged");
    }
    if (codes->type == REDIS_REPLY_INTEGER)
        (void)buf_append_text(out, "ok");
    (void)buf_append_text(out, " jobs=");
    for (size_t i = 8; i < reply->elements; i++)
        (void)buf_printf(out, "%s%s", i > 8 ? "," : "", reply->element[i]->element[13]->str);
}

static void show_reply(struct run *run, struct buf *out)
{
    const redisReply *reply = run->reply;

    if (run->told[0]) {
        (void)buf_append_text(out, run->told);
    } else if (!reply) {
        (void)buf_append_text(out, "no call yet");
    } else if (run->by_turn && reply->type == REDIS_REPLY_ARRAY) {
        show_turn(reply, out);
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        (void)buf_printf(out, "%lld", reply->integer);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        (void)buf_printf(out, "%lld %s%s", reply->element[0]->integer, reply->element[1]->str,
                         reply->element[2]->integer ? " fenced" : ""); /* renew */
    } else {
        (void)buf_append_text(out, reply->str);
    }
}

/* ---- the lines
 * ------------------------------------------------------------------------------------------ */

static void make_job(struct run *run)
{
    bool active = !strcmp(word(run, 0), "active");
    const char *id = word(run, 1);

    tell(run, "HSET " PREFIX "%s name n data {} opts {} timestamp 1 delay 0 priority 0", id);
    if (active) {
        tell(run, "HSET " PREFIX "%s ats 1 processedOn 5", id);
        tell(run, "LPUSH " PREFIX "active %s", id);
        tell(run, "SET " PREFIX "%s:lock U:1 PX 30000", id);
    }
    for (size_t i = 2; i < run->words_count; i++) {
        char *value = strchr(run->words[i], '=');

        if (!value)
            broken(run, "field=value expected");
        *value++ = '\0';
        tell(run, "HSET " PREFIX "%s %s %s", id, run->words[i], value);
    }
}

static void fill(struct run *run)
{
    int count = atoi(word(run, 2));

    for (int i = 1; i <= count; i++) {
        tell(run, "HSET " PREFIX "%s%d name n data {} opts {} timestamp 1 delay 0 priority 0",
             word(run, 1), i);
        tell(run, "LPUSH " PREFIX "wait %s%d", word(run, 1), i);
    }
}

static void do_command(struct run *run)
{
    const char *argv[WORDS_MAX];
    char(*keys)[512] = calloc(run->words_count, sizeof(*keys));
    redisReply *reply;

    for (size_t i = 1; i < run->words_count; i++)
        argv[i - 1] = expand(run->words[i], keys[i]);
    reply = redisCommandArgv(run->redis, (int)run->words_count - 1, argv, NULL);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        broken(run, "%s: %s", word(run, 1), reply ? reply->str : run->redis->errstr);
    freeReplyObject(reply);
    free(keys);
}

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
    if (strchr("ld", *kind))
        add(args, option(run, at, "delay", "500"));
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
    add_count(&args, (run->words_count - 2) / 3);
    add_words(run, &args, 2, run->words_count);
    call_script(run, &args);
}

static void call_of_one_word(struct run *run)
{
    const char *verb = word(run, 0);
    struct args args;

    if (!strcmp(verb, "leave")) {
        begin(&args, &queue_script_leave);
        add(&args, "U");
    } else if (!strcmp(verb, "fence")) {
        begin(&args, &queue_script_fence);
        add(&args, word(run, 1));
    } else {
        begin(&args, &queue_script_stalled);
        add(&args, run->now);
        add(&args, "30000");
        add(&args, word(run, 1));
    }
    call_script(run, &args);
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

    begin(&args, &queue_script_adopt);
    add(&args, run->now);
    add(&args, "U");
    add(&args, "30000");
    add_count(&args, (size_t)atoi(option(run, 1, "want", "0")) - adopted);
    add(&args, option(run, 1, "look", "500"));
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

static void expect(struct run *run, const char *what, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0)
        broken(run, "%s\n     is: %s\n wanted: %s", what, got, wanted);
}

static void look(struct run *run, const char *rest)
{
    char key[512];
    const char *verb = word(run, 0);
    struct buf out = BUF_INIT(TEXT_MAX);

    if (!strcmp(verb, "refused")) {
        size_t len = strlen(rest);

        if (!run->reply || run->reply->type != REDIS_REPLY_ERROR ||
            strncmp(run->reply->str, rest, len) != 0)
            broken(run, "not refused with %s, but: %s", rest,
                   run->reply && run->reply->str ? run->reply->str : "not");
    } else if (!strcmp(verb, "reply")) {
        show_reply(run, &out);
        expect(run, "reply", buf_text(&out), rest);
    } else if (!strcmp(verb, "is")) {
        show(run, expand(word(run, 1), key), &out);
        expect(run, key, buf_text(&out), rest + strlen(word(run, 1)) + 1);
    } else if (!strcmp(verb, "events")) {
        show_events(run, PREFIX "events", run->last_event, &out, true);
        expect(run, "events", buf_text(&out), rest);
    } else if (!strcmp(verb, "events-of")) {
        (void)snprintf(key, sizeof(key), "%s:events", word(run, 1));
        show_events(run, key, "0", &out, false);
        expect(run, key, buf_text(&out), rest + strlen(word(run, 1)) + 1);
    } else if (!strcmp(verb, "ttl")) {
        redisReply *reply = ask(run, "PTTL %s", expand(word(run, 1), key));

        if (reply->integer <= 0)
            broken(run, "%s has no time to live", key);
        freeReplyObject(reply);
    } else { /* field, has */
        redisReply *reply = ask(run, "HGET " PREFIX "%s %s", word(run, 1), word(run, 2));
        const char *got = reply->str ? reply->str : "-";

        if (!strcmp(verb, "field"))
            expect(run, word(run, 2), got, word(run, 3));
        else if (!strstr(got, word(run, 3)))
            broken(run, "%s of %s: \"%s\" is not in \"%s\"", word(run, 2), word(run, 1),
                   word(run, 3), got);
        freeReplyObject(reply);
    }
    buf_done(&out);
}

static void do_line(struct run *run, const char *rest)
{
    static const struct {
        const char *verb;
        void (*does)(struct run *run);
    } verbs[] = {
        { "job", make_job },
        { "active", make_job },
        { "fill", fill },
        { "+", do_command },
        { "turn", turn },
        { "renew", renew },
        { "outcome", outcome },
        { "stalled", call_of_one_word },
        { "leave", call_of_one_word },
        { "fence", call_of_one_word },
        { "stock-stalled", stock_stalled },
        { "recover", recover },
        { "recover-piece", recover_one_piece },
        { "adopt", adopt },
        { "workers", workers },
    };
    const char *verb = word(run, 0);

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (!strcmp(verbs[i].verb, verb)) {
            verbs[i].does(run);
            return;
        }
    }
    if (!strcmp(verb, "now"))
        (void)snprintf(run->now, sizeof(run->now), "%s", word(run, 1));
    else if (!strcmp(verb, "loose"))
        run->loose = true;
    else if (strstr(" reply refused is field has events events-of ttl ", verb))
        look(run, rest);
    else
        broken(run, "unknown verb %s", verb);
}

/* ---- the invariants
 * ------------------------------------------------------------------------------------- */

/* Run by the server, so that the look itself is one instant. */
static const char invariants[] =
    "local P, bad, place = ARGV[1], {}, {}\n"
    "local function at(name, ids) for _, id in ipairs(ids) do\n"
    "  if place[id] then bad[#bad + 1] = id .. ' is in ' .. place[id] .. ' and in ' .. name end\n"
    "  place[id] = name end end\n"
    "for _, name in ipairs({'wait', 'paused', 'active'}) do at(name, redis.call('LRANGE', P .. "
    "name, 0, -1)) end\n"
    "for _, name in ipairs({'prioritized', 'delayed', 'waiting-children', 'completed', 'failed'}) "
    "do\n"
    "  at(name, redis.call('ZRANGE', P .. name, 0, -1)) end\n"
    "for id, name in pairs(place) do\n"
    "  if redis.call('TYPE', P .. id).ok ~= 'hash' then bad[#bad + 1] = id .. ' in ' .. name .. ' "
    "has no hash' end\n"
    "  local lock = redis.call('EXISTS', P .. id .. ':lock') == 1\n"
    "  if lock and name ~= 'active' then bad[#bad + 1] = id .. ' in ' .. name .. ' has a lock' end "
    "end\n"
    "local known = {}\n"
    "for name in string.gmatch('wait paused active prioritized delayed waiting-children completed "
    "failed marker id '\n"
    "  .. 'pc meta events stalled stalled-check limiter repeat', '%S+') do known[name] = true end\n"
    "local parts = {logs = 1, dependencies = 1, processed = 1, failed = 1, unsuccessful = 1, lock "
    "= 1}\n"
    "for _, key in ipairs(redis.call('KEYS', P .. '*')) do\n"
    "  local name = string.sub(key, #P + 1)\n"
    "  local id, part = string.match(name, '^(.-):(.+)$')\n"
    "  if not (known[name] or place[name] or (id and place[id] and parts[part])\n"
    "    or id == 'de' or id == 'dn' or id == 'repeat') then bad[#bad + 1] = 'left behind: ' .. "
    "key end end\n"
    "return table.concat(bad, '; ')\n";

static void check_invariants(struct run *run)
{
    redisReply *reply = ask(run, "EVAL %s 0 %s", invariants, PREFIX);

    if (reply->len > 0)
        broken(run, "invariants: %s", reply->str);
    freeReplyObject(reply);
}

static void run_lines(struct run *run)
{
    for (const char *line = run->row->lines; *line;) {
        size_t len = strcspn(line, "\n");
        char copy[4096];
        char *rest;

        run->line++;
        (void)snprintf(copy, sizeof(copy), "%.*s", (int)len, line);
        split(run, copy, strlen(copy));
        rest = strchr(copy, ' ');
        if (run->words_count > 0)
            do_line(run, rest ? rest + 1 : "");
        line += len + (line[len] == '\n');
    }
    if (!run->loose)
        check_invariants(run);
}

static bool run_row(const struct scenario *row, redisContext *redis)
{
    struct run *run = calloc(1, sizeof(*run));
    bool good;

    *run =
        (struct run){ .row = row, .redis = redis, .now = "1000000", .calls = 1, .last_event = "0" };
    if (setjmp(run->left) == 0) {
        tell(run, "CONFIG SET maxmemory 0");
        tell(run, "REPLICAOF NO ONE");
        tell(run, "FLUSHALL");
        run_lines(run);
        run->good = true;
    }
    good = run->good;
    if (run->reply)
        freeReplyObject(run->reply);
    free(run);
    return good;
}

void scenario_run_all(const struct scenario *rows, size_t count)
{
    struct redis_server server = { 0 };
    redisContext *redis;
    size_t bad = 0;

    redis_server_start(&server, NULL);
    redis = redis_server_connect(&server);
    for (size_t i = 0; i < count; i++)
        bad += !run_row(&rows[i], redis);
    redisFree(redis);
    redis_server_stop(&server);
    cr_assert_eq(bad, 0, "%zu of %zu rows failed, see above", bad, count);
}
