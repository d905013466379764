/* Outcomes that choose a place for the job instead of ending it, and what the worker is told about
 * limits, starts and the queue's concurrency. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(moves, .init = rig_init, .fini = rig_done, .timeout = 20);

/* One job, 1, that runs. */
static void start_one(void)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
}

static const struct fake_settle *settled(void)
{
    struct fake_call *call = open_call(FAKE_TURN);

    cr_assert(eq(sz, call->count, 1));
    return &call->settles[0];
}

Test(moves, each_outcome_has_its_place)
{
    static const struct {
        enum handler_outcome_kind kind;
        int64_t after_ms;
        enum settle_kind settle;
        uint64_t delay_ms;
    } rows[] = {
        { HANDLER_DELAYED, 250, SETTLE_DELAY, 250 },
        { HANDLER_DELAYED, 0, SETTLE_DELAY, 0 },
        { HANDLER_DELAYED, -1, SETTLE_DELAY, 1000 },
        { HANDLER_WAITING, -1, SETTLE_WAIT, 0 },
        { HANDLER_WAITING, 250, SETTLE_WAIT, 0 },
        { HANDLER_LIMITED, 250, SETTLE_WAIT, 250 },
        { HANDLER_LIMITED, 0, SETTLE_WAIT, 1000 },
        { HANDLER_LIMITED, -1, SETTLE_WAIT, 1000 },
        { HANDLER_WAITING_CHILDREN, 250, SETTLE_WAIT_CHILDREN, 0 },
    };
    unsigned int id = 1;

    start_one();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++, id++) {
        end_run_with(id, rows[i].kind, "", rows[i].after_ms);
        step();
        cr_assert(eq(int, (int)settled()->kind, (int)rows[i].settle), "row %zu", i);
        cr_assert(eq(u64, settled()->delay_ms, rows[i].delay_ms), "row %zu", i);
        cr_assert(eq(u64, settled()->due_at_ms, 0));
        cr_assert(eq(str, (char *)(uintptr_t)settled()->stacktrace, (char *)""), "no attempt");
        if (rows[i].kind == HANDLER_LIMITED) { /* that call has fetched nothing */
            answer_jobs(open_call(FAKE_TURN), 0, 0, 1);
            pass_ms(rows[i].delay_ms);
        }
        answer_jobs(open_call(FAKE_TURN), id + 1, 1, 0);
    }
    cr_assert(eq(u64, shown(SCOREBOARD_GIVEN_BACK), ARRAY_SIZE(rows)));
}

Test(moves, to_a_time_of_the_day)
{
    start_one();
    end_run_at(1, HANDLER_DELAYED, 1234567890123);
    step();
    cr_assert(eq(u64, settled()->due_at_ms, 1234567890123));
}

/* Another call that was under way, or a worker without a limiter, knows nothing of the rest. */
Test(moves, a_rest_is_kept_to_the_end_and_no_longer)
{
    struct fetch_state state = { .waiting = 1 };

    start_one();
    end_run_with(1, HANDLER_LIMITED, "", 45000);
    step();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &state);
    for (int i = 0; i < 22; i++) {
        cr_assert(eq(sz, open_calls(FAKE_TURN) + open_calls(FAKE_WAIT), 0));
        pass_ms(2000);
        answer_beats();
    }
    cr_assert(eq(u64, rig.engine->timer_at_ms, rig.engine->waiting.rest_ms), "woken exactly then");
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    pass_ms(1000);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(moves, a_rest_that_redis_did_not_take_is_none)
{
    const enum settle_code gone = SETTLE_GONE;
    struct fetch_state state = { .waiting = 1 };

    start_one();
    end_run_with(1, HANDLER_LIMITED, "", 45000);
    step();
    answer_turn(open_call(FAKE_TURN), &gone, NULL, 0, &state);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(moves, without_pending_children_it_runs_again)
{
    const enum settle_code none = SETTLE_NO_CHILDREN;

    start_one();
    end_run(1, HANDLER_WAITING_CHILDREN);
    step();
    answer_turn(open_call(FAKE_TURN), &none, NULL, 0, NULL);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_WAIT));
    cr_assert(eq(u64, settled()->delay_ms, 0));
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    cr_assert(eq(sz, count_running(), 1));
}

Test(moves, without_pending_children_again_and_again_it_takes_a_breath)
{
    const enum settle_code none = SETTLE_NO_CHILDREN;
    struct job *job = make_job(1);

    job->attempts_started = 12;
    job->attempts_made = 1;
    rig_start(1);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    end_run(1, HANDLER_WAITING_CHILDREN);
    step();
    answer_turn(open_call(FAKE_TURN), &none, NULL, 0, NULL);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_DELAY));
    cr_assert(eq(u64, settled()->delay_ms, 1000));
}

Test(moves, failed_children_fail_it_for_good)
{
    const enum settle_code failed = SETTLE_CHILDREN_FAILED;

    start_one();
    end_run(1, HANDLER_WAITING_CHILDREN);
    step();
    answer_turn(open_call(FAKE_TURN), &failed, NULL, 0, NULL);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_FAIL));
}

Test(moves, started_too_often)
{
    struct job *jobs[] = { make_job(1), make_job(2) };

    rig.config.max_started = 3;
    jobs[0]->attempts_started = 3;
    jobs[1]->attempts_started = 4;
    rig_start(2);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 2, NULL);
    cr_assert(eq(sz, count_running(), 1));
    (void)running(1);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_FAIL));
    cr_assert(eq(str, (char *)(uintptr_t)settled()->value,
                 (char *)"job started more than allowable limit"));
}

Test(moves, limiter_and_metrics_go_with_each_call)
{
    rig.config.limiter_max = 10;
    rig.config.limiter_ms = 2000;
    rig.config.metrics_points = 15;
    rig_start(1);
    cr_assert(eq(u64, open_call(FAKE_TURN)->limiter.max, 10));
    cr_assert(eq(u64, open_call(FAKE_TURN)->limiter.duration_ms, 2000));
    cr_assert(eq(u64, open_call(FAKE_TURN)->metrics_points, 15));
}

Test(moves, concurrency_is_applied_before_the_first_fetch)
{
    rig.config.cluster_concurrency = 7;
    rig_start(1);
    cr_assert(eq(u64, open_call(FAKE_CONCURRENCY)->concurrency, 7));
    cr_assert(lt(ptr, open_call(FAKE_CONCURRENCY), open_call(FAKE_TURN)), "the order of sending");
    answer_value(open_call(FAKE_CONCURRENCY), 1);
    answer_beats();
    pass_ms(60000);
    cr_assert(eq(sz, count_calls(FAKE_CONCURRENCY), 1), "once");
}

Test(moves, concurrency_is_applied_on_each_connection)
{
    rig_start_idle(1);
    cr_assert(eq(u64, rig.calls[count_calls(FAKE_CONCURRENCY) - 1].answered, true));
    engine_set_redis(rig.engine, false);
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, count_calls(FAKE_CONCURRENCY), 2));
    answer_beats();
}

Test(moves, concurrency_that_was_not_taken_is_applied_again)
{
    rig_start(1);
    answer_value_badly(open_call(FAKE_CONCURRENCY));
    cr_assert(eq(sz, count_calls(FAKE_CONCURRENCY), 1), "not at once");
    pass_ms(1000);
    cr_assert(eq(sz, count_calls(FAKE_CONCURRENCY), 2));
    answer_beats();
    pass_ms(1000);
    cr_assert(eq(sz, count_calls(FAKE_CONCURRENCY), 2));
}
