/* The real supervisor on a real loop, with workers that behave as their queue is called. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "supervisor/master/supervisor.h"

enum { PATIENCE_MS = 30000, QUEUES_MAX = 4 };

static uv_loop_t loop;
static uv_timer_t tick; /* so that waiting for a condition looks again and has an end */
static int log_fd = -1;
static struct supervisor *supervisor;
static struct config config;
static struct config_queue queues[QUEUES_MAX];
static struct supervisor_options options;

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void set_up(void)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    cr_assert(log_fd >= 0);
    log_open(log_fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
    fd_cloexec_from(3); /* as droverd does */
    cr_assert(uv_loop_init(&loop) == 0);
    cr_assert(uv_timer_init(&loop, &tick) == 0);
    cr_assert(uv_timer_start(&tick, on_tick, 5, 5) == 0);
    uv_unref((uv_handle_t *)&tick);
    config = (struct config){ .queues = queues,
                              .drain_timeout_ms = 10000,
                              .start_timeout_ms = 10000,
                              .restart_first_ms = 20,
                              .restart_max_ms = 100 };
    options.config = &config;
    options.worker_path = FAKE_WORKER;
    options.config_fd = fd_sealed_memory("config", "{\"the\":\"config\"}", 16, NULL);
    cr_assert(options.config_fd >= 0);
}

static void tear_down(void)
{
    if (supervisor && !supervisor_has_ended(supervisor))
        return; /* the test has failed; its workers leave at the end of file */
    supervisor_free(supervisor);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect(uv_loop_close(&loop) == 0, "everything on the loop was closed");
}

TestSuite(supervisor, .init = set_up, .fini = tear_down, .timeout = 60);

static void add_queue(char *name, unsigned int concurrency, unsigned int processes)
{
    cr_assert(config.queues_count < QUEUES_MAX);
    queues[config.queues_count++] =
        (struct config_queue){ .name = name, .concurrency = concurrency, .processes = processes };
}

static void start(void)
{
    struct error err = { 0 };

    cr_assert(supervisor_open(&loop, &options, &supervisor, &err) == 0, "%s", err.text);
}

/* The n-th (from 0) line of that event as an object (new reference), NULL when there is none. */
static json_t *find_line(const char *event, size_t n)
{
    struct buf text = BUF_INIT(16 << 20);
    json_t *found = NULL;
    char *save = NULL;

    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0);
    for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *object = json_loads(line, 0, NULL);

        cr_assert(json_is_object(object), "%s", line);
        if (strcmp(json_string_value(json_object_get(object, "event")), event) == 0 && n-- == 0)
            found = json_incref(object);
        json_decref(object);
    }
    buf_done(&text);
    return found;
}

static size_t count_lines(const char *event)
{
    size_t count = 0;

    for (json_t *line; (line = find_line(event, count)); count++)
        json_decref(line);
    return count;
}

static long long number_of(const char *event, size_t n, const char *field)
{
    json_t *line = find_line(event, n);
    long long number;

    cr_assert(line, "line %zu of %s", n, event);
    cr_assert(json_is_integer(json_object_get(line, field)), "%s of %s", field, event);
    number = json_integer_value(json_object_get(line, field));
    json_decref(line);
    return number;
}

static void expect_text(const char *event, size_t n, const char *field, const char *expected)
{
    json_t *line = find_line(event, n);
    const char *text = line ? json_string_value(json_object_get(line, field)) : NULL;

    cr_expect(text && strcmp(text, expected) == 0, "%s %zu: %s is %s, not %s", event, n, field,
              text ? text : "(absent)", expected);
    json_decref(line);
}

static void print_log(void)
{
    struct buf text = BUF_INIT(16 << 20);

    if (lseek(log_fd, 0, SEEK_SET) == 0 && fd_read_all(log_fd, &text, NULL) == 0)
        (void)fputs(buf_text(&text), stderr);
    buf_done(&text);
}

static void run_until(const char *event, size_t times)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (count_lines(event) < times) {
        if (clock_now_ms() >= end_ms)
            print_log();
        cr_assert(clock_now_ms() < end_ms, "%s was not logged %zu times", event, times);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
}

static int run_to_the_end(void)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;

    while (!supervisor_has_ended(supervisor)) {
        if (clock_now_ms() >= end_ms)
            print_log();
        cr_assert(clock_now_ms() < end_ms, "the supervisor does not end");
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    cr_expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no child is left");
    return supervisor_exit_code(supervisor);
}

Test(supervisor, starts_what_is_configured_and_drains_on_sigterm)
{
    char serve[] = "serve", other[] = "other";

    add_queue(serve, 5, 3);
    add_queue(other, 1, 1);
    start();
    run_until("worker.ready", 4);
    run_until("pool.ready", 2);
    run_until("droverd.ready", 1);
    cr_expect(count_lines("worker.spawned") == 4);
    cr_expect(number_of("worker.spawned", 0, "slots") == 2);
    cr_expect(number_of("worker.spawned", 2, "slots") == 1);
    cr_assert(raise(SIGTERM) == 0);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect(count_lines("worker.exited") == 4);
    cr_expect(count_lines("worker.draining") == 4);
    cr_expect(count_lines("worker.stopping") == 0);
    expect_text("worker.exited", 0, "cause", "exit 0 (ok)");
    expect_text("worker.exited", 0, "level", "info");
    cr_expect(number_of("droverd.stopped", 0, "exit_code") == 0);
}

Test(supervisor, gives_the_worker_what_was_agreed)
{
    char inspect[] = "inspect";

    cr_assert(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1) == 0);
    cr_assert(setenv("WATCHDOG_USEC", "1", 1) == 0 && setenv("WATCHDOG_PID", "1", 1) == 0);
    cr_assert(setenv("LISTEN_FDS", "1", 1) == 0 && setenv("LISTEN_FDNAMES", "a", 1) == 0);
    cr_assert(setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1) == 0);
    cr_assert(setenv("DROVER_TEST_KEPT", "yes", 1) == 0);
    add_queue(inspect, 7, 2);
    start();
    run_until("droverd.ready", 1);
    cr_expect(count_lines("worker.ready") == 2, "the fake worker says on stderr what it misses");
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, backs_off_when_a_worker_dies_before_it_is_ready)
{
    char early[] = "die-early";

    config.restart_max_ms = 200;
    add_queue(early, 1, 1);
    start();
    run_until("worker.restart_delayed", 5);
    expect_text("worker.exited", 0, "cause", "exit 69 (unavailable)");
    cr_expect(number_of("worker.restart_delayed", 0, "delay_ms") <= 24);
    cr_expect(number_of("worker.restart_delayed", 0, "delay_ms") >= 16);
    cr_expect(number_of("worker.restart_delayed", 2, "delay_ms") >= 64);
    cr_expect(number_of("worker.restart_delayed", 4, "delay_ms") >= 160, "capped");
    cr_expect(number_of("worker.restart_delayed", 4, "delay_ms") <= 200, "capped");
    cr_expect(number_of("worker.restart_delayed", 4, "failures") == 5);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "nothing had to be killed");
}

Test(supervisor, a_death_just_after_ready_counts_as_before)
{
    char die[] = "ready-and-die";

    add_queue(die, 1, 1);
    start();
    run_until("worker.restart_delayed", 3);
    cr_expect(count_lines("worker.ready") >= 3, "ready was read before the death was judged");
    cr_expect(number_of("worker.restart_delayed", 2, "failures") == 3);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, restarts_at_once_after_long_service)
{
    char late[] = "die-late";

    config.restart_first_ms = config.restart_max_ms = 60000;
    add_queue(late, 1, 1);
    start();
    run_until("worker.spawned", 3);
    cr_expect(count_lines("worker.restart_delayed") == 0);
    expect_text("worker.exited", 1, "cause", "exit 70 (software)");
    expect_text("worker.exited", 1, "level", "warn");
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, names_the_signal_of_a_death)
{
    char crash[] = "signal";

    add_queue(crash, 1, 1);
    start();
    run_until("worker.restart_delayed", 1);
    expect_text("worker.exited", 0, "cause", "signal 10 (SIGUSR1)");
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, never_restarts_after_a_final_exit_code_but_serves_the_rest)
{
    char bad[] = "exit-78", good[] = "serve";

    add_queue(bad, 2, 2);
    add_queue(good, 1, 1);
    start();
    run_until("pool.given_up", 1);
    run_until("pool.ready", 1);
    cr_expect(count_lines("worker.never_restarted") == 2);
    expect_text("worker.never_restarted", 0, "exit_name", "config");
    cr_expect(count_lines("worker.spawned") == 3);
    cr_expect(count_lines("droverd.gave_up") == 0);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, ends_with_78_when_every_worker_refuses_its_configuration)
{
    char bad[] = "exit-78";

    add_queue(bad, 2, 2);
    start();
    cr_expect(run_to_the_end() == EXIT_CODE_CONFIG);
    cr_expect(count_lines("droverd.gave_up") == 1);
    cr_expect(count_lines("worker.spawned") == 2);
}

Test(supervisor, ends_with_1_when_workers_gave_up_for_other_reasons)
{
    char bad[] = "exit-78", worse[] = "exit-64";

    add_queue(bad, 1, 1);
    add_queue(worse, 1, 1);
    start();
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    cr_expect(number_of("droverd.gave_up", 0, "exit_code") == 1);
}

Test(supervisor, kills_and_retries_a_worker_that_is_never_ready)
{
    char never[] = "never-ready";

    config.start_timeout_ms = 100;
    add_queue(never, 1, 1);
    start();
    run_until("worker.restart_delayed", 2);
    expect_text("worker.killed", 0, "why", "not ready in time");
    expect_text("worker.exited", 0, "cause", "signal 9 (SIGKILL)");
    expect_text("worker.exited", 0, "killed_because", "not ready in time");
    run_until("worker.spawned", 3);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED, "it had to be killed");
}

Test(supervisor, second_signal_stops_what_ignores_the_drain)
{
    char ignore[] = "ignore-drain";

    config.drain_timeout_ms = 0; /* no bound */
    add_queue(ignore, 1, 1);
    start();
    run_until("worker.ready", 1);
    cr_assert(raise(SIGTERM) == 0);
    run_until("worker.draining", 1);
    cr_assert(raise(SIGINT) == 0);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "it left when told to stop");
    expect_text("worker.stopping", 0, "why", "stop asked");
    cr_expect(count_lines("droverd.stopping") == 1);
}

Test(supervisor, a_drain_has_an_end)
{
    char ignore[] = "ignore-drain";

    config.drain_timeout_ms = 50;
    add_queue(ignore, 1, 1);
    start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(supervisor);
    run_until("worker.draining", 1);
    clock_shift_for_tests(6000); /* the time-out and its margin */
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    expect_text("worker.stopping", 0, "why", "did not drain in time");
}

Test(supervisor, the_ladder_ends_with_a_kill)
{
    char ignore[] = "ignore-all";

    options.stop_grace_ms = 50;
    add_queue(ignore, 1, 1);
    start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(supervisor);
    run_until("worker.draining", 1);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "did not stop in time");
    cr_expect(number_of("droverd.stopped", 0, "killed") == 1);
}

Test(supervisor, third_signal_kills)
{
    char ignore[] = "ignore-all";

    options.stop_grace_ms = 60000;
    add_queue(ignore, 1, 1);
    start();
    run_until("worker.ready", 1);
    for (int i = 0; i < 3; i++)
        supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "kill asked");
}

Test(supervisor, kills_what_a_dead_worker_left_in_its_session)
{
    char leave[] = "leave-handlers";

    add_queue(leave, 1, 1);
    start();
    run_until("worker.exited", 1);
    cr_expect(number_of("worker.exited", 0, "killed_left_over") == 2);
    run_until("worker.spawned", 2);
    supervisor_ask_to_end(supervisor);
    (void)run_to_the_end();
}

Test(supervisor, reaps_orphans_and_kills_them_also_after_a_regular_end)
{
    char at_drain[] = "handlers-at-drain", escaped[] = "escaped-handler";

    add_queue(at_drain, 1, 1);
    add_queue(escaped, 1, 1);
    start();
    run_until("worker.ready", 2);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK, "no worker had to be killed");
    cr_expect(count_lines("orphan.killed") >= 1, "the one with a session of its own");
    cr_expect(count_lines("orphan.reaped") == 2);
}

Test(supervisor, kills_a_worker_that_closed_its_channel_and_lives)
{
    char mute[] = "close-channel";

    options.stop_grace_ms = 50;
    add_queue(mute, 1, 1);
    start();
    run_until("worker.killed", 1);
    expect_text("worker.killed", 0, "why", "closed its channel and lives on");
    supervisor_ask_to_end(supervisor);
    (void)run_to_the_end();
}

Test(supervisor, says_that_it_cannot_reload_and_goes_on)
{
    char serve[] = "serve";

    add_queue(serve, 1, 1);
    start();
    run_until("worker.ready", 1);
    cr_assert(raise(SIGHUP) == 0);
    run_until("reload.refused", 1);
    cr_expect(count_lines("worker.exited") == 0);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, starts_more_than_one_turn_of_spawns)
{
    char serve[] = "serve";

    add_queue(serve, 11, 11);
    start();
    run_until("worker.ready", 11);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect(count_lines("worker.exited") == 11);
}

Test(supervisor, a_worker_that_is_killed_is_replaced)
{
    char serve[] = "serve";

    add_queue(serve, 2, 2);
    start();
    run_until("worker.ready", 2);
    clock_shift_for_tests(2000); /* it has settled */
    cr_assert(kill((pid_t)number_of("worker.spawned", 0, "pid"), SIGKILL) == 0);
    run_until("worker.ready", 3);
    expect_text("worker.exited", 0, "cause", "signal 9 (SIGKILL)");
    cr_expect(count_lines("worker.restart_delayed") == 0);
    cr_expect(number_of("worker.spawned", 2, "slot") == number_of("worker.exited", 0, "slot"));
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, a_success_clears_the_back_off)
{
    char serve[] = "serve";

    add_queue(serve, 1, 1);
    start();
    for (size_t i = 0; i < 3; i++) {
        run_until("worker.ready", i + 1);
        if (i == 1)
            clock_shift_for_tests(2000); /* this one settles; those before and after it do not */
        cr_assert(kill((pid_t)number_of("worker.spawned", i, "pid"), SIGKILL) == 0);
    }
    run_until("worker.ready", 4);
    cr_expect(count_lines("worker.restart_delayed") == 2);
    cr_expect(number_of("worker.restart_delayed", 1, "failures") == 1);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, reads_all_that_a_dead_worker_had_said)
{
    char many[] = "many-frames";
    siginfo_t info;

    add_queue(many, 1, 1);
    start();
    run_until("worker.ready", 1);
    supervisor_ask_to_end(supervisor);
    run_until("worker.draining", 1);
    /* All is said before the loop turns again, unless the worker was so quick that its end was
     * seen in the turn that asked it to drain. */
    cr_assert(
        waitid(P_PID, (id_t)number_of("worker.spawned", 0, "pid"), &info, WEXITED | WNOWAIT) == 0 ||
        errno == ECHILD);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(supervisor, a_drain_does_not_lengthen_the_start)
{
    char never[] = "never-ready";

    config.start_timeout_ms = 5000;
    config.drain_timeout_ms = 600000;
    add_queue(never, 1, 1);
    start();
    run_until("worker.spawned", 1);
    supervisor_ask_to_end(supervisor);
    run_until("worker.draining", 1);
    clock_shift_for_tests(5000);
    cr_expect(run_to_the_end() == EXIT_CODE_FAILED);
    expect_text("worker.killed", 0, "why", "not ready in time");
}

/* What systemd would hear, on a socket of the test. */
Test(supervisor, tells_systemd)
{
    char serve[] = "serve";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char heard[16384] = "", message[1024];
    ssize_t got;

    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/drover-notify-%d", getpid());
    (void)unlink(address.sun_path);
    cr_assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    cr_assert(setenv("NOTIFY_SOCKET", address.sun_path, 1) == 0);
    add_queue(serve, 1, 1);
    start();
    run_until("droverd.ready", 1);
    supervisor_ask_to_end(supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    while ((got = recv(fd, message, sizeof message - 1, 0)) > 0) {
        message[got] = '\0';
        (void)strncat(heard, message, sizeof heard - strlen(heard) - 2);
        (void)strcat(heard, "\n");
    }
    cr_expect(strstr(heard, "READY=1\n"), "%s", heard);
    cr_expect(strstr(heard, "STATUS=running: 1 of 1 workers ready\n"), "%s", heard);
    cr_expect(strstr(heard, "STOPPING=1\n"), "%s", heard);
    cr_expect(strstr(heard, "EXTEND_TIMEOUT_USEC="), "%s", heard);
    cr_expect(strstr(heard, "READY=1") < strstr(heard, "STOPPING=1"), "%s", heard);
    (void)close(fd);
    cr_expect(unlink(address.sun_path) == 0);
}
