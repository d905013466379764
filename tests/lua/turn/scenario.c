#include "tests/lua/turn/scenario_internal.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

#define TEXT_MAX (1U << 20)

void broken(struct run *run, const char *format, ...)
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

void tell(struct run *run, const char *format, ...)
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

const char *word(struct run *run, size_t at)
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

/* What waits is left out where nothing does. */
static void show_renewal(const redisReply *reply, struct buf *out)
{
    (void)buf_printf(out, "%lld %s%s", reply->element[0]->integer, reply->element[1]->str,
                     reply->element[2]->integer ? " fenced" : "");
    if (reply->element[3]->integer < 0 && !reply->element[2]->integer)
        (void)buf_append_text(out, " waiting=?");
    if (reply->element[3]->integer > 0)
        (void)buf_printf(out, " waiting=%lld", reply->element[3]->integer);
    if (reply->element[4]->len > 0)
        (void)buf_printf(out, " oldest=%s", reply->element[4]->str);
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
        show_renewal(reply, out);
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
    const char *verb = word(run, 0);

    if (!strcmp(verb, "job") || !strcmp(verb, "active"))
        make_job(run);
    else if (!strcmp(verb, "fill"))
        fill(run);
    else if (!strcmp(verb, "+"))
        do_command(run);
    else if (!strcmp(verb, "now"))
        (void)snprintf(run->now, sizeof(run->now), "%s", word(run, 1));
    else if (!strcmp(verb, "loose"))
        run->loose = true;
    else if (strstr(" reply refused is field has events events-of ttl ", verb))
        look(run, rest);
    else if (!scenario_call(run))
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
