#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/hash_slot.h"
#include "tests/integration/c/client.h"
#include "tests/support/redis_sets.h"

/* Of one queue: all in the slot of "q". */
#define KEY_A "{q}:a"
#define KEY_B "{q}:b"

static unsigned int slot_of(const char *key)
{
    return hash_slot_of(key, strlen(key));
}

static void use_nodes(struct client *client, const struct redis_nodes *set)
{
    char url[512] = "redis+cluster://";

    for (size_t i = 0; i < set->count; i++)
        (void)snprintf(url + strlen(url), sizeof(url) - strlen(url), "%s127.0.0.1:%u", i ? "," : "",
                       set->servers[i].port);
    client_use_url(client, url);
}

static void open_for(struct client *client, const struct redis_nodes *set, const char *slot_key)
{
    client_init_alone(client);
    use_nodes(client, set);
    client->options.slot_key = slot_key;
    client_open_ready(client);
}

static bool is_at(const struct client *client, const struct redis_server *server)
{
    char place[64];

    (void)snprintf(place, sizeof(place), "redis 127.0.0.1:%u", server->port);
    return client->redis && redis_state(client->redis) == REDIS_READY &&
           strcmp(redis_server_place(client->redis), place) == 0;
}

/* Both keys of the script, and one that it builds itself, as a queue's scripts do. */
static const char count_text[] =
    "redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[2]) return redis.call('INCR', '{q}:c')";

static struct redis_script count_script(const struct redis_nodes *set)
{
    redisReply *reply = redis_server_ask(&set->servers[0], "SCRIPT LOAD %s", count_text);
    struct redis_script script = { .name = "count",
                                   .text = count_text,
                                   .text_len = sizeof(count_text) - 1 };

    memcpy(script.sha, reply->str, 40);
    freeReplyObject(reply);
    return script;
}

static const char *const keys[] = { KEY_A, KEY_B };

static long long number_at(const struct redis_server *server, const char *key)
{
    redisReply *reply = redis_server_ask(server, "GET %s", key);
    long long number = reply->type == REDIS_REPLY_STRING ? atoll(reply->str) : -1;

    freeReplyObject(reply);
    return number;
}

Test(redis_cluster, commands_go_to_the_node_of_their_key)
{
    struct redis_nodes set;
    struct client client;
    char key[32];

    redis_nodes_start(&set, 3, false);
    open_for(&client, &set, NULL);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof(key), "key:%d", i);
        (void)client_send(&client, "SET", key, "1");
    }
    client_wait(&client, client.answers_count == 50);
    for (size_t i = 0; i < 50; i++)
        cr_expect(client.calls[i].outcome == REDIS_REPLY, "%s", client.calls[i].text);
    for (size_t i = 0; i < 3; i++) {
        long long size = redis_server_number(&set.servers[i], "DBSIZE");

        cr_expect(size > 0 && size < 50, "node %zu has %lld", i, size);
    }
    cr_expect(redis_masters_count(client.redis) == 3);
    client_end(&client);
    redis_nodes_stop(&set);
}

static void on_size(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                    const char *why, void *arg)
{
    long long *sum = arg;

    (void)redis;
    (void)why;
    cr_expect(outcome == REDIS_REPLY);
    *sum += reply->integer + 1000;
}

Test(redis_cluster, each_master_can_be_asked)
{
    static const char *const argv[] = { "DBSIZE" };
    struct redis_nodes set;
    struct client client;
    struct error err = { 0 };
    long long sum = 0;

    redis_nodes_start(&set, 3, false);
    open_for(&client, &set, NULL);
    for (int i = 0; i < 20; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "key:%d", i);
        (void)client_send(&client, "SET", key, "1");
    }
    client_wait(&client, client.answers_count == 20);
    for (size_t i = 0; i < 3; i++)
        cr_expect(redis_command_at(client.redis, i, 1, argv, NULL, 0, on_size, &sum, &err) == 0);
    cr_expect(redis_command_at(client.redis, 3, 1, argv, NULL, 0, on_size, &sum, &err) == -ENOENT);
    client_wait(&client, sum == 3020);
    client_end(&client);
    redis_nodes_stop(&set);
}

Test(redis_cluster, keys_of_two_slots_are_refused_before_they_are_sent)
{
    static const char *const two[] = { "{q}:a", "{r}:a" };
    struct redis_nodes set;
    struct client client;
    struct redis_script script;

    redis_nodes_start(&set, 3, false);
    script = count_script(&set);
    open_for(&client, &set, NULL);
    cr_expect(client_run_refused(&client, &script, 2, two, 2) == -EINVAL);
    client_end(&client);
    redis_nodes_stop(&set);
}

/* The slot moves with all its keys; the connection of its queue follows and says so. */
Test(redis_cluster, moved_is_followed)
{
    struct redis_nodes set;
    struct client client;
    struct redis_script script;
    struct client_call *call = NULL;
    unsigned int slot = slot_of(KEY_A);
    size_t from = 0, to = 0;

    redis_nodes_start(&set, 3, false);
    script = count_script(&set);
    open_for(&client, &set, KEY_A);
    from = redis_nodes_owner(&set, slot);
    to = (from + 1) % 3;
    cr_expect(is_at(&client, &set.servers[from]));
    call = client_run(&client, &script, 2, keys, 2);
    client_wait(&client, call->answers == 1);
    redis_nodes_begin_move(&set, slot, from, to);
    redis_nodes_move_keys(&set, slot, from, to, 0);
    redis_nodes_end_move(&set, slot, to);

    /* All of them are refused there, and go out again in their order. */
    for (int i = 0; i < 20; i++)
        call = client_run(&client, &script, 2, keys, 2);
    client_wait(&client, client.answers_count == 21);
    for (size_t i = 0; i < 21; i++)
        cr_expect(client.calls[i].integer == (long long)i + 1, "call %zu: %lld %s", i,
                  client.calls[i].integer, client.calls[i].text);
    cr_expect(is_at(&client, &set.servers[to]));
    cr_expect(client_told_times(&client, REDIS_READY) == 2);
    cr_expect(client_told_times(&client, REDIS_WAITING) == 0);
    client_end(&client);
    redis_nodes_stop(&set);
}

/* While the slot is between two nodes a script would find half of its keys. */
Test(redis_cluster, a_script_waits_while_its_slot_moves)
{
    struct redis_nodes set;
    struct client client;
    struct redis_script script;
    struct client_call *call = NULL;
    unsigned int slot = slot_of(KEY_A);
    size_t from = 0, to = 0;

    redis_nodes_start(&set, 3, false);
    script = count_script(&set);
    open_for(&client, &set, KEY_A);
    from = redis_nodes_owner(&set, slot);
    to = (from + 2) % 3;
    call = client_run(&client, &script, 2, keys, 2);
    client_wait(&client, call->answers == 1);

    redis_nodes_begin_move(&set, slot, from, to);
    call = client_run(&client, &script, 2, keys, 2);
    for (size_t i = 0; i < 40; i++)
        client_turn(&client);
    cr_expect(call->answers == 0, "every key that it names is still here: %s", call->text);
    redis_nodes_move_keys(&set, slot, from, to, 1);
    for (size_t i = 0; i < 40; i++)
        client_turn(&client);
    cr_expect(call->answers == 0);
    redis_nodes_move_keys(&set, slot, from, to, 0);
    for (size_t i = 0; i < 40; i++)
        client_turn(&client);
    cr_expect(call->answers == 0);
    redis_nodes_end_move(&set, slot, to);
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY && call->integer == 2, "%s", call->text);
    cr_expect(number_at(&set.servers[to], KEY_A) == 2);
    cr_expect(number_at(&set.servers[to], KEY_B) == 2, "executed once, as a whole");
    client_end(&client);
    redis_nodes_stop(&set);
}

/* ASK: one key, already moved, is asked for at the new node while the slot is still the old one's.
 */
Test(redis_cluster, ask_is_followed_for_one_command)
{
    struct redis_nodes set;
    struct client client;
    struct client_call *call = NULL;
    unsigned int slot = slot_of(KEY_A);
    size_t from = 0, to = 0;

    redis_nodes_start(&set, 3, false);
    open_for(&client, &set, KEY_A);
    from = redis_nodes_owner(&set, slot);
    to = (from + 1) % 3;
    (void)client_send(&client, "SET", KEY_A, "7");
    client_wait(&client, client.answers_count == 1);
    redis_nodes_begin_move(&set, slot, from, to);
    redis_nodes_move_keys(&set, slot, from, to, 0);
    call = client_send(&client, "INCR", KEY_A);
    client_wait(&client, call->answers == 1);
    cr_expect(call->integer == 8, "%s", call->text);
    cr_expect(is_at(&client, &set.servers[from]), "the slot is still there");
    redis_nodes_end_move(&set, slot, to);
    client_end(&client);
    redis_nodes_stop(&set);
}

/* What waits in BZPOPMIN goes along. */
Test(redis_cluster, a_blocked_client_follows_the_slot)
{
    struct redis_nodes set;
    struct client client;
    struct client_call *call = NULL;
    unsigned int slot = slot_of(KEY_A);
    size_t from = 0, to = 0;
    const char *const words[] = { "BZPOPMIN", KEY_A, "0", NULL };

    redis_nodes_start(&set, 3, false);
    client_init_alone(&client);
    client.options.blocking = true;
    use_nodes(&client, &set);
    client.options.slot_key = KEY_A;
    client_open_ready(&client);
    from = redis_nodes_owner(&set, slot);
    to = (from + 1) % 3;
    call = client_send_words(&client, words);
    while (redis_server_info(&set.servers[from], "blocked_clients") != 1)
        client_turn(&client);
    redis_nodes_begin_move(&set, slot, from, to);
    redis_nodes_end_move(&set, slot, to);
    while (redis_server_info(&set.servers[to], "blocked_clients") != 1)
        client_turn(&client);
    redis_server_do(&set.servers[to], "ZADD " KEY_A " 0 0");
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY);
    client_end(&client);
    redis_nodes_stop(&set);
}

Test(redis_cluster, a_dead_master_is_replaced)
{
    struct redis_nodes set;
    struct client client;
    struct client_call *call = NULL;
    size_t owner = 0;

    redis_nodes_start(&set, 3, true);
    open_for(&client, &set, KEY_A);
    owner = redis_nodes_owner(&set, slot_of(KEY_A));
    call = client_send(&client, "SET", KEY_A, "1");
    client_wait(&client, call->answers == 1);
    cr_expect(redis_server_number(&set.servers[owner], "WAIT 1 1000") >= 0);
    redis_server_kill(&set.servers[owner]);
    client_wait(&client, client_told_times(&client, REDIS_WAITING) > 0);
    client_wait(&client, is_at(&client, &set.servers[owner + 3]));
    call = client_send(&client, "INCR", KEY_A);
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY, "%s", call->text);
    client_end(&client);
    redis_nodes_stop(&set);
}

/* What was never executed is refused, not unknown. */
Test(redis_cluster, time_runs_out_while_the_slot_moves)
{
    struct redis_nodes set;
    struct client client;
    struct redis_script script;
    struct client_call *call = NULL;
    unsigned int slot = slot_of(KEY_A);
    size_t from = 0;

    redis_nodes_start(&set, 3, false);
    script = count_script(&set);
    client_init_alone(&client);
    client.endpoint.command_timeout_ms = 400;
    use_nodes(&client, &set);
    client.options.slot_key = KEY_A;
    client_open_ready(&client);
    from = redis_nodes_owner(&set, slot);
    redis_nodes_begin_move(&set, slot, from, (from + 1) % 3);
    call = client_run(&client, &script, 2, keys, 2);
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REFUSED && call->class == REDIS_CLASS_LATER, "%d %s",
              (int)call->outcome, call->text);
    cr_expect(strncmp(call->text, "TRYAGAIN", 8) == 0);
    cr_expect(number_at(&set.servers[from], KEY_A) == -1);
    client_end(&client);
    redis_nodes_stop(&set);
}

Test(redis_cluster, dead_seeds_and_wrong_servers)
{
    struct redis_nodes set;
    struct client client;
    struct redis_server alone;
    char url[128];

    redis_nodes_start(&set, 3, true);
    redis_server_start(&alone, &(struct redis_server_options){ .tcp = true });
    redis_server_kill(&set.servers[3]);
    client_init_alone(&client);
    client.options.once = true; /* the command line: one search through all of them */
    (void)snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%u,127.0.0.1:%u,localhost:%u",
                   set.servers[3].port, set.servers[4].port, set.servers[1].port);
    client_use_url(&client, url);
    client_open_ready(&client);
    client_end(&client);

    client_init_alone(&client);
    client.options.once = true;
    (void)snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%u", alone.port);
    client_use_url(&client, url);
    client_open(&client);
    client_wait(&client, client.redis == NULL);
    cr_expect(strstr(client_last_why(&client), "this is not a node of a cluster"), "%s",
              client_last_why(&client));
    client_end(&client);

    client_init_alone(&client);
    client.options.once = true;
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u", set.servers[0].port);
    client_use_url(&client, url);
    client_open(&client);
    client_wait(&client, client.redis == NULL);
    cr_expect(strstr(client_last_why(&client), "redis+cluster://"), "%s", client_last_why(&client));
    client_end(&client);
    redis_server_stop(&alone);
    redis_nodes_stop(&set);
}

/* Wherever it is, a close ends it: nothing is left on the loop (client_end looks). */
Test(redis_cluster, closes_at_any_moment)
{
    struct redis_nodes set;
    struct redis_script script;

    redis_nodes_start(&set, 3, false);
    script = count_script(&set);
    for (size_t turns = 0; turns < 24; turns++) {
        struct client client;

        client_init_alone(&client);
        use_nodes(&client, &set);
        client.options.slot_key = turns % 3 ? KEY_A : NULL;
        client.options.once = turns % 2;
        client_open(&client);
        for (size_t i = 0; i < turns && client.redis; i++)
            client_turn(&client);
        if (client.redis && redis_state(client.redis) == REDIS_READY)
            (void)client_run(&client, &script, 2, keys, 2);
        client_end(&client);
    }
    redis_nodes_stop(&set);
}
