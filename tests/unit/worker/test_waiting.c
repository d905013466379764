/* What the engine does when there is nothing to fetch. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(waiting, .init = rig_init, .fini = rig_done, .timeout = 20);

static void answer_state(const struct fetch_state *state)
{
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, state);
}

Test(waiting, drained_worker_blocks_on_the_marker)
{
    rig_start_idle(1);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(u64, open_call(FAKE_WAIT)->timeout_ms, 5000));
}

Test(waiting, nothing_is_fetched_before_the_handlers_are_ready)
{
    rig.start_held = true;
    rig_start(1);
    answer_beats();
    for (int i = 0; i < 5; i++) {
        cr_assert(eq(sz, open_calls(FAKE_TURN) + open_calls(FAKE_WAIT), 0));
        cr_assert(lt(u64, clock_now_ms(), rig.engine->timer_at_ms), "it sleeps");
        pass_ms(2000);
        answer_beats();
    }
    engine_hold(rig.engine, false);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, busy_worker_does_not_take_markers)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0));
}

Test(waiting, partly_busy_worker_waits)
{
    rig_start(2);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1));
}

Test(waiting, marker_means_fetch)
{
    rig_start_idle(1);
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1), "and wait again");
}

Test(waiting, time_out_means_fetch)
{
    rig_start_idle(1);
    answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, marker_of_a_delayed_job_is_honoured_at_its_time)
{
    rig_start_idle(1);
    answer_wait(open_call(FAKE_WAIT), clock_wall_ms() + 3000);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1), "waits for new work meanwhile");
    pass_ms(2900);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    pass_ms(150);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, delayed_job_starts_by_a_timer_of_ours)
{
    struct fetch_state state = { .next_due_ms = clock_wall_ms() + 60000 };

    rig_start(1);
    answer_beats();
    answer_state(&state);
    cr_assert(le(u64, rig.engine->timer_at_ms, clock_now_ms() + 60000), "armed");
    for (int i = 0; i < 30; i++) {
        pass_ms(1990);
        answer_beats();
        cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    }
    pass_ms(400);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "while the marker is still waited for");
}

Test(waiting, more_due_jobs_are_fetched_at_once)
{
    struct fetch_state state = { .more_due = true };

    rig_start(1);
    answer_state(&state);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, fruitless_fetches_do_not_spin)
{
    struct fetch_state state = { .waiting = 7 };

    rig_start(1);
    for (int i = 0; i < 3; i++)
        answer_state(&state);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1));
}

Test(waiting, paused_and_maxed_queues_wait)
{
    static const struct fetch_state states[] = { { .waiting = 5, .paused = true },
                                                 { .waiting = 5, .maxed = true } };

    rig_start(1);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        answer_state(&states[i]);
        cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "row %zu", i);
        answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    }
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, rate_limit_sleeps_without_the_marker)
{
    struct fetch_state state = { .waiting = 5, .limit_ms = 1000 };

    rig_start(1);
    answer_beats();
    answer_state(&state);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0));
    pass_ms(900);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    pass_ms(150);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, rate_limit_is_looked_at_again_after_half_a_minute)
{
    struct fetch_state state = { .waiting = 5, .limit_ms = 3600000 };

    rig_start(1);
    answer_state(&state);
    pass_ms(30100);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, rate_limited_worker_settles)
{
    struct fetch_state state = { .waiting = 5, .limit_ms = 10000 };
    struct job *job = make_job(1);

    rig_start(2);
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, &state);
    complete(1);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0));
}

Test(waiting, marker_that_arrives_when_full_goes_back)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    answer_wait(open_call(FAKE_WAIT), clock_wall_ms() + 10);
    pass_ms(20);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_RETURN), 1));
}

Test(waiting, without_the_blocking_connection_it_polls)
{
    rig_start(1);
    engine_set_blocking(rig.engine, NULL);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0));
    pass_ms(1100);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(waiting, failed_wait_is_repeated)
{
    rig_start_idle(1);
    answer_wait_badly(open_call(FAKE_WAIT), REDIS_REFUSED);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0));
    pass_ms(600);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1));
}

Test(waiting, stalled_jobs_are_looked_for_at_start_and_by_interval)
{
    rig_start_idle(1);
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 1));
    for (int i = 0; i < 29; i++) {
        pass_ms(1000);
        answer_beats();
    }
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 1));
    pass_ms(1500);
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 2));
}

/* While Redis was away the locks of all processes have run out. */
Test(waiting, stalled_jobs_are_left_alone_until_others_had_time_to_come_back)
{
    rig.config.stalled_interval_ms = 1000;
    rig_start_idle(1);
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 1));
    engine_set_redis(rig.engine, false);
    pass_ms(20000);
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 1));
    engine_set_redis(rig.engine, true);
    for (int i = 0; i < 5; i++) {
        pass_ms(1000);
        answer_beats();
        cr_assert(eq(sz, count_calls(FAKE_STALLED), 1));
    }
    pass_ms(1500);
    cr_assert(eq(sz, count_calls(FAKE_STALLED), 2));
}

/* A timer that is due already while nothing can be done would spin the loop. */
Test(waiting, timer_is_never_in_the_past_while_a_call_is_in_flight)
{
    struct fetch_state state = { .next_due_ms = clock_wall_ms() + 100 };

    rig_start(1);
    answer_beats();
    answer_state(&state);
    pass_ms(150);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    cr_assert(lt(u64, clock_now_ms(), rig.engine->timer_at_ms));
    answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_MEMORY);
    cr_assert(lt(u64, clock_now_ms(), rig.engine->timer_at_ms));
}

Test(waiting, due_time_that_comes_while_a_call_is_in_flight_waits_for_its_return)
{
    rig.config.batch_max = 1; /* so that the call in flight leaves slots free */
    rig_start(4);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_wait(open_call(FAKE_WAIT), clock_wall_ms() + 10);
    pass_ms(20);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    cr_assert(lt(u64, clock_now_ms(), rig.engine->timer_at_ms));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "that call's fetch has told what is due");
}
