/* The parts of common/redis that need no server: encoding, reading INFO, classes of errors. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/encode.h"
#include "common/redis/info.h"
#include "common/redis/redis.h"
#include "common/redis/resolve.h"

/* ---- classes ---- */

static const struct {
    const char *text;
    enum redis_error_class class;
} errors[] = {
    { "LOADING Redis is loading the dataset in memory", REDIS_CLASS_LATER },
    { "BUSY Redis is busy running a script.", REDIS_CLASS_LATER },
    { "MASTERDOWN Link with MASTER is down", REDIS_CLASS_LATER },
    { "CLUSTERDOWN The cluster is down", REDIS_CLASS_LATER },
    { "TRYAGAIN Multiple keys request during rehashing of slot", REDIS_CLASS_LATER },
    { "READONLY You can't write against a read only replica.", REDIS_CLASS_READONLY },
    { "READONLY You can't write against a read only replica. script: ab, on @user_script:1.",
      REDIS_CLASS_READONLY },
    { "OOM command not allowed when used memory > 'maxmemory'.", REDIS_CLASS_MEMORY },
    { "MISCONF Redis is configured to save RDB snapshots", REDIS_CLASS_DISK },
    { "NOREPLICAS Not enough good replicas to write.", REDIS_CLASS_DISK },
    { "ERR max number of clients reached", REDIS_CLASS_CLIENTS },
    { "NOAUTH Authentication required.", REDIS_CLASS_DENIED },
    { "WRONGPASS invalid username-password pair or user is disabled.", REDIS_CLASS_DENIED },
    { "NOPERM this user has no permissions to run the 'get' command", REDIS_CLASS_DENIED },
    { "NOSCRIPT No matching script. Please use EVAL.", REDIS_CLASS_NOSCRIPT },
    { "MOVED 3999 127.0.0.1:6381", REDIS_CLASS_REDIRECT },
    { "ASK 3999 127.0.0.1:6381", REDIS_CLASS_REDIRECT },
    { "ERR unknown command 'X'", REDIS_CLASS_OTHER },
    { "WRONGTYPE Operation against a key", REDIS_CLASS_OTHER },
    { "BUSYGROUP Consumer Group name already exists", REDIS_CLASS_OTHER },
    { "BUSYKEY Target key name already exists.", REDIS_CLASS_OTHER },
    { "OOM", REDIS_CLASS_MEMORY },
    { "oom in lower case", REDIS_CLASS_OTHER },
    { "", REDIS_CLASS_OTHER },
};

Test(redis_classes, first_word_decides)
{
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        char text[128];
        redisReply reply = { .type = REDIS_REPLY_ERROR, .str = text };

        (void)snprintf(text, sizeof(text), "%s", errors[i].text);
        reply.len = strlen(text);
        cr_expect(redis_error_class(&reply) == errors[i].class, "'%s' became %s", errors[i].text,
                  redis_error_class_name(redis_error_class(&reply)));
    }
}

Test(redis_classes, only_errors_have_one)
{
    char text[] = "OOM is a fine value";
    const redisReply status = { .type = REDIS_REPLY_STATUS, .str = text, .len = sizeof(text) - 1 };
    const redisReply string = { .type = REDIS_REPLY_STRING, .str = text, .len = sizeof(text) - 1 };

    cr_expect(redis_error_class(NULL) == REDIS_CLASS_NONE);
    cr_expect(redis_error_class(&status) == REDIS_CLASS_NONE);
    cr_expect(redis_error_class(&string) == REDIS_CLASS_NONE);
}

Test(redis_classes, every_class_has_a_name_of_its_own)
{
    for (int i = REDIS_CLASS_NONE; i <= REDIS_CLASS_OTHER; i++)
        for (int j = REDIS_CLASS_NONE; j < i; j++)
            cr_expect(strcmp(redis_error_class_name((enum redis_error_class)i),
                             redis_error_class_name((enum redis_error_class)j)) != 0,
                      "%d and %d", i, j);
    cr_expect(strcmp(redis_error_class_name((enum redis_error_class)99), "unknown") == 0);
}

/* ---- encoding ---- */

Test(redis_encode, writes_what_hiredis_writes)
{
    static const char bytes[] = { 'a', '\0', '\r', '\n', (char)0xff };
    char big[1234];
    const char *argv[] = { "SET", "", bytes, big };
    const size_t lens[] = { 3, 0, sizeof(bytes), sizeof(big) };
    char *expected = NULL, *at = NULL;
    char written[2048];
    size_t size = redis_encode_array_bytes(ARRAY_SIZE(argv));
    int expected_len = 0;

    memset(big, 'x', sizeof(big));
    for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
        size += redis_encode_bulk_bytes(lens[i]);
    at = redis_encode_array(written, ARRAY_SIZE(argv));
    for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
        at = redis_encode_bulk(at, argv[i], lens[i]);

    expected_len = redisFormatCommandArgv(&expected, ARRAY_SIZE(argv), argv, lens);
    cr_assert(eq(sz, size, (size_t)expected_len));
    cr_assert(eq(sz, (size_t)(at - written), size));
    cr_expect(memcmp(written, expected, size) == 0);
    redisFreeCommand(expected);
}

Test(redis_encode, sizes_agree_at_every_change_of_digits)
{
    static const size_t lens[] = { 0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 99999, 100000 };
    char *bytes = calloc(1, 100000);
    char *written = malloc(100100);

    cr_assert(bytes && written);
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        char head[32];
        char *end = redis_encode_bulk(written, bytes, lens[i]);

        (void)snprintf(head, sizeof(head), "$%zu\r\n", lens[i]);
        cr_expect(eq(sz, (size_t)(end - written), redis_encode_bulk_bytes(lens[i])));
        cr_expect(strncmp(written, head, strlen(head)) == 0, "length %zu", lens[i]);
        cr_expect(memcmp(end - 2, "\r\n", 2) == 0);
        cr_expect(eq(sz, (size_t)(redis_encode_array(written, lens[i]) - written),
                     redis_encode_array_bytes(lens[i])));
    }
    free(bytes);
    free(written);
}

/* ---- INFO ---- */

static const char info[] = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n"
                           "# Replication\r\nrole:master\r\nempty:\r\nversion:x\r\nlast:1";

Test(redis_info, finds_whole_names_only)
{
    static const struct {
        const char *field, *value; /* NULL: absent */
    } rows[] = {
        { "redis_version", "7.0.15" },
        { "role", "master" },
        { "empty", "" },
        { "last", "1" }, /* without a line end */
        { "version", "x" },
        { "redis_mode", "standalone" },
        { "redis", NULL },
        { "mode", NULL },
        { "# Server", NULL },
        { "missing", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char value[32] = "before";
        bool found = redis_info_field(info, sizeof(info) - 1, rows[i].field, value, sizeof(value));

        cr_expect(found == (rows[i].value != NULL), "%s", rows[i].field);
        cr_expect(strcmp(value, rows[i].value ? rows[i].value : "") == 0, "%s is '%s'",
                  rows[i].field, value);
    }
}

Test(redis_info, refuses_a_value_that_does_not_fit)
{
    char value[6] = "befor";

    cr_expect(not(redis_info_field(info, sizeof(info) - 1, "redis_version", value, sizeof(value))));
    cr_expect(value[0] == '\0');
    cr_expect(not(redis_info_field("", 0, "role", value, sizeof(value))));
}

Test(redis_info, compares_versions)
{
    static const struct {
        const char *version;
        bool enough; /* 6.2 */
    } rows[] = {
        { "6.2.0", true },   { "6.2.0-rc1", true }, { "6.10.1", true },
        { "7.0", true },     { "10.0.1", true },    { "255.255.255", true },
        { "6.1.99", false }, { "6.0.16", false },   { "5.9", false },
        { "6", false },      { "", false },         { "x.y", false },
        { ".7", false },     { "6.", false },       { "99999999999999999999.1", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_expect(redis_version_at_least(rows[i].version, 6, 2) == rows[i].enough, "'%s'",
                  rows[i].version);
}

/* ---- addresses ---- */

Test(redis_resolve, literals_need_no_look_up)
{
    static const struct {
        const char *host;
        bool literal;
    } rows[] = {
        { "127.0.0.1", true },  { "::1", true },
        { "fe80::1%lo", true }, { "localhost", false },
        { "1.2.3", false },     { "1.2.3.4.5", false },
        { "", false },          { "redis.example", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct resolve_result result = { .count = 0 };

        cr_expect(resolve_literal(rows[i].host, &result) == rows[i].literal, "'%s'", rows[i].host);
        cr_expect(result.count == (rows[i].literal ? 1 : 0), "'%s'", rows[i].host);
        if (rows[i].literal)
            cr_expect(strcmp(result.addresses[0], rows[i].host) == 0, "'%s'", rows[i].host);
    }
}
