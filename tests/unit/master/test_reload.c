/* A changed file: only what changed is touched, and a file with an error changes nothing. */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"
#include "tests/unit/master/notify_ear.h"

TestSuite(reload, .init = rig_init, .fini = rig_done, .timeout = 60);

static void start_ready(void)
{
    rig_start();
    run_until("droverd.ready", 1);
    run_until("worker.ready", supervisor_count_slots(rig.supervisor));
}

static unsigned int generation(void)
{
    return rig.supervisor->generation->number;
}

Test(reload, of_the_same_file_touches_nothing)
{
    pid_t pids[3];
    unsigned int tuned;

    rig_queue("serve", "concurrency: 5, processes: 2");
    rig_queue("serve.b", "");
    start_ready();
    pids[0] = pid_of("serve", 0);
    pids[1] = pid_of("serve", 1);
    pids[2] = pid_of("serve.b", 0);
    tuned = (unsigned int)count_heard("tune");
    rig_reload();
    run_turns(10);
    cr_expect(generation() == 2);
    cr_expect(pids[0] == pid_of("serve", 0) && pids[1] == pid_of("serve", 1));
    cr_expect(pids[2] == pid_of("serve.b", 0));
    cr_expect(count_heard("tune") == tuned && count_heard("drain") == 0);
    cr_expect(count_lines("worker.spawned") == 3);
    cr_expect(number_of("reload.done", 0, "queues") == 2);
    cr_expect(number_of("reload.done", 0, "failed") == 0);
    expect_text("reload.done", 0, "level", "info");
    kill_worker("serve", 1, SIGKILL); /* what comes next gets the new file */
    run_until("worker.spawned", 4);
    cr_expect(number_of("worker.spawned", 3, "generation") == 2);
    rig_end();
}

Test(reload, takes_another_concurrency_without_a_restart)
{
    pid_t pid;

    rig_queue("serve", "concurrency: 5");
    start_ready();
    pid = pid_of("serve", 0);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 50");
    rig_reload();
    run_until_heard("tune slots 50 allowed 50", 1);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 2");
    rig_reload();
    run_until_heard("tune slots 2 allowed 2", 1);
    cr_expect(pid == pid_of("serve", 0));
    cr_expect(count_lines("pool.resized") == 2 && count_lines("pool.replacing") == 0);
    rig_end();
}

Test(reload, more_and_fewer_processes_leave_the_others_alone)
{
    pid_t pid;

    rig_queue("serve", "concurrency: 6, processes: 1");
    start_ready();
    pid = pid_of("serve", 0);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 6, processes: 3");
    rig_reload();
    cr_expect(line_number("worker.ready", 2) < line_number("reload.done", 0), "all are waited for");
    cr_expect(pool_of("serve")->processes == 3 && pid == pid_of("serve", 0));
    run_until_heard("serve/0 gen 1: tune slots 2 allowed 2", 1);
    rig_forget_queues();
    rig_queue("serve", "concurrency: 6, processes: 1");
    rig_reload();
    run_until("worker.exited", 2);
    expect_text("worker.draining", 0, "why", "one process too many");
    run_until_heard("serve/0 gen 1: tune slots 6 allowed 6", 1);
    cr_expect(pid == pid_of("serve", 0) && count_lines("worker.spawned") == 3);
    run_turns(5);
    cr_expect(pool_of("serve")->count == 1, "the places are gone as well");
    rig_end();
}

/* One that still runs more than its new share: the others get only what is left. */
Test(reload, a_smaller_share_is_not_given_away_before_it_is_free)
{
    rig_queue("hold", "concurrency: 6");
    start_ready();
    tell_workers("running", 1, 6);
    tell_workers("running", 2, 0);
    while (slot_running(slot_of("hold", 0)) != 6)
        run_turns(1);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 6, processes: 2");
    rig_reload();
    cr_expect(slot_of("hold", 0)->allowed == 3, "it starts none by itself while it runs six");
    cr_expect(slot_of("hold", 1)->allowed == 0);
    run_until_heard("hold/1 gen 2: tune slots 3 allowed 0", 1);
    run_turns(40); /* long after the first one has been told */
    cr_expect(slot_of("hold", 1)->allowed == 0 && slot_of("hold", 1)->told_allowed == 0);
    tell_workers("running", 1, 5);
    run_until_heard("hold/1 gen 2: tune slots 3 allowed 1", 1);
    tell_workers("running", 1, 3);
    run_until_heard("hold/1 gen 2: tune slots 3 allowed 3", 1);
    tell_workers("running", 1, 0);
    rig_end();
}

/* It needs no limit for that: it starts none before it runs fewer than its share. With a lower one
 * it would stand idle until the next look. */
Test(reload, a_worker_that_runs_too_many_keeps_its_own_share)
{
    rig_queue("hold", "concurrency: 6");
    start_ready();
    tell_workers("running", 1, 6);
    while (slot_running(slot_of("hold", 0)) != 6)
        run_turns(1);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 2");
    rig_reload();
    run_until_heard("hold/0 gen 1: tune slots 2 allowed 2", 1);
    run_turns(20);
    cr_expect(slot_of("hold", 0)->allowed == 2 && count_heard("tune slots") == 1);
    tell_workers("running", 1, 0);
    rig_end();
}

Test(reload, adds_and_removes_queues)
{
    pid_t pid;
    json_t *rows, *end;

    rig_queue("serve", "");
    rig_queue("serve.old", "processes: 2, concurrency: 2");
    start_ready();
    pid = pid_of("serve", 0);
    rig_forget_queues();
    rig_queue("serve", "");
    rig_queue("serve.new", "");
    rig_write();
    end = client_ask("\"verb\":\"reload\"", &rows);
    cr_expect(json_is_true(json_object_get(end, "ok")) && integer_of(end, "generation") == 2);
    cr_expect(json_array_size(rows) == 3);
    cr_expect_str_eq(text_of(row_of(rows, "serve"), "outcome"), "unchanged");
    cr_expect_str_eq(text_of(row_of(rows, "serve.new"), "outcome"), "started");
    cr_expect_str_eq(text_of(row_of(rows, "serve.new"), "kind"), "added");
    cr_expect(integer_of(row_of(rows, "serve.new"), "workers") == 1);
    cr_expect_str_eq(text_of(row_of(rows, "serve.old"), "outcome"), "draining");
    cr_expect_str_eq(text_of(row_of(rows, "serve.old"), "kind"), "removed");
    cr_expect(integer_of(row_of(rows, "serve.old"), "workers") == 2);
    cr_expect(pid_of("serve.new", 0) > 0 && pid == pid_of("serve", 0));
    run_until("pool.gone", 1);
    cr_expect(rig.supervisor->pools_count == 2);
    json_decref(rows);
    json_decref(end);
    rig_end();
}

/* Two reloads later the queue is there again, and its old worker still runs two jobs. */
Test(reload, a_removed_queue_that_comes_back_stays_within_its_concurrency)
{
    rig_queue("hold", "concurrency: 3");
    rig_queue("serve", "");
    start_ready();
    tell_workers("running", 1, 2);
    while (slot_running(slot_of("hold", 0)) != 2)
        run_turns(1);
    rig_forget_queues();
    rig_queue("serve", "");
    rig_reload();
    run_until_heard("hold/0 gen 1: drain", 1);
    cr_expect(supervisor_find_pool(rig.supervisor, "hold") == NULL);
    rig_queue("hold", "concurrency: 3");
    rig_reload();
    cr_expect(count_lines("pool.returned") == 1 && number_of("pool.returned", 0, "draining") == 1);
    cr_expect(rig.supervisor->pools_count == 2 && pool_of("hold")->count == 2);
    run_until_heard("hold/0 gen 3: tune slots 3 allowed 1", 1);
    cr_expect(count_lines("worker.exited") == 0);
    tell_workers("running", 1, 0);
    run_until("worker.exited", 1);
    run_until_heard("hold/0 gen 3: tune slots 3 allowed 3", 1);
    cr_expect(count_lines("pool.gone") == 0);
    rig_end();
}

Test(reload, a_broken_file_changes_nothing_and_says_where)
{
    pid_t pid;
    json_t *rows, *end;
    const json_t *finding;

    rig_queue("serve", "concurrency: 4");
    start_ready();
    pid = pid_of("serve", 0);
    rig_write_text("queues:\n  serve: {handler: noop, concurency: 7}\n");
    end = client_ask("\"verb\":\"reload\"", &rows);
    cr_expect(json_is_false(json_object_get(end, "ok")));
    cr_expect(integer_of(end, "code") == EXIT_CODE_FAILED && integer_of(end, "generation") == 1);
    cr_expect_str_eq(text_of(end, "error"), "1 error in the file; nothing was changed");
    finding = json_array_get(json_object_get(end, "findings"), 0);
    cr_expect(integer_of(finding, "line") == 2 &&
              json_is_false(json_object_get(finding, "warning")));
    cr_expect(strstr(text_of(finding, "text"), "concurrency"), "it suggests: %s",
              text_of(finding, "text"));
    cr_expect_str_eq(text_of(finding, "file"), rig.file);
    cr_expect(json_array_size(rows) == 0);
    expect_text("reload.refused", 0, "level", "error");
    cr_expect(number_of("reload.refused", 0, "errors") == 1);
    cr_expect(count_lines("config.finding") == 1 && number_of("config.finding", 0, "line") == 2);
    cr_expect(generation() == 1 && pid == pid_of("serve", 0));
    cr_expect(rig.supervisor->reload.phase == RELOAD_IDLE);
    rig_write_text("queues: [");
    supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.refused", 2);
    cr_assert(unlink(rig.file) == 0);
    supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.refused", 3);
    cr_expect(count_lines("worker.draining") == 0 && count_lines("reload.accepted") == 0);
    rig_reload();
    cr_expect(generation() == 2 && pid == pid_of("serve", 0), "the good one is taken all the same");
    json_decref(rows);
    json_decref(end);
    rig_end();
}

Test(reload, many_by_signal_and_over_the_socket_all_end)
{
    enum { CLIENTS = 8 };
    int fds[CLIENTS];
    pid_t pid;

    rig_queue("serve", "concurrency: 5");
    start_ready();
    pid = pid_of("serve", 0);
    for (unsigned int round = 0; round < 20; round++) {
        int fd = client_connect();
        json_t *end;

        rig_forget_queues();
        rig_queue("serve", round % 2 ? "concurrency: 5" : "concurrency: 50");
        rig_write();
        cr_assert(raise(SIGHUP) == 0);
        client_send(fd, "\"verb\":\"reload\"");
        end = client_answer(fd, NULL);
        cr_expect(json_is_true(json_object_get(end, "ok")));
        json_decref(end);
        (void)close(fd);
    }
    for (unsigned int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect();
        client_send(fds[i], "\"verb\":\"reload\"");
        cr_assert(raise(SIGHUP) == 0);
        if (i % 2)
            run_turns(1);
    }
    for (unsigned int i = 0; i < CLIENTS; i++) {
        json_t *end = client_answer(fds[i], NULL);

        cr_expect(json_is_true(json_object_get(end, "ok")), "client %u", i);
        json_decref(end);
        (void)close(fds[i]);
    }
    while (rig.supervisor->reload.phase != RELOAD_IDLE || rig.supervisor->reload.asked)
        run_turns(1);
    cr_expect(pid == pid_of("serve", 0) && count_lines("worker.spawned") == 1);
    cr_expect(generation() == count_lines("reload.done") + 1);
    cr_expect(count_lines("reload.done") >= 21 && count_lines("reload.refused") == 0);
    rig_end();
}

/* One of the reload that applies, and one of the next. */
Test(reload, askers_that_leave_disturb_nobody)
{
    int stays, leaves, leaves_next;
    json_t *rows, *end;

    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "");
    start_ready();
    leaves = client_connect();
    leaves_next = client_connect();
    stays = client_connect();
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 6");
    rig_write();
    client_send(leaves, "\"verb\":\"reload\"");
    run_until("pool.replacing", 1);
    client_send(leaves_next, "\"verb\":\"reload\"");
    client_send(stays, "\"verb\":\"reload\"");
    run_until("control.asked", 3);
    (void)close(leaves);
    (void)close(leaves_next);
    run_turns(10);
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 7");
    rig_write();
    tell_workers("ready", 2, 1);
    tell_workers("ready", 3, 1);
    end = client_answer(stays, &rows);
    cr_expect(json_is_true(json_object_get(end, "ok")));
    cr_expect_str_eq(text_of(row_of(rows, "wait-ready"), "outcome"), "replaced");
    cr_expect(strstr(text_of(row_of(rows, "wait-ready"), "changes"), "attempts: 6 -> 7"));
    json_decref(rows);
    json_decref(end);
    (void)close(stays);
    rig_end();
}

Test(reload, asked_before_the_start_is_over_waits_for_it)
{
    int fd;
    json_t *end;

    rig_queue("wait-ready", "");
    rig_start();
    run_until("worker.spawned", 1);
    fd = client_connect();
    client_send(fd, "\"verb\":\"reload\"");
    cr_assert(raise(SIGHUP) == 0);
    run_turns(10);
    cr_expect(rig.supervisor->reload.asked && count_lines("reload.accepted") == 0);
    tell_workers("ready", 1, 1);
    end = client_answer(fd, NULL);
    cr_expect(json_is_true(json_object_get(end, "ok")));
    cr_expect(line_number("droverd.ready", 0) < line_number("reload.accepted", 0));
    cr_expect(count_lines("reload.done") == 1, "both wanted the same");
    json_decref(end);
    (void)close(fd);
    rig_end();
}

static void expect_told_that_it_stops(int fd)
{
    json_t *end = client_answer(fd, NULL);

    cr_expect(integer_of(end, "code") == EXIT_CODE_FAILED);
    cr_expect_str_eq(text_of(end, "error"), "droverd is stopping");
    json_decref(end);
    (void)close(fd);
}

/* Askers of the one that applies, and of the one after it, hear of the end. */
Test(reload, the_end_of_the_service_ends_those_that_are_under_way)
{
    int first, second, scale, late;

    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "");
    rig_queue("ignore-drain", "");
    start_ready();
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 7");
    rig_queue("ignore-drain", "");
    rig_write();
    first = client_connect();
    second = client_connect();
    scale = client_connect();
    late = client_connect();
    client_send(first, "\"verb\":\"reload\"");
    run_until("pool.replacing", 1);
    client_send(second, "\"verb\":\"reload\"");
    client_send(scale, "\"verb\":\"scale\",\"queue\":\"wait-ready\",\"concurrency\":3");
    run_until("control.asked", 3);
    supervisor_ask_to_end(rig.supervisor);
    expect_told_that_it_stops(first);
    expect_told_that_it_stops(second);
    expect_told_that_it_stops(scale);
    cr_expect(count_lines("reload.abandoned") == 1);
    cr_expect(count_lines("pool.not_replaced") == 0, "nobody has to do anything about it");
    client_send(late, "\"verb\":\"reload\"");
    expect_told_that_it_stops(late);
    cr_assert(raise(SIGHUP) == 0);
    run_until("reload.ignored", 1);
    tell_workers("ready", 2, 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

/* The thread still reads the file when all workers have gone. */
Test(reload, the_end_of_the_service_while_the_file_is_read)
{
    rig_queue("serve", "");
    start_ready();
    supervisor_ask_to_reload(rig.supervisor);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
    cr_expect(generation() == 1);
}

Test(reload, the_end_is_asked_in_the_turn_in_which_reading_began)
{
    rig_queue("serve", "");
    start_ready();
    supervisor_ask_to_reload(rig.supervisor);
    while (rig.supervisor->reload.phase == RELOAD_IDLE)
        run_turns(1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}

Test(reload, a_new_log_level_reaches_those_who_run)
{
    rig.log_level = "info";
    rig_queue("serve", "");
    start_ready();
    rig.log_level = "warn";
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until_heard("tune slots 1 allowed 1 level 2", 1);
    cr_expect(!log_is_on(LOG_LEVEL_INFO) && log_is_on(LOG_LEVEL_WARN));
    kill_worker("serve", 0, SIGKILL); /* the next one is given the new file, which has it */
    run_until("worker.exited", 1);
    while (pid_of("serve", 0) == 0 || slot_of("serve", 0)->state != SLOT_SERVING)
        run_turns(1);
    cr_expect(count_heard("level 2") == 1);
    rig_end();
}

/* A worker that is spawned with an older file than the level's. */
Test(reload, a_new_log_level_reaches_workers_of_an_older_file)
{
    rig.start_timeout = "200ms";
    rig_queue("never-ready-again", "");
    start_ready();
    rig.log_level = "info";
    rig_forget_queues();
    rig_queue("never-ready-again", "attempts: 9");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until_heard("never-ready-again/0 gen 1: tune slots 1 allowed 1 level 1", 1);
    clock_shift_for_tests(1500);
    run_until("reload.done", 1);
    kill_worker("never-ready-again", 0, SIGKILL);
    run_until_heard("never-ready-again/0 gen 1: tune slots 1 allowed 1 level 1", 2);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(reload, times_are_taken_while_all_runs)
{
    const struct slot_context *context = NULL;
    json_t *end;

    rig_queue("serve", "");
    start_ready();
    context = &rig.supervisor->context;
    rig.drain_timeout = "77s";
    rig.start_timeout = "66s";
    rig.restart_first = "55ms";
    rig.restart_max = "44s";
    rig_write();
    end = client_ask("\"verb\":\"reload\"", NULL);
    cr_expect(context->drain_timeout_ms == 77000 && context->start_timeout_ms == 66000);
    cr_expect(slot_of("serve", 0)->backoff.first_ms == 55, "of slots that are there, too");
    cr_expect(slot_of("serve", 0)->backoff.max_ms == 44000);
    cr_expect(strstr(text_of(end, "top"), "stop.drain_timeout: 10s -> 77s"), "%s",
              text_of(end, "top"));
    cr_expect(strstr(text_of(end, "top"), "start.restart_max"));
    cr_expect_str_eq(text_of(end, "restart"), "");
    json_decref(end);
    rig_end();
}

/* What takes effect at the next start is said until then, and not before. */
Test(reload, what_needs_a_restart_is_said_each_time)
{
    json_t *end;

    rig_queue("serve", "");
    start_ready();
    rig.log_format = "plain";
    rig_write();
    for (unsigned int i = 0; i < 2; i++) {
        end = client_ask("\"verb\":\"reload\"", NULL);
        cr_expect(json_is_true(json_object_get(end, "ok")));
        cr_expect_str_eq(text_of(end, "restart"), "log.format: json -> plain", "reload %u", i);
        cr_expect_str_eq(text_of(end, "top"), "");
        json_decref(end);
    }
    cr_expect(count_lines("reload.done") == 2, "lines are as they were");
    rig.log_format = "json";
    rig_write();
    end = client_ask("\"verb\":\"reload\"", NULL);
    cr_expect_str_eq(text_of(end, "restart"), "");
    json_decref(end);
    rig_end();
}

/* An operator has repaired what a worker refused to run with: it is tried again, and waited for. */
Test(reload, tries_again_what_was_given_up)
{
    json_t *rows, *end;

    rig_queue("exit-78-until", "");
    rig_queue("serve", "");
    rig_start();
    run_until("pool.given_up", 1);
    run_until("pool.ready", 1);
    end = client_ask("\"verb\":\"reload\"", &rows);
    cr_expect(integer_of(end, "code") == EXIT_CODE_FAILED, "not repaired");
    cr_expect_str_eq(text_of(row_of(rows, "exit-78-until"), "outcome"), "failed");
    cr_expect_str_eq(text_of(row_of(rows, "exit-78-until"), "why"), "1 of 1 workers are not ready");
    json_decref(rows);
    json_decref(end);
    cr_expect(count_lines("pool.given_up") == 2, "said again");
    tell_workers("good", 3, 1);
    end = client_ask("\"verb\":\"reload\"", &rows);
    cr_expect(json_is_true(json_object_get(end, "ok")));
    cr_expect_str_eq(text_of(row_of(rows, "exit-78-until"), "outcome"), "started");
    cr_expect(slot_of("exit-78-until", 0)->state == SLOT_SERVING);
    json_decref(rows);
    json_decref(end);
    rig_end();
}

/* ---- systemd */

static void expect_reload_told(void)
{
    unsigned long long begun_us;
    struct timespec now;
    const char *heard = ear_hear_states();
    int end = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    cr_assert(sscanf(heard, "RELOADING=1;MONOTONIC_USEC=%llu\nREADY=1\n%n", &begun_us, &end) == 1 &&
                  end > 0 && heard[end] == '\0',
              "%s", heard);
    cr_expect(begun_us / 1000000 <= (unsigned long long)now.tv_sec);
    cr_expect(begun_us / 1000000 + 60 > (unsigned long long)now.tv_sec);
    ear_forget();
}

Test(reload, systemd_hears_of_its_beginning_and_its_end)
{
    ear_open();
    rig_queue("serve", "");
    start_ready();
    cr_expect_str_eq(ear_hear_states(), "READY=1\n");
    ear_forget();
    rig_reload();
    expect_reload_told();
    cr_expect(strstr(ear_status(), "generation 2"), "%s", ear_status());
    rig_write_text("queues: [");
    supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.refused", 1);
    run_turns(2);
    expect_reload_told(); /* also when refused, and once */
    rig_end();
    cr_expect_str_eq(ear_hear_states(), "STOPPING=1\n");
    ear_close();
}

/* What is asked during a reload is done after it, and each has its own beginning and end. */
Test(reload, systemd_hears_of_one_after_the_other)
{
    ear_open();
    rig_queue("serve", "");
    start_ready();
    ear_forget();
    supervisor_ask_to_reload(rig.supervisor);
    run_turns(1);
    for (int i = 0; i < 3; i++)
        supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.done", 2);
    run_turns(3);
    cr_expect(count_lines("reload.done") == 2, "three that waited are one");
    cr_expect(ear_count("RELOADING=1") == 2 && ear_count("READY=1") == 2, "%s", ear_hear());
    cr_expect(!strstr(ear_status(), "reloading"), "%s", ear_status());
    rig_end();
    ear_close();
}

/* STOPPING is the last word, whatever was under way; and during the end nothing is begun. */
Test(reload, systemd_hears_of_the_end_that_comes_in_between)
{
    ear_open();
    rig_queue("wait-ready", "");
    tell_workers("ready", 1, 1);
    start_ready();
    rig_forget_queues();
    rig_queue("wait-ready", "attempts: 7");
    rig_write();
    ear_forget();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("reload.accepted", 1);
    run_turns(2);
    cr_expect(strstr(ear_status(), "; reloading"), "%s", ear_status());
    supervisor_ask_to_end(rig.supervisor);
    run_turns(1);
    supervisor_ask_to_reload(rig.supervisor);
    (void)run_to_the_end();
    cr_expect(ear_count("RELOADING=1") == 1 && ear_count("READY=1") == 0, "%s", ear_hear());
    cr_expect(strstr(ear_hear_states(), "\nSTOPPING=1\n"), "%s", ear_hear_states());
    cr_expect(count_lines("reload.ignored") == 1);
    ear_close();
}

/* No event comes after the last one that a reload waits for, so it must be looked at in that turn.
 */
Test(reload, ends_in_the_turn_in_which_its_last_worker_is_ready)
{
    rig_queue("serve", "");
    rig_start();
    run_until("droverd.ready", 1);
    rig_queue("serve.b", "");
    rig_write();
    supervisor_ask_to_reload(rig.supervisor);
    run_until("worker.ready", 2);
    cr_expect(count_lines("reload.done") == 1);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}
