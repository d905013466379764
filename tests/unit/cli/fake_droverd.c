#include "tests/unit/cli/fake_droverd.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisor/cli/command.h"

static char folder[] = "/var/tmp/drover-cli-XXXXXX";
static char path[64], request[65537];
static struct fake_answer answer;
static pthread_t thread;
static int listener = -1;

static void *serve(void *arg)
{
    int fd = accept(listener, NULL, NULL);
    ssize_t len = recv(fd, request, sizeof(request) - 1, 0);
    char byte;

    (void)arg;
    request[len > 0 ? len : 0] = '\0';
    for (size_t i = 0; i < answer.count; i++)
        (void)send(fd, answer.packets[i], strlen(answer.packets[i]), MSG_NOSIGNAL);
    if (answer.silent)
        (void)!recv(fd, &byte, 1, 0);
    (void)close(fd);
    return NULL;
}

void fake_start(const struct fake_answer *given)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    answer = *given;
    request[0] = '\0';
    (void)snprintf(folder, sizeof(folder), "/var/tmp/drover-cli-XXXXXX");
    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/control", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert(listen(listener, 1) == 0);
    cr_assert(setenv("DROVER_CONTROL", path, 1) == 0);
    cr_assert(pthread_create(&thread, NULL, serve, NULL) == 0);
}

const char *fake_finish(void)
{
    cr_assert(shutdown(listener, SHUT_RDWR) == 0); /* nobody may have come */
    cr_assert(pthread_join(thread, NULL) == 0);
    (void)close(listener);
    (void)unlink(path);
    (void)rmdir(folder);
    return request;
}

const char *fake_path(void)
{
    return path;
}

int fake_run(const char *line)
{
    static char copy[1024];
    char *argv[64] = { 0 };
    const struct cli_command *command;
    int argc = 0, code;

    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    command = cli_find_command(argv[0]);
    cr_assert(command, "%s", line);
    code = command->run(argc, argv);
    (void)fflush(stdout);
    (void)fflush(stderr);
    return code;
}

int fake_run_with(const char *const *packets, size_t count, const char *line)
{
    int code;

    fake_start(&(struct fake_answer){ .packets = packets, .count = count });
    code = fake_run(line);
    (void)fake_finish();
    return code;
}

const char *fake_request(void)
{
    return request;
}
