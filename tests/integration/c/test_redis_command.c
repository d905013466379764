/* Commands: each accepted one is answered exactly once, whatever happens to the server. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/integration/c/client.h"

static size_t count_outcome(const struct client *client, enum redis_outcome outcome)
{
    size_t count = 0;

    for (size_t i = 0; i < client->calls_count; i++)
        count += client->calls[i].answers && client->calls[i].outcome == outcome;
    return count;
}

static void wait_all(struct client *client)
{
    client_wait(client, client->answers_count == client->calls_count);
}

/* ---- the ordinary case ---- */

Test(redis_command, replies_come_in_order)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int i = 0; i < 5000; i++)
        (void)client_send(&client, "INCR", "counter");
    wait_all(&client);
    for (size_t i = 0; i < client.calls_count; i++)
        cr_assert(client.calls[i].integer == (long long)i + 1 && client.calls[i].order == i + 1);
    cr_expect(client.told_count == 1);
    client_end(&client);
}

Test(redis_command, bytes_are_kept)
{
    static const char value[] = { 'a', '\0', '\r', '\n', (char)0xff, 'z' };
    const char *const set[] = { "SETRANGE", "key", "0", value, NULL };
    const size_t lens[] = { 8, 3, 1, sizeof(value) };
    struct client client;
    redisReply *reply = NULL;

    client_init(&client, NULL);
    client_open_ready(&client);
    cr_assert(client_try(&client, 0, set, lens, NULL));
    wait_all(&client);
    reply = redis_server_ask(&client.server, "GET key");
    cr_expect(reply->len == sizeof(value) && memcmp(reply->str, value, sizeof(value)) == 0);
    freeReplyObject(reply);
    client_end(&client);
}

Test(redis_command, one_big_command_passes)
{
    size_t big_len = 8U << 20;
    char *big = malloc(big_len + 1);
    const char *const words[] = { "SET", "key", big, NULL };
    struct client client;

    cr_assert(big);
    memset(big, 'x', big_len);
    big[big_len] = '\0';
    client_init(&client, NULL);
    client_open_ready(&client);
    cr_assert(client_try(&client, 0, words, NULL, NULL));
    wait_all(&client);
    cr_expect(count_outcome(&client, REDIS_REPLY) == 1);
    cr_expect(redis_server_number(&client.server, "STRLEN key") == (long long)big_len);
    client_end(&client);
    free(big);
}

Test(redis_command, refused_while_not_ready)
{
    const char *const words[] = { "PING", NULL };
    struct client client;
    int code = 0;

    client_init(&client, NULL);
    client_open(&client);
    cr_expect(client_try(&client, 0, words, NULL, &code) == NULL && code == -ENOTCONN);
    client_wait(&client, client_is(&client, REDIS_READY));
    redis_close(client.redis);
    cr_expect(client_try(&client, 0, words, NULL, &code) == NULL && code == -ENOTCONN);
    cr_expect(redis_state(client.redis) == REDIS_CLOSED);
    client_end(&client);
}

/* ---- loss ---- */

Test(redis_command, killed_server_leaves_the_outcome_unknown)
{
    struct client client;
    char run_id[48];

    client_init(&client, NULL);
    client_open_ready(&client);
    (void)snprintf(run_id, sizeof(run_id), "%s", redis_server_run_id(client.redis));
    (void)client_send(&client, "BLPOP", "never", "0");
    for (int i = 0; i < 100; i++)
        (void)client_send(&client, "INCR", "counter");
    client_turn(&client);
    redis_server_kill(&client.server);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    cr_expect(count_outcome(&client, REDIS_UNKNOWN) == 101);
    cr_expect(strstr(client.calls[0].why, "connection lost") != NULL, "%s", client.calls[0].why);

    /* Back, and empty: another run. */
    redis_server_start_again(&client.server);
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(strcmp(run_id, redis_server_run_id(client.redis)) != 0);
    cr_expect(redis_server_number(&client.server, "DBSIZE") == 0);
    (void)client_send(&client, "INCR", "counter");
    wait_all(&client);
    cr_expect(client.calls[101].integer == 1);
    client_end(&client);
}

Test(redis_command, killed_client_comes_back)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int round = 1; round <= 5; round++) {
        redis_server_do(&client.server, "CLIENT KILL TYPE normal SKIPME yes");
        client_wait(&client, client_told_times(&client, REDIS_READY) == (size_t)round + 1);
        (void)client_send(&client, "PING");
        wait_all(&client);
    }
    cr_expect(client_told_times(&client, REDIS_WAITING) == 5);
    cr_expect(count_outcome(&client, REDIS_REPLY) == 5);
    client_end(&client);
}

/* What a command may still do when its outcome is unknown: ask again, which is refused. */
static void try_again(struct client *client, struct client_call *call)
{
    const char *const words[] = { "PING", NULL };
    int code = 0;

    if (call->outcome != REDIS_UNKNOWN)
        return;
    cr_expect(client_try(client, 0, words, NULL, &code) == NULL);
    cr_expect(code == -ENOTCONN);
    cr_expect(redis_state(client->redis) == REDIS_WAITING);
}

Test(redis_command, asking_inside_a_loss_is_refused)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    client_send(&client, "BLPOP", "never", "0")->on_answer = try_again;
    client_send(&client, "PING")->on_answer = try_again;
    client_turn(&client);
    redis_server_kill(&client.server);
    wait_all(&client);
    cr_expect(count_outcome(&client, REDIS_UNKNOWN) == 2);
    client_end(&client);
}

Test(redis_command, kills_at_many_moments_count_exactly)
{
    struct client client;

    client_init(&client, NULL);
    for (int turns = 0; turns < 8; turns++) {
        client_open_ready(&client);
        for (int i = 0; i < 2000; i++)
            (void)client_send(&client, "INCR", "counter");
        for (int i = 0; i < turns; i++)
            (void)uv_run(&client.loop, UV_RUN_NOWAIT);
        redis_server_kill(&client.server);
        wait_all(&client);
        client_wait(&client, client_is(&client, REDIS_WAITING));
        redis_close(client.redis);
        client_wait(&client, client.redis == NULL);
        redis_server_start_again(&client.server);
    }
    cr_expect(client.calls_count == 16000);
    cr_expect(count_outcome(&client, REDIS_REFUSED) == 0);
    client_end(&client);
}

Test(redis_command, unknown_is_never_told_of_what_did_not_run_twice)
{
    /* Replies counted as REPLY or UNKNOWN bound what the server did: nothing is sent twice. */
    struct client client;
    long long counter = 0;
    size_t replied = 0;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 1000; i++)
            (void)client_send(&client, "INCR", "counter");
        for (int i = 0; i < round; i++)
            (void)uv_run(&client.loop, UV_RUN_NOWAIT);
        redis_server_do(&client.server, "CLIENT KILL TYPE normal SKIPME yes");
        client_wait(&client, client_told_times(&client, REDIS_READY) == (size_t)round + 2);
    }
    wait_all(&client);
    replied = count_outcome(&client, REDIS_REPLY);
    counter = redis_server_number(&client.server, "INCRBY counter 0");
    cr_expect(counter >= (long long)replied, "%lld of %zu", counter, replied);
    cr_expect(counter <= (long long)client.calls_count);
    cr_expect(replied + count_outcome(&client, REDIS_UNKNOWN) == client.calls_count);
    client_end(&client);
}

/* ---- silence ---- */

static void expect_deadline(struct client *client)
{
    client_wait(client, client_is(client, REDIS_WAITING));
    cr_expect(strstr(client_last_why(client), "no reply to") != NULL, "told '%s'",
              client_last_why(client));
    cr_expect(count_outcome(client, REDIS_UNKNOWN) == client->calls_count);
}

Test(redis_command, stopped_server_is_found_by_the_deadline)
{
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 150;
    client.endpoint.connect_timeout_ms = 150;
    client_open_ready(&client);
    redis_server_pause(&client.server);
    for (int i = 0; i < 10; i++)
        (void)client_send(&client, "INCR", "counter");
    expect_deadline(&client);
    cr_expect(strstr(client.calls[0].why, "no reply to INCR within 150 ms") != NULL, "%s",
              client.calls[0].why);
    redis_server_resume(&client.server);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_command, paused_client_is_found_by_the_deadline)
{
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 150;
    client_open_ready(&client);
    redis_server_do(&client.server, "CLIENT PAUSE 600 ALL");
    (void)client_send(&client, "GET", "key");
    expect_deadline(&client);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_command, sleeping_server_is_found_by_the_deadline)
{
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 150;
    client_open_ready(&client);
    (void)client_send(&client, "DEBUG", "SLEEP", "0.8");
    (void)client_send(&client, "PING");
    expect_deadline(&client);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_command, a_deadline_of_its_own)
{
    const char *const words[] = { "DEBUG", "SLEEP", "0.4", NULL };
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 100;
    client_open_ready(&client);
    cr_assert(client_try(&client, 10000, words, NULL, NULL));
    wait_all(&client);
    cr_expect(client.calls[0].outcome == REDIS_REPLY);
    cr_expect(client.told_count == 1);
    client_end(&client);
}

Test(redis_command, short_deadline_behind_a_long_one)
{
    const char *const slow[] = { "BLPOP", "never", "0", NULL };
    const char *const quick[] = { "PING", NULL };
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    cr_assert(client_try(&client, 60000, slow, NULL, NULL));
    cr_assert(client_try(&client, 100, quick, NULL, NULL));
    expect_deadline(&client);
    cr_expect(strstr(client_last_why(&client), "PING within 100 ms") != NULL, "%s",
              client_last_why(&client));
    client_end(&client);
}

Test(redis_command, own_stall_is_not_the_servers)
{
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 100;
    client_open_ready(&client);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++)
            (void)client_send(&client, "PING");
        (void)uv_run(&client.loop, UV_RUN_NOWAIT);
        (void)usleep(250000); /* the stall itself: this process does not turn its loop */
        wait_all(&client);
    }
    cr_expect(count_outcome(&client, REDIS_REPLY) == 250);
    cr_expect(client.told_count == 1, "told '%s'", client_last_why(&client));
    client_end(&client);
}

Test(redis_command, blocking_connection_has_no_deadline_of_its_own)
{
    const char *const words[] = { "BZPOPMIN", "marker", "0.4", NULL };
    const char *const timed[] = { "BZPOPMIN", "marker", "0", NULL };
    struct client client;

    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 50;
    client.options.blocking = true;
    client_open_ready(&client);
    cr_assert(client_try(&client, 0, words, NULL, NULL));
    wait_all(&client);
    cr_expect(client.calls[0].outcome == REDIS_REPLY);
    cr_assert(client_try(&client, 200, timed, NULL, NULL));
    client_wait(&client, client_is(&client, REDIS_WAITING));
    cr_expect(client.calls[1].outcome == REDIS_UNKNOWN);
    client_end(&client);
}

/* ---- refusals that leave the connection alone ---- */

static void expect_refused(struct client *client, struct client_call *call,
                           enum redis_error_class class)
{
    client_wait(client, call->answers);
    cr_expect(call->outcome == REDIS_REFUSED, "%s", call->text);
    cr_expect(call->class == class, "'%s' is %s", call->why, redis_error_class_name(call->class));
    cr_expect(strcmp(call->why, call->text) == 0 || strlen(call->text) >= 159);
    cr_expect(client->told_count == 1 && redis_state(client->redis) == REDIS_READY);
}

static void expect_works(struct client *client, const char *command)
{
    struct client_call *call = client_send(client, command, "key");

    client_wait(client, call->answers);
    cr_expect(call->outcome == REDIS_REPLY, "%s: %s", command, call->why);
}

Test(redis_command, out_of_memory)
{
    struct client client;
    struct redis_script script;
    const char *const args[] = { "key", "value" };

    client_init(&client, NULL);
    client_open_ready(&client);
    client_script(&client, &script, "write", "return redis.call('SET', KEYS[1], ARGV[1])");
    redis_server_do(&client.server, "CONFIG SET maxmemory 1");
    expect_refused(&client, client_send(&client, "SET", "key", "value"), REDIS_CLASS_MEMORY);
    expect_refused(&client, client_run(&client, &script, 1, args, 2), REDIS_CLASS_MEMORY);
    expect_works(&client, "GET");
    redis_server_do(&client.server, "CONFIG SET maxmemory 0");
    expect_works(&client, "INCR");
    client_end(&client);
}

Test(redis_command, disk_trouble)
{
    static const char *const options_args[] = { "--dbfilename", "folder", "--save", "3600 1",
                                                NULL };
    struct redis_server_options options = { .args = options_args };
    struct client client;
    char folder[96];
    redisReply *info = NULL;
    bool failed = false;

    client_init(&client, &options);
    (void)snprintf(folder, sizeof(folder), "%s/folder", client.server.dir);
    cr_assert(mkdir(folder, 0700) == 0); /* the dump cannot be renamed over it */
    client_open_ready(&client);
    redis_server_do(&client.server, "BGSAVE");
    for (int i = 0; i < 2000 && !failed; i++) {
        client_turn(&client);
        info = redis_server_ask(&client.server, "INFO persistence");
        failed = strstr(info->str, "rdb_last_bgsave_status:err") != NULL;
        freeReplyObject(info);
    }
    cr_assert(failed);
    expect_refused(&client, client_send(&client, "SET", "key", "1"), REDIS_CLASS_DISK);
    expect_works(&client, "GET");
    client_end(&client);
}

Test(redis_command, acl_refusal)
{
    char username[] = "narrow", password[] = "secret";
    struct client client;

    client_init(&client, NULL);
    redis_server_do(&client.server, "ACL SETUSER narrow on >secret ~* +@all -set");
    client.endpoint.username = username;
    client.endpoint.password = password;
    client_open_ready(&client);
    expect_refused(&client, client_send(&client, "SET", "key", "1"), REDIS_CLASS_DENIED);
    expect_works(&client, "GET");
    client_end(&client);
}

Test(redis_command, busy_in_a_script)
{
    struct client client;
    struct client_call *call = NULL;
    redisContext *other = NULL;
    redisReply *reply = NULL;
    int done = 0;

    client_init(&client, NULL);
    redis_server_do(&client.server, "CONFIG SET busy-reply-threshold 20");
    client_open_ready(&client);
    other = redis_server_connect(&client.server);
    cr_assert(redisAppendCommand(other, "EVAL %s 0", "while true do end") == REDIS_OK);
    while (!done)
        cr_assert(redisBufferWrite(other, &done) == REDIS_OK);
    do { /* until the script has started */
        call = client_send(&client, "GET", "key");
        client_wait(&client, call->answers);
    } while (call->outcome == REDIS_REPLY && client.calls_count < CLIENT_CALLS_MAX - 1);
    expect_refused(&client, call, REDIS_CLASS_LATER);
    redis_server_do(&client.server, "SCRIPT KILL");
    cr_expect(redisGetReply(other, (void **)&reply) == REDIS_OK);
    freeReplyObject(reply);
    redisFree(other);
    expect_works(&client, "GET");
    client_end(&client);
}

Test(redis_command, becomes_a_replica)
{
    struct redis_server_options options = { .tcp = true };
    struct redis_server master;
    struct client client;

    redis_server_start(&master, &options);
    client_init(&client, NULL);
    client_open_ready(&client);
    redis_server_do(&client.server, "REPLICAOF 127.0.0.1 %u", master.port);
    expect_refused(&client, client_send(&client, "SET", "key", "1"), REDIS_CLASS_READONLY);
    redis_reconnect(client.redis, "the server became read-only");
    redis_reconnect(client.redis, "a second time changes nothing");
    client_wait(&client, client_told_times(&client, REDIS_WAITING) == 2);
    cr_expect(strstr(client.told[1].why, "the server became read-only") != NULL);
    cr_expect(strstr(client.told[2].why, "this is a replica") != NULL, "%s", client.told[2].why);
    redis_server_do(&client.server, "REPLICAOF NO ONE");
    client_wait(&client, client_is(&client, REDIS_READY));
    expect_works(&client, "INCR");
    client_end(&client);
    redis_server_stop(&master);
}

/* ---- scripts ---- */

static const char count_text[] =
    "return redis.call('INCR', KEYS[1]) * 1000 + #ARGV[1] + (ARGV[2] == 'x\\0y' and 1 or 0)";

Test(redis_command, script_with_keys_and_arguments)
{
    struct client client;
    struct redis_script script;
    const char *const args[] = { "counter", "abcdefg", "" };
    redisReply *reply = NULL;

    client_init(&client, NULL);
    client_open_ready(&client);
    client_script(&client, &script, "count", count_text);
    for (int i = 0; i < 200; i++)
        (void)client_run(&client, &script, 1, args, 3);
    wait_all(&client);
    for (size_t i = 0; i < 200; i++)
        cr_assert(client.calls[i].integer == ((long long)i + 1) * 1000 + 7, "%lld: %s",
                  client.calls[i].integer, client.calls[i].why);
    reply = redis_server_ask(&client.server, "INFO commandstats");
    cr_expect(strstr(reply->str, "cmdstat_evalsha:calls=200,") != NULL, "%s", reply->str);
    cr_expect(strstr(reply->str, "cmdstat_eval:") == NULL, "EVAL was not needed");
    freeReplyObject(reply);
    client_end(&client);
}

Test(redis_command, unknown_script_is_sent_by_text_once)
{
    struct client client;
    struct redis_script script;
    const char *const args[] = { "counter", "abc", "" };

    client_init(&client, NULL);
    client_open_ready(&client);
    client_script(&client, &script, "count", count_text);
    redis_server_do(&client.server, "SCRIPT FLUSH SYNC");
    for (int i = 0; i < 50; i++)
        (void)client_run(&client, &script, 1, args, 3);
    wait_all(&client);
    for (size_t i = 0; i < 50; i++)
        cr_assert(client.calls[i].integer == ((long long)i + 1) * 1000 + 3, "%lld: %s",
                  client.calls[i].integer, client.calls[i].why);
    cr_expect(redis_server_number(&client.server, "INCRBY counter 0") == 50, "executed once each");
    (void)client_run(&client, &script, 1, args, 3);
    wait_all(&client);
    cr_expect(client.calls[50].integer == 51003);
    client_end(&client);
}

Test(redis_command, script_that_says_noscript_itself_is_refused)
{
    struct client client;
    struct redis_script script;

    client_init(&client, NULL);
    client_open_ready(&client);
    client_script(&client, &script, "liar", "return redis.error_reply('NOSCRIPT really')");
    (void)client_run(&client, &script, 0, NULL, 0);
    wait_all(&client);
    cr_expect(client.calls[0].outcome == REDIS_REFUSED);
    cr_expect(client.calls[0].class == REDIS_CLASS_NOSCRIPT);
    client_end(&client);
}

Test(redis_command, scripts_come_back_with_an_empty_server)
{
    struct client client;
    struct redis_script script;
    const struct redis_script *const scripts[] = { &script, NULL };
    const char *const args[] = { "counter", "abc", "" };

    client_init(&client, NULL);
    client_script(&client, &script, "count", count_text);
    client.options.scripts = scripts;
    client_open_ready(&client);
    redis_server_start_again(&client.server);
    client_wait(&client, client_told_times(&client, REDIS_READY) == 2);
    (void)client_run(&client, &script, 1, args, 3);
    wait_all(&client);
    cr_expect(client.calls[0].integer == 1003, "%s", client.calls[0].why);
    client_end(&client);
}

static void close_on_answer(struct client *client, struct client_call *call)
{
    (void)call;
    redis_close(client->redis);
}

Test(redis_command, close_between_noscript_and_the_text)
{
    struct client client;
    struct redis_script script;
    const char *const args[] = { "counter", "abc", "" };

    client_init(&client, NULL);
    client_open_ready(&client);
    client_script(&client, &script, "count", count_text);
    redis_server_do(&client.server, "SCRIPT FLUSH SYNC");
    client_send(&client, "PING")->on_answer = close_on_answer;
    for (int i = 0; i < 10; i++)
        (void)client_run(&client, &script, 1, args, 3);
    client_wait(&client, client.redis == NULL);
    cr_expect(redis_server_number(&client.server, "EXISTS counter") == 0);
    client_end(&client);
}

/* ---- closing with commands pending ---- */

Test(redis_command, close_answers_everything)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    (void)client_send(&client, "BLPOP", "never", "0");
    for (int i = 0; i < 100; i++)
        (void)client_send(&client, "PING");
    client_end(&client); /* counts */
    cr_expect(client.told_count == 2);
}

Test(redis_command, close_inside_a_reply)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int i = 0; i < 10; i++)
        client_send(&client, "PING")->on_answer = close_on_answer;
    (void)client_send(&client, "BLPOP", "never", "0");
    client_wait(&client, client.redis == NULL);
    cr_expect(client.calls[0].outcome == REDIS_REPLY);
    cr_expect(client.calls[10].outcome == REDIS_UNKNOWN);
    cr_expect(strstr(client.calls[10].why, "closed") != NULL, "%s", client.calls[10].why);
    client_end(&client);
}

Test(redis_command, close_inside_a_loss)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int i = 0; i < 10; i++)
        client_send(&client, "BLPOP", "never", "0")->on_answer = close_on_answer;
    client_turn(&client);
    redis_server_kill(&client.server);
    client_wait(&client, client.redis == NULL);
    cr_expect(count_outcome(&client, REDIS_UNKNOWN) == 10);
    cr_expect(client_told_times(&client, REDIS_WAITING) == 0);
    client_end(&client);
}

static void reconnect_on_answer(struct client *client, struct client_call *call)
{
    (void)call;
    redis_reconnect(client->redis, "asked for");
}

Test(redis_command, reconnect_inside_a_reply)
{
    struct client client;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (int i = 0; i < 10; i++)
        client_send(&client, "PING")->on_answer = reconnect_on_answer;
    (void)client_send(&client, "BLPOP", "never", "0");
    client_wait(&client, client_told_times(&client, REDIS_READY) == 2);
    cr_expect(client_told_times(&client, REDIS_WAITING) == 1);
    cr_expect(strstr(client.told[1].why, "asked for") != NULL);
    client_end(&client);
}

/* ---- bounds ---- */

Test(redis_command, unsent_output_is_bounded)
{
    static char chunk[64 * 1024 + 1];
    const char *const words[] = { "SET", "key", chunk, NULL };
    struct client client;
    size_t accepted = 0;
    int code = 0;

    memset(chunk, 'x', sizeof(chunk) - 1);
    client_init(&client, NULL);
    client.endpoint.command_timeout_ms = 300;
    client_open_ready(&client);
    redis_server_pause(&client.server);
    for (int i = 0; i < 1000; i++) {
        if (!client_try(&client, 0, words, NULL, &code))
            break;
        accepted++;
        if (i % 16 == 0)
            (void)uv_run(&client.loop, UV_RUN_NOWAIT);
    }
    cr_expect(code == -ENOBUFS);
    cr_expect(accepted > 16 && accepted < 100, "%zu of 64 KiB", accepted);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    cr_expect(count_outcome(&client, REDIS_UNKNOWN) == accepted);
    redis_server_resume(&client.server);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_command, unanswered_commands_are_bounded)
{
    const char *const words[] = { "PING", NULL };
    struct client client;
    size_t accepted = 0;
    int code = 0;

    client_init(&client, NULL);
    client_open_ready(&client);
    for (;; accepted++)
        if (!client_try(&client, 0, words, NULL, &code))
            break;
    cr_expect(code == -ENOBUFS);
    cr_expect(accepted == REDIS_PENDING_MAX, "%zu", accepted);
    wait_all(&client);
    cr_expect(count_outcome(&client, REDIS_REPLY) == accepted);
    client_end(&client);
}
