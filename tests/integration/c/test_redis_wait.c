#include <criterion/criterion.h>
#include <string.h>

#include "tests/integration/c/client.h"

#define ROW "return {redis.call('INCR', KEYS[1]), ARGV[1], {false, 'x'}}"

/* A server with a replica of its own beside it. */
static void start_pair(struct client *client, struct redis_server *replica,
                       struct redis_script *script)
{
    redis_server_start(replica, &(struct redis_server_options){ .tcp = true });
    client_init(client, &(struct redis_server_options){ .tcp = true });
    redis_server_do(&client->server, "CONFIG SET repl-diskless-sync-delay 0");
    redis_server_do(replica, "REPLICAOF 127.0.0.1 %d", client->server.port);
    client_script(client, script, "row", ROW);
    client_open_ready(client);
    while (redis_server_info(&client->server, "connected_slaves") != 1 ||
           redis_server_number(&client->server, "WAIT 1 1000") != 1)
        client_turn(client);
}

static const char *const args[] = { "counter", "argument" };

Test(redis_wait, the_reply_comes_when_replicas_have_it)
{
    struct client client;
    struct redis_server replica;
    struct redis_script script;
    struct client_call *calls[20];

    start_pair(&client, &replica, &script);
    for (size_t i = 0; i < 20; i++)
        calls[i] = client_run_waiting(&client, &script, 1, args, 2,
                                      &(struct redis_wait){ .replicas = 1, .timeout_ms = 5000 });
    client_wait(&client, client.answers_count == 20);
    for (size_t i = 0; i < 20; i++)
        cr_expect(calls[i]->outcome == REDIS_REPLY && calls[i]->order == i + 1);
    cr_expect(redis_server_number(&replica, "STRLEN counter") == 2, "the replica counted to 20");
    client_end(&client);
    redis_server_stop(&replica);
}

Test(redis_wait, too_few_replicas_are_told_after_the_time)
{
    struct client client;
    struct redis_server replica;
    struct redis_script script;
    struct client_call *call = NULL, *behind = NULL;

    start_pair(&client, &replica, &script);
    call = client_run_waiting(&client, &script, 1, args, 2,
                              &(struct redis_wait){ .replicas = 2, .timeout_ms = 1000 });
    behind = client_send(&client, "GET", "counter");
    client_wait(&client, behind->answers == 1);
    cr_expect(call->outcome == REDIS_UNREPLICATED);
    cr_expect(strstr(call->why, "only 1 of 2 replicas had it within 1000 ms"), "%s", call->why);
    cr_expect(strcmp(behind->text, "1") == 0, "it was executed");

    redis_server_pause(&replica);
    call = client_run_waiting(&client, &script, 1, args, 2,
                              &(struct redis_wait){ .replicas = 1, .timeout_ms = 200 });
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_UNREPLICATED && strstr(call->why, "only 0 of 1"));
    redis_server_resume(&replica);
    client_end(&client);
    redis_server_stop(&replica);
}

/* The call's own answer came, the replicas' did not: nobody knows. */
Test(redis_wait, a_loss_while_waiting_leaves_the_outcome_unknown)
{
    struct client client;
    struct redis_server replica;
    struct redis_script script;
    struct client_call *call = NULL;

    start_pair(&client, &replica, &script);
    redis_server_pause(&replica);
    call = client_run_waiting(&client, &script, 1, args, 2,
                              &(struct redis_wait){ .replicas = 1, .timeout_ms = 60000 });
    while (redis_server_number(&client.server, "EXISTS counter") == 0)
        client_turn(&client);
    redis_server_do(&client.server, "CLIENT KILL TYPE normal SKIPME yes");
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_UNKNOWN);
    redis_server_resume(&replica);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
    redis_server_stop(&replica);
}

Test(redis_wait, refusals_and_unknown_scripts)
{
    struct client client;
    struct redis_server replica;
    struct redis_script script, bad;
    const struct redis_wait wait = { .replicas = 1, .timeout_ms = 5000 };
    struct client_call *call = NULL;

    start_pair(&client, &replica, &script);
    client_script(&client, &bad, "bad", "return redis.error_reply('ERR no')");
    call = client_run_waiting(&client, &bad, 0, NULL, 0, &wait);
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REFUSED && call->class == REDIS_CLASS_OTHER);

    redis_server_do(&client.server, "SCRIPT FLUSH SYNC");
    call = client_run_waiting(&client, &script, 1, args, 2, &wait);
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY);
    cr_expect(redis_server_number(&client.server, "INCRBY counter 0") == 1);
    client_end(&client);
    redis_server_stop(&replica);
}
