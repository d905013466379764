/* From a fetched job to its handler, or to an outcome without one; time-outs. */
#include "tests/unit/worker/engine_rig.h"

#include <string.h>

TestSuite(start, .init = rig_init, .fini = rig_done, .timeout = 20);

static struct fake_settle fetch_one(struct job *job)
{
    rig_start(1);
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    cr_assert(eq(sz, rig.runs_count, 0), "not started");
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    return open_call(FAKE_TURN)->settles[0];
}

Test(start, handler_is_told_all)
{
    struct job *job = make_job(7);
    const struct handler_input *input;

    rig.types[0].attempts = 5;
    rig.types[0].timeout_ms = 9000;
    job->attempts_made = 2;
    rig_start(1);
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    input = running(7)->input;
    cr_assert(eq(u64, input->attempt, 3));
    cr_assert(eq(u64, input->attempts_max, 5));
    cr_assert(eq(str, (char *)input->queue, (char *)"q"));
    cr_assert(eq(str, (char *)input->worker, (char *)"host-q-0"));
    cr_assert(eq(str, (char *)input->idempotency_key, (char *)"q:7"));
    cr_assert(eq(str, (char *)input->fencing_token, (char *)"uuid:7"));
    cr_assert(eq(str, (char *)input->correlation_id, (char *)"q:7"), "the data names none");
    cr_assert(le(u64, input->deadline_ms, clock_now_ms() + 9000));
    cr_assert(lt(u64, clock_now_ms() + 8000, input->deadline_ms));
}

Test(start, correlation_id_comes_from_the_data)
{
    static const char data[] = "{\"metadata\":{\"correlationId\":\"order-17\"}}";
    struct job *job = make_job(7);

    job->data = (struct bytes){ data, sizeof(data) - 1 };
    rig_start(1);
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    cr_assert(eq(str, (char *)running(7)->input->correlation_id, (char *)"order-17"));
    cr_assert(eq(str, (char *)running(7)->input->idempotency_key, (char *)"q:7"));
}

Test(start, job_with_a_deferred_failure_fails_without_running)
{
    struct job *job = make_job(1);
    struct fake_settle settle;

    rig.types[0].attempts = 5;
    job->deferred_failure = (struct bytes){ "job stalled more than allowable limit", 37 };
    settle = fetch_one(job);
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_FAIL));
    cr_assert(eq(str, settle.value, (char *)"job stalled more than allowable limit"));
    cr_assert(eq(str, settle.stacktrace,
                 (char *)"[\"UnrecoverableError: job stalled more than allowable limit\"]"));
}

Test(start, job_with_unreadable_options_fails_for_good)
{
    struct job *job = make_job(1);
    struct fake_settle settle;

    rig.types[0].attempts = 5;
    job->options_error = strdup("opts: not an object");
    settle = fetch_one(job);
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_FAIL));
    cr_assert(eq(str, settle.value, (char *)"opts: not an object"));
}

Test(start, unknown_name_is_delayed_without_an_attempt)
{
    struct fake_settle settle;

    rig.config.unknown = CONFIG_UNKNOWN_DELAY;
    settle = fetch_one(make_job_named(1, "strange"));
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_DELAY));
    cr_assert(eq(u64, settle.delay_ms, 60000));
}

Test(start, unknown_name_fails_when_so_configured)
{
    struct fake_settle settle;

    rig.config.unknown = CONFIG_UNKNOWN_FAIL;
    settle = fetch_one(make_job_named(1, "strange"));
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_FAIL));
    cr_assert(eq(str, settle.value, (char *)"no handler is configured for jobs named \"strange\""));
}

Test(start, queue_handler_takes_names_without_a_type)
{
    struct job *job = make_job_named(1, "strange");

    rig.bindings[2] = rig.bindings[0];
    rig_start(1);
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    cr_assert(eq(sz, count_running(), 1));
}

/* What becomes of it then: test_iterations.c. */
Test(start, iteration_of_a_scheduler_is_neither_run_nor_failed_before_its_next_one_is_made)
{
    struct job *job = make_job(1);

    rig.config.unknown = CONFIG_UNKNOWN_FAIL;
    job->scheduler = (struct bytes){ "nightly", 7 };
    job->deferred_failure = (struct bytes){ "x", 1 };
    job->options_error = strdup("y");
    rig_start(1);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    cr_assert(eq(sz, count_running(), 0));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_FAIL));
}

Test(start, handler_that_cannot_start_is_a_failed_attempt)
{
    struct fake_settle settle;

    rig.types[0].attempts = 2;
    rig.refuse_start = true;
    settle = fetch_one(make_job(1));
    cr_assert(eq(int, (int)settle.kind, (int)SETTLE_RETRY));
    cr_assert(eq(str, settle.value, (char *)"no start today"));
}

Test(start, time_out_asks_then_kills)
{
    rig.types[0].timeout_ms = 30000;
    rig.types[0].kill_grace_ms = 5000;
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    for (int i = 0; i < 14; i++) {
        pass_ms(2000);
        answer_beats();
    }
    cr_assert(eq(uint, running(1)->soft, 0));
    pass_ms(2000);
    answer_beats();
    cr_assert(eq(uint, running(1)->soft, 1));
    pass_ms(4900);
    answer_beats();
    cr_assert(eq(uint, running(1)->hard, 0));
    pass_ms(100);
    cr_assert(eq(uint, running(1)->hard, 1));
    end_run(1, HANDLER_CANCELLED);
    step();
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].value, (char *)"timed out after 30s"));
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_FAIL));
}

Test(start, job_that_completes_in_its_grace_is_complete)
{
    rig.types[0].timeout_ms = 1000;
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    pass_ms(1000);
    complete(1);
    step();
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_COMPLETE));
}

Test(start, ended_job_leaves_no_time_out_behind)
{
    rig.types[0].timeout_ms = 1000;
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 10);
    complete(1);
    pass_ms(900);
    answer_jobs(open_call(FAKE_TURN), 2, 1, 10);
    pass_ms(200);
    cr_assert(eq(uint, running(2)->soft, 0), "the time-out of job 1 does not strike job 2");
    pass_ms(900);
    cr_assert(eq(uint, running(2)->soft, 1));
}

Test(start, counters_of_all_ends)
{
    struct job *jobs[4];

    rig.types[0].attempts = 1;
    rig.types[1].attempts = 2;
    rig_start(4);
    for (unsigned int i = 0; i < 4; i++)
        jobs[i] = make_job_named(i + 1, i < 2 ? "known" : "other");
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 4, NULL);
    complete(1);
    fail_run(2, "no");
    fail_run(3, "no");
    end_run(4, HANDLER_FAILED_FINAL);
    step();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1));
    cr_assert(eq(u64, shown(SCOREBOARD_FAILED), 2));
    cr_assert(eq(u64, shown(SCOREBOARD_RETRIED), 1));
    cr_assert(eq(u64, shown(SCOREBOARD_JOB_SLOTS), 4));
}

/* What becomes of a run by how its handler says that it ended, and by what it had been asked. */
Test(start, outcomes_that_are_no_attempt)
{
    static const struct {
        const char *name;
        enum handler_outcome_kind outcome;
        int64_t retry_after_ms;
        bool timed_out;
        enum settle_kind settle;
        uint64_t delay_ms;
        const char *value;
    } rows[] = {
        { "put back", HANDLER_PUT_BACK, -1, false, SETTLE_DELAY, 1000, "" },
        { "put back for a while", HANDLER_PUT_BACK, 7000, false, SETTLE_DELAY, 7000, "" },
        { "put back at once", HANDLER_PUT_BACK, 0, false, SETTLE_DELAY, 100, "" },
        { "never begun in its time", HANDLER_PUT_BACK, -1, true, SETTLE_DELAY, 1000, "" },
        { "died in company", HANDLER_DIED_IN_COMPANY, -1, false, SETTLE_GIVE_BACK_COUNTED, 0,
          "reason" },
        { "died when its time was over", HANDLER_DIED_IN_COMPANY, -1, true, SETTLE_FAIL, 0,
          "timed out after 1s" },
        { "innocent", HANDLER_INNOCENT, -1, false, SETTLE_GIVE_BACK, 0, "" },
        { "innocent when its time was over", HANDLER_INNOCENT, -1, true, SETTLE_FAIL, 0,
          "timed out after 1s" },
    };
    uint64_t given_back = 0;

    rig.types[0].timeout_ms = 1000;
    rig_start(1);
    answer_beats();
    for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct fake_settle *settle;

        answer_jobs(open_call(FAKE_TURN), i + 1, 1, 10);
        if (rows[i].timed_out)
            pass_ms(1000);
        answer_beats();
        end_run_with(i + 1, rows[i].outcome, "reason", rows[i].retry_after_ms);
        step();
        settle = &open_call(FAKE_TURN)->settles[0];
        given_back += rows[i].settle != SETTLE_FAIL;
        cr_assert(eq(int, (int)settle->kind, (int)rows[i].settle), "%s", rows[i].name);
        cr_assert(eq(u64, settle->delay_ms, rows[i].delay_ms), "%s", rows[i].name);
        cr_assert(eq(str, (char *)settle->value, (char *)rows[i].value), "%s", rows[i].name);
    }
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_GIVEN_BACK), given_back));
}

Test(start, handler_is_told_why_and_how_long)
{
    rig.types[0].timeout_ms = 1000;
    rig.types[0].kill_grace_ms = 700;
    rig_start(2);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    pass_ms(1000);
    cr_assert(eq(int, (int)running(1)->why, (int)HANDLER_WHY_TIMEOUT));
    cr_assert(eq(u64, running(1)->grace_ms, 700));
    pass_ms(700);
    cr_assert(eq(uint, running(1)->hard, 1));
    cr_assert(eq(int, (int)running(1)->why, (int)HANDLER_WHY_TIMEOUT));
    cr_assert(eq(u64, running(1)->grace_ms, 0));
}
