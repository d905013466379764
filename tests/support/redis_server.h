/* redis_server.h - a private redis-server for one test, in a scratch folder, on a unix socket.
 * Invariant: neither the server nor the folder outlives the test process, however that ends: a
 * small keeper process waits for the end of the test's pipe and clears up what is left.
 *
 * Everything here is synchronous and for tests only: what cannot be done prints the reason and
 * aborts, which fails the test. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    char dir[64];         /* "/var/tmp/drover-XXXXXX", or under $TMPDIR when that is set */
    char socket_path[96]; /* unix socket */
    char url[128];        /* "unix://<socket_path>" */
    uint16_t port;        /* on 127.0.0.1; 0 without TCP */
    pid_t pid;            /* 0 while it does not run */
    pid_t keeper;
    int keeper_fd;
    char **args;     /* of the last start, for redis_server_start_again; owned */
    bool skip_ready; /* as in the options; may be changed between starts */
};

struct redis_server_options {
    bool tcp;        /* listen on a free port of 127.0.0.1 too */
    bool sentinel;   /* a Sentinel that monitors nothing yet */
    bool skip_ready; /* do not wait for a PONG (a server that is to stay loading) */
    const char *const
        *args; /* more options, NULL-terminated: "--maxclients", "10"; NULL for none */
};

/* Starts it without persistence and waits until it answers PING. `options` may be NULL. */
void redis_server_start(struct redis_server *server, const struct redis_server_options *options);

/* SIGKILL, reap, remove the folder. Accepts a server that was never started (all zero). */
void redis_server_stop(struct redis_server *server);

/* SIGKILL and reap; folder and options stay, so that redis_server_start_again brings it back on the
 * same socket and port (empty, unless it saves by its options). */
void redis_server_kill(struct redis_server *server);
void redis_server_start_again(struct redis_server *server);

/* SIGSTOP (returns when it has stopped) and SIGCONT. */
void redis_server_pause(struct redis_server *server);
void redis_server_resume(struct redis_server *server);

/* A new blocking connection over the unix socket; redisFree it. */
redisContext *redis_server_connect(const struct redis_server *server);

/* One command (hiredis' format) over a connection of its own. redis_server_ask returns the reply,
 * also an error (freeReplyObject it); redis_server_do aborts on an error reply; redis_server_number
 * aborts unless the reply is an integer. */
redisReply *redis_server_ask(const struct redis_server *server, const char *format, ...);
void redis_server_do(const struct redis_server *server, const char *format, ...);
long long redis_server_number(const struct redis_server *server, const char *format, ...);

/* The value of one field of INFO ("connected_clients"), as a number. */
long long redis_server_info(const struct redis_server *server, const char *field);
