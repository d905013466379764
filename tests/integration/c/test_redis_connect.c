/* Connecting: refused, missing, silent, full, loading, replica, wrong password, and coming back. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/integration/c/client.h"

#define EXPECT_WHY(client, part) \
    cr_expect(strstr(client_last_why(client), (part)) != NULL, "told '%s'", client_last_why(client))

/* ---- reaching READY ---- */

static size_t inheritable_fds(void)
{
    size_t count = 0;

    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);

        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

Test(redis_connect, learns_the_facts_and_leaks_no_descriptor)
{
    struct client client;
    size_t before = 0;

    client_init(&client, NULL);
    before = inheritable_fds();
    client_open(&client);
    cr_expect(redis_state(client.redis) == REDIS_CONNECTING);
    cr_expect(redis_server_version(client.redis) == NULL);
    cr_expect(redis_server_run_id(client.redis) == NULL);
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(redis_state(client.redis) == REDIS_READY);
    cr_expect(client.told_count == 1);
    cr_expect(strchr(redis_server_version(client.redis), '.') != NULL);
    cr_expect(strlen(redis_server_run_id(client.redis)) == 40);
    cr_expect(llabs(redis_clock_skew_ms(client.redis)) < 5000);
    cr_expect(inheritable_fds() == before);
    client_end(&client);
    cr_expect(client_is(&client, REDIS_CLOSED));
    cr_expect(client_last_why(&client)[0] == '\0');
}

Test(redis_connect, by_address_and_by_name)
{
    static char hosts[][16] = { "127.0.0.1", "localhost" };
    struct redis_server_options options = { .tcp = true };
    struct client client;

    client_init(&client, &options);
    client.endpoint.path = NULL;
    client.endpoint.port = client.server.port;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        struct client_call *call = NULL;

        client.endpoint.host = hosts[i];
        client_open_ready(&client);
        call = client_send(&client, "PING");
        client_wait(&client, call->answers);
        cr_expect(strcmp(call->text, "PONG") == 0);
        redis_close(client.redis);
        client_wait(&client, client.redis == NULL);
    }
    client_end(&client);
}

Test(redis_connect, selects_and_names_itself)
{
    struct client client;
    struct client_call *call = NULL;
    redisReply *list = NULL;

    client_init(&client, NULL);
    client.endpoint.db = 3;
    client.options.client_name = "host-queue-1";
    client_open_ready(&client);
    call = client_send(&client, "SET", "key", "value");
    client_wait(&client, call->answers);
    cr_expect(redis_server_number(&client.server, "EXISTS key") == 0);
    list = redis_server_ask(&client.server, "CLIENT LIST");
    cr_expect(strstr(list->str, "name=host-queue-1 ") != NULL, "%s", list->str);
    cr_expect(strstr(list->str, " db=3 ") != NULL, "%s", list->str);
    freeReplyObject(list);
    client_end(&client);
}

Test(redis_connect, loads_its_scripts)
{
    struct client client;
    struct redis_script one, two;
    const struct redis_script *const scripts[] = { &one, &two, NULL };
    redisReply *reply = NULL;

    client_init(&client, NULL);
    client_script(&client, &one, "one", "return 1");
    client_script(&client, &two, "two", "return 2");
    redis_server_do(&client.server, "SCRIPT FLUSH SYNC");
    client.options.scripts = scripts;
    client_open_ready(&client);
    reply = redis_server_ask(&client.server, "SCRIPT EXISTS %s %s", one.sha, two.sha);
    cr_expect(reply->elements == 2 && reply->element[0]->integer == 1 &&
              reply->element[1]->integer == 1);
    freeReplyObject(reply);
    client_end(&client);
}

/* ---- nothing there ---- */

Test(redis_connect, refused_is_told_once_until_it_is_there)
{
    struct redis_server_options options = { .tcp = true };
    static char host[] = "127.0.0.1";
    struct client client;

    client_init(&client, &options);
    client.endpoint.path = NULL;
    client.endpoint.host = host;
    client.endpoint.port = client.server.port;
    redis_server_kill(&client.server);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "Connection refused");
    EXPECT_WHY(&client, "127.0.0.1");
    /* Several tries pass (50, 100, 200 ms ± 30 %), told no further. */
    for (uint64_t end = uv_hrtime() + UINT64_C(700000000); uv_hrtime() < end;)
        client_turn(&client);
    cr_expect(client.told_count == 1);
    redis_server_start_again(&client.server);
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(client.told_count == 2);
    client_end(&client);
}

Test(redis_connect, missing_unix_path)
{
    struct client client;
    char path[] = "/var/tmp/drover-no-such-folder/redis.sock";

    client_init_alone(&client);
    client.endpoint.path = path;
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "No such file or directory");
    EXPECT_WHY(&client, path);
    client_end(&client);
}

Test(redis_connect, name_that_does_not_exist)
{
    struct client client;
    char host[] = "no-such-host.invalid";

    client_init_alone(&client);
    client.endpoint.host = host;
    client.endpoint.port = 6379;
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, host);
    EXPECT_WHY(&client, "look up the name");
    client_end(&client);
}

/* A listening socket that nobody accepts from. */
static int listen_unix(const char *path, int backlog)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(fd, backlog) == 0);
    return fd;
}

Test(redis_connect, silent_listener_is_given_up)
{
    struct client client;
    char path[96];
    int fd = -1;

    client_init(&client, NULL);
    (void)snprintf(path, sizeof(path), "%s/silent.sock", client.server.dir);
    fd = listen_unix(path, 16);
    client.endpoint.path = path;
    client.endpoint.connect_timeout_ms = 150;
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "handshake: no answer within 150 ms");
    cr_expect(client.told_count == 1);
    client_end(&client);
    (void)close(fd);
}

Test(redis_connect, stopped_server_is_given_up_and_found_again)
{
    struct client client;

    client_init(&client, NULL);
    client.endpoint.connect_timeout_ms = 150;
    redis_server_pause(&client.server);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "no answer within 150 ms");
    redis_server_resume(&client.server);
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_connect, black_hole_is_given_up)
{
    /* A listener with a full queue: the kernel drops further connects, as a firewall does. */
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fillers[8];
    char host[] = "127.0.0.1";
    struct client client;

    cr_assert(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(listener, 0) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    client_init_alone(&client);
    client.endpoint.host = host;
    client.endpoint.port = ntohs(address.sin_port);
    client.endpoint.connect_timeout_ms = 200;
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "connect: no answer within 200 ms");
    client_end(&client);
    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++)
        (void)close(fillers[i]);
    (void)close(listener);
}

/* ---- a server that does not want us ---- */

/* The server may still hold the connection that looked whether it is ready. */
static redisContext *take_the_one_place(const struct redis_server *server)
{
    for (int tries = 0; tries < 1000; tries++) {
        redisContext *context = redis_server_connect(server);
        redisReply *reply = redisCommand(context, "PING");
        bool taken = reply && reply->type == REDIS_REPLY_STATUS;

        if (reply)
            freeReplyObject(reply);
        if (taken)
            return context;
        redisFree(context);
    }
    cr_assert(false, "the one place does not become free");
    return NULL;
}

Test(redis_connect, max_clients)
{
    static const char *const args[] = { "--maxclients", "1", NULL };
    struct redis_server_options options = { .args = args };
    struct client client;
    redisContext *other = NULL;

    client_init(&client, &options);
    other = take_the_one_place(&client.server);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "max number of clients");
    redisFree(other);
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(client_told_times(&client, REDIS_WAITING) == 1);
    client_end(&client);
}

Test(redis_connect, loading)
{
    static const char *const args[] = { "--key-load-delay",
                                        "1000",
                                        "--loading-process-events-interval-bytes",
                                        "1024",
                                        "--rdbcompression",
                                        "no",
                                        NULL };
    struct redis_server_options options = { .args = args };
    struct client client;

    client_init(&client, &options);
    redis_server_do(&client.server, "DEBUG POPULATE 1000 key 200");
    redis_server_do(&client.server, "SAVE");
    client.server.skip_ready = true;
    redis_server_start_again(&client.server);
    client_open(&client);
    client_wait(&client,
                client_is(&client, REDIS_WAITING) && strstr(client_last_why(&client), "LOADING"));
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(redis_server_number(&client.server, "DBSIZE") == 1000);
    client_end(&client);
}

Test(redis_connect, replica_is_not_enough)
{
    struct redis_server_options options = { .tcp = true };
    struct redis_server master;
    struct client client;

    redis_server_start(&master, &options);
    client_init(&client, NULL);
    redis_server_do(&client.server, "REPLICAOF 127.0.0.1 %u", master.port);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "READONLY: this is a replica of 127.0.0.1:");
    EXPECT_WHY(&client, "the master is needed");
    redis_server_do(&client.server, "REPLICAOF NO ONE");
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
    redis_server_stop(&master);
}

Test(redis_connect, passwords)
{
    static const struct {
        const char *username, *password, *told; /* told NULL: READY */
    } rows[] = {
        { NULL, NULL, NULL },
        { "worker", "secret", NULL },
        { "worker", "wrong", "AUTH: WRONGPASS" },
        { "worker", NULL, "AUTH: WRONGPASS" },
        { NULL, "anything", "AUTH: ERR AUTH <password> called without any password" },
    };
    struct client client;

    client_init(&client, NULL);
    redis_server_do(&client.server, "ACL SETUSER worker on >secret ~* +@all");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char username[16], password[16];

        (void)snprintf(username, sizeof(username), "%s", rows[i].username ? rows[i].username : "");
        (void)snprintf(password, sizeof(password), "%s", rows[i].password ? rows[i].password : "");
        client.endpoint.username = rows[i].username ? username : NULL;
        client.endpoint.password = rows[i].password ? password : NULL;
        client_open(&client);
        client_wait(&client, client_is(&client, rows[i].told ? REDIS_WAITING : REDIS_READY));
        if (rows[i].told)
            EXPECT_WHY(&client, rows[i].told);
        cr_expect(strstr(client_last_why(&client), "anything") == NULL &&
                      strstr(client_last_why(&client), "secret") == NULL,
                  "a password in a text");
        redis_close(client.redis);
        client_wait(&client, client.redis == NULL);
    }
    client_end(&client);
}

Test(redis_connect, no_password_given)
{
    static const char *const args[] = { "--requirepass", "secret", NULL };
    struct redis_server_options options = { .args = args };
    char password[] = "secret";
    struct client client;

    client_init(&client, &options);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "NOAUTH");
    redis_close(client.redis);
    client_wait(&client, client.redis == NULL);
    client.endpoint.password = password;
    client_open_ready(&client);
    client_end(&client);
}

Test(redis_connect, acl_refuses_a_step)
{
    char username[] = "narrow", password[] = "secret";
    struct client client;

    client_init(&client, NULL);
    redis_server_do(&client.server, "ACL SETUSER narrow on >secret ~* +@all -info");
    client.endpoint.username = username;
    client.endpoint.password = password;
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "INFO server: NOPERM");
    redis_server_do(&client.server, "ACL SETUSER narrow +info");
    client_wait(&client, client_is(&client, REDIS_READY));
    client_end(&client);
}

Test(redis_connect, busy_server_is_waited_for)
{
    struct client client;
    redisContext *other = NULL;
    redisReply *reply = NULL;
    int done = 0;

    client_init(&client, NULL);
    redis_server_do(&client.server, "CONFIG SET busy-reply-threshold 20");
    other = redis_server_connect(&client.server);
    cr_assert(redisAppendCommand(other, "EVAL %s 0", "while true do end") == REDIS_OK);
    while (!done)
        cr_assert(redisBufferWrite(other, &done) == REDIS_OK);
    client_open(&client);
    client_wait(&client, client_is(&client, REDIS_WAITING));
    EXPECT_WHY(&client, "BUSY");
    redis_server_do(&client.server, "SCRIPT KILL");
    client_wait(&client, client_is(&client, REDIS_READY));
    cr_expect(redisGetReply(other, (void **)&reply) == REDIS_OK);
    freeReplyObject(reply);
    redisFree(other);
    client_end(&client);
}

/* ---- something else than the Redis that is needed ---- */

/* A child that answers every connection with `text`, whatever is asked. */
static pid_t start_fake(const char *path, const char *text)
{
    int listener = listen_unix(path, 16);
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            char asked[4096];

            if (fd < 0)
                continue;
            if (read(fd, asked, sizeof(asked)) <= 0 || write(fd, text, strlen(text)) < 0 ||
                read(fd, asked, sizeof(asked)) < 0)
                (void)close(fd); /* otherwise the client closes it */
        }
    }
    (void)close(listener);
    return pid;
}

#define BULK(len, text) "$" #len "\r\n" text "\r\n"
#define ROLE            BULK(11, "role:master")
#define LOADED          BULK(9, "loading:0")
#define TIME            "*2\r\n$1\r\n1\r\n$1\r\n1\r\n"

Test(redis_connect, strange_servers)
{
    static const struct {
        const char *name, *answer, *told;
    } rows[] = {
        { "old", BULK(40, "redis_version:6.0.16\r\nrun_id:abc\r\nxxxxxx") LOADED ROLE TIME,
          "Redis 6.0.16 is too old: at least 6.2 is needed" },
        { "http", "HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol error" },
        { "no version", BULK(4, "a:b\n") LOADED ROLE TIME, "is this a Redis server?" },
        { "number", ":1\r\n:1\r\n:1\r\n:1\r\n", "unexpected type of reply" },
        { "sentinel",
          BULK(54, "redis_version:7.0.0\r\nrun_id:abc\r\nredis_mode:sentinel\r\n") LOADED ROLE TIME,
          "Sentinel" },
        { "no role", BULK(33, "redis_version:7.0.0\r\nrun_id:abcde") LOADED LOADED TIME,
          "INFO replication: has no role" },
        { "odd time", BULK(33, "redis_version:7.0.0\r\nrun_id:abcde") LOADED ROLE "*1\r\n:1\r\n",
          "TIME" },
    };
    struct client client;

    client_init(&client, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char path[96];
        pid_t pid = 0;

        (void)snprintf(path, sizeof(path), "%s/fake%zu.sock", client.server.dir, i);
        pid = start_fake(path, rows[i].answer);
        client.endpoint.path = path;
        client_open(&client);
        client_wait(&client, client_is(&client, REDIS_WAITING));
        cr_expect(strstr(client_last_why(&client), rows[i].told) != NULL, "%s: told '%s'",
                  rows[i].name, client_last_why(&client));
        redis_close(client.redis);
        client_wait(&client, client.redis == NULL);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    client_end(&client);
}

/* ---- the command line's way: once ---- */

Test(redis_connect, once_closes_with_the_reason)
{
    struct client client;
    char path[] = "/var/tmp/drover-no-such-folder/redis.sock";

    client_init_alone(&client);
    client.endpoint.path = path;
    client.options.once = true;
    client_open(&client);
    client_wait(&client, client.redis == NULL);
    cr_expect(client.told_count == 1);
    EXPECT_WHY(&client, "No such file or directory");
    client_end(&client);
}

Test(redis_connect, once_closes_when_the_server_dies)
{
    struct client client;

    client_init(&client, NULL);
    client.options.once = true;
    client_open_ready(&client);
    (void)client_send(&client, "BLPOP", "never", "0");
    redis_server_kill(&client.server);
    client_wait(&client, client.redis == NULL);
    cr_expect(client.told_count == 2);
    cr_expect(client.calls[0].outcome == REDIS_UNKNOWN);
    EXPECT_WHY(&client, "connection lost");
    client_end(&client);
}

/* ---- closing at every moment ---- */

static void close_when_told(struct client *client, enum redis_state state)
{
    if (state != REDIS_CLOSED)
        redis_close(client->redis);
}

Test(redis_connect, close_before_anything_happened)
{
    struct client client;

    client_init(&client, NULL);
    client_open(&client);
    client_end(&client);
    cr_expect(client.told_count == 1);
}

Test(redis_connect, close_after_n_turns)
{
    struct client client;
    struct redis_server_options options = { .tcp = true };
    static char host[] = "localhost";

    client_init(&client, &options);
    for (int over_tcp = 0; over_tcp < 2; over_tcp++) {
        client.endpoint.path = over_tcp ? NULL : client.server.socket_path;
        client.endpoint.host = over_tcp ? host : NULL;
        client.endpoint.port = over_tcp ? client.server.port : 0;
        for (int turns = 0; turns < 12; turns++) {
            client_open(&client);
            for (int i = 0; i < turns; i++)
                (void)uv_run(&client.loop, UV_RUN_NOWAIT);
            redis_close(client.redis);
            redis_close(client.redis);
            client_wait(&client, client.redis == NULL);
        }
    }
    cr_expect(client_told_times(&client, REDIS_CLOSED) == 24);
    client_end(&client);
}

Test(redis_connect, close_inside_ready)
{
    struct client client;

    client_init(&client, NULL);
    client.on_told = close_when_told;
    client_open(&client);
    client_wait(&client, client.redis == NULL);
    cr_expect(client.told_count == 2);
    client_end(&client);
}

Test(redis_connect, close_inside_waiting)
{
    struct client client;
    char path[] = "/var/tmp/drover-no-such-folder/redis.sock";

    client_init_alone(&client);
    client.endpoint.path = path;
    client.on_told = close_when_told;
    client_open(&client);
    client_wait(&client, client.redis == NULL);
    cr_expect(client.told_count == 2);
    cr_expect(client_last_why(&client)[0] == '\0');
    client_end(&client);
}

Test(redis_connect, many_connects_and_closes_leak_nothing)
{
    struct client client;
    int before = -1, after = -1;

    client_init(&client, NULL);
    for (int i = 0; i < 20; i++) {
        client_open_ready(&client);
        redis_close(client.redis);
        client_wait(&client, client.redis == NULL);
        after = dup(0);
        (void)close(after);
        if (i == 2)
            before = after;
    }
    cr_expect(after == before, "descriptors grow: %d, then %d", before, after);
    client_end(&client);
}
