#include "tests/integration/c/client.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static const char *const state_names[] = {
    [REDIS_CLOSED] = "closed",
    [REDIS_CONNECTING] = "connecting",
    [REDIS_READY] = "ready",
    [REDIS_WAITING] = "waiting",
};

void client_fail(struct client *client, const char *why)
{
    (void)fprintf(stderr, "%s; %zu of %zu answered; told:\n", why, client->answers_count,
                  client->calls_count);
    for (size_t i = 0; i < client->told_count; i++)
        (void)fprintf(stderr, "  %s %s\n", state_names[client->told[i].state], client->told[i].why);
    cr_assert(false, "%s", why);
    abort();
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* its only use is to wake the loop */
}

void client_init_alone(struct client *client)
{
    static char name[] = "test";

    (void)signal(SIGPIPE, SIG_IGN); /* as every program does: hiredis writes with write(2) */
    *client = (struct client){ .server.keeper_fd = -1 };
    client->calls = calloc(CLIENT_CALLS_MAX, sizeof(*client->calls));
    cr_assert(client->calls);
    cr_assert(uv_loop_init(&client->loop) == 0);
    cr_assert(uv_timer_init(&client->loop, &client->tick) == 0);
    cr_assert(uv_timer_start(&client->tick, on_tick, 5, 5) == 0);
    client->endpoint.name = name;
    client->endpoint.connect_timeout_ms = 5000;
    client->endpoint.command_timeout_ms = 5000;
}

void client_init(struct client *client, const struct redis_server_options *options)
{
    client_init_alone(client);
    redis_server_start(&client->server, options);
    client->endpoint.path = client->server.socket_path;
}

void client_use_url(struct client *client, const char *url)
{
    struct error err = { .code = 0 };

    cr_assert(config_parse_redis_url(url, &client->endpoint, &err) == 0, "%s", err.text);
    client->owns_endpoint = true;
}

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct client *client = arg;

    if (client->sending)
        client_fail(client, "a state was told inside a call");
    if (client->redis && redis != client->redis)
        client_fail(client, "told by another connection");
    if (client->told_count == CLIENT_STATES_MAX)
        client_fail(client, "too many states told");
    client->told[client->told_count].state = state;
    (void)snprintf(client->told[client->told_count].why, sizeof(client->told[0].why), "%s", why);
    client->told_count++;
    if (client->on_told)
        client->on_told(client, state);
    if (state == REDIS_CLOSED)
        client->redis = NULL;
}

void client_open(struct client *client)
{
    struct error err = { .code = 0 };

    client->options.endpoint = &client->endpoint;
    client->options.on_state = on_state;
    client->options.arg = client;
    client->sending = true;
    cr_assert(redis_open(&client->loop, &client->options, &client->redis, &err) == 0, "%s",
              err.text);
    client->sending = false;
}

void client_open_ready(struct client *client)
{
    client_open(client);
    client_wait(client, client_is(client, REDIS_READY));
}

void client_turn(struct client *client)
{
    (void)uv_run(&client->loop, UV_RUN_ONCE);
}

bool client_is(const struct client *client, enum redis_state state)
{
    return client_last_state(client) == (int)state;
}

int client_last_state(const struct client *client)
{
    return client->told_count ? (int)client->told[client->told_count - 1].state : -1;
}

const char *client_last_why(const struct client *client)
{
    return client->told_count ? client->told[client->told_count - 1].why : "";
}

size_t client_told_times(const struct client *client, enum redis_state state)
{
    size_t times = 0;

    for (size_t i = 0; i < client->told_count; i++)
        times += client->told[i].state == state;
    return times;
}

void client_end(struct client *client)
{
    if (client->redis) {
        client->sending = true;
        redis_close(client->redis);
        client->sending = false;
        client_wait(client, client->redis == NULL);
    }
    for (size_t i = 0; i < client->calls_count; i++)
        cr_expect(client->calls[i].answers == 1, "call %zu of %zu has %u answers", i,
                  client->calls_count, client->calls[i].answers);
    cr_expect(client->answers_count == client->calls_count);
    uv_close((uv_handle_t *)&client->tick, NULL);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    cr_expect(uv_loop_close(&client->loop) == 0, "handles are left on the loop");
    redis_server_stop(&client->server);
    if (client->owns_endpoint)
        config_redis_forget_place(&client->endpoint);
    free(client->calls);
    client->calls = NULL;
}

/* ---- commands ---- */

static void on_reply(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                     const char *why, void *arg)
{
    struct client_call *call = arg;
    struct client *client = call->client;

    if (client->sending)
        client_fail(client, "answered inside a call");
    if (redis != client->redis)
        client_fail(client, "answered by another connection");
    call->answers++;
    call->outcome = outcome;
    call->class = redis_error_class(reply);
    call->order = ++client->answers_count;
    (void)snprintf(call->why, sizeof(call->why), "%s", why);
    cr_expect((outcome == REDIS_UNKNOWN) == (reply == NULL));
    cr_expect((outcome == REDIS_REPLY) == (why[0] == '\0'), "why '%s'", why);
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        call->integer = reply->integer;
    else if (reply && reply->str)
        (void)snprintf(call->text, sizeof(call->text), "%s", reply->str);
    if (call->on_answer)
        call->on_answer(client, call);
}

static struct client_call *new_call(struct client *client)
{
    struct client_call *call = &client->calls[client->calls_count];

    if (client->calls_count == CLIENT_CALLS_MAX)
        client_fail(client, "too many calls");
    *call = (struct client_call){ .client = client };
    return call;
}

struct client_call *client_try(struct client *client, uint64_t deadline_ms,
                               const char *const *words, const size_t *lens, int *out_code)
{
    struct client_call *call = new_call(client);
    bool nested = client->sending;
    int argc = 0, r = 0;

    while (words[argc])
        argc++;
    client->sending = true;
    r = redis_command(client->redis, argc, words, lens, deadline_ms, on_reply, call, NULL);
    client->sending = nested;
    if (out_code)
        *out_code = r;
    if (r < 0)
        return NULL;
    client->calls_count++;
    return call;
}

struct client_call *client_send_words(struct client *client, const char *const *words)
{
    int code = 0;
    struct client_call *call = client_try(client, 0, words, NULL, &code);

    cr_assert(call, "%s was not accepted: %d; %s", words[0], code, client_last_why(client));
    return call;
}

struct client_call *client_run_waiting(struct client *client, const struct redis_script *script,
                                       int keys_count, const char *const *args, int args_count,
                                       const struct redis_wait *wait)
{
    struct client_call *call = new_call(client);
    struct error err = { .code = 0 };
    int r = 0;

    client->sending = true;
    r = redis_run_script_replicated(client->redis, script, keys_count, args_count, args, NULL, wait,
                                    0, on_reply, call, &err);
    client->sending = false;
    cr_assert(r == 0, "%s", err.text);
    client->calls_count++;
    return call;
}

struct client_call *client_run(struct client *client, const struct redis_script *script,
                               int keys_count, const char *const *args, int args_count)
{
    return client_run_waiting(client, script, keys_count, args, args_count, NULL);
}

int client_run_refused(struct client *client, const struct redis_script *script, int keys_count,
                       const char *const *args, int args_count)
{
    struct error err = { .code = 0 };

    return redis_run_script(client->redis, script, keys_count, args_count, args, NULL, 0, on_reply,
                            NULL, &err);
}

void client_script(struct client *client, struct redis_script *script, const char *name,
                   const char *text)
{
    redisReply *reply = redis_server_ask(&client->server, "SCRIPT LOAD %s", text);

    cr_assert(reply->type == REDIS_REPLY_STRING && reply->len == 40, "%s", reply->str);
    *script = (struct redis_script){ .name = name, .text = text, .text_len = strlen(text) };
    memcpy(script->sha, reply->str, 40);
    freeReplyObject(reply);
}
