/* Which node serves which slot, out of what nodes answer; and which slot a command is for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/redis/cluster_keys.h"
#include "common/redis/cluster_map.h"

static const struct config_node from = { (char *)(uintptr_t) "10.0.0.9", 7000 };

Test(cluster_map, redirections)
{
    static const struct {
        const char *text, *host;
        unsigned int slot, port;
    } rows[] = {
        { "MOVED 3999 10.0.0.1:6381", "10.0.0.1", 3999, 6381 },
        { "ASK 0 10.0.0.1:6381", "10.0.0.1", 0, 6381 },
        { "MOVED 16383 fe80::1:2:6381", "fe80::1:2", 16383, 6381 },
        { "MOVED 1 redis-3.example.org:6379", "redis-3.example.org", 1, 6379 },
        { "MOVED 1 :6381", "10.0.0.9", 1, 6381 },
        { "MOVED 1 ?:6381", "10.0.0.9", 1, 6381 },
        { "MOVED 1 10.0.0.1:6381 more", "10.0.0.1", 1, 6381 },
    };
    static const char *const bad[] = {
        "MOVED",          "MOVED 1",
        "MOVED 1 ",       "MOVED 1 host",
        "MOVED x host:1", "MOVED 16384 host:1",
        "MOVED 1 host:0", "MOVED 1 host:65536",
        "MOVED 1 host:x", "MOVED  host:1",
    };
    struct cluster_map map;

    cluster_map_init(&map);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned int slot = 99999;
        int at = cluster_map_read_redirect(&map, rows[i].text, &from, &slot);

        cr_assert(at >= 0, "%s", rows[i].text);
        cr_expect_str_eq(map.nodes[at].host, rows[i].host);
        cr_expect(map.nodes[at].port == rows[i].port && slot == rows[i].slot, "%s", rows[i].text);
    }
    cr_expect(map.count == 4, "an address is entered once");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned int slot = 0;

        cr_expect(cluster_map_read_redirect(&map, bad[i], &from, &slot) == -1, "%s", bad[i]);
    }
    cluster_map_done(&map);
}

Test(cluster_map, no_more_nodes_than_fit)
{
    struct cluster_map map;
    char host[16];

    cluster_map_init(&map);
    for (int i = 0; i < CLUSTER_MAP_NODES_MAX; i++) {
        (void)snprintf(host, sizeof(host), "h%d", i);
        cr_assert(cluster_map_enter(&map, host, 1) == i);
    }
    cr_expect(cluster_map_enter(&map, "one more", 1) == -1);
    cr_expect(cluster_map_enter(&map, "h7", 1) == 7);
    cluster_map_done(&map);
}

/* Replies as hiredis reads them. */
static redisReply *read_reply(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    cr_assert(redisReaderFeed(reader, text, strlen(text)) == REDIS_OK);
    cr_assert(redisReaderGetReply(reader, &reply) == REDIS_OK && reply);
    redisReaderFree(reader);
    return reply;
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$1\r\nx\r\n"

Test(cluster_map, slots_of_a_reply)
{
    redisReply *reply =
        read_reply("*3\r\n"
                   "*4\r\n:0\r\n:99\r\n" NODE("$1\r\na\r\n", "1")
                       NODE("$1\r\nr\r\n", "2") "*3\r\n:200\r\n:16383\r\n" NODE(
                           "$0\r\n\r\n", "3") "*3\r\n:150\r\n:150\r\n" NODE("$1\r\na\r\n", "1"));
    struct cluster_map map;
    struct error err = { 0 };

    cluster_map_init(&map);
    cr_assert(cluster_map_read(&map, reply, &from, &err) == 0, "%s", err.text);
    cr_expect(map.count == 2, "replicas are none");
    cr_expect(map.owner[0] == 0 && map.owner[99] == 0 && map.owner[150] == 0);
    cr_expect(map.owner[100] == CLUSTER_MAP_NOBODY && map.owner[199] == CLUSTER_MAP_NOBODY);
    cr_expect(map.owner[200] == 1 && map.owner[16383] == 1);
    cr_expect_str_eq(map.nodes[1].host, "10.0.0.9");
    cluster_map_done(&map);
    freeReplyObject(reply);
}

Test(cluster_map, replies_that_are_none)
{
    static const char *const rows[] = {
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n:2\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:-1\r\n:1\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:5\r\n:4\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$1\r\na\r\n", "0"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$1\r\na\r\n", "70000"),
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        redisReply *reply = read_reply(rows[i]);
        struct cluster_map map;
        struct error err = { 0 };

        cluster_map_init(&map);
        cr_expect(cluster_map_read(&map, reply, &from, &err) == -EPROTO && err.text[0], "%s",
                  rows[i]);
        cluster_map_done(&map);
        freeReplyObject(reply);
    }
}

Test(cluster_keys, the_key_of_a_command)
{
    static const struct {
        const char *words[8], *key;
    } rows[] = {
        { { "GET", "k" }, "k" },
        { { "BZPOPMIN", "k", "5" }, "k" },
        { { "scan", "0" }, NULL },
        { { "CLIENT", "LIST" }, NULL },
        { { "PING" }, NULL },
        { { "GET" }, NULL },
        { { "XREAD", "COUNT", "5", "BLOCK", "0", "STREAMS", "k", "0" }, "k" },
        { { "XREAD", "STREAMS" }, NULL },
        { { "XINFO", "STREAM", "k" }, "k" },
        { { "EVAL", "return 1", "1", "k" }, "k" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct call call = { .argv = rows[i].words };
        const char *key = NULL;
        size_t len = 0;

        while (call.argc < 8 && rows[i].words[call.argc])
            call.argc++;
        key = cluster_first_key(&call, &len);
        cr_expect((key != NULL) == (rows[i].key != NULL), "row %zu", i);
        cr_expect(!key || !rows[i].key || strncmp(key, rows[i].key, len) == 0, "row %zu", i);
    }
}

Test(cluster_keys, scripts)
{
    static const char *const words[] = { "{q}:a", "{q}:b", "{r}:c", "argument" };
    struct redis_script script = { .name = "s" };
    struct call call = { .script = &script, .keys_count = 2, .argc = 4, .argv = words };
    struct error err = { 0 };
    size_t len = 0;
    char *guard = NULL;

    cr_expect(cluster_check_keys(&call, &err) == 0);
    call.keys_count = 3;
    cr_expect(cluster_check_keys(&call, &err) == -EINVAL && strstr(err.text, "{r}:c"));
    call.keys_count = 0;
    cr_expect(cluster_first_key(&call, &len) == NULL);
    guard = cluster_guard_key("bull:{q}:wait", 13);
    cr_expect_str_eq(guard, "drover:{q}:moving");
    free(guard);
}
