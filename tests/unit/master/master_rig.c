#include "tests/unit/master/master_rig.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"

struct master_rig rig;
static uv_timer_t tick; /* so that waiting for a condition looks again and has an end */
static int log_fd = -1;

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void rig_init(void)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    cr_assert(log_fd >= 0);
    log_open(log_fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    fd_cloexec_from(3); /* as droverd does */
    cr_assert(uv_loop_init(&rig.loop) == 0);
    cr_assert(uv_timer_init(&rig.loop, &tick) == 0);
    cr_assert(uv_timer_start(&tick, on_tick, 5, 5) == 0);
    uv_unref((uv_handle_t *)&tick);
    (void)snprintf(rig.folder, sizeof rig.folder, "/var/tmp/drover-master-XXXXXX");
    cr_assert(mkdtemp(rig.folder));
    (void)snprintf(rig.file, sizeof rig.file, "%s/drover.yaml", rig.folder);
    (void)snprintf(rig.heard, sizeof rig.heard, "%s/heard", rig.folder);
    (void)snprintf(rig.control, sizeof rig.control, "%s/control", rig.folder);
    cr_assert(setenv("DROVER_TEST_HEARD", rig.heard, 1) == 0);
    buf_init(&rig.queues, 1 << 20);
    rig.drain_timeout = "10s";
    rig.start_timeout = "10s";
    rig.restart_first = "20ms";
    rig.restart_max = "100ms";
    rig.log_level = "debug";
    rig.log_format = "json";
    rig.top = "";
    rig.options = (struct supervisor_options){ .file = rig.file, .worker_path = FAKE_WORKER };
}

/* What tell_workers has written. */
static void forget_told(void)
{
    DIR *folder = opendir(rig.folder);
    const struct dirent *entry;

    cr_assert(folder);
    while ((entry = readdir(folder))) {
        if (strncmp(entry->d_name, "heard.", strlen("heard.")) == 0)
            cr_assert(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    }
    (void)closedir(folder);
}

void rig_done(void)
{
    (void)unlink(rig.file);
    (void)unlink(rig.heard);
    forget_told();
    buf_done(&rig.queues);
    if (rig.supervisor && !supervisor_has_ended(rig.supervisor))
        return; /* the test has failed; its workers leave at the end of file */
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    supervisor_free(rig.supervisor);
    cr_expect(uv_loop_close(&rig.loop) == 0, "everything on the loop was closed");
    cr_expect(access(rig.control, F_OK) < 0, "the control socket is gone");
    cr_expect(rmdir(rig.folder) == 0, "nothing is left in the folder: %s", strerror(errno));
}

/* ---- the file */

void rig_queue(const char *name, const char *options)
{
    cr_assert(buf_printf(&rig.queues, "  %s: {%s%shandler: noop}\n", name, options,
                         *options ? ", " : "") == 0);
}

void rig_forget_queues(void)
{
    buf_reset(&rig.queues);
}

void rig_write_text(const char *text)
{
    FILE *file = fopen(rig.file, "we");

    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

void rig_write(void)
{
    struct buf text = BUF_INIT(2 << 20);

    cr_assert(buf_printf(&text,
                         "control: %s\n"
                         "log: {level: %s, format: %s}\n"
                         "stop: {drain_timeout: %s}\n"
                         "start: {timeout: %s, restart_first: %s, restart_max: %s}\n"
                         "%squeues:\n%s",
                         rig.control, rig.log_level, rig.log_format, rig.drain_timeout,
                         rig.start_timeout, rig.restart_first, rig.restart_max, rig.top,
                         buf_text(&rig.queues)) == 0);
    rig_write_text(buf_text(&text));
    buf_done(&text);
}

void rig_start(void)
{
    struct config_report report;
    struct config *config = NULL;
    struct error err = { 0 };

    rig_write();
    cr_assert(config_load(rig.file, NULL, 0, &config, &report) == 0, "%s: %s", rig.file,
              report.count > 0 ? report.findings[0].text : "no memory");
    config_report_done(&report);
    cr_assert(supervisor_open(&rig.loop, &rig.options, config, &rig.supervisor, &err) == 0, "%s",
              err.text);
}

/* ---- the log */

json_t *find_line(const char *event, size_t n)
{
    struct buf text = BUF_INIT(64 << 20);
    json_t *found = NULL;
    char *save = NULL;
    char wanted[128];

    (void)snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0);
    for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        if (!strstr(line, wanted) || n-- > 0)
            continue;
        found = json_loads(line, 0, NULL);
        cr_assert(json_is_object(found), "%s", line);
    }
    buf_done(&text);
    return found;
}

static size_t count_in_text(const char *text, const char *wanted)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, wanted)); at += strlen(wanted))
        count++;
    return count;
}

size_t count_lines(const char *event)
{
    struct buf text = BUF_INIT(64 << 20);
    char wanted[128];
    size_t count;

    (void)snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0);
    count = count_in_text(buf_text(&text), wanted);
    buf_done(&text);
    return count;
}

size_t line_number(const char *event, size_t n)
{
    struct buf text = BUF_INIT(64 << 20);
    const char *at;
    char wanted[128];
    size_t number = 0;

    (void)snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0);
    at = strstr(buf_text(&text), wanted);
    for (size_t i = 0; at && i < n; i++)
        at = strstr(at + 1, wanted);
    cr_assert(at, "line %zu of %s", n, event);
    for (const char *c = buf_text(&text); c < at; c++)
        number += *c == '\n';
    buf_done(&text);
    return number;
}

long long number_of(const char *event, size_t n, const char *field)
{
    json_t *line = find_line(event, n);
    long long number;

    cr_assert(line, "line %zu of %s", n, event);
    cr_assert(json_is_integer(json_object_get(line, field)), "%s of %s", field, event);
    number = json_integer_value(json_object_get(line, field));
    json_decref(line);
    return number;
}

void expect_text(const char *event, size_t n, const char *field, const char *expected)
{
    json_t *line = find_line(event, n);
    const char *text = line ? json_string_value(json_object_get(line, field)) : NULL;

    cr_expect(text && strcmp(text, expected) == 0, "%s %zu: %s is %s, not %s", event, n, field,
              text ? text : "(absent)", expected);
    json_decref(line);
}

static void print_log(void)
{
    struct buf text = BUF_INIT(64 << 20);

    if (lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0)
        (void)fputs(buf_text(&text), stderr);
    buf_done(&text);
}

size_t count_heard(const char *text)
{
    struct buf heard = BUF_INIT(16 << 20);
    size_t count = 0;

    if (fd_read_file(rig.heard, &heard, NULL) == 0)
        count = count_in_text(buf_text(&heard), text);
    buf_done(&heard);
    return count;
}

void tell_workers(const char *name, unsigned int generation, unsigned int number)
{
    char path[160], aside[176];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s.%s.%u", rig.heard, name, generation);
    (void)snprintf(aside, sizeof aside, "%s~", path);
    file = fopen(aside, "we");
    cr_assert(file && fprintf(file, "%u", number) > 0 && fclose(file) == 0);
    cr_assert(rename(aside, path) == 0);
}

/* ---- what there is */

struct pool *pool_of(const char *queue)
{
    struct pool *pool = supervisor_find_pool(rig.supervisor, queue);

    cr_assert(pool, "a pool of %s", queue);
    return pool;
}

struct slot *slot_of(const char *queue, unsigned int index)
{
    const struct pool *pool = pool_of(queue);
    struct slot *slot = NULL;

    for (size_t i = 0; i < pool->count; i++) {
        if (pool->places[i].role == POOL_CURRENT && pool->places[i].slot->index == index)
            slot = pool->places[i].slot;
    }
    cr_assert(slot, "slot %u of %s", index, queue);
    return slot;
}

pid_t pid_of(const char *queue, unsigned int index)
{
    const struct slot *slot = slot_of(queue, index);

    return slot->child ? slot->child->pid : 0;
}

void kill_worker(const char *queue, unsigned int index, int number)
{
    pid_t pid = pid_of(queue, index);

    cr_assert(pid > 0 && kill(pid, number) == 0, "worker %u of %s", index, queue);
}

/* ---- running */

static void turn(uint64_t end_ms, const char *what)
{
    if (clock_now_ms() >= end_ms)
        print_log();
    cr_assert(clock_now_ms() < end_ms, "not in time: %s", what);
    (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

void run_until(const char *event, size_t times)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (count_lines(event) < times)
        turn(end_ms, event);
}

void run_until_heard(const char *text, size_t times)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (count_heard(text) < times)
        turn(end_ms, text);
}

void run_while(bool (*holds)(void))
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (holds())
        turn(end_ms, "the end of a condition");
}

int run_to_the_end(void)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (!supervisor_has_ended(rig.supervisor))
        turn(end_ms, "the supervisor ends");
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    cr_expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no child is left");
    return supervisor_exit_code(rig.supervisor);
}

void run_turns(unsigned int turns)
{
    for (unsigned int i = 0; i < turns; i++)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

static size_t reloads_over(void)
{
    return count_lines("reload.done") + count_lines("reload.refused");
}

void rig_reload(void)
{
    size_t before = reloads_over();
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    while (reloads_over() == before)
        turn(end_ms, "the reload is over");
}

void rig_end(void)
{
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}
