#include "tests/unit/worker/program_rig.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

struct program_rig rig;
static uv_timer_t tick;

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
    result->retry_after_ms = outcome->retry_after_ms;
    result->retry_at_ms = outcome->retry_at_ms;
    result->order = ++rig.ended;
}

static void keep_text(struct result *result, char **place, const char *text, size_t len)
{
    struct bytes bytes = { text, len };

    free(*place);
    *place = copy(&bytes);
    result->reports++;
}

static void on_progress(struct handler_run *run, const char *json, size_t len, void *arg)
{
    struct result *result = arg;

    cr_assert(result->run == run);
    keep_text(result, &result->progress, json, len);
}

static void on_log(struct handler_run *run, const char *row, size_t len, void *arg)
{
    struct result *result = arg;

    cr_assert(result->run == run);
    keep_text(result, &result->row, row, len);
}

static void on_pid(struct handler_run *run, int pid, void *arg)
{
    struct result *result = arg;

    cr_assert(result->run == run);
    result->pid = pid;
}

static const struct handler_events events = {
    .on_outcome = on_outcome,
    .on_progress = on_progress,
    .on_log = on_log,
    .on_pid = on_pid,
};

static const struct handler_kind *kind(void)
{
    return handler_find(rig.config.kind);
}

static void on_ready(void *arg)
{
    cr_assert(arg == &rig);
    rig.readies++;
}

void rig_init(void)
{
    memset(&rig, 0, sizeof(rig));
    rig.closed = true;
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert(eq(int, uv_loop_init(&rig.loop), 0));
    rig.config.kind = CONFIG_HANDLER_EXEC;
    rig.config.max_output_bytes = 1 << 20;
    rig.config.parallel = 1;
    rig.config.umask = CONFIG_UMASK_INHERIT;
    rig.config.nice = CONFIG_NICE_INHERIT;
    for (size_t i = 0; i < RESOURCE_COUNT; i++)
        rig.config.limits[i] = RESOURCE_INHERIT;
    rig.setup = (struct handler_setup){ .loop = &rig.loop,
                                        .config = &rig.config,
                                        .queue = "pictures",
                                        .worker = "host-pictures-0",
                                        .slots = 1,
                                        .start_timeout_ms = 20000,
                                        .restart_first_ms = 10,
                                        .restart_max_ms = 100,
                                        .kill_grace_ms = 5000,
                                        .on_ready = on_ready,
                                        .arg = &rig };
    (void)uv_timer_init(&rig.loop, &tick);
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
                                        .fencing_token = "uuid:4",
                                        .correlation_id = "order-9" };
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
    kind()->close(TAKE_PTR(rig.handler), on_closed, NULL);
}

void rig_done(void)
{
    char command[128];

    rig_close_handler();
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    cr_assert(rig.closed);
    cr_assert(eq(int, uv_loop_close(&rig.loop), 0), "no handle is left");
    for (size_t i = 0; i < rig.count; i++) {
        cr_assert(eq(uint, rig.results[i].outcomes, 1), "exactly one outcome");
        free(rig.results[i].value);
        free(rig.results[i].reason);
        free(rig.results[i].stack);
        free(rig.results[i].progress);
        free(rig.results[i].row);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
    cr_assert(eq(int, system(command), 0));
}

void rig_open_argv(char **argv)
{
    struct error err = { 0 };

    rig.config.argv = argv;
    cr_assert(eq(int, kind()->open(&rig.setup, &rig.handler, &err), 0), "%s", err.text);
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

static struct result *start(struct result *result)
{
    struct error err = { 0 };

    result->input.job = &result->job;
    cr_assert(eq(
        int, kind()->start(rig.handler, &result->input, &events, result, &result->run, &err), 0));
    cr_assert(eq(uint, result->outcomes, 0), "never inside start");
    return result;
}

struct result *rig_start(void)
{
    struct result *result = &rig.results[rig.count++];

    result->job = rig.job;
    result->input = rig.input;
    return start(result);
}

struct result *rig_start_job(const char *name, const char *data)
{
    struct result *result = &rig.results[rig.count++];

    result->job = rig.job;
    result->job.name = (struct bytes){ name, strlen(name) };
    result->job.data = (struct bytes){ data, strlen(data) };
    result->input = rig.input;
    return start(result);
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

void rig_cancel_why(struct result *result, enum handler_cancel how, enum handler_cancel_why why,
                    uint64_t grace_ms)
{
    unsigned int outcomes = result->outcomes;

    kind()->cancel(result->run, how, why, grace_ms);
    cr_assert(eq(uint, result->outcomes, outcomes), "never inside cancel");
}

void rig_cancel(struct result *result, enum handler_cancel how)
{
    rig_cancel_why(result, how, HANDLER_WHY_STOP, 5000);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void rig_tick(bool on)
{
    if (on)
        (void)uv_timer_start(&tick, on_tick, 5, 5);
    else
        (void)uv_timer_stop(&tick);
}

void rig_wait_file(const char *name, char *out, size_t out_bytes)
{
    uint64_t until_ms = clock_now_ms() + 20000;
    char path[128];
    ssize_t got = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", rig.folder, name);
    rig_tick(true);
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
    rig_tick(false);
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
