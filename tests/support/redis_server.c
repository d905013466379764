#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_WITHIN_MS 10000
#define MAX_ARGS        64

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("redis_server: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    abort();
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the folder and its keeper ---- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    (void)remove(path); /* what stays shows in the parent's removal */
    return 0;
}

static void remove_dir(const char *dir)
{
    (void)chmod(dir, 0700); /* a test may have made it unwritable */
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Waits until no process holds the write end any more, then clears up. */
static void keep(int fd, const char *dir)
{
    char byte;

    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
    /* The server is gone or dying (PR_SET_PDEATHSIG); give it the time to let go of its files. */
    for (int i = 0; i < 100 && access(dir, F_OK) == 0; i++) {
        remove_dir(dir);
        (void)usleep(10000);
    }
    _exit(0);
}

static void start_keeper(struct redis_server *server)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe: %s", strerror(errno));
    server->keeper = fork();
    if (server->keeper < 0)
        die("fork: %s", strerror(errno));
    if (server->keeper == 0) {
        (void)setsid(); /* a signal to the test's group must not stop the clean-up */
        if (dup2(ends[0], 0) < 0)
            _exit(1);
        (void)close_range(1, ~0U,
                          0); /* holds nothing open: neither pipes of the runner nor others */
        keep(0, server->dir);
    }
    (void)close(ends[0]);
    server->keeper_fd = ends[1];
}

static void make_dir(struct redis_server *server)
{
    const char *base = getenv("TMPDIR");

    /* A unix socket path holds 107 bytes: a long TMPDIR is not usable. */
    if (!base || strlen(base) > 40 || access(base, W_OK) != 0)
        base = "/var/tmp";
    (void)snprintf(server->dir, sizeof(server->dir), "%s/drover-XXXXXX", base);
    if (!mkdtemp(server->dir))
        die("mkdtemp %s: %s", server->dir, strerror(errno));
    (void)snprintf(server->socket_path, sizeof(server->socket_path), "%s/redis.sock", server->dir);
    (void)snprintf(server->url, sizeof(server->url), "unix://%s", server->socket_path);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        die("find a free port: %s", strerror(errno));
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* ---- starting and stopping ---- */

static void add_arg(struct redis_server *server, const char *arg)
{
    size_t at = 0;

    while (server->args[at])
        at++;
    if (at + 1 >= MAX_ARGS)
        die("too many arguments");
    server->args[at] = strdup(arg);
    if (!server->args[at])
        die("out of memory");
}

/* A Sentinel wants a file of its own, which it writes. */
static void add_sentinel(struct redis_server *server)
{
    char path[96];
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/sentinel.conf", server->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die("create %s: %s", path, strerror(errno));
    (void)close(fd);
    add_arg(server, path);
    add_arg(server, "--sentinel");
}

static void build_args(struct redis_server *server, const struct redis_server_options *options)
{
    static const char *const fixed[] = {
        "--save",           "",       "--appendonly",           "no",
        "--loglevel",       "notice", "--enable-debug-command", "yes",
        "--unixsocketperm", "700"
    };
    char port[8];

    server->args = calloc(MAX_ARGS, sizeof(char *));
    if (!server->args)
        die("out of memory");
    (void)snprintf(port, sizeof(port), "%u", server->port);
    add_arg(server, "redis-server");
    if (options && options->sentinel)
        add_sentinel(server);
    add_arg(server, "--port");
    add_arg(server, port);
    add_arg(server, "--bind");
    add_arg(server, "127.0.0.1");
    add_arg(server, "--unixsocket");
    add_arg(server, server->socket_path);
    add_arg(server, "--dir");
    add_arg(server, server->dir);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        add_arg(server, fixed[i]);
    for (size_t i = 0; options && options->args && options->args[i]; i++)
        add_arg(server, options->args[i]);
}

static void exec_server(const struct redis_server *server, pid_t parent)
{
    char log_path[96];
    int log_fd = -1;

    (void)snprintf(log_path, sizeof(log_path), "%s/redis.log", server->dir);
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    (void)close_range(3, ~0U, 0);
    (void)execvp(server->args[0], server->args);
    _exit(127);
}

static void spawn(struct redis_server *server)
{
    pid_t parent = getpid();

    (void)unlink(server->socket_path);
    server->pid = fork();
    if (server->pid < 0)
        die("fork: %s", strerror(errno));
    if (server->pid == 0)
        exec_server(server, parent);
}

static void show_log(const struct redis_server *server)
{
    char path[96], line[512];
    FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/redis.log", server->dir);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        (void)fputs(line, stderr);
    if (file)
        (void)fclose(file);
}

/* One try: 1 answers, 0 not yet. */
static int answers(const struct redis_server *server)
{
    struct timeval timeout = { .tv_sec = 5 };
    redisContext *context = redisConnectUnixWithTimeout(server->socket_path, timeout);
    redisReply *reply = NULL;
    int ready = 0;

    if (context && !context->err) {
        (void)redisSetTimeout(context, timeout);
        reply = redisCommand(context, "PING");
        ready =
            reply && (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "LOADING", 7) != 0);
    }
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return ready;
}

static void wait_ready(struct redis_server *server)
{
    uint64_t deadline_ms = now_ms() + READY_WITHIN_MS;
    int status = 0;

    while (!answers(server)) {
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            server->pid = 0;
            show_log(server);
            die("redis-server ended at start with status 0x%x", (unsigned int)status);
        }
        if (now_ms() > deadline_ms) {
            show_log(server);
            die("redis-server does not answer within %d ms", READY_WITHIN_MS);
        }
        (void)usleep(2000);
    }
}

void redis_server_start(struct redis_server *server, const struct redis_server_options *options)
{
    *server = (struct redis_server){ .keeper_fd = -1 };
    make_dir(server);
    start_keeper(server);
    if (options && options->tcp)
        server->port = free_port();
    build_args(server, options);
    server->skip_ready = options && options->skip_ready;
    redis_server_start_again(server);
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return; /* never 0 or less to kill(2) */
    (void)kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    server->pid = 0;
}

void redis_server_start_again(struct redis_server *server)
{
    redis_server_kill(server);
    spawn(server);
    if (!server->skip_ready)
        wait_ready(server);
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->dir[0])
        remove_dir(server->dir);
    if (server->keeper > 0) {
        (void)close(server->keeper_fd);
        while (waitpid(server->keeper, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    for (size_t i = 0; server->args && server->args[i]; i++)
        free(server->args[i]);
    free(server->args);
    *server = (struct redis_server){ .keeper_fd = -1 };
}

void redis_server_pause(struct redis_server *server)
{
    siginfo_t info;

    if (kill(server->pid, SIGSTOP) < 0 || waitid(P_PID, (id_t)server->pid, &info, WSTOPPED) < 0)
        die("stop redis-server: %s", strerror(errno));
}

void redis_server_resume(struct redis_server *server)
{
    if (kill(server->pid, SIGCONT) < 0)
        die("continue redis-server: %s", strerror(errno));
}

/* ---- asking ---- */

redisContext *redis_server_connect(const struct redis_server *server)
{
    redisContext *context = redisConnectUnix(server->socket_path);

    if (!context || context->err)
        die("connect %s: %s", server->socket_path, context ? context->errstr : "out of memory");
    return context;
}

static redisReply *ask(const struct redis_server *server, const char *format, va_list args)
{
    redisContext *context = redis_server_connect(server);
    redisReply *reply = redisvCommand(context, format, args);

    if (!reply)
        die("%s: %s", format, context->errstr);
    redisFree(context);
    return reply;
}

redisReply *redis_server_ask(const struct redis_server *server, const char *format, ...)
{
    va_list args;
    redisReply *reply = NULL;

    va_start(args, format);
    reply = ask(server, format, args);
    va_end(args);
    return reply;
}

void redis_server_do(const struct redis_server *server, const char *format, ...)
{
    va_list args;
    redisReply *reply = NULL;

    va_start(args, format);
    reply = ask(server, format, args);
    va_end(args);
    if (reply->type == REDIS_REPLY_ERROR)
        die("%s: %s", format, reply->str);
    freeReplyObject(reply);
}

long long redis_server_number(const struct redis_server *server, const char *format, ...)
{
    va_list args;
    redisReply *reply = NULL;
    long long number = 0;

    va_start(args, format);
    reply = ask(server, format, args);
    va_end(args);
    if (reply->type != REDIS_REPLY_INTEGER)
        die("%s: not a number: %s", format, reply->str ? reply->str : "");
    number = reply->integer;
    freeReplyObject(reply);
    return number;
}

long long redis_server_info(const struct redis_server *server, const char *field)
{
    redisReply *reply = redis_server_ask(server, "INFO everything");
    size_t field_len = strlen(field);
    const char *line = reply->str;
    long long value = 0;

    while (line && !(strncmp(line, field, field_len) == 0 && line[field_len] == ':')) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        die("INFO has no field %s", field);
    value = strtoll(line + field_len + 1, NULL, 10);
    freeReplyObject(reply);
    return value;
}
