/* The beat, renewal, proof, and what happens when a lock cannot be proven. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(locks, .init = rig_init, .fini = rig_done, .timeout = 20);

static const enum lock_answer lost[] = { LOCK_LOST };
static const enum lock_answer relocked[] = { LOCK_RELOCKED };

/* One job runs, Redis goes away. */
static void run_one_and_lose_redis(enum config_on_lock_lost policy)
{
    rig.config.on_lock_lost = policy;
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    engine_set_redis(rig.engine, false);
    step();
}

Test(locks, beats_every_two_seconds_even_when_idle)
{
    rig_start_idle(1);
    cr_assert(eq(sz, count_calls(FAKE_RENEW), 1));
    for (size_t beats = 2; beats < 6; beats++) {
        pass_ms(1900);
        answer_beats();
        cr_assert(eq(sz, count_calls(FAKE_RENEW), beats - 1));
        pass_ms(100);
        cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 0));
        answer_beats();
        cr_assert(eq(sz, count_calls(FAKE_RENEW), beats));
    }
}

Test(locks, renews_before_a_third_has_passed)
{
    uint64_t passed_ms = 0;

    rig_start(2);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 2, 0);
    for (;;) {
        pass_ms(2000);
        passed_ms += 2000;
        if (open_call(FAKE_RENEW)->count > 0)
            break;
        answer_beats();
        cr_assert(lt(u64, passed_ms, 10000), "a third of 30 s");
    }
    cr_assert(ge(u64, passed_ms, 6000), "not at every beat");
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 2), "all of the process in one call");
    answer_beats();
    pass_ms(2000);
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 0), "proven anew");
}

Test(locks, one_renewal_at_a_time)
{
    rig_start_idle(1);
    pass_ms(2000);
    pass_ms(2000);
    cr_assert(eq(sz, open_calls(FAKE_RENEW), 1));
}

Test(locks, job_goes_on_as_long_as_its_lock_is_proven)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    pass_ms(27000);
    cr_assert(eq(uint, running(1)->soft, 0));
    pass_ms(1100);
    cr_assert(eq(uint, running(1)->soft, 1), "2 s before its end");
}

Test(locks, unproven_lock_stops_the_job_and_drops_the_result)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    pass_ms(28100);
    cr_assert(eq(uint, running(1)->hard, 0), "kill_grace is one second");
    pass_ms(1000);
    cr_assert(eq(uint, running(1)->hard, 1));
    complete(1);
    step();
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1), "even though it completed");
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "nothing is settled");
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1), "the slot is free again");
}

/* So that whoever gets the job when the lock has ended does not meet it here. */
Test(locks, unproven_lock_kills_before_its_end)
{
    rig.types[0].kill_grace_ms = 60000;
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    pass_ms(28000);
    cr_assert(eq(int, (int)running(1)->why, (int)HANDLER_WHY_LOST));
    cr_assert(le(u64, running(1)->grace_ms, 1500));
    cr_assert(eq(uint, running(1)->hard, 0));
    pass_ms(1500);
    cr_assert(eq(uint, running(1)->hard, 1), "half a second is left");
}

/* The machine slept through the lock's end: there is no time left to be polite. */
Test(locks, lock_that_has_ended_kills_at_once)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    pass_ms(100000);
    pass_ms(1);
    cr_assert(eq(uint, running(1)->hard, 1));
}

Test(locks, unproven_lock_lets_the_job_finish_and_then_proves)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_FINISH);
    pass_ms(60000);
    cr_assert(eq(uint, running(1)->soft, 0));
    complete(1);
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(str, open_call(FAKE_RENEW)->ids[0], (char *)"1"));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "the only slot is still taken");
    answer_renew(open_call(FAKE_RENEW), relocked);
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"1"));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1));
}

Test(locks, finished_job_of_another_is_dropped)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_FINISH);
    pass_ms(60000);
    complete(1);
    engine_set_redis(rig.engine, true);
    step();
    answer_renew(open_call(FAKE_RENEW), lost);
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(locks, finished_job_waits_for_its_proof)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    complete(1);
    pass_ms(60000);
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    answer_renew(open_call(FAKE_RENEW), relocked);
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"1"));
}

Test(locks, short_loss_costs_nothing)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    complete(1);
    pass_ms(10000);
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"1"),
              "the lock is still proven");
}

Test(locks, lock_taken_by_another_stops_the_job)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    for (int i = 0; i < 5; i++) {
        pass_ms(2000);
        if (open_call(FAKE_RENEW)->count > 0)
            break;
        answer_beats();
    }
    answer_renew(open_call(FAKE_RENEW), lost);
    cr_assert(eq(uint, running(1)->soft, 1));
    end_run(1, HANDLER_CANCELLED);
    step();
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1));
    cr_assert(eq(sz, count_running(), 0));
}

Test(locks, answers_for_a_settled_job_do_not_hit_its_successor)
{
    struct fake_call *renewal;

    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 5);
    for (int i = 0; i < 5; i++) {
        pass_ms(2000);
        if (open_call(FAKE_RENEW)->count > 0)
            break;
        answer_beats();
    }
    renewal = open_call(FAKE_RENEW);
    complete(1);
    step();
    answer_jobs(open_call(FAKE_TURN), 2, 1, 0);
    answer_renew(renewal, lost);
    cr_assert(eq(uint, running(2)->soft, 0));
}

Test(locks, failed_renewal_is_tried_again)
{
    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    for (int i = 0; i < 5; i++) {
        pass_ms(2000);
        if (open_call(FAKE_RENEW)->count > 0)
            break;
        answer_beats();
    }
    answer_renew_badly(open_call(FAKE_RENEW), REDIS_REFUSED);
    cr_assert(eq(sz, open_calls(FAKE_RENEW), 0));
    pass_ms(2000);
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 1));
}

Test(locks, renews_at_once_when_redis_is_back)
{
    run_one_and_lose_redis(CONFIG_LOCK_LOST_STOP);
    pass_ms(10000);
    cr_assert(eq(sz, open_calls(FAKE_RENEW), 0));
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 1));
}

Test(locks, thousands_are_renewed_in_several_calls)
{
    unsigned int id = 1;

    rig_start(1200);
    answer_beats();
    while (count_running() < 1024 - 64) {
        struct fake_call *call = open_call(FAKE_TURN);

        answer_jobs(call, id, call->want, 5000);
        id += (unsigned int)call->want;
    }
    pass_ms(9000);
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, count_running()), "below the bound of one call");
}
