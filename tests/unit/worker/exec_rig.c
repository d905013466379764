#include "tests/unit/worker/exec_rig.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

struct exec_rig rig;

static char *copy(const struct bytes *bytes)
{
    char *text = calloc(1, bytes->len + 1);

    if (bytes->len > 0)
        memcpy(text, bytes->data, bytes->len);
    return text;
}

static void on_outcome(struct handler_run *run, const struct handler_outcome *outcome, void *arg)
{
    struct result *result = arg;

    cr_assert(result->run == run);
    result->outcomes++;
    result->kind = outcome->kind;
    result->value = copy(&outcome->value);
    result->value_len = outcome->value.len;
    result->reason = copy(&outcome->reason);
    result->stack = copy(&outcome->stack);
    rig.ended++;
}

static const struct handler_events events = { .on_outcome = on_outcome };

void rig_init(void)
{
    memset(&rig, 0, sizeof(rig));
    rig.closed = true;
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert(eq(int, uv_loop_init(&rig.loop), 0));
    rig.config.kind = CONFIG_HANDLER_EXEC;
    rig.config.max_output_bytes = 1 << 20;
    rig.job.id = (struct bytes){ "17", 2 };
    rig.job.name = (struct bytes){ "resize", 6 };
    rig.job.data = (struct bytes){ "{\"a\":1}", 7 };
    rig.input = (struct handler_input){ .job = &rig.job,
                                        .type = &rig.type,
                                        .queue = "pictures",
                                        .worker = "host-pictures-0",
                                        .attempt = 2,
                                        .attempts_max = 5,
                                        .idempotency_key = "pictures:17",
                                        .fencing_token = "uuid:4" };
    (void)snprintf(rig.folder, sizeof(rig.folder), "/var/tmp/drover-exec-XXXXXX");
    cr_assert(mkdtemp(rig.folder) != NULL);
}

static void on_closed(void *arg)
{
    (void)arg;
    rig.closed = true;
}

void rig_close_handler(void)
{
    if (!rig.handler)
        return;
    rig.closed = false;
    handler_find(CONFIG_HANDLER_EXEC)->close(TAKE_PTR(rig.handler), on_closed, NULL);
}

void rig_done(void)
{
    char command[128];

    rig_close_handler();
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_assert(rig.closed);
    cr_assert(eq(int, uv_loop_close(&rig.loop), 0), "no handle is left");
    for (size_t i = 0; i < rig.count; i++) {
        cr_assert(eq(uint, rig.results[i].outcomes, 1), "exactly one outcome");
        free(rig.results[i].value);
        free(rig.results[i].reason);
        free(rig.results[i].stack);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
    cr_assert(eq(int, system(command), 0));
}

void rig_open_argv(char **argv)
{
    struct error err = { 0 };

    rig.config.argv = argv;
    cr_assert(
        eq(int, handler_find(CONFIG_HANDLER_EXEC)->open(&rig.loop, &rig.config, &rig.handler, &err),
           0),
        "%s", err.text);
}

void rig_open_script(const char *script)
{
    static char *argv[4];
    static char sh[] = "/bin/sh", flag[] = "-c";

    argv[0] = sh;
    argv[1] = flag;
    argv[2] = (char *)(uintptr_t)script;
    rig_open_argv(argv);
}

struct result *rig_start(void)
{
    struct result *result = &rig.results[rig.count++];
    struct error err = { 0 };

    cr_assert(eq(int,
                 handler_find(CONFIG_HANDLER_EXEC)
                     ->start(rig.handler, &rig.input, &events, result, &result->run, &err),
                 0));
    cr_assert(eq(uint, result->outcomes, 0), "never inside start");
    return result;
}

void rig_wait_ended(void)
{
    while (rig.ended < rig.count)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

struct result *rig_run_script(const char *script)
{
    struct result *result;

    rig_open_script(script);
    result = rig_start();
    rig_wait_ended();
    return result;
}

void rig_cancel(struct result *result, enum handler_cancel how)
{
    handler_find(CONFIG_HANDLER_EXEC)->cancel(result->run, how);
    cr_assert(eq(uint, result->outcomes, 0), "never inside cancel");
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void rig_wait_file(const char *name, char *out, size_t out_bytes)
{
    uint64_t until_ms = clock_now_ms() + 20000;
    uv_timer_t tick;
    char path[128];
    ssize_t got = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", rig.folder, name);
    (void)uv_timer_init(&rig.loop, &tick);
    (void)uv_timer_start(&tick, on_tick, 5, 5);
    while (got <= 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert(lt(u64, clock_now_ms(), until_ms), "%s does not come", path);
        got = fd >= 0 ? read(fd, out, out_bytes - 1) : 0;
        if (fd >= 0)
            (void)close(fd);
        if (got <= 0)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    out[got] = '\0';
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* until it is closed: it lives on this stack */
}

bool rig_is_alive(pid_t pid)
{
    char path[64], state = '?';
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fscanf(file, "%*d %*s %c", &state) != 1)
        state = '?';
    (void)fclose(file);
    return state != 'Z' && state != 'X';
}

void rig_wait_dead(pid_t pid)
{
    uint64_t until_ms = clock_now_ms() + 20000;

    while (rig_is_alive(pid)) {
        cr_assert(lt(u64, clock_now_ms(), until_ms), "process %d lives on", (int)pid);
        (void)usleep(2000);
    }
}
