/* What `ps`, `status` and `version` show; most of it was written by workers and may be anything. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

TestSuite(shown, .init = rig_init, .fini = rig_done, .timeout = 60);

static void start_ready(void)
{
    rig_start();
    run_until("droverd.ready", 1);
    run_until("worker.ready", supervisor_count_slots(rig.supervisor));
}

static const json_t *job_of(const json_t *row, size_t index)
{
    return json_array_get(json_object_get(row, "jobs"), index);
}

static bool shows_all_jobs(void)
{
    return scoreboard_counter(rig.supervisor->board, slot_of("show-jobs", 0)->board_slot,
                              SCOREBOARD_JOB_SLOTS) == 5;
}

static bool shows_few_jobs(void)
{
    return !shows_all_jobs();
}

Test(shown, a_worker_and_its_jobs)
{
    json_t *rows, *end;
    const json_t *row, *run_us;
    uint64_t before_ms = clock_wall_ms();

    rig_queue("show-jobs", "");
    start_ready();
    run_while(shows_few_jobs);
    end = client_ask("\"verb\":\"ps\"", &rows);
    cr_expect(integer_of(end, "generation") == 1 && json_array_size(rows) == 1);
    row = json_array_get(rows, 0);
    cr_expect(integer_of(row, "pid") == pid_of("show-jobs", 0) && integer_of(row, "slot") == 0);
    cr_expect_str_eq(text_of(row, "queue"), "show-jobs");
    cr_expect_str_eq(text_of(row, "state"), "serving");
    cr_expect_str_eq(text_of(row, "role"), "worker");
    cr_expect_str_eq(text_of(row, "uuid"), slot_of("show-jobs", 0)->child->uuid);
    cr_expect(integer_of(row, "generation") == 1);
    cr_expect(integer_of(row, "spawned_at_ms") >= (long long)before_ms);
    cr_expect(integer_of(row, "running") == 3 && integer_of(row, "slots") == 5);
    cr_expect(integer_of(row, "completed") == 41 && integer_of(row, "failed") == 0);
    cr_expect(json_is_true(json_object_get(row, "redis_up")));
    cr_expect(json_is_true(json_object_get(row, "paused")));
    cr_expect(json_is_false(json_object_get(row, "maxed")));
    cr_expect(json_is_false(json_object_get(row, "limited")));
    cr_expect(integer_of(row, "beat_age_ms") >= 0 && integer_of(row, "beat_age_ms") < PATIENCE_MS);
    run_us = json_object_get(row, "run_us");
    cr_expect(integer_of(run_us, "p50") == 1023 && integer_of(run_us, "p99") == (1 << 20) - 1);
    cr_expect(integer_of(json_object_get(row, "call_us"), "p99") == 0, "none was counted");
    cr_expect(json_array_size(json_object_get(row, "jobs")) == SCOREBOARD_JOBS);
    cr_expect_str_eq(text_of(job_of(row, 0), "id"), "17");
    cr_expect_str_eq(text_of(job_of(row, 0), "type"), "mail");
    cr_expect(integer_of(job_of(row, 0), "attempt") == 2);
    cr_expect(integer_of(job_of(row, 0), "pid") == 4711);
    json_decref(rows);
    json_decref(end);
    rig_end();
}

/* Nothing of it is trusted: it is shown as well as JSON can hold it. */
Test(shown, odd_texts_and_lies_of_a_worker)
{
    json_t *rows, *end;
    const json_t *row;

    rig_queue("show-jobs", "");
    start_ready();
    run_while(shows_few_jobs);
    end = client_ask("\"verb\":\"ps\"", &rows);
    row = json_array_get(rows, 0);
    cr_expect_str_eq(text_of(job_of(row, 1), "id"), "caf\xc3\xa9 \"\\\n\x01 ",
                     "up to what is none");
    cr_expect_str_eq(text_of(job_of(row, 1), "type"), "");
    cr_expect(integer_of(job_of(row, 1), "attempt") == INT64_MAX, "as large as a number can be");
    cr_expect(integer_of(row, "waiting") == INT64_MAX);
    json_decref(rows);
    json_decref(end);
    rig_end();
}

/* A worker that wrote garbage over its whole part is shown, and nobody minds. */
Test(shown, a_scoreboard_full_of_garbage)
{
    json_t *rows, *end;

    rig_queue("garbage", "");
    rig_queue("serve", "");
    start_ready();
    run_until_heard("garbage written", 1);
    end = client_ask("\"verb\":\"ps\"", &rows);
    cr_expect(json_is_true(json_object_get(end, "ok")), "%s", text_of(end, "error"));
    cr_expect(json_array_size(rows) == 2);
    cr_expect_str_eq(text_of(row_of(rows, "garbage"), "state"), "serving", "the master's own half");
    json_decref(rows);
    json_decref(end);
    rig_end();
}

Test(shown, states_and_places_without_a_process)
{
    json_t *rows, *end;
    const json_t *row;

    rig.restart_first = rig.restart_max = "60s";
    rig_queue("die-early", "");
    rig_queue("exit-64", "");
    rig_queue("never-ready", "");
    rig_queue("ignore-drain", "");
    rig_start();
    run_until("worker.restart_delayed", 1);
    run_until("worker.never_restarted", 1);
    run_until("worker.ready", 1);
    end = client_ask("\"verb\":\"ps\"", &rows);
    row = row_of(rows, "die-early");
    cr_expect_str_eq(text_of(row, "state"), "backoff");
    cr_expect_str_eq(text_of(row, "last_cause"), "exit 69 (unavailable)");
    cr_expect(integer_of(row, "pid") == 0 && integer_of(row, "next_start_ms") > 40000);
    row = row_of(rows, "exit-64");
    cr_expect_str_eq(text_of(row, "state"), "given_up");
    cr_expect_str_eq(text_of(row, "last_cause"), "exit 64 (usage)");
    cr_expect(integer_of(row, "next_start_ms") == 0);
    cr_expect_str_eq(text_of(row_of(rows, "never-ready"), "state"), "starting");
    json_decref(rows);
    json_decref(end);
    end = client_ask("\"verb\":\"status\"", &rows);
    row = json_array_get(rows, 0);
    cr_expect_str_eq(text_of(row, "state"), "starting");
    cr_expect(integer_of(row, "workers") == 4 && integer_of(row, "serving") == 1);
    json_decref(rows);
    json_decref(end);
    supervisor_ask_to_end(rig.supervisor);
    run_until("worker.draining", 2);
    while (rig.supervisor->recoveries.count > 0) /* of the one that died early */
        run_turns(1);
    end = client_ask("\"verb\":\"ps\"", &rows);
    cr_expect(json_array_size(rows) == 2, "the others are at rest");
    cr_expect_str_eq(text_of(row_of(rows, "ignore-drain"), "state"), "draining");
    json_decref(rows);
    json_decref(end);
    end = client_ask("\"verb\":\"status\"", &rows);
    cr_expect_str_eq(text_of(json_array_get(rows, 0), "state"), "stopping");
    json_decref(rows);
    json_decref(end);
    for (int i = 0; i < 2; i++)
        supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

Test(shown, draining_ones_beside_those_that_replaced_them)
{
    json_t *rows, *end;

    rig_queue("hold", "concurrency: 3");
    start_ready();
    tell_workers("running", 1, 1);
    while (slot_running(slot_of("hold", 0)) != 1)
        run_turns(1);
    rig_forget_queues();
    rig_queue("hold", "concurrency: 3, attempts: 9");
    rig_reload();
    run_until_heard("hold/0 gen 1: drain", 1);
    end = client_ask("\"verb\":\"ps\",\"queue\":\"hold\"", &rows);
    cr_expect(json_array_size(rows) == 2 && integer_of(end, "generation") == 2);
    cr_expect_str_eq(text_of(json_array_get(rows, 0), "state"), "draining");
    cr_expect(integer_of(json_array_get(rows, 0), "generation") == 1);
    cr_expect_str_eq(text_of(json_array_get(rows, 1), "state"), "serving");
    cr_expect(integer_of(json_array_get(rows, 1), "generation") == 2);
    json_decref(rows);
    json_decref(end);
    tell_workers("running", 1, 0);
    rig_end();
}

Test(shown, the_master_itself)
{
    json_t *rows, *end;
    const json_t *row, *recovered;

    rig_queue("serve", "concurrency: 3, processes: 2");
    start_ready();
    kill_worker("serve", 1, SIGKILL);
    run_until("worker.recovered", 1);
    run_until("worker.ready", 3);
    end = client_ask("\"verb\":\"status\"", &rows);
    row = json_array_get(rows, 0);
    cr_expect(integer_of(row, "pid") == getpid() && integer_of(row, "generation") == 1);
    cr_expect_str_eq(text_of(row, "version"), DROVER_VERSION);
    cr_expect_str_eq(text_of(row, "state"), "running");
    cr_expect_str_eq(text_of(row, "config"), rig.file);
    cr_expect(integer_of(row, "queues") == 1 && integer_of(row, "workers") == 2);
    cr_expect(integer_of(row, "serving") == 2 && integer_of(row, "uptime_ms") >= 0);
    cr_expect(json_array_size(json_object_get(row, "recoveries")) == 0);
    recovered = json_object_get(row, "recovered");
    cr_expect(integer_of(recovered, "processes") == 1);
    cr_expect(integer_of(recovered, "given_back") == 2 && integer_of(recovered, "failed") == 0);
    json_decref(rows);
    json_decref(end);
    end = client_ask("\"verb\":\"version\"", NULL);
    cr_expect(integer_of(end, "pid") == getpid() && integer_of(end, "generation") == 1);
    cr_expect(integer_of(end, "protocol") == CONTROL_VERSION);
    cr_expect_str_eq(text_of(end, "version"), DROVER_VERSION);
    json_decref(end);
    rig_end();
}

/* ---- totals */

Test(shown, totals_have_the_living_and_the_gone)
{
    json_t *rows, *end;
    const json_t *row;
    long long since_ms;

    rig_queue("show-jobs", "");
    rig_queue("serve", "concurrency: 2, processes: 2");
    start_ready();
    run_while(shows_few_jobs);
    end = client_ask("\"verb\":\"totals\"", &rows);
    cr_expect(integer_of(end, "starts") == 1 && integer_of(end, "since_at_ms") > 0);
    cr_expect(json_array_size(rows) == 2);
    row = row_of(rows, "show-jobs");
    cr_expect(integer_of(row, "completed") == 41, "of a process that lives");
    cr_expect(integer_of(row, "deaths") == 0 && json_is_true(json_object_get(row, "served")));
    since_ms = integer_of(row, "since_at_ms");
    cr_expect(since_ms > 0);
    json_decref(rows);
    json_decref(end);
    kill_worker("show-jobs", 0, SIGKILL);
    run_until("worker.ready", 4);
    run_while(shows_few_jobs);
    json_decref(client_ask("\"verb\":\"totals\",\"queue\":\"show-jobs\"", &rows));
    row = json_array_get(rows, 0);
    cr_expect(json_array_size(rows) == 1);
    cr_expect(integer_of(row, "completed") == 82, "and of one that is gone");
    cr_expect(integer_of(row, "deaths") == 1);
    cr_expect(integer_of(row, "since_at_ms") == since_ms);
    json_decref(rows);
    rig_forget_queues();
    rig_queue("show-jobs", "");
    rig_reload();
    run_until("pool.gone", 1);
    json_decref(client_ask("\"verb\":\"totals\"", &rows));
    row = row_of(rows, "serve");
    cr_expect(integer_of(row, "completed") == 6, "also of a queue that was removed");
    cr_expect(json_is_false(json_object_get(row, "served")));
    json_decref(rows);
    supervisor_ask_to_end(rig.supervisor);
    cr_expect(run_to_the_end() == EXIT_CODE_OK);
}
