/* client.h - drives one connection of common/redis in a test: a loop, a private server, a record of
 * every state told and of every answer, so that a test can count them.
 * Invariant: client_end fails the test unless each accepted command was answered exactly once, none
 * inside the call that asked, and no handle is left on the loop. */
#pragma once

#include <uv.h>

#include "common/config/config.h"
#include "common/redis/redis.h"
#include "tests/support/redis_server.h"

#define CLIENT_CALLS_MAX  70000
#define CLIENT_STATES_MAX 256

struct client;

/* One accepted command. */
struct client_call {
    struct client *client;
    unsigned int answers; /* 1 in the end, never more */
    enum redis_outcome outcome;
    enum redis_error_class class;
    long long integer; /* of an integer reply */
    char text[160];    /* of a string, status or error reply; cut */
    char why[256];     /* as told; cut */
    size_t order;      /* this was the order-th answer, from 1 */
    void (*on_answer)(struct client *client, struct client_call *call); /* NULL: nothing more */
};

struct client_told {
    enum redis_state state;
    char why[512];
};

struct client {
    uv_loop_t loop;
    uv_timer_t tick; /* keeps the loop turning while the test waits */
    struct redis_server server;
    struct config_redis endpoint;
    bool owns_endpoint; /* client_use_url */
    struct redis_options options;
    struct redis *redis; /* NULL after the end was told */
    struct client_call *calls;
    size_t calls_count, answers_count;
    struct client_told told[CLIENT_STATES_MAX];
    size_t told_count;
    bool sending; /* inside a call: no callback may run */
    void (*on_told)(struct client *client, enum redis_state state);
};

/* Starts a server with these options (NULL for none) and prepares the endpoint on its unix socket,
 * time-outs of 5 s; nothing is opened yet. */
void client_init(struct client *client, const struct redis_server_options *options);
/* The same without a server: the test fills the endpoint itself, or client_use_url does. */
void client_init_alone(struct client *client);
/* The endpoint is that of the URL; freed by client_end. */
void client_use_url(struct client *client, const char *url);
void client_open(struct client *client);
/* Opens and waits for READY. */
void client_open_ready(struct client *client);
/* Closes when still open, waits for the end, checks the invariant, stops the server. */
void client_end(struct client *client);

/* One turn of the loop (at most some ms). */
void client_turn(struct client *client);
/* Turns the loop until the condition holds; fails the test after 20 s, with the record printed. */
#define client_wait(client, condition)                                   \
    do {                                                                 \
        uint64_t deadline_ = uv_hrtime() + UINT64_C(20000000000);        \
        while (!(condition)) {                                           \
            if (uv_hrtime() > deadline_)                                 \
                client_fail((client), "waited in vain for " #condition); \
            client_turn(client);                                         \
        }                                                                \
    } while (0)
void client_fail(struct client *client, const char *why) __attribute__((noreturn));

bool client_is(const struct client *client, enum redis_state state);
/* Last state told with its reason, or -1 and "". */
int client_last_state(const struct client *client);
const char *client_last_why(const struct client *client);
/* How often a state was told. */
size_t client_told_times(const struct client *client, enum redis_state state);

/* Sends the words (NULL-terminated); the accepted call, or NULL with errno-like code in *out_code
 * when given. client_send fails the test when it is not accepted. */
struct client_call *client_try(struct client *client, uint64_t deadline_ms,
                               const char *const *words, const size_t *lens, int *out_code);
#define client_send(client, ...) \
    client_send_words((client), (const char *const[]){ __VA_ARGS__, NULL })
struct client_call *client_send_words(struct client *client, const char *const *words);
struct client_call *client_run(struct client *client, const struct redis_script *script,
                               int keys_count, const char *const *args, int args_count);

/* The same, waiting for replicas. */
struct client_call *client_run_waiting(struct client *client, const struct redis_script *script,
                                       int keys_count, const char *const *args, int args_count,
                                       const struct redis_wait *wait);
/* How redis_run_script refuses it: the code. */
int client_run_refused(struct client *client, const struct redis_script *script, int keys_count,
                       const char *const *args, int args_count);

/* A script with its sha as this server computes it (it is loaded by that). */
void client_script(struct client *client, struct redis_script *script, const char *name,
                   const char *text);
