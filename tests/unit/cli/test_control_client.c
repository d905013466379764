/* The command line's side of the control socket: finding it, and every way in which it fails. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/exit_code.h"
#include "supervisor/cli/control_client.h"
#include "tests/unit/cli/fake_droverd.h"

static struct control_client client;
static struct error err;
static char rows[4096];

static void set_up(void)
{
    (void)unsetenv("DROVER_CONTROL");
}

static void tear_down(void)
{
    control_client_done(&client);
}

TestSuite(control_client, .init = set_up, .fini = tear_down, .timeout = 30);

static void on_row(json_t *row, void *arg)
{
    char *text = json_dumps(row, JSON_COMPACT);

    cr_expect(arg == rows);
    (void)strncat(rows, text, sizeof(rows) - strlen(rows) - 1);
    free(text);
}

/* Asks a droverd that answers so; what came of it, and the end in *out (new). */
static int ask(const struct fake_answer *answer, uint64_t timeout_ms, json_t **out)
{
    int r;

    *out = NULL;
    rows[0] = '\0';
    fake_start(answer);
    cr_assert(control_client_init(&client, NULL, NULL, &err) == 0);
    cr_assert(control_client_connect(&client, &err) == 0, "%s", err.text);
    r = control_client_ask(&client, json_pack("{s:s, s:i}", "verb", "x", "n", 1), timeout_ms,
                           on_row, rows, out, &err);
    control_client_done(&client);
    (void)fake_finish();
    return r;
}

#define ANSWER(...)                                                          \
    (&(struct fake_answer){ .packets = (const char *const[]){ __VA_ARGS__ }, \
                            .count =                                         \
                                sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *) })

Test(control_client, asks_and_hears)
{
    json_t *end;

    cr_assert(ask(ANSWER("{\"row\":{\"a\":1}}", "{\"new\":\"kind of packet\"}",
                         "{\"row\":{\"b\":2}}", "{\"end\":true,\"ok\":true,\"code\":0,\"x\":7}"),
                  0, &end) == 0);
    cr_expect_str_eq(rows, "{\"a\":1}{\"b\":2}");
    cr_expect(control_number(end, "x") == 7);
    cr_expect_str_eq(fake_request(), "{\"verb\":\"x\",\"n\":1,\"version\":1}");
    json_decref(end);
}

Test(control_client, answers_that_are_none)
{
    static const struct {
        const char *packet;
        int code;
        const char *says;
    } cases[] = {
        { "{\"row\":{}}", -ECONNRESET, "before it had answered" },
        { "garbage", -EPROTO, "is not droverd" },
        { "[]", -EPROTO, "is not droverd" },
        { "{\"end\":false}", -ECONNRESET, "may have been done or not" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *end;

        cr_expect(ask(ANSWER(cases[i].packet), 0, &end) == cases[i].code, "%s: %s", cases[i].packet,
                  err.text);
        cr_expect(strstr(err.text, cases[i].says), "%s: %s", cases[i].packet, err.text);
        cr_expect(!end);
    }
}

Test(control_client, waits_no_longer_than_told)
{
    static const char *const packets[] = { "{\"row\":{\"a\":1}}" };
    const struct fake_answer answer = { .packets = packets, .count = 1, .silent = 1 };
    json_t *end;

    cr_expect(ask(&answer, 50, &end) == -ETIMEDOUT);
    cr_expect(strstr(err.text, "within 50ms") && strstr(err.text, "drover ps"), "%s", err.text);
    cr_expect_str_eq(rows, "{\"a\":1}");
}

/* ---- finding ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void expect_found(const char *socket, const char *config, const char *path, const char *from)
{
    cr_assert(control_client_init(&client, socket, config, &err) == 0);
    cr_expect_str_eq(client.path, path);
    cr_expect(strstr(client.from, from), "%s", client.from);
    control_client_done(&client);
}

Test(control_client, finds_the_socket_where_it_was_named)
{
    char folder[] = "/var/tmp/drover-cli-XXXXXX", good[64], broken[64];

    cr_assert(mkdtemp(folder));
    (void)snprintf(good, sizeof(good), "%s/good.yaml", folder);
    (void)snprintf(broken, sizeof(broken), "%s/broken.yaml", folder);
    write_file(good, "control: /some/where\nqueues: {q: {handler: noop}}\n");
    write_file(broken, "control: /some/where\nqueues: {q: {handler: nope}}\n");
    expect_found(NULL, good, "/some/where", "good.yaml");
    expect_found(NULL, broken, CLI_CONTROL_SOCKET, "broken.yaml does not load");
    expect_found(NULL, "/no/such.yaml", CLI_CONTROL_SOCKET, "such.yaml does not load");
    cr_assert(setenv("DROVER_CONTROL", "", 1) == 0);
    expect_found(NULL, good, "/some/where", "good.yaml");
    cr_assert(setenv("DROVER_CONTROL", "/from/environment", 1) == 0);
    expect_found(NULL, good, "/from/environment", "DROVER_CONTROL");
    expect_found("/given", good, "/given", "--socket");
    (void)unlink(good);
    (void)unlink(broken);
    (void)rmdir(folder);
}

/* ---- connecting ---- */

static void expect_no_connection(const char *path, int code, const char *says)
{
    cr_assert(control_client_init(&client, path, NULL, &err) == 0);
    cr_expect(control_client_connect(&client, &err) == code, "%s: %d %s", path, err.code, err.text);
    cr_expect(strstr(err.text, says), "%s", err.text);
    control_client_done(&client);
}

Test(control_client, every_way_not_to_connect_says_what_to_do)
{
    char folder[] = "/var/tmp/drover-cli-XXXXXX", path[64], inner[80], long_one[200];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/control", folder);
    (void)snprintf(inner, sizeof(inner), "%s/control", path);
    memset(long_one, 'x', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = '\0';
    expect_no_connection(path, -ENOENT, "systemctl start drover");
    write_file(path, "");
    expect_no_connection(path, -ECONNREFUSED, "nobody answers");
    expect_no_connection(inner, -ENOENT, "does not run");
    (void)unlink(path);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
    expect_no_connection(path, -EPROTOTYPE, "another program");
    expect_no_connection("", -ENAMETOOLONG, "1 to 107 bytes");
    expect_no_connection(long_one, -ENAMETOOLONG, "1 to 107 bytes");
    (void)close(fd);
    (void)unlink(path);
    (void)rmdir(folder);
}

Test(control_client, who_may_not_is_told_which_group)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    fake_start(&(struct fake_answer){ 0 });
    cr_assert(chmod(fake_path(), 0660) == 0);
    *strrchr(strcpy(rows, fake_path()), '/') = '\0';
    cr_assert(chmod(rows, 0755) == 0);
    cr_assert(setgroups(0, NULL) == 0 && setegid(65534) == 0 && seteuid(65534) == 0);
    expect_no_connection(fake_path(), -EACCES, "members of group root");
    cr_assert(seteuid(0) == 0 && chmod(rows, 0700) == 0 && seteuid(65534) == 0);
    expect_no_connection(fake_path(), -EACCES, "members of the socket's group");
    cr_assert(seteuid(0) == 0);
    (void)fake_finish();
}

/* ---- the end ---- */

Test(control_client, an_end_becomes_an_exit_code, .init = cr_redirect_stderr)
{
    static const struct {
        const char *end;
        int code;
    } cases[] = {
        { "{\"ok\":true,\"code\":0}", EXIT_CODE_OK },
        { "{\"ok\":false,\"code\":69}", EXIT_CODE_UNAVAILABLE },
        { "{\"ok\":false,\"code\":0}", EXIT_CODE_FAILED },
        { "{\"ok\":false,\"code\":256}", EXIT_CODE_FAILED },
        { "{\"ok\":false,\"code\":-1}", EXIT_CODE_FAILED },
        { "{\"ok\":false}", EXIT_CODE_FAILED },
        { "{}", EXIT_CODE_FAILED },
        { "{\"ok\":\"yes\",\"code\":0}", EXIT_CODE_FAILED },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *end = json_loads(cases[i].end, 0, NULL);

        cr_expect(control_client_finish(end) == cases[i].code, "%s", cases[i].end);
        json_decref(end);
    }
}

Test(control_client, members_that_are_not_what_they_should_be)
{
    json_t *object = json_loads("{\"a\":-1,\"b\":\"x\",\"c\":[1],\"d\":7,\"e\":1.5}", 0, NULL);

    cr_expect(control_number(object, "a") == 0 && control_number(object, "b") == 0);
    cr_expect(control_number(object, "c") == 0 && control_number(object, "d") == 7);
    cr_expect(control_number(object, "e") == 0 && control_number(object, "nothing") == 0);
    cr_expect(control_number(NULL, "a") == 0);
    cr_expect_str_eq(control_text(object, "b"), "x");
    cr_expect_str_eq(control_text(object, "d"), "");
    cr_expect_str_eq(control_text(NULL, "b"), "");
    json_decref(object);
}
