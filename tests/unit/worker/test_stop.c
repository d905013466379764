/* Drain, stop, leave. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(stop, .init = rig_init, .fini = rig_done, .timeout = 20);

static void leave(void)
{
    if (open_calls(FAKE_WAIT) > 0)
        answer_wait_badly(open_call(FAKE_WAIT), REDIS_UNKNOWN);
    while (open_calls(FAKE_RETURN) > 0)
        answer_value(open_call(FAKE_RETURN), 0);
    answer_value(open_call(FAKE_LEAVE), 0);
}

static void run_jobs(size_t slots, size_t count)
{
    rig_start(slots);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, count, 100);
}

Test(stop, idle_worker_leaves_at_once)
{
    rig_start_idle(1);
    engine_drain(rig.engine, 0);
    step();
    cr_assert(rig.stopped_waiting);
    leave();
    cr_assert(rig.ended);
    cr_assert(eq(sz, rig.left, 0));
}

Test(stop, drain_fetches_no_more)
{
    rig.config.on_lock_lost = CONFIG_LOCK_LOST_FINISH;
    run_jobs(2, 2);
    engine_drain(rig.engine, 0);
    complete(1);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(not(rig.ended));
    pass_ms(1000000);
    cr_assert(eq(uint, running(2)->soft, 0), "without bound");
    answer_beats();
    complete(2);
    step();
    answer_beats(); /* its lock had to be proven again */
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    leave();
    cr_assert(rig.ended);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 2));
}

Test(stop, jobs_that_arrive_during_a_drain_are_given_back)
{
    rig_start(4);
    answer_beats();
    engine_drain(rig.engine, 0);
    step();
    answer_jobs(open_call(FAKE_TURN), 1, 4, 0);
    cr_assert(eq(sz, rig.runs_count, 0), "not started");
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 4));
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_GIVE_BACK));
}

Test(stop, drain_that_runs_out_of_time_gives_back)
{
    run_jobs(2, 2);
    engine_drain(rig.engine, 5000);
    pass_ms(4900);
    cr_assert(eq(uint, running(1)->soft, 0));
    pass_ms(100);
    cr_assert(eq(uint, running(1)->soft, 1));
    end_run(1, HANDLER_CANCELLED);
    step();
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_GIVE_BACK));
    pass_ms(1000);
    cr_assert(eq(uint, running(2)->hard, 1), "kill_grace is over");
    end_run(2, HANDLER_CANCELLED);
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    answer_beats();
    leave();
    cr_assert(rig.ended);
    cr_assert(eq(sz, rig.left, 0));
}

Test(stop, nothing_is_given_back_before_its_handler_is_seen_dead)
{
    run_jobs(1, 1);
    engine_stop(rig.engine);
    step();
    cr_assert(eq(uint, running(1)->soft, 1));
    cr_assert(eq(int, (int)running(1)->why, (int)HANDLER_WHY_STOP));
    pass_ms(1500);
    cr_assert(eq(uint, running(1)->hard, 1));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(stop, job_that_completes_while_it_is_stopped_is_complete)
{
    run_jobs(1, 1);
    engine_stop(rig.engine);
    step();
    complete(1);
    step();
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_COMPLETE));
}

Test(stop, what_it_is_doing_is_told_for_people)
{
    run_jobs(1, 1);
    cr_assert(eq(str, (char *)engine_ending(rig.engine), (char *)""));
    engine_drain(rig.engine, 0);
    cr_assert(eq(str, (char *)engine_ending(rig.engine), (char *)"draining"));
    engine_stop(rig.engine);
    cr_assert(eq(str, (char *)engine_ending(rig.engine), (char *)"stopping"));
    step();
}

Test(stop, innocent_of_a_program_that_was_stopped_goes_back_too)
{
    run_jobs(2, 2);
    engine_stop(rig.engine);
    step();
    end_run(1, HANDLER_CANCELLED);
    end_run(2, HANDLER_INNOCENT);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 2));
    for (int i = 0; i < 2; i++)
        cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[i].kind, (int)SETTLE_GIVE_BACK));
}

Test(stop, grace_of_a_stop_is_bounded)
{
    rig.types[0].kill_grace_ms = 600000;
    run_jobs(1, 1);
    engine_stop(rig.engine);
    step();
    pass_ms(2000);
    cr_assert(eq(uint, running(1)->hard, 1));
}

Test(stop, second_request_shortens_a_drain)
{
    run_jobs(1, 1);
    engine_drain(rig.engine, 0);
    step();
    engine_drain(rig.engine, 3000);
    step();
    pass_ms(3000);
    cr_assert(eq(uint, running(1)->soft, 1));
    engine_drain(rig.engine, 100000);
    step();
    cr_assert(eq(uint, running(1)->soft, 1), "no way back");
}

Test(stop, handler_that_cannot_be_ended_is_left_to_its_lock)
{
    run_jobs(1, 1);
    engine_stop(rig.engine);
    step();
    pass_ms(3100);
    answer_beats();
    leave();
    cr_assert(rig.ended);
    cr_assert(eq(sz, rig.left, 1));
}

Test(stop, redis_that_stays_away_does_not_hold_the_worker)
{
    run_jobs(1, 1);
    engine_set_redis(rig.engine, false);
    engine_stop(rig.engine);
    step();
    end_run(1, HANDLER_CANCELLED);
    step();
    cr_assert(not(rig.ended), "it may come back");
    pass_ms(4600);
    if (open_calls(FAKE_WAIT) > 0)
        answer_wait_badly(open_call(FAKE_WAIT), REDIS_UNKNOWN);
    pass_ms(1000);
    cr_assert(rig.ended);
    cr_assert(eq(sz, rig.left, 1));
}

Test(stop, timed_out_job_stays_a_failed_attempt)
{
    rig.types[0].timeout_ms = 1000;
    rig.types[0].attempts = 2;
    run_jobs(1, 1);
    pass_ms(1000);
    engine_stop(rig.engine);
    step();
    end_run(1, HANDLER_CANCELLED);
    step();
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_RETRY));
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].value, (char *)"timed out after 1s"));
}

Test(stop, marker_in_the_hand_goes_back)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    engine_drain(rig.engine, 0);
    step();
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_RETURN), 1));
}

Test(stop, marker_lost_with_the_connection_goes_back)
{
    rig_start_idle(1);
    engine_drain(rig.engine, 0);
    step();
    answer_wait_badly(open_call(FAKE_WAIT), REDIS_UNKNOWN);
    cr_assert(eq(sz, open_calls(FAKE_RETURN), 1));
    cr_assert(not(rig.ended));
}

Test(stop, leave_has_a_bound)
{
    rig_start_idle(1);
    engine_drain(rig.engine, 0);
    step();
    pass_ms(1100);
    cr_assert(rig.ended, "though nothing was answered");
}
