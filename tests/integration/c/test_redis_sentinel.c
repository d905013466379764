#include <criterion/criterion.h>
#include <stdarg.h>
#include <string.h>

#include "tests/integration/c/client.h"
#include "tests/support/redis_sets.h"

#define DOWN_AFTER_MS 300

/* "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster" */
static void use_sentinels(struct client *client, const struct redis_server *const *sentinels,
                          size_t count, const char *master)
{
    char url[512] = "redis+sentinel://";

    for (size_t i = 0; i < count; i++)
        (void)snprintf(url + strlen(url), sizeof(url) - strlen(url), "%s127.0.0.1:%u", i ? "," : "",
                       sentinels[i]->port);
    (void)snprintf(url + strlen(url), sizeof(url) - strlen(url), "/%s", master);
    client_use_url(client, url);
}

static void use_set(struct client *client, const struct redis_watched *set)
{
    const struct redis_server *sentinels[SENTINELS_MAX];

    for (size_t i = 0; i < set->sentinels_count; i++)
        sentinels[i] = &set->sentinels[i];
    use_sentinels(client, sentinels, set->sentinels_count, "mymaster");
}

static bool is_at(const struct client *client, const struct redis_server *server)
{
    char place[64];

    (void)snprintf(place, sizeof(place), "redis 127.0.0.1:%u", server->port);
    return client->redis && redis_state(client->redis) == REDIS_READY &&
           strcmp(redis_server_place(client->redis), place) == 0;
}

Test(redis_sentinel, finds_the_master_and_follows_a_switch)
{
    struct redis_watched set;
    struct client client;
    struct client_call *call = NULL;

    redis_watched_start(&set, 3, DOWN_AFTER_MS);
    client_init_alone(&client);
    use_set(&client, &set);
    client_open_ready(&client);
    cr_expect(is_at(&client, &set.servers[0]));
    call = client_send(&client, "INCR", "counter");
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY);

    /* Nothing is asked meanwhile and the old master lives on: only the Sentinels tell. */
    redis_watched_fail_over(&set);
    client_wait(&client, is_at(&client, &set.servers[1]));
    cr_expect(client_told_times(&client, REDIS_WAITING) >= 1);
    call = client_send(&client, "INCR", "counter");
    client_wait(&client, call->answers == 1);
    cr_expect(call->integer == 2, "the replica had the first one");
    client_end(&client);
    redis_watched_stop(&set);
}

Test(redis_sentinel, a_frozen_master_is_left_and_not_met_again)
{
    struct redis_watched set;
    struct client client;
    struct client_call *call = NULL;

    redis_watched_start(&set, 3, DOWN_AFTER_MS);
    client_init_alone(&client);
    use_set(&client, &set);
    client_open_ready(&client);
    redis_server_pause(&set.servers[0]);
    client_wait(&client, is_at(&client, &set.servers[1]));

    /* It wakes up and takes itself for the master for a while. */
    redis_server_resume(&set.servers[0]);
    redis_reconnect(client.redis, "asked for");
    client_wait(&client, !is_at(&client, &set.servers[1]));
    client_wait(&client, is_at(&client, &set.servers[1]));
    call = client_send(&client, "SET", "after", "1");
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REPLY);
    cr_expect(redis_server_number(&set.servers[1], "EXISTS after") == 1);
    cr_expect(client_told_times(&client, REDIS_READY) == 3, "the frozen one was never READY again");
    client_end(&client);
    redis_watched_stop(&set);
}

Test(redis_sentinel, half_of_them_are_enough_and_less_is_not)
{
    struct redis_watched set;
    struct client client;

    redis_watched_start(&set, 3, 5000);
    redis_server_kill(&set.sentinels[0]);
    client_init_alone(&client);
    use_set(&client, &set);
    client_open_ready(&client);
    cr_expect(is_at(&client, &set.servers[0]));

    redis_server_kill(&set.sentinels[1]);
    redis_reconnect(client.redis, "asked for");
    client_wait(&client, strstr(client_last_why(&client), "1 of 3 Sentinels answer, at least 2"));
    cr_expect(strstr(client_last_why(&client), "refused"), "why the others did not: %s",
              client_last_why(&client));

    redis_server_start_again(&set.sentinels[1]);
    client_wait(&client, is_at(&client, &set.servers[0]));
    client_end(&client);
    redis_watched_stop(&set);
}

/* Two Sentinels that do not know each other stand for a part of the network that was cut off: the
 * one of the lower epoch has missed a failover. */
Test(redis_sentinel, an_older_view_is_not_believed)
{
    struct redis_watched new_side, old_side;
    struct client client;
    const struct redis_server *sentinels[2] = { &old_side.sentinels[0], &new_side.sentinels[0] };

    redis_watched_start(&new_side, 1, 5000);
    redis_watched_start(&old_side, 1, 5000);
    redis_watched_fail_over(&new_side);
    client_init_alone(&client);
    use_sentinels(&client, sentinels, 2, "mymaster");
    client_open_ready(&client);
    cr_expect(is_at(&client, &new_side.servers[1]), "%s", redis_server_place(client.redis));

    redis_server_kill(&new_side.sentinels[0]);
    redis_reconnect(client.redis, "asked for");
    client_wait(&client, strstr(client_last_why(&client), "of epoch 0, but there was"));
    for (size_t i = 0; i < 20; i++)
        client_turn(&client);
    cr_expect(redis_state(client.redis) != REDIS_READY);
    redis_server_start_again(&new_side.sentinels[0]);
    client_wait(&client, is_at(&client, &new_side.servers[1]));
    client_end(&client);
    redis_watched_stop(&new_side);
    redis_watched_stop(&old_side);
}

Test(redis_sentinel, a_demoted_master_is_left_at_its_first_refusal)
{
    struct redis_watched set;
    struct client client;
    struct client_call *call = NULL;

    redis_watched_start(&set, 1, 60000);
    client_init_alone(&client);
    use_set(&client, &set);
    client.options.blocking = true; /* does not listen to the Sentinels */
    client_open_ready(&client);
    redis_server_do(&set.servers[0], "REPLICAOF 127.0.0.1 %d", set.servers[1].port);
    call = client_send(&client, "SET", "key", "1");
    client_wait(&client, call->answers == 1);
    cr_expect(call->outcome == REDIS_REFUSED && call->class == REDIS_CLASS_READONLY);
    client_wait(&client, strstr(client_last_why(&client), "READONLY"));
    redis_server_do(&set.servers[0], "REPLICAOF NO ONE");
    client_wait(&client, is_at(&client, &set.servers[0]));
    client_end(&client);
    redis_watched_stop(&set);
}

Test(redis_sentinel, names_credentials_and_mistakes)
{
    static char password[] = "guess", wrong[] = "wrong";
    struct redis_watched set;
    struct client client;
    char url[256];

    redis_watched_start(&set, 1, 60000);
    redis_server_do(&set.sentinels[0], "ACL SETUSER default resetpass >guess");
    client_init_alone(&client);
    (void)snprintf(url, sizeof(url), "redis+sentinel://localhost:%u/mymaster/2",
                   set.sentinels[0].port);
    client_use_url(&client, url);
    client.endpoint.sentinel_password = password;
    client_open_ready(&client);
    cr_expect(is_at(&client, &set.servers[0]));
    (void)client_send(&client, "SET", "key", "1");
    client_wait(&client, client.answers_count == 1);
    cr_expect(redis_server_number(&set.servers[0], "DBSIZE") == 0, "it lies in database 2");
    client_end(&client);

    client_init_alone(&client);
    client_use_url(&client, url);
    client.endpoint.sentinel_password = wrong;
    client_open(&client);
    client_wait(&client, strstr(client_last_why(&client), "WRONGPASS"));
    client_end(&client);

    client_init_alone(&client);
    (void)snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/other", set.sentinels[0].port);
    client_use_url(&client, url);
    client.endpoint.sentinel_password = password;
    client_open(&client);
    client_wait(&client, strstr(client_last_why(&client), "no Sentinel knows a master"));
    client_end(&client);

    /* A Redis where a Sentinel should be, and the other way round. */
    client_init_alone(&client);
    (void)snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/mymaster", set.servers[0].port);
    client_use_url(&client, url);
    client_open(&client);
    client_wait(&client, strstr(client_last_why(&client), "this is no Sentinel"));
    client_end(&client);
    redis_watched_stop(&set);
}

/* Wherever it is in asking, a close ends it: nothing is left on the loop (client_end looks). */
Test(redis_sentinel, closes_at_any_moment)
{
    struct redis_watched set;

    redis_watched_start(&set, 2, 60000);
    for (size_t turns = 0; turns < 30; turns++) {
        struct client client;

        client_init_alone(&client);
        use_set(&client, &set);
        client.options.once = turns % 2;
        client_open(&client);
        for (size_t i = 0; i < turns && client.redis; i++)
            client_turn(&client);
        client_end(&client);
    }
    redis_watched_stop(&set);
}
