/* `drover scale`: another concurrency for this host, for a while or until further notice. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

TestSuite(scale, .init = rig_init, .fini = rig_done, .timeout = 60);

static void start_ready(void)
{
    rig_start();
    run_until("droverd.ready", 1);
    run_until("worker.ready", supervisor_count_slots(rig.supervisor));
}

static json_t *scale(const char *queue, unsigned int concurrency, bool keep)
{
    char members[200];

    (void)snprintf(members, sizeof members,
                   "\"verb\":\"scale\",\"queue\":\"%s\",\"concurrency\":%u,\"keep\":%s", queue,
                   concurrency, keep ? "true" : "false");
    return client_ask(members, NULL);
}

static void expect_scaled(const char *queue, unsigned int from, unsigned int to, bool keep)
{
    json_t *end = scale(queue, to, keep);

    cr_expect(json_is_true(json_object_get(end, "ok")), "%s", text_of(end, "error"));
    cr_expect_str_eq(text_of(end, "queue"), queue);
    cr_expect(integer_of(end, "from") == from && integer_of(end, "to") == to);
    cr_expect(json_is_true(json_object_get(end, "kept")) == keep);
    cr_expect(pool_of(queue)->concurrency == to);
    json_decref(end);
}

static void expect_refused(const char *members, int code, const char *error)
{
    json_t *end = client_ask(members, NULL);

    cr_expect(json_is_false(json_object_get(end, "ok")));
    cr_expect(integer_of(end, "code") == code, "%s", members);
    cr_expect_str_eq(text_of(end, "error"), error, "%s", members);
    json_decref(end);
}

Test(scale, up_and_down_without_a_restart)
{
    pid_t pid;

    rig_queue("serve", "concurrency: 4, processes: 2");
    start_ready();
    pid = pid_of("serve", 0);
    expect_scaled("serve", 4, 20, false);
    run_until_heard("tune slots 10 allowed 10", 2);
    expect_scaled("serve", 20, 1, false);
    run_until("worker.exited", 1);
    run_until_heard("serve/0 gen 1: tune slots 1 allowed 1", 1);
    cr_expect(pid == pid_of("serve", 0) && pool_of("serve")->processes == 1);
    expect_scaled("serve", 1, 4, false);
    run_until("worker.ready", 3);
    cr_expect(pid == pid_of("serve", 0) && pool_of("serve")->processes == 2);
    cr_expect(count_lines("worker.spawned") == 3 && count_lines("pool.scaled") == 3);
    rig_end();
}

Test(scale, to_nothing_parks_the_queue)
{
    json_t *rows, *end;

    rig_queue("serve", "concurrency: 4, processes: 2");
    rig_queue("exit-78", "");
    rig_start();
    run_until("pool.given_up", 1);
    run_until("pool.ready", 1);
    expect_scaled("serve", 4, 0, false);
    run_until("worker.exited", 3);
    run_turns(10);
    cr_expect(pool_of("serve")->count == 0 && pool_of("serve")->processes == 0);
    cr_expect(count_lines("droverd.gave_up") == 0, "it can be scaled up again");
    end = client_ask("\"verb\":\"ps\",\"queue\":\"serve\"", &rows);
    cr_expect(json_array_size(rows) == 0 && json_is_true(json_object_get(end, "ok")));
    json_decref(rows);
    json_decref(end);
    expect_scaled("serve", 0, 3, false);
    run_until("worker.ready", 4);
    run_until_heard("started", 0);
    cr_expect(pool_of("serve")->processes == 2);
    rig_end();
}

Test(scale, is_dropped_by_the_next_reload_unless_it_is_kept)
{
    rig_queue("serve", "concurrency: 4");
    rig_queue("serve.kept", "concurrency: 4");
    rig_queue("serve.parked", "concurrency: 4");
    start_ready();
    expect_scaled("serve", 4, 9, false);
    expect_scaled("serve.kept", 4, 9, true);
    expect_scaled("serve.parked", 4, 0, true);
    rig_reload();
    cr_expect(pool_of("serve")->concurrency == 4 && pool_of("serve.kept")->concurrency == 9);
    cr_expect(pool_of("serve.parked")->concurrency == 0);
    cr_expect(pool_of("serve")->outcome == POOL_RESIZED);
    cr_expect(pool_of("serve.kept")->outcome == POOL_UNCHANGED);
    rig_reload();
    cr_expect(pool_of("serve.kept")->concurrency == 9, "over all reloads");
    expect_scaled("serve.kept", 9, 8, false);
    rig_reload();
    cr_expect(pool_of("serve.kept")->concurrency == 4, "the last word counts");
    rig_end();
}

Test(scale, a_newer_number_in_the_file_wins)
{
    rig_queue("serve", "concurrency: 4");
    rig_queue("serve.b", "concurrency: 4, processes: 1");
    start_ready();
    expect_scaled("serve", 4, 9, true);
    expect_scaled("serve.b", 4, 9, true);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 6");
    rig_queue("serve.b", "concurrency: 4, processes: 2");
    rig_reload();
    cr_expect(pool_of("serve")->concurrency == 6);
    cr_expect(pool_of("serve.b")->concurrency == 4 && pool_of("serve.b")->processes == 2);
    rig_reload();
    cr_expect(pool_of("serve")->concurrency == 6);
    rig_end();
}

Test(scale, kept_goes_through_a_replacement_also_one_that_fails)
{
    rig_queue("exit-78-again", "concurrency: 4");
    rig_queue("serve", "concurrency: 4, processes: 2");
    rig_queue("serve.parked", "concurrency: 4");
    start_ready();
    expect_scaled("exit-78-again", 4, 9, true);
    expect_scaled("serve", 4, 9, true);
    expect_scaled("serve.parked", 4, 0, true);
    rig_forget_queues();
    rig_queue("exit-78-again", "concurrency: 4, attempts: 9");
    rig_queue("serve", "concurrency: 4, processes: 2, attempts: 9");
    rig_queue("serve.parked", "concurrency: 4, attempts: 9");
    rig_reload();
    cr_expect(number_of("reload.done", 0, "failed") == 1);
    cr_expect(pool_of("serve")->outcome == POOL_REPLACED && pool_of("serve")->concurrency == 9);
    cr_expect(pool_of("serve.parked")->outcome == POOL_REPLACED);
    cr_expect(pool_of("serve.parked")->concurrency == 0);
    cr_expect(pool_of("exit-78-again")->outcome == POOL_FAILED);
    cr_expect(pool_of("exit-78-again")->concurrency == 9);
    rig_forget_queues();
    rig_queue("exit-78-again", "concurrency: 4");
    rig_queue("serve", "concurrency: 4, processes: 2, attempts: 9");
    rig_queue("serve.parked", "concurrency: 4, attempts: 9");
    rig_reload();
    cr_expect(pool_of("exit-78-again")->concurrency == 9);
    cr_expect(pool_of("exit-78-again")->outcome == POOL_UNCHANGED);
    cr_expect(pool_of("serve")->concurrency == 9);
    rig_end();
}

Test(scale, says_what_is_wrong_with_a_request)
{
    rig_queue("serve", "");
    start_ready();
    expect_refused("\"verb\":\"scale\",\"queue\":\"serv\",\"concurrency\":1", EXIT_CODE_FAILED,
                   "there is no queue serv here; did you mean serve?");
    expect_refused("\"verb\":\"scale\",\"queue\":\"entirely-else\",\"concurrency\":1",
                   EXIT_CODE_FAILED, "there is no queue entirely-else here");
    expect_refused("\"verb\":\"scale\",\"queue\":\"serve\"", EXIT_CODE_USAGE,
                   "scale needs a queue (text) and a concurrency (0 to 100000)");
    expect_refused("\"verb\":\"scale\",\"queue\":\"serve\",\"concurrency\":-1", EXIT_CODE_USAGE,
                   "scale needs a queue (text) and a concurrency (0 to 100000)");
    expect_refused("\"verb\":\"scale\",\"queue\":\"serve\",\"concurrency\":100001", EXIT_CODE_USAGE,
                   "scale needs a queue (text) and a concurrency (0 to 100000)");
    expect_refused("\"verb\":\"scale\",\"queue\":7,\"concurrency\":1", EXIT_CODE_USAGE,
                   "scale needs a queue (text) and a concurrency (0 to 100000)");
    cr_expect(pool_of("serve")->concurrency == 1 && count_lines("pool.scaled") == 0);
    rig_end();
}

/* What was scaled in the middle of an exchange would be lost with it. */
Test(scale, waits_for_a_reload_that_is_under_way)
{
    int fd;
    json_t *end;

    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "concurrency: 4");
    rig_queue("serve", "");
    start_ready();
    rig_forget_queues();
    rig_queue("wait-ready", "concurrency: 5, attempts: 9");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("pool.replacing", 1);
    fd = client_connect();
    client_send(fd, "\"verb\":\"scale\",\"queue\":\"wait-ready\",\"concurrency\":8");
    run_until("control.asked", 1);
    run_turns(10);
    cr_expect(count_lines("pool.scaled") == 0 && rig.supervisor->scales_count == 1);
    tell_workers("ready", 2, 1);
    end = client_answer(fd, NULL);
    cr_expect(integer_of(end, "from") == 5 && integer_of(end, "to") == 8);
    cr_expect(line_number("reload.done", 0) < line_number("pool.scaled", 0));
    json_decref(end);
    (void)close(fd);
    run_until_heard("gen 2: tune slots 8 allowed 8", 1);
    rig_end();
}

/* One that left is obeyed all the same: it cannot know whether it was in time. */
Test(scale, of_a_client_that_has_left_is_done)
{
    int fd;

    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "concurrency: 4");
    start_ready();
    rig_forget_queues();
    rig_queue("wait-ready", "concurrency: 4, attempts: 9");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("pool.replacing", 1);
    fd = client_connect();
    client_send(fd, "\"verb\":\"scale\",\"queue\":\"wait-ready\",\"concurrency\":8");
    run_until("control.asked", 1);
    (void)close(fd);
    run_turns(5);
    tell_workers("ready", 2, 1);
    run_until("pool.scaled", 1);
    cr_expect(pool_of("wait-ready")->concurrency == 8);
    rig_end();
}

/* Its removal comes in between. */
Test(scale, of_a_queue_that_the_reload_removes)
{
    int fd;
    json_t *end;

    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "");
    rig_queue("serve", "");
    start_ready();
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 9");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("pool.replacing", 1);
    fd = client_connect();
    client_send(fd, "\"verb\":\"scale\",\"queue\":\"serve\",\"concurrency\":8");
    run_until("control.asked", 1);
    tell_workers("ready", 2, 1);
    end = client_answer(fd, NULL);
    cr_expect(integer_of(end, "code") == EXIT_CODE_FAILED);
    cr_expect_str_eq(text_of(end, "error"), "there is no queue serve here");
    json_decref(end);
    (void)close(fd);
    rig_end();
}
